"""CSV files: a path, glob or folder, local or in a bucket, plain or compressed; streamed, everything as text.

Rows are read by Python's csv reader rather than by pandas or Arrow because every row must be accounted for: one with
too many or too few cells is a row with a reason, at its own row number, not the end of the file.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import IO, Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import field_validator

from etl import reasons
from etl.columns import COLUMNS, PARSE_ERROR, normalize, reserved_name, seen
from etl.errors import SourceError
from etl.filesystem import Place, opened
from etl.model import RunWarning
from etl.sources.base import FileSettings, FileSource, Header, Window
from etl.sources.formats import alphabets, dialect, encodings
from etl.sources.formats.exact_text import refuse_too_wide

_LOOK_BYTES = 256 * 1024
"""How much of a file is read to see its header, when there are others to be seen before its rows are read."""
_ROWS_LOOKED_AT = 1000
_BLANK = b"\x00 \t\r\n"

LARGEST_CELL = 16 * 1024 * 1024
LONGEST_LINE = 64 * 1024 * 1024
csv.field_size_limit(LARGEST_CELL)

_NAMED = {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "pipe": "|"}
_LINE_END = re.compile(r"\r\n|\r|\n")
_LOOKS_LIKE_A_VALUE = re.compile(
    r"[^@\s]+@[^@\s]+\.[^@\s]+|\d{4}-\d\d-\d\d[T ]\d\d:\d\d.*|\d{1,2}[./]\d{1,2}[./]\d{4}.*|[+-]?\d{7,}|\d+[.,]\d\d"
)
_DAMAGED_TEXT = f"{reasons.UNDECODABLE.code}: {reasons.UNDECODABLE.detail}"
_NUL = f"{reasons.NUL_BYTE.code}: {reasons.NUL_BYTE.detail}"


class CsvSettings(FileSettings):
    """``{type: csv, path: …}``: a path, glob or folder, with ``{start:%Y-%m-%d}`` and ``{end:…}`` for the window.

    ``delimiter`` is needed only where the file does not show it. ``encoding`` is one, or a list of which the first
    that fits is taken; UTF-8 and UTF-16 need none.
    """

    delimiter: str | None = None
    encoding: tuple[str, ...] = ()

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, value: str | None) -> str | None:
        mark = _NAMED.get(value, value) if value is not None else None
        if mark is not None and (len(mark) != 1 or mark in '"\r\n'):
            raise ValueError("must be one character, or one of comma, semicolon, tab, pipe")
        return mark

    @field_validator("encoding", mode="before")
    @classmethod
    def _codecs(cls, value: Any) -> Any:
        given = value if isinstance(value, list | tuple) else (value,) if value is not None else ()
        return tuple(encodings.known_codec(name) if isinstance(name, str) else name for name in given)


class CsvSource(FileSource):
    """CSV files with one header row each."""

    type = "csv"
    settings_model = CsvSettings
    spreadsheet = True
    endings = tuple(f"{kind}{packed}" for packed in ("", ".gz", ".zst") for kind in (".csv", ".tsv", ".txt"))
    settings: CsvSettings

    def frames(self, window: Window, chunk_rows: int) -> Iterator[pd.DataFrame]:
        """See `Source.frames`; files in order of their names, row numbers run on through all of them."""
        found = self.found(window)
        places = [place for place in found.places if not (found.is_folder and self._is_other_text(place))]
        others = [place.name for place in found.places if place not in places]
        self.leave_out(others, "because they are texts whose first line names no column of ours")
        if not places:
            raise SourceError(f"source: no file at {self.describe()} has a header; check imports.….source.path.")
        self.look_ahead(places)
        yield from self.each_file(places, lambda place, first: self._read(place, first, chunk_rows))

    def _is_other_text(self, place: Place) -> bool:
        """True for a README.txt among the files of a folder."""
        name = place.path.lower()
        if not name.endswith(tuple(end for end in self.endings if ".txt" in end)):
            return False
        try:
            with opened(place, _LOOK_BYTES) as raw:
                start = raw.read(_LOOK_BYTES)
        except SourceError:
            return False
        ours = {normalize(column) for column in (*COLUMNS, *self.expected)}
        return bool(start.strip()) and not dialect.first_names(start) & ours

    def header(self, place: Place) -> Header | None:
        """See `FileSource.header`."""
        with opened(place, _LOOK_BYTES) as raw:
            sample = raw.read(_LOOK_BYTES)
        if _is_empty(sample):
            return None
        how = dialect.find(sample, place.name, self.settings.encoding, self.settings.delimiter)
        with io.TextIOWrapper(io.BytesIO(sample), encoding=how.encoding, errors=how.errors, newline="") as text:
            rows = _Rows(text, how, place.name)
            table = self._table(place, rows.header(), _Watched(sample, io.BytesIO(), place.name))
            header = Header(table.names, place.name)
            return header._replace(rows=_first(table, rows, sample)) if self.needs_rows(header) else header

    def _warn_of_letters(self, place: Place, sample: bytes, codec: str) -> None:
        other = None if sample.isascii() else alphabets.doubted(sample, codec)
        if other is not None:
            sentence = (
                f"{place.name}: read as {codec}, as `encoding` says, and its letters are of no one language so; it is "
                f"likely {other[0]} ({other[1]})."
            )
            self.warnings.append(RunWarning("encoding_doubtful", "", 0, sentence))

    def _table(self, place: Place, header: list[str], watched: _Watched) -> _Table:
        return _Table(place.name, header, watched, self.partition(place, header))

    def _read(self, place: Place, first: int, chunk_rows: int) -> Iterator[pd.DataFrame]:
        with opened(place) as raw:
            sample = raw.read(dialect.SAMPLE_BYTES)
            if _is_empty(sample):
                self.empty_files.append(place.name)
                return
            how = dialect.find(sample, place.name, self.settings.encoding, self.settings.delimiter)
            self._warn_of_letters(place, sample, how.encoding)
            watched = _Watched(sample, raw, place.name)
            with io.TextIOWrapper(
                io.BufferedReader(watched, 256 * 1024), encoding=how.encoding, errors=how.errors, newline=""
            ) as text:
                del sample
                rows = _Rows(text, how, place.name)
                table = self._table(place, rows.header(), watched)
                header = Header(table.names, place.name)
                self.judge(header)
                began = first
                while (part := rows.take(chunk_rows)) is not None:
                    if part:
                        frame = table.frame(part, first)
                        if first == began:
                            self.judge_rows(header, frame)
                        yield frame
                        first += len(part)
                if first == began:
                    self.judge_rows(header, table.frame([], first))
                    yield table.frame([], first)


def _first(table: _Table, rows: _Rows, sample: bytes) -> pd.DataFrame | None:
    """Some of the first rows, as a file's beginning has them; None where they cannot be read, which is said later."""
    try:
        part = rows.take(_ROWS_LOOKED_AT) or []
    except SourceError:
        return None
    cut = len(sample) >= _LOOK_BYTES and len(part) < _ROWS_LOOKED_AT
    return table.frame(part[:-1] if cut else part, 1)


