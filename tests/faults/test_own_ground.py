"""Our own ground failing: a clear stop, nothing recorded as delivered that was not, and the next run completes."""

from __future__ import annotations

import errno
import io
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd
import pytest
import s3fs
import sqlalchemy as sa
from typer.testing import CliRunner

from etl import cli
from etl.ledger import database, open_ledger, recording
from etl.ledger.entries import Entries
from etl.ledger.runs import Runs
from etl.staging import Staging
from tests.conftest import House, order
from tests.faults.bucket import BusyBucket
from tests.vendors import EVERYBODY

KINDS = ["convert", "optimizely"]


def the_next_run_completes(house: House, count: int) -> None:
    house.run()
    for vendor in house.to:
        seen = house.sandbox.counts()[vendor]
        assert seen["counted"] == count, vendor
        assert vendor != "convert" or seen["repeats"] == 0


def command(house: House) -> Any:
    return CliRunner().invoke(cli.app, ["--config", str(house.config.path), "run", "orders"])


@pytest.mark.parametrize("method", ["overwrite_verdicts", "insert"])
def test_a_database_that_restarts_within_a_transaction(house: House, postgres_url: str, method: str) -> None:
    house.ledger_url, house.to = postgres_url, ["optimizely"]
    house.write([order(number) for number in range(20)])
    admin = sa.create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    real = getattr(Entries, method)
    dropped: list[int] = []

    def cut_off(self: Entries, *given: Any) -> Any:
        done = real(self, *given)
        if not dropped:
            dropped.append(_drop_all(admin))
        return done

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Entries, method, cut_off)
        report = house.run()
    admin.dispose()
    assert dropped
    assert report.by_status("optimizely") == {"delivered": 20}
    assert house.sandbox.counts()["optimizely"]["counted"] == 20


def _drop_all(admin: sa.Engine) -> int:
    with admin.connect() as connection:
        asked = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
        return int(connection.exec_driver_sql(asked + "AND datname = current_database()").scalar_one())


@contextmanager
def cutting_off_again_and_again(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """From the moment a run is begun all connections to the database are ended, ten times; how many each time.

    It is asked again sooner than usual, so that ten times are over soon.
    """
    monkeypatch.setattr(database, "RECONNECT_S", (0.05,) * 100)
    admin = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    begun, over = threading.Event(), threading.Event()
    cut: list[int] = []
    open_run = Runs.open

    def begin(self: Runs, **given: Any) -> Any:
        opened = open_run(self, **given)
        begun.set()
        return opened

    def cut_off() -> None:
        begun.wait(60)
        while len(cut) < 10 and not over.wait(0.1):
            ended = _drop_all(admin)
            cut.extend([ended] if ended else [])

    monkeypatch.setattr(Runs, "open", begin)
    thread = threading.Thread(target=cut_off)
    thread.start()
    try:
        yield cut
    finally:
        begun.set()
        over.set()
        thread.join()
        admin.dispose()


@pytest.mark.parametrize("to", [KINDS, EVERYBODY], ids=["two destinations", "every destination"])
def test_a_database_that_ends_all_connections_again_and_again(
    house: House, postgres_url: str, monkeypatch: pytest.MonkeyPatch, to: list[str]
) -> None:
    house.ledger_url, house.to, house.import_settings = postgres_url, to, {"chunk_rows": 20}
    house.overrides = {name: {"limits": {"items": 4, "connections": 1, "spacing_ms": 0}} for name in to}
    house.write([order(number) for number in range(100)])
    with cutting_off_again_and_again(postgres_url, monkeypatch) as cut:
        report = house.run()
    assert len(cut) >= 3, "there was something to end, more than once"
    assert report.run.stop_detail == ""
    assert {name: report.by_status(name) for name in to} == {name: {"delivered": 100} for name in to}
    for name in to:
        seen = house.sandbox.counts()[name]
        assert (seen["counted"], seen["repeats"]) == (100, 0), name


def test_a_ledger_that_is_gone_when_the_answer_comes(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.to = KINDS
    house.write([order(number) for number in range(20)])

    def gone(*_: Any) -> None:
        raise sa.exc.OperationalError("UPDATE", {}, sqlite3.OperationalError("disk I/O error"))

    with monkeypatch.context() as patch:
        patch.setattr(recording, "record", gone)
        told = command(house)
    assert told.exit_code == 2
    assert "does not answer: disk I/O error" in told.stderr
    assert {row["status"] for row in house.results()} == {"unknown"}, "nobody says delivered without having written it"
    house.run()
    assert house.sandbox.counts()["optimizely"]["counted"] == 20
    assert house.sandbox.counts()["convert"]["counted"] == 20
    assert house.sandbox.counts()["convert"]["repeats"] == 0


def test_a_ledger_that_somebody_else_has_locked_is_waited_for(house: House) -> None:
    house.to = ["optimizely"]
    house.write([order(number) for number in range(20)])
    open_ledger(house.config).close()
    blocking = sqlite3.connect(house.folder / "ledger.db", check_same_thread=False, isolation_level=None)
    blocking.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.5, lambda: blocking.execute("COMMIT"))
    timer.start()
    assert house.run().by_status("optimizely") == {"delivered": 20}
    timer.join()
    blocking.close()


DISK: dict[str, Callable[[], Exception]] = {
    "a full disk": lambda: OSError(errno.ENOSPC, "No space left on device"),
    "a bucket that answers 503": lambda: OSError(errno.EIO, "Please reduce your request rate."),
}


@pytest.mark.parametrize("trouble", DISK)
@pytest.mark.parametrize("stage", ["extracted", "conversions", "items/convert"])
def test_staging_that_cannot_be_written(house: House, trouble: str, stage: str) -> None:
    house.to, house.import_settings = KINDS, {"chunk_rows": 10}
    house.write([order(number) for number in range(20)])
    real = Staging.write

    def full(self: Staging, at: str, index: int, rows: Any) -> Any:
        if (at, index) == (stage, 1):
            raise DISK[trouble]()
        return real(self, at, index, rows)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Staging, "write", full)
        told = command(house)
    assert told.exit_code == 2
    assert str(DISK[trouble]().args[1]) in told.stderr
    ((finished, _),) = house.sql("SELECT finished_at_ms, stop_detail FROM runs")
    assert finished is not None
    for vendor in KINDS:
        delivered = [row for row in house.results(destinations=[vendor]) if row["status"] == "delivered"]
        assert len(delivered) == house.sandbox.counts()[vendor]["counted"]
    the_next_run_completes(house, 20)


