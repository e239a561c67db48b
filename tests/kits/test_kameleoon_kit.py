"""Kameleoon's own kit and we say the same of the same rows: its lines were recorded by `record_kameleoon`.

They may differ in what is named there: the kit's nonce is drawn by lot, its event types are in lower case, and it
spells out what is nothing (revenue 0.0, negative false).
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from tests.conftest import House
from tests.kits import record_kameleoon

RECORDED: list[dict[str, Any]] = json.loads((Path(__file__).parent / "kameleoon.json").read_text(encoding="utf-8"))
JSON_VALUES = ("goalId", "negative", "metadata", "referrersIndices")


def of_the_kit(line: str) -> dict[str, Any]:
    """A line as an event of ours, without what is nothing; its nonce as none."""
    said: dict[str, Any] = dict(parse_qsl(line, keep_blank_values=True))
    assert re.fullmatch("[0-9A-F]{16}", said.pop("nonce"))
    said |= {name: json.loads(said[name]) for name in JSON_VALUES if name in said}
    said["eventType"] = said["eventType"].upper()
    return without_nothing(said)


def without_nothing(event: dict[str, Any]) -> dict[str, Any]:
    """An event without its nonce, a revenue of zero, and what is false or empty."""
    amount = Decimal(str(event.get("revenue", 0)))
    rest = {
        name: value for name, value in event.items() if name not in ("nonce", "revenue") and value not in (False, "")
    }
    return rest | ({"revenue": amount} if amount else {})


@pytest.mark.parametrize("style", ["event_id", "hex16"])
def test_forty_eight_rows_say_what_the_kit_says(house: House, style: str) -> None:
    house.to = ["kameleoon"]
    house.overrides = {"kameleoon": {"referrers_field": "referrersIndices", "nonce_style": style}}
    house.write([each["row"] for each in RECORDED])
    assert house.run().by_status("kameleoon") == {"delivered": len(RECORDED)}
    sent = [
        event
        for request in house.sandbox.requests("kameleoon")
        for event in json.loads(request["body"], parse_float=Decimal)
    ]
    assert len(sent) == len(RECORDED) >= 40
    assert [without_nothing(event) for event in sent] == [of_the_kit(each["line"]) for each in RECORDED]
    nonces = [event["nonce"] for event in sent]
    assert len(set(nonces)) == len(nonces)
    if style == "hex16":
        assert all(re.fullmatch("[0-9A-F]{16}", nonce) for nonce in nonces)


def test_the_recorded_rows_are_those_of_the_script() -> None:
    assert [each["row"] for each in RECORDED] == record_kameleoon.rows()
