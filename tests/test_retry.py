"""Dead letters, sent again: what is old, renamed or gone holds nothing else up."""

from __future__ import annotations

import shutil
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from etl import config, retry
from etl.cli import app
from etl.clock import wall_clock
from etl.errors import SumMismatch
from etl.ledger import DeadLetters, open_ledger
from etl.ledger.runs import Runs
from etl.report import Report
from etl.retry import DeadLetterRows
from etl.sources.base import Window
from tests.conftest import House, order


def failing(house: House, *vendors: str, numbers: tuple[int, ...] = (1, 2), **changed: str) -> str:
    """A run that these vendors refuse; its id."""
    house.to = list(vendors)
    house.write([order(number, **changed) for number in numbers])
    house.sandbox.fault(vendor="*", status=401)
    run_id = house.run().run.run_id
    house.sandbox.clear_faults()
    return run_id


def edited(house: House, change: Callable[[dict[str, Any]], object]) -> config.Config:
    path = house.config.path
    raw = yaml.safe_load(path.read_text())
    change(raw)
    path.write_text(yaml.safe_dump(raw))
    return config.load(path)


def pruned(house: House, run_id: str) -> None:
    """Forget what can be forgotten of a run, as if it were old."""
    house.sql(f"UPDATE runs SET started_at_ms = 0 WHERE run_id = '{run_id}'")
    with open_ledger(house.config) as ledger:
        ledger.prune(wall_clock() - 1_000_000)


def statuses(reports: list[Report]) -> list[dict[str, int]]:
    """Fewest first: runs of one second are sent again in any order."""
    return sorted((report.by_status("webflow_optimize") for report in reports), key=lambda rows: sum(rows.values()))


def chunk(first: int, end: int) -> pd.DataFrame:
    return pd.DataFrame({"event_id": "x"}, index=range(first, end))


def counts(house: House, vendor: str) -> int:
    return int(house.sandbox.counts()[vendor]["counted"])


def test_a_destination_that_is_no_more_is_told_and_the_others_go(house: House) -> None:
    failing(house, "converge", "webflow_optimize")
    told: list[str] = []

    def without(raw: dict[str, Any]) -> None:
        del raw["destinations"]["converge"]
        raw["imports"]["orders"]["to"] = ["webflow_optimize"]

    reports = retry.retry(edited(house, without), on_skip=told.append)
    assert [report.by_status("webflow_optimize") for report in reports] == [{"delivered": 2}]
    assert told == ["converge is no longer in imports.yaml: 2 rows that it did not take stay as they are."]


def test_what_stays_is_not_called_nothing(house: House) -> None:
    failing(house, "converge")

    def without(raw: dict[str, Any]) -> None:
        del raw["destinations"]["converge"]
        raw["imports"]["orders"]["to"] = ["webflow_optimize"]

    told = CliRunner().invoke(app, ["--config", str(edited(house, without).path), "retry"])
    assert (told.exit_code, told.stdout) == (1, "")
    assert told.stderr == (
        "conversions: converge is no longer in imports.yaml: 2 rows that it did not take stay as they are.\n"
    )


def test_rows_of_an_import_that_was_renamed_go(house: House) -> None:
    failing(house, "webflow_optimize")
    failing(house, "webflow_optimize", numbers=(3,))
    renamed = edited(house, lambda raw: raw["imports"].update(shop=raw["imports"].pop("orders")))
    reports = retry.retry(renamed)
    assert statuses(reports) == [{"delivered": 1}, {"delivered": 2}]
    assert [report.exit_code for report in reports] == [0, 0]


def test_a_run_that_was_pruned_holds_no_other_up(house: House) -> None:
    """Its rows were sent again once, in vain: they belong to that retry, which is younger."""
    first = failing(house, "webflow_optimize")
    house.sandbox.fault(vendor="*", status=401)
    house.retry()
    failing(house, "webflow_optimize", numbers=(3,))
    pruned(house, first)
    reports = house.retry()
    assert statuses(reports) == [{"delivered": 1}, {"delivered": 2}]


