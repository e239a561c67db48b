"""Who can be delivered to, and what may be said of a row; the file name is the destination's type.

Nothing else registers a vendor.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from etl import plugins, reasons
from etl.config import Config, validated
from etl.errors import ConfigError
from etl.reasons import Reason

if TYPE_CHECKING:
    from etl.destinations.base import Destination

__all__ = ["EVERYBODY", "all_reasons", "find", "find_reason", "kind_of", "make_destination", "types"]

EVERYBODY = "everybody"
"""Whose the reasons of `etl.reasons` are."""


def types() -> list[str]:
    """The types that exist, in alphabetical order: the file names of this folder."""
    return plugins.types(__name__)


def find(type_: str) -> type[Destination]:
    """The class of a type, see `plugins.find`. Raises KeyError when there is no such file."""
    from etl.destinations.base import Destination  # which brings pandas; the names of types cost nothing

    return plugins.find(__name__, type_, Destination)


def make_destination(config: Config, name: str, lookup: Mapping[str, Any] | None = None) -> Destination:
    """A destination of imports.yaml with its secrets; ``lookup`` is what `Destination.prepare` found for this run.

    Raises ConfigError with the path of the key when something is wrong.
    """
    key = f"destinations.{name}"
    raw = config.raw_destination(name)
    kind = _kind(raw["type"], key)
    hidden = config.secrets_filled_in(config.file.destinations[name])
    return kind(name, validated(kind.settings_model, raw, key), lookup, hidden)


def kind_of(config: Config, name: str) -> tuple[type[Destination], Mapping[str, Any]]:
    """The class of a destination of imports.yaml and its entry as written: nothing is filled in, no secret is needed.

    Raises ConfigError when there is no such type.
    """
    raw = {"type": name, **config.file.destinations[name]}
    key = f"destinations.{name}"
    return _kind(str(config.filled(raw["type"], f"{key}.type")), key), raw


def _kind(type_: str, key: str) -> type[Destination]:
    try:
        return find(type_)
    except KeyError:
        raise ConfigError(f"{key}.type: must be one of {', '.join(types())}.") from None


def all_reasons() -> dict[str, list[Reason]]:
    """Every reason by whose it is: `EVERYBODY`, or the destination's type under whose name `schemas` declares it."""
    own = {type_: reasons.declared(importlib.import_module(f"schemas.{type_}")) for type_ in types()}
    return {EVERYBODY: reasons.SHARED, **{type_: found for type_, found in own.items() if found}}


def find_reason(code: str) -> Reason | None:
    """What is known of a code, of an earlier version's too; None where no such reason is listed."""
    wanted = reasons.canonical(code)
    return next((reason for found in all_reasons().values() for reason in found if reason.code == wanted), None)
