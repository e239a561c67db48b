"""Moving: files copied here to be read, and moved to where they end up. The origin goes only when the target is proven.

A file is never overwritten. What a target holds is compared by its hash with what was read, so that a move that was
cut off anywhere can be done again.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from etl import filesystem
from etl.drops import inbox
from etl.drops.folders import DropFolders
from etl.drops.values import DRY_RUN, Dropped, LocalCopy

RECEIPTS = (".result.csv", ".fix.csv", ".summary.html")
"""What stands behind a file's name in those of its receipts."""

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


def target_path(folders: DropFolders, file: Dropped, *, good: bool, unique: str) -> str:
    """Where a file goes: its own name, or with ``unique`` in it when that name or one of its receipts is taken."""
    if file.dry_run:  # trials stay beside their own inbox
        folder = f"{folders.inbox}/{DRY_RUN}/{'processed' if good else 'quarantine'}"
    else:
        folder = folders.processed if good else folders.quarantine
    stem, suffix = stem_and_suffix(file.name)
    folders.fs.invalidate_cache()
    names = (file.name, *(stem + kind for kind in RECEIPTS))
    if any(folders.fs.exists(f"{folder}/{name}") for name in names):
        return f"{folder}/{stem}.{unique}{suffix}"
    return f"{folder}/{file.name}"


def stem_and_suffix(name: str) -> tuple[str, str]:
    """``orders.csv.gz`` as ``orders`` and ``.csv.gz``."""
    whole = PurePosixPath(name)
    inner = PurePosixPath(whole.stem) if whole.suffix.lower() in filesystem.COMPRESSIONS else whole
    return inner.stem, name[len(inner.stem) :]


def move_verified(folders: DropFolders, origin: str, target: str, copy: LocalCopy) -> None:
    """Have the content at ``target``, proven by its hash, and after that no longer at ``origin``.

    A file that took the origin's name meanwhile stays there. Raises FileExistsError when the target holds something
    else, OSError when it could not be written as it was read.
    """
    held = content_hash(folders, target)
    if held is None:
        put(folders, copy.path, target)
        if content_hash(folders, target) != copy.sha256:
            remove(folders, target)
            raise OSError(errno.EIO, "it was not written as it was read")
    elif held != copy.sha256:
        raise FileExistsError(errno.EEXIST, "another file has its name")
    if content_hash(folders, origin) == copy.sha256:
        remove(folders, origin)


def put(folders: DropFolders, local: Path, target: str) -> None:
    """Write a file, whole or not at all: a bucket does so by itself, a disk by renaming."""
    folders.fs.makedirs(target.rpartition("/")[0], exist_ok=True)
    if "file" not in folders.fs.protocol:
        folders.fs.put_file(str(local), target)
        return
    part = Path(f"{target}.part")
    shutil.copy2(local, part)
    part.replace(target)


def remove(folders: DropFolders, path: str) -> None:
    """Delete a file."""
    folders.fs.rm_file(path)