def test_staged_rows_that_are_gone_hold_no_other_run_up(house: House) -> None:
    first = failing(house, "webflow_optimize")
    failing(house, "webflow_optimize", numbers=(3,))
    shutil.rmtree(house.folder / "staging" / first)
    gone, sent = sorted(house.retry(), key=lambda report: report.run.retry_of != first)
    assert "are gone, 2 of them needed" in gone.run.stop_detail
    assert gone.rows == {"webflow_optimize": 0}
    assert sent.by_status("webflow_optimize") == {"delivered": 1}


def test_a_sum_that_differs_is_told_when_the_others_have_gone(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(house, "webflow_optimize")
    failing(house, "webflow_optimize", numbers=(3,))
    real, asked = Runs.rows_read, []

    def rows_read(self: Runs, run_no: int) -> dict[str, int | None]:
        asked.append(run_no)
        return {**real(self, run_no), **({"webflow_optimize": 7} if len(asked) == 1 else {})}

    monkeypatch.setattr(Runs, "rows_read", rows_read)
    with pytest.raises(SumMismatch, match=r"7 rows read, [12] results"):
        house.retry()
    assert counts(house, "webflow_optimize") == 3


def test_naming_the_import_run_finds_what_a_retry_of_it_left(house: House) -> None:
    first = failing(house, "webflow_optimize")
    house.sandbox.fault(vendor="*", status=401)
    (again,) = house.retry()
    house.sandbox.clear_faults()
    assert [row["run_id"] for row in house.results(statuses=["failed"])] == [first] * 2 + [again.run.run_id] * 2
    (last,) = house.retry(run_id=first)
    assert last.by_status("webflow_optimize") == {"delivered": 2}


def test_rows_that_no_destination_was_asked_about_are_called_that(house: House) -> None:
    house.to = ["webflow_optimize", "converge"]
    house.write([order(1, occurred_at="yesterday"), order(2, aliases=""), order(3)])
    first = house.run()
    assert first.by_status("webflow_optimize") == {"delivered": 2, "rejected": 1}
    (again,) = house.retry(statuses=["rejected"])
    assert again.exit_code == 2
    assert "1 of the rows of run" in again.run.stop_detail
    assert "correct them in the source and run `conversions run orders`" in again.run.stop_detail
    assert again.counts == {"converge": {("rejected", "missing_aliases"): 1}, "webflow_optimize": {}}


@pytest.mark.parametrize("part", [1, 2, 5, 100])
def test_rows_are_found_chunk_by_chunk_however_they_were_read(part: int) -> None:
    rows = {("run-1", "a"): [3, 4, 9], ("run-1", "b"): [1], ("run-2", "a"): [2, 9, 12, 100, 101, 102]}

    def found() -> Iterator[DeadLetters]:
        for (run, name), numbers in rows.items():
            for start in range(0, len(numbers), part):
                yield DeadLetters(run, name, numbers[start : start + part])

    with DeadLetterRows(found()) as letters:
        assert letters.runs == {"run-1": {"a": 3, "b": 1}, "run-2": {"a": 6}}
        for (run, name), numbers in rows.items():
            chunks = [chunk(first, first + 10) for first in range(1, 120, 10)]
            again = [letters.rows_of(run, name, frame).index for frame in [*chunks, chunk(0, 0)]]
            assert list(chain.from_iterable(again)) == numbers


def test_memory_does_not_grow_with_the_letters() -> None:
    part = 20_000
    frame = chunk(777_777, 797_777)
    found = (DeadLetters("run", "a", list(range(start, start + part))) for start in range(0, 100 * part, part))
    tracemalloc.start()
    with DeadLetterRows(found) as letters:
        assert len(letters.rows_of("run", "a", frame)) == part
        most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert letters.runs == {"run": {"a": 2_000_000}}
    assert most < 4_000_000


# -- before a run


def run(house: House, **options: Any) -> list[Report]:
    return retry.run(house.config, "orders", **options)


def test_what_failed_goes_first_as_a_run_of_its_own(house: House) -> None:
    first = failing(house, "webflow_optimize")
    house.write([order(3)])
    again, found = run(house)
    assert (again.run.kind, again.run.retry_of, found.run.kind) == ("retry", first, "import")
    assert [report.by_status("webflow_optimize") for report in (again, found)] == [{"delivered": 2}, {"delivered": 1}]
    sent = [entry["key"] for entry in house.sandbox.received("webflow_optimize") if entry["counted"]]
    assert sorted(sent[:2]) + sent[2:] == ["order-1", "order-2", "order-3"]
    assert [report.run.kind for report in run(house)] == ["import"]


def test_nothing_goes_first_with_a_limit_a_window_or_where_the_import_says_so(house: House) -> None:
    failing(house, "webflow_optimize")
    house.write([order(3)])
    assert [report.run.kind for report in run(house, limit=1)] == ["import"]
    house.import_settings = {"source": {"type": "csv", "path": "or{start:%d}ers.csv"}}
    window = Window(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC))
    house.write([order(4)], "or01ers.csv")
    assert [report.run.kind for report in run(house, window=window)] == ["import"]
    house.import_settings = {"retry_first": False}
    assert [report.run.kind for report in run(house)] == ["import"]
    assert counts(house, "webflow_optimize") == 2


