"""Convert over a whole run: a goal once per visitor, further orders alone, repeats not at all, one visitor in order."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from etl import pipeline, preview
from etl.model import Chunk, Status
from etl.sources.base import Window
from etl.stages import extract, plan, transform, validate
from etl.stages.plan import Job
from tests.conftest import House, order

GOAL = "100215962"


@pytest.fixture
def shop(house: House) -> House:
    """An import that goes to Convert alone."""
    house.to = ["convert"]
    return house


def sent(house: House) -> list[tuple[str, list[Any]]]:
    """(visitor, what each event of it brings) of every conversion that arrived, in order of arrival."""
    return [
        (item["item"]["visitorId"], [_brought(event) for event in item["item"]["events"]])
        for item in house.sandbox.received("convert")
    ]


def _brought(event: Any) -> Any:
    return {pair["key"]: pair["value"] for pair in event["data"].get("goalData", ())} or "bare"


def said(house: House, run: str | None = None) -> dict[str, tuple[str, str]]:
    """event_id -> status and reason, of the latest run that speaks of it or of one run."""
    rows = house.results(run_ids=[run] if run else None)
    return {row["event_id"]: (row["status"], row["reason"]) for row in rows}


def visits(number: int, user: str = "u", **changed: str) -> dict[str, str]:
    """A conversion without revenue or order number."""
    return order(number, user_id=user, revenue="", currency="", order_id="", **changed)


def buys(number: int, transaction: str, amount: str, user: str = "u", **changed: str) -> dict[str, str]:
    return order(number, user_id=user, order_id=transaction, revenue=amount, **changed)


DELIVERED = ("delivered", "")


def test_two_orders_are_one_conversion_and_two_transactions(shop: House) -> None:
    shop.write([buys(1, "T-1", "10"), buys(2, "T-2", "20.50")])
    shop.run()
    assert sent(shop) == [
        ("u", ["bare", {"amount": 10, "transactionId": "T-1"}]),
        ("u", [{"amount": 20.5, "transactionId": "T-2"}]),
    ]
    assert set(said(shop).values()) == {DELIVERED}


def test_orders_without_a_number_are_orders_of_their_own(shop: House) -> None:
    shop.write([buys(1, "", "10"), buys(2, "", "10")])
    shop.run()
    assert sent(shop) == [("u", ["bare", {"amount": 10}]), ("u", [{"amount": 10}])]


def test_where_money_is_no_event_of_its_own_every_order_is_whole(shop: House) -> None:
    shop.overrides = {"convert": {"revenue_events": "one"}}
    shop.write([buys(1, "T-1", "10"), buys(2, "T-2", "20")])
    shop.run()
    assert [events for _, events in sent(shop)] == [
        [{"amount": 10, "transactionId": "T-1"}],
        [{"amount": 20, "transactionId": "T-2"}],
    ]


def test_a_goal_again_without_an_order_is_sent_once(shop: House) -> None:
    shop.write([visits(1), visits(2), visits(3, user="other"), visits(4, convert_goal_id="5001")])
    shop.run()
    assert said(shop) == {
        "order-1": DELIVERED,
        "order-2": ("duplicate", "goal_repeated"),
        "order-3": DELIVERED,
        "order-4": DELIVERED,
    }
    assert len(sent(shop)) == 3


def test_an_order_again_is_a_duplicate_and_its_lines_are_not(shop: House) -> None:
    shop.write(
        [buys(1, "T-1", "10.00"), buys(2, "T-1", "10"), buys(3, "T-1", "7.25"), buys(4, "T-1", "7.25", user="x")]
    )
    shop.run()
    assert said(shop) == {
        "order-1": DELIVERED,
        "order-2": ("duplicate", "transaction_repeated"),
        "order-3": ("delivered", "transaction_split"),
        "order-4": DELIVERED,
    }
    assert sorted(sent(shop), key=str) == [
        ("u", ["bare", {"amount": 10.0, "transactionId": "T-1"}]),
        ("u", [{"amount": 7.25, "transactionId": "T-1"}]),
        ("x", ["bare", {"amount": 7.25, "transactionId": "T-1"}]),
    ]


def test_options_send_repeats_all_the_same(shop: House) -> None:
    shop.overrides = {"convert": {"send_repeated_goals": True, "send_repeated_transactions": True}}
    shop.write([visits(1), visits(2), buys(3, "T-1", "10"), buys(4, "T-1", "10")])
    shop.run()
    assert {status for status, _ in said(shop).values()} == {"delivered"}
    assert [events for _, events in sent(shop)] == [
        ["bare"],
        ["bare"],
        [{"amount": 10, "transactionId": "T-1"}],
        [{"amount": 10, "transactionId": "T-1"}],
    ]


def test_a_second_run_sends_nothing(shop: House) -> None:
    shop.write([visits(1), visits(2), buys(3, "T-1", "10"), buys(4, "T-1", "10"), buys(5, "T-1", "4")])
    shop.run()
    once = sent(shop)
    second = shop.run()
    assert sent(shop) == once
    assert second.by_status("convert") == {"duplicate": 5}


@pytest.mark.parametrize("chunk_rows", [1, 2, 3, 1000])
def test_chunks_know_of_each_other(shop: House, chunk_rows: int) -> None:
    shop.import_settings = {"chunk_rows": chunk_rows}
    shop.write([buys(1, "T-1", "10"), visits(2), buys(3, "T-2", "20"), buys(4, "T-1", "10"), buys(5, "T-2", "1")])
    shop.run()
    assert [events for _, events in sent(shop)] == [
        ["bare", {"amount": 10, "transactionId": "T-1"}],
        [{"amount": 20, "transactionId": "T-2"}],
        [{"amount": 1, "transactionId": "T-2"}],
    ]
    assert [said(shop)[f"order-{n}"][1] for n in range(1, 6)] == [
        "",
        "goal_repeated",
        "",
        "transaction_repeated",
        "transaction_split",
    ]


def test_an_order_whose_forerunner_was_refused_carries_its_own_conversion(shop: House) -> None:
    shop.sandbox.fault(vendor="convert", status=400, times=1)
    shop.import_settings = {"chunk_rows": 1}
    shop.write([buys(1, "T-1", "10"), buys(2, "T-2", "20"), visits(3)])
    shop.run()
    assert said(shop)["order-1"] == ("refused", "http_400")
    assert sent(shop) == [("u", ["bare", {"amount": 20, "transactionId": "T-2"}])]
    assert said(shop)["order-3"] == ("duplicate", "goal_repeated")


def test_what_waits_for_an_answer_goes_when_that_is_a_refusal(shop: House) -> None:
    shop.sandbox.fault(vendor="convert", status=400, times=1)
    shop.write([visits(1), visits(2), visits(3)])
    shop.run()
    assert said(shop) == {
        "order-1": ("refused", "http_400"),
        "order-2": DELIVERED,
        "order-3": ("duplicate", "goal_repeated"),
    }
    assert sent(shop) == [("u", ["bare"])]


def staged(shop: House) -> tuple[Job, list[Chunk]]:
    """A run whose items are staged and not delivered yet."""
    job = plan.start(shop.config, "orders")
    pipeline.prepare(job)
    chunks = list(validate.stage(job, extract.stage(job, Window())))
    return job, [transform.stage(job, "convert", chunk) for chunk in chunks]


def test_a_retry_knows_what_its_run_has_delivered(shop: House) -> None:
    shop.import_settings = {"chunk_rows": 1}
    shop.write([buys(1, "T-1", "10"), buys(2, "T-2", "20")])
    job, (first, second) = staged(shop)
    pipeline.load(job, "convert", first)
    shop.sandbox.fault(vendor="convert", status=401)
    pipeline.load(job, "convert", second)
    pipeline.finish(job)
    assert [said(shop)[f"order-{n}"][0] for n in (1, 2)] == ["delivered", "failed"]
    shop.sandbox.faults([])
    shop.retry()
    assert [events for _, events in sent(shop)] == [
        ["bare", {"amount": 10, "transactionId": "T-1"}],
        [{"amount": 20, "transactionId": "T-2"}],
    ]


def test_a_stage_that_is_repeated_in_a_task_of_its_own_knows_what_went_before(shop: House) -> None:
    shop.import_settings = {"chunk_rows": 2}
    shop.write([buys(1, "T-1", "10"), buys(2, "T-2", "20"), visits(3), buys(4, "T-2", "20"), buys(5, "T-3", "30")])
    job, items = staged(shop)
    for chunk in [*items, *items]:  # every task once, and all of them again
        pipeline.load(plan.resume(shop.config, job.run.run_id), "convert", chunk)
    pipeline.finish(job)
    assert [events for _, events in sent(shop)] == [
        ["bare", {"amount": 10, "transactionId": "T-1"}],
        [{"amount": 20, "transactionId": "T-2"}],
        [{"amount": 30, "transactionId": "T-3"}],
    ]


def test_beside_an_order_that_may_have_been_accepted_its_repeat_is_none(shop: House) -> None:
    shop.import_settings = {"chunk_rows": 1}
    shop.sandbox.fault(vendor="convert", drop="after", times=1)
    shop.write([buys(1, "T-1", "10"), buys(2, "T-1", "10"), buys(3, "T-2", "20")])
    shop.run()
    assert said(shop)["order-1"][0] == "unknown"
    assert said(shop)["order-2"] == ("duplicate", "transaction_repeated")
    assert sent(shop)[-1] == ("u", ["bare", {"amount": 20, "transactionId": "T-2"}])  # not accepted as far as is known
    shop.retry(force_unknown=True)
    assert said(shop)["order-1"] == DELIVERED


def test_one_visitors_rows_stay_in_order_and_never_in_parallel(shop: House) -> None:
    shop.overrides = {"convert": {"limits": {"items": 2, "connections": 4}}}
    shop.write([buys(n, f"T-{n}", str(n), user="ab"[n % 2] if n % 5 else f"single-{n}") for n in range(1, 40)])
    shop.run()
    for user in "ab":
        amounts = [events[-1]["amount"] for visitor, events in sent(shop) if visitor == user]
        assert amounts == sorted(amounts)
        assert [events[0] for visitor, events in sent(shop) if visitor == user].count("bare") == 1


def test_sums_hold_and_a_check_says_the_same(shop: House) -> None:
    shop.write([visits(1), visits(2), buys(3, "T-1", "10"), buys(4, "T-1", "10"), buys(5, "T-1", "4")])
    checked = preview.check(shop.config, "orders")["convert"].counts
    report = shop.run()
    assert checked == {
        ("ready", ""): 2,
        ("ready", "transaction_split"): 1,
        ("duplicate", "goal_repeated"): 1,
        ("duplicate", "transaction_repeated"): 1,
    }
    assert report.counts["convert"] == {
        (Status.DELIVERED.value if status == "ready" else status, reason): rows
        for (status, reason), rows in checked.items()
    }


def test_details_hold_nothing_of_the_row(shop: House) -> None:
    shop.write([visits(1, user="somebody"), visits(2, user="somebody")])
    shop.run()
    assert "somebody" not in json.dumps([row["detail"] for row in shop.results()])


def test_a_row_of_yesterday_counts_today(shop: House) -> None:
    at = datetime.now(UTC) - timedelta(days=1, minutes=1)
    shop.write([buys(1, "T-1", "10", occurred_at=at.isoformat()), visits(2, user="v")])
    shop.run()
    assert said(shop) == {"order-1": ("delivered", "counted_today"), "order-2": DELIVERED}
    detail = next(row["detail"] for row in shop.results() if row["event_id"] == "order-1")
    assert "counts it as of today" in detail
    assert "max_age_days" in detail


def test_revenue_to_a_goal_that_takes_none_is_told_where_goals_are_looked_up(shop: House) -> None:
    shop.overrides = {"convert": {"goals_url": shop.sandbox.lookup("convert")}}
    shop.write([buys(1, "T-1", "10", convert_goal_id="100215965"), buys(2, "T-2", "10", user="v")])
    shop.run()
    assert said(shop) == {"order-1": ("delivered", "not_a_revenue_goal"), "order-2": DELIVERED}


def test_a_visitor_without_user_id_is_told(shop: House) -> None:
    shop.write([buys(1, "T-1", "10", user=""), buys(2, "T-2", "10", user="v")])
    shop.run()
    assert said(shop) == {"order-1": ("delivered", "anonymous_visitor"), "order-2": DELIVERED}
