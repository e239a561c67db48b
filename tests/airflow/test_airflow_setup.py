"""Pools, as Airflow's own commands make them.

By its name the first of its folder: what another process writes into Airflow's database is seen by this one only while
none of its sessions is left open, and Airflow leaves some open after tasks that were run in processes of their own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.airflow.airflow_world import CONFIG, DESTINATIONS, ROOT

if TYPE_CHECKING:
    import pytest

    from tests.airflow.airflow_world import World


def test_every_destination_has_a_pool_of_one_slot(world: World) -> None:
    from airflow.models.pool import Pool

    from etl.airflow import pools

    Pool.create_or_update_pool("conversions_convert", 7, "widened by hand", include_deferred=False)
    assert pools.main() == 0
    found = {pool.pool: pool.slots for pool in Pool.get_pools() if pool.pool.startswith("conversions_")}
    assert found == {f"conversions_{name}": 1 for name in DESTINATIONS}


def test_setup_makes_pools_and_says_which(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.models import Variable

    Variable.delete("conversions_pools")  # noqa: AIR311 (the database of all tests, which the SDK cannot reach from here)
    monkeypatch.delenv("AIRFLOW_VAR_CONVERSIONS_POOLS")
    world.orders(1)
    assert world.run().states()["start"] == "failed"
    there = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-m", "etl.cli", "--config", str(CONFIG), "airflow", "setup"]
    done = subprocess.run(words, cwd=world.folder, env=there, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "conversions_kameleoon" in done.stdout
    assert world.run().state == "success"
