"""Webflow Optimize: 200 and an echo for a good form, whatever the night will make of its timestamp."""

from collections.abc import Callable
from typing import Any

import pytest

from etl.sandbox import Sandbox
from tests.sandbox.conftest import Send

NOW_MS = 1_795_262_400_000  # the sandbox's clock, see conftest
DAY_MS = 86_400_000


def test_the_answer_is_the_body(send: Send) -> None:
    raw = b'{"customerId":"123456789", "apiName":"a","userDomain":"d","userId":"u","actionId":"1","actionTimestamp":1}'
    answer = send("webflow_optimize", raw=raw)
    assert (answer.status_code, answer.content) == (200, raw)


@pytest.mark.parametrize(
    ("timestamp", "reason"),
    [
        pytest.param(NOW_MS, None, id="this moment"),
        pytest.param(NOW_MS - 7 * DAY_MS, None, id="seven days old"),
        pytest.param(NOW_MS - 7 * DAY_MS - 1, "too_old", id="a millisecond older"),
        pytest.param(NOW_MS + 1, "in_the_future", id="a millisecond ahead"),
        pytest.param(NOW_MS // 1000, "timestamp_not_milliseconds", id="seconds"),
        pytest.param(NOW_MS * 1000, "timestamp_not_milliseconds", id="microseconds"),
    ],
)
def test_the_timestamp_is_judged_in_silence(
    sandbox: Sandbox, send: Send, good: Callable[..., Any], timestamp: Any, reason: str
) -> None:
    assert send("webflow_optimize", {**good("webflow_optimize"), "actionTimestamp": timestamp}).status_code == 200
    counts = sandbox.counts()["webflow_optimize"]
    assert (counts["counted"], counts["ignored"]) == ((0, {reason: 1}) if reason else (1, {}))


def test_somebody_elses_customer_is_ignored(sandbox: Sandbox, send: Send, good: Callable[..., Any]) -> None:
    assert send("webflow_optimize", {**good("webflow_optimize"), "customerId": "1"}).status_code == 200
    assert sandbox.counts()["webflow_optimize"]["ignored"] == {"unknown_customer": 1}


@pytest.mark.parametrize(
    "changes",
    [
        *[pytest.param({name: ...}, id=f"no {name}") for name in ("customerId", "apiName", "userDomain", "userId")],
        *[pytest.param({name: ...}, id=f"no {name}") for name in ("actionId", "actionTimestamp")],
        *[pytest.param({name: ""}, id=f"empty {name}") for name in ("apiName", "userDomain", "userId", "actionId")],
        *[pytest.param({name: 17}, id=f"{name} a number") for name in ("customerId", "userId", "actionId")],
        pytest.param({"eventName": "both"}, id="apiName and eventName"),
        pytest.param({"actionTimestamp": str(NOW_MS)}, id="timestamp as text"),
        pytest.param({"actionTimestamp": "2026-11-20T00:00:00Z"}, id="timestamp in ISO"),
        pytest.param({"actionTimestamp": NOW_MS - 0.5}, id="timestamp with a fraction"),
        pytest.param({"value": "149.99"}, id="value as text"),
        pytest.param({"value": None}, id="value null"),
        pytest.param({"value": True}, id="value true"),
    ],
)
def test_a_broken_form_is_refused(sandbox: Sandbox, send: Send, good: Callable[..., Any], changes: Any) -> None:
    body = {name: value for name, value in {**good("webflow_optimize"), **changes}.items() if value is not ...}
    assert send("webflow_optimize", body).status_code == 400
    assert sandbox.counts()["webflow_optimize"]["items"] == 0


def test_the_newer_name_of_the_event_field_is_taken_too(sandbox: Sandbox, send: Send, good: Callable[..., Any]) -> None:
    body = {**good("webflow_optimize"), "eventName": "application-accepted"}
    del body["apiName"]
    assert send("webflow_optimize", body).status_code == 200
    assert sandbox.counts()["webflow_optimize"]["counted"] == 1


def test_the_path_with_a_customer_in_it_does_not_exist(sandbox: Sandbox, send: Send) -> None:
    url = f"{sandbox.url}/webflow_optimize/customer/123456789/event"
    assert send("webflow_optimize", url=url).status_code == 404


def test_conversions_do_not_travel_together(send: Send, good: Callable[..., Any]) -> None:
    assert send("webflow_optimize", [good("webflow_optimize")]).status_code == 400
