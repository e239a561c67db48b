"""A database: a query over the window, a table or view, or what is new since the last run. Streamed, never paged.

Every value becomes exact text (see `exact_text`). The session's clock is UTC: ``:start`` and ``:end`` are aware moments
on PostgreSQL, moments in UTC on MySQL and MariaDB, and ISO 8601 text (2026-11-20T21:00:00+00:00) on SQLite, where
``datetime(occurred_at) >= datetime(:start)`` compares whatever way the column is written.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from etl.errors import SourceError
from etl.redact import database_error, redact_database_url
from etl.sources.base import Source, SourceSettings, Window
from etl.sources.formats import exact_text

FETCH = 5_000
"""Rows asked of the server at a time."""

_DRIVERS = {
    **dict.fromkeys(("postgres", "postgresql"), "postgresql+psycopg"),
    **dict.fromkeys(("mysql", "mariadb"), "mysql+pymysql"),
}
_PLACES = ("host", "port", "service", "unix_socket", "options")
"""Parts of a URL's query that say which database it is; the others say how it is talked to."""
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_ISO = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d(?::?\d\d)?)?")
_MYSQL_TIMESTAMP = 7  # the protocol's type for a moment; DATETIME, which has no zone, is 12
_LATEST_ZONE = timedelta(hours=14)


