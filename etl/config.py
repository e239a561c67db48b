"""imports.yaml, typed. Long, because it is every key there is. Secrets are resolved late and never printed; errors are
one sentence with the path of the key.

Reading the imports alone is cheap (no pandas), because Airflow does it at every parse; destinations and sources bring
their own settings models and are judged when they are asked for.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args
from urllib.parse import quote, unquote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from etl import date_formats, redact, strict_yaml
from etl.clock import DAY_MS, duration_ms
from etl.column_settings import MappingSettings
from etl.errors import ConfigError

FILE_VARIABLE = "CONVERSIONS_CONFIG"
Secret = Callable[[str], str | None]
"""``secret(name)`` -> a value for ``${name}``, or None when there is none."""

T = TypeVar("T", bound=BaseModel)
_SQLITE = "sqlite:///"
_OPTION = re.compile(r"\w+=[^/]*")
_REFERENCE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")


class DropSettings(BaseModel):
    """``drop:`` of an import: the folder or bucket that people drop files into. A plain text is the inbox.

    ``processed`` and ``quarantine`` lie in the inbox unless they are named. A file is taken when it has not changed for
    ``settle_seconds``; it is put into quarantine, with nothing sent, when no destination would take more than
    ``max_bad_share`` of its rows.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    inbox: str = Field(min_length=1)
    processed: str = ""
    quarantine: str = ""
    settle_seconds: float = Field(default=60, ge=0, le=86_400)
    max_bad_share: float = Field(default=0.5, ge=0, le=1)
    receipts: bool = True

    @model_validator(mode="after")
    def _apart(self) -> DropSettings:
        places = [place.rstrip("/") for place in (self.inbox, self.processed, self.quarantine) if place]
        if len(set(places)) != len(places):
            raise ValueError("inbox, processed and quarantine must be three places")
        return self

    @property
    def places(self) -> list[str]:
        """Where files are taken from and put, as written; the inbox first."""
        inbox = self.inbox.rstrip("/")
        aside = {"processed": self.processed, "quarantine": self.quarantine}
        return [inbox, f"{inbox}/dryrun", *(given or f"{inbox}/{name}" for name, given in aside.items())]


