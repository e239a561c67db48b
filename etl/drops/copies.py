"""Copies: the content of a dropped file, brought to this machine to be read, and known by its hash."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from etl.drops import inbox
from etl.drops.folders import DropFolders
from etl.drops.values import Dropped, LocalCopy

_BLOCK = 1 << 20


@contextmanager
def local_copy(folders: DropFolders, file: Dropped) -> Iterator[LocalCopy | None]:
    """The file's bytes in a folder of our own, for as long as they are needed; None when it changed or went away."""
    with tempfile.TemporaryDirectory(prefix="conversions-drop-") as folder:
        copy = _fetched(folders, file.path, Path(folder))
        if copy is not None and not inbox.is_unchanged(folders, file):
            copy = None
        if copy is not None and file.changed_at_ms is not None:  # a moved file keeps its date
            os.utime(copy.path, ns=(file.changed_at_ms * 1_000_000,) * 2)
        yield copy


@contextmanager
def stored_copy(folders: DropFolders, paths: Sequence[str], sha256: str) -> Iterator[LocalCopy | None]:
    """The same, of the first of these paths that holds this content; None when none does."""
    with tempfile.TemporaryDirectory(prefix="conversions-drop-") as folder:
        copies = (_fetched(folders, path, Path(folder)) for path in paths)
        yield next((copy for copy in copies if copy is not None and copy.sha256 == sha256), None)


def _fetched(folders: DropFolders, path: str, folder: Path) -> LocalCopy | None:
    local = folder / "file" / _without_patterns(PurePosixPath(path).name)
    local.parent.mkdir(exist_ok=True)
    try:
        with local.open("wb") as target:
            return LocalCopy(folder, local, _read(folders, path, target.write))
    except FileNotFoundError:
        return None


def _without_patterns(name: str) -> str:
    """The name without what a path pattern or a window placeholder would take for its own."""
    return re.sub(r"[^\w.\- ()]", "_", name)


def _read(folders: DropFolders, path: str, each: Callable[[bytes], object]) -> str:
    """Read a file in blocks; the hash of its content."""
    digest = hashlib.sha256()
    with folders.fs.open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            each(block)
    return digest.hexdigest()


def content_hash(folders: DropFolders, path: str) -> str | None:
    """The hash of a file's content; None when there is no such file."""
    folders.fs.invalidate_cache()
    if not folders.fs.exists(path):
        return None
    return _read(folders, path, len)
