"""Small files as the programs write them that people export from: what arrives is what they plainly say.

Each has good rows, and the careless ones that its program makes of what is missing or was opened in a spreadsheet.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import pytest

from tests.conftest import House

NOW = datetime(2026, 11, 25, 20, tzinfo=UTC)
TEN = "2026-11-20T10:00:00+00:00"
GERMAN = {"decimal": ",", "thousands": "."}


class Export(NamedTuple):
    """A file, what the import says of it, and of each row what arrives (time, amount, aliases) or the reason."""

    text: str
    settings: dict[str, Any]
    rows: dict[int, Any]
    encoding: str = "utf-8"


def sale(amount: str | None, *who: str, at: str = TEN) -> tuple[str, Decimal | None, set[str]]:
    return at, None if amount is None else Decimal(amount), {f"urn:{each}" for each in who}


ORDER = {"event_name": {"value": "Order Completed"}}

EXPORTS = {
    "Excel in German": Export(
        "Bestellnr;Datum;Betrag;Währung;Kunde;E-Mail\r\n"
        "A-1;20.11.2026 11:00;1.299,50;EUR;K-1;ada@example.com\r\n"
        "A-2 ;20.11.2026 11:00;0,99;EUR;#NV;\r\n"
        "A-3;20.11.2026 11:00;19,99;EUR;4,91511E+12;bob@example.com\r\n"
        "A-4;20.11.2026 11:00;0.125;EUR;K-4;\r\n"
        "01. Mrz;20.11.2026 11:00;5,00;EUR;K-5;\r\n"
        "A-6;00.01.1900 00:00;5,00;EUR;K-6;\r\n",
        {
            "columns": {
                **ORDER,
                **{"event_id": "Bestellnr", "occurred_at": "Datum", "revenue": "Betrag", "currency": "Währung"},
                **{"user_id": "Kunde", "email": "E-Mail"},
            },
            "date_format": "%d.%m.%Y %H:%M",
            "timezone": "Europe/Berlin",
            "locale": GERMAN,
            "source": {"type": "csv", "path": "orders.csv", "encoding": "cp1252"},
        },
        {
            1: sale("1299.5", "user_id:K-1", "email:ada@example.com"),
            2: "formula_text",
            3: "id_damaged_by_spreadsheet",
            4: "not_in_locale",
            5: "id_damaged_by_spreadsheet",
            6: "not_in_date_format",
        },
        "cp1252",
    ),
    "Excel in French": Export(
        "N° commande;Date;Montant;Devise;Client\r\n"
        "A-1;20/11/2026 11:00;1\u202f299,50;EUR;C-1\r\n"
        "A-2;20/11/2026 11:00;12,00;EUR;#VALEUR!\r\n"
        "A-3;20/11/2026 11:00;12,00;EUR;(vide)\r\n"
        "févr-26;20/11/2026 11:00;12,00;EUR;C-4\r\n",
        {
            "columns": {
                **ORDER,
                **{"event_id": "N° commande", "occurred_at": "Date", "revenue": "Montant", "currency": "Devise"},
                "user_id": "Client",
            },
            "date_format": "%d/%m/%Y %H:%M",
            "timezone": "Europe/Paris",
            "locale": {"decimal": ",", "thousands": " "},
        },
        {1: sale("1299.5", "user_id:C-1"), 2: "formula_text", 3: "missing_aliases", 4: "id_damaged_by_spreadsheet"},
        "utf-8-sig",
    ),
    "Excel in English": Export(
        "Order,When,Net,Cur,Customer\r\n"
        'A-1,11/20/2026 10:00,"1,299.50",USD,00491511\r\n'
        "A-2,11/20/2026 10:00,1.299,USD,'0042\r\n"
        "1-Feb,11/20/2026 10:00,5.00,USD,C-3\r\n"
        "A-4,########,5.00,USD,C-4\r\n"
        "A-5,11/20/2026 10:00,(5.00),USD,C-5\r\n",
        {
            "columns": {
                **ORDER,
                **{"event_id": "Order", "occurred_at": "When", "revenue": "Net", "currency": "Cur"},
                "user_id": "Customer",
            },
            "date_format": "%m/%d/%Y %H:%M",
            "timezone": "UTC",
            "locale": {"decimal": ".", "thousands": ","},
        },
        {
            1: sale("1299.5", "user_id:00491511"),
            2: sale("1.299", "user_id:0042"),
            3: "id_damaged_by_spreadsheet",
            4: "not_in_date_format",
            5: "not_in_locale",
        },
        "utf-16",
    ),
    "Google Sheets": Export(
        "event_id,occurred_at,revenue,currency,user_id\n"
        "A-1,2026-11-20T10:00:00Z,19.99,EUR,u-1\n"
        "A-2,2026-11-20T10:00:00Z,#ERROR!,EUR,u-2\n"
        "A-3,2026-11-20T10:00:00Z,19.99,EUR,Loading...\n"
        "A-4,2026-11-20T10:00:00Z,€19.99,EUR,u-4\n",
        {"columns": ORDER},
        {1: sale("19.99", "user_id:u-1"), 2: "formula_text", 3: "formula_text", 4: "not_a_decimal"},
    ),
    "Salesforce": Export(
        '"Opportunity ID","Close Date","Amount","Amount Currency","Contact ID","Email"\n'
        '"0065g00000AbCdE","2026-11-20T10:00:00.000+0000","1299.50","USD","0035g00000XyZ12",""\n'
        '"0065g00000AbCdF","2026-11-20T10:00:00.000+0000","","USD","[not provided]","ada@example.com"\n'
        '"0065g00000AbCdG","2026-11-20","12.00","USD","0035g00000XyZ14",""\n'
        '"0065g00000AbCdH","2026-11-20T10:00:00.000+0000","12.00","USD","{!Contact.Id}",""\n',
        {
            "columns": {
                **ORDER,
                **{"event_id": "Opportunity ID", "occurred_at": "Close Date", "revenue": "Amount"},
                **{"currency": "Amount Currency", "user_id": "Contact ID"},
            }
        },
        {
            1: sale("1299.5", "user_id:0035g00000XyZ12"),
            2: sale(None, "email:ada@example.com"),
            3: "no_timezone",
            4: "missing_aliases",
        },
    ),
    "HubSpot": Export(
        "Record ID,Close Date,Amount,Currency,Associated Contact,Email\n"
        "12345678901,2026-11-20 10:00,1299.5,EUR,501,(No value)\n"
        "12345678902,2026-11-20 10:00,12.00,EUR,(No value),noemail@example.com\n"
        "12345678903.0,2026-11-20 10:00,12.00,EUR,502,\n"
        "1.23457E+10,2026-11-20 10:00,12.00,EUR,503,\n",
        {
            "columns": {
                **ORDER,
                **{"event_id": "Record ID", "occurred_at": "Close Date", "revenue": "Amount"},
                "user_id": "Associated Contact",
            },
            "timezone": "UTC",
        },
        {
            1: sale("1299.5", "user_id:501"),
            2: "not_an_email",
            3: "id_damaged_by_spreadsheet",
            4: "id_damaged_by_spreadsheet",
        },
    ),
    "Shopify": Export(
        "Name,Created at,Total,Currency,Customer,Email,Phone\n"
        "#1001,2026-11-20 02:00:00 -0800,1299.50,USD,7001,ada@example.com,'+442079460958\n"
        "#1002,2026-11-20 02:00:00 -0800,12.00,USD,,a***@example.com,\n"
        "#1003,2026-11-20 02:00:00 -0800,12.00,USD,0,,+442079460958\n",
        {
            "columns": {
                **ORDER,
                **{"event_id": "Name", "occurred_at": "Created at", "revenue": "Total", "user_id": "Customer"},
            }
        },
        {
            1: sale("1299.5", "user_id:7001", "email:ada@example.com", "phone:+442079460958"),
            2: "not_an_email",
            3: sale("12", "phone:+442079460958"),
        },
    ),
    "PayPal": Export(
        '"Datum","Uhrzeit","Zeitzone","Brutto","Währung","Transaktionscode","Absender"\n'
        '"20.11.2026","11:00:00","Europe/Berlin","1.299,50","EUR","8AB12345CD678901E","ada@example.com"\n'
        '"20.11.2026","11:00:00","CET","12,00","EUR","8AB12345CD678902E","bob@example.com"\n'
        '"20.11.2026","11:00:00","Europe/Berlin","-12,00","EUR","8AB12345CD678903E","cy@example.com"\n',
        {
            "columns": {
                **ORDER,
                **{"event_id": "Transaktionscode", "occurred_at": ["Datum", "Uhrzeit", "Zeitzone"]},
                **{"revenue": "Brutto", "currency": "Währung", "email": "Absender"},
            },
            "date_format": "%d.%m.%Y %H:%M:%S",
            "locale": GERMAN,
        },
        {
            1: sale("1299.5", "email:ada@example.com"),
            2: "not_in_date_format",
            3: sale("-12", "email:cy@example.com"),
        },
        "utf-8-sig",
    ),
    "Stripe": Export(
        "id,Created date (UTC),Amount,Currency,Customer ID,Customer Email\n"
        "ch_3A,2026-11-20 10:00:00,1299.50,usd,cus_1,\n"
        'ch_3B,2026-11-20 10:00:00,"1,299.50",usd,cus_2,\n'
        "ch_3C,2026-11-20 10:00:00,12.00,usd,,ada@example.com\n",
        {
            "columns": {
                **ORDER,
                **{"event_id": "id", "occurred_at": "Created date (UTC)", "revenue": "Amount", "currency": "Currency"},
                **{"user_id": "Customer ID", "email": "Customer Email"},
            },
            "timezone": "UTC",
        },
        {1: sale("1299.5", "user_id:cus_1"), 2: "not_a_decimal", 3: sale("12", "email:ada@example.com")},
    ),
    "BigQuery": Export(
        "event_id,occurred_at,revenue,currency,user_id\n"
        "A-1,2026-11-20 10:00:00 UTC,1299.5,EUR,u-1\n"
        "A-2,2026-11-20 10:00:00.123456 UTC,1.2995e+03,EUR,u-2\n"
        "A-3,1795168800000000,12.5,EUR,u-3\n"
        "A-4,2026-11-20 10:00:00 UTC,NaN,EUR,u-4\n",
        {"columns": ORDER},
        {1: sale("1299.5", "user_id:u-1"), 2: "not_a_decimal", 3: "timestamp_not_milliseconds", 4: "not_a_decimal"},
    ),
    "Spark": Export(
        "event_id,occurred_at,revenue,currency,user_id\n"
        "A-1,2026-11-20T10:00:00.000Z,1299.50,EUR,u-1\n"
        "A-2,2026-11-20T10:00:00.000Z,1.0E7,EUR,u-2\n"
        "A-3,2026-11-20T10:00:00.000Z,12.00,EUR,__HIVE_DEFAULT_PARTITION__\n"
        'A-4,2026-11-20T10:00:00.000Z,12.00,EUR,""\n'
        "1.2345678E7,2026-11-20T10:00:00.000Z,12.00,EUR,u-5\n",
        {"columns": ORDER},
        {
            1: sale("1299.5", "user_id:u-1"),
            2: "not_a_decimal",
            3: "missing_aliases",
            4: "missing_aliases",
            5: "id_damaged_by_spreadsheet",
        },
    ),
    "Snowflake": Export(
        "EVENT_ID,OCCURRED_AT,REVENUE,CURRENCY,USER_ID\n"
        "A-1,2026-11-20 10:00:00.000 Z,1299.500000,EUR,u-1\n"
        "A-2,2026-11-20 02:00:00.000 -0800,12.00,EUR,\\\\N\n"
        "4711.000,2026-11-20 10:00:00.000 Z,12.00,EUR,u-3\n"
        "A-4,2026-11-20 10:00:00.000,12.00,EUR,u-4\n",
        {"columns": ORDER},
        {1: sale("1299.5", "user_id:u-1"), 2: "missing_aliases", 3: "id_damaged_by_spreadsheet", 4: "no_timezone"},
    ),
    "MySQL": Export(
        "event_id\toccurred_at\trevenue\tcurrency\tuser_id\n"
        "A-1\t2026-11-20 10:00:00\t1299.50\tEUR\tu-1\n"
        "A-2\t0000-00-00 00:00:00\t12.00\tEUR\tu-2\n"
        "A-3\t2026-11-20 10:00:00\t\\N\tEUR\tu-3\n"
        "\\N\t2026-11-20 10:00:00\t12.00\tEUR\tu-4\n"
        "A-5\t1970-01-01 00:00:00\t12.00\tEUR\tu-5\n",
        {"columns": ORDER, "timezone": "UTC"},
        {
            1: sale("1299.5", "user_id:u-1"),
            2: "timestamp_unparsable",
            3: sale(None, "user_id:u-3"),
            4: "missing_event_id",
            5: "missing_occurred_at",
        },
    ),
}


@pytest.mark.parametrize("export", EXPORTS.values(), ids=EXPORTS)
def test_what_arrives_is_what_the_file_says(house: House, export: Export) -> None:
    house.to = ["converge"]
    house.overrides = {"converge": {"aliases_from": ["user_id", "email", "phone"]}}
    house.import_settings = export.settings
    (house.folder / "orders.csv").write_bytes(export.text.encode(export.encoding))
    report = house.run(clock=lambda: int(NOW.timestamp() * 1000))
    assert not report.run.stop_detail
    sent = {entry["item"]["event_id"]: entry["item"] for entry in house.sandbox.received("converge")}
    found: dict[int, Any] = {}
    for row in house.results():
        item = sent.get(row["event_id"])
        amount = None if item is None else item["properties"].get("total_price")
        said = item and (item["timestamp"], None if amount is None else Decimal(str(amount)), {*item["aliases"]})
        found[row["row_number"]] = said or row["reason"]
    assert found == export.rows
