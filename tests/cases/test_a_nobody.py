"""A: what is not blank is not therefore a person. Marks for nothing, formulas, sheet errors, lost digits."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from etl import preview
from etl.errors import ConfigError
from etl.report import Report
from schemas import marks as listed
from schemas.marks import marks
from tests.conftest import House, order

ALIASES = {"converge": {"aliases_from": ["user_id", "email", "phone"]}}

MARKS = {
    "a database": "NULL",
    "Excel": "N/A",
    "Excel in another case": "n/a",
    "with points": "n.a.",
    "Python": "None",
    "pandas": "nan",
    "pandas, typed": "<NA>",
    "pandas, a date": "NaT",
    "Ruby and Go": "nil",
    "JavaScript": "undefined",
    "JavaScript, an object": "[object Object]",
    "MySQL's dump": "\\N",
    "Salesforce in brackets": "[null]",
    "HubSpot's (No value)": "(no value)",
    "Google Analytics": "(not set)",
    "a pivot table": "(blank)",
    "a German pivot table": "(Leer)",
    "a French pivot table": "(vide)",
    "a Spanish pivot table": "(en blanco)",
    "Snowflake in braces": "{null}",
    "a template engine": "<null>",
    "R": "NA",
    "German": "k.A.",
    "French": "non renseigné",
    "Spanish": "s/o",
    "Russian": "н/д",
    "a dash": "-",
    "dashes": "--",
    "an em dash": "—",
    "in quotes": '"NULL"',
    "in curly quotes": "“null”",
    "with a space": " NULL ",
    "an id of zeros": "00000000-0000-0000-0000-000000000000",
    "nobody in particular": "anonymous",
    "Hive": "__HIVE_DEFAULT_PARTITION__",
}


def given(house: House, *rows: dict[str, str], to: str = "converge", **settings: Any) -> Report:
    """One run for one vendor."""
    house.to = [to]
    house.overrides = {**ALIASES, **house.overrides}
    house.import_settings = {"extra_columns": ["customer_no"], **settings}
    house.write(list(rows))
    return house.run()


def sent(house: House) -> list[dict[str, Any]]:
    return [json.loads(request["body"]) for request in house.sandbox.requests("converge")]


def said(house: House) -> Counter[tuple[str, str]]:
    """Status and reason, and how many rows of all runs have them."""
    return Counter((row["status"], row["reason"]) for row in house.results())


# -- marks for nothing


def test_rows_with_a_mark_for_nobody_are_not_one_person(house: House) -> None:
    by_row = dict(enumerate(MARKS.values()))
    rows = [order(n, user_id=mark, email=f"ada{n}@example.com", aliases="") for n, mark in by_row.items()]
    report = given(house, *rows)
    assert report.by_status("converge") == {"delivered": len(MARKS)}
    aliases = {each["event_id"]: each["aliases"] for each in sent(house)}
    assert aliases == {f"order-{n}": [f"urn:email:ada{n}@example.com"] for n in by_row}
    found = {each.sentence: each.rows for each in report.warnings if each.code == "null_value"}
    assert sum(found.values()) == len(MARKS)
    assert found["user_id: NULL stands for nothing and was taken as an empty cell."] == 3


@pytest.mark.parametrize(
    ("column", "reason"),
    [("event_id", "missing_event_id"), ("event_name", "missing_event_name"), ("occurred_at", "missing_occurred_at")],
)
def test_a_mark_in_a_required_column_is_what_is_missing(house: House, column: str, reason: str) -> None:
    given(house, *(order(n, **{column: mark}) for n, mark in enumerate(["NULL", "n/a", "(blank)", "\\N"])))
    assert said(house) == {("rejected", reason): 4}


@pytest.mark.parametrize("column", ["revenue", "quantity"])
def test_a_failed_computation_is_no_number(house: House, column: str) -> None:
    texts = ["NaN", "nan", "Inf", "-Infinity", "∞", "1.#QNAN"]
    given(house, *(order(n, **{column: text}) for n, text in enumerate(texts)))
    assert said(house) == {("rejected", "not_a_decimal"): len(texts)}


def test_a_dash_in_a_column_of_money_may_mean_zero(house: House) -> None:
    given(house, order(1, revenue="-"))
    assert said(house) == {("rejected", "not_a_decimal"): 1}


def test_an_amount_that_is_marked_as_missing_is_empty(house: House) -> None:
    given(house, *(order(n, revenue=mark) for n, mark in enumerate(["NULL", "n.a.", "(blank)"])))
    assert ["total_price" in each["properties"] for each in sent(house)] == [False] * 3


def test_namibia_is_a_country() -> None:
    assert "na" not in marks("country", None) | marks("title", None)
    assert {"na", "unknown"} <= marks("user_id", None) & marks("Customer No", None) & marks("gclid", None)
    assert "(na)" in marks("country", None)


def test_an_import_adds_marks_and_switches_them_off(house: House) -> None:
    given(house, order(1, user_id="keine", aliases="urn:x:1"), null_values=["KEINE"])
    given(house, order(2, user_id="NULL", aliases="urn:x:2"), null_values=["keine"])
    given(house, order(3, user_id="NULL", aliases="urn:x:3"), null_values=[])
    assert [each["aliases"] for each in sent(house)] == [["urn:x:1"], ["urn:x:2"], ["urn:x:3", "urn:user_id:NULL"]]


def test_an_alias_of_nobody_is_left_out(house: House) -> None:
    cells = [
        "urn:user_id:NULL|urn:x:1",
        '["urn:user_id:null", " urn:x:1 "]',
        "None|urn:x:1",
        "urn:x:1|urn:email:N/A",
        "urn:x:1|urn:user_id:(not set)",
    ]
    report = given(house, *(order(n, user_id="", aliases=cell) for n, cell in enumerate(cells)))
    assert [each["aliases"] for each in sent(house)] == [["urn:x:1"]] * len(cells)
    found = [each for each in report.warnings if each.column == "aliases"]
    assert {each.code for each in found} == {"null_value"}
    assert sum(each.rows for each in found) == len(cells)


def test_check_counts_what_was_changed(house: House) -> None:
    house.to = ["converge"]
    house.write([order(1, user_id="NULL", title=" x")])
    found = preview.check(house.config, "orders")["converge"].warnings
    assert {(each.code, each.column, each.rows) for each in found} == {
        ("null_value", "user_id", 1),
        ("trimmed", "title", 1),
    }


# -- formulas and errors

ERRORS = {
    "a formula": "=CONCAT(A1,B1)",
    "English": "#NAME?",
    "English, nothing found": "#N/A",
    "English, new": "#SPILL!",
    "German": "#WERT!",
    "German, a reference": "#BEZUG!",
    "German, nothing found": "#NV",
    "French": "#VALEUR!",
    "French, a name": "#NOM?",
    "Spanish": "#¿NOMBRE?",
    "Spanish, a value": "#¡VALOR!",
    "Italian": "#RIF!",
    "Dutch": "#WAARDE!",
    "Polish": "#ARG!",
    "Czech": "#HODNOTA!",
    "Hungarian": "#ÉRTÉK!",
    "Turkish": "#DEĞER!",
    "Finnish": "#PUUTTUU!",
    "Russian": "#ИМЯ?",
    "Russian, nothing found": "#Н/Д",
    "Greek": "#ΤΙΜΗ!",
    "Japanese": "#値!",
    "Google Sheets": "#ERROR!",
    "Google Sheets, waiting": "Loading...",
    "LibreOffice": "Err:502",
    "LibreOffice in German": "Fehler:508",
    "lower case": "#ref!",
    "too narrow": "########",
}


@pytest.mark.parametrize("column", ["user_id", "email", "phone", "order_id", "event_name", "aliases", "customer_no"])
def test_a_sheets_error_is_nobody_and_nothing(house: House, column: str) -> None:
    form = "urn:user_id:{}|urn:x:1" if column == "aliases" else "{}"
    given(house, *(order(n, **{column: form.format(text)}) for n, text in enumerate(ERRORS.values())))
    expected = dict.fromkeys(range(1, len(ERRORS) + 1), ("rejected", "formula_text"))
    assert {row["row_number"]: (row["status"], row["reason"]) for row in house.results()} == expected
    assert sent(house) == []


def test_where_a_column_only_describes_nothing_found_is_nothing(house: House) -> None:
    assert {"#n/a", "#nv"} <= marks("title", None)
    assert marks("user_id", None).isdisjoint({"#n/a", "#nv"})
    assert marks("revenue", None).isdisjoint({"#n/a", "#nv"})


def test_what_only_looks_a_little_like_one_is_kept(house: House) -> None:
    ids = ["#1 fan", "@handle", "Error", "Loading dock", "err-502"]
    columns = {
        "phone": ["+49/151/1234567", "+49-30-(123)456"],
        "email": ["-b7@example.com", "#1@example.com"],
        "user_id": ids,
        "order_id": ids,
    }
    cells = [(column, text) for column, texts in columns.items() for text in texts]
    given(house, *(order(n, **{column: text}) for n, (column, text) in enumerate(cells)))
    assert {row["status"] for row in house.results()} == {"delivered"}


# -- lost digits

DAMAGED = {
    "Excel": "4.91511E+12",
    "Excel in German": "4,91511E+12",
    "Excel, a format of two": "4.91E+012",
    "Python": "4.91511e+12",
    "Java": "4.91511E12",
    "Java, from 10 millions": "1.2345678E7",
    "written out": "4.91511×10^12",
    "written out, raised": "4,91511·10¹²",
    "a bare exponent": "1E5",
    "a float": "4711.0",
    "a float with two": "4711.00",
    "a float in German": "4711,0",
    "English groups": "1,234,567",
    "Indian groups": "12,34,567",
    "a minus that is none": "4.9E−05",
}


@pytest.mark.parametrize("column", ["phone", "user_id", "event_id", "order_id", "aliases", "customer_no"])
def test_lost_digits_identify_nobody(house: House, column: str) -> None:
    form = "urn:phone:{}|urn:x:1" if column == "aliases" else "{}"
    given(house, *(order(n, **{column: form.format(text)}) for n, text in enumerate(DAMAGED.values())))
    expected = dict.fromkeys(range(1, len(DAMAGED) + 1), ("rejected", "id_damaged_by_spreadsheet"))
    assert {row["row_number"]: (row["status"], row["reason"]) for row in house.results()} == expected
    assert sent(house) == []


def test_ids_that_only_look_like_numbers_are_kept(house: House) -> None:
    ids = ["1e5", "12e4567", "1.2.3", "1.234", "007.0", "10.0.0.1", "A-1,234", "4711"]
    given(house, *(order(n, event_id=text) for n, text in enumerate(ids)))
    assert {each["event_id"] for each in sent(house)} == set(ids)


def test_an_import_whose_ids_look_so_says_it(house: House) -> None:
    given(house, order(1, event_id="4711.0"), spreadsheet=False)
    assert [each["event_id"] for each in sent(house)] == ["4711.0"]


# -- e-mails and phone numbers


@pytest.mark.parametrize("how", ["off", "sha256"])
def test_what_is_no_email_is_neither_hashed_nor_an_alias(house: House, how: str) -> None:
    house.overrides = {"converge": {"aliases_from": ["email"], "hash": {"email": how}}}
    texts = ["call back", "ada@example", "Ada <ada@example.com>", "ada at example.com", "@", "0"]
    alone = [order(n, email=text, aliases="") for n, text in enumerate(texts)]
    given(house, *alone, *(order(n + 10, email=text, aliases="urn:x:1") for n, text in enumerate(texts)))
    assert said(house) == {("rejected", "not_an_email"): len(texts), ("delivered", "not_an_email"): len(texts)}
    for event in sent(house):
        assert event["aliases"] == ["urn:x:1"]
        assert "$email" not in event["properties"]


@pytest.mark.parametrize("how", ["off", "sha256", "sha256-digits"])
def test_what_is_no_phone_number_is_neither_hashed_nor_an_alias(house: House, how: str) -> None:
    house.overrides = {"converge": {"aliases_from": ["phone"], "hash": {"phone": how}}}
    rows = {
        "+1 555": "not_a_phone_number",
        "+44 20 7946 0958 ext. 12": "not_a_phone_number",
        "020 7946 0958": "phone_not_international",
    }
    alone = [order(n, phone=text, aliases="") for n, text in enumerate(rows)]
    given(house, *alone, *(order(n + 10, phone=text, aliases="urn:x:1") for n, text in enumerate(rows)))
    expected = Counter(rows.values())
    assert said(house) == {(status, why): n for status in ("rejected", "delivered") for why, n in expected.items()}
    assert [event["aliases"] for event in sent(house)] == [["urn:x:1"]] * len(rows)
    numbers = {event["properties"].get("$phone_number") for event in sent(house)}
    assert numbers == (set(rows) if how == "off" else {None})


@pytest.mark.parametrize("region", [None, "GB"])
def test_a_phone_number_has_one_form_as_an_alias(house: House, region: str | None) -> None:
    house.overrides = {"converge": {"aliases_from": ["phone"]}}
    texts = [
        "+44 (0)20 7946 0958",
        "0044 20 7946 0958",
        "\u202a+442079460958\u202c",
        *(["020 7946 0958"] if region else []),
    ]
    rows = [order(n, phone=text, aliases="") for n, text in enumerate(texts)]
    given(house, *rows, **({"phone_region": region} if region else {}))
    assert [each["aliases"] for each in sent(house)] == [["urn:phone:+442079460958"]] * len(texts)


@pytest.mark.parametrize("vendor", ["convert", "optimizely"])
@pytest.mark.parametrize(
    ("how", "text", "reason"),
    [
        ("sha256-email", "call back", "not_an_email"),
        ("sha256-phone", "+1 555", "not_a_phone_number"),
        ("sha256-phone", "020 7946 0958", "phone_not_international"),
    ],
)
def test_what_alone_identifies_is_what_it_says(house: House, vendor: str, how: str, text: str, reason: str) -> None:
    house.overrides = {vendor: {"hash_visitor_id": how}}
    given(house, order(1, user_id=text), to=vendor)
    assert said(house) == {("rejected", reason): 1}


def test_digests_are_in_lower_case_everywhere(house: House) -> None:
    digest = "b5fc85e55755f9e0d030a10ab4429b6b2944855f9a0d60077fe832becbc41d72"
    given(house, order(1, email=digest.upper(), phone=digest.upper(), aliases=f"urn:email:{digest.upper()}"))
    (event,) = sent(house)
    assert digest.upper() not in json.dumps(event)
    assert event["aliases"].count(f"urn:email:{digest}") == 1
    assert event["properties"]["$email"] == event["properties"]["$phone_number"] == digest


@pytest.mark.parametrize("region", ["XX", "de", "Germany"])
def test_the_region_is_one_there_is(house: House, region: str) -> None:
    with pytest.raises(ConfigError, match=r"orders\.phone_region"):
        given(house, order(1), phone_region=region)


# -- what is made of several cells


def test_a_cell_of_nobody_makes_no_id_with_others(house: House) -> None:
    cells = ["NULL", "#WERT!", "4711.0", " 7\u200b", "(blank)"]
    rows = [{**order(n), "store": "Leeds", "receipt": cell} for n, cell in enumerate(cells)]
    for row in rows:
        del row["event_id"]
    report = given(house, *rows, columns={"event_id": {"template": "{store}-{receipt}"}})
    assert {row["row_number"]: row["reason"] for row in house.results()} == {
        1: "missing_event_id",
        2: "formula_text",
        3: "id_damaged_by_spreadsheet",
        4: "",
        5: "missing_event_id",
    }
    assert [each["event_id"] for each in sent(house)] == ["Leeds-7"]
    assert ("null_value", "receipt") in {(each.code, each.column) for each in report.warnings}


def test_a_default_stands_for_a_mark(house: House) -> None:
    given(house, order(1, currency="N/A"), columns={"currency": {"column": "currency", "default": "EUR"}})
    assert [each["properties"]["currency"] for each in sent(house)] == ["EUR"]


def test_the_page_has_every_mark() -> None:
    page = (Path(__file__).parents[2] / "docs/cleaning.md").read_text(encoding="utf-8")
    words = [*listed.EVERYWHERE, *listed.IN_BRACKETS, *listed.OF_NOBODY, *listed.OF_NO_PERSON, *listed.SHEET_NOTHING]
    assert [word for word in words if f"`{word}`" not in page and not set(word) <= set("-‐‑‒–—―−")] == []


# -- forms of nothing, however they are worded

FORMS = {
    "a template of Salesforce": "{!Contact.Id}",
    "a template of HubSpot": "{{ contact.hs_object_id }}",
    "a template of Liquid": "{% user_id %}",
    "a template of Mailchimp": "*|USER_ID|*",
    "a template of Salesforce Marketing Cloud": "%%SubscriberKey%%",
    "a template of a shell": "${USER_ID}",
    "a template of Python": "%user_id%",
    "a template of Adobe": "<%= profile.id %>",
    "a template of Iterable": "[[user_id]]",
    "Google Analytics": "(not logged in)",
    "Google Analytics, too many": "(other)",
    "Reddit": "[deleted]",
    "an empty list": "[]",
    "an empty object": "{}",
    "stars": "***",
    "a line": "___",
    "a hash sign": "#",
    "R, twice": "NULL NULL",
    "two empty names": "undefined undefined",
    "with underscores": "not_set",
    "with a dash": "not-provided",
    "in one word": "NotSet",
    "with spaces": "N / A",
    "a backslash": "n\\a",
    "wide letters of Japan": "ＮＵＬＬ",
    "accents apart": "vaci\u0301o".join("()"),
    "Russian": "нет",
    "Chinese": "未填写",
    "Korean": "해당 없음",
    "Arabic": "لا يوجد",
    "Polish": "brak danych",
    "Portuguese": "não informado",
    "Spanish": "s/d",
    "French": "aucun",
    "German": "keine",
    "German, not available": "n. v.",
    "French, not told": "N.C.",
    "Dutch, not known": "n.b.",
    "C#": "DBNull",
    "JavaScript": "[object Undefined]",
    "an infinity": "-Infinity",
    "the last UUID": "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
    "SHA-256 of nothing": hashlib.sha256(b"").hexdigest(),
    "SHA-256 of NULL": hashlib.sha256(b"NULL").hexdigest().upper(),
    "SHA-1 of nothing": "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "MD5 of nothing": "d41d8cd98f00b204e9800998ecf8427e",
    "a guest of WooCommerce": "0",
    "the unknown member of a warehouse": "-1",
    "Odoo": "False",
    "a spreadsheet in German": "WAHR",
}


def test_whatever_nothing_looks_like_it_is_nobody(house: House) -> None:
    rows = [order(n, user_id=text, email=f"ada{n}@example.com", aliases="") for n, text in enumerate(FORMS.values())]
    given(house, *rows)
    assert {each["event_id"]: each["aliases"] for each in sent(house)} == {
        f"order-{n}": [f"urn:email:ada{n}@example.com"] for n in range(len(FORMS))
    }


def test_with_marks_switched_off_forms_are_values(house: House) -> None:
    texts = ["{{user_id}}", "***", "0", hashlib.sha256(b"").hexdigest()]
    given(house, *(order(n, user_id=text, aliases="") for n, text in enumerate(texts)), null_values=[])
    assert {alias for each in sent(house) for alias in each["aliases"]} == {f"urn:user_id:{text}" for text in texts}


def test_what_may_be_an_id_stays_one(house: House) -> None:
    texts = [
        *("00", "000123", "A{7}", "[A-7]", "(7)", "{6F9619FF-8B86-D011-B42D-00CF4FC964FF}", "na-7", "N/A-7", "null-7"),
        *(
            "nullable",
            "Tom",
            "Leer",
            "Anon7",
            "_7",
            "#7",
            "*7",
            "-7",
            "--x",
            "no7",
            "user_id",
            "e3b0c442",
            "Nan Goldin",
        ),
        *("false-1", "true7", "test", "MAR-26", "Feb-2026", "1-Febr", "12-03", "'tis", "'90s hits"),
    ]
    given(house, *(order(n, user_id=text, aliases="") for n, text in enumerate(texts)))
    assert {alias for each in sent(house) for alias in each["aliases"]} == {f"urn:user_id:{text}" for text in texts}


@pytest.mark.parametrize("column", ["event_id", "order_id"])
def test_an_order_may_be_called_nought(house: House, column: str) -> None:
    given(house, order(1, **{column: "0"}))
    assert [each["event_id" if column == "event_id" else "properties"] for each in sent(house)] == [
        "0" if column == "event_id" else {**sent(house)[0]["properties"], "id": "0"}
    ]


def test_no_warning_repeats_what_a_row_says(house: House) -> None:
    report = given(house, order(1, user_id="(Ada Lovelace)", aliases="urn:x:{{Ada}}|urn:x:7"))
    found = {(each.column, each.rows) for each in report.warnings if each.code == "null_value"}
    assert found == {("aliases", 1), ("user_id", 1)}
    assert not any("Ada" in each.sentence for each in report.warnings)


DATES = ["1-Feb", "01-Mar", "2. Mai", "01. Mrz", "12 Dec", "Feb-26", "Mrz 26", "3-Sep", "févr-26", "4-dic"]


@pytest.mark.parametrize("column", ["event_id", "user_id", "order_id"])
def test_an_id_that_a_spreadsheet_made_a_date_of_is_refused(house: House, column: str) -> None:
    given(house, *(order(n, **{column: text}) for n, text in enumerate(DATES)))
    assert said(house) == {("rejected", "id_damaged_by_spreadsheet"): len(DATES)}


@pytest.mark.parametrize("text", ["#VALUE", "#WERT", "#REF", "#NULL", "#DIV/0", "#UNKNOWN"])
def test_an_error_that_lost_its_mark_is_one(house: House, text: str) -> None:
    given(house, order(1, user_id=text))
    assert said(house) == {("rejected", "formula_text"): 1}


@pytest.mark.parametrize("how", ["off", "sha256"])
def test_an_address_of_nobody_is_none(house: House, how: str) -> None:
    house.overrides = {"converge": {"aliases_from": ["email"], "hash": {"email": how}}}
    texts = [
        *("a***@example.com", "*****@example.com", "none@none.com", "null@null.null", "noemail@shop.example"),
        *("no-email@shop.example", "undefined@example.com", "unknown@unknown.org", "mailto:ada@example.com"),
        *(
            "ada@example.com; bob@example.com",
            "<ada@example.com>",
            "ada＠example.com",
            "ada@exam\u200bple.com",
            "{{email}}",
        ),
    ]
    given(house, *(order(n, email=text, aliases=f"urn:x:a{n}") for n, text in enumerate(texts)))
    assert sorted(each["aliases"] for each in sent(house)) == sorted([f"urn:x:a{n}"] for n in range(len(texts)))


def test_an_address_that_only_looks_a_little_like_that_stays(house: House) -> None:
    texts = ["nan@example.com", "nomad@mail.com", "na@example.com", "test@example.com", "tina.null@example.com"]
    given(house, *(order(n, email=text, user_id="", aliases="") for n, text in enumerate(texts)))
    assert {alias for each in sent(house) for alias in each["aliases"]} == {f"urn:email:{text}" for text in texts}


@pytest.mark.parametrize("text", ["+1 111 111 1111", "+10000000000", "+49 0000 0000000", "+33 222222222"])
def test_one_digit_again_and_again_is_nobodys_number(house: House, text: str) -> None:
    given(house, order(1, phone=text, user_id="", aliases=""))
    assert said(house) == {("rejected", "not_a_phone_number"): 1}
