"""SIGTERM and Ctrl-C end a run within seconds, whatever it waits for, and everything is recorded."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from etl import cli, locks
from etl.delivery import pacing
from etl.delivery.pacing import Waiting, endpoint_lock
from etl.destinations import make_destination
from etl.ledger import open_ledger
from tests.conftest import House, order
from tests.faults.harness import ROOT

PATIENT = {"attempts": 5, "first_wait_s": 60, "longest_wait_s": 600, "total_s": 3600, "timeout_s": 600}

WAITS: dict[str, tuple[dict[str, Any] | None, dict[str, Any], dict[str, int]]] = {
    "for an answer": ({"delay_ms": 600_000}, {"items": 10}, {"unknown": 10, "failed": 30}),
    "out a pause that the vendor asked for": (
        {"status": 429, "headers": {"Retry-After": "600"}},
        {"items": 10},
        {"failed": 40},
    ),
    "before it tries again": ({"status": 503}, {"items": 10}, {"failed": 40}),
    "between two requests": (None, {"items": 10, "spacing_ms": 600_000}, {"delivered": 10, "failed": 30}),
}


def started(house: House) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "etl.cli", "--config", str(house.config.path), "run", "orders"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("wait", WAITS)
def test_sigterm_ends_a_run_that_waits(house: House, wait: str) -> None:
    fault, limits, expected = WAITS[wait]
    house.to = ["kameleoon"]
    house.overrides = {"kameleoon": {"limits": {"connections": 1, "spacing_ms": 0, **limits}, "retry": PATIENT}}
    house.write([order(n) for n in range(40)])
    if fault:
        house.sandbox.fault(vendor="kameleoon", **fault)
    running = started(house)
    seen = "knocks" if fault and "delay_ms" in fault else "requests"
    while not house.sandbox.counts()["kameleoon"][seen]:
        assert running.poll() is None, running.communicate()
        time.sleep(0.02)
    time.sleep(0.3)
    running.send_signal(signal.SIGTERM)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 143, err
    assert "Ended by SIGTERM; the next run sends what is missing." in err
    found: dict[str, int] = {}
    for row in house.results():
        assert row["reason"] != "in_flight"
        assert row["detail"] or row["status"] == "delivered"
        found[row["status"]] = found.get(row["status"], 0) + 1
    assert found == expected
    ((finished, told),) = house.sql("SELECT finished_at_ms, stop_detail FROM runs")
    assert finished is not None
    assert "Ended by SIGTERM" in told
    house.sandbox.clear_faults()
    house.overrides = {}
    assert house.run().exit_code == 0
    assert house.sandbox.counts()["kameleoon"]["counted"] == 40


def test_sigterm_ends_a_run_that_looks_something_up(house: House) -> None:
    house.to = ["optimizely", "kameleoon"]
    house.write([order(n) for n in range(10)])
    house.sandbox.fault(vendor="optimizely", path="/datafiles", delay_ms=600_000)
    running = started(house)
    while not list((house.folder / "staging").glob("*/lookup-*-kameleoon.json")):
        assert running.poll() is None, running.communicate()
        time.sleep(0.02)
    time.sleep(0.5)
    running.send_signal(signal.SIGTERM)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 143, err
    assert "while a vendor was asked what it knows" in err
    ((finished,),) = house.sql("SELECT finished_at_ms FROM runs")
    assert finished is not None
    assert house.results() == []
    house.sandbox.clear_faults()
    assert house.run().exit_code == 0


@pytest.mark.parametrize("when", ["before it begins", "before it records"])
def test_sigterm_ends_a_run_whose_ledger_somebody_else_has_locked(house: House, when: str) -> None:
    house.to = ["kameleoon"]
    house.write([order(n) for n in range(10)])
    open_ledger(house.config).close()
    with closing(sqlite3.connect(house.folder / "ledger.db", isolation_level=None)) as blocking:
        if when == "before it begins":
            blocking.execute("BEGIN IMMEDIATE")
            running = started(house)
            time.sleep(4)
        else:
            house.sandbox.fault(vendor="kameleoon", delay_ms=2_000)
            running = started(house)
            while not house.sandbox.counts()["kameleoon"]["knocks"]:
                assert running.poll() is None, running.communicate()
                time.sleep(0.02)
            blocking.execute("BEGIN IMMEDIATE")
            time.sleep(3)
        asked = time.monotonic()
        running.send_signal(signal.SIGTERM)
        _, err = running.communicate(timeout=60)
        assert time.monotonic() - asked < 20
        assert running.returncode, err
        blocking.execute("ROLLBACK")
    house.sandbox.clear_faults()
    house.run()
    assert house.sandbox.counts()["kameleoon"]["counted"] == 10


@pytest.mark.parametrize("size", [0.1, 0.5, 0.97])
def test_a_ledger_that_is_cut_off_is_a_sentence(house: House, size: float) -> None:
    house.to = ["kameleoon"]
    house.write([order(n) for n in range(500)])
    house.run()
    ledger = house.folder / "ledger.db"
    os.truncate(ledger, int(ledger.stat().st_size * size))
    asked = time.monotonic()
    told = CliRunner().invoke(cli.app, ["--config", str(house.config.path), "run", "orders"])
    assert told.exit_code == 2
    assert "does not answer: database disk image is malformed" in told.stderr
    assert time.monotonic() - asked < 20


def test_a_run_that_waits_for_anothers_endpoint_lock_ends_at_once(house: House) -> None:
    house.to = ["kameleoon"]
    house.write([order(n) for n in range(10)])
    with endpoint_lock(make_destination(house.config, "kameleoon").endpoint, Waiting("another")):
        running = started(house)
        while not list((house.folder / "staging").glob("*/items/kameleoon/*.parquet")):
            assert running.poll() is None, running.communicate()
            time.sleep(0.02)
        time.sleep(0.2)
        running.send_signal(signal.SIGTERM)
        _, err = running.communicate(timeout=60)
    assert running.returncode == 143, err
    assert house.sandbox.counts()["kameleoon"]["requests"] == 0
    assert house.run().exit_code == 0


def test_a_run_that_waits_too_long_for_its_turn_sends_nothing(
    house: House, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.to = ["kameleoon", "converge"]
    house.top_settings = {"wait_for_turn": "500ms"}
    house.write([order(n) for n in range(10)])
    monkeypatch.setattr("etl.delivery.pacing.SAY_EVERY_S", 0.1)
    caplog.set_level("INFO", "conversions")
    with endpoint_lock(make_destination(house.config, "kameleoon").endpoint, Waiting("20261127T000000-abcdef")):
        report = house.run()
    assert report.counts["kameleoon"] == {("failed", "no_turn"): 10}
    assert report.by_status("converge") == {"delivered": 10}
    assert "run 20261127T000000-abcdef has been sending to 127.0.0.1" in report.stops["kameleoon"].detail
    assert "waiting for run 20261127T000000-abcdef" in caplog.text
    assert house.run().by_status("kameleoon") == {"delivered": 10}


def test_what_a_run_of_long_ago_left_is_no_sign_that_the_present_one_stalls(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has only just got the lock has not yet written that it goes on."""
    endpoint = make_destination(house.config, "kameleoon").endpoint
    steps: list[float] = []
    with endpoint_lock(endpoint, Waiting("now")):
        (told,) = locks.state_folder().glob(f"{hashlib.sha256(endpoint.encode()).hexdigest()[:16]}.json")
        told.write_text(json.dumps(["of long ago", 0, 0]))
        with (
            pytest.raises(pacing.NoTurn, match="of long ago"),
            endpoint_lock(endpoint, Waiting("next", longest_s=0.3, alive=lambda: steps.append(time.monotonic()))),
        ):
            pytest.fail("two hold one lock")
    assert len(steps) > 2, "it waited, whatever stood there"


@pytest.mark.parametrize("how", ["a link", "open to others"])
def test_locks_lie_where_nobody_else_can_put_anything(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    house.to = ["kameleoon"]
    house.write([order(1)])
    folder = tmp_path / "state"
    if how == "a link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "elsewhere")
    else:
        folder.mkdir()
        folder.chmod(0o777)
    monkeypatch.setenv("CONVERSIONS_STATE", str(folder))
    told = CliRunner().invoke(cli.app, ["--config", str(house.config.path), "run", "orders"])
    assert told.exit_code == 2
    assert "a link, another user's, or can be written by others" in told.stderr
    assert not list(tmp_path.glob("elsewhere/*"))