class LocaleSettings(BaseModel):
    """How a source writes its numbers: ``1.234,50`` is ``{decimal: ",", thousands: "."}``.

    ``grouping: indian`` groups by lakh and crore (``1,23,456.50``). ``currency_sign: true`` takes a sign or code of the
    row's own currency at either end of a number, ``accounting_negatives: true`` takes ``(12.50)`` and ``12.50-``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    decimal: Literal[",", "."]
    thousands: Literal["", ".", ",", " ", "'"] = ""
    grouping: Literal["thousands", "indian"] = "thousands"
    currency_sign: bool = False
    accounting_negatives: bool = False

    @model_validator(mode="after")
    def _apart(self) -> LocaleSettings:
        if self.decimal == self.thousands:
            raise ValueError("decimal and thousands must be two marks")
        if self.grouping == "indian" and not self.thousands:
            raise ValueError('grouping: indian needs the mark of the groups, such as thousands: ","')
        return self


class ImportSettings(MappingSettings):
    """One entry of ``imports:``; what it says of columns is in `MappingSettings`."""

    source: dict[str, Any]
    drop: DropSettings | None = None
    to: list[str] = Field(min_length=1)
    timezone: str | None = None
    date_format: str | list[str] | None = None
    """How the source writes occurred_at, as for ``strptime``, or a word of `date_formats.NUMBERS`; several are tried in
    order. Absent: ISO 8601 or epoch milliseconds."""
    locale: LocaleSettings | None = None
    """How the source writes numbers; absent: plain decimals such as 1234.50."""
    spreadsheet: bool | None = None
    """Whether ids may have been through a spreadsheet, so that rounded ones are refused; absent: yes for CSV."""
    schedule: str | None = None
    chunk_rows: int = Field(default=20_000, ge=1, le=1_000_000)
    missing: Literal["skip", "fail"] = "fail"  # what a run without a file is: one without rows, or a failure
    on_bad_file: Literal["stop", "skip"] = "stop"
    """What becomes of the others when one of several files cannot be used; it is named either way."""
    retry_first: bool = True  # whether what failed in earlier runs goes before a run; before one over a window never
    max_skew_minutes: int = Field(default=5, ge=0, le=1440)
    max_bad_share: float = Field(default=0.2, ge=0, le=1)  # of a destination's rows; with more Airflow's run fails

    @model_validator(mode="before")
    @classmethod
    def _a_drop_is_a_source(cls, raw: Any) -> Any:
        """``drop`` alone means CSV files; a plain text is its inbox."""
        if not isinstance(raw, dict) or raw.get("drop") is None:
            return raw
        drop = {"inbox": raw["drop"]} if isinstance(raw["drop"], str) else raw["drop"]
        return {"source": {"type": "csv"}, **raw, "drop": drop}

    @model_validator(mode="after")
    def _whole_units_have_no_locale(self) -> ImportSettings:
        if self.locale is not None and any(column.divide_by != 1 for column in self.columns.values()):
            raise ValueError(
                "columns.revenue.divide_by takes whole numbers, such as 1999 cents, and no `locale` for them"
            )
        return self

    @property
    def only_drops(self) -> bool:
        """True when there is nothing to read but what is dropped: no run without a file, no nightly DAG.

        ``schedule`` then only says when somebody looks next, which is the deadline that summaries name.
        """
        return self.drop is not None and "path" not in self.source

    @field_validator("to")
    @classmethod
    def _each_once(cls, value: list[str]) -> list[str]:
        twice = [name for place, name in enumerate(value) if name in value[:place]]
        if twice:
            raise ValueError(f"names {twice[0]} more than once; once is enough")
        return value

    @field_validator("timezone")
    @classmethod
    def _a_known_zone(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                ZoneInfo(value)
            except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: Europe alone is a folder
                raise ValueError(f"{value} is not a time zone such as Europe/Berlin") from None
        return value

    @field_validator("date_format")
    @classmethod
    def _whole_dates(cls, value: str | list[str] | None) -> str | list[str] | None:
        if value is not None:
            date_formats.check([value] if isinstance(value, str) else value)
        return value

    @field_validator("source")
    @classmethod
    def _a_type(cls, value: dict[str, Any]) -> dict[str, Any]:
        if "type" not in value:
            raise ValueError("needs a `type`: csv")
        return value


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    ledger: str = "sqlite:///var/ledger.db"
    lease: str = "15m"
    """How long a run that gives no sign of life keeps what it has claimed; afterwards others may send it."""
    wait_for_turn: str = "6h"
    """How long a run waits while another one sends to the same vendor's address; then its rows fail."""
    staging: str = "var/staging"
    keep_staged_days: int = Field(default=14, ge=1, le=36_500)
    """Staged rows hold people's data: every run first deletes those of runs begun longer ago than this."""
    destinations: dict[str, dict[str, Any]] = {}
    imports: dict[str, ImportSettings] = {}

    @field_validator("lease", "wait_for_turn", mode="before")
    @classmethod
    def _a_length_of_time(cls, given: Any, field: ValidationInfo) -> str:
        value = str(given)  # 15 without a unit is a number to YAML
        if not 100 <= duration_ms(value) <= 7 * DAY_MS:
            usual = cls.model_fields[field.field_name or "lease"].default
            raise ValueError(f"{value} is too short or too long; it may be 100ms to 7d, and {usual} suits most")
        return value


