"""Pools, the environment of our own Airflow, and stopping a process group as a whole."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from etl.airflow.local import home, standalone

if TYPE_CHECKING:
    from tests.airflow.airflow_world import World


def test_a_missing_pool_fails_the_first_task_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_CONVERSIONS_POOLS", '["conversions_converge"]')
    world.configure(to=["converge", "convert"])
    world.orders(1)
    run = world.run()
    assert (run.states()["start"], run.tries("start")) == ("failed", 1)
    assert "There is no pool conversions_convert, and a task whose pool is missing would wait for ever" in caplog.text
    assert "`conversions airflow setup`" in caplog.text
    assert not (world.folder / "ledger.db").exists(), "nothing was begun"


def test_a_retry_waits_only_for_the_destinations_asked_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_CONVERSIONS_POOLS", '["conversions_converge"]')
    one = world.run("retry_dead_letters", run_conf={"destination": "converge"})
    assert one.state == "success"
    assert {name for name, state in one.states().items() if state == "success"} == {"asked", "converge"}
    assert {state for name, state in one.states().items() if name not in ("asked", "converge")} == {"skipped"}
    assert world.run("retry_dead_letters").states()["asked"] == "failed"


def test_our_airflow_has_nothing_of_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    monkeypatch.setenv("NO_PROXY", "intranet.example")
    made = home.environment(tmp_path, tmp_path / "imports.yaml", EXTRA="1")
    assert "AIRFLOW__CORE__EXECUTOR" not in made
    assert made["AIRFLOW_HOME"] == str(tmp_path)
    assert made["NO_PROXY"] == "127.0.0.1,localhost,intranet.example"
    assert made["EXTRA"] == "1"
    assert made["PATH"].startswith(str(Path(sys.executable).parent))
    secret = made["AIRFLOW__API_AUTH__JWT_SECRET"]
    assert len(secret) >= 64
    assert home.environment(tmp_path, tmp_path)["AIRFLOW__API_AUTH__JWT_SECRET"] == secret
    assert (tmp_path / "jwt_secret").stat().st_mode & 0o777 == 0o600


FAMILY = """
import signal, subprocess, sys, time
if len(sys.argv) > 1:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"])
time.sleep(60)
"""


@pytest.mark.parametrize("words", [[], ["stubborn"]], ids=["ends when asked", "has to be killed"])
def test_the_whole_group_ends(monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    monkeypatch.setattr(standalone, "PATIENCE_S", 1)
    parent = subprocess.Popen(
        [sys.executable, "-c", FAMILY, *words], start_new_session=True, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    with parent.stdout:
        assert parent.stdout.readline() == "up\n"
        standalone._end(parent)
    assert parent.wait(timeout=1) == -(signal.SIGKILL if words else signal.SIGTERM)
    with pytest.raises(ProcessLookupError):
        os.killpg(parent.pid, 0)


def test_a_taken_port_is_said_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(standalone, "_say", told.append)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setenv("AIRFLOW_PORT", str(world.sandbox.port))
    assert standalone.main() == 2
    assert told == ["Address already in use. If it is a port: SANDBOX_PORT=8901 AIRFLOW_PORT=8081 make airflow"]


@contextmanager
def handled_by(handler: standalone.StopOnce) -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def pair(after_s: float) -> None:
    """Two signals in less than a tenth of a millisecond, so long from now."""
    until = time.perf_counter() + after_s
    while time.perf_counter() < until:
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGTERM)


def test_two_signals_at_once_leave_no_process_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    really_end = standalone._end

    def end(airflow: subprocess.Popen[bytes]) -> None:
        really_end(airflow)
        ended.append(airflow.pid)

    started: list[int] = []
    popen = subprocess.Popen

    def start(*words: Any, **more: Any) -> Any:
        child = popen(*words, **more)
        started.append(child.pid)
        return child

    monkeypatch.setattr(standalone, "_say", lambda sentence: None)
    monkeypatch.setattr(standalone, "_end", end)
    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setattr(home, "command", lambda word: ["sh", "-c", "sleep 60 & sleep 60 & wait"])
    draw = random.Random(11)
    for _ in range(40):
        stop = standalone.StopOnce()
        sender = threading.Thread(target=pair, args=(draw.uniform(0, 0.02),))
        with (tmp_path / "log").open("wb") as log, handled_by(stop):
            with suppress(standalone.Stopped):
                sender.start()
                with standalone.group(dict(os.environ), log, stop):
                    time.sleep(5)
            sender.join()
    assert ended == started
    assert len(started) > 10
    for group in started:
        with pytest.raises(ProcessLookupError):
            os.killpg(group, 0)
