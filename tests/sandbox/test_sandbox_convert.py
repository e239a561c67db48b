"""Convert: two doors, no deduplication, and revenue in two events."""

import copy
from typing import Any

import pytest
import requests

from etl.sandbox import Sandbox
from tests.sandbox.conftest import Send

TRACK = "/convert/v1/track/10001234/20005678"
CONFIG = "/convert/api/v1/config/10001234/20005678"
BARE = {"eventType": "conversion", "data": {"goalId": "5002"}}


def with_data(*pairs: Any, goal: Any = "5002") -> Any:
    data = {"goalId": goal, "goalData": [{"key": key, "value": value} for key, value in pairs]}
    return {"eventType": "conversion", "data": data}


def body(*visitors: Any) -> Any:
    return {
        "enrichData": True,
        "accountId": "10001234",
        "projectId": "20005678",
        "visitors": [{"visitorId": visitor, "events": events} for visitor, events in visitors],
        "source": "conversions",
    }


ORDER = with_data(("amount", 89.99), ("productsCount", 2), ("transactionId", "T-1"))
SECOND = with_data(("amount", 5), ("transactionId", "T-2"))
BUCKETING = {"eventType": "bucketing", "data": {"experienceId": "100218245", "variationId": "100299457"}}


@pytest.mark.parametrize(
    ("visitors", "conversions"),
    [
        pytest.param([("v", [BARE])], 1, id="bare"),
        pytest.param([("v", [BARE, ORDER])], 1, id="revenue in two events"),
        pytest.param([("v", [ORDER])], 1, id="revenue in one event"),
        pytest.param([("v", [BUCKETING, BARE, ORDER])], 1, id="bucketing is no conversion"),
        pytest.param([("v", [BARE, ORDER, SECOND])], 2, id="a second order of the visitor"),
        pytest.param([("v", [BARE, ORDER, BARE, SECOND])], 2, id="two orders, two events each"),
        pytest.param([("v", [BARE, BARE])], 2, id="bare twice"),
        pytest.param([("v", [BARE, with_data(("amount", 1), goal="5001")])], 2, id="another goal"),
        pytest.param([("v", [BARE]), ("v", [ORDER])], 2, id="two visitor objects"),
        pytest.param([], 0, id="nobody"),
    ],
)
def test_conversions_are_counted_per_visitor_object(
    sandbox: Sandbox, send: Send, visitors: Any, conversions: Any
) -> None:
    assert send("convert", body(*visitors)).json() == {"code": 200, "message": "OK"}
    counts = sandbox.counts()["convert"]
    assert (counts["items"], counts["counted"], counts["ignored"]) == (conversions, conversions, {})


def test_an_item_shows_its_events_and_key(sandbox: Sandbox, send: Send) -> None:
    send("convert", body(("v-1", [BARE, ORDER]), ("v-2", [BARE])))
    first, second = sandbox.received("convert")
    assert (first["key"], first["item"]) == ("v-1/5002/T-1", {"visitorId": "v-1", "events": [BARE, ORDER]})
    assert (second["key"], second["item"]) == ("v-2/5002", {"visitorId": "v-2", "events": [BARE]})


def test_a_repeated_transaction_counts_and_is_shown(sandbox: Sandbox, send: Send) -> None:
    send("convert", body(("v-1", [BARE, ORDER]), ("v-2", [ORDER]), ("v-3", [SECOND])))
    counts = sandbox.counts()["convert"]
    assert (counts["counted"], counts["repeats"]) == (3, 1)


@pytest.mark.parametrize(
    ("visitor", "event", "reason"),
    [
        pytest.param("", BARE, "visitor_id_empty", id="empty visitor"),
        pytest.param("v", with_data(goal="order-completed"), "unknown_goal", id="a goal's key as its id"),
        pytest.param("v", with_data(goal="999"), "unknown_goal", id="no such goal"),
        pytest.param("v", with_data(("amount", "1,234.50")), "amount_not_a_number", id="amount with a comma"),
    ],
)
def test_what_is_forgotten_in_silence(sandbox: Sandbox, send: Send, visitor: Any, event: Any, reason: str) -> None:
    assert send("convert", body((visitor, [event]), ("v-2", [BARE]))).status_code == 200
    counts = sandbox.counts()["convert"]
    assert (counts["counted"], counts["ignored"]) == (1, {reason: 1})


@pytest.mark.parametrize("amount", [0, -5, 89.99, "89.99", "-1"])
def test_amounts_that_pass(sandbox: Sandbox, send: Send, amount: Any) -> None:
    send("convert", body(("v", [with_data(("amount", amount))])))
    assert sandbox.counts()["convert"]["ignored"] == {}


