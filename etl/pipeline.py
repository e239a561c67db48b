"""The main flow. The same stage functions serve the command line, a test and an Airflow task; only paths travel.

start ─► prepare ─► extract ─► validate ─► transform ─► load ─► finish
                    one source, in chunks  └ per destination ┘
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from queue import SimpleQueue

import etl.check
import etl.extract
import etl.transform
import etl.validate
from etl import report, transport, tuning
from etl.config import Config, ImportSettings
from etl.destinations.base import USER_AGENT, Destination
from etl.errors import ConfigError, ImporterError, LookupFailed, SourceChanged
from etl.ledger import ELSEWHERE, Ledger, RunInfo, Stop
from etl.load import Loader
from etl.model import Checked, Chunk, Item, Noted, Status
from etl.report import Report
from etl.sources.base import Source, Window
from etl.staging import Staging, cache, clear

log = logging.getLogger("conversions")

POSITION = "position"
"""Under what name a run stages how far its source was read."""

Progress = Callable[[str, int], None]
"""``progress(name, rows)``: so many more rows are through; name is ``read`` or a destination."""


def wall_clock() -> int:
    """Epoch milliseconds now."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Job:
    """One run of one import: what every stage needs to know. Rebuilt from the run id in every Airflow task."""

    config: Config
    run: RunInfo
    ledger: Ledger
    clock: Callable[[], int] = wall_clock
    progress: Progress = field(default=lambda name, rows: None)
    source: Source | None = None
    """What is read instead of the import's own source: one dropped file."""

    @cached_property
    def settings(self) -> ImportSettings:
        """The import's entry in imports.yaml."""
        return self.config.an_import(self.run.import_name)

    @cached_property
    def staging(self) -> Staging:
        """This run's staged files; a retry reads those of the run it repeats."""
        return Staging(self.config.staging_url, self.run.retry_of or self.run.run_id)

    @cached_property
    def destinations(self) -> list[str]:
        """Where this run delivers to."""
        return self.ledger.destinations(self.run.run_no)

    def destination(self, name: str) -> Destination:
        """A destination with what it looked up for this run."""
        return self.config.destination(name, self.staging.noted(f"lookup-{self.run.run_id}-{name}"))


# -- the flow


def run(
    config: Config,
    import_name: str,
    *,
    window: Window | None = None,
    to: Sequence[str] | None = None,
    clock: Callable[[], int] = wall_clock,
    progress: Progress = lambda name, rows: None,
) -> Report:
    """Run an import from its source to its results. Raises ConfigError when there is a window and no place for it."""
    _judge_window(config, import_name, window)
    job = replace(start(config, import_name, window=window, to=to), clock=clock, progress=progress)
    with job.ledger:
        try:
            prepare(job)
            deliver(job, validate(job, extract(job, window or Window())))
        except ImporterError as error:
            return finish(job, stopped=str(error))
        except BaseException as error:
            job.ledger.finish_run(job.run.run_no, f"The run was ended by {type(error).__name__}.")
            raise
        return finish(job)


def start(config: Config, import_name: str, *, window: Window | None = None, to: Sequence[str] | None = None) -> Job:
    """Judge the settings and write the run down. Raises ConfigError, LedgerError."""
    return _begun(config, import_name, config.source(import_name).describe(), "import", window or Window(), to)


def start_file(config: Config, import_name: str, source: Source, name: str) -> Job:
    """Like `start`, for one dropped file; ``name`` is what people call it."""
    return replace(_begun(config, import_name, name, "drop", Window(), None), source=source)


def _begun(config: Config, import_name: str, source: str, kind: str, window: Window, to: Sequence[str] | None) -> Job:
    names = _chosen(config, config.an_import(import_name).to, to)
    for name in names:
        config.destination(name)
    _clear_staged(config)
    ends = tuple(None if end is None else int(end.timestamp() * 1000) for end in (window.start, window.end))
    with _handed_on(config) as ledger:
        opened = ledger.open_run(
            kind=kind,
            import_name=import_name,
            source=source,
            destinations=names,
            window_ms=(ends[0], ends[1]),
        )
        return Job(config, opened, ledger)


def resume(config: Config, run_id: str) -> Job:
    """A job that another process started."""
    with _handed_on(config) as ledger:
        return Job(config, ledger.run(run_id), ledger)


def prepare(job: Job) -> None:
    """Let every destination look up what it needs, side by side; one that cannot stops alone, with nothing sent."""
    fetch = transport.fetcher(cache(job.config.staging_url), USER_AGENT)

    def look_up(name: str) -> None:
        destination = job.config.destination(name)
        try:
            job.staging.note(f"lookup-{job.run.run_id}-{name}", destination.prepare(fetch))
        except LookupFailed as error:
            stop = Stop(error.reason, f"{destination.facts.title} stopped before anything was sent: {error}")
            job.ledger.stop_destination(job.run.run_no, name, stop)

    side_by_side(look_up, job.destinations)


