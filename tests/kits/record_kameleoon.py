"""What Kameleoon's own Python kit puts on the wire for the rows below, as `kameleoon.json` holds it.

Recorded on 2026-11-27 with kameleoon-client-python 3.22.2, which is no dependency of ours (GPLv3); to do it again:

    python -m venv /tmp/kit && /tmp/kit/bin/pip install kameleoon-client-python==3.22.2
    /tmp/kit/bin/python tests/kits/record_kameleoon.py > tests/kits/kameleoon.json

Nothing is sent: the kit's own builder makes the lines of one tracking request.
"""

from __future__ import annotations

import importlib
import json
import random
import sys
from types import SimpleNamespace
from typing import Any

PRICES = ("19.99", "149.00", "5.49", "1200", "0.10", "23.50", "87.25", "0", "1234567.89", "12.34")
TITLES = ("Thank you", 'A "quoted", title', "Größe & Maß", "注文", "a=b&c=d", "")
METADATA = ({"3": ["ORD-1"]}, {"3": ["ORD-2", "again"], "7": ["gold"]}, {"0": ["Größe, Ä"]})


def rows() -> list[dict[str, str]]:
    """Forty-eight rows in our words: sales, refunds, sign-ups and pages of eight visitors."""
    return [_row(number) for number in range(48)]


def _row(number: int) -> dict[str, str]:
    row = {
        "event_id": f"kit-{number:03d}",
        "occurred_at": "2026-11-20T09:30:00Z",
        "kameleoon_visitor_code": f"v{number % 8:015d}",
    }
    kind = ("Order Completed", "Order Refunded", "Signed Up", "page")[number % 4]
    if kind == "page":
        title, referrers = TITLES[number % len(TITLES)], ("", "4", "1|4|12")[number % 3]
        url = f"https://shop.example.com/größe?order={number}&to=a b"
        return {**row, "event_name": kind, "url": url, "title": title, "referrer": referrers}
    row |= {"event_name": kind, "kameleoon_goal_id": str(36151 + number % 3)}
    if kind != "Signed Up":
        row["revenue"] = PRICES[number % len(PRICES)]
    if number % 6 == 0:
        row["metadata"] = json.dumps(METADATA[number % len(METADATA)], ensure_ascii=False)
    return row


def line(row: dict[str, str]) -> str:
    """The line of the row's event."""
    kit: Any = importlib.import_module("kameleoon.data")
    tracking: Any = importlib.import_module("kameleoon.managers.tracking.tracking_builder")
    if row["event_name"] == "page":
        indices = [int(index) for index in row["referrer"].split("|") if index]
        event: Any = kit.PageView(row["url"], row["title"], indices or None)
    else:
        given = json.loads(row.get("metadata", "{}"))
        event = kit.Conversion(
            int(row["kameleoon_goal_id"]),
            float(row.get("revenue", "0")),
            row["event_name"] == "Order Refunded",
            [kit.CustomData(int(index), *texts) for index, texts in given.items()] or None,
        )
    visitor = SimpleNamespace(
        mapping_identifier=None, is_unique_identifier=False, user_agent=None, enumerate_sendable_data=lambda: [event]
    )
    data_file = SimpleNamespace(settings=SimpleNamespace(is_consent_required=False))
    manager = SimpleNamespace(peek_visitor=lambda code: visitor)
    builder = tracking.TrackingBuilder([row["kameleoon_visitor_code"]], data_file, manager, 10**6)
    builder.build()
    (only,) = builder.tracking_lines
    return str(only)


if __name__ == "__main__":
    random.seed(20261127)
    recorded = [{"row": row, "line": line(row)} for row in rows()]
    sys.stdout.write(json.dumps(recorded, indent=1, ensure_ascii=False) + "\n")
