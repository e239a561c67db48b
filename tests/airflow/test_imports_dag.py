"""The DAG of an import, run to its end in this process against the sandbox."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from etl import pipeline
from etl.errors import ConfigError
from etl.ledger.claims import Claims
from etl.stages import transform
from tests.airflow.airflow_world import CONFIG, DESTINATIONS

if TYPE_CHECKING:
    from tests.airflow.airflow_world import World


def test_every_destination_gets_every_row_once_however_often_the_dag_runs(world: World) -> None:
    world.configure(chunk_rows=4)
    world.orders(10)
    first = world.run()
    assert first.state == "success"
    assert first.result("summary") == {name: {"delivered": 10} for name in DESTINATIONS}
    assert world.counted() == dict.fromkeys(DESTINATIONS, 10)
    assert [first.states()[f"converge.load[{index}]"] for index in range(3)] == ["success"] * 3
    labels = {ti.rendered_map_index for ti in first.dag_run.get_task_instances() if ti.task_id == "converge.load"}
    assert labels == {"chunk 0", "chunk 1", "chunk 2"}

    before = world.sandbox.counts()
    second = world.run()
    assert second.state == "success"
    assert second.result("summary") == {name: {"duplicate": 10} for name in DESTINATIONS}
    assert {name: told["requests"] for name, told in world.sandbox.counts().items()} == {
        name: told["requests"] for name, told in before.items()
    }


def test_a_destination_that_stops_fails_the_run_and_spares_the_others(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.orders(6)
    world.sandbox.fault(vendor="kameleoon", status=401)
    run = world.run()
    assert run.state == "failed"
    assert {name for name, state in run.states().items() if state == "failed"} == {"kameleoon.load[0]", "summary"}
    assert run.tries("kameleoon.load") == 1
    assert world.statuses() == {name: {"failed" if name == "kameleoon" else "delivered": 6} for name in DESTINATIONS}
    assert run.tries("summary") == 1
    assert "Kameleoon stopped: it answered 401" in caplog.text

    world.sandbox.clear_faults()
    again = world.run("retry_dead_letters")
    assert again.state == "success"
    assert again.result("kameleoon") == {"delivered": 6}
    assert again.result("convert") == {}
    assert world.counted() == dict.fromkeys(DESTINATIONS, 6)


def test_too_many_bad_rows_fail_the_run(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.orders(4)
    path = world.orders_file
    path.write_text(path.read_text() + ",Order Completed,,,,,,,,\n" * 2)
    run = world.run()
    assert run.state == "failed"
    assert world.statuses()["converge"] == {"delivered": 4, "rejected": 2}
    assert "converge: 33% of 6 rows were not delivered, max_bad_share allows 20%" in caplog.text


def test_rows_without_a_result_fail_the_run(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world.orders(5)
    load = pipeline.load

    def losing(job: Any, name: str, chunk: Any) -> None:
        load(job, name, chunk)
        if name == "converge":
            with job.ledger.database.engine.begin() as connection:
                connection.exec_driver_sql(
                    "DELETE FROM entries WHERE row_number = 2 "
                    "AND destination_no = (SELECT destination_no FROM destinations WHERE name = 'converge')"
                )

    monkeypatch.setattr(pipeline, "load", losing)
    run = world.run()
    assert run.state == "failed"
    assert run.tries("summary") == 1
    assert "does not add up (converge: 5 rows read, 4 results)" in caplog.text


@pytest.mark.parametrize(
    ("destination", "afterwards", "state"),
    [
        pytest.param("optimizely", "delivered", "success", id="the vendor counts a repeat once, so it is sent again"),
        pytest.param("convert", "unknown", "failed", id="the vendor counts a repeat twice, so a person decides"),
    ],
)
def test_a_task_that_dies_after_sending_is_repeated_and_counted_once(
    world: World, monkeypatch: pytest.MonkeyPatch, destination: str, afterwards: str, state: str
) -> None:
    world.configure(to=[destination])
    world.orders(7)
    record = Claims.record
    deaths: list[int] = []

    def dying(self: Claims, *arguments: Any) -> None:
        if not deaths:
            deaths.append(1)
            raise RuntimeError("the worker is gone between the vendor's answer and the ledger")
        record(self, *arguments)

    monkeypatch.setattr(Claims, "record", dying)
    run = world.run()
    assert run.tries(f"{destination}.load") == 2
    assert run.states()[f"{destination}.load[0]"] == "success"
    assert run.state == state
    assert world.statuses() == {destination: {afterwards: 7}}
    assert world.counted()[destination] == 7


def test_an_empty_source_is_a_run_of_no_rows(world: World) -> None:
    world.orders(0)
    run = world.run()
    assert run.state == "success"
    assert run.states()["converge.load"] == "skipped"
    assert run.result("summary") == {name: {} for name in DESTINATIONS}
    (info,) = world.ledger.runs.latest("store_orders")
    assert info.finished_at_ms is not None


def test_a_source_that_cannot_be_read_closes_the_run_with_the_reason(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.orders_file.unlink(missing_ok=True)
    run = world.run()
    assert run.state == "failed"
    assert run.tries("extract") == 1
    assert run.states()["summary"] == "failed"
    (info,) = world.ledger.runs.latest("store_orders")
    assert info.finished_at_ms is not None
    assert info.stop_detail.startswith("source: no file at")
    assert caplog.text.count(info.stop_detail) >= 2


def test_a_stage_that_dies_three_times_over_closes_the_run_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.configure(to=["converge", "convert"])
    world.orders(3)
    real = transform.stage

    def broken(job: Any, name: str, chunk: Any) -> Any:
        if name == "convert":
            raise RuntimeError("no space left on device")
        return real(job, name, chunk)

    monkeypatch.setattr(transform, "stage", broken)
    run = world.run()
    assert run.state == "failed"
    assert run.tries("convert.transform") == 4
    assert world.statuses() == {"converge": {"delivered": 3}, "convert": {}}
    (info,) = world.ledger.runs.latest("store_orders")
    assert info.finished_at_ms is not None
    assert info.stop_detail == "The task convert.transform_0 failed, its log says why."


def test_settings_that_break_under_way_stop_their_destination_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.configure(to=["converge", "convert"])
    world.orders(3)
    load = pipeline.load

    def gone(job: Any, name: str, chunk: Any) -> None:
        if name == "convert":
            raise ConfigError("destinations.convert.api_key: ${CONVERT_API_KEY} has no value.")
        load(job, name, chunk)

    monkeypatch.setattr(pipeline, "load", gone)
    run = world.run()
    assert run.state == "failed"
    assert run.tries("convert.load") == 1
    assert world.statuses()["converge"] == {"delivered": 3}
    (info,) = world.ledger.runs.latest("store_orders")
    stop = world.ledger.runs.stops(info.run_no)["convert"]
    assert stop.reason == "settings"
    assert "destinations.convert.api_key" in stop.detail


def test_settings_that_cannot_be_used_fail_at_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.orders(1)
    world.configure(source={"type": "csv", "path": "x.csv", "delimitr": ";"})
    run = world.run()
    assert run.state == "failed"
    assert run.tries("start") == 1
    told = caplog.text
    assert "imports.store_orders.source.delimitr: is not a known key (did you mean delimiter?)." in told
    assert "Nothing was begun" in told


def test_the_window_is_the_data_interval(world: World) -> None:
    world.configure(to=["converge"])
    world.orders(2)
    run = world.run(logical_date=datetime(2026, 11, 20, 21, tzinfo=UTC))
    assert run.interval == (datetime(2026, 11, 19, 21, tzinfo=UTC), datetime(2026, 11, 20, 21, tzinfo=UTC))
    (info,) = world.ledger.runs.latest("store_orders")
    assert (info.window_start_ms, info.window_end_ms) == tuple(int(end.timestamp() * 1000) for end in run.interval)


def test_a_run_without_an_interval_reads_everything(world: World) -> None:
    world.configure(to=["converge"], schedule=None)
    world.orders(2)
    assert world.run().state == "success"
    assert world.run(logical_date=None).state == "success"
    assert {(info.window_start_ms, info.window_end_ms) for info in world.ledger.runs.all()} == {(None, None)}


def test_what_failed_before_goes_first_and_a_destination_that_stops_there_is_not_tried_again(world: World) -> None:
    world.configure(to=["converge", "kameleoon"])
    old = world.orders(4)
    world.sandbox.fault(vendor="converge", status=401)
    world.sandbox.fault(vendor="kameleoon", status=401, times=1)
    assert world.run().state == "failed"
    world.sandbox.reset()
    world.orders(2, first=10)
    run = world.run()
    assert run.states()["retry_first.converge"] == run.states()["retry_first.kameleoon"] == "success"
    assert world.statuses() == {"converge": {"failed": 2}, "kameleoon": {"delivered": 2}}
    sent = [entry["key"] for entry in world.sandbox.received("kameleoon")]
    assert (sorted(sent[:4]), len(sent)) == (old, 6)
    assert world.sandbox.counts()["converge"]["requests"] <= 4, "of the rows that go first alone"
    assert [run.kind for run in world.ledger.runs.all()] == ["import", "retry", "retry", "import"]
    assert "401" in world.ledger.runs.stops(world.ledger.runs.all()[-1].run_no)["converge"].detail


@pytest.mark.parametrize(
    ("settings", "is_backfill"),
    [pytest.param({}, True, id="a backfill"), pytest.param({"retry_first": False}, False, id="the import says so")],
)
def test_nothing_goes_first(world: World, settings: dict[str, Any], is_backfill: bool) -> None:
    from etl.airflow import tasks

    world.configure(to=["converge"], **settings)
    world.orders(1)
    world.sandbox.fault(vendor="converge", status=401)
    world.run()
    assert tasks.retry_first(CONFIG, "store_orders", "converge", is_backfill=is_backfill) == []
    assert [run.kind for run in world.ledger.runs.all()] == ["import"]
