"""Types commands, each into a process of its own: `conversions` as it is installed, with what it imports at hand.

One line of JSON per command on standard input: words, folder, environment, and the files that take what is printed.
The answer is the exit code, negative for a signal.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
import threading
from typing import Any

HEAVY = ("aiohttp", "alembic", "pandas", "pandera.pandas", "pyarrow.parquet", "requests", "rich", "s3fs", "sqlalchemy")


def typed(order: dict[str, Any]) -> int:
    """In the child: one command, from its words to its exit code."""
    for number, path in ((0, os.devnull), (1, order["out"]), (2, order["err"])):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC), number)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    tempfile.tempdir = None
    sys.argv = ["conversions", *order["words"]]
    from etl.cli import main

    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def serve() -> None:
    """One child per line, until standard input ends."""
    for name in ("etl.cli", "etl.pipeline", *HEAVY):
        importlib.import_module(name)
    assert threading.active_count() == 1, "a process with threads must not be forked"
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            code = 99
            try:
                code = typed(json.loads(line))
            finally:
                os._exit(code)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
