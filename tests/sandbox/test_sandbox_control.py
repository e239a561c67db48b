"""Looking in from outside: the controls over HTTP, the Python side of them, and the command."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from etl.sandbox import Sandbox
from tests.sandbox.conftest import Send
from tests.vendors import EVERYBODY as VENDORS

NOW_MS = 1_795_262_400_000  # the sandbox's clock, see conftest
TOKEN = {"X-Webhook-Token": "sandbox-converge-token", "User-Agent": "conversions/0.1"}


def get(sandbox: Sandbox, path: Any, **query: Any) -> Any:
    return requests.get(f"{sandbox.url}/_sandbox/{path}", params=query, timeout=5)


def test_healthy(sandbox: Sandbox) -> None:
    assert get(sandbox, "healthy").status_code == 200


def test_counts_are_the_same_from_both_sides(sandbox: Sandbox, send: Send) -> None:
    for vendor in VENDORS:
        send(vendor)
    assert get(sandbox, "counts").json() == sandbox.counts()


def test_received_in_order_of_arrival(sandbox: Sandbox, send: Send, good: Callable[..., Any]) -> None:
    for name in ("a", "b", "c"):
        send("converge", good("converge", name))
    entries = get(sandbox, "received", vendor="converge").json()
    assert entries == sandbox.received("converge")
    assert [entry["key"] for entry in entries] == ["a", "b", "c"]
    assert entries[0] == {
        "item": good("converge", "a"),
        "counted": True,
        "ignored": None,
        "key": "a",
        "headers": {"content-type": "application/json", "user-agent": "conversions/0.1"},
        "at_ms": NOW_MS,
    }
    assert get(sandbox, "received", vendor="converge", limit=2).json() == entries[:2]


def test_requests_with_their_raw_bodies(sandbox: Sandbox, send: Send) -> None:
    send("kameleoon", raw=b"[ ]")
    send("kameleoon", raw=b"{")
    first, second = get(sandbox, "requests", vendor="kameleoon").json()
    assert first == {
        "method": "POST",
        "path": "/kameleoon/visit/events",
        "query": "siteCode=f17c21u1ag&json=true",
        "status": 204,
        "drop": None,
        "accepted": True,
        "size": 3,
        "items": 0,
        "headers": {"user-agent": "conversions/0.1"},
        "body": "[ ]",
        "at_ms": NOW_MS,
    }
    assert (second["status"], second["accepted"], second["body"]) == (400, False, "{")
    assert sandbox.requests("kameleoon") == [first, second]


def test_credentials_are_not_shown(sandbox: Sandbox, send: Send) -> None:
    for vendor in VENDORS:
        send(vendor)
        shown = get(sandbox, "requests", vendor=vendor).text + get(sandbox, "received", vendor=vendor).text
        assert "sandbox-" not in shown


@pytest.mark.parametrize("path", ["received", "requests"])
@pytest.mark.parametrize("query", [{}, {"vendor": "adobe"}, {"vendor": "converge", "limit": "-1"}], ids=str)
def test_questions_that_make_no_sense(sandbox: Sandbox, path: str, query: dict[str, str]) -> None:
    answer = get(sandbox, path, **query)
    assert (answer.status_code, "must be" in answer.json()["error"]) == (400, True)


def test_reset_forgets_everything_but_the_faults(sandbox: Sandbox, send: Send) -> None:
    send("converge")
    sandbox.fault(vendor="converge", status=503, times=1)
    assert requests.post(f"{sandbox.url}/_sandbox/reset", timeout=5).status_code == 204
    assert sandbox.received("converge") == []
    assert [send("converge").status_code for _ in range(2)] == [503, 200]
    counts = sandbox.counts()["converge"]
    assert (counts["counted"], counts["repeats"], counts["requests"]) == (1, 0, 2)
    sandbox.reset()
    assert sandbox.counts()["converge"]["requests"] == 0


def test_faults_over_http(sandbox: Sandbox, send: Send) -> None:
    address = f"{sandbox.url}/_sandbox/faults"
    given = [{"vendor": "converge", "status": 429, "headers": {"Retry-After": "1"}, "times": 1}]
    assert requests.post(address, json=given, timeout=5).json() == {"faults": 1}
    assert send("converge").headers["Retry-After"] == "1"
    assert requests.get(address, timeout=5).json() == [{**given[0], "matched": 1}]
    requests.post(address, json=[{"vendor": "*", "status": 500}], timeout=5)
    assert requests.delete(address, timeout=5).status_code == 204
    assert requests.get(address, timeout=5).json() == []
    assert send("converge").status_code == 200


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"{", "unexpected"),
        (b'{"vendor": "*", "status": 500}', "list"),
        (b'[{"vendor": "*", "status": 500, "tiems": 3}]', "tiems"),
        (b'[{"vendor": "*", "status": 500}, {"vendor": "*"}]', "fault 1"),
        (b'[{"vendor": "adobe", "status": 500}]', ", ".join(VENDORS)),
    ],
    ids=repr,
)
def test_bad_faults_over_http_change_nothing(sandbox: Sandbox, raw: Any, says: str) -> None:
    sandbox.fault(vendor="converge", status=500)
    answer = requests.post(f"{sandbox.url}/_sandbox/faults", data=raw, timeout=5)
    assert answer.status_code == 400
    assert says in answer.json()["error"]
    assert len(requests.get(f"{sandbox.url}/_sandbox/faults", timeout=5).json()) == 1


def test_without_keeping_it_still_counts_and_finds_repeats(good: Callable[..., Any]) -> None:
    with Sandbox(keep=False) as sandbox:
        for name in ("a", "b", "a"):
            body = good("converge", name)
            assert requests.post(sandbox.endpoint("converge"), json=body, headers=TOKEN, timeout=5).ok
        counts = sandbox.counts()["converge"]
        assert (counts["counted"], counts["repeats"]) == (2, 1)
        assert get(sandbox, "received", vendor="converge").status_code == 409
        with pytest.raises(RuntimeError, match="counters only"):
            sandbox.requests("converge")


def test_other_credentials(good: Callable[..., Any]) -> None:
    with Sandbox(credentials={"converge": {"webhook_token": "other"}, "kameleoon": {"site_code": "abc"}}) as sandbox:
        body = good("converge")
        assert requests.post(sandbox.endpoint("converge"), json=body, headers=TOKEN, timeout=5).status_code == 401
        other = {"X-Webhook-Token": "other"}
        assert requests.post(sandbox.endpoint("converge"), json=body, headers=other, timeout=5).status_code == 200
        assert sandbox.credentials["converge"]["webhook_token"] == "other"
        assert sandbox.credentials["convert"]["api_key"] == "sandbox-convert-key"


@pytest.mark.parametrize(
    ("credentials", "error"),
    [({"adobe": {"api_key": "x"}}, KeyError), ({"convert": {"surprise": "x"}}, TypeError)],
    ids=["a stranger", "a credential that the vendor has not"],
)
def test_credentials_that_nobody_asks_for(credentials: Any, error: Any) -> None:
    with pytest.raises(error):
        Sandbox(credentials=credentials)


def test_the_real_clock_by_default(good: Callable[..., Any]) -> None:
    with Sandbox() as sandbox:
        before = datetime.now(UTC).timestamp() * 1000
        requests.post(sandbox.endpoint("converge"), json=good("converge"), headers=TOKEN, timeout=5)
        assert before - 1 <= sandbox.received("converge")[0]["at_ms"] <= datetime.now(UTC).timestamp() * 1000


def test_it_stops_cleanly_with_callers_still_connected(good: Callable[..., Any]) -> None:
    with requests.Session() as caller:
        with Sandbox() as sandbox:
            caller.post(sandbox.endpoint("converge"), json=good("converge"), headers=TOKEN, timeout=5)
            assert sandbox.port in range(1024, 65536)
        assert sandbox.counts()["converge"]["counted"] == 1
        with pytest.raises(requests.ConnectionError):
            caller.get(sandbox.url, timeout=5)
    assert not [thread for thread in threading.enumerate() if thread.name == "sandbox"]
    sandbox.stop()


def test_it_can_be_opened_again_on_the_same_port(good: Callable[..., Any]) -> None:
    sandbox = Sandbox()
    with sandbox:
        port = sandbox.port
    with sandbox:
        assert sandbox.port == port
        assert get(sandbox, "healthy").ok


def test_a_taken_port_is_an_error(sandbox: Sandbox) -> None:
    with pytest.raises(OSError, match="in use"):
        Sandbox(port=sandbox.port).start()


def test_many_callers_at_once_lose_nothing(sandbox: Sandbox, good: Callable[..., Any]) -> None:
    def one(n: Any) -> Any:
        # every item twice, from different callers
        body = good("kameleoon", f"n-{n // 2}")
        address = sandbox.endpoint("kameleoon") + "?siteCode=f17c21u1ag&json=true"
        return requests.post(address, json=body, headers=TOKEN, timeout=5).status_code

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(one, range(200))) == {204}
    counts = sandbox.counts()["kameleoon"]
    assert (counts["requests"], counts["items"], counts["counted"], counts["repeats"]) == (200, 200, 100, 100)


COMMAND = [sys.executable, "-m", "etl.sandbox"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_it_is_told_to_stop(tmp_path: Path, good: Callable[..., Any], number: Any) -> None:
    faults = tmp_path / "faults.yaml"
    faults.write_text("- {vendor: converge, status: 429, headers: {Retry-After: 2}, times: 1}\n")
    arguments = [*COMMAND, "--port", "0", "--faults", str(faults)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        welcome = [running.stdout.readline() for _ in range(len(VENDORS) + 2)]
        url = welcome[0].split()[-1]
        first = requests.post(f"{url}/converge/api/webhooks", json=good("converge"), headers=TOKEN, timeout=5)
        second = requests.post(f"{url}/converge/api/webhooks", json=good("converge"), headers=TOKEN, timeout=5)
        running.send_signal(number)
        _, errors = running.communicate(timeout=5)
    assert (first.status_code, first.headers["Retry-After"], second.status_code) == (429, "2", 200)
    assert (running.returncode, errors) == (0, "")
    for word in (*VENDORS, "sandbox-convert-key", "sandbox-sdk-key", "sandbox-converge-token", "f17c21u1ag"):
        assert word in "".join(welcome)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("- {vendor: converge, status: 500, tiems: 1}", "tiems"),
        ("- {vendor: [", "faults.yaml"),
        (None, "No such file"),
    ],
)
def test_the_command_says_in_one_sentence_what_is_wrong(tmp_path: Path, content: Any, says: str) -> None:
    faults = tmp_path / "faults.yaml"
    if content is not None:
        faults.write_text(content)
    arguments = [*COMMAND, "--port", "0", "--faults", str(faults)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_an_empty_faults_file_is_no_fault(tmp_path: Path) -> None:
    from etl.sandbox.server.faults import faults_in

    (tmp_path / "faults.yaml").write_text("")
    assert faults_in(tmp_path / "faults.yaml") == []


def test_what_is_received_can_be_written_as_json(sandbox: Sandbox, send: Send) -> None:
    for vendor in VENDORS:
        send(vendor)
        json.dumps(sandbox.received(vendor))
        json.dumps(sandbox.requests(vendor))
