"""Runs: what was begun, by whom, how far it came and why it stopped; and how far incremental sources have been read."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from etl.errors import LedgerError
from etl.ledger.database import Database, parts, retry_on_disconnect
from etl.ledger.tables import batches, entries, run_destinations, runs, watermarks
from etl.ledger.values import RunInfo, Stop, now_ms

LEASE_MS = 15 * 60_000
"""How long a run's claims stand without a sign of life."""


class Runs(Database):
    """The part of the ledger that speaks of runs."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._lease_written: dict[int, int] = {}

    def open_run(
        self,
        *,
        kind: str,
        import_name: str,
        source: str,
        destinations: Iterable[str],
        window_ms: tuple[int | None, int | None] = (None, None),
        retry_of: str | None = None,
    ) -> RunInfo:
        """Write a new run down and name it."""
        at = now_ms()
        run_id = f"{datetime.fromtimestamp(at / 1000, UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
        values = {
            "run_id": run_id,
            "kind": kind,
            "import_name": import_name,
            "source": source,
            "window_start_ms": window_ms[0],
            "window_end_ms": window_ms[1],
            "started_at_ms": at,
            "lease_until_ms": at + LEASE_MS,
            "retry_of": retry_of,
            "stop_detail": "",
        }
        with self._writing() as connection:
            run_no = connection.execute(sa.insert(runs).values(values).returning(runs.c.run_no)).scalar_one()
            rows = [{"run_no": run_no, "destination": d, "stop_reason": "", "stop_detail": ""} for d in destinations]
            connection.execute(sa.insert(run_destinations), rows)
        return self.run(run_id)

    @retry_on_disconnect
    def run(self, run_id: str) -> RunInfo:
        """A run by its id; raises LedgerError when there is none."""
        found = self.find_run(run_id)
        if found is None:
            raise LedgerError(f"There is no run {run_id} in this ledger; `conversions results --run all` lists them.")
        return found

    def find_run(self, run_id: str) -> RunInfo | None:
        """A run by its id; None when there is none, or none any more."""
        found = self._runs_where(runs.c.run_id == run_id)
        return found[0] if found else None

    def retries(self, run_id: str) -> list[RunInfo]:
        """The ended runs that sent again what a run had left, oldest first; not those that found nothing staged."""
        some = sa.exists().where(entries.c.run_no == runs.c.run_no)
        return self._runs_where((runs.c.retry_of == run_id) & runs.c.finished_at_ms.is_not(None) & some)

    def first_run(self, run_id: str) -> RunInfo:
        """A run or, when it has been pruned, the oldest of those that repeated it. Raises LedgerError."""
        kin = self._runs_where((runs.c.run_id == run_id) | (runs.c.retry_of == run_id))
        return kin[0] if kin else self.run(run_id)

    def latest_runs(self, import_name: str | None = None) -> list[RunInfo]:
        """The latest run of each import (or of one)."""
        newest = sa.select(sa.func.max(runs.c.run_no)).group_by(runs.c.import_name)
        if import_name is not None:
            newest = newest.where(runs.c.import_name == import_name)
        return self._runs_where(runs.c.run_no.in_(newest))

    def all_runs(self, import_name: str | None = None) -> list[RunInfo]:
        """Every run, oldest first."""
        return self._runs_where(sa.true() if import_name is None else runs.c.import_name == import_name)

    def _runs_where(self, condition: sa.ColumnElement[bool]) -> list[RunInfo]:
        with self._reading() as connection:
            rows = connection.execute(sa.select(runs).where(condition).order_by(runs.c.run_no)).mappings().all()
        return [_run_info(row) for row in rows]

    @retry_on_disconnect
    def destinations(self, run_no: int) -> list[str]:
        """The destinations of a run."""
        asked = sa.select(run_destinations.c.destination).where(run_destinations.c.run_no == run_no)
        with self._reading() as connection:
            return sorted(connection.execute(asked).scalars())

    @retry_on_disconnect
    def record_rows_read(self, run_no: int, rows: Mapping[str, int]) -> None:
        """Note how many rows each destination was offered; the sum is checked against it."""
        with self._writing() as connection:
            for destination, count in rows.items():
                connection.execute(_of(run_destinations, run_no, destination).values(rows_read=count))

    @retry_on_disconnect
    def rows_read(self, run_no: int) -> dict[str, int | None]:
        """Per destination: rows read, as noted by `rows_read`."""
        asked = sa.select(run_destinations.c.destination, run_destinations.c.rows_read).where(
            run_destinations.c.run_no == run_no
        )
        with self._reading() as connection:
            return {row.destination: row.rows_read for row in connection.execute(asked)}

    @retry_on_disconnect
    def stop_destination(self, run_no: int, destination: str, stop: Stop) -> None:
        """Note why a destination takes nothing more in this run; the first reason stays."""
        change = _of(run_destinations, run_no, destination).where(run_destinations.c.stop_reason == "")
        with self._writing() as connection:
            connection.execute(change.values(stop_reason=stop.reason, stop_detail=stop.detail))

    @retry_on_disconnect
    def stops(self, run_no: int) -> dict[str, Stop]:
        """The destinations that stopped in this run, and why."""
        asked = sa.select(run_destinations).where(
            run_destinations.c.run_no == run_no, run_destinations.c.stop_reason != ""
        )
        with self._reading() as connection:
            rows = connection.execute(asked).all()
        return {row.destination: Stop(row.stop_reason, row.stop_detail) for row in rows}

    def is_alive(self, run_id: str) -> bool:
        """True while a run has not ended and gives signs of life."""
        asked = sa.select(runs.c.finished_at_ms, runs.c.lease_until_ms).where(runs.c.run_id == run_id)
        with self._reading() as connection:
            row = connection.execute(asked).first()
        return row is not None and row.finished_at_ms is None and row.lease_until_ms > now_ms()

    @retry_on_disconnect
    def renew_lease(self, run_no: int) -> None:
        """The run goes on, although it claims nothing for a while."""
        with self._writing() as connection:
            self._sign_of_life(connection, run_no, now_ms())

    def _sign_of_life(self, connection: sa.Connection, run_no: int, at: int) -> None:
        if at - self._lease_written.get(run_no, 0) > LEASE_MS // 15:
            connection.execute(sa.update(runs).where(runs.c.run_no == run_no).values(lease_until_ms=at + LEASE_MS))
            self._lease_written[run_no] = at

    def reopen_run(self, run_no: int) -> None:
        """A run that ended before its time goes on."""
        change = sa.update(runs).where(runs.c.run_no == run_no)
        with self._writing() as connection:
            connection.execute(change.values(finished_at_ms=None, stop_detail="", lease_until_ms=now_ms() + LEASE_MS))

    @retry_on_disconnect
    def finish_run(self, run_no: int, stop_detail: str = "") -> None:
        """The run is over; its claims lapse."""
        change = sa.update(runs).where(runs.c.run_no == run_no)
        with self._writing() as connection:
            connection.execute(change.values(finished_at_ms=now_ms(), stop_detail=stop_detail))

    def prune(self, before_ms: int) -> dict[str, int]:
        """Forget what runs begun before ``before_ms`` (epoch ms) wrote down; rows deleted per table.

        Never forgotten, however old: an entry that holds its key. That is every delivered conversion, so that none is
        ever sent twice, and every doubtful one, because a person may still decide on it. Each is one row of its run,
        which stays too. Rejected, refused, failed, skipped and duplicate rows go, and so do all batches (status and
        attempts of requests). The latest run of each import and runs that may still be alive are left alone.
        """
        newest = sa.select(sa.func.max(runs.c.run_no)).group_by(runs.c.import_name)
        over = runs.c.finished_at_ms.is_not(None) | (runs.c.lease_until_ms < now_ms())
        old = sa.select(runs.c.run_no).where(runs.c.started_at_ms < before_ms, over, runs.c.run_no.not_in(newest))
        with self._writing() as connection:
            numbers = list(connection.execute(old).scalars())
            done: dict[str, int] = {"runs": 0, "entries": 0, "batches": 0}
            for part in parts(numbers):
                mine = self._in(entries.c.run_no, part) & (entries.c.held == 0)
                done["entries"] += connection.execute(sa.delete(entries).where(mine)).rowcount
                done["batches"] += self._forget(connection, batches, part)
                left = sa.select(entries.c.run_no).where(self._in(entries.c.run_no, part)).distinct()
                kept = set(connection.execute(left).scalars())
                empty = [number for number in part if number not in kept]
                self._forget(connection, run_destinations, empty)
                done["runs"] += self._forget(connection, runs, empty)
        return done

    def _forget(self, connection: sa.Connection, table: sa.Table, run_nos: Sequence[int]) -> int:
        if not run_nos:
            return 0
        return int(connection.execute(sa.delete(table).where(self._in(table.c.run_no, run_nos))).rowcount)

    @retry_on_disconnect
    def watermark(self, import_name: str) -> str | None:
        """How far an incremental import has been read, in its source's words; None when it never was."""
        asked = sa.select(watermarks.c.position).where(watermarks.c.import_name == import_name)
        with self._reading() as connection:
            return connection.execute(asked).scalar()

    @retry_on_disconnect
    def move_watermark(self, import_name: str, position: str, run_id: str) -> None:
        """Note how far a run has read; every row up to there is in the ledger."""
        values = {"position": position, "run_id": run_id, "moved_at_ms": now_ms()}
        change = sa.update(watermarks).where(watermarks.c.import_name == import_name).values(values)
        with self._writing() as connection:
            if connection.execute(change).rowcount == 0:
                connection.execute(sa.insert(watermarks).values(import_name=import_name, **values))


def _of(table: sa.Table, run_no: int, destination: str) -> sa.Update:
    return sa.update(table).where(table.c.run_no == run_no, table.c.destination == destination)


def _run_info(row: Any) -> RunInfo:
    return RunInfo(**{name: row[name] for name in RunInfo.__slots__})
