"""What is kept of an answer that took no row: readable where it helps, and nothing in it about a person."""

from __future__ import annotations

import base64
import csv
import hashlib
import html
import io
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import quote, quote_plus, urlsplit

import pytest
from typer.testing import CliRunner

from etl.cli import app
from etl.delivery import answers
from etl.destinations import make_destination
from etl.ledger import Ledger
from etl.model import Item, Response
from tests.conftest import House, order
from tests.test_ledger import DELIVERED, FAILED, a_run, claimed, ledger, sent
from tests.vendors import EVERYBODY

__all__ = ["ledger"]

PERSON = {
    "user_id": 'Zoë "Z" <Möller>/7',
    "anonymous_id": "visitor-8899",
    "email": "Zoe.Moeller+x@Example.com",
    "phone": "+44 20 7946 0958",
    "properties": '{"note": "kept for aunt May", "card": 4929123, "nested": {"at": "12 Mill Lane"}}',
    "aliases": "urn:user_id:customer-4711|urn:email:zoe@example.org",
    "kameleoon_visitor_code": "kam-visitor-77",
    "webflow_user_id": "wf-user-55",
    "url": "https://shop.example/thanks?who=Zoe+Moeller",
}

FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "in capitals": str.upper,
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON within JSON": lambda text: json.dumps(json.dumps(text)[1:-1])[1:-1],
    "JSON in UTF-8": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "URL": lambda text: quote(text, safe=""),
    "URL in small letters": lambda text: quote(text, safe="").lower(),
    "form": quote_plus,
    "HTML": html.escape,
    "SHA-256": lambda text: hashlib.sha256(text.encode()).hexdigest(),
    "SHA-256 in capitals": lambda text: hashlib.sha256(text.encode()).hexdigest().upper(),
    "MD5 of it in small letters": lambda text: hashlib.md5(text.lower().encode(), usedforsecurity=False).hexdigest(),
    "base64": lambda text: base64.b64encode(text.encode()).decode().rstrip("="),
    "over two lines": lambda text: text.replace(" ", "\n  "),
}


def texts(value: Any) -> list[str]:
    """Every text in a JSON value, however deep."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [text for each in value for text in texts(each)]
    return [value] if isinstance(value, str) else []


def answered(house: House, vendor: str, body: str, **changed: str) -> set[str]:
    """What is kept of a vendor's refusal of one row."""
    house.to = [vendor]
    house.write([order(1, **changed)])
    house.sandbox.clear_faults()
    path = urlsplit(make_destination(house.config, vendor).endpoint).path
    house.sandbox.fault(vendor=vendor, status=400, body=body, path=path)
    house.run()
    (last,) = house.results(statuses=["refused"])[-1:]
    return {last["answer"]}


@pytest.mark.parametrize("vendor", EVERYBODY)
def test_what_helps_stays_readable(house: House, vendor: str) -> None:
    (answer,) = answered(house, vendor, "Order Completed is no event,\n\n currency GBP, goal 100215962", **PERSON)
    assert answer == "Order Completed is no event, currency GBP, goal 100215962"


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_nothing_of_a_person_is_kept_in_any_form(house: House, form: Callable[[str], str]) -> None:
    payload = json.dumps({"visitorId": PERSON["user_id"], "email": PERSON["email"], "note": "kept for aunt May"})
    said = [form(text) for text in (PERSON["user_id"], PERSON["email"], "kept for aunt May")]
    body = f"Unknown: {' and '.join(said)}, sorry."
    destination = make_destination(house.config, "convert")
    answer = answers.readable(destination, [payload.encode()], Response(400, {}, body.encode()))
    assert answer == "Unknown: *** and *** and ***, sorry."


@pytest.mark.parametrize("vendor", EVERYBODY)
def test_a_vendor_that_repeats_all_it_was_sent_is_kept_without_it(house: House, vendor: str) -> None:
    """As the whole body, and every text in it by itself."""
    answered(house, vendor, "no", **PERSON)
    sent_body = house.sandbox.requests(vendor)[-1]["body"]
    own = {"order-1", "Order Completed", "GBP", "conversion", "CONVERSION", "custom"}
    about = [text for text in texts(json.loads(sent_body)) if len(text) >= 4 and text in json.dumps(PERSON) + "ORD-1"]
    assert about or vendor == "webflow_optimize"
    for body in (sent_body, " ".join(texts(json.loads(sent_body)))):
        (answer,) = answered(house, vendor, body, **PERSON)
        assert answer
        assert [text for text in about if text in answer and text not in own] == []


