"""Planted secrets and people, looked for in everything that is said or kept; and proof that the looking finds them.

What may hold people is what carries them to the vendor: the source, the contents of staged files (their owner's only),
the request on the wire, the first request that `conversions check` shows to whoever has the source anyway, and the
sender's own columns in what is given back beside a dropped file. All else is searched: logs at every level, the ledger,
result tables in every format, names of staged files, error messages, everything the commands print, and the receipts of
dropped files. Airflow has a test of its own, `tests/airflow/test_canary_dags.py`.
"""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from pydantic import SecretStr, ValidationError
from typer.testing import CliRunner

from etl import cli, config, destinations, preview, sources
from etl.cli import program
from etl.delivery import answers, connection, lookups
from etl.destinations import make_destination
from etl.destinations.base import Destination
from etl.destinations.converge import Converge, ConvergeSettings
from etl.drops import rounds
from etl.errors import ConfigError, LookupFailed
from etl.ledger import database
from etl.model import Item, Request, Response
from etl.redact import CHATTY
from etl.sandbox import Sandbox
from etl.sources import csv
from etl.stages import extract
from tests.canary.canaries import (
    CREDENTIALS,
    ECHO,
    FEED,
    FEED_SECRETS,
    OLD_ADDRESS,
    PEOPLE,
    REPEATED,
    SECRETS,
    Said,
    install_feed,
    leaks,
    person,
    receipts,
    rows,
)
from tests.conftest import House
from tests.vendors import EVERYBODY

LEDGER_PASSWORD = "canary-secret-ledger"
MISSPELT = "canary-secret-misspelt"
ADDRESS_OF_A_FEED = "canary-secret-address"
HALF = "canary-sec"
"""All secrets begin so; one that was cut is found too."""
FILES_LOG, POOL_LOG = logging.getLogger(CHATTY[0]), logging.getLogger(CHATTY[-1])
EVERY_SECRET = [*SECRETS.values(), OLD_ADDRESS, LEDGER_PASSWORD, MISSPELT, ADDRESS_OF_A_FEED, HALF, *FEED_SECRETS]

Night = Callable[[House], Said]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """All vendors with canary secrets; Converge has a token and, as old sources do, a secret address."""
    with Sandbox(credentials=CREDENTIALS) as sandbox:
        house = House(tmp_path, sandbox)
        key = SECRETS["optimizely_sdk_key"]
        house.overrides = {
            "convert": {"api_key": SECRETS["convert_key"]},
            "optimizely": {"sdk_key": key, "datafile_url": f"{sandbox.url}/optimizely/datafiles/{key}.json"},
            "converge": {
                "webhook_token": SECRETS["converge_token"],
                "endpoint": f"{sandbox.url}/converge/sources/{OLD_ADDRESS}",
            },
            "webflow_optimize": {"api_key": SECRETS["webflow_key"]},
        }
        yield house


# -- nights


def fault(**what: Any) -> Night:
    """A night on which every vendor has this trouble."""

    def night(house: House) -> Said:
        house.sandbox.clear_faults()
        if what:
            house.sandbox.fault(vendor="*", **what)
        number = len(house.sql("SELECT * FROM runs")) if (house.folder / "ledger.db").exists() else 0
        house.write([{**row, "event_id": f"night-{number}-{row['event_id']}"} for row in rows()])
        return commands(house, "run orders -vv")

    return night


quiet = fault()
no_datafile = fault(status=200, body=f"{'?' * 50}{SECRETS['optimizely_sdk_key']} is no key", path="/datafiles")


def questions(house: House) -> Said:
    house.sandbox.clear_faults()
    said = commands(house, "ping -v", "retry -vv", "check orders -v")
    return said + commands(house, *(f"results --run all --format {kind}" for kind in ("table", "csv", "json")))


def a_ledger_that_does_not_answer(house: House) -> Said:
    with changed(house, ledger_url=f"postgresql://importer:{LEDGER_PASSWORD}@127.0.0.1:1/ledger?connect_timeout=1"):
        return commands(house, "run orders -v")


def an_error_that_nobody_foresaw(house: House) -> Said:
    """Its words hold a row; once in a run, once with a dropped file."""

    def broken(*_: Any, **__: Any) -> Any:
        raise ValueError(ECHO)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extract, "stage", broken)
        house.write(rows())
        return commands(house, "run orders -vv") + dropped(house, "unforeseen.csv", rows())


