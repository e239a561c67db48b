"""Text to type, by column, before any schema looks at it. Every cast says why it failed; none guesses.

Times become epoch milliseconds (UTC), money stays decimal text and is only ever read by `decimal.Decimal`.
"""

from __future__ import annotations

from typing import Any, cast
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

# [0-9], because \d also takes the digits of other scripts.
DECIMAL = r"[+-]?(?:[0-9]{1,15}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})"
"""A plain decimal: no exponent, no thousands separator, no currency sign, finite, below 10^15."""

WHOLE = r"[0-9]{1,18}"

OLDEST_MS = 10**11  # as seconds this is the year 5138, as milliseconds 1973: nobody means the former
NEWEST_MS = 10**14

_ZONED = r"[T ]\d{2}.*(?:[Zz]|[+-]\d{2}(?::?\d{2})?)\s*$"
_ISO = r"\s*\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?\s*(?:[Zz]|[+-]\d{2}(?::?\d{2})?)?)?\s*"


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


def times(column: pd.Series[Any], timezone: str | None) -> tuple[pd.Series[int], pd.Series[str]]:
    """Moments as epoch milliseconds (nullable Int64) and, where there is none, the reason code.

    ``column`` is text (ISO 8601 or epoch milliseconds) or a typed timestamp. ``timezone`` (IANA name) is applied only
    to values without a zone. Reasons: ``no_timezone``, ``ambiguous_local_time``, ``nonexistent_local_time``,
    ``timestamp_not_milliseconds``, ``timestamp_unparsable``; null where the value is null or good.
    """
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return _milliseconds(column), nothing(column.index)
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return _localised(column, timezone)
    text = column.astype("str")
    ms = pd.Series(pd.NA, index=column.index, dtype="Int64")
    reason = nothing(column.index)
    given = text.notna()
    digits = matches(text, r"\s*-?\d{1,19}(?:\.0+)?\s*")
    if digits.any():
        ms[digits], reason[digits] = _epochs(text[digits])
    iso = ~digits & matches(text, _ISO)
    zoned = iso & contains(text, _ZONED)
    if zoned.all():  # the usual case, without the detour over a mask
        ms = _milliseconds(pd.to_datetime(_spelled(text), format="ISO8601", utc=True, errors="coerce"))
    elif zoned.any():
        parsed = pd.to_datetime(_spelled(text[zoned]), format="ISO8601", utc=True, errors="coerce")
        ms[zoned] = _milliseconds(parsed)
    naive = iso & ~zoned
    if naive.any():
        parsed = pd.to_datetime(_spelled(text[naive]), format="ISO8601", errors="coerce")
        ms[naive], reason[naive] = _localised(parsed, timezone)
    reason[given & ms.isna() & reason.isna()] = "timestamp_unparsable"
    return cast("pd.Series[int]", ms), reason


def _spelled(text: pd.Series[str]) -> pd.Series[str]:
    return text.str.strip().str.upper().str.replace(",", ".", regex=False)


def _epochs(text: pd.Series[str]) -> tuple[pd.Series[int], pd.Series[str]]:
    numbers = text.str.strip().str.replace(r"\.0+$", "", regex=True)
    values = pd.Series([int(number) for number in numbers], index=text.index, dtype="object")
    fits = values.map(lambda value: OLDEST_MS <= value < NEWEST_MS).astype(bool)
    reason = nothing(text.index)
    reason[~fits] = "timestamp_not_milliseconds"
    return values.where(fits, None).astype("Int64"), reason


def _milliseconds(parsed: pd.Series[Any]) -> pd.Series[int]:
    utc = parsed.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("datetime64[ms]")
    ms = pd.Series(utc.astype("int64"), index=parsed.index, dtype="Int64")
    ms[np.isnat(utc)] = pd.NA
    return cast("pd.Series[int]", ms)


def _localised(naive: pd.Series[Any], timezone: str | None) -> tuple[pd.Series[int], pd.Series[str]]:
    reason = nothing(naive.index)
    parsed = naive.notna()
    if timezone is None:
        reason[parsed] = "no_timezone"
        return cast("pd.Series[int]", pd.Series(pd.NA, index=naive.index, dtype="Int64")), reason
    zone = ZoneInfo(timezone)
    # Both questions are asked apart: NaT for one while the other is shifted out of the way.
    known = naive.dt.tz_localize(zone, ambiguous="NaT", nonexistent="shift_forward")
    exists = naive.dt.tz_localize(zone, ambiguous=np.ones(len(naive), dtype=bool), nonexistent="NaT")
    reason[parsed & known.isna()] = "ambiguous_local_time"
    reason[parsed & exists.isna()] = "nonexistent_local_time"
    return _milliseconds(known).mask(exists.isna()), reason
