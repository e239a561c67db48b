"""Every exchange of every vendor: rows in, exact requests out, answers read. Nothing here knows a vendor's name.

An exchange file (``sample_data/exchanges/<type>.json``) holds the settings, rows, and what must follow from them; row
numbers count from 1 within a case. A vendor without a file fails.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydantic import ValidationError

from etl import columns
from etl.column_settings import MappingSettings
from etl.delivery.batches import pack
from etl.destinations import find, types
from etl.destinations.base import Destination
from etl.errors import LookupFailed
from etl.model import Item, Request, Response, RowVerdict, Status, Verdict
from etl.stages import transform, validate
from etl.staging import Staging
from schemas import conversion

FOLDER = Path(__file__).parents[2] / "sample_data" / "exchanges"
NOW_MS = 4_000_000_000_000  # later than any row; age is judged when sending
PERSONAL = (
    *("user_id", "anonymous_id", "email", "phone", "aliases", "properties", "profile_properties", "attributes"),
    *("kameleoon_visitor_code", "webflow_user_id"),
)


# -- reading the files


def exact(text: str | bytes) -> Any:
    """JSON whose fractions stay as they were written, so that 23.50 and 23.5 differ."""
    return json.loads(text, parse_float=lambda digits: ("number", digits))


@cache
def exchange(type_: str) -> dict[str, Any]:
    """The file of a vendor."""
    path = FOLDER / f"{type_}.json"
    assert path.exists(), f"{path} is missing: every vendor shows what it sends"
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def destination(type_: str, overrides: Mapping[str, Any] | None = None, lookup: Any = None) -> Destination:
    """The vendor of a file, with its settings."""
    file, class_ = exchange(type_), find(type_)
    settings = class_.settings_model.model_validate({"type": type_, **file["settings"], **(overrides or {})})
    return class_(type_, settings, lookup or file.get("lookup"))


# -- the row's way, through the stages that every run goes


def typed(rows: list[dict[str, str]]) -> pd.DataFrame:
    """Rows of text as they come out of validation; all of them are sound conversions."""
    columns = dict.fromkeys(name for row in rows for name in row)
    index = pd.RangeIndex(1, len(rows) + 1)
    frame = pd.DataFrame({name: [row.get(name) for row in rows] for name in columns}, index=index, dtype="str")
    with validate.Validator() as validator:
        good, rejected = validator.judge(frame, validate.Rules(conversion.SourceFormat(), NOW_MS, skew_ms=0))
    assert rejected == [], "rows of an exchange are sound conversions"
    staging = Staging("memory://exchanges", "typed")
    return staging.frame(staging.write("conversions", 0, good))


@dataclass(frozen=True)
class Built:
    """What became of rows: the items that would be sent, and what is said of the others."""

    items: list[Item]
    turned_away: list[RowVerdict]

    def reasons(self, status: Status) -> dict[str, str]:
        """Row number, as the files write it, -> reason."""
        return {str(row.row_number): row.verdict.reason for row in self.turned_away if row.verdict.status is status}

    @property
    def sentences(self) -> dict[int, str]:
        """By row number; of rows that are turned away, and warnings about good ones."""
        said = {row.row_number: row.verdict.detail for row in self.turned_away}
        return said | {item.row_number: item.warning_detail for item in self.items if item.warning}


def build(vendor: Destination, conversions: pd.DataFrame) -> Built:
    """Transformed, staged and read back."""
    table, turned_away = transform.items(conversions, vendor, MappingSettings(extra_columns="all"))
    staging = Staging("memory://exchanges", vendor.name)
    return Built(staging.items(staging.write("items", 0, table)), turned_away)


@dataclass(frozen=True, eq=False)
class Case:
    """One exchange of a vendor's file; its rows are validated and encoded once, whoever asks."""

    type_: str
    file: dict[str, Any]

    @cached_property
    def vendor(self) -> Destination:
        return destination(self.type_, self.file.get("settings"), self.file.get("lookup"))

    @cached_property
    def conversions(self) -> pd.DataFrame:
        return typed(self.file["rows"])

    @cached_property
    def built(self) -> Built:
        return build(self.vendor, self.conversions)


CASES = [Case(path.stem, entry) for path in sorted(FOLDER.glob("*.json")) for entry in exact(path.read_text())["cases"]]
FETCHES = [
    pytest.param(type_, fetch, id=f"{type_}: {fetch['name']}")
    for type_ in types()
    for fetch in exchange(type_).get("fetches") or []
]

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.type_}: {case.file['name']}")


@cache
def some_items(type_: str) -> tuple[Destination, list[Item]]:
    """The vendor as its file configures it, and the good items of the file's plain cases."""
    own = [case for case in CASES if case.type_ == type_]
    plain = [case for case in own if not (case.file.get("settings") or case.file.get("lookup"))]
    items = [item for case in plain for item in case.built.items]
    assert items, "at least one case without overrides sends something"
    return destination(type_), items


