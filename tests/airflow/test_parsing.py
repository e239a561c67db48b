"""What Airflow sees when it parses the DAG files."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.airflow.airflow_world import CONFIG, DESTINATIONS, ROOT

if TYPE_CHECKING:
    from tests.airflow.airflow_world import World

STAGES = {"check", "start", "prepare", "extract", "validate", "summary"}


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
    assert {task.execution_timeout for task in tasks.values()} == {timedelta(days=1)}
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


def two_imports(world: World, **changes: Any) -> None:
    """`store_orders`, and beside it `neighbour`, which is as good and takes dropped files too."""
    world.configure(**{"chunk_rows": 7, **changes})
    document = yaml.safe_load(CONFIG.read_text())
    neighbour = document["imports"]["store_orders"] | {"to": ["converge"], "drop": str(world.folder / "inbox")}
    document["imports"]["neighbour"] = neighbour
    CONFIG.write_text(yaml.safe_dump(document, sort_keys=False))


def replace(before: str, after: str) -> None:
    text = CONFIG.read_text()
    assert before in text
    CONFIG.write_text(text.replace(before, after, 1))


@pytest.mark.parametrize(
    ("before", "after", "sentence", "schedule"),
    [
        pytest.param("chunk_rows: 7", "chunk_rows: many", "imports.store_orders.chunk_rows:", "0 21 * * *", id="type"),
        pytest.param(
            "chunk_rows: 7",
            "chunk_row: 7",
            "imports.store_orders.chunk_row: is not a known key (did you mean chunk_rows?). Line {line} of",
            "0 21 * * *",
            id="unknown key",
        ),
        pytest.param(
            "0 21 * * *",
            "every night",
            "imports.store_orders.schedule: 'every night' is not a",
            "0 0 * * *",
            id="cron",
        ),
        pytest.param(
            "    - convert\n",
            "    - convart\n",
            "imports.store_orders.to.0: there is no destination 'convart'",
            "0 21 * * *",
            id="unknown destination",
        ),
    ],
)
def test_a_broken_entry_is_a_red_dag_of_its_name_and_its_neighbours_stay(
    world: World, before: str, after: str, sentence: str, schedule: str, caplog: pytest.LogCaptureFixture
) -> None:
    from airflow.serialization.encoders import coerce_to_core_timetable

    two_imports(world)
    replace(before, after)
    line = next((n for n, text in enumerate(CONFIG.read_text().splitlines(), 1) if "chunk_row: 7" in text), 0)
    red = world.dag()
    assert [task.task_id for task in red.tasks] == ["settings"]
    assert sentence.format(line=line) in red.doc_md
    assert f"Line {line or ''}" in red.description
    assert coerce_to_core_timetable(red.timetable).summary == schedule
    assert {"converge.load"} <= set(world.dag("neighbour").task_dict)
    assert set(world.dag("drops").task_dict) == {"neighbour.look", "neighbour.handle"}
    assert "converge" in world.dag("retry_dead_letters").task_dict

    run = world.run()
    assert (run.state, run.tries("settings")) == ("failed", 1)
    assert sentence.format(line=line) in caplog.text
    world.orders(2)
    assert world.run("neighbour").state == "success"


def test_a_missing_secret_is_red_where_it_is_needed_and_nowhere_else(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    two_imports(world)
    replace("${CONVERT_API_KEY:-", "${NOBODY_HAS_THIS}${CONVERT_API_KEY:-")
    world.orders(2)
    assert world.run().states()["start"] == "failed"
    line = next(n for n, text in enumerate(CONFIG.read_text().splitlines(), 1) if "NOBODY_HAS_THIS" in text)
    said = f"${{NOBODY_HAS_THIS}} has no value: set it in the environment or as an Airflow connection. Line {line} of"
    assert said in caplog.text
    assert world.run("neighbour").state == "success"


def test_trouble_with_the_file_as_a_whole_is_red_everywhere(world: World) -> None:
    two_imports(world)
    replace("ledger:", "legder:")
    names = ("store_orders", "neighbour", "drops", "retry_dead_letters")
    for red in (world.dag(name) for name in names):
        assert [task.task_id for task in red.tasks] == ["settings"]
        assert "legder: is not a known key (did you mean ledger?). Line" in red.doc_md


@pytest.mark.parametrize("name", ["deliver", "task", "FILE", "dags", "__name__"])
def test_a_name_that_people_choose_collides_with_nothing(world: World, name: str) -> None:
    two_imports(world)
    replace("  store_orders:", f"  {name}:")
    assert "converge.load" in world.dag(name).task_dict
    assert {"drops", "retry_dead_letters", "neighbour"} <= world.dag_ids()


@pytest.mark.parametrize("name", ["drops", "retry_dead_letters"])
def test_an_import_with_the_name_of_another_dag_has_a_dag_beside_it(world: World, name: str) -> None:
    two_imports(world)
    replace("  store_orders:", f"  {name}:")
    world.orders(2)
    assert "converge.load" in world.dag(f"import.{name}").task_dict
    assert world.run(f"import.{name}").state == "success"
    assert {"drops", "retry_dead_letters", "neighbour"} <= world.dag_ids()


@pytest.mark.parametrize("name", ["store orders", "Bestellungen-öffentlich", "a.b"])
def test_a_name_that_airflow_cannot_have_is_red_under_another(world: World, name: str) -> None:
    two_imports(world)
    replace("  store_orders:", f"  {name}:")
    (red,) = [dag for id_, dag in world.dags().items() if id_.startswith("import.")]
    assert f"imports.{name}: Airflow wants names of letters" in red.doc_md
    assert {"drops", "retry_dead_letters", "neighbour"} <= world.dag_ids()


@pytest.mark.parametrize("name", ["start", "load"])
def test_a_destination_may_be_called_like_a_task(world: World, name: str) -> None:
    two_imports(world, to=["converge", "convert"])
    document = yaml.safe_load(CONFIG.read_text())
    document["destinations"][name] = document["destinations"]["converge"] | {"type": "converge"}
    document["imports"]["store_orders"]["to"] += [name]
    CONFIG.write_text(yaml.safe_dump(document))
    loads = [id_ for id_ in world.dag().task_dict if id_.endswith(".load") and not id_.startswith("retry_first.")]
    assert len(loads) == 3
    world.orders(2)
    run = world.run()
    assert run.state == "success"
    assert run.result("summary")[name] == {"delivered": 2}


def test_what_is_no_yaml_is_one_sentence(world: World) -> None:
    from airflow.dag_processing.dagbag import DagBag

    replace("imports:", "imports: [")
    (told,) = {error.strip().splitlines()[-1] for error in DagBag(str(ROOT / "dags")).import_errors.values()}
    assert told.startswith("etl.errors.ConfigError: ")
    assert "is not YAML" in told


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
    assert {task.task_id: task.pool for task in dag.tasks} == {
        "asked": "default_pool",
        **{name: f"conversions_{name}" for name in DESTINATIONS},
    }
    assert dag.params["import"] == "(all)"
    assert dag.timetable.can_be_scheduled is False if hasattr(dag.timetable, "can_be_scheduled") else True
