"""How a CSV file is written: its encoding (see `encodings`) and its delimiter, as declared or as it begins.

Nothing is guessed: what the beginning does not prove is asked for, in a sentence that names the setting.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

from etl.columns import COLUMNS, normalize
from etl.errors import SourceError
from etl.sources.formats import encodings
from etl.sources.formats.encodings import SAVE_AS
from etl.sources.formats.kinds import kind_of

SAMPLE_BYTES = 8 * 1024 * 1024
"""How much of a file is looked at before it is read; most files of people are smaller than that."""

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}

_UNPACK = "Unpack it first; what is called .csv, .csv.gz or .csv.zst is read."
_ADVICE = (
    (("archive", "compressed", "zip file"), _UNPACK),
    (("Parquet",), "Read it with `type: parquet`."),
    (("SQLite",), "Read it with `type: sql`."),
    (("encrypted",), "Decrypt it first."),
)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How to read a file: codec and its error handler, delimiter, lines before the header."""

    encoding: str
    errors: str
    delimiter: str
    lines_before: int = 0


def find(sample: bytes, name: str, declared: Sequence[str], delimiter: str | None) -> Dialect:
    """The dialect of the file called ``name`` that begins with ``sample``.

    Of the ``declared`` encodings the first that fits is taken, and a declared delimiter is kept. Raises SourceError,
    which says what setting is needed.
    """
    refuse_other_kinds(sample, name)
    codec = encodings.find(sample, name, declared)
    errors = "surrogatepass" if codec.startswith(("utf-16", "utf-32")) else "surrogateescape"
    whole = len(sample) < SAMPLE_BYTES
    text = _text(sample[: 256 * 1024], codec, errors)
    announced = re.match(r'\ufeff?"?sep=(.)"?\r?\n', text)
    if announced:  # Excel's own way to say it
        return Dialect(codec, errors, delimiter or announced[1], 1)
    return Dialect(
        codec, errors, delimiter or _delimiter(_lines(text, cut=not whole or len(sample) > 256 * 1024), name)
    )


def refuse_other_kinds(sample: bytes, name: str) -> None:
    """Raise SourceError, saying what it is, for a file that is no table of text."""
    kind = kind_of(sample)
    if kind is not None:
        advice = next((advice for words, advice in _ADVICE if any(word in kind for word in words)), SAVE_AS)
        raise SourceError(f"{name}: this is {kind}, not a CSV file. {advice}")


def first_names(sample: bytes) -> set[str]:
    """What the first line of a text may have for names, normalized, whatever its encoding and its delimiter."""
    codec = next((codec for mark, codec in encodings.BYTE_ORDER_MARKS if sample.startswith(mark)), "latin-1")
    text = _text(sample[: 64 * 1024], codec, "replace").replace("\x00", "").lstrip("\ufeff \t\r\n")
    lines = text.splitlines()
    if lines and lines[0].lower().startswith(("sep=", '"sep=')):
        lines = lines[1:]
    return {normalize(cell.strip("'\" ")) for cell in re.split(r"[,;\t|]", lines[0])} if lines else set()


def _text(sample: bytes, codec: str, errors: str) -> str:
    return codecs.getincrementaldecoder(codec)(errors).decode(sample, final=False)


def _lines(text: str, *, cut: bool) -> list[str]:
    lines = io.StringIO(text, newline="").readlines()[:200]
    return lines[:-1] if cut and len(lines) > 1 else lines


def _delimiter(lines: Sequence[str], name: str) -> str:
    """The delimiter that the header and the first rows prove."""
    shapes = {mark: _rows(lines, mark) for mark in DELIMITERS}
    split = {mark: rows for mark, rows in shapes.items() if rows and len(rows[0]) > 1}
    if not split:
        _refuse_a_title(shapes, name)
        return ","
    named = [mark for mark, rows in split.items() if _canonical(rows[0]) > 1]
    even = [mark for mark, rows in split.items() if len({len(row) for row in rows}) == 1]
    for proven in (list(split), named, even):
        if len(proven) == 1:
            return proven[0]
    seen = " and ".join(DELIMITERS[mark] for mark in split)
    raise SourceError(
        f"{name}: the columns may be separated by {seen}: let the import's source say which, such as "
        '`delimiter: ";"`, or save the file with quotation marks around its texts.'
    )


def _refuse_a_title(shapes: dict[str, list[list[str]]], name: str) -> None:
    """A first line of one cell over rows of many is a title: no header has a single column."""
    for mark, rows in shapes.items():
        if len(rows) > 1 and all(len(row) > 2 for row in rows[1:4]):
            raise SourceError(
                f"{name}: the first line holds one cell, the next ones {len(rows[1])} ({DELIMITERS[mark]}): "
                "the first line must hold the column names; delete what stands above them."
            )


def _canonical(header: Sequence[str]) -> int:
    return len({normalize(cell) for cell in header} & {normalize(name) for name in COLUMNS})


def _rows(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    found: list[list[str]] = []
    try:
        found.extend(row for row in csv.reader(lines, delimiter=delimiter, strict=True) if any(row))
    except csv.Error:  # said with its line when the file is read
        return found
    return found
