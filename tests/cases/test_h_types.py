"""H: files that differ in columns and nullability, bits and rough numbers of databases, bytes that nobody uses; K2."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from etl.report import Report
from tests.conftest import House, order


def write(path: Path, rows: list[dict[str, Any]], schema: pa.Schema | None = None, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema), path, **options)


def parquet(house: House, path: str = "*.parquet", **settings: Any) -> Report:
    house.to = ["converge"]
    house.overrides = {"converge": {"aliases_from": ["user_id"]}}
    house.import_settings = {"source": {"type": "parquet", "path": path}, **settings}
    return house.run()


def sent(house: House) -> dict[str, dict[str, Any]]:
    return {entry["key"]: entry["item"] for entry in house.sandbox.received("converge")}


def warned(report: Report) -> list[tuple[str, str, int]]:
    return [(warning.code, warning.column, warning.rows) for warning in report.warnings]


def schema_of(row: dict[str, Any], *required: str) -> pa.Schema:
    return pa.schema([pa.field(name, pa.string(), nullable=name not in required) for name in row])


# -- H1


def test_files_may_differ_in_what_may_be_null(house: House) -> None:
    write(house.folder / "1.parquet", [order(1)], schema_of(order(1), "event_id", "event_name"))
    write(house.folder / "2.parquet", [order(2)], schema_of(order(2)))
    write(house.folder / "3.parquet", [order(3)], schema_of(order(3), "user_id"))
    report = parquet(house)
    assert (report.exit_code, report.warnings) == (0, [])
    assert set(sent(house)) == {"order-1", "order-2", "order-3"}


def test_what_a_file_lacks_is_empty_in_any_order_of_columns(house: House) -> None:
    first = order(1)
    second = {name: value for name, value in reversed(order(2).items()) if name not in ("revenue", "currency")}
    write(house.folder / "1.parquet", [first])
    write(house.folder / "2.parquet", [second])
    report = parquet(house)
    assert report.by_status("converge") == {"delivered": 2}
    assert "19.99" in str(sent(house)["order-1"])
    assert "19.99" not in str(sent(house)["order-2"])
    assert sorted(warned(report)) == [("column_lacking", "currency", 1), ("column_lacking", "revenue", 1)]


def test_a_mapped_column_may_be_lacking_in_one_of_several_files(house: House) -> None:
    write(house.folder / "1.parquet", [order(1)])
    write(house.folder / "2.parquet", [{**order(2), "Total net": "7.50"}])
    report = parquet(house, columns={"revenue": "Total net"})
    assert report.run.stop_detail in (None, "")
    assert report.by_status("converge") == {"delivered": 2}
    assert "7.5" in str(sent(house)["order-2"])


def test_a_file_without_an_id_is_named(house: House) -> None:
    write(house.folder / "a.parquet", [order(1)])
    write(house.folder / "b.parquet", [{name: value for name, value in order(2).items() if name != "event_id"}])
    report = parquet(house)
    assert report.exit_code == 2
    assert report.run.stop_detail.startswith("b.parquet: no column for event_id")
    assert sent(house) == {}, "every header is judged before anything is sent"


TYPES: dict[str, tuple[Any, Any]] = {
    "a number and its text": (pa.array([7]), pa.array(["7"])),
    "whole numbers, and what pandas makes of them with gaps": (pa.array([7]), pa.array([7.0])),
    "decimals of two scales": (pa.array([Decimal("1.5")]), pa.array([Decimal("1.500")])),
    "nothing and text": (pa.nulls(1), pa.array(["x"])),
    "a dictionary and text": (pa.array(["x"]).dictionary_encode(), pa.array(["x"])),
}


@pytest.mark.parametrize("types", TYPES.values(), ids=TYPES)
def test_types_that_meet_are_read_as_text(house: House, types: tuple[Any, Any]) -> None:
    for number, values in enumerate(types):
        table = pa.Table.from_pylist([order(number)]).append_column("note", values)
        pq.write_table(table, house.folder / f"{number}.parquet")
    assert parquet(house).by_status("converge") == {"delivered": 2}


@pytest.mark.parametrize("nested", [[{"amount": "1"}], [["1"]]], ids=["a struct", "a list"])
def test_types_that_cannot_meet_stop_and_name_file_and_column(house: House, nested: list[Any]) -> None:
    write(house.folder / "a.parquet", [order(1)])
    table = pa.Table.from_pylist([order(2)]).drop_columns("revenue").append_column("revenue", pa.array(nested))
    pq.write_table(table, house.folder / "b.parquet")
    report = parquet(house)
    assert report.exit_code == 2
    assert report.run.stop_detail.startswith("b.parquet: revenue is ")
    assert sent(house) == {}


# -- H3


def in_mariadb(house: House, url: str, columns: str, values: str, **source: Any) -> Report:
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    row = {name: value for name, value in order(1).items() if name in ("event_name", "occurred_at", "user_id")}
    with engine.begin() as connection:
        connection.exec_driver_sql(
            f"CREATE TABLE t (event_id TEXT, event_name TEXT, occurred_at TEXT, user_id TEXT, {columns})"
        )
        connection.execute(
            sa.text(f"INSERT INTO t VALUES ('order-1', :event_name, :occurred_at, :user_id, {values})"), row
        )
    house.to = ["converge"]
    house.overrides = {"converge": {"aliases_from": ["user_id"]}}
    house.import_settings = {"source": {"type": "sql", "url": url, **({"table": "t"} | source)}}
    return house.run()


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("BIT(1)", "b'1'", "true"),
        ("BIT(1)", "b'0'", "false"),
        ("BIT(1)", "NULL", None),
        ("BIT(12)", "b'100000001'", "257"),
    ],
)
def test_bits_are_truth_or_a_number(
    house: House, mariadb_url: str, kind: str, value: str, expected: str | None
) -> None:
    report = in_mariadb(house, mariadb_url, f"order_id {kind}", value)
    assert report.by_status("converge") == {"delivered": 1}
    assert expected is None or expected in str(sent(house)["order-1"])


@pytest.mark.parametrize("column", ["revenue", "order_id", "phone"])
def test_a_rough_number_neither_identifies_nor_is_money(house: House, mariadb_url: str, column: str) -> None:
    report = in_mariadb(house, mariadb_url, f"{column} FLOAT", "123456789")
    assert report.exit_code == 2
    assert f"{column}, which is {column}, is of a floating-point type of 32 bits" in report.run.stop_detail
    assert "CAST it" in report.run.stop_detail
    assert sent(house) == {}


def test_a_rough_number_that_is_cast_or_counts_is_read(house: House, mariadb_url: str) -> None:
    query = (
        "SELECT event_id, event_name, occurred_at, user_id, CAST(x AS DECIMAL(12,2)) AS revenue, y AS quantity FROM t"
    )
    report = in_mariadb(house, mariadb_url, "x FLOAT, y FLOAT", "20, 2", table="", query=query)
    assert report.by_status("converge") == {"delivered": 1}


def test_a_rough_number_of_postgresql_is_refused_like_one_of_parquet(house: House, postgres_url: str) -> None:
    house.to = ["converge"]
    house.overrides = {"converge": {"aliases_from": ["user_id"]}}
    query = "SELECT 'a' AS event_id, 'b' AS event_name, now() AS occurred_at, 1.5\\:\\:float4 AS revenue"
    house.import_settings = {"source": {"type": "sql", "url": postgres_url, "query": query}}
    assert "CAST it" in house.run().run.stop_detail
    table = pa.Table.from_pylist([order(1)]).drop_columns("revenue")
    table = table.append_column("revenue", pa.array([19.99], pa.float32()))
    pq.write_table(table, house.folder / "a.parquet")
    report = parquet(house)
    assert "revenue, which is revenue, is of a floating-point type of 32 bits" in report.run.stop_detail


# -- H4


def test_bytes_that_nobody_uses_are_left_out_and_those_that_are_used_reject(house: House) -> None:
    rows = [{**order(1), "geom": b"\xff\xfe"}, {**order(2), "geom": b"\x80"}]
    write(house.folder / "a.parquet", rows)
    report = parquet(house)
    assert report.by_status("converge") == {"delivered": 2}
    assert ("bytes_left_out", "geom", 2) in warned(report)
    report = parquet(house, columns={"order_id": "geom"})
    assert report.counts["converge"] == {("rejected", "not_text"): 2}


def test_bytes_of_a_database_that_nobody_uses_are_left_out(house: House, mariadb_url: str) -> None:
    report = in_mariadb(house, mariadb_url, "picture BLOB", "x'ff00'")
    assert report.by_status("converge") == {"delivered": 1}
    assert ("bytes_left_out", "picture", 1) in warned(report)


# -- K2


@pytest.mark.parametrize("timezone", [None, "UTC", "Europe/Berlin"])
def test_int96_is_utc_as_spark_writes_it(house: House, timezone: str | None) -> None:
    at = datetime.fromisoformat(order(1)["occurred_at"]).replace(tzinfo=None)
    table = pa.Table.from_pylist([order(1)]).drop_columns("occurred_at")
    table = table.append_column("occurred_at", pa.array([np.datetime64(at, "ns")], pa.timestamp("ns")))
    pq.write_table(table, house.folder / "a.parquet", use_deprecated_int96_timestamps=True)
    report = parquet(house, **({"timezone": timezone} if timezone else {}))
    assert report.by_status("converge") == {"delivered": 1}
    assert f"{at:%Y-%m-%dT%H:%M:%S}" in str(sent(house)["order-1"]) or str(int(at.timestamp())) in str(sent(house))
    assert [code for code, _, _ in warned(report)] == (["int96_is_utc"] if timezone == "Europe/Berlin" else [])


def test_moments_of_int96_beyond_nanoseconds_are_not_wrapped_round(house: House) -> None:
    rows = [{**order(1), "valid_until": datetime(9999, 12, 31)}]
    schema = pa.schema([*schema_of(order(1)), pa.field("valid_until", pa.timestamp("us"))])
    write(house.folder / "a.parquet", rows, schema, use_deprecated_int96_timestamps=True)
    assert parquet(house).by_status("converge") == {"delivered": 1}


# -- the header is judged with zero rows, too


def test_a_query_without_rows_is_judged_by_its_columns(house: House) -> None:
    house.import_settings = {
        "source": {"type": "sql", "url": f"sqlite:///{house.folder}/crm.db", "query": "SELECT id, what FROM t"}
    }
    engine = sa.create_engine(f"sqlite:///{house.folder}/crm.db", poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (id TEXT, what TEXT)")
    report = house.run()
    assert report.exit_code == 2
    assert "no column for event_id, event_name, occurred_at" in report.run.stop_detail
    house.import_settings["source"]["query"] = "SELECT id AS event_id, what AS event_name, 1 AS occurred_at FROM t"
    assert house.run().exit_code == 0
