"""A database: a query over the window, a table or view, or what is new since the last run. Streamed, never paged.

Nothing is changed there: a query that writes is refused by the database (see `session`). Every value becomes exact text
(see `exact_text`). The session's clock is UTC: ``:start`` and ``:end`` are aware moments
on PostgreSQL, moments in UTC on MySQL and MariaDB, and ISO 8601 text (2026-11-20T21:00:00+00:00) on SQLite, where
``datetime(occurred_at) >= datetime(:start)`` compares whatever way the column is written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import sqlalchemy as sa
from pydantic import Field, SecretStr, field_validator, model_validator

from etl.errors import SourceError
from etl.redact import database_error, redact_database_url
from etl.sources.base import ColumnKind, Header, Source, SourceSettings, Window
from etl.sources.database import session
from etl.sources.database.watermark import CursorSettings, HighestValue, Watermark
from etl.sources.formats import exact_text

_DRIVERS = {
    **dict.fromkeys(("postgres", "postgresql"), "postgresql+psycopg"),
    **dict.fromkeys(("mysql", "mariadb"), "mysql+pymysql"),
}
_WHICH_DATABASE = ("host", "port", "service", "unix_socket", "options")
"""Parts of a URL's query that say which database it is; the others say how it is talked to."""


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
        before = Watermark.of(self.watermark, self.settings.cursor, self._read_from()) if self.watermark else None
        with self._translating_errors(), session.connected(self._engine()) as connection:
            dialect = connection.dialect.name
            statement, values = self._statement(window, before, dialect)
            result = connection.execute(statement, values)
            with session.closing(result):
                yield from self._read(result, chunk_rows, before, dialect)

    def _read(
        self, result: sa.CursorResult[Any], chunk_rows: int, before: Watermark | None, dialect: str
    ) -> Iterator[pd.DataFrame]:
        columns = exact_text.names(list(result.keys()), self.describe())
        single = [columns[at] for at in session.single_precision(result, dialect)]
        used = self.judge(Header(columns, kinds=dict.fromkeys(single, ColumnKind.SINGLE)))
        corrections = session.corrections(result, dialect)
        highest = self._highest_value(columns, before)
        first = 1
        for part in result.partitions(chunk_rows):
            rows: Sequence[Sequence[Any]] = part
            if corrections:
                rows = [session.corrected(row, corrections) for row in part]
            if highest:
                highest.observe(rows)
            yield exact_text.of_rows(columns, rows, first, used, self.unreadable)
            first += len(rows)
        if first == 1:  # columns without rows are judged like any other
            yield exact_text.of_rows(columns, [], first, used, self.unreadable)
        self.warn_of_unreadable()
        if highest:
            reached = highest.watermark()
            self.watermark = reached.text() if reached else None

    def _highest_value(self, columns: Sequence[str], before: Watermark | None) -> HighestValue | None:
        cursor = self.settings.cursor
        if cursor is None:
            return None
        position = next((at for at, name in enumerate(columns) if name.lower() == cursor.column.lower()), None)
        if position is None:
            raise SourceError(
                f"{self.describe()}: cursor.column: {cursor.column} is not among the columns that are read."
            )
        return HighestValue(cursor, self._read_from(), position, before, datetime.now(UTC))

    def _read_from(self) -> str:
        """What is read, whoever reads it, as a digest: another table, query or database has a watermark of its own."""
        url = self._url()
        database = [url.get_backend_name(), url.host, url.port, url.database, *map(url.query.get, _WHICH_DATABASE)]
        words = [*database, self.settings.table, " ".join(self.settings.query.split())]
        return hashlib.sha256(orjson.dumps(words)).hexdigest()[:16]

    def _statement(self, window: Window, before: Watermark | None, dialect: str) -> tuple[Any, dict[str, Any]]:
        rows = self._rows()
        cursor = self.settings.cursor
        if cursor is None:
            if self.settings.table:
                return sa.select(_ALL).select_from(rows), {}
            return rows, self._window(window, dialect)
        column: sa.ColumnClause[Any] = sa.column(cursor.column)
        statement = sa.select(_ALL).select_from(rows).order_by(column)
        if before is None:
            return statement, {}
        # Rows at the watermark itself are read again, for others may have come beside them; so are rows without one.
        since = sa.bindparam("since", type_=sa.types.NullType())
        values = {"since": session.bind_value(before.since(), dialect)}
        return statement.where(sa.or_(column >= since, column.is_(None))), values

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
        return {name: session.bind_value(value, dialect) for name, value in values.items()}

    def _url(self) -> sa.URL:
        url = sa.make_url(self.settings.url.get_secret_value())
        return url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))

    def _engine(self) -> sa.Engine:
        url = self._url()
        if url.get_backend_name() == "sqlite" and url.database and not url.database.startswith((":memory:", "file:")):
            path = self.location(url.database)
            if not Path(path).is_file():
                raise SourceError(f"{self.describe()}: there is no such file.")
            url = session.read_only(url.set(database=path))
        try:
            engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
        except (sa.exc.ArgumentError, ImportError):
            raise SourceError(f"{self.describe()}: no driver for {url.drivername} is installed.") from None
        session.prepare(engine)
        return engine

    @contextmanager
    def _translating_errors(self) -> Iterator[None]:
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
