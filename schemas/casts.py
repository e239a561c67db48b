"""Columns of text: what is in them, asked by column, and how they are made. For casts see `numbers` and `times`."""

from __future__ import annotations

from typing import Any, cast

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc


def matches(column: pd.Series[Any], pattern: str) -> pd.Series[bool]:
    """True where the whole text matches; null is False. Arrow's engine: linear time, ``\\s`` and ``\\d`` mean ASCII."""
    return contains(column, f"^(?:{pattern})$")


def contains(column: pd.Series[Any], pattern: str) -> pd.Series[bool]:
    """True where the text has the pattern somewhere; null is False."""
    found = pc.match_substring_regex(pa.array(column.astype("str"), pa.large_string()), pattern).fill_null(False)
    return cast("pd.Series[bool]", pd.Series(found.to_numpy(zero_copy_only=False), index=column.index))


def nothing(index: pd.Index[int]) -> pd.Series[str]:
    """A text column of nulls."""
    nulls: Any = pa.nulls(len(index), pa.large_string())
    return pd.Series(pd.array(nulls, dtype="str"), index=index)


def texts(values: list[str | None], index: pd.Index[int]) -> pd.Series[str]:
    """A text column whose nulls stay nulls."""
    return cast("pd.Series[str]", pd.Series(values, index=index, dtype="str"))
