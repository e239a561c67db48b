"""Entries and verdicts in bulk: how a row of a run gets into the database, and who holds a key.

The hot path. So rows and changes are plain tuples, statements go straight to the driver, and nothing is decided here;
see `etl.ledger.claims`.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import sqlalchemy as sa

from etl.ledger.database import LOOKUP, Database, chunked
from etl.ledger.tables import COUNTS_LOCK, HELD, LAST_WORD, PASSED, entries, run_counts, runs, spans, verdicts
from etl.model import Status

NewEntry = tuple[int, str, int, int, int]
"""row_number, event_id, number of the event's name, fingerprint, number of the verdict."""

_AT_ONCE = 500
"""Rows per INSERT on SQLite."""

_CLAIMS_LOCK = 716_320
"""With the destination's hash; the upgrade's lock has one number and is another."""

# Take these rows in, but for those whose row or key is taken. {rows}: a list of values, or arrays to unfold.
_INSERT = """
INSERT INTO entries (run_no, destination_no, row_number, event_id, name_no, fingerprint, verdict_no, state)
{rows} ON CONFLICT DO NOTHING
"""
_UNNEST = """
SELECT {run_no}, {destination_no}, row_number, event_id, name_no, fingerprint, verdict_no, {state}
FROM unnest(%s::bigint[], %s::text[], %s::int[], %s::bigint[], %s::bigint[])
     AS given (row_number, event_id, name_no, fingerprint, verdict_no)
"""

# Of these rows this verdict is said from now on, no longer that one. {p}: the driver's mark for a value.
_SAY_OTHERWISE = """
UPDATE entries SET verdict_no = {p}, state = CASE WHEN state = 1 THEN {p} ELSE state END
WHERE run_no = {p} AND destination_no = {p} AND row_number BETWEEN {p} AND {p} AND verdict_no = {p}
"""

# The rows of this verdict hold their keys no more.
_LET_GO = """
UPDATE entries SET state = {p}
WHERE run_no = {p} AND destination_no = {p} AND row_number BETWEEN {p} AND {p} AND verdict_no = {p} AND state = 1
"""

_NEW_VERDICT = """
INSERT INTO verdicts (verdict_no, run_no, destination_no, first_row, last_row, status, reason, detail, warnings, answer,
                      batch_no, items, bytes, http_status, attempts, sent_at_ms, answered_at_ms, recorded_at_ms)
VALUES ({values})
"""
_SAY = """
UPDATE verdicts SET status = {p}, reason = {p}, detail = {p}, warnings = {p}, answer = {p}, batch_no = {p}, items = {p},
                    bytes = {p}, http_status = {p}, attempts = {p}, sent_at_ms = {p}, answered_at_ms = {p},
                    recorded_at_ms = {p}
WHERE verdict_no = {p}
"""

_DESTINATION = entries.c.destination_no == sa.bindparam("at")
_OF_RUN = (entries.c.run_no == sa.bindparam("run")) & _DESTINATION

# Spelled out, for an index of some rows only is used where the question says which.
_HELD = entries.c.state == sa.text(str(HELD))
_LAST_WORD = entries.c.state == sa.text(str(LAST_WORD))

# Nobody holds this key any more; whoever had the last word on this event has it no more.
_LET_GO_OF_KEY = (sa.update(entries).where(_DESTINATION, entries.c.event_id == sa.bindparam("event"), _HELD)).values(
    state=PASSED
)
_PASS = sa.update(entries).where(_DESTINATION, _LAST_WORD).values(state=PASSED)

_HAS_LAST_WORDS = sa.select(entries.c.row_number).where(_DESTINATION, _LAST_WORD).limit(1)

_DELETE = sa.delete(entries).where(_OF_RUN)
_DELETE_VERDICTS = sa.delete(verdicts)

# What does this run say of its rows at this destination?
_STATUSES = (
    sa.select(entries.c.row_number, verdicts.c.status)
    .join(verdicts, verdicts.c.verdict_no == entries.c.verdict_no)
    .where(_OF_RUN)
)
_SPANS = (
    sa.select(spans.c.first_row, spans.c.last_row, verdicts.c.status)
    .join(verdicts, verdicts.c.verdict_no == spans.c.verdict_no)
    .where(
        spans.c.run_no == sa.bindparam("run"),
        spans.c.destination_no == sa.bindparam("at"),
        spans.c.first_row <= sa.bindparam("last"),
        spans.c.last_row >= sa.bindparam("first"),
    )
)

# Which events are these rows of this run?
_EVENTS = sa.select(entries.c.row_number, entries.c.event_id).where(_OF_RUN)