def replaced(path: Any, value: Any) -> Any:
    """A good body with the value at this path replaced; `...` takes it out."""
    changed = copy.deepcopy(body(("v", [BUCKETING, BARE, ORDER])))
    place = changed
    for step in path[:-1]:
        place = place[step]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return changed


EVENT = ("visitors", 0, "events", 2, "data")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("accountId",), ...),
        (("accountId",), 10001234),
        (("accountId",), "1"),
        (("projectId",), ...),
        (("projectId",), "1"),
        (("enrichData",), "true"),
        (("source",), 1),
        (("visitors",), ...),
        (("visitors",), {}),
        (("visitors", 0), "v"),
        (("visitors", 0, "visitorId"), ...),
        (("visitors", 0, "visitorId"), 17),
        (("visitors", 0, "segments"), []),
        (("visitors", 0, "events"), ...),
        (("visitors", 0, "events", 0, "data", "variationId"), 100299457),
        (("visitors", 0, "events", 1), None),
        (("visitors", 0, "events", 1, "eventType"), "purchase"),
        (("visitors", 0, "events", 1, "data"), ...),
        ((*EVENT, "goalId"), ...),
        ((*EVENT, "goalId"), 5002),
        ((*EVENT, "bucketingData"), {"1": 2}),
        ((*EVENT, "goalData"), {"amount": 1}),
        ((*EVENT, "goalData", 0), {"amount": 1}),
        ((*EVENT, "goalData", 0, "key"), "revenue"),
        ((*EVENT, "goalData", 0, "value"), None),
        ((*EVENT, "goalData", 0, "value"), True),
        ((*EVENT, "goalData", 0, "value"), [1]),
        ((*EVENT, "goalData", 0), {"key": "customDimension1", "value": ["x" * 33]}),
    ],
    ids=lambda part: ".".join(map(str, part)) if isinstance(part, tuple) else repr(part)[:20],
)
@pytest.mark.parametrize("door", ["goals", "tracking"])
def test_a_broken_form_is_refused_whole(sandbox: Sandbox, send: Send, door: Any, path: str, value: Any) -> None:
    url = None if door == "goals" else sandbox.url + TRACK
    answer = send("convert", replaced(path, value), url=url, headers={"User-Agent": "ConvertAgent/1.0"})
    assert answer.status_code == 400
    assert answer.json()["code"] == 400
    assert sandbox.counts()["convert"]["items"] == 0


def test_the_goals_door_knows_its_project(sandbox: Sandbox, send: Send) -> None:
    answer = send("convert", url=f"{sandbox.url}/convert/v1/projects/1/goals")
    assert (answer.status_code, answer.json()["message"]) == (404, "project not found")


def test_the_tracking_door_needs_no_key(sandbox: Sandbox, send: Send) -> None:
    agent = {"User-Agent": "ConvertAgent/1.0", "Authorization": None}
    assert send("convert", url=sandbox.url + TRACK, headers=agent).json()["code"] == 200
    assert sandbox.counts()["convert"]["counted"] == 1
    assert send("convert", url=f"{sandbox.url}/convert/v1/track/1/20005678", headers=agent).status_code == 404


@pytest.mark.parametrize("agent", ["python-requests/2.32", "Mozilla/5.0", "", "convertagent/1.0"])
def test_the_tracking_door_forgets_what_it_takes_for_a_bot(sandbox: Sandbox, send: Send, agent: Any) -> None:
    answer = send("convert", url=sandbox.url + TRACK, headers={"User-Agent": agent})
    assert (answer.status_code, answer.json()["message"]) == (200, "BOT")
    counts = sandbox.counts()["convert"]
    assert (counts["items"], counts["counted"], counts["ignored"]) == (1, 0, {"bot": 1})
    assert send("convert", raw=b"{", url=sandbox.url + TRACK, headers={"User-Agent": agent}).status_code == 200


def test_the_config_lists_goals_by_id_key_and_name(sandbox: Sandbox) -> None:
    config = requests.get(sandbox.lookup("convert"), timeout=5).json()
    assert sandbox.lookup("convert") == sandbox.url + CONFIG
    assert (config["account_id"], config["project"]["id"]) == ("10001234", "20005678")
    goals = {goal["name"]: (goal["id"], goal["key"]) for goal in config["goals"]}
    assert goals["Order Completed"] == ("100215962", "order-completed")
    assert sandbox.counts()["convert"]["lookups"] == 1


def test_the_config_of_a_stranger_does_not_exist(sandbox: Sandbox) -> None:
    assert requests.get(f"{sandbox.url}/convert/api/v1/config/1/2", timeout=5).status_code == 404
    assert requests.post(sandbox.lookup("convert"), timeout=5).headers["Allow"] == "GET"
