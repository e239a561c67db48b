"""The ledger: the database of runs, results and batches, asked only by the named questions below.

A row of ``entries`` is one row of one run at one destination. At most one entry *holds* a key (destination, event_id):
the delivered one, or the one that may have been accepted. That is a unique index, so two runs, or two machines, cannot
both win a key. Bulk statements only; SQLite (WAL) and PostgreSQL.
"""

from __future__ import annotations

import operator
import secrets
import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, repeat
from pathlib import Path
from typing import Any, TypeVar

import alembic.command
import alembic.config
import alembic.runtime.migration
import alembic.script
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import ARRAY

from etl.errors import LedgerError
from etl.model import Item, Status, Verdict

T = TypeVar("T")

LEASE_MS = 15 * 60_000
"""How long a run's claims stand without a sign of life."""

RECONNECT_S = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Waits between tries to write results down while the database does not answer."""

_LOOKUP = 10_000  # keys per SELECT … IN (…); SQLite takes 32,766 parameters
_UPGRADE_LOCK = 7_163_201_104
_AT_ONCE = 500  # rows per INSERT on SQLite

_meta = sa.MetaData()
_runs = sa.Table(
    "runs",
    _meta,
    *(
        sa.Column(name, sa.BigInteger)
        for name in ("window_start_ms", "window_end_ms", "started_at_ms", "finished_at_ms")
    ),
    sa.Column("run_no", sa.BigInteger, primary_key=True),
    *(sa.Column(name, sa.Text) for name in ("run_id", "kind", "import_name", "source", "retry_of", "stop_detail")),
    sa.Column("lease_until_ms", sa.BigInteger),
)
_run_destinations = sa.Table(
    "run_destinations",
    _meta,
    *(sa.Column(name, sa.BigInteger) for name in ("run_no", "rows_read")),
    *(sa.Column(name, sa.Text) for name in ("destination", "stop_reason", "stop_detail")),
)
_batches = sa.Table(
    "batches",
    _meta,
    *(sa.Column(name, sa.Text) for name in ("batch_id", "destination")),
    *(
        sa.Column(name, sa.BigInteger)
        for name in ("run_no", "items", "bytes", "http_status", "attempts", "sent_at_ms", "answered_at_ms")
    ),
)
_entries = sa.Table(
    "entries",
    _meta,
    *(sa.Column(name, sa.BigInteger) for name in ("run_no", "row_number", "held", "fingerprint", "recorded_at_ms")),
    *(
        sa.Column(name, sa.Text)
        for name in ("destination", "event_id", "event_name", "status", "reason", "detail", "batch_id")
    ),
)
_files = sa.Table(
    "files",
    _meta,
    *(sa.Column(name, sa.Text) for name in ("import_name", "sha256", "path", "state", "run_id")),
    *(sa.Column(name, sa.BigInteger) for name in ("bytes", "seen_at_ms", "done_at_ms")),
)
_watermarks = sa.Table(
    "watermarks",
    _meta,
    *(sa.Column(name, sa.Text) for name in ("import_name", "position", "run_id")),
    sa.Column("moved_at_ms", sa.BigInteger),
)
_ENTRY = (
    "run_no",
    "destination",
    "row_number",
    "event_id",
    "event_name",
    "status",
    "reason",
    "detail",
    "held",
    "fingerprint",
    "recorded_at_ms",
)
RESULT_COLUMNS = (
    "run_id",
    "import",
    "destination",
    "source",
    "row_number",
    "event_id",
    "event_name",
    "status",
    "reason",
    "detail",
    "batch_id",
    "http_status",
    "attempts",
    "sent_at",
    "recorded_at",
)
"""The result table, in the order people see it."""

_WORDS = ("status", "reason", "detail")
_HOLDS = frozenset({Status.DELIVERED, Status.UNKNOWN})
ELSEWHERE = (Status.DUPLICATE.value, "in_flight_elsewhere")
"""Status and reason of rows that another run may be sending; what became of them is not known yet."""
IN_FLIGHT = Verdict(Status.UNKNOWN, "in_flight")  # written for every row, so its sentence is in the view


@dataclass(frozen=True, slots=True)
class Sent:
    """One batch that has its last word: the items, one verdict each, how the request went (0 attempts: it did not)."""

    items: Sequence[Item]
    verdicts: Sequence[Verdict]
    bytes: int
    attempts: int
    http_status: int | None = None
    sent_at_ms: int | None = None
    answered_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A run as the ledger knows it."""

    run_no: int
    run_id: str
    kind: str
    import_name: str
    source: str
    started_at_ms: int
    finished_at_ms: int | None
    window_start_ms: int | None
    window_end_ms: int | None
    retry_of: str | None
    stop_detail: str


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A dropped file as the ledger knows it: one per import and content, whatever its name. States: see `etl.drops`."""

    import_name: str
    sha256: str
    path: str
    bytes: int
    state: str
    run_id: str | None
    seen_at_ms: int
    done_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a destination took nothing more in a run."""

    reason: str
    detail: str


