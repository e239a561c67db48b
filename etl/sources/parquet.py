"""Parquet files: one, a glob, or a partitioned folder (``day=2026-11-20/…``), local or in a bucket, read by batch.

Every value becomes exact text (see `exact_text`); a partition's folders become text columns after those of the file.
Files are read by the names of their columns; one that lacks some of the others' has nothing in them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any, TypeAlias

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from etl.columns import normalize
from etl.errors import SourceError
from etl.filesystem import Place, translating_errors
from etl.model import RunWarning
from etl.sources.base import ColumnKind, FileSettings, FileSource, Header, Window, listed, partition
from etl.sources.formats import exact_text
from etl.sources.formats.kinds import HEAD_BYTES, kind_of

BUFFER = 1024 * 1024
"""How much of a column is read at once, so that memory does not grow with a file's row groups."""

ROWS_LOOKED_AT = 1000
_DAMAGED = "this is no whole Parquet file; it may be cut off or damaged."
_Types: TypeAlias = Mapping[str, Any]
"""Columns and their Arrow types."""


class ParquetSettings(FileSettings):
    """``{type: parquet, path: …}``, see `FileSettings`."""


class ParquetSource(FileSource):
    """Parquet files; what one of them lacks is empty."""

    type = "parquet"
    settings_model = ParquetSettings
    endings = (".parquet", ".parq", ".pq")
    fills_columns = True
    settings: ParquetSettings

    def __init__(self, *settings: Any) -> None:
        super().__init__(*settings)
        self._types: dict[str, _Types] = {}
        self._spelled: dict[str, str] = {}
        self._used: Collection[str] = ()
        self._lacking: dict[str, dict[str, int]] = {}
        self._int96: Counter[str] = Counter()

    def frames(self, window: Window, chunk_rows: int) -> Iterator[pd.DataFrame]:
        """See `Source.frames`; files in order of their names, row numbers run on through all of them."""
        places = self.files(window)
        all_columns = self._all_columns(places)
        tables = self.each_file(places, lambda place, _: self._tables(place, all_columns, chunk_rows))
        first = 1
        try:
            for table in _rechunked(tables, chunk_rows):
                yield exact_text.of_table(table, first, self._used, self.unreadable)
                first += len(table)
        finally:
            self._warn()

    def header(self, place: Place) -> Header | None:
        """See `FileSource.header`."""
        with _opened(place) as file:
            if file is None:
                return None
            header = self._header(file, place)
            if not self.needs_rows(header):
                return header
            table = self._table(next(_batches(file, ROWS_LOOKED_AT)), header, self._types[place.path], place)
            return header._replace(rows=self._frame(table, header.names))

    def _header(self, file: Any, place: Place) -> Header:
        own = file.schema_arrow.names
        names = exact_text.names([*own, *self.partition(place, own)], place.name)
        names = [self._spelled.get(name, name) for name in names]
        types = [*file.schema_arrow.types, *[pa.large_string()] * (len(names) - len(own))]
        self._types[place.path] = dict(zip(names, types, strict=True))
        return Header(names, place.name, _kinds(file, names))

    def _all_columns(self, places: Sequence[Place]) -> _Types:
        """The columns of all files, by name, each with its type in the first file that has it."""
        self._types.clear()
        self._spelled.clear()
        self.look_ahead(places)
        found: dict[str, Any] = {}
        for place in places:
            for name, kind in self._types.get(place.path, {}).items():
                found.setdefault(name, kind)
        if not self.skip_bad_files:
            for place in places:
                _check_types(found, self._types.get(place.path, {}), place.name)
        return found

    def _tables(self, place: Place, all_columns: _Types, chunk_rows: int) -> Iterator[pa.Table]:
        """The batches of one file, with the columns of all."""
        with _opened(place) as file:
            if file is None:
                self.empty_files.append(place.name)
                return
            header = self._header(file, place)
            _check_types(all_columns, self._types[place.path], place.name)
            columns = all_columns or self._types[place.path]
            lacking = [name for name in columns if name not in header.names]
            whole = header._replace(empty=lacking)
            self._used = self.judge(whole)
            self._note(header, lacking, file.metadata.num_rows)
            judged = False
            for batch in _batches(file, chunk_rows):
                table = self._table(batch, header, columns, place)
                if not judged:
                    self.judge_rows(whole, self._frame(table.slice(0, ROWS_LOOKED_AT), columns))
                    judged = True
                yield table

    def _table(self, batch: pa.Table, header: Header, columns: _Types, place: Place) -> pa.Table:
        """Some rows of one file with those columns: what it lacks is null, what its folders say in each of them."""
        named = self.partition(place, batch.column_names)
        own = dict(zip(header.names, [*batch.columns, *map(_repeated(len(batch)), named.values())], strict=True))
        filled = {name: own[name] if name in own else pa.nulls(len(batch), columns[name]) for name in columns}
        return pa.table({name: _in_utc(column, header.kinds.get(name)) for name, column in filled.items()})

    def partition(self, place: Place, own: Collection[str]) -> dict[str, str | None]:
        """See `FileSource.partition`; here the folders that the configured path names itself count, too."""
        here = PurePosixPath(place.path)
        base = PurePosixPath(self.location(""))
        return partition(here.relative_to(base) if here.is_relative_to(base) else here, own)

    def _frame(self, table: pa.Table, used: Collection[str]) -> pd.DataFrame:
        return exact_text.of_table(table, 1, used, Counter())

    def aligned(self, headers: list[Header]) -> list[Header]:
        """See `FileSource.aligned`: ``Revenue`` in one file is ``revenue`` in another, where none has both."""
        spellings: dict[str, dict[str, None]] = {}
        for header in headers:
            for name in header.names:
                spellings.setdefault(normalize(name), {})[name] = None
        for several in spellings.values():
            alone = all(sum(name in several for name in header.names) < 2 for header in headers)
            first, *others = several
            self._spelled |= dict.fromkeys(others, first) if alone else {}
        self._types = {
            path: {self._spelled.get(name, name): kind for name, kind in types.items()}
            for path, types in self._types.items()
        }
        return [header.renamed(self._spelled) for header in headers]

    def _note(self, header: Header, lacking: Sequence[str], rows: int) -> None:
        """Count the rows in which a column is empty because the file has none, or that are moments of INT96."""
        for name in lacking:
            self._lacking.setdefault(name, {})[header.file] = rows
        for name in self._used:
            if header.kinds.get(name) is ColumnKind.INT96:
                self._int96[name] += rows

    def _warn(self) -> None:
        self.warn_of_unreadable()
        for name, files in self._lacking.items():
            sentence = f"{name}: empty in what is read of {listed([*files])}, which has no such column."
            self.warnings.append(RunWarning("column_lacking", name, sum(files.values()), sentence))
        for name, rows in self._int96.items() if self.timezone not in (None, "UTC") else ():
            sentence = (
                f"{name}: read as UTC, because it is of type INT96, as Spark writes it; `timezone` is not applied."
            )
            self.warnings.append(RunWarning("int96_is_utc", name, rows, sentence))
        self._lacking.clear()
        self._int96.clear()


