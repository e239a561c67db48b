"""Results: what the ledger says of rows, counted, listed or one by one."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from etl.ledger.claims import Claims
from etl.ledger.database import parts, retry_on_disconnect
from etl.ledger.tables import RESULT_COLUMNS, entries, run_destinations, runs
from etl.model import Status

_WORDS = ("status", "reason", "detail")


class Results(Claims):
    """The part of the ledger that answers questions about rows."""

    def counts(self, run_no: int) -> dict[str, dict[tuple[str, str], int]]:
        """Per destination: (status, reason) -> rows."""
        found: dict[str, dict[tuple[str, str], int]] = {name: {} for name in self.destinations(run_no)}
        for destination, status, reason, count in self._counted(run_no):
            found.setdefault(destination, {})[status, reason] = count
        return found

    @retry_on_disconnect
    def _counted(self, run_no: int) -> Sequence[Any]:
        told = (entries.c.destination, entries.c.status, entries.c.reason)
        asked = sa.select(*told, sa.func.count()).where(entries.c.run_no == run_no).group_by(*told)
        with self._reading() as connection:
            return connection.execute(asked).all()

    def first_details(self, run_id: str) -> dict[tuple[str, str, str], str]:
        """(destination, status, reason) -> a detail that a row of this run carries, as an example of them."""
        names = ("run_id", "destination", "status", "reason", "detail")
        view = sa.table("result_history", *(sa.column(name) for name in names))
        group = [view.c[name] for name in ("destination", "status", "reason")]
        asked = sa.select(*group, sa.func.min(view.c.detail)).where(view.c.run_id == run_id).group_by(*group)
        with self._reading() as connection:
            return {(row[0], row[1], row[2]): row[3] for row in connection.execute(asked)}

    def letters(
        self,
        *,
        statuses: Iterable[str],
        import_name: str | None = None,
        run_id: str | None = None,
        destinations: Iterable[str] | None = None,
        no_repeat: Iterable[str] = (),
        part: int = 20_000,
    ) -> Iterator[tuple[str, str, list[int]]]:
        """Dead letters to send again, in parts and in order: (import run, destination, row numbers).

        Rows of a run that repeated another belong to that one; ``run_id`` may name either. ``no_repeat``: destinations
        whose ``unknown`` rows are left out.
        """
        view, wanted = _dead_letters(statuses, import_name, run_id, destinations)
        left_out = (view.c.status == Status.UNKNOWN.value) & view.c.destination.in_(list(no_repeat))
        origin = sa.func.coalesce(runs.c.retry_of, runs.c.run_id)
        columns = (origin, view.c.destination, view.c.row_number)
        asked = sa.select(*columns).select_from(view.join(runs, runs.c.run_id == view.c.run_id))
        asked = asked.where(wanted, ~left_out).distinct().order_by(*columns)
        with self._reading() as connection:
            rows = connection.execution_options(yield_per=part).execute(asked)
            for block in rows.partitions(part):
                for (run, destination), group in groupby(block, key=operator.itemgetter(0, 1)):
                    yield run, destination, [row[2] for row in group]

    def count_letters(
        self,
        *,
        statuses: Iterable[str],
        import_name: str | None = None,
        run_id: str | None = None,
        destinations: Iterable[str] | None = None,
    ) -> dict[str, int]:
        """How many dead letters there are: destination -> rows."""
        view, wanted = _dead_letters(statuses, import_name, run_id, destinations)
        asked = sa.select(view.c.destination, sa.func.count()).where(wanted)
        asked = asked.select_from(view.join(runs, runs.c.run_id == view.c.run_id)).group_by(view.c.destination)
        with self._reading() as connection:
            return {row[0]: row[1] for row in connection.execute(asked)}

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

    def words(
        self, run_nos: Sequence[int], destinations: Iterable[str], first: int, last: int
    ) -> dict[str, dict[int, tuple[str, str, str]]]:
        """What is said of the rows from ``first`` to ``last``: destination -> row -> (status, reason, detail).

        ``run_nos``: a run and those that repeated it; of several that speak of a row the last is believed.
        """
        found: dict[str, dict[int, tuple[str, str, str]]] = {}
        view = sa.table("result_history", *(sa.column(n) for n in ("run_no", "destination", "row_number", *_WORDS)))
        with self._reading() as connection:
            for name in destinations:
                asked = sa.select(view.c.row_number, *(view.c[n] for n in _WORDS)).where(
                    view.c.run_no.in_(run_nos), view.c.destination == name, view.c.row_number.between(first, last)
                )
                asked = asked.order_by(view.c.run_no)
                found[name] = {row[0]: (row[1], row[2], row[3]) for row in connection.execute(asked)}
        return found

    def unfit_rows(self, run_no: int, besides: Sequence[str]) -> int:
        """While nothing is sent: rows that every destination turned away, not only because they are unwanted.

        Entries with one of the reasons ``besides`` do not count.
        """
        everywhere = sa.select(sa.func.count()).select_from(run_destinations).where(run_destinations.c.run_no == run_no)
        rejected = sa.func.sum(sa.case((entries.c.status == Status.REJECTED.value, 1), else_=0))
        unfit = (
            sa.select(entries.c.row_number)
            .where(entries.c.run_no == run_no, entries.c.reason.not_in(besides))
            .group_by(entries.c.row_number)
            .having(sa.and_(sa.func.count() == everywhere.scalar_subquery(), rejected > 0))
        )
        with self._reading() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(unfit.subquery())).scalar_one())

    @retry_on_disconnect
    def failed_before(self, run_no: int, destination: str, event_ids: Sequence[str]) -> dict[str, str]:
        """Which of these events an earlier run failed to deliver: event_id -> run_id, the first of them."""
        found: dict[str, str] = {}
        with self._reading() as connection:
            for part in parts(event_ids):
                asked = (
                    sa.select(entries.c.event_id, runs.c.run_id)
                    .join(runs, runs.c.run_no == entries.c.run_no)
                    .where(entries.c.destination == destination, entries.c.run_no < run_no)
                    .where(entries.c.status == Status.FAILED.value, self._in(entries.c.event_id, part))
                    .order_by(entries.c.run_no.desc())
                )
                found |= {row.event_id: row.run_id for row in connection.execute(asked)}
        return found

    @retry_on_disconnect
    def delivered_by(self, destination: str, event_ids: Sequence[str]) -> dict[str, str]:
        """Which of these events a destination has taken: event_id -> run_id."""
        with self._reading() as connection:
            holders = self._holders(connection, destination, event_ids)
        return {e: row.run_id for e, row in holders.items() if row.status == Status.DELIVERED.value}


def _dead_letters(
    statuses: Iterable[str], import_name: str | None, run_id: str | None, destinations: Iterable[str] | None
) -> tuple[sa.TableClause, sa.ColumnElement[bool]]:
    """The view, and which of its rows are asked for; the runs they belong to are joined."""
    names = ("run_id", "import", "destination", "status", "row_number")
    view = sa.table("dead_letters", *(sa.column(name) for name in names))
    wanted: sa.ColumnElement[bool] = view.c.status.in_(list(statuses))
    if import_name is not None:
        wanted &= view.c["import"] == import_name
    if run_id is not None:
        wanted &= (runs.c.run_id == run_id) | (runs.c.retry_of == run_id)
    if destinations is not None:
        wanted &= view.c.destination.in_(list(destinations))
    return view, wanted


def _readable(row: dict[str, Any]) -> dict[str, Any]:
    for name in ("sent_at", "recorded_at"):
        if isinstance(row[name], datetime):
            row[name] = f"{row[name].astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{row[name].microsecond // 1000:03d}Z"
    return row
