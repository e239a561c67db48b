"""Copies: the content of a dropped file, brought to this machine to be read, and known by its hash.

They lie where staged rows do, which is their owner's alone, and go with their round; what a round that was killed has
left, the next one clears away. A copy has the owner and the permissions that the file has.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from etl import locks
from etl.config import Config
from etl.drops import inbox
from etl.drops.folders import DropFolders
from etl.drops.values import Dropped, LocalCopy

_BLOCK = 1 << 20


@contextmanager
def local_copy(config: Config, folders: DropFolders, file: Dropped) -> Iterator[LocalCopy | None]:
    """The file's bytes in a folder of our own, for as long as they are needed; None when it changed or went away."""
    with _working_folder(config) as folder:
        copy = _fetched(folders, file.path, folder)
        if copy is not None and not inbox.is_unchanged(folders, file):
            copy = None
        if copy is not None and file.changed_at_ms is not None:  # a moved file keeps its date
            os.utime(copy.path, ns=(file.changed_at_ms * 1_000_000,) * 2)
        yield copy


@contextmanager
def stored_copy(config: Config, folders: DropFolders, paths: Sequence[str], sha256: str) -> Iterator[LocalCopy | None]:
    """The same, of the first of these paths that holds this content; None when none does."""
    with _working_folder(config) as folder:
        copies = (_fetched(folders, path, folder) for path in paths)
        yield next((copy for copy in copies if copy is not None and copy.sha256 == sha256), None)


@contextmanager
def _working_folder(config: Config) -> Iterator[Path]:
    """A folder of our own, for as long as it is needed; a lock beside it says that its process lives."""
    root = _root(config)
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    root.chmod(0o700)
    handle, name = tempfile.mkstemp(prefix="drop-", suffix=".lock", dir=root)
    os.close(handle)
    with locks.lock(Path(name)):
        folder = Path(name).with_suffix("")
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            Path(name).unlink(missing_ok=True)


def clear_left(config: Config) -> None:
    """Delete what rounds that were killed have left."""
    for folder in _root(config).glob("drop-*"):
        lock = locks.lock(folder.with_suffix(".lock"))
        if folder.is_dir() and not folder.is_symlink() and locks.acquired(lock):
            try:
                shutil.rmtree(folder, ignore_errors=True)
                Path(lock.lock_file).unlink(missing_ok=True)
            finally:
                lock.release()


def _root(config: Config) -> Path:
    """Beside staged rows; where these are in a bucket, beside this user's locks."""
    url = config.staging_url
    return (locks.state_folder() if "://" in url else Path(url)) / "copies"


def _fetched(folders: DropFolders, path: str, folder: Path) -> LocalCopy | None:
    local = folder / "file" / _without_patterns(PurePosixPath(path).name)
    local.parent.mkdir(exist_ok=True)
    try:
        with local.open("wb") as target:
            copy = LocalCopy(folder, local, _read(folders, path, target.write))
        if "file" in folders.fs.protocol:
            give_as(local, Path(path))
        return copy
    except FileNotFoundError:
        return None


def give_as(file: Path, other: Path) -> None:
    """Give a file the permissions of another one, and its owner and group as far as this process may."""
    found = other.stat()
    for owner, group in ((found.st_uid, found.st_gid), (-1, found.st_gid)):
        with suppress(PermissionError):
            os.chown(file, owner, group)
            break
    file.chmod(found.st_mode & 0o777)


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
