"""Commands for whoever runs the DAGs: what Airflow needs before them, and a file that loads them.

Airflow itself is started as a program of its own; the command line imports nothing of it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import typer

from etl.cli.program import STOPPED, Globals, app, say, write

airflow_app = typer.Typer(help="Airflow: what it needs before the DAGs run.", no_args_is_help=True)
app.add_typer(airflow_app, name="airflow")


@airflow_app.callback()
def airflow() -> None:
    """Keep `setup` a command of its own, while it is the only one."""


@airflow_app.command()
def setup(ctx: typer.Context) -> int:
    """Make the pools of the destinations in Airflow's database, or set them right.

    Run it where Airflow's own commands work, after `airflow db migrate` and for every new destination.
    """
    if find_spec("airflow") is None:
        say("Airflow is not installed here: pip install 'offline-conversions[airflow]'.")
        return STOPPED
    file = _file(ctx.obj)
    words = [sys.executable, "-m", "etl.airflow.pools"]
    return subprocess.run(words, env={**os.environ, "CONVERSIONS_CONFIG": str(file)}, check=False).returncode  # noqa: S603 (our own)


@app.command()
def dags(ctx: typer.Context) -> None:
    """Print a DAG file for Airflow's folder of DAGs: it loads the DAGs of this imports.yaml from this package."""
    write(f"from etl.airflow import dags\nglobals().update(dags.load({str(_file(ctx.obj))!r}))\n")


def _file(given: Globals) -> Path:
    """The imports.yaml in force. Raises ConfigError where there is none that can be read."""
    from etl import config

    file = Path(given.config or "imports.yaml").absolute()
    config.read(file)
    return file
