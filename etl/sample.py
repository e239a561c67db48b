"""Sample conversions, made and not drawn: the same call writes the same rows.

``rows`` are good ones for every vendor, as many as asked for, all inside every vendor's window. ``showcase`` adds
one row for every reason that a row can be turned away for; its event_id says which. Nobody in here exists.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TextIO

from etl.columns import COLUMNS

HEADER = (*COLUMNS, "store")
"""Every canonical column, and an extra one."""

ORDER, SIGNUP, FORM, PAGE, REFUND = "Order Completed", "Signed Up", "Form Submitted", "page", "Order Refunded"
PATTERN = (ORDER, SIGNUP, ORDER, FORM, PAGE, ORDER, SIGNUP, ORDER, FORM, REFUND)
SPAN = timedelta(hours=36)

PRICES = ("19.99", "149.00", "5.49", "1200", "0.10", "23.50", "87.25")
STORES = ("Leeds", "Bristol", "York")
KAMELEOON_GOALS = {ORDER: "36151", SIGNUP: "36152", REFUND: "36153"}
CONVERT_GOALS = {PAGE: "100215965", REFUND: "5001"}  # the others stand under `events` in imports.yaml


def rows(count: int, now: datetime) -> Iterator[list[str]]:
    """``count`` good conversions, cells in the order of `HEADER`, spread evenly over the 36 hours before ``now``."""
    step = SPAN / max(count, 1)
    for number in range(1, count + 1):
        name = PATTERN[(number - 1) % len(PATTERN)]
        yield _cells(_good(f"sample-{number:07d}", name, number, now - SPAN + step * (number - 0.5)))


def showcase(now: datetime) -> Iterator[list[str]]:
    """Good rows, some with ids that programs like to spoil, then one row for every way to be turned away."""
    for number in range(1, 31):
        name = PATTERN[(number - 1) % len(PATTERN)]
        yield _cells(_good(f"demo-good-{number:02d}", name, number, now - timedelta(minutes=70 * number)))
    for number, (event_id, name, changes) in enumerate([*_curious(now), *_problems(now)], start=101):
        yield _cells({**_good(event_id, name, number, now - timedelta(minutes=number)), **changes})
    ragged = _good("demo-ragged-row", ORDER, 999, now - timedelta(hours=1))
    yield _cells(ragged)[:-5]


def write(lines: Iterable[list[str]], target: TextIO) -> None:
    """The header and the rows as CSV."""
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows(lines)


def _cells(row: Mapping[str, str]) -> list[str]:
    return [row.get(name, "") for name in HEADER]


def _good(event_id: str, name: str, number: int, at: datetime) -> dict[str, str]:
    """A conversion that every vendor takes (Kameleoon does not want forms and skips them)."""
    row = {
        "event_id": event_id,
        "event_name": name,
        "occurred_at": _iso(at),
        "user_id": f"user-{number:06d}",
        "anonymous_id": f"anon-{number:06d}",
        "email": f"user-{number:06d}@example.com",
        "aliases": f"urn:user_id:user-{number:06d}|urn:cookie:anon-{number:06d}",
        "attributes": '{"plan": "gold", "is_vip": true}' if number % 3 == 0 else '{"plan": "free"}',
        "kameleoon_visitor_code": f"kv{number:014d}",
        "kameleoon_goal_id": KAMELEOON_GOALS.get(name, ""),
        "convert_goal_id": CONVERT_GOALS.get(name, ""),
        "store": STORES[number % len(STORES)],
    }
    return row | _what_happened(name, number)


def _what_happened(name: str, number: int) -> dict[str, str]:
    if name == PAGE:
        shop = "https://shop.example.com"
        return {"url": f"{shop}/thanks?order={number}", "title": "Thank you", "referrer": f"{shop}/checkout"}
    if name not in (ORDER, REFUND):
        return {"profile_properties": '{"newsletter": true}'}
    return {
        "revenue": PRICES[number % len(PRICES)],
        "currency": "GBP",
        "order_id": f"ORD-{number:06d}",
        "quantity": str(1 + number % 3),
        "properties": json.dumps({"coupon": "AUTUMN, 10%", "gift": number % 2 == 0}),
    }


def _iso(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"


Changed = tuple[str, str, dict[str, str]]
"""event_id, event_name, and the cells in which the row differs from a good one."""


def _curious(now: datetime) -> list[Changed]:
    """Good rows in forms that programs like to spoil."""
    hour = timedelta(hours=1)
    berlin = (now - hour).astimezone(UTC)  # two hours ago on a clock that is one hour ahead
    aliases = json.dumps(["urn:user_id:user-000104", "urn:email:user-000104@example.com"])
    return [
        ("007", ORDER, {}),
        ("9007199254740993123", ORDER, {}),
        ("order 42 b", ORDER, {}),
        ("Größe-Ä1", ORDER, {"aliases": aliases, "title": 'A "quoted", title'}),
        ("demo-epoch-milliseconds", ORDER, {"occurred_at": _epoch_ms(now - hour)}),
        ("demo-time-with-offset", ORDER, {"occurred_at": f"{berlin:%Y-%m-%dT%H:%M:%S}+01:00"}),
        ("demo-three-days-old", ORDER, {"occurred_at": _iso(now - timedelta(days=3))}),
        ("demo-visitor-known-by-cookie-only", ORDER, {"user_id": "", "webflow_user_id": "lead-7"}),
    ]


def _problems(now: datetime) -> list[Changed]:
    return [*_wrong_for_all(now), *_wrong_times(now), *_wrong_people(), *_wrong_values(), *_wrong_for_one()]


def _wrong_for_all(now: datetime) -> list[Changed]:
    return [
        ("demo-duplicate-event-id", ORDER, {}),
        ("demo-duplicate-event-id", ORDER, {}),
        ("", ORDER, {"order_id": "demo-missing-event-id"}),
        ("demo-control-character\tin the id", ORDER, {}),
        ("demo-event-id-too-long-" + "x" * 480, ORDER, {}),
        ("demo-missing-event-name", "", {}),
        ("demo-event-name-too-long", "Order " + "x" * 500, {}),
        ("demo-missing-occurred-at", ORDER, {"occurred_at": ""}),
        ("demo-not-a-currency", ORDER, {"currency": "pounds"}),
        ("demo-properties-not-a-json-object", ORDER, {"properties": "{coupon: AUTUMN}"}),
        ("demo-properties-nested-too-deep", ORDER, {"properties": '{"coupon": ' + "[" * 100 + "]" * 100 + "}"}),
        ("demo-in-the-future", ORDER, {"occurred_at": _iso(now + timedelta(days=365))}),
    ]


def _wrong_times(now: datetime) -> list[Changed]:
    """The two nights of 2026 in which Europe's clocks change matter where the import has such a `timezone`."""
    moments = {
        "demo-no-timezone": _iso(now - timedelta(hours=3)).removesuffix("Z"),
        "demo-ambiguous-local-time": "2026-10-25T02:30:00",
        "demo-nonexistent-local-time": "2026-03-29T02:30:00",
        "demo-timestamp-in-seconds": _epoch_ms(now - timedelta(hours=4))[:10],
        "demo-date-as-digits": f"{now - timedelta(hours=4):%Y%m%d%H%M}",
        "demo-timestamp-unparsable": "yesterday, after lunch",
        "demo-ambiguous-date": "03/04/2026 10:00",
        "demo-date-format-needed": "19.11.2026 14:05",
        "demo-date-format-unlike-the-others": "19.11.26 14:05",
        "demo-before-2001": "1999-12-31T23:00:00Z",
        "demo-too-old": _iso(now - timedelta(days=8)),
    }
    return [(event_id, ORDER, {"occurred_at": moment}) for event_id, moment in moments.items()]


