"""Packing and waves, whatever is packed: nothing lost, nothing reordered, no limit passed."""

from __future__ import annotations

from itertools import chain, pairwise
from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from etl.delivery.batches import pack
from etl.model import Item, Limits

QUIET = settings(max_examples=200, derandomize=True, deadline=None, database=None)


def destination(items: int, size: int, envelope: int) -> Any:
    """What packing asks of a destination, and no more."""
    return SimpleNamespace(limits=Limits(items, size, 1), envelope_bytes=envelope)


@QUIET
@given(
    sizes=st.lists(st.integers(0, 120), max_size=60),
    most=st.integers(1, 12),
    room=st.integers(1, 200),
    envelope=st.integers(0, 40),
)
def test_packing_never_loses_reorders_or_passes_a_limit(sizes: list[int], most: int, room: int, envelope: int) -> None:
    items = [Item(n, f"e{n}", "x", b"." * size) for n, size in enumerate(sizes)]
    batches = list(pack(items, destination(most, room + envelope, envelope)))
    assert list(chain.from_iterable(batches)) == items
    for batch in batches:
        assert 1 <= len(batch) <= most
        body = envelope + sum(len(item.payload) for item in batch) + len(batch) - 1
        assert body <= room + envelope or len(batch) == 1, "only what is too large alone may be, and stands alone"


@QUIET
@given(sizes=st.lists(st.integers(1, 30), min_size=1, max_size=40), most=st.integers(1, 10))
def test_packing_wastes_no_request(sizes: list[int], most: int) -> None:
    """Two neighbours that fit into one batch are in one."""
    items = [Item(n, f"e{n}", "x", b"." * size) for n, size in enumerate(sizes)]
    batches = list(pack(items, destination(most, 100, 0)))
    for one, two in pairwise(batches):
        body = sum(len(item.payload) for item in one) + len(one) + len(two[0].payload)
        assert len(one) == most or body > 100
