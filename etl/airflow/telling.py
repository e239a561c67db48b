"""What tasks write into their logs: why rows are not delivered and what to do, and that a long wait goes on."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from typing import Self

from etl import destinations
from etl.model import GOOD, Chunk, RowVerdict, Status
from etl.stages.plan import Job

log = logging.getLogger("conversions")

EVERY_S = 15.0
"""How long a task that waits may say nothing."""

_GOOD = {status.value for status in GOOD}
Said = tuple[str, str]
"""(status, reason)."""


@dataclass(frozen=True)
class CountingJob(Job):
    """A job that counts what is said of the rows that are never sent."""

    unsent: Counter[Said] = field(default_factory=Counter)

    @classmethod
    def of(cls, job: Job) -> Self:
        """The same job, counting."""
        return cls(**{each.name: getattr(job, each.name) for each in fields(Job)})

    def record_unsent(self, names: Sequence[str], rows: Sequence[RowVerdict]) -> None:
        """See `Job.record_unsent`."""
        self.unsent.update((row.verdict.status.value, row.verdict.reason) for row in rows)
        Job.record_unsent(self, names, rows)


def reasons(who: str, counts: Mapping[Said, int]) -> None:
    """One line for every reason why rows of somebody are not delivered: how many, what it means, what to do."""
    bad = [(rows, said) for said, rows in counts.items() if rows and said[0] not in _GOOD]
    for rows, (status, code) in sorted(bad, reverse=True):
        known = destinations.find_reason(code)
        log.warning("%s: %d %s, %s.%s", who, rows, status, code, f" {known.detail}" if known else "")


def reasons_of_chunk(job: Job, destination: str, chunk: Chunk) -> None:
    """The same for the rows of a chunk that one destination was to get."""
    numbers = job.staging.frame(chunk, []).index
    if not len(numbers):
        return
    first, last = int(numbers.min()), int(numbers.max())
    said = job.ledger.results.row_results([job.run.run_no], [destination], first, last)[destination]
    reasons(destination, Counter((str(Status(each.status)), each.reason) for each in said.values()))


@contextmanager
def progress(job: Job, who: str, rows: int) -> Iterator[Job]:
    """A job whose progress at ``who`` is a line in the log every `EVERY_S` seconds, above all while nothing happens."""
    done = 0
    last = time.monotonic()
    ended = threading.Event()

    def count(name: str, more: int) -> None:
        nonlocal done, last
        done, last = done + more, time.monotonic()
        job.progress(name, more)

    def tell() -> None:
        while not ended.wait(EVERY_S):
            silent = time.monotonic() - last
            waits = f"; no answer for {silent:.0f} s, it is slow, busy or away" if silent >= EVERY_S else ""
            log.info("%s: %d of %d rows have their last word%s", who, done, rows, waits)

    telling = threading.Thread(target=tell, name="progress", daemon=True)
    telling.start()
    try:
        yield replace(job, progress=count)
    finally:
        ended.set()
        telling.join()
