"""What an operator sees of trouble in the UI, and what clearing a task does."""

from __future__ import annotations

import json
import logging
import shutil
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from etl import pipeline
from etl.airflow import failing, tasks, telling
from etl.config import load as load_config
from etl.staging import Staging
from tests.airflow.airflow_world import CONFIG, LOGS, DagRunSeen, supervised

if TYPE_CHECKING:
    from tests.airflow.airflow_world import World


class Cleared:
    """The tasks of one destination in the latest run, done again as a worker does them when they are cleared."""

    def __init__(self, world: World, destination: str) -> None:
        (self.run,) = world.ledger.runs.latest("store_orders")
        self.destination = destination
        staged = Staging(load_config(CONFIG).staging_url, self.run.run_id)
        self.chunks = [
            {"index": each.index, "path": each.path, "rows": each.rows}
            for each in staged.chunks(f"items/{destination}")
        ]

    def load(self, index: int, attempt: int) -> str:
        """One chunk in its so-manieth try; the sentence that it fails with."""
        return sentence_of(lambda: tasks.load(CONFIG, self.run.run_id, self.destination, self.chunks[index], attempt))

    def summary(self) -> dict[str, dict[str, int]]:
        return tasks.summary(CONFIG, self.run.run_id, {})


def sentence_of(work: Callable[[], Any]) -> str:
    try:
        work()
    except failing.Failed as error:
        return error.sentence
    return ""


def test_a_stop_is_red_where_it_happened_and_clearing_asks_the_vendor_again(world: World) -> None:
    world.configure(chunk_rows=4, to=["kameleoon", "converge"])
    names = world.orders(10)
    world.sandbox.fault(vendor="kameleoon", status=401)
    run = world.run()
    failed = {name for name, state in run.states().items() if state == "failed"}
    assert failed == {"kameleoon.load[0]", "kameleoon.load[1]", "kameleoon.load[2]", "summary"}
    assert world.statuses() == {"kameleoon": {"failed": 10}, "converge": {"delivered": 10}}
    asked = world.sandbox.counts()["kameleoon"]["requests"]

    cleared = Cleared(world, "kameleoon")
    first = cleared.load(0, 2)
    assert "it answered 401" in first
    asked_again = world.sandbox.counts()["kameleoon"]["requests"]
    assert asked_again > asked
    assert cleared.load(1, 2) == first, "one of the cleared tasks asks, the others go by its answer"
    assert world.sandbox.counts()["kameleoon"]["requests"] == asked_again

    world.sandbox.clear_faults()
    assert [cleared.load(index, 3) for index in range(3)] == ["", "", ""]
    assert cleared.summary() == {"kameleoon": {"delivered": 10}, "converge": {"delivered": 10}}
    assert sorted(entry["key"] for entry in world.sandbox.received("kameleoon")) == sorted(names)
    assert world.counted()["converge"] == 10


def test_a_lookup_that_failed_is_red_at_load_and_is_made_again(world: World) -> None:
    world.configure(to=["optimizely"])
    world.orders(3)
    world.sandbox.fault(vendor="optimizely", status=503)
    run = world.run()
    assert run.states()["optimizely.load[0]"] == "failed"
    assert world.statuses() == {"optimizely": {"failed": 3}}
    world.sandbox.clear_faults()
    cleared = Cleared(world, "optimizely")
    assert cleared.load(0, 2) == ""
    assert cleared.summary() == {"optimizely": {"delivered": 3}}


def test_a_stop_says_when_it_happened(world: World) -> None:
    world.configure(to=["kameleoon"])
    world.orders(2)
    world.sandbox.fault(vendor="kameleoon", status=401)
    world.run()
    cleared = Cleared(world, "kameleoon")
    assert f"({cleared.run.run_id[:4]}-" in cleared.load(0, 1)
    assert cleared.load(0, 1).endswith(" UTC.)")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Airflow's own sockets
def test_the_last_line_of_a_failed_task_is_its_sentence_and_no_frames_are_above_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow.sdk.execution_time.supervisor.run_task_in_process", supervised)
    shutil.rmtree(LOGS, ignore_errors=True)
    world.configure(to=["converge"], source={"type": "csv", "path": str(world.folder / "nothing.csv")})
    run: DagRunSeen = world.run()
    assert (run.states()["extract"], run.tries("extract")) == ("failed", 1)
    (file,) = (LOGS / "store_orders" / run.dag_run.run_id).glob("extract.*.log")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line for line in lines if line["event"] == "Task exited" and "no file at" in line["exit_code"]]
    assert not [line for line in lines if "error_detail" in line or "exception" in line]
    assert "no file at" in [line["event"] for line in lines if not line["event"].startswith("::")][-1]


def test_logs_say_why_rows_are_not_delivered_and_what_to_do(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.configure(to=["converge"], max_bad_share=1)
    world.orders(4)
    path = world.orders_file
    path.write_text(path.read_text() + "x1,Order Completed,,,,,,,,\nx2,Order Completed,,,,,,,,\n")
    world.run()
    said = caplog.text
    fix = "2 rejected, missing_occurred_at. occurred_at is empty: when did it happen? Fill in the moment"
    assert [who for who in ("every destination", "converge") if f"{who}: {fix}" in said] == [
        "every destination",
        "converge",
    ], said


def test_a_task_that_waits_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world.configure(to=["converge"])
    world.orders(3)
    world.sandbox.fault(vendor="converge", status=401)
    world.run()
    world.sandbox.clear_faults()
    cleared = Cleared(world, "converge")
    told = threading.Event()
    real = pipeline.load

    class Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "0 of 3 rows have their last word; no answer for" in record.getMessage():
                told.set()

    def waiting(*arguments: Any) -> None:
        assert told.wait(20)
        real(*arguments)

    monkeypatch.setattr(telling, "EVERY_S", 0.01)
    monkeypatch.setattr(pipeline, "load", waiting)
    listener = Listening()
    logging.getLogger("conversions").addHandler(listener)
    caplog.set_level(logging.INFO, "conversions")
    try:
        assert cleared.load(0, 2) == ""
    finally:
        logging.getLogger("conversions").removeHandler(listener)
