"""The vendor's window as a deadline: what expires soonest goes first, and what expired undelivered is named."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from etl.clock import wall_clock
from etl.delivery.batches import by_expiry
from etl.model import Item
from tests.conftest import House, order

DAY_MS = 86_400_000


def aged(number: int, **age: float) -> dict[str, str]:
    return order(number, occurred_at=(datetime.now(UTC) - timedelta(**age)).isoformat())


def test_within_a_chunk_what_expires_soonest_is_sent_first(house: House) -> None:
    house.to = ["webflow_optimize", "converge"]
    house.overrides = {name: {"limits": {"connections": 1}} for name in house.to}
    house.write([aged(n, hours=hours) for n, hours in enumerate([5, 160, 1, 100, 167, 2])])
    house.run()
    sent = [entry["key"] for entry in house.sandbox.received("webflow_optimize")]
    assert sent == [f"order-{n}" for n in (4, 1, 3, 0, 5, 2)]
    assert [entry["key"] for entry in house.sandbox.received("converge")] == [f"order-{n}" for n in range(6)]


def test_items_that_never_expire_keep_their_order_behind_those_that_do() -> None:
    items = [Item(n, str(n), "", b"", expires_at_ms=at) for n, at in enumerate([None, 9, None, 3, 9])]
    assert [item.row_number for item in by_expiry(items)] == [3, 1, 4, 0, 2]
    assert by_expiry(items[:1]) == items[:1]


def test_a_stop_in_the_middle_and_a_second_run_send_the_rest_once(house: House) -> None:
    house.to = ["webflow_optimize"]
    house.write([aged(n, hours=(n * 37) % 160) for n in range(200)])
    house.sandbox.fault(vendor="webflow_optimize", status=401, skip=100)
    house.run()
    house.sandbox.clear_faults()
    house.run()
    keys = [entry["key"] for entry in house.sandbox.received("webflow_optimize")]
    assert sorted(keys) == sorted(f"order-{n}" for n in range(200))


def test_rows_that_expired_undelivered_are_named_with_the_run_that_failed(house: House) -> None:
    house.to = ["webflow_optimize"]
    house.write([aged(1, days=6.9), aged(2, days=8), aged(3, days=1)])
    house.sandbox.fault(vendor="webflow_optimize", status=401)
    first = house.run()
    assert first.by_status("webflow_optimize") == {"rejected": 1, "failed": 2}
    house.sandbox.clear_faults()

    def tomorrow() -> int:
        return wall_clock() + DAY_MS

    again = house.run(clock=tomorrow)
    told = {row["row_number"]: row for row in house.results(run_ids=[again.run.run_id])}
    assert told[1]["reason"] == told[2]["reason"] == "too_old"
    assert f"It expired undelivered: run {first.run.run_id} failed" in told[1]["detail"]
    assert "undelivered" not in told[2]["detail"], "it came too late by itself"
    assert told[3]["status"] == "delivered"


def test_a_retry_names_them_too(house: House) -> None:
    house.to = ["webflow_optimize"]
    house.write([aged(1, days=6.9)])
    house.sandbox.fault(vendor="webflow_optimize", status=401)
    first = house.run()
    house.sandbox.clear_faults()
    (again,) = house.retry(clock=lambda: wall_clock() + DAY_MS)
    (row,) = house.results(run_ids=[again.run.run_id])
    assert row["status"] == "rejected"
    assert f"run {first.run.run_id} failed to deliver it" in row["detail"]
