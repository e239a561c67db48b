"""What a source must say: settings, a name for people, and its rows in chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, TypeAlias

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from etl.errors import SourceError
from etl.filesystem import Place, find, has_window, windowed
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

    def frames(self, window: Window, chunk_rows: int) -> Iterator[pd.DataFrame]:
        """The rows in order, at most ``chunk_rows`` at a time, columns as the source names them.

        A file without rows is a frame without rows, so that its columns can be judged.

        Text where the source had text; the index is the row number, counted from 1 through the whole source. A column
        `PARSE_ERROR` (text, mostly null) may say, as ``reason: sentence``, why a row could not be read as a row. Raises
        SourceError when the source cannot be read.
        """
        raise NotImplementedError


class FileSettings(SourceSettings):
    """``path``: a path, glob or folder, local or a URL; ``{start:%Y-%m-%d}`` and ``{end:…}`` take the window."""

    path: str = Field(min_length=1)
    storage: StorageSettings = StorageSettings()


class FileSource(Source):
    """A source that is files."""

    settings: FileSettings

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
        pattern = windowed(self.location(self.settings.path), window.start, window.end, self.describe())
        display_path = windowed(self.describe(), window.start, window.end, self.describe())
        found = find(pattern, self.settings.storage.options(), display_path)
        if not found:
            raise SourceError(f"source: no file at {self.describe()}; check imports.….source.path.")
        return found
