"""One file per vendor; the file name is the destination's type. Nothing else registers a vendor."""

from __future__ import annotations

import importlib
import pkgutil

from etl.destinations.base import Destination


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
