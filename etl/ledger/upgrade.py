"""The ledger's version: making its tables, and bringing those of an earlier version to this one.

An upgrade is one transaction, so that where it is interrupted nothing has happened and it is begun again. Before it, a
ledger in a file is copied beside itself; PostgreSQL keeps the tables of before under other names.
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from etl.clock import Clock
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
    return max(path.name[1:5] for path in (_MIGRATIONS / "versions").glob("v????_*.py"))


def version(connection: sa.Connection) -> str | None:
    """The version of a ledger's tables; None when there are none."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(_VERSION).scalar()
    return found


def to_head(engine: sa.Engine, clock: Clock) -> None:
    """Make the tables, or bring them to this version. Raises LedgerError where that is not safe now."""
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":  # two first runs at once; SQLite's BEGIN IMMEDIATE does it
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        found = version(connection)
        if found == head():
            return
        if found is not None:
            _refuse_unknown(found)
            refuse_while_alive(connection, clock(), "The ledger has to be upgraded, which is possible only")
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
    known = {path.name[1:5] for path in (_MIGRATIONS / "versions").glob("v????_*.py")}
    if found not in known:
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
    part = copy.with_name(f"{copy.name}.part")
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600))
    with closing(sqlite3.connect(file)) as ledger, closing(sqlite3.connect(part)) as target:
        ledger.backup(target)
    part.replace(copy)
    log.warning("the ledger as it was is kept in %s", copy.name)
