"""The ledger's version: making its tables, and bringing those of an earlier version to this one.

An upgrade is one transaction, so that where it is interrupted nothing has happened and it is begun again. Before it, a
ledger in a file is copied beside itself; PostgreSQL keeps the tables of before under other names.
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from etl.errors import LedgerError

log = logging.getLogger("conversions")

_MIGRATIONS = Path(__file__).parents[1] / "migrations"
_LOCK = 7_163_201_104
_SPACE = 3
"""Free bytes needed for each byte of a ledger in a file: its copy, the new tables, and what SQLite writes ahead."""

_VERSION = sa.text("SELECT version_num FROM alembic_version")
_ALIVE = sa.text(
    "SELECT run_id, lease_until_ms FROM runs WHERE finished_at_ms IS NULL AND lease_until_ms > :now ORDER BY run_no"
)


def head() -> str:
    """The version that this program needs: the name of the last migration."""
    return max(_versions())


def _versions() -> set[str]:
    return {path.name[1:5] for path in (_MIGRATIONS / "versions").glob("v????_*.py")}


def version(connection: sa.Connection) -> str | None:
    """The version of a ledger's tables; None when there are none."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(_VERSION).scalar()
    return found


def to_head(engine: sa.Engine, now_ms: Callable[[sa.Connection], int]) -> None:
    """Make the tables, or bring them to this version. Raises LedgerError where that is not safe now.

    ``now_ms`` asks the ledger's clock, by which runs live.
    """
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":  # two first runs at once; SQLite's BEGIN IMMEDIATE does it
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        found = version(connection)
        if found == head():
            return
        if found is not None:
            _refuse_unknown(found)
            refuse_while_alive(connection, now_ms(connection), "The ledger has to be upgraded, which is possible only")
            if engine.url.get_backend_name() == "sqlite":
                _copy(Path(str(engine.url.database)), found)
            log.warning("upgrading the ledger from version %s to %s; this may take minutes", found, head())
        _migrate(connection)


def _migrate(connection: sa.Connection) -> None:
    import alembic.command
    import alembic.config

    config = alembic.config.Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    alembic.command.upgrade(config, "head")


def _refuse_unknown(found: str) -> None:
    if found not in _versions():
        raise LedgerError(
            f"The ledger is of version {found}, which this program does not know (it needs {head()}): install the "
            "version of the program that wrote it, or a newer one."
        )


def refuse_while_alive(connection: sa.Connection, now_ms: int, what: str) -> None:
    """Raise LedgerError where a run is going; ``what`` begins the sentence."""
    alive = connection.execute(_ALIVE, {"now": now_ms}).first()
    if alive is not None:
        until = datetime.fromtimestamp(alive.lease_until_ms / 1000, UTC)
        raise LedgerError(
            f"{what} while nothing runs: run {alive.run_id} is still going, or its process died not long ago. Wait for "
            f"its end, at the latest until {until:%Y-%m-%d %H:%M:%S} UTC."
        )


def private_file(path: Path) -> Path:
    """A new and empty file in the place of any of that name, which only its owner may read."""
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600))
    return path


def copy_database(source: Path, target: Path) -> None:
    """Copy a SQLite database as it is at one moment, whoever writes to it meanwhile."""
    with closing(sqlite3.connect(source)) as given, closing(sqlite3.connect(target)) as to:
        given.backup(to)


def _copy(file: Path, found: str) -> None:
    """A copy that is whole and only its owner's, beside the ledger. Raises LedgerError where there is no room."""
    size = sum(path.stat().st_size for path in (file, file.with_name(f"{file.name}-wal")) if path.exists())
    free = shutil.disk_usage(file.parent).free
    if free < _SPACE * size:
        raise LedgerError(
            f"The ledger has to be upgraded, which takes about {_SPACE * size / 1e6:,.0f} MB of free space beside it; "
            f"there are {free / 1e6:,.0f} MB. Make room, then run `conversions ledger upgrade`."
        )
    copy = file.with_name(f"{file.name}.before-{found}-upgrade")
    part = private_file(copy.with_name(f"{copy.name}.part"))
    copy_database(file, part)
    part.replace(copy)
    log.warning("the ledger as it was is kept in %s", copy.name)
