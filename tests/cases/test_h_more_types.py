"""Types that exporters write: what is one value is read exactly, what is none is refused by name, nothing crashes."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etl.report import Report
from tests.conftest import House

NOW = (datetime.now(UTC) - timedelta(hours=2)).replace(microsecond=0)
D = Decimal


def run(house: House, held: dict[str, Any], /, **settings: Any) -> Report:
    base = {
        "event_id": pa.array(["A-1"]),
        "event_name": pa.array(["Order Completed"]),
        "occurred_at": pa.array([NOW], pa.timestamp("us", "UTC")),
        "user_id": pa.array(["u1"]),
    }
    pq.write_table(pa.table({**base, **held}), house.folder / "a.parquet")
    house.to = ["converge"]
    house.overrides = {"converge": {"aliases_from": ["user_id"]}}
    house.import_settings = {"source": {"type": "parquet", "path": "a.parquet"}, **settings}
    return house.run()


def item(house: House) -> dict[str, Any]:
    (entry,) = house.sandbox.received("converge")
    return dict(entry["item"])


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "+05:30"])
def test_a_moment_of_any_unit_and_zone_is_that_moment(house: House, unit: str, zone: str) -> None:
    run(house, {"occurred_at": pa.array([NOW], pa.timestamp(unit, zone))})
    assert datetime.fromisoformat(item(house)["timestamp"]) == NOW


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_moment_without_a_zone_is_nobodys(house: House, unit: str) -> None:
    report = run(house, {"occurred_at": pa.array([NOW.replace(tzinfo=None)], pa.timestamp(unit))})
    assert report.counts["converge"] == {("rejected", "no_timezone"): 1}


@pytest.mark.parametrize("kind", [pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns")], ids=str)
def test_a_day_and_a_time_are_one_moment(house: House, kind: Any) -> None:
    held = {"day": pa.array([NOW.date()]), "clock": pa.array([NOW.time()], kind), "occurred_at": pa.nulls(1)}
    run(house, held, columns={"occurred_at": ["day", "clock"]}, timezone="UTC")
    assert datetime.fromisoformat(item(house)["timestamp"]) == NOW


IDS = {
    "uint64": (pa.array([2**64 - 1], pa.uint64()), "18446744073709551615"),
    "int64": (pa.array([2**62 + 1]), "4611686018427387905"),
    "decimal256": (pa.array([D(10**40 + 1)], pa.decimal256(60, 0)), str(10**40 + 1)),
    "large_string": (pa.array(["007"], pa.large_string()), "007"),
    "a view": (pa.array(["007"], pa.string_view()), "007"),
    "bytes that are text": (pa.array([b"007"]), "007"),
    "a dictionary": (pa.array(["007"]).dictionary_encode(), "007"),
    "a whole double": (pa.array([12345678901.0]), "12345678901"),
}


@pytest.mark.parametrize(("column", "expected"), IDS.values(), ids=IDS)
def test_an_id_of_any_type_is_its_exact_text(house: House, column: Any, expected: str) -> None:
    run(house, {"event_id": column})
    assert item(house)["event_id"] == expected


AMOUNTS = {
    "decimal128": (pa.array([D("19.99")], pa.decimal128(10, 2)), 19.99),
    "decimal256": (pa.array([D("19.99")], pa.decimal256(50, 2)), 19.99),
    "double": (pa.array([19.99]), 19.99),
    "int": (pa.array([19]), 19),
    "typed thousandths": (pa.array([D("1.299")], pa.decimal128(10, 3)), 1.299),
}


@pytest.mark.parametrize(("column", "expected"), AMOUNTS.values(), ids=AMOUNTS)
def test_an_amount_of_any_type_is_that_amount(house: House, column: Any, expected: float) -> None:
    run(house, {"revenue": column})
    assert item(house)["properties"]["total_price"] == expected


NOBODY = {
    "a truth as a person": ({"user_id": pa.array([True])}, "missing_aliases"),
    "a truth as an id": ({"event_id": pa.array([False])}, "missing_event_id"),
    "a truth as text": ({"user_id": pa.array(["TRUE"])}, "missing_aliases"),
    "sixteen bytes": ({"event_id": pa.array([uuid.uuid4().bytes + b"\xff"])}, "not_text"),
    "not a number": ({"revenue": pa.array([float("nan")])}, "not_a_decimal"),
    "a large double": ({"event_id": pa.array([1e16])}, "inexact_number"),
    "bytes deep inside": ({"properties": pa.array([{"a": [b"\xff"]}])}, "not_text"),
    "a map with a key twice": (
        {"properties": pa.array([[("a", "1"), ("a", "2")]], pa.map_(pa.string(), pa.string()))},
        "not_a_json_object",
    ),
}


@pytest.mark.parametrize(("columns", "reason"), NOBODY.values(), ids=NOBODY)
def test_what_cannot_be_it_is_that_rows_trouble(house: House, columns: dict[str, Any], reason: str) -> None:
    assert run(house, columns).counts["converge"] == {("rejected", reason): 1}


PARTS = {
    "a list as an id": ("event_id", pa.array([["A-1"]])),
    "two people": ("user_id", pa.array([["u1", "u2"]])),
    "an amount and its currency": ("revenue", pa.array([{"amount": "19.99", "currency": "EUR"}])),
    "a list of dates": ("occurred_at", pa.array([[NOW]])),
    "an object as an e-mail": ("email", pa.array([{"address": "a@example.com"}])),
}


@pytest.mark.parametrize(("name", "column"), PARTS.values(), ids=PARTS)
def test_lists_and_objects_are_no_value_of_a_row(house: House, name: str, column: Any) -> None:
    report = run(house, {name: column})
    assert report.exit_code == 2
    assert report.run.stop_detail.startswith(f"a.parquet: {name} is a list or an object in each row")


NESTED = {
    "maps": (pa.array([[("a", "1")]], pa.map_(pa.string(), pa.string())), {"a": "1"}),
    "maps of numbers": (pa.array([[(1, 2)]], pa.map_(pa.int64(), pa.int64())), {"1": 2}),
    "exact decimals": (pa.array([{"a": [{"b": D("1.10")}]}]), {"a": [{"b": 1.1}]}),
}


@pytest.mark.parametrize(("column", "expected"), NESTED.values(), ids=NESTED)
def test_objects_are_properties(house: House, column: Any, expected: dict[str, Any]) -> None:
    run(house, {"properties": column})
    assert item(house)["properties"].items() >= expected.items()


@pytest.mark.parametrize("column", [pa.array([{"a": b"\xff"}]), pa.array([[b"\x80"]]), pa.array([b"\xff"])], ids=str)
def test_bytes_anywhere_in_a_column_that_nobody_uses_are_left_out(house: House, column: Any) -> None:
    report = run(house, {"blob": column})
    assert report.by_status("converge") == {"delivered": 1}
    assert [each.column for each in report.warnings if each.code == "bytes_left_out"] == ["blob"]


def test_a_column_of_the_name_that_we_use_ourselves_can_be_listed(house: House) -> None:
    report = run(house, {"damage": pa.array(["dent"])}, extra_columns=["damage"])
    assert item(house)["properties"]["source_damage"] == "dent"
    assert [each for each in report.warnings if each.code == "column_not_there"] == []


def test_empty_row_groups_are_nothing(house: House) -> None:
    run(house, {})
    table = pq.read_table(house.folder / "a.parquet")
    with pq.ParquetWriter(house.folder / "b.parquet", table.schema) as writer:
        for part in (table.slice(0, 0), table, table.slice(0, 0)):
            writer.write_table(part)
    house.import_settings = {"source": {"type": "parquet", "path": "b.parquet"}}
    assert house.run().by_status("converge") == {"duplicate": 1}


def test_whole_numbers_of_any_size_stay_whole_inside_json() -> None:
    from etl.sources.formats.exact_text import exact

    assert exact({"a": 2**70, "b": [1]}) == f'{{"a":{2**70},"b":[1]}}'
