"""Dropped files: one per import and content, whatever its name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from etl.errors import LedgerError
from etl.ledger.database import Database, chunked
from etl.ledger.tables import entries, files, runs
from etl.ledger.values import FileInfo

# Which files are there? Oldest first.
_FILES = sa.select(
    files.c.import_name,
    files.c.sha256,
    files.c.path,
    files.c.bytes,
    files.c.state,
    files.c.run_id,
    files.c.seen_at_ms,
    files.c.done_at_ms,
).order_by(files.c.seen_at_ms, files.c.sha256)

_OF_IMPORT = files.c.import_name == sa.bindparam("name")
_ONE = _OF_IMPORT & (files.c.sha256 == sa.bindparam("content"))

# What is known of this import's file with this content?
_FILE = _FILES.where(_ONE)

# Which files of this import are in one of these states?
_IN_STATES = _FILES.where(_OF_IMPORT, files.c.state.in_(sa.bindparam("states", expanding=True)))

# Of those, which had rows sent again since they were last answered?
_RETRIED = _IN_STATES.where(
    sa.select(runs.c.run_no)
    .where(
        runs.c.retry_of == files.c.run_id,
        runs.c.finished_at_ms >= files.c.done_at_ms,
        sa.exists().where(entries.c.run_no == runs.c.run_no),
    )
    .correlate(files)
    .exists()
)


@dataclass(frozen=True)
class Files:
    """The part of the ledger that remembers dropped files."""

    database: Database

    def find(self, import_name: str, sha256: str) -> FileInfo | None:
        """A file by its content; None when this import has not met it."""
        found = self._files(_FILE, {"name": import_name, "content": sha256})
        return found[0] if found else None

    def in_states(self, import_name: str, states: Iterable[str]) -> list[FileInfo]:
        """The files of an import that are in one of these states, oldest first."""
        return self._files(_IN_STATES, {"name": import_name, "states": list(states)})

    def retried(self, import_name: str, states: Iterable[str]) -> list[FileInfo]:
        """Of the files in one of these states those whose rows were sent again since they were last answered."""
        return self._files(_RETRIED, {"name": import_name, "states": list(states)})

    def take(self, new: FileInfo, before: FileInfo | None) -> bool:
        """Write a file's new state down, if it still is as it was ``before``; False when somebody was faster."""
        try:
            return self._take(new, before)
        except LedgerError as error:
            if isinstance(error.__cause__, sa.exc.IntegrityError):  # two that met it first, at once
                return False
            raise

    def _take(self, new: FileInfo, before: FileInfo | None) -> bool:
        key = {"name": new.import_name, "content": new.sha256}
        with self.database.writing() as connection:
            known = connection.execute(_FILE.with_for_update(), key).mappings().first()
            if (None if known is None else FileInfo(**known)) != before:
                return False
            if before is None:
                connection.execute(sa.insert(files).values(asdict(new)))
            else:
                connection.execute(_change(new))
        return True

    def mark(self, info: FileInfo) -> FileInfo:
        """Write a file's new state down."""
        with self.database.writing() as connection:
            connection.execute(_change(info))
        return info

    def forget(self, import_name: str, keys: Sequence[str]) -> None:
        """Forget files by what stands in ``sha256``."""
        of_import = sa.delete(files).where(files.c.import_name == import_name)
        with self.database.writing() as connection:
            for some in chunked(keys):
                connection.execute(of_import.where(self.database.one_of(files.c.sha256, some)))

    def _files(self, question: sa.Select[Any], values: Mapping[str, Any]) -> list[FileInfo]:
        with self.database.reading() as connection:
            return [FileInfo(**row) for row in connection.execute(question, values).mappings()]


def _change(info: FileInfo) -> sa.Update:
    """This file is now as ``info`` says."""
    key = (files.c.import_name == info.import_name, files.c.sha256 == info.sha256)
    return sa.update(files).where(*key).values(asdict(info))