def test_secrets_are_masked_also_where_they_stand_in_a_path(house: House) -> None:
    house.overrides = {"converge": {"endpoint": f"{house.sandbox.url}/converge/sources/hidden-77"}}
    token = house.config.raw_destination("converge")["webhook_token"]
    (answer,) = answered(house, "converge", f"hidden-77 and {token} are known")
    assert answer == "*** and *** are known"


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        pytest.param(b"", "", id="nothing"),
        pytest.param(b"a\x1b[31m\tb\r\n\r\nc", "a [31m b c", id="what a terminal would obey"),
        pytest.param(b"\x00\x01PNG", "", id="no text"),
        pytest.param("Größe".encode("cp1252"), "Größe", id="of another encoding"),
        pytest.param(b"<h1>Bad &amp; ugly</h1>", "<h1>Bad &amp; ugly</h1>", id="a page"),
        pytest.param(b"write to jo@example.com or +1 (555) 010-2030", "write to *** or ***", id="somebody else"),
    ],
)
def test_answers_of_all_kinds(house: House, body: bytes, kept: str) -> None:
    destination = make_destination(house.config, "converge")
    assert answers.readable(destination, [b"{}"], Response(400, {}, body)) == kept


def test_a_long_answer_is_cut_after_what_is_in_it_was_masked(house: House) -> None:
    destination = make_destination(house.config, "converge")
    payload = [b'{"aliases": ["kept for aunt May"]}']
    long = answers.readable(destination, payload, Response(400, {}, ("ä" * 495 + "kept for aunt May" * 9999).encode()))
    assert len(long.encode()) <= answers.MOST_BYTES
    assert long == "ä" * 495 + "***"
    full = answers.readable(destination, payload, Response(400, {}, b"x" * 5000))
    assert (len(full.encode()), full[-1]) == (answers.MOST_BYTES, "…")


def test_answers_are_shown_by_results_in_every_format_and_on_the_page(house: House) -> None:
    house.to, house.import_settings = ["converge"], {"drop": {"inbox": "inbox", "settle_seconds": 0}}
    (house.folder / "inbox").mkdir()
    house.write([order(1)], "inbox/one.csv")
    house.sandbox.fault(vendor="converge", status=400, body="alias urn:user_id:user-1 is <unknown>")
    path = str(house.config.path)
    told = CliRunner().invoke(app, ["--config", path, "drops", "--once"])
    assert told.exit_code == 1, told.output
    shown = "alias *** is <unknown>"
    table = CliRunner().invoke(app, ["--config", path, "results"], env={"COLUMNS": "200"}).stdout
    assert f"answer: {shown}" in table
    as_json = json.loads(CliRunner().invoke(app, ["--config", path, "results", "--format", "json"]).stdout)
    as_csv = CliRunner().invoke(app, ["--config", path, "results", "--format", "csv"]).stdout
    assert as_json[0]["answer"] == next(csv.DictReader(io.StringIO(as_csv)))["answer"] == shown
    (page,) = (house.folder / "inbox").parent.rglob("*.summary.html")
    assert html.escape(shown) in page.read_text()


def test_the_ledger_knows_an_example_of_each_answer(ledger: Ledger) -> None:
    run = a_run(ledger)
    some = [Item(1, "event-1", "purchase", b"{}"), Item(2, "event-2", "purchase", b"{}")]
    claimed(ledger, run, some[:1])
    claimed(ledger, run, some[1:])
    for item, verdict in zip(some, (FAILED, DELIVERED), strict=True):
        ledger.claims.record(run.run_no, "convert", [replace(sent(run, [item], verdict)[0], answer="why")])
    assert ledger.results.first_answers(run.run_no) == {("convert", "failed", "http_503"): "why"}
