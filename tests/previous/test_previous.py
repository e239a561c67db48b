"""What version 0.1.0 left still works: its imports.yaml, ledger, staged files and receipts, and what was typed.

`v0_1_0` was written by that version (`make_fixture.py`). What it printed, and what it did next, must be so still; what
has been added since may stand beside it.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import re
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.previous.world import ROOT, SCENARIOS, Terminal, World, an_hour_later, as_of_now, brought_back, expected

COLUMNS: list[str] = list(expected("results")[0])
STATUSES = ("delivered", "duplicate", "skipped", "rejected", "refused", "failed", "unknown")


@pytest.fixture(scope="module")
def terminal() -> Iterator[Terminal]:
    """Where commands are typed, an hour after version 0.1.0 was last used."""
    with an_hour_later() as running:
        yield running


@pytest.fixture(scope="module")
def left(terminal: Terminal, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """What was left, only to be looked at, with its ledger brought to this version."""
    with brought_back(tmp_path_factory.mktemp("left"), terminal) as world:
        assert world.conversions("ledger", "upgrade").code == 0
        yield world


@pytest.fixture
def world(terminal: Terminal, tmp_path: Path) -> Iterator[World]:
    """What was left, as it was left."""
    with brought_back(tmp_path, terminal) as running:
        yield running


def of_before(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The columns that there were; others may have come."""
    return [{name: row[name] for name in COLUMNS} for row in rows]