def settings_that_cannot_be_used(house: House) -> Said:
    """A key by a name that nobody knows, and a key that YAML takes for a tag."""
    with changed(house, overrides=house.overrides | {"convert": {"api_kye": MISSPELT}}):
        said = commands(house, "run orders -v")
    path = house.folder / "imports.yaml"
    path.write_text(path.read_text().replace(f"api_kye: {MISSPELT}", f"auth_scheme: !{MISSPELT}"))
    return [*said, command(path, "run orders -v")]


def vendors_who_are_not_there(house: House) -> Said:
    """The address leads nowhere; what libraries say of that holds it."""
    nowhere = house.overrides["converge"] | {"endpoint": f"http://127.0.0.1:1/sources/{OLD_ADDRESS}"}
    house.write([person(900)])
    with changed(house, overrides=house.overrides | {"converge": nowhere}):
        return commands(house, "ping converge -vv", "run orders --to converge -vv")


def a_feed_that_is_not_there(house: House) -> Said:
    """A source by an address that holds a password and a token."""
    feed = {"type": "csv", "path": f"http://ada:{ADDRESS_OF_A_FEED}@127.0.0.1:1/orders.csv?token={ADDRESS_OF_A_FEED}"}
    with changed(house, import_settings={"source": feed}):
        return commands(house, "run orders -vv", "results --run all")


def a_source_of_theirs(house: House) -> Said:
    """Its secrets are written down in imports.yaml, and it is careless in what it says when it cannot be read."""
    house.sandbox.clear_faults()
    with pytest.MonkeyPatch.context() as patch:
        install_feed(patch)
        with changed(house, import_settings={"source": {"type": "feed", **FEED}}):
            said = commands(house, "check orders -v", "run orders -vv", "results --run all")
        with changed(house, import_settings={"source": {"type": "feed", **FEED, "broken": True}}):
            said += commands(house, "check orders -v", "run orders -vv", "results --run all")
        with changed(house, import_settings={"source": {"type": "feed", **FEED, "tokne": MISSPELT}}):
            said += commands(house, "check orders -v", "run orders -vv")
    return said


def dropped_files(house: House) -> Said:
    """A file of good rows and bad, one that is bad as a whole, one whose first line is a person already."""
    house.sandbox.clear_faults()
    good = [person(number) for number in range(700, 720)]
    said = dropped(house, "mixed.csv", [*good, *rows()[5:]])
    said += dropped(house, "bad.csv", [row | {"event_id": f"bad-{row['event_id']}"} for row in rows()[5:]])
    return said + dropped(house, "headless.csv", [dict.fromkeys(person(800).values(), "")])


def dropped(house: House, name: str, told: list[dict[str, str]]) -> Said:
    (house.folder / "inbox").mkdir(exist_ok=True)
    house.write(told, f"inbox/{name}")
    with changed(house, import_settings={"drop": {"inbox": "inbox", "settle_seconds": 0}}):
        return commands(house, "drops --once -vv")


NIGHTS: list[Night] = [
    quiet,
    fault(status=400, body=REPEATED),
    fault(status=401, body=REPEATED, headers={"WWW-Authenticate": "Bearer canary-secret-converge"}),
    fault(status=200, body='{"code": 422, "message": "{sent}", "actionId": "canary-user-7"}'),
    fault(status=302, headers={"Location": "http://127.0.0.1:1/?email=canary.ada@example.com"}),
    fault(status=503, body=REPEATED, path="/events"),
    fault(status=404, body=ECHO, path="/datafiles"),
    no_datafile,
    fault(drop="before", path="/sources"),
    fault(drop="mid_answer", path="/goals"),
    questions,
    a_ledger_that_does_not_answer,
    an_error_that_nobody_foresaw,
    settings_that_cannot_be_used,
    vendors_who_are_not_there,
    a_feed_that_is_not_there,
    a_source_of_theirs,
    dropped_files,
]


@contextmanager
def changed(house: House, **how: Any) -> Iterator[None]:
    before = {name: getattr(house, name) for name in how}
    for name, value in how.items():
        setattr(house, name, value)
    yield
    for name, value in before.items():
        setattr(house, name, value)


