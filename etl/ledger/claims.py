"""Claims: a key is taken before anything is sent, and the last word on it is written down after.

At most one entry *holds* a key (destination, event_id): the delivered one, or the one that may have been accepted. That
is a unique index, so two runs, or two machines, cannot both win a key.

Items that are to travel together are claimed together: one verdict, ``unknown``, is said of them all, and the answer
overwrites it. Its number is the proof that they are still the claimer's: whoever takes one over points it to another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from etl import reasons
from etl.clock import Clock
from etl.ledger import delivered, recording, spans
from etl.ledger.database import Database, retry_on_disconnect
from etl.ledger.entries import Entries, Holder, NewEntry, NewVerdict
from etl.ledger.leases import Leases
from etl.ledger.numbers import Numbers
from etl.ledger.spans import SaidRow
from etl.ledger.tables import HELD, LAST_WORD, PASSED
from etl.ledger.values import Claim, Sent
from etl.model import Item, RowVerdict, Status, Verdict

ELSEWHERE = (Status.DUPLICATE.value, reasons.IN_FLIGHT_ELSEWHERE.code)
"""Status and reason of rows that another run may be sending; what became of them is not known yet."""

# Said of every row for a while; its sentence is in the view.
_IN_FLIGHT = Verdict(Status.UNKNOWN, reasons.IN_FLIGHT.code)


class Claims:
    """The part of the ledger that decides who may send what, and writes down what came of it."""

    def __init__(self, database: Database, leases: Leases, numbers: Numbers, clock: Clock) -> None:
        self.database = database
        self.leases = leases
        self.numbers = numbers
        self.clock = clock

    @retry_on_disconnect
    def record_unsent(self, run_no: int, destinations: Iterable[str], rows: Sequence[RowVerdict]) -> None:
        """Write final entries for rows that are never sent.

        Rows that this run has already recorded stay as they are, so a stage can be repeated.
        """
        if not rows:
            return
        at = self.clock()
        names = self.numbers.names({row.event_name for row in rows})
        said = [SaidRow(number, event_id, name, 0, verdict) for number, event_id, name, verdict in rows]
        for destination_no in map(self.numbers.destination, destinations):
            with self.database.writing() as connection:
                writing = _Writing(Entries(self.database, connection, run_no, destination_no), names, at)
                writing.entries.lock()
                writing.entries.forget_counts()
                writing.unsent(said)

    def claim(
        self,
        run_no: int,
        destination: str,
        batches: Iterable[Sequence[Item]],
        *,
        repeatable: bool,
        force_unknown: bool = False,
    ) -> list[Claim]:
        """Take the keys of these items for this run, before anything is sent; return what was won, batch by batch.

        Won items stand in the ledger as ``unknown`` (``in_flight``). An item that another entry holds is written down
        as ``duplicate`` — or, where nobody knows whether it was accepted, taken over when the vendor is ``repeatable``
        or a person insists, and left ``unknown`` otherwise. Items that this run has already settled are left alone.
        An id that is held under its other spelling is held; a vendor could not tell a repeat of it, so that only a
        person may insist.

        A connection that breaks at the commit tells nobody whether it was made: where it was, what was won then is won.
        """
        may_repeat = _MayRepeat(repeatable or force_unknown, force_unknown)
        wanted = [list(batch) for batch in batches]
        names = self.numbers.names({item.event_name for batch in wanted for item in batch})
        destination_no = self.numbers.destination(destination)

        tried: list[Claim] = []

        def take() -> list[Claim]:
            at = self.clock()
            with self.database.writing() as connection:
                entries = Entries(self.database, connection, run_no, destination_no)
                entries.lock()
                entries.forget_counts()
                now_ms = self.leases.extend(connection, run_no)
                if done := _still_held(entries, tried):
                    return done
                tried[:] = _Claiming(_Writing(entries, names, at), may_repeat, now_ms).take(wanted)
                return tried

        return self.database.retry_on_disconnect(take)

    @retry_on_disconnect
    def any_delivered(self, run_no: int, destination: str, event_ids: Sequence[str]) -> bool:
        """Whether another run has delivered any of these events."""
        destination_no = self.numbers.destination(destination)
        with self.database.reading() as connection:
            return bool(Entries(self.database, connection, run_no, destination_no).delivered_before(event_ids))

    def pass_delivered(self, run_no: int, destination: str, items: Sequence[Item]) -> set[int]:
        """Write down which of these rows other runs have delivered, as `claim` would; return their numbers."""
        destination_no = self.numbers.destination(destination)

        def find() -> list[SaidRow]:
            with self.database.reading() as connection:
                return delivered.before(Entries(self.database, connection, run_no, destination_no), items)

        return self._pass(run_no, destination_no, self.database.retry_on_disconnect(find))

    @retry_on_disconnect
    def _pass(self, run_no: int, destination_no: int, rows: Sequence[SaidRow]) -> set[int]:
        at, names = self.clock(), self.numbers.names({row.event_name for row in rows})
        with self.database.writing() as connection:
            writing = _Writing(Entries(self.database, connection, run_no, destination_no), names, at)
            writing.entries.lock()
            writing.entries.forget_counts()
            self.leases.extend(connection, run_no)
            known = writing.entries.statuses([row.row_number for row in rows])
            writing.passed([row for row in rows if row.row_number not in known])
            otherwise = {number for number, status in known.items() if status != Status.DUPLICATE.value}
            return {row.row_number for row in rows} - otherwise

    def record(self, run_no: int, destination: str, sent: Sequence[Sent]) -> None:
        """Overwrite claims with the last word on them, and how their requests went.

        May be done twice: a connection that breaks at the commit tells nobody whether it was made.
        """
        at = self.clock()
        destination_no = self.numbers.destination(destination)

        def write() -> None:
            with self.database.writing() as connection:
                entries = Entries(self.database, connection, run_no, destination_no)
                entries.lock()
                entries.forget_counts()
                self.leases.extend(connection, run_no)
                recording.record(entries, sent, at)

        self.database.retry_on_disconnect(write, also_locked=True)

    @retry_on_disconnect
    def held_rows(self, run_no: int, destination: str, claim: Claim) -> set[int]:
        """The rows of a claim that nobody has taken over."""
        destination_no = self.numbers.destination(destination)
        with self.database.reading() as connection:
            entries = Entries(self.database, connection, run_no, destination_no)
            return entries.held_rows([item.row_number for item in claim.items], claim.number)


def _still_held(entries: Entries, claims: Sequence[Claim]) -> list[Claim]:
    """What these claims hold, if they were ever made."""
    found = []
    for number, items in claims:
        rows = entries.held_rows([item.row_number for item in items], number)
        found.append(Claim(number, [item for item in items if item.row_number in rows]))
    return [claim for claim in found if claim.items]


class _MayRepeat(NamedTuple):
    """Whether what may have been accepted is sent again: under the same id, and under another spelling of it."""

    same_id: bool
    other_spelling: bool


@dataclass(frozen=True)
class _Writing:
    """What a run writes of its rows at one destination, within its transaction."""

    entries: Entries
    names: Mapping[str, int]
    at_ms: int

    def passed(self, rows: Sequence[SaidRow]) -> None:
        """Write down rows that never have the last word: neighbours of which the same is said as a span."""
        again = [row for row in rows if row.verdict.reason == reasons.ALREADY_DELIVERED.code]
        blocks, single = spans.in_blocks(again)
        entries = self.entries
        numbers = entries.reserve(len(blocks))
        entries.insert_verdicts(
            [_verdict(no, b.first, b.last, b.rows[0].verdict) for no, b in zip(numbers, blocks, strict=True)],
            self.at_ms,
        )
        numbered = list(zip(blocks, numbers, strict=True))
        spans.insert(entries.connection, entries.run_no, entries.destination_no, numbered)
        others = [row for row in rows if row.verdict.reason != reasons.ALREADY_DELIVERED.code]
        self._single([*single, *others], PASSED)

    def unsent(self, rows: Sequence[SaidRow]) -> None:
        """Write down rows that are never sent, each as the last word on its event where it outweighs what was said."""
        known = self.entries.statuses([row.row_number for row in rows])
        new = [row for row in rows if row.row_number not in known]
        last = _outweighing(self.entries, new)
        self.entries.outweigh(row.event_id for row in last if row.event_id)
        last_rows = {row.row_number for row in last}
        self._single(last, LAST_WORD)
        self._single([row for row in new if row.row_number not in last_rows], PASSED)

    def _single(self, rows: Sequence[SaidRow], state: int) -> None:
        if not rows:
            return
        groups: dict[Verdict, list[SaidRow]] = {}
        for row in rows:
            groups.setdefault(row.verdict, []).append(row)
        numbers = dict(zip(groups, self.entries.reserve(len(groups)), strict=True))
        told = [
            _verdict(numbers[verdict], min(r.row_number for r in some), max(r.row_number for r in some), verdict)
            for verdict, some in groups.items()
        ]
        self.entries.insert_verdicts(told, self.at_ms)
        self.entries.insert(
            [(r.row_number, r.event_id, self.names[r.event_name], r.fingerprint, numbers[r.verdict]) for r in rows],
            state,
        )


def _outweighing(entries: Entries, rows: Sequence[SaidRow]) -> list[SaidRow]:
    """Those of these rows that have the last word on their events from now on.

    A row without an id is an event of its own. A second row with an id of the same source only repeats another; a row
    that cannot be used does not outweigh one of its own run, nor does any outweigh what holds the key.
    """
    ids = {row.event_id for row in rows if row.event_id}
    held = entries.holders(list(ids))
    before = entries.last_words(ids)
    found: list[SaidRow] = []
    for row in sorted(rows, key=lambda row: (row.verdict.status is Status.REJECTED, row.row_number)):
        if row.verdict.reason == reasons.DUPLICATE_EVENT_ID.code or row.event_id in held:
            continue
        run_no, status = before.get(row.event_id, (0, ""))
        same_run = run_no == entries.run_no
        if same_run and (row.verdict.status is Status.REJECTED or status != Status.REJECTED.value):
            continue
        found.append(row)
        if row.event_id:
            before[row.event_id] = (entries.run_no, row.verdict.status.value)
    return found


@dataclass(frozen=True)
class _Claiming:
    """One claim, within its transaction: who asks for keys of which destination, and when."""

    writing: _Writing
    may_repeat: _MayRepeat
    now_ms: int
    """By the ledger's clock, as leases are."""

    @property
    def entries(self) -> Entries:
        return self.writing.entries

    def take(self, batches: Sequence[Sequence[Item]]) -> list[Claim]:
        """What is won of each batch, in order; batches of which nothing is won are left out."""
        claims = self._numbered(batches)
        entries, at = self.entries, self.writing.at_ms
        entries.insert_verdicts([_verdict(no, *_rows(items), _IN_FLIGHT) for no, items in claims], at)
        taken = self._take(claims)
        self._let_go_of_other_spellings(taken)
        won = {item.row_number for item in taken}
        kept = [Claim(no, [item for item in items if item.row_number in won]) for no, items in claims]
        entries.delete_verdicts([claim.number for claim in kept if not claim.items])
        return [claim for claim in kept if claim.items]

    def _numbered(self, batches: Sequence[Sequence[Item]]) -> list[Claim]:
        full = [batch for batch in batches if batch]
        return [Claim(number, batch) for number, batch in zip(self.entries.reserve(len(full)), full, strict=True)]

    def _take(self, claims: Sequence[Claim]) -> list[Item]:
        number = {item.row_number: claim.number for claim in claims for item in claim.items}
        items = [item for claim in claims for item in claim.items]
        known = self.entries.statuses([item.row_number for item in items])
        if not known:
            return self._take_new(self._not_held_otherwise(items, new=True), number)
        again = {Status.FAILED.value, Status.UNKNOWN.value} if self.may_repeat.same_id else {Status.FAILED.value}
        new = self._not_held_otherwise([item for item in items if item.row_number not in known], new=True)
        old = self._not_held_otherwise([item for item in items if known.get(item.row_number) in again], new=False)
        return [*self._take_new(new, number), *self._retake(old, number)]

    def _not_held_otherwise(self, items: Sequence[Item], *, new: bool) -> Sequence[Item]:
        """The items whose other spelling nobody holds. What is said of the rest is written down where it is ``new``."""
        spelled = {item.row_number: item.other_event_id for item in items if item.other_event_id is not None}
        if not spelled:
            return items
        held = self.entries.holders(list(spelled.values()))
        if self.may_repeat.other_spelling:
            held = {name: holder for name, holder in held.items() if not self._is_abandoned(holder)}
        lost = [item for item in items if spelled.get(item.row_number) in held]
        if new:
            self.writing.passed([self._lost(item, held[spelled[item.row_number]]) for item in lost])
        lost_rows = {item.row_number for item in lost}
        return [item for item in items if item.row_number not in lost_rows]

    def _let_go_of_other_spellings(self, won: Sequence[Item]) -> None:
        """A person insisted: what is sent now takes the place of what may have been accepted under another spelling."""
        spelled = [item.other_event_id for item in won if item.other_event_id is not None]
        held = self.entries.holders(spelled)
        self.entries.let_go_of_keys([name for name, holder in held.items() if self._is_abandoned(holder)])

    def _take_new(self, items: Sequence[Item], number: Mapping[int, int]) -> list[Item]:
        """Claim items of which this run has said nothing yet."""
        claims = self._claims(items, number)
        self.entries.outweigh(item.event_id for item in items)
        if self.entries.insert(claims, HELD) == len(claims):
            return list(items)
        return self._resolve_conflicts(items, number, self._holders(items))

    def _claims(self, items: Sequence[Item], number: Mapping[int, int]) -> list[NewEntry]:
        names = self.writing.names
        return [
            (item.row_number, item.event_id, names[item.event_name], item.fingerprint, number[item.row_number])
            for item in items
        ]

    def _resolve_conflicts(
        self, items: Sequence[Item], number: Mapping[int, int], held: Mapping[str, Holder]
    ) -> list[Item]:
        """Decide the items whose key another entry holds; the rest are won."""
        taken = [item for item in items if not self._is_ours(held[item.event_id], item)]
        lost = [item for item in taken if not self._may_take_over(held[item.event_id], item)]
        self.writing.passed([self._lost(item, held[item.event_id]) for item in lost])
        lost_rows = {item.row_number for item in lost}
        self._retake([item for item in taken if item.row_number not in lost_rows], number)
        return [item for item in items if item.row_number not in lost_rows]

    def _retake(self, items: Sequence[Item], number: Mapping[int, int]) -> list[Item]:
        """Take keys over from entries that let go of them, or that nobody stands behind any more."""
        if not items:
            return []
        held = self._holders(items)
        free = [item for item in items if item.event_id not in held or self._may_take_over(held[item.event_id], item)]
        self.entries.let_go_of_keys([item.event_id for item in free if item.event_id in held])
        self.entries.outweigh(item.event_id for item in free)
        self.entries.delete([item.row_number for item in free])
        self.entries.insert(self._claims(free, number), HELD)
        return free

    def _holders(self, items: Sequence[Item]) -> dict[str, Holder]:
        return self.entries.holders([item.event_id for item in items])

    def _may_take_over(self, holder: Holder, item: Item) -> bool:
        return self.may_repeat.same_id and self._is_abandoned(holder, ours=self._is_ours(holder, item))

    def _is_ours(self, holder: Holder, item: Item) -> bool:
        """True when the holder is the claim on the item itself."""
        return (holder.run_no, holder.row_number) == (self.entries.run_no, item.row_number)

    def _is_abandoned(self, holder: Holder, *, ours: bool = False) -> bool:
        """True when nobody knows whether the holder was accepted and nobody is waiting for the answer.

        ``ours``: it is the same row of the same run, claimed by a stage that is being repeated.
        """
        if holder.status != Status.UNKNOWN.value:
            return False
        alive = holder.finished_at_ms is None and holder.lease_until_ms > self.now_ms
        waiting = holder.reason == _IN_FLIGHT.reason and alive
        return ours or not waiting

    def _lost(self, item: Item, holder: Holder) -> SaidRow:
        verdict = self._verdict_on(holder, item)
        return SaidRow(item.row_number, item.event_id, item.event_name, item.fingerprint, verdict)

    def _verdict_on(self, holder: Holder, item: Item) -> Verdict:
        """What to say of an item whose key another entry holds."""
        by = holder.run_id
        if holder.status == Status.DELIVERED.value:
            if delivered.differ(holder.fingerprint, item.fingerprint):
                detail = f"Delivered by run {by} with other content; a delivered conversion is never sent again."
                return Verdict(Status.DUPLICATE, reasons.CHANGED_AFTER_DELIVERY.code, detail)
            return delivered.said_of(by)
        if self._is_abandoned(holder):
            detail = (
                f"Run {by} sent it and got no readable answer, and the vendor cannot tell a repeat: "
                f"look it up there, then `conversions retry --status unknown` sends it again."
            )
            return Verdict(Status.UNKNOWN, reasons.WAITING_FOR_A_PERSON.code, detail)
        return Verdict(Status.DUPLICATE, ELSEWHERE[1], f"Run {by} is sending it now.")


def _rows(items: Sequence[Item]) -> tuple[int, int]:
    numbers = [item.row_number for item in items]
    return min(numbers), max(numbers)


def _verdict(number: int, first: int, last: int, verdict: Verdict) -> NewVerdict:
    return NewVerdict(
        number, first, last, verdict.status.value, verdict.reason, verdict.detail, verdict.warnings or None
    )
