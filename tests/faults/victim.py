"""Runs the command line in processes that die on request. Only tests start it: production code knows nothing of it.

``python -m tests.faults.victim`` imports everything once and then forks one child per line of standard input, so that
hundreds of deaths cost no hundred starts. A line is JSON: ``{"args": ["run", …], "step": "claim:after", "nth": 3}``
kills the child by SIGKILL when it comes to that step for the nth time, ``{"args": […], "after_s": 0.2}`` at that
moment, and without either it lives. ``{"asleep_s": 1.2}`` makes it fall asleep (SIGSTOP) at the step instead, or at the
moments ``{"stops": [0.1, 0.5]}``, for so long and until a file ``{"until": PATH}`` is there. ``{"ahead_s": 1200}`` is
a wall clock that is ahead, and ``{"jump": [0.3, -1200]}`` one that jumps; ``{"most_bytes": 100000}`` is a disk that
is full for files of that size. The answer is the exit code, negative for a signal, and how often it slept.

Steps are ``before``, ``inside`` (within the transaction, or with the request on the wire) and ``after`` of what is
named in `WRAPPED`.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from etl import cli, destinations, pipeline, sources, tables
from etl.delivery import connection
from etl.ledger.claims import Claims
from etl.ledger.entries import Entries
from etl.ledger.runs import Runs
from etl.ledger.watermarks import Watermarks
from etl.staging import Staging

IMPORTED = [
    pipeline,
    tables,
    *map(destinations.find, destinations.types()),
    *map(sources.find, sources.types()),
]
"""What a child need not import again."""

WRAPPED: dict[str, tuple[type, str]] = {
    "open": (Runs, "open"),
    "stage": (Staging, "write"),
    "note": (Claims, "record_unsent"),
    "claim": (Claims, "claim"),
    "send": (connection.VendorConnection, "_send_once"),
    "record": (Claims, "record"),
    "read": (Runs, "record_rows_read"),
    "finish": (Runs, "finish"),
    "watermark": (Watermarks, "move"),
    "position": (Staging, "write_value"),
}
NOT_ALWAYS = {"watermark", "position"}
"""Only an incremental source comes to these, or comes to them for its own sake."""
INSIDE: dict[str, tuple[type, str]] = {"claim": (Entries, "insert"), "record": (Entries, "overwrite_verdicts")}
STEPS = [f"{name}:{when}" for name in WRAPPED if name not in NOT_ALWAYS for when in ("before", "after")]
STEPS += [f"{name}:inside" for name in INSIDE]


def end(how: int) -> None:
    """As the kernel ends a process, or stops it: nothing is tidied up."""
    os.kill(os.getpid(), how)


def set_clock(ahead_s: float, jump: list[float]) -> None:
    """This process's wall clock is so far ahead; after ``jump[0]`` seconds it is ``jump[1]`` seconds farther."""
    seconds, nanoseconds, ahead = time.time, time.time_ns, [ahead_s]
    time.time = lambda: seconds() + ahead[0]
    time.time_ns = lambda: nanoseconds() + int(ahead[0] * 1e9)
    if jump:
        later = threading.Timer(jump[0], lambda: ahead.__setitem__(0, ahead_s + jump[1]))
        later.daemon = True
        later.start()


class Fuse:
    """Counts the times that one step is come to, in all threads, and dies, or falls asleep, at the nth."""

    def __init__(self, step: str, nth: int, how: int = signal.SIGKILL) -> None:
        self._step, self._left, self._how, self._lock = step, nth, how, threading.Lock()

    def come_to(self, step: str) -> None:
        """This step is reached."""
        if step == self._step:
            with self._lock:
                self._left -= 1
                if self._left == 0:
                    end(self._how)

    def lay(self) -> None:
        """Wrap what the step is about."""
        name, _, when = self._step.partition(":")
        where, method = (INSIDE if when == "inside" else WRAPPED)[name]
        setattr(where, method, self._wrapped(getattr(where, method), name, inside=when == "inside"))

    def _wrapped(self, work: Callable[..., Any], name: str, *, inside: bool) -> Callable[..., Any]:
        before, after = f"{name}:before", f"{name}:{'inside' if inside else 'after'}"

        @functools.wraps(work)
        def done(*args: Any, **kwargs: Any) -> Any:
            self.come_to(before)
            found = work(*args, **kwargs)
            self.come_to(after)
            return found

        @functools.wraps(work)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            self.come_to(before)
            found = await work(*args, **kwargs)
            self.come_to(after)
            return found

        return awaited if asyncio.iscoroutinefunction(work) else done


def live(order: dict[str, Any]) -> int:
    """In the child: run the command, and die on the way if that is ordered."""
    quiet = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1) if order.get("stderr") else (0, 1, 2):
        os.dup2(quiet, number)
    if "ahead_s" in order or "jump" in order:
        set_clock(order.get("ahead_s", 0.0), order.get("jump", []))
    if "most_bytes" in order:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["most_bytes"],) * 2)
    if "step" in order:
        Fuse(order["step"], order["nth"], signal.SIGSTOP if "asleep_s" in order else signal.SIGKILL).lay()
    return int(cli.app(order["args"], standalone_mode=False) or 0)


def serve() -> None:
    """Fork one child per line, until standard input ends."""
    assert threading.active_count() == 1, "a process with threads must not be forked"
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            code = 99
            try:
                code = live(order)
            finally:
                os._exit(code)
        if "after_s" in order:
            time.sleep(order["after_s"])
            os.kill(child, order.get("signal", signal.SIGKILL))
        sys.stdout.write(json.dumps(attended(child, order)) + "\n")
        sys.stdout.flush()


def attended(child: int, order: dict[str, Any]) -> tuple[int, int]:
    """Its exit code and how often it slept: what has stopped is woken up after a while, or when a file is there."""
    began, slept, stops = time.monotonic(), 0, sorted(order.get("stops", []))
    while True:
        found, status = os.waitpid(child, os.WUNTRACED | (os.WNOHANG if stops else 0))
        if found and os.WIFSTOPPED(status):
            slept += 1
            if "until" in order:
                Path(f"{order['until']}.asleep").touch()
            time.sleep(order["asleep_s"])
            while "until" in order and not Path(order["until"]).exists():
                time.sleep(0.02)
            os.kill(child, signal.SIGCONT)
        elif found:
            return os.waitstatus_to_exitcode(status), slept
        elif stops and time.monotonic() - began > stops[0]:
            stops.pop(0)
            os.kill(child, signal.SIGSTOP)
        else:
            time.sleep(0.002)


if __name__ == "__main__":
    serve()
