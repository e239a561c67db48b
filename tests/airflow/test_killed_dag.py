"""A worker killed (SIGKILL) in the middle of `load`, and the DAG run again: nothing lost, nothing sent twice."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.airflow.airflow_world import ROOT

if TYPE_CHECKING:
    from tests.airflow.airflow_world import World

ROWS = 8
AFTER_THE_KNOCK = "2"


def test_a_worker_killed_after_sending_loses_nothing_and_sends_nothing_twice(world: World) -> None:
    world.configure(to=["convert", "optimizely"], chunk_rows=4)
    world.orders(ROWS)
    command = [
        sys.executable,
        str(ROOT / "tests/airflow/dag_victim.py"),
        str(ROOT / "dags"),
        "send:after",
        AFTER_THE_KNOCK,
    ]
    there = {**os.environ, "PYTHONPATH": str(ROOT)}
    killed = subprocess.run(command, cwd=ROOT, env=there, capture_output=True, text=True, check=False)
    assert killed.returncode == -9, killed.stdout[-2000:]
    with world.ledger.database.engine.begin() as connection:  # a quarter of an hour later
        connection.exec_driver_sql("UPDATE runs SET lease_until_ms = 0")

    world.run()
    counts = world.sandbox.counts()
    doubtful = world.statuses()["convert"].get("unknown", 0)
    assert counts["optimizely"]["counted"] == ROWS
    assert counts["convert"]["repeats"] == 0
    assert doubtful in (0, 4), "one chunk was claimed, or none at this vendor"
    assert ROWS - doubtful <= counts["convert"]["counted"] <= ROWS
    (latest,) = world.ledger.runs.latest("store_orders")
    told = world.ledger.results.table(run_ids=[latest.run_id], destinations=["convert"], statuses=["unknown"])
    assert sum(len(list(block)) for block in told) == doubtful, "each of them is listed"