def now_ms() -> int:
    """The wall clock, epoch milliseconds; used for `recorded_at` and leases only."""
    return time.time_ns() // 1_000_000


class Ledger:
    """One ledger, opened by URL (``sqlite:///var/ledger.db``, ``postgresql://…``). Safe to share between threads."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = _engine(url)
        self._lease_written: dict[int, int] = {}

    # -- the ledger itself

    def upgrade(self) -> None:
        """Bring the tables to this version, making them if there are none."""
        with _sentences(self), self.engine.begin() as connection:
            if self.engine.dialect.name == "postgresql":  # two first runs at once; SQLite's BEGIN IMMEDIATE does it
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_UPGRADE_LOCK})")
            alembic.command.upgrade(_alembic(connection), "head")

    def open(self) -> Ledger:
        """Make the tables of an empty ledger; refuse one of another version with what to do."""
        with _sentences(self), self.engine.connect() as connection:
            context = alembic.runtime.migration.MigrationContext.configure(connection)
            found = context.get_current_revision()
            head = alembic.script.ScriptDirectory.from_config(_alembic(connection)).get_current_head()
        if found is None:
            self.upgrade()
        elif found != head:
            raise LedgerError(
                f"The ledger is of version {found}, this program needs {head}: run `conversions ledger upgrade`."
            )
        return self

    def close(self) -> None:
        """Give back the connections."""
        self.engine.dispose()

    # -- runs

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
            run_no = connection.execute(sa.insert(_runs).values(values).returning(_runs.c.run_no)).scalar_one()
            rows = [{"run_no": run_no, "destination": d, "stop_reason": "", "stop_detail": ""} for d in destinations]
            connection.execute(sa.insert(_run_destinations), rows)
        return self.run(run_id)

    def run(self, run_id: str) -> RunInfo:
        """A run by its id; raises LedgerError when there is none."""
        with self._reading() as connection:
            row = connection.execute(sa.select(_runs).where(_runs.c.run_id == run_id)).mappings().first()
        if row is None:
            raise LedgerError(f"There is no run {run_id} in this ledger; `conversions results --run all` lists them.")
        return _run_info(row)

    def latest_runs(self, import_name: str | None = None) -> list[RunInfo]:
        """The latest run of each import (or of one)."""
        newest = sa.select(sa.func.max(_runs.c.run_no)).group_by(_runs.c.import_name)
        if import_name is not None:
            newest = newest.where(_runs.c.import_name == import_name)
        return self._runs_where(_runs.c.run_no.in_(newest))

    def all_runs(self, import_name: str | None = None) -> list[RunInfo]:
        """Every run, oldest first."""
        return self._runs_where(sa.true() if import_name is None else _runs.c.import_name == import_name)

    def _runs_where(self, condition: sa.ColumnElement[bool]) -> list[RunInfo]:
        with self._reading() as connection:
            rows = connection.execute(sa.select(_runs).where(condition).order_by(_runs.c.run_no)).mappings().all()
        return [_run_info(row) for row in rows]

    def destinations(self, run_no: int) -> list[str]:
        """The destinations of a run."""
        asked = sa.select(_run_destinations.c.destination).where(_run_destinations.c.run_no == run_no)
        with self._reading() as connection:
            return sorted(connection.execute(asked).scalars())

    def rows_read(self, run_no: int, rows: Mapping[str, int]) -> None:
        """Note how many rows each destination was offered; the sum is checked against it."""
        with self._writing() as connection:
            for destination, count in rows.items():
                connection.execute(_of(_run_destinations, run_no, destination).values(rows_read=count))

    def stop_destination(self, run_no: int, destination: str, stop: Stop) -> None:
        """Note why a destination takes nothing more in this run; the first reason stays."""
        change = _of(_run_destinations, run_no, destination).where(_run_destinations.c.stop_reason == "")
        with self._writing() as connection:
            connection.execute(change.values(stop_reason=stop.reason, stop_detail=stop.detail))

    def stops(self, run_no: int) -> dict[str, Stop]:
        """The destinations that stopped in this run, and why."""
        asked = sa.select(_run_destinations).where(
            _run_destinations.c.run_no == run_no, _run_destinations.c.stop_reason != ""
        )
        with self._reading() as connection:
            rows = connection.execute(asked).all()
        return {row.destination: Stop(row.stop_reason, row.stop_detail) for row in rows}

    def finish_run(self, run_no: int, stop_detail: str = "") -> None:
        """The run is over; its claims lapse."""
        change = sa.update(_runs).where(_runs.c.run_no == run_no)
        with self._writing() as connection:
            connection.execute(change.values(finished_at_ms=now_ms(), stop_detail=stop_detail))

    def prune(self, before_ms: int) -> dict[str, int]:
        """Forget what runs begun before ``before_ms`` (epoch ms) wrote down; rows deleted per table.

        Never forgotten, however old: an entry that holds its key. That is every delivered conversion, so that none is
        ever sent twice, and every doubtful one, because a person may still decide on it. Each is one row of its run,
        which stays too. Rejected, refused, failed, skipped and duplicate rows go, and so do all batches (status and
        attempts of requests). The latest run of each import and runs that may still be alive are left alone.
        """
        newest = sa.select(sa.func.max(_runs.c.run_no)).group_by(_runs.c.import_name)
        over = _runs.c.finished_at_ms.is_not(None) | (_runs.c.lease_until_ms < now_ms())
        old = sa.select(_runs.c.run_no).where(_runs.c.started_at_ms < before_ms, over, _runs.c.run_no.not_in(newest))
        with self._writing() as connection:
            numbers = list(connection.execute(old).scalars())
            done: dict[str, int] = {"runs": 0, "entries": 0, "batches": 0}
            for part in _parts(numbers):
                mine = self._among(_entries.c.run_no, part) & (_entries.c.held == 0)
                done["entries"] += connection.execute(sa.delete(_entries).where(mine)).rowcount
                done["batches"] += self._forget(connection, _batches, part)
                left = sa.select(_entries.c.run_no).where(self._among(_entries.c.run_no, part)).distinct()
                kept = set(connection.execute(left).scalars())
                empty = [number for number in part if number not in kept]
                self._forget(connection, _run_destinations, empty)
                done["runs"] += self._forget(connection, _runs, empty)
        return done

    def _forget(self, connection: sa.Connection, table: sa.Table, run_nos: Sequence[int]) -> int:
        if not run_nos:
            return 0
        return int(connection.execute(sa.delete(table).where(self._among(table.c.run_no, run_nos))).rowcount)

    # -- entries

    def note(self, run_no: int, destinations: Iterable[str], rows: Sequence[tuple[int, str, str, Verdict]]) -> None:
        """Write final entries for rows that are never sent: (row number, event_id, event_name, verdict).

        Rows that this run has already noted stay as they are, so a stage can be repeated.
        """
        at = now_ms()
        values = [
            _entry(run_no, destination, number, event_id, name, verdict, 0, 0, at)
            for destination in destinations
            for number, event_id, name, verdict in rows
        ]
        if values:
            with self._writing() as connection:
                self._insert(connection, values)

    def claim(
        self, run_no: int, destination: str, items: Sequence[Item], *, repeatable: bool, insist: bool = False
    ) -> list[Item]:
        """Take the keys of these items for this run, before anything is sent; return the ones won.

        Won items stand in the ledger as ``unknown`` (``in_flight``). An item that another entry holds is written down
        as ``duplicate`` — or, where nobody knows whether it was accepted, taken over when the vendor is ``repeatable``
        or a person insists, and left ``unknown`` otherwise. Items that this run has already settled are left alone.
        """
        won = self._lastingly(lambda: self._claim(run_no, destination, items, repeatable or insist))
        order = {item.row_number: place for place, item in enumerate(items)}
        return sorted(won, key=lambda item: order[item.row_number])

    def _claim(self, run_no: int, destination: str, items: Sequence[Item], may_repeat: bool) -> list[Item]:
        at = now_ms()
        with self._writing() as connection:
            self._sign_of_life(connection, run_no, at)
            fresh, again = self._sort_out(connection, run_no, destination, items, may_repeat)
            held = self._insert_claims(connection, run_no, destination, fresh, at)
            won = self._contest(connection, run_no, destination, fresh, held, may_repeat, at)
            return self._reclaim(connection, run_no, destination, again, may_repeat, at) + won

    def _sort_out(
        self, connection: sa.Connection, run_no: int, destination: str, items: Sequence[Item], may_repeat: bool
    ) -> tuple[list[Item], list[Item]]:
        """Split into items this run has not seen, and items of an earlier try that may go again."""
        numbers = [item.row_number for item in items]
        if not numbers:
            return [], []
        dense = max(numbers) - min(numbers) < 4 * len(numbers) or len(numbers) > _LOOKUP
        row = _entries.c.row_number
        asked = sa.select(row, _entries.c.status, _entries.c.reason).where(
            _entries.c.run_no == run_no,
            _entries.c.destination == destination,
            row.between(min(numbers), max(numbers)) if dense else self._among(row, numbers),
        )
        seen = {row.row_number: row for row in connection.execute(asked)}
        if not seen:
            return list(items), []
        again = {Status.FAILED.value} | ({Status.UNKNOWN.value} if may_repeat else set())
        return (
            [item for item in items if item.row_number not in seen],
            [item for item in items if item.row_number in seen and seen[item.row_number].status in again],
        )

    def _insert_claims(
        self, connection: sa.Connection, run_no: int, destination: str, items: Sequence[Item], at: int
    ) -> dict[str, Any]:
        """Insert all as ours; return the holders of the keys that were not free, by event_id."""
        values = _claims(run_no, destination, items, at)
        if not values or self._insert(connection, values) == len(values):
            return {}
        holders = self._holders(connection, destination, [item.event_id for item in items])
        ours = {(item.event_id, item.row_number) for item in items}
        return {
            event_id: holder
            for event_id, holder in holders.items()
            if holder.run_no != run_no or (event_id, holder.row_number) not in ours
        }

    def _contest(
        self,
        connection: sa.Connection,
        run_no: int,
        destination: str,
        items: Sequence[Item],
        held: Mapping[str, Any],
        may_repeat: bool,
        at: int,
    ) -> list[Item]:
        """Decide the items whose key another entry holds; the rest are won."""
        if not held:
            return list(items)
        taken = [item for item in items if item.event_id in held]
        takeover = [item for item in taken if may_repeat and _abandoned(held[item.event_id], run_no, at)]
        lost = [item for item in taken if not (may_repeat and _abandoned(held[item.event_id], run_no, at))]
        values = []
        for item in lost:
            verdict = _verdict_on(held[item.event_id], item, run_no, at)
            row = (item.row_number, item.event_id, item.event_name)
            values.append(_entry(run_no, destination, *row, verdict, 0, item.fingerprint, at))
        if values:
            self._insert(connection, values)
        self._reclaim(connection, run_no, destination, takeover, may_repeat, at)
        lost_rows = {item.row_number for item in lost}
        return [item for item in items if item.row_number not in lost_rows]

    def _reclaim(
        self, connection: sa.Connection, run_no: int, destination: str, items: Sequence[Item], may_repeat: bool, at: int
    ) -> list[Item]:
        """Take keys over from entries that let go of them, or that nobody stands behind any more."""
        if not items:
            return []
        holders = self._holders(connection, destination, [item.event_id for item in items])
        free = [
            item
            for item in items
            if item.event_id not in holders or (may_repeat and _abandoned(holders[item.event_id], run_no, at))
        ]
        keys = [{"d": destination, "e": item.event_id} for item in free]
        if not keys:
            return []
        connection.execute(
            sa.update(_entries)
            .where(
                _entries.c.destination == sa.bindparam("d"),
                _entries.c.event_id == sa.bindparam("e"),
                _entries.c.held == 1,
            )
            .values(held=0),
            keys,
        )
        rows = [item.row_number for item in free]
        mine = (_entries.c.run_no == run_no) & (_entries.c.destination == destination)
        for part in _parts(rows):
            connection.execute(sa.delete(_entries).where(mine & self._among(_entries.c.row_number, part)))
        self._insert(connection, _claims(run_no, destination, free, at))
        return free

    def record(self, run_no: int, destination: str, sent: Sequence[Sent]) -> None:
        """Overwrite claims with the last word on them, and write the batches down."""
        at = now_ms()
        batches, changes = [], []
        for batch in sent:
            batch_id = secrets.token_hex(8) if batch.attempts else None
            if batch_id:
                batches.append(_batch(batch_id, run_no, destination, batch))
            changes += [
                (verdict.status.value, verdict.reason, verdict.detail, batch_id, at, run_no, destination, first, last)
                for verdict, first, last in _spans(batch)
            ]
        self._lastingly(lambda: self._record(run_no, at, batches, changes))

    def _record(self, run_no: int, at: int, batches: list[dict[str, Any]], changes: list[tuple[Any, ...]]) -> None:
        """May be done twice: a connection that breaks at the commit tells nobody whether it was made."""
        insert = sqlite.insert if self.engine.dialect.name == "sqlite" else postgresql.insert
        with self._writing() as connection:
            self._sign_of_life(connection, run_no, at)
            if batches:
                connection.execute(insert(_batches).on_conflict_do_nothing(), batches)
            letting_go = [change for change in changes if change[0] not in _HOLDS]
            self._many(connection, _OVERWRITE, [change for change in changes if change[0] in _HOLDS])
            self._many(connection, _LET_GO, letting_go)

    def counts(self, run_no: int) -> dict[str, dict[tuple[str, str], int]]:
        """Per destination: (status, reason) -> rows."""
        asked = (
            sa.select(_entries.c.destination, _entries.c.status, _entries.c.reason, sa.func.count())
            .where(_entries.c.run_no == run_no)
            .group_by(_entries.c.destination, _entries.c.status, _entries.c.reason)
        )
        found: dict[str, dict[tuple[str, str], int]] = {name: {} for name in self.destinations(run_no)}
        with self._reading() as connection:
            for destination, status, reason, count in connection.execute(asked):
                found.setdefault(destination, {})[status, reason] = count
        return found

    def sentences(self, run_id: str) -> dict[tuple[str, str, str], str]:
        """(destination, status, reason) -> a detail that a row of this run carries, as an example of them."""
        names = ("run_id", "destination", "status", "reason", "detail")
        view = sa.table("result_history", *(sa.column(name) for name in names))
        group = [view.c[name] for name in ("destination", "status", "reason")]
        asked = sa.select(*group, sa.func.min(view.c.detail)).where(view.c.run_id == run_id).group_by(*group)
        with self._reading() as connection:
            return {(row[0], row[1], row[2]): row[3] for row in connection.execute(asked)}

    def offered(self, run_no: int) -> dict[str, int | None]:
        """Per destination: rows read, as noted by `rows_read`."""
        asked = sa.select(_run_destinations.c.destination, _run_destinations.c.rows_read).where(
            _run_destinations.c.run_no == run_no
        )
        with self._reading() as connection:
            return {row.destination: row.rows_read for row in connection.execute(asked)}

    def letters(
        self,
        *,
        statuses: Iterable[str],
        import_name: str | None,
        run_id: str | None,
        destinations: Iterable[str] | None,
    ) -> dict[str, dict[str, list[int]]]:
        """Dead letters to send again: run_id -> destination -> row numbers (of the run that has the last word)."""
        view = sa.table(
            "dead_letters", *(sa.column(name) for name in ("run_id", "import", "destination", "status", "row_number"))
        )
        asked = sa.select(view.c.run_id, view.c.destination, view.c.row_number).where(view.c.status.in_(list(statuses)))
        if import_name is not None:
            asked = asked.where(view.c["import"] == import_name)
        if run_id is not None:
            asked = asked.where(view.c.run_id == run_id)
        if destinations is not None:
            asked = asked.where(view.c.destination.in_(list(destinations)))
        found: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        with self._reading() as connection:
            for run, destination, row_number in connection.execute(asked.order_by(view.c.run_id, view.c.row_number)):
                found[run][destination].append(row_number)
        return {run: dict(rows) for run, rows in found.items()}

    def results(
        self,
        *,
        run_ids: Sequence[str] | None,
        import_name: str | None = None,
        destinations: Sequence[str] | None = None,
        statuses: Sequence[str] | None = None,
        part: int = 20_000,
    ) -> Iterator[list[dict[str, Any]]]:
        """The result table of these runs (None: of all), in parts, ordered by run, destination, row."""
        view = sa.table("result_history", *(sa.column(name) for name in (*RESULT_COLUMNS, "run_no")))
        asked = sa.select(*(view.c[name] for name in RESULT_COLUMNS))
        for name, wanted in (("run_id", run_ids), ("destination", destinations), ("status", statuses)):
            if wanted is not None:
                asked = asked.where(view.c[name].in_(list(wanted)))
        if import_name is not None:
            asked = asked.where(view.c["import"] == import_name)
        asked = asked.order_by(view.c.run_no, view.c.destination, view.c.row_number)
        with self._reading() as connection:
            rows = connection.execution_options(yield_per=part).execute(asked)
            for block in rows.mappings().partitions(part):
                yield [_readable(dict(row)) for row in block]

    # -- rows, one by one

    def words(
        self, run_no: int, destinations: Iterable[str], first: int, last: int
    ) -> dict[str, dict[int, tuple[str, str, str]]]:
        """What a run says of the rows from ``first`` to ``last``: destination -> row -> (status, reason, detail)."""
        found: dict[str, dict[int, tuple[str, str, str]]] = {}
        view = sa.table("result_history", *(sa.column(n) for n in ("run_no", "destination", "row_number", *_WORDS)))
        with self._reading() as connection:
            for name in destinations:
                asked = sa.select(view.c.row_number, *(view.c[n] for n in _WORDS)).where(
                    view.c.run_no == run_no, view.c.destination == name, view.c.row_number.between(first, last)
                )
                found[name] = {row[0]: (row[1], row[2], row[3]) for row in connection.execute(asked)}
        return found

    def unfit_rows(self, run_no: int, besides: Sequence[str]) -> int:
        """While nothing is sent: rows that every destination turned away, not only because they are unwanted.

        Entries with one of the reasons ``besides`` do not count.
        """
        everywhere = (
            sa.select(sa.func.count()).select_from(_run_destinations).where(_run_destinations.c.run_no == run_no)
        )
        rejected = sa.func.sum(sa.case((_entries.c.status == Status.REJECTED.value, 1), else_=0))
        unfit = (
            sa.select(_entries.c.row_number)
            .where(_entries.c.run_no == run_no, _entries.c.reason.not_in(besides))
            .group_by(_entries.c.row_number)
            .having(sa.and_(sa.func.count() == everywhere.scalar_subquery(), rejected > 0))
        )
        with self._reading() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(unfit.subquery())).scalar_one())

    def failed_before(self, run_no: int, destination: str, event_ids: Sequence[str]) -> dict[str, str]:
        """Which of these events an earlier run failed to deliver: event_id -> run_id, the first of them."""
        found: dict[str, str] = {}
        with self._reading() as connection:
            for part in _parts(event_ids):
                asked = (
                    sa.select(_entries.c.event_id, _runs.c.run_id)
                    .join(_runs, _runs.c.run_no == _entries.c.run_no)
                    .where(_entries.c.destination == destination, _entries.c.run_no < run_no)
                    .where(_entries.c.status == Status.FAILED.value, self._among(_entries.c.event_id, part))
                    .order_by(_entries.c.run_no.desc())
                )
                found |= {row.event_id: row.run_id for row in connection.execute(asked)}
        return found

    def delivered_by(self, destination: str, event_ids: Sequence[str]) -> dict[str, str]:
        """Which of these events a destination has taken: event_id -> run_id."""
        with self._reading() as connection:
            holders = self._holders(connection, destination, event_ids)
        return {e: row.run_id for e, row in holders.items() if row.status == Status.DELIVERED.value}

    # -- dropped files

    def file(self, import_name: str, sha256: str) -> FileInfo | None:
        """A file by its content; None when this import has not met it."""
        found = self._files_where(_files.c.import_name == import_name, _files.c.sha256 == sha256)
        return found[0] if found else None

    def files(self, import_name: str, states: Iterable[str]) -> list[FileInfo]:
        """The files of an import that are in one of these states, oldest first."""
        return self._files_where(_files.c.import_name == import_name, _files.c.state.in_(list(states)))

    def take_file(self, new: FileInfo, before: FileInfo | None) -> bool:
        """Write a file down as taken, if it still is as it was ``before``; False when somebody was faster."""
        values = {name: getattr(new, name) for name in FileInfo.__slots__}
        with self._writing() as connection:
            mine = (_files.c.import_name == new.import_name) & (_files.c.sha256 == new.sha256)
            there = connection.execute(sa.select(_files).where(mine).with_for_update()).mappings().first()
            if (None if there is None else FileInfo(**there)) != before:
                return False
            if before is None:
                connection.execute(sa.insert(_files).values(values))
            else:
                connection.execute(sa.update(_files).where(mine).values(values))
        return True

    def mark_file(self, info: FileInfo) -> FileInfo:
        """Write a file's new state down."""
        change = sa.update(_files).where(_files.c.import_name == info.import_name, _files.c.sha256 == info.sha256)
        with self._writing() as connection:
            connection.execute(change.values({name: getattr(info, name) for name in FileInfo.__slots__}))
        return info

    def forget_files(self, import_name: str, keys: Sequence[str]) -> None:
        """Forget files by what stands in ``sha256``."""
        with self._writing() as connection:
            for part in _parts(keys):
                connection.execute(
                    sa.delete(_files).where(_files.c.import_name == import_name, self._among(_files.c.sha256, part))
                )

    def _files_where(self, *conditions: sa.ColumnElement[bool]) -> list[FileInfo]:
        asked = sa.select(_files).where(*conditions).order_by(_files.c.seen_at_ms, _files.c.sha256)
        with self._reading() as connection:
            return [FileInfo(**row) for row in connection.execute(asked).mappings()]

    def is_alive(self, run_id: str) -> bool:
        """True while a run has not ended and gives signs of life."""
        asked = sa.select(_runs.c.finished_at_ms, _runs.c.lease_until_ms).where(_runs.c.run_id == run_id)
        with self._reading() as connection:
            row = connection.execute(asked).first()
        return row is not None and row.finished_at_ms is None and row.lease_until_ms > now_ms()

    def reopen_run(self, run_no: int) -> None:
        """A run that ended before its time goes on."""
        change = sa.update(_runs).where(_runs.c.run_no == run_no)
        with self._writing() as connection:
            connection.execute(change.values(finished_at_ms=None, stop_detail="", lease_until_ms=now_ms() + LEASE_MS))

    def sign_of_life(self, run_no: int) -> None:
        """The run goes on, although it claims nothing for a while."""
        with self._writing() as connection:
            self._sign_of_life(connection, run_no, now_ms())

    # -- watermarks

    def watermark(self, import_name: str) -> str | None:
        """How far an incremental import has been read, in its source's words; None when it never was."""
        asked = sa.select(_watermarks.c.position).where(_watermarks.c.import_name == import_name)
        with self._reading() as connection:
            return connection.execute(asked).scalar()

    def move_watermark(self, import_name: str, position: str, run_id: str) -> None:
        """Note how far a run has read; every row up to there is in the ledger."""
        values = {"position": position, "run_id": run_id, "moved_at_ms": now_ms()}
        change = sa.update(_watermarks).where(_watermarks.c.import_name == import_name).values(values)
        with self._writing() as connection:
            if connection.execute(change).rowcount == 0:
                connection.execute(sa.insert(_watermarks).values(import_name=import_name, **values))

    # -- inside

    def _sign_of_life(self, connection: sa.Connection, run_no: int, at: int) -> None:
        if at - self._lease_written.get(run_no, 0) > LEASE_MS // 15:
            connection.execute(sa.update(_runs).where(_runs.c.run_no == run_no).values(lease_until_ms=at + LEASE_MS))
            self._lease_written[run_no] = at

    def _holders(self, connection: sa.Connection, destination: str, event_ids: Sequence[str]) -> dict[str, Any]:
        columns = (
            *(_entries.c[name] for name in ("event_id", "run_no", "row_number", "status", "reason", "fingerprint")),
            *(_runs.c[name] for name in ("run_id", "finished_at_ms", "lease_until_ms")),
        )
        found: dict[str, Any] = {}
        for part in _parts(event_ids):
            asked = (
                sa.select(*columns)
                .join(_runs, _runs.c.run_no == _entries.c.run_no)
                .where(
                    _entries.c.destination == destination, _entries.c.held == 1, self._among(_entries.c.event_id, part)
                )
            )
            found |= {row.event_id: row for row in connection.execute(asked)}
        return found

    def _among(self, column: sa.ColumnElement[Any], values: Sequence[Any]) -> sa.ColumnElement[bool]:
        """``column IN values``; PostgreSQL plans one array far faster than ten thousand parameters."""
        if self.engine.dialect.name == "sqlite":
            return column.in_(values)
        return column == sa.any_(sa.bindparam(None, list(values), type_=ARRAY(column.type)))

    def _insert(self, connection: sa.Connection, values: list[tuple[Any, ...]]) -> int:
        """Insert entries, leaving out those whose row or key is taken; how many went in."""
        if self.engine.dialect.name == "sqlite":
            return sum(self._insert_sqlite(connection, part) for part in _parts(values, _AT_ONCE))
        # In the order of their keys, so that two runs over the same rows wait for each other and never in a circle.
        columns = [list(column) for column in zip(*sorted(values, key=operator.itemgetter(1, 3)), strict=True)]
        return int(connection.exec_driver_sql(_INSERT_POSTGRESQL, tuple(columns)).rowcount)

    def _insert_sqlite(self, connection: sa.Connection, values: Sequence[tuple[Any, ...]]) -> int:
        # One statement for many rows: measured twice as fast as executemany, three times beside busy threads, because
        # Python's SQLite gives up the interpreter and takes it back at every row of an executemany.
        rows = ", ".join([_PLACES] * len(values))
        statement = f"INSERT INTO entries ({', '.join(_ENTRY)}) VALUES {rows} ON CONFLICT DO NOTHING"  # noqa: S608
        return int(connection.exec_driver_sql(statement, tuple(chain.from_iterable(values))).rowcount)

    def _many(self, connection: sa.Connection, statement: str, values: list[tuple[Any, ...]]) -> None:
        if not values:
            return
        mark = "?" if self.engine.dialect.paramstyle == "qmark" else "%s"
        connection.exec_driver_sql(statement.replace("?", mark), values)

    def _lastingly(self, work: Callable[[], T]) -> T:
        """Again while the database restarts: what vendors answered must not be lost for that."""
        for wait in RECONNECT_S:
            try:
                return work()
            except LedgerError as error:
                if not _passes(error.__cause__):
                    raise
            time.sleep(wait)
        return work()

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        with _sentences(self), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with _sentences(self), self.engine.connect().execution_options(reading=True) as connection:
            yield connection


