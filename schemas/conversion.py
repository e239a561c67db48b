"""The canonical conversion: what a row must be before any vendor is asked.

``cast`` turns a frame of source text into typed columns, ``SCHEMA`` judges them; the clock is an argument.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import orjson
import pandas as pd
import pandera.pandas as pa

from etl import reasons
from etl.columns import COLUMNS, DERIVED, REQUIRED
from etl.reasons import Reason
from schemas.casts import DECIMAL_COMMA, POINT_OR_GROUPS, contains, date_formats, decimals, matches, nothing, times
from schemas.rules import optional, required, rule

IDS = (
    "event_id",
    "user_id",
    "anonymous_id",
    "order_id",
    "kameleoon_visitor_code",
    "kameleoon_goal_id",
    "convert_goal_id",
    "webflow_user_id",
)
"""Columns that hold ids: text, byte for byte, and the first to suffer in a spreadsheet."""

NUMBERS = ("quantity", "revenue")
"""Columns that hold numbers as a locale writes them."""

MOST_LEVELS = 100
"""How deep JSON of a cell may be nested: readers and writers of JSON, the vendors' too, give up at some depth."""

_JSON_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')
_COMMA = rf"\s*{DECIMAL_COMMA}\s*"
_DATE_ACTION = "Write it as 2026-11-20T09:30:00+01:00, or have {date_hint}, and `timezone`, added to the import."
_OBJECTS = ("properties", "profile_properties", "attributes")
_TIMES: Mapping[Reason, str] = {
    reasons.NO_TIMEZONE: "",
    reasons.AMBIGUOUS_LOCAL_TIME: "",
    reasons.NONEXISTENT_LOCAL_TIME: "",
    reasons.TIMESTAMP_NOT_MILLISECONDS: "",
    reasons.AMBIGUOUS_DATE: f"{reasons.AMBIGUOUS_DATE.sentence} {_DATE_ACTION}",
    reasons.DATE_FORMAT_NEEDED: f"{reasons.DATE_FORMAT_NEEDED.sentence} {_DATE_ACTION}",
    reasons.NOT_IN_DATE_FORMAT: "",
    reasons.TIMESTAMP_UNPARSABLE: "",
}
"""What may be wrong with a time, and what is said where the row itself says more."""

