"""What becomes of forty rows under every fault: one table of fault, expected statuses and number of requests.

Each line is run at a vendor that counts a repeat once (Kameleoon) and at one that counts every repeat (Convert). Forty
rows make four batches of ten, on one connection, so that the number of requests is exact. `requests` is what the vendor
saw of them, `counted` how many conversions it counted.
"""

from __future__ import annotations

import email.utils
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.conftest import House, order
from tests.faults.liar import NO, OK, Asked, Liar
from tests.faults.tls import TlsVendor

ROWS = 40
ATTEMPTS = 3
RETRY = {"attempts": ATTEMPTS, "first_wait_s": 0.005, "longest_wait_s": 0.02, "total_s": 20, "timeout_s": 0.25}
DEDUPLICATES, REPEATS_COUNT = "kameleoon", "convert"
PATHS = {DEDUPLICATES: "/visit/events", REPEATS_COUNT: "/goals"}

ALL: Mapping[str, int] = {"delivered": 40}
NONE: Mapping[str, int] = {"failed": 40}
LONG_AGO = email.utils.formatdate(1_700_000_000, usegmt=True)
IN_AN_HOUR = email.utils.formatdate(time.time() + 3600, usegmt=True)


@dataclass(frozen=True)
class End:
    """How a run ended at one vendor."""

    statuses: Mapping[str, int]
    requests: int
    counted: int
    stop: str = ""


@dataclass(frozen=True)
class Line:
    """One fault, and how it ends at the two kinds of vendor."""

    name: str
    fault: dict[str, Any] = field(repr=False)
    deduplicates: End = field(repr=False)
    repeats_count: End = field(repr=False)


def both(name: str, end: End, **fault: Any) -> Line:
    """A fault that ends alike at both, because the vendor said that it took nothing."""
    return Line(name, fault, end, end)


def passing(name: str, **fault: Any) -> Line:
    """Two refusals "for now" before the first batch is taken: the same bytes go again."""
    return both(name, End(ALL, requests=2 + 4, counted=40), times=2, **fault)


def lasting(name: str, status: int) -> Line:
    """For ever: one request with all its attempts, then as many probes, then nothing more."""
    return both(name, End(NONE, 2 * ATTEMPTS, 0, f"http_{status}"), status=status)