# This row holds its key, and this is said of it.
_HOLD = (
    sa.update(entries)
    .where(_OF_RUN, entries.c.row_number == sa.bindparam("row"))
    .values(state=HELD, verdict_no=sa.bindparam("verdict"))
)

# Of how many rows do these verdicts still hold the keys?
_STILL_HELD = sa.select(entries.c.verdict_no, sa.func.count()).where(_OF_RUN, _HELD).group_by(entries.c.verdict_no)

# Of which rows does this verdict hold the keys?
_HELD_ROWS = sa.select(entries.c.row_number).where(_OF_RUN, _HELD, entries.c.verdict_no == sa.bindparam("verdict"))

# Who has the last word on these events although nobody holds their keys: which run, and does it reject them?
_LAST_WORDS = (
    sa.select(entries.c.event_id, entries.c.run_no, verdicts.c.status)
    .join(verdicts, verdicts.c.verdict_no == entries.c.verdict_no)
    .where(_DESTINATION, _LAST_WORD)
)

# Which entries hold keys of this destination, and is the run of each still alive? Columns as in `Holder`.
_HOLDERS = (
    sa.select(
        entries.c.event_id,
        entries.c.run_no,
        entries.c.row_number,
        verdicts.c.status,
        verdicts.c.reason,
        entries.c.fingerprint,
        runs.c.run_id,
        runs.c.finished_at_ms,
        runs.c.lease_until_ms,
    )
    .join(runs, runs.c.run_no == entries.c.run_no)
    .join(verdicts, verdicts.c.verdict_no == entries.c.verdict_no)
    .where(_DESTINATION, _HELD)
)

# Which of these keys does what another run has delivered hold, which run is that, and what was it?
_DELIVERED = """
SELECT entries.event_id, runs.run_id, entries.fingerprint
FROM entries JOIN runs ON runs.run_no = entries.run_no JOIN verdicts ON verdicts.verdict_no = entries.verdict_no
WHERE entries.destination_no = {p} AND entries.state = 1 AND entries.run_no <> {p} AND verdicts.status = 'delivered'
  AND entries.event_id {one_of}
"""

_FORGET_COUNTS = sa.delete(run_counts).where(run_counts.c.run_no == sa.bindparam("run"))

# The next numbers of verdicts, for us alone.
_RESERVE = sa.select(sa.func.nextval("verdicts_verdict_no_seq")).select_from(
    sa.func.generate_series(1, sa.bindparam("rows", type_=sa.Integer))
)

# Until the commit: whose turn is it at this destination? And nobody counts this run meanwhile.
_LOCK = sa.select(
    sa.func.pg_advisory_xact_lock(_CLAIMS_LOCK, sa.bindparam("at", type_=sa.Integer)),
    sa.func.pg_advisory_xact_lock_shared(COUNTS_LOCK, sa.bindparam("run", type_=sa.Integer)),
)


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


class NewVerdict(NamedTuple):
    """What is to be said of rows between two of a run; of a request, how it went."""

    verdict_no: int
    first_row: int
    last_row: int
    status: str
    reason: str
    detail: str
    warnings: str | None = None
    answer: str | None = None
    batch_no: int | None = None
    items: int | None = None
    bytes: int | None = None
    http_status: int | None = None
    attempts: int | None = None
    sent_at_ms: int | None = None
    answered_at_ms: int | None = None


def holders(
    database: Database, connection: sa.Connection, destination_no: int, event_ids: Sequence[str]
) -> dict[str, Holder]:
    """Who holds these keys: event_id -> holder."""
    found: dict[str, Holder] = {}
    for some in chunked(event_ids):
        asked = _HOLDERS.where(database.one_of(entries.c.event_id, some))
        for row in connection.execute(asked, {"at": destination_no}):
            found[row[0]] = Holder(*row)
    return found