def commands(house: House, *told: str) -> Said:
    return [command(house.config.path, words) for words in told]


def command(path: Path, words: str) -> tuple[str, str]:
    result = CliRunner().invoke(cli.app, ["--config", str(path), *words.split()])
    return words.split()[0], f"{result.stdout}\n{result.stderr}\n{result.exception!r}"


# -- everything


def everything_said(house: House, nights: Sequence[Night]) -> Said:
    """All that these nights make us say and keep, at every level of logging."""
    heard = _Heard()
    root = logging.getLogger()
    levels = {name: logging.getLogger(name).level for name in ("", "conversions")}
    root.addHandler(heard)
    root.setLevel(logging.DEBUG)
    try:
        said = [each for night in nights for each in night(house)]
    finally:
        root.removeHandler(heard)
        heard.close()
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
    said += [("log", line) for line in heard.lines]
    said += [("ledger", path.read_bytes().decode("latin-1")) for path in house.folder.glob("ledger.db*")]
    said += [("file name", str(path.relative_to(house.folder))) for path in house.folder.rglob("*")]
    said += [("results", repr(row)) for row in house.results()]
    return said + receipts(house.folder)


class _Heard(logging.Handler):
    """Every record of every logger, as it would be written, traceback included."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


def test_no_secret_and_no_person_is_in_anything_said_or_kept(house: House) -> None:
    said = everything_said(house, NIGHTS)
    statuses = {row["status"] for row in house.results()}
    assert statuses >= {"delivered", "rejected", "refused", "failed", "unknown"}, (
        "a week without trouble proves nothing"
    )
    assert {place for place, _ in said} >= {
        "log",
        "ledger",
        "results",
        "ping",
        "drops",
        "page",
        "result.csv",
        "fix.csv",
    }
    assert leaks([(place, text) for place, text in said if place != "check"], [*EVERY_SECRET, *PEOPLE]) == []
    assert leaks([(place, text) for place, text in said if place == "check"], EVERY_SECRET) == []


# -- one mask less


@dataclass(frozen=True)
class Mask:
    """One mask, what is put in its place, the night that needs it, and a canary that is then found."""

    name: str
    room: Any
    attribute: str
    instead: Any
    night: Night
    canary: str


def whole_request(request: Request, secrets: Sequence[str]) -> Request:
    return request


def whole_reach(url: str, user_agent: str) -> int:
    try:
        return requests.head(url, headers={"User-Agent": user_agent}, timeout=10).status_code
    except requests.RequestException as error:
        raise LookupFailed(str(error)) from None


def whole_sentence(model: Any, raw: Any, where: str) -> Any:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"{where}: {error}") from None


def whole_trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def checked(house: House) -> Said:
    house.write(rows())
    return commands(house, "check orders")


def pinged(house: House) -> Said:
    return commands(house, "ping")


def whole_answer(text: str, forms: Any, *, is_cut: bool) -> str:
    return text


refused = fault(status=400, body=REPEATED)

MASKS = [
    Mask("what a vendor answers", answers, "_masked", whole_answer, refused, PEOPLE[0]),
    Mask("secrets of a request", preview, "mask_request", whole_request, checked, SECRETS["converge_token"]),
    Mask("an old source's address", Converge, "secrets", Destination.secrets, checked, OLD_ADDRESS),
    Mask("the ledger's password", database, "redact_database_url", str, a_ledger_that_does_not_answer, LEDGER_PASSWORD),
    Mask("the pool's own lines", POOL_LOG, "level", logging.DEBUG, pinged, SECRETS["optimizely_sdk_key"]),
    Mask("what is no datafile", Destination, "masked", lambda self, text: text, no_datafile, HALF),
    Mask("where nobody answers", lookups, "host_of", str, vendors_who_are_not_there, OLD_ADDRESS),
    Mask("why nobody answers", lookups, "reach", whole_reach, vendors_who_are_not_there, OLD_ADDRESS),
    Mask("where somebody answers", preview, "host_of", str, pinged, OLD_ADDRESS),
    Mask("wrong settings", destinations, "validated", whole_sentence, settings_that_cannot_be_used, MISSPELT),
    Mask("broken YAML", config, "_where_in_yaml", str, settings_that_cannot_be_used, MISSPELT),
    Mask("the trace of a command", program, "trace", whole_trace, an_error_that_nobody_foresaw, PEOPLE[0]),
    Mask("the trace of a dropped file", rounds, "trace", whole_trace, an_error_that_nobody_foresaw, PEOPLE[0]),
    Mask("file systems' own lines", FILES_LOG, "level", logging.DEBUG, a_feed_that_is_not_there, ADDRESS_OF_A_FEED),
    Mask("where a source is", sources, "redact_url", str, a_feed_that_is_not_there, ADDRESS_OF_A_FEED),
    Mask("what a source of theirs says", extract, "masked_errors", nullcontext, a_source_of_theirs, FEED_SECRETS[-1]),
    Mask("a header that is a person", csv, "_LOOKS_LIKE_A_VALUE", re.compile(r"(?!)"), dropped_files, PEOPLE[0]),
]
"""Every mask that stands between a canary and a place of the command line."""


@pytest.mark.parametrize("mask", MASKS, ids=lambda mask: mask.name)
def test_the_search_finds_what_one_missing_mask_lets_through(
    house: House, mask: Mask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mask.room, mask.attribute, mask.instead)
    found = everything_said(house, [mask.night])
    assert leaks(found, [mask.canary]), f"without {mask.name} nothing was found: it is no mask, or nobody looks there"


@pytest.mark.parametrize("place", ["run", "ledger", "results", "page", "result.csv", "fix.csv"])
def test_the_search_finds_a_careless_sentence(house: House, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Destination.same_for_all

    def careless(self: Destination, payloads: Any, response: Any) -> Any:
        told = real(self, payloads, response)
        return [type(v)(v.status, v.reason, response.body.decode()) for v in told]

    def night(house: House) -> Said:
        return fault(status=400, body=REPEATED)(house) + dropped(
            house, "some.csv", [person(n) for n in range(600, 605)]
        )

    monkeypatch.setattr(Destination, "same_for_all", careless)
    assert place in {where for where, _ in leaks(everything_said(house, [night]), PEOPLE)}


def test_the_search_finds_a_careless_log_line(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    real = connection.VendorConnection._send_once

    async def chatty(self: connection.VendorConnection, request: Any) -> Any:
        logging.getLogger("conversions").debug("sending %s", request.body)
        return await real(self, request)

    monkeypatch.setattr(connection.VendorConnection, "_send_once", chatty)
    assert ("log", PEOPLE[0]) in leaks(everything_said(house, [quiet]), PEOPLE)


# -- what a traceback or a debugger shows of our values


def shown_values(house: House) -> Said:
    loaded = house.config
    said = [(name, repr(make_destination(loaded, name).settings)) for name in EVERYBODY]
    secret = {"X-Webhook-Token": SECRETS["converge_token"]}
    said += [("config", repr(loaded)), ("item", repr(Item(1, "e", "n", ECHO.encode())))]
    said.append(("request", repr(Request("POST", "https://vendor.example", secret, ECHO.encode()))))
    return [*said, ("response", repr(Response(200, secret, ECHO.encode())))]


def test_values_do_not_show_themselves(house: House) -> None:
    assert leaks(shown_values(house), [*EVERY_SECRET, *PEOPLE]) == []


@pytest.mark.parametrize(
    ("room", "attribute", "instead", "place"),
    [
        (SecretStr, "__repr__", SecretStr.get_secret_value, "optimizely"),
        (ConvergeSettings.model_fields["endpoint"], "repr", True, "converge"),
        (config.Config, "__repr__", lambda self: str(vars(self)), "config"),
        (Item, "__repr__", tuple.__repr__, "item"),
        (Request, "__repr__", lambda self: f"{self.headers} {self.body!r}", "request"),
        (Response, "__repr__", lambda self: f"{self.headers} {self.body!r}", "response"),
    ],
    ids=["secret", "address", "config", "item", "request", "response"],
)
def test_the_search_finds_a_value_that_shows_itself(
    house: House, room: Any, attribute: str, instead: Any, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, attribute, instead)
    assert place in {where for where, _ in leaks(shown_values(house), [*EVERY_SECRET, *PEOPLE])}
