"""One DAG run as a process of its own, killed at a step of a load: ``python dag_victim.py DAGS STEP NTH``.

Airflow's home and the project's settings are those of the environment. Only tests start it.
"""

from __future__ import annotations

import sys

from airflow.dag_processing.dagbag import DagBag

from tests.faults.victim import Fuse

if __name__ == "__main__":
    dags, step, nth = sys.argv[1:]
    Fuse(step, int(nth)).lay()
    DagBag(dags).dags["store_orders"].test()
