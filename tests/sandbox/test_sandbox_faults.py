"""Every kind of trouble: what the caller sees, and what the vendor has counted meanwhile."""

import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests

from etl.sandbox import FaultError, Sandbox
from tests.sandbox.conftest import Send
from tests.vendors import EVERYBODY as VENDORS


def counted(sandbox: Sandbox, vendor: Any = "converge") -> Any:
    return sandbox.counts()[vendor]["counted"]


def lost(send: Send, vendor: Any = "converge", body: Any = None) -> Any:
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)) as caught:
        send(vendor, body)
    return str(caught.value)


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 408, 413, 422, 425, 429, 500, 502, 503, 504])
def test_a_status_is_answered_and_nothing_counts(sandbox: Sandbox, send: Send, status: int) -> None:
    sandbox.fault(vendor="converge", status=status, body="sorry", headers={"Retry-After": "2", "X-Why": "test"})
    answer = send("converge")
    assert (answer.status_code, answer.text, answer.headers["Retry-After"]) == (status, "sorry", "2")
    counts = sandbox.counts()["converge"]
    assert (counts["requests"], counts["refused"], counts["items"]) == (1, 1, 0)
    assert counts["statuses"] == {str(status): 1}


def test_a_status_may_come_after_the_vendor_took_it_in(sandbox: Sandbox, send: Send) -> None:
    sandbox.fault(vendor="converge", status=503, accept=True, times=1)
    assert send("converge").status_code == 503
    assert send("converge").status_code == 200
    counts = sandbox.counts()["converge"]
    assert (counts["counted"], counts["repeats"], counts["refused"]) == (1, 1, 0)


def test_an_unreadable_200(sandbox: Sandbox, send: Send) -> None:
    sandbox.fault(vendor="converge", status=200, body="<html>", headers={"Content-Type": "text/html"})
    assert send("converge").text == "<html>"
    counts = sandbox.counts()["converge"]
    assert (counts["counted"], counts["refused"]) == (0, 0)


def test_what_the_vendor_itself_refuses_is_not_taken_in_by_accept(sandbox: Sandbox, send: Send) -> None:
    sandbox.fault(vendor="converge", status=500, accept=True)
    assert send("converge", {}).status_code == 500
    assert sandbox.counts()["converge"]["refused"] == 1


def test_a_redirect(sandbox: Sandbox, send: Send) -> None:
    sandbox.fault(vendor="converge", status=302, headers={"Location": "http://localhost:1/elsewhere"})
    assert send("converge").headers["Location"] == "http://localhost:1/elsewhere"


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize(("drop", "counts"), [("before", 0), ("mid_body", 0), ("after", 1), ("mid_answer", 1)])
def test_a_dropped_connection(sandbox: Sandbox, send: Send, vendor: str, drop: Any, counts: Any) -> None:
    sandbox.fault(vendor=vendor, drop=drop, times=1)
    lost(send, vendor)
    seen = sandbox.counts()[vendor]
    assert (seen["requests"], seen["dropped"], seen["refused"], seen["counted"]) == (1, 1, 0, counts)
    (logged,) = sandbox.requests(vendor)
    assert (logged["drop"], logged["accepted"]) == (drop, bool(counts))
    assert (logged["status"] is None) == (drop != "mid_answer")
    send(vendor)
    assert counted(sandbox, vendor) == (2 if vendor == "convert" and counts else 1)


@pytest.mark.parametrize("drop", ["before", "mid_body"])
def test_a_reset_while_a_large_body_is_on_its_way(
    sandbox: Sandbox, send: Send, good: Callable[..., Any], drop: Any
) -> None:
    sandbox.fault(vendor="converge", drop=drop)
    lost(send, body={**good("converge"), "properties": {"text": "x" * 5_000_000}})
    (logged,) = sandbox.requests("converge")
    assert logged["size"] < 5_000_000
    assert counted(sandbox) == 0