class CursorSettings(BaseModel):
    """``cursor:``: the column that grows, and how far before the last row read the next run begins.

    ``overlap`` is a number in the column's own unit, or for times a span such as ``30m``, ``1h`` or ``2d``; it must be
    longer than any transaction that writes rows takes to commit.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: str = Field(min_length=1)
    overlap: int | timedelta = 0

    @field_validator("overlap", mode="before")
    @classmethod
    def _a_number_or_a_span(cls, value: Any) -> Any:
        found = re.fullmatch(r"\s*(\d{1,9})\s*([smhd]?)\s*", str(value))
        if found is None:
            raise ValueError("must be a number, or a span such as 30m, 1h or 2d")
        return timedelta(**{_UNITS[found[2]]: int(found[1])}) if found[2] else int(found[1])


class SqlSettings(SourceSettings):
    """``{type: sql, url: …, query: …}`` with ``:start`` and ``:end`` bound to the window; or ``table:`` instead.

    ``url`` is any SQLAlchemy URL. ``cursor`` reads what is new since the last run, of a table or of a query.
    """

    url: SecretStr
    query: str = Field(default="", repr=False)
    table: str = ""
    cursor: CursorSettings | None = None

    @field_validator("url")
    @classmethod
    def _a_url(cls, value: SecretStr) -> SecretStr:
        try:
            sa.make_url(value.get_secret_value())
        except (sa.exc.ArgumentError, ValueError):
            raise ValueError("is not a SQLAlchemy URL such as postgresql://user:password@host/database") from None
        return value

    @model_validator(mode="after")
    def _what_to_read(self) -> SqlSettings:
        if bool(self.query.strip()) == bool(self.table.strip()):
            raise ValueError("needs either `query` or `table`")
        binds = _binds(self.query)
        strange = sorted(binds - {"start", "end"})
        if strange:
            raise ValueError(
                f"query: :{strange[0]} is not known; :start and :end are (a colon in a text is written \\:)"
            )
        if self.cursor is not None and binds:
            raise ValueError("a query with `cursor` reads on from the last run; it can have no :start and :end")
        return self


def _binds(query: str) -> set[str]:
    return set(sa.text(query).compile().params) if query else set()


class SqlSource(Source):
    """One statement's rows."""

    type = "sql"
    settings_model = SqlSettings
    settings: SqlSettings

    @property
    def incremental(self) -> bool:  # type: ignore[override]  # a matter of settings here
        """See `Source.incremental`."""
        return self.settings.cursor is not None

    @property
    def uses_window(self) -> bool:
        """See `Source.uses_window`."""
        return bool(_binds(self.settings.query))

    def describe(self) -> str:
        """The database without user and password, and the table or how the query begins."""
        url = self._url()
        query = self.displayed.get("query") or self.settings.query
        words = self.settings.table or " ".join(query.split()[:5]) + " …"
        database = redact_database_url(f"{url.get_backend_name()}://{url.host or ''}/{url.database or ''}")
        return f"{database}: {words}"

    def frames(self, window: Window, chunk_rows: int) -> Iterator[pd.DataFrame]:
        """See `Source.frames`; the order is the query's own, or that of the cursor column."""
        reached = self.position and _Position.of(self.position, self.settings.cursor, self._what())
        with self._sentences(), self._connected() as connection:
            statement, values = self._statement(window, reached or None, connection.dialect.name)
            result = connection.execute(statement, values)
            with _closing(result):
                yield from self._read(result, chunk_rows, reached or None, _moments(result, connection.dialect.name))

    def _read(
        self, result: sa.CursorResult[Any], chunk_rows: int, reached: _Position | None, moments: Sequence[int]
    ) -> Iterator[pd.DataFrame]:
        columns = exact_text.names(list(result.keys()), self.describe())
        mark = self._mark(columns, reached)
        first = 1
        for part in result.partitions(chunk_rows):
            rows: Sequence[Sequence[Any]] = [_zoned(row, moments) for row in part] if moments else part
            if mark:
                mark.look(rows)
            yield exact_text.of_rows(columns, rows, first)
            first += len(rows)
        if mark:
            self.position = mark.text()

    def _mark(self, columns: Sequence[str], reached: _Position | None) -> _Mark | None:
        cursor = self.settings.cursor
        if cursor is None:
            return None
        places = [place for place, name in enumerate(columns) if name.lower() == cursor.column.lower()]
        if not places:
            raise SourceError(
                f"{self.describe()}: cursor.column: {cursor.column} is not among the columns that are read."
            )
        return _Mark(cursor, self._what(), places[0], reached, datetime.now(UTC))

    def _what(self) -> str:
        """What is read, whoever reads it, as a digest: another table, query or database has another position."""
        url = self._url()
        database = [url.get_backend_name(), url.host, url.port, url.database, *map(url.query.get, _PLACES)]
        words = [*database, self.settings.table, " ".join(self.settings.query.split())]
        return hashlib.sha256(orjson.dumps(words)).hexdigest()[:16]

    def _statement(self, window: Window, reached: _Position | None, dialect: str) -> tuple[Any, dict[str, Any]]:
        rows = self._rows()
        cursor = self.settings.cursor
        if cursor is None:
            return (
                (rows, self._window(window, dialect))
                if self.settings.query
                else (sa.select(_ALL).select_from(rows), {})
            )
        column: sa.ColumnClause[Any] = sa.column(cursor.column)
        statement = sa.select(_ALL).select_from(rows).order_by(column)
        if reached is None:
            return statement, {}
        # Rows at the mark itself are read again, for others may have come beside them; so are rows without a value.
        since = sa.bindparam("since", type_=sa.types.NullType())
        return statement.where(sa.or_(column >= since, column.is_(None))), {"since": _bound(reached.since(), dialect)}

    def _rows(self) -> Any:
        if self.settings.table:
            schema, _, name = self.settings.table.rpartition(".")
            return sa.table(name, schema=schema or None)
        query = self.settings.query.strip().rstrip(";")
        return sa.text(f"(\n{query}\n) AS source_rows") if self.settings.cursor else sa.text(query)

    def _window(self, window: Window, dialect: str) -> dict[str, Any]:
        ends = {"start": window.start, "end": window.end}
        values = {name: ends[name] for name in _binds(self.settings.query)}
        if None in values.values():
            raise SourceError(f"source: {self.describe()} needs a window: run it with --from and --until.")
        return {name: _bound(value, dialect) for name, value in values.items()}

    def _url(self) -> sa.URL:
        url = sa.make_url(self.settings.url.get_secret_value())
        return url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))

    def _engine(self) -> sa.Engine:
        url = self._url()
        if url.get_backend_name() == "sqlite" and url.database and not url.database.startswith((":memory:", "file:")):
            path = self.location(url.database)
            if not Path(path).is_file():
                raise SourceError(f"{self.describe()}: there is no such file.")
            url = url.set(database=path)
        try:
            engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
        except (sa.exc.ArgumentError, ImportError):
            raise SourceError(f"{self.describe()}: no driver for {url.drivername} is installed.") from None
        if url.get_backend_name() in _ON_CONNECT:
            sa.event.listen(engine, "connect", _ON_CONNECT[url.get_backend_name()])
        return engine

    @contextmanager
    def _connected(self) -> Iterator[sa.Connection]:
        engine = self._engine()
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
    def _sentences(self) -> Iterator[None]:
        """Turn what a database says into one sentence, without the statement, its values or the password."""
        try:
            yield
        except (sa.exc.DataError, UnicodeDecodeError):
            raise SourceError(f"{self.describe()}: a value cannot be read as its column's type.") from None
        except sa.exc.DBAPIError as error:
            said = database_error(error.orig or error, self.secrets())
            raise SourceError(f"{self.describe()}: {said}") from None
        except sa.exc.SQLAlchemyError as error:
            raise SourceError(f"{self.describe()}: the query cannot be run ({type(error).__name__}).") from None


