"""Runs: what was begun, by whom, how far it came and why it stopped."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from etl.clock import Clock
from etl.errors import LedgerError
from etl.ledger.database import Database, retry_on_disconnect
from etl.ledger.leases import Leases
from etl.ledger.numbers import Numbers
from etl.ledger.tables import COUNTS, COUNTS_LOCK, entries, run_counts, run_destinations, run_files, runs, verdicts
from etl.ledger.values import RunInfo, Stop

_RUN_ID = runs.c.run_id == sa.bindparam("run_id")
_IMPORT = runs.c.import_name == sa.bindparam("name")

# Which runs are there? Oldest first.
_RUNS = sa.select(
    runs.c.run_no,
    runs.c.run_id,
    runs.c.kind,
    runs.c.import_name,
    runs.c.source,
    runs.c.started_at_ms,
    runs.c.finished_at_ms,
    runs.c.window_start_ms,
    runs.c.window_end_ms,
    runs.c.retry_of,
    runs.c.stop_detail,
).order_by(runs.c.run_no)

# Which run has this id?
_RUN = _RUNS.where(_RUN_ID)

# Which runs repeated this one, have ended, and had rows to send?
_RETRIES = _RUNS.where(
    runs.c.retry_of == sa.bindparam("run_id"),
    runs.c.finished_at_ms.is_not(None),
    sa.exists().where(entries.c.run_no == runs.c.run_no),
)

# This run and those that repeated it.
_WITH_RETRIES = _RUNS.where(_RUN_ID | (runs.c.retry_of == sa.bindparam("run_id")))

_LATEST_NOS = sa.select(sa.func.max(runs.c.run_no)).group_by(runs.c.import_name)

# What is the latest run of each import?
_LATEST = _RUNS.where(runs.c.run_no.in_(_LATEST_NOS))

# What is the latest run of this import?
_LATEST_OF_IMPORT = _RUNS.where(runs.c.run_no.in_(_LATEST_NOS.where(_IMPORT)))

# Where does this run deliver, how many rows did each destination get to see, and which of them stopped?
_DESTINATIONS = sa.select(run_destinations).where(run_destinations.c.run_no == sa.bindparam("run"))

_ONE_DESTINATION = sa.update(run_destinations).where(
    run_destinations.c.run_no == sa.bindparam("run"), run_destinations.c.destination == sa.bindparam("name")
)

# This destination got to see so many rows.
_RECORD_ROWS_READ = _ONE_DESTINATION.values(rows_read=sa.bindparam("rows"))

# This destination takes nothing more, unless it had stopped before.
_STOP_DESTINATION = _ONE_DESTINATION.where(run_destinations.c.stop_reason == "").values(
    stop_reason=sa.bindparam("why"), stop_detail=sa.bindparam("sentence")
)

# This destination takes rows again.
_LIFT_STOP = _ONE_DESTINATION.values(stop_reason="", stop_detail="")

# This run is over, or goes on.
_ONE_RUN = sa.update(runs).where(runs.c.run_no == sa.bindparam("run"))
_FINISH = _ONE_RUN.values(finished_at_ms=sa.bindparam("now_ms"), stop_detail=sa.bindparam("sentence"))
_REOPEN = _ONE_RUN.values(finished_at_ms=None, stop_detail="", lease_until_ms=sa.bindparam("until_ms"))


# How many rows of this run have which status and reason? Kept for later.
_FORGET_COUNTS = sa.delete(run_counts).where(run_counts.c.run_no == sa.bindparam("run"))
_COUNT = sa.insert(run_counts).from_select(
    [column.name for column in run_counts.c],
    sa.select(
        sa.bindparam("run", type_=sa.BigInteger),
        COUNTS.c.destination_no,
        verdicts.c.status,
        verdicts.c.reason,
        sa.func.sum(COUNTS.c.row_count),
    )
    .select_from(COUNTS)
    .join(verdicts, verdicts.c.verdict_no == COUNTS.c.verdict_no)
    .group_by(COUNTS.c.destination_no, verdicts.c.status, verdicts.c.reason),
)

# Until the commit nobody changes what is counted.
_LOCK_COUNTS = sa.select(sa.func.pg_advisory_xact_lock(COUNTS_LOCK, sa.bindparam("run", type_=sa.Integer)))

# Which files has the run of this id read?
_FILES = sa.select(run_files.c.first_row, run_files.c.file, run_files.c.file_row)
_FILES_OF_ORIGIN = _FILES.join(runs, runs.c.run_no == run_files.c.run_no).where(_RUN_ID)


@dataclass(frozen=True)
class Runs:
    """The part of the ledger that speaks of runs."""

    database: Database
    leases: Leases
    numbers: Numbers
    clock: Clock

    def open(
        self,
        *,
        kind: str,
        import_name: str,
        source: str,
        destinations: Sequence[str],
        window_ms: tuple[int | None, int | None] = (None, None),
        retry_of: str | None = None,
    ) -> RunInfo:
        """Write a new run down and name it. ``window_ms``: from, until, epoch ms."""
        at = self.clock()
        run_id = f"{datetime.fromtimestamp(at / 1000, UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
        values = {
            "run_id": run_id,
            "kind": kind,
            "import_name": import_name,
            "source": source,
            "window_start_ms": window_ms[0],
            "window_end_ms": window_ms[1],
            "started_at_ms": at,
            "retry_of": retry_of,
            "stop_detail": "",
        }
        with self.database.writing() as connection:
            values["lease_until_ms"] = self.leases.until(self.database.now_ms(connection))
            run_no = connection.execute(sa.insert(runs).values(values).returning(runs.c.run_no)).scalar_one()
            rows = [{"run_no": run_no, "destination": d, "stop_reason": "", "stop_detail": ""} for d in destinations]
            connection.execute(sa.insert(run_destinations), rows)
            if retry_of is not None:
                self._insert_files(connection, run_no, self._files_of(connection, _FILES_OF_ORIGIN, run_id=retry_of))
        for name in sorted(destinations):
            self.numbers.destination(name)
        return self.get(run_id)

    @retry_on_disconnect
    def record_files(self, run_no: int, files: Iterable[tuple[str, int, int]]) -> None:
        """Which files the rows of a run are from: (file, number of its first row in the run, and in the file)."""
        with self.database.writing() as connection:
            self._insert_files(connection, run_no, [(first, file, file_row) for file, first, file_row in files])

    def _files_of(self, connection: sa.Connection, question: sa.Select[Any], **values: Any) -> list[Any]:
        return [tuple(row) for row in connection.execute(question, values)]

    def _insert_files(self, connection: sa.Connection, run_no: int, files: Sequence[tuple[int, str, int]]) -> None:
        rows = [{"run_no": run_no, "first_row": n, "file": file, "file_row": row} for n, file, row in files]
        if rows:
            connection.execute(self.database.insert_new(run_files), rows)

    @retry_on_disconnect
    def get(self, run_id: str) -> RunInfo:
        """A run by its id; raises LedgerError when there is none."""
        found = self.find(run_id)
        if found is None:
            raise LedgerError(f"There is no run {run_id} in this ledger; `conversions results --run all` lists them.")
        return found

    def find(self, run_id: str) -> RunInfo | None:
        """A run by its id; None when there is none, or none any more."""
        found = self._runs(_RUN, {"run_id": run_id})
        return found[0] if found else None

    def retries(self, run_id: str) -> list[RunInfo]:
        """The ended runs that sent again what a run had left, oldest first; not those that found nothing staged."""
        return self._runs(_RETRIES, {"run_id": run_id})

    def first(self, run_id: str) -> RunInfo:
        """A run or, when it has been pruned, the oldest of those that repeated it. Raises LedgerError."""
        found = self._runs(_WITH_RETRIES, {"run_id": run_id})
        return found[0] if found else self.get(run_id)

    def latest(self, import_name: str | None = None) -> list[RunInfo]:
        """The latest run of each import (or of one)."""
        if import_name is None:
            return self._runs(_LATEST, {})
        return self._runs(_LATEST_OF_IMPORT, {"name": import_name})

    def all(self, import_name: str | None = None) -> list[RunInfo]:
        """Every run (or every run of one import), oldest first."""
        if import_name is None:
            return self._runs(_RUNS, {})
        return self._runs(_RUNS.where(_IMPORT), {"name": import_name})

    def reopen(self, run_no: int) -> None:
        """A run that ended before its time goes on."""
        with self.database.writing() as connection:
            connection.execute(_FORGET_COUNTS, {"run": run_no})
            until_ms = self.leases.until(self.database.now_ms(connection))
            connection.execute(_REOPEN, {"run": run_no, "until_ms": until_ms})

    @retry_on_disconnect
    def finish(self, run_no: int, stop_detail: str = "") -> None:
        """The run is over; its claims lapse. Its rows are counted, once for all who ask."""
        with self.database.writing() as connection:
            if self.database.is_postgresql:
                connection.execute(_LOCK_COUNTS, {"run": run_no})
            connection.execute(_FORGET_COUNTS, {"run": run_no})
            connection.execute(_COUNT, {"run": run_no})
            connection.execute(_FINISH, {"run": run_no, "now_ms": self.clock(), "sentence": stop_detail})

    @retry_on_disconnect
    def destinations(self, run_no: int) -> list[str]:
        """The destinations of a run, by name."""
        return sorted(row.destination for row in self._destinations(run_no))

    @retry_on_disconnect
    def record_rows_read(self, run_no: int, rows: Mapping[str, int]) -> None:
        """Note how many rows each destination got to see; the sum of its results is checked against it."""
        with self.database.writing() as connection:
            for destination, count in rows.items():
                connection.execute(_RECORD_ROWS_READ, {"run": run_no, "name": destination, "rows": count})

    @retry_on_disconnect
    def rows_read(self, run_no: int) -> dict[str, int | None]:
        """Per destination: rows read, as recorded by `record_rows_read`; None when it was not."""
        return {row.destination: row.rows_read for row in self._destinations(run_no)}

    @retry_on_disconnect
    def stop_destination(self, run_no: int, destination: str, stop: Stop) -> None:
        """Note why a destination takes nothing more in this run; the first reason stays."""
        values = {"run": run_no, "name": destination, "why": stop.reason, "sentence": stop.detail}
        with self.database.writing() as connection:
            connection.execute(_STOP_DESTINATION, values)

    @retry_on_disconnect
    def lift_stop(self, run_no: int, destination: str) -> None:
        """A destination that stopped is tried again in this run."""
        with self.database.writing() as connection:
            connection.execute(_LIFT_STOP, {"run": run_no, "name": destination})

    @retry_on_disconnect
    def stops(self, run_no: int) -> dict[str, Stop]:
        """The destinations that stopped in this run, and why."""
        rows = self._destinations(run_no)
        return {row.destination: Stop(row.stop_reason, row.stop_detail) for row in rows if row.stop_reason}

    def _destinations(self, run_no: int) -> list[sa.Row[Any]]:
        with self.database.reading() as connection:
            return list(connection.execute(_DESTINATIONS, {"run": run_no}))

    def _runs(self, question: sa.Select[Any], values: Mapping[str, Any]) -> list[RunInfo]:
        with self.database.reading() as connection:
            return [RunInfo(**row) for row in connection.execute(question, values).mappings()]