TABLE = [
    passing("429, Retry-After in seconds", status=429, headers={"Retry-After": "0"}),
    passing("429, Retry-After as a date", status=429, headers={"Retry-After": LONG_AGO}),
    passing("429, Retry-After unreadable", status=429, headers={"Retry-After": "a while"}),
    passing("429 without Retry-After", status=429),
    both("429 for an hour, in seconds", End(NONE, 1, 0, "http_429"), status=429, headers={"Retry-After": "3600"}),
    both("429 for an hour, as a date", End(NONE, 1, 0, "http_429"), status=429, headers={"Retry-After": IN_AN_HOUR}),
    both(
        "429 nine times burns no attempt",
        End(ALL, 9 + 4, 40),
        status=429,
        headers={"Retry-After": "0"},
        times=9,
    ),
    *(passing(f"{status} twice", status=status) for status in (408, 425, 500, 502, 503, 504)),
    *(lasting(f"{status} for ever", status) for status in (408, 500, 502, 503, 504)),
    both(
        "503 five times: sat out by probes",
        End(ALL, 5 + 4, 40),
        status=503,
        times=5,
    ),
    both(
        "503 that asks for an hour", End(NONE, 1, 0, "http_503"), status=503, headers={"Retry-After": "3600"}, times=1
    ),
    Line(
        "a slow answer",
        {"delay_ms": 400, "times": 1},
        End(ALL, 1 + 4, 40),
        End({"delivered": 30, "unknown": 10}, 4, 40),
    ),
    Line(
        "slow answers for ever",
        {"delay_ms": 400},
        End({"unknown": 10, "failed": 30}, 2 * ATTEMPTS, 10, "unreachable"),
        End({"unknown": 30, "failed": 10}, ATTEMPTS, 30, "unreachable"),
    ),
    both("no answer to anybody", End(NONE, 0, 0, "unreachable"), drop="before"),
    Line(
        "a reset before the request is read",
        {"drop": "before", "skip": 1, "times": 1},
        End(ALL, 1 + 4, 40),
        End({"delivered": 30, "unknown": 10}, 4, 30),
    ),
    Line(
        "a reset in mid-body",
        {"drop": "mid_body", "times": 1},
        End(ALL, 1 + 4, 40),
        End({"delivered": 30, "unknown": 10}, 4, 30),
    ),
    Line(
        "a hang-up after the vendor took it in",
        {"drop": "after", "times": 1},
        End(ALL, 1 + 4, 40),
        End({"delivered": 30, "unknown": 10}, 4, 40),
    ),
    Line(
        "hang-ups for ever",
        {"drop": "after"},
        End({"unknown": 10, "failed": 30}, 2 * ATTEMPTS, 10, "unreachable"),
        End({"unknown": 30, "failed": 10}, ATTEMPTS, 30, "unreachable"),
    ),
    Line(
        "a truncated answer",
        {"drop": "mid_answer", "times": 1},
        End(ALL, 1 + 4, 40),
        End({"delivered": 30, "unknown": 10}, 4, 40),
    ),
    Line(
        "an answer that was taken in and told as 503",
        {"status": 503, "accept": True, "times": 1},
        End(ALL, 1 + 4, 40),
        End(ALL, 1 + 4, 50),  # Convert said that it did not take it: believed, and not promised otherwise
    ),
    Line(
        "a 200 that is no JSON",  # Kameleoon documents no body, so a 2xx is its word; Convert's is read
        {"status": 200, "body": "<!doctype html><title>Sign in</title>", "accept": True, "times": 1},
        End(ALL, 4, 40),
        End({"delivered": 30, "unknown": 10}, 4, 40),
    ),
    Line(
        "a 200 with an error inside",
        {"status": 200, "body": '{"code": 401, "message": "Unauthorized"}', "times": 1},
        End(ALL, 4, 30),
        End({"delivered": 30, "unknown": 10}, 4, 30),
    ),
    *(
        both(
            f"{status}, a redirect to another host, not followed",
            End(NONE, 1, 0, f"http_{status}"),
            status=status,
            headers={"Location": "http://127.0.0.1:1/elsewhere"},
        )
        for status in (301, 302, 303, 307, 308)
    ),
    both(
        "a redirect after a batch that was taken",
        End({"delivered": 10, "failed": 30}, 2, 10, "http_302"),
        status=302,
        skip=1,
    ),
    *(
        both(f"{status} blames no row", End(NONE, 1, 0, f"http_{status}"), status=status)
        for status in (401, 403, 404, 405)
    ),
]


def rows(count: int = ROWS) -> list[dict[str, str]]:
    """Rows whose visitor carries the row's number, under every vendor's name for visitors."""
    return [
        order(n, user_id=f"code-or-user-{n}.", kameleoon_visitor_code=f"code-or-user-{n}.") for n in range(1, count + 1)
    ]


def prepared(house: House, vendor: str, items: int = 10, count: int = ROWS) -> House:
    """An import of these rows to one vendor, impatient and on one connection."""
    house.to = [vendor]
    limits = {"items": items, "connections": 1, "spacing_ms": 0}
    house.overrides = {vendor: {"limits": limits, "retry": RETRY}}
    house.write(rows(count))
    return house


@pytest.mark.parametrize("vendor", [DEDUPLICATES, REPEATS_COUNT])
@pytest.mark.parametrize("line", TABLE, ids=lambda line: line.name)
def test_a_fault_ends_as_written(house: House, line: Line, vendor: str) -> None:
    expected = line.deduplicates if vendor == DEDUPLICATES else line.repeats_count
    prepared(house, vendor).sandbox.fault(vendor=vendor, path=PATHS[vendor], **line.fault)
    report = house.run()
    assert report.by_status(vendor) == dict(expected.statuses)
    if line.fault.get("delay_ms"):
        _until_heard(house, vendor, expected.requests)
    seen = house.sandbox.counts()[vendor]
    assert (seen["requests"], seen["counted"]) == (expected.requests, expected.counted)
    assert report.stops[vendor].reason == expected.stop if expected.stop else not report.stops
    _and_the_next_run_completes(house, vendor, expected)


