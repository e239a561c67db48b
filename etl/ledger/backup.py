"""A copy of the whole ledger in one file, taken while runs go on, and put back.

The file is a SQLite database with the ledger's own tables, whatever the ledger itself is, so that it can be read, or
be a ledger, wherever it lies.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from etl.config import sqlite_url
from etl.errors import LedgerError
from etl.ledger import upgrade
from etl.ledger.database import Database
from etl.ledger.tables import meta

_BLOCK = 20_000
_SERIALS = {"runs": "run_no", "destinations": "destination_no", "names": "name_no", "verdicts": "verdict_no"}


def write(database: Database, target: Path) -> None:
    """Copy a ledger into a new file, only its owner's, as it was at one moment. Raises LedgerError."""
    if target.exists():
        raise LedgerError(f"{target} is there already; name a file that is not.")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = upgrade.private_file(target.with_name(f"{target.name}.part"))
    if database.is_postgresql:
        with closing(_opened(part)) as copy, database.snapshot() as source, copy.writing() as to:
            _copy(source, to)
    else:
        upgrade.copy_database(database.file, part)
    for suffix in ("-wal", "-shm"):
        part.with_name(f"{part.name}{suffix}").unlink(missing_ok=True)
    part.replace(target)


def restore(database: Database, source: Path) -> None:
    """Put a copy in the place of all that the ledger holds, in one transaction. Raises LedgerError.

    Not while a run lives. The copy is brought to this version in a copy of its own.
    """
    _check(source)
    with closing(_Copied(source)) as copy, copy.database.reading() as taken, database.writing() as ledger:
        upgrade.refuse_while_alive(ledger, database.now_ms(ledger), "A copy can be put back only")
        _copy(taken, ledger)


class _Copied:
    """A backup, copied and brought to this version."""

    def __init__(self, source: Path) -> None:
        self._part = upgrade.private_file(source.with_name(f".{source.name}.restoring"))
        upgrade.copy_database(source, self._part)
        self.database = _opened(self._part)

    def close(self) -> None:
        """Give it up."""
        self.database.close()
        for path in self._part.parent.glob(f"{self._part.name}*"):
            path.unlink()


def _opened(file: Path) -> Database:
    database = Database(sqlite_url(file))
    database.upgrade()
    return database


def _check(source: Path) -> None:
    try:
        with closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as given:
            (found,) = given.execute("SELECT version_num FROM alembic_version").fetchone()
    except (sqlite3.Error, TypeError):
        raise LedgerError(f"{source} is no copy of a ledger, or cannot be read.") from None
    if found > upgrade.head():
        raise LedgerError(f"{source} was written by a newer version of the program ({found}); install that one.")


def _copy(source: sa.Connection, target: sa.Connection) -> None:
    for table in meta.sorted_tables:
        target.execute(sa.delete(table))
        for rows in _rows(source, table):
            target.execute(sa.insert(table), rows)
    if target.dialect.name == "postgresql":
        for name, column in _SERIALS.items():
            highest = sa.select(sa.func.coalesce(sa.func.max(meta.tables[name].c[column]), 0) + 1).scalar_subquery()
            target.execute(sa.select(sa.func.setval(f"{name}_{column}_seq", highest, False)))


def _rows(source: sa.Connection, table: sa.Table) -> Iterator[list[dict[str, Any]]]:
    found = source.execution_options(yield_per=_BLOCK).execute(sa.select(table))
    for some in found.mappings().partitions(_BLOCK):
        yield [dict(row) for row in some]