def _is_empty(sample: bytes) -> bool:
    """True for a file of nothing, or of nothing but blanks and the marks of an encoding."""
    mark = next((mark for mark, _ in encodings.BYTE_ORDER_MARKS if sample.startswith(mark)), b"")
    return len(sample) < dialect.SAMPLE_BYTES and not sample[len(mark) :].strip(_BLANK)


class _Watched(io.RawIOBase):
    """A file's bytes, the sample first; notes NUL bytes and stops at lines that no table has."""

    def __init__(self, sample: bytes, rest: IO[bytes], name: str) -> None:
        self._sample = memoryview(sample)
        self._rest = rest
        self._name = name
        self._line = 0
        self.nul = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block: Any = self._sample[: len(buffer)]
        self._sample = self._sample[len(block) :]
        if not block:
            block = self._rest.read(len(buffer))
        buffer[: len(block)] = block
        self._inspect(bytes(block))
        return len(block)

    def _inspect(self, block: bytes) -> None:
        self.nul = self.nul or b"\x00" in block
        end = max(block.rfind(b"\n"), block.rfind(b"\r"))
        self._line = self._line + len(block) if end < 0 else len(block) - end
        if self._line > LONGEST_LINE:
            raise SourceError(f"{self._name}: a line is longer than 64 million characters; this is no CSV file.")


