"""DAGs of a folder as a process of its own: ``python dag_folder.py FOLDER DAG`` prints all ids and how a run ends.

Airflow's home and the project's settings are those of the environment. Only tests start it.
"""

from __future__ import annotations

import sys

from airflow.dag_processing.dagbag import DagBag

if __name__ == "__main__":
    folder, name = sys.argv[1:]
    bag = DagBag(folder)
    run = bag.dags[name].test()
    states = {ti.task_id: str(ti.state) for ti in run.get_task_instances()}
    sys.stdout.write(f"\n{bag.import_errors} {sorted(bag.dags)} {run.state} {states}\n")