def _repeated(count: int) -> Callable[[str | None], Any]:
    return lambda value: pa.repeat(pa.scalar(value, pa.large_string()), count)


def _kinds(file: Any, names: Sequence[str]) -> dict[str, ColumnKind]:
    leaves = [file.schema.column(at) for at in range(len(file.schema))]
    int96 = {leaf.path for leaf in leaves if leaf.physical_type == "INT96"}
    kinds = {}
    for name, column in zip(names, file.schema_arrow, strict=False):  # the folders' names come after
        if column.name in int96:
            kinds[name] = ColumnKind.INT96
        elif pa.types.is_float32(column.type) or pa.types.is_float16(column.type):
            kinds[name] = ColumnKind.SINGLE
        elif pa.types.is_nested(column.type):
            kinds[name] = ColumnKind.NESTED
    return kinds


def _in_utc(column: Any, kind: ColumnKind | None) -> Any:
    return pc.cast(column, pa.timestamp("us", "UTC")) if kind is ColumnKind.INT96 else column


def _batches(file: Any, chunk_rows: int) -> Iterator[pa.Table]:
    if not file.metadata.num_rows:
        yield file.schema_arrow.empty_table()
    for batch in file.iter_batches(min(chunk_rows, 65_536), use_threads=False):
        yield pa.Table.from_batches([batch])


@contextmanager
def _opened(place: Place) -> Iterator[Any]:
    """The file, its footer read; None where it is empty."""
    # Each part of a column is asked for by itself: a bucket's read-ahead would fetch 50 MB for every one of them.
    with translating_errors(place.name), place.fs.open(place.path, "rb", cache_type="none") as raw:
        start = raw.read(HEAD_BYTES)
        raw.seek(0)
        try:  # buffered, else a whole row group is held; moments of INT96 may lie beyond what nanoseconds reach
            yield (
                pq.ParquetFile(raw, buffer_size=BUFFER, pre_buffer=False, coerce_int96_timestamp_unit="us")
                if start
                else None
            )
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            kind = None if start.startswith(b"PAR1") else kind_of(start)
            what = f"this is {kind}, not a Parquet file." if kind else _DAMAGED
            raise SourceError(f"{place.name}: {what}") from None


def _check_types(all_columns: _Types, own: _Types, name: str) -> None:
    """Text of one type is read beside text of another; what has parts is not, beside what has none."""
    for column, kind in own.items():
        other = all_columns.get(column, kind)
        if pa.types.is_nested(kind) != pa.types.is_nested(other) and not {pa.null()} & {kind, other}:
            raise SourceError(
                f"{name}: {column} is {kind} there and {other} in the files before it, which cannot be read as one "
                "column: write it alike, or read the files by themselves."
            )


def _rechunked(tables: Iterator[pa.Table], chunk_rows: int) -> Iterator[pa.Table]:
    """The same rows, ``chunk_rows`` at a time; a shorter table only where the types change, and at the end."""
    held: list[pa.Table] = []
    try:
        for table in tables:
            if held and held[0].schema != table.schema:
                yield pa.concat_tables(held)
                held = []
            held.append(table)
            while sum(map(len, held)) >= chunk_rows:
                whole = pa.concat_tables(held)
                yield whole.slice(0, chunk_rows)
                held = [whole.slice(chunk_rows)] if len(whole) > chunk_rows else []
    except SourceError:
        if held:
            yield pa.concat_tables(held)  # what was read before the trouble is accounted for
        raise
    if held:
        yield pa.concat_tables(held)
