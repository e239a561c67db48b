"""Who can be delivered to; the file name is the destination's type. Nothing else registers a vendor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from etl import plugins
from etl.config import Config, validated
from etl.errors import ConfigError

if TYPE_CHECKING:
    from etl.destinations.base import Destination

__all__ = ["find", "make_destination", "types"]


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
    try:
        kind = find(raw["type"])
    except KeyError:
        raise ConfigError(f"{key}.type: must be one of {', '.join(types())}.") from None
    hidden = config.secrets_filled_in(config.file.destinations[name])
    return kind(name, validated(kind.settings_model, raw, key), lookup, hidden)