_ARRAYS = ", ".join("%s::bigint[]" if isinstance(_entries.c[n].type, sa.BigInteger) else "%s::text[]" for n in _ENTRY)
_INSERT_POSTGRESQL = f"INSERT INTO entries ({', '.join(_ENTRY)}) SELECT * FROM unnest({_ARRAYS}) ON CONFLICT DO NOTHING"  # noqa: S608
_PLACES = f"({', '.join('?' * len(_ENTRY))})"
# `held` is left alone where the entry goes on holding its key: naming it would rewrite the index of a million rows.
_OVERWRITE = (
    "UPDATE entries SET status = ?, reason = ?, detail = ?, batch_id = ?, recorded_at_ms = ? "
    "WHERE run_no = ? AND destination = ? AND row_number BETWEEN ? AND ?"
)
_LET_GO = _OVERWRITE.replace(" WHERE", ", held = 0 WHERE")


def _spans(batch: Sent) -> Iterator[tuple[Verdict, int, int]]:
    """Runs of neighbouring rows with the same verdict, as (verdict, first row, last row)."""
    rows = [item.row_number for item in batch.items]
    if not rows:
        return
    if max(rows) - min(rows) == len(rows) - 1 and all(map(operator.is_, batch.verdicts, repeat(batch.verdicts[0]))):
        yield batch.verdicts[0], min(rows), max(rows)  # the usual case, told without looking at every row
        return
    pairs = sorted(zip(rows, batch.verdicts, strict=True), key=operator.itemgetter(0))
    (first, verdict), last = pairs[0], pairs[0][0]
    for row_number, told in pairs[1:]:
        if row_number != last + 1 or told != verdict:
            yield verdict, first, last
            first, verdict = row_number, told
        last = row_number
    yield verdict, first, last