def _until_heard(house: House, vendor: str, requests: int) -> None:
    """The vendor writes a request down when it has thought about it, which may be after we gave up waiting."""
    until = time.monotonic() + 5
    while house.sandbox.counts()[vendor]["requests"] < requests and time.monotonic() < until:
        time.sleep(0.01)


def _and_the_next_run_completes(house: House, vendor: str, first: End) -> None:
    house.sandbox.clear_faults()
    after = house.run().by_status(vendor)
    if vendor == DEDUPLICATES:
        assert after.get("unknown", 0) == 0
        # What the vendor acknowledged and yet did not count is not ours to know: that is the one line with an error
        # inside a 200 whose body nobody documents.
        missed = first.statuses.get("delivered", 0) - min(first.counted, first.statuses.get("delivered", 0))
        assert house.sandbox.counts()[vendor]["counted"] == ROWS - missed
    else:
        assert after.get("unknown", 0) == first.statuses.get("unknown", 0), "a person has not said a word yet"
        resent = ROWS - first.statuses.get("delivered", 0) - first.statuses.get("unknown", 0)
        assert house.sandbox.counts()[vendor]["counted"] == first.counted + resent


@dataclass(frozen=True)
class OnTheWire:
    """What a server does to the order of requests and answers, and how it ends at both kinds of vendor.

    ``answer``: does it to a request and says whether the connection stays open; the others are answered honestly.
    """

    name: str
    answer: Callable[[Asked], bool] = field(repr=False)
    statuses: Mapping[str, int] = field(repr=False)
    requests: int = field(repr=False)
    every: int = 0
    """Done to every such request; 0: to the first alone."""


def answer_twice(asked: Asked) -> bool:
    asked.connection.sendall(OK + NO)
    return True


def answer_ahead(asked: Asked) -> bool:
    asked.connection.sendall(OK)
    time.sleep(0.01)
    asked.connection.sendall(OK)
    return True


def drip(asked: Asked) -> bool:
    for byte in OK * 100:
        asked.connection.sendall(bytes([byte]))
        time.sleep(0.1)
    return False


def interim_for_ever(asked: Asked) -> bool:
    while True:
        asked.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.05)


def hang_up_idle(asked: Asked) -> bool:
    asked.connection.sendall(OK)
    return False


ONE_LOST = {"delivered": 30, "unknown": 10}
WIRE = [
    OnTheWire("an answer that nobody asked for, a refusal", answer_twice, ALL, 4, every=1),
    OnTheWire("an answer that nobody asked for, a moment later", answer_ahead, ALL, 4, every=1),
    OnTheWire("an answer that drips for ever", drip, ONE_LOST, 4),
    OnTheWire("interim answers for ever", interim_for_ever, ONE_LOST, 4),
    OnTheWire("a connection that closes when it is idle", hang_up_idle, ALL, 4, every=1),
]


@pytest.mark.parametrize("vendor", [DEDUPLICATES, REPEATS_COUNT])
@pytest.mark.parametrize("line", WIRE, ids=lambda line: line.name)
def test_what_happens_on_the_wire_ends_as_written(house: House, line: OnTheWire, vendor: str) -> None:
    def answer(asked: Asked) -> bool:
        if asked.nth == 1 or (line.every and asked.nth % line.every == 0):
            return line.answer(asked)
        asked.connection.sendall(OK)
        return True

    prepared(house, vendor)
    with Liar(answer) as liar:
        path = PATHS[vendor] if vendor == DEDUPLICATES else "/v1"
        house.overrides[vendor] |= {"endpoint": f"{liar.url}{path}", "retry": RETRY | {"total_s": 1}}
        report = house.run()
        assert report.by_status(vendor) == line.statuses
        assert len(liar.bodies) == line.requests
        assert not report.stops


