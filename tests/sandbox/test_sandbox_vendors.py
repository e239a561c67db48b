"""What all vendors have in common: repeats, knocks, refusals, and where things are counted."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest
import requests

from etl import destinations
from etl import sandbox as sandbox_room
from etl.sandbox import Sandbox
from tests import vendors
from tests.sandbox.conftest import Send
from tests.vendors import EVERYBODY as VENDORS

STATUS = {vendor: vendors.counted(vendor, "", 0)["status"] for vendor in VENDORS}
NOTHING = {
    "requests": 0,
    "knocks": 0,
    "lookups": 0,
    "items": 0,
    "counted": 0,
    "repeats": 0,
    "ignored": {},
    "refused": 0,
    "dropped": 0,
    "statuses": {},
}


def test_every_destination_is_played() -> None:
    assert sandbox_room.types() == VENDORS


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_good_item_counts_once(sandbox: Sandbox, send: Send, vendor: str) -> None:
    answer = send(vendor)
    assert answer.status_code == STATUS[vendor]
    expected = NOTHING | {"requests": 1, "items": 1, "counted": 1, "statuses": {str(STATUS[vendor]): 1}}
    assert sandbox.counts() == {name: expected if name == vendor else NOTHING for name in VENDORS}


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_second_send_counts_only_where_nothing_removes_repeats(sandbox: Sandbox, send: Send, vendor: str) -> None:
    send(vendor)
    send(vendor)
    counts, repeats_count = sandbox.counts()[vendor], not destinations.find(vendor).facts.repeatable
    assert counts["repeats"] == 1
    assert counts["counted"] == (2 if repeats_count else 1)
    assert [item["counted"] for item in sandbox.received(vendor)] == [True, repeats_count]


@pytest.mark.parametrize("vendor", VENDORS)
def test_another_id_is_another_item(sandbox: Sandbox, send: Send, good: Callable[..., Any], vendor: str) -> None:
    send(vendor, good(vendor, "e-1"))
    send(vendor, good(vendor, "e-2"))
    counts = sandbox.counts()[vendor]
    assert (counts["counted"], counts["repeats"]) == (2, 0)


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[NaN]", b'{"a": Infinity}', b"a=1&b=2", b'"\xff"', b"{customerId: 1}"], ids=repr
)
def test_what_is_not_json_is_refused(sandbox: Sandbox, send: Send, vendor: str, raw: Any) -> None:
    assert send(vendor, raw=raw).status_code == 400
    assert sandbox.counts()[vendor] == NOTHING | {"requests": 1, "refused": 1, "statuses": {"400": 1}}


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("raw", [b"null", b"1", b'"text"', b"{}"], ids=repr)
def test_json_of_another_form_is_refused(send: Send, vendor: str, raw: Any) -> None:
    assert send(vendor, raw=raw).status_code == 400


@pytest.mark.parametrize("vendor", VENDORS)
def test_compressed_bodies_are_refused(send: Send, vendor: str) -> None:
    assert send(vendor, headers={"Content-Encoding": "gzip"}).status_code == 415


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_knock_is_answered_and_is_no_request(sandbox: Sandbox, vendor: str) -> None:
    answer = requests.head(sandbox.endpoint(vendor), timeout=5)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    assert sandbox.counts()[vendor] == NOTHING | {"knocks": 1}


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_other_methods_are_refused(sandbox: Sandbox, vendor: str, method: Any) -> None:
    answer = requests.request(method, sandbox.endpoint(vendor), timeout=5)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    assert sandbox.counts()[vendor]["refused"] == 1


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_get_where_only_posts_are_taken_is_a_lookup_in_vain(sandbox: Sandbox, vendor: str) -> None:
    assert requests.get(sandbox.endpoint(vendor), timeout=5).status_code == 405
    assert sandbox.counts()[vendor] == NOTHING | {"lookups": 1}


@pytest.mark.parametrize("vendor", VENDORS)
def test_other_paths_do_not_exist(sandbox: Sandbox, send: Send, vendor: str) -> None:
    assert send(vendor, url=f"{sandbox.url}/{vendor}/elsewhere").status_code == 404
    assert sandbox.counts()[vendor]["statuses"] == {"404": 1}


def test_a_vendor_without_a_file_does_not_exist(sandbox: Sandbox, send: Send) -> None:
    assert send("converge", url=f"{sandbox.url}/adobe/event").status_code == 404
    assert set(sandbox.counts()) == set(VENDORS)


@pytest.mark.parametrize(
    ("vendor", "headers", "status"),
    [
        pytest.param("convert", {"Authorization": None}, 401, id="convert no key"),
        pytest.param("convert", {"Authorization": "Bearer wrong"}, 401, id="convert wrong key"),
        pytest.param("convert", {"Authorization": "sandbox-convert-key"}, 401, id="convert no scheme"),
        pytest.param("converge", {"X-Webhook-Token": None}, 401, id="converge no token"),
        pytest.param("converge", {"X-Webhook-Token": "wrong"}, 401, id="converge wrong token"),
        pytest.param("webflow_optimize", {"Authorization": None}, 401, id="webflow no key"),
        pytest.param("webflow_optimize", {"Authorization": "Bearer sandbox-webflow-key"}, 401, id="webflow Bearer"),
        pytest.param("kameleoon", {"User-Agent": "python-requests/2.32"}, 403, id="kameleoon requests"),
        pytest.param("kameleoon", {"User-Agent": "Python/3.11 aiohttp/3.14.5"}, 403, id="kameleoon aiohttp"),
        pytest.param("kameleoon", {"User-Agent": "curl/8.5.0"}, 403, id="kameleoon curl"),
        pytest.param("kameleoon", {"User-Agent": ""}, 403, id="kameleoon empty agent"),
    ],
)
def test_strangers_are_refused(sandbox: Sandbox, send: Send, vendor: str, headers: Any, status: int) -> None:
    assert send(vendor, headers=headers).status_code == status
    assert sandbox.counts()[vendor] == NOTHING | {"requests": 1, "refused": 1, "statuses": {str(status): 1}}


@pytest.mark.parametrize(("vendor", "limit"), [("kameleoon", 3_000_000), ("optimizely", 3_500_000)])
def test_bodies_up_to_the_documented_limit(
    sandbox: Sandbox, send: Send, good: Callable[..., Any], vendor: str, limit: Any
) -> None:
    body = orjson.dumps(good(vendor))
    assert send(vendor, raw=body.ljust(limit)).status_code == 204
    assert send(vendor, raw=body.ljust(limit + 1)).status_code == 413
    assert sandbox.counts()[vendor]["refused"] == 1


def test_repeats_are_judged_per_vendor(sandbox: Sandbox, send: Send) -> None:
    for vendor in VENDORS:
        send(vendor)
    assert [counts["counted"] for counts in sandbox.counts().values()] == [1] * len(VENDORS)