def test_what_may_have_been_accepted_goes_first_only_where_a_repeat_counts_once(house: House) -> None:
    house.to = ["convert", "webflow_optimize"]
    house.write([order(1)])
    house.sandbox.fault(vendor="*", drop="after")
    house.run()
    house.sandbox.clear_faults()
    house.write([order(2)])
    again, found = run(house)
    assert again.rows == {"webflow_optimize": 1}
    assert found.by_status("convert") == {"delivered": 1}


def test_a_destination_that_stops_first_is_not_tried_again(house: House) -> None:
    failing(house, "webflow_optimize", "converge")
    failing(house, "webflow_optimize", "converge", numbers=(5, 6))
    house.write([order(3)])
    house.sandbox.fault(vendor="converge", status=401)
    house.sandbox.reset()
    *again, found = run(house)
    assert [set(report.rows) for report in again] == [{"converge", "webflow_optimize"}, {"webflow_optimize"}]
    assert found.by_status("converge") == {"failed": 1}
    assert found.by_status("webflow_optimize") == {"delivered": 1}
    assert found.stops["converge"] == again[0].stops["converge"]
    assert max(report.exit_code for report in (*again, found)) == 2
    assert house.sandbox.counts()["converge"]["items"] <= 2, "of the rows that go first alone"


def test_the_oldest_goes_first_whatever_run_it_is_from(house: House) -> None:
    def at(minutes: int) -> str:
        return (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat()

    house.import_settings = {"chunk_rows": 1}
    recent = failing(house, "webflow_optimize", numbers=(1,), occurred_at=at(10))
    house.to = ["webflow_optimize"]
    house.write([order(2, occurred_at=at(30)), order(3, occurred_at=at(90)), order(4, occurred_at=at(20))])
    house.sandbox.fault(vendor="*", status=401)
    old = house.run().run.run_id
    house.sandbox.clear_faults()
    house.sandbox.reset()
    assert [report.run.retry_of for report in house.retry()] == [old, recent]
    assert [e["key"] for e in house.sandbox.received("webflow_optimize")] == [
        "order-3",
        "order-2",
        "order-4",
        "order-1",
    ]


def test_rows_that_are_no_longer_staged_hold_no_run_up(house: House) -> None:
    gone = failing(house, "webflow_optimize")
    failing(house, "webflow_optimize", numbers=(3,))
    shutil.rmtree(house.folder / "staging" / gone)
    house.write([order(4)])
    again, found = run(house)
    assert [again.exit_code, found.exit_code] == [0, 0]
    assert again.by_status("webflow_optimize") == {"delivered": 1}


def test_the_command_tells_of_both_runs(house: House) -> None:
    failing(house, "webflow_optimize")
    house.write([order(3)])
    house.sandbox.fault(vendor="webflow_optimize", status=400, when_body_contains='"order-2"')
    told = CliRunner().invoke(app, ["--config", str(house.config.path), "run", "orders"])
    assert told.exit_code == 1, "of what went first one row was refused"
    assert told.stdout.index("sends again what is left of") < told.stdout.index("orders · run", 9)
