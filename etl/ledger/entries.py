"""Entries in bulk: how one row per row, run and destination gets into the database, and who holds a key.

The hot path: every row is inserted when it is claimed and overwritten when it is recorded. So rows and changes are
plain tuples, statements go straight to the driver, and nothing is decided here; see `etl.ledger.claims`.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import NamedTuple

import sqlalchemy as sa

from etl.ledger.database import LOOKUP, Database, chunked
from etl.ledger.tables import entries, runs

NewEntry = tuple[int, str, int, str, str, str, str, str, int, int, int]
"""run_no, destination, row_number, event_id, event_name, status, reason, detail, held, fingerprint, recorded_at_ms."""

Change = tuple[str, str, str, str | None, int, int, str, int, int]
"""status, reason, detail, batch_id, recorded_at_ms; of which rows: run_no, destination, first and last row_number."""

_AT_ONCE = 500
"""Rows per INSERT on SQLite."""

_CLAIMS_LOCK = 716_320
"""With the destination's hash; the upgrade's lock has one number and is another."""

# Take these rows in, but for those whose row or key is taken. {rows}: a list of values, or arrays to unfold.
_INSERT = """
INSERT INTO entries (run_no, destination, row_number, event_id, event_name, status, reason, detail, held, fingerprint,
                     recorded_at_ms)
{rows} ON CONFLICT DO NOTHING
"""
_ONE_ROW = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_UNNEST = """
SELECT * FROM unnest(%s::bigint[], %s::text[], %s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[],
                     %s::bigint[], %s::bigint[], %s::bigint[])
