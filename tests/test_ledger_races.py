"""Two runs at one row, answers that come late, and commits that break: what the ledger holds after each."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from etl.errors import LedgerError
from etl.ledger import Claim, Ledger, RunInfo, Sent
from etl.ledger.database import Database
from etl.ledger.entries import Entries
from etl.model import Item, Status, Verdict

DELIVERED = Verdict(Status.DELIVERED)
FAILED = Verdict(Status.FAILED, "http_503", "Not accepted.")
LOST = Verdict(Status.UNKNOWN, "no_answer", "Sent, no answer.")


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    with Ledger(ledger_url).open() as opened:
        yield opened


def a_run(ledger: Ledger) -> RunInfo:
    return ledger.runs.open(kind="import", import_name="orders", source="o.csv", destinations=["convert"])


def items(*numbers: int) -> list[Item]:
    return [Item(number, f"event-{number}", "purchase", b"{}", 1) for number in numbers]


def claim(ledger: Ledger, run: RunInfo, some: list[Item], *, insist: bool = True) -> list[Claim]:
    return ledger.claims.claim(run.run_no, "convert", [some], repeatable=False, force_unknown=insist)


def record(ledger: Ledger, run: RunInfo, of: Claim, verdict: Verdict, *numbers: int) -> None:
    some = [item for item in of.items if not numbers or item.row_number in numbers]
    sent = Sent(of, some, [verdict] * len(some), 10, 1, 200, 1, 2)
    ledger.claims.record(run.run_no, "convert", [sent])


def falls_asleep(ledger: Ledger, run: RunInfo) -> None:
    with ledger.database.engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE runs SET lease_until_ms = 1 WHERE run_no = {run.run_no}"))


def last_words(ledger: Ledger) -> dict[str, str]:
    with ledger.database.reading() as connection:
        return {row[0]: row[1] for row in connection.execute(sa.text("SELECT event_id, status FROM results"))}


@pytest.mark.parametrize("afterwards", [FAILED, LOST, DELIVERED, None], ids=str)
def test_what_was_delivered_stays_so_whatever_becomes_of_who_took_it_over(
    ledger: Ledger, afterwards: Verdict | None
) -> None:
    """A person sent it again while the first was asleep; the first had come through, as is known too late."""
    asleep, other, third = a_run(ledger), a_run(ledger), a_run(ledger)
    (first,) = claim(ledger, asleep, items(1))
    falls_asleep(ledger, asleep)
    (second,) = claim(ledger, other, items(1))
    record(ledger, asleep, first, DELIVERED)
    if afterwards is not None:
        record(ledger, other, second, afterwards)
    assert last_words(ledger) == {"event-1": "delivered"}
    assert claim(ledger, third, items(1)) == []


def test_a_part_of_a_claim_that_was_delivered_is_held_though_others_are_not_known_yet(ledger: Ledger) -> None:
    asleep, other = a_run(ledger), a_run(ledger)
    (first,) = claim(ledger, asleep, items(1, 2, 3))
    falls_asleep(ledger, asleep)
    (second,) = claim(ledger, other, items(3))
    record(ledger, other, second, FAILED)
    record(ledger, asleep, first, DELIVERED, 1, 3)
    assert last_words(ledger) == {"event-1": "delivered", "event-2": "unknown", "event-3": "delivered"}


def test_of_two_rows_of_one_run_with_the_same_id_one_is_sent(ledger: Ledger) -> None:
    run = a_run(ledger)
    twice = [*items(1), Item(2, "event-1", "purchase", b"{}", 1)]
    assert [item.row_number for each in claim(ledger, run, twice) for item in each.items] == [1]
    assert ledger.results.counts(run.run_no)["convert"] == {
        ("unknown", "in_flight"): 1,
        ("duplicate", "in_flight_elsewhere"): 1,
    }


def test_what_may_have_been_accepted_under_another_spelling_stays_listed_until_it_is_sent_again(
    ledger: Ledger,
) -> None:
    first, second, third = (a_run(ledger) for _ in range(3))
    old, new = Item(1, "ORDER-1", "purchase", b"{}", 1), Item(1, "order-1", "purchase", b"{}", 1, other_event_id=None)
    (of_new,) = claim(ledger, first, [new])
    record(ledger, first, of_new, DELIVERED)
    (of_old,) = claim(ledger, second, [old])
    record(ledger, second, of_old, LOST)
    ledger.runs.finish(second.run_no)
    assert claim(ledger, third, [new._replace(other_event_id="ORDER-1")]) == []
    assert last_words(ledger) == {"ORDER-1": "unknown", "order-1": "delivered"}


def test_a_stage_that_is_repeated_over_rows_that_were_delivered_before_says_each_once(ledger: Ledger) -> None:
    """Half of them stand in a span when the stage dies; the whole is claimed again."""
    first, again = a_run(ledger), a_run(ledger)
    (of,) = claim(ledger, first, items(*range(1, 41)))
    record(ledger, first, of, DELIVERED)
    assert claim(ledger, again, items(*range(1, 21))) == []
    assert claim(ledger, again, items(*range(1, 41))) == []
    assert claim(ledger, again, items(*range(1, 42)))[0].items == items(41)
    assert ledger.results.counts(again.run_no)["convert"] == {
        ("duplicate", "already_delivered"): 40,
        ("unknown", "in_flight"): 1,
    }
    rows = [row["row_number"] for part in ledger.results.table(run_ids=[again.run_id]) for row in part]
    assert rows == list(range(1, 42))


@pytest.mark.parametrize("made", [True, False], ids=["made", "not made"])
def test_a_claim_whose_commit_broke_is_made_once(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, made: bool
) -> None:
    """Where a repeat would count, too: nothing has left, so nothing is doubtful."""
    real, broken = Database.writing, [True]

    @contextmanager
    def breaks(database: Database) -> Iterator[sa.Connection]:
        lost = LedgerError("The ledger does not answer.")
        lost.__cause__ = sa.exc.OperationalError("COMMIT", {}, psycopg.OperationalError("gone"))
        with real(database) as connection:
            yield connection
            if broken and not made:
                broken.clear()
                raise lost
        if broken:
            broken.clear()
            raise lost

    with Ledger(postgres_url).open() as ledger:
        run = a_run(ledger)
        ledger.numbers.names(["purchase"])
        monkeypatch.setattr(Database, "writing", breaks)
        (of,) = claim(ledger, run, items(1, 2), insist=False)
        assert not broken
        assert [item.row_number for item in of.items] == [1, 2]
        record(ledger, run, of, DELIVERED)
        assert ledger.results.counts(run.run_no)["convert"] == {("delivered", ""): 2}


def test_a_run_is_not_counted_while_an_answer_is_being_written_down(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another part of the run ends it at that moment; the counts it keeps are those after the answer."""
    real, done = Entries.overwrite_verdicts, threading.Event()
    with Ledger(postgres_url).open() as ledger, ThreadPoolExecutor(1) as other:
        run = a_run(ledger)
        (of,) = claim(ledger, run, items(1, 2))

        def finish() -> None:
            ledger.runs.finish(run.run_no)
            done.set()

        def overwrite(entries: Entries, *given: Any) -> None:
            real(entries, *given)
            finishing.append(other.submit(finish))
            while not done.is_set() and not waits(ledger):
                pass

        finishing: list[Future[None]] = []
        monkeypatch.setattr(Entries, "overwrite_verdicts", overwrite)
        record(ledger, run, of, DELIVERED)
        finishing[0].result()
        assert ledger.results.counts(run.run_no)["convert"] == {("delivered", ""): 2}


def waits(ledger: Ledger) -> bool:
    """Whether somebody waits for a lock."""
    with ledger.database.reading() as connection:
        return bool(connection.execute(sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar())
