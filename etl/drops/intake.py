"""Intake: one dropped file brought to its end. It is taken, judged, sent or put aside, answered, and moved away.

A run that was cut off goes on. Where the import's settings read the file otherwise by then, a new run takes its place;
where they cannot read it and it is `sending`, it stays in the inbox, because part of it may have been sent.

What is done and is dropped again is answered from the ledger. Where the ledger can answer no more, or rows failed and
are no longer staged for `conversions retry`, it is imported anew: what was delivered is a duplicate, the rest is sent.

What lies in ``dryrun/`` inside the inbox goes the same way on a ledger that is thrown away, and is never sent.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

from etl import filesystem, pipeline
from etl.clock import Clock, wall_clock
from etl.config import Config, sqlite_url
from etl.destinations import make_destination
from etl.drops import copies, hands, inbox, judging, moving, receipts, summary_page
from etl.drops.fix_file import file_source
from etl.drops.folders import drop_folders
from etl.drops.hands import TakenOver, marked, still_ours
from etl.drops.values import (
    Dropped,
    FileInTransit,
    FileKind,
    FileState,
    FileVerdict,
    Outcome,
    OutcomeState,
)
from etl.errors import ImporterError, SourceChanged, SourceError
from etl.ledger import FileInfo, Ledger, RunInfo, open_ledger
from etl.model import Chunk, Status
from etl.report import Report
from etl.stages import plan
from etl.stages.plan import Job
from etl.staging import Staging

log = logging.getLogger("conversions")

_READ_OTHERWISE = (
    "The run was cut off, and by now the import's settings read the file otherwise: a new run takes its place, and "
    "what was delivered is not sent again."
)
_HALF_SENT = (
    "It could be read before, and part of it may have been sent: it stays where it is until the import's settings can "
    "read it again."
)


def process(config: Config, file: Dropped, clock: Clock = wall_clock) -> Outcome:
    """Bring one file to its end. Raises what `pipeline.run` raises; the file then stays where it is."""
    folders = drop_folders(config, file.import_name)
    with copies.local_copy(config, folders, file) as copy, open_ledger(config) as ledger:
        if copy is None:
            sentence = f"{file.shown} changed while it was read; the next round takes it."
            return Outcome(file, OutcomeState.BUSY, sentence)
        entry = FileInfo(file.import_name, copy.sha256, file.path, file.size, FileState.TAKEN, None, wall_clock())
        transit = FileInTransit(config, folders, file, copy, entry, ledger, ledger, clock)
        if file.dry_run:
            with _as_trial(transit) as trial:
                return _process(trial)
        with hands.held(ledger, file.import_name, copy.sha256) as ours:
            if not ours or not inbox.is_unchanged(folders, file):
                return _busy(file)
            try:
                return _process(transit)
            except TakenOver as error:
                return Outcome(file, OutcomeState.BUSY, str(error))


def _busy(file: Dropped) -> Outcome:
    return Outcome(file, OutcomeState.BUSY, f"{file.shown} is being worked on by another process.")


@contextmanager
def _as_trial(transit: FileInTransit) -> Iterator[FileInTransit]:
    """The file on a ledger and a staging that are thrown away with its copy."""
    folder = transit.copy.folder
    away = {"ledger": sqlite_url(folder / "ledger.db"), "staging": str(folder / "staging")}
    config = replace(transit.config, file=transit.config.file.model_copy(update=away))
    with open_ledger(config) as ledger:
        yield replace(transit, config=config, ledger=ledger)


def _process(transit: FileInTransit) -> Outcome:
    known = transit.ledger.files.find(transit.entry.import_name, transit.entry.sha256)
    if known is not None and known.state == FileState.DONE:
        run = transit.ledger.runs.find(known.run_id or "")
        if run is not None and not must_reimport(transit, run):
            return _answer_again(transit, run)
    taken = _take(transit, known)
    if taken is None:
        return _busy(transit.file)
    imported, report = _import(taken)
    try:
        done, verdict = finalize(imported)
    except filesystem.OUT_OF_REACH as error:
        return Outcome(imported.file, OutcomeState.LEFT, owed(error), report=report)
    nothing = "" if any(report.rows.values()) else summary_page.NO_ROWS
    return Outcome(done.file, _outcome_state(done), verdict.why or nothing, done.entry.path, report)


def owed(error: Exception) -> str:
    """What is said of a file that is imported and could not be answered."""
    return f"imported, but its receipts or its move are still owed: {trouble(error)}; the next round tries again."


def trouble(error: Exception) -> str:
    """Why a file cannot be written or read now."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"there is no room ({filesystem.trouble(error)})"
    return f"a file there is locked or out of reach ({filesystem.trouble(error)})"


