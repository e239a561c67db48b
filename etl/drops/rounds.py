"""Rounds: what earlier rounds left is finished, inboxes are listed, and what has come to rest is processed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from etl import filesystem
from etl.clock import Clock, wall_clock
from etl.config import Config
from etl.drops import copies, inbox, intake, moving, receipts
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
        outcomes += [_process(config, file, clock) for file in seen.ready]
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
    with open_ledger(config) as ledger:
        this = Round(config, folders, ledger, clock)
        finish_left(this)
        updated = refresh_receipts(this)
        moving.give_readable_names(folders)
        found = inbox.list_files(folders)
        ready = inbox.settled(folders, ledger, found, clock())
    return Scan(ready, [file for file in found if file not in ready], updated)


# -- files whose import ended, and which were not answered or moved


def finish_left(this: Round) -> None:
    """Answer and move the files whose import ended before that was done."""
    for entry in this.ledger.files.in_states(this.folders.import_name, [FileState.DELIVERED, FileState.SPOILT]):
        run = this.ledger.runs.find(entry.run_id or "")
        if run is None:  # forgotten by age; what still lies in the inbox is imported anew
            this.ledger.files.forget(entry.import_name, [entry.sha256])
            continue
        try:
            _finish(this, entry, run)
        except filesystem.OUT_OF_REACH as error:  # nothing more is sent of it; the next round answers and moves it
            log.warning("%s: imported, but not moved yet: %s; the next round tries again.", run.source, _trouble(error))


def _finish(this: Round, entry: FileInfo, run: RunInfo) -> None:
    is_in_inbox = PurePosixPath(entry.path).parent == PurePosixPath(this.folders.inbox)
    origin = entry.path if is_in_inbox else f"{this.folders.inbox}/{run.source}"
    with copies.stored_copy(this.folders, [entry.path, origin], entry.sha256) as copy:
        if copy is None:
            log.error("%s: the file is gone, so there are no receipts; run %s stands in the ledger", origin, run.run_id)
            intake.mark_final(this.ledger, entry, wall_clock())
            return
        if copies.content_hash(this.folders, entry.path) not in (None, entry.sha256):  # the name was taken meanwhile
            entry = replace(entry, path=origin)
        intake.finalize(this.transit(entry, origin, copy))


def _trouble(error: Exception) -> str:
    return f"a file there is locked or out of reach ({filesystem.trouble(error)})"


# -- files whose rows were sent again


def refresh_receipts(this: Round) -> list[Outcome]:
    """Write the receipts anew of files whose rows were sent again since: what they say is true no more."""
    retried = this.ledger.files.retried(this.folders.import_name, [FileState.DONE])
    return [_refresh(this, entry) for entry in retried]


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
        why, done_at_ms = f"{_trouble(error)}; the next round tries again.", entry.done_at_ms or 0
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
    with copies.stored_copy(this.folders, [entry.path], entry.sha256) as copy:
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
