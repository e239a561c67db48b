"""What is peculiar to Converge and does not fit into its exchanges: old sources, columns with types, odd properties."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest
from pydantic import ValidationError

from etl.columns import COLUMNS
from etl.destinations.converge import Converge, ConvergeSettings
from schemas.converge import near_name
from schemas.conversion import MOST_LEVELS

OLD = "https://app.runconverge.com/hooks/not-for-logs"


def vendor(**settings: Any) -> Converge:
    return Converge("converge", ConvergeSettings(**{"type": "converge", "webhook_token": "not-for-logs", **settings}))


def row(extra: dict[str, Any] | None = None, **values: str) -> pd.DataFrame:
    given = {"event_id": "1", "event_name": "Lead", "aliases": "urn:a:1", **values}
    frame = pd.DataFrame({name: [given.get(name)] for name in COLUMNS}, index=[1], dtype="str")
    typed = {name: pd.Series([value], index=[1]) for name, value in (extra or {}).items()}
    return frame.assign(occurred_at_ms=1_795_000_000_000, fingerprint=1, **typed)


def properties(frame: pd.DataFrame, **settings: Any) -> Any:
    (payload,) = vendor(**settings).items(vendor(**settings).columns(frame))
    return json.loads(payload)["properties"]


# -- settings


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"webhook_token": None}, "webhook_token"),
        ({"webhook_token": ""}, "webhook_token"),
        ({"webhook_token": None, "endpoint": OLD}, "webhook_token"),
        ({"webhook_token": None, "allow_no_token": True}, "webhook_token"),
        ({"aliases_from": ["order_id"]}, "aliases_from.0"),
        ({"sales_channel": "shop"}, "sales_channel"),
        ({"events": {"Lead": ""}}, "events.Lead"),
    ],
    ids=["none", "empty", "own endpoint alone", "permission alone", "no identity", "no channel", "empty name"],
)
def test_settings_are_refused_with_the_path_of_the_key(settings: dict[str, Any], where: str) -> None:
    with pytest.raises(ValidationError) as caught:
        vendor(**settings)
    assert [".".join(map(str, error["loc"])) for error in caught.value.errors()] == [where]


def test_secret_url_of_an_old_source_is_masked_like_a_token() -> None:
    old = vendor(webhook_token=None, endpoint=OLD, allow_no_token=True)
    assert old.masked(f"POST {OLD}") == "POST https://app.runconverge.com/***"
    assert vendor().masked("X-Webhook-Token: not-for-logs") == "X-Webhook-Token: ***"


@pytest.mark.parametrize(
    ("settings", "secrets"),
    [
        pytest.param({"endpoint": "https://gw.example/converge"}, ["not-for-logs"], id="its own name"),
        pytest.param({"endpoint": "https://gw.example/events"}, ["not-for-logs"], id="a word beside a token"),
        pytest.param({"endpoint": "https://gw.example/k3y"}, ["not-for-logs", "k3y"], id="no word"),
        pytest.param({"endpoint": OLD}, ["not-for-logs", "hooks/not-for-logs"], id="an old source with a token"),
        pytest.param(
            {"endpoint": "https://gw.example/converge", "webhook_token": None, "allow_no_token": True},
            [],
            id="its own name, no token",
        ),
        pytest.param(
            {"endpoint": "https://gw.example/sesame", "webhook_token": None, "allow_no_token": True},
            ["sesame"],
            id="a word in the token's place",
        ),
    ],
)
def test_a_word_in_an_address_is_no_secret(settings: dict[str, Any], secrets: list[str]) -> None:
    assert vendor(**settings).secrets() == secrets


# -- properties


def test_columns_with_types_keep_them() -> None:
    extra = {"vip": True, "visits": 3, "share": 0.25, "weight": Decimal("1.50"), "day": pd.Timestamp("2026-11-20")}
    sent = properties(row(extra))
    assert sent == {"vip": True, "visits": 3, "share": 0.25, "weight": "1.50", "day": "2026-11-20 00:00:00"}


@pytest.mark.parametrize("quoted", ["", '"total_price":"1.00",'], ids=["as it is", "with a total in quotes"])
@pytest.mark.parametrize("depth", [10, MOST_LEVELS - 1])
def test_deep_properties_do_not_stop_the_run(depth: int, quoted: str) -> None:
    text = "{" + quoted + '"deep":' + "[" * depth + "]" * depth + "}"
    frame = vendor().columns(row(properties=text, order_id="7"))
    (payload,) = vendor().items(frame)
    assert b"[" * depth in payload
    assert b'"id":"7"' in payload


def test_properties_of_every_spelling_are_extended() -> None:
    assert properties(row(properties="{}", order_id="7")) == {"id": "7"}
    assert properties(row(properties=" {\n} ", order_id="7")) == {"id": "7"}
    assert properties(row(properties='{ "a" : {} }\n', order_id="7")) == {"a": {}, "id": "7"}
    assert properties(row(properties='{"a":"}"}')) == {"a": "}"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"total_price":null}', {"total_price": 19.99}),
        ('{"total_price":null,"a":1.50,"b":null}', {"total_price": 19.99, "a": 1.5, "b": None}),
        ('{"total_price":null,"total_tax":"2.10"}', {"total_price": 19.99, "total_tax": 2.1}),
        ('{"total_price":0}', {"total_price": 19.99}),
        ('{"total_price":1,"total_price":null}', {"total_price": 19.99}),
        ('{"b":null}', {"total_price": 19.99, "b": None}),
    ],
)
def test_nothing_outweighs_a_column_of_ours(text: str, expected: dict[str, Any]) -> None:
    assert properties(row(properties=text, revenue="19.99")) == expected


# -- Event Spec


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("Placed Order", None),
        ("placed order", "Placed Order"),
        ("PlacedOrder", "Placed Order"),
        (" Placed Order", "Placed Order"),
        ("started_subscription", "Started Subscription"),
        ("Order Placed", None),
        ("Lead", None),
        ("", None),
        ("123", None),
    ],
)
def test_near_names(name: str, near: str | None) -> None:
    assert near_name(name) == near


def test_what_is_missing_is_named() -> None:
    frame = vendor().columns(row(event_name="Placed Order", order_id="7", email="ada@example.com"))
    assert frame["note_detail"].item() == (
        "The Event Spec requires of Placed Order: total_price, total_tax, total_shipping, currency, $is_new_customer."
    )
