"""What would become of a destination's items if a run delivered them now and the vendor took all: nothing is sent.

The same steps as `etl.delivery.load`: in the order of expiry, in waves, packed into batches before any is claimed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from etl import reasons
from etl.delivery import verdicts
from etl.delivery.batches import by_expiry, pack, partition_by_age, wave_size, waves
from etl.delivery.siblings import Siblings
from etl.destinations.base import Destination
from etl.ledger import Ledger
from etl.model import Item, RowVerdict, Status, Verdict

ANSWER_S = 0.25
"""How long a vendor is assumed to take for an answer: none documents it."""


@dataclass
class Foreseen:
    """What would become of some items: ``taken`` are those whose keys others hold, (status, reason) -> rows."""

    going: list[Item] = field(default_factory=list)
    unsent: list[RowVerdict] = field(default_factory=list)
    taken: Counter[tuple[str, str]] = field(default_factory=Counter)
    first: int = 0
    """Of those that are taken, the ones that are dead letters now and would have been sent before."""
    requests: int = 0


@dataclass
class Forecast:
    """One destination's items, chunk by chunk. Without a ``ledger`` nothing was delivered before.

    ``goes_first``: which of some events a run would have sent as dead letters before it came to these.
    """

    destination: Destination
    at_ms: int
    ledger: Ledger | None = None
    goes_first: Callable[[Sequence[str]], Collection[str]] = lambda event_ids: ()
    siblings: Siblings | None = None

    def __post_init__(self) -> None:
        self.siblings = Siblings(self.destination) if self.destination.in_order else None

    def chunk(self, items: Sequence[Item]) -> Foreseen:
        """The next items of the source."""
        found = Foreseen()
        taken = self._taken(items, found)
        found.taken.update(taken.values())
        self._learn_taken([item for item in items if item.row_number in taken], taken)
        key = self.siblings.order_key if self.siblings else None
        for wave in waves(by_expiry(items, key), wave_size(self.destination)):
            for batch in pack(wave, self.destination):
                self._batch([item for item in batch if item.row_number not in taken], found)
        found.going.sort(key=lambda item: item.row_number)
        return found

    def _taken(self, items: Sequence[Item], found: Foreseen) -> dict[int, tuple[str, str]]:
        if self.ledger is None or not items:
            return {}
        repeatable = self.destination.facts.repeatable
        taken = self.ledger.results.taken(self.destination.name, items, repeatable=repeatable, at_ms=self.at_ms)
        fresh, _, _ = partition_by_age([item for item in items if item.row_number not in taken], self.at_ms)
        before = self.goes_first([item.event_id for item in fresh])
        first = {item.row_number for item in fresh if item.event_id in before}
        found.first += len(first)
        return taken | dict.fromkeys(first, verdicts.ALREADY_DELIVERED)

    def _learn_taken(self, items: Sequence[Item], taken: dict[int, tuple[str, str]]) -> None:
        for item in items if self.siblings else ():
            status, reason = taken[item.row_number]
            if reason != reasons.IN_FLIGHT_ELSEWHERE.code:
                self._learn(item, Status.UNKNOWN if status == Status.UNKNOWN else Status.DELIVERED)

    def _learn(self, item: Item, status: Status) -> None:
        if self.siblings:
            self.siblings.learn([(item, Verdict(status))])

    def _batch(self, items: Sequence[Item], found: Foreseen) -> None:
        fresh, late, early = partition_by_age(items, self.at_ms)
        facts = self.destination.facts
        found.unsent += _said(late, Verdict(Status.REJECTED, *facts.expired))
        found.unsent += _said(early, Verdict(Status.FAILED, *facts.early))
        waiting: Sequence[Item] = fresh
        while waiting:
            waiting = self._request(waiting, found)

    def _request(self, items: Sequence[Item], found: Foreseen) -> Sequence[Item]:
        """One request of these, or of those of them that do not have to wait for its answer; those that do."""
        now: Sequence[Item] = items
        later: Sequence[Item] = ()
        if self.siblings:
            now, settled, later = self.siblings.sort(items)
            for item, verdict in settled:
                found.unsent += _said([item], verdict)
        if len(now) == 1 and len(now[0].payload) + self.destination.envelope_bytes > self.destination.limits.bytes:
            found.unsent += _said(now, verdicts.too_large(self.destination))
        elif now:
            found.requests += 1
            found.going += now
            for item in now:
                self._learn(item, Status.DELIVERED)
        return later


def seconds(destination: Destination, requests: int) -> float:
    """How long so many requests take at least, at the vendor's limits."""
    limits = destination.limits
    return max(requests * limits.spacing_ms / 1000, math.ceil(requests / limits.connections) * ANSWER_S)


def _said(items: Sequence[Item], verdict: Verdict) -> list[RowVerdict]:
    return [RowVerdict(item.row_number, item.event_id, item.event_name, verdict) for item in items]
