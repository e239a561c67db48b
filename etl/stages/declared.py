"""What an import declares of its source and the source itself disproves: then nobody knows which rows were read right.

Two declarations can be disproved for certain: the order of day and month, and which mark is a number's decimal one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import pandas as pd

from etl import reasons
from etl.columns import NUMBERS
from etl.date_formats import swapped
from etl.errors import SourceError
from schemas import numbers, times
from schemas.conversion import SourceFormat

SEARCHED = 500
"""How many rows of a chunk are searched for a date in doubt, which costs a second reading of them."""

Cell = tuple[int, str]
"""A row number and what stands there."""


class Declared:
    """Looks through a source, chunk by chunk, for what disproves the import's ``date_format`` or ``locale``.

    ``source`` is its name for people.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._doubtful: dict[str, Cell] = {}
        self._other: dict[str, Cell] = {}
        self._chunks = 0

    def check(self, source: pd.DataFrame, cast: pd.DataFrame, how: SourceFormat, typed: Collection[str] = ()) -> None:
        """One chunk more, as the source has it and as `conversion.cast` made it.

        Raises SourceError, which names a row of each kind: for dates as soon as one is of the other order, for numbers
        once there is also one that would be another amount.
        """
        self._check_dates(cast, [how.date_format] if isinstance(how.date_format, str) else how.date_format or ())
        for name in NUMBERS:
            if how.numbers is not None and name in source.columns and name not in typed:
                self._check_numbers(numbers.trimmed(source[name]), how.numbers)
        self._chunks += 1

    def _check_dates(self, cast: pd.DataFrame, formats: Sequence[str]) -> None:
        for each in formats:
            if swapped(each) is None:
                continue
            read = times.without_zone(cast["occurred_at"][cast["occurred_at_ms"].notna()].iloc[:SEARCHED])
            self._remember(self._doubtful, each, read, lambda text, each=each: times.in_doubt(text, each))  # type: ignore[misc]
            unread = times.without_zone(cast["occurred_at"][cast["time_problem"] == reasons.NOT_IN_DATE_FORMAT.code])
            other = _first(unread, times.of_other_order(unread, each))
            if other is not None:
                raise SourceError(self._other_order(each, self._doubtful.get(each), other))

    def _check_numbers(self, column: pd.Series[Any], how: numbers.NumberFormat) -> None:
        name = str(column.name)
        self._remember(self._doubtful, name, column, lambda text: numbers.in_doubt(text, how))
        self._remember(self._other, name, column, lambda text: numbers.of_other_mark(text, how))
        if name in self._doubtful and name in self._other:
            raise SourceError(self._other_mark(name, how, self._doubtful[name][0], self._other[name][0]))

    def _remember(
        self,
        cells: dict[str, Cell],
        key: str,
        column: pd.Series[Any],
        test: Callable[[pd.Series[Any]], pd.Series[bool]],
    ) -> None:
        if key not in cells and (found := _first(column, test(column))) is not None:
            cells[key] = found

    def _other_order(self, date_format: str, doubtful: Cell | None, other: Cell) -> str:
        read = f"reads row {doubtful[0]:,} ({doubtful[1]}), but" if doubtful else "is declared, but"
        return (
            f"{self._source}: occurred_at: `date_format: {date_format}` {read} row {other[0]:,} ({other[1]}) can only "
            f"be read with day and month the other way round ({swapped(date_format)}), so that nobody knows which days "
            "the others mean: correct `date_format`, or the rows that were written otherwise. " + self._what_was_sent
        )

    def _other_mark(self, name: str, how: numbers.NumberFormat, doubtful: int, other: int) -> str:
        return (
            f"{self._source}: {name}: the import's `locale` says that {how.decimal} marks the decimals, but in row "
            f"{other:,} only the other mark can, and by that row {doubtful:,} would be a thousand times more or less: "
            "correct `locale`, or the rows that were written otherwise. " + self._what_was_sent
        )

    @property
    def _what_was_sent(self) -> str:
        if not self._chunks:
            return "Nothing was sent."
        return "Rows before these were offered to the destinations: `conversions results` shows what was sent."


def _first(column: pd.Series[Any], where: pd.Series[bool]) -> Cell | None:
    found = column[where]
    return (int(found.index[0]), str(found.iloc[0])) if len(found) else None
