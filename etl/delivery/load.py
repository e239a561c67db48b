"""Load: items into batches, batches over the wire, and the last word on every item into the ledger.

Items go in waves: a wave is claimed in one statement, sent side by side, and recorded in one statement. What is on the
wire when a process dies is at most one wave, and stands in the ledger as `unknown`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from etl.clock import Clock
from etl.delivery import verdicts
from etl.delivery.batches import OrderKey, by_expiry, pack, partition_by_age, turns, waves
from etl.delivery.connection import VendorConnection, connect
from etl.delivery.pacing import EndpointLock, endpoint_lock
from etl.delivery.retries import DeliveryResult
from etl.delivery.shutdown import shutting_down
from etl.delivery.siblings import Siblings
from etl.destinations.base import Destination
from etl.errors import DestinationStopped, Interrupted, LedgerError
from etl.ledger import Ledger, Sent, Stop
from etl.model import Item, Status, Verdict

Progress = Callable[[int], None]
"""``progress(rows)``: so many more items have their last word."""

WAVE_LEAST, WAVE_MOST = 64, 20_000
WAVE_ROUNDS = 16
"""Rounds of full connections in one wave where the vendor counts a repeat once; one round where it does not."""

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
    stop: Stop | None = None
    siblings: Siblings | None = None
    """Where rows of a run bear on each other: what is known of those that share something with these."""
    undelivered: dict[str, str] = field(default_factory=dict)
    """Events that are too old now and that an earlier run failed to deliver: event_id -> that run."""

    def load(self, items: Sequence[Item]) -> None:
        """Bring every item to its last word. Returns when all of it is in the ledger."""
        self.stop = self.stop or self.ledger.runs.stops(self.run_no).get(self.destination.name)
        with endpoint_lock(self.destination.endpoint) as lock:
            asyncio.run(self._load(by_expiry(items, self._order_key), lock))

    async def _load(self, items: Sequence[Item], lock: EndpointLock) -> None:
        limits, retry_policy = self.destination.limits, self.destination.retry_policy
        probed = False
        await asyncio.to_thread(self._find_undelivered, items)
        async with connect(limits, retry_policy, lock) as connection, self._heartbeat():
            for wave in waves(items, self._wave_size()):
                if shutting_down.is_set():
                    raise Interrupted("The run was ended; the next one sends what is missing.")
                claimed = await asyncio.to_thread(self._claim, wave)
                fresh, _, _ = partition_by_age(claimed, self.clock())
                if fresh and not probed and not self.stop:
                    probed = True
                    await self._probe(connection, fresh[0])
                if self.siblings and len(claimed) < len(wave):
                    await asyncio.to_thread(self._learn_lost, self.siblings, wave, claimed)
                sent = await self._send_wave(connection, claimed)
                await asyncio.to_thread(self.ledger.claims.record, self.run_no, self.destination.name, sent)
                self.progress(len(wave))

    @property
    def _order_key(self) -> OrderKey | None:
        return self.siblings.order_key if self.siblings else None

    def _wave_size(self) -> int:
        limits = self.destination.limits
        rounds = WAVE_ROUNDS if self.destination.facts.repeatable else 1
        return max(WAVE_LEAST, min(WAVE_MOST, rounds * limits.connections * limits.items))

    @asynccontextmanager
    async def _heartbeat(self) -> AsyncIterator[None]:
        """Renew the lease of the run's claims while a vendor takes its time."""

        async def renew() -> None:
            while True:
                await asyncio.sleep(self.ledger.leases.heartbeat_s)
                with suppress(LedgerError):  # recording the answers will meet the same trouble, and raises it
                    await asyncio.to_thread(self.ledger.leases.renew, self.run_no)

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

    def _claim(self, wave: Sequence[Item]) -> list[Item]:
        facts = self.destination.facts
        return self.ledger.claims.claim(
            self.run_no, self.destination.name, wave, repeatable=facts.repeatable, force_unknown=self.force_unknown
        )

    def _learn_lost(self, siblings: Siblings, wave: Sequence[Item], claimed: Sequence[Item]) -> None:
        won = {item.row_number for item in claimed}
        siblings.learn_lost(self.ledger, self.run_no, [item for item in wave if item.row_number not in won])

    async def _probe(self, connection: VendorConnection, item: Item) -> None:
        try:
            await connection.probe(self.destination.endpoint, self.destination.request([item.payload]).headers)
        except DestinationStopped as stopped:
            await self._stop(stopped)

    async def _stop(self, stopped: DestinationStopped) -> None:
        """The first reason to stop is the one that stays."""
        if self.stop is None:
            self.stop = Stop(stopped.reason, f"{self.destination.facts.title} stopped: {stopped}")
            await asyncio.to_thread(self.ledger.runs.stop_destination, self.run_no, self.destination.name, self.stop)

    async def _send_wave(self, connection: VendorConnection, items: Sequence[Item]) -> list[Sent]:
        side_by_side = turns(pack(items, self.destination), self._order_key)
        sent = await asyncio.gather(*(self._send_in_turn(connection, batches) for batches in side_by_side))
        return [each for of_turn in sent for each in of_turn]

    async def _send_in_turn(self, connection: VendorConnection, batches: Sequence[list[Item]]) -> list[Sent]:
        """Send batches one after another; what has to wait for the answer to its batch goes after it."""
        done: list[Sent] = []
        for batch in batches:
            while batch:
                later: list[Item] = []
                sent = await self._send(connection, batch, later)
                if self.siblings:
                    self.siblings.learn(sent)
                done += sent
                batch = later
        return done

    async def _send(self, connection: VendorConnection, batch: Sequence[Item], later: list[Item]) -> list[Sent]:
        """Send one batch to its last word; more than one `Sent` where it was halved or partly expired.

        Items that depend on the answer are put into ``later`` and not sent.
        """
        async with connection.slots:
            at = self.clock()
            fresh, late, early = partition_by_age(batch, at)
            done = self._untimely(late, early)
            if not fresh:
                return done
            if self.stop or shutting_down.is_set():
                return [*done, _unsent(fresh, verdicts.not_sent(self.stop))]
            if self.siblings:
                fresh, settled, held_back = self.siblings.sort(fresh)
                done += settled
                later += held_back
                if not fresh:
                    return done
            request = self.destination.request([item.payload for item in fresh])
            if len(request.body) > self.destination.limits.bytes:
                return [*done, _unsent(fresh, verdicts.too_large(self.destination))]
            try:
                result = await connection.send(request, repeatable=self.destination.facts.repeatable)
            except DestinationStopped as stopped:
                await self._stop(stopped)
                return [*done, _unsent(fresh, verdicts.not_sent(self.stop))]
        if self._is_halved(result, fresh):
            return [*done, *await self._send_halves(connection, fresh)]
        breaker_open = connection.breaker.is_open and not shutting_down.is_set()
        if stopped_now := verdicts.stop_after(self.destination, result, breaker_open=breaker_open):
            await self._stop(stopped_now)
        return [*done, self._sent(fresh, result, len(request.body), at)]

    async def _send_halves(self, connection: VendorConnection, batch: Sequence[Item]) -> list[Sent]:
        middle = len(batch) // 2
        first, second = await asyncio.gather(
            self._send(connection, batch[:middle], []), self._send(connection, batch[middle:], [])
        )
        return [*first, *second]

    def _is_halved(self, result: DeliveryResult, batch: Sequence[Item]) -> bool:
        facts = self.destination.facts
        refused = result.response is not None and result.response.status in HALVED
        return refused and len(batch) > 1 and (facts.all_or_nothing or facts.repeatable)

    def _untimely(self, late: Sequence[Item], early: Sequence[Item]) -> list[Sent]:
        """The last word on items that the vendor takes no longer, or does not take yet."""
        done = []
        if late:
            expired = [verdicts.expired(self.destination, self.undelivered.get(item.event_id)) for item in late]
            done.append(Sent(late, expired, 0, 0))
        if early:
            done.append(_unsent(early, Verdict(Status.FAILED, *self.destination.facts.early)))
        return done

    def _sent(self, batch: Sequence[Item], result: DeliveryResult, size: int, at: int) -> Sent:
        said = verdicts.of_result(self.destination, batch, result, self.stop, at)
        status = result.response.status if result.response else None
        return Sent(batch, said, size, result.attempts, status, result.sent_at_ms, result.answered_at_ms)


def _unsent(items: Sequence[Item], verdict: Verdict) -> Sent:
    return Sent(items, [verdict] * len(items), 0, 0)
