"""A ledger that is not what it was: another account under a name, a trial's keys, a copy put back, a file gone."""

from __future__ import annotations

import re
import sqlite3
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from etl import cli, preview, retry
from etl.sandbox import Sandbox
from tests.conftest import House, order

DEDUPLICATES, REPEATS_COUNT = "kameleoon", "convert"
ACCOUNTS: dict[str, dict[str, Any]] = {
    "convert": {"project_id": "29999999"},
    "optimizely": {"account_id": "99999999"},
    "kameleoon": {"site_code": "zzzzzzzzzz"},
    "webflow_optimize": {"customer_id": "987654321"},
    "converge": {"webhook_token": "another-token"},
}

YESTERDAY = f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"


@pytest.fixture
def known(house: House, ledger_url: str) -> House:
    """Two rows, delivered to a vendor of each kind."""
    house.ledger_url, house.to = ledger_url, [DEDUPLICATES, REPEATS_COUNT]
    house.write(rows(1, 2))
    house.run()
    return house


def rows(*numbers: int) -> list[dict[str, str]]:
    """The same rows whenever they are asked for."""
    return [order(number, occurred_at=YESTERDAY) for number in numbers]


def conversions(house: House, *words: str) -> Any:
    return CliRunner().invoke(cli.app, ["--config", str(house.config.path), *words])


# -- who stands behind a name


@pytest.mark.parametrize("vendor", ACCOUNTS)
def test_another_account_under_a_name_stops_before_any_request(house: House, vendor: str) -> None:
    house.to = [vendor]
    house.write(rows(1))
    house.run()
    house.sandbox.reset()
    house.overrides = {vendor: ACCOUNTS[vendor]}
    report = house.run()
    assert report.exit_code == 2
    assert report.counts[vendor] == {("failed", "other_account"): 1}
    assert house.sandbox.counts()[vendor]["requests"] == 0
    assert f"conversions ledger accept {vendor}" in report.stops[vendor].detail
    assert "another-token" not in report.stops[vendor].detail


@pytest.mark.parametrize("vendor", ACCOUNTS)
def test_a_check_says_of_another_account_what_a_run_would(house: House, vendor: str) -> None:
    house.to = [vendor]
    house.write(rows(1))
    house.run()
    house.overrides = {vendor: ACCOUNTS[vendor]}
    (checked,) = preview.check(house.config, "orders").values()
    assert dict(checked.counts) == {("failed", "other_account"): 1}
    assert f"conversions ledger accept {vendor}" in checked.stopped
    assert checked.plan is None


def test_the_same_account_under_new_names_is_accepted_once(known: House) -> None:
    known.overrides = {DEDUPLICATES: ACCOUNTS[DEDUPLICATES]}
    told = conversions(known, "ledger", "accept", DEDUPLICATES)
    assert told.exit_code == 0, told.stderr
    assert "its 2 keys count" in told.stdout
    assert known.run().by_status(DEDUPLICATES) == {"duplicate": 2}


def test_another_account_gets_everything_once_the_first_is_forgotten(known: House) -> None:
    known.overrides = {REPEATS_COUNT: {"events": {"Order Completed": "100215962"}}}
    refused = conversions(known, "ledger", "forget", REPEATS_COUNT)
    assert refused.exit_code == 2
    assert "2 conversions that were delivered to convert" in refused.stderr
    assert known.run().by_status(REPEATS_COUNT) == {"duplicate": 2}
    assert conversions(known, "ledger", "forget", REPEATS_COUNT, "--yes").exit_code == 0
    known.sandbox.reset()
    assert known.run().by_status(REPEATS_COUNT) == {"delivered": 2}
    assert known.run().by_status(REPEATS_COUNT) == {"duplicate": 2}
    of_before = {row["status"] for row in known.results() if row["destination"] == REPEATS_COUNT}
    assert of_before == {"delivered", "duplicate"}, "history stays readable"


def test_another_host_alone_is_a_warning(known: House) -> None:
    with Sandbox() as moved:
        known.sandbox = moved
        report = known.run()
        assert report.by_status(DEDUPLICATES) == {"duplicate": 2}
        assert {warning.code for warning in report.warnings} == {"host_changed"}
        assert known.run().warnings == []


