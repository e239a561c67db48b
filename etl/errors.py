"""The few ways a run can stop. Each carries one sentence: what happened, to whom, what to do.

ImporterError
├── ConfigError          settings: carries the path of the key
├── SourceError          the source cannot be read
│   ├── SourceMissing    there is no file where one is looked for
│   └── SourceChanged    it can, and is not what this run has read and given results to
├── LookupFailed         a vendor's datafile or goals cannot be had; stops that destination
├── DestinationStopped   the vendor refuses everybody (401, 403, 404 …) or is down; stops that destination
├── Interrupted          a person or the system ended the run; what is recorded is true, the rest goes next time
├── LedgerError          the ledger cannot be used
└── SumMismatch          rows read and results differ: never silent
"""

from __future__ import annotations


class ImporterError(Exception):
    """Base of every error we raise on purpose; ``str(error)`` is the sentence shown to people."""


class ConfigError(ImporterError):
    """Settings that cannot be used; the sentence starts with the path of the key."""


class SourceError(ImporterError):
    """A source that cannot be read at all."""


class SourceMissing(SourceError):
    """No file is there; an import with ``missing: skip`` goes without."""


class SourceChanged(SourceError):
    """A run that reads its source again finds other rows, or the same ones cut or read otherwise."""


class LookupFailed(ImporterError):
    """Something a destination needs before a run could not be had.

    ``reason`` is the short code that its rows get (``datafile_unavailable`` …).
    """

    def __init__(self, sentence: str, reason: str = "lookup_failed") -> None:
        super().__init__(sentence)
        self.reason = reason


class DestinationStopped(ImporterError):
    """A destination that takes nothing more in this run; its remaining rows become ``failed``."""

    def __init__(self, sentence: str, reason: str) -> None:
        super().__init__(sentence)
        self.reason = reason


class Interrupted(ImporterError):
    """The process was asked to end; what was on the wire is recorded, the rest was not touched."""


class LedgerError(ImporterError):
    """The ledger cannot be opened, is of another version, or lost its connection."""


class SumMismatch(ImporterError):
    """Rows read differ from the sum over the statuses of a destination."""
