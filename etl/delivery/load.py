"""Load: items into batches, batches over the wire, and the last word on every item into the ledger.

Items go in waves: a wave is claimed in one statement, sent side by side, and recorded in one statement. What is on the
wire when a process dies is at most one wave, and stands in the ledger as `unknown`.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from etl import reasons
from etl.clock import Clock
from etl.delivery import answers, identity, verdicts
from etl.delivery.batches import OrderKey, WaveSize, by_expiry, pack, partition_by_age, turns, waves
from etl.delivery.fence import Fence
from etl.delivery.pacing import EndpointLock, NoTurn, Waiting, endpoint_lock
from etl.delivery.retries import DeliveryResult
from etl.delivery.siblings import Siblings
from etl.destinations.base import Destination
from etl.errors import DestinationStopped, Interrupted, LedgerError, LookupFailed
from etl.ledger import Claim, Ledger, Sent, Stop
from etl.model import Item, Response, RowVerdict, Status, Verdict
from etl.shutdown import shutting_down

if TYPE_CHECKING:
    from etl.delivery.connection import VendorConnection

Progress = Callable[[int], None]
"""``progress(rows)``: so many more items have their last word."""

_NOT_LEFT = (reasons.OWN_ERROR.code, reasons.OWN_ERROR.detail)
_TAKEN_OVER = (reasons.IN_FLIGHT_ELSEWHERE.code, "Another run took it over while this one slept; nothing was sent.")

HALVED = frozenset({400, 413, 422})
"""Statuses after which a batch is sent again in halves, until the row that is refused stands alone."""


@dataclass
class Loader:
    """Delivers the items of one destination in one run; `stop` says whether and why it takes no more."""

    destination: Destination
    ledger: Ledger
    run_no: int
    clock: Clock
    force_unknown: bool = False
    progress: Progress = field(default=lambda count: None)
    waiting: Waiting = field(default=Waiting("", longest_s=0))
    secrets: Sequence[str] = ()
    """Those of all destinations: an answer may hold another's."""
    stop: Stop | None = None
    siblings: Siblings | None = None
    """Where rows of a run bear on each other: what is known of those that share something with these."""
    undelivered: dict[str, str] = field(default_factory=dict)
    """Events that are too old now and that an earlier run failed to deliver: event_id -> that run."""
    _probed: bool = False
    _left: set[int] = field(default_factory=set)
    """The claims of the wave whose requests may have left this process."""

    def __post_init__(self) -> None:
        self._fence = Fence(self.ledger, self.run_no, self.destination.name)

    def load(self, items: Sequence[Item]) -> None:
        """Bring every item to its last word. Returns when all of it is in the ledger."""
        self.stop = self.stop or self.ledger.runs.stops(self.run_no).get(self.destination.name)
        if self.stop and self.stop.reason == reasons.OTHER_ACCOUNT.code:
            self._record_unsent(items, verdicts.not_sent(self.stop))
            return
        if not items:
            return
        try:
            with endpoint_lock(self.destination.endpoint, replace(self.waiting, alive=self._renew_in_time())) as lock:
                asyncio.run(self._load(by_expiry(items, self._order_key), lock))
        except NoTurn as error:
            asyncio.run(self._without_a_turn(items, str(error)))

    def _record_unsent(self, items: Sequence[Item], verdict: Verdict) -> None:
        """Say this of every item, without a look at whose keys are held: they are another account's."""
        rows = [RowVerdict(item.row_number, item.event_id, item.event_name, verdict) for item in items]
        self.ledger.claims.record_unsent(self.run_no, [self.destination.name], rows)
        self.progress(len(rows))

    async def _without_a_turn(self, items: Sequence[Item], why: str) -> None:
        """Let every item fail that is not settled, with nothing sent."""
        sentence = f"{why}, longer than this run waits (`wait_for_turn`); nothing was sent, the next run sends it."
        await self._stop(DestinationStopped(sentence, reasons.NO_TURN.code))
        await self._load(items, EndpointLock(None))

    def _renew_in_time(self) -> Callable[[], None]:
        """What renews the lease of a run that waits, whenever it is time to."""
        renewed = time.monotonic()

        def renew() -> None:
            nonlocal renewed
            if time.monotonic() - renewed > self.ledger.leases.heartbeat_s:
                renewed = time.monotonic()
                self.ledger.leases.renew(self.run_no)

        return renew

    async def _load(self, items: Sequence[Item], lock: EndpointLock) -> None:
        from etl.delivery.connection import connect  # aiohttp takes a while to load, and not every run sends something

        size = WaveSize.of(self.destination)
        await asyncio.to_thread(self._find_undelivered, items)
        async with connect(self.destination, lock) as connection, self._heartbeat():
            for wave in waves(items, size.now):
                began = time.monotonic()
                if shutting_down.is_set():
                    raise Interrupted("The run was ended; the next one sends what is missing.")
                since = self._fence.begin()
                claims = await asyncio.to_thread(self._claim, wave)
                self._fence.held(since)
                sent, error = await self._send_wave(connection, wave, claims)
                await asyncio.to_thread(self.ledger.claims.record, self.run_no, self.destination.name, sent)
                if error is not None:
                    raise error
                lock.progress()
                self.progress(len(wave))
                size.took(time.monotonic() - began)

    @property
    def _order_key(self) -> OrderKey | None:
        return self.siblings.order_key if self.siblings else None

    @asynccontextmanager
    async def _heartbeat(self) -> AsyncIterator[None]:
        """Renew the lease of the run's claims while a vendor takes its time."""

        async def renew() -> None:
            while True:
                await asyncio.sleep(self.ledger.leases.heartbeat_s)
                with suppress(LedgerError):  # recording the answers will meet the same trouble, and raises it
                    await asyncio.to_thread(self._fence.renew)

        renewing = asyncio.create_task(renew())
        try:
            yield
        finally:
            renewing.cancel()

    def _find_undelivered(self, items: Sequence[Item]) -> None:
        _, late, _ = partition_by_age(items, self.clock())
        if late:
            events = [item.event_id for item in late]
            self.undelivered |= self.ledger.results.failed_before(self.run_no, self.destination.name, events)

    def _claim(self, wave: Sequence[Item]) -> list[Claim]:
        return self.ledger.claims.claim(
            self.run_no,
            self.destination.name,
            pack(wave, self.destination),
            repeatable=self.destination.facts.repeatable,
            force_unknown=self.force_unknown,
        )

    def _learn_lost(self, siblings: Siblings, wave: Sequence[Item], claims: Sequence[Claim]) -> None:
        won = {item.row_number for claim in claims for item in claim.items}
        siblings.learn_lost(self.ledger, self.run_no, [item for item in wave if item.row_number not in won])

    async def _probe(self, connection: VendorConnection, item: Item) -> None:
        headers = self.destination.request([item.payload]).headers
        try:
            answer = await connection.probe(self.destination.endpoint, headers)
            await asyncio.to_thread(self._check_for_a_trial, answer)
        except DestinationStopped as stopped:
            await self._stop(stopped)

    def _check_for_a_trial(self, answer: Response) -> None:
        is_trial = identity.is_sandbox(answer.headers)
        try:
            identity.refuse_after_trial(self.destination, self.ledger, is_trial=is_trial)
        except LookupFailed as error:
            raise DestinationStopped(str(error), error.reason) from None

    async def _stop(self, stopped: DestinationStopped) -> None:
        """The first reason to stop is the one that stays."""
        if self.stop is None:
            self.stop = Stop(stopped.reason, f"{self.destination.facts.title} stopped: {stopped}")
            await asyncio.to_thread(self.ledger.runs.stop_destination, self.run_no, self.destination.name, self.stop)

    async def _before_sending(
        self, connection: VendorConnection, wave: Sequence[Item], claims: Sequence[Claim]
    ) -> None:
        """Knock at the vendor's door once, and learn what became of those items of the wave that were not won."""
        fresh, _, _ = partition_by_age([item for claim in claims for item in claim.items], self.clock())
        if fresh and not self._probed and not self.stop:
            self._probed = True
            await self._probe(connection, fresh[0])
        if self.siblings and sum(len(claim.items) for claim in claims) < len(wave):
            await asyncio.to_thread(self._learn_lost, self.siblings, wave, claims)

    async def _send_wave(
        self, connection: VendorConnection, wave: Sequence[Item], claims: Sequence[Claim]
    ) -> tuple[list[Sent], BaseException | None]:
        """Send claims side by side; the first error of our own, after all of them have ended.

        What provably did not leave because of it has failed; what did stays unknown.
        """
        sent: list[Sent] = []
        first = await asyncio.gather(self._before_sending(connection, wave, claims), return_exceptions=True)
        errors = [end for end in first if end is not None]
        todo = deque([] if errors else turns(claims, self._order_key))

        async def send_next() -> None:
            while todo:
                await self._send_in_turn(connection, todo.popleft(), sent)

        while todo:  # an error ends one sender, not what it had still to take
            senders = (send_next() for _ in range(min(len(todo), self.destination.limits.connections)))
            ends = await asyncio.gather(*senders, return_exceptions=True)
            errors += [end for end in ends if end is not None]
        if errors:
            settled = {item.row_number for each in sent for item in each.items}
            for claim in claims:
                rest = [item for item in claim.items if item.row_number not in settled]
                if rest and claim.number not in self._left:
                    sent.append(_unsent(claim, rest, Verdict(Status.FAILED, *_NOT_LEFT)))
        self._left.clear()
        return sent, errors[0] if errors else None

    async def _send_in_turn(self, connection: VendorConnection, claims: Sequence[Claim], done: list[Sent]) -> None:
        """Send claims one after another; what has to wait for the answer to its batch goes after it."""
        for claim in claims:
            items: Sequence[Item] = claim.items
            while items:
                later: list[Item] = []
                sent = await self._send(connection, claim, items, later)
                if self.siblings:
                    self.siblings.learn(end for each in sent for end in zip(each.items, each.verdicts, strict=True))
                done += sent
                items = later

    async def _send(
        self, connection: VendorConnection, claim: Claim, items: Sequence[Item], later: list[Item]
    ) -> list[Sent]:
        """Send a claim, or a part of it, to its last word; more than one `Sent` where it was halved or expired.

        Items that depend on the answer are put into ``later`` and not sent.
        """
        async with connection.slots:
            at = self.clock()
            fresh, late, early = partition_by_age(items, at)
            done = self._untimely(claim, late, early)
            if not fresh:
                return done
            if self.stop or shutting_down.is_set():
                return [*done, _unsent(claim, fresh, verdicts.not_sent(self.stop))]
            if self.siblings:
                fresh, settled, held_back = self.siblings.sort(fresh)
                done += [Sent(claim, [item], [verdict], 0, 0) for item, verdict in settled]
                later += held_back
                if not fresh:
                    return done
            request = self.destination.request([item.payload for item in fresh])
            if len(request.body) > self.destination.limits.bytes:
                return [*done, _unsent(claim, fresh, verdicts.too_large(self.destination))]
            leaving = _Leaving(self._fence, claim, fresh, self._left)
            try:
                result = await connection.send(
                    request, repeatable=self.destination.facts.repeatable, may_leave=leaving.may_leave
                )
            except DestinationStopped as stopped:
                await self._stop(stopped)
                return [*done, _unsent(claim, fresh, verdicts.not_sent(self.stop))]
        if leaving.lost and not result.attempts:
            taken = _unsent(claim, leaving.lost, Verdict(Status.DUPLICATE, *_TAKEN_OVER))
            rest = await self._send(connection, claim, leaving.ours, later) if leaving.ours else []
            return [*done, taken, *rest]
        if self._is_halved(result, fresh):
            return [*done, *await self._send_halves(connection, claim, fresh)]
        breaker_open = connection.breaker.is_open and not shutting_down.is_set()
        if stopped_now := verdicts.stop_after(self.destination, result, breaker_open=breaker_open):
            await self._stop(stopped_now)
        return [*done, self._sent(claim, fresh, result, len(request.body), at)]

    async def _send_halves(self, connection: VendorConnection, claim: Claim, items: Sequence[Item]) -> list[Sent]:
        middle = len(items) // 2
        first, second = await asyncio.gather(
            self._send(connection, claim, items[:middle], []), self._send(connection, claim, items[middle:], [])
        )
        return [*first, *second]

    def _is_halved(self, result: DeliveryResult, batch: Sequence[Item]) -> bool:
        facts = self.destination.facts
        refused = result.response is not None and result.response.status in HALVED
        return refused and len(batch) > 1 and (facts.all_or_nothing or facts.repeatable)

    def _untimely(self, claim: Claim, late: Sequence[Item], early: Sequence[Item]) -> list[Sent]:
        """The last word on items that the vendor takes no longer, or does not take yet."""
        done = []
        if late:
            expired = [verdicts.expired(self.destination, self.undelivered.get(item.event_id)) for item in late]
            done.append(Sent(claim, late, expired, 0, 0))
        if early:
            done.append(_unsent(claim, early, Verdict(Status.FAILED, *self.destination.facts.early)))
        return done

    def _sent(self, claim: Claim, items: Sequence[Item], result: DeliveryResult, size: int, at: int) -> Sent:
        said = verdicts.of_result(self.destination, items, result, self.stop, at)
        status = result.response.status if result.response else None
        times = (result.sent_at_ms, result.answered_at_ms)
        if all(verdict.status is Status.DELIVERED for verdict in said):
            return Sent(claim, items, said, size, result.attempts, status, *times)
        payloads = [item.payload for item in items]
        answer = answers.readable(self.destination, payloads, result.response, self.secrets)
        return Sent(claim, items, said, size, result.attempts, status, *times, answer)


@dataclass
class _Leaving:
    """One request of ours at the door: whether all that it carries is still ours."""

    fence: Fence
    claim: Claim
    ours: Sequence[Item]
    left: set[int]
    lost: Sequence[Item] = ()

    async def may_leave(self) -> bool:
        """True when nobody has taken any of it over; whatever leaves is noted."""
        if not self.fence.is_sure:
            before, self.ours = self.ours, await asyncio.to_thread(self.fence.still_ours, self.claim, self.ours)
            still = {item.row_number for item in self.ours}
            self.lost = [item for item in before if item.row_number not in still]
            if self.lost:
                return False
        self.left.add(self.claim.number)
        return True


def _unsent(claim: Claim, items: Sequence[Item], verdict: Verdict) -> Sent:
    return Sent(claim, items, [verdict] * len(items), 0, 0)
