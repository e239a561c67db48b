"""Load: items into batches, batches over the wire, and the last word on every item into the ledger.

Items go in waves: a wave is claimed in one statement, sent side by side, and recorded in one statement. What is on the
wire when a process dies is at most one wave, and stands in the ledger as `unknown`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from etl.clock import Clock
from etl.delivery import connection
from etl.delivery.pacing import EndpointLock, endpoint_lock
from etl.delivery.shutdown import shutting_down
from etl.destinations.base import STOPS, Destination
from etl.errors import DestinationStopped, Interrupted, LedgerError
from etl.ledger import Ledger, Sent, Stop
from etl.model import Item, Response, Status, Verdict
from etl.redact import origin_of

Progress = Callable[[int], None]
"""Told how many more items have their last word."""

WAVE_LEAST, WAVE_MOST = 64, 20_000
WAVE_ROUNDS = 16
"""Rounds of full connections in one wave, where a doubtful row may simply be sent again; one round where it may not."""

HALVED = frozenset({400, 413, 422})


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
    undelivered: dict[str, str] = field(default_factory=dict)
    """Events that are too old now and that an earlier run failed to deliver: event_id -> that run."""

    def load(self, items: Sequence[Item]) -> None:
        """Bring every item to its last word. Returns when all of it is in the ledger."""
        self.stop = self.stop or self.ledger.runs.stops(self.run_no).get(self.destination.name)
        with endpoint_lock(self.destination.endpoint) as lock:
            asyncio.run(self._load(items, lock))

    async def _load(self, items: Sequence[Item], lock: EndpointLock) -> None:
        limits, retry_policy = self.destination.limits, self.destination.retry_policy
        rounds = WAVE_ROUNDS if self.destination.facts.repeatable else 1
        size = max(WAVE_LEAST, min(WAVE_MOST, rounds * limits.connections * limits.items))
        probed = False
        items = by_expiry(items)
        await asyncio.to_thread(self._look_back, items)
        async with connection.connect(limits, retry_policy, lock) as vendor, self._alive():
            for wave in _waves(items, size):
                if shutting_down.is_set():
                    raise Interrupted("The run was ended; the next one sends what is missing.")
                won = await asyncio.to_thread(self._claim, wave)
                fresh, _, _ = partition_by_age(won, self.clock())
                if fresh and not probed and not self.stop:
                    probed = True
                    await self._probe(vendor, fresh[0])
                sent = await self._send_wave(vendor, won)
                await asyncio.to_thread(self.ledger.claims.record, self.run_no, self.destination.name, sent)
                self.progress(len(wave))

    @asynccontextmanager
    async def _alive(self) -> AsyncIterator[None]:
        """Renew the lease of the run's claims while a vendor takes its time."""

        async def beat() -> None:
            while True:
                await asyncio.sleep(self.ledger.leases.heartbeat_s)
                with suppress(LedgerError):  # whoever writes the answers down will meet the same trouble, and tell
                    await asyncio.to_thread(self.ledger.leases.renew, self.run_no)

        beating = asyncio.create_task(beat())
        try:
            yield
        finally:
            beating.cancel()

    def _look_back(self, items: Sequence[Item]) -> None:
        _, late, _ = partition_by_age(items, self.clock())
        if late:
            events = [item.event_id for item in late]
            self.undelivered |= self.ledger.results.failed_before(self.run_no, self.destination.name, events)

    def _claim(self, wave: Sequence[Item]) -> list[Item]:
        facts = self.destination.facts
        return self.ledger.claims.claim(
            self.run_no, self.destination.name, wave, repeatable=facts.repeatable, force_unknown=self.force_unknown
        )

    async def _probe(self, vendor: connection.VendorConnection, item: Item) -> None:
        try:
            await vendor.probe(self.destination.endpoint, self.destination.request([item.payload]).headers)
        except DestinationStopped as stopped:
            await self._stop(stopped)

    async def _stop(self, stopped: DestinationStopped) -> Stop:
        """The first reason to stop is the one that stays."""
        if self.stop is None:
            title = self.destination.facts.title
            told = str(stopped)
            self.stop = Stop(stopped.reason, f"{title} stopped: {told}{'' if told.endswith(('.', '?')) else '.'}")
            await asyncio.to_thread(self.ledger.runs.stop_destination, self.run_no, self.destination.name, self.stop)
        return self.stop

    async def _send_wave(self, vendor: connection.VendorConnection, items: Sequence[Item]) -> list[Sent]:
        batches = pack(items, self.destination)
        parts = await asyncio.gather(*(self._send(vendor, batch) for batch in batches))
        return [sent for part in parts for sent in part]

    async def _send(self, vendor: connection.VendorConnection, batch: Sequence[Item]) -> list[Sent]:
        """Send one batch to its last word; more than one `Sent` where it was halved or partly expired."""
        async with vendor.slots:
            at = self.clock()
            fresh, late, early = partition_by_age(batch, at)
            verdicts = [expired(self.destination, self.undelivered.get(item.event_id)) for item in late]
            done = [Sent(late, verdicts, 0, 0)] if late else []
            if early:
                done.append(_unsent(early, Verdict(Status.FAILED, *self.destination.facts.early)))
            if self.stop or shutting_down.is_set():
                return [*done, _unsent(fresh, self._failed())]
            request = self.destination.request([item.payload for item in fresh]) if fresh else None
            if request is None:
                return done
            if len(request.body) > self.destination.limits.bytes:
                return [*done, _unsent(fresh, self._too_large())]
            try:
                answer = await vendor.send(request, repeatable=self.destination.facts.repeatable)
            except DestinationStopped as stopped:
                await self._stop(stopped)
                return [*done, _unsent(fresh, self._failed())]
        if self._halves(answer, fresh):
            middle = len(fresh) // 2
            halves = await asyncio.gather(self._send(vendor, fresh[:middle]), self._send(vendor, fresh[middle:]))
            return [*done, *halves[0], *halves[1]]
        await self._stop_after(answer, silent=vendor.breaker_open)
        status = answer.response.status if answer.response else None
        times = (answer.attempts, status, answer.sent_at_ms, answer.answered_at_ms)
        return [*done, Sent(fresh, self._verdicts(fresh, answer, at), len(request.body), *times)]

    def _halves(self, answer: connection.DeliveryResult, batch: Sequence[Item]) -> bool:
        facts = self.destination.facts
        refused = answer.response is not None and answer.response.status in HALVED
        return refused and len(batch) > 1 and (facts.all_or_nothing or facts.repeatable)

    def _verdicts(self, batch: Sequence[Item], answer: connection.DeliveryResult, at: int) -> list[Verdict]:
        """One verdict per item, for an answer that is final or for the lack of one."""
        response = answer.response
        if response is not None and not _blames_nobody(response) and not _transient(response):
            verdicts = self.destination.results([item.payload for item in batch], response)
            if any(item.warning or item.stale_at_ms is not None for item in batch):
                return [self._remarked(item, verdict, at) for item, verdict in zip(batch, verdicts, strict=True)]
            return verdicts
        if answer.lost:
            verdict = Verdict(Status.UNKNOWN, "no_answer", f"Sent, but {answer.why}: it may have been accepted.")
        elif response is not None and _blames_nobody(response):
            verdict = Verdict(Status.FAILED, f"http_{response.status}", self.stop.detail if self.stop else "")
        else:
            reason = f"http_{response.status}" if response is not None else "unreachable"
            verdict = Verdict(Status.FAILED, reason, f"{_tried(answer)}: {answer.why}; the next run sends it.")
        return [verdict] * len(batch)

    async def _stop_after(self, answer: connection.DeliveryResult, *, silent: bool) -> None:
        """Stop on an answer that blames everybody, when it asks for too much time, or when the probes were in vain."""
        response = answer.response
        if response is not None and _blames_nobody(response):
            why = STOPS.get(response.status) or _redirected(response)
            told = f"it answered {response.status}, {why}. {self.destination.hint(response.status)}".strip()
            await self._stop(DestinationStopped(told, f"http_{response.status}"))
        elif response is not None and answer.throttled:
            asked = f"it answered {response.status} and asked for more time than `retry.total_s` allows"
            told = f"{asked}; `conversions retry` goes on later"
            await self._stop(DestinationStopped(told, f"http_{response.status}"))
        elif silent and not shutting_down.is_set() and (response is None or _transient(response)):
            reason = f"http_{response.status}" if response is not None else "unreachable"
            told = f"{answer.why}, and so on for every request. Is the vendor down, or `endpoint` wrong?"
            await self._stop(DestinationStopped(told, reason))

    def _remarked(self, item: Item, verdict: Verdict, at: int) -> Verdict:
        """A delivered item keeps the remark it came with; an ageing one gets the vendor's warning."""
        if verdict.status is not Status.DELIVERED:
            return verdict
        if item.stale_at_ms is not None and at > item.stale_at_ms:
            return Verdict(verdict.status, *self.destination.facts.stale)
        return Verdict(verdict.status, item.warning, item.warning_detail) if item.warning else verdict

    def _failed(self) -> Verdict:
        """The verdict on what was not sent because the destination stopped, or the run was ended."""
        if self.stop is None:
            return Verdict(Status.FAILED, "interrupted", "Not sent: the run was ended. The next one sends it.")
        return Verdict(Status.FAILED, self.stop.reason, f"Not sent. {self.stop.detail}")

    def _too_large(self) -> Verdict:
        limit = self.destination.limits.bytes
        return Verdict(Status.REJECTED, "too_large", f"Alone it is larger than a request may be ({limit:,} bytes).")


