"""What a setting says and the file disproves, and what a file says twice: nobody guesses which of the two is meant."""

from __future__ import annotations

import html
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from typer.testing import CliRunner

from etl import drops, preview
from etl.cli import app
from etl.errors import SourceError
from etl.model import RunWarning
from etl.report import Report
from tests.conftest import House, order

NOW = datetime(2026, 11, 25, 20, tzinfo=UTC)


def clock() -> int:
    return int(NOW.timestamp() * 1000)


def run(house: House, column: str, texts: list[str], **settings: Any) -> Report:
    house.to = ["converge"]
    house.import_settings = {"timezone": "UTC", **settings}
    at = {"occurred_at": "2026-11-20T10:00:00Z"}
    house.write([order(n, event_id=f"A-{n}", **(at | {column: text})) for n, text in enumerate(texts)])
    return house.run(clock=clock)


@pytest.mark.parametrize(
    ("date_format", "texts", "rows"),
    [
        ("%m/%d/%Y", ["05/11/2026", "20/11/2026"], ["row 1 (05/11/2026)", "row 2 (20/11/2026)"]),
        ("%m/%d/%Y", ["20/11/2026", "05/11/2026"], ["row 2 (05/11/2026)", "row 1 (20/11/2026)"]),
        ("%d.%m.%Y %H:%M", ["05.11.2026 09:30", "11.20.2026 09:30"], ["row 1", "row 2 (11.20.2026 09:30)"]),
        ("%m/%d/%Y %I:%M %p", ["5/11/2026 9:30 AM", "20/11/2026 9:30 PM"], ["row 1", "row 2"]),
        ("%m%d%Y", ["05112026", "20112026"], ["row 1 (05112026)", "row 2 (20112026)"]),
        ("%d-%m-%y", ["05-11-26", "11-20-26"], ["row 1", "row 2 (11-20-26)"]),
        ("%Y-%d-%m", ["2026-11-05", "2026-11-20"], ["row 1", "row 2 (2026-11-20)"]),
        (["%m/%d/%Y %H:%M", "%m/%d/%Y"], ["05/11/2026", "20/11/2026 10:00"], ["row 2 (20/11/2026 10:00)"]),
        ("%m/%d/%Y %H:%M", ["05/11/2026 10:00 UTC", "20/11/2026 10:00 UTC"], ["row 1 (05/11/2026", "row 2 (20/11"]),
        ("%m/%d/%Y", ["20/11/2026", "21/11/2026"], ["row 1 (20/11/2026)"]),
    ],
    ids=str,
)
def test_a_date_of_the_other_order_stops_the_import_before_anything_is_sent(
    house: House, date_format: Any, texts: list[str], rows: list[str]
) -> None:
    report = run(house, "occurred_at", texts, date_format=date_format)
    assert report.exit_code == 2
    assert all(row in report.run.stop_detail for row in rows)
    assert report.run.stop_detail.startswith("orders.csv: occurred_at: ")
    assert report.run.stop_detail.endswith("Nothing was sent.")
    assert house.sandbox.received("converge") == []


@pytest.mark.parametrize(
    ("date_format", "texts"),
    [
        ("%d.%m.%Y", ["05.11.2026", "31.02.2026"]),
        ("%d.%m.%Y", ["05.11.2026", "5. November"]),
        ("%m/%d/%Y", ["05/11/2026", "2026-11-20T10:00:00Z"]),
        ("%d %b %Y", ["05 Nov 2026", "Nov 20 2026"]),
        ("%d.%m.%Y", ["05.11.2026", "20/11/2026"]),
    ],
    ids=str,
)
def test_what_is_merely_wrong_is_that_row_s_trouble(house: House, date_format: str, texts: list[str]) -> None:
    report = run(house, "occurred_at", texts, date_format=date_format)
    assert not report.run.stop_detail
    assert report.exit_code in (0, 1)


def test_a_later_chunk_stops_it_there_and_says_that_something_was_sent(house: House) -> None:
    report = run(house, "occurred_at", ["05/11/2026"] * 3 + ["20/11/2026"], date_format="%m/%d/%Y", chunk_rows=2)
    assert report.exit_code == 2
    assert "reads row 1 (05/11/2026), but row 4 (20/11/2026)" in report.run.stop_detail
    assert "`conversions results` shows what was sent" in report.run.stop_detail
    assert report.by_status("converge") == {"delivered": 2}


def test_check_says_the_same(house: House) -> None:
    run(house, "occurred_at", ["05/11/2026", "20/11/2026"], date_format="%m/%d/%Y")
    shown = CliRunner().invoke(app, ["--config", str(house.config.path), "check", "orders"], env={"COLUMNS": "400"})
    assert shown.exit_code == 2
    assert "row 2 (20/11/2026)" in shown.output
    with pytest.raises(SourceError, match="day and month the other way round"):
        preview.check(house.config, "orders", clock=clock)