@dataclass(frozen=True)
class Config:
    """imports.yaml as read; ``path`` is its file, relative paths in it are meant from its folder."""

    path: Path
    file: _File = field(repr=False)
    secret: Secret = field(repr=False)

    @property
    def imports(self) -> Mapping[str, ImportSettings]:
        """The imports by name."""
        return self.file.imports

    @property
    def destination_names(self) -> list[str]:
        """The destinations by name, in the order of the file."""
        return list(self.file.destinations)

    def import_settings(self, name: str) -> ImportSettings:
        """The settings of one import; ConfigError when there is none of that name."""
        if name not in self.imports:
            known = ", ".join(self.imports) or "none"
            raise ConfigError(f"imports.{name}: there is no such import in {self.path.name} (there is: {known}).")
        return self.imports[name]

    @cached_property
    def ledger_url(self) -> str:
        """The ledger's URL with secrets filled in and a relative SQLite path made absolute."""
        url = str(self.filled(self.file.ledger, "ledger"))
        if not url.startswith(_SQLITE) or ":memory:" in url:
            return url
        path, mark, options = url.removeprefix(_SQLITE).partition("?")
        if mark and not all(_OPTION.fullmatch(option) for option in options.split("&")):
            raise ConfigError("ledger: what follows a question mark is no option; in a path it is written %3F.")
        return url if path.startswith("/") else f"{sqlite_url(self.local(unquote(path)))}{mark}{options}"

    @property
    def lease_ms(self) -> int:
        """How long a run that gives no sign of life keeps its claims."""
        return duration_ms(self.file.lease)

    @property
    def wait_for_turn_s(self) -> float:
        """How long a run waits while another sends to the same address, in seconds."""
        return duration_ms(self.file.wait_for_turn) / 1000

    @cached_property
    def staging_url(self) -> str:
        """Where stages hand files over: an absolute path or an fsspec URL."""
        return self.location(self.filled(self.file.staging, "staging"))

    def local(self, path: str) -> Path:
        """A path as meant by the file: absolute, or from the folder of imports.yaml."""
        try:
            return (self.path.parent / Path(path).expanduser()).absolute()
        except RuntimeError:
            raise ConfigError(f"{path}: nobody of that name has a home folder here; write the whole path.") from None

    def location(self, path: str) -> str:
        """Like `local`, but URLs such as s3://… stay as they are."""
        return path if "://" in path else str(self.local(path))

    def raw_destination(self, name: str) -> Mapping[str, Any]:
        """A destination's entry with its secrets filled in, not judged yet; ConfigError when there is none of it."""
        if name not in self.file.destinations:
            known = ", ".join(self.file.destinations) or "none"
            raise ConfigError(f"destinations.{name}: there is no such destination (there is: {known}).")
        filled: dict[str, Any] = self.filled({"type": name, **self.file.destinations[name]}, f"destinations.{name}")
        return filled

    def secrets(self) -> list[str]:
        """What may be secret in the addresses of the whole file, but for those whose ``${NAME}`` has no value."""
        found: list[str] = []
        for text in redact.texts_in(self.file):
            with suppress(ConfigError):
                found += redact.secrets_in_url(self.filled(text, ""))
        return found

    def secrets_filled_in(self, settings: Any) -> list[str]:
        """What is filled into addresses of some settings (``endpoint`` and the like) and may be secret."""
        return redact.secrets_filled_in(part for text in redact.texts_in(settings) for part in self._references(text))

    def _references(self, text: str) -> Iterator[redact.Filled]:
        for found in _REFERENCE.finditer(text):
            before, after = (self.filled(each, "") for each in (text[: found.start()], text[found.end() :]))
            yield redact.Filled(self._secret(found, ""), before, after)

    def filled_location(self, path: str, where: str) -> str:
        """A location with its ``${VAR}`` filled in; ``where`` is the path of the key that errors name."""
        return self.location(self.filled(path, where))

    def filled(self, value: Any, where: str) -> Any:
        """The value with every ``${NAME}`` and ``${NAME:-default}`` replaced."""
        if isinstance(value, dict):
            return {key: self.filled(part, f"{where}.{key}") for key, part in value.items()}
        if isinstance(value, list):
            return [self.filled(part, f"{where}.{place}") for place, part in enumerate(value)]
        if not isinstance(value, str):
            return value
        return _REFERENCE.sub(lambda found: self._secret(found, where), value)

    def display_path(self, path: str) -> str:
        """The path as people may see it: filled in, but for ``${NAME}`` whose value may be a secret."""
        return _REFERENCE.sub(self._display_reference, path)

    def _display_reference(self, found: re.Match[str]) -> str:
        value = self.secret(found["name"])
        if not value:
            return found["default"] or ""
        return redact.display_reference(found["name"], value, self.path.parent)

    def _secret(self, found: re.Match[str], where: str) -> str:
        known = self.secret(found["name"])
        if known:
            return known
        if found["default"] is not None:
            return found["default"]
        raise ConfigError(
            f"{where}: ${{{found['name']}}} has no value: set it in the environment or as an Airflow connection."
        )


