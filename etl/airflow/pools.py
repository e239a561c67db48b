"""`python -m etl.airflow.pools`: one pool of one slot per destination of imports.yaml, in Airflow's database.

Airflow does not run a task whose pool is missing: run this after `airflow db migrate` and for every new
destination. It sets the pools back to one slot, so that the chunks of a destination follow one another in all DAGs.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from etl.airflow import parse
from etl.airflow.local.home import ROOT, command
from etl.errors import ConfigError


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
        done = subprocess.run(command("pools", "import", str(wanted)), capture_output=True, text=True, check=False)  # noqa: S603 (our own command)
    if done.returncode:
        last_line = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
        raise ConfigError(f"Airflow could not make the pools: {last_line}")
    return list(pools)


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
