"""Claims: a key is taken before anything is sent, and overwritten with the last word on it.

At most one entry *holds* a key (destination, event_id): the delivered one, or the one that may have been accepted. That
is a unique index, so two runs, or two machines, cannot both win a key.
"""

from __future__ import annotations

import operator
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from etl import reasons
from etl.clock import Clock
from etl.ledger.database import Database, retry_on_disconnect
from etl.ledger.entries import Change, Entries, Holder, NewEntry, holders
from etl.ledger.leases import Leases
from etl.ledger.tables import batches
from etl.ledger.values import Sent
from etl.model import Item, RowVerdict, Status, Verdict, fingerprint_version

ELSEWHERE = (Status.DUPLICATE.value, reasons.IN_FLIGHT_ELSEWHERE.code)
"""Status and reason of rows that another run may be sending; what became of them is not known yet."""

_HOLDS = frozenset({Status.DELIVERED.value, Status.UNKNOWN.value})
_IN_FLIGHT = Verdict(Status.UNKNOWN, reasons.IN_FLIGHT.code)  # written for every row, so its sentence is in the view


class Claims:
    """The part of the ledger that decides who may send what, and writes down what came of it."""

    def __init__(self, database: Database, leases: Leases, clock: Clock) -> None:
        self.database = database
        self.entries = Entries(database)
        self.leases = leases
        self.clock = clock

    @retry_on_disconnect
    def record_unsent(self, run_no: int, destinations: Iterable[str], rows: Sequence[RowVerdict]) -> None:
        """Write final entries for rows that are never sent.

        Rows that this run has already recorded stay as they are, so a stage can be repeated.
        """
        at = self.clock()
        values = [
            _entry(run_no, destination, number, event_id, name, verdict, fingerprint=0, at_ms=at)
            for destination in destinations
            for number, event_id, name, verdict in rows
        ]
        if values:
            with self.database.writing() as connection:
                self.entries.insert(connection, values)

    def claim(
        self, run_no: int, destination: str, items: Sequence[Item], *, repeatable: bool, force_unknown: bool = False
    ) -> list[Item]:
        """Take the keys of these items for this run, before anything is sent; return the ones won, in their order.

        Won items stand in the ledger as ``unknown`` (``in_flight``). An item that another entry holds is written down
        as ``duplicate`` — or, where nobody knows whether it was accepted, taken over when the vendor is ``repeatable``
        or a person insists, and left ``unknown`` otherwise. Items that this run has already settled are left alone.
        An id that is held under its other spelling is held; a vendor could not tell a repeat of it, so that only a
        person may insist.
        """
        may_repeat = _MayRepeat(repeatable or force_unknown, force_unknown)
        return self.database.retry_on_disconnect(lambda: self._claim(run_no, destination, items, may_repeat))

    def _claim(self, run_no: int, destination: str, items: Sequence[Item], may_repeat: _MayRepeat) -> list[Item]:
        at = self.clock()
        with self.database.writing() as connection:
            self.entries.lock(connection, destination)
            self.leases.extend(connection, run_no, at)
            claiming = _Claiming(self.entries, connection, run_no, destination, may_repeat, at)
            return claiming.take(items)

    def record(self, run_no: int, destination: str, sent: Sequence[Sent]) -> None:
        """Overwrite claims with the last word on them, and write the batches down."""
        at = self.clock()
        requests: list[dict[str, Any]] = []
        changes: list[Change] = []
        for batch in sent:
            batch_id = secrets.token_hex(8) if batch.attempts else None
            if batch_id:
                requests.append(_batch(batch_id, run_no, destination, batch))
            changes += [
                (verdict.status.value, verdict.reason, verdict.detail, batch_id, at, run_no, destination, first, last)
                for verdict, first, last in _spans(batch)
            ]
        self.database.retry_on_disconnect(
            lambda: self._record(run_no, destination, at, requests, changes), also_locked=True
        )

    def _record(
        self, run_no: int, destination: str, at_ms: int, requests: list[dict[str, Any]], changes: list[Change]
    ) -> None:
        """May be done twice: a connection that breaks at the commit tells nobody whether it was made."""
        insert = postgresql.insert if self.database.is_postgresql else sqlite.insert
        with self.database.writing() as connection:
            self.entries.lock(connection, destination)
            self.leases.extend(connection, run_no, at_ms)
            if requests:
                connection.execute(insert(batches).on_conflict_do_nothing(), requests)
            self.entries.overwrite(connection, [change for change in changes if change[0] in _HOLDS])
            self.entries.overwrite_and_let_go(connection, [change for change in changes if change[0] not in _HOLDS])


