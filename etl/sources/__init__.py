"""Where conversions come from; the file name is the source's type. Nothing else registers a source."""

from __future__ import annotations

import importlib
import pkgutil

from etl.sources.base import Source

__all__ = ["Source", "find", "types"]


def types() -> list[str]:
    """The types that exist: the file names of this folder."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "base")


def find(type_: str) -> type[Source]:
    """The class of a type: ``csv`` is ``CsvSource`` in ``csv.py``. Raises KeyError when there is no such file."""
    if type_ not in types():
        raise KeyError(type_)
    module = importlib.import_module(f"{__name__}.{type_}")
    found: type[Source] = getattr(module, f"{type_.title()}Source")
    return found
