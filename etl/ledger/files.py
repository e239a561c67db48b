"""Dropped files: one per import and content, whatever its name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from etl.ledger.database import Database, parts
from etl.ledger.tables import entries, files, runs
from etl.ledger.values import FileInfo


class Files(Database):
    """The part of the ledger that remembers dropped files."""

    def file(self, import_name: str, sha256: str) -> FileInfo | None:
        """A file by its content; None when this import has not met it."""
        found = self._files_where(files.c.import_name == import_name, files.c.sha256 == sha256)
        return found[0] if found else None

    def files(self, import_name: str, states: Iterable[str]) -> list[FileInfo]:
        """The files of an import that are in one of these states, oldest first."""
        return self._files_where(files.c.import_name == import_name, files.c.state.in_(list(states)))

    def files_retried(self, import_name: str, states: Iterable[str]) -> list[FileInfo]:
        """Of the files in one of these states those whose rows were sent again since they were last answered."""
        since = sa.select(runs.c.run_no).where(
            runs.c.retry_of == files.c.run_id,
            runs.c.finished_at_ms >= files.c.done_at_ms,
            sa.exists().where(entries.c.run_no == runs.c.run_no),
        )
        return self._files_where(
            files.c.import_name == import_name, files.c.state.in_(list(states)), since.correlate(files).exists()
        )

    def take_file(self, new: FileInfo, before: FileInfo | None) -> bool:
        """Write a file down as taken, if it still is as it was ``before``; False when somebody was faster."""
        values = {name: getattr(new, name) for name in FileInfo.__slots__}
        with self._writing() as connection:
            mine = (files.c.import_name == new.import_name) & (files.c.sha256 == new.sha256)
            there = connection.execute(sa.select(files).where(mine).with_for_update()).mappings().first()
            if (None if there is None else FileInfo(**there)) != before:
                return False
            if before is None:
                connection.execute(sa.insert(files).values(values))
            else:
                connection.execute(sa.update(files).where(mine).values(values))
        return True

    def mark_file(self, info: FileInfo) -> FileInfo:
        """Write a file's new state down."""
        change = sa.update(files).where(files.c.import_name == info.import_name, files.c.sha256 == info.sha256)
        with self._writing() as connection:
            connection.execute(change.values({name: getattr(info, name) for name in FileInfo.__slots__}))
        return info

    def forget_files(self, import_name: str, keys: Sequence[str]) -> None:
        """Forget files by what stands in ``sha256``."""
        with self._writing() as connection:
            for part in parts(keys):
                connection.execute(
                    sa.delete(files).where(files.c.import_name == import_name, self._in(files.c.sha256, part))
                )

    def _files_where(self, *conditions: sa.ColumnElement[bool]) -> list[FileInfo]:
        asked = sa.select(files).where(*conditions).order_by(files.c.seen_at_ms, files.c.sha256)
        with self._reading() as connection:
            return [FileInfo(**row) for row in connection.execute(asked).mappings()]