_ALL: sa.ColumnElement[Any] = sa.literal_column("*")


@contextmanager
def _closing(result: sa.CursorResult[Any]) -> Iterator[None]:
    """Ends a result. Rows that nobody reads any more stay unread, which PyMySQL would not leave at, to end in peace."""
    try:
        yield
    except BaseException:
        unread = getattr(result.cursor, "_result", None)
        if unread is not None:
            unread.unbuffered_active = False
        raise
    finally:
        result.close()


# -- sessions and their values


def _on_postgresql(connection: Any, _record: Any) -> None:
    """JSON as written, and moments beyond Python's calendar (infinity) as text, to be judged like any other."""
    from psycopg import DataError
    from psycopg.types.datetime import DateLoader, TimestampLoader, TimestamptzLoader
    from psycopg.types.string import TextLoader

    for name, loader in {"date": DateLoader, "timestamp": TimestampLoader, "timestamptz": TimestamptzLoader}.items():
        connection.adapters.register_loader(name, _lenient(loader, DataError))
    for name in ("json", "jsonb", "interval"):
        connection.adapters.register_loader(name, TextLoader)
    connection.execute("SET TIME ZONE 'UTC'")
    connection.execute("SET datestyle TO 'ISO, YMD'")
    connection.commit()


def _lenient(loader: Any, error: type[Exception]) -> Any:
    def load(self: Any, data: Any) -> Any:
        try:
            return loader.load(self, data)
        except error:
            return bytes(data).decode()

    return type(f"Lenient{loader.__name__}", (loader,), {"load": load})


