"""An import as a group of tasks in a DAG of somebody's own: ``ConversionsImport("store_orders")``."""

from __future__ import annotations

import os
from pathlib import Path

from airflow.sdk import TaskGroup

from etl.airflow import failing, parse
from etl.airflow.import_dag import import_tasks
from etl.airflow.red_dag import red_task
from etl.config import FILE_VARIABLE
from etl.errors import ConfigError


class ConversionsImport(TaskGroup):  # type: ignore[misc]  # Airflow comes untyped
    """The tasks of one import of imports.yaml, with that DAG's data interval as its window.

    ``file`` is imports.yaml, else ``$CONVERSIONS_CONFIG`` names it. Of an entry that cannot be used the only task fails
    and says why. Raises ConfigError where imports.yaml is no YAML or knows no such import.
    """

    def __init__(self, import_name: str, *, file: str | Path | None = None, group_id: str | None = None) -> None:
        path = Path(file or os.environ.get(FILE_VARIABLE) or "imports.yaml").absolute()
        found = parse.entries(path)
        broken = found.trouble or found.broken.get(import_name)
        settings = None if broken else found.config.import_settings(import_name)
        super().__init__(group_id or import_name, default_args=parse.retries() | failing.arguments())
        with self:
            if settings is None:
                red_task(str(broken))
            elif settings.only_drops:
                raise ConfigError(f"imports.{import_name}: only takes dropped files; the DAG `drops` reads them.")
            else:
                import_tasks(path, import_name, settings)
