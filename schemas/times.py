"""Moments as a source writes them, as epoch milliseconds (UTC). Every cast says why it failed; none guesses.

What is read without any setting means one moment only: ISO 8601, and epoch milliseconds. Everything else is declared.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd

from etl import reasons
from etl.date_formats import EXCEL_SERIAL, NUMBERS, UNIX, date_formats, digits_only, strict_pattern, swapped
from schemas.casts import contains, matches, nothing

DIGITS = r"-?\d{1,19}(?:\.0+)?"
MILLISECONDS = r"[1-9]\d{12}(?:\.0+)?"
"""Epoch milliseconds have 13 digits from September 2001 to 2286; with more or fewer, digits are something else."""

NO_MOMENT_MS = 86_400_000
"""Until the end of 1 January 1970 a date is what programs write where they have none: 1970-01-01, 1900-01-01."""

_POWERS = {"unix_seconds": 3, "unix_micros": -3, "unix_nanos": -6}
"""Of ten, that make milliseconds of it."""

_SERIAL = r"[3-9]\d{4}(?:[.,]\d{1,15})?"
_SERIALS_FROM = pd.Timestamp("1899-12-30")  # day 0 of Excel's calendar of 1900, for every day after February 1900

_ZONED = r"[T ]\d{2}.*(?:[Zz]|[+-]\d{2}(?::?\d{2})?)$"
_HOURS = r"(?:0\d|1[0-4])(?::?[0-5]\d)?"  # no place on earth is further from UTC
_ISO = rf"\d{{4}}-\d{{2}}-\d{{2}}(?:[T ]\d{{2}}:\d{{2}}(?::\d{{2}}(?:[.,]\d{{1,9}})?)?\s*(?:[Zz]|[+-]{_HOURS})?)?"
_BASIC = (
    r"(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2}(?:[.,]\d{1,9})?)((?:[Zz]|[+-]\d{2}(?::?\d{2})?)?)"  # 20261120T100000Z
)
_OTHER_SPACES = "[\u00a0\u2000-\u200a\u202f\u3000]"
_OFFSET = r"(?:\s*(?:[Zz]|[+-]\d{2}(?::?\d{2})?))"
_ZONE_NAME = re.compile(
    rf"(?P<time>.*\d:\d\d(?::\d\d(?:[.,]\d{{1,9}})?)?(?:\s*[AP]M(?![A-Z]))?(?:{_OFFSET}(?![A-Z]))?)\s*"
    r"(?:(?:UTC|GMT)(?P<sign>[+-])(?P<hours>\d{1,2})(?::?(?P<minutes>\d\d))?"
    r"|(?P<name>UTC|GMT|Z|[A-Z][A-Z_]*/[A-Z0-9_+/-]+)|\[(?P<boxed>UTC|GMT|Z|[A-Z][A-Z_]*/[A-Z0-9_+/-]+)\])",
    re.ASCII | re.IGNORECASE,
)
_MAYBE_NAMED = r"(?:[A-Za-z\]]|(?:UTC|GMT|utc|gmt)[+-][\d:]+|/[A-Za-z0-9_+-]+)$"

_READINGS = (reasons.TIMESTAMP_UNPARSABLE.code, reasons.DATE_FORMAT_NEEDED.code, reasons.AMBIGUOUS_DATE.code)
"""What is said of a text that can be read as a date in no way, in one way, in more than one."""

Read = tuple["pd.Series[int]", "pd.Series[str]"]
"""Epoch milliseconds (nullable Int64), and a reason code where there are none though there is a value."""


def times(column: pd.Series[Any], timezone: str | None, declared: str | Sequence[str] | None = None) -> Read:
    """Moments as epoch milliseconds (nullable Int64) and, where there is none, the reason code.

    ``column`` is text (as one of the ``declared`` formats says, tried in order, else ISO 8601 or epoch milliseconds) or
    a typed timestamp. ``timezone`` (IANA name) is applied only to values without a zone. The reason is null where the
    value is null or good.
    """
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return _milliseconds(column), nothing(column.index)
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return _localised(column, timezone)
    formats = tuple([declared] if isinstance(declared, str) else declared or ())
    text = _readable(column)
    if not formats:
        return _named(text, timezone, formats, *_plain(text, timezone))
    ms, reason = _as_declared(text, timezone, formats)
    other = text.notna() & ms.isna() & reason.isna()
    if other.any():
        ms[other], reason[other] = _beside(text[other], timezone, formats)
    return ms, reason


def _readable(column: pd.Series[Any]) -> pd.Series[str]:
    """Text whose white space is plain spaces, none at its ends: which kind it is decides nothing."""
    text = column.astype("str").str.strip()
    if contains(text, _OTHER_SPACES).any():  # ICU writes one before AM and PM
        text = text.str.replace(_OTHER_SPACES, " ", regex=True)
    return text


def without_zone(column: pd.Series[Any]) -> pd.Series[str]:
    """Times without the name of a zone behind them."""
    text = _readable(column)
    named = contains(text, _MAYBE_NAMED)
    return text.mask(named, text[named].map(lambda value: (split_zone(value) or (value,))[0])) if named.any() else text


def _beside(text: pd.Series[str], timezone: str | None, formats: Sequence[str]) -> Read:
    """What is not written as declared: ISO 8601 and epoch milliseconds mean one moment, and are taken too."""
    readable = text
    if any(digits_only(each) or each in NUMBERS for each in formats):  # its digits are not to be read otherwise
        readable = readable.where(~matches(text, DIGITS), "")
    if any(each.startswith("%Y-%d") for each in formats):  # ISO 8601 with day and month changed round
        readable = readable.where(~matches(text, _ISO), "")
    ms, reason = _named(readable, timezone, formats, *_plain(readable, timezone))
    reason[reason.isin(_READINGS)] = reasons.NOT_IN_DATE_FORMAT.code
    return ms, reason


def _plain(text: pd.Series[str], timezone: str | None) -> Read:
    """ISO 8601 in its extended and basic form, and epoch milliseconds."""
    ms, reason = _empty(text.index)
    iso = matches(text, _ISO)
    zoned = iso & contains(text, _ZONED)
    if zoned.all():  # the usual case, without the detour over a mask
        return _iso(text, timezone)
    if zoned.any():
        ms[zoned], reason[zoned] = _iso(text[zoned], timezone)
    if (naive := iso & ~zoned).any():
        ms[naive], reason[naive] = _iso_naive(text[naive], timezone)
    if (digits := ~iso & matches(text, DIGITS)).any():
        ms[digits], reason[digits] = _epochs(text[digits])
    if (basic := ~iso & ~digits & matches(text, _BASIC)).any():
        extended = text[basic].str.replace(f"^{_BASIC}$", r"\1-\2-\3T\4:\5:\6\7", regex=True)
        ms[basic], reason[basic] = _plain(extended, timezone)
    return ms, reason


def _named(
    text: pd.Series[str],
    timezone: str | None,
    formats: Sequence[str],
    ms: pd.Series[int],
    reason: pd.Series[str],
) -> Read:
    """What is still unread: times with the name of a zone behind them; the others get the reason why."""
    left = text.notna() & ms.isna() & reason.isna()
    if not left.any():
        return ms, reason
    maybe = text[left & contains(text, _MAYBE_NAMED)]
    found = {row: parts for row, value in maybe.items() if (parts := split_zone(value))}
    for zone in dict.fromkeys(zone for _, zone in found.values()):
        time = pd.Series({row: time for row, (time, its_zone) in found.items() if its_zone == zone}, dtype="str")
        rows = pd.Series(text.index.isin(time.index), index=text.index)
        known, why = _in_zone(time, zone, timezone, formats)
        ms, reason = ms.mask(rows, known.reindex(text.index)), reason.mask(rows, why.reindex(text.index))
        left &= ~rows
    if left.any():
        reason[left] = text[left].map(_unread)
    return ms, reason


def _in_zone(time: pd.Series[str], zone: str, timezone: str | None, formats: Sequence[str]) -> Read:
    """Times with the zone that stood behind them; an offset that stood there too must be that zone's own."""
    ms, reason = times(time, zone or timezone, formats)
    double = ms.notna() & contains(time, _ZONED)
    if zone and double.any():
        wall = pd.to_datetime(
            _spelled(time[double].str.replace(rf"{_OFFSET}$", "", regex=True)), format="ISO8601", errors="coerce"
        )
        moments = pd.to_datetime(ms[double].astype("int64"), unit="ms", utc=True)
        other = moments.dt.tz_convert(zone).dt.tz_localize(None).dt.floor("s") != wall.dt.floor("s")
        rows = other.reindex(ms.index, fill_value=False)
        return ms.mask(rows), reason.mask(rows, reasons.TIMESTAMP_UNPARSABLE.code)
    return ms, reason


