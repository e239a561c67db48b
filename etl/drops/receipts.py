"""Receipts: what somebody who dropped a file gets back beside it. Streamed; the file is read once more.

NAME.result.csv     the file's columns as they were, and per destination status, reason and detail
NAME.fix.csv        only the rows to correct, ready to be dropped again (see `fix_file`); absent when there are none
NAME.summary.html   one page for a person, see `summary_page`

All are meant for a spreadsheet, so no cell is one that it would run as a formula. Nothing is moved or sent here.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from croniter import CroniterBadCronError, croniter

from etl import filesystem
from etl.clock import DAY_MS
from etl.destinations import make_destination
from etl.drops import summary_page
from etl.drops.fix_file import PROBLEM, escape_formula, file_source, quote_for_spreadsheet
from etl.drops.row_results import ResultLookup
from etl.drops.summary import NO_RESULT, TO_CORRECT, FileReport, Summary, count_row, note_leaving
from etl.drops.values import RECEIPTS, FileInTransit, FileKind, FileVerdict, stem_and_suffix
from etl.errors import ConfigError, SourceError
from etl.ledger import RowResult, RunInfo
from etl.sources.base import Source, Window
from etl.stages.plan import Job


def write(transit: FileInTransit, job: Job, verdict: FileVerdict, *, written_at_ms: int | None = None) -> None:
    """Write the receipts of a file beside where it ends up (``entry.path``); ``job`` is the run that imported it.

    ``written_at_ms``: when they were last written, if they were. The sender may have begun to correct its fix.csv, so
    that one is left alone; rows that a retry turned away get one of their own.
    """
    if not transit.folders.settings.receipts:
        return
    retries = job.ledger.runs.retries(job.run.run_id)
    turned_away = None if written_at_ms is None else _last_that_turned_away(job, retries)
    folder, _, moved = transit.entry.path.rpartition("/")
    stem = stem_and_suffix(moved)[0]
    fix_stem = f"{stem}.{turned_away.run_id}" if turned_away else stem
    here = transit.copy.folder / "receipts"
    here.mkdir(exist_ok=True)
    result, fix, page = (here / f"{name}{kind}" for name, kind in zip((stem, fix_stem, stem), RECEIPTS, strict=True))
    report = _report(transit, job, verdict, retries)
    source = file_source(job.config, job.run.import_name, transit.copy.path, job.run.source)
    frames = _as_far_as_it_goes(source, job.settings.chunk_rows)
    summary = _write_tables((result, fix), delimiter(transit.copy.path), frames, ResultLookup(job, retries), report)
    fix_name = fix_stem if summary.to_correct else ""
    warnings = [str(warning) for warning in job.warnings() or source.warnings]
    page.write_text(summary_page.page(report, summary, fix_name, warnings), encoding="utf-8")
    is_fix_new = written_at_ms is None or (
        turned_away is not None and (turned_away.finished_at_ms or 0) >= written_at_ms
    )
    written = [result, fix, page] if fix_name and is_fix_new else [result, page]
    transit.folders.fs.makedirs(folder, exist_ok=True)
    for path in written:
        transit.folders.fs.put_file(str(path), f"{folder}/{path.name}")


def next_run(schedule: str | None, at_ms: int, import_name: str) -> int:
    """When somebody looks next, epoch ms: as the import's schedule says, else a day from now."""
    if schedule is None:
        return at_ms + DAY_MS
    try:
        following = croniter(schedule, datetime.fromtimestamp(at_ms / 1000, UTC)).get_next(datetime)
    except CroniterBadCronError as error:
        raise ConfigError(f"imports.{import_name}.schedule: {schedule!r} is not a cron schedule: {error}") from None
    return int(following.timestamp() * 1000)


def delimiter(path: Path) -> str:
    """What stands between the columns of a file on this machine, so that its receipts open in the same program."""
    try:
        with filesystem.opened(filesystem.local_file(path)) as file:
            line = file.readline(1 << 16).decode("utf-8", errors="replace").replace("\r", " ")
    except SourceError:
        return ","
    counts = {mark: len(next(csv.reader([line], delimiter=mark), [])) for mark in ",;\t|"}
    return max(counts, key=lambda mark: counts[mark])


# -- the file as a whole