def _outcome_state(transit: FileInTransit) -> OutcomeState:
    if transit.is_trial:
        return OutcomeState.TRIED
    return OutcomeState.PROCESSED if transit.entry.state == FileState.DONE else OutcomeState.QUARANTINED


# -- taking it


def _take(transit: FileInTransit, known: FileInfo | None) -> FileInTransit | None:
    """The file as ours, with the run that was cut off if there is one; None while somebody else has it."""
    if known is not None and _in_hand(transit.ledger, known):
        return None
    entry = transit.entry
    if known is not None and known.state in (FileState.TAKEN, FileState.SENDING):
        run = transit.ledger.runs.find(known.run_id or "")
        entry = replace(entry, state=known.state, run_id=known.run_id) if run is not None else entry
    return replace(transit, entry=entry) if transit.ledger.files.take(entry, known) else None


def _in_hand(ledger: Ledger, known: FileInfo) -> bool:
    """True while another process works on the file, or seems to; or when only its end is missing, see `rounds`."""
    if known.state not in (FileState.TAKEN, FileState.SENDING):
        return known.state in (FileState.DELIVERED, FileState.SPOILT)
    if known.run_id is None:
        return known.seen_at_ms + ledger.leases.lease_ms > wall_clock()
    return ledger.leases.is_alive(known.run_id)


def must_reimport(transit: FileInTransit, run: RunInfo) -> bool:
    """True when the ledger has forgotten rows of the file's run, or when no retry can send those that failed."""
    if is_forgotten(transit.ledger, run.run_no):
        return True
    if Staging(transit.config.staging_url, run.run_id).chunks("conversions"):
        return False
    names = transit.config.import_settings(run.import_name).to
    repeatable = [name for name in names if make_destination(transit.config, name).facts.repeatable]
    return any(
        transit.ledger.results.count_dead_letters(statuses=[status], run_id=run.run_id, destinations=some)
        for status, some in ((Status.FAILED, names), (Status.UNKNOWN, repeatable))
    )


def is_forgotten(ledger: Ledger, run_no: int) -> bool:
    """True when rows of a run have been deleted because of their age."""
    known = ledger.results.counts(run_no)
    return any(sum(known[name].values()) != rows for name, rows in ledger.runs.rows_read(run_no).items())


# -- judging and sending it


def _import(transit: FileInTransit, *, anew: bool = False) -> tuple[FileInTransit, Report]:
    """Import the file in the run that was cut off, or in a new one, which it is ``anew`` in any case."""
    job = _job(replace(transit, entry=replace(transit.entry, run_id=None)) if anew else transit)
    transit = marked(transit, replace(transit.entry, run_id=job.run.run_id))
    with job.ledger:
        try:
            return _judge_and_send(transit, job)
        except SourceChanged:  # the content is the same: the settings are others
            transit.ledger.runs.finish(job.run.run_no, _READ_OTHERWISE)
        except TakenOver:  # the run is another's, too
            raise
        except BaseException as error:
            transit.ledger.runs.finish(job.run.run_no, f"The run was ended by {type(error).__name__}.")
            raise
    log.warning("%s: %s", transit.file.shown, _READ_OTHERWISE)
    return _import(transit, anew=True)


def _job(transit: FileInTransit) -> Job:
    """A new run for the file, or the one that was cut off."""
    entry, file = transit.entry, transit.file
    try:
        source = file_source(transit.config, entry.import_name, transit.copy.path, file.shown)
        if entry.run_id is None:
            job = plan.start_file(transit.config, entry.import_name, source, file.name)
        else:
            job = replace(plan.resume(transit.config, entry.run_id), source=source)
            transit.ledger.runs.reopen(job.run.run_no)
    except ImporterError:
        if entry.run_id is None:
            transit.ledger.files.forget(entry.import_name, [entry.sha256])
        raise
    return replace(job, clock=transit.clock)