def as_text(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    return [{name: "" if value is None else str(value) for name, value in row.items()} for row in rows]


# -- what it says of the past


def test_the_fixture_knows_every_status_and_every_way_to_run() -> None:
    told = expected("results_all")
    assert {row["status"] for row in told} == set(STATUSES)
    assert len({row["reason"] for row in told}) > 50


@pytest.mark.parametrize(("name", "words"), [("results", []), ("results_all", ["--run", "all"])])
def test_results_are_told_as_before(left: World, name: str, words: list[str]) -> None:
    told = expected(name)
    rows = left.table(*words)
    assert of_before(rows) == told
    assert [column for column in rows[0] if column in COLUMNS] == COLUMNS, "the columns stand in another order"

    lines = left.conversions("results", *words, "--format", "csv").out
    assert of_before(list(csv.DictReader(io.StringIO(lines, newline="")))) == as_text(told)

    assert left.conversions("results", *words, "--out", "results.parquet").code == 0
    assert of_before(pq.read_table(left.folder / "results.parquet").to_pylist()) == told

    assert left.conversions("results", *words, "--out", "results.csv").code == 0
    written = (left.folder / "results.csv").read_text("utf-8-sig")
    assert of_before(list(csv.DictReader(io.StringIO(written, newline="")))) == as_text(told)


def test_results_are_a_table_for_people(left: World) -> None:
    table = left.conversions("results", "--format", "table").out
    assert table == left.conversions("results").out
    for row in expected("results"):
        assert row["run_id"] in table
        assert row["event_id"][:20] in table


def test_one_run_one_import_one_destination_one_status(left: World) -> None:
    told = expected("results_all")
    for name, option in (("run_id", "--run"), ("destination", "--to"), ("status", "--status"), ("import", "--import")):
        for value in sorted({row[name] for row in told}):
            words = [option, value] if option == "--run" else ["--run", "all", option, value]
            assert of_before(left.table(*words)) == [row for row in told if row[name] == value], words


def test_the_configuration_is_named_by_the_environment(left: World) -> None:
    found = left.terminal.run(
        ["results", "--format", "json"],
        left.folder,
        {"CONVERSIONS_CONFIG": str(left.folder / "imports.yaml"), "SANDBOX": left.sandbox.url},
    )
    assert of_before(json.loads(found.out)) == expected("results")


INNER = {"entries", "batches", "last_entries"}
"""What only the ledger itself asked; the views that people read are others."""


@pytest.mark.parametrize("name", sorted(expected("tables").keys() - INNER))
def test_tables_and_views_have_their_columns(left: World, name: str) -> None:
    there = [row[1] for row in left.sql(f"PRAGMA table_info({name})")]
    assert [column for column in there if column in expected("tables")[name]] == expected("tables")[name]


@pytest.mark.parametrize("name", sorted(expected("views").keys() - INNER))
def test_views_say_what_they_said(left: World, name: str) -> None:
    assert left.view(name, expected("tables")[name]) == expected("views")[name]


def test_every_reason_of_before_is_still_explained(left: World) -> None:
    """Where reasons are listed at all: each code, or the pattern that it is of, or its name of before."""
    if "reasons" not in left.conversions("--help").out:
        return
    listed = left.conversions("reasons", "--format", "json").out
    for reason in sorted({row["reason"] for row in expected("results_all")} - {""}):
        assert f'"{reason}"' in listed or (reason.startswith("http_") and "http_" in listed), reason


def test_destinations_are_what_they_were(left: World) -> None:
    found = {each["type"]: each for each in json.loads(left.conversions("destinations", "--format", "json").out)}
    for each in expected("destinations"):
        now = found[each["type"]]
        assert now.keys() >= each.keys()
        prose = {"because", "docs", "requires"}
        assert {k: v for k, v in now.items() if k in each.keys() - prose} == {
            k: v for k, v in each.items() if k not in prose
        }


def test_a_check_counts_the_rows_and_names_those_that_would_not_go(left: World) -> None:
    told = expected("check")
    found = left.check()
    assert set(found["rows"]) >= set(told["rows"])
    for name, counts in told["counts"].items():
        rows, ready, *bad = counts
        others = found["counts"][name]
        assert others[0] == rows
        assert set(bad) <= set(others), f"{name}: {bad} are not among {others}"
        assert sum(others[1:]) == rows, "what would go is told apart now: new, delivered before, unknown"
        assert ready <= rows - sum(bad)


# -- what happens next


@pytest.mark.parametrize("name", SCENARIOS)
def test_what_comes_next_is_what_came_next(world: World, name: str) -> None:
    assert json.loads(json.dumps(SCENARIOS[name](world))) == as_of_now(expected(name))


@pytest.mark.parametrize("name", ["retry", "run_again", "drops", "deals"])
def test_nothing_is_expected_to_be_sent_twice(name: str) -> None:
    """Nor was it: `sent` has the vendors' own keys, which are the event_ids but at one."""
    told = expected("results_all")
    steps = [step for step in expected(name).values() if isinstance(step, list) and isinstance(step[1], dict)]
    assert steps
    for vendor, keys in (each for _, sent, *_ in steps for each in sent.items()):
        before = {row["event_id"] for row in told if row["destination"] == vendor and row["status"] == "delivered"}
        assert len(set(keys)) == len(keys)
        assert not set(keys) & before


def test_receipts_name_the_deadline_of_rows_that_an_earlier_version_staged(world: World) -> None:
    """The file was delivered, and the process died before it was answered."""
    closed_at = next(
        line.split(";")[2]
        for line in (world.folder / "drops" / "delivered.csv").read_text().splitlines()
        if "P-402" in line
    )
    world.conversions("drops")
    page = (world.folder / "drops" / "processed" / "delivered.summary.html").read_text("utf-8")
    assert closed_at.split()[1][:5] in page, "a week later the vendor takes it no more, before anybody looks again"


# -- what is typed


@pytest.mark.parametrize("command", expected("commands"), ids=lambda command: command or "conversions")
def test_every_command_and_option_is_still_there(left: World, command: str) -> None:
    printed = left.conversions(*command.split(), "--help")
    assert printed.code == 0
    assert left.conversions(*command.split(), "-h").out == printed.out
    listed = {word for line in printed.out.splitlines() for word in takewhile(_is_option, line.strip("│* ").split())}
    assert listed >= set(expected("commands")[command]) - {"--now"}, "--now is hidden; it is used in `looks`"


def _is_option(word: str) -> bool:
    return word.startswith("-")


@pytest.mark.parametrize("module", ["etl.cli", "etl.sandbox.__main__", "etl.airflow.pools"])
def test_modules_that_are_run_by_name_are_still_there(module: str) -> None:
    assert importlib.util.find_spec(module) is not None


@pytest.mark.parametrize("target", ["help", "install", "demo", "test", "lint", "airflow", "soak", "bench"])
def test_every_target_of_make_is_still_there(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
