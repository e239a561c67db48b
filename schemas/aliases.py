"""The cell ``aliases``: ``a|b`` or a JSON list of texts, as one column of single aliases and back.

What an alias must be is not decided here, nor which ones a vendor takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

TEXT = pa.large_string()

_NAMED = r"^(?:urn:)?[A-Za-z0-9_.$-]*:"
"""What stands before the value of an alias: ``urn:user_id:``, ``user_id:``."""


class Exploded(NamedTuple):
    """Single aliases in the order of their rows, and the position of the row that each stands in."""

    aliases: Any
    rows: Any


def listed(text: str) -> list[str] | None:
    """The aliases of a cell; None when it begins like a JSON list and is no list of texts."""
    if not text.lstrip().startswith("["):
        return [alias.strip() for alias in text.split("|")]
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return found if all(isinstance(alias, str) for alias in found) else None


def exploded(cells: Any) -> Exploded:
    """Every alias of a text array by itself. A cell that cannot be read has none."""
    lists = pc.fill_null(pc.match_substring_regex(cells, r"^\s*\["), False)
    if not pc.any(lists).as_py():
        parts = pc.split_pattern(cells, "|")
        return Exploded(parts.flatten(), pc.list_parent_indices(parts).to_numpy())
    read = [None if cell is None else listed(cell) for cell in cells.to_pylist()]
    lengths = [len(each or ()) for each in read]
    return Exploded(
        pa.array([alias for each in read for alias in each or ()], TEXT), np.repeat(np.arange(len(read)), lengths)
    )


def values(aliases: Any) -> Any:
    """What each alias says of somebody: ``7`` of ``urn:user_id:7``; an alias without a name is its own value."""
    return pc.replace_substring_regex(aliases, _NAMED, "")


def cell(aliases: Sequence[str]) -> str | None:
    """A cell that holds these aliases; None when there are none."""
    return orjson.dumps(list(aliases)).decode() if aliases else None
