"""All DAGs of an imports.yaml, by names that nothing else in a DAG file can have: ``globals().update(load())``.

Each is built by itself. One that cannot be built becomes a DAG of its id whose only task fails and says why.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from airflow.sdk import DAG

from etl.airflow import parse
from etl.airflow.drops_dag import SCHEDULE, drops_dag
from etl.airflow.import_dag import import_dag
from etl.airflow.parse import Entries
from etl.airflow.red_dag import red_dag
from etl.airflow.retry_dag import retry_dag
from etl.config import FILE_VARIABLE
from etl.errors import ConfigError


def load(file: str | Path | None = None) -> dict[str, DAG]:
    """Every DAG; ``file`` is imports.yaml, else ``$CONVERSIONS_CONFIG`` names it.

    Raises ConfigError where it is no YAML.
    """
    path = Path(file or os.environ.get(FILE_VARIABLE) or "imports.yaml").absolute()
    return imports(path) | drops(path) | retry(path)


def imports(file: Path) -> dict[str, DAG]:
    """One DAG per import, but for those that only take dropped files."""
    found = parse.entries(file)
    made = [
        _or_red(parse.dag_id(name), partial(import_dag, file, name, each), file, each.schedule)
        for name, each in found.config.imports.items()
        if each.drop is None or (each.schedule is not None and not each.only_drops)  # else see `drops`
    ]
    made += [red_dag(parse.dag_id(name), sentence, found.schedules[name]) for name, sentence in found.broken.items()]
    return _named(made)


def drops(file: Path) -> dict[str, DAG]:
    """The DAG of the inboxes; none where no import has one."""
    found = parse.entries(file)
    names = [name for name, each in found.config.imports.items() if each.drop is not None]
    return _ours(found, parse.DROPS, partial(drops_dag, file, names), file, SCHEDULE) if names or found.trouble else {}


def retry(file: Path) -> dict[str, DAG]:
    """The DAG of dead letters."""
    found = parse.entries(file)
    return _ours(found, parse.RETRY, partial(retry_dag, file, found.config), file, None)


def _ours(found: Entries, dag_id: str, build: Callable[[], DAG], file: Path, schedule: str | None) -> dict[str, DAG]:
    if found.trouble:
        return _named([red_dag(dag_id, found.trouble, None)])
    return _named([_or_red(dag_id, build, file, schedule)])


def _or_red(dag_id: str, build: Callable[[], DAG], file: Path, schedule: str | None) -> DAG:
    try:
        return build()
    except ConfigError as error:
        return red_dag(dag_id, parse.with_line(file, str(error)), schedule)
    except Exception as error:  # noqa: BLE001 (whatever Airflow does not like of one DAG, the others stay)
        return red_dag(dag_id, f"{dag_id}: Airflow cannot build this DAG: {type(error).__name__}.", schedule)


def _named(made: list[DAG]) -> dict[str, DAG]:
    return {f"DAG {dag.dag_id}": dag for dag in made}
