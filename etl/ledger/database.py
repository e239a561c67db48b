"""The database under the ledger: how it is opened, brought to this version, read and written. SQLite or PostgreSQL."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import ARRAY

from etl.clock import Clock
from etl.errors import LedgerError
from etl.ledger import upgrade
from etl.redact import database_error, redact_database_url, secrets_in_url
from etl.shutdown import pause, tries

T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R", bound="_Room")

RECONNECT_S = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Waits between tries of what a run must read and write, while the database does not answer."""

LOCKED_S = 60
"""How long a transaction waits at a time while somebody else keeps SQLite's file to himself."""

_INSIDE_S = 0.5
"""How long SQLite itself waits for a lock: it hears no signal meanwhile."""

LOOKUP = 10_000  # keys per SELECT … IN (…); SQLite takes 32,766 parameters


class _Room(Protocol):
    """What asks the database."""

    @property
    def database(self) -> Database: ...


_NOW = {
    "sqlite": sa.text("SELECT CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"),
    "postgresql": sa.text("SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"),
}


class Database:
    """One ledger's database, opened by URL. Safe to share between threads.

    ``clock``: instead of its own, for tests.
    """

    def __init__(self, url: str, clock: Clock | None = None) -> None:
        self.url = url
        self._clock = clock
        self.engine = _engine(url)

    def upgrade(self) -> None:
        """Bring the tables to this version, making them if there are none. Raises LedgerError."""
        with _translating_errors(self):
            upgrade.to_head(self.engine, self.now_ms)

    def open(self) -> None:
        """Make the tables of an empty ledger, upgrade one in a file; on a server an upgrade is a person's decision.

        Raises LedgerError, which says what to do.
        """
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        with _translating_errors(self), self.engine.connect() as connection:
            found = upgrade.version(connection)
        if found is not None and found != upgrade.head() and self.is_postgresql:
            raise LedgerError(
                f"The ledger is of version {found}, this program needs {upgrade.head()}: stop all runs, then run "
                "`conversions ledger upgrade`."
            )
        if found != upgrade.head():
            self.upgrade()

    def close(self) -> None:
        """Give back the connections."""
        self.engine.dispose()

    @property
    def is_postgresql(self) -> bool:
        """True on PostgreSQL, False on SQLite."""
        return self.engine.dialect.name == "postgresql"

    def now_ms(self, connection: sa.Connection) -> int:
        """What the ledger's own clock says, epoch ms: of the server, or of the machine whose disk it is on."""
        if self._clock is not None:
            return self._clock()
        return int(connection.execute(_NOW[self.engine.dialect.name]).scalar_one())

    def insert_new(self, table: sa.Table, **values: Any) -> Any:
        """``INSERT`` that leaves out rows which are there already."""
        return self.upsert(table).values(**values).on_conflict_do_nothing()

    def upsert(self, table: sa.Table) -> Any:
        """``INSERT`` with an ``ON CONFLICT``, which each database spells in its own way."""
        return (postgresql.insert if self.is_postgresql else sqlite.insert)(table)

    def one_of(self, column: sa.ColumnElement[Any], values: Sequence[Any]) -> sa.ColumnElement[bool]:
        """``column IN values``; PostgreSQL plans one array far faster than ten thousand parameters."""
        if self.is_postgresql:
            return column == sa.any_(sa.bindparam(None, list(values), type_=ARRAY(column.type)))
        return column.in_(values)

    def retry_on_disconnect(self, work: Callable[[], T], *, also_locked: bool = False) -> T:
        """Do it again while the database restarts: what vendors answered, and the rest of a run, must not be lost.

        ``also_locked``: also while somebody keeps SQLite's file to himself for longer than a minute at a time. A
        process that is asked to end waits a few seconds at most.
        """
        for wait in RECONNECT_S:
            try:
                return work()
            except LedgerError as error:
                if not _is_disconnect(error.__cause__) and not (also_locked and _is_locked(error.__cause__)):
                    raise
                if not pause(wait):
                    raise
        return work()

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """One transaction that may write; SQLite's begins with the lock. Raises LedgerError."""
        with _translating_errors(self), self.engine.begin() as connection:
            yield connection

    @property
    def file(self) -> Path:
        """Where a ledger in a file lies."""
        return Path(str(self.engine.url.database))

    @contextmanager
    def snapshot(self) -> Iterator[sa.Connection]:
        """One transaction that sees everything as it was at its beginning. Raises LedgerError."""
        with _translating_errors(self), self.engine.connect() as connection:
            yield connection.execution_options(isolation_level="REPEATABLE READ")

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """One transaction that only reads. Raises LedgerError."""
        with _translating_errors(self), self.engine.connect().execution_options(reading=True) as connection:
            yield connection