def test_a_source_that_changes_its_columns_between_two_files(house: House) -> None:
    house.to = KINDS
    house.import_settings = {"source": {"type": "csv", "path": "day-*.csv"}}
    house.write([order(number) for number in range(10)], "day-1.csv")
    house.write([{"order": f"order-{number}", "when": "2026-01-01"} for number in range(10, 20)], "day-2.csv")
    report = house.run()
    assert report.exit_code == 2
    assert "no column for event_id, event_name, occurred_at" in report.run.stop_detail
    assert {name: report.by_status(name) for name in KINDS} == {name: {} for name in KINDS}, "every header comes first"
    house.write([order(number) for number in range(10, 20)], "day-2.csv")
    the_next_run_completes(house, 20)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[BusyBucket]:
    """A bucket that can be busy, asked less patiently than ours: five times as often, each with waits of seconds."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 2)
    with BusyBucket() as running:
        yield running


def forty_in(bucket: BusyBucket, house: House, kind: str) -> None:
    """An import of two files of twenty rows, in four chunks, to a vendor of each kind."""
    for part in (1, 2):
        wide = "x" * 10_000  # else Parquet reads all of a file at once, with its foot
        frame = pd.DataFrame([order(number, title=f"{number}{wide}") for number in range(20 * part, 20 * part + 20)])
        content = io.BytesIO()
        frame.to_csv(content, index=False) if kind == "csv" else frame.to_parquet(
            content, row_group_size=10, compression=None
        )
        bucket.put(f"busy-bucket/{kind}/day-{part}.{kind}", content.getvalue())
    path = f"s3://busy-bucket/{kind}/*.{kind}"
    source = {"type": kind, "path": path, "storage": bucket.storage}
    house.to, house.import_settings = KINDS, {"source": source, "chunk_rows": 10}


BUSY: dict[str, tuple[str, dict[str, int], int]] = {
    "from the first moment": ("csv", {}, 0),
    "before the second file": ("csv", {"skip": 0}, 20),
    "from the first moment, Parquet": ("parquet", {}, 0),
    "before the second file, Parquet": ("parquet", {"skip": 0}, 20),
    "within the second file, Parquet": ("parquet", {"skip": 1}, 20),
}
"""When it begins: kind of file, answers about the second file before (else none at all), rows read by then."""


def busy(bucket: BusyBucket, since: dict[str, int], **how: int) -> None:
    bucket.refuse("day-2" if since else "", **since, **how)


@pytest.mark.parametrize("moment", BUSY)
def test_a_bucket_that_is_busy_for_a_moment_is_waited_for(house: House, bucket: BusyBucket, moment: str) -> None:
    kind, since, _ = BUSY[moment]
    forty_in(bucket, house, kind)
    busy(bucket, since, times=1)
    report = house.run()
    assert bucket.refused == 1
    assert {name: report.by_status(name) for name in KINDS} == {name: {"delivered": 40} for name in KINDS}


@pytest.mark.parametrize("moment", BUSY)
def test_a_bucket_that_stays_busy_is_a_clear_stop(house: House, bucket: BusyBucket, moment: str) -> None:
    kind, since, delivered = BUSY[moment]
    forty_in(bucket, house, kind)
    busy(bucket, since)
    told = command(house)
    assert told.exit_code == 2
    assert 1 <= bucket.refused <= 10, "it was asked again, and not for ever"
    ((finished, why),) = house.sql("SELECT finished_at_ms, stop_detail FROM runs")
    assert finished is not None
    assert re.fullmatch(r"\S+: cannot be read \((Please reduce your request rate|Service Unavailable)\)\.", why)
    assert why in told.stderr
    for vendor in KINDS:
        assert [row["status"] for row in house.results(destinations=[vendor])] == ["delivered"] * delivered
        assert house.sandbox.counts()[vendor]["counted"] == delivered
    bucket.refuse(times=0)
    the_next_run_completes(house, 40)
