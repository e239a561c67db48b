"""Rounds: what earlier rounds left is finished, inboxes are listed, and what has come to rest is processed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from etl import filesystem
from etl.clock import Clock, wall_clock
from etl.config import Config
from etl.drops import copies, hands, inbox, intake, moving, receipts
from etl.drops.fix_file import file_source
from etl.drops.folders import DropFolders, drop_folders
from etl.drops.values import (
    Dropped,
    FileInTransit,
    FileKind,
    FileState,
    FileVerdict,
    LocalCopy,
    Outcome,
    OutcomeState,
    Scan,
)
from etl.errors import ConfigError, ImporterError, SourceError
from etl.ledger import FileInfo, Ledger, RunInfo, open_ledger
from etl.redact import trace
from etl.sources.base import Window
from etl.stages import plan

log = logging.getLogger("conversions")


def process_all(config: Config, names: Sequence[str], clock: Clock = wall_clock) -> tuple[list[Outcome], list[Dropped]]:
    """Process what has come to rest in the inboxes of these imports; the outcomes, and the files still growing."""
    outcomes: list[Outcome] = []
    growing: list[Dropped] = []
    for name in names:
        seen = scan(config, name, clock)
        growing += seen.growing
        outcomes += seen.updated
        owed = {outcome.file.path for outcome in seen.updated if outcome.state is OutcomeState.LEFT}
        outcomes += [_process(config, file, clock) for file in seen.ready if file.path not in owed]
    return outcomes, growing


def _process(config: Config, file: Dropped, clock: Clock) -> Outcome:
    """One file, such that it blocks no other."""
    try:
        return intake.process(config, file, clock)
    except ImporterError as error:
        log.error("%s: %s", file.shown, error)
        return Outcome(file, OutcomeState.LEFT, str(error), stopped=True)
    except Exception as error:  # noqa: BLE001 (no file may block the others; its text may hold values)
        log.debug("%s: %s", file.shown, trace(error))
        return Outcome(file, OutcomeState.LEFT, f"Unexpected {type(error).__name__}.", stopped=True)


@dataclass(frozen=True)
class Round:
    """One look at the inbox of one import."""

    config: Config = field(repr=False)
    folders: DropFolders
    ledger: Ledger
    clock: Clock

    def transit(self, entry: FileInfo, path: str, copy: LocalCopy) -> FileInTransit:
        """A file that an earlier round has taken from ``path``."""
        return FileInTransit(
            self.config, self.folders, _dropped(entry, path), copy, entry, self.ledger, self.ledger, self.clock
        )


def _dropped(entry: FileInfo, path: str) -> Dropped:
    return Dropped(entry.import_name, path, entry.bytes, "", None, dry_run=False)


def scan(config: Config, import_name: str, clock: Clock = wall_clock) -> Scan:
    """Finish what an earlier round left, then see which files have come to rest."""
    folders = drop_folders(config, import_name)
    copies.clear_left(config)
    with open_ledger(config) as ledger:
        this = Round(config, folders, ledger, clock)
        updated = finish_left(this) + refresh_receipts(this)
        moving.give_readable_names(folders)
        found = inbox.list_files(folders)
        ready = inbox.settled(folders, ledger, found, clock())
    return Scan(ready, [file for file in found if file not in ready], updated)


# -- files whose import ended, and which were not answered or moved


def finish_left(this: Round) -> list[Outcome]:
    """Answer and move the files whose import ended before that was done; what became of them."""
    outcomes: list[Outcome] = []
    for entry in this.ledger.files.in_states(this.folders.import_name, [FileState.DELIVERED, FileState.SPOILT]):
        run = this.ledger.runs.find(entry.run_id or "")
        if run is None:  # forgotten by age; what still lies in the inbox is imported anew
            this.ledger.files.forget(entry.import_name, [entry.sha256])
            continue
        try:
            with hands.held(this.ledger, entry.import_name, entry.sha256) as ours:
                if ours and this.ledger.files.find(entry.import_name, entry.sha256) == entry:
                    outcomes.append(_finish(this, entry, run))
        except hands.TakenOver as error:
            log.warning("%s", error)
        except filesystem.OUT_OF_REACH as error:  # nothing more is sent of it; the next round answers and moves it
            file, sentence = _dropped(entry, _origin(this, entry, run)), intake.owed(error)
            log.warning("%s: %s", file.shown, sentence)
            outcomes.append(Outcome(file, OutcomeState.LEFT, sentence))
    return outcomes


def _origin(this: Round, entry: FileInfo, run: RunInfo) -> str:
    is_in_inbox = PurePosixPath(entry.path).parent == PurePosixPath(this.folders.inbox)
    return entry.path if is_in_inbox else f"{this.folders.inbox}/{run.source}"


def _finish(this: Round, entry: FileInfo, run: RunInfo) -> Outcome:
    origin = _origin(this, entry, run)
    with copies.stored_copy(this.config, this.folders, [entry.path, origin], entry.sha256) as copy:
        if copy is None:
            log.error("%s: the file is gone, so there are no receipts; run %s stands in the ledger", origin, run.run_id)
            entry = intake.mark_final(this.ledger, entry, wall_clock())
            sentence = "it was imported, and is gone, so there are no receipts."
            return Outcome(_dropped(entry, origin), OutcomeState.UPDATED, sentence)
        if copies.content_hash(this.folders, entry.path) not in (None, entry.sha256):  # the name was taken meanwhile
            entry = this.ledger.files.mark(replace(entry, path=origin))
        done, _ = intake.finalize(this.transit(entry, origin, copy))
        sentence = "it was imported by an earlier round, and is answered and moved away now."
        return Outcome(done.file, OutcomeState.UPDATED, sentence, done.entry.path)


# -- files whose rows were sent again


def refresh_receipts(this: Round) -> list[Outcome]:
    """Write the receipts anew of files whose rows were sent again since: what they say is true no more."""
    retried = this.ledger.files.retried(this.folders.import_name, [FileState.DONE])
    outcomes: list[Outcome] = []
    for entry in retried:
        with hands.held(this.ledger, entry.import_name, entry.sha256) as ours:
            if ours and this.ledger.files.find(entry.import_name, entry.sha256) == entry:
                outcomes.append(_refresh(this, entry))
    return outcomes


def _refresh(this: Round, entry: FileInfo) -> Outcome:
    file = _dropped(entry, entry.path)
    done_at_ms = wall_clock()
    try:
        why = _rewrite(this, entry)
    except (ConfigError, SourceError) as error:  # the settings are others by now; it stays so
        why = str(error)
    except ImporterError as error:
        why, done_at_ms = str(error), entry.done_at_ms or 0  # the next round tries again
    except filesystem.OUT_OF_REACH as error:  # in somebody's Excel, in cold storage: no reason to stop the others
        why, done_at_ms = f"{intake.trouble(error)}; the next round tries again.", entry.done_at_ms or 0
    sentence = "its rows were sent again, and its receipts say so now."
    if why:
        sentence = f"its receipts stay as they were before the retry: {why}"
    log.log(logging.WARNING if why else logging.INFO, "%s: %s", file.shown, sentence)
    this.ledger.files.mark(replace(entry, done_at_ms=done_at_ms))
    return Outcome(file, OutcomeState.UPDATED, sentence, entry.path)


def _rewrite(this: Round, entry: FileInfo) -> str:
    """Write one file's receipts anew; why that cannot be, if so."""
    run = this.ledger.runs.find(entry.run_id or "")
    if run is None or intake.is_forgotten(this.ledger, run.run_no):
        return "the ledger has forgotten some of its rows by age."
    with copies.stored_copy(this.config, this.folders, [entry.path], entry.sha256) as copy:
        if copy is None:
            return f"the file is no longer at {entry.path}; `conversions results` has the news."
        job = replace(plan.resume(this.config, run.run_id), clock=this.clock)
        with job.ledger:
            source = file_source(this.config, run.import_name, copy.path, run.source)
            for _ in source.frames(Window(), job.settings.chunk_rows):  # it must be readable still, to its end
                continue
            transit = this.transit(entry, entry.path, copy)
            receipts.write(transit, job, FileVerdict(FileKind.DELIVERED), written_at_ms=entry.done_at_ms)
    return ""
