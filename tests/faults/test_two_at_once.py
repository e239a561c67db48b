"""A nightly run and a backfill over the same rows at the same moment: each row is sent by one of the two."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from etl.ledger import open_ledger
from etl.sandbox import Sandbox
from tests.conftest import House, order
from tests.faults.harness import Victims

REPETITIONS = [pytest.param(3, id="short"), pytest.param(20, id="whole", marks=pytest.mark.e2e)]
ROWS = 30
BOTH_KINDS = ["convert", "optimizely"]


@pytest.mark.parametrize("repetitions", REPETITIONS)
def test_two_processes_send_each_row_once(
    tmp_path: Path, ledger_url: str, machines: list[Victims], repetitions: int
) -> None:
    with Sandbox(keep=False) as sandbox, ThreadPoolExecutor(2) as side_by_side:
        house = House(tmp_path, sandbox, ledger_url, to=BOTH_KINDS, import_settings={"chunk_rows": 10})
        house.overrides = {"convert": {"limits": {"items": 4}}, "optimizely": {"limits": {"items": 4}}}
        path = str(house.config.path)
        for night in range(repetitions):
            house.write([order(1000 * night + number) for number in range(ROWS)])
            runs = [side_by_side.submit(machine.run, "--config", path, "run", "orders") for machine in machines]
            assert [run.result() for run in runs] == [0, 0]
            _each_row_went_once(house, night + 1)
    assert len(house.sql("SELECT run_no FROM runs")) == 2 * repetitions


def _each_row_went_once(house: House, nights: int) -> None:
    told = house.sql(
        "SELECT name, status, sum(row_count) FROM run_counts JOIN destinations USING (destination_no) GROUP BY 1, 2"
    )
    for vendor in BOTH_KINDS:
        words = {status: count for name, status, count in told if name == vendor}
        assert words == {"delivered": ROWS * nights, "duplicate": ROWS * nights}
        counts = house.sandbox.counts()[vendor]
        assert (counts["counted"], counts["repeats"]) == (ROWS * nights, 0)


def test_two_first_runs_make_the_tables_once(tmp_path: Path, ledger_url: str, machines: list[Victims]) -> None:
    house = House(tmp_path, Sandbox(keep=False), ledger_url)
    path = str(house.config.path)
    with ThreadPoolExecutor(2) as side_by_side:
        for _ in range(5):
            opened = [side_by_side.submit(each.run, "--config", path, "results") for each in machines]
            assert [each.result() for each in opened] == [0, 0]
            _forget_everything(house)


def _forget_everything(house: House) -> None:
    if house.ledger_url.startswith("sqlite"):
        for file in house.folder.glob("ledger.db*"):
            file.unlink()
    else:
        house.sql("DROP SCHEMA public CASCADE")
        house.sql("CREATE SCHEMA public")


def test_what_a_dead_process_had_claimed_is_left_alone_until_its_lease_ends(
    tmp_path: Path, ledger_url: str, machines: list[Victims]
) -> None:
    with Sandbox(keep=False) as sandbox:
        house = House(tmp_path, sandbox, ledger_url, to=["optimizely"])
        house.write([order(number) for number in range(10)])
        arguments = ("--config", str(house.config.path), "run", "orders")
        one, two = machines
        assert one.run(*arguments, step="claim:after", nth=1) == -9
        assert two.run(*arguments) == 0
        (elsewhere,) = house.sql("SELECT DISTINCT status, reason FROM result_history WHERE run_no = 2")
        assert tuple(elsewhere) == ("duplicate", "in_flight_elsewhere")
        assert sandbox.counts()["optimizely"]["requests"] == 0
        house.sql("UPDATE runs SET lease_until_ms = 1 WHERE run_no = 1")
        assert two.run(*arguments) == 0
        assert sandbox.counts()["optimizely"]["counted"] == 10


def test_a_run_whose_vendor_takes_its_time_stays_alive_to_others(house: House) -> None:
    """The lease of its claims is far shorter here than one answer takes, and is renewed meanwhile."""
    house.lease, house.to, house.overrides = "0.5s", ["convert"], {"convert": {"retry": {"timeout_s": 30}}}
    house.write([order(1)])
    house.sandbox.fault(vendor="convert", delay_ms=1500)
    run = threading.Thread(target=house.run)
    with open_ledger(house.config) as ledger:
        run.start()
        looked = 0
        while run.is_alive():
            for info in ledger.runs.latest():
                claimed, alive = ledger.results.counts(info.run_no)["convert"], ledger.leases.is_alive(info.run_id)
                if claimed and ledger.runs.get(info.run_id).finished_at_ms is None:
                    assert alive
                    looked += 1
        run.join()
    assert looked > 5
    assert house.sandbox.counts()["convert"]["counted"] == 1
