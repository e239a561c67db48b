"""Secrets for ``${NAME}`` inside a task: the environment, else the Airflow connection of that name.

A connection answers with its password; one to a database, as ``url: ${CRM}`` of a source wants it, with its whole URL.

Every value that is handed out is told to Airflow's masker first, so that no task log shows it; `hide` tells it
those that imports.yaml itself holds.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowNotFoundException
from airflow.sdk.log import mask_secret

from etl import sources
from etl.config import Config
from etl.destinations import make_destination
from etl.errors import ConfigError
from etl.redact import is_public as _is_public

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
            if value and not _is_public(value):
                mask_secret(value)
            self._known[name] = value
        return self._known[name]


def hide(loaded: Config) -> None:
    """Mask every secret of the settings in logs from now on, wherever it was written down."""
    for secret in _in_destinations(loaded) | _in_addresses(loaded):
        mask_secret(secret)


def _in_destinations(loaded: Config) -> set[str]:
    """Keys and tokens, and addresses that take their place; those of a destination that cannot be used are unused."""
    found: set[str] = set()
    for name in loaded.destination_names:
        with suppress(ConfigError):
            found.update(make_destination(loaded, name).secrets())
    return found


def _in_addresses(loaded: Config) -> set[str]:
    """Passwords of databases, buckets and other places, and what web addresses have after the question mark."""
    given: list[Any] = [loaded.file.ledger, loaded.file.staging]
    found: set[str | None] = set()
    for name, settings in loaded.imports.items():
        given += [settings.source.get("url"), settings.source.get("path"), settings.drop and settings.drop.inbox]
        with suppress(ConfigError):
            found.add(sources.storage_options(loaded, name).get("secret"))
    for place in filter(None, given):
        with suppress(ConfigError, ValueError):
            url = urlsplit(loaded.filled_location(str(place), "address"))
            found |= {url.password, *(value for _, value in parse_qsl(url.query) if url.scheme in ("http", "https"))}
    return {form for secret in found if secret for form in (secret, unquote(secret))}


def _from_connection(name: str) -> str | None:
    try:
        connection = Connection.get(name)
    except AirflowNotFoundException:
        return None
    if connection.conn_type not in DATABASES:
        return connection.password or None
    if connection.conn_type == "sqlite":
        return f"sqlite:///{connection.host}"
    return str(connection.get_uri())
