"""A real MariaDB server in a folder of its own, for tests and benchmarks. Debian's package, never its service."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.programs import Ended, program, wait_for_socket

UP_WITHIN_S = 60


@contextmanager
def server() -> Iterator[str]:
    """Runs while the block does; its URL, without a database. Raises Missing or Ended."""
    install, daemon = (program(name, of="mariadb-server-core") for name in ("mariadb-install-db", "mariadbd"))
    program("my_print_defaults", of="mariadb-client-core")  # mariadb-install-db runs it
    folder = Path(tempfile.mkdtemp(prefix="mariadb-"))
    own = ["--no-defaults", f"--datadir={folder}/data"]
    if os.getuid() == 0:
        shutil.chown(folder, "nobody")  # the server refuses to be root
        own.append("--user=nobody")
    log, address = folder / "log", folder / "socket"
    place = [f"--socket={address}", f"--pid-file={folder}/pid", "--skip-networking", "--local-infile=1"]
    try:
        _make_tables([install, *own, "--auth-root-authentication-method=normal", "--skip-test-db", "--force"], log)
        process = _run([daemon, *own, *place], log)
        try:
            wait_for_socket("MariaDB", address, process, log, UP_WITHIN_S)
            yield f"mysql+pymysql://root@localhost/?unix_socket={address}"
            if process.poll() is not None:
                raise Ended(f"MariaDB ended under the tests with {process.returncode}", log)
        finally:
            process.terminate()
            process.wait(60)
    finally:
        shutil.rmtree(folder)


def _make_tables(command: list[str], log: Path) -> None:
    """The server's own tables; ``--force`` is in the command so that nobody looks up this machine's name."""
    if code := _run(command, log).wait(120):
        raise Ended(f"{command[0]} ended with {code}", log)


def _run(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as out:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
