"""One Airflow DAG for dropped files, every five minutes: look into each inbox, then one mapped task per file.

orders: look ─► handle[file] …        The ledger knows what was handled; a task that is run again sends nothing twice.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, TaskGroup, task

from etl.airflow import parse

FILE = parse.file_beside(Path(__file__).absolute().parent)

DOC = """### Dropped files

Imports what people dropped into the inboxes of the imports with a `drop`, moves it to `processed` or `quarantine` and
writes the answer beside it: `NAME.result.csv`, `NAME.fix.csv` and `NAME.summary.html`. A file in `dryrun/` is answered
and not sent. `conversions drops --once` does the same by hand.
"""

_imports = [name for name, settings in parse.load(FILE).imports.items() if settings.drop is not None]


def inbox(name: str) -> None:
    """The two tasks of one import; its files are handled one after the other."""
    with TaskGroup(name):

        @task
        def look() -> list[dict[str, Any]]:
            from etl.airflow import tasks

            return tasks.look(FILE, name)

        @task(map_index_template="{{ task.op_kwargs['file']['path'].rpartition('/')[2] }}", max_active_tis_per_dagrun=1)
        def handle(file: dict[str, Any]) -> None:
            from etl.airflow import tasks

            tasks.handle(FILE, file)

        handle.expand(file=look())


if _imports:
    with DAG(
        dag_id="drops",
        schedule="*/5 * * * *",
        start_date=datetime(2025, 1, 1, tzinfo=UTC),
        catchup=False,
        max_active_runs=1,
        default_args=parse.retries(),
        tags=["conversions"],
        doc_md=DOC,
    ):
        for _name in _imports:
            inbox(_name)
