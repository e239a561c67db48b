"""What is peculiar to Convert: which settings need which, where goals are looked up, who gets which key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd
import pytest
from pydantic import ValidationError

from etl.columns import COLUMNS
from etl.destinations.convert import Convert, ConvertSettings
from etl.errors import LookupFailed

SECRETS = {"api_key": "key-of-the-api", "sdk_key": "key-of-the-sdk", "sdk_key_secret": "secret-of-the-sdk"}


def vendor(**settings: Any) -> Convert:
    given = {"type": "convert", "account_id": "1", "project_id": "2", "api_key": SECRETS["api_key"], **settings}
    return Convert("convert", ConvertSettings(**given))


# -- settings


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"api_key": None}, "api_key"),
        ({"api_key": ""}, "api_key"),
        ({"sdk_key_secret": "secret-of-the-sdk"}, "sdk_key_secret"),
        ({"events": {"Order Completed": ""}}, "events.Order Completed"),
        ({"currency": "euro"}, "currency"),
        ({"goals_url": "cdn.example/config"}, "goals_url"),
    ],
    ids=["no key", "empty key", "secret without key", "empty goal", "no currency", "no address"],
)
def test_settings_are_refused_with_the_path_of_the_key(settings: dict[str, Any], where: str) -> None:
    with pytest.raises(ValidationError) as caught:
        vendor(**settings)
    assert [".".join(map(str, error["loc"])) for error in caught.value.errors()] == [where]


def test_tracking_needs_no_key() -> None:
    assert "Authorization" not in vendor(api="tracking", api_key=None).request([]).headers


# -- goals


def refuse(url: str, headers: Mapping[str, str]) -> bytes:
    raise LookupFailed(f"{url} answered 403 to {headers}")


def test_nothing_is_looked_up_where_nobody_said_where() -> None:
    assert vendor().prepare(refuse) == {}
    assert vendor(api="tracking", endpoint="http://127.0.0.1:8900/track").prepare(refuse) == {}


def test_a_failed_lookup_hides_the_secrets() -> None:
    with pytest.raises(LookupFailed) as caught:
        vendor(api="tracking", **SECRETS).prepare(refuse)
    assert caught.value.reason == "goals_unavailable"
    assert not [secret for secret in SECRETS.values() if secret in str(caught.value)]


@pytest.mark.parametrize(
    ("settings", "authorization"),
    [
        ({"goals_url": "https://goals.example/config"}, None),
        ({"goals_url": "https://goals.example/config", **SECRETS}, None),
        ({"api": "tracking"}, None),
        ({"api": "tracking", **SECRETS}, "Bearer secret-of-the-sdk"),
    ],
    ids=["default", "default with SDK key", "tracking", "tracking with SDK key"],
)
def test_the_api_key_never_goes_to_the_list_of_goals(settings: dict[str, Any], authorization: str | None) -> None:
    asked: list[Mapping[str, str]] = []

    def fetch(url: str, headers: Mapping[str, str]) -> bytes:
        asked.append(headers)
        return b'{"goals": [{"key": "no id"}, "no goal", {"id": 7, "key": null, "name": "Seven"}]}'

    assert vendor(**settings).prepare(fetch) == {"goals": {"Seven": "7", "7": "7"}, "not_revenue": []}
    assert asked[0].get("Authorization") == authorization
    assert asked[0]["User-Agent"].startswith("ConvertAgent/")


def test_goals_of_an_unknown_shape_are_left_out() -> None:
    odd = [
        {"id": 1, "name": ["x"]},
        {"id": 2, "key": {"a": 1}},
        {"id": [3], "name": "no id"},
        {"id": {}, "key": "none"},
    ]
    listed = json.dumps({"goals": [*odd, {"id": "4", "name": "Four", "key": "four"}]}).encode()
    found = vendor(goals_url="https://goals.example/config").prepare(lambda url, headers: listed)
    assert found == {"goals": {"1": "1", "2": "2", "4": "4", "Four": "4", "four": "4"}, "not_revenue": []}


# -- time


def test_old_rows_expire_only_where_an_age_is_set() -> None:
    index = pd.RangeIndex(1, 2)
    own = pd.DataFrame({name: pd.Series("1", index=index, dtype="str") for name in COLUMNS} | {"occurred_at_ms": 1_000})
    assert "expires_at_ms" not in vendor().columns(own)
    assert vendor(max_age_days=30).columns(own)["expires_at_ms"].tolist() == [1_000 + 30 * 86_400_000]


def test_the_agent_cannot_be_renamed() -> None:
    for api in ("goals", "tracking"):
        assert vendor(api=api, auth_header="X-Key").request([]).headers["User-Agent"] == "ConvertAgent/1.0"
