"""A ledger behind PgBouncer in transaction mode: each transaction may be another session of the server."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from etl import pipeline
from tests import pgbouncer
from tests.conftest import House, order


def test_a_ledger_behind_a_pooler(house: House, postgres_url: str) -> None:
    house.to = ["convert", "kameleoon", "converge"]
    house.import_settings = {"chunk_rows": 20}
    house.write([order(number) for number in range(200)])
    with pgbouncer.before(postgres_url) as house.ledger_url:
        loaded = house.config
        with ThreadPoolExecutor(3) as runs:
            reports = list(runs.map(lambda _: pipeline.run(loaded, "orders"), range(3)))
        assert {report.exit_code for report in reports} == {0}
        assert [report.exit_code for report in house.retry()] == []
        assert {row["status"] for row in house.results()} <= {"delivered", "duplicate"}
        for name in house.to:
            assert sum(report.by_status(name).get("delivered", 0) for report in reports) == 200
            assert house.sandbox.counts()[name]["counted"] == 200
            assert house.sandbox.counts()[name]["repeats"] == 0