def by_expiry(items: Sequence[Item]) -> Sequence[Item]:
    """Those that the vendor takes no longer soonest go first; the others keep their order, after them."""
    if all(item.expires_at_ms is None for item in items):
        return items
    return sorted(items, key=lambda item: (item.expires_at_ms is None, item.expires_at_ms or 0))


def expired(destination: Destination, failed_in: str | None) -> Verdict:
    """What is said of an item that came too late; ``failed_in`` is the run that could not deliver it in time."""
    reason, detail = destination.facts.expired
    if failed_in is not None:
        detail = f"{detail} It expired undelivered: run {failed_in} failed to deliver it while there was time."
    return Verdict(Status.REJECTED, reason, detail)


def pack(items: Sequence[Item], destination: Destination) -> Iterator[list[Item]]:
    """The items in order, in batches within the destination's limits of count and bytes.

    Only an item that is too large by itself makes a larger batch, of one.
    """
    most, room = destination.limits.items, destination.limits.bytes - destination.envelope_bytes
    batch: list[Item] = []
    size = 0
    for item in items:
        cost = len(item.payload) + 1
        if batch and (len(batch) >= most or size + cost > room + 1):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += cost
    if batch:
        yield batch


def _waves(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def partition_by_age(items: Sequence[Item], at: int) -> tuple[list[Item], list[Item], list[Item]]:
    """Those the vendor takes at this moment, those it no longer does, and those it does not take yet."""
    late = [item for item in items if item.expires_at_ms is not None and at > item.expires_at_ms]
    early = [item for item in items if item.ready_at_ms is not None and at < item.ready_at_ms]
    if not late and not early:
        return list(items), late, early
    other = {item.row_number for item in (*late, *early)}
    return [item for item in items if item.row_number not in other], late, early


def _unsent(items: Sequence[Item], verdict: Verdict) -> Sent:
    return Sent(items, [verdict] * len(items), 0, 0)


def _tried(answer: connection.DeliveryResult) -> str:
    if not answer.attempts:
        return "Not sent"
    return "Not accepted after 1 attempt" if answer.attempts == 1 else f"Not accepted after {answer.attempts} attempts"


def _blames_nobody(response: Response) -> bool:
    """The vendor, or who answers in its place, refuses everybody: credentials, the address, or a redirect."""
    return response.status in STOPS or 300 <= response.status < 400


def _redirected(response: Response) -> str:
    """Where to, as far as it can be told: scheme and host. What comes after them may hold a key."""
    origin = origin_of(response.headers.get("location", ""))
    where = f"to {origin}" if origin else "elsewhere"
    return f"a redirect {where}, which is not followed; if that is the vendor, set `endpoint` to the address there"


def _transient(response: Response) -> bool:
    return response.status == 429 or response.status in connection.TRANSIENT
