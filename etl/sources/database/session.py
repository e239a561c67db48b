"""A database's session: it only reads, its clock is UTC, and its values come as they are stored.

Moments that a driver cannot hold come as text and JSON as written, to be judged like any other cell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeAlias
from urllib.parse import quote

import sqlalchemy as sa

FETCH = 5_000
"""Rows asked of the server at a time."""

_MYSQL = ("mysql", "mariadb")
_MYSQL_TIMESTAMP = 7  # the protocol's type for a moment; DATETIME, which has no zone, is 12
_MYSQL_BIT = 16
_SINGLE = {"mysql": 4, "mariadb": 4, "postgresql": 700}
"""The protocols' types for floating-point numbers of 32 bits."""


@contextmanager
def connected(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection that streams its results; the engine is disposed of at the end."""
    connection = engine.connect().execution_options(stream_results=True, yield_per=FETCH)
    try:
        yield connection
    except BaseException:
        connection.invalidate()  # there may be unread rows on the line
        raise
    finally:
        connection.close()
        engine.dispose()


@contextmanager
def closing(result: sa.CursorResult[Any]) -> Iterator[None]:
    """Close a result at the end; after an error without reading the rest of it.

    PyMySQL reads an unbuffered result to its end before it closes it, were it hours, and offers no public way to leave
    it unread (1.2.4, read 2026-11-27); its connection is invalidated anyhow, see `connected`. Where the attributes are
    missing, another driver or another version, the result is just closed.
    """
    try:
        yield
    except BaseException:
        unread = getattr(result.cursor, "_result", None)
        if unread is not None:
            unread.unbuffered_active = False
        raise
    finally:
        result.close()


def read_only(url: sa.URL) -> sa.URL:
    """The URL of a file of SQLite, opened so that it is only read, whatever its name is made of."""
    return url.set(database=f"file:{quote(url.database or '')}", query={**url.query, "uri": "true", "mode": "ro"})


def prepare(engine: sa.Engine) -> None:
    """Have every session of the engine set up as its database needs it."""
    on_connect = _ON_CONNECT.get(engine.dialect.name)
    if on_connect is not None:
        sa.event.listen(engine, "connect", on_connect)


def _on_postgresql(connection: Any, _record: Any) -> None:
    """JSON as written, and moments beyond Python's calendar (infinity) as text."""
    from psycopg import DataError
    from psycopg.types.datetime import DateLoader, TimestampLoader, TimestamptzLoader
    from psycopg.types.string import TextLoader

    for name, loader in {"date": DateLoader, "timestamp": TimestampLoader, "timestamptz": TimestamptzLoader}.items():
        connection.adapters.register_loader(name, _or_text(loader, DataError))
    for name in ("json", "jsonb", "interval"):
        connection.adapters.register_loader(name, TextLoader)
    connection.execute("SET TIME ZONE 'UTC'")
    connection.execute("SET datestyle TO 'ISO, YMD'")
    connection.commit()
    connection.read_only = True  # of every transaction, and no setting that a pooler would hand to the next session


def _or_text(loader: Any, error: type[Exception]) -> Any:
    """A loader of psycopg that gives the text where the value cannot be loaded."""

    def load(self: Any, data: Any) -> Any:
        try:
            return loader.load(self, data)
        except error:
            return bytes(data).decode()

    return type(f"{loader.__name__}OrText", (loader,), {"load": load})


def _on_mysql(connection: Any, _record: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET time_zone = '+00:00'")
        cursor.execute("SET SESSION TRANSACTION READ ONLY")


def _on_sqlite(connection: Any, _record: Any) -> None:
    connection.text_factory = _text_or_bytes
    connection.execute("PRAGMA query_only = ON")


def _text_or_bytes(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


_ON_CONNECT = {"postgresql": _on_postgresql, **dict.fromkeys(_MYSQL, _on_mysql), "sqlite": _on_sqlite}


# -- values


Correction: TypeAlias = Callable[[Any], Any]


def corrections(result: sa.CursorResult[Any], dialect: str) -> dict[int, Correction]:
    """Positions of columns whose values a driver gives otherwise than they are meant, and how they are put right.

    TIMESTAMP of MySQL is in the session's UTC, and comes without it; its BIT is bytes, where one bit is true or false
    and several are a number.
    """
    if dialect not in _MYSQL:
        return {}
    found: dict[int, Correction] = {}
    for at, (_, kind, _, length, *_) in enumerate(_description(result)):
        if kind == _MYSQL_TIMESTAMP:
            found[at] = _with_zone
        elif kind == _MYSQL_BIT:
            found[at] = _truth if length == 1 else _number
    return found


def corrected(row: Sequence[Any], corrections: Mapping[int, Correction]) -> list[Any]:
    """The row with its values put right."""
    values = list(row)
    for at, correction in corrections.items():
        values[at] = correction(values[at])
    return values


def single_precision(result: sa.CursorResult[Any], dialect: str) -> list[int]:
    """Positions of columns of floating-point numbers of 32 bits: FLOAT of MySQL, REAL of PostgreSQL."""
    kinds = _SINGLE.get(dialect)
    return [at for at, description in enumerate(_description(result)) if kinds is not None and description[1] == kinds]


def _description(result: sa.CursorResult[Any]) -> Sequence[Sequence[Any]]:
    description: Sequence[Sequence[Any]] | None = getattr(result.cursor, "description", None)
    return description or []


def _with_zone(value: Any) -> Any:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value


def _truth(value: Any) -> Any:
    return value != b"\x00" if isinstance(value, bytes) else value


def _number(value: Any) -> Any:
    return int.from_bytes(value, "big") if isinstance(value, bytes) else value


def bind_value(value: Any, dialect: str) -> Any:
    """A value as each database compares it with its own."""
    if not isinstance(value, datetime) or dialect == "postgresql":
        return value
    if value.tzinfo is not None:
        value = value.astimezone(UTC)
    return value.replace(tzinfo=None) if dialect in _MYSQL else value.isoformat()