"""
_INSERT_ARRAYS = _INSERT.format(rows=_UNNEST)

# These rows have their last word and go on holding their keys. `held` is left alone: naming it would rewrite the index
# of a million rows. {p}: the driver's mark for a value.
_OVERWRITE = """
UPDATE entries SET status = {p}, reason = {p}, detail = {p}, batch_id = {p}, recorded_at_ms = {p}
WHERE run_no = {p} AND destination = {p} AND row_number BETWEEN {p} AND {p}
"""

# These rows have their last word, and their keys are free again.
_OVERWRITE_AND_LET_GO = """
UPDATE entries SET status = {p}, reason = {p}, detail = {p}, batch_id = {p}, recorded_at_ms = {p}, held = 0
WHERE run_no = {p} AND destination = {p} AND row_number BETWEEN {p} AND {p}
"""

# Nobody holds this key any more.
_LET_GO_OF_KEY = (
    sa.update(entries)
    .where(
        entries.c.destination == sa.bindparam("name"), entries.c.event_id == sa.bindparam("event"), entries.c.held == 1
    )
    .values(held=0)
)

# Which rows does this run have at this destination?
_OF_RUN = (entries.c.run_no == sa.bindparam("run")) & (entries.c.destination == sa.bindparam("name"))
_DELETE = sa.delete(entries).where(_OF_RUN)
_STATUSES = sa.select(entries.c.row_number, entries.c.status).where(_OF_RUN)

# Which entries hold keys of this destination, and is the run of each still alive? Columns as in `Holder`.
_HOLDERS = (
    sa.select(
        entries.c.event_id,
        entries.c.run_no,
        entries.c.row_number,
        entries.c.status,
        entries.c.reason,
        entries.c.fingerprint,
        runs.c.run_id,
        runs.c.finished_at_ms,
        runs.c.lease_until_ms,
    )
    .join(runs, runs.c.run_no == entries.c.run_no)
    .where(entries.c.destination == sa.bindparam("name"), entries.c.held == 1)
)

# Until the commit: whose turn is it at this destination?
_LOCK = sa.select(sa.func.pg_advisory_xact_lock(_CLAIMS_LOCK, sa.func.hashtext(sa.bindparam("name", type_=sa.Text))))


class Holder(NamedTuple):
    """The entry that holds a key, and what is known of its run."""

    event_id: str
    run_no: int
    row_number: int
    status: str
    reason: str
    fingerprint: int
    run_id: str
    finished_at_ms: int | None
    lease_until_ms: int


def holders(
    database: Database, connection: sa.Connection, destination: str, event_ids: Sequence[str]
) -> dict[str, Holder]:
    """Who holds these keys: event_id -> holder."""
    found: dict[str, Holder] = {}
    for some in chunked(event_ids):
        asked = _HOLDERS.where(database.one_of(entries.c.event_id, some))
        for row in connection.execute(asked, {"name": destination}):
            found[row[0]] = Holder(*row)
    return found


@dataclass(frozen=True)
class Entries:
    """Bulk statements over ``entries``, within transactions of others."""

    database: Database

    def lock(self, connection: sa.Connection, destination: str) -> None:
        """Until the commit nobody else claims or records at this destination: what is read of holders stays true.

        SQLite's BEGIN IMMEDIATE does it; PostgreSQL would let two transactions take one dead run's key, one after the
        other, each believing what it had read before.
        """
        if self.database.is_postgresql:
            connection.execute(_LOCK, {"name": destination})

    def statuses(
        self, connection: sa.Connection, run_no: int, destination: str, row_numbers: Sequence[int]
    ) -> dict[int, str]:
        """What this run says by now of these rows, and maybe of others between them: row number -> status."""
        if not row_numbers:
            return {}
        first, last, row = min(row_numbers), max(row_numbers), entries.c.row_number
        # A range of the primary key is cheaper than a list, even where some of its rows are of no interest.
        dense = last - first < 4 * len(row_numbers) or len(row_numbers) > LOOKUP
        asked = _STATUSES.where(row.between(first, last) if dense else self.database.one_of(row, row_numbers))
        rows = connection.execute(asked, {"run": run_no, "name": destination})
        return {row.row_number: row.status for row in rows}

    def insert(self, connection: sa.Connection, rows: Sequence[NewEntry]) -> int:
        """Insert entries, leaving out those whose row or key is taken; how many went in."""
        if not rows:
            return 0
        if self.database.is_postgresql:
            # In the order of their keys, so that two runs over the same rows wait for each other, never in a circle.
            ordered = sorted(rows, key=operator.itemgetter(1, 3))
            columns = tuple(list(column) for column in zip(*ordered, strict=True))
            return connection.exec_driver_sql(_INSERT_ARRAYS, columns).rowcount
        # One statement for many rows: measured twice as fast as executemany, three times beside busy threads, because
        # Python's SQLite gives up the interpreter and takes it back at every row of an executemany.
        return sum(
            connection.exec_driver_sql(_insert_rows(len(some)), tuple(chain.from_iterable(some))).rowcount
            for some in chunked(rows, _AT_ONCE)
        )

    def overwrite(self, connection: sa.Connection, changes: Sequence[Change]) -> None:
        """Give entries their last word; those that hold their keys go on doing so."""
        self._execute_many(connection, _OVERWRITE, changes)

    def overwrite_and_let_go(self, connection: sa.Connection, changes: Sequence[Change]) -> None:
        """Give entries their last word, and let go of their keys."""
        self._execute_many(connection, _OVERWRITE_AND_LET_GO, changes)

    def _execute_many(self, connection: sa.Connection, statement: str, changes: Sequence[Change]) -> None:
        if changes:
            mark = "%s" if self.database.is_postgresql else "?"
            connection.exec_driver_sql(statement.format(p=mark), list(changes))

    def let_go_of_keys(self, connection: sa.Connection, destination: str, event_ids: Sequence[str]) -> None:
        """Whoever holds these keys holds them no more; what is said of the rows stays."""
        keys = [{"name": destination, "event": event_id} for event_id in event_ids]
        if keys:
            connection.execute(_LET_GO_OF_KEY, keys)

    def delete(self, connection: sa.Connection, run_no: int, destination: str, row_numbers: Sequence[int]) -> None:
        """Take entries of a run out again."""
        for some in chunked(row_numbers):
            mine = _DELETE.where(self.database.one_of(entries.c.row_number, some))
            connection.execute(mine, {"run": run_no, "name": destination})


@cache
def _insert_rows(count: int) -> str:
    return _INSERT.format(rows=f"VALUES {', '.join([_ONE_ROW] * count)}")
