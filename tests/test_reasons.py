"""Every reason code is listed once, and a test produces it; one that is not listed fails here or in conftest."""

from __future__ import annotations

import ast
import dataclasses
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from etl import destinations, reasons
from etl.clock import wall_clock
from etl.destinations import all_reasons, find_reason
from etl.destinations.base import Facts
from etl.destinations.kameleoon import Kameleoon
from etl.errors import LookupFailed
from etl.model import Fetch, Status, Verdict
from etl.reasons import Reason
from etl.shutdown import shutting_down
from tests.conftest import House, order

ROOT = Path(__file__).parent.parent
LISTED: list[Reason] = [reason for each in all_reasons().values() for reason in each]
CODES = {reason.code for reason in LISTED}
HERE = "tests/test_reasons.py"
RUNS = "tests/destinations/test_convert_run.py"

PRODUCERS = {
    "other_account": "tests/test_continuity.py::test_another_account_under_a_name_stops_before_any_request",
    "ledger_restored": "tests/test_continuity.py::test_a_copy_of_yesterday_is_put_back",
    "no_turn": "tests/faults/test_ending.py::test_a_run_that_waits_too_long_for_its_turn_sends_nothing",
    "own_error": "tests/faults/test_lies_on_the_wire.py::test_an_error_of_our_own_makes_nothing_doubtful",
    "already_delivered": "tests/test_ledger.py::test_what_is_delivered_is_a_duplicate_for_ever_after",
    "bad_endpoint": f"{HERE}::test_an_endpoint_that_is_no_address",
    "broken_quotes": "tests/sources/test_csv.py::ODD",
    "cell_too_large": "tests/sources/test_csv.py::ODD",
    "changed_after_delivery": "tests/test_ledger.py::test_changed_content_after_delivery_is_recorded_and_not_sent",
    "dimension_left_out": "tests/cases/test_b_columns.py::test_what_a_vendor_documents_travels_to_it_alone",
    "dry_run": "tests/test_drops.py::test_a_trial_gets_the_same_answers_and_sends_nothing",
    "file_quarantined": "tests/test_drops.py::test_three_files_one_of_them_twice_one_growing_and_one_all_bad",
    "file_unusable": "tests/test_drops.py::test_of_a_file_that_breaks_off_nothing_is_sent_however_good_its_beginning",
    "goal_repeated": f"{RUNS}::test_a_goal_again_without_an_order_is_sent_once",
    "in_flight": "tests/test_ledger.py::test_a_claim_stands_as_unknown_before_anything_is_sent",
    "in_flight_elsewhere": "tests/test_ledger.py::test_what_another_living_run_has_on_the_wire_is_left_to_it",
    "inexact_number": "tests/cases/test_h_doubles.py::test_a_double_is_an_id_as_far_as_it_is_exact",
    "interrupted": f"{HERE}::test_a_run_that_is_ended_before_it_sends",
    "lookup_failed": f"{HERE}::test_a_lookup_that_fails_without_a_reason_of_its_own",
    "metadata_left_out": "tests/cases/test_b_columns.py::test_custom_data_that_is_none_is_left_out",
    "no_answer": "tests/test_ledger.py::test_an_unanswered_row",
    "not_a_conversion": "tests/test_drops.py::test_totals_and_blank_lines_are_nobodys_fault",
    "not_text": "tests/sources/test_parquet.py::test_bytes_that_are_no_text_are_that_row_s_trouble_alone",
    "not_wanted": "tests/cases/test_b_columns.py::test_a_row_that_is_not_wanted_today_goes_when_it_is",
    "not_yet": "tests/test_pipeline.py::test_webflow_gets_nothing_that_is_still_to_come",
    "nul_byte": "tests/sources/test_csv.py::ODD",
    "sent_again": "tests/destinations/test_webflow_optimize.py::test_what_was_sent_again_is_a_warning",
    "settings": "tests/airflow/test_imports_dag.py::test_settings_that_break_under_way_stop_their_destination_alone",
    "stale": f"{HERE}::test_a_row_that_grows_old_at_a_vendor_with_no_words_of_its_own",
    "tls": "tests/faults/test_fault_table.py::test_a_certificate_that_nobody_vouches_for",
    "too_large": f"{HERE}::test_a_row_that_is_larger_than_a_request",
    "transaction_repeated": f"{RUNS}::test_an_order_again_is_a_duplicate_and_its_lines_are_not",
    "transaction_split": f"{RUNS}::test_an_order_again_is_a_duplicate_and_its_lines_are_not",
    "undecodable": "tests/sources/test_csv.py::test_an_encoding_that_fails_far_into_the_file_costs_only_those_rows",
    "unreachable": "tests/faults/test_fault_table.py::test_connection_refused",
    "waiting_for_a_person": "tests/test_ledger.py::test_an_unanswered_row",
}
"""The test, or the table of a test, that produces a code which neither the showcase nor an exchange produces.

The showcase is `tests/test_sample.py`'s; every exchange is run by `tests/destinations/test_contract.py`.
"""


