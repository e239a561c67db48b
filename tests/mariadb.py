"""A real MariaDB server in a folder of its own, for tests and benchmarks. Debian's package, never its service."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Missing(RuntimeError):
    """The server is not installed; the text says how to install it."""


@contextmanager
def server() -> Iterator[str]:
    """Runs while the block does; its URL, without a database. Raises Missing."""
    install, daemon = map(_program, ("mariadb-install-db", "mariadbd"))
    folder = Path(tempfile.mkdtemp(prefix="mariadb-"))
    own = ["--no-defaults", f"--datadir={folder}/data"]
    if os.getuid() == 0:
        shutil.chown(folder, "nobody")  # the server refuses to be root
        own.append("--user=nobody")
    try:
        _run(install, *own, "--auth-root-authentication-method=normal", "--skip-test-db").wait(120)
        place = [f"--socket={folder}/socket", f"--pid-file={folder}/pid", "--skip-networking"]
        process = _run(daemon, *own, *place, "--local-infile=1")
        try:
            _wait_for(folder / "socket")
            yield f"mysql+pymysql://root@localhost/?unix_socket={folder}/socket"
        finally:
            process.terminate()
            process.wait(60)
    finally:
        shutil.rmtree(folder)


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        raise Missing("MariaDB's server is needed: apt-get install mariadb-server-core (tests/servers.sh does it)")
    return found


def _run(*command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _wait_for(path: Path) -> None:
    for _ in range(600):
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(path)) == 0:
                return
        time.sleep(0.05)
    raise Missing("MariaDB did not start within half a minute")
