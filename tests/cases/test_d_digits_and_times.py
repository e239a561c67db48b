"""Moments as programs and spreadsheets write them: what arrives is what the file plainly says, or a reason does."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from typer.testing import CliRunner

from etl.cli import app
from etl.errors import ConfigError
from tests.conftest import House, order

NOW = datetime(2026, 11, 25, 20, tzinfo=UTC)
TEN = "2026-11-20T10:00:00+00:00"
"""The moment that nearly every row means."""

MS = int(datetime.fromisoformat(TEN).timestamp()) * 1000


def check(house: House, table: Mapping[str, str], **settings: Any) -> None:
    """Every key, written as ``occurred_at``, arrives as this moment or is turned away for this reason."""
    house.to = ["converge"]
    house.import_settings = settings
    house.write([order(n, event_id=f"A-{n}", occurred_at=text) for n, text in enumerate(table)])
    house.run(clock=lambda: int(NOW.timestamp() * 1000))
    reasons = {row["event_id"]: row["reason"] for row in house.results()}
    sent = {entry["item"]["event_id"]: entry["item"]["timestamp"] for entry in house.sandbox.received("converge")}
    assert {text: sent.get(f"A-{n}", reasons[f"A-{n}"]) for n, text in enumerate(table)} == table


def test_digits_are_epoch_milliseconds_or_nothing(house: House) -> None:
    check(
        house,
        {
            f"{MS}": TEN,
            f"{MS}.0": TEN,
            "202611201000": "timestamp_not_milliseconds",
            "20261120": "timestamp_not_milliseconds",
            "20112026": "timestamp_not_milliseconds",
            "20261120100000": "timestamp_not_milliseconds",
            "2026112010": "timestamp_not_milliseconds",
            f"{MS // 1000}": "timestamp_not_milliseconds",
            f"{MS}000": "timestamp_not_milliseconds",
            f"{MS}000000": "timestamp_not_milliseconds",
            "946684800000": "timestamp_not_milliseconds",
            "46346": "timestamp_not_milliseconds",
            "46346.4166666667": "timestamp_unparsable",
            "0": "timestamp_not_milliseconds",
            f"-{MS}": "timestamp_not_milliseconds",
            "0001795168800": "timestamp_not_milliseconds",
            "9999999999999": "in_the_future",
            "1.79517E+12": "timestamp_unparsable",
            "1,795,168,800,000": "timestamp_unparsable",
            "１７９５１６８８０００００": "timestamp_unparsable",
        },
        timezone="Europe/Berlin",
    )


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("202611201000", "%Y%m%d%H%M"),
        ("20261120", "%Y%m%d"),
        ("20112026", "%d%m%Y"),
        ("20261120100000", "%Y%m%d%H%M%S"),
        (f"{MS // 1000}", "unix_seconds"),
        (f"{MS}000", "unix_micros"),
        (f"{MS}000000", "unix_nanos"),
        ("46346", "excel_serial"),
        ("46346.4375", "excel_serial"),
        ("46346,4375", "excel_serial"),
        ("2026-11-20 10:00 CET", "several zones each"),
    ],
)
def test_the_sentence_names_what_would_declare_it(house: House, text: str, named: str) -> None:
    house.to = ["converge"]
    house.write([order(1, occurred_at=text)])
    shown = CliRunner().invoke(app, ["--config", str(house.config.path), "check", "orders"], env={"COLUMNS": "400"})
    assert shown.exit_code == 1
    assert named in shown.output


@pytest.mark.parametrize(
    ("date_format", "table"),
    [
        ("%m%d%Y", {"11202026": "2026-11-20T00:00:00+00:00", "1152026": "not_in_date_format"}),
        ("%d%m%Y", {"20112026": "2026-11-20T00:00:00+00:00", "1112026": "not_in_date_format"}),
        (
            "%Y%m%d%H%M",
            {
                "202611201000": TEN,
                "20261120100": "not_in_date_format",
                "2026112010000": "not_in_date_format",
                f"{MS}": "not_in_date_format",
                "2026-11-20T10:00:00Z": TEN,
            },
        ),
        ("%d%m%Y%H%M%S", {"20112026100000": TEN, "1112026100000": "not_in_date_format"}),
        ("%Y%m%d%H%M%S%f", {"20261120100000000": TEN}),
        ("%y%m%d %H:%M", {"261120 10:00": TEN, "26112 10:00": "not_in_date_format"}),
        ("%d.%m.%Y %H:%M", {"20.11.2026 10:00": TEN, "20.11.26 10:00": "not_in_date_format", f"{MS}": TEN}),
        (
            "%m/%d/%Y, %I:%M:%S %p",
            {"11/20/2026, 10:00:00\u202fAM": TEN, "11/20/2026, 10:00:00 vorm.": "not_in_date_format"},
        ),
        ("%d/%m/%Y", {"20/11/2026": "2026-11-20T00:00:00+00:00", "٢٠/١١/٢٠٢٦": "not_in_date_format"}),
        ("%Y年%m月%d日 %H:%M", {"2026年11月20日 10:00": TEN}),
        ("unix_seconds", {f"{MS // 1000}": TEN, f"{MS // 1000}.000": TEN, f"{MS}": "not_in_date_format", TEN: TEN}),
        ("unix_micros", {f"{MS}000": TEN, f"{MS}": "not_in_date_format"}),
        ("unix_nanos", {f"{MS}000000": TEN, f"{MS}000": "not_in_date_format"}),
        (
            "excel_serial",
            {
                "46346.4166666667": TEN,
                "46346,4166666667": TEN,
                "4.63E+04": "not_in_date_format",
                f"{MS}": "not_in_date_format",
            },
        ),
        (
            ["%d.%m.%Y %H:%M", "%d.%m.%Y"],
            {"20.11.2026 10:00": TEN, "20.11.2026": "2026-11-20T00:00:00+00:00", "20.11.": "not_in_date_format"},
        ),
        (["unix_seconds", "%d.%m.%Y %H:%M"], {f"{MS // 1000}": TEN, "20.11.2026 10:00": TEN}),
    ],
    ids=str,
)
def test_a_declared_format_reads_what_is_written_so_and_nothing_else(
    house: House, date_format: Any, table: dict[str, str]
) -> None:
    check(house, table, timezone="UTC", date_format=date_format)


def test_a_zone_may_stand_behind_a_time(house: House) -> None:
    check(
        house,
        {
            "2026-11-20 10:00:00 UTC": TEN,
            "2026-11-20 10:00:00.000000 UTC": TEN,
            "2026-11-20 10:00:00 gmt": TEN,
            "2026-11-20 10:00:00 +0000 UTC": TEN,
            "2026-11-20 10:00:00 Z": TEN,
            "2026-11-20T10:00:00Z[UTC]": TEN,
            "2026-11-20 11:00:00 Europe/Berlin": TEN,
            "2026-11-20 05:00 America/New_York": TEN,
            "2026-11-20T11:00:00+01:00[Europe/Berlin]": TEN,
            "2026-11-20 12:00 UTC+2": TEN,
            "2026-11-20 15:30:00 GMT+0530": TEN,
            "20261120T100000Z": TEN,
            "20261120T110000+0100": TEN,
            "2026-11-20T11:00:00+02:00[Europe/Berlin]": "timestamp_unparsable",
            "2026-11-20 11:00:00 Europe/Bonn": "timestamp_unparsable",
            "2026-11-20 11:00:00 CET": "timestamp_unparsable",
            "2026-11-20 02:00:00 PST": "timestamp_unparsable",
            "2026-11-20 UTC": "timestamp_unparsable",
            "2026-10-25 02:30 Europe/Berlin": "ambiguous_local_time",
            "2026-03-29 02:30 Europe/Berlin": "nonexistent_local_time",
            "20.11.2026 10:00 UTC": "date_format_needed",
            "2026-11-20 10:00:00": "2026-11-20T15:00:00+00:00",
        },
        timezone="America/New_York",
    )


def test_a_zone_may_stand_behind_what_is_written_as_declared(house: House) -> None:
    table = {"20.11.2026 10:00 UTC": TEN, "20.11.2026 10:00Z": TEN, "20.11.2026 11:00": TEN}
    check(house, table, timezone="Europe/Berlin", date_format="%d.%m.%Y %H:%M")


def test_no_day_and_no_hour_is_made_up(house: House) -> None:
    table = {
        "2026-11-20T24:00:00Z": "timestamp_unparsable",
        "2026-11-20T10:60:00Z": "timestamp_unparsable",
        "2026-02-30T10:00:00Z": "timestamp_unparsable",
        "2026-W47-5": "timestamp_unparsable",
        "2026-324": "timestamp_unparsable",
        "0000-00-00 00:00:00": "timestamp_unparsable",
        "2026-11-20T10:00:00+99:00": "timestamp_unparsable",
        "20.11.26": "ambiguous_date",
        "9999-12-31T00:00:00Z": "in_the_future",
        "10:00": "timestamp_unparsable",
    }
    check(house, table, timezone="UTC")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([], "is an empty list"),
        (["%d/%m/%Y", "%m/%d/%Y"], "may read the same text as two different moments"),
        (["%d.%m.%y", "%y.%m.%d"], "may read the same text as two different moments"),
        (["unix_seconds", "excel_serial"], "are both numbers"),
        (["unix_seconds", "%Y%m%d%H"], "may read the same text as two different moments"),
        (["%d.%m.%Y", "%d.%m.%Y"], "may read the same text as two different moments"),
        ("unix_millis", "unix_millis leaves out the day"),
        (["%d.%m.%Y", "%H:%M"], "%H:%M leaves out the day"),
    ],
    ids=str,
)
def test_formats_that_could_be_taken_for_each_other_are_refused(house: House, given: Any, told: str) -> None:
    house.write([order(1)])
    house.import_settings = {"date_format": given}
    with pytest.raises(ConfigError, match=told):
        _ = house.config


def test_what_programs_write_where_they_have_no_date_is_none(house: House) -> None:
    texts = [
        *("1970-01-01T00:00:00Z", "1970-01-01T01:00:00+01:00", "1970-01-01 23:59:59 UTC", "1900-01-01T00:00:00Z"),
        *("1899-12-30T00:00:00Z", "1753-01-01T00:00:00Z", "1969-12-31T23:59:59Z"),
    ]
    check(house, dict.fromkeys(texts, "missing_occurred_at"), timezone="UTC")


def test_no_zone_is_further_away_than_the_earth_is_wide(house: House) -> None:
    table = {
        "2026-11-21T00:00:00+14:00": TEN,
        "2026-11-19T22:00:00-12:00": TEN,
        "2026-11-20T15:45:00+05:45": TEN,
        "2026-11-20T10:00:00+15:00": "timestamp_unparsable",
        "2026-11-20T10:00:00+24:00": "timestamp_unparsable",
        "2026-11-20T10:00:00+01:60": "timestamp_unparsable",
    }
    check(house, table)


def test_times_of_many_programs(house: House) -> None:
    check(
        house,
        {
            "2026-11-20 10:00:00.000000+00:00": TEN,  # PostgreSQL
            "2026-11-20 10:00:00.000 Z": TEN,  # Snowflake
            "2026-11-20T10:00:00.000+0000": TEN,  # Salesforce
            "2026-11-20 02:00:00 -0800": TEN,  # Shopify
            "2026-11-20T10:00:00.123456789Z": "2026-11-20T10:00:00.123+00:00",  # Go
            "2026-11-20T11:00+01": TEN,
            "2026-11-20t10:00:00z": "timestamp_unparsable",
            "2026-11-20 10:00 Uhr": "timestamp_unparsable",
            "2026-11-20T10:00:00 EST": "timestamp_unparsable",
            "2026-11-20 10:00 PM": "date_format_needed",
            "Fri, 20 Nov 2026 10:00:00 GMT": "timestamp_unparsable",
            "11/20/2026 10:00:00 AM": "date_format_needed",
            "1795168800.123": "timestamp_unparsable",
            "17951688000": "timestamp_not_milliseconds",
            "17951688000000": "timestamp_not_milliseconds",
            "/Date(1795168800000)/": "timestamp_unparsable",
            "2026-11-20T23:59:60Z": "timestamp_unparsable",
            "{ts '2026-11-20 10:00:00'}": "timestamp_unparsable",
        },
    )