def printed(format_: str) -> str:
    command = [sys.executable, "-m", "etl.cli", "reasons", "--format", format_]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout


# -- the list


def test_the_page_is_what_the_command_prints() -> None:
    assert (ROOT / "docs/reasons.md").read_text(encoding="utf-8") == printed("markdown")


def test_programs_get_the_same_list_by_whose_and_code() -> None:
    found = json.loads(printed("json"))
    assert {each["code"] for each in found} == CODES
    for whose in {each["whose"] for each in found}:
        mine = [each["code"] for each in found if each["whose"] == whose]
        assert mine == sorted(mine)
    assert [each["aliases"] for each in found if each["code"] == "negative_amount"] == [["negative_value"]]


def test_people_get_it_as_a_table() -> None:
    table = printed("table")
    assert [code for code in CODES if code not in table] == []


def test_every_code_stands_once() -> None:
    assert [code for code, times in Counter(reason.code for reason in LISTED).items() if times > 1] == []
    assert CODES.isdisjoint(reasons.ALIASES)
    assert set(reasons.ALIASES.values()) <= CODES


@pytest.mark.parametrize("reason", LISTED, ids=lambda reason: reason.code)
def test_an_entry_is_written_for_people(reason: Reason) -> None:
    assert re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*|http_<status>", reason.code)
    assert reason.statuses
    for sentence in (reason.sentence, reason.action):
        assert re.fullmatch(r"(?s)[^ ].*[.?]", sentence)
    assert reason.example


def test_a_vendors_reasons_stand_under_its_type() -> None:
    assert set(all_reasons()) <= {destinations.EVERYBODY, *destinations.types()}


# -- codes of before, and families


def test_an_alias_is_understood() -> None:
    assert reasons.canonical("negative_value") == "negative_amount"
    assert reasons.canonical("no_goal") == "missing_goal_id"
    assert find_reason("negative_value") is reasons.NEGATIVE_AMOUNT
    assert reasons.stored_as("negative_value") == reasons.stored_as("negative_amount")
    assert set(reasons.stored_as("negative_amount")) == {"negative_amount", "negative_value"}
    assert reasons.stored_as("http_503") == ["http_503"]


def test_a_status_belongs_to_its_family() -> None:
    assert find_reason(reasons.http(503)) is reasons.HTTP_STATUS
    assert find_reason("http_999") is None
    assert find_reason("http_4000") is None
    assert find_reason("nobody_knows") is None


def test_a_verdict_with_a_reason_that_is_not_listed_fails_the_suite() -> None:
    with pytest.raises(AssertionError, match="nobody_knows"):
        Verdict(Status.REJECTED, "nobody_knows")
    with pytest.raises(AssertionError, match="ragged_row"):
        Verdict(Status.DELIVERED, "ragged_row")


# -- no reason beside the list

REASON_AT = {"Verdict": 1, "LookupFailed": 1, "DestinationStopped": 1, "Stop": 0, "rule": 0, "required": 0}
"""Which argument of a call is a reason."""

PLAIN_WORDS = {"settings", "dry_run"}
"""Codes that are words of the program, too."""

OTHER_WORDS = {
    ("etl/errors.py", "lookup_failed"),  # on the floor below the list
    ("schemas/conversion.py", "not_in_locale"),  # a column
}
"""Texts that read like a listed code and are none."""


def ours() -> Iterator[tuple[str, ast.Module]]:
    """The program's files, without the sandbox, which is the other side, and the migrations, which are history."""
    for path in sorted([*(ROOT / "etl").rglob("*.py"), *(ROOT / "schemas").rglob("*.py")]):
        if not {"sandbox", "migrations"} & set(path.parts):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8"))


