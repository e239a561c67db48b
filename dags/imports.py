"""One Airflow DAG per import of imports.yaml. Only the schedule, the graph and the retries are here.

retry_first ─► start ─► prepare ─► extract ─► validate ─┬► convert:    transform[chunk] ─► load[chunk] ─┬► summary
                                                        └► optimizely: transform[chunk] ─► load[chunk] ─┘
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, CronDataIntervalTimetable, TaskGroup, TriggerRule, get_current_context, task

from etl.airflow import parse
from etl.config import ImportSettings
from etl.errors import ConfigError

FILE = parse.file_beside(Path(__file__).absolute().parent)
CHUNK = "chunk {{ task.op_kwargs['chunk']['index'] }}"


def timetable(name: str, cron: str | None) -> CronDataIntervalTimetable | None:
    """The schedule with real data intervals: a bare cron text would make their start and end the same moment."""
    if cron is None:
        return None
    try:
        schedule = CronDataIntervalTimetable(cron, timezone="UTC")
        schedule.validate()
    except Exception as error:  # noqa: BLE001 (whatever the cron library raises, it is about this text)
        raise ConfigError(f"imports.{name}.schedule: {cron!r} is not a cron schedule: {error}") from None
    return schedule


def interval() -> tuple[datetime | None, datetime | None]:
    """The data interval of the DAG run that the task belongs to; a run by hand may have none."""
    dag_run = get_current_context()["dag_run"]
    return dag_run.data_interval_start, dag_run.data_interval_end


def deliver(begun: Any, chunks: Any, destination: str) -> Any:
    """The two mapped tasks of one destination. Loading is one chunk at a time, in every DAG: the pool has one slot."""
    with TaskGroup(destination):

        @task(map_index_template=CHUNK, multiple_outputs=False)
        def transform(run: str, chunk: dict[str, Any]) -> dict[str, Any]:
            from etl.airflow import tasks

            return tasks.transform(FILE, run, destination, chunk)

        @task(map_index_template=CHUNK, pool=parse.pool(destination), max_active_tis_per_dagrun=1)
        def load(run: str, chunk: dict[str, Any]) -> None:
            from etl.airflow import tasks

            tasks.load(FILE, run, destination, chunk)

        return load.partial(run=begun).expand(chunk=transform.partial(run=begun).expand(chunk=chunks))


def retry_first(name: str, destinations: Sequence[str]) -> list[Any]:
    """What failed in earlier runs of the import goes before anything is read, each destination in its pool."""
    with TaskGroup("retry_first"):

        @task(multiple_outputs=False)
        def retry(destination: str) -> list[str]:
            from etl.airflow import tasks

            is_backfill = get_current_context()["dag_run"].run_type == "backfill"
            return tasks.retry_first(FILE, name, destination, is_backfill=is_backfill)

        return [retry.override(task_id=each, pool=parse.pool(each))(each) for each in destinations]


def import_dag(name: str, settings: ImportSettings) -> DAG:
    """The DAG of one import."""
    with DAG(
        dag_id=name,
        schedule=timetable(name, settings.schedule),
        start_date=datetime(2025, 1, 1, tzinfo=UTC),
        catchup=False,
        max_active_runs=1,
        default_args=parse.retries(),
        tags=["conversions", *settings.to],
        doc_md=parse.description(name, settings),
    ) as dag:

        @task(trigger_rule=TriggerRule.ALL_DONE)
        def start(went_first: list[Any]) -> str:
            from etl.airflow import tasks

            return tasks.start(FILE, name, *interval(), went_first)

        @task
        def prepare(run: str) -> None:
            from etl.airflow import tasks

            tasks.prepare(FILE, run)

        @task
        def extract(run: str) -> list[dict[str, Any]]:
            from etl.airflow import tasks

            return tasks.extract(FILE, run, *interval())

        @task
        def validate(run: str, chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
            from etl.airflow import tasks

            return tasks.validate(FILE, run, chunks)

        @task(trigger_rule=TriggerRule.ALL_DONE, multiple_outputs=False)
        def summary(run: str | None) -> dict[str, dict[str, int]]:
            from etl.airflow import tasks

            ti = get_current_context()["ti"]
            states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id]).get(ti.run_id, {})
            return tasks.summary(FILE, run, states)

        begun = start(retry_first(name, settings.to))
        extracted = extract(begun)
        prepare(begun) >> extracted
        validated = validate(begun, extracted)
        [deliver(begun, validated, destination) for destination in settings.to] >> summary(begun)
    return dag


for _name, _settings in parse.load(FILE).imports.items():
    if _settings.drop is None or (_settings.schedule is not None and not _settings.only_drops):  # else see drops.py
        globals()[_name] = import_dag(_name, _settings)
