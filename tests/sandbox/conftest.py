"""One sandbox per test with its clock standing still, and one good request per vendor."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from etl.sandbox import Sandbox

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
AGENT = "conversions/0.1"

Send = Callable[..., requests.Response]


def _convert(event_id: str) -> dict[str, Any]:
    data = [{"key": "amount", "value": 89.99}, {"key": "transactionId", "value": event_id}]
    events = [
        {"eventType": "conversion", "data": {"goalId": "100215962"}},
        {"eventType": "conversion", "data": {"goalId": "100215962", "goalData": data}},
    ]
    visitors = [{"visitorId": "visitor-1", "events": events}]
    return {"enrichData": True, "accountId": "10001234", "projectId": "20005678", "visitors": visitors}


def _optimizely(event_id: str) -> dict[str, Any]:
    event = {"entity_id": "5001", "key": "purchase", "uuid": event_id, "timestamp": NOW_MS - 1000, "revenue": 8999}
    visitors = [{"visitor_id": "user-1", "attributes": [], "snapshots": [{"events": [event]}]}]
    return {"account_id": "12345678", "project_id": "98765432", "enrich_decisions": True, "visitors": visitors}


def _converge(event_id: str) -> dict[str, Any]:
    return {
        "event_name": "Placed Order",
        "event_id": event_id,
        "properties": {"total_price": 42.0},
        "profile_properties": {},
        "aliases": ["urn:email:ada@example.com"],
        "timestamp": "2026-11-20T12:34:56+00:00",
    }


def _kameleoon(event_id: str) -> list[dict[str, Any]]:
    return [{"nonce": event_id, "eventType": "CONVERSION", "visitorCode": "245fc8a1b9", "goalId": 36151}]


def _webflow_optimize(event_id: str) -> dict[str, Any]:
    return {
        "customerId": "123456789",
        "apiName": "application-accepted",
        "userDomain": "salesforce",
        "userId": "72349876",
        "actionId": event_id,
        "actionTimestamp": NOW_MS - 1000,
        "value": 149.99,
    }


GOOD: dict[str, Callable[[str], Any]] = {
    "convert": _convert,
    "optimizely": _optimizely,
    "converge": _converge,
    "kameleoon": _kameleoon,
    "webflow_optimize": _webflow_optimize,
}
HEADERS = {
    "convert": {"Authorization": "Bearer sandbox-convert-key"},
    "optimizely": {},
    "converge": {"X-Webhook-Token": "sandbox-converge-token"},
    "kameleoon": {},
    "webflow_optimize": {"Authorization": "ApiKey sandbox-webflow-key"},
}
QUERY = {"kameleoon": "?siteCode=f17c21u1ag&json=true"}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(now=lambda: NOW) as running:
        yield running


@pytest.fixture
def good() -> Callable[[str, str], Any]:
    """A body that the vendor counts, made for one event id."""
    return lambda vendor, event_id="e-1": GOOD[vendor](event_id)


@pytest.fixture
def send(sandbox: Sandbox) -> Send:
    """Post to a vendor with the right credentials; every part can be replaced, a header of None is left out."""

    def post(
        vendor: str,
        body: Any = None,
        *,
        raw: bytes | None = None,
        query: str | None = None,
        headers: dict[str, str | None] | None = None,
        url: str | None = None,
        timeout: float = 5,
    ) -> requests.Response:
        content = {"json": GOOD[vendor]("e-1") if body is None else body} if raw is None else {"data": raw}
        sent = {"User-Agent": AGENT, **HEADERS[vendor], **(headers or {})}
        address = url or sandbox.endpoint(vendor) + (QUERY.get(vendor, "") if query is None else query)
        return requests.post(address, headers=sent, timeout=timeout, allow_redirects=False, **content)

    return post
