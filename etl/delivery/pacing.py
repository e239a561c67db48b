"""Pacing: which process of this machine may send to an endpoint, and when its next request may start.

That way the limits of connections and spacing hold across chunks, tasks and runs.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from etl.delivery.shutdown import shutting_down
from etl.errors import Interrupted


class EndpointLock:
    """The right to send to one endpoint, held by one process at a time. Its file keeps the next request's start."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def book(self, spacing_s: float) -> float:
        """Book the next start; how many seconds to wait for it. By the wall clock, which all processes share."""
        now = time.time()
        self._file.seek(0)
        booked = self._file.read(32)
        free_at = float(booked) if booked else now
        start = min(max(now, free_at), now + spacing_s)  # a clock that was set back must not block for hours
        self._file.seek(0)
        self._file.write(f"{start + spacing_s:.3f}".ljust(31).encode())
        self._file.flush()
        return start - now


@contextmanager
def endpoint_lock(endpoint: str) -> Iterator[EndpointLock]:
    """Wait for the lock of an endpoint and hold it. Raises Interrupted when the process is asked to end meanwhile."""
    folder = Path(tempfile.gettempdir()) / f"offline-conversions-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    name = hashlib.sha256(endpoint.encode()).hexdigest()[:16]
    descriptor = os.open(folder / f"{name}.lane", os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        while not _try_lock(file):
            if shutting_down.wait(0.05):
                raise Interrupted("Ended while another run was sending to the same address; nothing was sent there.")
        yield EndpointLock(file)


def _try_lock(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
