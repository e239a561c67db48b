"""One Airflow DAG, started by hand: send dead letters again; what may have been accepted, only where that is safe."""

from datetime import UTC, datetime
from pathlib import Path

from airflow.sdk import DAG, Param, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from etl.airflow import parse

FILE = parse.file_beside(Path(__file__).absolute().parent)
ALL = "(all)"

DOC = """### Dead letters, once more

Sends again what is `failed` or `unknown`, from the rows as they were read, one new run in the ledger per import run.
A row that may have been accepted is sent only to vendors that count a repeat once. For the others look it up at the
vendor and decide: `conversions retry --status unknown` on the command line; nothing here does it.
"""

_config = parse.load(FILE)

with DAG(
    dag_id="retry_dead_letters",
    schedule=None,
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args=parse.retries(),
    tags=["conversions"],
    doc_md=DOC,
    params={
        "import": Param(ALL, type="string", enum=[ALL, *_config.imports], title="Import"),
        "destination": Param(ALL, type="string", enum=[ALL, *_config.destination_names], title="Destination"),
        "status": Param("failed,unknown", type="string", enum=["failed,unknown", "failed", "unknown"], title="Status"),
    },
):

    @task(multiple_outputs=False)
    def retry(destination: str) -> dict[str, int]:
        """One destination's dead letters, in its pool, so that no import loads there meanwhile."""
        params = get_current_context()["params"]
        if params["destination"] not in (ALL, destination):
            raise AirflowSkipException(f"Only {params['destination']} was asked for.")
        from etl.airflow import tasks

        chosen = None if params["import"] == ALL else params["import"]
        return tasks.retry(FILE, destination, chosen, params["status"].split(","))

    for _name in _config.destination_names:
        retry.override(task_id=_name, pool=parse.pool(_name))(_name)
