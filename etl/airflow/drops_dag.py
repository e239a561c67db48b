"""The DAG of dropped files, every five minutes: look into each inbox, then one mapped task per file.

orders: look ─► handle[file] …        The ledger knows what was handled; a task that is run again sends nothing twice.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow.sdk import DAG, TaskGroup, task

from etl.airflow import failing, parse
from etl.airflow.red_dag import EVERY_DAG

SCHEDULE = "*/5 * * * *"
DOC = """### Dropped files

Imports what people dropped into the inboxes of the imports with a `drop`, moves it to `processed` or `quarantine` and
writes the answer beside it: `NAME.result.csv`, `NAME.fix.csv` and `NAME.summary.html`. A file in `dryrun/` is answered
and not sent. `conversions drops --once` does the same by hand.
"""


def drops_dag(file: Path, imports: list[str]) -> DAG:
    """The DAG for the inboxes of these imports."""
    with DAG(
        dag_id=parse.DROPS,
        schedule=SCHEDULE,
        **EVERY_DAG,
        default_args=parse.retries() | failing.arguments(),
        tags=["conversions"],
        doc_md=DOC,
    ) as dag:
        for name in imports:
            _inbox(file, name)
    return dag


def _inbox(file: Path, name: str) -> None:
    """The two tasks of one import; its files are handled one after the other."""
    with TaskGroup(name):

        @task
        def look() -> list[dict[str, Any]]:
            from etl.airflow import tasks

            return tasks.look(file, name)

        @task(
            map_index_template="{{ task.op_kwargs['dropped']['path'].rpartition('/')[2] }}", max_active_tis_per_dagrun=1
        )
        def handle(dropped: dict[str, Any]) -> None:
            from etl.airflow import tasks

            tasks.handle(file, dropped)

        handle.expand(dropped=look())