class _MayRepeat(NamedTuple):
    """Whether what may have been accepted is sent again: under the same id, and under another spelling of it."""

    same_id: bool
    other_spelling: bool


@dataclass(frozen=True)
class _Claiming:
    """One claim, within its transaction: who asks for keys of which destination, and when."""

    entries: Entries
    connection: sa.Connection
    run_no: int
    destination: str
    may_repeat: _MayRepeat
    at_ms: int

    def take(self, items: Sequence[Item]) -> list[Item]:
        """The items won, in their order."""
        row_numbers = [item.row_number for item in items]
        known = self.entries.statuses(self.connection, self.run_no, self.destination, row_numbers)
        if not known:
            return self._take_new(self._not_held_otherwise(items, new=True))
        again = {Status.FAILED.value, Status.UNKNOWN.value} if self.may_repeat.same_id else {Status.FAILED.value}
        new = self._not_held_otherwise([item for item in items if item.row_number not in known], new=True)
        old = self._not_held_otherwise([item for item in items if known.get(item.row_number) in again], new=False)
        won = [*self._take_new(new), *self._retake(old)]
        won_rows = {item.row_number for item in won}
        return [item for item in items if item.row_number in won_rows]

    def _not_held_otherwise(self, items: Sequence[Item], *, new: bool) -> Sequence[Item]:
        """The items whose other spelling nobody holds. What is said of the rest is written down where it is ``new``."""
        spelled = {item.row_number: item.other_event_id for item in items if item.other_event_id is not None}
        if not spelled:
            return items
        held = holders(self.entries.database, self.connection, self.destination, list(spelled.values()))
        if self.may_repeat.other_spelling:
            free = [name for name, holder in held.items() if _is_abandoned(holder, self.run_no, self.at_ms)]
            self.entries.let_go_of_keys(self.connection, self.destination, free)
            held = {name: holder for name, holder in held.items() if name not in free}
        lost = [item for item in items if spelled.get(item.row_number) in held]
        if new:
            verdicts = [self._lost(item, held[spelled[item.row_number]]) for item in lost]
            self.entries.insert(self.connection, verdicts)
        lost_rows = {item.row_number for item in lost}
        return [item for item in items if item.row_number not in lost_rows]

    def _take_new(self, items: Sequence[Item]) -> list[Item]:
        """Claim items of which this run has said nothing yet."""
        claims = _claims(self.run_no, self.destination, items, self.at_ms)
        if self.entries.insert(self.connection, claims) == len(claims):
            return list(items)
        return self._resolve_conflicts(items, self._other_holders(items))

    def _other_holders(self, items: Sequence[Item]) -> dict[str, Holder]:
        """Who holds keys of these items and is not the claim on the item itself: event_id -> holder."""
        ours = {(self.run_no, item.row_number, item.event_id) for item in items}
        return {
            event_id: holder
            for event_id, holder in self._holders(items).items()
            if (holder.run_no, holder.row_number, event_id) not in ours
        }

    def _resolve_conflicts(self, items: Sequence[Item], held: Mapping[str, Holder]) -> list[Item]:
        """Decide the items whose key another entry holds; the rest are won."""
        taken = [item for item in items if item.event_id in held]
        lost = [item for item in taken if not self._may_take_over(held[item.event_id])]
        self.entries.insert(self.connection, [self._lost(item, held[item.event_id]) for item in lost])
        lost_rows = {item.row_number for item in lost}
        self._retake([item for item in taken if item.row_number not in lost_rows])
        return [item for item in items if item.row_number not in lost_rows]

    def _retake(self, items: Sequence[Item]) -> list[Item]:
        """Take keys over from entries that let go of them, or that nobody stands behind any more."""
        if not items:
            return []
        held = self._holders(items)
        free = [item for item in items if item.event_id not in held or self._may_take_over(held[item.event_id])]
        self.entries.let_go_of_keys(self.connection, self.destination, [item.event_id for item in free])
        self.entries.delete(self.connection, self.run_no, self.destination, [item.row_number for item in free])
        self.entries.insert(self.connection, _claims(self.run_no, self.destination, free, self.at_ms))
        return free

    def _holders(self, items: Sequence[Item]) -> dict[str, Holder]:
        return holders(self.entries.database, self.connection, self.destination, [item.event_id for item in items])

    def _may_take_over(self, holder: Holder) -> bool:
        return self.may_repeat.same_id and _is_abandoned(holder, self.run_no, self.at_ms)

    def _lost(self, item: Item, holder: Holder) -> NewEntry:
        verdict = _verdict_on(holder, item, self.run_no, self.at_ms)
        row = (self.run_no, self.destination, item.row_number, item.event_id, item.event_name)
        return _entry(*row, verdict, fingerprint=item.fingerprint, at_ms=self.at_ms)


