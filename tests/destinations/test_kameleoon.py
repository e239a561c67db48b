"""What is peculiar to Kameleoon and does not fit into its exchanges: settings, hints, the attribution window."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest
from pydantic import ValidationError

from etl.clock import DAY_MS
from etl.columns import COLUMNS
from etl.destinations.kameleoon import Kameleoon, KameleoonSettings

AT_MS = 1_795_000_000_000


def vendor(**settings: Any) -> Kameleoon:
    given = {"type": "kameleoon", "site_code": "f17c21u1ag", "data_region": "eu", **settings}
    return Kameleoon("kameleoon", KameleoonSettings(**given))


def row(**values: str) -> pd.DataFrame:
    given = {"event_id": "1", "event_name": "Order Completed", "kameleoon_visitor_code": "v", **values}
    frame = pd.DataFrame({name: [given.get(name)] for name in COLUMNS}, index=[1], dtype="str")
    return frame.assign(occurred_at_ms=AT_MS)


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"data_region": "us"}, "data_region"),
        ({"data_region": "EU"}, "data_region"),
        ({"domain": "com"}, "domain"),
        ({"site_code": ""}, "site_code"),
        ({"events": {"Lead": "Purchase"}}, "events.Lead"),
        ({"events": {"Lead": True}}, "events.Lead"),
        ({"events": {"Lead": 1.5}}, "events.Lead"),
        ({"events": {"page": 36151}}, "events"),
        ({"visitor_code_limit": 256}, "visitor_code_limit"),
        ({"client_id": "x"}, "client_id"),
    ],
    ids=str,
)
def test_settings_are_refused_with_the_path_of_the_key(settings: dict[str, Any], where: str) -> None:
    with pytest.raises(ValidationError) as caught:
        vendor(**settings)
    assert [".".join(map(str, error["loc"])) for error in caught.value.errors()] == [where]


def test_site_code_is_escaped_in_the_url() -> None:
    assert vendor(site_code="a&b=c").request([b"{}"]).url.endswith("?siteCode=a%26b%3Dc&json=true")


def test_wrong_region_is_named_where_nothing_is_found() -> None:
    assert "data_region" in vendor().hint(404)
    assert "user agent" in vendor().hint(403)


def test_attribution_window_is_counted_from_the_event() -> None:
    assert vendor().columns(row())["stale_at_ms"].item() == AT_MS + 7 * DAY_MS
    assert vendor(attribution_days=30).columns(row())["stale_at_ms"].item() == AT_MS + 30 * DAY_MS


@pytest.mark.parametrize("text", ['"', "\\", "\n\t", "\u2028", "🛒", "</script>", "\x7f"], ids=ascii)
def test_text_is_escaped_whatever_it_holds(text: str) -> None:
    frame = vendor().columns(row(event_name="page", url=f"https://example.com/{text}", title=text))
    (payload,) = vendor().items(frame)
    assert json.loads(payload)["title"] == text
