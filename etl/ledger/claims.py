"""Claims: a key is taken before anything is sent, and overwritten with the last word on it.

At most one entry *holds* a key (destination, event_id): the delivered one, or the one that may have been accepted. That
is a unique index, so two runs, or two machines, cannot both win a key.
"""

from __future__ import annotations

import operator
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, repeat
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from etl.ledger.database import LOOKUP, parts, retry_on_disconnect
from etl.ledger.runs import Runs
from etl.ledger.tables import ENTRY, batches, entries, runs
from etl.ledger.values import Sent, now_ms
from etl.model import Item, Status, Verdict

_CLAIMS_LOCK = 716_320  # with the destination's hash; the upgrade's lock has one number and is another
_AT_ONCE = 500  # rows per INSERT on SQLite
_HOLDS = frozenset({Status.DELIVERED, Status.UNKNOWN})
ELSEWHERE = (Status.DUPLICATE.value, "in_flight_elsewhere")
"""Status and reason of rows that another run may be sending; what became of them is not known yet."""
_IN_FLIGHT = Verdict(Status.UNKNOWN, "in_flight")  # written for every row, so its sentence is in the view

_ARRAYS = ", ".join("%s::bigint[]" if isinstance(entries.c[n].type, sa.BigInteger) else "%s::text[]" for n in ENTRY)
_INSERT_POSTGRESQL = f"INSERT INTO entries ({', '.join(ENTRY)}) SELECT * FROM unnest({_ARRAYS}) ON CONFLICT DO NOTHING"  # noqa: S608
_PLACES = f"({', '.join('?' * len(ENTRY))})"
# `held` is left alone where the entry goes on holding its key: naming it would rewrite the index of a million rows.
_OVERWRITE = (
    "UPDATE entries SET status = ?, reason = ?, detail = ?, batch_id = ?, recorded_at_ms = ? "
    "WHERE run_no = ? AND destination = ? AND row_number BETWEEN ? AND ?"
)
_LET_GO = _OVERWRITE.replace(" WHERE", ", held = 0 WHERE")


