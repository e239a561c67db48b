"""The DAG of one import: the schedule, the graph and the retries.

check ─► retry_first ─► start ─► prepare ─► extract ─► validate ─┬► convert:    transform[] ─► load[] ─┬► summary
                                                                 └► optimizely: transform[] ─► load[] ─┘
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Param, TaskGroup, TriggerRule, get_current_context, task

from etl.airflow import failing, parse
from etl.airflow.red_dag import EVERY_DAG, timetable
from etl.config import ImportSettings

CHUNK = "chunk {{ task.op_kwargs['chunk']['index'] }}"


def import_dag(file: Path, name: str, settings: ImportSettings) -> DAG:
    """The DAG of one import. Raises ConfigError."""
    schedule = None if settings.schedule is None else timetable(f"imports.{name}.schedule", settings.schedule)
    with DAG(
        dag_id=parse.dag_id(name),
        schedule=schedule,
        **EVERY_DAG,
        default_args=parse.retries() | failing.arguments(),
        tags=["conversions", *settings.to],
        doc_md=parse.description(name, settings),
        params={"destinations": _destinations(settings)},
    ) as dag:
        import_tasks(file, name, settings)
    return dag


def import_tasks(file: Path, name: str, settings: ImportSettings) -> None:
    """The tasks of one import, for the DAG or group that is being built."""

    @task
    def check() -> None:
        from etl.airflow import tasks

        tasks.check(file, name, chosen(), is_backfill=is_backfill())

    @task(trigger_rule=TriggerRule.ALL_DONE)
    def start(went_first: list[Any]) -> str:
        from etl.airflow import tasks

        return tasks.start(file, name, *interval(), went_first, chosen(), is_backfill=is_backfill())

    @task
    def prepare(run: str) -> None:
        from etl.airflow import tasks

        tasks.prepare(file, run)

    @task
    def extract(run: str) -> list[dict[str, Any]]:
        from etl.airflow import tasks

        return tasks.extract(file, run, *interval())

    @task
    def validate(run: str, chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
        from etl.airflow import tasks

        return tasks.validate(file, run, chunks)

    @task(trigger_rule=TriggerRule.ALL_DONE, multiple_outputs=False)
    def summary(run: str | None) -> dict[str, dict[str, int]]:
        from etl.airflow import tasks

        return tasks.summary(file, run, _states())

    before = retry_first(file, name, settings.to)
    check() >> before
    begun = start(before)
    extracted = extract(begun)
    prepare(begun) >> extracted
    validated = validate(begun, extracted)
    [deliver(file, begun, validated, destination, settings.to) for destination in settings.to] >> summary(begun)


def _destinations(settings: ImportSettings) -> Param:
    """All of them, and so again where a form drops what was chosen: what was delivered is not sent twice."""
    return Param(
        settings.to,
        type=["null", "array"],
        items={"type": "string", "enum": settings.to},
        examples=settings.to,
        title="Destinations",
        description="Deliver only to these. Nothing chosen means all; what was delivered before is not sent again.",
    )


def retry_first(file: Path, name: str, destinations: Sequence[str]) -> list[Any]:
    """What failed in earlier runs of the import goes before anything is read, each destination in its pool."""
    with TaskGroup("retry_first"):

        @task(multiple_outputs=False)
        def retry(destination: str) -> list[str]:
            from etl.airflow import tasks

            asked = destination in (chosen() or destinations)
            return tasks.retry_first(file, name, destination, is_backfill=is_backfill()) if asked else []

        return [retry.override(task_id=each, pool=parse.pool(each))(each) for each in destinations]


def deliver(file: Path, begun: Any, chunks: Any, destination: str, destinations: list[str]) -> Any:
    """The two mapped tasks of one destination. Loading is one chunk at a time, in every DAG: the pool has one slot."""
    with TaskGroup(parse.group(destination, destinations)):

        @task(map_index_template=CHUNK, multiple_outputs=False)
        def transform(run: str, chunk: dict[str, Any]) -> dict[str, Any]:
            from etl.airflow import tasks

            return tasks.transform(file, run, destination, chunk, attempt())

        @task(map_index_template=CHUNK, pool=parse.pool(destination), max_active_tis_per_dagrun=1)
        def load(run: str, chunk: dict[str, Any]) -> None:
            from etl.airflow import tasks

            tasks.load(file, run, destination, chunk, attempt())

        return load.partial(run=begun).expand(chunk=transform.partial(run=begun).expand(chunk=chunks))


def _states() -> dict[str, str | None]:
    """The states of the tasks beside this one: of its DAG run or, in a group, of the group."""
    ti = get_current_context()["ti"]
    beside = ti.task_id.rpartition(".")[0]
    states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id]).get(ti.run_id, {})
    prefix = f"{beside}." if beside else ""
    return {name.removeprefix(prefix): state for name, state in states.items() if name.startswith(prefix)}


def chosen() -> list[str] | None:
    """The destinations that a trigger chose; none means all."""
    return get_current_context()["params"].get("destinations")  # type: ignore[no-any-return]  # a form's


def is_backfill() -> bool:
    """Whether the DAG run is one of a backfill."""
    return bool(get_current_context()["dag_run"].run_type == "backfill")


def interval() -> tuple[datetime | None, datetime | None]:
    """The data interval of the DAG run that the task belongs to; a run by hand may have none."""
    dag_run = get_current_context()["dag_run"]
    return dag_run.data_interval_start, dag_run.data_interval_end


def attempt() -> int:
    """Which try of its task this is; a task that is cleared goes on counting."""
    return int(get_current_context()["ti"].try_number)
