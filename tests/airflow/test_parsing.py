"""What Airflow sees when it parses the DAG files."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.airflow.airflow_world import CONFIG, DESTINATIONS, ROOT

if TYPE_CHECKING:
    from tests.airflow.airflow_world import World

STAGES = {"start", "prepare", "extract", "validate", "summary"}


def test_the_graph(world: World) -> None:
    dag = world.dag()
    to = DESTINATIONS
    tasks = dag.task_dict
    stages = {f"{name}.{stage}" for name in to for stage in ("transform", "load")}
    assert set(tasks) == STAGES | stages | {f"retry_first.{name}" for name in to}
    edges = {(task.task_id, below) for task in tasks.values() for below in task.downstream_task_ids}
    for name in to:
        assert {("validate", f"{name}.transform"), (f"{name}.transform", f"{name}.load")} <= edges
        assert (f"retry_first.{name}", "start") in edges
        assert tasks[f"retry_first.{name}"].pool == f"conversions_{name}"
        assert (f"{name}.load", "summary") in edges
        assert tasks[f"{name}.load"].partial_kwargs["pool"] == f"conversions_{name}"
        assert tasks[f"{name}.load"].partial_kwargs["max_active_tis_per_dagrun"] == 1
    assert {("start", "prepare"), ("prepare", "extract"), ("extract", "validate")} <= edges
    assert tasks["summary"].trigger_rule == "all_done"
    assert tasks["extract"].retries == 3
    assert (dag.catchup, dag.max_active_runs) == (False, 1)
    assert "store_orders" in dag.doc_md


def test_a_scheduled_run_spans_from_one_tick_to_the_next(world: World) -> None:
    from airflow.serialization.encoders import coerce_to_core_timetable
    from airflow.timetables.base import TimeRestriction

    timetable = coerce_to_core_timetable(world.dag().timetable)
    day = datetime(2026, 11, 20, 21, tzinfo=UTC)
    info = timetable.next_dagrun_info(
        last_automated_data_interval=None, restriction=TimeRestriction(earliest=day, latest=None, catchup=True)
    )
    assert (info.data_interval.start, info.data_interval.end) == (day, day + timedelta(days=1))
    assert info.run_after == day + timedelta(days=1)


def test_no_schedule_means_by_hand_only(world: World) -> None:
    world.configure(schedule=None)
    assert world.dag().schedule is None


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        pytest.param("chunk_rows: 7", "chunk_rows: many", "imports.store_orders.chunk_rows:", id="type"),
        pytest.param(
            "chunk_rows: 7", "chunk_row: 7", "imports.store_orders.chunk_row: is not a known key", id="unknown key"
        ),
        pytest.param("0 21 * * *", "every night", "imports.store_orders.schedule: 'every night' is not a", id="cron"),
        pytest.param("store_orders:", "store orders:", "Airflow wants names of letters", id="name"),
        pytest.param("store_orders:", "retry_dead_letters:", "is the name of", id="name of another DAG"),
        pytest.param("imports:", "imports: [", "is not YAML", id="yaml"),
    ],
)
def test_a_broken_file_is_one_sentence(world: World, before: str, after: str, sentence: str) -> None:
    from airflow.dag_processing.dagbag import DagBag

    world.configure(chunk_rows=7)
    text = CONFIG.read_text()
    assert before in text
    CONFIG.write_text(text.replace(before, after))
    (told,) = {error.strip().splitlines()[-1] for error in DagBag(str(ROOT / "dags")).import_errors.values()}
    assert told.startswith("etl.errors.ConfigError: ")
    assert sentence in told


@pytest.mark.usefixtures("airflow_db")
def test_no_secret_is_asked_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    CONFIG.write_text(CONFIG.read_text().replace(":-sandbox-converge-token}", "}"))
    assert "${CONVERGE_TOKEN}" in CONFIG.read_text()
    assert "converge.load" in world.dag().task_dict


PROGRAM = """
import sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])
assert not bag.import_errors, bag.import_errors
assert {"store_orders", "retry_dead_letters"} <= set(bag.dags)
print("heavy:", sorted({"pandas", "pyarrow", "pandera", "aiohttp"} & set(sys.modules)))
"""


def test_parsing_brings_in_nothing_heavy(world: World) -> None:
    """Every 30 seconds, for every file: pandas alone would cost half a second each time."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(ROOT / "dags")],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == "heavy: []"


def test_dead_letters_take_each_destination_in_its_pool(world: World) -> None:
    dag: Any = world.dag("retry_dead_letters")
    assert {task.task_id: task.pool for task in dag.tasks} == {name: f"conversions_{name}" for name in DESTINATIONS}
    assert dag.params["import"] == "(all)"
    assert dag.timetable.can_be_scheduled is False if hasattr(dag.timetable, "can_be_scheduled") else True
