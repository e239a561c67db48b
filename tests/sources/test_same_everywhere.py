"""The same thousand conversions from every kind of source: every vendor receives the same bytes, item by item."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from etl.sandbox import Sandbox
from tests.conftest import House
from tests.vendors import EVERYBODY

COUNT = 1000
BUCKET = "same-everywhere"


def conversions() -> list[dict[str, Any]]:
    """Typed as a database would have them: long ids, exact money, awkward text, nulls."""
    noon = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    rows = []
    for n in range(COUNT):
        at = noon - timedelta(minutes=n, milliseconds=n % 1000)
        row = {
            "event_id": f"{n:06d}",
            "event_name": "Order Completed",
            "occurred_at": at,
            "user_id": 9_000_000_000_000_000_001 + n,
            "anonymous_id": f"anon {n}",
            "revenue": None if n % 10 == 3 else Decimal(n * 10).scaleb(-2),
            "currency": "EUR",
            "order_id": f"Größe-{n}",
            "quantity": None if n % 7 == 0 else n % 5 + 1,
            "aliases": f"urn:user_id:{n}",
            "properties": json.dumps({"note": 'ä, "b"; c|d\te€', "rate": n}, ensure_ascii=False),
            "kameleoon_visitor_code": f"code{n}",
            "kameleoon_goal_id": 36151,
            "remark": None if n % 3 else f'zwei\nZeilen, "ü"; {n}|\t€',
            "day": f"{at:%Y-%m-%d}",
        }
        rows.append(row)
    return rows


@dataclass
class Place:
    """Where a source may be made: the import's folder, a bucket, and servers for those that ask."""

    house: House
    storage: dict[str, str]
    request: pytest.FixtureRequest

    @property
    def s3(self) -> Any:
        return fsspec.filesystem("s3", **self.storage)


def table(rows: list[dict[str, Any]], delimiter: str) -> str:
    """The rows as a CSV file has them."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    for row in rows:
        writer.writerow(row | {"occurred_at": row["occurred_at"].isoformat()})
    return out.getvalue()


def csv_in(encoding: str, delimiter: str, *, declared: bool = True) -> Callable[[Place, list[dict[str, Any]]], Any]:
    def make(place: Place, rows: list[dict[str, Any]]) -> Any:
        (place.house.folder / "orders.csv").write_bytes(table(rows, delimiter).encode(encoding))
        says = {"encoding": encoding, "delimiter": delimiter} if declared else {}
        return {"type": "csv", "path": "orders.csv", **says}

    return make


def gzip_in_a_bucket(place: Place, rows: list[dict[str, Any]]) -> Any:
    place.s3.pipe(f"{BUCKET}/orders.csv.gz", gzip.compress(table(rows, ",").encode()))
    return {"type": "csv", "path": f"s3://{BUCKET}/orders.csv.gz", "storage": place.storage}


KINDS = {
    "occurred_at": pa.timestamp("ms", "Europe/Berlin"),
    "user_id": pa.int64(),
    "revenue": pa.decimal128(12, 2),
    "quantity": pa.int32(),
    "kameleoon_goal_id": pa.int64(),
}


def parquet_in_a_bucket(place: Place, rows: list[dict[str, Any]]) -> Any:
    """Partitioned by day, two files a day; what repeats is in a dictionary."""
    for day in sorted({row["day"] for row in rows}):
        of_day = [row for row in rows if row["day"] == day]
        for part, some in enumerate((of_day[::2], of_day[1::2])):
            columns = {
                name: pa.array([row[name] for row in some], KINDS.get(name, pa.string()))
                for name in rows[0]
                if name != "day"
            }
            columns["currency"] = columns["currency"].dictionary_encode()
            local = place.house.folder / "part.parquet"
            pq.write_table(pa.table(columns), local, row_group_size=100)
            place.s3.put_file(str(local), f"{BUCKET}/orders/day={day}/part-{part}.parquet")
    return {"type": "parquet", "path": f"s3://{BUCKET}/orders", "storage": place.storage}


SQL_KINDS = {
    "sqlite": {},
    "postgresql": {"occurred_at": "TIMESTAMPTZ", "revenue": "NUMERIC(12,2)", "properties": "JSON"},
    "mariadb": {"occurred_at": "TIMESTAMP(3) NULL", "revenue": "DECIMAL(12,2)"},
}


def written(value: Any) -> str | None:
    """As a database without such a type keeps it."""
    return value.isoformat() if isinstance(value, datetime) else value if value is None else str(value)


def sql_in(kind: str) -> Callable[[Place, list[dict[str, Any]]], Any]:
    def make(place: Place, rows: list[dict[str, Any]]) -> Any:
        if kind == "sqlite":
            url = f"sqlite:///{place.house.folder}/crm.db"
            rows = [row | {name: written(row[name]) for name in ("occurred_at", "revenue")} for row in rows]
        else:
            url = place.request.getfixturevalue("postgres_url" if kind == "postgresql" else "mariadb_url")
        kinds = dict.fromkeys(("user_id", "quantity", "kameleoon_goal_id"), "BIGINT") | SQL_KINDS[kind]
        engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
        with engine.begin() as connection:
            if kind == "mariadb":
                connection.exec_driver_sql("SET time_zone = '+00:00'")
            columns = ", ".join(f"{name} {kinds.get(name, 'TEXT')}" for name in rows[0])
            connection.exec_driver_sql(f"CREATE TABLE crm_orders ({columns})")
            places = ", ".join(f":{name}" for name in rows[0])
            connection.execute(sa.text(f"INSERT INTO crm_orders ({', '.join(rows[0])}) VALUES ({places})"), rows)
        return {"type": "sql", "url": url, "table": "crm_orders"}

    return make


SOURCES: dict[str, Callable[[Place, list[dict[str, Any]]], Any]] = {
    "csv, UTF-8 with BOM, semicolon": csv_in("utf-8-sig", ";"),
    "csv, UTF-16, tab": csv_in("utf-16", "\t"),
    "csv, Windows-1252, pipe": csv_in("cp1252", "|"),
    "csv, nothing declared": csv_in("utf-8", ";", declared=False),
    "gzip csv in a bucket": gzip_in_a_bucket,
    "partitioned parquet in a bucket": parquet_in_a_bucket,
    "SQLite": sql_in("sqlite"),
    "PostgreSQL": sql_in("postgresql"),
    "MariaDB": sql_in("mariadb"),
}


@pytest.fixture(scope="module")
def storage() -> Iterator[dict[str, str]]:
    """A bucket on localhost: how to get at it."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    found = {"endpoint_url": f"http://127.0.0.1:{server.get_host_and_port()[1]}", "key": "k", "secret": "s"}
    fsspec.filesystem("s3", **found).mkdir(BUCKET)
    yield found
    server.stop()


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return conversions()


