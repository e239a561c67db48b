"""What a check says a run would do is what the run then does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from etl import preview, retry, sample
from etl.cli import app
from etl.ledger import Ledger
from etl.model import Item, Plan, Preview, Status
from etl.report import Report
from tests.conftest import House, order
from tests.test_ledger import DELIVERED, FAILED, LOST, a_run, claim, items, ledger, record
from tests.vendors import EVERYBODY

__all__ = ["ledger"]

ROOT = Path(__file__).parent.parent


def write_sample(house: House) -> None:
    """The sample with its problems, under the project's own settings of destinations and import."""
    own = yaml.safe_load((ROOT / "imports.yaml").read_text())
    with (house.folder / "orders.csv").open("w", newline="") as file:
        sample.write(sample.showcase(datetime.now(UTC)), file)
    house.overrides = {name: {"events": own["destinations"][name].get("events", {})} for name in EVERYBODY}
    house.import_settings = {"extra_columns": own["imports"]["store_orders"]["extra_columns"]}


def checked(house: House, **how: Any) -> dict[str, Preview]:
    return preview.check(house.config, "orders", **how)


def as_delivered(found: Preview) -> dict[tuple[str, str], int]:
    """What a check counts, in the words of results; a warning stays a warning."""
    return {("delivered" if status == "ready" else status, why): n for (status, why), n in found.counts.items() if n}


def requests(house: House) -> dict[str, int]:
    return {name: house.sandbox.counts()[name]["requests"] for name in EVERYBODY}


def assert_as_foreseen(house: House) -> Report:
    """Check, then run: rows by status and reason, and requests, are equal at every destination."""
    foreseen, before = checked(house), requests(house)
    again = retry.run(house.config, "orders")
    report, after = again[-1], requests(house)
    for name, found in foreseen.items():
        assert found.plan is not None
        assert as_delivered(found) == dict(report.counts[name]), name
        assert found.plan.new == report.by_status(name).get("delivered", 0)
        if len(again) == 1:
            assert found.plan.requests == after[name] - before[name], name
    return report


def test_the_plan_for_the_sample_is_what_the_run_does_twice(house: House) -> None:
    write_sample(house)
    first = assert_as_foreseen(house)
    assert all(first.by_status(name)["delivered"] > 3 for name in EVERYBODY)
    second = assert_as_foreseen(house)
    assert not any(second.by_status(name).get("delivered") for name in EVERYBODY)


def test_the_plan_counts_changes_what_failed_before_and_what_is_new(house: House) -> None:
    house.to, house.import_settings = ["converge", "convert"], {"chunk_rows": 7}
    rows = [order(n) for n in range(40)]
    house.write([*rows[:5], *rows[6:20]])
    house.sandbox.fault(vendor="convert", drop="after", skip=1, times=1)
    house.sandbox.fault(vendor="converge", status=400, when_body_contains='"order-3"')
    house.run()
    house.write(rows[5:6])
    house.sandbox.fault(vendor="*", status=401)
    house.run()
    house.sandbox.clear_faults()
    house.write([*rows[:18], rows[18] | {"revenue": "1.00"}, *rows[30:32]])
    plans = [found.plan._replace(seconds=0) for found in checked(house).values() if found.plan]
    assert plans == [Plan(3, 17, 1, 0, 0, 1, 3), Plan(2, 11, 1, 0, 0, 1, 1)]
    assert_as_foreseen(house)


@pytest.mark.parametrize("days", [8, 6.5, 1])
def test_the_plan_knows_what_is_too_old_and_what_soon_will_be(house: House, days: float) -> None:
    house.to = ["webflow_optimize"]
    at = (datetime.now(UTC) - timedelta(days=days)).isoformat()
    house.write([order(1, occurred_at=at), order(2)])
    (found,) = checked(house).values()
    assert found.plan is not None
    assert (found.plan.new, found.plan.expired, found.plan.soon) == (1 + (days < 7), days > 7, days == 6.5)
    assert_as_foreseen(house)


def test_a_run_that_would_take_weeks_is_warned_of(house: House) -> None:
    house.to, house.overrides = ["converge"], {"converge": {"limits": {"connections": 1, "spacing_ms": 250_000}}}
    house.write([order(n) for n in range(700)])
    told = CliRunner().invoke(app, ["--config", str(house.config.path), "check", "orders"], env={"COLUMNS": "200"})
    assert "Plan: 700 new; 700 requests, at least 2,917 minutes at the vendor's limits." in told.stdout
    assert "This would take 2 days with 1 connection: raise `limits` of converge" in told.stdout


def test_a_check_makes_no_ledger_and_goes_on_where_it_cannot_be_asked(house: House) -> None:
    house.to = ["converge"]
    house.write([order(1)])
    (found,) = checked(house).values()
    assert found.plan is not None
    assert found.plan.new == 1
    assert not (house.folder / "ledger.db").exists()
    (house.folder / "ledger.db").write_bytes(b"no database at all, by its first bytes" * 99)
    (found,) = checked(house).values()
    assert found.plan is not None
    assert found.plan.new == 1
    assert "What was delivered before is not known." in found.notes[0]


def test_the_ledger_says_what_a_claim_would_say(ledger: Ledger) -> None:
    run = a_run(ledger)
    for numbers, verdict in (((1, 2), DELIVERED), ((3,), FAILED), ((4,), LOST)):
        claim(ledger, run, items(*numbers))
        record(ledger, run, items(*numbers), verdict)
    ledger.runs.finish(run.run_no)
    living = a_run(ledger)
    claim(ledger, living, items(5))
    asked: list[Item] = [*items(1), *items(2, fingerprint=9), *items(3, 4, 5, 6)]
    asked.append(Item(7, "new spelling", "purchase", b"{}", 1, other_event_id="event-1"))
    now = ledger.results.taken("convert", asked, repeatable=False, at_ms=ledger.claims.clock())
    assert now == {
        1: ("duplicate", "already_delivered"),
        2: ("duplicate", "changed_after_delivery"),
        4: ("unknown", "waiting_for_a_person"),
        5: ("duplicate", "in_flight_elsewhere"),
        7: ("duplicate", "already_delivered"),
    }
    again = ledger.results.taken("convert", asked, repeatable=True, at_ms=ledger.claims.clock())
    assert {*now} - {*again} == {4}
    assert ledger.results.taken("nobody", asked, repeatable=True, at_ms=0) == {}
    later = a_run(ledger)
    won = claim(ledger, later, asked, repeatable=False)
    assert {item.row_number for item in asked} - {*won} == {*now}


def test_the_ledger_says_which_events_would_go_first(ledger: Ledger) -> None:
    run = a_run(ledger)
    for number, verdict in ((1, DELIVERED), (2, FAILED), (3, LOST)):
        claim(ledger, run, items(number))
        record(ledger, run, items(number), verdict)
    ledger.runs.finish(run.run_no)
    ids = [f"event-{n}" for n in range(1, 5)]
    statuses = [Status.FAILED.value]
    assert ledger.results.go_first("orders", "convert", ids, statuses=statuses) == {"event-2"}
    assert ledger.results.go_first("orders", "convert", ids, statuses=[*statuses, "unknown"]) == {"event-2", "event-3"}
    assert ledger.results.go_first("other", "convert", ids, statuses=statuses) == set()