def _judge_and_send(transit: FileInTransit, job: Job) -> tuple[FileInTransit, Report]:
    """Judge the whole file, then send it or not."""
    may_be_half_sent = transit.entry.state == FileState.SENDING
    staged: dict[str, list[Chunk]] = {name: [] for name in job.destinations}
    try:
        pipeline.prepare(job)
        judging.judge(job, staged, transit.real_ledger)
    except SourceChanged:
        raise
    except SourceError as error:
        if may_be_half_sent:
            raise SourceError(f"{error} {_HALF_SENT}") from error
        still_ours(transit)
        judging.record_unsent(job, staged, judging.UNUSABLE)
        report = pipeline.finish(job, stopped=str(error))
        return marked(transit, replace(transit.entry, state=FileState.SPOILT)), report
    if not may_be_half_sent and judging.quarantine_reason(job, transit.folders.settings.max_bad_share):
        judging.record_unsent(job, staged, judging.QUARANTINED)
        report = pipeline.finish(job)
        return marked(transit, replace(transit.entry, state=FileState.SPOILT)), report
    transit = marked(transit, replace(transit.entry, state=FileState.SENDING))
    if transit.is_trial:
        judging.record_trial(job, staged, transit.real_ledger)
    else:
        pipeline.deliver_staged(job, staged)
    still_ours(transit)
    report = pipeline.finish(job)
    return marked(transit, replace(transit.entry, state=FileState.DELIVERED)), report


# -- answering it and moving it away


def finalize(transit: FileInTransit) -> tuple[FileInTransit, FileVerdict]:
    """Write the receipts of an imported file and move it to its place, as far as that is not done yet; it is done."""
    began = wall_clock()
    job = _imported_by(transit, transit.entry.run_id or "")
    good = transit.entry.state == FileState.DELIVERED
    with job.ledger:
        if transit.entry.path == transit.file.path:  # its place was not chosen yet
            place = moving.target_path(transit.folders, transit.file, good=good, unique=job.run.run_id)
            transit = marked(transit, replace(transit.entry, path=place))
        verdict = _verdict(transit, job)
        receipts.write(transit, job, verdict)
    still_ours(transit)
    moving.move_verified(transit.folders, transit.file.path, transit.entry.path, transit.copy)
    return replace(transit, entry=mark_final(transit.ledger, transit.entry, began)), verdict


def mark_final(ledger: Ledger, entry: FileInfo, at_ms: int) -> FileInfo:
    """Write down that nothing more is to be done for a file, answered at ``at_ms``."""
    final = FileState.DONE if entry.state == FileState.DELIVERED else FileState.PUT_ASIDE
    return ledger.files.mark(replace(entry, state=final, done_at_ms=at_ms))


def _imported_by(transit: FileInTransit, run_id: str) -> Job:
    return replace(plan.resume(transit.config, run_id), clock=transit.clock)


def _verdict(transit: FileInTransit, job: Job) -> FileVerdict:
    """What is said of the file as a whole, by what the ledger knows of it."""
    if transit.entry.state == FileState.DELIVERED:
        return FileVerdict(FileKind.DRY_RUN if transit.is_trial else FileKind.DELIVERED)
    if job.run.stop_detail:
        return FileVerdict(FileKind.UNUSABLE, job.run.stop_detail)
    return FileVerdict(FileKind.QUARANTINED, judging.quarantine_reason(job, transit.folders.settings.max_bad_share))


def _answer_again(transit: FileInTransit, run: RunInfo) -> Outcome:
    """The same content again, whatever its name: nothing is sent; the receipts say when and as what it was."""
    file = transit.file
    at = datetime.fromtimestamp(run.started_at_ms / 1000, UTC)
    why = f"Nothing was sent: this content was already imported on {at:%d %b %Y at %H:%M} UTC as {run.source}."
    now = datetime.fromtimestamp(transit.clock() / 1000, UTC)
    unique = f"{now:%Y%m%dT%H%M%S}-{inbox.sighting(file)[:6]}"
    place = moving.target_path(transit.folders, file, good=True, unique=unique)
    job = _imported_by(transit, run.run_id)
    with job.ledger:
        receipts.write(
            replace(transit, entry=replace(transit.entry, path=place)), job, FileVerdict(FileKind.REPEATED, why)
        )
    moving.move_verified(transit.folders, file.path, place, transit.copy)
    return Outcome(file, OutcomeState.REPEATED, why, place)
