"""Each file of several is judged by its own header and rows: before anything is sent, and alone where it may be."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etl.report import Report
from tests.conftest import House, order

DATED = {"occurred_at": "2026-11-20T10:00:00Z"}


def write(house: House, kind: str, name: str, row: dict[str, str]) -> None:
    if kind == "csv":
        house.write([row], f"{name}.csv")
    else:
        pq.write_table(pa.Table.from_pylist([row]), house.folder / f"{name}.parquet")


def run(house: House, kind: str, **settings: Any) -> Report:
    house.to = ["converge"]
    house.overrides = {"converge": {"aliases_from": ["user_id"]}}
    house.import_settings = {"source": {"type": kind, "path": f"*.{kind}"}, **settings}
    return house.run()


def sent(house: House) -> set[str]:
    return {entry["key"] for entry in house.sandbox.received("converge")}


def without(number: int, name: str, **more: str) -> dict[str, str]:
    return {key: value for key, value in order(number).items() if key != name} | more


def dated(number: int, **more: str) -> dict[str, str]:
    return without(number, "occurred_at", Date=order(number)["occurred_at"]) | more


BAD: dict[str, tuple[dict[str, str], dict[str, str], dict[str, Any]]] = {
    "money instead of revenue": (without(2, "revenue", Umsatz="19.99"), order(1), {}),
    "money in cells": (without(2, "revenue", col="€19.99"), without(1, "revenue", col="red"), {}),
    "a time of day": (dated(2, Date="2026-11-20", Time="10:00"), dated(1), {"columns": {"occurred_at": "Date"}}),
    "a time of day in a column all have": (
        dated(2, Date="2026-11-20", Time="10:00"),
        dated(1, Time="10:00"),
        {"columns": {"occurred_at": "Date"}},
    ),
    "a zone": (
        dated(2, Date="2026-11-20 10:00", Zeitzone="Europe/Berlin"),
        dated(1),
        {"columns": {"occurred_at": "Date"}, "timezone": "UTC"},
    ),
}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize(("bad", "good", "settings"), BAD.values(), ids=BAD)
def test_a_file_with_unused_money_or_time_spoils_only_itself(
    house: House, kind: str, bad: dict[str, str], good: dict[str, str], settings: dict[str, Any]
) -> None:
    write(house, kind, "a", good)
    write(house, kind, "b", bad)
    write(house, kind, "c", {**good, "event_id": "order-3"})
    report = run(house, kind, on_bad_file="skip", **settings)
    assert sent(house) == {"order-1", "order-3"}
    (skipped,) = [each.sentence for each in report.warnings if each.code == "bad_file_skipped"]
    assert skipped.startswith(f"Skipped: b.{kind}: ")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("name", [name for name in BAD if name != "money in cells"])
def test_such_a_file_stops_the_import_before_anything_is_sent(house: House, kind: str, name: str) -> None:
    bad, good, settings = BAD[name]
    write(house, kind, "a", good)
    write(house, kind, "b", bad)
    report = run(house, kind, **settings)
    assert (report.exit_code, sent(house)) == (2, set())
    assert report.run.stop_detail.startswith(f"b.{kind}: ")


def test_a_column_that_is_spelled_otherwise_in_another_file_is_the_same_column(house: House) -> None:
    write(house, "parquet", "a", order(1, revenue="19.99"))
    write(house, "parquet", "b", without(2, "revenue", Revenue="5.00"))
    write(house, "parquet", "c", {key.upper(): value for key, value in order(3, revenue="7.00").items()})
    report = run(house, "parquet")
    amounts = {e["key"]: e["item"]["properties"]["total_price"] for e in house.sandbox.received("converge")}
    assert amounts == {"order-1": 19.99, "order-2": 5.0, "order-3": 7.0}
    assert [each for each in report.warnings if each.code == "column_lacking"] == []


def test_two_spellings_in_one_file_are_two_columns(house: House) -> None:
    write(house, "parquet", "a", {**order(1, revenue="19.99"), "Revenue": "1.00"})
    write(house, "parquet", "b", order(2, revenue="5.00"))
    run(house, "parquet")
    amounts = {e["key"]: e["item"]["properties"]["total_price"] for e in house.sandbox.received("converge")}
    assert amounts == {"order-1": 19.99, "order-2": 5.0}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_what_folders_name_is_a_column_of_csv_files_too(house: House, kind: str) -> None:
    for number, (day, currency) in enumerate([("2026-11-20", "EUR"), ("2026-11-21", "USD")]):
        folder = house.folder / f"out/dt={day}/currency={currency}"
        folder.mkdir(parents=True)
        write(house, kind, f"out/dt={day}/currency={currency}/part-0", without(number, "currency"))
    house.to = ["converge"]
    house.import_settings = {"source": {"type": kind, "path": "out/"}, "extra_columns": ["dt"]}
    house.run()
    found = {e["key"]: e["item"]["properties"] for e in house.sandbox.received("converge")}
    assert {key: (each["dt"], each["currency"]) for key, each in found.items()} == {
        "order-0": ("2026-11-20", "EUR"),
        "order-1": ("2026-11-21", "USD"),
    }


def test_what_a_file_says_itself_outweighs_its_folder(house: House) -> None:
    (house.folder / "out/currency=GBP").mkdir(parents=True)
    write(house, "csv", "out/currency=GBP/a", order(1, currency="EUR"))
    house.to = ["converge"]
    house.import_settings = {"source": {"type": "csv", "path": "out/"}}
    house.run()
    assert [e["item"]["properties"]["currency"] for e in house.sandbox.received("converge")] == ["EUR"]


BINS = ["$RECYCLE.BIN", "#recycle", "@Recycle", "@eaDir", "lost+found", "System Volume Information", "CVS"]
KEPT = ["f.csv~", "#h.csv#", "i.csv.swp", "j.csv.download", "k.csv.partial", "l.csv.inprogress"]


def test_what_was_deleted_or_is_being_edited_is_no_data(house: House) -> None:
    for number, folder in enumerate(BINS, 10):
        (house.folder / "out" / folder).mkdir(parents=True)
        house.write([order(number)], f"out/{folder}/a.csv")
    for number, name in enumerate(KEPT, 50):
        house.write([order(number)], f"out/{name}")
    house.write([order(1)], "out/a.csv")
    house.to = ["converge"]
    house.import_settings = {"source": {"type": "csv", "path": "out/"}}
    report = house.run()
    assert sent(house) == {"order-1"}
    assert [each for each in report.warnings if each.code == "files_left_out"] == []
    house.import_settings = {"source": {"type": "csv", "path": "out/*"}}
    assert house.run().by_status("converge") == {"duplicate": 1}
