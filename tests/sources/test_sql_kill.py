"""The incremental sql import as a real process, killed (SIGKILL) at every step: nothing is lost, nothing sent twice."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from etl.sandbox import Sandbox
from tests.conftest import House
from tests.faults.harness import Victims, World
from tests.sources.test_sql import Crm, Database
from tests.vendors import EVERYBODY

STEPS = [
    *("stage:after", "claim:after", "send:after", "record:inside", "read:before"),
    *("position:before", "position:after", "finish:before", "finish:after", "watermark:before", "watermark:after"),
]
"""Where it dies: on the way to the vendors, and around all that the watermark hangs on."""
FORMS = [
    pytest.param(["send:after", "position:after", "watermark:before", "watermark:after"], 0, id="short"),
    pytest.param(STEPS, 5, id="whole", marks=pytest.mark.e2e),
]
"""The steps, and how often it dies at a random moment besides."""


class Nights(World):
    """A table that grows by night: new rows, and some that commit late with a time inside the overlap."""

    crm: Crm

    def new_night(self) -> None:
        """Rows nobody has seen before."""
        first, now = self.rows, 900 - 10 * self.nights
        self.crm.add(*range(first, first + 6), minutes_ago=now)
        self.crm.add(*range(first + 6, first + 8), minutes_ago=now + 15)  # before the last of the night before
        self.nights += 1


@pytest.fixture(scope="module")
def victims() -> Iterator[Victims]:
    with Victims() as running:
        yield running


@pytest.fixture
def nights(tmp_path: Path, victims: Victims) -> Iterator[Nights]:
    with Sandbox(keep=False) as sandbox:
        house = House(tmp_path, sandbox)
        (tmp_path / "crm.db").touch()
        crm = Crm(house, Database("sqlite", f"sqlite:///{tmp_path}/crm.db"))
        house.to = list(EVERYBODY)
        crm.follow("changed", "12m")
        house.import_settings["chunk_rows"] = 6
        nights = Nights(house, victims, rows_per_night=8)
        nights.crm = crm
        yield nights
        nights.close()


def recover(nights: Nights, dice: random.Random) -> None:
    """Run again to the end; half the time also at once, while the dead run's claims still stand."""
    if dice.random() < 0.5:  # the watermark must wait for them
        assert nights.run() in (0, 1)
    nights.a_quarter_of_an_hour_later()
    assert nights.run() in (0, 1)
    nights.judge()


@pytest.mark.parametrize(("steps", "at_random"), FORMS)
def test_killed_at_any_point_and_run_again_no_row_is_lost_and_none_sent_twice(
    nights: Nights, steps: list[str], at_random: int
) -> None:
    dice = random.Random(11)
    nights.new_night()
    assert nights.run() in (0, 1)
    for step in steps:
        nights.new_night()
        code = nights.run(step=step, nth=dice.randint(1, 4))
        if code != -9:  # that step comes less often: then at its first time
            nights.new_night()
            code = nights.run(step=step, nth=1)
        assert code == -9, step
        recover(nights, dice)
    assert nights.kills == len(steps)
    for _ in range(at_random):
        nights.new_night()
        assert nights.run(after_s=dice.uniform(0, 0.3)) in (-9, 0, 1)
        recover(nights, dice)
    nights.crm.add(10_000, minutes_ago=0)
    nights.nights, nights.rows_per_night = 1, nights.rows + 1
    assert nights.run() in (0, 1)
    nights.judge()
    ((read,),) = nights.house.sql("SELECT rows_read FROM run_destinations ORDER BY run_no DESC LIMIT 1")
    assert read < 25, "it did not begin anew"
