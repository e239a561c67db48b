"""Airflow for the tests: a home of its own, and DAG runs in this process through `dag.test()`.

The environment must be set before anything imports Airflow, which happens in fixtures and tests only. This folder must
not become a package (no `__init__.py`): it would be taken for Airflow itself.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

from etl.ledger import Ledger
from etl.sandbox import Sandbox

ROOT = Path(__file__).parents[2]
HOME = Path(tempfile.mkdtemp(prefix="conversions-airflow-"))
CONFIG = HOME / "imports.yaml"
DESTINATIONS: list[str] = yaml.safe_load((ROOT / "imports.yaml").read_text())["imports"]["store_orders"]["to"]
"""Where the project's own import delivers to, which is what the tests run."""
ORDERS = HOME / "orders.csv"
LOGS = HOME / "logs"

atexit.register(shutil.rmtree, HOME, ignore_errors=True)
for _name in [name for name in os.environ if name.startswith(("AIRFLOW_", "_AIRFLOW"))]:
    del os.environ[_name]
os.environ |= {
    "AIRFLOW_HOME": str(HOME),
    "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",  # else what changed within 30 seconds is not written
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME}/airflow.db",
    "AIRFLOW__CORE__FERNET_KEY": "Zm9yLXRlc3RzLW9ubHktLS0tLS0tLS0tLS0tLS0tLS0=",  # `airflow db migrate` makes one
    "AIRFLOW__API_AUTH__JWT_SECRET": "for-tests-only" * 5,
    "AIRFLOW_VAR_CONVERSIONS_POOLS": "*",  # those of `dag.test` need none
    "AIRFLOW__CORE__SENSITIVE_VAR_CONN_NAMES": "sdk_key",
}


def supervised(ti: Any, task: Any) -> Any:
    """What `dag.test` runs instead of a task in this process: the same in a worker's, its log in a file."""
    from airflow.executors.workloads import BundleInfo
    from airflow.models.taskinstance import TaskInstance
    from airflow.sdk.execution_time.supervisor import InProcessTestSupervisor, supervise_task
    from airflow.utils.session import create_session

    supervise_task(
        ti=ti,
        bundle_info=BundleInfo(name="dags-folder"),
        dag_rel_path=Path(task.dag.fileloc).name,
        token="",
        client=InProcessTestSupervisor._api_client(task.dag),
        log_path=f"{ti.dag_id}/{ti.run_id}/{ti.task_id}.{ti.map_index}.{ti.try_number}.log",
    )
    with create_session() as session:
        state = session.get(TaskInstance, ti.id).state
    return SimpleNamespace(ti=SimpleNamespace(state=state, task=task), msg=None)


@dataclass
class World:
    """One test's imports.yaml, source, ledger and vendors, and the DAG runs over them."""

    folder: Path
    sandbox: Sandbox
    orders_file: Path = ORDERS

    def orders(self, count: int, first: int = 0) -> list[str]:
        """Write so many conversions that every vendor takes; their event_ids."""
        now = datetime.now(UTC)
        header = "event_id,event_name,occurred_at,user_id,anonymous_id,email,revenue,currency,aliases,kameleoon_goal_id"
        names = [f"order-{number:05d}" for number in range(first, first + count)]
        lines = [
            f"{name},Order Completed,{(now - timedelta(minutes=place)).isoformat()},u{place},a{place},"
            f"ann{place}@shop.example,19.99,GBP,urn:user_id:u{place},36151"
            for place, name in enumerate(names)
        ]
        ORDERS.write_text("\n".join([header, *lines]) + "\n")
        return names

    def configure(self, **changes: Any) -> None:
        """Write imports.yaml: the project's own, with its own ledger and the changes in the one import."""
        document = yaml.safe_load((ROOT / "imports.yaml").read_text())
        document["ledger"] = f"sqlite:///{self.folder}/ledger.db"
        document["staging"] = str(self.folder / "staging")
        document["imports"] = {"store_orders": document["imports"]["store_orders"] | {"max_bad_share": 0.2} | changes}
        CONFIG.write_text(yaml.safe_dump(document))

    def dag(self, name: str = "store_orders") -> Any:
        """The DAG as Airflow parses it now."""
        return self.dags()[name]

    def dags(self) -> dict[str, Any]:
        """All DAGs by id, as Airflow parses them now."""
        from airflow.dag_processing.dagbag import DagBag

        bag = DagBag(str(ROOT / "dags"))
        assert bag.import_errors == {}
        return dict(bag.dags)

    def dag_ids(self) -> set[str]:
        """Which DAGs Airflow finds now."""
        return set(self.dags())

    def run(self, name: str = "store_orders", **how: Any) -> DagRunSeen:
        """One DAG run in this process, to its end."""
        dag = self.dag(name)
        return DagRunSeen(dag.test(**how))

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger of this test; the fixture closes it."""
        return Ledger(f"sqlite:///{self.folder}/ledger.db")

    def counts(self) -> dict[str, dict[tuple[str, str], int]]:
        """What the ledger says of the latest run."""
        (run,) = self.ledger.runs.latest("store_orders")
        return self.ledger.results.counts(run.run_no)

    def statuses(self) -> dict[str, dict[str, int]]:
        """The same by status alone."""
        found: dict[str, dict[str, int]] = {}
        for name, counts in self.counts().items():
            found[name] = {}
            for (status, _), rows in counts.items():
                found[name][status] = found[name].get(status, 0) + rows
        return found

    def counted(self) -> dict[str, int]:
        """How many conversions each of `DESTINATIONS` counted."""
        seen = self.sandbox.counts()
        return {vendor: seen[vendor]["counted"] for vendor in DESTINATIONS}


class DagRunSeen:
    """A finished DAG run, to be asked."""

    def __init__(self, dag_run: Any) -> None:
        self.dag_run = dag_run
        self.state = str(dag_run.state)
        self.interval = (dag_run.data_interval_start, dag_run.data_interval_end)

    def states(self) -> dict[str, str]:
        """Task id, with [map index] where there is one -> state."""
        return {
            ti.task_id + (f"[{ti.map_index}]" if ti.map_index >= 0 else ""): str(ti.state)
            for ti in self.dag_run.get_task_instances()
        }

    def tries(self, task_id: str) -> int:
        """How often a task was tried, all its map indices together."""
        return sum(ti.try_number for ti in self.dag_run.get_task_instances() if ti.task_id == task_id)

    def result(self, task_id: str) -> Any:
        """What a task returned."""
        return self.dag_run.get_task_instance(task_id).xcom_pull(task_ids=task_id)