def _entry(
    run_no: int,
    destination: str,
    row_number: int,
    event_id: str,
    event_name: str,
    verdict: Verdict,
    held: int,
    fingerprint: int,
    at: int,
) -> tuple[Any, ...]:
    """One row of ``entries`` in the order of `_ENTRY`."""
    told = (verdict.status.value, verdict.reason, verdict.detail)
    return (run_no, destination, row_number, event_id, event_name, *told, held, fingerprint, at)


def _claims(run_no: int, destination: str, items: Sequence[Item], at: int) -> list[tuple[Any, ...]]:
    """Rows of ``entries`` for items about to be sent; spelled out, because this is done for every row there is."""
    status, reason = IN_FLIGHT.status.value, IN_FLIGHT.reason
    return [
        (run_no, destination, row_number, event_id, event_name, status, reason, "", 1, fingerprint, at)
        for row_number, event_id, event_name, _, fingerprint, _, _, _, _ in items
    ]


def _batch(batch_id: str, run_no: int, destination: str, sent: Sent) -> dict[str, Any]:
    """One row of ``batches``."""
    return {
        "batch_id": batch_id,
        "run_no": run_no,
        "destination": destination,
        "items": len(sent.items),
        "bytes": sent.bytes,
        "http_status": sent.http_status,
        "attempts": sent.attempts,
        "sent_at_ms": sent.sent_at_ms,
        "answered_at_ms": sent.answered_at_ms,
    }