def _spans(batch: Sent) -> Iterator[tuple[Verdict, int, int]]:
    """Runs of neighbouring rows with the same verdict, as (verdict, first row, last row)."""
    rows = [item.row_number for item in batch.items]
    if not rows:
        return
    first, last = min(rows), max(rows)
    if last - first == len(rows) - 1 and all(map(operator.is_, batch.verdicts, repeat(batch.verdicts[0]))):
        yield batch.verdicts[0], first, last  # the usual case, seen without looking at every row
        return
    pairs = sorted(zip(rows, batch.verdicts, strict=True), key=operator.itemgetter(0))
    (first, verdict), last = pairs[0], pairs[0][0]
    for row_number, its_verdict in pairs[1:]:
        if row_number != last + 1 or its_verdict != verdict:
            yield verdict, first, last
            first, verdict = row_number, its_verdict
        last = row_number
    yield verdict, first, last


def _entry(
    run_no: int,
    destination: str,
    row_number: int,
    event_id: str,
    event_name: str,
    verdict: Verdict,
    *,
    fingerprint: int,
    at_ms: int,
) -> NewEntry:
    """A row that is not sent and holds no key."""
    status, reason, detail = verdict.status.value, verdict.reason, verdict.detail
    return (run_no, destination, row_number, event_id, event_name, status, reason, detail, 0, fingerprint, at_ms)


def _claims(run_no: int, destination: str, items: Sequence[Item], at_ms: int) -> list[NewEntry]:
    """Rows about to be sent, which hold their keys; spelled out, because this is done for every row there is."""
    status, reason = _IN_FLIGHT.status.value, _IN_FLIGHT.reason
    return [
        (run_no, destination, row_number, event_id, event_name, status, reason, "", 1, fingerprint, at_ms)
        for row_number, event_id, event_name, _, fingerprint, _, _, _, _, _, _ in items
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


def _is_abandoned(holder: Holder, run_no: int, at_ms: int) -> bool:
    """True when nobody knows whether the holder was accepted and nobody is waiting for the answer."""
    if holder.status != Status.UNKNOWN.value:
        return False
    waiting = holder.reason == _IN_FLIGHT.reason and holder.finished_at_ms is None and holder.lease_until_ms > at_ms
    return not waiting or holder.run_no == run_no


def _differ(one: int, other: int) -> bool:
    """True when two rows are known to differ. Fingerprints of different versions do not say, nor does a missing one."""
    return bool(one and other) and one != other and fingerprint_version(one) == fingerprint_version(other)


def _verdict_on(holder: Holder, item: Item, run_no: int, at_ms: int) -> Verdict:
    """What to say of an item whose key another entry holds."""
    if holder.status == Status.DELIVERED.value:
        if _differ(holder.fingerprint, item.fingerprint):
            detail = f"Delivered by run {holder.run_id} with other content; a delivered conversion is never sent again."
            return Verdict(Status.DUPLICATE, reasons.CHANGED_AFTER_DELIVERY.code, detail)
        return Verdict(Status.DUPLICATE, reasons.ALREADY_DELIVERED.code, f"Delivered by run {holder.run_id}.")
    if _is_abandoned(holder, run_no, at_ms):
        detail = (
            f"Run {holder.run_id} sent it and got no readable answer, and the vendor cannot tell a repeat: "
            f"look it up there, then `conversions retry --status unknown` sends it again."
        )
        return Verdict(Status.UNKNOWN, reasons.WAITING_FOR_A_PERSON.code, detail)
    return Verdict(Status.DUPLICATE, ELSEWHERE[1], f"Run {holder.run_id} is sending it now.")
