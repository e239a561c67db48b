"""Locks of this user on this machine: the folder they lie in, and one that is taken or is somebody else's.

In the system's folder for temporary files another user could put a link in their place.
"""

from __future__ import annotations

import os
from pathlib import Path

import filelock

from etl.errors import ConfigError

STATE = "CONVERSIONS_STATE"
"""The environment variable that names the folder of locks."""


def state_folder() -> Path:
    """The folder of this user's locks, which nobody else can put anything into. Raises ConfigError."""
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    folder = Path(os.environ.get(STATE) or f"{base}/offline-conversions").expanduser()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise ConfigError(
            f"The folder of locks {folder} cannot be made ({error.strerror}): let {STATE} name one that can."
        ) from None
    if folder.is_symlink() or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise ConfigError(
            f"The folder of locks {folder} is a link, another user's, or can be written by others: let {STATE} name a "
            "folder of your own (mode 700)."
        )
    return folder


def lock(file: Path) -> filelock.FileLock:
    """A lock that is not waited for, and that its process lets go of when it ends, however it ends."""
    return filelock.FileLock(file, timeout=0, mode=0o600)


def acquired(wanted: filelock.FileLock) -> bool:
    """Take a lock; False where another has it."""
    try:
        wanted.acquire()
    except filelock.Timeout:
        return False
    return True
