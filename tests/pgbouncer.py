"""A real PgBouncer before a real PostgreSQL, for tests: Debian's package, never its service."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from tests.programs import program, wait_for_socket

UP_WITHIN_S = 20
PORT = 6432
"""Of the name of its socket; nothing listens on the network."""

SETTINGS = """
[databases]
* = host={host} port={port} user={user}
[pgbouncer]
listen_addr =
listen_port = {own_port}
unix_socket_dir = {folder}
auth_type = any
pool_mode = transaction
default_pool_size = 3
max_client_conn = 200
logfile = {folder}/log
"""


@contextmanager
def before(postgres: str) -> Iterator[str]:
    """Runs while the block does; the URL of the same database through it. Raises Missing or Ended."""
    daemon = program("pgbouncer", of="pgbouncer")
    url = sa.make_url(postgres)
    host = str(url.query.get("host") or url.host)
    folder = Path(tempfile.mkdtemp(prefix="pgbouncer-"))
    try:
        words = {"host": host, "port": url.port or 5432, "user": url.username or "postgres", "own_port": PORT}
        (folder / "ini").write_text(SETTINGS.format(folder=folder, **words))
        command = [daemon, str(folder / "ini")]
        if os.getuid() == 0:  # it refuses to be root
            owner = pwd.getpwuid(Path(host).stat().st_uid).pw_name if host.startswith("/") else "nobody"
            user = "nobody" if owner == "root" else owner
            shutil.chown(folder, user)
            command[1:1] = ["-u", user]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            wait_for_socket("PgBouncer", folder / f".s.PGSQL.{PORT}", process, folder / "log", UP_WITHIN_S)
            through = url.set(host=None, port=None, query={"host": str(folder), "port": str(PORT)})
            yield through.render_as_string(hide_password=False)
        finally:
            process.terminate()
            process.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
