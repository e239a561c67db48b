"""Folders: where the dropped files of one import lie and where they end up. Nothing is listed or moved here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from etl import filesystem, sources
from etl.config import Config, DropSettings
from etl.errors import ConfigError


@dataclass(frozen=True)
class DropFolders:
    """The folders of one import, on one file system; paths as that knows them, without a slash at their end."""

    import_name: str
    settings: DropSettings
    fs: Any = field(repr=False)
    inbox: str
    processed: str
    quarantine: str


def drop_folders(config: Config, import_name: str) -> DropFolders:
    """The folders of an import. Raises ConfigError when it has no ``drop``, or they are on different storages."""
    drop = config.import_settings(import_name).drop
    if drop is None:
        raise ConfigError(f"imports.{import_name}.drop: is missing; this import takes no dropped files.")
    fs, inbox = _opened(config, import_name, "inbox", drop.inbox)
    paths = {"processed": f"{inbox}/processed", "quarantine": f"{inbox}/quarantine"}
    for name, given in (("processed", drop.processed), ("quarantine", drop.quarantine)):
        if given:
            other, paths[name] = _opened(config, import_name, name, given)
            if other.protocol != fs.protocol:
                raise ConfigError(
                    f"imports.{import_name}.drop.{name}: must be on the same kind of storage as the inbox."
                )
    return DropFolders(import_name, drop, fs, inbox, paths["processed"], paths["quarantine"])


def _opened(config: Config, import_name: str, name: str, location: str) -> tuple[Any, str]:
    """The file system of one of the folders, and its path there."""
    key = f"imports.{import_name}.drop.{name}"
    filled = config.filled_location(location, key)
    fs, path = filesystem.file_system(filled, key, sources.storage_options(config, import_name))
    return fs, path.rstrip("/")
