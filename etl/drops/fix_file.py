"""Fix files: how cells are written for a spreadsheet, and how such a file is read back when it is dropped again.

A spreadsheet changes what it opens. A cell that it would run as a formula gets a leading apostrophe, shown as such. In
fix.csv so does every cell that it would rewrite: long numbers, leading zeros, dates, decimals. The first column of
fix.csv, ``problem``, is how such a file is known: the column is left out and one leading apostrophe is taken away from
every cell. Cells that begin with an apostrophe by themselves get a second one, so what comes back is what went out,
byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from etl import sources
from etl.config import Config
from etl.redact import FORMULA
from etl.sources.base import FileSource, Header, Source, Window

PROBLEM = "problem"
"""The column of fix.csv that says what to correct; it is never part of a conversion."""

_MARKED = (*FORMULA, "'")
_MONTH = r"jan|feb|mar|mär|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez"
# What Excel rewrites: every number but a short whole one, whatever may be a date, and truth.
_REWRITTEN = re.compile(
    rf"\s*(?:0\d|\d{{12,}}|\d+[^\d]|[.,]\d|(?:{_MONTH})\w*[-./ ]*\d|(?:true|false|wahr|falsch)\s*$)", re.I
)


def quote_for_spreadsheet(cell: str) -> str:
    """The cell such that a spreadsheet neither runs nor rewrites it; `unquote` undoes it."""
    return f"'{cell}" if cell.startswith(_MARKED) or _REWRITTEN.match(cell) else cell


def unquote(cell: str) -> str:
    """The cell without one leading apostrophe."""
    return cell.removeprefix("'")


def file_source(config: Config, import_name: str, path: Path, name: str) -> FixFileSource:
    """How an import reads one file on this machine, which people call ``name``. Raises ConfigError.

    A fix.csv is CSV as some spreadsheet wrote it, whatever the import declares; we write it in UTF-8, and a spreadsheet
    may save it in what the import's own files are in.
    """
    declared = config.import_settings(import_name).source
    instead = dict.fromkeys(declared) | {"type": "csv", **_encoding(declared)} if is_fix_file(path) else {}
    return FixFileSource(sources.file_source(config, import_name, str(path), **instead), name)


def _encoding(declared: Mapping[str, Any]) -> dict[str, Any]:
    given = declared.get("encoding") or []
    others = [given] if isinstance(given, str) else [*given]
    return {"encoding": ["utf-8", *(each for each in others if each != "utf-8")]} if others else {}


def is_fix_file(path: Path) -> bool:
    """True for a file that begins with the column ``problem``."""
    with path.open("rb") as file:
        start = file.read(64).removeprefix(b"\xef\xbb\xbf").replace(b'"', b"").lower()
    return re.match(PROBLEM.encode() + rb"[,;\t|\r\n]", start) is not None


class FixFileSource(Source):
    """A dropped file as a source: what fix.csv added is taken away again, and ``problem`` is never a column."""

    def __init__(self, inner: Source, name: str) -> None:
        super().__init__(inner.settings, inner.location)
        self.inner = inner
        self.name = name
        self.warnings = inner.warnings
        inner.judge = self._judge_as_dropped
        if isinstance(inner, FileSource):
            inner.file_name = name

    def describe(self) -> str:
        """The file's name."""
        return self.name

    def frames(self, window: Window, chunk_rows: int) -> Iterator[pd.DataFrame]:
        """See `Source.frames`."""
        for frame in self.inner.frames(window, chunk_rows):
            columns = list(frame.columns)
            kept = frame[[name for name in columns if not _is_problem(name)]]
            yield _unquoted(kept) if columns and _is_problem(columns[0]) else kept

    def _judge_as_dropped(self, header: Header) -> Collection[str]:
        """Judge a file's header by the names that its columns will have."""
        quoted = bool(header.names) and _is_problem(header.names[0])
        names = {unquote(name) if quoted else name: name for name in header.names if not _is_problem(name)}
        return [names[name] for name in self.judge(header._replace(names=[*names])) if name in names]


def _is_problem(name: object) -> bool:
    return str(name).strip().lower() == PROBLEM


def _unquoted(frame: pd.DataFrame) -> pd.DataFrame:
    bare = frame.copy(deep=False)
    for name in bare.columns:
        if name != "damage" and isinstance(bare[name].dtype, pd.StringDtype):
            bare[name] = bare[name].str.removeprefix("'")
    return bare.rename(columns=lambda name: unquote(str(name)))
