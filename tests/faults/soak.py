"""The long form of the kill harness: ``make soak``, or ``python -m tests.faults.soak [ROWS [KILLS]]``.

Half of it on SQLite, half on PostgreSQL. Night after night a file of new rows, a handful of runs that die at a random
step or moment under random faults of the vendors, then one run to the end; after each night all sums are judged.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from etl.sandbox import Sandbox
from tests import postgres
from tests.conftest import House
from tests.faults.harness import DEDUPLICATING, REPEATS_COUNT, Victims, World
from tests.faults.victim import STEPS
from tests.vendors import EVERYBODY

ROWS, KILLS = 200_000, 500
PER_NIGHT = 1_600
RETRY = {"attempts": 3, "first_wait_s": 0.01, "longest_wait_s": 0.05, "total_s": 5, "timeout_s": 0.5}
LATER = {"headers": {"Retry-After": "0"}}

FAULTS: dict[str, dict[str, Any]] = {
    **{str(status): {"status": status} for status in (408, 425, 500, 502, 503, 504)},
    "429, seconds": {"status": 429, **LATER},
    "429, date": {"status": 429, "headers": {"Retry-After": "Tue, 14 Nov 2023 22:13:20 GMT"}},
    "401": {"status": 401},
    "slow": {"delay_ms": 700},
    "no answer": {"drop": "before", "skip": 1},
    "reset in mid-body": {"drop": "mid_body"},
    "hang-up after": {"drop": "after"},
    "truncated answer": {"drop": "mid_answer"},
    "200, no JSON": {"status": 200, "body": "<html>", "vendor": REPEATS_COUNT},  # elsewhere any 2xx is a receipt
}
"""What passes: after it every good row can still arrive."""


class Trouble:
    """Random faults of the vendors, and how often each kind struck."""

    def __init__(self, sandbox: Sandbox, dice: random.Random) -> None:
        self._sandbox, self._dice = sandbox, dice
        self._set: list[tuple[str, dict[str, Any]]] = []
        self.struck: Counter[str] = Counter()

    def brew(self) -> None:
        """Other faults than before: a few kinds, each at some vendor, each a few times."""
        self.clear()
        for kind in self._dice.sample(list(FAULTS), 5):
            vendor = self._dice.choice(EVERYBODY)
            skip = FAULTS[kind].get("skip", 0) + self._dice.randint(0, 60)
            self._set.append(
                (kind, {"vendor": vendor, "times": self._dice.randint(1, 6), **FAULTS[kind], "skip": skip})
            )
        self._sandbox.faults([fault for _, fault in self._set])

    def clear(self) -> None:
        """Fair weather; what struck meanwhile is added up."""
        for (kind, fault), armed in zip(self._set, self._sandbox.faults_set(), strict=True):
            self.struck[kind] += max(0, min(armed["matched"] - fault["skip"], fault["times"]))
        self._set = []
        self._sandbox.clear_faults()


def soak(folder: Path, ledger_url: str, rows: int, kills: int, victims: Victims) -> tuple[World, Counter[str]]:
    """One ledger's share. Raises AssertionError at the first sum that does not hold."""
    dice = random.Random(rows)
    with Sandbox(keep=False) as sandbox:
        house = House(folder, sandbox, ledger_url, import_settings={"chunk_rows": 500})
        house.overrides = {name: {"retry": RETRY} for name in EVERYBODY}
        house.overrides["kameleoon"] |= {"limits": {"spacing_ms": 0, "items": 100}}
        house.overrides["optimizely"] |= {"limits": {"items": 100}}
        trouble = Trouble(sandbox, dice)
        world = World(house, victims, rows_per_night=PER_NIGHT)
        nights = -(-rows // PER_NIGHT)
        while world.nights < nights:
            world.new_night()
            wanted = -(-kills * world.nights // nights)
            while world.kills < wanted:
                trouble.brew()
                step, at_random = {"step": dice.choice(STEPS), "nth": dice.randint(1, 40)}, dice.random() < 0.4
                world.run(**({"after_s": dice.uniform(0.05, 1.5)} if at_random else step))
                world.a_quarter_of_an_hour_later()
            trouble.clear()
            assert world.run() in (0, 1)
            _sums_hold(world)
            if world.nights % 5 == 0:
                told = f"night {world.nights} of {nights}: {world.rows:,} rows, {world.kills} kills"
                sys.stdout.write(f"{told}, {sum(trouble.struck.values())} faults\n")
                sys.stdout.flush()
        world.judge()
        world.close()
        return world, trouble.struck


def _sums_hold(world: World) -> None:
    """`World.judge` without the whole history: what holds each key, counted by the ledger's index."""
    asked = "SELECT destination, status, count(*) FROM result_history WHERE state = 1 GROUP BY destination, status"
    with world.engine.connect() as connection:
        held = {(name, status): count for name, status, count in connection.execute(sa.text(asked))}
    counts = world.house.sandbox.counts()
    for vendor in DEDUPLICATING:
        assert counts[vendor]["counted"] == held[vendor, "delivered"] == world.rows, vendor
        assert not held.get((vendor, "unknown"))
    delivered, unknown = held[REPEATS_COUNT, "delivered"], held.get((REPEATS_COUNT, "unknown"), 0)
    assert delivered + unknown == world.rows
    assert delivered <= counts[REPEATS_COUNT]["counted"] <= world.rows
    assert counts[REPEATS_COUNT]["repeats"] == 0


def main(rows: int, kills: int) -> None:
    """Soak both ledgers and say what came of it."""
    began = time.monotonic()
    total: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    deaths: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as place, Victims() as victims, postgres.server() as server:
        for name, url in (("sqlite", f"sqlite:///{place}/ledger.db"), ("postgresql", server)):
            folder = Path(place) / name
            folder.mkdir()
            world, struck = soak(folder, url, rows // 2, kills // 2, victims)
            counts = world.house.sandbox.counts()
            faults += struck
            deaths += Counter(world.deaths)
            total += Counter(rows=world.rows, kills=world.kills, doubtful=world.doubtful)
            total += Counter({f"counted {vendor}": counts[vendor]["counted"] for vendor in EVERYBODY})
    for vendor in DEDUPLICATING:
        assert total[f"counted {vendor}"] == total["rows"]
    lines = [
        f"kills         {total['kills']}: " + ", ".join(f"{step} {n}" for step, n in sorted(deaths.items())),
        f"faults        {sum(faults.values())}: " + ", ".join(f"{kind} {n}" for kind, n in sorted(faults.items())),
        f"rows          {total['rows']:,} to each of {len(EVERYBODY)} vendors",
        *(f"counted       {vendor}: {total[f'counted {vendor}']:,}" for vendor in EVERYBODY),
        f"doubtful      {total['doubtful']:,} at {REPEATS_COUNT}, each of them listed as unknown",
        "lost          0",
        "twice         0",
        f"took          {time.monotonic() - began:,.0f} s",
    ]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    numbers = [int(text.replace("_", "")) for text in sys.argv[1:]]
    main(*(numbers + [ROWS, KILLS][len(numbers) :]))