def sqlite_url(path: str | Path) -> str:
    """The URL of a database in a file, whatever its path is made of."""
    return _SQLITE + quote(str(path))


def load(path: str | Path | None = None, secret: Secret | None = None) -> Config:
    """Read imports.yaml: ``path``, else ``$CONVERSIONS_CONFIG``, else ./imports.yaml.

    ``secret`` answers ``${NAME}``; the environment by default. Raises ConfigError.
    """
    file = Path(path or os.environ.get(FILE_VARIABLE) or "imports.yaml").absolute()
    return of(file, read(file), secret)


def read(file: Path) -> dict[str, Any]:
    """The file as written, not judged yet. Raises ConfigError."""
    try:
        raw = strict_yaml.load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{file} does not exist: name the file with --config or ${FILE_VARIABLE}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read: {type(error).__name__}.") from error
    except strict_yaml.StrictError as error:
        raise ConfigError(f"{file.name}: {error}.") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{file.name} is not YAML: {_where_in_yaml(error)}.") from None
    if not isinstance(raw, dict):
        raise ConfigError(f"{file.name} is empty or not a mapping; see the README for an example.")
    return raw


def of(file: Path, raw: Mapping[str, Any], secret: Secret | None = None) -> Config:
    """The settings that a file holds. Raises ConfigError for the first entry of it that cannot be used."""
    config = Config(file, validated(_File, raw, ""), secret or os.environ.get)
    for name, settings in config.imports.items():
        for place, destination in enumerate(settings.to):
            if destination not in config.file.destinations:
                raise ConfigError(f"imports.{name}.to.{place}: there is no destination {destination!r} in this file.")
    _judge_inboxes(config)
    return config


def _judge_inboxes(config: Config) -> None:
    """A file, and the answers beside it, are for one import; of two that look into one folder one would see nothing."""
    drops = {name: settings.drop for name, settings in config.imports.items() if settings.drop is not None}
    places = {name: [_place(config, place) for place in drop.places] for name, drop in drops.items()}
    for name, (inbox, *_) in places.items():
        for other in (each for each in drops if each != name and inbox in places[each]):
            raise ConfigError(
                f"imports.{name}.drop.inbox: imports.{other}.drop takes or puts its files there; "
                "every import needs an inbox of its own."
            )


def _place(config: Config, path: str) -> str:
    """A location such that two ways to write it are equal."""
    return path.rstrip("/") if "://" in path else os.path.normpath(config.local(path))


def _where_in_yaml(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    # What it quotes of the file may be a secret: `api_key: !k3y` is a tag to YAML, `*k3y` an alias.
    problem = redact.without_quotes(getattr(error, "problem", None) or "it cannot be parsed")
    return f"{problem} (line {mark.line + 1}, column {mark.column + 1})" if mark else str(problem)


def validated(model: type[T], raw: Mapping[str, Any], where: str) -> T:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        path = ".".join(str(part) for part in (where, *first["loc"]) if part != "")
        message = {
            "extra_forbidden": "is not a known key" + _nearest(model, first["loc"]),
            "missing": "is required but missing",
        }.get(first["type"], first["msg"].removeprefix("Value error, "))
        raise ConfigError(f"{path}: {message}.") from None


def _nearest(model: type[BaseModel], loc: tuple[int | str, ...]) -> str:
    """A known key that looks like the unknown one, among those of the same place in the file."""
    for part in loc[:-1]:
        field = model.model_fields.get(str(part))
        inner = field.annotation if field is not None else None
        inner = (get_args(inner) or (inner,))[-1]  # dict[str, Inner] and Inner alike
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            model = inner
    near = difflib.get_close_matches(str(loc[-1]), model.model_fields, n=1) if loc else []
    return f" (did you mean {near[0]}?)" if near else ""