def test_a_dropped_file_goes_to_quarantine_with_the_same_sentence(house: House) -> None:
    house.to = ["converge"]
    (inbox := house.folder / "inbox").mkdir()
    house.import_settings = {
        "source": {"type": "csv"},
        "drop": {"inbox": str(inbox), "settle_seconds": 0},
        "timezone": "UTC",
        "date_format": "%m/%d/%Y",
    }
    texts = ["05/11/2026", "20/11/2026"]
    house.write([order(n, occurred_at=text) for n, text in enumerate(texts)], "inbox/tuesday.csv")
    outcomes, _ = drops.process_all(house.config, ["orders"])
    assert [outcome.state for outcome in outcomes] == ["quarantined"]
    assert house.sandbox.received("converge") == []
    page = html.unescape(next((inbox / "quarantine").glob("*.summary.html")).read_text())
    assert "reads row 1 (05/11/2026), but row 2 (20/11/2026) can only be read with day and month the other way" in page


GERMAN, PLAIN = {"decimal": ",", "thousands": "."}, {"decimal": ".", "thousands": ","}


@pytest.mark.parametrize(
    ("locale", "texts", "stops"),
    [
        (GERMAN, ["1.299", "19.99"], True),
        (GERMAN, ["19.99", "1.299"], True),
        (GERMAN, ["1.299", "1,234.50"], True),
        (PLAIN, ["1,299", "1.234,50"], True),
        (PLAIN, ["1.299", "19,99"], True),
        ({"decimal": ","}, ["1,299", "19.99"], True),
        (GERMAN, ["1.299", "19,99"], False),
        (GERMAN, ["19,99", "19.99"], False),
        (GERMAN, ["1.299", "about 20"], False),
        (GERMAN, ["1.299", "12.34,5"], False),
        ({"decimal": ","}, ["1,299", "1.299"], False),
        (PLAIN, ["1,299", "19.99"], False),
    ],
    ids=str,
)
def test_a_mark_of_the_other_kind_stops_it_only_where_an_amount_is_in_doubt(
    house: House, locale: dict[str, str], texts: list[str], stops: bool
) -> None:
    report = run(house, "revenue", texts, locale=locale)
    assert (report.exit_code == 2) == stops
    if stops:
        assert "the import's `locale` says that" in report.run.stop_detail
        assert all(row in report.run.stop_detail for row in ("row 1", "row 2"))
        assert house.sandbox.received("converge") == []


@pytest.mark.parametrize(
    ("properties", "kept", "left_out"),
    [
        ({"total_price": 10, "coupon": "A"}, {"coupon": "A"}, ["total_price"]),
        ({"revenue": "10.00"}, {}, ["revenue"]),
        ({"value": 10, "revenue": 5}, {}, ["value", "revenue"]),
        ({"Total Price": 10}, {}, ["Total Price"]),
        ({"totalPrice": "ten"}, {}, ["totalPrice"]),
        ({"total_price": 19.990}, {}, []),
        ({"total_price": None, "rate": 1.50}, {"rate": 1.5}, []),
        ({"values": [1, 2]}, {"values": [1, 2]}, []),
    ],
    ids=str,
)
def test_everybody_is_told_the_mapped_amount(
    house: House, properties: dict[str, Any], kept: dict[str, Any], left_out: list[str]
) -> None:
    house.to = ["converge", "optimizely"]
    house.write([order(1, properties=json.dumps(properties))])
    report = house.run()
    assert report.by_status("converge") == report.by_status("optimizely") == {"delivered": 1}
    assert {(warning.code, warning.rows) for warning in report.warnings} <= {
        ("amount_in_properties", 1),  # however it is spelled
        ("property_outweighed", 1),  # the name of a vendor's field
    }
    assert all(name in warning.sentence for name, warning in zip(left_out, report.warnings, strict=True))
    (sent,) = house.sandbox.received("converge")
    assert sent["item"]["properties"]["total_price"] == 19.99
    assert {name: sent["item"]["properties"][name] for name in kept} == kept
    for vendor in ("converge", "optimizely"):
        said = house.sandbox.requests(vendor)[0]["body"]
        assert [name for name in left_out if f'"{name}":10' in said or f'"{name}":5' in said] == []


def test_without_an_amount_of_its_own_a_row_keeps_what_properties_say(house: House) -> None:
    house.to = ["converge"]
    house.write([order(1, revenue="", properties='{"total_price": 10}')])
    assert not house.run().warnings
    assert house.sandbox.received("converge")[0]["item"]["properties"]["total_price"] == 10


def test_a_check_warns_of_it_too(house: House) -> None:
    house.to = ["converge"]
    house.write([order(n, properties='{"value": 10.50}') for n in range(3)])
    (warning,) = preview.check(house.config, "orders")["converge"].warnings
    assert isinstance(warning, RunWarning)
    assert (warning.code, warning.rows) == ("amount_in_properties", 3)
