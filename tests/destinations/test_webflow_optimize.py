"""What is peculiar to Webflow Optimize and does not fit into its exchanges: settings, ages, own endpoints."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from pydantic import ValidationError

from etl.clock import DAY_MS
from etl.columns import COLUMNS
from etl.destinations.webflow_optimize import WebflowOptimize, WebflowOptimizeSettings
from tests.conftest import House, order

AT_MS = 1_795_000_000_000


def vendor(**settings: Any) -> WebflowOptimize:
    given = {"type": "webflow_optimize", "customer_id": "123456789", "api_key": "not-for-logs", **settings}
    return WebflowOptimize("webflow_optimize", WebflowOptimizeSettings(**given))


def row() -> pd.DataFrame:
    given = {"event_id": "1", "event_name": "lead", "user_id": "7", "webflow_user_domain": "crm"}
    frame = pd.DataFrame({name: [given.get(name)] for name in COLUMNS}, index=[1], dtype="str")
    return frame.assign(occurred_at_ms=AT_MS)


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"customer_id": 123456789}, "customer_id"),
        ({"api_key": " "}, "api_key"),
        ({"max_age_days": 8}, "max_age_days"),
        ({"event_field": "name"}, "event_field"),
        ({"dialect": "seconds"}, "dialect"),
        ({"hash_user_id": "md5"}, "hash_user_id"),
    ],
    ids=str,
)
def test_settings_are_refused_with_the_path_of_the_key(settings: dict[str, Any], where: str) -> None:
    with pytest.raises(ValidationError) as caught:
        vendor(**settings)
    assert [".".join(map(str, error["loc"])) for error in caught.value.errors()] == [where]


def test_what_was_sent_again_is_a_warning(house: House) -> None:
    house.to = ["webflow_optimize"]
    house.write([order(1, webflow_user_id="7")])
    house.sandbox.fault(vendor="webflow_optimize", drop="after", times=1)
    house.run()
    (row,) = house.results()
    assert (row["status"], row["reason"], row["attempts"]) == ("delivered", "sent_again", 2)
    assert "does not document what it makes of a repeat" in row["detail"]


@pytest.mark.parametrize("days", [7, 2, 1])
def test_a_conversion_expires_after_days_and_is_stale_after_two(days: int) -> None:
    frame = vendor(max_age_days=days).columns(row())
    assert frame["expires_at_ms"].item() == AT_MS + days * DAY_MS
    assert frame["stale_at_ms"].item() == AT_MS + 2 * DAY_MS


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({}, "https://log.intellimize.co/event"),
        ({"dialect": "customer_path_seconds"}, "https://log.intellimize.co/customer/123456789/event"),
        ({"dialect": "customer_path_seconds", "customer_id": "a/b"}, "https://log.intellimize.co/customer/a%2Fb/event"),
        ({"dialect": "customer_path_seconds", "endpoint": "http://127.0.0.1:8900/x"}, "http://127.0.0.1:8900/x"),
    ],
    ids=["default", "account in the path", "odd account", "own endpoint"],
)
def test_url(settings: dict[str, str], url: str) -> None:
    assert vendor(**settings).request([b"{}"]).url == url