@pytest.mark.parametrize("vendor", [DEDUPLICATES, REPEATS_COUNT])
def test_connection_refused(house: House, vendor: str) -> None:
    prepared(house, vendor)
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unheard.getsockname()[1]}{PATHS[vendor]}"
        house.overrides[vendor]["endpoint"] = endpoint
        report = house.run()
    assert report.by_status(vendor) == NONE
    assert report.stops[vendor].reason == "unreachable"
    assert house.sandbox.counts()[vendor]["requests"] == 0


@pytest.mark.parametrize("vendor", [DEDUPLICATES, REPEATS_COUNT])
def test_a_certificate_that_nobody_vouches_for(house: House, vendor: str) -> None:
    prepared(house, vendor)
    with TlsVendor(house.folder) as stranger:
        house.overrides[vendor]["endpoint"] = f"{stranger.url}{PATHS[vendor]}"
        report = house.run()
    assert report.by_status(vendor) == NONE
    assert report.stops[vendor].reason == "tls"
    assert stranger.requests == 0, "not one byte of a conversion was shown to it"


@pytest.mark.parametrize("vendor", [DEDUPLICATES, REPEATS_COUNT])
def test_https_spoken_to_a_plain_port(house: House, vendor: str) -> None:
    prepared(house, vendor)
    house.overrides[vendor]["endpoint"] = f"https://127.0.0.1:{house.sandbox.port}{PATHS[vendor]}"
    report = house.run()
    assert report.by_status(vendor) == NONE
    assert report.stops[vendor].reason == "tls"
    assert house.sandbox.counts()[vendor]["requests"] == 0


@pytest.mark.parametrize("vendor", [DEDUPLICATES, REPEATS_COUNT])
def test_plain_http_spoken_to_a_tls_port(house: House, vendor: str) -> None:
    prepared(house, vendor)
    with TlsVendor(house.folder) as stranger:
        house.overrides[vendor]["endpoint"] = f"{stranger.url.replace('https', 'http')}{PATHS[vendor]}"
        report = house.run()
    assert report.by_status(vendor) == NONE
    assert stranger.requests == 0


@pytest.mark.parametrize("status", [400, 413, 422])
def test_one_poison_row_among_500_stands_alone_where_repeats_are_found(house: House, status: int) -> None:
    prepared(house, DEDUPLICATES, items=500, count=500)
    house.sandbox.fault(vendor=DEDUPLICATES, status=status, when_body_contains="code-or-user-321.")
    report = house.run()
    assert report.by_status(DEDUPLICATES) == {"delivered": 499, "refused": 1}
    (refused,) = house.results(statuses=["refused"])
    assert (refused["row_number"], refused["reason"]) == (321, f"http_{status}")
    seen = house.sandbox.counts()[DEDUPLICATES]
    assert seen["counted"] == 499
    assert seen["requests"] == 1 + 2 * 9, "500 is halved nine times; each halving is two requests"


@pytest.mark.parametrize("status", [400, 413, 422])
def test_one_poison_row_takes_its_batch_with_it_where_repeats_count(house: House, status: int) -> None:
    prepared(house, REPEATS_COUNT, items=100, count=500)
    house.sandbox.fault(vendor=REPEATS_COUNT, status=status, when_body_contains="code-or-user-321.")
    report = house.run()
    assert report.by_status(REPEATS_COUNT) == {"delivered": 400, "refused": 100}
    seen = house.sandbox.counts()[REPEATS_COUNT]
    assert (seen["requests"], seen["counted"]) == (5, 400), "a part of the batch may have counted: no guess is made"


def test_a_vendor_in_trouble_keeps_nobody_waiting(house: House) -> None:
    house.to = [DEDUPLICATES, REPEATS_COUNT, "converge"]
    house.write(rows())
    house.sandbox.fault(vendor=DEDUPLICATES, status=503)
    report = house.run()
    assert {name: report.by_status(name) for name in house.to} == {
        DEDUPLICATES: NONE,
        REPEATS_COUNT: ALL,
        "converge": ALL,
    }
