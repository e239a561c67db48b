"""The ledger's promises, on SQLite and on PostgreSQL: one holder per key, whatever happens around it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import sqlalchemy as sa

from etl import report
from etl.errors import LedgerError, SumMismatch
from etl.ledger import Claim, Ledger, RunInfo, Sent, Stop
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
    return won_rows(claimed(ledger, run, some, repeatable=repeatable, force_unknown=force_unknown))


def claimed(ledger: Ledger, run: RunInfo, some: list[Item], **how: bool) -> list[Claim]:
    """Claims of one batch; what is recorded afterwards is of these."""
    claims = ledger.claims.claim(run.run_no, "convert", [some], **{"repeatable": True} | how)
    CLAIMED.update({(run.run_id, item.row_number): claim for claim in claims for item in claim.items})
    return claims


def won_rows(claims: list[Claim]) -> list[int]:
    return [item.row_number for claim in claims for item in claim.items]


CLAIMED: dict[tuple[str, int], Claim] = {}
"""Run and row -> the claim that it was taken by last."""


def sent(run: RunInfo, some: list[Item], verdict: Verdict) -> list[Sent]:
    """These items as sent by one request for each claim."""
    claims = {claim.number: claim for item in some for claim in [CLAIMED[run.run_id, item.row_number]]}
    parts = [
        (claim, [item for item in some if CLAIMED[run.run_id, item.row_number] == claim]) for claim in claims.values()
    ]
    return [Sent(claim, its, [verdict] * len(its), 10, 1, 200, 1, 2) for claim, its in parts]


def record(ledger: Ledger, run: RunInfo, some: list[Item], verdict: Verdict) -> None:
    ledger.claims.record(run.run_no, "convert", sent(run, some, verdict))


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
    with Ledger(ledger_url, lease_ms=500, lease_clock=lambda: now_ms[0]).open() as ledger:
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
    (whole,) = claimed(ledger, run, some)
    verdicts = [DELIVERED, FAILED, DELIVERED, DELIVERED]
    ledger.claims.record(run.run_no, "convert", [Sent(whole, some, verdicts, 10, 2, 200, 1, 2)])
    assert [status for status, _ in statuses(ledger, run).values()] == ["delivered", "failed", "delivered", "delivered"]


def test_a_second_night_is_one_span_and_still_one_result_per_row(ledger: Ledger) -> None:
    first, second = a_run(ledger), a_run(ledger)
    ledger.runs.record_files(second.run_no, [("a.csv", 1, 1), ("b.csv", 31, 1)])
    some = items(*range(1, 61))
    claim(ledger, first, some)
    record(ledger, first, some, DELIVERED)
    assert claim(ledger, second, some) == []
    assert claim(ledger, second, some) == [], "a stage may be repeated"
    with ledger.database.engine.connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM entries WHERE run_no = 2")).scalar() == 0
        assert connection.execute(sa.text("SELECT first_row, last_row FROM result_spans")).one() == (1, 60)
    rows = [row for part in ledger.results.table(run_ids=[second.run_id], block=7) for row in part]
    assert [(row["event_id"], row["file"], row["row_number"]) for row in rows] == [
        (f"event-{number}", "a.csv" if number < 31 else "b.csv", number if number < 31 else number - 30)
        for number in range(1, 61)
    ]
    assert {(row["event_name"], row["status"], row["reason"]) for row in rows} == {
        ("purchase", "duplicate", "already_delivered")
    }
    assert ledger.results.counts(second.run_no) == {"convert": {("duplicate", "already_delivered"): 60}}
    told = ledger.results.row_results([second.run_no], ["convert"], 59, 70)
    assert {number: result.status for number, result in told["convert"].items()} == {59: "duplicate", 60: "duplicate"}
    assert list(ledger.results.table(run_ids=None, statuses=["failed"])) == []


def test_what_was_delivered_before_is_passed_without_a_payload_and_the_rest_is_left_to_a_claim(ledger: Ledger) -> None:
    first, second = a_run(ledger), a_run(ledger)
    some = items(*range(1, 61))
    claim(ledger, first, some)
    record(ledger, first, some[:50], DELIVERED)
    record(ledger, first, some[50:55], FAILED)  # and five are on the wire
    changed = items(7, fingerprint=2)[0]
    other_spelling = Item(61, "EVENT-9", "purchase", b"", 1, other_event_id="event-9")
    new = [item._replace(payload=b"") for item in [*some[:6], changed, *some[7:], other_spelling, *items(62)]]
    assert ledger.claims.any_delivered(second.run_no, "convert", ["event-62", "event-1"])
    assert not ledger.claims.any_delivered(second.run_no, "convert", ["event-62", "event-55", "event-60"])
    assert not ledger.claims.any_delivered(first.run_no, "convert", ["event-1"]), "by itself, not before"
    passed = {*range(1, 51), 61} - {7}
    for _ in range(2):  # a stage may be repeated
        assert ledger.claims.pass_delivered(second.run_no, "convert", new) == passed
    assert statuses(ledger, second) == dict.fromkeys(passed, ("duplicate", "already_delivered"))
    with ledger.database.engine.connect() as connection:
        spans = connection.execute(sa.text("SELECT first_row, last_row FROM result_spans")).all()
    assert spans == [(8, 50)], "neighbours as a span, a handful one by one"
    rest = [item for item in new if item.row_number not in passed]
    assert claim(ledger, second, rest) == [51, 52, 53, 54, 55, 62]
    assert statuses(ledger, second)[7] == ("duplicate", "changed_after_delivery")
    assert statuses(ledger, second)[60] == ("duplicate", "in_flight_elsewhere")


def test_a_claim_would_say_the_same_of_what_is_passed(ledger: Ledger) -> None:
    first, claiming, passing = a_run(ledger), a_run(ledger), a_run(ledger)
    some = items(*range(1, 41))
    claim(ledger, first, some)
    record(ledger, first, some, DELIVERED)
    assert claim(ledger, claiming, some) == []
    assert len(ledger.claims.pass_delivered(passing.run_no, "convert", some)) == 40
    told = [
        [
            {**row, "run_id": "", "recorded_at": ""}
            for part in ledger.results.table(run_ids=[run.run_id])
            for row in part
        ]
        for run in (claiming, passing)
    ]
    assert told[0] == told[1]


def test_a_retry_knows_the_files_of_the_run_it_repeats(ledger: Ledger) -> None:
    first = a_run(ledger)
    ledger.runs.record_files(first.run_no, [("a.csv", 1, 1), ("b.csv", 3, 1)])
    again = ledger.runs.open(
        kind="retry", import_name="orders", source="in/", destinations=["convert"], retry_of=first.run_id
    )
    claim(ledger, again, items(2, 4))
    rows = [row for part in ledger.results.table(run_ids=[again.run_id]) for row in part]
    assert [(row["file"], row["row_number"]) for row in rows] == [("a.csv", 2), ("b.csv", 2)]


def test_an_answer_that_comes_after_a_take_over_is_written_down_as_what_it_is(ledger: Ledger) -> None:
    slept, second = a_run(ledger), a_run(ledger)
    claim(ledger, slept, items(1, 2, 3))
    (mine,) = {CLAIMED[slept.run_id, row].number: CLAIMED[slept.run_id, row] for row in (1, 2, 3)}.values()
    ledger.runs.finish(slept.run_no)
    assert ledger.claims.held_rows(slept.run_no, "convert", mine) == {1, 2, 3}
    assert claim(ledger, second, items(1, 2)) == [1, 2]
    assert ledger.claims.held_rows(slept.run_no, "convert", mine) == {3}
    record(ledger, second, items(1), FAILED)
    record(ledger, second, items(2), DELIVERED)
    record(ledger, slept, items(1, 2, 3), DELIVERED)
    assert {status for status, _ in statuses(ledger, slept).values()} == {"delivered"}
    assert statuses(ledger, second) == {1: ("failed", "http_503"), 2: ("delivered", "")}
    third = a_run(ledger)
    assert claim(ledger, third, items(1, 2, 3)) == [], "nothing is sent again that was delivered"
    assert list(ledger.results.dead_letters(statuses=["failed", "unknown"])) == []


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
    ledger.runs.stop_destination(run.run_no, "convert", Stop("http_403", "The key."))
    ledger.runs.lift_stop(run.run_no, "converge")
    assert ledger.runs.stops(run.run_no) == {"convert": Stop("http_403", "The key.")}
    ledger.runs.stop_destination(run.run_no, "converge", Stop("http_500", "Later."))
    assert ledger.runs.stops(run.run_no)["converge"] == Stop("http_500", "Later.")


def test_opening_twice_is_fine_and_a_ledger_of_another_version_says_what_to_do(ledger: Ledger) -> None:
    ledger.open()
    with ledger.database.engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    told = "conversions ledger upgrade" if ledger.database.is_postgresql else "which this program does not know"
    with pytest.raises(LedgerError, match=told):
        ledger.open()
    with pytest.raises(LedgerError, match="which this program does not know"):
        ledger.upgrade()


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
