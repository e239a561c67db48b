"""JSON put together by column says what orjson says."""

from __future__ import annotations

import orjson
import pandas as pd
from hypothesis import example, given
from hypothesis import strategies as st

from etl.json_columns import around, column, encoded, joined, listed, quoted

texts = st.lists(st.none() | st.text(st.characters(codec="utf-8")), min_size=1)


def series(values: list[str | None]) -> pd.Series[str]:
    return pd.Series(values, dtype="str")


@given(texts)
@example(['"', "\\", "\n", "\x7f", "\u2028", "😀", "", None, ","])
def test_quoted_is_orjson(values: list[str | None]) -> None:
    expected = [None if value is None else orjson.dumps(value).decode() for value in values]
    assert quoted(series(values)).to_pylist() == expected


@given(texts)
def test_a_list_has_commas_only_between_what_is_there(values: list[str | None]) -> None:
    first, second = quoted(series(values)), quoted(series(values[::-1]))
    pairs = zip(first.to_pylist(), second.to_pylist(), strict=True)
    assert listed(first, second).to_pylist() == [",".join(filter(None, pair)) or None for pair in pairs]


def test_rows_of_nothing_stay_rows() -> None:
    nothing = column(series([None, None, None]))
    assert listed(nothing, nothing).to_pylist() == [None] * 3
    assert joined(nothing, nothing).to_pylist() == [""] * 3
    assert around("<", nothing, ">").to_pylist() == [None] * 3


def test_no_rows_are_no_rows() -> None:
    assert encoded(joined("{", quoted(series([])), "}")) == []


def test_whole_numbers_become_their_digits() -> None:
    numbers = pd.Series([1_700_000_000_123, None], dtype="Int64")
    assert column(numbers).to_pylist() == ["1700000000123", None]


def test_a_column_in_pieces_is_one_column() -> None:
    pieces = pd.concat([series(["a"]), series(["b", None])], ignore_index=True)
    assert encoded(joined("[", quoted(pieces), "]")) == [b'["a"]', b'["b"]', b"[]"]
