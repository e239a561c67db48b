"""Whatever stands in whatever column: nothing leaves in which an identity, an amount or a moment differs from what the
file plainly says."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.column_settings import MappingSettings
from etl.destinations import types
from etl.destinations.base import Destination
from etl.stages import transform, validate
from etl.staging import items_of
from schemas import conversion
from tests.destinations.test_contract import destination

NOW_MS = 1_795_000_000_000


class Cell(NamedTuple):
    """What stands in a file, and what it plainly says: a value, nothing, or nobody can tell."""

    text: str
    says: str | None = None
    readable: bool = True


def unreadable(*texts: str) -> list[Cell]:
    return [Cell(text, readable=False) for text in texts]


def empty(*texts: str) -> list[Cell]:
    return [Cell(text) for text in texts]


NOTHING = empty("", " ", "NULL", "n/a", "None", "(null)", "\\N", "\ufeff", "k.A.", "<NA>", "\u3000")
ERRORS = unreadable("#WERT!", "#¿NOMBRE?", "=A1", "Err:502", "#ИМЯ?", "#N/A")
LOST = unreadable("4.91511E+12", "1,23457E+15", "4711.0", "1,234,567", "1E5", "1234567890123450")
PLAIN = [
    Cell("A-7", "A-7"),
    Cell(" A-7\u200b", "A-7"),
    Cell("“A-8”", "A-8"),
    Cell("\ufeffA-9", "A-9"),
    Cell("007", "007"),
    Cell("order 42  b", "order 42  b"),
    Cell("1e5", "1e5"),
]
IDS = [*PLAIN, *ERRORS, *LOST, *unreadable("A\u200b7", "A\x07", "A\u202e7")]
CELLS: dict[str, list[Cell]] = {
    "event_id": [*IDS, *NOTHING],
    "user_id": [*IDS, *NOTHING, *empty("unknown", "NA")],
    "anonymous_id": [*PLAIN, *NOTHING],
    "email": [Cell("ada@example.com", "ada@example.com"), *NOTHING, *ERRORS, *empty("call back", "ada@example")],
    "phone": [Cell("+44 (0)20 7946 0958", "+442079460958"), *NOTHING, *ERRORS, *empty("+1 555", "020 7946 0958")],
    "revenue": [
        *(Cell("19.99", "19.99"), Cell(" 5.00\u00a0", "5.00"), Cell("-0.5", "-0.5"), Cell("0", "0")),
        *empty("", "NULL", "n/a"),
        *unreadable("NaN", "Infinity", "1.299", "1,50", "#WERT!", "1e3", "-", "€5", "1,234,567"),
    ],
    "occurred_at": [
        *(Cell("2026-11-17T10:00:00Z", "1794909600000"), Cell("\ufeff1794909600000 ", "1794909600000")),
        *unreadable("202611171000", "20261117", "17/11/2026", "1794909600", "NULL", "", "#REF!"),
    ],
}
REQUIRED = ("event_id", "occurred_at")


def rows() -> st.SearchStrategy[list[dict[str, Cell]]]:
    cells = {column: st.sampled_from(each) for column, each in CELLS.items()}
    return st.lists(st.fixed_dictionaries(cells), min_size=1, max_size=12)


def vendors() -> dict[str, Destination]:
    aliases = {"converge": {"aliases_from": ["user_id", "email", "phone"], "hash": {"email": "off"}}}
    return {type_: destination(type_, aliases.get(type_)) for type_ in types()}


def judged(table: list[dict[str, Cell]]) -> tuple[pd.DataFrame, set[int]]:
    frame = pd.DataFrame(
        {column: [row[column].text for row in table] for column in CELLS} | {"event_name": "Order Completed"},
        index=pd.RangeIndex(1, len(table) + 1),
        dtype="str",
    )
    with validate.Validator() as validator:
        good, rejected = validator.judge(frame, validate.Rules(conversion.SourceFormat(), NOW_MS, skew_ms=0))
    assert len(good) + len(rejected) == len(table)
    return good, {verdict.row_number for verdict in rejected}


@given(rows())
@settings(max_examples=80, derandomize=True, deadline=None, database=None)
def test_what_leaves_is_what_the_file_says(table: list[dict[str, Cell]]) -> None:
    good, rejected = judged(table)
    for number, row in enumerate(table, start=1):
        who = (row[name] for name in ("event_id", "user_id", "email", "phone"))
        if not all(cell.readable for cell in who) or any(row[name].says is None for name in REQUIRED):
            assert number in rejected
    for name, vendor in vendors().items():
        built, not_taken = transform.items(good, vendor, MappingSettings())
        items = items_of(built)
        assert len(items) + len(not_taken) == len(good)
        for item in items:
            cells = table[item.row_number - 1]
            assert cells["revenue"].readable
            says = {column: cell.says for column, cell in cells.items()}
            assert item.event_id == says["event_id"]
            LOOKS[name](json.loads(item.payload, parse_float=str, parse_int=str), says)


def look_at_converge(sent: dict[str, Any], row: dict[str, str | None]) -> None:
    named = {"user_id": row["user_id"], "email": row["email"], "phone": row["phone"]}
    assert sent["aliases"] == [f"urn:{name}:{value}" for name, value in named.items() if value is not None]
    assert sent["event_id"] == row["event_id"]
    assert sent["properties"].get("total_price") == row["revenue"]
    assert sent["properties"].get("$email") == row["email"]


def look_at_optimizely(sent: dict[str, Any], row: dict[str, str | None]) -> None:
    event = sent["snapshots"][0]["events"][0]
    assert sent["visitor_id"] == (row["user_id"] or row["anonymous_id"])
    assert (event["uuid"], event["timestamp"]) == (row["event_id"], row["occurred_at"])
    cents = None if row["revenue"] is None else str(round(float(row["revenue"]) * 100))
    assert event.get("tags", {}).get("revenue") == cents


def look_at_convert(sent: dict[str, Any], row: dict[str, str | None]) -> None:
    assert sent["visitorId"] == (row["user_id"] or row["anonymous_id"])
    told = [pair["value"] for event in sent["events"] for pair in event["data"].get("goalData", [])]
    assert told in ([], [row["revenue"]])


def look_at_kameleoon(sent: dict[str, Any], row: dict[str, str | None]) -> None:
    assert sent["visitorCode"] == row["anonymous_id"]
    assert sent["nonce"] == row["event_id"]
    assert sent.get("revenue") == row["revenue"]


def look_at_webflow(sent: dict[str, Any], row: dict[str, str | None]) -> None:
    assert (sent["userId"], sent["actionId"]) == (row["user_id"], row["event_id"])
    assert (sent["actionTimestamp"], sent.get("value")) == (row["occurred_at"], row["revenue"])


LOOKS = {
    "converge": look_at_converge,
    "optimizely": look_at_optimizely,
    "convert": look_at_convert,
    "kameleoon": look_at_kameleoon,
    "webflow_optimize": look_at_webflow,
}


@pytest.mark.parametrize("column", CELLS)
def test_every_kind_of_cell_stands_in_every_column(column: str) -> None:
    """So that the property above is about something: each column has values, nothings, and what nobody can tell."""
    kinds = {(cell.says is not None, cell.readable) for cell in CELLS[column]}
    assert (True, True) in kinds
    assert len(kinds) > 1
