"""CSV files: a local path or glob, streamed, everything as text.

Rows are read by Python's csv reader rather than by pandas or Arrow because every row must be accounted for: one with
too many or too few cells is a row with a reason, at its own row number, not the end of the file.
"""

from __future__ import annotations

import csv
import glob
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from etl.errors import SourceError
from etl.sources.base import Source, SourceSettings, Window

csv.field_size_limit(16 * 1024 * 1024)


class CsvSettings(SourceSettings):
    """``{type: csv, path: …}``: a path or glob, with ``{start:%Y-%m-%d}`` and ``{end:…}`` for the window."""

    path: str
    delimiter: str = ","
    encoding: str = "utf-8-sig"


class CsvSource(Source):
    """CSV files with one header row each."""

    settings_model = CsvSettings
    settings: CsvSettings

    def describe(self) -> str:
        """The path as configured."""
        return self.settings.path

    def frames(self, window: Window, chunk_rows: int) -> Iterator[pd.DataFrame]:
        """See `Source.frames`; files in order of their names, row numbers run on through all of them."""
        first = 1
        for file in self._files(window):
            for frame in self._read(file, first, chunk_rows):
                first += len(frame)
                yield frame

    def _files(self, window: Window) -> list[Path]:
        pattern = self._at(window)
        found = sorted(Path(name) for name in glob.glob(pattern, recursive=True) if Path(name).is_file())  # noqa: PTH207 (absolute patterns)
        if not found:
            raise SourceError(f"source: no file at {self.describe()}; check imports.….source.path.")
        return found

    def _at(self, window: Window) -> str:
        path = self.location(self.settings.path)
        if "{start" not in path and "{end" not in path:
            return path
        if window.start is None or window.end is None:
            raise SourceError(f"source: {self.describe()} needs a window: run it with --from and --until.")
        return path.format(start=window.start, end=window.end)

    def _read(self, file: Path, first: int, chunk_rows: int) -> Iterator[pd.DataFrame]:
        with _sentences(file), file.open(encoding=self.settings.encoding, newline="") as text:
            rows = csv.reader(text, delimiter=self.settings.delimiter)
            header = next(rows, None)
            if not header:
                raise SourceError(f"{file.name}: the file is empty; it needs a header row.")
            names = _header(file, header)
            filled = (row for row in rows if row)  # a blank line is no row
            while part := list(islice(filled, chunk_rows)):
                yield _frame(names, part, first)
                first += len(part)


def _header(file: Path, header: list[str]) -> list[str]:
    names = [name.strip() for name in header]
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise SourceError(f"{file.name}: the header names {', '.join(twice)} more than once.")
    return names


def _frame(names: list[str], rows: list[list[str]], first: int) -> pd.DataFrame:
    width = len(names)
    damage: list[str | None] | None = None
    if any(len(row) != width for row in rows):
        damage = [_ragged(len(row), width) for row in rows]
        rows = [(row + [""] * width)[:width] for row in rows]
    index = pd.RangeIndex(first, first + len(rows), name="row_number")
    columns = {name: _text(cells) for name, cells in zip(names, zip(*rows, strict=True), strict=True)}
    return pd.DataFrame(columns | {"damage": _text(damage or [None] * len(rows))}, index=index)


def _text(cells: Sequence[str | None]) -> Any:
    """A text column by way of Arrow, which takes Python strings several times as fast as pandas does."""
    arrow: Any = pa.array(cells, pa.large_string())
    return pd.array(arrow, dtype="str")


def _ragged(cells: int, width: int) -> str | None:
    if cells == width:
        return None
    return f"ragged_row: The row has {cells} cells, the header {width}: a delimiter or quote is missing or too many."


@contextmanager
def _sentences(file: Path) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError:
        raise SourceError(f"{file.name}: not the declared encoding; set source.encoding.") from None
    except csv.Error as error:
        raise SourceError(f"{file.name}: cannot be read as CSV: {error}.") from None
    except OSError as error:
        raise SourceError(f"{file.name}: cannot be read: {error.strerror}.") from None
