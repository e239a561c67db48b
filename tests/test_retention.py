"""What is forgotten by age, and what never is: a key that a conversion was delivered under, or may have been."""

from __future__ import annotations

from typing import Any

import pytest
from typer.testing import CliRunner

from etl import cli
from tests.conftest import House, order

DAY_MS = 86_400_000


@pytest.fixture
def aged(house: House, ledger_url: str) -> House:
    """A hundred days ago: two delivered, one rejected, one doubtful at Convert. Yesterday: the same file again."""
    house.ledger_url, house.to = ledger_url, ["convert"]
    house.overrides = {"convert": {"limits": {"items": 1, "connections": 1}}}
    house.write([order(1), order(2), order(3, occurred_at="yesterday"), order(4)])
    house.sandbox.fault(vendor="convert", drop="after", when_body_contains="ORD-4", times=1)
    house.run()
    house.sql(f"UPDATE runs SET started_at_ms = started_at_ms - {100 * DAY_MS}")
    house.run()
    return house


def prune(house: House, older_than: str) -> Any:
    arguments = ["--config", str(house.config.path), "ledger", "prune", "--older-than", older_than]
    return CliRunner().invoke(cli.app, arguments)


def test_what_was_delivered_or_may_have_been_is_never_forgotten(aged: House) -> None:
    told = prune(aged, "90d")
    assert told.exit_code == 0
    assert told.stdout == "Forgotten: 1 results, 3 batches, 0 runs.\n"
    kept = aged.sql("SELECT row_number, status FROM result_history WHERE run_no = 1 ORDER BY row_number")
    assert [tuple(row) for row in kept] == [(1, "delivered"), (2, "delivered"), (4, "unknown")]
    assert aged.run().by_status("convert") == {"duplicate": 2, "rejected": 1, "unknown": 1}
    assert aged.sandbox.counts()["convert"]["repeats"] == 0


def test_a_run_of_which_nothing_is_left_goes_too_but_never_the_latest(house: House, ledger_url: str) -> None:
    house.ledger_url, house.to = ledger_url, ["convert"]
    house.write([order(1, occurred_at="yesterday")])
    for _ in range(3):
        house.run()
    house.sql(f"UPDATE runs SET started_at_ms = started_at_ms - {100 * DAY_MS}")
    assert prune(house, "90d").stdout == "Forgotten: 2 results, 0 batches, 2 runs.\n"
    assert len(house.results()) == 1
    assert prune(house, "90d").stdout == "Forgotten: 0 results, 0 batches, 0 runs.\n"


def test_nothing_young_is_forgotten(aged: House) -> None:
    assert prune(aged, "101d").stdout == "Forgotten: 0 results, 0 batches, 0 runs.\n"


@pytest.mark.parametrize("word", ["ninety", "0d", "-5d", "90h", "²d", ""])
def test_an_age_is_a_number_of_days(house: House, word: str) -> None:
    told = prune(house, word)
    assert told.exit_code == 2
    assert "a number of days such as 90d" in told.stderr


def test_staged_rows_go_after_a_fortnight_and_nothing_else_does(house: House) -> None:
    house.to = ["converge"]
    house.write([order(1)])
    staging = house.folder / "staging"
    for name in ("20200101T000000-abcdef", "cache", "20200101-notes"):
        (staging / name / "conversions").mkdir(parents=True)
        (staging / name / "conversions" / "00000.parquet").touch()
    first = house.run().run.run_id
    assert {path.name for path in staging.iterdir()} == {"cache", "20200101-notes", "ledger.json", first}
    second = house.run().run.run_id
    assert {path.name for path in staging.iterdir()} == {"cache", "20200101-notes", "ledger.json", first, second}
