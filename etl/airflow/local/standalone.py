"""`make airflow`: the sandbox and all of Airflow on this machine, until Ctrl-C, which stops every process of it.

For trying out and for development: SQLite, one machine, and a password in a file. ``AIRFLOW_PORT`` and ``SANDBOX_PORT``
choose other ports than 8080 and 8900. imports.yaml is the project's, or ``$CONVERSIONS_CONFIG``.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import IO, Any

from etl import sample
from etl.airflow import parse
from etl.airflow.local import home
from etl.airflow.local.home import ROOT
from etl.errors import ConfigError
from etl.sandbox import Sandbox

HOME = ROOT / "var" / "airflow"
PATIENCE_S = 20
"""How long Airflow's processes may take to end by themselves; the scheduler often takes longer than anybody waits."""

START_S = 180
"""How long Airflow may take to answer."""


class Stopped(Exception):
    """Ctrl-C, a closed terminal or a `kill`: time to go."""


class StopOnce:
    """A handler of signals: the first one raises Stopped, what comes after it is heard and changes nothing.

    Nothing is switched off once a signal has come: between the two moments another one could come.
    """

    def __init__(self) -> None:
        self._asked = False
        self._later = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Called by Python, also while an earlier call is still going on."""
        if self._asked:
            return
        self._asked = True
        if not self._later:
            raise Stopped

    @contextmanager
    def later(self) -> Iterator[None]:
        """A block that is not left in the middle; a signal that comes meanwhile counts at its end."""
        self._later = True
        try:
            yield
        finally:
            self._later = False
        if self._asked:
            raise Stopped


def main() -> int:
    """Start everything, say where it is, wait, stop everything."""
    port = int(os.environ.get("AIRFLOW_PORT") or 8080)
    stop = StopOnce()
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, stop)
    try:
        imports = parse.file_beside(ROOT / "dags")
        parse.load(imports)
        with socket.create_server(("127.0.0.1", port)):
            pass  # said now rather than in Airflow's log half a minute later
        with _sandbox(int(os.environ.get("SANDBOX_PORT") or 8900)) as url:
            return _serve(port, imports, url, stop)
    except ConfigError as error:
        _say(str(error))
        return 2
    except OSError as error:
        _say(f"{os.strerror(error.errno or 0)}. If it is a port: SANDBOX_PORT=8901 AIRFLOW_PORT=8081 make airflow")
        return 2
    except Stopped:
        return 0


def _serve(port: int, imports: Path, sandbox: str, stop: StopOnce) -> int:
    environment = _environment(port, imports, sandbox)
    with (HOME / "airflow.log").open("wb") as log:
        _say("Airflow makes or upgrades its database and the pools (a few seconds).")
        if not home.prepared(environment, log):
            _say(f"Airflow could not make its database; {HOME / 'airflow.log'} says why.")
            return 2
        _say("Airflow starts (some 15 seconds).")
        with group(environment, log, stop) as airflow:
            if not _healthy(airflow, port):
                _say(f"Airflow does not start; {HOME / 'airflow.log'} says why.")
                return 2
            _tell(port, sandbox)
            airflow.wait()
            _say(f"Airflow ended by itself; {HOME / 'airflow.log'} says why.")
            return 2


def _environment(port: int, imports: Path, sandbox: str) -> dict[str, str]:
    orders = HOME / "orders.csv"
    changes = {
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": f"http://localhost:{port}",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "10",
        "SANDBOX": os.environ.get("SANDBOX") or sandbox,
        "ORDERS_CSV": os.environ.get("ORDERS_CSV") or str(orders),
    }
    made = home.environment(HOME, imports, **changes)
    with orders.open("w", encoding="utf-8", newline="") as text:
        sample.write(sample.showcase(datetime.now(UTC)), text)
    return made


@contextmanager
def _sandbox(port: int) -> Iterator[str]:
    """The vendors on that port: ours while this lasts, or those that are being played there already."""
    url = f"http://127.0.0.1:{port}"
    if _answers(f"{url}/_sandbox/counts"):
        _say(f"The sandbox that runs on {url} already is used.")
        yield url
        return
    with Sandbox(port) as sandbox:
        _say(f"The sandbox plays the vendors on {url}.")
        yield sandbox.url


@contextmanager
def group(environment: dict[str, str], log: IO[bytes], stop: StopOnce) -> Iterator[subprocess.Popen[bytes]]:
    """`airflow standalone` as a process group of its own, so that it can be stopped as a whole.

    Told to stop, Airflow's parent process leaves its children behind, and Ctrl-C does not reach all of them either.
    """
    airflow: subprocess.Popen[bytes] | None = None
    try:
        with stop.later():  # else it could be started and nobody know of it
            airflow = subprocess.Popen(  # noqa: S603 (our own command)
                home.command("standalone"),
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        yield airflow
    finally:
        if airflow is not None:
            with stop.later():  # whatever ended the block, its processes end
                _say("\nStopping Airflow (a few seconds).")
                _end(airflow)
                _say("Everything is stopped.")


def _end(airflow: subprocess.Popen[Any]) -> None:
    """Ask the whole group to end, and kill what is left of it."""
    for number, wait_s in ((signal.SIGTERM, PATIENCE_S), (signal.SIGKILL, 5)):
        _signalled(airflow.pid, number)
        until = time.monotonic() + wait_s
        while _signalled(airflow.pid, 0) and time.monotonic() < until:
            airflow.poll()  # reaps the parent, which would count as alive otherwise
            time.sleep(0.2)


def _signalled(group: int, number: int) -> bool:
    """Send a signal to a process group (0: only ask); False when nobody is left in it."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _healthy(airflow: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until the pages answer; False when Airflow ended before, or takes so long that it never will."""
    until = time.monotonic() + START_S
    while airflow.poll() is None and time.monotonic() < until:
        if _answers(f"http://127.0.0.1:{port}/api/v2/monitor/health"):
            return True
        time.sleep(0.5)
    return False


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _tell(port: int, sandbox: str) -> None:
    passwords = json.loads((HOME / "simple_auth_manager_passwords.json.generated").read_text())
    _say(
        f"\n  Airflow   http://localhost:{port}   user admin, password {passwords['admin']}\n"
        f"  Sandbox   {sandbox}/_sandbox/counts   what the vendors have got\n\n"
        f"Unpause a DAG to let it run on its schedule, or trigger it by hand. Ctrl-C stops everything."
    )


def _say(sentence: str) -> None:
    sys.stdout.write(f"{sentence}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
