"""Whatever stands in whatever column: nothing leaves in which an identity, an amount or a moment differs from what the
file plainly says.

Cells are drawn with their meaning, written to a real file and taken through every stage up to each vendor's bytes.
`CONVERSIONS_EXAMPLES=500` draws more tables than the 25 of every day.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from etl.column_settings import MappingSettings
from etl.destinations import types
from etl.destinations.base import Destination
from etl.sources.base import Window
from etl.sources.csv import CsvSettings, CsvSource
from etl.stages import extract, transform, validate
from etl.stages.mapping import ColumnRules
from etl.staging import items_of
from schemas import conversion
from schemas.marks import INVISIBLE, marks
from tests.destinations.test_contract import destination

NOW = datetime(2026, 11, 18, 12, tzinfo=UTC)
NOW_MS = int(NOW.timestamp()) * 1000
EXAMPLES = int(os.environ.get("CONVERSIONS_EXAMPLES", "25"))


class Cell(NamedTuple):
    """What stands in a file, and what it plainly says: a value, nothing, or nobody can tell."""

    text: str
    says: str | None = None
    readable: bool = True


Cells = st.SearchStrategy[Cell]


def unreadable(*texts: str) -> Cells:
    return st.sampled_from(texts).map(lambda text: Cell(text, readable=False))


def empty(*texts: str) -> Cells:
    """What says nothing, also with something around it that nobody sees."""
    return framed(st.sampled_from(texts).map(lambda text: (text, None)))


def plain(*values: str | tuple[str, str]) -> Cells:
    """Values as they are written, or what is written and what it says."""
    pairs = [value if isinstance(value, tuple) else (value, value) for value in values]
    return framed(st.sampled_from(pairs))


EDGES = [
    "",
    *(each for each in INVISIBLE if each not in "\r\n\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"),
    " \ufeff",
    "\u200f\u00a0",
]
"""What nobody sees; breaks of lines are for the tests of the reader."""


def framed(pairs: st.SearchStrategy[tuple[str, str | None]]) -> Cells:
    edge = st.sampled_from(EDGES)
    return st.builds(lambda pair, left, right: Cell(left + pair[0] + right, pair[1]), pairs, edge, edge)


def drawn_ids() -> Cells:
    """Ids of every kind: digits with zeros in front, of any length, letters of any alphabet."""
    nothing = marks("user_id", None)
    digits = st.integers(1, 10**15).map(lambda number: f"00{number}")
    words = st.from_regex(r"[A-Zß日Ж][a-zé本ж0-9_-]{1,8}-[0-9]{1,4}[A-Z]", fullmatch=True)
    return framed(
        st.one_of(digits, words).filter(lambda text: text.lower() not in nothing).map(lambda text: (text, text))
    )


NOTHING = empty(
    "", "NULL", "n/a", "None", "(null)", "\\N", "k.A.", "<NA>", "NaT", "ＮＵＬＬ", "n / a", "not_set", "null null"
)
NOBODY = empty(
    *("unknown", "NA", "ND", "нет", "(not logged in)", "{{user_id}}", "*|ID|*", "%%id%%", "***", "?", "Infinity"),
    *(hashlib.sha256(text).hexdigest() for text in (b"", b"null")),
    "d41d8cd98f00b204e9800998ecf8427e",
)
ERRORS = unreadable(
    *(
        "#WERT!",
        "#¿NOMBRE?",
        "=A1",
        "Err:502",
        "#ИМЯ?",
        "#N/A",
        "#NV",
        "#VALUE",
        "########",
        '="007"',
        "#値!",
        "@SUM(A1)",
    ),
)
LOST = unreadable(
    *(
        "4.91511E+12",
        "1,23457E+15",
        "4711.0",
        "1,234,567",
        "12,34,567",
        "1’234’567",
        "1E5",
        "1234567890123450",
        "1-Feb",
    ),
    *("01. Mrz", "Feb-26", "4.9×10^12", "1.2345678E7"),
)
HIDDEN = unreadable("A\u200b7", "A\x07", "A\u202e7", "A\u00ad7", "4\u200d7")
IDS = st.one_of(
    drawn_ids(),
    plain(
        "order 42  b",
        "1e5",
        "O'Neill",
        ("“A-8”", "A-8"),
        ("„A-8“", "A-8"),
        ("'00491511", "00491511"),
        "e\u0301-1",
        "\u00e9-1",
    ),
)
GOOD: dict[str, Cells] = {
    "event_id": IDS,
    "occurred_at": st.builds(
        lambda back, form: _moment(NOW - timedelta(seconds=back), form),
        st.integers(0, 86_400 * 3),
        st.sampled_from(
            [
                *("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S UTC", "%Y-%m-%dT%H:%M:%S+0000", "%Y%m%dT%H%M%SZ", "ms"),
                *("\ufeff%Y-%m-%d\u202f%H:%M:%S+00:00 ", "%Y-%m-%d %H:%M:%S,000Z", "%Y-%m-%d %H:%M:%S Etc/UTC"),
            ]
        ),
    ),
    "user_id": IDS,
    "anonymous_id": st.one_of(IDS, plain("00a1b2c3d4e5f607", "visitor7")),
    "order_id": IDS,
    "email": plain("ada@example.com", "bob.b+x@mail.example.co.uk"),
    "phone": plain(*((text, "+442079460958") for text in ("+44 (0)20 7946 0958", "0044 20 79460958", "+442079460958"))),
    "revenue": st.one_of(
        framed(st.decimals(0, 9999, places=2).map(lambda amount: (str(amount), str(amount)))),
        framed(st.integers(-99, 999_999).map(lambda amount: (str(amount), str(amount)))),
    ),
    "currency": plain("EUR", ("gbp", "GBP")),
    "quantity": plain("2", "10"),
    "aliases": plain(("urn:x:7", "urn:x:7"), ('["urn:x:7 "]', "urn:x:7"), ("urn:x:7|urn:user_id:NULL", "urn:x:7")),
}
NO_ID = st.one_of(NOTHING, NOBODY, ERRORS, LOST, HIDDEN)
ODD: dict[str, Cells] = {
    "event_id": NO_ID,
    "occurred_at": st.one_of(
        unreadable(
            *(
                "202611171000",
                "20261117",
                "17/11/2026",
                "1794909600",
                "1794909600000000",
                "#REF!",
                "46343.5",
                "17.11.26",
            ),
            *(
                "2026-11-17 10:00",
                "2026-11-17T10:00 CET",
                "2026-11-17T24:00Z",
                "10:00",
                "2026-11-17T10:00+15:00",
                "now",
            ),
            *("２０２６-11-17T10:00Z", "1.7949E+12", "2026-11-17T23:59:60Z", "0000-00-00 00:00:00"),
        ),
        empty("", "NULL", "1970-01-01T00:00:00Z", "1900-01-01T00:00:00Z"),
    ),
    "user_id": st.one_of(NO_ID, empty("0", "-1", "false")),
    "anonymous_id": st.one_of(NO_ID, empty("0", "-1", "false")),
    "order_id": NO_ID,
    "email": st.one_of(
        *(NOTHING, ERRORS),
        empty(
            "call back",
            "ada@example",
            "a***@example.com",
            "null@null.null",
            "Ada <ada@example.com>",
            "ada@exam\u200bple.com",
        ),
    ),
    "phone": st.one_of(
        *(NOTHING, ERRORS, unreadable("4.4207E+11", "442079460958.0")),
        empty("+1 555", "020 7946 0958", "+1 111 111 1111", "+44 20 7946 0958 ext 7"),
    ),
    "revenue": st.one_of(
        empty("", "NULL", "n/a"),
        unreadable(
            "NaN", "Infinity", "1.299", "150.000", "1,50", "#WERT!", "1e3", "-", "€5", "1,234,567", "1’299.00", "5%"
        ),
        unreadable("(5)", "5-", "\u22125", "１９.９９", "1 299", "12.00 EUR", "1.299,50", "0x10"),
    ),
    "currency": st.one_of(empty("", "N/A"), unreadable("€", "Euro", "EU\u200bR")),
    "quantity": st.one_of(empty("", "n/a"), unreadable("1,000", "1e3", "-", "NaN", "1.000", "２")),
    "aliases": st.one_of(
        empty("", "urn:user_id:n/a", "urn:x:{{id}}"),
        unreadable("urn:x:#REF!", "urn:x:7|urn:phone:4.9E+11", "urn:x:7\u200b7"),
    ),
}
NEEDED = ("event_id", "occurred_at")
SAYS_WHAT = tuple(name for name in GOOD if name != "revenue")
"""Columns that are judged for all vendors together; each has rules of its own for amounts."""


def _moment(at: datetime, form: str) -> Cell:
    ms = str(int(at.timestamp()) * 1000)
    return Cell(ms if form == "ms" else at.strftime(form), ms)


def rows() -> st.SearchStrategy[list[dict[str, Cell]]]:
    """Tables of good cells, in which up to two of a row are odd."""
    odd = st.one_of(st.just({}), *(st.fixed_dictionaries({name: cells}) for name, cells in ODD.items()))
    row = st.builds(lambda good, one, other: {**good, **one, **other}, st.fixed_dictionaries(GOOD), odd, odd)
    return st.lists(row, min_size=1, max_size=30)


ALIASES = {"converge": {"aliases_from": ["user_id", "email", "phone"], "hash": {"email": "off"}}}
VENDORS: dict[str, Destination] = {type_: destination(type_, ALIASES.get(type_)) for type_ in types()}


def judged(table: Sequence[dict[str, Cell]]) -> tuple[pd.DataFrame, set[int]]:
    """The good rows of a file with these cells, and the numbers of the others."""
    with TemporaryDirectory() as folder:
        with (Path(folder) / "orders.csv").open("w", encoding="utf-8", newline="") as file:
            out = csv.writer(file)
            out.writerow([*GOOD, "event_name", "kameleoon_goal_id"])
            out.writerows([*(row[name].text for name in GOOD), "Order Completed", "36151"] for row in table)
        source = CsvSource(
            CsvSettings(type="csv", path=f"{folder}/orders.csv", delimiter=",", encoding=("utf-8",)), str
        )
        frames = list(extract.frames(source, Window(), ColumnRules(), 5))
    rules = validate.Rules(conversion.SourceFormat(), NOW_MS, skew_ms=0)
    with validate.Validator() as validator:
        done = [validator.judge(frame, rules) for frame in frames]
    good = pd.concat([each for each, _ in done])
    rejected = {verdict.row_number for _, verdicts in done for verdict in verdicts}
    assert len(good) + len(rejected) == len(table)
    return good, rejected


@given(rows())
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_what_leaves_is_what_the_file_says(table: list[dict[str, Cell]]) -> None:
    good, rejected = judged(table)
    for number, row in enumerate(table, start=1):
        if not all(row[name].readable for name in SAYS_WHAT) or any(row[name].says is None for name in NEEDED):
            assert number in rejected
    for name, vendor in VENDORS.items():
        built, not_taken = transform.items(good, vendor, MappingSettings())
        items = items_of(built)
        assert len(items) + len(not_taken) == len(good)
        for item in items:
            cells = table[item.row_number - 1]
            assert cells["revenue"].readable
            says = {column: cell.says for column, cell in cells.items()}
            assert item.event_id == says["event_id"]
            LOOKS[name](json.loads(item.payload, parse_float=Decimal, parse_int=Decimal), says)


Says = dict[str, str | None]


def number(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def look_at_converge(sent: dict[str, Any], row: Says) -> None:
    named = [f"urn:{name}:{row[name]}" for name in ("user_id", "email", "phone") if row[name] is not None]
    assert set(sent["aliases"]) == {*named, *([row["aliases"]] if row["aliases"] else [])}
    assert sent["event_id"] == row["event_id"]
    assert datetime.fromisoformat(sent["timestamp"]).timestamp() * 1000 == int(row["occurred_at"] or "")
    told = sent["properties"]
    assert (told.get("total_price"), told.get("quantity")) == (number(row["revenue"]), number(row["quantity"]))
    assert (told.get("currency"), told.get("id"), told.get("$email")) == (
        *(row["currency"], row["order_id"], row["email"]),
    )


def look_at_optimizely(sent: dict[str, Any], row: Says) -> None:
    event = sent["snapshots"][0]["events"][0]
    assert sent["visitor_id"] == (row["user_id"] or row["anonymous_id"])
    assert (event["uuid"], event["timestamp"]) == (row["event_id"], number(row["occurred_at"]))
    tags = event.get("tags", {})
    assert tags.get("revenue") == (None if row["revenue"] is None else Decimal(row["revenue"]) * 100)
    assert (tags.get("order_id"), tags.get("currency")) == (row["order_id"], row["currency"])


def look_at_convert(sent: dict[str, Any], row: Says) -> None:
    assert sent["visitorId"] == (row["user_id"] or row["anonymous_id"])
    pairs = [pair for event in sent["events"] for pair in event["data"].get("goalData", [])]
    told = {pair["key"]: pair["value"] for pair in pairs}
    assert (told.get("amount"), told.get("transactionId")) == (number(row["revenue"]), row["order_id"])
    assert told.get("productsCount") == number(row["quantity"])


def look_at_kameleoon(sent: dict[str, Any], row: Says) -> None:
    assert sent["visitorCode"] == row["anonymous_id"]
    assert sent["nonce"] == row["event_id"]
    assert sent.get("revenue") == number(row["revenue"])


def look_at_webflow(sent: dict[str, Any], row: Says) -> None:
    assert (sent["userId"], sent["actionId"]) == (row["user_id"], row["event_id"])
    assert (sent["actionTimestamp"], sent.get("value")) == (number(row["occurred_at"]), number(row["revenue"]))


LOOKS = {
    "converge": look_at_converge,
    "optimizely": look_at_optimizely,
    "convert": look_at_convert,
    "kameleoon": look_at_kameleoon,
    "webflow_optimize": look_at_webflow,
}


def test_every_vendor_is_looked_at() -> None:
    """So that the property above is about something: every vendor gets a row of such cells."""
    assert LOOKS.keys() == VENDORS.keys()
    at = _moment(NOW, "ms")
    row = {name: Cell(f"{name}7") for name in SAYS_WHAT} | {name: Cell("") for name in ("currency", "email", "phone")}
    good, _ = judged(
        [{**row, "occurred_at": at, "quantity": Cell("2"), "aliases": Cell("urn:x:7"), "revenue": Cell("5")}]
    )
    items = {name: len(transform.items(good, vendor, MappingSettings())[0]) for name, vendor in VENDORS.items()}
    assert items == dict.fromkeys(VENDORS, 1)


@pytest.mark.parametrize("column", GOOD)
def test_cells_of_every_kind_stand_in_every_column(column: str) -> None:
    quickly = settings(derandomize=True, database=None, phases=[Phase.generate])
    assert find(ODD[column], lambda cell: cell.readable, settings=quickly).says is None
    assert not find(ODD[column], lambda cell: not cell.readable, settings=quickly).readable
