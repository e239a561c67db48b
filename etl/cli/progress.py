"""How far a command is: bars on a terminal, the log's line per chunk elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn


@contextmanager
def progress_bars(err: Console) -> Iterator[Callable[[str, int], None]]:
    """``progress(name, rows)`` as bars on a terminal; elsewhere, and with -v, the log's line per chunk."""
    if logging.getLogger("conversions").isEnabledFor(logging.INFO):
        yield lambda name, rows: None
        return
    if not err.is_terminal:
        with _log_lines(err):
            yield lambda name, rows: None
        return
    rows = TextColumn("{task.completed:,.0f} rows")
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), rows, TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as bars:
        yield _Bars(bars).advance


class _Bars:
    """One bar for reading, one per destination; each is as long as what has been read so far."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {"read": bars.add_task("read", total=None)}
        self._read = 0

    def advance(self, name: str, rows: int) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, total=self._read or None)
        if name == "read":
            self._read += rows
            for task in self._tasks.values():
                self._bars.update(task, total=self._read)
        self._bars.advance(self._tasks[name], rows)


@contextmanager
def _log_lines(err: Console) -> Iterator[None]:
    """Lines about chunks for as long as the block runs. What stopped a destination is told at the end instead."""
    log = logging.getLogger("conversions")
    handler = logging.StreamHandler(err.file)
    handler.addFilter(lambda record: record.levelno < logging.WARNING)
    before = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before[0])
        log.propagate = before[1]
