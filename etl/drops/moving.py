"""Moving: a dropped file goes to where it ends up. Its origin goes only when the target is proven.

A file is never overwritten. What a target holds is compared by its hash with what was read, so that a move that was
cut off anywhere can be done again.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from etl import filesystem
from etl.drops.copies import content_hash, give_as
from etl.drops.folders import DropFolders
from etl.drops.values import DRY_RUN, RECEIPTS, Dropped, LocalCopy, stem_and_suffix

_LONGEST_SUFFIX = 12
_LONGEST_STEM = 190
_LONGEST_NAME = 210
"""In bytes, of the 255 that a disk has: a run's id, ``.summary.html`` and ``.part`` may come behind a stem."""


def target_path(folders: DropFolders, file: Dropped, *, good: bool, unique: str) -> str:
    """Where a file goes: its own name, or with ``unique`` in it when that name or one of its receipts is taken.

    A name that leaves a disk no room for those of its receipts is cut short.
    """
    if file.dry_run:  # trials stay beside their own inbox
        folder = f"{folders.inbox}/{DRY_RUN}/{'processed' if good else 'quarantine'}"
    else:
        folder = folders.processed if good else folders.quarantine
    stem, suffix = stem_and_suffix(file.name)
    if len(file.name.encode(errors="replace")) > _LONGEST_NAME:
        suffix = suffix if len(suffix) <= _LONGEST_SUFFIX else ""
        return f"{folder}/{_cut(stem if suffix else file.name)}.{unique}{suffix}"
    folders.fs.invalidate_cache()
    names = (file.name, *(stem + kind for kind in RECEIPTS))
    if any(folders.fs.exists(f"{folder}/{name}") for name in names):
        return f"{folder}/{stem}.{unique}{suffix}"
    return f"{folder}/{file.name}"


def _cut(name: str) -> str:
    """As much of a name as leaves room for what is put behind it."""
    return name.encode(errors="replace")[:_LONGEST_STEM].decode(errors="ignore")


def give_readable_names(folders: DropFolders) -> None:
    """Rename what lies in an inbox on a disk under bytes that are no text: no ledger and no receipt could name it."""
    if "file" not in folders.fs.protocol:
        return
    for folder in (Path(folders.inbox), Path(folders.inbox) / DRY_RUN):
        for path in folder.iterdir() if folder.is_dir() else ():
            target = path.with_name(filesystem.readable(path.name))
            if target != path and path.is_file() and not target.exists():
                path.rename(target)


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
    """Write a file, whole or not at all: a bucket does so by itself, a disk by renaming.

    On a disk it has the permissions and the owner that it has here.
    """
    folders.fs.makedirs(target.rpartition("/")[0], exist_ok=True)
    if "file" not in folders.fs.protocol:
        folders.fs.put_file(str(local), target)
        return
    part = Path(f"{target}.part")
    part.unlink(missing_ok=True)
    try:
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        shutil.copyfile(local, part)
        shutil.copystat(local, part)
        give_as(part, local)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def remove(folders: DropFolders, path: str) -> None:
    """Delete a file."""
    folders.fs.rm_file(path)
