"""Processes that sleep past their lease (SIGSTOP), on two machines whose clocks differ by forty minutes.

One machine falls asleep in the middle of a run, or several times at random; the other runs, retries and takes dropped
files meanwhile, and takes over what the lease no longer protects. Then the first wakes up. Nothing is sent twice where
repeats count, nothing is lost, and what the ledger says is what the vendors saw. `make soak` is the longest form.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from etl.sandbox import Sandbox
from tests.faults.harness import TwoMachines, Victims

FORMS = [pytest.param(3, id="short"), pytest.param(40, id="whole", marks=pytest.mark.e2e)]
"""How many stops, on each ledger."""


@pytest.mark.parametrize("stops", FORMS)
def test_who_sleeps_past_its_lease_sends_nothing_twice_and_nothing_is_lost(
    tmp_path: Path, ledger_url: str, machines: list[Victims], stops: int
) -> None:
    with Sandbox(keep=False) as sandbox, TwoMachines.of(tmp_path, ledger_url, sandbox, machines) as world:
        dice = random.Random(11)
        while world.stops < stops:
            world.night(dice)
            world.judge()


@pytest.mark.parametrize("nth", [4, pytest.param(2, marks=pytest.mark.e2e)])
def test_of_what_a_person_sends_again_meanwhile_at_most_the_request_at_the_door_leaves(
    tmp_path: Path, ledger_url: str, machines: list[Victims], nth: int
) -> None:
    """Asleep before its nth request (the first is a HEAD), with twenty rows claimed, four to a request."""
    with Sandbox(keep=False) as sandbox, TwoMachines.of(tmp_path, ledger_url, sandbox, machines) as world:
        retry = {"timeout_s": 30, "total_s": 60}
        world.house.overrides["convert"] = {"limits": {"items": 4, "connections": 1}, "retry": retry}
        assert world.house.config.path == world.path
        world.new_night()
        codes = world.while_asleep(
            ["run", "orders", "--to", "convert"],
            {"step": "send:before", "nth": nth},
            ["retry", "--to", "convert", "--status", "unknown"],
        )
        assert codes == [0, 0], world.house.results()
        (again,) = world.house.sql(
            "SELECT sum(row_count) FROM run_counts JOIN runs USING (run_no) WHERE kind = 'retry'"
        )
        assert again[0] == world.rows
        counts = sandbox.counts()["convert"]
        assert counts["counted"] - world.rows == counts["repeats"] <= 4 * (nth - 1)
        assert world.words("convert") == {"delivered": world.rows}
