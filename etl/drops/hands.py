"""Hands: of several rounds on one inbox one works a file.

On one machine a lock says whose it is, for as long as its process lives; between machines the ledger does, where each
state of a file is written down only by who wrote the one before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from etl import locks
from etl.drops.values import FileInTransit
from etl.errors import ImporterError
from etl.ledger import FileInfo, Ledger


class TakenOver(ImporterError):
    """Another process has taken the file over, for this one had given no sign of life for longer than its lease."""


@contextmanager
def held(ledger: Ledger, import_name: str, sha256: str) -> Iterator[bool]:
    """True while no other process of this machine works on this content for this import, nor can begin to."""
    name = hashlib.sha256(f"{ledger.database.url}\n{import_name}\n{sha256}".encode()).hexdigest()[:16]
    lock = locks.lock(locks.state_folder() / f"drop-{name}.lock")
    if not locks.acquired(lock):
        yield False
        return
    try:
        yield True
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def still_ours(transit: FileInTransit) -> None:
    """Raise TakenOver where the ledger holds another state of the file than this process wrote down."""
    if transit.ledger.files.find(transit.entry.import_name, transit.entry.sha256) != transit.entry:
        raise _taken_over(transit)


def marked(transit: FileInTransit, entry: FileInfo) -> FileInTransit:
    """The file with its new state, which is written down. Raises TakenOver."""
    if not transit.ledger.files.take(entry, transit.entry):
        raise _taken_over(transit)
    return replace(transit, entry=entry)


def _taken_over(transit: FileInTransit) -> TakenOver:
    return TakenOver(f"{transit.file.shown} was taken over by another process, which answers it and moves it away.")