def _wrong_people() -> list[Changed]:
    eleven = "|".join(f"urn:device:{number:02d}" for number in range(1, 12))
    return [
        ("demo-nobody", ORDER, {"user_id": "", "anonymous_id": "", "kameleoon_visitor_code": ""}),
        ("demo-email-as-user-id", ORDER, {"user_id": "user-000140@example.com"}),
        ("demo-phone-as-user-id", ORDER, {"user_id": "020 7946 0123", "webflow_user_id": "+44 20 7946 0123"}),
        ("demo-visitor-code-too-long", ORDER, {"kameleoon_visitor_code": "k" * 256}),
        ("demo-missing-aliases", ORDER, {"aliases": ""}),
        ("demo-eleven-aliases", ORDER, {"aliases": eleven}),
        ("demo-empty-alias", ORDER, {"aliases": "urn:user_id:user-000145|urn:email:"}),
        ("demo-unreadable-aliases", ORDER, {"aliases": '["urn:user_id:user-000146"'}),
        ("demo-alias-without-urn", ORDER, {"aliases": "user-000147"}),
        ("demo-no-email", ORDER, {"aliases": "", "email": "call back"}),
        ("demo-no-phone-number", ORDER, {"aliases": "", "email": "", "phone": "+1 555"}),
        ("demo-phone-without-country-code", ORDER, {"aliases": "", "email": "", "phone": "020 7946 0123"}),
    ]


