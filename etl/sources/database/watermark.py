"""How far an incremental database has been read: the highest value of its cursor column, kept between runs as text."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, TypeAlias

import orjson
from pydantic import BaseModel, ConfigDict, Field, field_validator

from etl.errors import SourceError

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_ISO = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d(?::?\d\d)?)?")
_LATEST_ZONE = timedelta(hours=14)

Value: TypeAlias = int | datetime | str
"""What a cursor column may hold: a number, a moment, or text that the database compares as such."""


class CursorSettings(BaseModel):
    """``cursor:``: the column that grows, and how far before the last row read the next run begins.

    ``overlap`` is a number in the column's own unit, or for times a span such as ``30m``, ``1h`` or ``2d``; it must be
    longer than any transaction that writes rows takes to commit.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: str = Field(min_length=1)
    overlap: int | timedelta = 0

    @field_validator("overlap", mode="before")
    @classmethod
    def _a_number_or_a_span(cls, value: Any) -> Any:
        found = re.fullmatch(r"\s*(\d{1,9})\s*([smhd]?)\s*", str(value))
        if found is None:
            raise ValueError("must be a number, or a span such as 30m, 1h or 2d")
        return timedelta(**{_UNITS[found[2]]: int(found[1])}) if found[2] else int(found[1])


class Watermark:
    """A value of the cursor column; ``read_from`` is a digest of the table or query, and of its database."""

    def __init__(self, cursor: CursorSettings, read_from: str, value: Value) -> None:
        self.cursor = cursor
        self.read_from = read_from
        self.value = value

    @classmethod
    def of(cls, text: str, cursor: CursorSettings | None, read_from: str) -> Watermark | None:
        """Read back what `text` wrote; None when that was of another column, or of another table or query."""
        kept: Mapping[str, Any] = orjson.loads(text)
        if cursor is None or (kept["column"], kept.get("of")) != (cursor.column, read_from):
            return None
        kinds: Mapping[str, Callable[[str], Value]] = {"int": int, "time": datetime.fromisoformat, "text": str}
        return cls(cursor, read_from, kinds[kept["kind"]](kept["value"]))

    def text(self) -> str:
        """To be kept in the ledger."""
        kind = {int: "int", datetime: "time", str: "text"}[type(self.value)]
        value = self.value.isoformat() if isinstance(self.value, datetime) else str(self.value)
        return orjson.dumps({"of": self.read_from, "column": self.cursor.column, "kind": kind, "value": value}).decode()

    def since(self) -> Value:
        """Where the next run begins: the overlap before this. Raises SourceError when that cannot be said."""
        overlap = self.cursor.overlap
        if isinstance(self.value, int) and isinstance(overlap, int):
            return self.value - overlap
        if isinstance(self.value, datetime) and (isinstance(overlap, timedelta) or not overlap):
            return self.value - (overlap or timedelta(0))
        if isinstance(self.value, str) and not overlap:
            return self.value
        if isinstance(self.value, str) and isinstance(overlap, timedelta) and (moment := _iso(self.value)):
            return _before_all(moment - overlap, self.value)
        raise SourceError(self._wrong_overlap())

    def _wrong_overlap(self) -> str:
        kind, need = {
            int: ("numbers", "a number"),
            datetime: ("times", "a span such as 1h"),
            str: ("text", "a span such as 1h, if it is ISO 8601, or 0"),
        }[type(self.value)]
        return f"source.cursor.overlap: {self.cursor.column} holds {kind}; it must be {need}."


class HighestValue:
    """The highest value of the cursor column among the rows read: the last that is not null.

    Never later than the clock, or one row from the future would hide all that come until then.
    """

    def __init__(
        self, cursor: CursorSettings, read_from: str, position: int, before: Watermark | None, now: datetime
    ) -> None:
        self._cursor = cursor
        self._read_from = read_from
        self._position = position
        self._now = now
        self._value = before.value if before else None

    def observe(self, rows: Sequence[Sequence[Any]]) -> None:
        """The next rows, in order; the cursor column is at the position given."""
        for row in reversed(rows):
            if (value := row[self._position]) is not None:
                self._value = self._judged(value)
                return

    def watermark(self) -> Watermark | None:
        """Where to go on; None when no row had a value."""
        return None if self._value is None else Watermark(self._cursor, self._read_from, self._value)

    def _judged(self, value: Any) -> Value:
        if isinstance(value, Decimal) and value == value.to_integral_value():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int | datetime | str):
            raise SourceError(
                f"source.cursor.column: {self._cursor.column} holds {type(value).__name__}; it must be whole numbers, "
                "times or text that grow."
            )
        if isinstance(value, str) and isinstance(self._value, datetime):
            return self._value  # infinity
        moment = _iso(value) if isinstance(value, str) else value
        if isinstance(moment, datetime) and moment > (latest := self._latest(moment)):
            return _before_all(latest, value) if isinstance(value, str) else latest
        return value

    def _latest(self, moment: datetime) -> datetime:
        """The clock as such a moment has it; where it has no zone, the clock of the zone that is furthest ahead."""
        return self._now.astimezone(moment.tzinfo) if moment.tzinfo else (self._now + _LATEST_ZONE).replace(tzinfo=None)


def _iso(value: str) -> datetime | None:
    try:
        return datetime.fromisoformat(value) if _ISO.fullmatch(value) else None
    except ValueError:
        return None


def _before_all(moment: datetime, like: str) -> str:
    """ISO 8601 without fraction and zone: it stands before every text that begins so, whatever follows."""
    return f"{moment:%Y-%m-%d}{like[10]}{moment:%H:%M:%S}"