def requests(vendor: Destination, items: list[Item]) -> list[Request]:
    """The requests that carry the items."""
    return [vendor.request([item.payload for item in batch]) for batch in pack(items, vendor)]


def keys(value: Any) -> set[str]:
    """Every key of a JSON value, at any depth."""
    if isinstance(value, dict):
        return set(value).union(*(keys(part) for part in value.values()))
    return set().union(*(keys(part) for part in value)) if isinstance(value, list) else set()


# -- the exchanges


@each_case
def test_exchange(case: Case) -> None:
    vendor, built, file = case.vendor, case.built, case.file
    assert built.reasons(Status.SKIPPED) == file.get("skipped", {})
    assert built.reasons(Status.REJECTED) == file.get("rejected", {})
    assert {str(item.row_number): item.warning for item in built.items if item.warning} == file.get("notes", {})
    sent = requests(vendor, built.items)
    if "requests" in file:
        assert len(sent) == len(file["requests"])
        for request, expected in zip(sent, file["requests"], strict=True):
            assert_sent(request, expected)
    for request in sent:
        assert not keys(json.loads(request.body)) & set(file.get("absent", []))
    for answer in file.get("answers", []):
        assert_read(vendor, built.items, answer)


def assert_sent(request: Request, expected: dict[str, Any]) -> None:
    """Method, URL and body are exactly as expected; the headers named there are."""
    assert exact(request.body) == expected["body"]
    assert (request.method, request.url) == (expected["method"], expected["url"])
    headers = expected.get("headers", {})
    assert {name: request.headers.get(name) for name in headers} == headers


def assert_read(vendor: Destination, items: list[Item], answer: dict[str, Any]) -> None:
    """The answer to the case's first request is read as the file says."""
    payloads = [item.payload for item in next(pack(items, vendor))]
    body = answer.get("body", "")
    encoded = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    verdicts = vendor.results(payloads, Response(answer["status"], answer.get("headers", {}), encoded))
    assert [plain(verdict) for verdict in verdicts] == answer["results"]


def plain(verdict: Verdict) -> str | list[str]:
    """``delivered``, or status and reason."""
    return [verdict.status.value, verdict.reason] if verdict.reason else verdict.status.value


@each_case
def test_each_row_is_the_same_alone_and_in_company(case: Case) -> None:
    alone = [build(case.vendor, case.conversions.loc[[row]]) for row in case.conversions.index]
    assert [item for built in alone for item in built.items] == case.built.items
    assert [row for built in alone for row in built.turned_away] == case.built.turned_away


@each_case
def test_sentences_hold_nothing_personal(case: Case) -> None:
    for row_number, sentence in case.built.sentences.items():
        row = case.file["rows"][row_number - 1]
        told = [name for name in PERSONAL if len(row.get(name, "")) > 3 and row[name] in sentence]
        assert not told, f"row {row_number}: {sentence}"
        assert sentence.endswith(".")


@pytest.mark.parametrize(("type_", "fetch"), FETCHES)
def test_lookup(type_: str, fetch: dict[str, Any]) -> None:
    vendor, answer = destination(type_, fetch.get("settings")), fetch.get("answer", "")
    asked = []

    def answered(url: str, headers: Mapping[str, str]) -> bytes:
        asked.append(url)
        return answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()

    if "error" in fetch:
        with pytest.raises(LookupFailed) as caught:
            vendor.prepare(answered)
        assert caught.value.reason == fetch["error"]
        assert not [secret for secret in vendor.secrets() if secret in str(caught.value)]
    else:
        assert json.loads(json.dumps(vendor.prepare(answered))) == fetch["lookup"]
    assert asked == [fetch["url"]]


# -- what holds for every vendor, whether or not its file thought of it


@pytest.mark.parametrize("type_", types())
def test_file_shows_what_is_sent_and_what_is_refused(type_: str) -> None:
    found = exchange(type_)["cases"]
    assert all(case["source"] for case in found)
    assert len({case["name"] for case in found}) == len(found)
    assert any(case.get("requests") for case in found)
    assert any(case.get("rejected") for case in found)
    reasons = [r for case in found for group in ("skipped", "rejected", "notes") for r in case.get(group, {}).values()]
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", reason) for reason in reasons)


@pytest.mark.parametrize("type_", types())
def test_facts_agree_with_themselves(type_: str) -> None:
    facts, limits = find(type_).facts, destination(type_).limits
    assert 0 < limits.items <= facts.max_items
    assert 0 < limits.bytes <= facts.max_bytes
    assert limits.connections > 0
    assert facts.docs
    assert facts.repeatable_because
    assert facts.requires[:3] == columns.REQUIRED
    assert all(sentence.endswith(".") for sentence in facts.hints.values())


