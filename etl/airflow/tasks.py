"""What the tasks of the DAGs do: one function per task, around the stages of `etl.pipeline`.

Between tasks travel a run id, chunks (index, path, rows) and counts, nothing else: XCom is stored and shown unmasked.
Errors that no repetition mends fail a task at once; everything else is left to Airflow's retries, which send nothing
twice, because the ledger's claims outlive the process.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowException, AirflowSkipException

from etl import drops, pipeline, reasons, sources
from etl import retry as dead_letters
from etl.airflow import failing, parse, pools, secrets, stopping, telling
from etl.airflow.parse import Entries
from etl.airflow.telling import CountingJob
from etl.config import Config
from etl.errors import ConfigError, ImporterError, SourceError, SumMismatch
from etl.ledger import Stop
from etl.model import Chunk
from etl.redact import trace
from etl.report import Report
from etl.sources.base import Window
from etl.stages import extract as extraction
from etl.stages import plan
from etl.stages import transform as transformation
from etl.stages import validate as validation
from etl.stages.plan import Job

log = logging.getLogger("conversions")

PERMANENT = (ConfigError, SourceError, SumMismatch)
"""Errors that stay the same however often a task is repeated."""


Staged = dict[str, Any]
"""A `Chunk` as it travels: ``{"index": 0, "path": "…", "rows": 50000}``."""


# -- one import


def check(file: Path, import_name: str, to: Sequence[str] | None, *, is_backfill: bool) -> None:
    """Fail now, before any task waits for its pool, where the run could not be."""
    with _failing_for_good(file):
        _checked(file, import_name, to, is_backfill=is_backfill)


def _checked(file: Path, import_name: str, to: Sequence[str] | None, *, is_backfill: bool) -> Config:
    usable = _config(file, import_name)
    if is_backfill:
        _check_backfill(usable, import_name)
    check_pools(to or usable.import_settings(import_name).to)
    return usable


def retry_first(file: Path, import_name: str, destination: str, *, is_backfill: bool) -> list[str]:
    """Send what one destination did not take in earlier runs of the import; the ids of the runs that did it.

    Not before a backfill, nor where the import says ``retry_first: false``.
    """
    with _failing_for_good(file):
        loaded = _config(file, import_name)
        if is_backfill or not loaded.import_settings(import_name).retry_first:
            return []
        reports = dead_letters.retry(loaded, import_name=import_name, to=[destination], before_run=True)
    for report in reports:
        log.info("run %s goes first: %s", report.run.run_id, line(report, destination))
    return [report.run.run_id for report in reports]


def start(
    file: Path,
    import_name: str,
    begin: datetime | None,
    end: datetime | None,
    went_first: Iterable[Sequence[str] | None] = (),
    to: Sequence[str] | None = None,
    *,
    is_backfill: bool = False,
) -> str:
    """Judge the settings, write the run down and name it. ``to``: only these of the destinations (none: all).

    ``went_first``: the runs of `retry_first`. A destination that stopped there is not tried again.
    """
    with _failing_for_good(file):
        usable = _checked(file, import_name, to, is_backfill=is_backfill)
        job = plan.start(usable, import_name, window=window(begin, end), to=to or None)
        with job.ledger:
            for before in (run_id for run_ids in went_first for run_id in run_ids or ()):
                for name, stop in job.ledger.runs.stops(job.ledger.runs.get(before).run_no).items():
                    job.ledger.runs.stop_destination(job.run.run_no, name, stop)
    log.info("%s: run %s begins", import_name, job.run.run_id)
    return job.run.run_id


def check_pools(names: Iterable[str]) -> None:
    """Fail now where a later task would wait for ever, because its pool is missing."""
    if missing := pools.missing(names):
        failing.fail(pools.sentence(missing))


def prepare(file: Path, run_id: str) -> None:
    """Let every destination look up what it needs."""
    with _stage(file, run_id) as job:
        pipeline.prepare(job)


def extract(file: Path, run_id: str, begin: datetime | None, end: datetime | None) -> list[Staged]:
    """Stage the source; the chunks in order."""
    with _stage(file, run_id) as job:
        chunks = [asdict(chunk) for chunk in extraction.stage(job, window(begin, end))]
        most = conf.getint("core", "max_map_length")
        if len(chunks) > most:
            raise SourceError(
                f"imports.{job.run.import_name}.chunk_rows: the source makes {len(chunks)} chunks, "
                f"Airflow maps {most} at most; raise chunk_rows or [core] max_map_length."
            )
        if missing := _no_file(job):
            raise AirflowSkipException(missing)
        return chunks


def validate(file: Path, run_id: str, chunks: list[Staged]) -> list[Staged]:
    """Judge every row of all chunks, in order, because an event_id may return in a later chunk."""
    with _stage(file, run_id) as resumed:
        job = CountingJob.of(resumed)
        judged = [asdict(chunk) for chunk in validation.stage(job, (Chunk(**chunk) for chunk in chunks))]
        telling.reasons("every destination", job.unsent)
        return judged


def transform(file: Path, run_id: str, destination: str, chunk: Staged, attempt: int = 1) -> Staged:
    """One chunk in one vendor's words."""
    with _stage_of(file, run_id, destination) as resumed:
        job = CountingJob.of(resumed)
        if destination not in job.destinations:
            raise AirflowSkipException(f"Only {', '.join(job.destinations)} were asked for.")
        if stopping.asks_again(job, destination, attempt):
            pipeline.prepare(job, [destination])
        made = asdict(transformation.stage(job, destination, Chunk(**chunk)))
        telling.reasons(destination, job.unsent)
        return made


