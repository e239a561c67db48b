"""Record what Optimizely's Python kit sends for `rows.optimizely`: ``python record_optimizely.py > optimizely.json``.

Run where optimizely-sdk is installed (recorded with 5.7.0 on 2026-11-27); nothing is sent anywhere. The kit stamps ids
and times of its own, which whoever compares leaves out. One datafile after the other takes twelve rows each.
"""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

from optimizely import optimizely, version  # type: ignore[import-not-found, unused-ignore]
from optimizely.event.event_processor import (  # type: ignore[import-not-found, unused-ignore]
    ForwardingEventProcessor,
)

sys.path.insert(0, str(Path(__file__).parent))
import rows  # type: ignore[import-not-found, unused-ignore]

DATAFILE: dict[str, Any] = {
    "version": "4",
    "revision": "137",
    "accountId": "12345678",
    "projectId": "98765432",
    "groups": [],
    "experiments": [],
    "audiences": [],
    "rollouts": [],
    "featureFlags": [],
    "events": [
        {"id": "5001", "key": "purchase", "experimentIds": []},
        {"id": "5002", "key": "signup", "experimentIds": []},
        {"id": "5003", "key": "add_to_cart", "experimentIds": []},
        {"id": "5005", "key": "form_submit", "experimentIds": []},
    ],
    "attributes": [{"id": "7001", "key": "plan"}, {"id": "7002", "key": "age"}, {"id": "7003", "key": "is_vip"}],
}
SAID: tuple[dict[str, Any], ...] = (
    {},
    {"anonymizeIP": True, "botFiltering": True},
    {"anonymizeIP": False, "botFiltering": False, "region": "EU"},
    {"anonymizeIP": True, "region": "US"},
)


class Recorder:
    """What the kit would have posted."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def dispatch_event(self, event: Any) -> None:
        """See the kit's `EventDispatcher`."""
        self.sent.append({"url": event.url, "body": event.params})


def tags(row: dict[str, Any]) -> dict[str, Any]:
    """A row's tags as somebody who calls the kit would give them: money in cents, the rest as it is."""
    found: dict[str, Any] = {}
    if "revenue" in row:
        found["revenue"] = int(Decimal(row["revenue"]) * 100)
        found |= {name: row[name] for name in ("currency", "order_id")}
    if "quantity" in row:
        found["quantity"] = int(row["quantity"])
    found |= json.loads(row.get("properties", "{}"))
    return found


def record(said: dict[str, Any], some: list[dict[str, Any]]) -> dict[str, Any]:
    """What the kit makes of these rows under a datafile that says this."""
    datafile, recorder = {**DATAFILE, **said}, Recorder()
    client = optimizely.Optimizely(json.dumps(datafile), event_processor=ForwardingEventProcessor(recorder))
    for row in some:
        client.track(row["event_name"], row["user_id"], json.loads(row.get("attributes", "null")), tags(row) or None)
    return {"datafile": datafile, "rows": [row["event_id"] for row in some], "sent": recorder.sent}


def main() -> None:
    """Print the recording."""
    given = rows.optimizely()
    found = [record(said, given[12 * number : 12 * (number + 1)]) for number, said in enumerate(SAID)]
    print(json.dumps({"kit": f"optimizely-sdk {version.__version__}", "parts": found}))  # noqa: T201


main()
