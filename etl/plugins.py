"""Plug-ins are files: the file names of a folder are the types that exist, and a file's class is found by its ``type``.

Not a registry: what exists is written down nowhere but in the plug-in's own file.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TypeVar

T = TypeVar("T")


def types(package: str) -> list[str]:
    """The types of a package in alphabetical order: its files but for ``base`` and ``_private`` ones."""
    found = pkgutil.iter_modules(importlib.import_module(package).__path__)
    return sorted(m.name for m in found if m.name != "base" and not m.name.startswith("_") and not m.ispkg)


def find(package: str, type_: str, base: type[T]) -> type[T]:
    """The class of a type: the ``base`` in ``<type>.py`` whose ``type`` is the file's name, whatever it is called.

    Raises KeyError when there is no such file, TypeError when the file holds no such class.
    """
    if type_ not in types(package):
        raise KeyError(type_)
    module = importlib.import_module(f"{package}.{type_}")
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, base) and vars(value).get("type") == type_:
            return value
    raise TypeError(f"{module.__name__} holds no {base.__name__} that says `type = {type_!r}`")
