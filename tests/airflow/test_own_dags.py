"""The DAGs out of the installed package, and an import in a DAG of somebody's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from tests.airflow.airflow_world import CONFIG, ROOT

if TYPE_CHECKING:
    from tests.airflow.airflow_world import World

TEAM = """
from datetime import UTC, datetime

from airflow.sdk import DAG, TriggerRule, task

from etl.airflow.group import ConversionsImport

with DAG("team", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):

    @task
    def export():
        raise ValueError("a task of the team that has nothing to do with the import")

    @task(trigger_rule=TriggerRule.ALL_DONE)
    def tell():
        pass

    export() >> tell()
    ConversionsImport("store_orders", file={file!r}) >> tell()
    ConversionsImport("broken", file={file!r})
"""


def command(*words: str, folder: Path) -> str:
    there = {**os.environ, "PYTHONPATH": str(ROOT), "AIRFLOW__CORE__DAGS_FOLDER": str(folder)}
    del there["CONVERSIONS_CONFIG"]
    done = subprocess.run([sys.executable, *words], cwd=folder, env=there, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_two_lines_load_the_dags_of_the_package_and_a_group_is_an_import_in_another_dag(world: World) -> None:
    world.configure(to=["converge", "convert"])
    document = yaml.safe_load(CONFIG.read_text())
    document["imports"]["broken"] = {**document["imports"]["store_orders"], "chunk_rowz": 3}
    CONFIG.write_text(yaml.safe_dump(document))
    world.orders(3)
    folder = world.folder / "dags"
    folder.mkdir()
    lines = command("-m", "etl.cli", "--config", str(CONFIG), "dags", folder=folder)
    assert len(lines.splitlines()) == 2
    (folder / "conversions.py").write_text(lines)
    (folder / "team.py").write_text(TEAM.format(file=str(CONFIG)))
    said = command(str(ROOT / "tests/airflow/dag_folder.py"), str(folder), "team", folder=folder).splitlines()[-1]
    assert "{} ['broken', 'retry_dead_letters', 'store_orders', 'team']" in said
    assert "'store_orders.summary': 'success'" in said
    assert "'broken.settings': 'failed'" in said
    assert world.statuses() == {"converge": {"delivered": 3}, "convert": {"delivered": 3}}