def name_of(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def reason_of(call: ast.Call) -> ast.expr | None:
    place = REASON_AT.get(name_of(call))
    if place is None:
        return None
    named = [word.value for word in call.keywords if word.arg == "reason"]
    return next(iter([*call.args[place : place + 1], *named]), None)


def test_no_reason_is_spelled_where_it_is_given() -> None:
    spelled = [
        f"{path}:{node.lineno}"
        for path, tree in ours()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(reason_of(node), ast.Constant | ast.JoinedStr)
    ]
    assert spelled == []


def test_no_code_of_the_list_is_spelled_elsewhere() -> None:
    words = {*CODES, *reasons.ALIASES} - PLAIN_WORDS
    spelled = {
        (path, str(node.value))
        for path, tree in ours()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and node.value in words and not declares(tree, node)
    }
    assert spelled - OTHER_WORDS == set()


def declares(tree: ast.Module, constant: ast.Constant) -> bool:
    """True where a text is the code of an entry, or one side of an alias."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and name_of(node) == "Reason" and node.args[0] is constant:
            return True
        if getattr(getattr(node, "target", None), "id", "") == "ALIASES" and constant in ast.walk(node):
            return True
    return False


def test_no_sentence_of_the_list_stands_elsewhere() -> None:
    said = {text for reason in LISTED for text in (reason.sentence, reason.action) if len(text) > 20}
    texts = Counter(
        node.value
        for _, tree in ours()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and node.value in said
    )
    entries = Counter(text for reason in LISTED for text in (reason.sentence, reason.action))
    assert {text: times for text, times in texts.items() if times > entries[text]} == {}


def test_what_the_views_of_the_ledger_say_is_listed() -> None:
    named = {
        code
        for path in (ROOT / "etl/migrations").rglob("*.py")
        for code in re.findall(r"\breason (?:=|<>|!=) '(\w+)'", path.read_text(encoding="utf-8"))
    }
    assert named
    assert named <= CODES


# -- every code has a test that produces it


def by_exchanges() -> set[str]:
    """Codes that some exchange of a vendor ends in."""
    return {
        reasons.canonical(word)
        for path in (ROOT / "sample_data/exchanges").glob("*.json")
        for word in re.findall(r'(?:"(?:error|[0-9]+)": |\["\w+", )"(\w+)"', path.read_text(encoding="utf-8"))
    }


def test_every_code_is_produced_by_some_test() -> None:
    by_showcase = {reason.code for reason in LISTED if reason.example.startswith("demo-")} | {"missing_event_id"}
    assert CODES - by_showcase - by_exchanges() - set(PRODUCERS) == set()
    assert set(PRODUCERS) <= CODES


UNSEEN = {"dry_run"}
"""Codes of a ledger that is thrown away; conftest sees to it that they are listed."""


@pytest.mark.parametrize("code", PRODUCERS)
def test_the_producer_of_a_code_names_it(code: str) -> None:
    path, name = PRODUCERS[code].split("::")
    text = (ROOT / path).read_text(encoding="utf-8")
    found = [node for node in ast.parse(text).body if name in (getattr(node, "name", ""), assigned(node))]
    assert found, f"{path} has no {name}"
    first = min([found[0].lineno, *(decorator.lineno for decorator in getattr(found[0], "decorator_list", []))])
    assert code in UNSEEN or code in "\n".join(text.splitlines()[first - 1 : found[0].end_lineno])


def assigned(node: ast.stmt) -> str:
    target = (
        node.target if isinstance(node, ast.AnnAssign) else node.targets[0] if isinstance(node, ast.Assign) else None
    )
    return getattr(target, "id", "")


def only(house: House) -> tuple[str, str, str]:
    """Status, reason and detail of the one result there is."""
    (row,) = house.results()
    return row["status"], row["reason"], row["detail"]


def test_a_row_that_is_larger_than_a_request(house: House) -> None:
    house.to = ["converge"]
    house.overrides = {"converge": {"limits": {"bytes": 1000}}}
    house.write([order(1, properties=json.dumps({"text": "x" * 2000}))])
    house.run()
    status, reason, detail = only(house)
    assert (status, reason) == ("rejected", "too_large")
    assert "1,000 bytes" in detail


def test_an_endpoint_that_is_no_address(house: House) -> None:
    house.to = ["converge"]
    house.overrides = {"converge": {"endpoint": "http://:443/api/webhooks"}}
    house.write([order(1)])
    report = house.run()
    assert report.stops["converge"].reason == "bad_endpoint"
    assert only(house)[:2] == ("failed", "bad_endpoint")


def test_a_lookup_that_fails_without_a_reason_of_its_own(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def prepare(self: Kameleoon, fetch: Fetch) -> dict[str, str]:
        raise LookupFailed("The list of segments could not be had.")

    monkeypatch.setattr(Kameleoon, "prepare", prepare)
    house.to = ["kameleoon"]
    house.write([order(1)])
    house.run()
    assert only(house)[:2] == ("failed", "lookup_failed")


def test_a_run_that_is_ended_before_it_sends(house: House) -> None:
    def clock() -> int:
        if house.sandbox.counts()["kameleoon"]["knocks"]:  # the address has been tried, and nothing sent yet
            shutting_down.set()
        return wall_clock()

    house.to = ["kameleoon"]
    house.write([order(1)])
    try:
        house.run(clock=clock)
    finally:
        shutting_down.clear()
    assert only(house) == ("failed", "interrupted", reasons.INTERRUPTED.detail)
    assert house.sandbox.counts()["kameleoon"]["requests"] == 0


def test_a_row_that_grows_old_at_a_vendor_with_no_words_of_its_own(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    default: Any = next(field.default for field in dataclasses.fields(Facts) if field.name == "stale")
    monkeypatch.setattr(Kameleoon, "facts", dataclasses.replace(Kameleoon.facts, stale=default))
    house.to = ["kameleoon"]
    house.overrides = {"kameleoon": {"attribution_days": 1}}
    house.write([order(1, occurred_at="2020-01-01T00:00:00Z")])
    house.run()
    assert only(house) == ("delivered", "stale", reasons.STALE.sentence)
