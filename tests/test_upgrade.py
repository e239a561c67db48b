"""Upgrading a ledger of the version before: what it says afterwards, and what happens on the way."""

from __future__ import annotations

import shutil
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from etl.errors import LedgerError
from etl.ledger import Ledger, upgrade

NOW_MS = 1_800_000_000_000


@pytest.fixture
def before(ledger_url: str, tmp_path: Path) -> Iterator[sa.Engine]:
    """A ledger as version 0001 wrote it: two runs, with a key held, one let go, one doubtful and repeats of all."""
    engine = sa.create_engine(ledger_url)
    with engine.begin() as connection:
        _to(connection, "0001")
        for statement in STATEMENTS:
            connection.execute(sa.text(statement))
    yield engine
    engine.dispose()


def _to(connection: sa.Connection, version: str) -> None:
    import alembic.config

    config = alembic.config.Config()
    config.set_main_option("script_location", str(Path(upgrade.__file__).parents[1] / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    alembic.command.upgrade(config, version)


def _entry(run: int, row: int, event: str, status: str, reason: str, held: int, batch: str | None, at: int) -> str:
    detail = f"{status} {reason}".strip() if reason else ""
    request = f"'{batch}'" if batch else "NULL"
    values = f"{run}, 'convert', {row}, '{event}', 'purchase', '{status}', '{reason}', '{detail}', {held}"
    return (
        "INSERT INTO entries (run_no, destination, row_number, event_id, event_name, status, reason, detail, held, "
        f"batch_id, fingerprint, recorded_at_ms) VALUES ({values}, {request}, {row}, {at})"
    )


STATEMENTS = [
    *(
        "INSERT INTO runs (run_id, kind, import_name, source, started_at_ms, finished_at_ms, lease_until_ms, "
        f"stop_detail) VALUES ('run-{n}', 'import', 'orders', 'o.csv', {n}, {n + 1}, 5, '')"
        for n in (1, 2)
    ),
    *(f"INSERT INTO run_destinations (run_no, destination, rows_read) VALUES ({n}, 'convert', 6)" for n in (1, 2)),
    "INSERT INTO batches (batch_id, run_no, destination, items, bytes, http_status, attempts, sent_at_ms, "
    "answered_at_ms) VALUES ('b-1', 1, 'convert', 2, 99, 200, 1, 1000, 2000)",
    _entry(1, 1, "a", "delivered", "", 1, "b-1", 2000),
    _entry(1, 2, "b", "delivered", "stale", 1, "b-1", 2000),
    _entry(1, 3, "c", "failed", "http_503", 0, None, 2001),
    _entry(1, 4, "d", "unknown", "no_answer", 1, None, 2002),
    _entry(1, 5, "", "rejected", "missing_event_id", 0, None, 1999),
    _entry(1, 6, "a", "rejected", "duplicate_event_id", 0, None, 1999),
    _entry(2, 1, "a", "duplicate", "already_delivered", 0, None, 3000),
    _entry(2, 2, "b", "duplicate", "already_delivered", 0, None, 3000),
    _entry(2, 3, "c", "refused", "http_400", 0, None, 3001),
    _entry(2, 4, "d", "unknown", "waiting_for_a_person", 0, None, 3000),
    _entry(2, 5, "", "rejected", "missing_event_id", 0, None, 2999),
    _entry(2, 6, "f", "skipped", "not_wanted", 0, None, 2999),
]
OF_BEFORE = (
    "run_id, import, destination, source, row_number, event_id, event_name, status, reason, detail, batch_id, "
    "http_status, attempts, sent_at, recorded_at"
)


def said(engine: sa.Engine) -> dict[str, list[Any]]:
    """What the views say, without what is new in them."""
    with engine.connect() as connection:
        return {
            view: sorted(tuple(map(str, row)) for row in connection.execute(sa.text(f"SELECT {OF_BEFORE} FROM {view}")))
            for view in ("result_history", "results", "dead_letters")
        }


def test_what_a_ledger_said_it_says(before: sa.Engine, ledger_url: str) -> None:
    told = said(before)
    with Ledger(ledger_url) as ledger:
        ledger.upgrade()
        assert said(before) == told
        assert ledger.results.counts(1)["convert"] == {
            ("delivered", ""): 1,
            ("delivered", "stale"): 1,
            ("failed", "http_503"): 1,
            ("unknown", "no_answer"): 1,
            ("rejected", "missing_event_id"): 1,
            ("rejected", "duplicate_event_id"): 1,
        }
        assert ledger.results.delivered_by("convert", ["a", "b", "c", "d"]) == {"a": "run-1", "b": "run-1"}


def test_an_upgrade_that_is_interrupted_has_not_happened_and_is_begun_again(
    before: sa.Engine, ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = said(before)
    real = upgrade._migrate

    def cut_off(connection: sa.Connection) -> None:
        real(connection)
        raise KeyboardInterrupt

    with Ledger(ledger_url) as ledger:
        for _ in range(2):
            with monkeypatch.context() as patch:
                patch.setattr(upgrade, "_migrate", cut_off)
                with pytest.raises(KeyboardInterrupt):
                    ledger.upgrade()
            assert said(before) == told
        ledger.upgrade()
        assert said(before) == told


def test_it_waits_for_the_end_of_a_run(before: sa.Engine, ledger_url: str) -> None:
    with before.begin() as connection:
        connection.execute(sa.text(f"UPDATE runs SET finished_at_ms = NULL, lease_until_ms = {NOW_MS + 1}"))
    told = said(before)
    with (
        Ledger(ledger_url, lease_clock=lambda: NOW_MS) as ledger,
        pytest.raises(LedgerError, match="run-1 is still going"),
    ):
        ledger.upgrade()
    assert said(before) == told
    with Ledger(ledger_url, lease_clock=lambda: NOW_MS + 1) as ledger:
        ledger.upgrade()


def test_a_ledger_in_a_file_is_copied_and_upgraded_by_the_next_run(before: sa.Engine, ledger_url: str) -> None:
    if ledger_url.startswith("postgresql"):
        with Ledger(ledger_url) as ledger, pytest.raises(LedgerError, match="conversions ledger upgrade"):
            ledger.open()
        return
    told = said(before)
    with Ledger(ledger_url).open():
        assert said(before) == told
    copy = Path(f"{sa.make_url(ledger_url).database}.before-0001-upgrade")
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with sqlite3.connect(copy) as connection:
        assert connection.execute("SELECT count(*) FROM entries WHERE held = 1").fetchone() == (3,)


def test_where_there_is_no_room_for_it_nothing_is_begun(
    before: sa.Engine, ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if ledger_url.startswith("postgresql"):
        return  # a server has a disk of its own
    told = said(before)
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with Ledger(ledger_url) as ledger, pytest.raises(LedgerError, match="of free space beside it; there are 0 MB"):
        ledger.open()
    assert said(before) == told
