"""Floating-point numbers as ids: their digits as far as such a number holds them all, a sentence after that."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from tests.conftest import House, order


def given(house: House, column: str, value: Any, kind: Any, where: str) -> None:
    """One row whose column is typed, in a Parquet file or a table of SQLite."""
    row = {name: text for name, text in order(1).items() if name != column}
    table = pa.Table.from_pylist([row]).append_column(column, pa.array([value], kind))
    if where == "parquet":
        pq.write_table(table, house.folder / "a.parquet")
        house.import_settings = {"source": {"type": "parquet", "path": "a.parquet"}}
        return
    engine = sa.create_engine(url := f"sqlite:///{house.folder}/shop.db")
    with engine.begin() as connection:
        columns = ", ".join(f"{name} {'REAL' if name == column else 'TEXT'}" for name in table.column_names)
        connection.exec_driver_sql(f"CREATE TABLE orders ({columns})")
        places = ", ".join(f":{name}" for name in table.column_names)
        connection.execute(sa.text(f"INSERT INTO orders VALUES ({places})"), table.to_pylist())
    engine.dispose()
    house.import_settings = {"source": {"type": "sql", "url": url, "table": "orders"}}


@pytest.mark.parametrize("where", ["parquet", "database"])
@pytest.mark.parametrize("column", ["event_id", "order_id", "user_id"])
@pytest.mark.parametrize(
    ("value", "expected"),
    [(4711.0, "4711"), (12500000000.0, "12500000000"), (9007199254740992.0, "9007199254740992"), (9.1e15, None)],
    ids=str,
)
def test_a_double_is_an_id_as_far_as_it_is_exact(
    house: House, where: str, column: str, value: float, expected: str | None
) -> None:
    given(house, column, value, pa.float64(), where)
    house.to = ["optimizely"]
    house.run()
    (result,) = house.results()
    if expected is None:
        assert result["reason"] == "inexact_number"
        assert result["detail"].startswith(f"{column}: it is a floating-point number past the whole numbers")
        assert "CAST the column to text" in result["detail"]
        return
    assert result["status"] == "delivered"
    assert f'"{expected}"' in house.sandbox.requests("optimizely")[0]["body"]


@pytest.mark.parametrize(
    ("value", "kind", "reason"),
    [
        (123456789012345678, pa.int64(), ""),
        (1234567890123450, pa.int64(), ""),
    ],
    ids=str,
)
def test_whole_numbers_are_what_they_are(house: House, value: Any, kind: Any, reason: str) -> None:
    given(house, "order_id", value, kind, "parquet")
    house.to = ["converge"]
    house.run()
    (result,) = house.results()
    assert result["reason"] == reason
    if not reason:
        assert f'"id":"{int(value)}"' in house.sandbox.requests("converge")[0]["body"]


@pytest.mark.parametrize("column", ["order_id", "revenue"])
@pytest.mark.parametrize(
    ("value", "kind"), [(16777216.0, pa.float32()), (123456789.0, pa.float32()), (4096.0, pa.float16())], ids=str
)
def test_smaller_types_hold_too_few_digits_to_identify_or_to_be_money(
    house: House, value: Any, kind: Any, column: str
) -> None:
    given(house, column, value, kind, "parquet")
    house.to = ["converge"]
    report = house.run()
    assert report.exit_code == 2
    assert column in report.run.stop_detail
    assert "CAST it to DECIMAL or text" in report.run.stop_detail
    assert house.sandbox.received("converge") == []


def test_a_moment_may_be_a_double_of_milliseconds(house: House) -> None:
    given(house, "occurred_at", 1795168800000.0, pa.float64(), "parquet")
    house.to = ["converge"]
    house.run(clock=lambda: 1795600800000)
    assert house.sandbox.received("converge")[0]["item"]["timestamp"] == "2026-11-20T10:00:00+00:00"


def test_what_is_typed_is_known_after_the_rows_were_staged(house: House) -> None:
    given(house, "revenue", 1.299, pa.float64(), "parquet")
    house.import_settings["columns"] = {"revenue": "revenue"}
    house.to = ["converge"]
    house.run()
    assert house.sandbox.received("converge")[0]["item"]["properties"]["total_price"] == 1.299


@pytest.mark.parametrize("column", ["event_id", "order_id", "user_id"])
@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        pytest.param(Decimal("4711.00"), pa.decimal128(12, 2), "4711", id="Snowflake"),
        pytest.param(Decimal("4711.0000000000"), pa.decimal128(38, 10), "4711", id="Oracle through Spark"),
        pytest.param(Decimal("4711"), pa.decimal128(38, 0), "4711", id="BigQuery NUMERIC"),
        pytest.param(Decimal("1234567890123456789012345678"), pa.decimal128(38, 0), None, id="38 digits"),
        pytest.param(Decimal("4711.50"), pa.decimal128(12, 2), "4711.50", id="no whole number"),
        pytest.param(18446744073709551615, pa.uint64(), "18446744073709551615", id="MySQL BIGINT UNSIGNED"),
    ],
)
def test_a_decimal_is_an_id_whatever_its_scale(
    house: House, column: str, value: Any, kind: Any, expected: str | None
) -> None:
    given(house, column, value, kind, "parquet")
    house.to = ["optimizely"]
    house.run()
    assert [row["status"] for row in house.results()] == ["delivered"]
    assert f'"{expected or value}"' in house.sandbox.requests("optimizely")[0]["body"]


@pytest.mark.parametrize(
    ("value", "kind"), [(0, pa.int64()), (False, pa.bool_()), (float("nan"), pa.float64()), (-1, pa.int32())], ids=str
)
def test_a_guest_is_nobody_by_any_type(house: House, value: Any, kind: Any) -> None:
    given(house, "user_id", value, kind, "parquet")
    house.to = ["optimizely"]
    house.run()
    assert '"visitor_id":"anon-1"' in house.sandbox.requests("optimizely")[0]["body"]


def test_an_id_that_was_sent_with_its_zeros_is_known_under_them(house: House) -> None:
    """What an earlier version sent as 4711.00 is no other conversion now."""
    house.write([order(1, event_id="4711.00")])
    house.to = ["optimizely"]
    house.import_settings = {"spreadsheet": False}
    house.run()
    house.import_settings = {}
    given(house, "event_id", Decimal("4711.00"), pa.decimal128(12, 2), "parquet")
    assert house.run().by_status("optimizely") == {"duplicate": 1}
