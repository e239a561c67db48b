"""The ledger beside a model of it that fits on a page: whatever runs do, in whatever order, both say the same.

Runs claim, answers come in time, late, twice or in parts, processes die, sleep and wake up again, stages are repeated,
persons insist. After every step the last word on every event, the state of its entries and the sums of every run are
compared. The model keeps a dict per event and believes three things: what was delivered stays delivered; what may have
been accepted is claimed again only where it may be repeated; everything else is said by whoever spoke last.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from etl.ledger import Claim, Ledger, RunInfo, Sent
from etl.model import Item, RowVerdict, Status, Verdict

EVENTS = 4
SEEDS = 20
LEASE_MS = 1_000
DELIVERED = Verdict(Status.DELIVERED)
ANSWERS = [
    DELIVERED,
    Verdict(Status.UNKNOWN, "no_answer", "Sent, no answer."),
    Verdict(Status.FAILED, "http_503", "Not accepted."),
    Verdict(Status.REFUSED, "http_400", "No."),
]
UNSENT = [Verdict(Status.REJECTED, "too_old", "Too old."), Verdict(Status.SKIPPED, "not_wanted", "")]

Step = tuple[Any, ...]
WEIGHTS = {"open": 1, "claim": 8, "answer": 6, "answer in part": 4, "turn away": 3, "sleep": 2, "finish": 1}


def walk(seed: int, length: int) -> list[Step]:
    """Steps at random, always the same for the same seed."""
    dice = random.Random(seed)

    def events() -> list[int]:
        return dice.sample(range(EVENTS), dice.randint(1, EVENTS))

    def step(kind: str) -> Step:
        if kind == "claim":
            return kind, dice.randrange(9), events(), dice.choice(["repeatable", "repeatable", "once", "insist"])
        if kind == "answer":
            return kind, dice.randrange(9), [dice.choice(ANSWERS) for _ in range(EVENTS)]
        if kind == "answer in part":
            return kind, dice.randrange(9), dice.choice(ANSWERS)
        if kind == "turn away":
            return kind, dice.randrange(9), events(), dice.choice(UNSENT)
        return (kind, dice.randrange(9)) if kind == "finish" else (kind,)

    return [step(kind) for kind in dice.choices(list(WEIGHTS), list(WEIGHTS.values()), k=length)]


@dataclass
class Event:
    """What the model knows of one event: whose claim holds its key, and the last word on it."""

    holder: int | None = None
    by: int = 0
    """The run of the last word."""
    status: str = ""
    on_the_wire: bool = False


@dataclass
class Model:
    """Runs and events as plain values."""

    events: dict[int, Event] = field(default_factory=dict)
    said: dict[tuple[int, int], str] = field(default_factory=dict)
    """Run and event -> what the run says of it."""
    pointer: dict[tuple[int, int], int] = field(default_factory=dict)
    """Run and event -> the claim whose answer this run waits for."""
    lease_until: dict[int, int] = field(default_factory=dict)
    finished: set[int] = field(default_factory=set)
    now: int = 10_000

    def heard_of(self, run: int) -> None:
        """The run renews its lease."""
        self.lease_until[run] = self.now + LEASE_MS

    def may_win(self, run: int, number: int, how: str) -> bool:
        """Whether a run that asks for an event gets it."""
        event, repeat = self.events.get(number, Event()), how != "once"
        said = self.said.get((run, number))
        if said is not None and said != "failed" and not (said == "unknown" and repeat):
            return False
        if event.holder is None:
            return True
        if event.status == "delivered" or not repeat:
            return False
        alive = event.by not in self.finished and self.lease_until[event.by] > self.now
        return event.by == run or not (event.on_the_wire and alive)

    def lost(self, run: int, number: int) -> str:
        """What a run says of an event that it asked for and did not get."""
        event = self.events[number]
        alive = event.by not in self.finished and self.lease_until[event.by] > self.now
        if event.status == "delivered" or (event.on_the_wire and alive and event.by != run):
            return "duplicate"
        return "unknown"

    def claim(self, run: int, number: int, claim: int) -> None:
        """A run has won an event."""
        self.events[number] = Event(claim, run, "unknown", on_the_wire=True)
        self.said[run, number], self.pointer[run, number] = "unknown", claim

    def answer(self, run: int, number: int, claim: int, status: str) -> None:
        """An answer came, in time or not."""
        event = self.events[number]
        if self.pointer[run, number] == claim:
            self.said[run, number] = status
        if status == "delivered" and event.status != "delivered":
            self.events[number] = Event(claim, run, status)
            self.said[run, number], self.pointer[run, number] = status, claim
        elif event.holder == claim:
            self.events[number] = Event(claim if status in ("delivered", "unknown") else None, run, status)

    def turn_away(self, run: int, number: int, status: str) -> None:
        """A run says of an event that it is not sent."""
        if (run, number) in self.said:
            return
        self.said[run, number] = status
        event = self.events.get(number, Event())
        same_run = event.by == run and number in self.events
        if event.holder is None and not (same_run and (status == "rejected" or event.status != "rejected")):
            self.events[number] = Event(None, run, status)


@dataclass
class Both:
    """The ledger and the model, led through the same steps."""

    ledger: Ledger
    clock: list[int]
    model: Model = field(default_factory=Model)
    runs: list[RunInfo] = field(default_factory=list)
    claims: list[tuple[int, Claim]] = field(default_factory=list)
    _done: set[tuple[int, int]] = field(default_factory=set)
    """Numbers of claims and rows of which everything is recorded."""

    def take(self, step: tuple[Any, ...]) -> None:
        """One step, and the comparison after it."""
        kind, *how = step
        getattr(self, kind.replace(" ", "_"))(*how)
        self.compare()

    def open(self) -> None:
        run = self.ledger.runs.open(kind="import", import_name="orders", source="o", destinations=["convert"])
        self.runs.append(run)
        self.model.heard_of(run.run_no)

    def claim(self, which: int, events: list[int], how: str) -> None:
        run = self.runs[which % len(self.runs)].run_no
        self.model.heard_of(run)
        wins = {number for number in events if self.model.may_win(run, number, how)}
        items = [Item(number + 1, f"event-{number}", "purchase", b"{}", 1) for number in events]
        batches = [items[:-3], items[-3:]]
        insist = how == "insist"
        repeatable = how == "repeatable"
        won = self.ledger.claims.claim(run, "convert", batches, repeatable=repeatable, force_unknown=insist)
        assert {item.row_number - 1 for claim in won for item in claim.items} == wins
        for number in set(events) - wins:
            if (run, number) not in self.model.said:
                self.model.said[run, number] = self.model.lost(run, number)
        for claim in won:
            self.claims.append((run, claim))
            for item in claim.items:
                self.model.claim(run, item.row_number - 1, claim.number)

    def answer(self, which: int, verdicts: list[Verdict]) -> None:
        if self.claims:
            run, claim = self.claims[which - 9 if len(self.claims) > 9 else which % len(self.claims)]
            self._record(run, claim, list(claim.items), verdicts[: len(claim.items)])

    def answer_in_part(self, which: int, verdict: Verdict) -> None:
        if self.claims:
            run, claim = self.claims[which - 9 if len(self.claims) > 9 else which % len(self.claims)]
            self._record(run, claim, list(claim.items[::2]), [verdict] * len(claim.items[::2]))

    def _record(self, run: int, claim: Claim, items: list[Item], verdicts: list[Verdict]) -> None:
        """Only what is not settled yet is recorded, as a loader does; twice, as after a commit that broke."""
        open_ = [(i, v) for i, v in zip(items, verdicts, strict=True) if (claim.number, i.row_number) not in self._done]
        if not open_:
            return
        self.model.heard_of(run)
        sent = Sent(claim, [i for i, _ in open_], [v for _, v in open_], 10, 1, 200, 1, 2)
        self.ledger.claims.record(run, "convert", [sent])
        self.ledger.claims.record(run, "convert", [sent])
        for item, verdict in open_:
            self._done.add((claim.number, item.row_number))
            self.model.answer(run, item.row_number - 1, claim.number, verdict.status.value)

    def turn_away(self, which: int, events: list[int], verdict: Verdict) -> None:
        run = self.runs[which % len(self.runs)].run_no
        rows = [RowVerdict(number + 1, f"event-{number}", "purchase", verdict) for number in events]
        self.ledger.claims.record_unsent(run, ["convert"], rows)
        for number in sorted(events):
            self.model.turn_away(run, number, verdict.status.value)

    def sleep(self) -> None:
        self.model.now += 2 * LEASE_MS
        self.clock[0] = self.model.now

    def finish(self, which: int) -> None:
        run = self.runs[which % len(self.runs)].run_no
        self.ledger.runs.finish(run)
        self.model.finished.add(run)

    def compare(self) -> None:
        """The last words, the states, and the sums."""
        with self.ledger.database.reading() as connection:
            last = connection.execute(sa.text("SELECT event_id, status, state FROM results")).all()
            said = connection.execute(sa.text("SELECT run_no, event_id, status FROM result_history")).all()
        states = {1: True, 2: False}
        expected = {f"event-{n}": (event.status, event.holder is not None) for n, event in self.model.events.items()}
        assert len(last) == len({row.event_id for row in last}), "two last words"
        assert {row.event_id: (row.status, states[row.state]) for row in last} == expected
        assert {(row.run_no, row.event_id): row.status for row in said} == {
            (run, f"event-{number}"): status for (run, number), status in self.model.said.items()
        }
        for run in self.runs:
            counted: Counter[str] = Counter()
            for (status, _), rows in self.ledger.results.counts(run.run_no)["convert"].items():
                counted[status] += rows
            assert counted == Counter(status for (no, _), status in self.model.said.items() if no == run.run_no)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite ledger with its tables and nothing in them."""
    path = tmp_path_factory.mktemp("empty") / "ledger.db"
    Ledger(f"sqlite:///{path}").open().close()
    return path


def follow(url: str, steps: list[tuple[Any, ...]]) -> None:
    clock = [Model.now]
    with Ledger(url, lease_ms=LEASE_MS, lease_clock=lambda: clock[0]) as ledger:
        both = Both(ledger, clock)
        both.open()
        both.open()
        for step in steps:
            both.take(step)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_the_ledger_says_what_the_model_says(empty: Path, tmp_path: Path, seed: int) -> None:
    path = shutil.copy(empty, tmp_path / "ledger.db")
    follow(f"sqlite:///{path}", walk(seed, 60))


def test_and_so_it_does_on_postgresql(postgres_url: str) -> None:
    Ledger(postgres_url).open().close()
    engine = sa.create_engine(postgres_url, poolclass=sa.pool.NullPool)
    for seed in range(100, 110):
        follow(postgres_url, walk(seed, 60))
        with engine.begin() as connection:
            connection.exec_driver_sql("TRUNCATE runs, run_destinations, entries, verdicts, spans, run_counts")
