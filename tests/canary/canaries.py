"""Planted secrets and people, and how they are looked for. Each place of the house has its own test of them."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import Any

import pytest

from etl import sources
from tests.conftest import order

SECRETS = {
    "convert_key": "canary-secret-convert",
    "optimizely_sdk_key": "canary-secret-sdkkey",
    "converge_token": "canary-secret-converge",
    "webflow_key": "canary-secret-webflow",
}
"""Those of the vendors."""

OLD_ADDRESS = "canary-secret-oldsource"
"""Stands in the address of a Converge source that is older than the token."""

CREDENTIALS = {
    "convert": {"api_key": SECRETS["convert_key"]},
    "optimizely": {"sdk_key": SECRETS["optimizely_sdk_key"]},
    "converge": {"webhook_token": SECRETS["converge_token"], "old_path": f"/sources/{OLD_ADDRESS}"},
    "webflow_optimize": {"api_key": SECRETS["webflow_key"]},
}
"""The sandbox's, with these secrets."""

FEED: dict[str, Any] = {
    "address": "https://ada:canary-secret-feed%2Fpw@feed.example/orders.csv?token=canary-secret-feedquery",
    "token": "canary-secret-feedtoken",
    "logins": [{"user": "ada", "password": "canary-secret-feedlogin"}],
}
"""Settings of a source of somebody else's, see `theirs/feed.py`; all of it is written down in imports.yaml."""

FEED_SECRETS = [
    *("canary-secret-feed%2Fpw", "canary-secret-feed/pw"),
    *("canary-secret-feedquery", "canary-secret-feedtoken", "canary-secret-feedlogin"),
]

THEIRS = Path(__file__).parent / "theirs"

PEOPLE = [
    "canary.ada@example.com",
    "+15550102030",
    "canary-user-7",
    "canary-anon-7",
    "canary-visitor-7",
    "canary-property",
    "canary-alias",
]

ECHO = "Bad: canary.ada@example.com +15550102030 canary-user-7 canary-visitor-7 canary-property " + " ".join(
    [*SECRETS.values(), OLD_ADDRESS]
)
"""What somebody unkind says: all there is."""

REPEATED = "Bad: {sent}"
"""What an unkind vendor answers: all it was sent."""

Said = list[tuple[str, str]]
"""(place, text)"""


def leaks(said: Said, canaries: list[str]) -> list[tuple[str, str]]:
    """(place, canary) for every one that was found; the same for a canary in capitals, or quoted for a URL."""
    found = [(place, canary) for place, text in said for canary in canaries if _holds(text.lower(), canary.lower())]
    return list(dict.fromkeys(found))


def _holds(text: str, canary: str) -> bool:
    return canary in text or canary.replace("@", "%40").replace("+", "%2b") in text


def install_feed(patch: pytest.MonkeyPatch) -> None:
    """Put the type `feed` where types of sources are found, as if its file lay beside those of ours."""
    patch.setattr(sources, "__path__", [*sources.__path__, str(THEIRS)])
    patch.delitem(sys.modules, "etl.sources.feed", raising=False)


def person(number: int, **changed: str) -> dict[str, str]:
    """A row whose every personal column is a canary."""
    told = {
        "user_id": "canary-user-7",
        "anonymous_id": "canary-anon-7",
        "email": "canary.ada@example.com",
        "phone": "+15550102030",
        "kameleoon_visitor_code": "canary-visitor-7",
        "webflow_user_id": "canary-user-7",
        "properties": '{"note": "canary-property"}',
        "profile_properties": '{"email": "canary.ada@example.com"}',
        "aliases": "urn:user_id:canary-alias",
    }
    return order(number, **told | changed)


def rows() -> list[dict[str, str]]:
    """Good ones, and values about people in every place where a rule may stumble over them."""
    personal = "canary.ada@example.com"
    bad = [
        {"revenue": personal},
        {"currency": "canary-user-7"},
        {"occurred_at": personal},
        {"quantity": personal},
        {"aliases": "|".join(f"urn:email:{personal}" for _ in range(12))},
        {"event_name": ""},
        {"convert_goal_id": "canary-property"},
        {"kameleoon_goal_id": "canary-property"},
        {"url": f"https://shop.example/?email={personal}"},
    ]
    broken = [{**person(200), "properties": "canary-property"}, {**person(201), "user_id": personal}]
    return [person(n) for n in range(1, 6)] + [person(100 + n, **one) for n, one in enumerate(bad)] + broken


def receipts(folder: Path) -> Said:
    """The pages, and of NAME.result.csv what was added: its first columns are the sender's own rows, by design."""
    said = [("page", path.read_text()) for path in folder.rglob("*.summary.html")]
    for path in folder.rglob("*.result.csv"):
        for row in csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))):
            said.append(("result.csv", " ".join(v or "" for k, v in row.items() if _is_added(k))))
    for path in folder.rglob("*.fix.csv"):
        said += [("fix.csv", row["problem"]) for row in csv.DictReader(io.StringIO(path.read_text("utf-8-sig")))]
    return said


def _is_added(column: str | None) -> bool:
    return column is not None and column.rpartition(" ")[2] in ("status", "reason", "detail")
