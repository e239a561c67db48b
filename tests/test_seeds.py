"""The vendors' own examples: out of `check` and at the sandbox exactly as their pages show them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from etl import preview
from etl.sandbox import Sandbox
from tests.conftest import House, order

NOW = datetime(2020, 1, 7, tzinfo=UTC)  # a day after the example of Webflow's page
NOW_MS = int(NOW.timestamp() * 1000)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with Sandbox(now=lambda: NOW, credentials={"webflow_optimize": {"api_key": "AbCdEf123456"}}) as sandbox:
        yield House(tmp_path, sandbox)


def exact(text: str | bytes) -> Any:
    """JSON whose fractions keep their digits: 23.50 is not 23.5."""
    return json.loads(text, parse_float=lambda digits: digits)


def both_ways(house: House, vendor: str, rows: list[dict[str, str]]) -> list[Any]:
    """The bodies that arrive at the sandbox, after seeing that `check` showed the first of them."""
    house.to = [vendor]
    house.write(rows)
    shown = preview.check(house.config, "orders", clock=lambda: NOW_MS)[vendor].request
    report = house.run(clock=lambda: NOW_MS)
    assert report.by_status(vendor) == {"delivered": len(rows)}
    bodies = [exact(request["body"]) for request in house.sandbox.requests(vendor)]
    assert shown is not None
    assert exact(shown.body) == bodies[0]
    assert house.sandbox.counts()[vendor]["counted"] == len(rows)
    return bodies


def test_optimizely_order_of_89_99_gbp_is_8999(house: House) -> None:
    row = order(1, order_id="ORD-5521", revenue="89.99", currency="GBP", occurred_at="2020-01-06T13:09:10Z")
    (body,) = both_ways(house, "optimizely", [row])
    assert (body["account_id"], body["project_id"]) == ("12345678", "98765432")
    (event,) = body["visitors"][0]["snapshots"][0]["events"]
    assert event["key"] == "purchase"
    assert event["tags"] == {"revenue": 8999, "currency": "GBP", "order_id": "ORD-5521"}


def test_kameleoon_purchase_and_page(house: House) -> None:
    common = {"occurred_at": "2020-01-06T13:09:10Z", "kameleoon_visitor_code": "245fc8a1b9"}
    purchase = {
        **common,
        "event_id": "9f1c2d7a-4b88-4e2a-9a31-6c0e2b5d77aa",
        "event_name": "Order Completed",
        "revenue": "23.50",
        "currency": "USD",
        "order_id": "ORD-1001",
        "kameleoon_goal_id": "36151",
    }
    page = {
        **common,
        "event_id": "1a2b3c4d-5e6f-7a8b-9c0d-1e2f3a4b5c6d",
        "event_name": "page",
        "url": "https://example.com/checkout",
        "title": "Checkout",
    }
    (body,) = both_ways(house, "kameleoon", [purchase, page])
    assert body == [
        {
            "nonce": "9f1c2d7a-4b88-4e2a-9a31-6c0e2b5d77aa",
            "eventType": "CONVERSION",
            "visitorCode": "245fc8a1b9",
            "goalId": 36151,
            "revenue": "23.50",
        },
        {
            "nonce": "1a2b3c4d-5e6f-7a8b-9c0d-1e2f3a4b5c6d",
            "eventType": "PAGE",
            "visitorCode": "245fc8a1b9",
            "href": "https://example.com/checkout",
            "title": "Checkout",
        },
    ]
    assert house.sandbox.requests("kameleoon")[0]["query"] == "siteCode=f17c21u1ag&json=true"


def test_webflow_application_accepted(house: House) -> None:
    house.overrides = {"webflow_optimize": {"api_key": "AbCdEf123456", "events": {}}}
    row = {
        "event_id": "23823940",
        "event_name": "application-accepted",
        "occurred_at": "1578316150000",
        "user_id": "72349876",
        "revenue": "149.99",
    }
    (body,) = both_ways(house, "webflow_optimize", [row])
    assert body == {
        "customerId": "123456789",
        "apiName": "application-accepted",
        "userDomain": "salesforce",
        "userId": "72349876",
        "actionId": "23823940",
        "actionTimestamp": 1578316150000,
        "value": "149.99",
    }


def test_converge_body(house: House) -> None:
    row = {
        "event_id": "evt-1",
        "event_name": "Signed Up",
        "occurred_at": "2020-01-06T12:34:56+00:00",
        "aliases": "urn:user_id:17",
        "properties": '{"plan": "pro"}',
        "profile_properties": '{"$city": "Ghent"}',
    }
    (body,) = both_ways(house, "converge", [row])
    assert body == {
        "event_name": "Signed Up",
        "event_id": "evt-1",
        "properties": {"plan": "pro"},
        "profile_properties": {"$city": "Ghent"},
        "aliases": ["urn:user_id:17"],
        "timestamp": "2020-01-06T12:34:56+00:00",
    }


def test_convert_revenue_goal(house: House) -> None:
    row = order(
        1, user_id="visitor-1", revenue="89.99", quantity="2", order_id="T-1001", occurred_at="2020-01-06T13:09:10Z"
    )
    (body,) = both_ways(house, "convert", [row])
    assert (body["accountId"], body["projectId"], body["enrichData"]) == ("10001234", "20005678", True)
    amounts = [
        {"key": "amount", "value": "89.99"},
        {"key": "productsCount", "value": 2},
        {"key": "transactionId", "value": "T-1001"},
    ]
    assert body["visitors"] == [
        {
            "visitorId": "visitor-1",
            "events": [
                {"eventType": "conversion", "data": {"goalId": "100215962"}},
                {"eventType": "conversion", "data": {"goalId": "100215962", "goalData": amounts}},
            ],
        }
    ]
