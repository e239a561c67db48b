"""How a CSV file is written: its encoding and its delimiter, as declared or as its beginning shows.

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

SAMPLE_BYTES = 8 * 1024 * 1024
"""How much of a file is looked at before it is read; most files of people are smaller than that."""

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NOT_CSV = (
    (b"PK\x03\x04", "an Excel workbook (or another zip file)"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
    (b"%PDF", "a PDF"),
    (b"PAR1", "a Parquet file"),
    (b"\x1f\x8b", "compressed with gzip, although its name does not end in .gz"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd, although its name does not end in .zst"),
    (b"SQLite format 3\x00", "a SQLite database"),
    (b"<!doctype html", "a web page"),
    (b"<html", "a web page"),
    (b"<?xml", "an XML file"),
    (b'[{"', "a JSON file"),
    (b'{"', "a JSON file"),
)
_SAVE_AS = "In the spreadsheet choose “Save as”, “CSV UTF-8”."
_BEYOND_ASCII = re.compile("[\x80-\ud7ff\ue000-\U0010ffff]")
_SURROGATE = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")
_ACCENTED_RUN = re.compile(rb"[\xc0-\xff]{3,}")
_WESTERN_LETTERS = tuple(
    frozenset(letters.encode("cp1252"))
    for letters in ("åäöüæøßÅÄÖÜÆØ", "áéíóúñüãõâêôàçÁÉÍÓÚÑÜÃÕÂÊÔÀÇ", "éèêëàâçùûîïôÉÈÊËÀÂÇÙÛÎÏÔ")
)
"""Western words have hardly three accented letters in a row, and then of one language; Cyrillic ones would have."""
_MARKS_INSIDE_WORDS = re.compile(
    rb"[A-Za-z][\x82-\x84\x86-\x89\x8b\x93-\x95\x98\x9b][A-Za-z]|[A-Za-z][\x8a\x8c\x8e\x9f][a-z]"
)
"""Quotation marks and capital Š, Ž, Ÿ inside of words: what the letters of MS-DOS and old Macs would come out as."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How to read a file: codec and its error handler, delimiter, lines before the header, and what was assumed."""

    encoding: str
    errors: str
    delimiter: str
    lines_before: int = 0
    assumption: str = ""


_HOST_NAME_CODECS = ("idna", "punycode")  # codecs for the names of hosts, which no file is written in


def known_codec(name: str) -> str:
    """The name, if Python can decode text by it; ValueError otherwise."""
    try:
        "".encode(name)
        if codecs.lookup(name).name not in _HOST_NAME_CODECS:
            return name
    except (LookupError, UnicodeError):
        pass
    raise ValueError(f"{name} is not an encoding such as utf-8, utf-16 or windows-1252")


def find(sample: bytes, name: str, encoding: str | None, delimiter: str | None) -> Dialect:
    """The dialect of the file called ``name`` that begins with ``sample``; a declared encoding or delimiter is kept.

    Raises SourceError with a sentence that says which setting is needed.
    """
    _refuse_other_kinds(sample, name)
    codec, assumption = _declared(sample, name, encoding) if encoding else _detected(sample, name)
    errors = "surrogatepass" if codec.startswith(("utf-16", "utf-32")) else "surrogateescape"
    whole = len(sample) < SAMPLE_BYTES
    text = _text(sample[: 256 * 1024], codec, errors)
    announced = re.match(r'\ufeff?"?sep=(.)"?\r?\n', text)
    if announced:  # Excel's own way to say it
        return Dialect(codec, errors, delimiter or announced[1], 1, assumption)
    chosen = delimiter or _delimiter(_lines(text, cut=not whole or len(sample) > 256 * 1024), name)
    return Dialect(codec, errors, chosen, 0, assumption)


def _refuse_other_kinds(sample: bytes, name: str) -> None:
    start = sample.lstrip()[:16].lower()
    for magic, kind in _NOT_CSV:
        if start.startswith(magic.lower()):
            raise SourceError(f"{name}: this is {kind}, not a CSV file. {_SAVE_AS}")


def _declared(sample: bytes, name: str, encoding: str) -> tuple[str, str]:
    codec = codecs.lookup(encoding).name
    marked = next((codec for mark, codec in _BYTE_ORDER_MARKS if sample.startswith(mark)), None)
    if marked and marked[:6] not in (codec[:6], "utf-8-"):
        raise SourceError(
            f"{name}: `encoding` says {encoding}, but the file begins with the mark of {marked.upper()}: "
            "leave `encoding` out."
        )
    if codec == "utf-8":
        _must_be_utf8(sample, name)
        return "utf-8-sig", ""
    if codec.startswith(("utf-16", "utf-32")) and not marked and b"\x00" not in sample:
        raise SourceError(f"{name}: `encoding` says {encoding}, but the file is not: leave `encoding` out.")
    return codec, ""


def _must_be_utf8(sample: bytes, name: str) -> None:
    wrong = _first_not_utf8(sample)
    if wrong is not None and not _has_utf8(sample):
        raise SourceError(
            f"{name}: `encoding` says UTF-8, but line {_line_of(sample, wrong)} is not: leave `encoding` out, "
            "or name the right one, such as windows-1252."
        )


def _detected(sample: bytes, name: str) -> tuple[str, str]:
    for mark, codec in _BYTE_ORDER_MARKS:
        if sample.startswith(mark):
            return codec, ""
    if sample.isascii() and b"\x00" not in sample:
        return "utf-8-sig", ""
    if b"\x00" in sample[:2]:
        raise SourceError(
            f"{name}: this looks like UTF-16 without its mark: set `encoding: utf-16-le` (or utf-16-be). {_SAVE_AS}"
        )
    wrong = _first_not_utf8(sample)
    if wrong is None or _has_utf8(sample):
        return "utf-8-sig", ""
    return _windows(sample, name, _line_of(sample, wrong))


def _windows(sample: bytes, name: str, line: int) -> tuple[str, str]:
    try:
        sample.decode("cp1252")
    except UnicodeDecodeError:
        western = False
    else:
        western = _MARKS_INSIDE_WORDS.search(sample) is None and all(
            any(letters.issuperset(run[0]) for letters in _WESTERN_LETTERS) for run in _ACCENTED_RUN.finditer(sample)
        )
    if not western:
        raise SourceError(
            f"{name}: line {line} is neither UTF-8 nor plainly Windows-1252, so letters would come out wrong: "
            f"set `encoding` to what the program wrote (such as cp1250, cp1251, mac-roman). {_SAVE_AS}"
        )
    return "cp1252", f"{name}: read as Windows-1252, because line {line} is not UTF-8; set `encoding` to be sure."


def _first_not_utf8(sample: bytes) -> int | None:
    """Where the first byte is that no UTF-8 text could hold; a character cut by the sample's end is none."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample, final=False)
    except UnicodeDecodeError as error:
        return error.start
    return None


def _has_utf8(sample: bytes) -> bool:
    """True when some bytes are characters of UTF-8 beyond ASCII: then the others are damage, not another encoding."""
    return bool(_SURROGATE.search(sample) or _BEYOND_ASCII.search(sample.decode("utf-8", "surrogateescape")))


def _line_of(sample: bytes, position: int) -> int:
    return max(sample.count(mark, 0, position) for mark in (b"\n", b"\r")) + 1


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
