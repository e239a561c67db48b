"""Who can be delivered to; the file name is the destination's type. Nothing else registers a vendor."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from etl.config import Config, validated
from etl.errors import ConfigError

if TYPE_CHECKING:
    from etl.destinations.base import Destination

__all__ = ["find", "make_destination", "types"]


def types() -> list[str]:
    """The types that exist, in alphabetical order: the file names of this folder."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "base")


def find(type_: str) -> type[Destination]:
    """The class of a type: ``webflow_optimize`` is ``WebflowOptimize`` in ``webflow_optimize.py``.

    Raises KeyError when there is no such file.
    """
    if type_ not in types():
        raise KeyError(type_)
    module = importlib.import_module(f"{__name__}.{type_}")
    found: type[Destination] = getattr(module, "".join(part.title() for part in type_.split("_")))
    return found


def make_destination(config: Config, name: str, lookup: Mapping[str, Any] | None = None) -> Destination:
    """A destination of imports.yaml with its secrets; ``lookup`` is what `Destination.prepare` found for this run.

    Raises ConfigError with the path of the key when something is wrong.
    """
    key = f"destinations.{name}"
    raw = config.raw_destination(name)
    try:
        kind = find(raw["type"])
    except KeyError:
        raise ConfigError(f"{key}.type: must be one of {', '.join(types())}.") from None
    return kind(name, validated(kind.settings_model, raw, key), lookup, config.secrets_in_addresses(name))