def _abandoned(holder: Any, run_no: int, at: int) -> bool:
    """True when nobody knows whether the holder was accepted and nobody is waiting for the answer."""
    if holder.status != Status.UNKNOWN.value:
        return False
    waiting = holder.reason == IN_FLIGHT.reason and holder.finished_at_ms is None and holder.lease_until_ms > at
    return not waiting or holder.run_no == run_no


def _verdict_on(holder: Any, item: Item, run_no: int, at: int) -> Verdict:
    """What to say of an item whose key another entry holds."""
    if holder.status == Status.DELIVERED.value:
        if holder.fingerprint and item.fingerprint and holder.fingerprint != item.fingerprint:
            detail = f"Delivered by run {holder.run_id} with other content; a delivered conversion is never sent again."
            return Verdict(Status.DUPLICATE, "changed_after_delivery", detail)
        return Verdict(Status.DUPLICATE, "already_delivered", f"Delivered by run {holder.run_id}.")
    if _abandoned(holder, run_no, at):
        detail = (
            f"Run {holder.run_id} sent it and got no readable answer, and the vendor cannot tell a repeat: "
            f"look it up there, then `conversions retry --status unknown` sends it again."
        )
        return Verdict(Status.UNKNOWN, "waiting_for_a_person", detail)
    return Verdict(Status.DUPLICATE, ELSEWHERE[1], f"Run {holder.run_id} is sending it now.")


