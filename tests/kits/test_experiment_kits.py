"""What is sent equals what the vendors' own kits send for the same rows, apart from names, versions, ids and times.

The kits' side is recorded: `record_optimizely.py` and `record_convert.cjs` beside this file made it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from etl.columns import COLUMNS
from etl.delivery.siblings import Siblings
from etl.destinations.convert import Convert, ConvertSettings
from etl.destinations.optimizely import Optimizely, OptimizelySettings
from etl.model import Item, Status, Verdict
from etl.stages import validate
from schemas import conversion
from schemas.rules import problems
from tests.kits import rows

HERE = Path(__file__).parent
STAMPED = {"uuid": "", "timestamp": 0}
"""What the kit makes up for every event."""


def recorded(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))
    return found


def typed(given: list[dict[str, Any]]) -> pd.DataFrame:
    """Rows as they come out of validation; all of them are good."""
    names = [*COLUMNS, *(name for row in given for name in row if name not in COLUMNS)]
    index = pd.RangeIndex(1, len(given) + 1)
    columns = {name: [row.get(name) for row in given] for name in dict.fromkeys(names)}
    with validate.Validator() as validator:
        rules = validate.Rules(conversion.SourceFormat(), 4_000_000_000_000, skew_ms=0)
        good, rejected = validator.judge(pd.DataFrame(columns, index=index, dtype="str"), rules)
    assert rejected == []
    return good


# -- Optimizely


@pytest.mark.parametrize("part", recorded("optimizely")["parts"], ids=lambda part: str(part["rows"][0]))
def test_optimizely(part: dict[str, Any]) -> None:
    bare: dict[str, Any] = {"type": "optimizely", "account_id": "12345678", "project_id": "98765432", "sdk_key": "k"}
    names: dict[str, Any] = {"client_name": "python-sdk", "client_version": "5.7.0"}
    silent: dict[str, Any] = (
        {} if "anonymizeIP" in part["datafile"] else {"anonymize_ip": False}
    )  # the kits' answer to silence
    settings = OptimizelySettings(**bare, **names, **silent)
    lookup = Optimizely("kit", settings).prepare(lambda url, headers: json.dumps(part["datafile"]).encode())
    vendor = Optimizely("kit", settings, lookup)
    frame = vendor.columns(typed([row for row in rows.optimizely() if row["event_id"] in part["rows"]]))
    assert problems(vendor.schema(), frame).empty
    ours = [vendor.request([payload]) for payload in vendor.items(frame)]
    assert [(request.url, stamped(json.loads(request.body))) for request in ours] == [
        (sent["url"], stamped(sent["body"])) for sent in part["sent"]
    ]


def stamped(body: dict[str, Any]) -> dict[str, Any]:
    for visitor in body["visitors"]:
        for snapshot in visitor["snapshots"]:
            for event in snapshot["events"]:
                event |= STAMPED
    return body


def test_forty_rows_and_more() -> None:
    assert sum(len(part["rows"]) for part in recorded("optimizely")["parts"]) >= 40
    assert recorded("convert")["rows"] >= 40


# -- Convert: the kit gathers a visitor's events of a batch in one object


def test_convert() -> None:
    kit = recorded("convert")
    given: dict[str, Any] = {"type": "convert", "account_id": "10001234", "project_id": "20005678", "api": "tracking"}
    vendor = Convert("kit", ConvertSettings(**given, source=kit["sent"][0]["body"]["source"]))
    frame = vendor.columns(typed(rows.convert()))
    assert problems(vendor.schema(), frame).empty
    items = [Item(number, str(number), "", payload) for number, payload in enumerate(vendor.items(frame), start=1)]
    bodies = [json.loads(vendor.request([item.payload for item in batch]).body) for batch in delivered(vendor, items)]
    assert by_visitor(bodies) == by_visitor([sent["body"] for sent in kit["sent"]])
    envelopes = [{name: part for name, part in body.items() if name != "visitors"} for body in bodies]
    theirs = {name: part for name, part in kit["sent"][0]["body"].items() if name != "visitors"}
    assert all(envelope == theirs for envelope in envelopes)
    assert {sent["agent"] for sent in kit["sent"]} == {vendor.request([]).headers["User-Agent"]}


def delivered(vendor: Convert, items: list[Item]) -> Iterator[list[Item]]:
    """The items of every request, where each is answered before the next goes out."""
    siblings = Siblings(vendor)
    for start in range(0, len(items), vendor.limits.items):
        waiting = items[start : start + vendor.limits.items]
        while waiting:
            now, settled, waiting = siblings.sort(waiting)
            siblings.learn([*((item, Verdict(Status.DELIVERED)) for item in now), *settled])
            if now:
                yield now


def by_visitor(bodies: list[dict[str, Any]]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for body in bodies:
        for visitor in body["visitors"]:
            found[visitor["visitorId"]] += visitor["events"]
    return found
