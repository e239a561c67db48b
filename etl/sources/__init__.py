"""Where conversions come from; the file name is the source's type. Nothing else registers a source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from etl import plugins
from etl.config import Config, validated
from etl.errors import ConfigError
from etl.redact import redact_url
from etl.sources.base import FileSource, Source, StorageSettings

__all__ = [
    "Source",
    "file_source",
    "find",
    "import_kind",
    "import_source",
    "make_source",
    "secrets_of",
    "storage_options",
    "types",
]


def types() -> list[str]:
    """The types that exist: the file names of this folder."""
    return plugins.types(__name__)


def find(type_: str) -> type[Source]:
    """The class of a type, see `plugins.find`. Raises KeyError when there is no such file."""
    return plugins.find(__name__, type_, Source)


def import_kind(config: Config, import_name: str) -> type[Source]:
    """The class of an import's source: what it says of every import from there. Raises ConfigError."""
    key = f"imports.{import_name}.source"
    return _kind(str(config.filled(config.import_settings(import_name).source["type"], f"{key}.type")), key)


def import_source(config: Config, import_name: str) -> Source:
    """The source of an import, ready to be read. Raises ConfigError."""
    settings = config.import_settings(import_name)
    if settings.only_drops:
        raise ConfigError(
            f"imports.{import_name}.source.path: is missing; `conversions drops {import_name}` reads dropped files."
        )
    source = make_source(config, settings.source, f"imports.{import_name}.source")
    source.timezone = settings.timezone
    if isinstance(source, FileSource):
        source.skip_bad_files = settings.on_bad_file == "skip"
    return source


def file_source(config: Config, import_name: str, path: str, **instead: Any) -> Source:
    """The source that reads one local file as an import's settings say; ``instead`` replaces some (None: drops)."""
    settings = {**config.import_settings(import_name).source, **instead, "path": path}
    kept = {key: value for key, value in settings.items() if value is not None and key != "storage"}
    source = make_source(config, kept, f"imports.{import_name}.source")
    source.timezone = config.import_settings(import_name).timezone
    return source


def make_source(config: Config, settings: Mapping[str, Any], key: str) -> Source:
    """A source from its settings; ``key`` is the path of the key that errors name. Raises ConfigError."""
    raw = config.filled(dict(settings), key)
    kind = _kind(raw["type"], key)
    judged = validated(kind.settings_model, raw, key)
    plain = {name: text for name, text in settings.items() if isinstance(getattr(judged, name, None), str)}
    displayed = {name: redact_url(config.display_path(text)) for name, text in plain.items()}
    return kind(judged, config.location, displayed, config.secrets_filled_in(settings))


def secrets_of(config: Config, import_name: str) -> list[str]:
    """Every secret of an import's source, also of one that only takes dropped files. Raises ConfigError."""
    settings = config.import_settings(import_name)
    inbox = {"path": settings.drop.inbox} if settings.drop and settings.only_drops else {}
    return make_source(config, {**settings.source, **inbox}, f"imports.{import_name}.source").secrets()


def storage_options(config: Config, import_name: str) -> dict[str, Any]:
    """How the file system of an import's drop is opened (fsspec options), as its source's ``storage`` says."""
    key = f"imports.{import_name}.source.storage"
    raw = config.filled(config.import_settings(import_name).source.get("storage") or {}, key)
    return validated(StorageSettings, raw, key).options()


def _kind(type_: str, key: str) -> type[Source]:
    try:
        return find(type_)
    except KeyError:
        raise ConfigError(f"{key}.type: must be one of {', '.join(types())}.") from None
