"""What the kill harness and the long soak share: a fork server of victims, and a world whose sums can be judged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import sqlalchemy as sa

from tests.conftest import House, order
from tests.vendors import EVERYBODY

ROOT = Path(__file__).parents[2]
REPEATS_COUNT = "convert"
DEDUPLICATING = [name for name in EVERYBODY if name != REPEATS_COUNT]


class Victims:
    """A fork server (`tests.faults.victim`): processes that live through a command, or die in the middle of it.

    ``machine``: a folder for temporary files of its own, so that it shares no lanes with others, like another machine.
    """

    def __init__(self, machine: Path | None = None) -> None:
        command = [sys.executable, "-m", "tests.faults.victim"]
        there = {**os.environ, "TMPDIR": str(machine)} if machine else None
        self._server = subprocess.Popen(
            command, cwd=ROOT, env=there, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._lock = threading.Lock()

    def run(self, *args: str, **order: Any) -> int:
        """The exit code of one process; negative when a signal ended it."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        with self._lock:
            self._server.stdin.write(json.dumps({"args": list(args), **order}) + "\n")
            self._server.stdin.flush()
            return int(self._server.stdout.readline())

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
        self.engine = sa.create_engine(self.house.config.ledger_url)

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
