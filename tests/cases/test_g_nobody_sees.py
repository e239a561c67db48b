"""G: what nobody sees does not decide; K4: quotes around a cell are not part of an id."""

from __future__ import annotations

import json
import sqlite3
import unicodedata
from typing import Any

import pytest

from schemas.marks import INVISIBLE
from tests.conftest import House, order

OUTSIDE = {
    "a byte order mark": "\ufeff",
    "a zero-width space": "\u200b",
    "a zero-width joiner": "\u200d",
    "a word joiner": "\u2060",
    "left to right": "\u200e",
    "an Arabic mark": "\u061c",
    "an embedding": "\u202a",
    "an isolate": "\u2068",
    "a space": " ",
    "a tab": "\t",
    "a no-break space": "\u00a0",
    "a narrow one": "\u202f",
    "an ideographic one": "\u3000",
    "an em space": "\u2003",
    "a line separator": "\u2028",
    "next line": "\u0085",
    "a soft hyphen": "\u00ad",
    "a Hangul filler": "\u3164",
    "a line break": "\n",
    "several": "\u200f \ufeff\u00a0",
}


def sent(house: House, vendor: str = "converge") -> list[dict[str, Any]]:
    return [json.loads(request["body"]) for request in house.sandbox.requests(vendor)]


def words(house: House) -> list[tuple[str, str, str]]:
    return [(row["event_id"], row["status"], row["reason"]) for row in house.results()]


@pytest.mark.parametrize("column", ["event_id", "event_name", "user_id", "currency", "revenue", "occurred_at", "title"])
def test_what_nobody_sees_is_no_part_of_a_value(house: House, column: str) -> None:
    house.to = ["optimizely"]
    rows = {f"order-{n}": order(n, title="Thanks") for n in range(2 * len(OUTSIDE))}
    marks = [(mark, "") for mark in OUTSIDE.values()] + [("", mark) for mark in OUTSIDE.values()]
    changed = [{**row, column: f"{at[0]}{row[column]}{at[1]}"} for row, at in zip(rows.values(), marks, strict=True)]
    house.write(changed)
    report = house.run()
    assert [(each.code, each.column, each.rows) for each in report.warnings] == [("trimmed", column, len(rows))]
    house.write(list(rows.values()))
    counts = house.run().counts["optimizely"]
    assert counts == {("duplicate", "already_delivered"): len(rows)}, "it is not another content"
    visitors = [visitor for body in sent(house, "optimizely") for visitor in body["visitors"]]
    assert [visitor["snapshots"][0]["events"][0]["uuid"] for visitor in visitors] == list(rows)
    assert [visitor["visitor_id"] for visitor in visitors] == [row["user_id"] for row in rows.values()]


def test_two_files_joined(house: House) -> None:
    house.to = ["converge"]
    house.write([order(1), {**order(2), "event_id": "\ufefforder-2"}, {**order(3), "event_id": "order-1\u200b"}])
    house.run()
    assert words(house) == [
        ("order-1", "delivered", ""),
        ("order-2", "delivered", ""),
        ("order-1", "rejected", "duplicate_event_id"),
    ]


def test_a_space_after_every_comma(house: House) -> None:
    house.to = ["converge"]
    row = order(1)
    (house.folder / "orders.csv").write_text(f"{', '.join(row)}\n{', '.join(row.values())}\n")
    house.run()
    house.write([row])
    assert house.run().by_status("converge") == {"duplicate": 1}
    assert sent(house)[0]["event_id"] == "order-1"


def test_fixed_width_ids_of_a_database(house: House) -> None:
    row = {**order(1), "event_id": "A-1       ", "user_id": "7         "}
    with sqlite3.connect(house.folder / "shop.db") as shop:
        shop.execute(f"CREATE TABLE orders ({', '.join(row)})")
        shop.execute(f"INSERT INTO orders VALUES ({', '.join('?' * len(row))})", list(row.values()))
    house.to = ["optimizely"]
    house.import_settings = {
        "source": {"type": "sql", "url": f"sqlite:///{house.folder}/shop.db", "query": "SELECT * FROM orders"}
    }
    house.run()
    assert words(house) == [("A-1", "delivered", "")]
    assert sent(house, "optimizely")[0]["visitors"][0]["visitor_id"] == "7"


@pytest.mark.parametrize("column", ["event_id", "user_id", "order_id", "anonymous_id", "aliases"])
def test_inside_an_id_it_is_a_reason(house: House, column: str) -> None:
    house.to = ["converge"]
    marks = ["\u200b", "\u200d", "\ufeff", "\u202e", "\u00ad", "\x07", "\t", "\u2028"]
    form = "urn:x:{}7" if column == "aliases" else "A{}7"
    house.write([order(n, **{column: form.format(mark)}) for n, mark in enumerate(marks)])
    assert house.run().counts["converge"] == {("rejected", "control_character"): len(marks)}


def test_inside_spaces_stay(house: House) -> None:
    house.to = ["converge"]
    texts = ["two  inner spaces", "a\u00a0b", "Größe 7", "日本\u30007", "order 42 b"]
    house.write([order(n, event_id=text) for n, text in enumerate(texts)])
    house.run()
    assert {each["event_id"] for each in sent(house)} == set(texts)


