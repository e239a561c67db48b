"""The canonical conversion: what a row must be before any vendor is asked.

``cast`` turns a frame of source text into typed columns, ``SCHEMA`` judges them; the clock is an argument.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import orjson
import pandas as pd
import pandera.pandas as pa

from etl import reasons
from etl.columns import COLUMNS, DERIVED, IDS, NUMBERS, REQUIRED
from etl.date_formats import date_formats, number_formats
from etl.reasons import Reason
from schemas import identities
from schemas.casts import contains, matches, nothing
from schemas.cleaning import trimmed
from schemas.numbers import DECIMAL, NumberFormat, ambiguous, decimals, inexact
from schemas.rules import names_a_person, optional, required, rule
from schemas.times import NO_MOMENT_MS, split_zone, times

MOST_LEVELS = 100
"""How deep JSON of a cell may be nested: readers and writers of JSON, the vendors' too, give up at some depth."""

_JSON_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')
_DATE_ACTION = "Write it as 2026-11-20T09:30:00+01:00, or have {date_hint}, and `timezone`, added to the import."
_FAILED = r"(?i:[+-]?(?:nan|inf(?:inity|ini|inito|inie)?|unendlich|∞)|-?1\.#(?:inf|ind|qnan|snan)[0-9]*)"
_WRITTEN_OTHERWISE = r"[\p{N}\p{Pd}\x{2212}+.,'’ \x{a0}\x{202f}]+|[0-9.,]+[eE][+-]?[0-9]+"
_ZONE_LETTERS = re.compile(r"\d:\d\d[^A-Za-z]*[A-Z]{2,5}\s*$", re.ASCII)
_OBJECTS = ("properties", "profile_properties", "attributes")
_TIMES: Mapping[Reason, str] = {
    reasons.NO_TIMEZONE: "",
    reasons.AMBIGUOUS_LOCAL_TIME: "",
    reasons.NONEXISTENT_LOCAL_TIME: "",
    reasons.TIMESTAMP_NOT_MILLISECONDS: f"{reasons.TIMESTAMP_NOT_MILLISECONDS.sentence}{{date_hint}}",
    reasons.AMBIGUOUS_DATE: f"{reasons.AMBIGUOUS_DATE.sentence} {_DATE_ACTION}",
    reasons.DATE_FORMAT_NEEDED: f"{reasons.DATE_FORMAT_NEEDED.sentence} {_DATE_ACTION}",
    reasons.NOT_IN_DATE_FORMAT: "",
    reasons.TIMESTAMP_UNPARSABLE: f"{reasons.TIMESTAMP_UNPARSABLE.sentence}{{date_hint}}",
}
"""What may be wrong with a time, and what is said where the row itself says more."""