def retry_on_disconnect(question: Callable[Concatenate[R, P], T]) -> Callable[Concatenate[R, P], T]:
    """A question that is asked again while the database restarts. Only for those that may be asked twice."""

    @wraps(question)
    def asked(room: R, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return room.database.retry_on_disconnect(lambda: question(room, *args, **kwargs))

    return asked


def _is_disconnect(error: BaseException | None) -> bool:
    """A connection that broke, or none to be had. Of PostgreSQL only: SQLite's troubles do not pass by themselves."""
    if not isinstance(error, sa.exc.DBAPIError) or "psycopg" not in type(error.orig).__module__:
        return False
    return error.connection_invalidated or isinstance(error, sa.exc.OperationalError)


def _is_locked(error: BaseException | None) -> bool:
    said = error.orig if isinstance(error, sa.exc.OperationalError) else error
    return isinstance(said, sqlite3.OperationalError) and "database is locked" in str(said)


def _once_unlocked(work: Callable[[], object]) -> None:
    """Do something, again and again while somebody else keeps SQLite's file to himself, in reach of signals."""
    locked: Exception | None = None
    for _ in tries(LOCKED_S):
        try:
            work()
        except (sa.exc.OperationalError, sqlite3.OperationalError) as error:
            if not _is_locked(error):
                raise
            locked = error
        else:
            return
    if locked is not None:
        raise locked


def chunked(values: Sequence[T], size: int = LOOKUP) -> Iterator[Sequence[T]]:
    """The values, so many at a time."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def file_of(url: str) -> Path | None:
    """Where the ledger of this URL lies, whatever its path is made of; None where it is on a server, or no URL."""
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        return None
    return Path(parsed.database) if parsed.get_backend_name() == "sqlite" and parsed.database else None


def _engine(url: str) -> sa.Engine:
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):  # ValueError: a port that is no number
        raise LedgerError("ledger: not a SQLAlchemy URL such as sqlite:///var/ledger.db") from None
    kind = parsed.get_backend_name()
    if kind not in ("sqlite", "postgresql"):
        raise LedgerError(f"ledger: {kind} is not supported; use SQLite or PostgreSQL")
    try:
        if not parsed.get_dialect().is_async:
            return _sqlite(parsed) if kind == "sqlite" else _postgresql(parsed)
    except (sa.exc.NoSuchModuleError, ImportError):
        pass
    raise LedgerError(f"ledger: the driver {parsed.get_driver_name()} cannot be used here; write {kind}://")


def _postgresql(url: sa.URL) -> sa.Engine:
    """Nothing is kept between transactions on the server's side, so that PgBouncer may stand between."""
    arguments = {"prepare_threshold": None} if url.get_driver_name() == "psycopg" else {}
    return sa.create_engine(url, pool_pre_ping=True, connect_args=arguments)


def _sqlite(url: sa.URL) -> sa.Engine:
    if url.database in (None, "", ":memory:"):
        raise LedgerError(
            "ledger: a database in memory forgets what was delivered; name a file: sqlite:///var/ledger.db"
        )
    Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    _make_private(Path(url.database))
    engine = sa.create_engine(url, connect_args={"timeout": _INSIDE_S})

    @sa.event.listens_for(engine, "connect")
    def _pragmas(dbapi: Any, _record: Any) -> None:
        dbapi.isolation_level = None  # we say BEGIN ourselves: a claim must read and write under one lock
        # Two processes that open a new ledger at once find it locked.
        _once_unlocked(lambda: dbapi.execute("PRAGMA journal_mode=WAL"))
        # FULL: a claim must survive a power cut, or the row would be sent twice.
        for pragma in (
            "synchronous=FULL",
            "cache_size=-32000",
            "wal_autocheckpoint=20000",
        ):
            dbapi.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        reading = connection.get_execution_options().get("reading")
        _once_unlocked(lambda: _begin_reading(connection) if reading else connection.exec_driver_sql("BEGIN IMMEDIATE"))

    return engine


def _make_private(file: Path) -> None:
    """A new ledger is its owner's alone, and so is what SQLite keeps beside it; who has one decides about it."""
    with suppress(OSError):  # it is there, or what is wrong is said when it is opened
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _begin_reading(connection: sa.Connection) -> None:
    """One state of the file, from now on; it is asked for here, so that no later question finds the file locked."""
    connection.exec_driver_sql("BEGIN")
    try:
        connection.exec_driver_sql("SELECT 1 FROM sqlite_master LIMIT 1").close()
    except sa.exc.DBAPIError:
        connection.exec_driver_sql("ROLLBACK")
        raise


@contextmanager
def _translating_errors(database: Database) -> Iterator[None]:
    """Turn a database's error into one sentence without the statement, its values or the password."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        said = database_error(error.orig or error, secrets_in_url(database.url))
        raise LedgerError(f"The ledger at {redact_database_url(database.url)} does not answer: {said}") from error
