"""Rows made to do harm: the worst that comes of them is a rejection, and the rows beside them are delivered."""

from __future__ import annotations

import csv
import io

import pytest

from tests.conftest import House, order
from tests.vendors import EVERYBODY

DEEP = "[" * 5_000 + "]" * 5_000
TEXTS = {
    "NUL": "a\x00b",
    "a right-to-left mark": "\u202egnp.exe",
    "a zero-width joiner": "a\u200db",
    "SQL": "'; DROP TABLE entries; --",
    "SQL with a quote": 'x" OR 1=1 --',
    "shell": "$(rm -rf /) `id` | cat ; &",
    "a template": "{{ 7*7 }} {% raw %} ${jndi:ldap://x} {start} %s %(name)s",
    "a formula": '=HYPERLINK("http://x","y")',
    "NaN": "NaN",
    "infinity": "1e400",
    "a huge number": "9" * 400,
    "deep JSON": DEEP,
    "deep JSON in an object": '{"a":' + DEEP + "}",
    "JSON with NaN": '{"a": NaN}',
    "JSON with a lone surrogate": '{"a": "\\ud800"}',
    "JSON with a key twice": '{"a": 1, "a": 2}',
    "the last code point": "\U0010ffff",
    "a byte order mark": "\ufeffx",
    "line breaks": "a\r\nb\u2028c",
    "a header": "x\r\nX-Injected: 1",
    "ten megabytes": "x" * 10_000_000,
}
COLUMNS = [
    "event_id",
    "event_name",
    "occurred_at",
    "user_id",
    "email",
    "phone",
    "revenue",
    "currency",
    "quantity",
    "aliases",
    "properties",
    "kameleoon_goal_id",
    "url",
    "Any Other Column",
]


def nested(levels: int, inside: str = "1") -> str:
    return '{"a":' + "[" * (levels - 1) + inside + "]" * (levels - 1) + "}"


DEPTHS = {
    "a hundred levels": (nested(100), ""),
    "a hundred levels and brackets in text": (nested(100, '"[[{{\\\\\\"[["'), ""),
    "many brackets side by side": ('{"a":[' + ",".join(["[]"] * 300) + "]}", ""),
    "a hundred and one": (nested(101), "nested_too_deep"),
    "what a writer of JSON gives up at": (nested(260), "nested_too_deep"),
    "what a reader of JSON gives up at": (nested(1_000), "nested_too_deep"),
    "under a key that stands twice": ('{"b":' + nested(1_000) + ',"b":1}', "nested_too_deep"),
    "where a total is expected": ('{"total_price":"1.00","total_discount":' + nested(300) + "}", "nested_too_deep"),
    "what no reader takes": (nested(1_100), "not_a_json_object"),
}


@pytest.mark.parametrize(("text", "reason"), DEPTHS.values(), ids=DEPTHS)
def test_deep_json_is_taken_or_rejected_with_its_row_alone(house: House, text: str, reason: str) -> None:
    house.to = ["converge", "optimizely"]
    house.overrides = {"optimizely": {"events": {"Placed Order": "purchase"}}}
    columns = ["properties", "profile_properties", "attributes"]
    deep = [order(n, event_name="Placed Order", **{name: text}) for n, name in enumerate(columns)]
    house.write([*deep, order(9)])
    report = house.run()
    assert report.run.stop_detail == ""
    for vendor in house.to:
        *told, other = house.results(destinations=[vendor])
        assert {row["status"] for row in told} == {"rejected" if reason else "delivered"}
        assert not reason or {row["reason"] for row in told} == {reason}
        assert other["status"] == "delivered"


@pytest.mark.parametrize("kind", TEXTS)
def test_the_worst_is_a_rejection(house: House, kind: str) -> None:
    columns = COLUMNS if len(TEXTS[kind]) < 100_000 else ["event_id", "user_id", "properties"]
    hostile = [order(100 + place, **{name: TEXTS[kind]}) for place, name in enumerate(columns)]
    good = [order(1), order(2)]
    house.write([good[0], *hostile, good[1]])
    report = house.run()
    assert report.run.stop_detail == ""
    assert not report.stops
    for vendor in EVERYBODY:
        assert sum(report.by_status(vendor).values()) == len(hostile) + 2
        assert set(report.by_status(vendor)) <= {"delivered", "rejected", "skipped"}, vendor
        told = {row["row_number"]: row["status"] for row in house.results(destinations=[vendor])}
        assert (told[1], told[len(hostile) + 2]) == ("delivered", "delivered"), vendor
    assert house.run().exit_code in (0, 1), "and once more, over what is there now"


def test_a_hostile_header_is_a_sentence(house: House) -> None:
    out = io.StringIO()
    names = ["event_id", "event_name", "occurred_at", "'; DROP TABLE entries; --", "{{ x }}", "\u202eabc", "a\x00b"]
    csv.writer(out).writerows([names, ["1", "Order Completed", "2026-11-20T00:00:00Z", "a", "b", "c", "d"]])
    (house.folder / "orders.csv").write_text(out.getvalue())
    house.to = ["converge"]
    report = house.run()
    assert report.run.stop_detail or sum(report.by_status("converge").values()) == 1
