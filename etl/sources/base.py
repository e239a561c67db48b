"""What a source must say: settings, a name for people, and its rows in chunks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any, ClassVar, NamedTuple, Protocol, TypeAlias, TypeVar
from urllib.parse import unquote

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from etl.errors import SourceError, SourceMissing
from etl.filesystem import Found, Place, find, has_window, windowed
from etl.model import RunWarning
from etl.redact import redact_url, secrets_of


class SourceSettings(BaseModel):
    """What every source takes; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str


class StorageSettings(BaseModel):
    """Where files in a bucket are, if not where the environment says: another endpoint, a key and its secret."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    endpoint_url: str | None = None
    key: str | None = None
    secret: SecretStr | None = None

    def options(self) -> dict[str, Any]:
        """What fsspec wants to hear, secrets in the clear: not for printing."""
        given = {
            "endpoint_url": self.endpoint_url,
            "key": self.key,
            "secret": self.secret and self.secret.get_secret_value(),
        }
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Window:
    """The half-open span [start, end) of a scheduled or backfilled import; aware UTC, or open ends."""

    start: datetime | None = None
    end: datetime | None = None


class ColumnKind(StrEnum):
    """Types of columns whose texts do not say all: what is read from them must be told to who uses it."""

    SINGLE = "single"
    """Floating-point numbers of 32 bits, which hold seven digits: too few for an id or an amount."""
    NESTED = "nested"
    """Lists, objects and maps, which are no value of one row."""
    INT96 = "int96"
    """Moments without a zone of their own, which are UTC, as Spark writes them."""


class Header(NamedTuple):
    """The columns of a file or a query, before its rows: their names, and of some what they are.

    ``file`` is what people call the file; empty where the source is none. ``empty``: names of columns that only other
    files of the source have, and that are empty in this one.
    """

    names: Sequence[str]
    file: str = ""
    kinds: Mapping[str, ColumnKind] = {}
    empty: Collection[str] = ()
    rows: pd.DataFrame | None = None
    """Some of the first rows, where somebody needs them before the file is read."""

    def renamed(self, names: Mapping[str, str]) -> Header:
        """The same with other names for some columns."""
        return self._replace(
            names=[names.get(name, name) for name in self.names],
            kinds={names.get(name, name): kind for name, kind in self.kinds.items()},
            rows=None if self.rows is None else self.rows.rename(columns=names),
        )


class FileRows(NamedTuple):
    """The rows that a file has in its source: what people call it, the number of its first row there, and how many."""

    file: str
    first: int
    rows: int


class Rows(Protocol):
    """Some rows, whatever holds them."""

    def __len__(self) -> int: ...


R = TypeVar("R", bound=Rows)

Judge: TypeAlias = Callable[[Header], Collection[str]]
"""``judge(header)`` -> the columns of it that are used; raises SourceError where it cannot be used."""

JudgeRows: TypeAlias = Callable[[Header, pd.DataFrame], None]
"""``judge_rows(header, first rows)``, asked after ``judge``; raises SourceError where rows show what names do not."""

SettingsModel: TypeAlias = type[SourceSettings]


class Source:
    """One configured source. Subclasses live one level below, one per file."""

    type: ClassVar[str]
    """The name of the subclass's file, and what imports.yaml says as ``type``."""
    settings_model: ClassVar[SettingsModel]
    spreadsheet: ClassVar[bool] = False
    """True for what people open and save with spreadsheets, which round long ids; an import may say otherwise."""
    incremental: bool = False
    """True when each run reads what came after the last one."""

    def __init__(
        self,
        settings: Any,
        location: Callable[[str], str],
        displayed: Mapping[str, str] | None = None,
        hidden: Sequence[str] = (),
    ) -> None:
        self.settings = settings
        self.location = location
        self.displayed = displayed or {}
        """The texts of the settings as people may see them: with ``${NAME}`` where a secret may stand."""
        self.hidden = hidden
        """What was filled into addresses of the settings and may be secret, see `Config.secrets_filled_in`."""
        self.warnings: list[RunWarning] = []
        """What was understood without having been declared, a sentence each; filled while the source is read."""
        self.judge: Judge = lambda header: header.names
        """Asked of each file or query, whether it has rows or not, before any of its rows are given."""
        self.judge_rows: JudgeRows = lambda header, rows: None
        """Asked of the first rows of each file, before any of them are given; they may be none."""
        self.needs_rows: Callable[[Header], bool] = lambda header: False
        """True for a header of which rows are to be judged before any file is read."""
        self.timezone: str | None = None
        """The zone that the import gives to moments that have none."""
        self.unreadable: Counter[str] = Counter()
        """Column -> how many of its values were bytes that are no text, where nobody uses the column."""
        self.watermark: str | None = None
        """How far an `incremental` source has been read: set before `frames` to where it was left (None: read all),
        and when `frames` has ended it is where to go on."""

    @property
    def uses_window(self) -> bool:
        """False when the rows are the same whatever the window: then nobody should name one."""
        return False

    def describe(self) -> str:
        """A name for people and the result table; no secret in it."""
        raise NotImplementedError

    def secrets(self) -> list[str]:
        """Every secret value of the settings, so that everybody can mask it: see `redact.secrets_of`."""
        return [*secrets_of(self.settings), *self.hidden]

    def warn_of_unreadable(self) -> None:
        """Warn of columns that were left out, because they hold bytes and nobody uses them."""
        for name, rows in self.unreadable.items():
            sentence = f"{name}: left out, because it holds bytes that are no text, and nothing of it is used."
            self.warnings.append(RunWarning("bytes_left_out", name, rows, sentence))
        self.unreadable.clear()

    def frames(self, window: Window, chunk_rows: int) -> Iterator[pd.DataFrame]:
        """The rows in order, at most ``chunk_rows`` at a time, columns as the source names them.

        A file without rows is a frame without rows, so that its columns can be judged.

        Text where the source had text; the index is the row number, counted from 1 through the whole source. A column
        `PARSE_ERROR` (text, mostly null) may say, as ``reason: sentence``, why a row could not be read as a row. Raises
        SourceError when the source cannot be read.
        """
        raise NotImplementedError