class _Broken(list[str]):
    """The cells of a row that could not be read as written, and why."""

    why = ""


class _Lines:
    """The lines of a text by the block, which costs less than one by one; remembers the block it is in."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self._block: list[str] = []
        self._first = 1

    def blocks(self) -> Iterator[list[str]]:
        """All lines, for `chain.from_iterable`."""
        while block := self._text.readlines(64 * 1024):
            self._first += len(self._block)
            self._block = block
            yield block

    def __getitem__(self, number: int) -> str:
        """A line of the block that is being read, by its number in the text."""
        return self._block[number - self._first]


class _Rows:
    """The rows of one file: cells, blank lines left out; a row that breaks the rules of quoting is `_Broken`."""

    def __init__(self, text: io.TextIOWrapper, how: dialect.Dialect, name: str) -> None:
        self._name = name
        self._before = sum(1 for _ in islice(text, how.lines_before))
        self._lines = _Lines(text)
        # Strict, because the lenient way changes texts silently: "12"34 would be read as 1234.
        self._delimiter = how.delimiter
        self._reader = csv.reader(chain.from_iterable(self._lines.blocks()), delimiter=how.delimiter, strict=True)

    def header(self) -> list[str]:
        """The first row with anything in it."""
        while part := self._read_rows(1):
            row = part[0]
            if isinstance(row, _Broken):
                raise SourceError(f"{self._name}: the header cannot be read: {row.why}")
            if any("\ud800" <= mark <= "\udfff" for cell in row for mark in cell):
                raise SourceError(f"{self._name}: the header is no text in the file's encoding; set source.encoding.")
            if any(cell.strip("\ufeff\x00 \t\xa0") for cell in row):
                return row
        raise SourceError(f"{self._name}: the file is empty; it needs a header row and a row for each conversion.")

    def take(self, count: int) -> list[list[str]] | None:
        """The next rows, at most ``count``, maybe none of a stretch of blank lines; None at the end."""
        part = self._read_rows(count)
        if not part:
            return None
        return part if all(part) else [row for row in part if row]

    def _read_rows(self, count: int) -> list[list[str]]:
        part: list[list[str]] = []
        while len(part) < count:
            before, line = len(part), self._reader.line_num
            try:
                part.extend(islice(self._reader, count - before))
            except csv.Error as error:
                part.append(self._broken(line + sum(map(_lines_of, part[before:])) + 1, str(error)))
            except UnicodeDecodeError:
                line = self._before + self._reader.line_num + 1
                raise SourceError(
                    f"{self._name}: near line {line} the file is not in its encoding, or it is cut off: "
                    "set `encoding`, or export it again."
                ) from None
            else:
                break
        return part

    def _broken(self, began: int, error: str) -> _Broken:
        """A row that ends on its own line is one row's trouble; else nobody can say where the next row begins."""
        line = self._before + began
        if error.startswith("unexpected end") or self._reader.line_num != began:
            raise SourceError(
                f"{self._name}: line {line} opens a quotation mark that is not closed as it should be, so that rows "
                'after it run together: close it, or write it twice ("") where it belongs to the text.'
            )
        if error.startswith("field larger"):
            row = _Broken([""])
            row.why = f"{reasons.CELL_TOO_LARGE.code}: Line {line} holds a cell of more than 16 million characters."
            return row
        row = _Broken(next(csv.reader([self._lines[began]], delimiter=self._delimiter)))
        row.why = (
            f"{reasons.BROKEN_QUOTES.code}: In line {line} text follows a closing quotation mark. "
            f"{reasons.BROKEN_QUOTES.action}"
        )
        return row


def _lines_of(row: list[str]) -> int:
    return 1 + sum(len(_LINE_END.findall(cell)) for cell in row)


