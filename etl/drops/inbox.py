"""Inbox: which files lie in a folder, and which of them have come to rest. Nothing is opened or moved here."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from etl import filesystem
from etl.drops.folders import DropFolders
from etl.drops.values import DRY_RUN, Dropped, FileState
from etl.errors import SourceError
from etl.ledger import FileInfo, Ledger


def list_files(folders: DropFolders) -> list[Dropped]:
    """The files to be tried and those to be imported, each by name; what is no data is left out, see `filesystem`."""
    return _listed(folders, f"{folders.inbox}/{DRY_RUN}", dry_run=True) + _listed(folders, folders.inbox, dry_run=False)


def settled(folders: DropFolders, ledger: Ledger, found: Sequence[Dropped], at: int) -> list[Dropped]:
    """The files that nobody has changed for ``settle_seconds``, by their own stamp or since we first saw it."""
    sighted = {info.sha256: info for info in ledger.files.in_states(folders.import_name, [FileState.SIGHTED])}
    keys = {sighting(file): file for file in found}
    ledger.files.forget(folders.import_name, [key for key in sighted if key not in keys])
    resting = []
    for key, file in keys.items():
        if key not in sighted:
            seen = FileInfo(folders.import_name, key, file.path, file.size, FileState.SIGHTED, None, at)
            ledger.files.take(seen, None)
            sighted[key] = seen
        still_since = min(sighted[key].seen_at_ms, at if file.changed_at_ms is None else file.changed_at_ms)
        if at - still_since >= folders.settings.settle_seconds * 1000:
            resting.append(file)
    return resting


def sighting(file: Dropped) -> str:
    """By what the ledger knows a file whose content nobody has read yet."""
    return hashlib.sha256(f"{file.path}\n{file.stamp}".encode()).hexdigest()


def is_unchanged(folders: DropFolders, file: Dropped) -> bool:
    """True while the file is there as it was when it was listed."""
    folders.fs.invalidate_cache()
    try:
        entries = folders.fs.ls(file.path, detail=True)
    except FileNotFoundError:
        return False
    return any(_path(entry) == file.path and _stamp(entry) == file.stamp for entry in entries)


def _listed(folders: DropFolders, folder: str, *, dry_run: bool) -> list[Dropped]:
    with filesystem.translating_errors(folder):
        entries = _entries(folders, folder, required=not dry_run)
    # A bucket may hold an empty object where it has a folder of that name, too.
    beside = {_path(entry) for entry in entries if entry["type"] != "file"}
    files = {_path(entry): entry for entry in entries if entry["type"] == "file"}
    return [
        _dropped(folders, path, entry, dry_run=dry_run)
        for path, entry in sorted(files.items())
        if path != folder
        and filesystem.is_data(path.removeprefix(f"{folder}/"))
        and (path not in beside or entry["size"])
    ]


def _entries(folders: DropFolders, folder: str, *, required: bool) -> list[dict[str, Any]]:
    """What lies in a folder. A bucket has no folders until something is in them, so only a disk can lack one."""
    key = f"imports.{folders.import_name}.drop.inbox"
    folders.fs.invalidate_cache()
    if not folders.fs.exists(folder):
        if required and "file" in folders.fs.protocol:
            raise SourceError(f"{key}: there is no folder {folder}.")
        return []
    if required and folders.fs.isfile(folder) and not filesystem.is_folder_object(folders.fs, folder):
        raise SourceError(f"{key}: {folder} is a file; name the folder that files are dropped into.")
    return list(folders.fs.ls(folder, detail=True))


def _path(entry: Mapping[str, Any]) -> str:
    return str(entry["name"]).rstrip("/")


def _dropped(folders: DropFolders, path: str, entry: Mapping[str, Any], *, dry_run: bool) -> Dropped:
    at = _changed_at(entry)
    changed_at_ms = None if at is None else int(at * 1000)
    return Dropped(folders.import_name, path, int(entry["size"]), _stamp(entry), changed_at_ms, dry_run)


def _stamp(entry: Mapping[str, Any]) -> str:
    return f"{entry['size']} {entry.get('ETag', '')} {_changed_at(entry)}"


def _changed_at(entry: Mapping[str, Any]) -> float | None:
    """When a file was last written, in seconds since 1970, as its storage says."""
    changed = entry.get("mtime", entry.get("LastModified"))
    return changed.timestamp() if isinstance(changed, datetime) else changed