def test_an_answer_cut_in_the_middle(sandbox: Sandbox, send: Send) -> None:
    sandbox.fault(vendor="converge", drop="mid_answer")
    assert "IncompleteRead" in lost(send)


def test_a_delay_comes_first(sandbox: Sandbox, send: Send) -> None:
    sandbox.fault(vendor="converge", delay_ms=100)
    began = time.monotonic()
    assert send("converge").status_code == 200
    assert time.monotonic() - began >= 0.1
    assert counted(sandbox) == 1


def test_who_does_not_wait_is_counted_all_the_same(sandbox: Sandbox, send: Send) -> None:
    sandbox.fault(vendor="converge", delay_ms=150, times=1)
    with pytest.raises(requests.ReadTimeout):
        send("converge", timeout=0.03)
    assert send("converge").status_code == 200
    deadline = time.monotonic() + 2
    while sandbox.counts()["converge"]["requests"] < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    counts = sandbox.counts()["converge"]
    assert (counts["counted"], counts["repeats"]) == (1, 1)


@pytest.mark.parametrize("drop", ["before", "after"])
def test_a_delay_goes_with_a_drop(sandbox: Sandbox, send: Send, drop: Any) -> None:
    sandbox.fault(vendor="converge", delay_ms=50, drop=drop)
    began = time.monotonic()
    lost(send)
    assert time.monotonic() - began >= 0.05


@pytest.mark.parametrize(
    ("fault", "statuses"),
    [
        pytest.param({}, [503, 503, 503, 503], id="for ever"),
        pytest.param({"times": 2}, [503, 503, 200, 200], id="twice"),
        pytest.param({"skip": 2}, [200, 200, 503, 503], id="from the third"),
        pytest.param({"skip": 1, "times": 1}, [200, 503, 200, 200], id="only the second"),
    ],
)
def test_how_often(sandbox: Sandbox, send: Send, fault: Any, statuses: Any) -> None:
    sandbox.fault(vendor="converge", status=503, **fault)
    assert [send("converge").status_code for _ in statuses] == statuses


@pytest.mark.parametrize(
    ("fault", "hit"),
    [
        pytest.param({"vendor": "converge"}, True, id="this vendor"),
        pytest.param({"vendor": "kameleoon"}, False, id="another vendor"),
        pytest.param({"vendor": "*"}, True, id="every vendor"),
        pytest.param({"vendor": "*", "path": "/webhooks"}, True, id="part of the path"),
        pytest.param({"vendor": "*", "path": "/events"}, False, id="part of another path"),
        pytest.param({"vendor": "*", "when_body_contains": "Placed"}, True, id="in the body"),
        pytest.param({"vendor": "*", "when_body_contains": "poison"}, False, id="not in the body"),
    ],
)
def test_which_requests(sandbox: Sandbox, send: Send, fault: Any, hit: Any) -> None:
    sandbox.fault(status=503, **fault)
    assert send("converge").status_code == (503 if hit else 200)


def test_only_the_poison_counts_towards_skip_and_times(sandbox: Sandbox, send: Send, good: Callable[..., Any]) -> None:
    sandbox.fault(vendor="kameleoon", status=400, when_body_contains="poison", skip=1, times=1)
    names = ["clean", "poison-1", "clean-2", "poison-2", "poison-3"]
    assert [send("kameleoon", good("kameleoon", name)).status_code for name in names] == [204, 204, 204, 400, 204]


def test_the_first_that_is_not_used_up_happens(sandbox: Sandbox, send: Send) -> None:
    several = [
        {"vendor": "converge", "status": 429, "times": 1},
        {"vendor": "*", "status": 503, "times": 1},
        {"vendor": "converge", "status": 500, "skip": 1},
    ]
    sandbox.faults(several)
    assert [send("converge").status_code for _ in range(4)] == [429, 503, 200, 500]