def split_zone(value: str) -> tuple[str, str] | None:
    """A time and the zone behind it: a name (``UTC``, ``Europe/Berlin``), or none where it is an offset of UTC."""
    found = _ZONE_NAME.fullmatch(value)
    if found is None:
        return None
    if found["sign"]:
        return f"{found['time']}{found['sign']}{found['hours'].zfill(2)}:{found['minutes'] or '00'}", ""
    name = found["name"] or found["boxed"]
    name = name if "/" in name else "UTC"
    return (found["time"], name) if _is_zone(name) else None


@lru_cache(maxsize=1000)
def _is_zone(name: str) -> bool:
    """True for what names one zone; letters alone (CET, PST) mean several each, and are none."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: Europe alone is a folder
        return False
    return True


def _as_declared(text: pd.Series[str], timezone: str | None, formats: Sequence[str]) -> Read:
    """What is written as one of the formats, the first that reads it."""
    ms, reason = _empty(text.index)
    left = text.notna()
    for each in formats:
        if not left.any():
            break
        known, why = _read_as(text[left], timezone, each)
        read = known.index[known.notna() | why.notna()]
        ms[read], reason[read] = known[read], why[read]
        left[read] = False
    return ms, reason


def _read_as(text: pd.Series[str], timezone: str | None, declared: str) -> Read:
    """What is written in one format; neither a moment nor a reason where it is not."""
    if declared in UNIX:
        return _unix(text, UNIX[declared], _POWERS[declared])
    if declared == EXCEL_SERIAL:
        return _serials(text, timezone)
    parsed = as_written(text, declared)
    return (_milliseconds(parsed), nothing(text.index)) if "%z" in declared else _localised(parsed, timezone)


def as_written(text: pd.Series[str], date_format: str) -> pd.Series[Any]:
    """Timestamps of what is written in a ``strptime`` format, at its full width where nothing separates its parts."""
    fitting = text.where(matches(text, strict_pattern(date_format)))
    return pd.to_datetime(fitting, format=date_format, errors="coerce", utc="%z" in date_format)


def _unix(text: pd.Series[str], width: int, power: int) -> Read:
    fits = matches(text, rf"[1-9]\d{{{width - 1}}}(?:\.\d{{1,9}})?")
    ms, reason = _empty(text.index)
    ms[fits] = text[fits].map(lambda value: int(Decimal(value).scaleb(power))).astype("Int64")
    return ms, reason


def _serials(text: pd.Series[str], timezone: str | None) -> Read:
    fits = matches(text, _SERIAL)
    days = [Decimal(value.replace(",", ".")) for value in text[fits]]
    since = pd.Series(pd.NaT, index=text.index, dtype="timedelta64[ms]")
    since[fits] = np.array([round(day * 86_400_000) for day in days], dtype="timedelta64[ms]")
    return _localised(_SERIALS_FROM.as_unit("ms") + since, timezone)


def _unread(value: str) -> str:
    return _READINGS[min(len(date_formats(value)), 2)]


def _empty(index: pd.Index[int]) -> Read:
    return cast("pd.Series[int]", pd.Series(pd.NA, index=index, dtype="Int64")), nothing(index)


def _iso(text: pd.Series[str], timezone: str | None) -> Read:
    parsed = pd.to_datetime(_spelled(text), format="ISO8601", utc=True, errors="coerce")
    return _checked(text, _milliseconds(parsed), nothing(text.index))


def _iso_naive(text: pd.Series[str], timezone: str | None) -> Read:
    parsed = pd.to_datetime(_spelled(text), format="ISO8601", errors="coerce")
    return _checked(text, *_localised(parsed, timezone))


def _checked(text: pd.Series[str], ms: pd.Series[int], reason: pd.Series[str]) -> Read:
    """Neither a day nor an hour that does not exist is a moment."""
    lost = text.notna() & ms.isna() & reason.isna()
    if lost.any():
        reason[lost] = reasons.TIMESTAMP_UNPARSABLE.code
    return ms, reason


def _spelled(text: pd.Series[str]) -> pd.Series[str]:
    return text.str.upper().str.replace(",", ".", regex=False)


def _epochs(text: pd.Series[str]) -> Read:
    """Milliseconds since 1970, nothing else that is made of digits."""
    fits = matches(text, MILLISECONDS)
    ms, reason = _empty(text.index)
    ms[fits] = text[fits].str.slice(0, 13).astype("int64").astype("Int64")
    reason[~fits] = reasons.TIMESTAMP_NOT_MILLISECONDS.code
    return ms, reason


def _milliseconds(parsed: pd.Series[Any]) -> pd.Series[int]:
    utc = parsed.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("datetime64[ms]")
    ms = pd.Series(utc.astype("int64"), index=parsed.index, dtype="Int64")
    ms[np.isnat(utc)] = pd.NA
    return cast("pd.Series[int]", ms)


def _localised(naive: pd.Series[Any], timezone: str | None) -> Read:
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


# -- a declared format that the column itself disproves


def in_doubt(text: pd.Series[str], date_format: str) -> pd.Series[bool]:
    """True where a date is read by the format, and is another day with day and month changed round."""
    other = swapped(date_format)
    if other is None:
        return text.isna() & text.notna()
    one, two = as_written(text, date_format), as_written(text, other)
    return one.notna() & two.notna() & (one != two)


def of_other_order(text: pd.Series[str], date_format: str) -> pd.Series[bool]:
    """True where a date can only be read with the format's day and month changed round."""
    other = swapped(date_format)
    if other is None:
        return text.isna() & text.notna()
    return as_written(text, date_format).isna() & as_written(text, other).notna()
