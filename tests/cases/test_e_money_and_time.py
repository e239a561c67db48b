"""Money, and the time of day, in a column that nobody mapped: nothing is sent until somebody maps or ignores it."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
import yaml
from typer.testing import CliRunner

from etl import drops, preview
from etl.cli import app
from etl.stages import headers
from tests.cases.unmapped import pasted, refusal, row
from tests.conftest import House, order

STOPPED = 2


def counted(house: House) -> int:
    return sum(house.sandbox.counts()[name]["requests"] for name in house.to)


# -- E1: money

MONEY = [
    *("Revenue (EUR)", "Revenue in GBP", "Umsatz", "Betrag", "Montant TTC", "Importe", "Importe total", "Net", "Gross"),
    *("Order value", "price", "Amount", "Order Total", "total_price", "totalPrice", "Gesamtbetrag", "Nettoumsatz"),
    *("Rechnungsbetrag", "Chiffre d'affaires", "Umsatz inkl. MwSt", "Valor total", "Omzet", "Bedrag", "Belopp"),
    *("Kwota", "Wartość zamówienia", "Сумма заказа", "売上", "金額", "매출", "Fatturato", "Prezzo totale", "Receita"),
    *("Conversion value", "Amount in company currency", "Deal Amount", "Converted Amount", "net_amount_usd", "EUR"),
    *("Lineitem price", "Amount Refunded", "ARR", "Total (incl. shipping)", "Total tax included", "Sales", "Tutar"),
]


@pytest.mark.parametrize("name", MONEY)
def test_an_unmapped_column_of_money_stops_the_import(house: House, name: str) -> None:
    house.write([row(1, **{name: "19.99"})])
    shown = CliRunner().invoke(app, ["--config", str(house.config.path), "check", "orders"])
    assert shown.exit_code == STOPPED
    assert yaml.safe_load(shown.stderr.partition("# ignore: ")[2].strip()) == [name]
    report = house.run()
    assert (report.exit_code, counted(house)) == (STOPPED, 0)
    proposed = pasted(report.run.stop_detail)
    assert proposed["columns"]["revenue"] == name
    house.import_settings = proposed
    house.to = ["webflow_optimize"]
    assert house.run().exit_code == 0
    assert [entry["item"]["value"] for entry in house.sandbox.received("webflow_optimize")] == [19.99]


def test_ignoring_it_is_the_other_answer(house: House) -> None:
    house.write([row(1, **{"Revenue (EUR)": "19.99"})])
    answer = refusal(house).partition("# ignore: ")[2]
    assert answer == "[Revenue (EUR)]"
    house.import_settings = {"ignore": yaml.safe_load(answer)}
    report = house.run()
    assert report.exit_code == 0
    assert [warning for warning in report.warnings if warning.code == "columns_not_sent"] == []


def test_the_currency_of_a_header_is_proposed_with_it(house: House) -> None:
    house.write([row(1, "currency", **{"Revenue (EUR)": "19.99"})])
    assert pasted(refusal(house)) == {"columns": {"revenue": "Revenue (EUR)", "currency": {"value": "EUR"}}}


NOT_REVENUE = [
    *("Tax", "Sales Tax", "total_tax", "MwSt", "VAT amount", "Shipping", "Versandkosten", "Discount Amount", "Rabatt"),
    *("Payment Method", "Price list", "Sales rep", "Total items", "Total quantity", "Payment ID", "Paid at", "Balance"),
    *(
        "Net promoter score",
        "Gross weight",
        "store",
        "coupon",
        "Financial Status",
        "page_views",
        "Fee",
        "Discount code",
    ),
]


@pytest.mark.parametrize("name", NOT_REVENUE)
def test_what_is_plainly_not_the_revenue_stops_nothing(house: House, name: str) -> None:
    house.write([row(1, **{name: "7"})])
    assert {each.stopped for each in preview.check(house.config, "orders").values()} == {""}


def test_total_is_revenue_by_itself_with_a_warning(house: House) -> None:
    house.to = ["optimizely", "converge"]
    house.write([row(1, Total="19.99", Subtotal="15.00", Taxes="4.99")])
    report = house.run()
    assert [warning.column for warning in report.warnings if warning.code == "mapped_by_itself"] == ["Total"]
    assert [entry["item"]["event"]["revenue"] for entry in house.sandbox.received("optimizely")] == [1999]
    assert [entry["item"]["properties"]["total_price"] for entry in house.sandbox.received("converge")] == [19.99]


def test_total_beside_a_mapped_revenue_is_left_alone(house: House) -> None:
    house.to = ["optimizely"]
    house.write([{**order(1), "Total": "1.00"}])
    house.run()
    assert [entry["item"]["event"]["revenue"] for entry in house.sandbox.received("optimizely")] == [1999]


def test_total_beside_a_revenue_of_another_name_is_not_guessed(house: House) -> None:
    house.write([row(1, Total="1.00", **{"Revenue (EUR)": "19.99"})])
    assert pasted(refusal(house))["columns"]["revenue"] == "Revenue (EUR)"


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        *(("Customer Email", "email"), ("E-Mail-Adresse", "email"), ("Billing Phone", "phone"), ("Telefon", "phone")),
        *(("Order #", "order_id"), ("Bestellnummer", "order_id"), ("Qty", "quantity"), ("Währung", "currency")),
        *(("Correo", "email"), ("Lineitem quantity", "quantity"), ("Currency Code", "currency")),
    ],
)
def test_others_of_our_columns_that_are_plainly_there_are_a_warning(house: House, name: str, ours: str) -> None:
    house.to = ["kameleoon"]
    house.write([{**{key: value for key, value in order(1).items() if key != ours}, name: "7"}])
    report = house.run()
    assert [(w.column, w.sentence) for w in report.warnings if w.code == "column_not_used"] == [
        (name, f"{name} looks like {ours} and is not used: map it, or `ignore` it.")
    ]
    house.import_settings = {"ignore": [name]}
    assert [w for w in house.run().warnings if w.code == "column_not_used"] == []


def test_one_file_of_many_names_itself(house: House) -> None:
    (house.folder / "in").mkdir()
    house.write([order(1)], "in/a.csv")
    house.write([row(2, Umsatz="19.99")], "in/b.csv")
    house.import_settings = {"source": {"type": "csv", "path": "in/*.csv"}}
    assert refusal(house).startswith("b.csv: Umsatz looks like money")
    assert (house.run().exit_code, counted(house)) == (STOPPED, 0)


def test_a_header_without_rows_is_judged_too(house: House) -> None:
    (house.folder / "orders.csv").write_text("event_id,event_name,occurred_at,user_id,Umsatz\n")
    assert "Umsatz looks like money" in refusal(house)


def test_a_query_without_rows_is_judged_too(house: House) -> None:
    engine = sa.create_engine(f"sqlite:///{house.folder}/crm.db")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE deals (event_id, event_name, occurred_at, user_id, deal_amount)")
    engine.dispose()
    house.import_settings = {"source": {"type": "sql", "url": f"sqlite:///{house.folder}/crm.db", "table": "deals"}}
    assert "deal_amount looks like money" in refusal(house)


def test_a_parquet_file_without_rows_is_judged_too(house: House) -> None:
    names = ["event_id", "event_name", "occurred_at", "net_amount"]
    pq.write_table(pa.table({name: pa.array([], pa.string()) for name in names}), house.folder / "a.parquet")
    house.import_settings = {"source": {"type": "parquet", "path": "a.parquet"}}
    assert "net_amount looks like money" in refusal(house)


def test_a_dropped_file_goes_to_quarantine_with_the_same_sentence(house: House) -> None:
    inbox = house.folder / "inbox"
    inbox.mkdir()
    house.import_settings = {"source": {"type": "csv"}, "drop": {"inbox": str(inbox), "settle_seconds": 0}}
    house.write([row(1, **{"Revenue (EUR)": "19.99"})], "inbox/tuesday.csv")
    config = house.config
    outcomes, _ = drops.process_all(config, ["orders"])
    assert [outcome.state for outcome in outcomes] == ["quarantined"]
    assert counted(house) == 0
    page = next((inbox / "quarantine").glob("*.summary.html")).read_text()
    assert "tuesday.csv: Revenue (EUR) looks like money, and nothing is mapped to revenue" in page
    assert "  revenue: Revenue (EUR)\n# or, where it is not to be used:\n# ignore: [Revenue (EUR)]" in page


def test_extra_columns_of_all_decide_nothing_and_a_listed_one_does(house: House) -> None:
    house.write([row(1, Betrag="19.99")])
    house.import_settings = {"extra_columns": "all"}
    assert "Betrag looks like money" in refusal(house)
    house.import_settings = {"extra_columns": ["Betrag"]}
    assert house.run().exit_code == 0


# -- E2: the time of day


def test_the_proposal_for_a_payment_export_takes_time_zone_and_money(house: House) -> None:
    (house.folder / "orders.csv").write_text(
        "Date,Time,TimeZone,Name,Type,Status,Currency,Gross,Fee,Net,Transaction ID\n"
        "20/11/2026,22:15:00,Europe/Berlin,Ada,Payment,Completed,EUR,19.99,-0.99,19.00,8XJ\n"
    )
    columns = pasted(refusal(house))["columns"]
    assert columns["occurred_at"] == ["Date", "Time", "TimeZone"]
    assert (columns["revenue"], columns["event_id"]) == ("Gross", "Transaction ID")


DATES = {
    "PayPal": ({"Date": "20/11/2026", "Time": "22:15:00"}, "Date", ["Date", "Time"]),
    "a German shop": ({"Datum": "20.11.2026", "Uhrzeit": "22:15"}, "Datum", ["Datum", "Uhrzeit"]),
    "a French till": ({"Date": "20/11/2026", "Heure": "22h15"}, "Date", ["Date", "Heure"]),
    "Spanish": ({"Fecha": "20/11/2026", "Hora": "22:15"}, "Fecha", ["Fecha", "Hora"]),
    "a database": ({"order_date": "2026-11-20", "order_time": "22:15:00"}, "order_date", ["order_date", "order_time"]),
    "midnights": ({"Closed": "2026-11-20T00:00:00", "Time": "10:15 PM"}, "Closed", ["Closed", "Time"]),
    "Japanese": ({"日付": "2026/11/20", "時刻": "22:15"}, "日付", ["日付", "時刻"]),
    "with a zone": (
        {"Date": "20/11/2026", "Time": "22:15", "Time Zone": "Europe/Berlin"},
        "Date",
        ["Date", "Time", "Time Zone"],
    ),
    "a zone alone": (
        {"Created": "2026-11-20 22:15:00", "Zeitzone": "Europe/Berlin"},
        "Created",
        ["Created", "Zeitzone"],
    ),
}


@pytest.mark.parametrize("name", DATES)
@pytest.mark.parametrize("source", ["csv", "parquet"])
def test_a_time_of_day_beside_a_date_stops_the_import(house: House, name: str, source: str) -> None:
    cells, date, expected = DATES[name]
    given = {key: value for key, value in order(1).items() if key != "occurred_at"} | cells
    house.write([given])
    pq.write_table(pa.Table.from_pylist([given]), house.folder / "orders.parquet")
    house.import_settings = {
        "source": {"type": source, "path": f"orders.{source}"},
        "columns": {"occurred_at": date},
        "timezone": "UTC",
    }
    sentence = refusal(house)
    assert pasted(sentence) == {"columns": {"occurred_at": expected}}
    assert yaml.safe_load(sentence.partition("# ignore: ")[2]) == expected[1:]
    assert (house.run().exit_code, counted(house)) == (STOPPED, 0)
    house.import_settings = {**house.import_settings, "ignore": expected[1:]}
    preview.check(house.config, "orders")


GOOD_DATES = {
    "a moment in a column called Date": {"Date": "2026-11-20T22:15:00Z", "Time": "22:15"},
    "epoch milliseconds": {"Date": "1795212900000", "Time": "22:15"},
    "a delivery time": {"Date": "2026-11-20", "Delivery time": "22:15"},
    "a column of whole moments": {"Date": "2026-11-20", "Time": "2026-11-21T10:00:00Z"},
    "a zone beside moments that have one": {"Date": "2026-11-20T22:15:00+01:00", "TimeZone": "Europe/Berlin"},
    "a date alone": {"Date": "2026-11-20", "Lead time": "3 days"},
}


@pytest.mark.parametrize("name", GOOD_DATES)
def test_what_is_no_time_of_day_beside_a_date_stops_nothing(house: House, name: str) -> None:
    given = {key: value for key, value in order(1).items() if key != "occurred_at"} | GOOD_DATES[name]
    house.write([given])
    house.import_settings = {"columns": {"occurred_at": "Date"}, "timezone": "UTC"}
    preview.check(house.config, "orders")


def test_a_header_alone_tells_a_time_of_day_where_there_are_no_rows(house: House) -> None:
    (house.folder / "orders.csv").write_text("event_id,event_name,Datum,Uhrzeit\n")
    house.import_settings = {"columns": {"occurred_at": "Datum"}}
    assert pasted(refusal(house)) == {"columns": {"occurred_at": ["Datum", "Uhrzeit"]}}


# -- exports as they come

SHOPIFY = "Name,Email,Financial Status,Paid at,Currency,Subtotal,Shipping,Taxes,Total,Discount Code,Discount Amount,Id"
STRIPE = "id,Created (UTC),Amount,Amount Refunded,Currency,Fee,Customer Email,Status"
SALESFORCE = "Opportunity ID,Opportunity Name,Stage,Amount Currency,Amount,Expected Revenue,Close Date,Account Name"
HUBSPOT = "Record ID,Deal Name,Deal Stage,Close Date,Amount,Amount in company currency,Pipeline,Deal owner"


@pytest.mark.parametrize(
    ("header", "money"),
    [
        (SHOPIFY, ["Total", "Subtotal"]),
        (STRIPE, ["Amount", "Amount Refunded"]),
        (SALESFORCE, ["Amount", "Expected Revenue"]),
        (HUBSPOT, ["Amount", "Amount in company currency"]),
    ],
    ids=["Shopify", "Stripe", "Salesforce", "HubSpot"],
)
def test_the_money_of_an_export_is_what_a_person_would_point_at(header: str, money: list[str]) -> None:
    assert headers.likeliest_money(header.split(",")) == money


def test_every_name_is_read_whatever_its_case_and_gaps() -> None:
    for name in ("ORDER TOTAL", "order-total", "Order_Total", "  order  total ", "OrderTotal", "ordertotal"):
        assert headers.is_money(name), name