def _report(transit: FileInTransit, job: Job, verdict: FileVerdict, retries: Sequence[RunInfo]) -> FileReport:
    at = job.clock()
    return FileReport(
        kind=verdict.kind,
        file=transit.file.name if verdict.kind is FileKind.REPEATED else job.run.source,
        import_name=job.run.import_name,
        run_id="" if transit.is_trial else job.run.run_id,
        at_ms=at,
        next_run_ms=next_run(job.settings.schedule, at, job.run.import_name),
        timezone=job.settings.timezone or "UTC",
        why=verdict.why,
        stops=_stops(job, retries),
        first_at_ms=job.run.started_at_ms,
        retries=[run.run_id for run in retries],
        answers={
            key: answer
            for run in (job.run, *retries)
            for key, answer in job.ledger.results.first_answers(run.run_no).items()
        },
    )


def _stops(job: Job, retries: Sequence[RunInfo]) -> dict[str, str]:
    """Why destinations stopped when they were last tried; not those that went on since."""
    stops: dict[str, str] = {}
    for run in (job.run, *retries):
        found = job.ledger.runs.stops(run.run_no)
        for name in job.ledger.runs.destinations(run.run_no):
            stops.pop(name, None)
            if name in found:
                stops[name] = found[name].detail
    return stops


def _last_that_turned_away(job: Job, retries: Sequence[RunInfo]) -> RunInfo | None:
    """The last retry that ended with rows that their sender can correct."""
    late = {name: make_destination(job.config, name).facts.expired[0] for name in job.destinations}
    for run in reversed(retries):
        counts = job.ledger.results.counts(run.run_no)
        found = [(name, status, reason) for name, each in counts.items() for status, reason in each]
        if any(status in TO_CORRECT and reason != late[name] for name, status, reason in found):
            return run
    return None


# -- row by row


def _write_tables(
    paths: Sequence[Path], delimiter: str, frames: Iterator[pd.DataFrame], lookup: ResultLookup, report: FileReport
) -> Summary:
    """Write the results and the rows to correct into two local files, and count."""
    summary = Summary(statuses={name: Counter() for name in lookup.destinations})
    with ExitStack() as files:
        results, fixes = (
            csv.writer(files.enter_context(path.open("w", encoding="utf-8-sig", newline="")), delimiter=delimiter)
            for path in paths
        )
        is_empty = True
        for index, frame in enumerate(frames):
            names = [str(column) for column in frame.columns if column != "damage"]
            if is_empty:
                is_empty = False
                results.writerow([*map(escape_formula, names), *_added_columns(lookup.destinations)])
                fixes.writerow([PROBLEM, *map(quote_for_spreadsheet, names)])
            statuses = lookup.statuses(int(frame.index[0]), int(frame.index[-1]))
            for number, cells, row in _rows(frame, names, statuses):
                added = [part for result in row.values() for part in result]
                results.writerow([*map(escape_formula, cells), *map(escape_formula, added)])
                problem = count_row(summary, number, row, lookup.expired, report.kind)
                if problem is not None:
                    fixes.writerow([escape_formula(problem), *map(quote_for_spreadsheet, cells)])
            note_leaving(summary, statuses, lookup.expiries(index), report)
        if is_empty:
            _write_without_rows(results, report)
    return summary


def _as_far_as_it_goes(source: Source, chunk_rows: int) -> Iterator[pd.DataFrame]:
    """The frames that have rows. A source that breaks off is answered as far as it can be read."""
    try:
        yield from (frame for frame in source.frames(Window(), chunk_rows) if len(frame))
    except SourceError:
        return


def _added_columns(destinations: Sequence[str]) -> list[str]:
    return [f"{name} {what}" for name in destinations for what in ("status", "reason", "detail")]


def _rows(
    frame: pd.DataFrame, names: Sequence[str], statuses: Mapping[str, Mapping[int, RowResult]]
) -> Iterator[tuple[int, tuple[str, ...], dict[str, RowResult]]]:
    """Row number, cells as text, and what is said of it per destination."""
    columns = [frame[name].astype("object").where(frame[name].notna(), "").map(str) for name in names]
    for number, *cells in zip(frame.index, *columns, strict=True):
        row = int(number)
        yield row, tuple(cells), {name: rows.get(row, NO_RESULT) for name, rows in statuses.items()}


def _write_without_rows(results: Any, report: FileReport) -> None:
    """One line about the file, where there is none about its rows."""
    status, why = (report.kind.value, report.why) if report.why else ("no rows", summary_page.NO_ROWS)
    results.writerow(["file", "status", "detail"])
    results.writerow([escape_formula(report.file), status, escape_formula(why)])
