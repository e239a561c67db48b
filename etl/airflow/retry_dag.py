"""The DAG that sends dead letters again, started by hand; what may have been accepted, only where that is safe."""

from __future__ import annotations

from pathlib import Path

from airflow.sdk import DAG, Param, get_current_context, task

from etl.airflow import failing, parse
from etl.airflow.red_dag import EVERY_DAG
from etl.config import Config

ALL = "(all)"
STATUSES = ["failed,unknown", "failed", "unknown"]
DOC = """### Dead letters, once more

Sends again what is `failed` or `unknown`, from the rows as they were read, one new run in the ledger per import run.
A row that may have been accepted is sent only to vendors that count a repeat once. For the others look it up at the
vendor and decide: `conversions retry --status unknown` on the command line; nothing here does it.
"""


def retry_dag(file: Path, config: Config) -> DAG:
    """The DAG for the destinations of imports.yaml whose names a task can have."""
    names = parse.destinations(config)
    with DAG(
        dag_id=parse.RETRY,
        schedule=None,
        **EVERY_DAG,
        default_args=parse.retries() | failing.arguments(),
        tags=["conversions"],
        doc_md=DOC,
        params={
            "import": Param(ALL, type="string", enum=[ALL, *config.imports], title="Import"),
            "destination": Param(ALL, type="string", enum=[ALL, *names], title="Destination"),
            "status": Param(STATUSES[0], type="string", enum=STATUSES, title="Status"),
        },
    ) as dag:

        @task.branch(task_id=parse.free("asked", names))
        def asked() -> list[str]:
            """The tasks of the destinations that were asked for: no other waits for a slot of its pool."""
            from etl.airflow import tasks

            wanted = get_current_context()["params"]["destination"]
            chosen = names if wanted == ALL else [wanted]
            tasks.check_pools(chosen)
            return chosen

        @task(multiple_outputs=False)
        def retry(destination: str) -> dict[str, int]:
            """One destination's dead letters, in its pool, so that no import loads there meanwhile."""
            from etl.airflow import tasks

            params = get_current_context()["params"]
            chosen = None if params["import"] == ALL else params["import"]
            return tasks.retry(file, destination, chosen, params["status"].split(","))

        asked() >> [retry.override(task_id=name, pool=parse.pool(name))(name) for name in names]
    return dag
