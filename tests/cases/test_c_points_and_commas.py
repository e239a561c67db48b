"""Amounts as programs and spreadsheets write them: what arrives is what the file plainly says, or a reason does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from tests.conftest import House, order

German = {"decimal": ",", "thousands": "."}
Money = tuple[str, str, str]
"""An amount as written, its currency, and the decimal that arrives or the reason why none does."""


def arrived(house: House, amounts: Mapping[str, Any], **settings: Any) -> dict[str, str]:
    """What Converge received as the amount of each row, or the reason that the row was turned away."""
    house.to = ["converge"]
    house.import_settings |= settings
    house.run()
    reasons = {row["event_id"]: row["reason"] for row in house.results()}
    sent = {
        entry["item"]["event_id"]: str(Decimal(str(entry["item"]["properties"]["total_price"])))
        for entry in house.sandbox.received("converge")
    }
    return {name: sent.get(name, reasons[name]) for name in amounts}


def check(house: House, table: Mapping[str, Money], **settings: Any) -> None:
    house.write(
        [
            order(n, event_id=name, revenue=text, currency=currency)
            for n, (name, (text, currency, _)) in enumerate(table.items())
        ]
    )
    found = arrived(house, table, **settings)
    wanted = {name: expected for name, (_, _, expected) in table.items()}
    assert {name: _plain(text) for name, text in found.items()} == {name: _plain(text) for name, text in wanted.items()}


def _plain(text: str) -> str:
    """Decimals as numbers, so that 12.50 is 12.5."""
    return str(Decimal(text).normalize()) if text[-1].isdigit() else text


def test_a_point_that_may_group_thousands_is_never_taken_for_decimals(house: House) -> None:
    check(
        house,
        {
            "rupiah": ("150.000", "IDR", "ambiguous_number"),
            "pesos": ("89.990", "CLP", "ambiguous_number"),
            "euros": ("1.299", "EUR", "ambiguous_number"),
            "below zero": ("-1.299", "EUR", "ambiguous_number"),
            "with a plus": ("+12.500", "EUR", "ambiguous_number"),
            "spaces around": (" 1.299 ", "EUR", "ambiguous_number"),
            "no currency": ("1.299", "", "ambiguous_number"),
            "dinars of a thousandth": ("1.299", "KWD", "1.299"),
            "dinars in small letters": ("12.500", "bhd", "12.5"),
            "two decimals": ("19.99", "EUR", "19.99"),
            "one decimal": ("150.5", "EUR", "150.5"),
            "four decimals": ("1.2990", "EUR", "1.299"),
            "four digits before the point": ("1299.000", "EUR", "1299"),
            "no point": ("150000", "IDR", "150000"),
        },
    )


@pytest.mark.parametrize("first", [True, False], ids=["before the comma", "after the comma"])
def test_what_other_rows_say_changes_nothing(house: House, first: bool) -> None:
    rows = [order(1, event_id="point", revenue="1.299"), order(2, event_id="comma", revenue="1.299,50")]
    house.write(rows if first else rows[::-1])
    found = arrived(house, {"point": "", "comma": ""}, chunk_rows=1)
    assert found == {"point": "ambiguous_number", "comma": "decimal_comma"}


@pytest.mark.parametrize("text", [" 19.99", "19.99\t", "\u00a019.99", "19.99\u202f", "\u300019.99 "], ids=ascii)
def test_white_space_of_every_kind_around_a_number_is_no_part_of_it(house: House, text: str) -> None:
    check(house, {"A-1": (text, "EUR", "19.99")})


def test_what_is_no_plain_number_is_turned_away_where_nothing_is_declared(house: House) -> None:
    table = {
        "lakhs": "1,23,456.50",
        "in brackets": "(12.50)",
        "minus behind": "12.50-",
        "sign": "€19.99",
        "code": "19.99 EUR",
        "apostrophe": "1'234.50",
        "points": "1.234.567",
        "a space": "1 234.50",
        "a narrow space": "1\u202f234.50",
        "per cent": "19%",
        "exponent": "1.5E+03",
        "other digits": "١٩.٩٩",
        "wide digits": "１９.９９",
        "not a number": "NaN",
        "endless": "Infinity",
        "two numbers": "19.99 / 21.00",
    }
    check(house, {name: (text, "EUR", "not_a_decimal") for name, text in table.items()})


@pytest.mark.parametrize(
    ("locale", "table"),
    [
        pytest.param(
            {"decimal": ".", "thousands": ",", "grouping": "indian"},
            {
                "lakhs": ("1,23,456.50", "INR", "123456.5"),
                "a crore": ("1,00,00,000", "INR", "10000000"),
                "thousands": ("12,345", "INR", "12345"),
                "no groups": ("123456.50", "INR", "123456.5"),
                "a point is the decimal mark": ("1.299", "INR", "1.299"),
                "groups of three": ("123,456.50", "INR", "not_in_locale"),
                "a sign": ("₹500", "INR", "not_in_locale"),
                "brackets": ("(500)", "INR", "not_in_locale"),
            },
            id="lakhs",
        ),
        pytest.param(
            {**German, "currency_sign": True, "accounting_negatives": True},
            {
                "sign behind": ("19,99 €", "EUR", "19.99"),
                "sign before": ("€1.299", "EUR", "1299"),
                "hard space": ("1.234,50\u00a0€", "EUR", "1234.5"),
                "code": ("EUR 19,99", "EUR", "19.99"),
                "code behind": ("19,99eur", "EUR", "19.99"),
                "another currency": ("$19,99", "EUR", "not_in_locale"),
                "no currency": ("€19,99", "", "not_in_locale"),
                "twice": ("€19,99€", "EUR", "not_in_locale"),
                "crowns": ("19,99 Kč", "CZK", "19.99"),
                "francs": ("CHF 19,99", "CHF", "19.99"),
                "per cent": ("19,99 %", "EUR", "not_in_locale"),
                "plain": ("19,99", "EUR", "19.99"),
            },
            id="signs",
        ),
        pytest.param(
            {"decimal": ".", "thousands": ",", "accounting_negatives": True},
            {
                "brackets and minus": ("(-12.50)", "EUR", "not_in_locale"),
                "minus twice": ("-12.50-", "EUR", "not_in_locale"),
                "a sign": ("$12.50", "USD", "not_in_locale"),
                "one bracket": ("(12.50", "USD", "not_in_locale"),
            },
            id="accounting, broken",
        ),
        pytest.param(
            {"decimal": ",", "thousands": " "},
            {
                "space": ("1 234,50", "EUR", "1234.5"),
                "hard space": ("1\u00a0234,50", "EUR", "1234.5"),
                "narrow": ("1\u202f234\u202f567,5", "EUR", "1234567.5"),
                "thin": ("12\u2009345", "EUR", "12345"),
                "two groups apart": ("1 23 456", "EUR", "not_in_locale"),
            },
            id="spaces",
        ),
        pytest.param(
            {"decimal": ".", "thousands": "'"},
            {"Swiss": ("1'234.50", "CHF", "1234.5"), "typographic": ("1’299.00", "CHF", "1299")},
            id="apostrophes",
        ),
    ],
)
def test_a_locale_says_what_stands_in_and_around_a_number(
    house: House, locale: dict[str, Any], table: dict[str, Money]
) -> None:
    check(house, table, locale=locale)


@pytest.mark.parametrize(
    "text", ["(12.50)", "12.50-", "-12.50", "\u221212.50", "($12.50)", "$(12.50)", "-$12.50", "$-12.50", "12.50- USD"]
)
def test_accounting_negatives_are_below_zero(house: House, text: str) -> None:
    locale = {"decimal": ".", "thousands": ",", "currency_sign": True, "accounting_negatives": True}
    check(house, {"A-1": (text, "USD", "-12.50")}, locale=locale)


def parquet(house: House, rows: list[dict[str, Any]], kind: Any) -> None:
    table = pa.Table.from_pylist([{**row, "revenue": None} for row in rows])
    amounts = pa.array([row["revenue"] for row in rows], kind)
    pq.write_table(
        table.set_column(table.column_names.index("revenue"), "revenue", amounts), house.folder / "a.parquet"
    )
    house.import_settings = {"source": {"type": "parquet", "path": "a.parquet"}}


def database(house: House, rows: list[dict[str, Any]], kind: str) -> None:
    engine = sa.create_engine(url := f"sqlite:///{house.folder}/shop.db")
    columns = ", ".join(f"{name} {kind if name == 'revenue' else 'TEXT'}" for name in rows[0])
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE orders ({columns})")
        connection.execute(sa.text(f"INSERT INTO orders VALUES ({', '.join(f':{name}' for name in rows[0])})"), rows)
    engine.dispose()
    house.import_settings = {"source": {"type": "sql", "url": url, "table": "orders"}}


@pytest.mark.parametrize(
    ("write", "kind", "amount", "expected"),
    [
        pytest.param(parquet, pa.decimal128(12, 3), Decimal("1.299"), "1.299", id="a decimal"),
        pytest.param(parquet, pa.float64(), 1.299, "1.299", id="a double"),
        pytest.param(parquet, pa.float64(), 12500000000.0, "12500000000", id="a large double"),
        pytest.param(parquet, pa.float64(), 1e-7, "1E-7", id="a small double"),
        pytest.param(parquet, pa.float64(), 1.5e17, "inexact_number", id="a double past its digits"),
        pytest.param(parquet, pa.int64(), 150000, "150000", id="a whole number"),
        pytest.param(parquet, pa.string(), "1.299", "ambiguous_number", id="text in Parquet"),
        pytest.param(database, "REAL", 1.299, "1.299", id="a number of a database"),
        pytest.param(database, "REAL", 12500000000.0, "12500000000", id="a large number of a database"),
        pytest.param(database, "TEXT", "1.299", "ambiguous_number", id="text of a database"),
    ],
)
def test_a_typed_number_is_what_it_is(
    house: House, write: Callable[..., None], kind: Any, amount: Any, expected: str
) -> None:
    write(house, [order(1, event_id="A-1", currency="EUR") | {"revenue": amount}], kind)
    assert arrived(house, {"A-1": ""}) == {"A-1": expected}


def test_a_locale_is_about_text_only(house: House) -> None:
    parquet(house, [order(1, event_id="A-1") | {"revenue": Decimal("1.299")}], pa.decimal128(12, 3))
    assert arrived(house, {"A-1": ""}, locale=German) == {"A-1": "1.299"}


@pytest.mark.parametrize(
    ("locale", "text"),
    [
        (German, "0.125"),
        (German, "00.299"),
        (German, "01.299"),
        (German, "0.125,50"),
        ({"decimal": ".", "thousands": ","}, "0,299"),
        ({"decimal": ".", "thousands": "'"}, "0'299"),
        ({"decimal": ".", "thousands": ",", "grouping": "indian"}, "0,12,345"),
    ],
    ids=str,
)
def test_no_group_of_thousands_begins_with_nought(house: House, locale: dict[str, str], text: str) -> None:
    check(house, {"A-1": (text, "EUR", "not_in_locale")}, locale=locale)


@pytest.mark.parametrize("text", ["1,000", "1 000", "1’000", "1.000", "1,5", "1e3", "1E+3", "２", "٢", "-", "—", "½"])
def test_a_quantity_that_may_be_another_is_none(house: House, text: str) -> None:
    house.to = ["converge", "optimizely"]
    house.write([order(1, quantity=text)])
    house.run()
    assert {row["reason"] for row in house.results()} <= {"not_a_decimal", "ambiguous_number"}
    assert house.sandbox.received("converge") == house.sandbox.received("optimizely") == []
