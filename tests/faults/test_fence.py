"""A process that slept past its lease and was taken over: what it had claimed leaves no more."""

from __future__ import annotations

import pytest

from etl.delivery import fence
from etl.destinations import base
from etl.ledger import open_ledger
from etl.model import Item
from tests.conftest import House, order

DEDUPLICATES, REPEATS_COUNT = "kameleoon", "convert"
HOUR_S = 3600.0


class Sleep:
    """Sends this process to sleep as the request with a row is written, and lets another run take some rows over."""

    def __init__(self, house: House, patch: pytest.MonkeyPatch, vendor: str, taken: list[int]) -> None:
        self.house, self.vendor, self.taken = house, vendor, taken
        self.slept_s = 0.0
        self.by_the_wall_s = 0.0
        real, awake = base.Destination.post, fence.now

        def post(destination: base.Destination, body: bytes, *given: object, **more: object) -> object:
            if (b"order-15" in body or b"ORD-15" in body) and not (self.slept_s or self.by_the_wall_s):
                self.sleep()
            return real(destination, body, *given, **more)  # type: ignore[arg-type]

        def now() -> fence.Moment:
            since_boot, wall = awake()
            return fence.Moment(since_boot + self.slept_s, wall + self.by_the_wall_s)

        patch.setattr(base.Destination, "post", post)
        patch.setattr(fence.Fence.__init__, "__defaults__", (now,))
        self.length_s, self.wall_s = HOUR_S, HOUR_S

    def sleep(self) -> None:
        self.slept_s, self.by_the_wall_s = self.length_s, self.wall_s
        self.house.sql("UPDATE runs SET lease_until_ms = 1")
        with open_ledger(self.house.config) as ledger:
            other = ledger.runs.open(kind="retry", import_name="orders", source="x", destinations=[self.vendor])
            rows = self.house.sql("SELECT row_number, event_id FROM entries WHERE run_no = 1")
            items = [
                Item(number, event_id, "Order Completed", b"{}") for number, event_id in rows if number in self.taken
            ]
            ledger.claims.claim(other.run_no, self.vendor, [items], repeatable=True, force_unknown=True)


@pytest.mark.parametrize(
    ("by_boot", "by_wall"), [(HOUR_S, HOUR_S), (0.0, HOUR_S), (HOUR_S, 0.0), (0.0, -HOUR_S)], ids=str
)
@pytest.mark.parametrize("vendor", [DEDUPLICATES, REPEATS_COUNT])
def test_what_was_taken_over_does_not_leave(
    house: House, monkeypatch: pytest.MonkeyPatch, vendor: str, by_boot: float, by_wall: float
) -> None:
    house.to = [vendor]
    house.overrides = {vendor: {"limits": {"items": 10, "connections": 1}}}
    house.write([order(number) for number in range(40)])
    asleep = Sleep(house, monkeypatch, vendor, taken=[11, 12, 13])
    asleep.length_s, asleep.wall_s = by_boot, by_wall
    report = house.run()
    assert report.counts[vendor] == {("delivered", ""): 37, ("duplicate", "in_flight_elsewhere"): 3}
    assert house.sandbox.counts()[vendor]["counted"] == 37
    assert house.sandbox.counts()[vendor]["repeats"] == 0


def test_a_lease_that_another_part_of_the_run_has_renewed_makes_nobody_sure(house: House) -> None:
    """All parts of a run have slept. One wakes up first and renews the lease of them all; a row is taken by then."""
    asleep_s = [0.0]
    items = [Item(number, f"event-{number}", "Order Completed", b"{}") for number in range(1, 4)]
    with open_ledger(house.config) as ledger:
        run, other = (
            ledger.runs.open(kind="import", import_name="orders", source="x", destinations=[DEDUPLICATES])
            for _ in range(2)
        )
        claims = ledger.claims.claim(run.run_no, DEDUPLICATES, [items[:1], items[1:]], repeatable=True)
        one = fence.Fence(ledger, run.run_no, DEDUPLICATES, lambda: fence.Moment(asleep_s[0], asleep_s[0]))
        asleep_s[0] = HOUR_S
        house.sql(f"UPDATE runs SET lease_until_ms = 1 WHERE run_no = {run.run_no}")
        ledger.claims.claim(other.run_no, DEDUPLICATES, [items[2:]], repeatable=True)
        ledger.leases.renew(run.run_no)
        one.renew()
        assert not one.is_sure
        assert one.still_ours(claims[0], items[:1]) == items[:1]
        assert not one.is_sure
        assert one.still_ours(claims[1], items[1:]) == items[1:2]


def test_nobody_is_asked_while_nobody_can_have_taken_anything(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.to = [DEDUPLICATES]
    house.write([order(number) for number in range(40)])
    monkeypatch.setattr(fence.Fence, "still_ours", lambda *_: pytest.fail("the ledger was asked"))
    assert house.run().by_status(DEDUPLICATES) == {"delivered": 40}