@pytest.fixture(scope="module")
def expected(rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What each vendor receives from the plainest source: a UTF-8 file with commas."""
    with Sandbox() as sandbox:
        house = House(tmp_path_factory.mktemp("plain"), sandbox)
        (house.folder / "orders.csv").write_text(table(rows, ","), encoding="utf-8", newline="")
        assert house.run().exit_code == 0
        return {vendor: items(sandbox, vendor) for vendor in EVERYBODY}


def items(sandbox: Sandbox, vendor: str) -> list[str]:
    """Every item a vendor was sent, as it was written in the request's body; sorted, for batches may differ."""
    found: list[str] = []
    for request in sandbox.requests(vendor):
        body = request["body"]
        found += [body] if vendor in ("converge", "webflow_optimize") else elements(body, body.index("["))
    return sorted(found)


def elements(text: str, start: int) -> Iterator[str]:
    """The elements of the JSON array that begins at ``start``, each as it is written."""
    place = start + 1
    while text[place - 1] != "]":
        _, end = json.JSONDecoder().raw_decode(text, place)
        yield text[place:end]
        place = end + 1


def test_an_array_is_split_as_written() -> None:
    assert list(elements('{"a":[{"x":1.10},{"y":[ 2 ]}],"b":[3]}', 5)) == ['{"x":1.10}', '{"y":[ 2 ]}']


@pytest.mark.parametrize("kind", SOURCES)
def test_the_same_conversions_are_the_same_bytes(
    kind: str,
    house: House,
    storage: dict[str, str],
    rows: list[dict[str, Any]],
    expected: dict[str, list[str]],
    request: pytest.FixtureRequest,
) -> None:
    house.import_settings = {"source": SOURCES[kind](Place(house, storage, request), rows), "chunk_rows": 300}
    report = house.run()
    assert {name: report.by_status(name) for name in EVERYBODY} == {name: {"delivered": COUNT} for name in EVERYBODY}
    for vendor in EVERYBODY:
        received = items(house.sandbox, vendor)
        assert len(received) == COUNT
        assert received == expected[vendor], vendor
