"""Formats of dates, as ``date_format`` of an import has them: which may be declared, and what one asks of a text.

Nothing here reads a moment (see `schemas.times`), and there is no pandas: imports.yaml is judged by it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache

UNIX = {"unix_seconds": 10, "unix_micros": 16, "unix_nanos": 19}
"""Words for columns of numbers since 1970, and their digits from 2001 to 2286; milliseconds (13) need no word."""

EXCEL_SERIAL = "excel_serial"
NUMBERS = {**UNIX, EXCEL_SERIAL: 5}
"""Words for columns of numbers, and the digits of their whole part."""

_LATE = datetime(2026, 11, 25, 21, 30, tzinfo=UTC)
_EARLY = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)  # every part of it could be another


def check(formats: Sequence[str]) -> None:
    """Raise ValueError, with a sentence, for formats that leave out part of a date or could be taken for each other."""
    if not formats:
        raise ValueError("is an empty list; leave it out where times are ISO 8601")
    words = [each for each in formats if each in NUMBERS]
    if len(words) > 1:
        raise ValueError(f"{words[0]} and {words[1]} are both numbers, and no number says which it is; keep one")
    for each in formats:
        if each not in NUMBERS:
            _check_one(each)
    for at, each in enumerate(formats):
        for other in formats[at + 1 :]:
            if each == other or _may_be_taken_for(each, other):
                raise ValueError(
                    f"{each} and {other} may read the same text as two different moments; keep the one that is meant"
                )


def _check_one(value: str) -> None:
    try:
        read = datetime.strptime(_LATE.strftime(value), value)  # noqa: DTZ007 (only its day is looked at)
    except ValueError:
        raise ValueError(f"{value} is not a format such as %d.%m.%Y %H:%M, nor one of {', '.join(NUMBERS)}") from None
    if read.date() != _LATE.date():
        raise ValueError(f"{value} leaves out the day, the month or the year; an example is %d.%m.%Y %H:%M")
    marks = set(re.findall("%.", value))
    if ("%I" in marks) != ("%p" in marks) or {"%H", "%p"} <= marks:
        raise ValueError(f"{value} is wrong by half a day: %I and %p belong together, %H stands without them")
    if "%Z" in marks:
        raise ValueError(
            f"{value}: names of zones (%Z) mean several zones each; set `timezone`, or use %z (+0100). "
            "UTC and Europe/Berlin behind a time need neither"
        )


def _may_be_taken_for(one: str, other: str) -> bool:
    return any(
        _reads_otherwise(_EARLY.strftime(each), by) or _is_as_long(_EARLY.strftime(each), by)
        for each, by in ((one, other), (other, one))
    )


def _reads_otherwise(text: str, date_format: str) -> bool:
    try:
        return datetime.strptime(text, date_format).date() != _EARLY.date()  # noqa: DTZ007 (only its day is looked at)
    except ValueError:
        return False


def _is_as_long(text: str, word: str) -> bool:
    return text.isdigit() and len(text) == NUMBERS.get(word)


# -- what a text may be written in

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

_YEARS = {"%Y": 4, "%G": 4}
_WIDTHS = _YEARS | dict.fromkeys(("%y", "%m", "%d", "%H", "%I", "%M", "%S", "%U", "%V", "%W"), 2) | {"%j": 3, "%u": 1}
"""Parts of a format that are digits, and how many they are at most."""

_OTHER_PARTS = {
    "%f": r"[0-9]{1,9}",
    "%z": r"(?:[Zz]|[+-][0-9]{2}:?[0-9]{2}(?::?[0-9]{2})?)",
    "%%": "%",
}
_PARTS = re.compile(r"%.|[^%]", re.DOTALL)

_DIGITS = (
    (r"[12]\d{3}(?:0\d|1[0-2])(?:[0-2]\d|3[01])", "%Y%m%d"),
    (r"(?:[0-2]\d|3[01])(?:0\d|1[0-2])[12]\d{3}", "%d%m%Y"),
    (r"(?:0\d|1[0-2])(?:[0-2]\d|3[01])[12]\d{3}", "%m%d%Y"),
    (r"[12]\d{3}(?:0\d|1[0-2])(?:[0-2]\d|3[01])(?:[01]\d|2[0-3])", "%Y%m%d%H"),
    (r"[12]\d{9}", "unix_seconds"),
    (r"[12]\d{3}(?:0\d|1[0-2])(?:[0-2]\d|3[01])(?:[01]\d|2[0-3])[0-5]\d", "%Y%m%d%H%M"),
    (r"[12]\d{3}(?:0\d|1[0-2])(?:[0-2]\d|3[01])(?:[01]\d|2[0-3])[0-5]\d[0-5]\d", "%Y%m%d%H%M%S"),
    (r"[12]\d{15}", "unix_micros"),
    (r"[12]\d{3}(?:0\d|1[0-2])(?:[0-2]\d|3[01])(?:[01]\d|2[0-3])[0-5]\d[0-5]\d\d{3}", "%Y%m%d%H%M%S%f"),
    (r"[12]\d{18}", "unix_nanos"),
    (r"[3-9]\d{4}", "excel_serial"),
)
"""What digits may be instead of milliseconds: pattern, and the word or format that declares it."""

_SERIAL = re.compile(r"\s*[3-9][0-9]{4}[.,][0-9]+\s*")


@lru_cache(maxsize=10_000)
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


def number_formats(value: str) -> list[str]:
    """How digits may be meant that are no epoch milliseconds, as `date_format` would declare it; maybe not at all."""
    if _SERIAL.fullmatch(value):
        return ["excel_serial"]
    digits = re.sub(r"\.0+$", "", value.strip())
    return [name for pattern, name in _DIGITS if re.fullmatch(pattern, digits, re.ASCII)]


def _meaning(order: str, found: re.Match[str]) -> tuple[int, int, int] | None:
    """Year, month and day of three numbers in an order; None where there is no such day."""
    part = dict(zip(order[1::5].lower(), map(int, re.findall(r"\d+", found[0])), strict=False))
    return (part["y"], part["m"], part["d"]) if 1 <= part["m"] <= 12 and 1 <= part["d"] <= 31 else None


def _clock_format(found: re.Match[str]) -> str:
    if not found["hour"]:
        return ""
    parts = ["%I" if found["half"] else "%H", ":%M", *([":%S"] if found["second"] else [])]
    return found["gap"] + "".join(parts) + (".%f" if found["fraction"] else "") + (" %p" if found["half"] else "")


@lru_cache(maxsize=100)
def strict_pattern(date_format: str) -> str:
    """What a text must look like: ASCII digits, and all of them where no separator ends a part of the format."""
    parts = _PARTS.findall(date_format)
    patterns = []
    for at, part in enumerate(parts):
        if part in _WIDTHS:
            beside = {*parts[max(at - 1, 0) : at], *parts[at + 1 : at + 2]}
            fewest = _WIDTHS[part] if part in _YEARS or beside & {*_WIDTHS, "%f"} else 1
            patterns.append(f"[0-9]{{{fewest},{_WIDTHS[part]}}}")
        elif part.startswith("%"):
            patterns.append(_OTHER_PARTS.get(part, r"[^0-9]+"))
        else:
            patterns.append(r"\s+" if part.isspace() else _literal(part))
    return "".join(patterns)


def _literal(mark: str) -> str:
    """Letters in either case, as ``strptime`` takes them."""
    return f"(?i:{re.escape(mark)})" if mark.isalpha() else re.escape(mark)


def digits_only(date_format: str) -> bool:
    """True where a text of the format is nothing but digits."""
    return all(part in _WIDTHS or part == "%f" for part in _PARTS.findall(date_format))


@lru_cache(maxsize=100)
def swapped(date_format: str) -> str | None:
    """The format with day and month changed round; None where they cannot be taken for each other."""
    parts = _PARTS.findall(date_format)
    if "%d" not in parts or "%m" not in parts:
        return None
    return "".join({"%d": "%m", "%m": "%d"}.get(part, part) for part in parts)
