"""Ids that version 0.1.0 sent with what nobody sees around them: no conversion counts again without it.

`v0_1_0_padded` was written by that version (`make_padded.py`): a source of nine rows, and the ledger and staged rows
after a run in which one vendor was out of reach and another gave no readable answer to one row. In
`v0_1_0_padded_everywhere` all five vendors took all of eighteen rows.
"""

from __future__ import annotations

import gzip
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from etl.sandbox import Sandbox
from tests.conftest import House
from tests.vendors import EVERYBODY

LEFT = Path(__file__).parent / "v0_1_0_padded"
EVERYWHERE = Path(__file__).parent / "v0_1_0_padded_everywhere"
WORDS: list[list[str]] = json.loads((LEFT / "results.json").read_text())
MOMENT = datetime.fromtimestamp(json.loads((LEFT / "moment.json").read_text()) / 1000, UTC) + timedelta(hours=1)
CLEAN = {f"A-{number}" for number in range(1, 10)}


def clock() -> int:
    """An hour later."""
    return int(MOMENT.timestamp() * 1000)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """What was left, and vendors that have forgotten what they had: whatever arrives was sent again."""
    shutil.copytree(LEFT, tmp_path, dirs_exist_ok=True)
    (tmp_path / "ledger.db").write_bytes(gzip.decompress((LEFT / "ledger.db.gz").read_bytes()))
    with Sandbox(now=lambda: MOMENT) as sandbox:
        limits = {"convert": {"limits": {"items": 1}}}
        yield House(tmp_path, sandbox, overrides=limits, top_settings={"keep_staged_days": 36500})


def arrived(house: House) -> dict[str, list[str]]:
    """What every vendor has, by its own key."""
    return {
        vendor: sorted(each["key"] for each in house.sandbox.received(vendor))
        for vendor, counts in house.sandbox.counts().items()
        if counts["counted"]
    }


def test_it_sent_ids_as_they_were() -> None:
    sent = {event_id for _, event_id, status, _ in WORDS if status == "delivered"}
    assert len(sent) == 9
    assert sent & CLEAN == {"A-8"}


def test_the_first_run_sends_nothing_again(house: House) -> None:
    before = {name for name, _, status, _ in WORDS if status == "delivered"}
    house.to = sorted(before)
    report = house.run(clock=clock)
    assert arrived(house) == {}
    for name in before:
        unanswered = name == "convert"  # it cannot tell a repeat, whatever its key is
        expected = {("duplicate", "already_delivered"): 9 - unanswered}
        assert report.counts[name] == expected | ({("unknown", "waiting_for_a_person"): 1} if unanswered else {})


def test_what_failed_is_sent_once_under_the_clean_id(house: House) -> None:
    house.to = ["kameleoon"]
    assert house.run(clock=clock).by_status("kameleoon") == {"delivered": 9}
    assert set(arrived(house)["kameleoon"]) == CLEAN
    house.sandbox.reset()
    assert house.run(clock=clock).by_status("kameleoon") == {"duplicate": 9}
    house.retry(to=["kameleoon"], clock=clock)
    assert arrived(house) == {}, "the dead letters of before are held under their clean ids"


def test_a_dead_letter_of_before_goes_under_the_id_it_had_and_then_not_again(house: House) -> None:
    house.retry(to=["kameleoon"], clock=clock)
    assert set(arrived(house)["kameleoon"]) == {event_id for name, event_id, _, _ in WORDS if name == "kameleoon"}
    house.sandbox.reset()
    house.to = ["kameleoon"]
    assert house.run(clock=clock).by_status("kameleoon") == {"duplicate": 9}
    assert arrived(house) == {}


def test_only_a_person_has_an_unanswered_row_sent_again(house: House) -> None:
    house.to = ["convert"]
    house.run(clock=clock)
    house.retry(to=["convert"], statuses=["unknown"], clock=clock)
    assert arrived(house) == {}
    house.retry(to=["convert"], statuses=["unknown"], force_unknown=True, clock=clock)
    assert house.sandbox.counts()["convert"]["counted"] == 1
    house.sandbox.reset()
    assert house.run(clock=clock).by_status("convert") == {"duplicate": 9}
    assert arrived(house) == {}


def test_at_none_of_five_vendors_anything_is_sent_again(tmp_path: Path) -> None:
    shutil.copytree(EVERYWHERE, tmp_path, dirs_exist_ok=True)
    (tmp_path / "ledger.db").write_bytes(gzip.decompress((EVERYWHERE / "ledger.db.gz").read_bytes()))
    words = json.loads((EVERYWHERE / "results.json").read_text())
    left = datetime.fromtimestamp(json.loads((EVERYWHERE / "moment.json").read_text()) / 1000, UTC)
    with Sandbox(now=lambda: left + timedelta(hours=1)) as sandbox:
        again = House(tmp_path, sandbox)
        report = again.run(clock=lambda: int((left + timedelta(hours=1)).timestamp() * 1000))
        assert arrived(again) == {}
    assert Counter(status for _, _, status, _ in words) == {"delivered": 5 * 18}
    assert report.counts == {name: {("duplicate", "already_delivered"): 18} for name in EVERYBODY}
    assert ("unquoted", "event_id", 4) in {(each.code, each.column, each.rows) for each in report.warnings}


def test_fingerprints_of_another_version_say_nothing_of_a_change(house: House) -> None:
    lines = (house.folder / "orders.csv").read_text(encoding="utf-8").replace("19.99", "29.99")
    (house.folder / "orders.csv").write_text(lines, encoding="utf-8")
    house.to = ["optimizely"]
    assert house.run(clock=clock).counts["optimizely"] == {("duplicate", "already_delivered"): 9}


@pytest.mark.parametrize("ids", [("A-1", " A-1"), ("\ufeffA-1", "A-1\u00a0")], ids=["clean first", "neither"])
def test_two_spellings_of_one_id_are_one_conversion(house: House, ids: tuple[str, str]) -> None:
    """Of two files, too: what is held is asked under either."""
    house.to = ["optimizely"]
    (house.folder / "ledger.db").unlink()
    header, first, *_ = (house.folder / "orders.csv").read_text(encoding="utf-8").splitlines()
    for event_id in ids:
        line = ",".join([event_id, *first.split(",")[1:]])
        (house.folder / "orders.csv").write_text(f"{header}\n{line}\n", encoding="utf-8")
        house.run(clock=clock)
    counts = Counter((row["status"], row["event_id"]) for row in house.results())
    assert counts == {("delivered", "A-1"): 1, ("duplicate", "A-1"): 1}
    assert arrived(house) == {"optimizely": ["A-1"]}
