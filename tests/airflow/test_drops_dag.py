"""The DAG of dropped files, run in this process against the sandbox."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.airflow.airflow_world import World


def dropping(world: World, **changes: Any) -> Path:
    """An import that takes dropped files, and its inbox."""
    inbox: Path = world.folder / "inbox"
    inbox.mkdir()
    drop = {"inbox": str(inbox), "settle_seconds": 0}
    world.configure(source={"type": "csv"}, drop=drop, schedule=None, **changes)
    return inbox


def test_every_file_has_a_task_and_is_moved_and_answered(world: World) -> None:
    inbox = dropping(world)
    world.orders(4)
    content = world.orders_file.read_text()
    (inbox / "a.csv").write_text(content)
    (inbox / "copy.csv").write_text(content)
    (inbox / "bad.csv").write_text("Order,When\n1,2\n")
    run = world.run("drops")
    assert run.state == "success"
    assert sorted(run.states()) == [f"store_orders.{task}" for task in ("handle[0]", "handle[1]", "handle[2]", "look")]
    assert set(world.counted().values()) == {4}
    assert sorted(path.name for path in inbox.glob("processed/*.csv")) == [
        "a.csv",
        "a.result.csv",
        "copy.csv",
        "copy.result.csv",
    ]
    assert (inbox / "quarantine/bad.summary.html").exists()
    assert world.run("drops").state == "success", "nothing there is nothing to do"
    assert set(world.counted().values()) == {4}


def test_a_destination_that_stops_fails_the_task_of_the_file(world: World, caplog: pytest.LogCaptureFixture) -> None:
    inbox = dropping(world)
    world.orders(2)
    (inbox / "a.csv").write_text(world.orders_file.read_text())
    world.sandbox.fault(vendor="kameleoon", status=401)
    run = world.run("drops")
    assert run.states()["store_orders.handle[0]"] == "failed"
    assert run.tries("store_orders.handle") == 1
    assert "Kameleoon stopped" in caplog.text
    assert (inbox / "processed/a.summary.html").exists()


def test_an_import_that_only_takes_drops_is_no_nightly_dag(world: World) -> None:
    from airflow.dag_processing.dagbag import DagBag

    dropping(world)
    bag = DagBag(str(Path(__file__).parents[2] / "dags"))
    assert bag.import_errors == {}
    assert "drops" in bag.dags
    assert "store_orders" not in bag.dags
    world.configure(drop=str(world.folder / "inbox"))
    assert "store_orders" in DagBag(str(Path(__file__).parents[2] / "dags")).dags, "it has a path and a schedule too"
