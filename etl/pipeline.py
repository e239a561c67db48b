"""The main flow. The same stages serve the command line, a test and an Airflow task; only paths travel between them.

plan ─► prepare ─► extract ─► validate ─► transform ─► load ─► finish
                   one source, in chunks  └ per destination ┘
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from queue import SimpleQueue
from types import MappingProxyType

import pandas as pd

from etl import destinations, report
from etl.clock import Clock, wall_clock
from etl.config import Config
from etl.delivery import identity, lookups, siblings
from etl.delivery.forecast import Forecast
from etl.delivery.load import Loader
from etl.delivery.pacing import Waiting
from etl.delivery.siblings import Siblings
from etl.destinations.base import USER_AGENT, Destination
from etl.errors import ImporterError, LookupFailed
from etl.ledger import ELSEWHERE, Stop
from etl.model import Chunk, Item, RowVerdict, Status
from etl.report import Report
from etl.sources.base import Window
from etl.stages import extract, gap, plan, transform, validate
from etl.stages.plan import Job, Progress
from etl.staging import cache, items_of

log = logging.getLogger("conversions")


def run(
    config: Config,
    import_name: str,
    *,
    window: Window | None = None,
    to: Sequence[str] | None = None,
    limit: int | None = None,
    stops: Mapping[str, Stop] = MappingProxyType({}),
    clock: Clock = wall_clock,
    progress: Progress = lambda name, rows: None,
) -> Report:
    """Run an import from its source to its results. Raises ConfigError when there is a window and no place for it.

    ``limit``: send each destination so many rows, the first that would be sent, and read no further, see
    `deliver_first`.
    ``stops``: destinations that stopped just now and are not tried again, and why.
    """
    plan.check_window(config, import_name, window)
    job = plan.start(config, import_name, window=window, to=to)
    job = replace(job, clock=clock, progress=progress, limit=limit)
    with job.ledger:
        try:
            for name in stops.keys() & {*job.destinations}:
                job.ledger.runs.stop_destination(job.run.run_no, name, stops[name])
            prepare(job)
            extracted = extract.stage(job, window or Window())
            if limit is None:
                deliver(job, validate.stage(job, extracted))
            else:
                deliver_first(job, validate.judged(job, extracted), limit)
        except ImporterError as error:
            return finish(job, stopped=str(error))
        except BaseException as error:
            job.ledger.runs.finish(job.run.run_no, f"The run was ended by {type(error).__name__}.")
            raise
        return finish(job)


def prepare(job: Job, names: Sequence[str] | None = None) -> None:
    """Let every destination (or those named) look up what it needs, side by side.

    One that cannot stops alone, with nothing sent.
    """
    fetch = lookups.fetcher(cache(job.config.staging_url), USER_AGENT)

    def look_up(name: str) -> None:
        destination = destinations.make_destination(job.config, name)
        try:
            if warning := identity.judge(destination, job.ledger, lambda url: lookups.reach(url, USER_AGENT).headers):
                job.warn(f"identity-{name}", [warning])
            job.staging.write_value(f"lookup-{job.run.run_id}-{name}", destination.prepare(fetch))
        except LookupFailed as error:
            stop = Stop(error.reason, f"{destination.facts.title} stopped before anything was sent: {error}")
            job.ledger.runs.stop_destination(job.run.run_no, name, stop)

    stopped = job.ledger.runs.stops(job.run.run_no)
    wanted = job.destinations if names is None else names
    side_by_side(look_up, [name for name in wanted if name not in stopped])


def load(job: Job, name: str, chunk: Chunk) -> None:
    """Deliver one chunk of items to its destination; every item ends in the ledger."""
    deliver_items(job, name, job.staging.items(chunk), chunk.index, force_unknown=False)


def deliver(job: Job, chunks: Iterable[Chunk]) -> None:
    """Transform and load the chunks as they come, destinations side by side, none waiting for another."""
    queues: dict[str, SimpleQueue[Chunk | None]] = {name: SimpleQueue() for name in job.destinations}

    def deliver_queued(name: str) -> None:
        while (chunk := queues[name].get()) is not None:
            load(job, name, transform.stage(job, name, chunk))

    def fill_queues() -> None:
        try:
            for chunk in chunks:
                for queue in queues.values():
                    queue.put(chunk)
        finally:
            for queue in queues.values():
                queue.put(None)

    side_by_side(deliver_queued, job.destinations, meanwhile=fill_queues)


def deliver_first(job: Job, judged: Generator[tuple[Chunk, list[RowVerdict]]], limit: int) -> None:
    """Send each destination the first ``limit`` rows that it would be sent, and read as far as that takes.

    What comes after the last of them has no result and does not count as read.
    """
    stopped = job.ledger.runs.stops(job.run.run_no)
    first = {name: FirstRows(job, name, limit) for name in job.destinations if name not in stopped}
    for chunk, rejected in judged:
        waiting = [name for name, each in first.items() if each.missing]
        frame = job.staging.frame(chunk)
        side_by_side(lambda name: first[name].deliver(chunk, frame, rejected), waiting)  # noqa: B023 (done at once)
        if not any(each.missing for each in first.values()):
            break
    judged.close()
    rows = {name: first[name].rows if name in first else 0 for name in job.destinations}
    job.ledger.runs.record_rows_read(job.run.run_no, rows)


@dataclass
class FirstRows:
    """The first rows of a run that one destination would be sent, chunk by chunk, until there are enough of them."""

    job: Job
    name: str
    missing: int
    rows: int = 0
    """How many rows have a result by now."""

    def __post_init__(self) -> None:
        self.destination = self.job.destination(self.name)
        self.forecast = Forecast(self.destination, self.job.clock(), self.job.ledger)

    def deliver(self, chunk: Chunk, conversions: pd.DataFrame, rejected: Sequence[RowVerdict]) -> None:
        """Bring the rows of a chunk to their last word, up to the last that is wanted."""
        conversions, unclear = gap.apart(self.job.ledger, self.destination, conversions)
        made = transform.transformed(conversions, self.destination, self.job.settings)
        going = self.forecast.chunk(items_of(made.items)).going[: self.missing]
        self.missing -= len(going)
        last = going[-1].row_number if going and not self.missing else math.inf
        unsent = [row for row in (*rejected, *unclear, *made.not_taken) if row.row_number <= last]
        items = [item for item in items_of(made.items) if item.row_number <= last]
        self.job.record_unsent([self.name], unsent)
        deliver_items(self.job, self.name, items, chunk.index, force_unknown=False)
        self.rows += len(unsent) + len(items)


def deliver_staged(job: Job, staged: Mapping[str, Sequence[Chunk]]) -> None:
    """Load chunks of items that are all built already, destinations side by side."""

    def deliver_all(name: str) -> None:
        for chunk in staged[name]:
            load(job, name, chunk)

    side_by_side(deliver_all, list(staged))


def finish(job: Job, stopped: str = "") -> Report:
    """Close the run, count it and check the sum. Raises SumMismatch."""
    with job.ledger:
        job.ledger.runs.finish(job.run.run_no, stopped)
        finished = replace(report.of(job.ledger, job.ledger.runs.get(job.run.run_id)), warnings=job.warnings())
        if not stopped:
            _move_watermark(job, finished)
    for name, stop in finished.stops.items():
        log.error("%s: %s", name, stop.detail)
    return finished


def _move_watermark(job: Job, finished: Report) -> None:
    """Record how far an incremental source has been read, once no row up to there needs the next run any more."""
    watermark = job.staging.read_value(extract.WATERMARK) if job.run.kind == "import" else None
    if not watermark:
        return
    everywhere = set(job.settings.to) <= set(finished.counts)
    if everywhere and not any(_needs_next_run(job, name, counts) for name, counts in finished.counts.items()):
        job.ledger.watermarks.move(job.run.import_name, watermark, job.run.run_id)


def _needs_next_run(job: Job, name: str, counts: report.Counts) -> bool:
    """True while the next run would send some of these rows: failed ones, those of a run that may be dead."""
    again = {Status.FAILED.value}
    if destinations.make_destination(job.config, name).facts.repeatable:
        again.add(Status.UNKNOWN.value)
    return any(rows and (status in again or (status, reason) == ELSEWHERE) for (status, reason), rows in counts.items())


def deliver_items(job: Job, name: str, items: Sequence[Item], index: int, *, force_unknown: bool) -> None:
    """Bring the items of a chunk to their last word; ``force_unknown``: also send again what may have been accepted."""
    began = time.monotonic()
    destination = job.destination(name)
    loader = Loader(
        destination,
        job.ledger,
        job.run.run_no,
        job.clock,
        force_unknown=force_unknown,
        progress=lambda rows: job.progress(name, rows),
        waiting=Waiting(job.run.run_id, job.config.wait_for_turn_s, lambda said: log.info("%s: %s", name, said)),
        secrets=job.secrets,
        siblings=_siblings(job, destination, items, index) if destination.in_order else None,
    )
    loader.load(items)
    log.info("%s: %d items in %.1f s%s", name, len(items), time.monotonic() - began, ", stopped" if loader.stop else "")


def _siblings(job: Job, destination: Destination, items: Sequence[Item], index: int) -> Siblings:
    """What is known of rows of other chunks, and of the run that this one repeats, that bear on these items.

    The ties of every chunk are staged before it is delivered, so that a task of its own finds those of the others.
    """
    own = job.staging.write(_ties_of(job.run.run_id, destination), index, siblings.staged(destination, items))
    runs = [job.run, *([job.ledger.runs.get(job.run.retry_of)] if job.run.retry_of else [])]
    chunks = [chunk for run in runs for chunk in job.staging.chunks(_ties_of(run.run_id, destination))]
    others = (job.staging.frame(chunk) for chunk in chunks if chunk.path != own.path)
    return siblings.found(destination, job.ledger, [run.run_no for run in reversed(runs)], items, others)


def _ties_of(run_id: str, destination: Destination) -> str:
    return f"ties-{run_id}/{destination.name}"


def side_by_side(
    work: Callable[[str], None], names: Sequence[str], meanwhile: Callable[[], None] = lambda: None
) -> None:
    """Run ``work`` for every name in a thread of its own; all finish before the first error is raised."""
    with ThreadPoolExecutor(max_workers=max(len(names), 1), thread_name_prefix="destination") as pool:
        futures: list[Future[None]] = [pool.submit(work, name) for name in names]
        meanwhile()
    for future in futures:
        future.result()
