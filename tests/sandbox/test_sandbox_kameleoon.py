"""Kameleoon: what the answer can know is refused, what is found out later is lost in silence."""

from typing import Any

import pytest

from etl.sandbox import Sandbox
from tests.sandbox.conftest import Send

SITE = "siteCode=f17c21u1ag"


def conversion(**changes: Any) -> Any:
    made = {"nonce": "n-1", "eventType": "CONVERSION", "visitorCode": "245fc8a1b9", "goalId": 36151, "revenue": 23.5}
    return {name: value for name, value in {**made, **changes}.items() if value is not ...}


def page(**changes: Any) -> Any:
    made = {"nonce": "n-2", "eventType": "PAGE", "visitorCode": "245fc8a1b9", "href": "https://example.com/checkout"}
    return {name: value for name, value in {**made, **changes}.items() if value is not ...}


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(conversion(nonce="9f1c2d7a-4b88-4e2a-9a31-6c0e2b5d77aa"), id="purchase"),
        pytest.param(conversion(revenue=...), id="without revenue"),
        pytest.param(conversion(negative=True), id="refund"),
        pytest.param(conversion(metadata={"3": ["ORD-1"]}), id="metadata"),
        pytest.param(conversion(eventType="conversion"), id="lower case"),
        pytest.param(conversion(visitorCode="x" * 255), id="longest visitor code"),
        pytest.param(page(title="Checkout", referrersIndices=[1]), id="page view"),
        pytest.param({"nonce": "n", "eventType": "customData", "visitorCode": "v"}, id="custom data"),
    ],
)
def test_what_counts(sandbox: Sandbox, send: Send, event: Any) -> None:
    answer = send("kameleoon", [event])
    assert (answer.status_code, answer.content) == (204, b"")
    counts = sandbox.counts()["kameleoon"]
    assert (counts["counted"], counts["ignored"]) == (1, {})
    assert sandbox.received("kameleoon")[0]["item"] == event


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        pytest.param(conversion(goalId=...), "goal_id_missing", id="no goal"),
        pytest.param(conversion(goalId=None), "goal_id_missing", id="goal null"),
        pytest.param(conversion(goalId="36151"), "goal_id_not_integer", id="goal as text"),
        pytest.param(conversion(goalId=36151.0), "goal_id_not_integer", id="goal as float"),
        pytest.param(conversion(goalId=True), "goal_id_not_integer", id="goal true"),
        pytest.param(conversion(revenue="23.50"), "revenue_not_a_number", id="revenue as text"),
        pytest.param(conversion(revenue=None), "revenue_not_a_number", id="revenue null"),
        pytest.param(conversion(negative="true"), "negative_not_boolean", id="negative as text"),
        pytest.param(conversion(metadata={"order": ["1"]}), "metadata_malformed", id="metadata by name"),
        pytest.param(conversion(visitorCode=...), "visitor_code_missing", id="no visitor"),
        pytest.param(conversion(visitorCode=""), "visitor_code_missing", id="empty visitor"),
        pytest.param(conversion(visitorCode=17), "visitor_code_not_text", id="visitor a number"),
        pytest.param(conversion(visitorCode="x" * 256), "visitor_code_too_long", id="visitor of 256"),
        pytest.param(page(href=...), "href_missing", id="page without href"),
        pytest.param(page(title=1), "title_not_text", id="title a number"),
        pytest.param(conversion(eventType="PURCHASE"), "unknown_event_type", id="unknown type"),
    ],
)
def test_what_is_lost_in_silence(sandbox: Sandbox, send: Send, event: Any, reason: str) -> None:
    assert send("kameleoon", [event, conversion(nonce="good")]).status_code == 204
    counts = sandbox.counts()["kameleoon"]
    assert (counts["items"], counts["counted"], counts["ignored"]) == (2, 1, {reason: 1})


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(conversion(), id="object, no array"),
        pytest.param([conversion(), "text"], id="event is text"),
        pytest.param([conversion(), conversion(nonce=...)], id="no nonce"),
        pytest.param([conversion(), conversion(nonce="")], id="empty nonce"),
        pytest.param([conversion(), conversion(nonce=7)], id="nonce a number"),
        pytest.param([conversion(), conversion(eventType=...)], id="no eventType"),
    ],
)
def test_what_refuses_the_whole_request(sandbox: Sandbox, send: Send, body: Any) -> None:
    assert send("kameleoon", body).status_code == 400
    assert sandbox.counts()["kameleoon"]["items"] == 0


@pytest.mark.parametrize(
    ("query", "status"),
    [
        pytest.param("?json=true", 400, id="no siteCode"),
        pytest.param("?siteCode=wrong&json=true", 404, id="wrong siteCode"),
    ],
)
def test_the_site_must_be_known(send: Send, query: str, status: int) -> None:
    assert send("kameleoon", query=query).status_code == status


@pytest.mark.parametrize("query", [f"?{SITE}", f"?{SITE}&json=false", f"?{SITE}&json=1"])
def test_an_array_read_as_lines_is_lost(sandbox: Sandbox, send: Send, query: str) -> None:
    assert send("kameleoon", [conversion(), page()], query=query).status_code == 204
    counts = sandbox.counts()["kameleoon"]
    assert (counts["items"], counts["counted"], counts["ignored"]) == (2, 0, {"json_not_true": 2})


def test_lines_are_lost_too(sandbox: Sandbox, send: Send) -> None:
    raw = b"nonce=1&eventType=conversion&goalId=1\nnonce=2&eventType=conversion&goalId=1"
    assert send("kameleoon", raw=raw, query=f"?{SITE}").status_code == 204
    assert sandbox.counts()["kameleoon"]["ignored"] == {"json_not_true": 2}


def test_a_visitor_code_in_the_url_overrides_the_events(sandbox: Sandbox, send: Send) -> None:
    send("kameleoon", [conversion(visitorCode="")], query=f"?{SITE}&json=true&visitorCode=abc")
    assert sandbox.counts()["kameleoon"]["counted"] == 1


def test_repeats_are_found_by_nonce_within_and_across_requests(sandbox: Sandbox, send: Send) -> None:
    send("kameleoon", [conversion(), conversion(revenue=1)])
    send("kameleoon", [conversion(), conversion(nonce="n-9")])
    counts = sandbox.counts()["kameleoon"]
    assert (counts["items"], counts["counted"], counts["repeats"]) == (4, 2, 2)
