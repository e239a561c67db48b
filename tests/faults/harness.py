"""What the kill harness and the long soak share: a fork server of victims, and a world whose sums can be judged."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import sqlalchemy as sa

from etl.locks import STATE
from etl.sandbox import Sandbox
from tests.conftest import House, order
from tests.vendors import EVERYBODY

ROOT = Path(__file__).parents[2]
REPEATS_COUNT = "convert"
DEDUPLICATING = [name for name in EVERYBODY if name != REPEATS_COUNT]


class Victims:
    """A fork server (`tests.faults.victim`): processes that live through a command, or die in the middle of it.

    ``machine``: a folder for temporary files and locks of its own, like another machine's, which knows none of ours.
    """

    def __init__(self, machine: Path | None = None) -> None:
        command = [sys.executable, "-m", "tests.faults.victim"]
        there = {**os.environ, "TMPDIR": str(machine), STATE: str(machine / "state")} if machine else None
        self._server = subprocess.Popen(
            command, cwd=ROOT, env=there, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._lock = threading.Lock()
        self.stops = 0
        """How often one of them slept."""

    def run(self, *args: str, **order: Any) -> int:
        """The exit code of one process; negative when a signal ended it."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        with self._lock:
            self._server.stdin.write(json.dumps({"args": list(args), **order}) + "\n")
            self._server.stdin.flush()
            code, slept = json.loads(self._server.stdout.readline())
            self.stops += slept
            return int(code)

    def __enter__(self) -> Victims:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait(timeout=60)
        self._server.stdout.close()


@dataclass
class World:
    """One import to every vendor, a new file of rows per night, and what must hold of it at any time."""

    house: House
    victims: Victims
    rows_per_night: int = 20
    nights: int = 0
    kills: int = 0
    doubtful: int = 0
    """Rows that stand as unknown at the vendor that counts repeats, over all nights."""
    deaths: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.path = self.house.folder / "imports.yaml"
        self.engine = sa.create_engine(self.house.config.ledger_url, pool_pre_ping=True)

    def close(self) -> None:
        """Let go of the ledger."""
        self.engine.dispose()

    @property
    def rows(self) -> int:
        """Rows there have been, over all nights."""
        return self.nights * self.rows_per_night

    def new_night(self) -> None:
        """Tonight's file: rows nobody has seen before."""
        first = self.rows
        self.house.write([order(first + n) for n in range(self.rows_per_night)])
        self.nights += 1

    def run(self, **fate: Any) -> int:
        """One run as a process of its own, which may be ordered to die."""
        code = self.victims.run("--config", str(self.path), "run", "orders", **fate)
        if code == -9:
            self.kills += 1
            self.deaths.append(fate.get("step", "at a random time"))
        return code

    def a_quarter_of_an_hour_later(self) -> None:
        """The leases of the dead have run out."""
        with self.engine.begin() as connection:
            connection.execute(sa.text("UPDATE runs SET lease_until_ms = 0 WHERE finished_at_ms IS NULL"))

    def words(self, vendor: str) -> dict[str, int]:
        """The last word on every event there has been, counted by status."""
        asked = sa.text("SELECT status, count(*) FROM results WHERE destination = :vendor GROUP BY status")
        with self.engine.connect() as connection:
            return {row[0]: row[1] for row in connection.execute(asked, {"vendor": vendor})}

    def judge(self) -> None:
        """Nothing lost, nothing twice, and every doubtful row on the list."""
        counts = self.house.sandbox.counts()
        for vendor in DEDUPLICATING:
            assert counts[vendor]["counted"] == self.rows, (vendor, counts[vendor], self.deaths[-1:])
            assert self.words(vendor) == {"delivered": self.rows}, (vendor, self.deaths[-1:])
        mine = counts[REPEATS_COUNT]
        words = self.words(REPEATS_COUNT)
        self.doubtful = words.pop("unknown", 0)
        assert mine["repeats"] == 0, f"{REPEATS_COUNT} was sent a row twice: {self.deaths[-1:]}"
        assert words.get("delivered", 0) == sum(words.values()) == self.rows - self.doubtful, self.deaths[-1:]
        assert self.rows - self.doubtful <= mine["counted"] <= self.rows, self.deaths[-1:]


LEASE_S = 0.5
ASLEEP_S = 1.0
SKEW_S = 1200.0
SLEEPY = ["claim:inside", "claim:after", "send:before", "send:after", "record:before", "record:inside", "note:after"]
"""Steps at which a process falls asleep."""


