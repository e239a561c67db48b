"""Optimizely: 204 for nearly everything; what was left out must be visible here."""

from typing import Any

import pytest
import requests

from etl.sandbox import Sandbox
from tests.sandbox.conftest import Send

MS = 1_795_262_400_123


def event(**changes: Any) -> Any:
    made = {"entity_id": "5001", "uuid": "u-1", "key": "purchase", "timestamp": MS, "tags": {"order_id": "A-1"}}
    return {name: value for name, value in {**made, **changes}.items() if value is not ...}


def visitor(*events: Any, **changes: Any) -> Any:
    return {"visitor_id": "user-1", "attributes": [], "snapshots": [{"events": list(events)}], **changes}


def body(*visitors: Any, **changes: Any) -> Any:
    made = {
        "account_id": "12345678",
        "project_id": "98765432",
        "revision": "137",
        "client_name": "conversions",
        "client_version": "1",
        "anonymize_ip": True,
        "enrich_decisions": True,
        "visitors": list(visitors),
    }
    return {name: value for name, value in {**made, **changes}.items() if value is not ...}


STRICT = {"X-Optimizely-Strict": "true"}
DECISION = {"campaign_id": "8000", "experiment_id": "9000", "variation_id": "9001"}

FORM_ERRORS = [
    pytest.param(body(visitor(event()), account_id="1"), "wrong_account", id="wrong account"),
    pytest.param(body(visitor(event()), account_id=12345678), "wrong_account", id="account as number"),
    pytest.param(body(visitor(event()), project_id="1"), "wrong_project", id="wrong project"),
    pytest.param(body(visitor(event()), anonymize_ip="yes"), "anonymize_ip_malformed", id="anonymize_ip text"),
    pytest.param(body("user-1"), "visitor_malformed", id="visitor is text"),
    pytest.param(body({"visitor_id": "user-1"}), "visitor_malformed", id="no snapshots"),
    pytest.param(body(visitor(snapshots=[{}])), "snapshot_malformed", id="no events"),
    pytest.param(body(visitor(event(), visitor_id=17)), "visitor_id_not_text", id="visitor id a number"),
    pytest.param(body(visitor(event(), visitor_id="")), "visitor_id_not_text", id="visitor id empty"),
    pytest.param(body(visitor("purchase")), "event_malformed", id="event is text"),
    pytest.param(body(visitor(event(uuid=...))), "uuid_not_text", id="no uuid"),
    pytest.param(body(visitor(event(uuid=7))), "uuid_not_text", id="uuid a number"),
    pytest.param(body(visitor(event(entity_id=...))), "entity_id_not_text", id="no entity id"),
    pytest.param(body(visitor(event(entity_id=5001))), "entity_id_not_text", id="entity id a number"),
    pytest.param(body(visitor(event(key="signup"))), "key_of_another_event", id="key of another event"),
    pytest.param(body(visitor(event(key="Purchase"))), "key_of_another_event", id="key in another case"),
    pytest.param(body(visitor(event(timestamp=...))), "timestamp_missing", id="no timestamp"),
    pytest.param(body(visitor(event(timestamp=str(MS)))), "timestamp_not_integer", id="timestamp text"),
    pytest.param(body(visitor(event(timestamp=MS + 0.5))), "timestamp_not_integer", id="timestamp float"),
    pytest.param(body(visitor(event(timestamp=MS // 1000))), "timestamp_not_milliseconds", id="seconds"),
    pytest.param(body(visitor(event(timestamp=MS * 10**6))), "timestamp_not_milliseconds", id="nanoseconds"),
    pytest.param(body(visitor(event(revenue=89.99))), "revenue_not_integer", id="revenue in units"),
    pytest.param(body(visitor(event(revenue="8999"))), "revenue_not_integer", id="revenue text"),
    pytest.param(body(visitor(event(revenue=True))), "revenue_not_integer", id="revenue true"),
    pytest.param(body(visitor(event(revenue=2**63))), "revenue_not_integer", id="revenue over int64"),
    pytest.param(body(visitor(event(value="12.5"))), "value_not_a_number", id="value text"),
    pytest.param(body(visitor(event(quantity=1.5))), "quantity_not_integer", id="quantity a fraction"),
    pytest.param(body(visitor(event(tags=[]))), "tags_malformed", id="tags an array"),
    pytest.param(body(visitor(event(tags={"a": None}))), "tags_malformed", id="null tag"),
    pytest.param(body(visitor(event(tags={"a": {}}))), "tags_malformed", id="nested tag"),
]
SILENT_FOR_EVER = [
    pytest.param(body(visitor(event(entity_id="1", key="x"))), "unknown_event", id="unknown event"),
    pytest.param(
        body(visitor(snapshots=[{"decisions": [DECISION], "events": [event(key="campaign_activated")]}])),
        "not_a_conversion",
        id="a decision",
    ),
    pytest.param(body(visitor(event()), enrich_decisions=...), "no_decision", id="neither decision nor enrichment"),
]


@pytest.mark.parametrize(("sent", "reason"), FORM_ERRORS + SILENT_FOR_EVER)
def test_what_is_left_out_in_silence(sandbox: Sandbox, send: Send, sent: Any, reason: str) -> None:
    answer = send("optimizely", sent)
    assert (answer.status_code, answer.content) == (204, b"")
    counts = sandbox.counts()["optimizely"]
    assert (counts["items"], counts["counted"], counts["ignored"]) == (1, 0, {reason: 1})
    assert sandbox.received("optimizely")[0]["ignored"] == reason


@pytest.mark.parametrize(("sent", "reason"), FORM_ERRORS)
def test_strict_mode_refuses_the_whole_request(sandbox: Sandbox, send: Send, sent: Any, reason: str) -> None:
    sent["visitors"].append(visitor(event(uuid="good")))
    answer = send("optimizely", sent, headers=STRICT)
    assert answer.status_code == 400
    assert reason in answer.json()["error"]
    assert sandbox.counts()["optimizely"]["items"] == 0


@pytest.mark.parametrize(("sent", "reason"), SILENT_FOR_EVER)
def test_strict_mode_knows_only_the_form(sandbox: Sandbox, send: Send, sent: Any, reason: str) -> None:
    assert send("optimizely", sent, headers=STRICT).status_code == 204
    assert sandbox.counts()["optimizely"]["ignored"] == {reason: 1}


@pytest.mark.parametrize("name", ["account_id", "visitors"])
def test_without_the_two_required_fields_it_is_400_in_both_modes(send: Send, name: Any) -> None:
    for headers in ({}, STRICT):
        assert send("optimizely", body(visitor(event()), **{name: ...}), headers=headers).status_code == 400


def test_the_good_events_of_a_request_count_beside_the_bad(sandbox: Sandbox, send: Send) -> None:
    sent = body(visitor(event(), event(uuid="u-2"), event(uuid="u-3", revenue=1.5)), visitor(event(uuid="u-4")))
    send("optimizely", sent)
    counts = sandbox.counts()["optimizely"]
    assert (counts["items"], counts["counted"], counts["ignored"]) == (4, 3, {"revenue_not_integer": 1})


@pytest.mark.parametrize(
    ("second", "counted"),
    [
        pytest.param({}, 1, id="same triple"),
        pytest.param({"revenue": 1}, 1, id="same triple, other content"),
        pytest.param({"timestamp": MS + 1}, 2, id="stamped again"),
        pytest.param({"uuid": "u-2"}, 2, id="another uuid"),
        pytest.param({"entity_id": "5002", "key": "signup"}, 2, id="another event"),
    ],
)
def test_repeats_are_found_by_entity_uuid_and_time_together(
    sandbox: Sandbox, send: Send, second: Any, counted: Any
) -> None:
    send("optimizely", body(visitor(event())))
    send("optimizely", body(visitor(event(**second))))
    counts = sandbox.counts()["optimizely"]
    assert (counts["counted"], counts["repeats"]) == (counted, 2 - counted)


def test_what_was_ignored_may_be_sent_again_in_order(sandbox: Sandbox, send: Send) -> None:
    send("optimizely", body(visitor(event(revenue=1.5))))
    send("optimizely", body(visitor(event(revenue=150))))
    counts = sandbox.counts()["optimizely"]
    assert (counts["counted"], counts["repeats"]) == (1, 0)


@pytest.mark.parametrize(
    ("attribute", "reason"),
    [
        ({"entity_id": "7001", "key": "plan", "type": "custom", "value": "pro"}, None),
        ({"entity_id": "7002", "key": "age", "type": "custom", "value": 42}, None),
        ({"entity_id": "7003", "key": "is_vip", "type": "custom", "value": True}, None),
        ({"entity_id": "$opt_bot_filtering", "key": "$opt_bot_filtering", "type": "custom", "value": True}, None),
        ({"entity_id": "7001", "key": "age", "type": "custom", "value": 1}, "unknown_attribute"),
        ({"entity_id": "9", "key": "colour", "type": "custom", "value": "x"}, "unknown_attribute"),
        ({"type": "custom", "value": "x"}, "unknown_attribute"),
        ({"entity_id": "7001", "key": "plan", "value": "x"}, "attribute_malformed"),
        ({"entity_id": "7001", "key": "plan", "type": "custom", "value": None}, "attribute_value_malformed"),
        ("plan", "attribute_malformed"),
    ],
    ids=str,
)
def test_a_bad_attribute_falls_off_and_the_event_counts(
    sandbox: Sandbox, send: Send, attribute: Any, reason: str
) -> None:
    send("optimizely", body(visitor(event(), attributes=[attribute])))
    counts = sandbox.counts()["optimizely"]
    assert (counts["counted"], counts["ignored"]) == (1, {reason: 1} if reason else {})


def test_an_item_shows_visitor_attributes_and_event(sandbox: Sandbox, send: Send) -> None:
    send("optimizely", body(visitor(event())))
    (entry,) = sandbox.received("optimizely")
    assert entry["item"] == {"visitor_id": "user-1", "attributes": [], "event": event()}
    assert entry["key"] == "u-1"


def test_the_datafile(sandbox: Sandbox) -> None:
    answer = requests.get(sandbox.lookup("optimizely"), timeout=5)
    datafile = answer.json()
    required = ["projectId", "accountId", "groups", "experiments", "events", "audiences", "attributes", "version"]
    assert set(required) <= datafile.keys()
    assert (datafile["accountId"], datafile["projectId"], datafile["revision"]) == ("12345678", "98765432", "137")
    assert {one["key"]: one["id"] for one in datafile["events"]} == {
        "purchase": "5001",
        "signup": "5002",
        "add_to_cart": "5003",
        "begin_checkout": "5004",
        "form_submit": "5005",
        "page_view": "5006",
        "refund": "5007",
    }
    assert {one["key"]: one["id"] for one in datafile["attributes"]} == {
        "plan": "7001",
        "age": "7002",
        "is_vip": "7003",
    }


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param(lambda seen: {"If-Modified-Since": seen["Last-Modified"]}, 304, id="its date"),
        pytest.param(lambda seen: {"If-None-Match": seen["ETag"]}, 304, id="its tag"),
        pytest.param(lambda seen: {"If-Modified-Since": "Thu, 01 Jan 2026 00:00:00 GMT"}, 200, id="older"),
        pytest.param(lambda seen: {"If-Modified-Since": "yesterday"}, 200, id="no date"),
        pytest.param(lambda seen: {"If-Modified-Since": "Thu, 01 Jan 2026 00:00:00"}, 200, id="date without zone"),
        pytest.param(
            lambda seen: {"If-None-Match": '"other"', "If-Modified-Since": seen["Last-Modified"]}, 200, id="other tag"
        ),
    ],
)
def test_a_datafile_known_already_is_not_sent_again(sandbox: Sandbox, sent: Any, status: int) -> None:
    seen = requests.get(sandbox.lookup("optimizely"), timeout=5).headers
    answer = requests.get(sandbox.lookup("optimizely"), headers=sent(seen), timeout=5)
    assert answer.status_code == status
    assert bool(answer.content) == (status == 200)


def test_the_datafile_of_a_stranger_is_forbidden(sandbox: Sandbox) -> None:
    assert requests.get(f"{sandbox.url}/optimizely/datafiles/wrong.json", timeout=5).status_code == 403
