"""Answers: what the ledger knows of a dropped file by now, written into its receipts. Nothing is moved or sent here."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from croniter import CroniterBadCronError, croniter

from etl import filesystem
from etl.destinations import make_destination
from etl.drops import receipts
from etl.drops.receipts import FileReport, ResultLookup
from etl.errors import ConfigError, SourceError
from etl.ledger import RunInfo
from etl.sources.base import Source
from etl.stages.plan import Job

DAY_MS = 86_400_000


def write(
    job: Job,
    source: Source,
    file: Path,
    stem: str,
    kind: str,
    why: str,
    *,
    name: str = "",
    trial: bool = False,
    told_at_ms: int | None = None,
) -> list[Path]:
    """Write the receipts of a file on this machine, called after ``stem``; the paths of those to be handed out.

    ``kind`` and ``why``: see `receipts.FileReport`. ``name`` is what it is called now, if no longer as it was when
    it was imported. ``told_at_ms``: when the receipts were last written, if they were. The sender may have begun to
    correct its fix.csv, so that one is left alone; rows that a retry turned away get one of their own.
    """
    folder = file.parent.parent / "receipts"
    folder.mkdir(exist_ok=True)
    at = job.clock()
    retries = job.ledger.runs.retries(job.run.run_id)
    turned_away = [run for run in retries if _turned_away(job, run)] if told_at_ms is not None else []
    fix = f"{stem}.{turned_away[-1].run_id}" if turned_away else stem
    story = FileReport(
        kind=kind,
        file=name or job.run.source,
        import_name=job.run.import_name,
        run_id="" if trial else job.run.run_id,
        at_ms=at,
        next_run_ms=next_run(job.settings.schedule, at, job.run.import_name),
        timezone=job.settings.timezone or "UTC",
        why=why,
        stops=_stops(job, retries),
        first_at_ms=job.run.started_at_ms,
        retries=[run.run_id for run in retries],
    )
    written = receipts.write(
        folder, stem, source, job.settings.chunk_rows, _asked(job, retries), story, _delimiter(file), fix
    )
    if told_at_ms is None or _is_new(turned_away, told_at_ms):
        return written
    return [path for path in written if path.name != f"{fix}.fix.csv"]


def _turned_away(job: Job, retry: RunInfo) -> bool:
    """True when a retry ended with rows that their sender can correct."""
    late = {name: make_destination(job.config, name).facts.expired[0] for name in job.destinations}
    return any(
        status in receipts.TO_CORRECT and reason != late[name]
        for name, counts in job.ledger.results.counts(retry.run_no).items()
        for status, reason in counts
    )


def _is_new(turned_away: Sequence[RunInfo], told_at_ms: int) -> bool:
    return bool(turned_away) and (turned_away[-1].finished_at_ms or 0) >= told_at_ms


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


def _delimiter(path: Path) -> str:
    """What stands between the file's columns, so that its receipts open in the same program."""
    try:
        with filesystem.opened(filesystem.find(str(path))[0]) as file:
            line = file.readline(1 << 16).decode("utf-8", errors="replace").replace("\r", " ")
    except SourceError:
        return ","
    counts = {mark: len(next(csv.reader([line], delimiter=mark), [])) for mark in ",;\t|"}
    return max(counts, key=lambda mark: counts[mark])


def _asked(job: Job, retries: Sequence[RunInfo]) -> ResultLookup:
    names = job.destinations
    runs = [job.run.run_no, *(run.run_no for run in retries)]
    chunks = {chunk.index: chunk for chunk in job.staging.chunks("conversions")}
    prepared = [name for name in names if job.staging.noted(f"lookup-{job.run.run_id}-{name}") is not None]

    def words(first: int, last: int) -> dict[str, dict[int, receipts.Word]]:
        found = job.ledger.results.row_results(runs, names, first, last)
        return {name: {row: _shown(word) for row, word in rows.items()} for name, rows in found.items()}

    ageless: set[str] = set()

    def expiries(index: int) -> dict[str, dict[int, int]]:
        if index not in chunks or (frame := job.staging.frame(chunks[index])).empty:
            return {}
        found: dict[str, dict[int, int]] = {}
        for name in (each for each in prepared if each not in ageless):
            columns = job.destination(name).columns(frame)
            if "expires_at_ms" not in columns.columns:
                ageless.add(name)
            else:
                known = columns["expires_at_ms"].dropna().astype("int64")
                found[name] = dict(zip(known.index.tolist(), known.tolist(), strict=True))
        return found

    return ResultLookup(words, expiries, {name: make_destination(job.config, name).facts.expired[0] for name in names})


def _shown(word: receipts.Word) -> receipts.Word:
    return (receipts.READY, "", word[2]) if word[1] == "dry_run" else word


def next_run(schedule: str | None, at_ms: int, import_name: str) -> int:
    """When somebody looks next, epoch ms: as the import's schedule says, else a day from now."""
    if schedule is None:
        return at_ms + DAY_MS
    try:
        following = croniter(schedule, datetime.fromtimestamp(at_ms / 1000, UTC)).get_next(datetime)
    except CroniterBadCronError as error:
        raise ConfigError(f"imports.{import_name}.schedule: {schedule!r} is not a cron schedule: {error}") from None
    return int(following.timestamp() * 1000)
