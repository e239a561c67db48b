"""`conversions airflow setup`: one pool of one slot per destination of imports.yaml, in Airflow's database.

Airflow does not run a task whose pool is missing, and says so nowhere: run this after `airflow db migrate` and for
every new destination. It sets the pools back to one slot, so that the chunks of a destination follow one another in all
DAGs. A task cannot ask Airflow which pools there are, so the variable `VARIABLE` tells it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from etl.airflow import parse
from etl.airflow.local.home import ROOT, command
from etl.errors import ConfigError

VARIABLE = "conversions_pools"
ALL = "*"
"""Said by those who make the pools in their own way: none is looked for."""


def create() -> list[str]:
    """Create or update the pools through Airflow's own command; their names. Raises ConfigError."""
    config = parse.entries(parse.file_beside(ROOT / "dags")).config
    pools = {
        parse.pool(name): {"slots": 1, "description": f"Loads to {name}", "include_deferred": False}
        for name in parse.destinations(config)
    }
    with tempfile.TemporaryDirectory(prefix="conversions-") as folder:
        wanted = Path(folder) / "pools.json"
        wanted.write_text(json.dumps(pools), encoding="utf-8")
        _airflow("pools", "import", str(wanted))
    _airflow(
        "variables", "set", VARIABLE, json.dumps(list(pools)), "--description", "Made by conversions airflow setup"
    )
    return list(pools)


def missing(destinations: Iterable[str]) -> list[str]:
    """The pools of these destinations that `create` has not made, inside a task."""
    from airflow.sdk import Variable

    known = Variable.get(VARIABLE, default="[]")
    if known.strip() == ALL:
        return []
    made = json.loads(known)
    return [parse.pool(name) for name in destinations if parse.pool(name) not in made]


def sentence(pools: Sequence[str]) -> str:
    """What is to be done about missing pools."""
    return (
        f"There is no pool {', no pool '.join(pools)}, and a task whose pool is missing would wait for ever: run "
        "`conversions airflow setup` where Airflow's commands work, then clear this task."
    )


def _airflow(*words: str) -> None:
    """One of Airflow's own commands. Raises ConfigError."""
    done = subprocess.run(command(*words), capture_output=True, text=True, check=False)  # noqa: S603 (our own command)
    if done.returncode:
        last_line = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
        raise ConfigError(f"Airflow could not make the pools: {last_line}")


def main() -> int:
    """Say which pools there are now."""
    try:
        made = create()
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"Pools of one slot: {', '.join(made)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
