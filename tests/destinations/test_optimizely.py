"""What is peculiar to Optimizely: hundredths, tags of typed columns, advice, failed lookups."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any

import orjson
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from etl import preview
from etl.columns import COLUMNS
from etl.destinations.optimizely import Optimizely, OptimizelySettings, _minor
from etl.errors import LookupFailed
from etl.model import RunWarning
from schemas.rules import problems
from tests.conftest import House, order

LOOKUP = {
    "account_id": "1",
    "project_id": "2",
    "revision": "3",
    "events": {"purchase": "5001", "signup": "5002"},
    "attributes": {},
    "anonymize_ip": True,
    "region": "us",
}


def vendor(**settings: Any) -> Optimizely:
    given = {"type": "optimizely", "account_id": "1", "project_id": "2", "sdk_key": "sdk-key-1", **settings}
    return Optimizely("optimizely", OptimizelySettings(**given), LOOKUP)


def frame(**columns: list[Any]) -> pd.DataFrame:
    rows = len(next(iter(columns.values())))
    index = pd.RangeIndex(1, rows + 1)
    plain = {"event_id": [str(n) for n in index], "event_name": ["purchase"] * rows, "user_id": ["u"] * rows}
    given = {name: pd.Series(values, index=index) for name, values in (plain | columns).items()}
    nothing = {name: pd.Series(None, index=index, dtype="str") for name in COLUMNS if name not in given}
    return pd.DataFrame(given | nothing | {"occurred_at_ms": pd.Series(1_700_000_000_123, index=index)})


def events(built: list[bytes]) -> list[Any]:
    return [json.loads(item)["snapshots"][0]["events"][0] for item in built]


# -- money

amounts = st.decimals(min_value=-(10**15) + 1, max_value=10**15 - 1, places=6, allow_nan=False, allow_infinity=False)


@given(amounts, st.sampled_from([0, 2, 3]))
def test_rounding_is_that_of_decimal(amount: Decimal, places: int) -> None:
    with localcontext(prec=50):
        expected = amount.scaleb(places).quantize(Decimal(1), ROUND_HALF_UP)
    assert _minor(f"{amount:f}", places=places, rounds=True) == str(int(expected))


@given(amounts, st.sampled_from([0, 2, 3]))
def test_without_rounding_nothing_is_lost(amount: Decimal, places: int) -> None:
    minor = _minor(f"{amount:f}", places=places, rounds=False)
    with localcontext(prec=50):
        exact = amount.scaleb(places)
    assert minor == (str(int(exact)) if exact == exact.to_integral_value() else None)


@given(st.integers(-(10**12), 10**12))
def test_two_decimals_are_the_digits_without_the_point(cents: int) -> None:
    text = f"{Decimal(cents).scaleb(-2):.2f}"
    assert _minor(text, places=2, rounds=False) == str(cents)


# -- tags


def test_columns_with_types_keep_them_in_the_tags() -> None:
    own = frame(
        stock=[7, None],
        heavy=[True, False],
        weight=[1.5, float("nan")],
        seen=[datetime(2026, 11, 20, tzinfo=UTC), None],
        price=[Decimal("12.50"), None],
    ).astype({"stock": "Int64"})
    first, second = events(vendor().items(vendor().columns(own)))
    told = {"stock": 7, "heavy": True, "weight": 1.5, "seen": "2026-11-20 00:00:00+00:00", "price": "12.50"}
    assert first["tags"] == told
    assert second["tags"] == {"heavy": False}


def test_a_null_property_is_none() -> None:
    own = frame(properties=['{"stock": null, "revenue": null, "size": 2}'], stock=["7"])
    (event,) = events(vendor().items(vendor().columns(own)))
    assert event["tags"] == {"stock": "7", "size": 2}
    assert vendor().columns(own)["note"].isna().all()


def test_a_property_that_needs_more_than_64_bits_keeps_its_digits() -> None:
    digits = "9" * 40
    (event,) = events(vendor().items(vendor().columns(frame(properties=[f'{{"n": {digits}}}']))))
    assert event["tags"] == {"n": int(digits)}


# -- advice


def test_the_nearest_key_is_named_whatever_its_case() -> None:
    own = frame(event_name=["PURCHASE", "sign_up", "zzz"])
    details = problems(vendor().schema(), vendor().columns(own))["detail"].tolist()
    assert [("purchase (case counts)" in details[0]), ("signup (case counts)" in details[1])] == [True, True]
    assert details[2] == "The datafile has no event with the key zzz. Map the event under `events`, or create it."


def test_a_column_of_garbage_is_not_searched_row_by_row() -> None:
    own = frame(event_name=[f"purchase {n}" for n in range(1_000)])
    details = problems(vendor().schema(), vendor().columns(own))["detail"]
    assert details.str.contains("nearest").sum() == 100
    assert len(details) == 1_000


def test_without_a_datafile_no_event_is_known() -> None:
    bare = Optimizely("optimizely", vendor().settings)
    assert problems(bare.schema(), bare.columns(frame(revenue=["1"])))["reason"].tolist() == ["unknown_event_key"]


# -- age


def test_max_age_is_only_where_it_is_set() -> None:
    own = frame(revenue=["1"])
    assert "expires_at_ms" not in vendor().columns(own)
    assert vendor(max_age_days=2).columns(own)["expires_at_ms"].tolist() == [1_700_000_000_123 + 2 * 86_400_000]


# -- the datafile


@pytest.mark.parametrize(
    ("reason", "says"),
    [("http_403", "SDK key may be wrong"), ("unreachable", "does not answer")],
    ids=["forbidden", "unreachable"],
)
def test_a_datafile_that_cannot_be_had_says_why_and_hides_the_key(reason: str, says: str) -> None:
    def fetch(url: str, headers: Mapping[str, str]) -> bytes:
        raise LookupFailed(f"{url} does not answer", reason)

    with pytest.raises(LookupFailed) as caught:
        vendor().prepare(fetch)
    assert caught.value.reason == "datafile_unavailable"
    assert says in str(caught.value)
    assert "sdk-key-1" not in str(caught.value)


def test_no_more_than_sixty_characters_of_a_strange_answer_are_shown() -> None:
    with pytest.raises(LookupFailed, match="has been deactivated") as caught:
        vendor().prepare(lambda url, headers: b"// This Optimizely project has been deactivated" + b"x" * 10_000)
    assert len(str(caught.value)) < 250


def test_the_token_goes_to_the_datafile_only() -> None:
    asked: list[Mapping[str, str]] = []

    def fetch(url: str, headers: Mapping[str, str]) -> bytes:
        asked.append(headers)
        named = {"accountId": "1", "projectId": "2", "revision": "3", "version": "4", "events": [], "attributes": []}
        return orjson.dumps(named)

    with_token = vendor(datafile_token="datafile-token")
    with_token.prepare(fetch)
    assert asked == [{"Authorization": "Bearer datafile-token"}]
    assert "Authorization" not in with_token.request([]).headers


# -- settings


@pytest.mark.parametrize("url", ["ftp://cdn.example/file.json", "cdn.optimizely.com/datafiles/key.json", ""])
def test_a_datafile_address_is_a_full_one_and_never_shown(url: str) -> None:
    with pytest.raises(ValidationError, match="datafile_url"):
        vendor(datafile_url=url)
    assert "sdk-key-1" not in repr(vendor(datafile_url="https://cdn.example/sdk-key-1.json").settings)


# -- several currencies


def test_currencies_that_are_added_up_are_told_with_their_sums(house: House) -> None:
    house.to = ["optimizely"]
    house.import_settings = {"chunk_rows": 2}
    house.write(
        [
            order(1, revenue="10.10", currency="GBP"),
            order(2, revenue="0.20", currency="GBP"),
            order(3, revenue="7", currency="EUR"),
            order(4, revenue="", currency="USD"),
            order(5, revenue="5", currency="JPY", event_name="signup"),
        ]
    )
    checked = preview.check(house.config, "orders")["optimizely"].warnings
    (warning,) = house.run().warnings
    assert warning == RunWarning(
        "several_currencies",
        "currency",
        3,
        "Optimizely adds up the revenue of purchase as if it were one currency: EUR 7 in 1 row, GBP 10.30 in 2 rows. "
        "Bring the amounts into one before, or give every currency a destination of its own.",
    )
    assert list(checked) == [warning]


@pytest.mark.parametrize(("type_", "metric"), [("kameleoon", "goal 36151"), ("convert", "goal 100215962")])
def test_others_that_know_no_currency_are_told_of_too(house: House, type_: str, metric: str) -> None:
    house.to = [type_]
    house.write([order(1, currency="GBP"), order(2, currency="EUR")])
    (warning,) = house.run().warnings
    assert f"adds up the revenue of {metric} as if it were one currency: EUR 19.99 in 1 row" in warning.sentence


def test_one_currency_is_nothing_to_speak_of(house: House) -> None:
    house.to = ["optimizely"]
    house.write([order(1), order(2, revenue=""), order(3, currency="")])
    assert house.run().warnings == []


# -- bots


@pytest.mark.parametrize("said", [True, False, None])
def test_bots_are_filtered_as_the_datafile_says(said: bool | None) -> None:
    vendor_ = Optimizely(
        "optimizely", vendor().settings, {**LOOKUP, "bot_filtering": said, "attributes": {"plan": "7"}}
    )
    items = vendor_.items(vendor_.columns(frame(attributes=['{"plan": "gold"}', None])))
    plan = {"entity_id": "7", "key": "plan", "type": "custom", "value": "gold"}
    name = "$opt_bot_filtering"
    bots = [] if said is None else [{"entity_id": name, "key": name, "type": "custom", "value": said}]
    assert [json.loads(item)["attributes"] for item in items] == [[plan, *bots], bots]


# -- warnings


def test_a_row_keeps_all_its_warnings() -> None:
    own = frame(user_id=[None], anonymous_id=["cookie-7"], properties=['{"revenue": 5}'], attributes=['{"x": 1}'])
    out = vendor().columns(own)
    assert out["note"].tolist() == ["unregistered_attribute reserved_tag anonymous_visitor"]
    assert "cookie-7" not in out["note_detail"].iloc[0]
