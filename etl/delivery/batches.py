"""Which items travel together and when: by expiry, in waves, in batches within the vendor's limits. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from etl.destinations.base import Destination
from etl.model import Item


def by_expiry(items: Sequence[Item]) -> Sequence[Item]:
    """The items that expire soonest first; those that never do keep their order, after them."""
    if all(item.expires_at_ms is None for item in items):
        return items
    return sorted(items, key=lambda item: (item.expires_at_ms is None, item.expires_at_ms or 0))


def partition_by_age(items: Sequence[Item], at: int) -> tuple[list[Item], list[Item], list[Item]]:
    """Those the vendor takes at this moment, those it no longer does, and those it does not take yet."""
    late = [item for item in items if item.expires_at_ms is not None and at > item.expires_at_ms]
    early = [item for item in items if item.ready_at_ms is not None and at < item.ready_at_ms]
    if not late and not early:
        return list(items), late, early
    untimely = {item.row_number for item in (*late, *early)}
    return [item for item in items if item.row_number not in untimely], late, early


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