def extract(job: Job, window: Window) -> Iterator[Chunk]:
    """Stage the source chunk by chunk, and note how many rows there were.

    May be repeated in one run, over the same rows: results are found by row number. Raises SourceChanged for others.
    """
    source = job.source or job.config.source(job.run.import_name)
    if source.incremental:
        source.position = job.ledger.watermark(job.run.import_name)
    before = _with_results(job)
    earlier = sum(chunk.rows for chunk in before)
    rows = 0
    try:
        frames = etl.extract.frames(source, window, job.settings.columns, job.settings.chunk_rows)
        for index, frame in enumerate(frames):
            if index < len(before) and not job.staging.is_same(before[index], frame):
                rows = earlier
                raise SourceChanged(_changed(source))
            chunk = job.staging.write("extracted", index, frame)
            rows += chunk.rows
            job.progress("read", chunk.rows)
            log.info("%s: chunk %d, %d rows read", job.run.import_name, index, chunk.rows)
            yield chunk
        if rows < earlier:
            rows = earlier
            raise SourceChanged(_changed(source))
        if source.incremental:
            job.staging.note(POSITION, source.position)
    finally:
        job.ledger.rows_read(job.run.run_no, dict.fromkeys(job.destinations, rows))


def _with_results(job: Job) -> list[Chunk]:
    """What an earlier try of this run staged, when rows of it have results already."""
    staged = job.staging.chunks("extracted")
    return staged if staged and any(job.ledger.counts(job.run.run_no).values()) else []


def _changed(source: Source) -> str:
    return (
        f"{source.describe()}: the source is no longer what this run has read, and rows of it have results already. "
        "Clear the DAG run from `start`, so that a new run begins; what was delivered is not sent again."
    )


