"""Whether this process is asked to end. One event per process, as signals are; set by who handles the signals."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

GRACE_S = 5.0
"""How long after it was asked to end a process may still wait for what others hold."""

_STEP_S = 0.05


class _Asked(threading.Event):
    """An event that knows since when it is set."""

    _since = 0.0

    def set(self) -> None:
        """Ask the process to end; the first time counts."""
        if not self.is_set():
            self._since = time.monotonic()
        super().set()

    @property
    def is_overdue(self) -> bool:
        """True when the process should have ended by now, and nothing is waited for any more."""
        return self.is_set() and time.monotonic() - self._since > GRACE_S


shutting_down = _Asked()
"""Set when this process is asked to end: nothing new is started, and what is on the wire is waited for briefly."""


def pause(seconds: float) -> bool:
    """Wait so long; False when it was cut short, for the process should have ended by now."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        if shutting_down.is_overdue:
            return False
        time.sleep(min(_STEP_S, left))
    return not shutting_down.is_overdue


def tries(seconds: float) -> Iterator[None]:
    """Something to try again and again, with short pauses, for so long, or until the process should have ended."""
    until = time.monotonic() + seconds
    yield
    while time.monotonic() < until and pause(_STEP_S):
        yield
