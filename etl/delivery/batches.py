"""Which items travel together and when: by expiry, in waves, in batches within the vendor's limits. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from etl.destinations.base import Destination
from etl.ledger import Claim
from etl.model import Item

WAVE_LEAST, WAVE_MOST = 64, 20_000
WAVE_ROUNDS = 16
"""Rounds of full connections in one wave where the vendor counts a repeat once; one round where it does not."""

OrderKey = Callable[[Item], str]
"""What items share that must go in order, one after another."""


def by_expiry(items: Sequence[Item], order_key: OrderKey | None = None) -> Sequence[Item]:
    """The items that expire soonest first; those that never do keep their order, after them.

    Items under one order key keep their order, and go when the first of them to expire has to.
    """
    if all(item.expires_at_ms is None for item in items):
        return items
    if order_key is None:
        return sorted(items, key=lambda item: (item.expires_at_ms is None, item.expires_at_ms or 0))
    keys = [order_key(item) for item in items]
    soonest: dict[str, int] = {}
    for key, item in zip(keys, items, strict=True):
        if item.expires_at_ms is not None:
            soonest[key] = min(item.expires_at_ms, soonest.get(key, item.expires_at_ms))
    places = sorted(range(len(items)), key=lambda place: (keys[place] not in soonest, soonest.get(keys[place], 0)))
    return [items[place] for place in places]


def partition_by_age(items: Sequence[Item], at: int) -> tuple[list[Item], list[Item], list[Item]]:
    """Those the vendor takes at this moment, those it no longer does, and those it does not take yet."""
    late = [item for item in items if item.expires_at_ms is not None and at > item.expires_at_ms]
    early = [item for item in items if item.ready_at_ms is not None and at < item.ready_at_ms]
    if not late and not early:
        return list(items), late, early
    untimely = {item.row_number for item in (*late, *early)}
    return [item for item in items if item.row_number not in untimely], late, early


def wave_size(destination: Destination) -> int:
    """How many items are claimed, sent side by side and recorded together."""
    limits = destination.limits
    rounds = WAVE_ROUNDS if destination.facts.repeatable else 1
    return max(WAVE_LEAST, min(WAVE_MOST, rounds * limits.connections * limits.items))


def waves(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """The items in order, ``size`` at a time."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def pack(items: Sequence[Item], destination: Destination) -> Iterator[list[Item]]:
    """The items in order, in batches within the destination's limits of count and bytes.

    Only an item that is too large by itself makes a larger batch, of one.
    """
    most_items, most_bytes = destination.limits.items, destination.limits.bytes - destination.envelope_bytes
    batch: list[Item] = []
    size = 0
    for item in items:
        cost = len(item.payload) + 1
        if batch and (len(batch) >= most_items or size + cost > most_bytes + 1):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += cost
    if batch:
        yield batch


def turns(claims: Iterable[Claim], order_key: OrderKey | None) -> list[list[Claim]]:
    """Batches that may travel side by side; those that share an order key are one turn, one after another."""
    if order_key is None:
        return [[claim] for claim in claims]
    found: list[tuple[set[str], list[tuple[int, Claim]]]] = []
    for number, claim in enumerate(claims):
        keys = {order_key(item) for item in claim.items}
        meeting = [turn for turn in found if not turn[0].isdisjoint(keys)]
        found = [turn for turn in found if turn[0].isdisjoint(keys)]
        earlier = [each for _, numbered in meeting for each in numbered]
        found.append((keys.union(*(theirs for theirs, _ in meeting)), [*earlier, (number, claim)]))
    return [[claim for _, claim in sorted(numbered, key=lambda each: each[0])] for _, numbered in found]
