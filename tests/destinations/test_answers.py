"""What is made of answers whoever the vendor is: warnings that add up, requests that are counted, words for limits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from etl import destinations, preview, reasons
from etl.clock import wall_clock
from etl.delivery import verdicts
from etl.delivery.retries import DeliveryResult
from etl.destinations import make_destination
from etl.model import Item, Response, Status
from etl.staging import Staging
from tests.conftest import House, order


def answered(status: int, *, attempts: int = 1, throttled: bool = False, lost: bool = False) -> DeliveryResult:
    return DeliveryResult(Response(status, {}, b""), lost, f"it answered {status}", attempts, 1, 2, throttled)


def test_a_delivered_row_lists_all_its_warnings_and_its_reason_is_the_first(house: House) -> None:
    vendor = make_destination(house.config, "kameleoon")
    item = Item(1, "1", "x", b"{}", stale_at_ms=5, warnings="long_visitor_code fallback_visitor", warning_detail="Two.")
    assert item.warning == "long_visitor_code"
    (late,) = verdicts.of_result(vendor, [item], answered(204), None, 10)
    assert (late.status, late.reason) == (Status.DELIVERED, "outside_attribution")
    assert late.warnings == "outside_attribution long_visitor_code fallback_visitor"
    assert late.detail.endswith(" Two.")
    (in_time,) = verdicts.of_result(vendor, [item], answered(204), None, 1)
    assert (in_time.reason, in_time.detail) == ("long_visitor_code", "Two.")
    (refused,) = verdicts.of_result(vendor, [item], answered(400), None, 10)
    assert (refused.reason, refused.warnings) == ("http_400", "")


def test_all_warnings_are_staged(house: House) -> None:
    house.to = ["kameleoon"]
    house.write([order(1, kameleoon_visitor_code="", anonymous_id="a" * 101, phone="+1 555")])
    report = house.run()
    staging = Staging(f"{house.folder}/staging", report.run.run_id)
    (chunk,) = staging.chunks("items/kameleoon")
    (item,) = staging.items(chunk)
    assert item.warnings == "long_visitor_code fallback_visitor"
    (row,) = house.results()
    assert row["reason"] == "long_visitor_code"


@pytest.mark.parametrize("type_", destinations.types())
@pytest.mark.parametrize("status", [413, 422])
def test_a_refused_size_or_content_says_what_to_do(house: House, type_: str, status: int) -> None:
    vendor = make_destination(house.config, type_)
    assert vendor.hint(status).endswith(".")
    assert vendor.hint(status) in vendor.same_for_all([b"{}"], Response(status, {}, b""))[0].detail


def test_every_request_that_went_out_is_counted(house: House) -> None:
    house.to = ["kameleoon"]
    house.write([order(1)])
    house.sandbox.fault(vendor="kameleoon", status=429, headers={"Retry-After": "0"}, times=8)
    house.run()
    (row,) = house.results()
    assert (row["status"], row["attempts"]) == ("delivered", 9)
    assert house.sandbox.counts()["kameleoon"]["requests"] == 9


def test_a_vendor_that_asks_for_too_long_a_pause_says_what_to_do(house: House) -> None:
    house.to = ["kameleoon"]
    house.write([order(1)])
    house.sandbox.fault(vendor="kameleoon", status=429, headers={"Retry-After": "3600"})
    house.run()
    (row,) = house.results()
    assert (row["status"], row["reason"]) == ("failed", "http_429")
    assert "raise `limits.spacing_ms`, or ask Kameleoon for more" in row["detail"]


def test_what_was_never_accepted_says_what_to_do(house: House) -> None:
    vendor = make_destination(house.config, "kameleoon")
    item = Item(1, "1", "x", b"{}")
    (verdict,) = verdicts.of_result(vendor, [item], answered(429, attempts=41), None, 1)
    assert verdict.detail.startswith("Not accepted after 41 attempts: it answered 429; the next run sends it.")
    assert vendor.hint(429) in verdict.detail


def test_a_repeat_is_a_warning_only_where_nobody_says_what_becomes_of_it(house: House) -> None:
    item = Item(1, "1", "x", b'{"actionId": "1"}')
    for type_ in destinations.types():
        vendor = make_destination(house.config, type_)
        (verdict,) = vendor.results([item.payload], Response(200, {}, b"")) if vendor.facts.repeatable else (None,)
        if verdict is None or verdict.status is not Status.DELIVERED:
            continue
        (said,) = verdicts.of_result(vendor, [item], answered(200, lost=True), None, 1)
        assert said.reason == ("" if vendor.facts.dedup_documented else reasons.SENT_AGAIN.code)


def test_conversions_that_last_nights_import_missed_are_counted(house: House) -> None:
    house.to = ["webflow_optimize"]
    old = (datetime.now(UTC) - timedelta(hours=30)).isoformat()
    house.write([order(1), order(2, occurred_at=old), order(3, occurred_at=old)])
    (checked,) = preview.check(house.config, "orders", clock=wall_clock).values()
    report = house.run()
    for warnings in (checked.warnings, report.warnings):
        (warning,) = [each for each in warnings if each.code == "older_than_a_day"]
        assert warning.rows == 2
        assert "in the session of the view (30 minutes idle, 24 hours at most)" in warning.sentence
    assert any("midnight UTC" in note for note in checked.notes)


def test_a_destination_that_would_stop_counts_its_rows_too(house: House) -> None:
    house.to = ["optimizely"]
    house.overrides = {"optimizely": {"datafile_url": f"{house.sandbox.url}/nothing/here"}}
    house.write([order(1), order(2)])
    (checked,) = preview.check(house.config, "orders").values()
    assert checked.stopped
    assert {status: count for (status, _), count in checked.counts.items()} == {"failed": 2}
