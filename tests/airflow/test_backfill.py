"""Days gone by: a window without a file, rows that have expired, and what cannot be read again."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.airflow.airflow_world import CONFIG, DESTINATIONS, DagRunSeen

if TYPE_CHECKING:
    from tests.airflow.airflow_world import World


def a_day(world: World, day: int, **changes: Any) -> DagRunSeen:
    """A run of an import whose files have a day in their names; there is none of that day."""
    path = str(world.folder / "orders_{start:%Y-%m-%d}.csv")
    world.configure(to=["converge"], source={"type": "csv", "path": path}, **changes)
    return world.run(logical_date=datetime(2026, 11, day, 21, tzinfo=UTC))


def test_a_day_without_a_file_is_a_skipped_run_with_the_real_path(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    run = a_day(world, 18, missing="skip")
    assert run.state == "success"
    states = run.states()
    assert (states["extract"], states["summary"], states["converge.load"]) == ("skipped", "skipped", "skipped")
    (info,) = world.ledger.runs.latest("store_orders")
    assert (info.finished_at_ms is not None, info.stop_detail) == (True, "")
    assert f"no file at {world.folder}/orders_2026-11-" in caplog.text


def test_a_day_without_a_file_fails_where_nothing_else_is_said(world: World) -> None:
    run = a_day(world, 19)
    assert (run.state, run.states()["extract"]) == ("failed", "failed")
    (info,) = world.ledger.runs.latest("store_orders")
    assert info.stop_detail.startswith(f"source: no file at {world.folder}/orders_2026-11-")
    assert "{start" not in info.stop_detail


def test_expired_rows_are_counted_apart_and_fail_nothing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "conversions")
    world.configure(to=["webflow_optimize"], max_bad_share=0.2)
    world.orders(4)
    path = world.orders_file
    long_ago = (datetime.now(UTC) - timedelta(days=30)).isoformat()
    fresh = [line.split(",")[2] for line in path.read_text().splitlines()[1:]]
    path.write_text(path.read_text().replace(fresh[0], long_ago).replace(fresh[1], long_ago))
    run = world.run()
    assert run.state == "success"
    assert run.result("summary") == {"webflow_optimize": {"delivered": 2, "rejected": 2}}
    assert "4 rows read, 2 delivered, 2 rejected (2 of them expired)" in caplog.text


def cursor(world: World) -> dict[str, Any]:
    return {
        "type": "sql",
        "url": f"sqlite:///{world.folder}/crm.db",
        "table": "deals",
        "cursor": {"column": "closed_at"},
    }


@pytest.mark.parametrize("kind", ["the same rows on every day", "a cursor"])
def test_what_has_no_days_refuses_a_backfill_before_anything_is_read(world: World, kind: str) -> None:
    from etl.airflow import failing, tasks

    world.configure(to=["converge"], **({"source": cursor(world)} if kind == "a cursor" else {}))
    day = datetime(2026, 11, 20, 21, tzinfo=UTC)
    with pytest.raises(failing.Failed) as refused:
        tasks.start(CONFIG, "store_orders", day, day + timedelta(days=1), is_backfill=True)
    said = "reads on from where the last run ended" if kind == "a cursor" else "reads the same rows on every day"
    assert refused.value.sentence.startswith(f"imports.store_orders.source: {said}")
    assert "Line " in refused.value.sentence
    assert not (world.folder / "ledger.db").exists(), "nothing was begun, no watermark moved"


def test_a_trigger_may_choose_destinations_and_an_empty_choice_is_all_of_them(world: World) -> None:
    world.orders(3)
    some = world.run(run_conf={"destinations": ["converge"]})
    assert some.state == "success"
    assert some.result("summary") == {"converge": {"delivered": 3}}
    assert (some.states()["convert.transform[0]"], some.states()["converge.load[0]"]) == ("skipped", "success")
    every = world.run(run_conf={"destinations": []})
    assert every.result("summary") == {
        name: {"duplicate" if name == "converge" else "delivered": 3} for name in DESTINATIONS
    }
    with pytest.raises(Exception, match=r"destinations"):
        world.run(run_conf={"destinations": ["nobody"]})
