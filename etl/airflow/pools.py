"""`python -m etl.airflow.pools`: one pool of one slot per destination of imports.yaml, in Airflow's database.

Airflow does not run a task whose pool is missing: run this after `airflow db migrate` and for every new
destination. It sets the pools back to one slot, so that the chunks of a destination follow one another in all DAGs.
"""

from __future__ import annotations

import sys

from airflow.models.pool import Pool

from etl.airflow import parse
from etl.airflow.local.home import ROOT
from etl.errors import ConfigError


def create() -> list[str]:
    """Create or update the pools; their names. Raises ConfigError."""
    config = parse.load(parse.file_beside(ROOT / "dags"))
    made = []
    for destination in config.destination_names:
        name = parse.pool(destination)
        Pool.create_or_update_pool(name, slots=1, description=f"Loads to {destination}", include_deferred=False)
        made.append(name)
    return made


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