_PARTITION = re.compile(r"(?P<name>[^=/]+)=(?P<value>[^/]*)")
_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"


class FileSettings(SourceSettings):
    """``path``: a path, glob or folder, local or a URL; ``{start:%Y-%m-%d}`` and ``{end:…}`` take the window."""

    path: str = Field(min_length=1)
    storage: StorageSettings = StorageSettings()


class FileSource(Source):
    """A source that is files. What belongs to all kinds of them: which they are, and what becomes of bad ones."""

    settings: FileSettings
    endings: ClassVar[tuple[str, ...]] = ()
    """How the names of this kind of files end (lower case); others in a folder are left out. Empty: all are taken."""
    fills_columns: ClassVar[bool] = False
    """True where a file that lacks columns of others has nothing in them."""
    file_name: str = ""
    """What people call the one file that is read, where its path is that of a copy."""
    skip_bad_files: bool = False
    """True when a file that cannot be used spoils only itself."""
    expected: Collection[str] = ()
    """The names by which the import's settings know columns, beside the canonical ones."""

    def __init__(
        self,
        settings: Any,
        location: Callable[[str], str],
        displayed: Mapping[str, str] | None = None,
        hidden: Sequence[str] = (),
    ) -> None:
        super().__init__(settings, location, displayed, hidden)
        self.files_read: list[FileRows] = []
        """The files that have rows, in order, each from its first rows on; filled while the source is read."""
        self.empty_files: list[str] = []
        """The files that hold nothing at all, not even a header."""

    def describe(self) -> str:
        """The path as configured."""
        return self.display_path

    @property
    def display_path(self) -> str:
        """The path as people may see it: with ``${NAME}`` where a secret may stand."""
        return self.displayed.get("path") or redact_url(self.settings.path)

    @property
    def uses_window(self) -> bool:
        """See `Source.uses_window`."""
        return has_window(self.settings.path)

    def files(self, window: Window) -> list[Place]:
        """The files that the path names, in order of their names. Raises SourceError where there is none."""
        return self.found(window).places

    def found(self, window: Window) -> Found:
        """The same, and what was found beside them, of which is warned."""
        pattern = windowed(self.location(self.settings.path), window.start, window.end, self.describe())
        display_path = windowed(self.describe(), window.start, window.end, self.describe())
        found = find(pattern, self.settings.storage.options(), display_path, self.endings)
        self.leave_out(found.left_out, f"because names of files of type {self.type} end in {', '.join(self.endings)}")
        if found.table:
            sentence = (
                f"{self.describe()}: this is a {found.table} table, whose folder also keeps rows that were changed or "
                "deleted since: export it, and read what was exported."
            )
            self.warnings.append(RunWarning("folder_of_a_table", "", 0, sentence))
        if not found.places:
            there = f"; there is {listed(found.left_out)}, which `path` may name" if found.left_out else ""
            error = SourceError if found.left_out else SourceMissing
            raise error(f"source: no file at {display_path}{there}; check imports.….source.path.")
        if self.file_name:
            return replace(found, places=[replace(place, name=self.file_name) for place in found.places])
        return found

    def leave_out(self, names: Sequence[str], why: str) -> None:
        """Warn of files of a folder that are not read."""
        if names:
            sentence = f"{self.describe()}: left out, {why}: {listed(names)}; a glob takes what it names."
            self.warnings.append(RunWarning("files_left_out", "", 0, sentence))

    def each_file(self, places: Sequence[Place], read: Callable[[Place, int], Iterator[R]]) -> Iterator[R]:
        """What ``read(place, number of its first row)`` gives of one file after another.

        A file that cannot be used ends it, or is skipped with a warning; not all of them can be.
        """
        self.files_read.clear()
        self.empty_files.clear()
        errors: list[SourceError] = []
        try:
            for place in places:
                first = self.files_read[-1].first + self.files_read[-1].rows if self.files_read else 1
                yield from self._counted(place, first, read(place, first), errors)
            if errors and len(errors) == len(places) and not self.files_read:
                raise errors[0]
        finally:
            self.warnings += [RunWarning("bad_file_skipped", "", 0, f"Skipped: {error}") for error in errors]
            if self.empty_files:
                sentence = f"{listed(self.empty_files)}: empty, without even a header, so there are no rows."
                self.warnings.append(RunWarning("empty_file", "", 0, sentence))

    def _counted(self, place: Place, first: int, parts: Iterator[R], errors: list[SourceError]) -> Iterator[R]:
        rows = 0
        try:
            for part in parts:
                if len(part):
                    entry = FileRows(place.name, first, rows + len(part))
                    self.files_read[len(self.files_read) - bool(rows) :] = [entry]
                    rows = entry.rows
                yield part
        except SourceError as error:
            if not self.skip_bad_files:
                raise
            after = f" Its first {rows:,} rows were read." if rows else ""
            errors.append(SourceError(f"{error}{after}"))

    def look_ahead(self, places: Sequence[Place]) -> None:
        """Judge the headers of several files before any row of them is given.

        What else may be wrong with a file is said when it is read.
        """
        peeked = [header for place in places if (header := self._peeked(place)) is not None] if len(places) > 1 else []
        found = self.aligned(peeked)
        names = {name for header in found for name in header.names} if self.fills_columns else set()
        if not self.skip_bad_files:
            for header in found:
                whole = header._replace(empty=sorted(names.difference(header.names)))
                self.judge(whole)
                if whole.rows is not None:
                    self.judge_rows(whole, whole.rows)

    def aligned(self, headers: list[Header]) -> list[Header]:
        """The headers of several files, with one spelling of what is one column; as they are, where each is alone."""
        return headers

    def _peeked(self, place: Place) -> Header | None:
        try:
            return self.header(place)
        except SourceError:
            return None

    def partition(self, place: Place, own: Collection[str]) -> dict[str, str | None]:
        """The columns that the folders between the configured place and a file name (``day=2026-11-20/``), but for
        those that the file has itself."""
        return partition(PurePosixPath(place.below), own)

    def header(self, place: Place) -> Header | None:
        """The columns of a file, read quickly; None where it has none, or none that can be read so."""
        return None


def partition(path: PurePosixPath, own: Collection[str]) -> dict[str, str | None]:
    """The columns that the folders of a path name, but for the ``own`` ones of its file."""
    pairs = [found for folder in path.parent.parts if (found := _PARTITION.fullmatch(folder))]
    values = {unquote(found["name"]): unquote(found["value"]) for found in pairs}
    return {name: None if value == _HIVE_NULL else value for name, value in values.items() if name not in own}


def listed(names: Sequence[str]) -> str:
    """Names for a sentence, as far as anybody reads."""
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return ", ".join(names[:20]) + more