def test_going_live_on_the_ledger_of_a_trial_stops(known: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("etl.delivery.identity.SANDBOX_HEADER", "x-nobody-sends-this")  # whoever answers is a vendor
    with Sandbox() as vendor:
        known.sandbox = vendor
        known.write(rows(1, 2, 3))
        report = known.run()
        assert report.exit_code == 2
        assert set(report.counts[DEDUPLICATES]) == {("failed", "other_account")}
        assert "from a trial at a sandbox" in report.stops[DEDUPLICATES].detail
        assert vendor.counts()[DEDUPLICATES]["requests"] == 0
        conversions(known, "ledger", "forget", DEDUPLICATES, "--yes")
        assert known.run().by_status(DEDUPLICATES) == {"delivered": 3}


def test_a_trial_on_the_ledger_of_the_vendor_stops(known: House) -> None:
    known.sql("UPDATE destinations SET is_trial = 0")
    known.write(rows(3))
    report = known.run()
    assert report.counts[REPEATS_COUNT] == {("failed", "other_account"): 1}
    assert "a sandbox answers" in report.stops[REPEATS_COUNT].detail


# -- a ledger that was lost, or put back


def test_a_ledger_that_is_another_stops_every_run(house: House) -> None:
    house.to = [REPEATS_COUNT]
    house.write(rows(1))
    house.run()
    for path in house.folder.glob("ledger.db*"):
        path.unlink()
    house.sandbox.reset()
    for words in (["run", "orders"], ["retry"]):
        told = conversions(house, *words)
        assert told.exit_code == 2
        assert "was deleted, or its file was replaced" in told.stderr
    assert house.sandbox.counts()[REPEATS_COUNT]["requests"] == 0


def test_a_copy_of_yesterday_is_put_back(known: House, tmp_path: Path) -> None:
    """Rows 1 and 2 are in it, row 3 was delivered after it, row 4 is new."""
    copy = tmp_path / "copies" / "monday.db"
    assert conversions(known, "ledger", "backup", str(copy)).exit_code == 0
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    known.write(rows(1, 2, 3))
    known.run()

    assert "say --yes" in conversions(known, "ledger", "restore", str(copy)).stderr
    assert conversions(known, "ledger", "restore", str(copy), "--yes").exit_code == 0
    known.write(rows(1, 2, 3, 4))
    stopped = conversions(known, "run", "orders")
    assert stopped.exit_code == 2
    assert "an older copy of it was put back" in stopped.stderr
    since = re.search(r"--gap-from (\S+)`", stopped.stderr)
    assert since

    assert conversions(known, "ledger", "accept", "--gap-from", since[1]).exit_code == 0
    checked = preview.check(known.config, "orders")[REPEATS_COUNT]
    assert dict(checked.counts) == {("duplicate", "already_delivered"): 2, ("unknown", "ledger_restored"): 2}
    (limited,) = retry.run(known.config, "orders", limit=1, to=[REPEATS_COUNT])
    assert limited.by_status(REPEATS_COUNT).keys() == {"duplicate", "unknown"}, "a limited run knows of the gap, too"
    report = known.run()
    assert report.by_status(DEDUPLICATES) == {"delivered": 2, "duplicate": 2}, "it tells the repeat by its key"
    assert report.counts[REPEATS_COUNT] == {("duplicate", "already_delivered"): 2, ("unknown", "ledger_restored"): 2}
    assert known.sandbox.counts()[REPEATS_COUNT]["repeats"] == 0
    assert known.run().by_status(REPEATS_COUNT) == {"duplicate": 2, "unknown": 2}, "until a person says so"
    assert conversions(known, "retry", "--status", "unknown").exit_code == 0
    assert known.run().by_status(REPEATS_COUNT) == {"duplicate": 4}


def test_a_copy_is_a_ledger_wherever_it_lies(known: House, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    conversions(known, "ledger", "backup", str(copy))
    before = known.results()
    known.ledger_url = f"sqlite:///{copy}"
    assert known.results() == before
    again = conversions(known, "ledger", "backup", str(copy))
    assert again.exit_code == 2
    assert "is there already" in again.stderr


def test_a_copy_may_be_called_anything(known: House, tmp_path: Path) -> None:
    copy = tmp_path / "copies" / "a b?c#d%41.db"
    assert conversions(known, "ledger", "backup", str(copy)).exit_code == 0
    told = conversions(known, "ledger", "restore", str(copy), "--yes")
    assert told.exit_code == 0, told.stderr
    assert [path.name for path in copy.parent.iterdir()] == [copy.name]
    assert known.run().by_status(DEDUPLICATES) == {"duplicate": 2}


def test_a_check_finds_the_ledger_in_a_folder_of_any_name(house: House, tmp_path: Path) -> None:
    folder = tmp_path / "of 100% #1?"
    folder.mkdir()
    inside = House(folder, house.sandbox, "sqlite:///ledger.db", to=[DEDUPLICATES])
    inside.write(rows(1, 2))
    inside.run()
    checked = preview.check(inside.config, "orders")[DEDUPLICATES]
    assert dict(checked.counts) == {("duplicate", "already_delivered"): 2}


@pytest.mark.parametrize("content", [b"", b"no database at all", None], ids=["empty", "text", "another database"])
def test_what_is_no_copy_is_not_put_back(known: House, tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "copy.db"
    if content is None:
        with sqlite3.connect(file) as connection:
            connection.execute("CREATE TABLE orders (id)")
    else:
        file.write_bytes(content)
    told = conversions(known, "ledger", "restore", str(file), "--yes")
    assert told.exit_code == 2
    assert "is no copy of a ledger" in told.stderr
    assert known.run().by_status(DEDUPLICATES) == {"duplicate": 2}


def test_a_copy_is_not_put_back_while_a_run_lives(known: House, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    conversions(known, "ledger", "backup", str(copy))
    known.sql("UPDATE runs SET finished_at_ms = NULL, lease_until_ms = 9000000000000")
    told = conversions(known, "ledger", "restore", str(copy), "--yes")
    assert told.exit_code == 2
    assert "while nothing runs" in told.stderr
