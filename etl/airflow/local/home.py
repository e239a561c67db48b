"""An Airflow of our own on this machine: its environment and its commands. Imports no Airflow, so it can come first."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from etl.config import FILE_VARIABLE

ROOT = Path(__file__).parents[3]
"""The checkout: imports.yaml, dags/ and var/ are here."""

SENSITIVE = "sdk_key"
"""Names that Airflow masks beyond its own list; an `sdk_key` would be shown in connections and logs otherwise."""


def environment(home: Path, imports: Path, **changes: str) -> dict[str, str]:
    """What Airflow's processes are started with: nothing of another Airflow's settings, everything else kept."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "_AIRFLOW"))}
    ours = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__SENSITIVE_VAR_CONN_NAMES": SENSITIVE,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__API_AUTH__JWT_SECRET": _kept_secret(home / "jwt_secret"),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        FILE_VARIABLE: str(imports),
        "PATH": _before(str(Path(sys.executable).parent), "PATH", os.pathsep),  # Airflow calls itself by name
        "NO_PROXY": _before("127.0.0.1,localhost", "NO_PROXY", ","),
        "no_proxy": _before("127.0.0.1,localhost", "no_proxy", ","),
        "PYTHONWARNINGS": "ignore",
    }
    return kept | ours | changes


def _before(first: str, name: str, separator: str) -> str:
    """The environment's list of that name with something put before it."""
    return separator.join(filter(None, [first, os.environ.get(name)]))


def command(*words: str) -> list[str]:
    """An Airflow command of this environment, wherever PATH points."""
    return [sys.executable, "-m", "airflow", *words]


def prepared(environment: Mapping[str, str], log: IO[bytes]) -> bool:
    """Make or upgrade Airflow's database, and the pools; what is said goes to the log. False when it failed."""
    steps = [command("db", "migrate"), [sys.executable, "-m", "etl.airflow.pools"]]
    return all(quietly(step, environment, log) == 0 for step in steps)


def quietly(words: list[str], environment: Mapping[str, str], log: IO[bytes]) -> int:
    """Run a command with its words going to the log; its exit code."""
    log.write(f"$ {' '.join(words)}\n".encode())
    log.flush()
    return subprocess.run(  # noqa: S603 (our own commands)
        words, cwd=ROOT, env=dict(environment), stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False
    ).returncode


def _kept_secret(file: Path) -> str:
    """A secret of this Airflow, made once and readable by its owner only."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(secrets.token_hex(48))
    return file.read_text()