class Claims(Runs):
    """The part of the ledger that decides who may send what, and writes down what came of it."""

    @retry_on_disconnect
    def record_unsent(
        self, run_no: int, destinations: Iterable[str], rows: Sequence[tuple[int, str, str, Verdict]]
    ) -> None:
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
        self, run_no: int, destination: str, items: Sequence[Item], *, repeatable: bool, force_unknown: bool = False
    ) -> list[Item]:
        """Take the keys of these items for this run, before anything is sent; return the ones won.

        Won items stand in the ledger as ``unknown`` (``in_flight``). An item that another entry holds is written down
        as ``duplicate`` — or, where nobody knows whether it was accepted, taken over when the vendor is ``repeatable``
        or a person insists, and left ``unknown`` otherwise. Items that this run has already settled are left alone.
        """
        won = self._lastingly(lambda: self._claim(run_no, destination, items, repeatable or force_unknown))
        order = {item.row_number: place for place, item in enumerate(items)}
        return sorted(won, key=lambda item: order[item.row_number])

    def _claim(self, run_no: int, destination: str, items: Sequence[Item], may_repeat: bool) -> list[Item]:
        at = now_ms()
        with self._writing() as connection:
            self._destination_lock(connection, destination)
            self._sign_of_life(connection, run_no, at)
            fresh, again = self._split_new_and_retry(connection, run_no, destination, items, may_repeat)
            held = self._insert_claims(connection, run_no, destination, fresh, at)
            won = self._resolve_conflicts(connection, run_no, destination, fresh, held, may_repeat, at)
            return self._reclaim(connection, run_no, destination, again, may_repeat, at) + won

    def _split_new_and_retry(
        self, connection: sa.Connection, run_no: int, destination: str, items: Sequence[Item], may_repeat: bool
    ) -> tuple[list[Item], list[Item]]:
        """Split into items this run has not seen, and items of an earlier try that may go again."""
        numbers = [item.row_number for item in items]
        if not numbers:
            return [], []
        dense = max(numbers) - min(numbers) < 4 * len(numbers) or len(numbers) > LOOKUP
        row = entries.c.row_number
        asked = sa.select(row, entries.c.status, entries.c.reason).where(
            entries.c.run_no == run_no,
            entries.c.destination == destination,
            row.between(min(numbers), max(numbers)) if dense else self._in(row, numbers),
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

    def _resolve_conflicts(
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
            sa.update(entries)
            .where(
                entries.c.destination == sa.bindparam("d"),
                entries.c.event_id == sa.bindparam("e"),
                entries.c.held == 1,
            )
            .values(held=0),
            keys,
        )
        rows = [item.row_number for item in free]
        mine = (entries.c.run_no == run_no) & (entries.c.destination == destination)
        for part in parts(rows):
            connection.execute(sa.delete(entries).where(mine & self._in(entries.c.row_number, part)))
        self._insert(connection, _claims(run_no, destination, free, at))
        return free

    def record(self, run_no: int, destination: str, sent: Sequence[Sent]) -> None:
        """Overwrite claims with the last word on them, and write the batches down."""
        at = now_ms()
        requests, changes = [], []
        for batch in sent:
            batch_id = secrets.token_hex(8) if batch.attempts else None
            if batch_id:
                requests.append(_batch(batch_id, run_no, destination, batch))
            changes += [
                (verdict.status.value, verdict.reason, verdict.detail, batch_id, at, run_no, destination, first, last)
                for verdict, first, last in _spans(batch)
            ]
        self._lastingly(lambda: self._record(run_no, destination, at, requests, changes), locked=True)

    def _record(
        self, run_no: int, destination: str, at: int, requests: list[dict[str, Any]], changes: list[tuple[Any, ...]]
    ) -> None:
        """May be done twice: a connection that breaks at the commit tells nobody whether it was made."""
        insert = sqlite.insert if self.engine.dialect.name == "sqlite" else postgresql.insert
        with self._writing() as connection:
            self._destination_lock(connection, destination)
            self._sign_of_life(connection, run_no, at)
            if requests:
                connection.execute(insert(batches).on_conflict_do_nothing(), requests)
            letting_go = [change for change in changes if change[0] not in _HOLDS]
            self._many(connection, _OVERWRITE, [change for change in changes if change[0] in _HOLDS])
            self._many(connection, _LET_GO, letting_go)

    def _destination_lock(self, connection: sa.Connection, destination: str) -> None:
        """Until the commit nobody else claims or records at this destination: what is read of holders stays true.

        SQLite's BEGIN IMMEDIATE does it; PostgreSQL would let two transactions take one dead run's key, one after the
        other, each believing what it had read before.
        """
        if self.engine.dialect.name == "postgresql":
            locked = sa.func.pg_advisory_xact_lock(_CLAIMS_LOCK, sa.func.hashtext(destination))
            connection.execute(sa.select(locked))

    def _holders(self, connection: sa.Connection, destination: str, event_ids: Sequence[str]) -> dict[str, Any]:
        columns = (
            *(entries.c[name] for name in ("event_id", "run_no", "row_number", "status", "reason", "fingerprint")),
            *(runs.c[name] for name in ("run_id", "finished_at_ms", "lease_until_ms")),
        )
        found: dict[str, Any] = {}
        for part in parts(event_ids):
            asked = (
                sa.select(*columns)
                .join(runs, runs.c.run_no == entries.c.run_no)
                .where(
                    entries.c.destination == destination,
                    entries.c.held == 1,
                    self._in(entries.c.event_id, part),
                )
            )
            found |= {row.event_id: row for row in connection.execute(asked)}
        return found

    def _insert(self, connection: sa.Connection, values: list[tuple[Any, ...]]) -> int:
        """Insert entries, leaving out those whose row or key is taken; how many went in."""
        if self.engine.dialect.name == "sqlite":
            return sum(self._insert_sqlite(connection, part) for part in parts(values, _AT_ONCE))
        # In the order of their keys, so that two runs over the same rows wait for each other and never in a circle.
        columns = [list(column) for column in zip(*sorted(values, key=operator.itemgetter(1, 3)), strict=True)]
        return int(connection.exec_driver_sql(_INSERT_POSTGRESQL, tuple(columns)).rowcount)

    def _insert_sqlite(self, connection: sa.Connection, values: Sequence[tuple[Any, ...]]) -> int:
        # One statement for many rows: measured twice as fast as executemany, three times beside busy threads, because
        # Python's SQLite gives up the interpreter and takes it back at every row of an executemany.
        rows = ", ".join([_PLACES] * len(values))
        statement = f"INSERT INTO entries ({', '.join(ENTRY)}) VALUES {rows} ON CONFLICT DO NOTHING"  # noqa: S608
        return int(connection.exec_driver_sql(statement, tuple(chain.from_iterable(values))).rowcount)

    def _many(self, connection: sa.Connection, statement: str, values: list[tuple[Any, ...]]) -> None:
        if not values:
            return
        mark = "?" if self.engine.dialect.paramstyle == "qmark" else "%s"
        connection.exec_driver_sql(statement.replace("?", mark), values)


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
    """One row of ``entries`` in the order of `ENTRY`."""
    told = (verdict.status.value, verdict.reason, verdict.detail)
    return (run_no, destination, row_number, event_id, event_name, *told, held, fingerprint, at)


def _claims(run_no: int, destination: str, items: Sequence[Item], at: int) -> list[tuple[Any, ...]]:
    """Rows of ``entries`` for items about to be sent; spelled out, because this is done for every row there is."""
    status, reason = _IN_FLIGHT.status.value, _IN_FLIGHT.reason
    return [
        (run_no, destination, row_number, event_id, event_name, status, reason, "", 1, fingerprint, at)
        for row_number, event_id, event_name, _, fingerprint, _, _, _, _, _ in items
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
    waiting = holder.reason == _IN_FLIGHT.reason and holder.finished_at_ms is None and holder.lease_until_ms > at
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