def load(file: Path, run_id: str, destination: str, chunk: Staged, attempt: int = 1) -> None:
    """Deliver one chunk. A destination that stops, or has stopped, fails the task; its rows are ``failed``.

    ``attempt``: which try of the task it is. One that was cleared asks a vendor again that had stopped before.
    """
    with _stage_of(file, run_id, destination) as job:
        staged = Chunk(**chunk)
        stopping.reopen(job)
        if stopping.asks_again(job, destination, attempt):
            staged = stopping.made_anew(job, destination, staged)
        with telling.progress(job, destination, staged.rows) as told:
            pipeline.load(told, destination, staged)
        telling.reasons_of_chunk(job, destination, staged)
        stopped = stopping.sentence(job, destination, attempt)
    if stopped:
        failing.fail(stopped)


def summary(file: Path, run_id: str | None, states: Mapping[str, str | None]) -> dict[str, dict[str, int]]:
    """Close the run and judge it: rows per destination and status, or a failure that says what to do.

    ``states`` are those of the other tasks of the DAG run; one that failed is why the run did not get to its end.
    """
    if run_id is None:
        failing.fail("Nothing was begun: the log of the task `start` says why.")
    with _resumed(file, run_id) as job:
        failed = sorted(task for task, state in states.items() if state == "failed" and not _is_a_stop(job, task))
        report = pipeline.finish(job, stopped=_reason(job, failed) if failed else "")
        missing = _no_file(job)
    for name in report.rows:
        log.info("%s", line(report, name))
        telling.reasons(name, report.counts[name])
    for warning in report.warnings:
        log.warning("%s", warning)
    trouble = _trouble(report, job.settings.max_bad_share)
    if trouble:
        failing.fail(" ".join(trouble))
    if missing:
        raise AirflowSkipException(missing)
    return {name: report.by_status(name) for name in report.rows}


# -- dropped files


def look(file: Path, import_name: str) -> list[dict[str, Any]]:
    """Finish what an earlier round left; the files that have come to rest, no more than Airflow maps."""
    with _failing_for_good(file):
        seen = drops.scan(_config(file, import_name), import_name)
    for growing in seen.growing:
        log.info("%s: %s may still be growing", import_name, growing.name)
    return [asdict(ready) for ready in seen.ready[: conf.getint("core", "max_map_length")]]


def handle(file: Path, dropped: dict[str, Any]) -> None:
    """Bring one dropped file to its end. Its sender reads the summary; the task fails where somebody else must act."""
    with _failing_for_good(file):
        outcome = drops.process(_config(file, dropped["import_name"]), drops.Dropped(**dropped))
    log.info("%s: %s. %s", outcome.file.name, outcome.state, outcome.sentence)
    if outcome.report is None:
        return
    for name in outcome.report.rows:
        log.info("%s", line(outcome.report, name))
    stops = [stop.detail for stop in outcome.report.stops.values()]
    if stops:
        failing.fail(" ".join(stops))


# -- dead letters


def retry(file: Path, destination: str, import_name: str | None, statuses: list[str]) -> dict[str, int]:
    """Send one destination's dead letters again, never insisting; rows per status after it."""
    with _failing_for_good(file):
        reports = dead_letters.retry(_config(file), import_name=import_name, to=[destination], statuses=statuses)
    counts: dict[str, int] = {}
    for report in reports:
        log.info("%s: %s", report.run.import_name, line(report, destination))
        for status, rows in report.by_status(destination).items():
            counts[status] = counts.get(status, 0) + rows
    if not reports:
        log.info("%s: there is nothing to send again", destination)
    trouble = [sentence for report in reports for sentence in _trouble(report, max_bad_share=1)]
    if trouble:
        failing.fail(" ".join(trouble))
    return counts


# -- pieces


def window(begin: datetime | None, end: datetime | None) -> Window:
    """A DAG run's data interval as the span to read; without one, or with an empty one, everything is read.

    A DAG without a schedule gives its manual runs an interval that begins and ends at the same moment.
    """
    return Window() if begin is None or end is None or begin == end else Window(begin, end)