class _Table:
    """One file's columns: makes frames of its rows."""

    def __init__(self, name: str, header: list[str], watched: _Watched, partition: Mapping[str, str | None]) -> None:
        self._watched = watched
        self._own = _names(name, header)
        self._partition = {each: value for each, value in partition.items() if each not in self._own}
        self.names = [*self._own, *self._partition]
        named = [at for at, cell in enumerate(header) if _clean(cell)]
        self._unnamed = self._own[named[-1] + 1 :] if named else []
        """Columns after the last that has a name; dropped where they are empty."""

    def frame(self, rows: list[list[str]], first: int) -> pd.DataFrame:
        """Rows as text columns, with what is wrong with any of them in `PARSE_ERROR`; index = row number."""
        width = len(self._own)
        errors: list[str | None] = [None] * len(rows)
        if set(map(len, rows)) != {width} or set(map(type, rows)) != {list}:
            errors = [_ragged(row, width) for row in rows]
            rows = [(row + [""] * width)[:width] for row in rows]
        cells = zip(*rows, strict=True) if rows else [()] * width
        columns = dict(zip(self._own, map(_Column, cells), strict=True))
        for column in columns.values():
            column.add_errors(errors, self._watched)
        empty = [name for name in self._unnamed if not any(map(str.strip, columns[name].cells))]
        index = pd.RangeIndex(first, first + len(rows), name="row_number")
        texts = {name: column.text for name, column in columns.items() if name not in empty}
        texts |= {name: pd.array(_arrow([value] * len(rows)), dtype="str") for name, value in self._partition.items()}
        return pd.DataFrame(texts | {PARSE_ERROR: pd.array(_arrow(errors), dtype="str")}, index=index)


class _Column:
    """One column of some rows: its cells, its text for pandas, and what is wrong with them."""

    def __init__(self, cells: Sequence[str]) -> None:
        self.cells = cells
        self.undecodable: list[int] = []
        try:
            self._arrow = _arrow(cells)
        except UnicodeEncodeError:  # bytes that no codec could read, and halves of characters, stand as surrogates
            clean = [cell.encode("utf-8", "replace").decode() for cell in cells]
            self.undecodable = [row for row, (was, is_) in enumerate(zip(cells, clean, strict=True)) if was != is_]
            self._arrow = _arrow(clean)
        self.text = pd.array(self._arrow, dtype="str")

    def add_errors(self, errors: list[str | None], watched: _Watched) -> None:
        """Write down what is wrong with rows, where nothing is yet."""
        for row in self.undecodable:
            errors[row] = errors[row] or _DAMAGED_TEXT
        if watched.nul and pc.any(pc.match_substring(self._arrow, "\x00")).as_py():
            for row in (row for row, cell in enumerate(self.cells) if "\x00" in cell):
                errors[row] = errors[row] or _NUL


def _clean(name: str) -> str:
    return seen(name).replace("\xa0", " ")


def _names(file: str, header: list[str]) -> list[str]:
    refuse_too_wide(len(header), file)
    clean = [_clean(cell) for cell in header]
    if any(_LOOKS_LIKE_A_VALUE.fullmatch(name) for name in clean):
        raise SourceError(
            f"{file}: the first line holds values, not column names: put a header row above it, "
            "such as event_id,event_name,occurred_at."
        )
    places: dict[str, list[str]] = {}
    for at, name in enumerate(clean, 1):
        places.setdefault(name, []).append(str(at))
    for name, found in places.items():
        if name and len(found) > 1:
            raise SourceError(
                f"{file}: the header names {name} more than once (columns {', '.join(found)}): rename or delete one."
            )
    names = [name or f"column_{at}" for at, name in enumerate(clean, 1)]
    return [reserved_name(name, names) if name == PARSE_ERROR else name for name in names]


def _arrow(cells: Sequence[str | None]) -> Any:
    """Text for a column: Arrow takes Python strings several times as fast as pandas does."""
    return pa.array(cells, pa.large_string())


def _ragged(row: list[str], width: int) -> str | None:
    if isinstance(row, _Broken):
        return row.why
    if len(row) == width:
        return None
    lines = _lines_of(row)
    over = f" The row spans {lines} lines, so a quotation mark may be open." if lines > 1 else ""
    return (
        f"{reasons.RAGGED_ROW.code}: The row has {len(row)} cells, the header {width}: "
        f"a delimiter or quote is missing or too many.{over}"
    )