@pytest.mark.parametrize("type_", types())
def test_batches_that_are_halved_hold_rows_that_have_nothing_to_do_with_each_other(type_: str) -> None:
    vendor = find(type_)
    assert not (vendor.in_order and (vendor.facts.all_or_nothing or vendor.facts.repeatable))


@pytest.mark.parametrize("type_", types())
def test_settings_refuse_unknown_keys(type_: str) -> None:
    with pytest.raises(ValidationError, match="surprise"):
        destination(type_, {"surprise": 1})


@pytest.mark.parametrize("type_", types())
def test_settings_refuse_blank_text(type_: str) -> None:
    given = {name: " " for name, value in exchange(type_)["settings"].items() if isinstance(value, str)}
    for name, blank in given.items():
        with pytest.raises(ValidationError, match=name):
            destination(type_, {name: blank})


@pytest.mark.parametrize("type_", types())
def test_limits_are_never_above_the_vendors(type_: str) -> None:
    vendor = destination(type_, {"limits": {"items": 10**9, "bytes": 10**12}})
    assert (vendor.limits.items, vendor.limits.bytes) == (vendor.facts.max_items, vendor.facts.max_bytes)


@pytest.mark.parametrize("type_", types())
def test_endpoint_replaces_the_vendors(type_: str) -> None:
    vendor, items = some_items(type_)
    other = destination(type_, {"endpoint": "http://127.0.0.1:8900/elsewhere"})
    (request, *_) = requests(other, items[:1])
    assert request.url.split("?")[0] == "http://127.0.0.1:8900/elsewhere"
    assert vendor.endpoint.startswith("https://")


@pytest.mark.parametrize("type_", types())
def test_secrets_stay_in_headers(type_: str) -> None:
    vendor, items = some_items(type_)
    for request in requests(vendor, items):
        shown = [request.body.decode(), repr(request), repr(vendor.settings), repr(items), repr(vendor)]
        assert not [secret for secret in vendor.secrets() for text in shown if secret in text]


@pytest.mark.parametrize("type_", types())
def test_requests_name_their_sender_and_their_format(type_: str) -> None:
    vendor, items = some_items(type_)
    for request in requests(vendor, items):
        assert request.headers["Content-Type"] == "application/json"
        assert request.headers["User-Agent"]


@pytest.mark.parametrize("type_", types())
def test_a_repeatable_vendor_gets_the_event_id_verbatim(type_: str) -> None:
    vendor, items = some_items(type_)
    for item in items if vendor.facts.repeatable else []:
        assert json.dumps(item.event_id, ensure_ascii=False).encode() in item.payload


@pytest.mark.parametrize("type_", types())
def test_nothing_becomes_nothing(type_: str) -> None:
    row = {"event_id": "1", "event_name": "Order Completed", "occurred_at": "2026-11-20T09:30:00Z"}
    assert build(destination(type_), typed([row]).iloc[:0]).items == []


@pytest.mark.parametrize("limits", [{}, {"items": 7}, {"bytes": 5_000}, {"items": 3, "bytes": 3_000}], ids=str)
@pytest.mark.parametrize("type_", types())
def test_batches_keep_the_limits_and_lose_nothing(type_: str, limits: dict[str, int]) -> None:
    vendor, (item, *_) = destination(type_, {"limits": limits}), some_items(type_)[1]
    items = [Item(row, f"{row}", "", b" " * (row % 97) + item.payload) for row in range(1, 2_001)]
    batches = list(pack(items, vendor))
    assert [one for batch in batches for one in batch] == items
    for batch in batches:
        body = vendor.request([one.payload for one in batch]).body
        assert len(batch) <= vendor.limits.items
        assert len(body) <= vendor.limits.bytes
        assert len(body) == vendor.envelope_bytes + sum(len(one.payload) + 1 for one in batch) - 1
        json.loads(body)


@pytest.mark.parametrize("type_", types())
@pytest.mark.parametrize("status", [200, 201, 204, 302, 400, 409, 413, 422])
def test_every_answer_gives_every_item_a_verdict(type_: str, status: int) -> None:
    vendor, items = some_items(type_)
    payloads = [item.payload for item in next(pack(items, vendor))]
    for body in (b"", b"{}", b"[]", b"null", b"<html>", b"\xff\xfe", b'{"errors":[{}]}'):
        verdicts = vendor.results(payloads, Response(status, {}, body))
        assert len(verdicts) == len(payloads)
        if status >= 300:
            assert {verdict.status.value for verdict in verdicts} <= {"refused", "unknown", "failed"}