# What spreadsheets make of ids and texts. `_SUSPECT` lets nearly every value pass at a third of the cost of the others.
_SUSPECT = r"^\s*(?:[=#+@-]|[0-9](?:[.,][0-9]+)?[eE]\+|[1-9][0-9]{14}0)"
_SCIENTIFIC = r"^\s*[0-9](?:[.,][0-9]+)?[eE]\+[0-9]{2,3}\s*$"
_ROUNDED = r"^\s*[1-9][0-9]{14}0+\s*$"
_FORMULA = (
    r"^\s*(?:=|#(?:REF|NAME|VALUE|NULL|NUM|DIV/0|SPILL|CALC)[!?]|#N/A|##+$"
    r"|[+@-]\s*(?:[A-Za-z][A-Za-z0-9.]*\(|\$?[A-Z]{1,3}\$?[0-9]{1,7}(?:[-+*/&:!^].*)?$)"
    r"|[+-]?[0-9.]+[+*/^&-][0-9A-Za-z.()+*/^&-]+[(|!]|[+-][0-9.]+[+*/^&][0-9])"
)
_TOTAL = re.compile(
    r"\s*(?:grand |sub-?)?total(?:s|e|en|es| g[eé]n[eé]ral)?\s*:?\s*|\s*(?:zwischen|gesamt)?summen?\s*:?\s*"
    r"|\s*(?:insgesamt|gesamt|somme|suma|sum|totaal|razem)\s*:?\s*",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class SourceFormat:
    """How a source writes what has no one form, as its import declares it; nothing here is ever guessed.

    ``decimal`` and ``thousands`` are the marks of its numbers (both empty: plain decimals), ``date_format`` a
    ``strptime`` format. ``spreadsheet``: its ids may have been through a spreadsheet, so that round ones are damage.
    """

    timezone: str | None = None
    date_format: str | None = None
    decimal: str = ""
    thousands: str = ""
    spreadsheet: bool = True


def extras(frame: pd.DataFrame) -> list[str]:
    """Columns that are neither canonical nor derived, in order."""
    known = {*COLUMNS, *DERIVED}
    return [str(name) for name in frame.columns if name not in known]


def writes_commas(frame: pd.DataFrame) -> bool:
    """True when some number of the source has a comma for its decimals, or may have: ``19,99``, ``1.234,50``."""
    return any(
        matches(frame[name], _COMMA).any() for name in NUMBERS if name in frame.columns and _is_text(frame[name])
    )


def cast(
    frame: pd.DataFrame, spelling: SourceFormat, *, now_ms: int, skew_ms: int, commas: bool = False
) -> pd.DataFrame:
    """A frame of source columns (index = row number) made ready for `SCHEMA`.

    Blank text becomes null; missing canonical columns are added as null; ids keep their bytes. Adds ``occurred_at_ms``
    (nullable Int64) and the columns of `HELPER_COLUMNS`, what the casts found. ``commas``: the source has been seen
    to write decimal commas, so that without a declared locale nobody can tell what ``1.299`` means.
    """
    out = frame.copy(deep=False)
    for name in COLUMNS:
        if name not in out.columns:
            out[name] = nothing(out.index)
    for name in out.columns:
        if isinstance(out[name].dtype, pd.StringDtype):
            blank = ~contains(out[name], r"[^\s]") & out[name].notna()
            out[name] = out[name].mask(blank) if blank.any() else out[name]
    if spelling.decimal:
        out = _plain_numbers(out, spelling)
    else:
        out["not_in_locale"] = nothing(out.index)
    out["unclear_numbers"] = _unclear_numbers(out) if commas and not spelling.decimal else nothing(out.index)
    out["occurred_at_ms"], out["time_problem"] = times(out["occurred_at"], spelling.timezone, spelling.date_format)
    out["date_hint"] = _date_hints(out)
    out["damaged_ids"], out["formulas"] = _spreadsheet_damage(out, spelling)
    out["ahead"] = (out["occurred_at_ms"] > now_ms + skew_ms).fillna(False).astype(bool)
    out["currency"] = out["currency"].str.upper()
    return out


HELPER_COLUMNS = (
    "time_problem",
    "date_hint",
    "ahead",
    "not_in_locale",
    "unclear_numbers",
    "damaged_ids",
    "formulas",
)
"""Columns that only `SCHEMA` reads: ``time_problem`` a reason code, ``ahead`` True when later than the clock allows,
``date_hint`` a setting to propose, the others names of columns or null."""


def _plain_numbers(out: pd.DataFrame, spelling: SourceFormat) -> pd.DataFrame:
    wrong = nothing(out.index)
    for name in NUMBERS:
        out[name], odd = decimals(out[name], spelling.decimal, spelling.thousands)
        wrong[odd] = name
    return out.assign(not_in_locale=wrong)


def _unclear_numbers(out: pd.DataFrame) -> pd.Series[str]:
    names = nothing(out.index)
    for name in NUMBERS:
        if _is_text(out[name]):
            _add_name(names, matches(out[name], POINT_OR_GROUPS), name)
    return names


def _is_text(column: pd.Series[Any]) -> bool:
    return isinstance(column.dtype, pd.StringDtype)


def _spreadsheet_damage(out: pd.DataFrame, spelling: SourceFormat) -> tuple[pd.Series[str], pd.Series[str]]:
    """For each row the names of its rounded ids, and of its columns that hold formulas; null where there are none."""
    rounded = f"{_SCIENTIFIC}|{_ROUNDED}" if spelling.spreadsheet else _SCIENTIFIC
    ids, formulas = nothing(out.index), nothing(out.index)
    for name in (*IDS, "event_name", "revenue"):
        if not isinstance(out[name].dtype, pd.StringDtype) or not (suspect := contains(out[name], _SUSPECT)).any():
            continue
        if name in IDS:
            _add_name(ids, suspect & contains(out[name], rounded), name)
        _add_name(formulas, suspect & contains(out[name], _FORMULA), name)
    return ids, formulas


def _add_name(names: pd.Series[str], rows: pd.Series[bool], name: str) -> None:
    """Add a column's name to the list of names that each of these rows has."""
    if rows.any():
        names[rows] = (names[rows] + ", ").fillna("") + name


def _date_hints(out: pd.DataFrame) -> pd.Series[str]:
    """The setting to propose for dates that need one."""
    hints = nothing(out.index)
    unclear = out["time_problem"].isin([reasons.AMBIGUOUS_DATE.code, reasons.DATE_FORMAT_NEEDED.code])
    if unclear.any():
        hints[unclear] = out["occurred_at"][unclear].map(_date_hint)
    return hints


def _date_hint(value: str) -> str:
    return " or ".join(f'`date_format: "{one}"`' for one in date_formats(value))


def not_conversions(frame: pd.DataFrame) -> pd.Series[str]:
    """A sentence for rows of a source that never were conversions (empty ones, totals under a table), else null.

    ``frame`` is what `cast` made. Only a row without an id, a name or a time is ever called so.
    """
    sentences = nothing(frame.index)
    short = frame[frame[list(REQUIRED)].isna().any(axis=1)].drop(columns=[*HELPER_COLUMNS, *DERIVED], errors="ignore")
    for row, cells in zip(short.index, short.itertuples(index=False), strict=True):
        given = [str(cell) for cell in cells if pd.notna(cell)]
        if not given:
            sentences[row] = "The row is empty: no conversion; nothing to do."
        elif _TOTAL.fullmatch(given[0]) or (len(given) <= 3 and any(map(_TOTAL.fullmatch, given))):
            sentences[row] = "The row is a total under the table, no conversion; nothing to do."
    return sentences


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
            rule(reasons.CONTROL_CHARACTER, _printable, "event_id holds a control character (NUL, tab, line break)."),
            rule(reasons.EVENT_ID_TOO_LONG, _short),
        ),
        "event_name": required(
            reasons.MISSING_EVENT_NAME,
            rule(reasons.CONTROL_CHARACTER, _printable, "event_name holds a control character (NUL, tab, line break)."),
            rule(reasons.EVENT_NAME_TOO_LONG, _short),
        ),
        "damaged_ids": optional(
            rule(
                reasons.ID_DAMAGED_BY_SPREADSHEET,
                lambda column: column.isna(),
                "{damaged_ids}: a spreadsheet took this id for a number and rounded it (1.23457E+15, or zeros from the "
                f"16th digit on); its digits are lost. {reasons.ID_DAMAGED_BY_SPREADSHEET.action}",
            ),
        ),
        "formulas": optional(
            rule(
                reasons.FORMULA_TEXT,
                lambda column: column.isna(),
                "{formulas}: a formula or a spreadsheet's error (=…, #REF!, #N/A) stands where its value should. "
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
        "unclear_numbers": optional(
            rule(
                reasons.AMBIGUOUS_NUMBER,
                lambda column: column.isna(),
                "{unclear_numbers}: nobody can tell whether its point marks the decimals or groups the thousands, "
                f"because other rows have decimal commas. {reasons.AMBIGUOUS_NUMBER.action}",
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
