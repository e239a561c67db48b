"""Every exchange of every vendor: rows in, exact requests out, answers read. Nothing here knows a vendor's name.

An exchange file (``sample_data/exchanges/<type>.json``) holds the settings, rows, and what must follow from them; row
numbers count from 1 within a case. A vendor without a file fails.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydantic import ValidationError

from etl.delivery.load import pack
from etl.destinations import find, types
from etl.destinations.base import Destination, to_python
from etl.errors import LookupFailed
from etl.model import Item, Request, Response, Verdict
from schemas import conversion
from schemas.rules import problems

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


def exchange(type_: str) -> dict[str, Any]:
    """The file of a vendor."""
    path = FOLDER / f"{type_}.json"
    assert path.exists(), f"{path} is missing: every vendor shows what it sends"
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def listed(part: str, read: Callable[[str], Any]) -> list[Any]:
    """(type, entry) for every case or fetch of every file, with a readable id."""
    return [
        pytest.param(path.stem, entry, id=f"{path.stem}: {entry.get('name', number)}")
        for path in sorted(FOLDER.glob("*.json"))
        for number, entry in enumerate(read(path.read_text()).get(part) or [], start=1)
    ]


CASES, FETCHES = listed("cases", exact), listed("fetches", json.loads)


def destination(type_: str, overrides: Mapping[str, Any] | None = None, lookup: Any = None) -> Destination:
    """The vendor of a file, with its settings."""
    file, class_ = exchange(type_), find(type_)
    settings = class_.settings_model.model_validate({"type": type_, **file["settings"], **(overrides or {})})
    return class_(type_, settings, lookup or file.get("lookup"))


# -- the row's way, as the main flow goes it


@dataclass(frozen=True)
class Built:
    """What became of the rows of a case, by row number."""

    items: list[Item]
    skipped: dict[str, str]
    rejected: dict[str, str]
    sentences: dict[int, str]


def typed(rows: list[dict[str, str]]) -> pd.DataFrame:
    """Rows of text as the stage before hands them over."""
    columns = dict.fromkeys(name for row in rows for name in row)
    index = pd.RangeIndex(1, len(rows) + 1)
    frame = pd.DataFrame({name: [row.get(name) for row in rows] for name in columns}, index=index, dtype="str")
    cast = conversion.cast(frame, conversion.SourceFormat(), now_ms=NOW_MS, skew_ms=0)
    assert problems(conversion.SCHEMA, cast).empty, "rows of an exchange are sound conversions"
    good = cast.drop(columns=["time_problem", "ahead", "occurred_at"]).astype({"occurred_at_ms": "int64"})
    return good.assign(fingerprint=0)


def build(vendor: Destination, conversions: pd.DataFrame) -> Built:
    """Columns, rules and items of a vendor."""
    frame = vendor.columns(conversions)
    skip = frame["skip"] if "skip" in frame.columns else pd.Series(None, index=frame.index, dtype="str")
    wanted = frame[skip.isna()]
    bad = problems(vendor.schema(), wanted)
    good = wanted.drop(index=bad.index)
    empty = [None] * len(good)
    notes, details = (to_python(good, name) if name in good.columns else empty for name in ("note", "note_detail"))
    rows = zip(good.index, good["event_id"], good["event_name"], vendor.items(good), notes, details, strict=True)
    items = [
        Item(int(row), event_id, name, payload, warning=note or "", warning_detail=detail or "")
        for row, event_id, name, payload, note, detail in rows
    ]
    sentences = {int(row): detail for row, detail in bad["detail"].items()}
    return Built(
        items,
        skipped={str(row): reason for row, reason in skip[skip.notna()].items()},
        rejected={str(row): reason for row, reason in bad["reason"].items()},
        sentences=sentences | {item.row_number: item.warning_detail for item in items if item.warning},
    )


def requests(vendor: Destination, items: list[Item]) -> list[Request]:
    """The requests that carry the items."""
    return [vendor.request([item.payload for item in batch]) for batch in pack(items, vendor)]


def keys(value: Any) -> set[str]:
    """Every key of a JSON value, at any depth."""
    if isinstance(value, dict):
        return set(value).union(*(keys(part) for part in value.values()))
    return set().union(*(keys(part) for part in value)) if isinstance(value, list) else set()


# -- the exchanges


@pytest.mark.parametrize(("type_", "case"), CASES)
def test_exchange(type_: str, case: dict[str, Any]) -> None:
    vendor = destination(type_, case.get("settings"), case.get("lookup"))
    built = build(vendor, typed(case["rows"]))
    assert built.skipped == case.get("skipped", {})
    assert built.rejected == case.get("rejected", {})
    assert {str(item.row_number): item.warning for item in built.items if item.warning} == case.get("notes", {})
    sent = requests(vendor, built.items)
    if "requests" in case:
        assert len(sent) == len(case["requests"])
        for request, expected in zip(sent, case["requests"], strict=True):
            assert_sent(request, expected)
    for request in sent:
        assert not keys(json.loads(request.body)) & set(case.get("absent", []))
    for answer in case.get("answers", []):
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


@pytest.mark.parametrize(("type_", "case"), CASES)
def test_each_row_is_the_same_alone_and_in_company(type_: str, case: dict[str, Any]) -> None:
    vendor = destination(type_, case.get("settings"), case.get("lookup"))
    together, frame = build(vendor, typed(case["rows"])), typed(case["rows"])
    alone = [build(vendor, frame.loc[[row]]) for row in frame.index]
    assert [item for built in alone for item in built.items] == together.items
    assert {row: text for built in alone for row, text in built.sentences.items()} == together.sentences


@pytest.mark.parametrize(("type_", "case"), CASES)
def test_sentences_hold_nothing_personal(type_: str, case: dict[str, Any]) -> None:
    built = build(destination(type_, case.get("settings"), case.get("lookup")), typed(case["rows"]))
    for row_number, sentence in built.sentences.items():
        row = case["rows"][row_number - 1]
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


def some_items(type_: str) -> tuple[Destination, list[Item]]:
    """The vendor as its file configures it, and the good items of the file's plain cases."""
    vendor = destination(type_)
    plain_cases = [case for case in exchange(type_)["cases"] if not (case.get("settings") or case.get("lookup"))]
    items = [item for case in plain_cases for item in build(vendor, typed(case["rows"])).items]
    assert items, "at least one case without overrides sends something"
    return vendor, items


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
    assert facts.requires[:3] == conversion.REQUIRED
    assert all(sentence.endswith(".") for sentence in facts.hints.values())


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
