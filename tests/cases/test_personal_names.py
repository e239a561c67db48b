"""event_id and event_name stand in every result, receipt and page: an address or a phone number in them is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from etl import drops
from etl.cli import app
from tests.conftest import House, order

PERSONAL = {
    "an address": "ada.lovelace@example.com",
    "an address in an id": "order-ada.lovelace@example.com-7",
    "an address as a URL writes it": "ada.lovelace%40example.com",
    "a phone number": "+44 20 7946 0958",
    "a phone number as a link": "tel:+442079460958",
    "a phone number and more": "+442079460958-2026-11-20",
    "an address with umlauts": "jürgen@müller.example",
}
HARMLESS = [
    "A@2",
    "+5",
    "order+12",
    "7@noon",
    "2026-11-20+01:00",
    "0044 is no plus",
    "+1-2",
    "user@localhost",
    "1+2+3+4",
]


def run(house: House, *rows: dict[str, str], **settings: object) -> list[dict[str, object]]:
    house.to = ["converge"]
    house.write([*rows])
    house.import_settings = dict(settings)
    house.run()
    return house.results()


@pytest.mark.parametrize("value", PERSONAL.values(), ids=PERSONAL)
@pytest.mark.parametrize("column", ["event_id", "event_name"])
def test_it_is_refused_and_quoted_nowhere(house: House, column: str, value: str) -> None:
    (result,) = run(house, order(1, **{column: value}))
    assert (result["status"], result["reason"], result[column]) == ("rejected", "looks_like_pii", "***")
    assert f"{column} holds an e-mail address or a phone number" in str(result["detail"])
    everything = b"".join(path.read_bytes() for path in house.folder.glob("ledger.db*"))
    assert value.encode() not in everything
    shown = CliRunner().invoke(app, ["--config", str(house.config.path), "check", "orders"])
    table = shown.output.partition("What becomes of the columns")[2]
    assert value not in table
    for command in (["results"], ["results", "--format", "json"], ["results", "--format", "csv"]):
        assert value not in CliRunner().invoke(app, ["--config", str(house.config.path), *command]).output


@pytest.mark.parametrize("value", HARMLESS)
def test_what_only_looks_a_little_like_it_goes(house: House, value: str) -> None:
    (result,) = run(house, order(1, event_id=value))
    assert (result["status"], result["event_id"]) == ("delivered", value)


def test_an_import_may_allow_it(house: House) -> None:
    (result,) = run(house, order(1, event_id="ada@example.com"), ids_may_be_personal=True)
    assert (result["status"], result["event_id"]) == ("delivered", "ada@example.com")


def test_a_row_that_something_else_is_wrong_with_is_masked_as_well(house: House) -> None:
    ragged = "event_id,event_name,occurred_at,user_id,status\nada@example.com,Order Completed,2026-11-20T10:00:00Z\n"
    (house.folder / "orders.csv").write_text(ragged + "bob@example.com,Order Completed,2026-11-20T10:00:00Z,u,open\n")
    house.to = ["converge"]
    house.import_settings = {"where": {"status": ["won"]}}
    house.run()
    found = {row["row_number"]: (row["reason"], row["event_id"]) for row in house.results()}
    assert found == {1: ("ragged_row", "***"), 2: ("not_wanted", "***")}


def test_receipts_name_the_rows_and_not_the_people(house: House) -> None:
    inbox = house.folder / "inbox"
    inbox.mkdir()
    house.to = ["converge"]
    house.import_settings = {"source": {"type": "csv"}, "drop": {"inbox": str(inbox), "settle_seconds": 0}}
    house.write(
        [order(1), order(2), order(3, event_name="Call +44 20 7946 0958 back", event_id="x@example.com")], "inbox/a.csv"
    )
    drops.process_all(house.config, ["orders"])
    page = next(inbox.rglob("*.summary.html")).read_text()
    assert "event_id holds an e-mail address" in page
    assert "x@example.com" not in page
    fix = next(Path(inbox).rglob("*.fix.csv")).read_text()
    assert "x@example.com" in fix, "the sender corrects what the sender wrote"
