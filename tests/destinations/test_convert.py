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
from etl.model import Status
from schemas.rules import problems

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
    assert vendor().columns(own)["stale_at_ms"].tolist() == [1_000 + 86_400_000]
    assert vendor(max_age_days=30).columns(own)["expires_at_ms"].tolist() == [1_000 + 30 * 86_400_000]


def test_the_agent_cannot_be_renamed() -> None:
    for api in ("goals", "tracking"):
        assert vendor(api=api, auth_header="X-Key").request([]).headers["User-Agent"] == "ConvertAgent/1.0"


# -- what is said


def sentences(vendor_: Convert, **columns: str | None) -> str:
    """What is said of one row that is turned away."""
    plain: dict[str, str | None] = dict.fromkeys(COLUMNS) | {"event_id": "1", "user_id": "u", **columns}
    own = pd.DataFrame({name: pd.Series([text], index=[1], dtype="str") for name, text in plain.items()})
    found = problems(vendor_.schema(), vendor_.columns(own.assign(occurred_at_ms=1_000)))
    return " ".join(found["detail"])


LOOKED_UP = {"goals": {"7": "7", "Seven": "7"}, "not_revenue": ["7"]}


@pytest.mark.parametrize(
    ("settings", "lookup", "row", "says"),
    [
        ({}, None, {"event_name": "Signed Up"}, "Give the row a convert_goal_id, or name the goal under `events`."),
        ({}, LOOKED_UP, {"event_name": "Signed Up"}, "No goal of the project has that name or key: give the row"),
        ({}, None, {"event_name": "page"}, "Convert matches no addresses: name goals of pages under `page_goals`"),
        (
            {"page_goals": {"https://a/*": "7"}},
            None,
            {"event_name": "page", "url": "https://b/"},
            "No pattern of page_goals matches its url: name goals of pages under `page_goals`",
        ),
        (
            {},
            None,
            {"event_name": "x", "convert_goal_id": "Seven"},
            "(digits only); names and keys were not looked up, which goals_url or `api: tracking` does.",
        ),
        (
            {},
            LOOKED_UP,
            {"event_name": "x", "convert_goal_id": "Eight"},
            "(digits only), and no single goal of the project has that name or key.",
        ),
        ({}, LOOKED_UP, {"event_name": "x", "convert_goal_id": "8"}, "The project has no goal with the id 8."),
    ],
    ids=["no goal", "no goal of that name", "page", "page of another address", "name", "unknown name", "unknown id"],
)
def test_no_lookup_is_claimed_that_was_not_made(
    settings: dict[str, Any], lookup: dict[str, Any] | None, row: dict[str, str], says: str
) -> None:
    given = {"type": "convert", "account_id": "1", "project_id": "2", "api_key": "k", **settings}
    said = sentences(Convert("convert", ConvertSettings(**given), lookup), **row)
    assert says in said
    assert lookup or "of the project" not in said


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "The API key is not valid"),
        ({"api": "tracking"}, "only under its SDK key: set sdk_key"),
        ({"api": "tracking", "sdk_key": "k"}, "The SDK key has a secret: set sdk_key_secret."),
        ({"api": "tracking", "sdk_key": "k", "sdk_key_secret": "s"}, "The secret of the SDK key was not accepted"),
    ],
    ids=["default", "tracking", "SDK key", "SDK key and secret"],
)
def test_a_401_speaks_of_the_credential_that_was_sent(settings: dict[str, Any], says: str) -> None:
    assert says in vendor(**settings).hint(401)
    assert ("API key" in vendor(**settings).hint(401)) == (settings == {})


# -- what items have in common


@pytest.mark.parametrize("money", ["two", "one"])
def test_ties_are_read_from_a_payload_before_and_after_it_is_amended(money: str) -> None:
    vendor_ = vendor(revenue_events=money, events={"Order Completed": "7"})
    own = pd.DataFrame(
        {
            **{name: pd.Series(None, index=[1, 2, 3], dtype="str") for name in COLUMNS},
            "event_id": ["1", "2", "3"],
            "event_name": "Order Completed",
            "user_id": 'somebody "quoted"',
            "revenue": ["10.00", "10", "10.01"],
            "order_id": "T-1",
            "occurred_at_ms": 1,
        },
        index=[1, 2, 3],
    )
    first, second, third = vendor_.items(vendor_.columns(own))
    ties = vendor_.ties(first)
    assert ties == vendor_.ties(second) != vendor_.ties(third)
    assert ties.shared[:2] == vendor_.ties(third).shared[:2]
    amended, warning = vendor_.amended(third, vendor_.ties(third), dict.fromkeys(ties.shared, Status.DELIVERED))
    assert (len(amended) < len(third)) == (money == "two")
    assert vendor_.ties(amended) == vendor_.ties(third)
    assert warning is not None
    assert warning.code == "transaction_split"
    assert b"10.01" in amended
