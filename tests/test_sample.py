"""The sample: good where it says good, and a row for every way to be turned away."""

from __future__ import annotations

import ast
import csv
import importlib
import io
import itertools
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pandera.pandas as pa
import pytest
import yaml

from etl import columns, config, preview, sample
from etl import reasons as reasons_of_everybody
from etl.config import Config
from etl.destinations import all_reasons, make_destination
from etl.reasons import Reason
from etl.sandbox import Sandbox
from schemas import conversion

HOME = Path(__file__).parent.parent
ORDERS = HOME / "sample_data/orders.csv"
NOW = datetime(2026, 11, 20, 20, tzinfo=UTC)

# What no rule says: the source's own verdict, and events that a destination does not want.
NOT_IN_SCHEMAS = {"ragged_row", "not_in_mapping"}

TYPED_ONLY = {"inexact_number"}
"""What no CSV file can have: see tests/cases/test_h_doubles.py."""

STRICT: Mapping[str, dict[str, Any]] = {
    "convert": {"currency": "GBP", "bucketing_column": "attributes", "max_age_days": 5},
    "optimizely": {"reject_personal_ids": True, "lift_quantity": True, "max_age_days": 5},
    "converge": {"spec_check": "strict", "aliases_from": ["email", "phone"]},
    "kameleoon": {"referrers_field": "referrersIndices", "known_goals": [36151, 36152, 36153]},
    "webflow_optimize": {"hash_user_id": "sha256-phone", "user_domain": None, "known_events": ["order-completed"]},
}
"""Options under which the vendors turn away what they else let pass."""


def clock() -> int:
    return int(NOW.timestamp() * 1000)


def text_of(rows: Any) -> str:
    target = io.StringIO()
    sample.write(rows, target)
    return target.getvalue()


