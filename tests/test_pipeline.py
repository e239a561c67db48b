"""One import from its file to its results, against the sandbox: what a nightly run promises."""

from __future__ import annotations

import csv
import itertools
import re
from datetime import UTC, datetime, timedelta

import pytest

from etl import destinations, pipeline, preview, sources
from etl.config import ImportSettings
from etl.errors import ConfigError, SourceError, SumMismatch
from etl.model import Chunk
from etl.report import Report
from etl.sandbox import Sandbox
from etl.sources.base import Window
from etl.stages import extract, plan, transform, validate
from etl.stages.plan import Job
from etl.staging import Staging
from tests.conftest import House, order
from tests.vendors import EVERYBODY

DEDUPLICATING = [name for name in EVERYBODY if destinations.find(name).facts.repeatable]


def counted(sandbox: Sandbox) -> dict[str, int]:
    return {vendor: counts["counted"] for vendor, counts in sandbox.counts().items()}


def test_every_good_row_arrives_everywhere_once_and_a_second_run_sends_nothing(house: House) -> None:
    house.write([order(number) for number in range(120)])
    first = house.run()
    assert {name: first.by_status(name) for name in EVERYBODY} == {name: {"delivered": 120} for name in EVERYBODY}
    assert first.exit_code == 0
    assert counted(house.sandbox) == dict.fromkeys(EVERYBODY, 120)
    before = house.sandbox.counts()
    second = house.run()
    assert {name: second.by_status(name) for name in EVERYBODY} == {name: {"duplicate": 120} for name in EVERYBODY}
    assert {name: c["requests"] for name, c in house.sandbox.counts().items()} == {
        name: c["requests"] for name, c in before.items()
    }
    assert {name: c["knocks"] for name, c in house.sandbox.counts().items()} == {
        name: c["knocks"] for name, c in before.items()
    }


def test_of_rows_that_were_delivered_before_nothing_is_made(house: House) -> None:
    house.to = ["optimizely", "convert"]
    rows = [order(number) for number in range(130)]
    house.write(rows[:120])
    house.run()
    house.write([{**row, "revenue": "77"} if row["event_id"] == "order-3" else row for row in rows])
    seen: dict[str, int] = dict.fromkeys(house.to, 0)
    report = house.run(progress=lambda name, count: seen.update({name: seen.get(name, 0) + count}))
    staging = Staging(house.config.staging_url, report.run.run_id)
    made = {name: sum(chunk.rows for chunk in staging.chunks(f"items/{name}")) for name in house.to}
    assert made == {"optimizely": 11, "convert": 130}, "Convert's rows say what others before them did"
    assert {name: seen[name] for name in house.to} == dict.fromkeys(house.to, 130)
    told = {("duplicate", "already_delivered"): 119, ("duplicate", "changed_after_delivery"): 1, ("delivered", ""): 10}
    assert report.counts == dict.fromkeys(house.to, told)


def test_results_do_not_depend_on_how_the_source_is_cut_into_chunks(house: House) -> None:
    rows = [order(number) for number in range(23)] + [
        order(3, revenue="1"),
        order(50, occurred_at="yesterday"),
        order(51),
    ]
    house.write(rows)
    house.import_settings = {"chunk_rows": 4}
    report = house.run()
    assert report.rows == dict.fromkeys(EVERYBODY, 26)
    told = {
        row["row_number"]: (row["status"], row["reason"], row["detail"])
        for row in house.results(destinations=["converge"])
    }
    assert told[24][:2] == ("rejected", "duplicate_event_id")
    assert "Row 4 of the same source" in told[24][2]
    assert told[25][:2] == ("rejected", "timestamp_unparsable")
    assert [row for row, (status, _, _) in told.items() if status == "delivered"] == [*range(1, 24), 26]


def test_other_content_under_a_delivered_id_is_told_but_the_order_of_columns_is_no_content(house: House) -> None:
    rows = [order(n, note="gift") for n in range(3)]
    house.to = ["converge"]
    house.write(rows)
    house.run()
    house.write([dict(reversed(row.items())) for row in rows[:2]] + [rows[2] | {"revenue": "20.99"}])
    house.run()
    (run,) = {row["run_id"] for row in house.results()[3:]}
    reasons = [row["reason"] for row in house.results(run_ids=[run])]
    assert reasons == ["already_delivered", "already_delivered", "changed_after_delivery"]