def test_faults_are_replaced_added_and_cleared(sandbox: Sandbox, send: Send) -> None:
    sandbox.faults([{"vendor": "converge", "status": 500}])
    sandbox.faults([{"vendor": "converge", "status": 502, "times": 1}])
    sandbox.fault(vendor="converge", status=504)
    assert [send("converge").status_code for _ in range(2)] == [502, 504]
    sandbox.clear_faults()
    assert send("converge").status_code == 200


@pytest.mark.parametrize(
    ("fault", "reached"),
    [
        ({"status": 503}, True),
        ({"status": 503, "accept": True}, True),
        ({"drop": "before"}, False),
        ({"drop": "mid_body"}, True),
        ({"drop": "after"}, True),
        ({"drop": "mid_answer"}, True),
    ],
    ids=str,
)
def test_a_knock_meets_only_a_closed_door(sandbox: Sandbox, fault: Any, reached: Any) -> None:
    sandbox.fault(vendor="converge", **fault)
    if reached:
        assert requests.head(sandbox.endpoint("converge"), timeout=5).status_code == 405
    else:
        with pytest.raises(requests.ConnectionError):
            requests.head(sandbox.endpoint("converge"), timeout=5)
    counts = sandbox.counts()["converge"]
    assert (counts["knocks"], counts["requests"], counts["dropped"]) == (1, 0, 0)


def test_a_knock_leaves_the_faults_of_deliveries_alone(sandbox: Sandbox, send: Send) -> None:
    sandbox.fault(vendor="converge", drop="after", times=1)
    requests.head(sandbox.endpoint("converge"), timeout=5)
    lost(send)
    assert counted(sandbox) == 1


@pytest.mark.parametrize("fault", [{"status": 503}, {"drop": "before"}, {"drop": "mid_answer"}], ids=str)
def test_lookups_have_faults_too(sandbox: Sandbox, fault: Any) -> None:
    sandbox.fault(vendor="optimizely", path="/datafiles", **fault)
    if "status" in fault:
        assert requests.get(sandbox.lookup("optimizely"), timeout=5).status_code == 503
    else:
        with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
            requests.get(sandbox.lookup("optimizely"), timeout=5)
    counts = sandbox.counts()["optimizely"]
    assert (counts["lookups"], counts["requests"]) == (1, 0)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"vendor": "converge", "status": 500, "tiems": 3}, "tiems"),
        ({"vendor": "adobe", "status": 500}, "vendor"),
        ({"status": 500}, "vendor"),
        ({"vendor": "*", "status": "500"}, "status"),
        ({"vendor": "*", "status": 99}, "status"),
        ({"vendor": "*", "status": 500, "times": 0}, "times"),
        ({"vendor": "*", "status": 500, "skip": -1}, "skip"),
        ({"vendor": "*", "drop": "sometimes"}, "drop"),
        ({"vendor": "*", "delay_ms": -1}, "delay_ms"),
        ({"vendor": "*"}, "needs a status, a drop or a delay_ms"),
        ({"vendor": "*", "drop": "after", "status": 500}, "not both"),
        ({"vendor": "*", "drop": "after", "body": "x"}, "need a status"),
        ({"vendor": "*", "delay_ms": 1, "accept": True}, "need a status"),
    ],
    ids=str,
)
def test_a_fault_that_makes_no_sense_is_refused(sandbox: Sandbox, send: Send, fault: Any, says: str) -> None:
    with pytest.raises(FaultError, match=says):
        sandbox.faults([{"vendor": "converge", "status": 500}, fault])
    assert send("converge").status_code == 200


def test_a_caller_who_hangs_up_within_the_body_counts_nothing(sandbox: Sandbox, send: Send) -> None:
    with socket.create_connection(("127.0.0.1", sandbox.port), timeout=5) as caller:
        head = "POST /converge/api/webhooks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
        caller.sendall(head.encode() + b'{"event')
    assert send("converge").status_code == 200
    assert sandbox.counts()["converge"]["items"] == 1
