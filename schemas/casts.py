"""Text to type, by column, before any schema looks at it. Every cast says why it failed; none guesses.

Times become epoch milliseconds (UTC), money stays decimal text and is only ever read by `decimal.Decimal`.
"""

from __future__ import annotations

import re
from typing import Any, cast
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from etl import reasons

# [0-9], because \d also takes the digits of other scripts.
DECIMAL = r"[+-]?(?:[0-9]{1,15}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})"
"""A plain decimal: no exponent, no thousands separator, no currency sign, finite, below 10^15."""

DECIMAL_COMMA = r"[+-]?(?:[0-9]+|[0-9]{1,3}(?:[.' \x{a0}\x{202f}’][0-9]{3})+),[0-9]+"
"""A number whose comma may be its decimal sign, or may group its thousands: only the sender knows."""

POINT_OR_GROUPS = r"\s*[+-]?[0-9]{1,3}\.[0-9]{3}\s*"
"""A number whose point marks the decimals, or groups the thousands where the decimals have a comma: ``1.299``."""

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


def decimals(column: pd.Series[Any], decimal: str, thousands: str) -> tuple[pd.Series[Any], pd.Series[bool]]:
    """Numbers as a locale writes them (``1.234,50``) as plain decimal text, and True where one is not written so.

    Groups of thousands are whole or absent; a space as ``thousands`` means any kind of space. Typed columns stay.
    """
    wrong = pd.Series(data=False, index=column.index)
    if not isinstance(column.dtype, pd.StringDtype):
        return column, wrong
    group = {" ": r"[ \x{a0}\x{202f}]", "'": "['’]", "": None}.get(thousands, re.escape(thousands))
    grouped = rf"[0-9]{{1,3}}(?:{group}[0-9]{{3}})+|" if group else ""
    number = rf"\s*[+-]?(?:{grouped}[0-9]+)(?:{re.escape(decimal)}[0-9]+)?\s*"
    good = matches(column, number)
    bare = column.str.replace(f"[^0-9+{re.escape(decimal)}-]", "", regex=True)
    plain = bare.str.replace(decimal, ".", regex=False)
    return plain.where(good, column), column.notna() & ~good


def times(
    column: pd.Series[Any], timezone: str | None, date_format: str | None = None
) -> tuple[pd.Series[int], pd.Series[str]]:
    """Moments as epoch milliseconds (nullable Int64) and, where there is none, the reason code.

    ``column`` is text (ISO 8601 or epoch milliseconds, or as ``date_format`` says) or a typed timestamp. ``timezone``
    (IANA name) is applied only to values without a zone. The reason is null where the value is null or good.
    """
    if date_format is not None and isinstance(column.dtype, pd.StringDtype):
        return _formatted(column, timezone, date_format)
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
    lost = given & ms.isna() & reason.isna()
    if lost.any():
        reason[lost] = text[lost].map(_unread)
    return cast("pd.Series[int]", ms), reason


def _formatted(column: pd.Series[Any], timezone: str | None, date_format: str) -> tuple[pd.Series[int], pd.Series[str]]:
    """What is written as declared; ISO 8601 and epoch milliseconds beside it mean only one moment and are taken too."""
    parsed = pd.to_datetime(column.str.strip(), format=date_format, errors="coerce", utc="%z" in date_format)
    ms, reason = times(parsed, timezone)
    other = column.notna() & parsed.isna()
    if other.any():
        text = column[other]
        if date_format.startswith("%Y-"):  # could be taken for ISO 8601 with day and month changed round
            text = text.where(~matches(text, _ISO), "")
        ms[other], reason[other] = times(text, timezone)
        reason[other & reason.isin(_READINGS)] = reasons.NOT_IN_DATE_FORMAT.code
    return ms, reason


