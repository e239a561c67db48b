"""How sources spell numbers, dates and ids: what is understood, and what is refused rather than guessed."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pandas as pd
import pytest

from etl.columns import IDS
from etl.date_formats import date_formats
from schemas import conversion
from schemas.conversion import SourceFormat
from schemas.numbers import NumberFormat, decimals
from schemas.rules import problems
from schemas.times import times

NOW_MS = int(datetime(2026, 11, 20, 20, tzinfo=UTC).timestamp() * 1000)
GOOD = {"event_id": "A-1", "event_name": "Order Completed", "occurred_at": "2026-11-20T10:00:00Z"}


def texts(*values: str | None) -> pd.Series:
    return pd.Series(values, index=range(1, len(values) + 1), dtype="str")


def judged(row: dict[str, str], spelling: SourceFormat | None = None) -> tuple[str, str]:
    """Reason and sentence of one row; both empty when it is good."""
    frame = pd.DataFrame([{**GOOD, **row}], index=[1], dtype="str")
    typed = conversion.cast(frame, spelling or SourceFormat(), now_ms=NOW_MS, skew_ms=0)
    bad = problems(conversion.SCHEMA, typed)
    return (bad["reason"].iloc[0], bad["detail"].iloc[0]) if len(bad) else ("", "")


@pytest.mark.parametrize(
    ("locale", "text", "number"),
    [
        (",.", "1.234,50", "1234.50"),
        (",.", "1.234", "1234"),
        (",.", "12.345.678,9", "12345678.9"),
        (",.", "1234,5", "1234.5"),
        (",.", "-1.234,50", "-1234.50"),
        (",.", " 19,99 ", "19.99"),
        (",.", "1,234.50", None),
        (",.", "19.99", None),
        (",.", "12.34,50", None),
        (",.", "1.2345", None),
        (",.", "1,5,0", None),
        (",.", "1.234,", None),
        (",.", "19,99 €", None),
        (",.", "1E+5", None),
        (".,", "1,234.50", "1234.50"),
        (".,", "1,234", "1234"),
        (".,", "1.234,50", None),
        (", ", "1\u202f234,50", "1234.50"),
        (", ", "1\xa0234 567,50", "1234567.50"),
        (".'", "1'234.50", "1234.50"),
        (".'", "1’234.50", "1234.50"),
        (",", "1234,50", "1234.50"),
        (",", "1.234,50", None),
    ],
)
def test_numbers_are_read_as_the_locale_writes_them_or_not_at_all(locale: str, text: str, number: str | None) -> None:
    written = NumberFormat(locale[0], locale[1:])
    plain, wrong = decimals(texts(text, None), written)
    assert wrong.tolist() == [number is None, False]
    assert plain.isna().tolist() == [False, True]
    if number is None:
        assert plain[1] == text
        assert judged({"revenue": text}, SourceFormat(numbers=written))[0] == "not_in_locale"
    else:
        assert plain[1] == number
        assert Decimal(plain[1]) == Decimal(number)


@pytest.mark.parametrize(
    ("text", "reason", "formats"),
    [
        ("03/04/2026 10:00", "ambiguous_date", ["%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M"]),
        ("3.4.26", "ambiguous_date", ["%d.%m.%y", "%m.%d.%y"]),
        ("25.12.2026", "date_format_needed", ["%d.%m.%Y"]),
        ("25.12.2026, 10:00:05", "date_format_needed", ["%d.%m.%Y, %H:%M:%S"]),
        ("12/25/2026 2:05 PM", "date_format_needed", ["%m/%d/%Y %I:%M %p"]),
        ("05-05-2026", "date_format_needed", ["%d-%m-%Y"]),
        ("2026/11/20 10:00:00.123", "date_format_needed", ["%Y/%m/%d %H:%M:%S.%f"]),
        ("20 Nov 2026 10:00", "date_format_needed", ["%d %b %Y %H:%M"]),
        ("20-November-2026", "date_format_needed", ["%d-%B-%Y"]),
        ("Nov 20, 2026 10:00", "date_format_needed", ["%b %d, %Y %H:%M"]),
        ("yesterday", "timestamp_unparsable", []),
        ("46346.4375", "timestamp_unparsable", []),
        ("26-11-20", "ambiguous_date", ["%d-%m-%y", "%y-%m-%d"]),
        ("99.99.2026", "timestamp_unparsable", []),
        ("2026-13-01", "timestamp_unparsable", []),
    ],
)
def test_dates_that_nobody_declared_are_refused_with_the_format_to_declare(
    text: str, reason: str, formats: list[str]
) -> None:
    assert date_formats(text) == formats
    code, sentence = judged({"occurred_at": text}, SourceFormat("UTC"))
    assert code == reason
    assert all(f'`date_format: "{one}"`' in sentence for one in formats)
    for one in formats:
        ms, problem = times(texts(text), "UTC", one)
        assert ms.notna().all(), one
        assert problem.isna().all()


@pytest.mark.parametrize(
    ("date_format", "text", "expected"),
    [
        ("%d.%m.%Y %H:%M", "03.04.2026 10:00", "2026-04-03T08:00:00+00:00"),
        ("%m/%d/%Y %I:%M %p", "04/03/2026 10:00 PM", "2026-04-03T20:00:00+00:00"),
        ("%d.%m.%Y %H:%M", "2026-04-03T08:00:00Z", "2026-04-03T08:00:00+00:00"),
        ("%d.%m.%Y %H:%M", "1775203200000", "2026-04-03T08:00:00+00:00"),
        ("%d.%m.%Y %H:%M %z", "03.04.2026 10:00 +0000", "2026-04-03T10:00:00+00:00"),
        ("%Y-%d-%m", "2026-03-04", "2026-04-02T22:00:00+00:00"),
        ("%d.%m.%Y %H:%M", "04/03/2026 10:00", "not_in_date_format"),
        ("%d.%m.%Y %H:%M", "31.02.2026 10:00", "not_in_date_format"),
        ("%Y-%d-%m", "2026-12-25", "not_in_date_format"),
        ("%d.%m.%Y %H:%M", "25.10.2026 02:30", "ambiguous_local_time"),
        ("%d.%m.%Y %H:%M", "29.03.2026 02:30", "nonexistent_local_time"),
    ],
)
def test_a_declared_date_format_is_kept(date_format: str, text: str, expected: str) -> None:
    ms, reason = times(texts(text, None), "Europe/Berlin", date_format)
    assert reason.isna().tolist()[1]
    assert ms.isna().tolist()[1]
    told = str(reason[1]) if reason.notna()[1] else datetime.fromtimestamp(int(ms[1]) / 1000, UTC).isoformat()
    assert told == expected


@pytest.mark.parametrize("column", IDS)
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1.23457E+15", "id_damaged_by_spreadsheet"),
        ("1,23457E+15", "id_damaged_by_spreadsheet"),
        ("1e+20", "id_damaged_by_spreadsheet"),
        ("1234567890123450", "id_damaged_by_spreadsheet"),
        ("1234567890123450000", "id_damaged_by_spreadsheet"),
        ("=A1+1", "formula_text"),
        ('="0012"', "formula_text"),
        ("#REF!", "formula_text"),
        ("#N/A", "formula_text"),
        ("#NAME?", "formula_text"),
        ("########", "formula_text"),
        ("+SUM(A1:A9)", "formula_text"),
        ("@SUM(1)", "formula_text"),
        ("-B7", "formula_text"),
        ("-2+3+cmd|' /C calc'!A0", "formula_text"),
        ("1e5", ""),
        ("1E15", "id_damaged_by_spreadsheet"),
        ("123456789012345", ""),
        ("1234567890123456", ""),
        ("1234567890123456789", ""),
        ("0001234567890123450000", ""),
        ("-NxYz_7abc", ""),
        ("+49-A", ""),
        ("@handle", ""),
        ("#1234", ""),
        ("-12", ""),
        ("A=B", ""),
    ],
)
def test_ids_that_a_spreadsheet_spoiled(column: str, text: str, reason: str) -> None:
    code, sentence = judged({column: text})
    assert code == reason
    assert sentence.startswith(f"{column}: ") == bool(reason)


def test_a_row_names_all_its_spoiled_columns() -> None:
    code, sentence = judged({"order_id": "#REF!", "event_name": "=B2", "user_id": "1E+16"})
    assert code == "id_damaged_by_spreadsheet"
    assert sentence.startswith("user_id: a spreadsheet")
    assert "order_id, event_name: a formula" in sentence


def test_ids_that_never_saw_a_spreadsheet_may_end_in_zeros() -> None:
    assert judged({"user_id": "1234567890123450000"}, SourceFormat(spreadsheet=False)) == ("", "")


@pytest.mark.parametrize("text", ["19.99", "-5.00", "+5", "-.5", "#REF!", "=1+1"])
def test_signs_do_not_make_money_a_formula(text: str) -> None:
    assert judged({"revenue": text})[0] == ("formula_text" if text[0] in "#=" else "")


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        ({}, "empty"),
        ({"event_id": "Total", "revenue": "99"}, "total"),
        ({"event_id": "Grand total:", "revenue": "99", "currency": "EUR", "quantity": "3"}, "total"),
        ({"event_name": "Summe"}, "total"),
        ({"currency": "Gesamtsumme", "revenue": "3"}, "total"),
        ({"event_id": "Total", "event_name": "Order", "occurred_at": "2026-11-20T10:00:00Z"}, ""),
        ({"event_id": "Totally", "revenue": "99"}, ""),
        ({"event_id": "A-1", "revenue": "99"}, ""),
    ],
    ids=str,
)
def test_rows_that_never_were_conversions(cells: dict[str, str], told: str) -> None:
    names = ["event_id", "event_name", "occurred_at", "revenue", "currency", "quantity"]
    frame = pd.DataFrame([{name: cells.get(name, "") for name in names}], index=[7], dtype="str")
    typed = conversion.cast(frame, SourceFormat(), now_ms=NOW_MS, skew_ms=0)
    sentence = conversion.not_conversions(typed)[7]
    assert (told in sentence) if told else pd.isna(sentence)