def test_inside_other_text_it_stays(house: House) -> None:
    house.to = ["converge"]
    texts = ["soft\u00adhyphen", "می\u200cخواهم", "👩\u200d👧"]
    house.write([order(n, properties=json.dumps({"note": t}), event_name=t) for n, t in enumerate(texts)])
    house.run()
    assert {each["properties"]["note"] for each in sent(house)} == set(texts)
    assert {each["event_name"] for each in sent(house)} == set(texts)


QUOTED = {
    "curly": "“{}”",
    "German": "„{}“",
    "French": "«{}»",
    "French with spaces": "«\u202f{}\u202f»",
    "single": "‘{}’",
    "straight": '"{}"',
    "doubled": '""{}""',
    "apostrophes": "'{}'",
    "Japanese": "「{}」",
    "one in another": "“'{}'”",
    "with spaces around": " “{}” ",
}


@pytest.mark.parametrize("column", ["event_id", "user_id", "email", "order_id", "event_name"])
def test_quotes_around_a_cell_are_no_part_of_an_id(house: House, column: str) -> None:
    house.to = ["converge"]
    house.overrides = {"converge": {"aliases_from": ["user_id", "email"]}}
    rows = [order(n, email=f"ada{n}@example.com", aliases="") for n in range(len(QUOTED))]
    house.write([{**row, column: form.format(row[column])} for row, form in zip(rows, QUOTED.values(), strict=True)])
    report = house.run()
    house.write(rows)
    assert house.run().counts["converge"] == {("duplicate", "already_delivered"): len(rows)}
    assert ("unquoted", column, len(rows)) in [(each.code, each.column, each.rows) for each in report.warnings]
    found = {event["event_id"]: event["aliases"] for event in sent(house)}
    assert found == {r["event_id"]: [f"urn:user_id:{r['user_id']}", f"urn:email:{r['email']}"] for r in rows}


def test_quotes_within_stay(house: House) -> None:
    house.to = ["converge"]
    texts = ['6" pipe', '"A" or "B"', "O'Neill", "'tis", "“open"]
    house.write([order(n, event_id=text) for n, text in enumerate(texts)])
    house.run()
    assert {each["event_id"] for each in sent(house)} == set(texts)


def test_white_space_of_every_kind_is_known() -> None:
    every = [chr(point) for point in range(0x110000)]
    assert {each for each in every if each.isspace() or unicodedata.category(each) in ("Zs", "Zl", "Zp")} <= set(
        INVISIBLE
    )


APOSTROPHES = {
    "digits": ("'00491511", "00491511"),
    "a number in groups": ("'0049 151-1", "0049 151-1"),
    "a sign": ("'-7x", "-7x"),
    "a plus": ("'+7", "+7"),
    "a handle": ("'@ada", "@ada"),
    "after white space": ("\u00a0'0049", "0049"),
}


@pytest.mark.parametrize("column", ["event_id", "user_id", "order_id"])
def test_the_apostrophe_of_a_spreadsheet_is_no_part_of_an_id(house: House, column: str) -> None:
    house.to = ["converge"]
    house.overrides = {"converge": {"aliases_from": ["user_id"]}}
    house.write([order(n, **{column: text}) for n, (text, _) in enumerate(APOSTROPHES.values())])
    report = house.run()
    assert ("unquoted", column, len(APOSTROPHES)) in [(each.code, each.column, each.rows) for each in report.warnings]
    found = {
        "event_id": lambda each: each["event_id"],
        "user_id": lambda each: each["aliases"][-1].removeprefix("urn:user_id:"),
        "order_id": lambda each: each["properties"]["id"],
    }[column]
    assert sorted(map(found, sent(house))) == sorted(clean for _, clean in APOSTROPHES.values())


def test_letters_are_never_changed_into_others(house: House) -> None:
    """Two forms of one letter are two ids: whoever writes both has to say which is meant."""
    house.to = ["converge"]
    texts = ["\u00e9", "e\u0301", "４７１１", "4711", "٤٧١١", "А-7", "A-7", "\ufb01x", "fix"]
    house.write([order(n, event_id=text) for n, text in enumerate(texts)])
    assert house.run().by_status("converge") == {"delivered": len(texts)}
    assert {each["event_id"] for each in sent(house)} == set(texts)


@pytest.mark.parametrize("name", ["\ufefforders.csv", "orders.csv"])
def test_marks_of_every_joined_file_are_no_part_of_a_value(house: House, name: str) -> None:
    """Files joined by a shell: a byte order mark before each, the last line of one without an end."""
    house.to = ["converge"]
    head, *lines = [",".join(order(n)) if n == 0 else ",".join(order(n).values()) for n in range(4)]
    text = "\ufeff" + head + "\r\n" + "".join(f"\ufeff{line}\u200e\r\n" for line in lines)
    (house.folder / "orders.csv").write_bytes(text.encode())
    assert house.run().by_status("converge") == {"delivered": 3}
    assert {each["event_id"] for each in sent(house)} == {"order-1", "order-2", "order-3"}
