"""Converge: one event per request, its structure checked to the letter."""

from collections.abc import Callable
from typing import Any

import pytest

from etl.sandbox import Sandbox
from tests.sandbox.conftest import Send


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"timestamp": ...}, id="no timestamp"),
        pytest.param({"timestamp": 1725312229}, id="seconds"),
        pytest.param({"timestamp": 1725312229.5}, id="seconds with a fraction"),
        pytest.param({"timestamp": "2024-09-02T12:34:56+00:00"}, id="ISO with offset"),
        pytest.param({"timestamp": "2024-09-02T12:34:56.123Z"}, id="ISO with Z"),
        pytest.param({"aliases": [f"urn:user_id:{n}" for n in range(10)]}, id="ten aliases"),
        pytest.param({"properties": {}}, id="spec properties missing is only a warning there"),
        pytest.param({"event_name": "my own event"}, id="custom name"),
        pytest.param({"event_id": "00123 é"}, id="id with zeros, space and accent"),
    ],
)
def test_what_is_taken(sandbox: Sandbox, send: Send, good: Callable[..., Any], changes: Any) -> None:
    event = {name: value for name, value in {**good("converge"), **changes}.items() if value is not ...}
    assert send("converge", event).status_code == 200
    (entry,) = sandbox.received("converge")
    assert (entry["item"], entry["counted"], entry["key"]) == (event, True, event["event_id"])


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        pytest.param({"event_name": ...}, "event_name", id="no event_name"),
        pytest.param({"event_name": ""}, "event_name", id="empty event_name"),
        pytest.param({"event_id": ...}, "event_id", id="no event_id"),
        pytest.param({"event_id": 17}, "event_id", id="event_id a number"),
        pytest.param({"event_id": None}, "event_id", id="event_id null"),
        pytest.param({"properties": ...}, "properties", id="no properties"),
        pytest.param({"properties": []}, "properties", id="properties an array"),
        pytest.param({"profile_properties": ...}, "profile_properties", id="no profile_properties"),
        pytest.param({"profile_properties": None}, "profile_properties", id="profile_properties null"),
        pytest.param({"aliases": ...}, "aliases", id="no aliases"),
        pytest.param({"aliases": "urn:user_id:1"}, "aliases", id="aliases as text"),
        pytest.param({"aliases": []}, "1 to 10", id="zero aliases"),
        pytest.param({"aliases": [f"urn:user_id:{n}" for n in range(11)]}, "1 to 10", id="eleven aliases"),
        pytest.param({"aliases": [17]}, "alias", id="alias a number"),
        pytest.param({"timestamp": None}, "timestamp", id="timestamp null"),
        pytest.param({"timestamp": True}, "timestamp", id="timestamp true"),
        pytest.param({"timestamp": 1725312229000}, "seconds", id="milliseconds"),
        pytest.param({"timestamp": "2024-09-02T12:34:56"}, "timezone", id="naive"),
        pytest.param({"timestamp": "2024-09-02"}, "timezone", id="a date"),
        pytest.param({"timestamp": "1725312229"}, "ISO 8601", id="seconds as text"),
        pytest.param({"timestamp": "02/09/2024 12:34"}, "ISO 8601", id="another form"),
    ],
)
def test_what_is_refused(sandbox: Sandbox, send: Send, good: Callable[..., Any], changes: Any, names: Any) -> None:
    event = {name: value for name, value in {**good("converge"), **changes}.items() if value is not ...}
    answer = send("converge", event)
    assert answer.status_code == 400
    assert names in answer.json()["error"]
    assert sandbox.counts()["converge"]["items"] == 0


def test_events_do_not_travel_together(send: Send, good: Callable[..., Any]) -> None:
    assert send("converge", [good("converge", "1"), good("converge", "2")]).status_code == 400
