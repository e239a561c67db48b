"""The canonical conversion: what a row must be before any vendor is asked.

``cast`` turns a frame of source text into typed columns, ``SCHEMA`` judges them; the clock is an argument.
"""

from __future__ import annotations

from typing import Any

import orjson
import pandas as pd
import pandera.pandas as pa

from schemas.casts import contains, matches, nothing, times
from schemas.rules import optional, required, rule

REQUIRED = ("event_id", "event_name", "occurred_at")
COLUMNS = (
    *REQUIRED,
    "user_id",
    "anonymous_id",
    "email",
    "phone",
    "revenue",
    "currency",
    "order_id",
    "quantity",
    "aliases",
    "properties",
    "profile_properties",
    "attributes",
    "url",
    "title",
    "referrer",
    "kameleoon_visitor_code",
    "kameleoon_goal_id",
    "convert_goal_id",
    "webflow_user_id",
    "webflow_user_domain",
)
"""Canonical columns of a source. Any other is an extra, and travels into ``properties`` where a vendor has them."""

DERIVED = ("occurred_at_ms", "fingerprint")
"""Columns that validation adds: epoch milliseconds (int64) and a 63-bit fingerprint of the row's content (int64)."""

_OBJECTS = ("properties", "profile_properties", "attributes")
_TIME_SENTENCES = {
    "no_timezone": (
        "occurred_at carries no time zone and the import has no `timezone`: add an offset such as +01:00, or set it."
    ),
    "ambiguous_local_time": "occurred_at happened twice that night, when the clocks went back: add an offset.",
    "nonexistent_local_time": "occurred_at never happened: the clocks skipped that hour. Check it, or add an offset.",
    "timestamp_not_milliseconds": (
        "occurred_at is a number but not epoch milliseconds (13 digits); "
        "seconds, micro- and nanoseconds are not guessed."
    ),
    "timestamp_unparsable": "occurred_at is neither ISO 8601 (2026-11-20T09:30:00+01:00) nor epoch milliseconds.",
}


def extras(frame: pd.DataFrame) -> list[str]:
    """Columns that are neither canonical nor derived, in order."""
    known = {*COLUMNS, *DERIVED}
    return [str(name) for name in frame.columns if name not in known]


def cast(frame: pd.DataFrame, *, timezone: str | None, now_ms: int, skew_ms: int) -> pd.DataFrame:
    """A frame of source columns (index = row number, ``first_row`` nullable Int64) made ready for `SCHEMA`.

    Blank text becomes null; missing canonical columns are added as null; ids keep their bytes. Adds ``occurred_at_ms``
    (nullable Int64), ``time_problem`` (reason code or null) and ``ahead`` (True when later than the clock allows).
    """
    out = frame.copy(deep=False)
    for name in COLUMNS:
        if name not in out.columns:
            out[name] = nothing(out.index)
    for name in out.columns:
        if isinstance(out[name].dtype, pd.StringDtype):
            blank = ~contains(out[name], r"[^\s]") & out[name].notna()
            out[name] = out[name].mask(blank) if blank.any() else out[name]
    out["occurred_at_ms"], out["time_problem"] = times(out["occurred_at"], timezone)
    out["ahead"] = (out["occurred_at_ms"] > now_ms + skew_ms).fillna(False).astype(bool)
    out["currency"] = out["currency"].str.upper()
    return out


def _is_object(column: pd.Series[Any]) -> pd.Series[bool]:
    return column.map(_object_text).astype(bool)


def _object_text(value: object) -> bool:
    try:
        return isinstance(orjson.loads(str(value)), dict)
    except orjson.JSONDecodeError:
        return False


def _printable(column: pd.Series[Any]) -> pd.Series[bool]:
    return ~contains(column, "[\x00-\x1f\x7f]")


def _short(column: pd.Series[Any]) -> pd.Series[bool]:
    return column.astype("str").str.len() <= 500


SCHEMA = pa.DataFrameSchema(
    {
        "event_id": required(
            "missing_event_id",
            "event_id is empty: it is what keeps a conversion from being counted twice.",
            rule("control_character", "event_id holds a control character (NUL, tab, line break).", _printable),
            rule("event_id_too_long", "event_id is longer than 500 characters.", _short),
        ),
        "first_row": optional(
            rule(
                "duplicate_event_id",
                "Row {first_row} of the same source already has this event_id; that row stays, this one is left out.",
                lambda column: column.isna(),
            ),
        ),
        "event_name": required(
            "missing_event_name",
            "event_name is empty: no vendor could tell what happened.",
            rule("control_character", "event_name holds a control character (NUL, tab, line break).", _printable),
            rule("event_name_too_long", "event_name is longer than 500 characters.", _short),
        ),
        "occurred_at": required("missing_occurred_at", "occurred_at is empty: when did it happen?"),
        "time_problem": optional(
            *(
                rule(reason, sentence, lambda column, reason=reason: column != reason)  # type: ignore[misc]
                for reason, sentence in _TIME_SENTENCES.items()
            )
        ),
        "ahead": pa.Column(
            bool,
            checks=[rule("in_the_future", "occurred_at lies in the future.", lambda column: ~column.astype(bool))],
        ),
        "currency": optional(
            rule("not_a_currency", "currency is not a three-letter code (ISO 4217).", lambda c: matches(c, "[A-Z]{3}")),
        ),
        **{
            name: optional(rule("not_a_json_object", f"{name} is not a JSON object such as {{}}.", _is_object))
            for name in _OBJECTS
        },
    },
    strict=False,
)
"""Judges the frame that `cast` made. Reason codes are the names of its checks."""
