"""JSON put together by column, for vendors whose items are many and small: text in, text out, joined by Arrow.

What `orjson` would say of each row, without a dict, a call and an object per row.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import orjson
import pandas as pd
import pyarrow
from pyarrow import compute

TEXT = pyarrow.large_string()
_ESCAPED = r'["\\\x00-\x1f]'

Column = Any
"""An Arrow array of text. Arrow's own types do not say which of its functions take which arrays."""


def without_keys(text: str, keys: Collection[str]) -> str:
    """A JSON object as text without some of its keys, its numbers digit for digit; unchanged where it is too deep."""
    try:
        given = json.loads(text, parse_float=orjson.Fragment, parse_int=orjson.Fragment)
        return orjson.dumps({key: value for key, value in given.items() if key not in keys}).decode()
    except (RecursionError, orjson.JSONEncodeError):
        return text


def column(values: pd.Series[Any]) -> Column:
    """A pandas column as text; nulls stay. Whole numbers become their digits, which is JSON already."""
    array = pyarrow.array(values, from_pandas=True)
    return (array.combine_chunks() if isinstance(array, pyarrow.ChunkedArray) else array).cast(TEXT)


def quoted(values: pd.Series[Any]) -> Column:
    """Text as JSON strings; nulls stay. Only a column in which something needs escaping is encoded by row."""
    array = column(values)
    if not compute.any(compute.match_substring_regex(array, _ESCAPED)).as_py():
        return around('"', array, '"')
    return pyarrow.array([None if text is None else orjson.dumps(text).decode() for text in array.to_pylist()], TEXT)


def around(before: str, array: Column, after: str = "") -> Column:
    """``before`` + text + ``after`` where there is text; nulls stay."""
    scalars = [pyarrow.scalar(text, TEXT) for text in (before, after, "")]
    return compute.binary_join_element_wise(scalars[0], array, *scalars[1:])


def joined(*parts: Column | str) -> Column:
    """The parts of each row; nulls are nothing, a text stands for itself in every row."""
    arrays = [pyarrow.scalar(part, TEXT) if isinstance(part, str) else part for part in (*parts, "")]
    # Not null_handling="skip": pyarrow 26.0.1 then leaves rows out in which every part is null.
    return compute.binary_join_element_wise(*arrays, null_handling="replace", null_replacement="")


def listed(*parts: Column) -> Column:
    """The parts of each row that are not null, with commas between them; null where all are."""
    row = compute.ascii_ltrim(joined(*(around(",", part) for part in parts)), characters=",")
    empty = compute.equal(compute.binary_length(row), pyarrow.scalar(0, pyarrow.int64()))
    return compute.if_else(empty, pyarrow.scalar(None, TEXT), row)


def encoded(array: Column) -> list[bytes]:
    """The text as bytes, row by row."""
    rows: list[bytes] = array.cast(pyarrow.large_binary()).to_pylist()
    return rows