class TwoMachines(World):
    """The same import on two machines that share the ledger, the vendors and an inbox, and whose clocks differ."""

    machines: list[Victims]

    @classmethod
    @contextmanager
    def of(cls, folder: Path, ledger_url: str, sandbox: Sandbox, machines: list[Victims]) -> Iterator[TwoMachines]:
        """A world in a folder, with leases of half a second."""
        house = House(folder, sandbox, ledger_url, lease=f"{LEASE_S}s", import_settings={"chunk_rows": 20})
        house.overrides = {
            "convert": {"limits": {"items": 4}},
            "optimizely": {"limits": {"items": 5}},
            "kameleoon": {"limits": {"items": 5, "spacing_ms": 0}},
        }
        (folder / "inbox").mkdir()
        orders = {"source": {"type": "csv", "path": "orders.csv"}, "to": house.to, **house.import_settings}
        dropped = {"source": {"type": "csv"}, "to": house.to, "drop": {"inbox": str(folder / "inbox")}}
        house.top_settings = {"imports": {"orders": orders, "dropped": dropped}}
        world = cls(house, machines[0])
        world.machines = machines
        yield world
        world.close()

    @property
    def stops(self) -> int:
        """How often a process slept."""
        return sum(machine.stops for machine in self.machines)

    def night(self, dice: random.Random) -> None:
        """New rows; two processes at them, of which one sleeps, or both; then whoever is awake, to the end."""
        if dropped := dice.random() < 0.3:
            self.new_drop()
        else:
            self.new_night()
        command = ["drops"] if dropped else ["run", "orders"]
        fates = [
            self._fate(dice),
            {"stops": [dice.uniform(0.05, 0.8)], "asleep_s": ASLEEP_S} if dice.random() < 0.3 else {},
        ]
        with ThreadPoolExecutor(2) as side_by_side:
            first = side_by_side.submit(self._on, 0, *command, **fates[0])
            time.sleep(dice.uniform(0.0, 1.0))
            second = side_by_side.submit(self._on, 1, *dice.choice([command, command, ["retry"]]), **fates[1])
            codes = [first.result(), second.result()]
        assert {*codes} <= {0, 1}, (fates, codes)
        time.sleep(LEASE_S)
        assert self._on(1, *command) in (0, 1)
        assert self._on(0, "retry") in (0, 1)

    def while_asleep(self, command: list[str], fate: dict[str, Any], other: list[str]) -> list[int]:
        """The exit codes of a command that falls asleep, and of another that comes and goes meanwhile."""
        awake = self.house.folder / f"awake-{self.nights}"
        with ThreadPoolExecutor(2) as side_by_side:
            first = side_by_side.submit(self._on, 0, *command, asleep_s=0, until=str(awake), **fate)
            try:
                # Asleep at its step, and not only slow on a busy machine, which is no sleep of that length.
                asleep = awake.with_name(f"{awake.name}.asleep")
                while not (asleep.exists() and self._has_lapsed()) and not first.done():
                    time.sleep(0.05)
                second = self._on(1, *other)
            finally:
                awake.touch()
            return [first.result(), second]

    def _has_lapsed(self) -> bool:
        """A run has claimed something and given no sign of life since."""
        asked = (
            "SELECT count(*) FROM runs JOIN entries USING (run_no) "
            "WHERE finished_at_ms IS NULL AND lease_until_ms < :now"
        )
        if not sa.inspect(self.engine).has_table("entries"):
            return False
        with self.engine.connect() as connection:
            return bool(connection.execute(sa.text(asked), {"now": time.time() * 1000 - 100}).scalar())

    def new_drop(self) -> None:
        """Rows nobody has seen before, in a file that somebody dropped a while ago."""
        first = self.rows
        name = f"inbox/drop-{self.nights}.csv"
        self.house.write([order(first + n) for n in range(self.rows_per_night)], name)
        os.utime(self.house.folder / name, (time.time() - 7200, time.time() - 7200))
        self.nights += 1

    def _fate(self, dice: random.Random) -> dict[str, Any]:
        if dice.random() < 0.5:
            return {"step": dice.choice(SLEEPY), "nth": dice.randint(1, 4), "asleep_s": ASLEEP_S}
        return {"stops": [dice.uniform(0.05, 0.6), dice.uniform(1.6, 2.2)], "asleep_s": ASLEEP_S}

    def _on(self, which: int, *command: str, **fate: Any) -> int:
        ahead_s = SKEW_S if which else -SKEW_S
        return self.machines[which].run("--config", str(self.path), *command, ahead_s=ahead_s, **fate)
