"""The long form of the kill harness: ``make soak``, or ``python -m tests.faults.soak [ROWS [KILLS [STOPS]]]``.

Half of it on SQLite, half on PostgreSQL. Night after night a file of new rows, a handful of runs that die at a random
step or moment under random faults of the vendors, of the wire, of the clock, of the disk and of the ledger, then one
run to the end; after each night all sums are judged. Then two machines, of which now one, now the other sleeps past
its lease.

A full disk is a limit to the size of files (RLIMIT_FSIZE), which needs no rights: a write beyond it fails as one to a
full disk does, with another number.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from etl.sandbox import Sandbox
from tests import postgres
from tests.conftest import House
from tests.faults.harness import DEDUPLICATING, REPEATS_COUNT, TwoMachines, Victims, World
from tests.faults.relay import Relay
from tests.faults.victim import STEPS
from tests.vendors import EVERYBODY, settings

ROWS, KILLS, STOPS = 200_000, 500, 200
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


class OwnGround:
    """What befalls this side: other clocks, a full disk, a restart of the ledger, and lies on the wire."""

    def __init__(self, ledger_url: str, relay: Relay, dice: random.Random) -> None:
        self._ledger_url, self._relay, self._dice = ledger_url, relay, dice
        self._beside = ThreadPoolExecutor(1)
        self._restarts: list[Future[Any]] = []
        self.struck: Counter[str] = Counter()

    def brew(self) -> dict[str, Any]:
        """What befalls the next run, as an order to its process."""
        fate: dict[str, Any] = {}
        self._relay.share = self._dice.choice([0.0, 0.0, 0.02, 0.1])
        if self._dice.random() < 0.2:
            fate["jump"] = [self._dice.uniform(0.05, 1.0), self._dice.choice([-1, 1]) * self._dice.uniform(60, 7200)]
            self.struck["clock jump"] += 1
        if self._dice.random() < 0.1:
            fate["most_bytes"] = self._dice.choice([8_000, 100_000, 1_000_000, 4_000_000])
            self.struck["full disk"] += 1
        if self._dice.random() < 0.1 and self._ledger_url.startswith("postgresql"):
            self._restarts.append(self._beside.submit(self._restart_ledger, self._dice.uniform(0.2, 1.5)))
            self.struck["ledger restart"] += 1
        return fate

    def _restart_ledger(self, after_s: float) -> None:
        time.sleep(after_s)
        postgres.restart(self._ledger_url)

    def clear(self) -> None:
        """Fair weather."""
        self._relay.share = 0.0
        while self._restarts:
            self._restarts.pop().result()


def soak(folder: Path, ledger_url: str, rows: int, kills: int, victims: Victims) -> tuple[World, Counter[str]]:
    """One ledger's share. Raises AssertionError at the first sum that does not hold."""
    dice = random.Random(rows)
    with Sandbox(keep=False) as sandbox, Relay(sandbox.port, dice) as relay:
        house = House(folder, sandbox, ledger_url, import_settings={"chunk_rows": 500})
        house.overrides = {name: {**settings(name, relay.url), "retry": RETRY} for name in EVERYBODY}
        house.overrides["kameleoon"] |= {"limits": {"spacing_ms": 0, "items": 100}}
        house.overrides["optimizely"] |= {"limits": {"items": 100}}
        trouble, ground = Trouble(sandbox, dice), OwnGround(ledger_url, relay, dice)
        world = World(house, victims, rows_per_night=PER_NIGHT)
        nights = -(-rows // PER_NIGHT)
        while world.nights < nights:
            world.new_night()
            wanted = -(-kills * world.nights // nights)
            while world.kills < wanted:
                trouble.brew()
                step, at_random = {"step": dice.choice(STEPS), "nth": dice.randint(1, 40)}, dice.random() < 0.4
                fate = ground.brew()
                world.run(**({"after_s": dice.uniform(0.05, 1.5)} if at_random else step), **fate)
                ground.clear()
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
        return world, trouble.struck + ground.struck + relay.struck


def stops(folder: Path, ledger_url: str, wanted: int) -> TwoMachines:
    """One ledger's share of processes that sleep past their lease."""
    dice = random.Random(wanted)
    (folder / "one").mkdir(parents=True)
    (folder / "two").mkdir()
    with (
        Victims(folder / "one") as one,
        Victims(folder / "two") as two,
        Sandbox(keep=False) as sandbox,
        TwoMachines.of(folder, ledger_url, sandbox, [one, two]) as world,
    ):
        while world.stops < wanted:
            world.night(dice)
            world.judge()
        sys.stdout.write(f"{world.stops} stops in {world.nights} nights\n")
        return world


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


def main(rows: int, kills: int, wanted_stops: int) -> None:
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
            slept = stops(folder / "stops", _another(url, folder), wanted_stops // 2)
            total += Counter(stops=slept.stops, stopped_rows=slept.rows, stopped_doubtful=slept.doubtful)
    for vendor in DEDUPLICATING:
        assert total[f"counted {vendor}"] == total["rows"]
    lines = [
        f"kills         {total['kills']}: " + ", ".join(f"{step} {n}" for step, n in sorted(deaths.items())),
        f"faults        {sum(faults.values())}: " + ", ".join(f"{kind} {n}" for kind, n in sorted(faults.items())),
        f"rows          {total['rows']:,} to each of {len(EVERYBODY)} vendors",
        *(f"counted       {vendor}: {total[f'counted {vendor}']:,}" for vendor in EVERYBODY),
        f"doubtful      {total['doubtful']:,} at {REPEATS_COUNT}, each of them listed as unknown",
        f"stops         {total['stops']} past a lease of half a second, on two machines 40 minutes apart, over "
        f"{total['stopped_rows']:,} rows; {total['stopped_doubtful']:,} of them doubtful at {REPEATS_COUNT}",
        "lost          0",
        "twice         0",
        "untrue        0",
        f"took          {time.monotonic() - began:,.0f} s",
    ]
    sys.stdout.write("\n".join(lines) + "\n")


def _another(url: str, folder: Path) -> str:
    """A ledger beside the one at this URL, empty."""
    if url.startswith("sqlite"):
        return f"sqlite:///{folder}/stops.db"
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE DATABASE stops")
    return sa.make_url(url).set(database="stops").render_as_string(hide_password=False)


if __name__ == "__main__":
    numbers = [int(text.replace("_", "")) for text in sys.argv[1:]]
    main(*(numbers + [ROWS, KILLS, STOPS][len(numbers) :]))