_TOTAL = re.compile(
    r"\s*(?:grand |sub-?)?total(?:s|e|en|es| g[eé]n[eé]ral)?\s*:?\s*|\s*(?:zwischen|gesamt)?summen?\s*:?\s*"
    r"|\s*(?:insgesamt|gesamt|somme|suma|sum|totaal|razem)\s*:?\s*",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class SourceFormat:
    """How a source writes what has no one form, as its import declares it; nothing here is ever guessed.

    ``date_format`` is one of `schemas.times`, or several that are tried in order; without ``numbers`` a number is a
    plain decimal. ``spreadsheet``: its ids may have been through a spreadsheet, so that round ones are damage;
    ``made_numbers``: or through a program that took them for numbers, so that 4711.0 and 1E5 are.
    """

    timezone: str | None = None
    date_format: str | Sequence[str] | None = None
    numbers: NumberFormat | None = None
    spreadsheet: bool = True
    made_numbers: bool = True
    ids_may_be_personal: bool = False
    """True where event_id and event_name may be e-mail addresses and phone numbers."""


def extras(frame: pd.DataFrame) -> list[str]:
    """Columns that are neither canonical nor derived, in order."""
    known = {*COLUMNS, *DERIVED}
    return [str(name) for name in frame.columns if name not in known]


def cast(
    frame: pd.DataFrame, spelling: SourceFormat, *, now_ms: int, skew_ms: int, typed: Collection[str] = ()
) -> pd.DataFrame:
    """A frame of source columns (index = row number) made ready for `SCHEMA`.

    Blank text becomes null; missing canonical columns are added as null; ids keep their bytes. Adds ``occurred_at_ms``
    (nullable Int64) and the columns of `HELPER_COLUMNS`, what the casts found. ``typed``: the columns whose texts were
    numbers by type, which are what they are however the import's numbers are written.
    """
    out = frame.copy(deep=False)
    for name in COLUMNS:
        if name not in out.columns:
            out[name] = nothing(out.index)
    for name in out.columns:
        if _is_text(out[name]) and name not in DERIVED:
            out[name] = trimmed(out[name])
    for name in ("email", "phone"):
        out[name] = identities.lower_digests(out[name])
    out = _with_numbers(out, spelling.numbers, typed)
    out["occurred_at_ms"], out["time_problem"] = times(out["occurred_at"], spelling.timezone, spelling.date_format)
    out = _without_placeholder_dates(out)
    out["date_hint"] = _date_hints(out)
    out["damaged_ids"], out["formulas"] = identities.spreadsheet_damage(
        out, rounded=spelling.spreadsheet, made=spelling.made_numbers, typed=typed
    )
    out["hidden_ids"] = identities.hidden(out)
    out["personal_ids"] = nothing(out.index) if spelling.ids_may_be_personal else personal(out)
    out["failed_numbers"] = _not_a_quantity(out["quantity"], typed)
    out["ahead"] = (out["occurred_at_ms"] > now_ms + skew_ms).fillna(False).astype(bool)
    out["currency"] = out["currency"].str.upper()
    return out


HELPER_COLUMNS = (
    "time_problem",
    "date_hint",
    "ahead",
    "not_in_locale",
    "unclear_numbers",
    "inexact_numbers",
    "damaged_ids",
    "formulas",
    "hidden_ids",
    "personal_ids",
    "failed_numbers",
)
"""Columns that only `SCHEMA` reads: ``time_problem`` a reason code, ``ahead`` True when later than the clock allows,
``date_hint`` a setting to propose, the others names of columns or null."""


NAMES_OF_EVENTS = ("event_id", "event_name")
"""Columns that every result, receipt and page shows in clear."""


def personal(out: pd.DataFrame) -> pd.Series[str]:
    """For each row which of `NAMES_OF_EVENTS` hold an e-mail address or a phone number; null where none does."""
    names = nothing(out.index)
    for name in NAMES_OF_EVENTS:
        _add_name(names, names_a_person(out[name]), name)
    return names


def _with_numbers(out: pd.DataFrame, how: NumberFormat | None, typed: Collection[str]) -> pd.DataFrame:
    """Plain numbers, and for each row the columns in which a number is not as declared, in doubt, or not exact."""
    wrong, unclear, rounded = (nothing(out.index) for _ in range(3))
    for name in NUMBERS:
        if name in typed:
            continue
        money = out["currency"].str.strip().str.upper() if name == "revenue" else None
        if how is not None:
            out[name], odd = decimals(out[name], how, money)
            wrong[odd] = name
        else:
            _add_name(unclear, ambiguous(out[name], money), name)
    for name in (*IDS, "phone", *NUMBERS):
        if name in typed:
            _add_name(rounded, inexact(out[name]), name)
    return out.assign(not_in_locale=wrong, unclear_numbers=unclear, inexact_numbers=rounded)


def _without_placeholder_dates(out: pd.DataFrame) -> pd.DataFrame:
    """What is written where there is no date is none; the row lacks its moment."""
    none = (out["occurred_at_ms"] < NO_MOMENT_MS).fillna(False).astype(bool)
    if not none.any():
        return out
    return out.assign(
        occurred_at=out["occurred_at"].mask(none),
        occurred_at_ms=out["occurred_at_ms"].mask(none),
    )


def _is_text(column: pd.Series[Any]) -> bool:
    return isinstance(column.dtype, pd.StringDtype)


def _not_a_quantity(column: pd.Series[Any], typed: Collection[str]) -> pd.Series[str]:
    """Where a computation failed, or a number is written so that it may be another, the name of the column.

    Words are left to the vendors, and revenue is judged by each vendor's rules.
    """
    names = nothing(column.index)
    if _is_text(column):
        odd = matches(column, _FAILED)
        if "quantity" not in typed:
            odd |= matches(column, _WRITTEN_OTHERWISE) & ~matches(column, DECIMAL)
        _add_name(names, odd, "quantity")
    return names


def _add_name(names: pd.Series[str], rows: pd.Series[bool], name: str) -> None:
    """Add a column's name to the list of names that each of these rows has."""
    if rows.any():
        names[rows] = (names[rows] + ", ").fillna("") + name


def _date_hints(out: pd.DataFrame) -> pd.Series[str]:
    """The setting to propose for dates that need one."""
    hints = nothing(out.index)
    unsaid = out["time_problem"].isin([reasons.AMBIGUOUS_DATE.code, reasons.DATE_FORMAT_NEEDED.code])
    digits = out["time_problem"].isin([reasons.TIMESTAMP_NOT_MILLISECONDS.code, reasons.TIMESTAMP_UNPARSABLE.code])
    if unsaid.any():
        hints[unsaid] = out["occurred_at"][unsaid].map(_date_hint)
    if digits.any():
        hints[digits] = out["occurred_at"][digits].map(_number_hint)
    return hints


def _date_hint(value: str) -> str:
    time, _ = split_zone(value.strip()) or (value.strip(), "")
    return _either(date_formats(time))


def _number_hint(value: str) -> str:
    found = number_formats(value)
    if _ZONE_LETTERS.search(value):
        return (
            " Letters for a zone, such as CET or PST, mean several zones each: write +01:00, UTC or Europe/Berlin "
            "behind the time."
        )
    if not found:
        return " Write it as 2026-11-20T09:30:00+01:00, or have `date_format` say how it is written."
    return f" It may be meant as {_either(found)}: if so, have that added to the import; else write it as ISO 8601."


def _either(formats: list[str]) -> str:
    return " or ".join(f'`date_format: "{one}"`' for one in formats)


def not_conversions(frame: pd.DataFrame) -> pd.Series[str]:
    """A sentence for rows of a source that never were conversions (empty ones, totals under a table), else null.

    ``frame`` is what `cast` made. Only a row without an id, a name or a time is ever called so.
    """
    sentences = nothing(frame.index)
    short = frame[frame[list(REQUIRED)].isna().any(axis=1)].drop(columns=[*HELPER_COLUMNS, *DERIVED], errors="ignore")
    for row, cells in zip(short.index, short.itertuples(index=False), strict=True):
        sentence = not_a_conversion([str(cell) for cell in cells if pd.notna(cell)])
        if sentence:
            sentences[row] = sentence
    return sentences


def not_a_conversion(given: Sequence[str]) -> str:
    """A sentence for the cells of a row, without empty ones, when these are none or a total; else nothing."""
    if not given:
        return "The row is empty: no conversion; nothing to do."
    if _TOTAL.fullmatch(given[0]) or (len(given) <= 3 and any(map(_TOTAL.fullmatch, given))):
        return "The row is a total under the table, no conversion; nothing to do."
    return ""


def _is_object(column: pd.Series[Any]) -> pd.Series[bool]:
    return column.map(_object_text).astype(bool)


def _object_text(value: object) -> bool:
    try:
        return isinstance(orjson.loads(str(value)), dict)
    except orjson.JSONDecodeError:
        return False


def _not_deep(column: pd.Series[Any]) -> pd.Series[bool]:
    return column.map(lambda value: _levels(str(value)) <= MOST_LEVELS).astype(bool)


def _levels(json: str) -> int:
    """How deep JSON text is nested, exactly where it may be too deep. A key that stands twice counts twice."""
    opened = json.count("{") + json.count("[")
    if opened <= MOST_LEVELS:
        return opened
    steps = (1 if bracket in "[{" else -1 for bracket in re.findall(r"[][{}]", _JSON_TEXT.sub("", json)))
    return max(accumulate(steps), default=0)


def _printable(column: pd.Series[Any]) -> pd.Series[bool]:
    return ~contains(column, "[\x00-\x1f\x7f]")


def _short(column: pd.Series[Any]) -> pd.Series[bool]:
    return column.astype("str").str.len() <= 500


SCHEMA = pa.DataFrameSchema(
    {
        "event_id": required(
            reasons.MISSING_EVENT_ID,
            rule(reasons.EVENT_ID_TOO_LONG, _short),
        ),
        "hidden_ids": optional(
            rule(
                reasons.CONTROL_CHARACTER,
                lambda column: column.isna(),
                "{hidden_ids} holds a control character or one that nobody sees (NUL, tab, line break, zero-width "
                "space).",
            ),
        ),
        "personal_ids": optional(
            rule(
                reasons.LOOKS_LIKE_PII,
                lambda column: column.isna(),
                "{personal_ids} holds an e-mail address or a phone number, and stands in every result: take an id that "
                "says nothing about a person, or have `ids_may_be_personal: true` added to the import.",
            ),
        ),
        "event_name": required(
            reasons.MISSING_EVENT_NAME,
            rule(reasons.CONTROL_CHARACTER, _printable, "event_name holds a control character (NUL, tab, line break)."),
            rule(reasons.EVENT_NAME_TOO_LONG, _short),
        ),
        "inexact_numbers": optional(
            rule(
                reasons.INEXACT_NUMBER,
                lambda column: column.isna(),
                f"{{inexact_numbers}}: {reasons.INEXACT_NUMBER.detail[0].lower()}{reasons.INEXACT_NUMBER.detail[1:]}",
            ),
        ),
        "damaged_ids": optional(
            rule(
                reasons.ID_DAMAGED_BY_SPREADSHEET,
                lambda column: column.isna(),
                "{damaged_ids}: a spreadsheet or another program took this for a number or a date (1.23457E+15, "
                "4711.0, 1,234,567, 1-Feb, or zeros from the 16th digit on). "
                f"{reasons.ID_DAMAGED_BY_SPREADSHEET.action}",
            ),
        ),
        "formulas": optional(
            rule(
                reasons.FORMULA_TEXT,
                lambda column: column.isna(),
                "{formulas}: a formula or a spreadsheet's error (=…, #REF!, #WERT!, #N/A) stands where its value "
                "should. "
                f"{reasons.FORMULA_TEXT.action}",
            ),
        ),
        "not_in_locale": optional(
            rule(
                reasons.NOT_IN_LOCALE,
                lambda column: column.isna(),
                "{not_in_locale} is not a number as the import's `locale` writes it: its decimal mark or its groups of "
                "thousands differ.",
            ),
        ),
        "failed_numbers": optional(
            rule(
                reasons.NOT_A_DECIMAL,
                lambda column: column.isna(),
                "{failed_numbers}: a computation failed (NaN, Infinity) where a number should stand, or it is no plain "
                "number such as 2 or 2.5.",
            ),
        ),
        "unclear_numbers": optional(
            rule(
                reasons.AMBIGUOUS_NUMBER,
                lambda column: column.isna(),
                "{unclear_numbers}: nobody can tell whether its point marks the decimals or groups the thousands. "
                f"{reasons.AMBIGUOUS_NUMBER.action}",
            ),
        ),
        "occurred_at": required(reasons.MISSING_OCCURRED_AT),
        "time_problem": optional(
            *(
                rule(reason, lambda column, code=reason.code: column != code, sentence)  # type: ignore[misc]
                for reason, sentence in _TIMES.items()
            )
        ),
        "ahead": pa.Column(bool, checks=[rule(reasons.IN_THE_FUTURE, lambda column: ~column.astype(bool))]),
        "currency": optional(rule(reasons.NOT_A_CURRENCY, lambda column: matches(column, "[A-Z]{3}"))),
        **{
            name: optional(
                rule(reasons.NOT_A_JSON_OBJECT, _is_object, f"{name} is not a JSON object such as {{{{}}}}."),
                rule(reasons.NESTED_TOO_DEEP, _not_deep, f"{name} is nested deeper than {MOST_LEVELS} levels."),
            )
            for name in _OBJECTS
        },
    },
    strict=False,
)
"""Judges the frame that `cast` made. Reason codes are the names of its checks."""

UNIQUE = pa.DataFrameSchema(
    {
        "first_row": optional(
            rule(
                reasons.DUPLICATE_EVENT_ID,
                lambda column: column.isna(),
                "Row {first_row} of the same source already has this event_id: that row was offered to every "
                "destination, this one is left out.",
            ),
        ),
    },
)
"""Judges rows that `SCHEMA` finds good: ``first_row`` is the good row before them with the same event_id, or null."""
