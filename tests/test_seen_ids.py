"""The search for repeated event_ids beside a dictionary that forgets nothing."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.stages import seen_ids
from etl.stages.seen_ids import SeenEventIds

CHUNKS = st.lists(st.lists(st.none() | st.integers(0, 40).map(str), max_size=12), max_size=12)


def firsts(chunks: Sequence[Sequence[str | None]]) -> list[int | None]:
    """What is said of each row, in order; rows are numbered through."""
    found: list[int | None] = []
    with closing(SeenEventIds()) as seen:
        for chunk in chunks:
            index = range(len(found), len(found) + len(chunk))
            said = seen.first_rows(pd.Series(list(chunk), index=index, dtype="str"))
            found += [None if row is pd.NA else int(row) for row in said.astype(object)]
    return found


def remembered(chunks: Sequence[Sequence[str | None]]) -> list[int | None]:
    """The same by a dictionary."""
    first: dict[str, int] = {}
    rows = [event_id for chunk in chunks for event_id in chunk]
    told = [None if each is None else first.setdefault(each, number) for number, each in enumerate(rows)]
    return [None if row == number else row for number, row in enumerate(told)]


@pytest.mark.parametrize("block", [1, 4, 1000])
def test_the_first_row_is_found_wherever_it_is_kept(block: int) -> None:
    @settings(max_examples=40, deadline=None)
    @given(CHUNKS)
    def as_a_dictionary_says(chunks: list[list[str | None]]) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(seen_ids, "_BLOCK", block)
            patch.setattr(seen_ids, "_FILTER_BITS", 6)  # so that much is looked for in vain, too
            assert firsts(chunks) == remembered(chunks)

    as_a_dictionary_says()


def test_what_cannot_be_in_the_file_is_not_looked_for_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen_ids, "_BLOCK", 100)
    looked_up: list[int] = []
    real = seen_ids._look_up

    def counted(run: seen_ids._Keys, keys: seen_ids._Keys) -> npt.NDArray[np.int64]:
        looked_up.append(len(keys.one))
        return real(run, keys)

    monkeypatch.setattr(seen_ids, "_look_up", counted)
    chunks = [[f"{chunk}-{row}" for row in range(100)] for chunk in range(50)]
    assert set(firsts(chunks)) == {None}
    assert sum(looked_up) < 200, "of 5,000 new rows before up to 49 blocks each"
