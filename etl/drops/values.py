"""Values: what a dropped file is, the states it goes through, and what became of it. Nothing is read or written here.

A file is known by its content, whatever its name. Each state is written down in the ledger before what follows it is
done, so that a round cut off anywhere is finished by the next one and nothing is sent twice:

sighted                it may still be growing
taken ─► sending ─► delivered ─► done         everything was sent ─► receipts written, moved to processed
      └► spoilt ─► put_aside                  nothing was sent ─► moved to quarantine; may be tried again
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path, PurePosixPath

from etl import filesystem
from etl.clock import Clock
from etl.config import Config
from etl.drops.folders import DropFolders
from etl.ledger import FileInfo, Ledger
from etl.redact import printable
from etl.report import Report

DRY_RUN = "dryrun"
"""The folder inside an inbox whose files are tried: judged and answered, never sent."""

RECEIPTS = (".result.csv", ".fix.csv", ".summary.html")
"""What stands behind a file's name in those of its receipts."""


class FileState(StrEnum):
    """How far a file is; these words stand in the ledger (``files.state``)."""

    SIGHTED = "sighted"  # `sha256` is then of its path and stamp, not of its content
    TAKEN = "taken"
    SENDING = "sending"
    DELIVERED = "delivered"
    DONE = "done"
    SPOILT = "spoilt"
    PUT_ASIDE = "put_aside"


class OutcomeState(StrEnum):
    """What a round made of a file."""

    PROCESSED = "processed"
    QUARANTINED = "quarantined"
    TRIED = "tried"
    REPEATED = "repeated"
    BUSY = "busy"  # another process has it, or it is being written
    LEFT = "left"  # it stays where it is, because of an error
    UPDATED = "updated"  # processed before; its receipts were to be brought up to date


class FileKind(StrEnum):
    """What is said of a file as a whole. Only of a delivered one anything was sent."""

    DELIVERED = "delivered"
    QUARANTINED = "quarantined"  # too many bad rows
    UNUSABLE = "unusable"  # it cannot be read
    DRY_RUN = "dry_run"
    REPEATED = "repeated"  # imported before


@dataclass(frozen=True)
class FileVerdict:
    """What is said of a file as a whole, and why, for its sender; lines after the first are shown as they are."""

    kind: FileKind
    why: str = ""


@dataclass(frozen=True)
class Dropped:
    """A file in an inbox. ``stamp`` changes when its content does: modification time or etag, with the size."""

    import_name: str
    path: str
    size: int
    stamp: str
    changed_at_ms: int | None
    dry_run: bool

    @property
    def name(self) -> str:
        """What its sender calls it."""
        return PurePosixPath(self.path).name

    @property
    def shown(self) -> str:
        """Its name without what a terminal would obey."""
        return printable(self.name)


@dataclass(frozen=True)
class Outcome:
    """What became of one file. ``place`` is where it lies now, ``stopped``: it could not be processed at all."""

    file: Dropped
    state: OutcomeState
    sentence: str = ""
    place: str = ""
    report: Report | None = None
    stopped: bool = False

    @property
    def exit_code(self) -> int:
        """As `Report.exit_code`; a file that could not be read at all is a stop."""
        if self.stopped:
            return 2
        if self.state is OutcomeState.LEFT:
            return max(1, self.report.exit_code if self.report else 0)
        return self.report.exit_code if self.report else 0


@dataclass(frozen=True)
class Scan:
    """What an inbox holds now: files to be processed, and files that may still be growing.

    ``updated``: files of earlier rounds that are answered now or still owed it, or whose rows were sent again since.
    """

    ready: list[Dropped]
    growing: list[Dropped]
    updated: list[Outcome]


@dataclass(frozen=True)
class LocalCopy:
    """A dropped file as it was at one moment, on this machine. ``folder`` is deleted with it."""

    folder: Path
    path: Path
    sha256: str


@dataclass(frozen=True)
class FileInTransit:
    """One file on its way from an inbox to its receipts.

    ``entry`` is what ``ledger`` knows of it. Of a trial ``config`` names a ledger (this one) and a staging that are
    thrown away with the copy. ``real_ledger`` is the one that knows what was delivered before; a trial only reads it.
    """

    config: Config = field(repr=False)
    folders: DropFolders
    file: Dropped
    copy: LocalCopy
    entry: FileInfo
    ledger: Ledger
    real_ledger: Ledger
    clock: Clock

    @property
    def is_trial(self) -> bool:
        """True when nothing is to be sent."""
        return self.file.dry_run


def stem_and_suffix(name: str) -> tuple[str, str]:
    """``orders.csv.gz`` as ``orders`` and ``.csv.gz``."""
    whole = PurePosixPath(name)
    inner = PurePosixPath(whole.stem) if whole.suffix.lower() in filesystem.COMPRESSIONS else whole
    return inner.stem, name[len(inner.stem) :]
