"""Batches and turns: one order key's items in order, nothing lost, the rest side by side."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl import destinations
from etl.delivery.batches import WaveSize, by_expiry, turns, waves
from etl.ledger import Claim
from etl.model import Item
from tests.conftest import House

PEOPLE = st.lists(st.sampled_from("abcdefgh"), max_size=60)


def items(people: list[str], expiries: list[int | None] | None = None) -> list[Item]:
    """One item per person, whose order key is the event's name."""
    ends = expiries or [None] * len(people)
    return [
        Item(number, str(number), name, b"", expires_at_ms=end)
        for number, (name, end) in enumerate(zip(people, ends, strict=True))
    ]


def who(item: Item) -> str:
    return item.event_name


@given(PEOPLE, st.integers(1, 7))
def test_turns_keep_everybodys_order_and_share_nobody(people: list[str], size: int) -> None:
    all_items = items(people)
    claims = [Claim(start, all_items[start : start + size]) for start in range(0, len(all_items), size)]
    found = [[item for claim in turn for item in claim.items] for turn in turns(claims, who)]
    assert sorted(item.row_number for turn in found for item in turn) == list(range(len(people)))
    names = [{item.event_name for item in turn} for turn in found]
    assert sum(map(len, names)) == len(set(people))
    for turn in found:
        rows = [item.row_number for item in turn]
        assert rows == sorted(rows)
    assert turns(claims, None) == [[claim] for claim in claims]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.none() | st.integers(0, 9)), max_size=30))
def test_what_expires_first_takes_its_people_along_in_order(rows: list[tuple[str, int | None]]) -> None:
    all_items = items([name for name, _ in rows], [end for _, end in rows])
    found = by_expiry(all_items, who)
    assert {item.row_number for item in found} == set(range(len(rows)))
    for name in "abc":
        theirs = [item.row_number for item in found if item.event_name == name]
        assert theirs == sorted(theirs)
    ends = [item.expires_at_ms for item in all_items if item.expires_at_ms is not None]
    soonest = {item.event_name for item in all_items if ends and item.expires_at_ms == min(ends)}
    assert not ends or found[0].event_name in soonest


def test_a_wave_grows_while_waves_are_quick_and_shrinks_to_where_it_began() -> None:
    size = WaveSize(64, 64, 2_000)
    lengths = []
    for wave in waves(items(["a"] * 10_000), size.now):
        lengths.append(len(wave))
        size.took(0.2 if len(lengths) < 8 else 9.0)
    assert lengths == [64, 128, 256, 512, 1024, 2000, 2000, 2000, 1000, 500, 250, 125, 64, 64, 13]
    assert sum(lengths) == 10_000


@pytest.mark.parametrize("name", destinations.types())
def test_only_single_conversions_that_are_counted_once_make_longer_waves(name: str, house: House) -> None:
    vendor = destinations.make_destination(house.config, name)
    size = WaveSize.of(vendor)
    assert (size.most > size.size) == (vendor.facts.repeatable and vendor.limits.items == 1)
