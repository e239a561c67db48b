"""Planted secrets and people, looked for in everything that is said or kept; and proof that the looking finds them.

What may hold people is what carries them to the vendor: the source, the contents of staged files (their owner's only),
the request on the wire, and the first request that `conversions check` shows to whoever has the source anyway. All else
is searched: logs at every level, the ledger, result tables in every format, names of staged files, error messages and
everything the commands print.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from etl import check, cli, transport
from etl.destinations.base import Destination
from etl.sandbox.wire import Credentials
from tests.canary.canaries import ECHO, PEOPLE, SECRETS, Said, leaks, rows
from tests.conftest import EVERYBODY, House, Sandbox

LEDGER_PASSWORD = "canary-secret-ledger"
ALL = [*SECRETS.values(), LEDGER_PASSWORD, *PEOPLE]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """All five vendors with canary secrets, and rows full of canaries: good ones and one for every way out."""
    with Sandbox(credentials=Credentials(**SECRETS)) as sandbox:
        house = House(tmp_path, sandbox)
        house.overrides = {
            "convert": {"api_key": SECRETS["convert_key"]},
            "optimizely": {
                "sdk_key": SECRETS["optimizely_sdk_key"],
                "datafile_url": f"{sandbox.url}/optimizely/datafiles/{SECRETS['optimizely_sdk_key']}.json",
            },
            "converge": {"webhook_token": SECRETS["converge_token"]},
            "webflow_optimize": {"api_key": SECRETS["webflow_key"]},
        }
        house.write(rows())
        yield house


def everything_said(house: House, faults: list[dict[str, Any] | None]) -> Said:
    """All that a bad week makes us say and keep: every command, every fault whose answer repeats what it was sent."""
    said: Said = []
    heard = _Heard()
    root = logging.getLogger()
    levels = {name: logging.getLogger(name).level for name in ("", "conversions")}
    root.addHandler(heard)
    root.setLevel(logging.DEBUG)
    try:
        for night, fault in enumerate(faults):
            house.sandbox.clear_faults()
            if fault:
                house.sandbox.fault(vendor="*", **fault)
            house.write([{**row, "event_id": f"night-{night}-{row['event_id']}"} for row in rows()])
            said += _commands(house, "run orders -vv")
        said += _commands(house, "ping -v", "retry -vv")
        said += _commands(house, *(f"results --run all --format {kind}" for kind in ("table", "csv", "json")))
        said += [(f"check: {text}"[:5], text) for _, text in _commands(house, "check orders -v")]
        said += _a_ledger_that_does_not_answer(house)
    finally:
        root.removeHandler(heard)
        heard.close()
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
    said += [("log", line) for line in heard.lines]
    said += [("ledger", path.read_bytes().decode("latin-1")) for path in house.folder.glob("ledger.db*")]
    said += [("file name", str(path.relative_to(house.folder))) for path in house.folder.rglob("*")]
    said += [("results", repr(row)) for row in house.results()]
    return said


FAULTS: list[dict[str, Any] | None] = [
    None,
    {"status": 400, "body": ECHO},
    {"status": 401, "body": ECHO, "headers": {"WWW-Authenticate": "Bearer canary-secret-converge"}},
    {"status": 200, "body": f'{{"code": 422, "message": "{ECHO}", "actionId": "canary-user-7"}}'},
    {"status": 302, "headers": {"Location": "http://127.0.0.1:1/?email=canary.ada@example.com"}},
    {"status": 503, "body": ECHO, "path": "/events"},
    {"status": 404, "body": ECHO, "path": "/datafiles"},
    {"drop": "before", "path": "/webhooks"},
    {"drop": "mid_answer", "path": "/goals"},
]


class _Heard(logging.Handler):
    """Every record of every logger, as it would be written, traceback included."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


def _commands(house: House, *commands: str) -> Said:
    said = []
    for command in commands:
        result = CliRunner().invoke(cli.app, ["--config", str(house.config.path), *command.split()])
        said.append((command, f"{result.stdout}\n{result.stderr}\n{result.exception!r}"))
    return said


def _a_ledger_that_does_not_answer(house: House) -> Said:
    before = house.ledger_url
    house.ledger_url = f"postgresql://importer:{LEDGER_PASSWORD}@127.0.0.1:1/ledger?connect_timeout=1"
    said = _commands(house, "run orders -v")
    house.ledger_url = before
    return said


def test_no_secret_and_no_person_is_in_anything_said_or_kept(house: House) -> None:
    said = everything_said(house, FAULTS)
    assert {status for row in house.results() for status in [row["status"]]} >= {
        "delivered",
        "rejected",
        "refused",
        "failed",
        "unknown",
    }, "a week without trouble proves nothing"
    shown = [(place, text) for place, text in said if place != "check"]
    assert leaks(shown, ALL) == []
    assert leaks([(place, text) for place, text in said if place == "check"], [*SECRETS.values()]) == []


def _bare(request: Any, destination: Destination) -> Any:
    return request


def _whole(error: Exception) -> str:
    return str(error)


MASKS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "secrets of a shown request": lambda patch: patch.setattr(check, "masked", _bare),
    "the ledger's password": lambda patch: patch.setattr(
        sa.URL, "render_as_string", lambda self, hide_password=True: _unhidden(self)
    ),
    "the connection pool's own lines": lambda patch: patch.setattr(transport.POOL_LOG, "level", logging.DEBUG),
}
"""Every mask that stands between a canary and a place, and how to take it away."""


def _unhidden(url: Any) -> str:
    return f"{url.drivername}://{url.username}:{url.password}@{url.host}/{url.database}"


@pytest.mark.parametrize("mask", MASKS)
def test_the_search_finds_what_one_missing_mask_lets_through(
    house: House, mask: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    MASKS[mask](monkeypatch)
    found = everything_said(house, [None, {"status": 400, "body": ECHO}])
    secrets = [*SECRETS.values(), LEDGER_PASSWORD]
    assert leaks(found, secrets), f"without {mask} nothing was found: it is no mask, or nobody looks there"


@pytest.mark.parametrize("place", ["detail", "log"])
def test_the_search_finds_a_person(house: House, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One careless sentence with a value in it, or one careless log line, and the search says so."""
    if place == "detail":
        real = Destination.same_for_all

        def careless(self: Destination, payloads: Any, response: Any) -> Any:
            told = real(self, payloads, response)
            return [type(v)(v.status, v.reason, response.body.decode()) for v in told]

        monkeypatch.setattr(Destination, "same_for_all", careless)
    else:
        real_once = transport.Line._once

        async def chatty(self: transport.Line, request: Any) -> Any:
            logging.getLogger("conversions").debug("sending %s", request.body)
            return await real_once(self, request)

        monkeypatch.setattr(transport.Line, "_once", chatty)
    found = everything_said(house, [{"status": 400, "body": ECHO}])
    assert leaks([(where, text) for where, text in found if where != "check"], PEOPLE)


def test_values_do_not_show_themselves(house: House) -> None:
    """A traceback or a debugger's repr of our values holds neither payloads nor headers nor settings."""
    config = house.config
    said = [(name, repr(config.destination(name).settings) + repr(config)) for name in EVERYBODY]
    assert leaks(said, [*SECRETS.values()]) == []
