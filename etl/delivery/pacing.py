"""Pacing: which process of this machine may send to an endpoint, and when its next request may start.

That way the limits of connections and spacing hold across chunks, tasks and runs.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from etl import locks
from etl.errors import Interrupted
from etl.redact import host_of
from etl.shutdown import shutting_down

SAY_EVERY_S = 15.0
STALLED_S = 1800.0
"""A holder that has made no progress for so long is waited for no longer."""


class NoTurn(Exception):
    """Another run sends to the same address, for longer than this one waits; a sentence."""


@dataclass(frozen=True)
class Waiting:
    """How a run waits for its turn: what it is called, for how long, what it says and does meanwhile.

    ``alive`` is called at every step, several times a second.
    """

    name: str
    longest_s: float = 6 * 3600.0
    say: Callable[[str], None] = lambda sentence: None
    alive: Callable[[], None] = lambda: None


class EndpointLock:
    """The right to send to one endpoint, held by one process at a time; beside it stands who, and since when.

    Without a file it is the right of one who sends nothing.
    """

    def __init__(self, file: Path | None, name: str = "") -> None:
        self._file = file
        self._name = name
        self._next = _read(file)[2]
        self.progress()

    def progress(self) -> None:
        """Note for those who wait that this run goes on."""
        if self._file is not None:
            self._file.write_bytes(orjson.dumps([self._name, time.time(), self._next]))

    def book(self, spacing_s: float) -> float:
        """Book the next start; how many seconds to wait for it. By the wall clock, which all processes share."""
        now = time.time()
        start = min(max(now, self._next), now + spacing_s)  # a clock that was set back must not block for hours
        self._next = start + spacing_s
        self.progress()
        return start - now


@contextmanager
def endpoint_lock(endpoint: str, waiting: Waiting) -> Iterator[EndpointLock]:
    """Wait for the lock of an endpoint and hold it.

    Raises Interrupted when the process is asked to end meanwhile, NoTurn when another sends there for too long, and
    ConfigError when there is no safe place for locks.
    """
    name = hashlib.sha256(endpoint.encode()).hexdigest()[:16]
    folder = locks.state_folder()
    told = folder / f"{name}.json"
    lock = locks.lock(folder / f"{name}.lock")
    began = said = time.monotonic()
    while not locks.acquired(lock):
        waiting.alive()
        if shutting_down.wait(0.05):
            raise Interrupted("Ended while another run was sending to the same address; nothing was sent there.")
        waited = time.monotonic() - began
        if waited > waiting.longest_s or min(waited, _idle_s(told)) > STALLED_S:  # it may only just hold the lock
            raise NoTurn(f"{_holder(told)} has been sending to {host_of(endpoint)} for {waited:.0f} s of waiting")
        if time.monotonic() - said >= SAY_EVERY_S:
            said = time.monotonic()
            waiting.say(f"waiting for {_holder(told)}, which is sending to {host_of(endpoint)} ({waited:.0f} s so far)")
    try:
        yield EndpointLock(told, waiting.name)
    finally:
        lock.release()


def _read(file: Path | None) -> tuple[str, float, float]:
    """Who holds a lock, when it last made progress, and when the next request may start; by the wall clock."""
    try:
        name, at, free_at = orjson.loads(b"" if file is None else file.read_bytes())
        return str(name), float(at), float(free_at)
    except (OSError, ValueError, TypeError):
        return "", time.time(), 0.0


def _holder(file: Path) -> str:
    return f"run {name}" if (name := _read(file)[0]) else "another run"


def _idle_s(file: Path) -> float:
    return time.time() - _read(file)[1]
