"""The import as a real process, killed (SIGKILL) at every step and at random times, and run again to the end.

After each death: the vendors that find repeats have counted every row once; the one that does not was sent nothing
twice, and every row that it may or may not have taken is listed as unknown. `make soak` is the longest form.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from etl.sandbox import Sandbox
from tests.conftest import House
from tests.faults.harness import Victims, World
from tests.faults.victim import STEPS

DECISIVE = ["claim:after", "send:after", "record:inside", "finish:before"]
"""Steps around the wire, for the short form."""
FORMS = [pytest.param(DECISIVE, 1, id="short"), pytest.param(STEPS, 7, id="whole", marks=pytest.mark.e2e)]
"""Where it dies, and how often at a random moment besides, for each ledger."""


@pytest.fixture(scope="module")
def victims() -> Iterator[Victims]:
    with Victims() as running:
        yield running


@pytest.fixture
def world(tmp_path: Path, ledger_url: str, victims: Victims) -> Iterator[World]:
    with Sandbox(keep=False) as sandbox:
        house = House(tmp_path, sandbox, ledger_url, import_settings={"chunk_rows": 20})
        house.overrides = {
            "convert": {"limits": {"items": 4}},
            "optimizely": {"limits": {"items": 5}},
            "kameleoon": {"limits": {"items": 5, "spacing_ms": 0}},
        }
        world = World(house, victims)
        yield world
        world.close()


@pytest.mark.parametrize(("steps", "at_random"), FORMS)
def test_killed_at_every_step_and_at_any_time_nothing_is_lost_and_nothing_sent_twice(
    world: World, steps: list[str], at_random: int
) -> None:
    dice = random.Random(4)
    for step in steps:
        world.new_night()
        code = world.run(step=step, nth=dice.randint(1, 6))
        if code != -9:  # that step comes less often: then at its first time
            world.new_night()
            assert world.run(step=step, nth=1) == -9, step
        _and_again_to_the_end(world)
    for _ in range(at_random):
        world.new_night()
        world.run(after_s=dice.uniform(0.02, 0.35))
        _and_again_to_the_end(world)
    assert world.kills >= len(steps) + at_random


def test_a_run_that_dies_again_and_again_is_finished_at_last(world: World) -> None:
    world.new_night()
    for step in ("send:after", "record:inside", "claim:after", "send:before", "record:before"):
        assert world.run(step=step, nth=2) == -9
        world.a_quarter_of_an_hour_later()
    _and_again_to_the_end(world)


def _and_again_to_the_end(world: World) -> None:
    world.a_quarter_of_an_hour_later()
    assert world.run() in (0, 1)
    world.judge()
