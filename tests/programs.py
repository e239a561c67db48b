"""Programs that tests start and pip cannot bring: found or said to be missing, and what they wrote at their end."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


class Missing(RuntimeError):
    """A program is not installed. The text says in one line what to do."""


class Ended(RuntimeError):
    """A program did not come up, or ended while it was needed. The text closes with the last lines that it wrote."""

    def __init__(self, said: str, log: Path) -> None:
        super().__init__(f"{said}; its last words:\n{last_words(log)}")


def program(*names: str, of: str) -> str:
    """The path of the first of these programs that there is; ``of``: Debian's package. Raises Missing."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    found = next(filter(None, (shutil.which(name, path=path) for name in names)), None)
    if found is None:
        raise Missing(
            f"{' or '.join(names)} is needed on the PATH: as root tests/servers.sh installs it where there is apt-get "
            f"({of}), elsewhere the system's own package manager"
        )
    return found


def last_words(log: Path, lines: int = 40) -> str:
    """The end of what a program wrote."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else "none"
