"""The DAG of an entry of imports.yaml that cannot be used: it has its name, and its only task fails and says why.

So the trouble is seen where the import is looked for, by its own alerts, and takes no other import with it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import DAG, CronDataIntervalTimetable, task

from etl.airflow import failing
from etl.errors import ConfigError

DAILY = "0 0 * * *"
EVERY_DAG: dict[str, Any] = {
    "start_date": datetime(2025, 1, 1, tzinfo=UTC),
    "catchup": False,
    "max_active_runs": 1,
    "auto_register": False,  # one that is half built when its settings fail would still be there
}
"""What all our DAGs are made with."""


def red_dag(dag_id: str, sentence: str, schedule: str | None) -> DAG:
    """A DAG that fails on the entry's schedule, or daily where that cannot be read either."""
    with DAG(
        dag_id=dag_id,
        description=sentence,
        schedule=_or_daily(schedule),
        **EVERY_DAG,
        tags=["conversions", "broken settings"],
        doc_md=f"### {dag_id}\n\n{sentence}\n\nNothing is read or sent until imports.yaml is mended.\n",
        default_args=failing.arguments(),
    ) as dag:
        red_task(sentence)
    return dag


def red_task(sentence: str) -> None:
    """The task that fails, for the DAG or group that is being built."""

    @task(retries=0)
    def settings() -> None:
        failing.fail(sentence)

    settings()


def timetable(key: str, cron: str) -> CronDataIntervalTimetable:
    """A schedule with real data intervals: a bare cron text would make their start and end the same moment.

    Raises ConfigError, which names the key.
    """
    try:
        schedule = CronDataIntervalTimetable(cron, timezone="UTC")
        schedule.validate()
    except Exception as error:  # noqa: BLE001 (whatever the cron library raises, it is about this text)
        raise ConfigError(f"{key}: {cron!r} is not a cron schedule: {error}") from None
    return schedule


def _or_daily(schedule: str | None) -> CronDataIntervalTimetable:
    try:
        return timetable("schedule", schedule or DAILY)
    except ConfigError:
        return timetable("schedule", DAILY)
