"""Programs that tests start and pip cannot bring: found or said to be missing, and what they wrote at their end."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
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


def wait_for_socket(of: str, address: Path, process: subprocess.Popen[bytes], log: Path, within_s: float) -> None:
    """Wait until a program listens at a socket of this machine; ``of``: what people call it. Raises Ended."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(address)) == 0:
                return
        if process.poll() is not None:
            raise Ended(f"{of} did not start and ended with {process.returncode}", log)
        time.sleep(0.05)
    raise Ended(f"{of} did not answer within {within_s} seconds", log)


def last_words(log: Path, lines: int = 40) -> str:
    """The end of what a program wrote."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else "none"