@pytest.fixture
def default(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Config:
    """imports.yaml as it stands in the repository, its files elsewhere."""
    return written(tmp_path, sandbox, monkeypatch, {}, {})


@pytest.fixture
def strict(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Config:
    """The same with a time zone, a list of goals, and every option that turns rows away."""
    goals = {"convert": {"goals_url": sandbox.lookup("convert")}}
    return written(
        tmp_path,
        sandbox,
        monkeypatch,
        {**STRICT, "convert": STRICT["convert"] | goals["convert"]},
        {
            "timezone": "Europe/Berlin",
            "date_format": "%d.%m.%Y %H:%M",
            "locale": {"decimal": ".", "thousands": ","},
        },
    )


def written(
    folder: Path,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    destinations: Mapping[str, dict[str, Any]],
    settings: Mapping[str, Any],
) -> Config:
    monkeypatch.setenv("SANDBOX", sandbox.url)
    monkeypatch.setenv("ORDERS_CSV", str(ORDERS))
    raw = yaml.safe_load((HOME / "imports.yaml").read_text())
    for name, options in destinations.items():
        raw["destinations"][name] |= options
    raw["imports"]["store_orders"] |= settings
    (folder / "imports.yaml").write_text(yaml.safe_dump(raw))
    return config.load(folder / "imports.yaml")


def reasons(config: Config) -> set[str]:
    """Why rows of the sample are turned away, at any destination."""
    checked = preview.check(config, "store_orders", clock=clock)
    assert not any(each.stopped for each in checked.values())
    return {reason for each in checked.values() for status, reason in each.counts if status != "ready"}


def codes(schema: pa.DataFrameSchema) -> set[str]:
    return {str(check.name) for column in schema.columns.values() for check in column.checks}


def all_codes(config: Config) -> set[str]:
    """Every reason that these settings know."""
    found = codes(conversion.SCHEMA) | codes(conversion.UNIQUE) | NOT_IN_SCHEMAS
    for name in config.destination_names:
        lookup: dict[str, Any] = (
            {"goals": {}} if name == "convert" and "goals_url" in config.file.destinations[name] else {}
        )
        destination = make_destination(config, name, lookup)
        found |= codes(destination.schema()) | {destination.facts.expired[0]}
    return found


def test_the_file_in_the_repository_is_what_the_program_writes() -> None:
    assert ORDERS.read_text(encoding="utf-8") == text_of(sample.showcase(NOW))


def test_every_way_to_be_turned_away_is_in_it(default: Config, strict: Config) -> None:
    seen = reasons(default) | reasons(strict)
    assert seen == (all_codes(default) | all_codes(strict)) - TYPED_ONLY


def test_the_two_settings_know_every_reason_that_schemas_give(default: Config, strict: Config) -> None:
    named = {
        reason
        for file in (HOME / "schemas").glob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("rule", "required")
        if (reason := given(node, importlib.import_module(f"schemas.{file.stem}")))
    }
    assert named
    assert named <= all_codes(default) | all_codes(strict)


def given(call: ast.Call, module: ModuleType) -> str | None:
    """The code of the constant that a rule is given; None where it is a loop's or a parameter."""
    first = call.args[0]
    room = reasons_of_everybody if isinstance(first, ast.Attribute) else module
    found = getattr(room, getattr(first, "attr", getattr(first, "id", "")), None)
    return found.code if isinstance(found, Reason) else None


def test_an_example_from_the_showcase_is_turned_away_for_its_reason(default: Config, strict: Config) -> None:
    shown = [reason for each in all_reasons().values() for reason in each if reason.example.startswith("demo-")]
    pairs = events(default) | events(strict)
    warned = warnings(default)
    assert warned
    for reason in shown:
        start = reason.example.removesuffix("…")
        turned_away = any(code == reason.code and id_.startswith(start) for code, id_ in pairs)
        assert turned_away or reason.code in warned, reason.code


def events(config: Config) -> set[tuple[str, str]]:
    """(reason, event_id) of every row that is turned away at some destination."""
    checked = preview.check(config, "store_orders", clock=clock)
    return {(row.verdict.reason, row.event_id) for each in checked.values() for row in each.unsent}


def warnings(config: Config) -> set[str]:
    """What is said of rows that go."""
    checked = preview.check(config, "store_orders", clock=clock)
    return {reason for each in checked.values() for status, reason in each.counts if status == "ready" and reason}


def test_a_row_tells_what_is_wrong_with_it(default: Config) -> None:
    checked = preview.check(default, "store_orders", clock=clock)
    bad = {row[1] for each in checked.values() for row in each.unsent if row[3].status == "rejected"}
    assert all(event_id.startswith("demo-") and not event_id.startswith("demo-good") for event_id in bad - {""})
    for each in checked.values():
        ready = sum(count for (status, _), count in each.counts.items() if status == "ready")
        assert ready > each.rows / 2


def test_good_rows_are_good_at_every_vendor(default: Config, tmp_path: Path) -> None:
    file = tmp_path / "good.csv"
    file.write_text(text_of(sample.rows(50, NOW)), encoding="utf-8")
    for each in preview.check(default, file=str(file), clock=clock).values():
        assert each.rows == 50
        assert {status for status, _ in each.counts} <= {"ready", "skipped"}


def test_good_rows_are_spread_over_the_last_36_hours() -> None:
    rows = list(sample.rows(1000, NOW))
    times = [datetime.fromisoformat(row[2]) for row in rows]
    steps = {round((later - earlier).total_seconds(), 2) for earlier, later in itertools.pairwise(times)}
    assert steps == {129.6}
    assert NOW - timedelta(hours=36) < times[0] < times[-1] < NOW
    assert {row[1] for row in rows} == {"Order Completed", "Signed Up", "Form Submitted", "page", "Order Refunded"}


def test_ids_do_not_depend_on_the_clock_nor_on_how_many_there_are() -> None:
    later = [row[0] for row in sample.rows(10, NOW + timedelta(days=9))]
    assert later == [row[0] for row in sample.rows(1000, NOW)][:10]
    assert len({row[0] for row in sample.rows(1000, NOW)}) == 1000


def test_the_header_is_every_canonical_column_and_one_more() -> None:
    assert (*columns.COLUMNS, "store") == sample.HEADER


def test_nobody_in_it_exists() -> None:
    text = ORDERS.read_text(encoding="utf-8") + text_of(sample.rows(50, NOW))
    hosts = set(re.findall(r"[@/]([a-z0-9.-]+\.(?:com|org|net))", text))
    assert hosts <= {"example.com", "shop.example.com"}


def test_difficult_ids_are_among_the_good_ones() -> None:
    ids = [row[0] for row in csv.reader(io.StringIO(ORDERS.read_text(encoding="utf-8")))]
    assert {"007", "9007199254740993123", "order 42 b", "Größe-Ä1"} <= set(ids)
