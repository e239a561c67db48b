"""Secrets for ``${NAME}`` inside a task: the environment, else the Airflow connection of that name.

A connection answers with its password; one to a database, as ``url: ${CRM}`` of a source wants it, with its whole URL.

Every value that is handed out is given to Airflow's masker first, so that no task log shows it; `hide` tells it
those that imports.yaml itself holds.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowNotFoundException
from airflow.sdk.log import mask_secret

from etl import sources
from etl.config import Config, sqlite_url
from etl.destinations import make_destination
from etl.errors import ConfigError
from etl.redact import is_safe_to_show

DATABASES = ("postgres", "mysql", "sqlite")
"""Types of connections that stand for a whole URL."""


class Secrets:
    """Answers ``${NAME}`` for `etl.config.load`; asks Airflow at most once per name."""

    def __init__(self) -> None:
        self._known: dict[str, str | None] = {}

    def __call__(self, name: str) -> str | None:
        """The value, masked in logs from now on; None when neither the environment nor a connection has it."""
        if name not in self._known:
            value = os.environ.get(name) or _from_connection(name)
            if value and not is_safe_to_show(value):
                mask_secret(value)
            self._known[name] = value
        return self._known[name]


def hide(loaded: Config) -> None:
    """Mask every secret of the settings in logs from now on, wherever it was written down."""
    for secret in {*loaded.secrets(), *_of_destinations(loaded), *_of_sources(loaded)}:
        mask_secret(secret)


def _of_destinations(loaded: Config) -> Iterator[str]:
    """What each destination says is secret; a destination that cannot be used uses none."""
    for name in loaded.destination_names:
        with suppress(ConfigError):
            yield from make_destination(loaded, name).secrets()


def _of_sources(loaded: Config) -> Iterator[str]:
    """What the source of each import says is secret; a source that cannot be used uses none."""
    for name in loaded.imports:
        with suppress(ConfigError):
            yield from sources.secrets_of(loaded, name)


def _from_connection(name: str) -> str | None:
    try:
        connection = Connection.get(name)
    except AirflowNotFoundException:
        return None
    if connection.conn_type not in DATABASES:
        return connection.password or None
    if connection.conn_type == "sqlite":
        return sqlite_url(connection.host or "")
    return str(connection.get_uri())