@pytest.mark.parametrize("block", [2, 5, 1000])
def test_a_repeated_event_id_is_found_however_far_back_it_stands(
    house: House, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where only a file remembers it: a small block stands for a quarter of a million rows."""
    monkeypatch.setattr("etl.stages.seen_ids._BLOCK", block)
    house.to, house.import_settings = ["converge"], {"chunk_rows": 3}
    house.write([order(n) for n in range(17)] + [order(n) for n in (0, 4, 16, 17, 17)])
    assert house.run().by_status("converge") == {"delivered": 18, "rejected": 4}
    told = [row["detail"] for row in house.results(statuses=["rejected"])]
    assert [detail.split(" of the same source")[0] for detail in told] == ["Row 1", "Row 5", "Row 17", "Row 21"]


BAD, NO_ALIAS = {"occurred_at": "yesterday"}, {"aliases": ""}
TWICE = {
    "a row that cannot be used does not count": (
        [BAD, {}],
        [("rejected", "timestamp_unparsable"), ("delivered", "")],
    ),
    "nor do several": (
        [BAD, BAD, {}, BAD],
        [*[("rejected", "timestamp_unparsable")] * 2, ("delivered", ""), ("rejected", "timestamp_unparsable")],
    ),
    "the first good row stays": (
        [BAD, {}, {}],
        [("rejected", "timestamp_unparsable"), ("delivered", ""), ("rejected", "duplicate_event_id")],
    ),
    "also where a destination turns it away": (
        [NO_ALIAS, {}],
        [("rejected", "missing_aliases"), ("rejected", "duplicate_event_id")],
    ),
}


@pytest.mark.parametrize("chunk_rows", [1, 10])
@pytest.mark.parametrize(("rows", "expected"), TWICE.values(), ids=TWICE)
def test_of_rows_with_one_event_id_the_first_good_one_counts(
    house: House, chunk_rows: int, rows: list[dict[str, str]], expected: list[tuple[str, str]]
) -> None:
    house.to, house.import_settings = ["converge"], {"chunk_rows": chunk_rows}
    house.write([order(1, **row) for row in rows])
    house.run()
    told = house.results()
    assert [(row["status"], row["reason"]) for row in told] == expected
    for row in told:
        if row["reason"] == "duplicate_event_id":
            assert "that row was offered to every destination" in row["detail"]


def test_a_failed_row_is_sent_again_although_a_broken_one_has_its_event_id(house: House) -> None:
    house.to = ["converge"]
    house.write([order(1, **BAD), order(1)])
    house.sandbox.fault(vendor="converge", status=401)
    house.run()
    house.sandbox.clear_faults()
    assert [again.by_status("converge") for again in house.retry()] == [{"delivered": 1}]


def test_ids_stay_text_to_the_last_byte(house: House) -> None:
    ids = ["007", "1234567890123456789", "A 1  B", "1e5", "00123.0"]
    house.write([order(n, event_id=id_, user_id=id_, kameleoon_visitor_code=id_) for n, id_ in enumerate(ids)])
    assert house.run().exit_code == 0
    for vendor in DEDUPLICATING:
        assert sorted(entry["key"] for entry in house.sandbox.received(vendor)) == sorted(ids)
    assert [entry["item"]["visitorId"] for entry in house.sandbox.received("convert")] == ids
    assert [entry["item"]["visitorCode"] for entry in house.sandbox.received("kameleoon")] == ids


@pytest.mark.parametrize(
    ("text", "cents"), [("19.99", 1999), ("0.29", 29), ("0.00", 0), ("89.99", 8999), ("1.10", 110)]
)
def test_money_is_never_a_float(house: House, text: str, cents: int) -> None:
    house.to = ["optimizely", "kameleoon"]
    house.write([order(1, revenue=text)])
    house.run()
    (received,) = house.sandbox.received("optimizely")
    assert received["item"]["event"]["revenue"] == cents
    assert f'"revenue":{text}' in house.sandbox.requests("kameleoon")[0]["body"]


def test_a_sum_that_does_not_add_up_fails_the_run(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.to = ["converge"]
    house.write([order(number) for number in range(5)])
    real = pipeline.load

    def forgetful(job: Job, name: str, chunk: Chunk) -> None:
        real(job, name, chunk)
        house.sql("DELETE FROM entries WHERE row_number = 3")

    monkeypatch.setattr(pipeline, "load", forgetful)
    with pytest.raises(SumMismatch, match="converge: 5 rows read, 4 results"):
        house.run()


def test_two_vendors_down_three_delivered_and_retry_sends_exactly_the_rest(house: House) -> None:
    house.write([order(number) for number in range(40)])
    house.sandbox.fault(vendor="kameleoon", status=401)
    house.sandbox.fault(vendor="converge", drop="before")
    report = house.run()
    assert report.exit_code == 2
    assert {name: report.by_status(name) for name in EVERYBODY} == {
        "convert": {"delivered": 40},
        "optimizely": {"delivered": 40},
        "webflow_optimize": {"delivered": 40},
        "kameleoon": {"failed": 40},
        "converge": {"failed": 40},
    }
    assert "401" in report.stops["kameleoon"].detail
    assert "Check the network" in report.stops["converge"].detail
    assert all(row["detail"] for row in house.results(statuses=["failed"]))
    house.sandbox.clear_faults()
    (again,) = house.retry()
    assert {name: again.by_status(name) for name in again.counts} == {
        "kameleoon": {"delivered": 40},
        "converge": {"delivered": 40},
    }
    assert again.exit_code == 0
    assert counted(house.sandbox) == dict.fromkeys(EVERYBODY, 40)
    assert house.retry() == []


def test_an_answer_lost_after_the_vendor_accepted(house: House) -> None:
    house.write([order(number) for number in range(30)])
    for vendor in EVERYBODY:
        house.sandbox.fault(vendor=vendor, drop="after", times=1)
    report = house.run()
    for name in DEDUPLICATING:
        assert report.by_status(name) == {"delivered": 30}, name
    assert counted(house.sandbox) == dict.fromkeys(EVERYBODY, 30)
    assert report.by_status("convert") == {"delivered": 20, "unknown": 10}
    assert report.exit_code == 1

    assert house.retry() == [], "nobody sends doubtful rows to Convert without a person's word"
    second = house.run()
    assert second.by_status("convert") == {"duplicate": 20, "unknown": 10}
    assert counted(house.sandbox)["convert"] == 30
    (third,) = house.retry(statuses=["unknown"], force_unknown=True)
    assert third.by_status("convert") == {"delivered": 10}
    assert counted(house.sandbox)["convert"] == 40, "the person took the risk: Convert counts a repeat again"
    assert house.run().by_status("convert") == {"duplicate": 30}


def test_a_datafile_that_cannot_be_had_stops_optimizely_before_anything_is_sent(house: House) -> None:
    house.write([order(number) for number in range(5)])
    house.overrides = {"optimizely": {"datafile_url": f"{house.sandbox.url}/optimizely/datafiles/other.json"}}
    report = house.run()
    assert report.by_status("optimizely") == {"failed": 5}
    assert "before anything was sent" in report.stops["optimizely"].detail
    assert report.by_status("converge") == {"delivered": 5}
    assert house.sandbox.counts()["optimizely"]["requests"] == 0
    house.overrides = {}
    (again,) = house.retry()
    assert again.by_status("optimizely") == {"delivered": 5}


def test_the_datafile_is_asked_for_conditionally_and_kept(house: House) -> None:
    house.to = ["optimizely"]
    house.write([order(1)])
    house.run()
    house.write([order(2)])
    assert house.run().by_status("optimizely") == {"delivered": 1}
    assert house.sandbox.counts()["optimizely"]["lookups"] == 2


def at(now: datetime, **ago: float) -> str:
    return (now - timedelta(**ago)).isoformat()


def test_webflow_takes_exactly_seven_days_at_the_moment_of_sending(house: House) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    house.to = ["webflow_optimize"]
    rows = [
        order(1, occurred_at=at(now, days=7)),
        order(2, occurred_at=at(now, days=7, milliseconds=1)),
        order(3, occurred_at=at(now, days=2, milliseconds=1)),
        order(4, occurred_at=at(now, days=2)),
    ]
    house.write(rows)
    clock_ms = int(now.timestamp() * 1000)
    house.run(clock=lambda: clock_ms)
    told = [(row["status"], row["reason"]) for row in house.results()]
    assert told == [
        ("delivered", "older_than_2_days"),
        ("rejected", "too_old"),
        ("delivered", "older_than_2_days"),
        ("delivered", ""),
    ]
    knocks = house.sandbox.counts()["webflow_optimize"]["knocks"]
    later = house.run(clock=lambda: clock_ms + 30 * 86_400_000)
    assert house.sandbox.counts()["webflow_optimize"]["knocks"] == knocks, (
        "nobody is disturbed when nothing is to be sent"
    )
    assert later.by_status("webflow_optimize") == {"duplicate": 3, "rejected": 1}, (
        "delivered is final, however old it gets"
    )


def test_webflow_gets_nothing_that_is_still_to_come(house: House) -> None:
    """Within `max_skew_minutes` a clock may be wrong; the vendor ignores what is later than its own."""
    moment = datetime.now(UTC).replace(microsecond=0)
    now = [int(moment.timestamp() * 1000)]
    house.to = ["webflow_optimize", "converge"]
    house.write([order(1, occurred_at=(moment + timedelta(minutes=4)).isoformat()), order(2)])
    checked = preview.check(house.config, "orders", clock=lambda: now[0])
    assert checked["webflow_optimize"].counts == {("failed", "not_yet"): 1, ("ready", ""): 1}
    report = house.run(clock=lambda: now[0])
    assert report.by_status("converge") == {"delivered": 2}
    assert report.counts["webflow_optimize"] == {("failed", "not_yet"): 1, ("delivered", ""): 1}
    (early,) = house.retry(clock=lambda: now[0] + 239_999)
    assert early.by_status("webflow_optimize") == {"failed": 1}
    (again,) = house.retry(clock=lambda: now[0] + 240_000)
    assert again.by_status("webflow_optimize") == {"delivered": 1}
    assert house.sandbox.counts()["webflow_optimize"]["requests"] == 2


def test_a_poison_row_stands_alone_and_the_others_go(house: House) -> None:
    house.to = ["kameleoon"]
    house.write([order(number) for number in range(60)])
    house.sandbox.fault(vendor="kameleoon", status=400, when_body_contains='order-17"')
    report = house.run()
    assert report.by_status("kameleoon") == {"delivered": 59, "refused": 1}
    (refused,) = house.results(statuses=["refused"])
    assert (refused["event_id"], refused["reason"], refused["http_status"]) == ("order-17", "http_400", 400)
    assert counted(house.sandbox)["kameleoon"] == 59


def test_too_many_requests_pause_the_destination_and_burn_no_attempt(house: House) -> None:
    house.to = ["converge"]
    house.write([order(number) for number in range(10)])
    house.sandbox.fault(vendor="converge", status=429, headers={"Retry-After": "0"}, times=12)
    assert house.run().by_status("converge") == {"delivered": 10}


def test_a_vendor_that_asks_for_an_hour_is_left_for_later(house: House) -> None:
    house.to = ["converge"]
    house.write([order(number) for number in range(200)])
    house.sandbox.fault(vendor="converge", status=429, headers={"Retry-After": "3600"})
    report = house.run()
    assert report.by_status("converge") == {"failed": 200}
    assert "429" in report.stops["converge"].detail
    assert house.sandbox.counts()["converge"]["requests"] <= 4


def test_a_vendor_that_answers_nobody_is_stopped_and_not_asked_two_hundred_times(house: House) -> None:
    house.to = ["converge"]
    house.write([order(number) for number in range(200)])
    house.sandbox.fault(vendor="converge", status=503)
    report = house.run()
    assert report.by_status("converge") == {"failed": 200}
    assert house.sandbox.counts()["converge"]["requests"] <= 12, "three attempts on each of four connections"


@pytest.mark.parametrize("status", [408, 425, 500, 502, 503, 504])
def test_a_passing_trouble_is_sat_out(house: House, status: int) -> None:
    house.to = ["optimizely"]
    house.write([order(number) for number in range(10)])
    house.sandbox.fault(vendor="optimizely", path="/v1/events", status=status, times=2)
    assert house.run().by_status("optimizely") == {"delivered": 10}
    assert {row["attempts"] for row in house.results()} == {3}


@pytest.mark.parametrize(
    ("location", "told"),
    [
        (
            "HTTPS://Ann:Key@EU.vendor.example:8443/v2?api_key=hush",
            "a redirect to https://eu.vendor.example:8443, which",
        ),
        ("https://eu.vendor.example?api_key=hush", "a redirect to https://eu.vendor.example, which"),
        ("//other.example/hush", "a redirect elsewhere, which"),
        ("/v2/hush", "a redirect elsewhere, which"),
        ("https://bad host/hush", "a redirect elsewhere, which"),
        ("", "a redirect elsewhere, which"),
    ],
)
def test_a_redirect_is_not_followed_and_stops_the_destination(house: House, location: str, told: str) -> None:
    house.to = ["webflow_optimize"]
    house.overrides = {"webflow_optimize": {"limits": {"connections": 1}}}
    house.write([order(1), order(2)])
    house.sandbox.fault(vendor="webflow_optimize", status=308, path="/event", headers={"Location": location})
    report = house.run()
    assert report.exit_code == 2
    assert report.by_status("webflow_optimize") == {"failed": 2}
    assert house.sandbox.counts()["webflow_optimize"]["requests"] == 1
    stop = report.stops["webflow_optimize"]
    assert stop.reason == "http_308"
    assert told in stop.detail
    assert not re.search(r"hush|ann|key|v2", stop.detail, re.IGNORECASE)
    house.sandbox.clear_faults()
    assert [again.by_status("webflow_optimize") for again in house.retry()] == [{"delivered": 2}]


def through_the_stages(house: House, run_id: str) -> Report:
    """Everything after `start`, each stage on its own, as the tasks of Airflow do it."""
    job = plan.resume(house.config, run_id)
    try:
        pipeline.prepare(job)
        chunks = list(validate.stage(job, list(extract.stage(job, Window()))))
        for name in job.destinations:
            for chunk in chunks:
                pipeline.load(job, name, transform.stage(job, name, chunk))
    except SourceError as error:
        return pipeline.finish(job, stopped=str(error))
    return pipeline.finish(job)


FIRST = [order(1), order(2, occurred_at="broken"), order(3)]
SECOND = {
    "the same": (FIRST, ""),
    "rows added at the end": ([*FIRST, order(4), order(5)], ""),
    "another row": ([order(10), *FIRST[1:]], "no longer what this run has read"),
    "a row put right": ([FIRST[0], order(2), FIRST[2]], "no longer what this run has read"),
    "a row fewer": (FIRST[:2], "no longer what this run has read"),
    "no rows": ([], "no longer what this run has read"),
}


@pytest.mark.parametrize("chunk_rows", [1, 3])
@pytest.mark.parametrize(("rows", "refused"), SECOND.values(), ids=SECOND)
def test_a_run_that_reads_its_source_again_takes_no_row_for_another(
    house: House, rows: list[dict[str, str]], refused: str, chunk_rows: int
) -> None:
    """Somebody clears `extract` and what follows, and meanwhile the file is another."""
    house.to, house.import_settings = ["webflow_optimize"], {"chunk_rows": chunk_rows}
    house.write(FIRST)
    job = plan.start(house.config, "orders")
    job.ledger.close()
    first = through_the_stages(house, job.run.run_id)
    house.write(rows)
    again = through_the_stages(house, job.run.run_id)
    assert first.by_status("webflow_optimize") == {"delivered": 2, "rejected": 1}
    if refused:
        assert refused in again.run.stop_detail
        assert "Clear the DAG run from `start`" in again.run.stop_detail
        assert (again.rows, again.counts) == (first.rows, first.counts)
    else:
        assert again.by_status("webflow_optimize") == {"delivered": len(rows) - 1, "rejected": 1}
    anew = house.run()
    good = sum(row["occurred_at"] != "broken" for row in rows)
    assert sum(anew.by_status("webflow_optimize").get(status, 0) for status in ("delivered", "duplicate")) == good


def test_a_run_without_results_reads_whatever_is_there_now(house: House) -> None:
    house.to = ["webflow_optimize"]
    house.write(FIRST)
    job = plan.start(house.config, "orders")
    with job.ledger:
        assert [chunk.rows for chunk in extract.stage(job, Window())] == [3]
    house.write([order(7)])
    assert through_the_stages(house, job.run.run_id).by_status("webflow_optimize") == {"delivered": 1}


def test_a_missing_source_stops_the_run_with_a_sentence(house: House) -> None:
    report = house.run()
    assert report.exit_code == 2
    assert "no file at orders.csv" in report.run.stop_detail


def test_a_missing_column_proposes_a_block_to_paste(house: House) -> None:
    (house.folder / "orders.csv").write_text("Order No,Event,Closed At,Amount\n1,purchase,2026-01-01,3\n")
    report = house.run()
    for line in (
        "columns:",
        "  event_id: Order No",
        "  event_name: Event",
        "  occurred_at: Closed At",
        "  revenue: Amount",
    ):
        assert line in report.run.stop_detail


def test_a_ragged_row_is_one_row_with_a_reason(house: House) -> None:
    house.to = ["converge"]
    house.write([order(number) for number in range(3)])
    lines = (house.folder / "orders.csv").read_text().splitlines()
    lines[2] += ",too,many"
    (house.folder / "orders.csv").write_text("\n".join(lines))
    report = house.run()
    assert report.counts["converge"] == {("delivered", ""): 2, ("rejected", "ragged_row"): 1}


def test_an_empty_file_is_a_run_of_no_rows(house: House) -> None:
    house.write([])
    report = house.run()
    assert report.exit_code == 0
    assert report.rows == dict.fromkeys(EVERYBODY, 0)


def test_nothing_about_people_is_in_the_ledger(house: House) -> None:
    house.write([order(1, email="ada@example.com", phone="+15551234567"), order(2, user_id="ada@example.com")])
    house.run()
    ledger = b"".join(path.read_bytes() for path in house.folder.glob("ledger.db*"))
    for secret in (b"ada@example.com", b"+15551234567", b"sandbox-convert-key", b"user-1", b"code1"):
        assert secret not in ledger


def test_staged_files_are_their_owners_only(house: House) -> None:
    house.write([order(1)])
    run_id = house.run().run.run_id
    assert (house.folder / "staging" / run_id).stat().st_mode & 0o077 == 0


def test_check_sends_nothing_and_writes_nothing(house: House) -> None:
    house.write([order(1), order(2, event_name="Never Heard Of"), order(3, occurred_at="2020-01-01T00:00:00Z")])
    checked = preview.check(house.config, "orders")
    assert checked["optimizely"].counts == {("ready", ""): 2, ("rejected", "unknown_event_key"): 1}
    assert checked["webflow_optimize"].counts[("rejected", "too_old")] == 1
    assert checked["kameleoon"].counts[("skipped", "not_in_mapping")] == 1
    request = checked["convert"].request
    assert request is not None
    assert request.headers["Authorization"] == "Bearer ***"
    assert not (house.folder / "ledger.db").exists()
    assert sum(counts["requests"] for counts in house.sandbox.counts().values()) == 0


def test_retry_after_the_staged_rows_are_gone_says_what_to_do(house: House) -> None:
    import shutil

    house.to = ["converge"]
    house.write([order(1)])
    house.sandbox.fault(vendor="converge", status=401)
    house.run()
    shutil.rmtree(house.folder / "staging")
    (again,) = house.retry()
    assert again.exit_code == 2
    assert "conversions run orders" in again.run.stop_detail


def test_on_postgresql_too(house: House, postgres_url: str) -> None:
    house.ledger_url = postgres_url
    house.write([order(number) for number in range(30)])
    house.sandbox.fault(vendor="kameleoon", status=401)
    first = house.run()
    assert first.by_status("convert") == {"delivered": 30}
    house.sandbox.clear_faults()
    (again,) = house.retry()
    assert again.by_status("kameleoon") == {"delivered": 30}
    assert house.run().by_status("optimizely") == {"duplicate": 30}
    assert {row["sent_at"][-1] for row in house.results(statuses=["delivered"])} == {"Z"}


def test_the_lane_keeps_the_spacing_across_chunks_and_runs(house: House) -> None:
    house.to = ["kameleoon"]
    house.overrides = {"kameleoon": {"limits": {"spacing_ms": 120, "items": 5}}}
    house.import_settings = {"chunk_rows": 5}
    for night in range(2):
        house.write([order(night * 100 + number) for number in range(10)])
        house.run()
    sent = sorted(row[0] for row in house.sql("SELECT sent_at_ms FROM verdicts WHERE batch_no = verdict_no"))
    assert len(sent) == 4
    assert all(later - earlier >= 115 for earlier, later in itertools.pairwise(sent))


def test_an_unknown_destination_is_refused_before_anything_happens(house: House) -> None:
    house.write([order(1)])
    with pytest.raises(ConfigError, match=r"destinations\.nobody"):
        house.run(to=["nobody"])
    assert ImportSettings(source={"type": "csv"}, to=["a"]).chunk_rows == 20_000


def test_the_csv_reader_streams(house: House) -> None:
    with (house.folder / "orders.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["event_id", "event_name", "occurred_at"])
        out.writerows([str(n), "x", "2026-01-01T00:00:00Z"] for n in range(1000))
    frames = sources.import_source(house.config, "orders").frames(Window(), 300)
    assert [len(frame) for frame in frames] == [300, 300, 300, 100]
