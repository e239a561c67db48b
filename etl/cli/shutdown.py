"""Ctrl-C and SIGTERM while a command delivers: the run ends in good order."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from etl.cli.program import say
from etl.errors import Interrupted

if TYPE_CHECKING:
    from etl.stages.plan import Progress


@contextmanager
def graceful_shutdown(progress: Progress) -> Iterator[tuple[Progress, Callable[[int], int]]]:
    """A progress that ends the run in good order after Ctrl-C or SIGTERM, and what makes an exit code of that.

    Nothing more is sent, what is on the wire has a few seconds to be answered, all of it is recorded. Everybody who
    works reports progress, so that is where they are stopped. A second signal ends the program at once.
    """

    from etl.shutdown import shutting_down

    got: list[int] = []

    def report(name: str, rows: int) -> None:
        progress(name, rows)
        if got:
            how = "Interrupted by Ctrl-C" if got[0] == signal.SIGINT else "Ended by SIGTERM"
            raise Interrupted(f"{how}; the next run sends what is missing.")

    def stop(number: int, frame: object) -> None:
        if got:
            os._exit(128 + number)  # the ledger says `unknown` of what is on the wire
        got.append(number)
        shutting_down.set()
        say("finishing what is on the wire; Ctrl-C again to leave at once.")

    def code(otherwise: int) -> int:
        return 128 + got[0] if got else otherwise

    if threading.current_thread() is not threading.main_thread():
        yield report, code
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield report, code
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        shutting_down.clear()
