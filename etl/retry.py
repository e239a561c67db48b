"""Dead letters: rows that no vendor has taken yet, sent again from the staged conversions of their runs."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd

from etl import pipeline
from etl.clock import Clock, wall_clock
from etl.column_settings import MappingSettings
from etl.config import Config
from etl.delivery.shutdown import shutting_down
from etl.destinations import make_destination
from etl.errors import ImporterError, SourceError, SumMismatch
from etl.ledger import DeadLetters, Ledger, RunInfo, open_ledger
from etl.model import Chunk
from etl.report import Report
from etl.sources.base import Window
from etl.stages import plan, transform, tuning
from etl.stages.plan import Job, Progress
from etl.staging import Staging, items_of

log = logging.getLogger("conversions")

NEVER_MS = 2**63
"""A moment after all others."""


def run(
    config: Config,
    import_name: str,
    *,
    window: Window | None = None,
    to: Sequence[str] | None = None,
    limit: int | None = None,
    clock: Clock = wall_clock,
    progress: Progress = lambda name, rows: None,
) -> list[Report]:
    """Run an import, see `pipeline.run`. What failed before goes first, as runs of its own; the last report is the run.

    Not over a window that a person names, with a limit, or where the import says ``retry_first: false``. A destination
    that stops there is not tried again.
    """
    settings = config.import_settings(import_name)
    names = plan.select_destinations(config, settings.to, to)
    again: list[Report] = []
    if window is None and limit is None and settings.retry_first:
        again = retry(config, import_name=import_name, to=names, clock=clock, progress=progress, before_run=True)
    if shutting_down.is_set():
        return again
    stops = {name: stop for report in again for name, stop in report.stops.items()}
    found = pipeline.run(
        config, import_name, window=window, to=to, limit=limit, stops=stops, clock=clock, progress=progress
    )
    return [*again, found]


def retry(
    config: Config,
    *,
    import_name: str | None = None,
    run_id: str | None = None,
    to: Sequence[str] | None = None,
    statuses: Sequence[str] = ("failed", "unknown"),
    force_unknown: bool = False,
    clock: Clock = wall_clock,
    progress: Progress = lambda name, rows: None,
    on_skip: Callable[[str], None] = log.warning,
    before_run: bool = False,
) -> list[Report]:
    """Send dead letters again, from the staged conversions of the runs they belong to; one new run for each of those.

    What may have been accepted is sent again only where the vendor counts a repeat once, or when a person says so
    (``force_unknown``).
    The oldest conversions go first: of these runs, and within each. Rows of a destination that is no longer in
    imports.yaml stay as they are; ``on_skip`` gets a sentence about them. ``before_run``: rows that are no longer
    staged stay too, and a destination that has stopped in one of these runs is left out of the next. Raises ConfigError
    when there is no such import or destination.
    """
    reports: list[Report] = []
    broken: list[SumMismatch] = []
    tuning.for_streaming()
    with open_ledger(config) as ledger:
        _check_names(config, ledger, import_name, to)
        which: dict[str, Any] = {"statuses": statuses, "import_name": import_name, "run_id": run_id}
        names = _configured(config, ledger.results.count_dead_letters(**which, destinations=to), on_skip)
        no_repeat = (
            [] if force_unknown else [name for name in names if not make_destination(config, name).facts.repeatable]
        )
        with DeadLetterRows(ledger.results.dead_letters(**which, destinations=names, no_repeat=no_repeat)) as letters:
            for origin in _oldest_first(config, letters, only_staged=before_run):
                stopped = {name for report in reports for name in report.stops} if before_run else set()
                rows = {name: count for name, count in letters.runs[origin].items() if name not in stopped}
                if not rows:
                    continue
                job = Job(config, _retry_run(ledger, origin, rows), ledger, clock, progress)
                try:
                    reports.append(_run_retry(job, letters, force_unknown=force_unknown, only_staged=before_run))
                except SumMismatch as error:  # raised at the end: the dead letters of other runs do not wait for it
                    broken.append(error)
    if broken:
        raise broken[0]
    return reports


def unknown_unsafe(
    config: Config, *, import_name: str | None = None, run_id: str | None = None, to: Sequence[str] | None = None
) -> dict[str, int]:
    """Rows per destination that may have been accepted and that `retry` sends again only with ``force_unknown``."""
    with open_ledger(config) as ledger:
        unknown = ledger.results.count_dead_letters(
            statuses=["unknown"], import_name=import_name, run_id=run_id, destinations=to
        )
    there = {name: rows for name, rows in unknown.items() if name in config.destination_names}
    return {name: rows for name, rows in there.items() if not make_destination(config, name).facts.repeatable}


def _check_names(config: Config, ledger: Ledger, import_name: str | None, to: Sequence[str] | None) -> None:
    """Raises ConfigError for unknown ones; an import that is no longer configured may still have dead letters."""
    if import_name is not None and not ledger.runs.latest(import_name):
        config.import_settings(import_name)
    for name in to or ():
        make_destination(config, name)


def _configured(config: Config, rows: Mapping[str, int], on_skip: Callable[[str], None]) -> list[str]:
    for name in rows.keys() - set(config.destination_names):
        on_skip(
            f"{name} is no longer in {config.path.name}: {rows[name]:,} rows that it did not take stay as they are."
        )
    return [name for name in config.destination_names if name in rows]


def _oldest_first(config: Config, letters: DeadLetterRows, *, only_staged: bool) -> list[str]:
    """The import runs, that with the oldest conversion first: it is the first to expire; those without any last."""
    oldest: dict[str, int] = {}
    for origin, rows in letters.runs.items():
        staging = Staging(config.staging_url, origin)
        found = [_oldest(staging, chunk, letters, name) for chunk in staging.chunks("conversions") for name in rows]
        moments = [moment for moment in found if moment is not None]
        if moments or not only_staged:
            oldest[origin] = min(moments, default=NEVER_MS)
    return sorted(oldest, key=lambda origin: oldest[origin])


def _oldest(staging: Staging, chunk: Chunk, letters: DeadLetterRows, name: str) -> int | None:
    """When the oldest conversion of a chunk that is to be sent to a destination again occurred, epoch ms."""
    rows = letters.rows_of(staging.run_id, name, staging.frame(chunk, ["occurred_at_ms"]))
    return None if rows.empty else int(rows["occurred_at_ms"].min())


def _retry_run(ledger: Ledger, origin: str, rows: Mapping[str, int]) -> RunInfo:
    first = ledger.runs.first(origin)
    opened = ledger.runs.open(
        kind="retry",
        import_name=first.import_name,
        source=first.source,
        destinations=list(rows),
        window_ms=(first.window_start_ms, first.window_end_ms),
        retry_of=origin,
    )
    ledger.runs.record_rows_read(opened.run_no, rows)
    return opened


def _run_retry(job: Job, letters: DeadLetterRows, *, force_unknown: bool, only_staged: bool) -> Report:
    try:
        pipeline.prepare(job)
        pipeline.side_by_side(
            lambda name: _send_again(job, name, letters, force_unknown=force_unknown, only_staged=only_staged),
            job.destinations,
        )
    except ImporterError as error:
        return pipeline.finish(job, stopped=str(error))
    return pipeline.finish(job)


def _send_again(job: Job, name: str, letters: DeadLetterRows, *, force_unknown: bool, only_staged: bool) -> None:
    chunks = job.staging.chunks("conversions")
    if not make_destination(job.config, name).in_order:  # else rows of a visitor keep the order of the source
        chunks.sort(key=lambda chunk: _oldest(job.staging, chunk, letters, name) or NEVER_MS)
    found = 0
    for chunk in chunks:
        frame = letters.rows_of(job.staging.run_id, name, job.staging.frame(chunk))
        found += len(frame)
        if frame.empty:
            continue
        if name in job.ledger.runs.stops(job.run.run_no):
            table = transform.without_payloads(frame)
        else:
            table, not_taken = transform.items(frame, job.destination(name), _columns_of(job))
            job.record_unsent([name], not_taken)
        pipeline.deliver_items(job, name, items_of(table), chunk.index, force_unknown=force_unknown)
    if missing := letters.runs[job.staging.run_id][name] - found:
        job.ledger.runs.record_rows_read(job.run.run_no, {name: found})
        if only_staged:
            return
        raise SourceError(_never_staged(job, missing) if chunks else _gone(job, missing))


def _columns_of(job: Job) -> MappingSettings:
    """What the import says of columns; nothing, where it is no longer in imports.yaml under that name."""
    return job.config.imports.get(job.run.import_name) or MappingSettings()


def _never_staged(job: Job, rows: int) -> str:
    again = "file and drop it again" if _dropped(job) else f"source and run `conversions run {job.run.import_name}`"
    return (
        f"{rows:,} of the rows of run {job.staging.run_id} were turned away before any destination was asked, and "
        f"cannot be sent as they are: correct them in the {again}."
    )


def _gone(job: Job, rows: int) -> str:
    again = f"`conversions run {job.run.import_name}` reads the source again and sends"
    if file := _dropped(job):
        again = f"dropping {file} again, its content unchanged, sends"
    return f"The staged rows of run {job.staging.run_id} are gone, {rows:,} of them needed: {again} what is missing."


def _dropped(job: Job) -> str:
    """The name of the dropped file that a retry's rows come from; empty when they come from elsewhere."""
    first = job.ledger.runs.first(job.staging.run_id)
    return first.source if first.kind == "drop" else ""


class DeadLetterRows:
    """Row numbers per import run and destination, ascending; 8 bytes each, in a temporary file.

    ``found``: in order, as `Results.dead_letters` gives them. ``runs`` counts them: run ->
    destination -> rows.
    """

    def __init__(self, found: Iterable[DeadLetters]) -> None:
        self.runs: dict[str, dict[str, int]] = {}
        self._starts: dict[tuple[str, str], int] = {}
        self._file = tempfile.TemporaryFile(prefix="conversions-")  # noqa: SIM115 (closed by __exit__)
        for run, destination, numbers in found:
            self._starts.setdefault((run, destination), self._file.tell())
            rows = self.runs.setdefault(run, {})
            rows[destination] = rows.get(destination, 0) + len(numbers)
            self._file.write(np.array(numbers, np.int64).tobytes())
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def rows_of(self, run: str, destination: str, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows of a chunk (index = row number, ascending) that are to be sent again."""
        if frame.empty:
            return frame
        size = self.runs[run][destination]
        numbers = np.memmap(self._file, np.int64, "r", self._starts[run, destination], (size,))
        first, end = np.searchsorted(numbers, [frame.index[0], frame.index[-1] + 1])
        return frame[frame.index.isin(numbers[first:end])]