def _passes(error: BaseException | None) -> bool:
    """A connection that broke, or none to be had. Of PostgreSQL only: SQLite's troubles do not pass by themselves."""
    if not isinstance(error, sa.exc.DBAPIError) or "psycopg" not in type(error.orig).__module__:
        return False
    return error.connection_invalidated or isinstance(error, sa.exc.OperationalError)


def _of(table: sa.Table, run_no: int, destination: str) -> sa.Update:
    return sa.update(table).where(table.c.run_no == run_no, table.c.destination == destination)


def _run_info(row: Any) -> RunInfo:
    return RunInfo(**{name: row[name] for name in RunInfo.__slots__})


def _readable(row: dict[str, Any]) -> dict[str, Any]:
    for name in ("sent_at", "recorded_at"):
        if isinstance(row[name], datetime):
            row[name] = f"{row[name].astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{row[name].microsecond // 1000:03d}Z"
    return row


def _parts(values: Sequence[Any], size: int = _LOOKUP) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]


def _alembic(connection: sa.Connection) -> alembic.config.Config:
    config = alembic.config.Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _engine(url: str) -> sa.Engine:
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise LedgerError("ledger: not a SQLAlchemy URL such as sqlite:///var/ledger.db") from None
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed)
    if parsed.get_backend_name() != "postgresql":
        raise LedgerError(f"ledger: {parsed.get_backend_name()} is not supported; use SQLite or PostgreSQL")
    return sa.create_engine(parsed, pool_pre_ping=True)


