"""Results: what the ledger says of rows, counted, listed or one by one."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from etl import reasons
from etl.ledger import result_table, spans
from etl.ledger.database import Database, chunked, retry_on_disconnect
from etl.ledger.entries import Holder, holders
from etl.ledger.numbers import Numbers
from etl.ledger.tables import (
    COUNTS,
    LAST_WORD,
    dead_letters,
    destinations,
    entries,
    result_history,
    run_counts,
    run_destinations,
    runs,
    verdicts,
)
from etl.ledger.values import DeadLetters, RowResult
from etl.model import Item, Status, fingerprint_version

_RUN: sa.BindParameter[int] = sa.bindparam("run")
_AT: sa.BindParameter[int] = sa.bindparam("at")
_VERDICT = verdicts.c.verdict_no == entries.c.verdict_no

# Which destinations does this run deliver to?
_DESTINATIONS = sa.select(run_destinations.c.destination).where(run_destinations.c.run_no == _RUN)

# How many rows of this run have each status and reason, at each destination? As it was counted when the run ended.
_COUNTED = (
    sa.select(destinations.c.name, run_counts.c.status, run_counts.c.reason, run_counts.c.row_count)
    .join(destinations, destinations.c.destination_no == run_counts.c.destination_no)
    .where(run_counts.c.run_no == _RUN)
)

# The same, counted now.
_COUNTS = (
    sa.select(destinations.c.name, verdicts.c.status, verdicts.c.reason, sa.func.sum(COUNTS.c.row_count))
    .select_from(COUNTS)
    .join(verdicts, verdicts.c.verdict_no == COUNTS.c.verdict_no)
    .join(destinations, destinations.c.destination_no == COUNTS.c.destination_no)
    .group_by(destinations.c.name, verdicts.c.status, verdicts.c.reason)
)

# What is an example of a sentence that rows with this status and reason carry, at each destination of this run?
_FIRST_DETAILS = (
    sa.select(
        result_history.c.destination,
        result_history.c.status,
        result_history.c.reason,
        sa.func.min(result_history.c.detail).label("detail"),
    )
    .where(result_history.c.run_no == _RUN)
    .group_by(result_history.c.destination, result_history.c.status, result_history.c.reason)
)

# What is an example of what each destination of this run answered to rows with this status and reason?
_FIRST_ANSWERS = (
    sa.select(destinations.c.name, verdicts.c.status, verdicts.c.reason, sa.func.min(verdicts.c.answer).label("answer"))
    .join(destinations, destinations.c.destination_no == verdicts.c.destination_no)
    .where(verdicts.c.run_no == _RUN, verdicts.c.answer.is_not(None))
    .group_by(destinations.c.name, verdicts.c.status, verdicts.c.reason)
)

# What did these runs, in their order, say of these rows at this destination?
_ROW_RESULTS = (
    sa.select(
        result_history.c.run_no,
        result_history.c.position,
        result_history.c.status,
        result_history.c.reason,
        result_history.c.detail,
    )
    .where(
        result_history.c.run_no.in_(sa.bindparam("runs", expanding=True)),
        result_history.c.destination == sa.bindparam("name"),
        result_history.c.position.between(sa.bindparam("first"), sa.bindparam("last")),
    )
    .order_by(result_history.c.run_no)
)

# How many rows did every destination of this run turn away, at least one by a rejection? Some reasons do not count.
_UNFIT_ROWS = sa.select(sa.func.count()).select_from(
    sa.select(entries.c.row_number)
    .join(verdicts, _VERDICT)
    .where(entries.c.run_no == _RUN, verdicts.c.reason.not_in(sa.bindparam("besides", expanding=True)))
    .group_by(entries.c.row_number)
    .having(
        sa.func.count()
        == sa.select(sa.func.count())
        .select_from(run_destinations)
        .where(run_destinations.c.run_no == _RUN)
        .scalar_subquery(),
        sa.func.sum(sa.case((verdicts.c.status == Status.REJECTED.value, 1), else_=0)) > 0,
    )
    .subquery()
)

# Which events failed at this destination before this run, and in which run?
_FAILED_BEFORE = (
    sa.select(entries.c.event_id, runs.c.run_id)
    .join(runs, runs.c.run_no == entries.c.run_no)
    .join(verdicts, _VERDICT)
    .where(
        entries.c.destination_no == _AT,
        entries.c.state == sa.text(str(LAST_WORD)),
        entries.c.run_no < _RUN,
        verdicts.c.status == Status.FAILED.value,
    )
)

_ORIGIN = sa.func.coalesce(runs.c.retry_of, runs.c.run_id)
_DEAD_LETTERS = dead_letters.join(runs, runs.c.run_id == dead_letters.c.run_id)

# Which rows are dead letters, of which import run? In order.
_LIST_DEAD_LETTERS = (
    sa.select(_ORIGIN, dead_letters.c.destination, dead_letters.c.position)
    .select_from(_DEAD_LETTERS)
    .distinct()
    .order_by(_ORIGIN, dead_letters.c.destination, dead_letters.c.position)
)

# How many dead letters does each destination have?
_COUNT_DEAD_LETTERS = (
    sa.select(dead_letters.c.destination, sa.func.count().label("rows"))
    .select_from(_DEAD_LETTERS)
    .group_by(dead_letters.c.destination)
)


@dataclass(frozen=True)
class Results:
    """The part of the ledger that answers questions about rows."""

    database: Database
    numbers: Numbers

    @retry_on_disconnect
    def counts(self, run_no: int) -> dict[str, dict[tuple[str, str], int]]:
        """Per destination: (status, reason) -> rows."""
        with self.database.reading() as connection:
            names = sorted(connection.execute(_DESTINATIONS, {"run": run_no}).scalars())
            rows = connection.execute(_COUNTED, {"run": run_no}).all() or connection.execute(_COUNTS, {"run": run_no})
            found: dict[str, dict[tuple[str, str], int]] = {name: {} for name in names}
            for destination, status, reason, count in rows:
                found.setdefault(destination, {})[status, reason] = int(count)
        return found

    def first_details(self, run_no: int) -> dict[tuple[str, str, str], str]:
        """(destination, status, reason) -> a detail that a row of this run carries, as an example of them."""
        with self.database.reading() as connection:
            rows = connection.execute(_FIRST_DETAILS, {"run": run_no})
            found = {(row.destination, row.status, row.reason): row.detail for row in rows}
            for span in connection.execute(spans.OF_RUN, {"run": run_no}):
                found.setdefault((span.destination, span.status, span.reason), span.detail)
        return found

    def first_answers(self, run_no: int) -> dict[tuple[str, str, str], str]:
        """(destination, status, reason) -> what the vendor answered to such rows of this run, as an example."""
        with self.database.reading() as connection:
            rows = connection.execute(_FIRST_ANSWERS, {"run": run_no})
            return {(row.name, row.status, row.reason): row.answer for row in rows}

    def table(
        self,
        *,
        run_ids: Sequence[str] | None,
        import_name: str | None = None,
        destinations: Sequence[str] | None = None,
        statuses: Sequence[str] | None = None,
        block: int = 20_000,
    ) -> Iterator[list[dict[str, Any]]]:
        """The result table of these runs (None: of all), in blocks, ordered by run, destination, row."""
        wanted = {"run_id": run_ids, "import": [import_name] if import_name is not None else None}
        wanted |= {"destination": destinations, "status": statuses}
        with self.database.reading() as connection:
            streaming = connection.execution_options(yield_per=block)
            yield from result_table.blocks(streaming, self.database, wanted, block)

    def row_results(
        self, run_nos: Sequence[int], destinations: Iterable[str], first: int, last: int
    ) -> dict[str, dict[int, RowResult]]:
        """What is said of the rows from ``first`` to ``last``: destination -> row number -> result.

        ``run_nos``: a run and those that repeated it; of several that speak of a row the last is believed.
        """
        found: dict[str, dict[int, RowResult]] = {}
        with self.database.reading() as connection:
            for name in destinations:
                asked = {"runs": list(run_nos), "name": name, "first": first, "last": last}
                said = [(run, n, RowResult(*told)) for run, n, *told in connection.execute(_ROW_RESULTS, asked)]
                for span in connection.execute(spans.OF_ROWS, asked):
                    told = RowResult(span.status, span.reason, span.detail)
                    rows = range(max(first, span.first_row), min(last, span.last_row) + 1)
                    said += [(span.run_no, number, told) for number in rows]
                found[name] = {number: told for _, number, told in sorted(said, key=operator.itemgetter(0))}
        return found

    def unfit_rows(self, run_no: int, besides: Sequence[str]) -> int:
        """While nothing is sent: rows that every destination turned away, not only because they are unwanted.

        Entries with one of the reasons ``besides`` do not count.
        """
        with self.database.reading() as connection:
            return connection.execute(_UNFIT_ROWS, {"run": run_no, "besides": list(besides)}).scalar_one()

    @retry_on_disconnect
    def failed_before(self, run_no: int, destination: str, event_ids: Sequence[str]) -> dict[str, str]:
        """Which of these events an earlier run was the last to speak of and failed to deliver: event_id -> run_id."""
        found: dict[str, str] = {}
        at = self.numbers.known_destination(destination)
        with self.database.reading() as connection:
            for some in chunked(event_ids):
                asked = _FAILED_BEFORE.where(self.database.one_of(entries.c.event_id, some))
                rows = connection.execute(asked, {"run": run_no, "at": at})
                found |= {row.event_id: row.run_id for row in rows}
        return found

    @retry_on_disconnect
    def delivered_by(self, destination: str, event_ids: Sequence[str]) -> dict[str, str]:
        """Which of these events a destination has taken: event_id -> run_id."""
        at = self.numbers.known_destination(destination)
        with self.database.reading() as connection:
            found = holders(self.database, connection, at, event_ids)
        return {e: holder.run_id for e, holder in found.items() if holder.status == Status.DELIVERED.value}

    @retry_on_disconnect
    def taken(
        self, destination: str, items: Sequence[Item], *, repeatable: bool, at_ms: int
    ) -> dict[int, tuple[str, str]]:
        """Which of these items no run of this moment would send, as others hold their keys: row -> (status, reason).

        What `etl.ledger.claims` would say of them; nothing is claimed.
        """
        at = self.numbers.known_destination(destination)
        ids = list(
            dict.fromkeys([*(i.event_id for i in items), *(i.other_event_id for i in items if i.other_event_id)])
        )
        with self.database.reading() as connection:
            held = holders(self.database, connection, at, ids)
        said = {}
        for item in items if held else ():
            other = held.get(item.other_event_id) if item.other_event_id else None
            holder = other or held.get(item.event_id)
            if holder and (word := _of_holder(holder, item, repeatable=repeatable and not other, at_ms=at_ms)):
                said[item.row_number] = word
        return said

    @retry_on_disconnect
    def go_first(
        self, import_name: str, destination: str, event_ids: Sequence[str], *, statuses: Sequence[str]
    ) -> set[str]:
        """Which of these events are dead letters of this import in one of these statuses."""
        found: set[str] = set()
        with self.database.reading() as connection:
            for some in chunked(event_ids):
                asked = sa.select(dead_letters.c.event_id).where(
                    dead_letters.c["import"] == import_name,
                    dead_letters.c.destination == destination,
                    dead_letters.c.status.in_(list(statuses)),
                    self.database.one_of(dead_letters.c.event_id, some),
                )
                found |= set(connection.execute(asked).scalars())
        return found

    def dead_letters(
        self,
        *,
        statuses: Iterable[str],
        import_name: str | None = None,
        run_id: str | None = None,
        destinations: Iterable[str] | None = None,
        no_repeat: Iterable[str] = (),
        block: int = 20_000,
    ) -> Iterator[DeadLetters]:
        """Dead letters to send again, in blocks and in order.

        Rows of a run that repeated another belong to that one; ``run_id`` may name either. ``no_repeat``: destinations
        whose ``unknown`` rows are left out.
        """
        unknown = dead_letters.c.status == Status.UNKNOWN.value
        asked = _LIST_DEAD_LETTERS.where(_wanted(statuses, import_name, run_id, destinations))
        asked = asked.where(~(unknown & dead_letters.c.destination.in_(list(no_repeat))))
        with self.database.reading() as connection:
            rows = connection.execution_options(yield_per=block).execute(asked)
            for some in rows.partitions(block):
                for (run, destination), group in groupby(some, key=operator.itemgetter(0, 1)):
                    yield DeadLetters(run, destination, [number for _, _, number in group])

    def count_dead_letters(
        self,
        *,
        statuses: Iterable[str],
        import_name: str | None = None,
        run_id: str | None = None,
        destinations: Iterable[str] | None = None,
    ) -> dict[str, int]:
        """How many dead letters there are: destination -> rows."""
        asked = _COUNT_DEAD_LETTERS.where(_wanted(statuses, import_name, run_id, destinations))
        with self.database.reading() as connection:
            return {row.destination: row.rows for row in connection.execute(asked)}


def _of_holder(holder: Holder, item: Item, *, repeatable: bool, at_ms: int) -> tuple[str, str] | None:
    """What is said of an item whose key another holds; None where it would be taken over."""
    if holder.status == Status.DELIVERED.value:
        both = holder.fingerprint and item.fingerprint
        same_kind = both and fingerprint_version(holder.fingerprint) == fingerprint_version(item.fingerprint)
        differ = same_kind and holder.fingerprint != item.fingerprint
        reason = reasons.CHANGED_AFTER_DELIVERY if differ else reasons.ALREADY_DELIVERED
        return Status.DUPLICATE.value, reason.code
    in_flight = holder.reason == reasons.IN_FLIGHT.code and holder.finished_at_ms is None
    if in_flight and holder.lease_until_ms > at_ms:
        return Status.DUPLICATE.value, reasons.IN_FLIGHT_ELSEWHERE.code
    return None if repeatable else (Status.UNKNOWN.value, reasons.WAITING_FOR_A_PERSON.code)


def _wanted(
    statuses: Iterable[str], import_name: str | None, run_id: str | None, destinations: Iterable[str] | None
) -> sa.ColumnElement[bool]:
    """Which dead letters are asked for; the runs they belong to are joined."""
    wanted: sa.ColumnElement[bool] = dead_letters.c.status.in_(list(statuses))
    if import_name is not None:
        wanted &= dead_letters.c["import"] == import_name
    if run_id is not None:
        wanted &= (runs.c.run_id == run_id) | (runs.c.retry_of == run_id)
    if destinations is not None:
        wanted &= dead_letters.c.destination.in_(list(destinations))
    return wanted
