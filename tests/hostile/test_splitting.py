"""Splitting, whatever is poisoned: every row has one verdict, the poison alone is refused, requests are few."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import House, order

BATCH = 32
HALVINGS = 5
"""Of a batch, until one row is left."""

QUIET = settings(
    max_examples=8,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture
def nights() -> Iterator[int]:
    return itertools.count()


@QUIET
@given(poison=st.sets(st.integers(1, 2 * BATCH), max_size=6), status=st.sampled_from([400, 413, 422]))
def test_poison_is_refused_alone_and_found_in_few_requests(
    house: House, nights: Iterator[int], poison: set[int], status: int
) -> None:
    first = 1000 * next(nights)
    rows = [order(first + n, kameleoon_visitor_code=f"visitor-{n}.") for n in range(1, 2 * BATCH + 1)]
    house.to = ["kameleoon"]
    house.overrides = {"kameleoon": {"limits": {"items": BATCH, "spacing_ms": 0}}}
    house.write(rows)
    house.sandbox.clear_faults()
    for number in poison:
        house.sandbox.fault(vendor="kameleoon", status=status, when_body_contains=f"visitor-{number}.")
    before = house.sandbox.counts()["kameleoon"]
    report = house.run()
    after = house.sandbox.counts()["kameleoon"]
    told = {row["row_number"]: (row["status"], row["reason"]) for row in house.results(run_ids=[report.run.run_id])}
    assert told == {
        number: ("refused", f"http_{status}") if number in poison else ("delivered", "")
        for number in range(1, 2 * BATCH + 1)
    }
    assert after["counted"] - before["counted"] == 2 * BATCH - len(poison)
    assert after["requests"] - before["requests"] <= 2 + 2 * HALVINGS * len(poison)