def _write_ahead(dbapi: Any) -> None:
    """Switch to the write-ahead log; two processes that open a new ledger at once may find it locked without a wait."""
    for patience in range(100, -1, -1):
        try:
            dbapi.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if not patience:
                raise
            time.sleep(0.05)
        else:
            return


def _sqlite(url: sa.URL) -> sa.Engine:
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(url, connect_args={"timeout": 60})

    @sa.event.listens_for(engine, "connect")
    def _pragmas(dbapi: Any, _record: Any) -> None:
        dbapi.isolation_level = None  # we say BEGIN ourselves: a claim must read and write under one lock
        _write_ahead(dbapi)
        # FULL: a claim must survive a power cut, or the row would be sent twice.
        for pragma in (
            "synchronous=FULL",
            "cache_size=-32000",
            "wal_autocheckpoint=20000",
        ):
            dbapi.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        reading = connection.get_execution_options().get("reading")
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


@contextmanager
def _sentences(ledger: Ledger) -> Iterator[None]:
    """Turn a database's error into one sentence without the statement, its values or the password."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        told = str(error.orig).strip().splitlines()[0] if error.orig else type(error).__name__
        where = sa.make_url(ledger.url).render_as_string(hide_password=True)
        raise LedgerError(f"The ledger at {where} does not answer: {told}") from error
