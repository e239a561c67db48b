"""What docs/vendors says of a vendor, line by line: each line of its tables has a case here, and the case is true.

A case (``pages/<type>.json``) is a row, or settings, and what must follow: a status with its reason code, parts of the
payload, a sentence. Codes and sentences that a case looks for must stand in the line that it is the case of. Pages of
vendors without such a file are looked at for what the program knows, no more.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from etl import destinations, preview
from etl.cli import app
from etl.destinations.base import Destination
from etl.errors import ConfigError
from etl.model import Preview, Request, Response
from tests.conftest import House

PAGES = Path(__file__).parents[2] / "docs" / "vendors"
CASES: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((Path(__file__).parent / "pages").glob("*.json"))
}
NOW_MS = int(datetime.fromisoformat("2026-11-20T12:00:00Z").timestamp() * 1000)
ROW = {"event_id": "1", "occurred_at": "2026-11-20T09:30:00+00:00"}
ROWS = {
    "convert": {**ROW, "event_name": "Order Completed", "user_id": "visitor-1", "convert_goal_id": "5001"},
    "optimizely": {**ROW, "event_name": "signup", "user_id": "visitor-1"},
    "converge": {**ROW, "event_name": "Lead", "aliases": "urn:a:1"},
    "kameleoon": {
        **{**ROW, "event_name": "Order Completed", "kameleoon_visitor_code": "v1"},
        "kameleoon_goal_id": "36151",
    },
    "webflow_optimize": {**ROW, "event_name": "lead", "user_id": "7"},
}
"""A row that the vendor takes as it is."""


def lines(type_: str) -> dict[str, str]:
    """The lines of a page's tables by hand: the first cell -> the last."""
    by_hand = (PAGES / f"{type_}.md").read_text(encoding="utf-8").split("## What the program knows")[0]
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in by_hand.splitlines() if line.startswith("| ")]
    return {cells[0].strip(): cells[-1].strip() for cells in rows if cells[0].strip() not in ("line", "---")}


@dataclass
class Checked:
    """What `check` makes of a case's row."""

    house: House
    type_: str
    case: dict[str, Any] = field(repr=False)

    def preview(self) -> Preview:
        house, case = self.house, self.case
        house.to = [self.type_]
        house.overrides = {self.type_: {"events": {}, **self.settings()}}
        house.import_settings = case.get("imports", {})
        row = {**ROWS[self.type_], **case.get("row", {})}
        house.write([row] * case.get("rows", 1) + [{**row, **each} for each in case.get("more", [])])
        return preview.check(house.config, "orders", clock=lambda: NOW_MS)[self.type_]

    def settings(self) -> dict[str, Any]:
        """The case's settings; {lookup} stands for where the sandbox says what it knows."""
        given = self.case.get("settings", {})
        known = self.house.sandbox.lookup(self.type_) if "{lookup}" in str(given) else ""
        return {k: v.replace("{lookup}", known) if isinstance(v, str) else v for k, v in given.items()}

    def vendor(self) -> Destination:
        return destinations.make_destination(self.house.config, self.type_)


def one_request(found: Preview) -> Request:
    assert found.request is not None, found.unsent
    return found.request


def payload(found: Preview) -> dict[str, Any]:
    body: Any = json.loads(one_request(found).body)
    event: dict[str, Any] = body[0] if isinstance(body, list) else body
    return event


def holds(whole: Any, part: Any) -> bool:
    """Every key of ``part`` stands in ``whole`` with that value; an empty object stands for itself."""
    if isinstance(part, dict) and part:
        return isinstance(whole, dict) and all(name in whole and holds(whole[name], part[name]) for name in part)
    return bool(whole == part)


EACH = [pytest.param(type_, name, id=f"{type_}: {name}") for type_, cases in CASES.items() for name in cases]


@pytest.mark.parametrize("type_", CASES)
def test_every_line_of_a_page_has_a_case(type_: str) -> None:
    assert list(lines(type_)) == list(CASES[type_])


