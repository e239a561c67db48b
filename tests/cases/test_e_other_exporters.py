"""Money and time of exporters nobody has met: in other languages, in cells under names that say little, in cents."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from etl import preview
from etl.errors import ConfigError
from etl.stages import headers
from tests.cases.unmapped import pasted, refusal, row
from tests.conftest import House, order


def amounts(house: House) -> dict[str, Decimal]:
    items = [entry["item"] for entry in house.sandbox.received("webflow_optimize")]
    return {item["actionId"]: Decimal(str(item["value"])) for item in items if "value" in item}


# -- names

MONEY = {
    "minor units": "amount_cents, amount_micros, orderTotalCents, unit_price_micros, Betrag in Cent, Amount (pence)",
    "German": "Endbetrag, Zahlbetrag, Auftragsvolumen, Geschäftswert, Abschlusswert, Positionswert, Netto-Umsatz",
    "French": "CA, CA HT, CA TTC, Montant payé, Prix de vente, Total TTC, Chiffre d’affaires",
    "Spanish": "Importe cobrado, Importe (EUR), Ventas netas, Precio total, Monto",
    "Portuguese": "Valor líquido, Faturamento, Valor (R$), Preço, Total do pedido",
    "Dutch": "Bestelbedrag, Orderwaarde, Totaalbedrag",
    "Nordic": "Loppusumma, Yhteensä, Totalbeløb, Ordrebeløb, Ordervärde",
    "Slavic": "Do zapłaty, Wartość, Razem, Částka, Celkem, Итого, Выручка, Стоимость, Продажи",
    "Hungarian": "Végösszeg, Bevétel, Összeg",
    "Turkish": "Sipariş Tutarı, Toplam Tutar",
    "Greek": "Ποσό, Σύνολο",
    "Japanese": "合計金額, 税込金額, 金額（税込）, 売上金額, 単価, 総額",
    "Chinese": "订单金额, 总金额, 實付金額, 销售额, 总计",
    "Korean": "결제금액, 총액, 매출액",
    "Thai, Hindi, Hebrew, Arabic": "ยอดรวม, ราคา, राशि, סכום, المبلغ",
    "Vietnamese, Indonesian": "Thành tiền, Doanh thu, Jumlah",
    "English": "Deal size, Payout, Total Spent, Closed Won Amount, "
    "converted_amount, txn_amt, base_grand_total, row_total",
    "hidden characters": "reve\u00adnue net, \u200bAmount, Ｔｏｔａｌ　Ｐｒｉｃｅ",
}


@pytest.mark.parametrize("language", MONEY)
def test_money_is_known_by_its_name(language: str) -> None:
    assert [name for name in MONEY[language].split(", ") if not headers.is_money(name)] == []


NO_MONEY = (
    "Sales Order, Sales Order No, Revenue model, Revenue share, "
    "Income bracket, Net revenue retention, Steuerbetrag, "
    "Versandpreis, Rabattbetrag, MwSt, 税額, 消費税, 送料, 运费, 折扣金额, 할인금액, 배송비, Дата продажи, Скидка, "
    "Frais de port, Gross weight, Price list, Sum insured id, "
    "Amount Currency, Exchange rate, Tax amount, Kontostand"
)


def test_what_is_of_other_money_or_none_is_told_from_it() -> None:
    assert [name for name in NO_MONEY.split(", ") if headers.is_money(name)] == []


TIMES = (
    "Time of day, hour_of_day, Zahlungszeit, Besteltijd, Klokken, Время заказа, "
    "時刻, 注文時間, 下单时间, 주문시간, Sipariş saati, "
    "txn_time, Checkout time, Horário do pedido, Kellonaika, Időpont, Close Time, Hora del pedido, Uhrzeit (MEZ)"
)
NO_TIMES = (
    "Lead time, Time on page, Session time, Lieferzeit, "
    "Bearbeitungszeit, Timestamp, Total time, Response Time, Time zone"
)
ZONES = (
    "TZ, timezone_name, tz_offset, Shop time zone, Customer timezone, "
    "Zeitzone, Huso horario, タイムゾーン, 时区, 시간대, GMT"
)


def test_a_time_of_day_and_a_zone_are_known_by_their_names() -> None:
    assert [name for name in TIMES.split(", ") if not headers.is_time_of_day(name)] == []
    assert [name for name in NO_TIMES.split(", ") if headers.is_time_of_day(name)] == []
    assert [name for name in ZONES.split(", ") if not headers.is_zone(name)] == []


# -- cells

CELLS = {
    "a sign before": ("Field 7", ["€19.99", "€5.00"]),
    "a sign behind": ("Kokonaishintaa", ["19,99 €", "1.299,00 €"]),
    "a code": ("X2", ["EUR 19.99", "USD 5.00"]),
    "below zero": ("col", ["-$5.00", "($12.50)", "$1,299.00"]),
    "of another dollar": ("col", ["CA$19.99", "US$5"]),
    "a name that may mean it": ("Paid", ["19.99", "0"]),
    "billed": ("Billed", ["19.99", "5.00"]),
    "a donation": ("Spende", ["19,99", "5,00"]),
}


@pytest.mark.parametrize(("name", "cells"), CELLS.values(), ids=CELLS)
def test_cells_show_money_under_a_name_that_does_not(house: House, name: str, cells: list[str]) -> None:
    house.write([row(number, **{name: cell}) for number, cell in enumerate(["", *cells])])
    assert pasted(refusal(house))["columns"]["revenue"] == name
    house.import_settings = {"ignore": [name]}
    preview.check(house.config, "orders")


NO_CELLS = {
    "shipping": ("Shipping cost", ["€4.99"]),
    "a discount": ("Rabatt", ["5,00 €"]),
    "whole numbers": ("Paid", ["1", "0"]),
    "words": ("Paid", ["yes", "no"]),
    "one that is none": ("Field 7", ["€19.99", "n/a yet"]),
    "nothing": ("Field 7", ["", ""]),
}


@pytest.mark.parametrize(("name", "cells"), NO_CELLS.values(), ids=NO_CELLS)
def test_cells_that_do_not_show_it_stop_nothing(house: House, name: str, cells: list[str]) -> None:
    house.write([row(number, **{name: cell}) for number, cell in enumerate(cells)])
    assert all(not each.stopped for each in preview.check(house.config, "orders").values())


@pytest.mark.parametrize("name", ["Kokonaishintaa", "col_4", "Összesen"])
def test_numbers_of_two_decimals_in_any_language_are_a_warning_where_nothing_is_revenue(
    house: House, name: str
) -> None:
    house.write([row(1, **{name: "19.99"}), row(2, **{name: "1299,00"})])
    found = next(iter(preview.check(house.config, "orders").values())).warnings
    assert [each.column for each in found if each.code == "column_not_used"] == [name]
    house.write([{**order(1), name: "19.99"}])
    found = next(iter(preview.check(house.config, "orders").values())).warnings
    assert [each for each in found if each.code == "column_not_used"] == []


CLOCKS = {
    "Welsh": {"Dyddiad": "2026-11-20", "Amser": "22:15:00"},
    "AM and PM": {"d": "11/20/2026", "t": "10:15 PM"},
    "a zone by its cells": {"d": "2026-11-20 22:15", "where": "Europe/Berlin"},
}


@pytest.mark.parametrize("cells", CLOCKS.values(), ids=CLOCKS)
def test_cells_show_a_time_of_day_or_a_zone_under_any_name(house: House, cells: dict[str, str]) -> None:
    date, beside = cells
    house.write([{**{k: v for k, v in order(1).items() if k != "occurred_at"}, **cells}])
    house.import_settings = {"columns": {"occurred_at": date}, "timezone": "UTC"}
    assert pasted(refusal(house))["columns"]["occurred_at"] == [date, beside]


@pytest.mark.parametrize("name", ["Session duration", "Delivery time", "Lieferzeit"])
def test_a_length_of_time_is_no_time_of_day(house: House, name: str) -> None:
    house.write([{**{k: v for k, v in order(1).items() if k != "occurred_at"}, "Date": "2026-11-20", name: "00:12:33"}])
    house.import_settings = {"columns": {"occurred_at": "Date"}, "timezone": "UTC"}
    preview.check(house.config, "orders")


# -- parts of a unit

PARTS = {
    "cents": (100, {"1999": "19.99", "5": "0.05", "-100": "-1", "1200.0": "12", "0": "0"}),
    "micros": (1_000_000, {"19990000": "19.99", "1999000": "1.999", "1": "0.000001"}),
    "nothing to divide": (1, {"19.99": "19.99"}),
}


@pytest.mark.parametrize(("by", "cells"), PARTS.values(), ids=PARTS)
def test_parts_of_a_unit_are_divided_exactly(house: House, by: int, cells: dict[str, str]) -> None:
    house.to = ["webflow_optimize"]
    house.overrides = {"webflow_optimize": {"allow_negative_value": True}}
    house.write([row(number, amount_parts=cell) for number, cell in enumerate(cells)])
    house.import_settings = {"columns": {"revenue": {"column": "amount_parts", "divide_by": by}}}
    house.run()
    expected = {f"order-{number}": Decimal(value) for number, value in enumerate(cells.values())}
    assert amounts(house) == {key: value for key, value in expected.items() if round(value, 2) == value or value < 2}


@pytest.mark.parametrize("cell", ["19.99", "1,999", "1.999", "abc", "€1999"])
def test_what_is_no_whole_number_of_parts_is_refused(house: House, cell: str) -> None:
    house.to = ["webflow_optimize"]
    house.write([row(1, amount_cents=cell)])
    house.import_settings = {"columns": {"revenue": {"column": "amount_cents", "divide_by": 100}}}
    assert house.run().by_status("webflow_optimize") == {"rejected": 1}


@pytest.mark.parametrize(
    ("name", "by"),
    [("amount_cents", 100), ("Betrag in Cent", 100), ("amount_micros", 1_000_000), ("Total (pence)", 100)],
)
def test_a_name_that_says_parts_is_proposed_with_what_divides_it(house: House, name: str, by: int) -> None:
    house.write([row(1, **{name: "1999"})])
    proposed = pasted(refusal(house))
    assert proposed["columns"]["revenue"] == {"column": name, "divide_by": by}
    house.to = ["webflow_optimize"]
    house.import_settings = proposed
    house.run()
    assert set(amounts(house).values()) == {Decimal(1999) / by}


def test_parts_that_are_mapped_as_units_are_a_warning(house: House) -> None:
    house.write([row(1, amount_cents="1999")])
    house.import_settings = {"columns": {"revenue": "amount_cents"}}
    found = next(iter(preview.check(house.config, "orders").values())).warnings
    assert "divide_by: 100" in next(each.sentence for each in found if each.code == "minor_units")


WRONG = [
    ({"columns": {"revenue": {"column": "a", "divide_by": 7}}}, "columns.revenue.divide_by: "),
    ({"columns": {"revenue": {"value": "5", "divide_by": 100}}}, "columns.revenue: divide_by goes with one `column`"),
    ({"columns": {"quantity": {"column": "a", "divide_by": 100}}}, "columns: quantity is no amount: `divide_by` suits"),
    (
        {"columns": {"revenue": {"column": "a", "divide_by": 100}}, "locale": {"decimal": ","}},
        "columns.revenue.divide_by takes whole numbers",
    ),
    ({"columns": ["Net"]}, "columns: must name our columns and the source's, such as {revenue: Net amount}."),
    ({"columns": {"revenue": " "}}, "columns.revenue: column is empty"),
    ({"columns": {"currency": {"value": ""}}}, "columns.currency: value is empty"),
    ({"columns": {"user_id": {"value": "guest"}}}, "columns: user_id tells people or orders apart"),
    (
        {"columns": {"email": {"column": "mail", "default": "a@example.com"}}},
        "columns: email tells people or orders apart",
    ),
    ({"columns": {"event_id": {"column": "id", "default": "x"}}}, "columns: event_id tells people or orders apart"),
]


@pytest.mark.parametrize(("settings", "sentence"), WRONG, ids=[sentence[:48] for _, sentence in WRONG])
def test_a_form_that_would_be_wrong_in_silence_is_refused(
    house: House, settings: dict[str, Any], sentence: str
) -> None:
    house.import_settings = settings
    with pytest.raises(ConfigError) as refused:
        _ = house.config
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


# -- headers

HEADERS = {
    "zero-width spaces": "\u200bevent_id\u200b,event_name\u200d,occurred_at,user_id,\u200erevenue\u200f,currency",
    "a soft hyphen inside": "event_id,event_name,occurred_at,user_id,reve\u00adnue,currency",
    "full width": "ｅｖｅｎｔ＿ｉｄ,Ｅｖｅｎｔ　Ｎａｍｅ,occurred_at,user_id,ＲＥＶＥＮＵＥ,currency",
    "hyphens that do not break": "event\u2011id,event\u2011name,occurred\u2011at,user\u2011id,revenue,currency",
    "a mark and quotes": '\ufeff"event_id","event_name","occurred_at","user_id","revenue","currency"',
    "tabs and spaces": " event_id ,event_name\u00a0,occurred_at,\u3000user_id , revenue,currency ",
    "a NUL": "event_id\x00,event_name,occurred_at,user_id,revenue,currency",
    "cases": "EVENT ID,Event-Name,OccurredAt,userId,Revenue,CURRENCY",
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_what_nobody_sees_in_a_header_does_not_decide(house: House, header: str) -> None:
    house.to = ["webflow_optimize"]
    cells = order(1)
    wanted = ("event_id", "event_name", "occurred_at", "user_id", "revenue", "currency")
    (house.folder / "orders.csv").write_text(
        f"{header}\n{','.join(cells[name] for name in wanted)}\n", encoding="utf-8"
    )
    house.run()
    assert amounts(house) == {"order-1": Decimal("19.99")}


def test_a_name_in_the_settings_is_found_however_its_accents_are_written(house: House) -> None:
    house.to = ["webflow_optimize"]
    house.write([row(1, **{"Erlo\u0308s": "19.99"})])
    house.import_settings = {"columns": {"revenue": "Erl\u00f6s"}}
    house.run()
    assert amounts(house) == {"order-1": Decimal("19.99")}


@pytest.mark.parametrize("other", ["revenue\u200b", "\ufeffrevenue", "revenue "])
def test_two_columns_that_look_alike_are_refused(house: House, other: str) -> None:
    house.write([{**order(1), other: "5.00"}])
    assert "the header names revenue more than once" in refusal(house)
