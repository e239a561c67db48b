"""What the DAG files need while Airflow parses them, every 30 seconds: imports.yaml and nothing heavy."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

from etl import config
from etl.config import FILE_VARIABLE, Config, ImportSettings
from etl.errors import ConfigError
from etl.redact import redact_url

RETRY_DELAY_VARIABLE = "CONVERSIONS_RETRY_DELAY_SECONDS"
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_TAKEN = frozenset({"retry_dead_letters", "drops", "retry_first", "start", "prepare", "extract", "validate", "summary"})


def file_beside(dags: Path) -> Path:
    """The imports.yaml in force: ``$CONVERSIONS_CONFIG``, else the one beside the folder of the DAGs."""
    return Path(os.environ.get(FILE_VARIABLE) or dags.parent / "imports.yaml").absolute()


def load(file: Path) -> Config:
    """imports.yaml, whose names can be those of DAGs, tasks and pools. Raises ConfigError; asks for no secret."""
    loaded = config.load(file)
    for section, names in (("imports", loaded.imports), ("destinations", loaded.file.destinations)):
        for name in names:
            if not _NAME.fullmatch(name):
                raise ConfigError(f"{section}.{name}: Airflow wants names of letters, digits, _ and - only.")
            if name in _TAKEN:
                raise ConfigError(f"{section}.{name}: {name} is the name of a DAG or task of ours; take another.")
    return loaded


def pool(destination: str) -> str:
    """The pool whose one slot makes the chunks of a destination follow one another, in all DAGs."""
    return f"conversions_{destination}"


def retries() -> dict[str, Any]:
    """How tasks are repeated: three times, after 1, 2 and 4 minutes unless the environment says otherwise."""
    seconds = float(os.environ.get(RETRY_DELAY_VARIABLE) or 60)
    return {
        "retries": 3,
        "retry_delay": timedelta(seconds=seconds),
        "retry_exponential_backoff": 2.0 if seconds else 0,
        "max_retry_delay": timedelta(minutes=30),
    }


def description(name: str, settings: ImportSettings) -> str:
    """An import for people, as Markdown. Only what cannot hold a secret is taken from the settings."""
    source = redact_url(str(settings.source.get("path") or ""))
    return (
        f"### {name}\n\n"
        f"Reads **{settings.source['type']}**{f' `{source}`' if source else ''} and delivers every conversion once to "
        f"{', '.join(f'**{destination}**' for destination in settings.to)}.\n\n"
        f"`conversions results --import {name}` shows one result per row and destination. The run fails when a "
        f"destination stops, or when more than {settings.max_bad_share:.0%} of its rows are not delivered. What is "
        f"cleared and run again here sends nothing twice.\n\n"
        f"`load` waits for a slot of its pool, `{pool('<destination>')}`; `python -m etl.airflow.pools` makes them.\n"
    )