@dataclass(frozen=True)
class Entries:
    """Bulk statements over entries and verdicts of one run at one destination, within a transaction of others."""

    database: Database
    connection: sa.Connection
    run_no: int
    destination_no: int

    def lock(self) -> None:
        """Until the commit nobody else claims or records at this destination: what is read of holders stays true.

        SQLite's BEGIN IMMEDIATE does it; PostgreSQL would let two transactions take one dead run's key, one after the
        other, each believing what it had read before.
        """
        if self.database.is_postgresql:
            self.connection.execute(_LOCK, self._us)

    def forget_counts(self) -> None:
        """What was counted of this run is no longer so; it is counted again when it ends."""
        self.connection.execute(_FORGET_COUNTS, self._us)

    # -- what is there

    def statuses(self, row_numbers: Sequence[int]) -> dict[int, str]:
        """What this run says by now of these rows, and maybe of others between them: row number -> status."""
        if not row_numbers:
            return {}
        found = {row[0]: row[1] for row in self.connection.execute(*self._of_rows(_STATUSES, row_numbers))}
        first, last = min(row_numbers), max(row_numbers)
        for span_first, span_last, status in self.connection.execute(
            _SPANS, {**self._us, "first": first, "last": last}
        ):
            found |= dict.fromkeys(range(max(first, span_first), min(last, span_last) + 1), status)
        return found

    def still_held(self, row_numbers: Sequence[int]) -> dict[int, int]:
        """Of how many of these rows, and maybe of others between them, each verdict still holds the keys."""
        if not row_numbers:
            return {}
        return {row[0]: row[1] for row in self.connection.execute(*self._of_rows(_STILL_HELD, row_numbers))}

    def held_rows(self, row_numbers: Sequence[int], verdict_no: int) -> set[int]:
        """Those of these rows whose keys this verdict still holds."""
        asked, us = self._of_rows(_HELD_ROWS, row_numbers)
        return set(self.connection.execute(asked, {**us, "verdict": verdict_no}).scalars())

    def holders(self, event_ids: Sequence[str]) -> dict[str, Holder]:
        """Who holds these keys: event_id -> holder."""
        return holders(self.database, self.connection, self.destination_no, event_ids)

    def delivered_before(self, event_ids: Sequence[str]) -> dict[str, tuple[str, int]]:
        """Those of these events that other runs have delivered: event_id -> (run_id, fingerprint)."""
        found: dict[str, tuple[str, int]] = {}
        for some in chunked(event_ids):
            # SQLAlchemy takes as long to write ten thousand marks as SQLite does to answer.
            mark, one_of = (
                ("%s", "= ANY(%s)") if self.database.is_postgresql else ("?", f"IN ({', '.join('?' * len(some))})")
            )
            given: tuple[Any, ...] = (list(some),) if self.database.is_postgresql else tuple(some)
            asked, values = _DELIVERED.format(p=mark, one_of=one_of), (self.destination_no, self.run_no, *given)
            for event_id, run_id, fingerprint in self.connection.exec_driver_sql(asked, values).all():
                found[event_id] = (run_id, fingerprint)
        return found

    def last_words(self, event_ids: Iterable[str]) -> dict[str, tuple[int, str]]:
        """Who has the last word on those of these events whose keys nobody holds: event_id -> (run_no, status)."""
        found: dict[str, tuple[int, str]] = {}
        if self._has_last_words():
            for some in chunked(list(event_ids)):
                asked = _LAST_WORDS.where(self.database.one_of(entries.c.event_id, some))
                rows = self.connection.execute(asked, self._us)
                found |= {event_id: (run_no, status) for event_id, run_no, status in rows}
        return found

    def _has_last_words(self) -> bool:
        return self.connection.execute(_HAS_LAST_WORDS, self._us).first() is not None

    @property
    def _us(self) -> dict[str, Any]:
        return {"run": self.run_no, "at": self.destination_no}

    def _of_rows(self, question: sa.Select[Any], row_numbers: Sequence[int]) -> tuple[sa.Select[Any], dict[str, Any]]:
        """A range of the primary key is cheaper than a list, even where some of its rows are of no interest."""
        first, last, row = min(row_numbers), max(row_numbers), entries.c.row_number
        dense = last - first < 4 * len(row_numbers) or len(row_numbers) > LOOKUP
        return question.where(row.between(first, last) if dense else self.database.one_of(row, row_numbers)), self._us

    # -- entries

    def insert(self, rows: Sequence[NewEntry], state: int) -> int:
        """Insert entries, leaving out those whose row or key is taken; how many went in."""
        if not rows:
            return 0
        if self.database.is_postgresql:
            # In the order of their keys, so that two runs over the same rows wait for each other, never in a circle.
            ordered = sorted(rows, key=operator.itemgetter(1))
            columns = tuple(list(column) for column in zip(*ordered, strict=True))
            unfolded = _UNNEST.format(run_no=self.run_no, destination_no=self.destination_no, state=state)
            return self.connection.exec_driver_sql(_INSERT.format(rows=unfolded), columns).rowcount
        # One statement for many rows: measured twice as fast as executemany, three times beside busy threads, because
        # Python's SQLite gives up the interpreter and takes it back at every row of an executemany.
        one_row = f"({self.run_no}, {self.destination_no}, ?, ?, ?, ?, ?, {state})"
        return sum(
            self.connection.exec_driver_sql(
                _INSERT.format(rows=f"VALUES {', '.join([one_row] * len(some))}"), tuple(chain.from_iterable(some))
            ).rowcount
            for some in chunked(rows, _AT_ONCE)
        )

    def say_otherwise(self, changes: Sequence[tuple[int, int, int, int, bool]]) -> None:
        """Give rows another verdict: (old verdict, new one, first row, last row, whether they go on holding keys)."""
        values = [
            (new, HELD if held else LAST_WORD, self.run_no, self.destination_no, first, last, old)
            for old, new, first, last, held in changes
        ]
        self._execute_many(_SAY_OTHERWISE, values)

    def let_go(self, changes: Sequence[tuple[int, int, int]]) -> None:
        """All rows of these verdicts let go of their keys and have the last word: (verdict, first row, last row)."""
        values = [
            (LAST_WORD, self.run_no, self.destination_no, first, last, verdict_no)
            for verdict_no, first, last in changes
        ]
        self._execute_many(_LET_GO, values)

    def let_go_of_keys(self, event_ids: Sequence[str]) -> None:
        """Whoever holds these keys holds them no more; what is said of the rows stays."""
        keys = [{"at": self.destination_no, "event": event_id} for event_id in event_ids]
        if keys:
            self.connection.execute(_LET_GO_OF_KEY, keys)

    def outweigh(self, event_ids: Iterable[str]) -> None:
        """Whoever has the last word on these events without holding their keys has it no more."""
        if self._has_last_words():
            for some in chunked(list(event_ids)):
                self.connection.execute(_PASS.where(self.database.one_of(entries.c.event_id, some)), self._us)

    def hold_delivered(self, row_numbers: Sequence[int], verdict_no: int) -> None:
        """Let rows of this run hold their keys and give them this verdict, where none holds them that is delivered.

        Who holds one without knowing whether it was accepted lets go of it: this one was.
        """
        ours = {*row_numbers}
        rows = self.connection.execute(*self._of_rows(_EVENTS, row_numbers)).all()
        wanted = {event_id: number for number, event_id in rows if number in ours}
        held = self.holders(list(wanted))
        delivered = {event_id for event_id, holder in held.items() if holder.status == Status.DELIVERED.value}
        self.let_go_of_keys([event_id for event_id in held if event_id not in delivered])
        self.outweigh(wanted.keys() - delivered)
        now_held = [
            {**self._us, "row": number, "verdict": verdict_no} for e, number in wanted.items() if e not in delivered
        ]
        if now_held:
            self.connection.execute(_HOLD, now_held)

    def delete(self, row_numbers: Sequence[int]) -> None:
        """Take entries of this run out again."""
        for some in chunked(row_numbers):
            self.connection.execute(_DELETE.where(self.database.one_of(entries.c.row_number, some)), self._us)

    # -- verdicts

    def reserve(self, count: int) -> list[int]:
        """So many numbers for new verdicts, ascending; nobody else gets them."""
        if not count:
            return []
        if self.database.is_postgresql:
            return sorted(self.connection.execute(_RESERVE, {"rows": count}).scalars())
        highest = self.connection.execute(sa.select(sa.func.max(verdicts.c.verdict_no))).scalar() or 0
        return list(range(highest + 1, highest + 1 + count))

    def insert_verdicts(self, new: Sequence[NewVerdict], at_ms: int) -> None:
        """Write verdicts down that are said of rows from now on."""
        values = [(v[0], self.run_no, self.destination_no, *v[1:], at_ms) for v in new]
        self._execute_many(_NEW_VERDICT.format(values=", ".join(["{p}"] * 18)), values)

    def overwrite_verdicts(self, new: Sequence[NewVerdict], at_ms: int) -> None:
        """Say something else of the rows of which these verdicts are said."""
        self._execute_many(_SAY, [(*v[3:], at_ms, v[0]) for v in new])

    def delete_verdicts(self, numbers: Sequence[int]) -> None:
        """Take verdicts out again that are said of no row."""
        for some in chunked(numbers):
            self.connection.execute(_DELETE_VERDICTS.where(self.database.one_of(verdicts.c.verdict_no, some)))

    def _execute_many(self, statement: str, values: Sequence[tuple[Any, ...]]) -> None:
        if values:
            mark = "%s" if self.database.is_postgresql else "?"
            self.connection.exec_driver_sql(statement.format(p=mark), list(values))
