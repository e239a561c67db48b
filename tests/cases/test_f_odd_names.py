"""F: any character that a disk or a bucket allows in a name is read, moved and answered."""

from __future__ import annotations

import pytest

from tests.conftest import House, order
from tests.test_drops import Inbox, inbox, local, s3_server  # noqa: F401 (fixtures)

EVERYWHERE = {
    "brackets": "a [z].csv",
    "a star": "orders*.csv",
    "a question mark": "orders?.csv",
    "not of a class": "[!a].csv",
    "braces": "{a,b}.csv",
    "a window's place": "{start:%Y-%m-%d}.csv",
    "a variable": "$HOME ${X}.csv",
    "a chain of fsspec": "simplecache::a.csv",
    "two colons": "shop::2026.csv",
    "a number sign": "orders #1.csv",
    "percent": "a%20b%2Fc.csv",
    "quotes": 'O\'Neill "best".csv',
    "a backslash": "a\\b.csv",
    "tags": "<b>&amp;.csv",
    "decomposed": "Mu\u0308ller.csv",
    "outside the first plane": "\U0001f600.csv",
    "right to left": "a\u202eb.csv",
    "spaces at the ends": " a .csv ",
    "an option": "-rf.csv",
    "a home": "~root.csv",
    "dots": "a..csv",
    "an equals sign": "day=2026-11-20.csv",
    "a tab": "a\tb.csv",
}
ON_A_DISK = EVERYWHERE | {
    "a line break": "a\nb.csv",
    "an escape": "a\x1b[31mb.csv",
    "no UTF-8": "M\udcfcller.csv",
    "an address": "s3:bucket.csv",
    "no ending": "orders",
    "nothing but an ending": "a.CSV",
    "as long as a disk allows": "y" * 251 + ".csv",
    "nearly": "y" * 209 + ".csv",
    "long in letters of two bytes": "ü" * 125 + ".csv",
    "long in letters of three": "日" * 83 + ".csv",
    "a long ending": "a." + "y" * 250,
}


@pytest.mark.parametrize("name", ON_A_DISK.values(), ids=ON_A_DISK)
def test_a_file_of_any_name_is_read_moved_and_answered_on_a_disk(house: House, name: str) -> None:
    is_answered(local(house), name)


@pytest.mark.parametrize("inbox", ["s3"], indirect=True)
def test_files_of_any_name_are_read_moved_and_answered_in_a_bucket(inbox: Inbox) -> None:  # noqa: F811
    inbox.settings = {"settle_seconds": 0}
    for number, name in enumerate(EVERYWHERE.values()):
        inbox.drop(name, [order(number)])
    outcomes = inbox.round()
    assert {name: outcomes[name].state for name in EVERYWHERE.values()} == dict.fromkeys(
        EVERYWHERE.values(), "processed"
    )
    assert inbox.names() == []
    assert set(EVERYWHERE.values()) <= set(inbox.names("processed"))
    assert len([name for name in inbox.names("processed") if name.endswith(".result.csv")]) == len(EVERYWHERE)


def is_answered(inbox: Inbox, name: str) -> None:  # noqa: F811
    inbox.settings = {"settle_seconds": 0}
    inbox.drop(name, [order(1), order(2, occurred_at="yesterday")])
    (outcome,) = inbox.round().values()
    assert (outcome.state, outcome.sentence) == ("processed", "")
    assert inbox.names() == []
    assert inbox.received() == ["order-1"]
    answers = inbox.names("processed")
    assert len(answers) == 4, answers
    (result,) = [answer for answer in answers if answer.endswith(".result.csv")]
    assert [row["converge status"] for row in inbox.table(f"processed/{result}")] == ["delivered", "rejected"]