def _on_mysql(connection: Any, _record: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET time_zone = '+00:00'")


def _on_sqlite(connection: Any, _record: Any) -> None:
    connection.text_factory = _text_or_bytes


def _text_or_bytes(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


_ON_CONNECT = {"postgresql": _on_postgresql, "mysql": _on_mysql, "mariadb": _on_mysql, "sqlite": _on_sqlite}


def _moments(result: sa.CursorResult[Any], dialect: str) -> list[int]:
    """Places of columns that hold moments but come without a zone: TIMESTAMP of MySQL, in the session's UTC."""
    if dialect not in ("mysql", "mariadb") or result.cursor is None:
        return []
    return [place for place, told in enumerate(result.cursor.description) if told[1] == _MYSQL_TIMESTAMP]


def _zoned(row: Sequence[Any], moments: Sequence[int]) -> list[Any]:
    values = list(row)
    for place in moments:
        if isinstance(values[place], datetime):
            values[place] = values[place].replace(tzinfo=UTC)
    return values


def _bound(value: Any, dialect: str) -> Any:
    """A value as each database compares it with its own."""
    if not isinstance(value, datetime) or dialect == "postgresql":
        return value
    if value.tzinfo is not None:
        value = value.astimezone(UTC)
    if dialect in ("mysql", "mariadb"):
        return value.replace(tzinfo=None)
    return value.isoformat()


# -- how far a source has been read


_KINDS: Mapping[str, Any] = {"int": int, "time": datetime.fromisoformat, "text": str}


def _iso(value: str) -> datetime | None:
    try:
        return datetime.fromisoformat(value) if _ISO.fullmatch(value) else None
    except ValueError:
        return None


def _before_all(moment: datetime, like: str) -> str:
    """ISO 8601 without fraction and zone: it stands before every text that begins so, whatever follows."""
    return f"{moment:%Y-%m-%d}{like[10]}{moment:%H:%M:%S}"


class _Position:
    """A value of the cursor column: a number, a moment, or text that the database compares as such."""

    def __init__(self, cursor: CursorSettings, what: str, value: int | datetime | str) -> None:
        self.cursor = cursor
        self.what = what
        self.value = value

    @classmethod
    def of(cls, text: str, cursor: CursorSettings | None, what: str) -> _Position | None:
        """Read back what `text` wrote; None when that was said of another column, or of another table or query."""
        said: Mapping[str, Any] = orjson.loads(text)
        if cursor is None or (said["column"], said.get("of")) != (cursor.column, what):
            return None
        read: Callable[[str], int | datetime | str] = _KINDS[said["kind"]]
        return cls(cursor, what, read(said["value"]))

    def text(self) -> str:
        """To be kept in the ledger."""
        kind = {int: "int", datetime: "time", str: "text"}[type(self.value)]
        value = self.value.isoformat() if isinstance(self.value, datetime) else str(self.value)
        return orjson.dumps({"of": self.what, "column": self.cursor.column, "kind": kind, "value": value}).decode()

    def since(self) -> int | datetime | str:
        """Where the next run begins: the overlap before this. Raises SourceError when that cannot be said."""
        overlap = self.cursor.overlap
        if isinstance(self.value, int) and isinstance(overlap, int):
            return self.value - overlap
        if isinstance(self.value, datetime) and (isinstance(overlap, timedelta) or not overlap):
            return self.value - (overlap or timedelta(0))
        if isinstance(self.value, str) and not overlap:
            return self.value
        if isinstance(self.value, str) and isinstance(overlap, timedelta) and (moment := _iso(self.value)):
            return _before_all(moment - overlap, self.value)
        kind = {int: "numbers", datetime: "times", str: "text"}[type(self.value)]
        need = {int: "a number", datetime: "a span such as 1h", str: "a span such as 1h, if it is ISO 8601, or 0"}
        raise SourceError(
            f"source.cursor.overlap: {self.cursor.column} holds {kind}; it must be {need[type(self.value)]}."
        )


class _Mark:
    """Looks at the rows as they are read and keeps the highest value of the cursor column: the last that is not null.

    Never later than the clock, or one row from the future would hide all that come until then.
    """

    def __init__(self, cursor: CursorSettings, what: str, place: int, reached: _Position | None, now: datetime) -> None:
        self._cursor = cursor
        self._what = what
        self._place = place
        self._now = now
        self._value = reached.value if reached else None

    def look(self, rows: Sequence[Sequence[Any]]) -> None:
        """The next rows, in order."""
        for row in reversed(rows):
            if (value := row[self._place]) is not None:
                self._value = self._later(value)
                return

    def text(self) -> str | None:
        """Where to go on; None when no row had a value."""
        return None if self._value is None else _Position(self._cursor, self._what, self._value).text()

    def _later(self, value: Any) -> int | datetime | str:
        if isinstance(value, Decimal) and value == value.to_integral_value():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int | datetime | str):
            raise SourceError(
                f"source.cursor.column: {self._cursor.column} holds {type(value).__name__}; it must be whole numbers, "
                "times or text that grow."
            )
        if isinstance(value, str) and isinstance(self._value, datetime):
            return self._value  # infinity
        moment = _iso(value) if isinstance(value, str) else value
        if isinstance(moment, datetime) and moment > (limit := self._limit(moment)):
            return _before_all(limit, value) if isinstance(value, str) else limit
        return value

    def _limit(self, moment: datetime) -> datetime:
        return self._now.astimezone(moment.tzinfo) if moment.tzinfo else (self._now + _LATEST_ZONE).replace(tzinfo=None)