def validate(job: Job, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """Judge every row, in order: conversions are staged, the others noted for every destination."""
    settings = job.settings
    with etl.validate.Seen() as seen:
        for chunk in chunks:
            rules = etl.validate.Rules.of(settings, job.clock())
            good, noted = etl.validate.conversions(job.staging.frame(chunk), rules, seen)
            note(job, job.destinations, noted)
            yield job.staging.write("conversions", chunk.index, good)


def transform(job: Job, name: str, chunk: Chunk) -> Chunk:
    """One chunk in one vendor's words; rows it does not take are noted."""
    destination = job.destination(name)
    frame = job.staging.frame(chunk)
    if name in job.ledger.stops(job.run.run_no):
        return job.staging.write(f"items/{name}", chunk.index, etl.transform.unsent(frame))
    table, noted = etl.transform.items(frame, destination)
    note(job, [name], noted)
    return job.staging.write(f"items/{name}", chunk.index, table)


def load(job: Job, name: str, chunk: Chunk) -> None:
    """Deliver one chunk of items to its destination; every item ends in the ledger."""
    deliver_items(job, name, job.staging.items(chunk), insist=False)


def deliver(job: Job, chunks: Iterable[Chunk]) -> None:
    """Transform and load the chunks as they come, destinations side by side, none waiting for another."""
    queues: dict[str, SimpleQueue[Chunk | None]] = {name: SimpleQueue() for name in job.destinations}

    def serve(name: str) -> None:
        while (chunk := queues[name].get()) is not None:
            load(job, name, transform(job, name, chunk))

    def feed() -> None:
        try:
            for chunk in chunks:
                for queue in queues.values():
                    queue.put(chunk)
        finally:
            for queue in queues.values():
                queue.put(None)

    side_by_side(serve, job.destinations, meanwhile=feed)


def deliver_staged(job: Job, staged: Mapping[str, Sequence[Chunk]]) -> None:
    """Load chunks of items that are all built already, destinations side by side."""

    def serve(name: str) -> None:
        for chunk in staged[name]:
            load(job, name, chunk)

    side_by_side(serve, list(staged))


def finish(job: Job, stopped: str = "") -> Report:
    """Close the run, count it and check the sum. Raises SumMismatch."""
    with job.ledger:
        job.ledger.finish_run(job.run.run_no, stopped)
        counted = report.of(job.ledger, job.ledger.run(job.run.run_id))
        if not stopped:
            _move_watermark(job, counted)
    for name, stop in counted.stops.items():
        log.error("%s: %s", name, stop.detail)
    return counted


def _move_watermark(job: Job, counted: Report) -> None:
    """Note how far an incremental source has been read, once no row up to there needs the next run any more."""
    position = job.staging.noted(POSITION) if job.run.kind == "import" else None
    if not position:
        return
    everywhere = set(job.settings.to) <= set(counted.counts)
    if everywhere and not any(_unsettled(job, name, counts) for name, counts in counted.counts.items()):
        job.ledger.move_watermark(job.run.import_name, position, job.run.run_id)


def _unsettled(job: Job, name: str, counts: report.Counts) -> bool:
    """True while the next run would send some of these rows: failed ones, those of a run that may be dead."""
    again = {Status.FAILED.value}
    if job.config.destination(name).facts.repeatable:
        again.add(Status.UNKNOWN.value)
    return any(rows and (status in again or (status, reason) == ELSEWHERE) for (status, reason), rows in counts.items())


def check(
    config: Config,
    import_name: str | None = None,
    *,
    file: str | None = None,
    window: Window | None = None,
    to: Sequence[str] | None = None,
    clock: Callable[[], int] = wall_clock,
) -> dict[str, Checked]:
    """Validate and build everything of an import, or of a CSV ``file`` with canonical columns; send nothing.

    Lookups are made. The ledger is neither read nor written.
    """
    if file is not None:
        settings = ImportSettings(source={"type": "csv", "path": file}, to=list(to or config.destination_names))
        source = config.a_source(settings.source, "FILE")
    else:
        settings = config.an_import(import_name or "")
        source = config.source(import_name or "")
        _judge_window(config, import_name or "", window)
    chosen = {name: config.destination(name) for name in _chosen(config, settings.to, to)}
    stopped: dict[str, str] = {}
    fetch = transport.fetcher(cache(config.staging_url), USER_AGENT)
    for name, destination in list(chosen.items()):
        try:
            chosen[name] = config.destination(name, destination.prepare(fetch))
        except LookupFailed as error:
            stopped[name] = str(error)
    rules = etl.validate.Rules.of(settings, clock())
    frames = etl.extract.frames(source, window or Window(), settings.columns, settings.chunk_rows)
    return etl.check.destinations(frames, rules, chosen, stopped)


# -- pieces


def _clear_staged(config: Config) -> None:
    """Staged rows hold people's data and are kept no longer than needed; that some stay stops no run."""
    before = datetime.now(UTC) - timedelta(days=config.file.keep_staged_days)
    try:
        cleared = clear(config.staging_url, before)
    except OSError as error:
        log.warning("staged files from before %s could not be deleted: %s", before.date(), error.strerror or "")
        return
    if cleared:
        log.info("deleted the staged files of %d runs from before %s", len(cleared), before.date())


def _judge_window(config: Config, import_name: str, window: Window | None) -> None:
    """A schedule's window is offered to every source; one that a person names must change what is read."""
    if window is not None and not config.source(import_name).uses_window:
        raise ConfigError(
            f"imports.{import_name}.source: reads the same rows whatever --from and --until say; leave them out, or "
            "put {start:%Y-%m-%d} into the path, or :start and :end into the query."
        )


def opened(config: Config) -> Ledger:
    """The ledger, with the process ready to stream."""
    tuning.for_streaming()
    return Ledger(config.ledger_url).open()


@contextmanager
def _handed_on(config: Config) -> Iterator[Ledger]:
    """The ledger for a job, which closes it at its end; closed here when it comes to no job."""
    ledger = opened(config)
    try:
        yield ledger
    except BaseException:
        ledger.close()
        raise


def deliver_items(job: Job, name: str, items: Sequence[Item], insist: bool) -> None:
    """Bring items to their last word; ``insist``: a person wants even those that may have been accepted sent again."""
    began = time.monotonic()
    loader = Loader(
        job.destination(name),
        job.ledger,
        job.run.run_no,
        job.clock,
        insist=insist,
        progress=lambda rows: job.progress(name, rows),
    )
    loader.load(items)
    log.info("%s: %d items in %.1f s%s", name, len(items), time.monotonic() - began, ", stopped" if loader.stop else "")


def note(job: Job, names: Sequence[str], noted: Noted) -> None:
    """Write down what is never sent, for each of these destinations."""
    job.ledger.note(job.run.run_no, names, noted)
    for name in names:
        job.progress(name, len(noted))


def _chosen(config: Config, configured: Sequence[str], wanted: Sequence[str] | None) -> list[str]:
    if wanted is None:
        return list(configured)
    for name in wanted:
        if name not in configured:
            config.destination(name)  # says so if there is none of that name at all
            raise ConfigError(f"--to {name}: this import does not deliver there (it does to {', '.join(configured)}).")
    return list(wanted)


def side_by_side(
    work: Callable[[str], None], names: Sequence[str], meanwhile: Callable[[], None] = lambda: None
) -> None:
    """Run ``work`` for every name in a thread of its own; all finish before the first error is raised."""
    with ThreadPoolExecutor(max_workers=max(len(names), 1), thread_name_prefix="destination") as pool:
        futures: list[Future[None]] = [pool.submit(work, name) for name in names]
        meanwhile()
    for future in futures:
        future.result()