def _wrong_values() -> list[Changed]:
    spec = {"total_tax": 3.33, "total_shipping": 0, "$is_new_customer": False}
    no_number, below_zero = json.dumps({**spec, "total_tax": "some"}), json.dumps({**spec, "total_discount": -5})
    no_list = json.dumps({**spec, "items": 3})
    no_truth = json.dumps({**spec, "$is_new_customer": "perhaps"})
    return [
        ("demo-revenue-not-a-decimal", ORDER, {"revenue": "1,299.00"}),
        ("demo-too-many-decimals", ORDER, {"revenue": "1299.999"}),
        ("demo-ambiguous-number", ORDER, {"quantity": "1.000"}),
        ("demo-negative-revenue", ORDER, {"revenue": "-19.99"}),
        ("demo-other-currency", ORDER, {"currency": "EUR"}),
        ("demo-decimal-comma", ORDER, {"revenue": "1.299,00"}),
        ("demo-thousands-out-of-place", ORDER, {"revenue": "12,99.00"}),
        ("demo-id-rounded-by-a-spreadsheet", ORDER, {"order_id": "1.23457E+15"}),
        ("demo-formula", ORDER, {"order_id": "#REF!"}),
        ("demo-quantity-not-a-number", ORDER, {"quantity": "two"}),
        ("demo-text-for-a-number", "Placed Order", {**_PLACED, "properties": no_number}),
        ("demo-negative-discount", "Placed Order", {**_PLACED, "properties": below_zero}),
        ("demo-items-not-a-list", "Placed Order", {**_PLACED, "properties": no_list}),
        ("demo-text-for-true-or-false", "Placed Order", {**_PLACED, "properties": no_truth}),
        ("demo-missing-spec-property", SIGNUP, {"email": ""}),
        ("demo-bucketing-not-text-to-text", ORDER, {"attributes": '{"100001": 200002}'}),
    ]


_PLACED = {"revenue": "19.99", "currency": "GBP", "order_id": "ORD-placed", "convert_goal_id": "100215962"}


def _wrong_for_one() -> list[Changed]:
    return [
        ("demo-unknown-event", "Coffee Poured", {}),
        ("demo-event-name-nearly-right", "Signed up", {}),
        ("demo-convert-goal-not-an-id", ORDER, {"convert_goal_id": "purchase"}),
        ("demo-convert-goal-unknown", ORDER, {"convert_goal_id": "999999999"}),
        ("demo-missing-kameleoon-goal", ORDER, {"kameleoon_goal_id": ""}),
        ("demo-kameleoon-goal-not-a-number", ORDER, {"kameleoon_goal_id": "goal-36151"}),
        ("demo-kameleoon-goal-not-listed", ORDER, {"kameleoon_goal_id": "31651"}),
        ("demo-page-without-url", PAGE, {"url": ""}),
    ]


def _epoch_ms(at: datetime) -> str:
    return str(int(at.timestamp()) * 1000)
