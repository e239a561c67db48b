"""Parquet files: one, a glob, or a partitioned folder (``day=2026-11-20/…``), local or in a bucket, read by batch.

Every value becomes exact text (see `exact_text`); a partition's folders become text columns after those of the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from etl.errors import SourceError
from etl.filesystem import Place, translating_errors
from etl.sources.base import FileSettings, FileSource, Window
from etl.sources.formats import exact_text

BUFFER = 1024 * 1024
"""How much of a column is read at once, so that memory does not grow with a file's row groups."""

_PARTITION = re.compile(r"(?P<name>[^=/]+)=(?P<value>[^/]*)")
_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"


class ParquetSettings(FileSettings):
    """``{type: parquet, path: …}``, see `FileSettings`."""


class ParquetSource(FileSource):
    """Parquet files that all have the same columns."""

    type = "parquet"
    settings_model = ParquetSettings
    settings: ParquetSettings

    def frames(self, window: Window, chunk_rows: int) -> Iterator[pd.DataFrame]:
        """See `Source.frames`; files in order of their names, row numbers run on through all of them."""
        first = 1
        for table in _rechunked(self._tables(window, chunk_rows), chunk_rows):
            yield exact_text.of_table(table, first)
            first += table.num_rows

    def _tables(self, window: Window, chunk_rows: int) -> Iterator[pa.Table]:
        """The batches of all files, with the columns of the first file in their order."""
        columns: list[str] | None = None
        for place in self.files(window):
            with _opened(place) as file:
                partition = self._partition(place, file.schema_arrow.names)
                own = exact_text.names([*file.schema_arrow.names, *partition], place.name)
                columns = columns or own
                _check_same_columns(columns, own, place.name)
                for table in _batches(file, chunk_rows):
                    for name, value in partition.items():
                        table = table.append_column(name, pa.repeat(pa.scalar(value, pa.large_string()), len(table)))
                    yield table.rename_columns(own).select(columns)

    def _partition(self, place: Place, own: Sequence[str]) -> dict[str, str | None]:
        """The columns that a file's folders name; those that the file has itself stay as they are there."""
        here = PurePosixPath(place.path)
        base = PurePosixPath(self.location(""))
        folders = (here.relative_to(base) if here.is_relative_to(base) else here).parent.parts
        pairs = [found for folder in folders if (found := _PARTITION.fullmatch(folder))]
        values = {unquote(found["name"]): unquote(found["value"]) for found in pairs}
        return {name: None if value == _HIVE_NULL else value for name, value in values.items() if name not in own}


def _batches(file: Any, chunk_rows: int) -> Iterator[pa.Table]:
    if not file.metadata.num_rows:
        yield file.schema_arrow.empty_table()
    for batch in file.iter_batches(min(chunk_rows, 65_536), use_threads=False):
        yield pa.Table.from_batches([batch])


@contextmanager
def _opened(place: Place) -> Iterator[Any]:
    # Each part of a column is asked for by itself: a bucket's read-ahead would fetch 50 MB for every one of them.
    with translating_errors(place.name), place.fs.open(place.path, "rb", cache_type="none") as raw:
        try:
            yield pq.ParquetFile(raw, buffer_size=BUFFER, pre_buffer=False)  # else a whole row group is held
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise SourceError(f"{place.name}: this is no whole Parquet file; it may be cut off or damaged.") from None


def _check_same_columns(columns: Sequence[str], own: Sequence[str], name: str) -> None:
    missing = [column for column in columns if column not in own]
    more = [column for column in own if column not in columns]
    if missing or more:
        differences = [f"lacks {', '.join(missing)}"] if missing else []
        differences += [f"also has {', '.join(more)}"] if more else []
        raise SourceError(
            f"{name}: its columns differ from those of the files before it (it {' and '.join(differences)}); "
            "nothing of it was read."
        )


def _rechunked(tables: Iterator[pa.Table], chunk_rows: int) -> Iterator[pa.Table]:
    """The same rows, ``chunk_rows`` at a time; a shorter table only where the types change, and at the end."""
    held: list[pa.Table] = []
    try:
        for table in tables:
            if held and held[0].schema.types != table.schema.types:
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