_CLOCK = (
    r"(?:(?P<gap>, | |T)(?P<hour>\d{1,2})(?P<minute>:\d{2})(?P<second>:\d{2})?(?P<fraction>\.\d+)?"
    r"\s*(?P<half>[AaPp][Mm])?)?"
)
_NUMBERED = re.compile(
    rf"\s*(?P<first>\d{{1,2}})(?P<mark>[./-])(?P<then>\d{{1,2}})(?P=mark)(?P<year>\d{{4}}|\d{{2}}){_CLOCK}\s*", re.ASCII
)
_YEAR_FIRST = re.compile(
    rf"\s*(?P<year>\d{{4}})(?P<mark>[./-])(?P<first>\d{{1,2}})(?P=mark)(?P<then>\d{{1,2}}){_CLOCK}\s*", re.ASCII
)
_MONTH = (
    r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sep(?:tember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_DAY_NAMED = re.compile(
    rf"\s*\d{{1,2}}(?P<mark>[. -]+){_MONTH}(?P<then>[, -]+)(?P<year>\d{{4}}){_CLOCK}\s*", re.ASCII | re.IGNORECASE
)
_NAMED_DAY = re.compile(
    rf"\s*{_MONTH}(?P<mark>[. -]+)\d{{1,2}}(?P<then>[, -]+)(?P<year>\d{{4}}){_CLOCK}\s*", re.ASCII | re.IGNORECASE
)


_ORDERS = ("%d{0}%m{0}%Y", "%m{0}%d{0}%Y")
_SHORT_ORDERS = ("%d{0}%m{0}%y", "%m{0}%d{0}%y", "%y{0}%m{0}%d")


_READINGS = (reasons.TIMESTAMP_UNPARSABLE.code, reasons.DATE_FORMAT_NEEDED.code, reasons.AMBIGUOUS_DATE.code)
"""What is said of a text that can be read as a date in no way, in one way, in more than one."""


def _unread(value: str) -> str:
    return _READINGS[min(len(date_formats(value)), 2)]


def date_formats(value: str) -> list[str]:
    """How a date may be meant, as ``strptime`` formats: one, or several where day and month cannot be told apart.

    Empty when it is no date that is known here.
    """
    if found := _NUMBERED.fullmatch(value):
        orders = _ORDERS if len(found["year"]) == 4 else _SHORT_ORDERS[: 1 + len(found["first"])]
        meant = {_meaning(order, found): order for order in reversed(orders) if _meaning(order, found)}
        return [order.format(found["mark"]) + _clock_format(found) for order in reversed(meant.values())]
    if found := _YEAR_FIRST.fullmatch(value):
        order = "%Y{0}%m{0}%d"
        return [order.format(found["mark"]) + _clock_format(found)] if _meaning(order, found) else []
    if found := _DAY_NAMED.fullmatch(value) or _NAMED_DAY.fullmatch(value):
        month = "%b" if len(found["month"]) == 3 else "%B"
        first, then = (month, "%d") if found.re is _NAMED_DAY else ("%d", month)
        return [f"{first}{found['mark']}{then}{found['then']}%Y{_clock_format(found)}"]
    return []


def _meaning(order: str, found: re.Match[str]) -> tuple[int, int, int] | None:
    """Year, month and day of three numbers in an order; None where there is no such day."""
    letters = [mark.lower() for mark in re.findall("%([dmYy])", order)]
    numbers = map(int, re.findall(r"\d+", found[0]))  # the clock's come after those of the date
    part = dict(zip(letters, numbers, strict=False))
    return (part["y"], part["m"], part["d"]) if 1 <= part["m"] <= 12 and 1 <= part["d"] <= 31 else None


def _clock_format(found: re.Match[str]) -> str:
    if not found["hour"]:
        return ""
    parts = ["%I" if found["half"] else "%H", ":%M", *([":%S"] if found["second"] else [])]
    return found["gap"] + "".join(parts) + (".%f" if found["fraction"] else "") + (" %p" if found["half"] else "")


def _spelled(text: pd.Series[str]) -> pd.Series[str]:
    return text.str.strip().str.upper().str.replace(",", ".", regex=False)


def _epochs(text: pd.Series[str]) -> tuple[pd.Series[int], pd.Series[str]]:
    numbers = text.str.strip().str.replace(r"\.0+$", "", regex=True)
    values = pd.Series([int(number) for number in numbers], index=text.index, dtype="object")
    fits = values.map(lambda value: OLDEST_MS <= value < NEWEST_MS).astype(bool)
    reason = nothing(text.index)
    reason[~fits] = reasons.TIMESTAMP_NOT_MILLISECONDS.code
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
        reason[parsed] = reasons.NO_TIMEZONE.code
        return cast("pd.Series[int]", pd.Series(pd.NA, index=naive.index, dtype="Int64")), reason
    zone = ZoneInfo(timezone)
    # Both questions are asked apart: NaT for one while the other is shifted out of the way.
    known = naive.dt.tz_localize(zone, ambiguous="NaT", nonexistent="shift_forward")
    exists = naive.dt.tz_localize(zone, ambiguous=np.ones(len(naive), dtype=bool), nonexistent="NaT")
    reason[parsed & known.isna()] = reasons.AMBIGUOUS_LOCAL_TIME.code
    reason[parsed & exists.isna()] = reasons.NONEXISTENT_LOCAL_TIME.code
    return _milliseconds(known).mask(exists.isna()), reason