def line(report: Report, destination: str) -> str:
    """One destination of a run in one line."""
    counts = ", ".join(f"{rows} {status}" for status, rows in report.by_status(destination).items()) or "no result"
    expired = report.expired(destination)
    late = f" ({expired} of them expired)" if expired else ""
    stop = report.stops.get(destination)
    told = f"{destination}: {report.rows[destination]} rows read, {counts}{late}"
    return told + (f". {stop.detail}" if stop else "")


def _config(file: Path, import_name: str | None = None) -> Config:
    """The entries of imports.yaml that can be used. Raises ConfigError where that import is none of them."""
    return _usable(_entries(file), import_name)


def _entries(file: Path) -> Entries:
    found = parse.entries(file, secrets.Secrets())
    secrets.hide(found.config)
    return found


def _usable(found: Entries, import_name: str | None) -> Config:
    for sentence in (found.trouble, found.broken.get(import_name or "", "")):
        if sentence:
            raise ConfigError(sentence)
    return found.config


def _check_backfill(loaded: Config, import_name: str) -> None:
    """Only what a window chooses can be read for days gone by. Raises ConfigError."""
    source = sources.import_source(loaded, import_name)
    key = f"imports.{import_name}.source"
    if source.incremental:
        raise ConfigError(
            f"{key}: reads on from where the last run ended, so it has no days to backfill; nothing was read. "
            "A triggered run reads all that is new."
        )
    if not source.uses_window:
        raise ConfigError(
            f"{key}: reads the same rows on every day, so it cannot be backfilled; nothing was read. Put "
            "{start:%Y-%m-%d} into the path, or :start and :end into the query."
        )


def _no_file(job: Job) -> str:
    """The sentence of a run that went without a file, because the import says ``missing: skip``."""
    return next((warning.sentence for warning in job.warnings() if warning.code == extraction.NO_FILE), "")


def _is_a_stop(job: Job, task: str) -> bool:
    """Whether a task failed only because its destination stopped: then every row has its result, as the sum shows."""
    groups = (parse.group(name, job.destinations) for name in job.ledger.runs.stops(job.run.run_no))
    return any(re.fullmatch(rf"(.*\.)?{re.escape(group)}\.load(_\d+)?", task) for group in groups)


def _reason(job: Job, failed: list[str]) -> str:
    """Why the run did not get to its end: what the stage wrote down, else which task failed."""
    return job.run.stop_detail or f"The task {failed[0]} failed, its log says why."


def _trouble(report: Report, max_bad_share: float) -> list[str]:
    """One sentence for everything that makes a DAG run fail; empty when all is well."""
    sentences = [report.run.stop_detail] if report.run.stop_detail else []
    sentences += [stop.detail for stop in report.stops.values()]
    for name in report.rows:
        share, expired = report.bad_share(name), report.expired(name)
        if share > max_bad_share and name not in report.stops:
            sentences.append(
                f"{name}: {share:.0%} of {report.rows[name] - expired} rows"
                f"{' that had not expired' if expired else ''} were not delivered, max_bad_share allows "
                f"{max_bad_share:.0%}; `conversions results --run {report.run.run_id} --to {name}` lists them."
            )
    return sentences


@contextmanager
def _failing_for_good(file: Path) -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        failing.fail(parse.with_line(file, str(error)))
    except PERMANENT as error:
        failing.fail(str(error))
    except ImporterError as error:
        failing.try_again(str(error))
    except AirflowException as error:
        raise error from None  # what led to it may hold a statement and its values
    except Exception as error:  # noqa: BLE001 (whatever it is, its text may hold a row's values)
        log.error("%s", trace(error))
        failing.try_again(f"Unexpected {type(error).__name__}; the log above says where.")


@contextmanager
def _resumed(file: Path, run_id: str) -> Iterator[Job]:
    """The run that `start` wrote down, for one task; the ledger is closed after it."""
    with _failing_for_good(file):
        found = _entries(file)
        job = plan.resume(_usable(found, None), run_id)
        try:
            _usable(found, job.run.import_name)
            yield job
        finally:
            job.ledger.close()


@contextmanager
def _stage(file: Path, run_id: str) -> Iterator[Job]:
    """A stage that all destinations wait for: if it fails for good the run is closed here, with the reason."""
    with _resumed(file, run_id) as job:
        try:
            yield job
        except PERMANENT as error:
            pipeline.finish(job, stopped=str(error))
            raise


@contextmanager
def _stage_of(file: Path, run_id: str, destination: str) -> Iterator[Job]:
    """A stage of one destination: if it fails for good that destination stops, the others go on."""
    with _resumed(file, run_id) as job:
        try:
            yield job
        except PERMANENT as error:
            stop = Stop(reasons.SETTINGS.code, f"{destination} stopped: {error}")
            job.ledger.runs.stop_destination(job.run.run_no, destination, stop)
            raise