@pytest.mark.parametrize(("type_", "name"), EACH)
def test_a_line_names_what_its_case_looks_for(type_: str, name: str) -> None:
    case, here = CASES[type_][name], lines(type_)[name]
    for kind in ("rejected", "skipped", "failed", "duplicate", "warned", "among", "told", "stopped", "said", "error"):
        assert kind not in case or f"`{case[kind]}" in here
    for kind in ("look", "note", "trouble", "doubt"):
        assert kind not in case or f'"{case[kind]}"' in here
    assert "hint" not in case or f'"{case["text"]}' in here


@pytest.mark.parametrize(("type_", "name"), EACH)
def test_a_line_is_true(house: House, type_: str, name: str) -> None:
    case = CASES[type_][name]
    checked = Checked(house, type_, case)
    if "error" in case:
        with pytest.raises(ConfigError, match=re.escape(f"{type_}.{case['error']}")) as caught:
            checked.preview()
        assert case.get("text", "") in str(caught.value)
        return
    found = checked.preview()
    of_the_row(found, case)
    of_the_run(found, case)
    of_the_request(found, case)
    of_the_vendor(checked.vendor(), case, found)


def of_the_row(found: Preview, case: dict[str, Any]) -> None:
    """What is said of it."""
    for status in ("rejected", "skipped", "failed", "duplicate"):
        if status in case:
            (row,) = found.unsent
            assert (row.verdict.status.value, row.verdict.reason) == (status, case[status])
            assert case.get("text", "") in row.verdict.detail
    if "warned" in case:
        ((status, code),) = found.counts
        assert (status, code) == ("ready", case["warned"])
        reason = destinations.find_reason(code)
        assert reason is not None
        assert case.get("text", "") in reason.detail


def of_the_run(found: Preview, case: dict[str, Any]) -> None:
    """What is said of several rows, or of all of them."""
    if "among" in case:
        assert ("ready", case["among"]) in found.counts
    if "ready" in case:
        assert sum(rows for (status, _), rows in found.counts.items() if status == "ready") == case["ready"]
    if "told" in case:
        assert [each for each in found.warnings if each.code == case["told"] and case.get("text", "") in each.sentence]
    if "stopped" in case:
        assert ("failed", case["stopped"]) in found.counts
        assert case["text"] in found.stopped


def of_the_request(found: Preview, case: dict[str, Any]) -> None:
    """What would be sent of it."""
    if "sent" in case:
        assert holds(payload(found), case["sent"]), payload(found)
    if "at" in case:
        part: Any = payload(found)
        for step in case["at"]:
            part = part[step]
        assert holds(part, case["is"]), part
    if "absent" in case:
        assert case["absent"] not in payload(found)
    if "header" in case:
        name, start = case["header"]
        assert one_request(found).headers[name].startswith(start)
    if "url_has" in case:
        assert case["url_has"] in one_request(found).url
    if "url_lacks" in case:
        assert case["url_lacks"] not in one_request(found).url
    if "array" in case:
        assert isinstance(json.loads(one_request(found).body), list)


def of_the_vendor(vendor: Destination, case: dict[str, Any], found: Preview) -> None:
    """What is known of the vendor, and made of its answers."""
    facts = vendor.facts
    assert vendor.endpoint_template == case.get("template", vendor.endpoint_template)
    assert facts.deduplicates == case.get("dedup", facts.deduplicates)
    if "hint" in case:
        assert case["text"] in vendor.hint(case["hint"])
    if "answer" in case:
        (verdict,) = vendor.results(
            [one_request(found).body], Response(case["answer"], {}, case.get("body", "").encode())
        )
        assert (verdict.status.value, verdict.reason) == (case["status"], case.get("said", ""))
    assert case.get("look", "") in facts.where_to_look
    assert case.get("note", "") in " ".join(facts.notes)
    assert case.get("trouble", "") in f"{facts.troubleshooting}"
    assert case.get("doubt", "") in " ".join(vendor.doubts())


@pytest.mark.parametrize("type_", CASES)
def test_a_page_ends_with_what_the_program_knows(type_: str) -> None:
    page = (PAGES / f"{type_}.md").read_text(encoding="utf-8")
    printed = CliRunner().invoke(app, ["destinations", type_, "--format", "markdown"]).output
    assert page.split("<!-- printed -->\n")[1] == f"{printed}<!-- /printed -->\n"
