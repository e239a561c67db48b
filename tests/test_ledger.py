"""The ledger's promises, on SQLite and on PostgreSQL: one holder per key, whatever happens around it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import sqlalchemy as sa

from etl import report
from etl.errors import LedgerError, SumMismatch
from etl.ledger import Ledger, RunInfo, Sent, Stop
from etl.model import Item, RowVerdict, Status, Verdict

DELIVERED = Verdict(Status.DELIVERED)
FAILED = Verdict(Status.FAILED, "http_503", "Not accepted.")
LOST = Verdict(Status.UNKNOWN, "no_answer", "Sent, no answer.")


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    opened = Ledger(ledger_url).open()
    yield opened
    opened.close()


def a_run(ledger: Ledger, *destinations: str) -> RunInfo:
    return ledger.runs.open(
        kind="import", import_name="orders", source="o.csv", destinations=destinations or ("convert",)
    )


def items(*numbers: int, fingerprint: int = 1) -> list[Item]:
    return [Item(number, f"event-{number}", "purchase", b"{}", fingerprint) for number in numbers]


def claim(
    ledger: Ledger, run: RunInfo, some: list[Item], *, repeatable: bool = True, force_unknown: bool = False
) -> list[int]:
    won = ledger.claims.claim(run.run_no, "convert", some, repeatable=repeatable, force_unknown=force_unknown)
    return [item.row_number for item in won]


def record(ledger: Ledger, run: RunInfo, some: list[Item], verdict: Verdict) -> None:
    ledger.claims.record(run.run_no, "convert", [Sent(some, [verdict] * len(some), 10, 1, 200, 1, 2)])


def statuses(ledger: Ledger, run: RunInfo) -> dict[int, tuple[str, str]]:
    return {
        row["row_number"]: (row["status"], row["reason"])
        for part in ledger.results.table(run_ids=[run.run_id])
        for row in part
    }


def test_a_claim_stands_as_unknown_before_anything_is_sent(ledger: Ledger) -> None:
    run = a_run(ledger)
    assert claim(ledger, run, items(1, 2)) == [1, 2]
    assert statuses(ledger, run) == {1: ("unknown", "in_flight"), 2: ("unknown", "in_flight")}


def test_what_is_delivered_is_a_duplicate_for_ever_after(ledger: Ledger) -> None:
    first, second = a_run(ledger), a_run(ledger)
    claim(ledger, first, items(1, 2))
    record(ledger, first, items(1, 2), DELIVERED)
    assert claim(ledger, second, items(1, 2, 3)) == [3]
    assert statuses(ledger, second)[1] == ("duplicate", "already_delivered")


def test_changed_content_after_delivery_is_recorded_and_not_sent(ledger: Ledger) -> None:
    first, second = a_run(ledger), a_run(ledger)
    claim(ledger, first, items(1))
    record(ledger, first, items(1), DELIVERED)
    assert claim(ledger, second, items(1, fingerprint=2)) == []
    assert statuses(ledger, second)[1] == ("duplicate", "changed_after_delivery")


def test_what_another_living_run_has_on_the_wire_is_left_to_it(ledger: Ledger) -> None:
    first, second = a_run(ledger), a_run(ledger)
    claim(ledger, first, items(1))
    assert claim(ledger, second, items(1)) == []
    assert statuses(ledger, second)[1] == ("duplicate", "in_flight_elsewhere")


@pytest.mark.parametrize(
    "verdict", [FAILED, Verdict(Status.REFUSED, "http_400", "No."), Verdict(Status.REJECTED, "too_old", "")]
)
def test_a_row_that_was_not_accepted_lets_go_of_its_key(ledger: Ledger, verdict: Verdict) -> None:
    first, second = a_run(ledger), a_run(ledger)
    claim(ledger, first, items(1))
    record(ledger, first, items(1), verdict)
    assert claim(ledger, second, items(1)) == [1]


@pytest.mark.parametrize(
    ("repeatable", "force_unknown", "won", "reason"),
    [
        pytest.param(True, False, [1], "in_flight", id="the vendor counts a repeat once"),
        pytest.param(False, False, [], "waiting_for_a_person", id="nobody may send it again by himself"),
        pytest.param(False, True, [1], "in_flight", id="a person said so"),
    ],
)
def test_an_unanswered_row(ledger: Ledger, repeatable: bool, force_unknown: bool, won: list[int], reason: str) -> None:
    first, second = a_run(ledger), a_run(ledger)
    claim(ledger, first, items(1))
    record(ledger, first, items(1), LOST)
    ledger.runs.finish(first.run_no)
    assert claim(ledger, second, items(1), repeatable=repeatable, force_unknown=force_unknown) == won
    assert statuses(ledger, second)[1] == ("unknown", reason)
    assert statuses(ledger, first)[1] == ("unknown", "no_answer"), "history is not rewritten"


def test_a_dead_runs_claims_are_taken_over_when_its_lease_ends(ledger: Ledger) -> None:
    dead, second, third = a_run(ledger), a_run(ledger), a_run(ledger)
    claim(ledger, dead, items(1))
    assert claim(ledger, second, items(1)) == []
    with ledger.database.engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE runs SET lease_until_ms = 1 WHERE run_no = {dead.run_no}"))
    assert claim(ledger, third, items(1)) == [1]


def test_a_lease_lasts_as_long_as_it_was_said_to_and_every_claim_renews_it(ledger_url: str) -> None:
    now_ms = [1_000_000]
    with Ledger(ledger_url, lease_ms=500, clock=lambda: now_ms[0]).open() as ledger:
        silent, busy = a_run(ledger), a_run(ledger)
        claim(ledger, silent, items(1))
        now_ms[0] += 400
        claim(ledger, busy, items(2))
        now_ms[0] += 101
        assert not ledger.leases.is_alive(silent.run_id)
        assert ledger.leases.is_alive(busy.run_id)
        third = a_run(ledger)
        assert claim(ledger, third, items(1, 2)) == [1]
        assert statuses(ledger, third)[2] == ("duplicate", "in_flight_elsewhere")


@pytest.mark.parametrize(("repeatable", "won"), [(True, [2, 3, 4]), (False, [3, 4])])
def test_a_task_that_is_run_again_sends_only_what_is_not_settled(
    ledger: Ledger, repeatable: bool, won: list[int]
) -> None:
    run = a_run(ledger)
    claim(ledger, run, items(1, 2, 3))
    record(ledger, run, items(1), DELIVERED)
    record(ledger, run, items(3), FAILED)
    assert claim(ledger, run, items(1, 2, 3, 4), repeatable=repeatable) == won
    assert statuses(ledger, run)[1] == ("delivered", "")
    assert len(statuses(ledger, run)) == 4


def test_many_threads_win_each_key_once(ledger: Ledger) -> None:
    runs = [a_run(ledger) for _ in range(6)]
    some = items(*range(1, 301))
    with ThreadPoolExecutor(6) as pool:
        won = list(pool.map(lambda run: claim(ledger, run, some), runs))
    assert sorted(row for rows in won for row in rows) == list(range(1, 301))


def test_of_two_that_take_over_a_dead_runs_keys_each_key_goes_to_one(ledger: Ledger) -> None:
    """Two machines: the lock of an endpoint is a file, which does not keep them apart."""
    some = items(*range(1, 2001))
    dead = a_run(ledger)
    claim(ledger, dead, some)
    ledger.runs.finish(dead.run_no)
    runs, together = [a_run(ledger), a_run(ledger)], Barrier(2)

    def take_over(run: RunInfo) -> list[int]:
        machine = Ledger(ledger.database.url)
        together.wait()
        try:
            return claim(machine, run, some, repeatable=True)
        finally:
            machine.close()

    with ThreadPoolExecutor(2) as pool:
        won = list(pool.map(take_over, runs))
    assert sorted(row for rows in won for row in rows) == list(range(1, 2001))
    assert [len(statuses(ledger, run)) for run in runs] == [2000, 2000], "each run has a result for every row"


def test_a_mixed_batch_is_recorded_row_by_row(ledger: Ledger) -> None:
    run = a_run(ledger)
    some = items(1, 2, 3, 7)
    claim(ledger, run, some)
    verdicts = [DELIVERED, FAILED, DELIVERED, DELIVERED]
    ledger.claims.record(run.run_no, "convert", [Sent(some, verdicts, 10, 2, 200, 1, 2)])
    assert [status for status, _ in statuses(ledger, run).values()] == ["delivered", "failed", "delivered", "delivered"]


def test_the_last_word_per_event(ledger: Ledger) -> None:
    first, second, third = a_run(ledger), a_run(ledger), a_run(ledger)
    claim(ledger, first, items(1, 2, 3))
    record(ledger, first, items(1), DELIVERED)
    record(ledger, first, items(2, 3), FAILED)
    claim(ledger, second, items(1, 2))
    record(ledger, second, items(2), DELIVERED)
    repeated = RowVerdict(9, "event-1", "purchase", Verdict(Status.REJECTED, "duplicate_event_id", "x"))
    ledger.claims.record_unsent(third.run_no, ["convert"], [repeated])
    with ledger.database.engine.connect() as connection:
        last = connection.execute(sa.text("SELECT event_id, status FROM results ORDER BY event_id")).all()
        dead = connection.execute(sa.text("SELECT event_id FROM dead_letters")).scalars().all()
        history = connection.execute(sa.text("SELECT count(*) FROM result_history")).scalar()
    assert [tuple(row) for row in last] == [("event-1", "delivered"), ("event-2", "delivered"), ("event-3", "failed")]
    assert dead == ["event-3"]
    assert history == 6


def test_a_living_runs_rows_on_the_wire_are_no_dead_letters(ledger: Ledger) -> None:
    run = a_run(ledger)
    claim(ledger, run, items(1))
    assert list(ledger.results.dead_letters(statuses=["unknown"])) == []
    ledger.runs.finish(run.run_no)
    letters = ledger.results.dead_letters(statuses=["unknown"], import_name="orders", destinations=["convert"])
    assert list(letters) == [(run.run_id, "convert", [1])]
    assert ledger.results.count_dead_letters(statuses=["unknown"], run_id=run.run_id) == {"convert": 1}
    assert list(ledger.results.dead_letters(statuses=["unknown"], no_repeat=["convert"])) == []


def test_a_sum_that_does_not_add_up_is_never_silent(ledger: Ledger) -> None:
    run = a_run(ledger)
    claim(ledger, run, items(1, 2))
    record(ledger, run, items(1, 2), DELIVERED)
    ledger.runs.record_rows_read(run.run_no, {"convert": 3})
    with pytest.raises(SumMismatch, match="convert: 3 rows read, 2 results"):
        report.of(ledger, ledger.runs.get(run.run_id))


def test_the_first_reason_to_stop_stays(ledger: Ledger) -> None:
    run = a_run(ledger, "convert", "converge")
    ledger.runs.stop_destination(run.run_no, "converge", Stop("http_401", "The token."))
    ledger.runs.stop_destination(run.run_no, "converge", Stop("http_500", "Later."))
    assert ledger.runs.stops(run.run_no) == {"converge": Stop("http_401", "The token.")}


def test_opening_twice_is_fine_and_an_older_ledger_says_what_to_do(ledger: Ledger) -> None:
    ledger.open()
    with ledger.database.engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0000'"))
    with pytest.raises(LedgerError, match="conversions ledger upgrade"):
        ledger.open()


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("nonsense", "not a SQLAlchemy URL"),
        ("mysql://user:secret@host/db", "use SQLite or PostgreSQL"),
        ("postgresql://user:secret@127.0.0.1:1/db?connect_timeout=1", "does not answer"),
    ],
)
def test_a_ledger_that_cannot_be_used_says_so_without_its_password(url: str, sentence: str) -> None:
    with pytest.raises(LedgerError, match=sentence) as raised:
        Ledger(url).open()
    assert "secret" not in str(raised.value)
