"""Columns: what an import maps wins over everything, what a vendor documents goes to it alone, the rest stays here."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from etl import preview
from etl.cli import app
from etl.errors import ConfigError, SourceError
from tests.conftest import House, order

NOW = datetime.now(UTC).replace(microsecond=0)


def sent(house: House, vendor: str) -> list[Any]:
    return [entry["item"] for entry in house.sandbox.received(vendor)]


def properties(house: House) -> list[dict[str, Any]]:
    return [item["properties"] for item in sent(house, "converge")]


def tags(house: House) -> list[dict[str, Any]]:
    return [item["event"].get("tags", {}) for item in sent(house, "optimizely")]


def goal_data(house: House) -> list[dict[str, Any]]:
    items = sent(house, "convert")
    return [{pair["key"]: pair["value"] for pair in item["events"][-1]["data"].get("goalData", [])} for item in items]


def codes(house: House, **options: Any) -> dict[str, list[str]]:
    """Codes of a run's warnings -> their columns."""
    found: dict[str, list[str]] = {}
    for warning in house.run(**options).warnings:
        found.setdefault(warning.code, []).append(warning.column)
    return found


# -- B: one value of each of ours in a row


@pytest.mark.parametrize(
    ("stray", "value"),
    [
        ("id", "7"),
        ("total_price", "10"),
        ("$email", "x@example.org"),
        ("$phone_number", "+49 30 123456"),
        ("total", "3"),
    ],
    ids=["B1", "price", "email", "phone", "total"],
)
@pytest.mark.parametrize("extras", ["all", "listed"])
def test_a_stray_column_does_not_take_the_place_of_ours(house: House, stray: str, value: str, extras: str) -> None:
    house.to = ["converge", "optimizely"]
    house.write([order(1, order_id="ORD-1", email="ada@example.com", phone="+44 20 7946 0958", **{stray: value})])
    house.import_settings = {"extra_columns": "all" if extras == "all" else [stray]}
    found = codes(house)
    ours = {"id": "ORD-1", "total_price": 19.99, "$email": "ada@example.com", "$phone_number": "+442079460958"}
    ((at_converge,), (at_optimizely,)) = properties(house), tags(house)
    assert {name: at_converge.get(name) for name in ours} == ours
    assert "total" not in at_converge
    assert stray not in at_optimizely
    assert stray in found["stray_column"]


@pytest.mark.parametrize(
    "given",
    ['{"total_price": 10}', '{"revenue": 10, "coupon": "A"}', '{"total": 10.50}', '{"id": "7", "order_id": "8"}'],
)
def test_a_property_does_not_outweigh_a_column(house: House, given: str) -> None:
    house.to = ["converge", "optimizely"]
    house.write([order(1, revenue="19.99", order_id="ORD-1", properties=given), order(2, revenue="19.99")])
    found = codes(house)
    first = next(each for each in properties(house) if each["id"] == "ORD-1")
    assert first["total_price"] == 19.99
    assert not {"revenue", "total", "order_id"} & first.keys()
    assert next(each for each in tags(house) if each["order_id"] == "ORD-1")["revenue"] == 1999
    assert all("total_price" not in each and "total" not in each and "id" not in each for each in tags(house))
    left_out = [*found.get("amount_in_properties", []), *found.get("property_outweighed", [])]
    assert len(left_out) == len({*json.loads(given)} - {"coupon"})


def test_properties_that_say_the_same_or_fill_a_gap_stay_as_they_are(house: House) -> None:
    house.to = ["converge"]
    house.write(
        [
            order(1, properties='{"total_price": 19.990}'),
            order(2, revenue="", properties='{"total_price": 12.5000000000000001}'),
        ]
    )
    assert not {"property_outweighed", "amount_in_properties"} & codes(house).keys()
    bodies = "".join(request["body"] for request in house.sandbox.requests("converge"))
    assert "12.5000000000000001" in bodies


# -- what travels


def test_what_nobody_names_is_not_sent_and_is_named(house: House) -> None:
    house.write([order(1, iban="DE02120300000000202051", store="Leeds")])
    report = house.run()
    bodies = "".join(request["body"] for name in house.to for request in house.sandbox.requests(name))
    assert "DE0212" not in bodies
    assert "Leeds" not in bodies
    (warning,) = [warning for warning in report.warnings if warning.code == "columns_not_sent"]
    assert "iban, store" in warning.sentence
    staged = "".join(str(path.read_bytes()) for path in (house.folder / "staging").rglob("*.parquet"))
    assert "DE0212" not in staged
    shown = CliRunner().invoke(app, ["--config", str(house.config.path), "check", "orders"]).stdout
    assert "iban, store" in " ".join(shown.split())


@pytest.mark.parametrize(("extras", "names"), [(["store"], {"store"}), ("all", {"store", "iban"}), ("none", set())])
def test_extra_columns_travel_where_they_are_listed(house: House, extras: Any, names: set[str]) -> None:
    house.to = ["converge", "optimizely"]
    house.write([order(1, iban="DE02", store="Leeds")])
    house.import_settings = {"extra_columns": extras}
    house.run()
    for (found,) in (properties(house), tags(house)):
        assert found.keys() & {"store", "iban"} == names


EXTRAS = {
    "leading zeros": ("007", "007"),
    "a decimal": ("1.50", "1.50"),
    "a truth": ("TRUE", "TRUE"),
    "twenty digits": ("12345678901234567890", "12345678901234567890"),
    "grouped digits": ("1,299.00", "1,299.00"),
    "something like a date": ("2026-11-20", "2026-11-20"),
    "JSON": ('{"a": 1}', '{"a": 1}'),
    "invisible ends": ("\u200b Leeds\u00a0\ufeff", "Leeds"),
    "a mark for nothing": ("N/A", None),
    "nothing at all": (" \u3000", None),
}


@pytest.mark.parametrize(("cell", "expected"), EXTRAS.values(), ids=EXTRAS)
@pytest.mark.parametrize("extras", [["store"], "all"], ids=["listed", "all"])
def test_extra_columns_are_cleaned_and_stay_text(house: House, extras: Any, cell: str, expected: str | None) -> None:
    house.to = ["converge"]
    house.write([order(1, store=cell)])
    house.import_settings = {"extra_columns": extras}
    house.run()
    assert properties(house)[0].get("store") == expected


def test_an_extra_column_that_is_not_there_is_a_warning(house: House) -> None:
    house.write([order(1)])
    house.import_settings = {"extra_columns": ["stoer"]}
    assert codes(house)["column_not_there"] == ["stoer"]


def test_what_a_vendor_documents_travels_to_it_alone(house: House) -> None:
    listed = '[{"product_id": "007", "price": 9.990, "quantity": 2}]'
    row = order(
        1,
        event_name="Order Completed",
        **{"Total Tax": "3.19", "total_shipping": "0", "total_discount": "1.50", "items": listed, "coupon": "AUTUMN"},
        **{"is_new_customer": "TRUE", "customDimension1": "blue", "customDimension2": "x" * 33},
        metadata='{"3": ["ORD-1"]}',
    )
    house.write([row])
    report = house.run()
    (at_converge,) = properties(house)
    assert at_converge["total_tax"] == 3.19
    assert at_converge["items"] == json.loads(listed)
    assert (at_converge["$is_new_customer"], at_converge["coupon"]) == (True, "AUTUMN")
    assert "9.990" in house.sandbox.requests("converge")[0]["body"]
    assert not {"customDimension1", "metadata"} & at_converge.keys()
    (at_optimizely,) = tags(house)
    assert at_optimizely.keys() <= {"revenue", "currency", "order_id", "quantity"}
    (at_convert,) = goal_data(house)
    assert at_convert["customDimension1"] == "blue"
    assert "customDimension2" not in at_convert
    assert [item["metadata"] for item in sent(house, "kameleoon")] == [{"3": ["ORD-1"]}]
    assert "columns_not_sent" not in {warning.code for warning in report.warnings}
    assert report.counts["convert"] == {("delivered", "dimension_left_out"): 1}


@pytest.mark.parametrize("given", ["ORD-1", '{"order": ["1"]}', '{"3": "ORD-1"}', "[1]", "{}"])
def test_custom_data_that_is_none_is_left_out(house: House, given: str) -> None:
    house.to = ["kameleoon"]
    house.write([order(1, metadata=given)])
    assert house.run().counts["kameleoon"] == {("delivered", "metadata_left_out"): 1}
    assert all("metadata" not in item for item in sent(house, "kameleoon"))


# -- the forms of `columns:`


FORMS: dict[str, tuple[dict[str, str], Any, dict[str, str]]] = {
    "a constant": ({}, {"event_name": {"value": "Order Completed"}}, {"event_name": "Order Completed"}),
    "a constant over a column of that name": (
        {"event_name": "junk"},
        {"event_name": {"value": "Order Completed"}},
        {"event_name": "Order Completed"},
    ),
    "a default": ({"Cur": ""}, {"currency": {"column": "Cur", "default": "EUR"}}, {"currency": "EUR"}),
    "a default that is not needed": (
        {"Cur": "GBP"},
        {"currency": {"column": "cur", "default": "EUR"}},
        {"currency": "GBP"},
    ),
    "a default under blanks": (
        {"Cur": " \u00a0"},
        {"currency": {"column": "Cur", "default": "EUR"}},
        {"currency": "EUR"},
    ),
    "a default under a mark for nothing": (
        {"Cur": "(null)"},
        {"currency": {"column": "Cur", "default": "EUR"}},
        {"currency": "EUR"},
    ),
    "a template with a mark for nothing": (
        {"store": "leeds", "receipt_no": "#N/A N/A"},
        {"title": {"template": "{store}-{receipt_no}"}},
        {"title": ""},
    ),
    "a template": (
        {"store": "leeds", "receipt_no": "0042"},
        {"order_id": {"template": "{store}-{receipt_no}"}},
        {"order_id": "leeds-0042"},
    ),
    "a template with names as people write them": (
        {"Store Name": "York", "Receipt: No": "7"},
        {"order_id": {"template": "{{{Store Name}}}/{Receipt: No}"}},
        {"order_id": "{York}/7"},
    ),
    "a template with a part that is empty": (
        {"store": "leeds", "receipt_no": ""},
        {"order_id": {"template": "{store}-{receipt_no}"}},
        {"order_id": ""},
    ),
    "several of an id with one that is empty": ({"a": "x", "b": ""}, {"order_id": ["a", "b"]}, {"order_id": ""}),
    "negated": ({"Net": "19.99"}, {"revenue": {"column": "Net", "negate": True}}, {"revenue": "-19.99"}),
    "negated back": ({"Net": "-19.99"}, {"revenue": {"column": "Net", "negate": True}}, {"revenue": "19.99"}),
    "negated zero": ({"Net": "0.00"}, {"revenue": {"column": "Net", "negate": True}}, {"revenue": "0.00"}),
    "negated in brackets": ({"Net": "(12.50)"}, {"revenue": {"column": "Net", "negate": True}}, {"revenue": "12.50"}),
    "negated behind": ({"Net": "12.50-"}, {"revenue": {"column": "Net", "negate": True}}, {"revenue": "12.50"}),
    "several in an object": ({"a": "x", "b": "y"}, {"title": {"columns": ["a", "b"]}}, {"title": "x y"}),
    "several with a gap": ({"a": "x", "b": "", "c": "z"}, {"title": ["a", "b", "c"]}, {"title": "x z"}),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_column_is_made_as_its_form_says(house: House, name: str) -> None:
    from etl import sources
    from etl.sources.base import Window
    from etl.stages import extract
    from etl.stages.mapping import ColumnRules

    given, columns, expected = FORMS[name]
    base = {key: value for key, value in order(1).items() if key not in expected or key in given}
    house.write([{**base, **given}])
    house.import_settings = {"columns": columns}
    config = house.config
    rules = ColumnRules.of(config, config.imports["orders"])
    (frame,) = extract.frames(sources.import_source(config, "orders"), Window(), rules, 10)
    assert {key: frame[key].item() for key in expected} == expected


def test_date_and_time_are_one_moment(house: House) -> None:
    house.to = ["optimizely"]
    at = NOW - timedelta(hours=2)
    row = {key: value for key, value in order(1).items() if key != "occurred_at"}
    house.write([{**row, "Date": f"{at:%Y-%m-%d}", "Time": f"{at:%H:%M:%S}"}])
    house.import_settings = {"columns": {"occurred_at": ["Date", "Time"]}, "timezone": "UTC"}
    house.run()
    (item,) = sent(house, "optimizely")
    assert item["event"]["timestamp"] == int(at.timestamp() * 1000)


BAD_FORMS = [
    ({"columns": {"revenue": {"colum": "Net"}}}, "columns.revenue.colum: is not a known key (did you mean column?)"),
    ({"columns": {"revenue": {"column": "Net", "value": "1"}}}, "columns.revenue: needs one of value, column"),
    ({"columns": {"revenue": {"negate": True}}}, "columns.revenue: needs one of value, column, columns, template."),
    ({"columns": {"currency": {"value": "EUR", "default": "GBP"}}}, "columns.currency: default stands for an empty"),
    ({"columns": {"currency": {"column": "Cur", "negate": True}}}, "columns: currency is no number"),
    ({"columns": {"order_id": {"template": "fixed"}}}, "columns.order_id.template: fixed names no column in braces"),
    ({"columns": {"order_id": {"template": "{a"}}}, "columns.order_id.template: {a: a brace is not closed"),
    ({"columns": {"order_id": []}}, "columns.order_id.columns: must be a list of columns"),
    ({"columns": {"event_name": {"value": True}}}, "columns.event_name.value: YAML takes this for yes, no, true and"),
    ({"columns": {"revenu": {"value": "1"}}}, "columns: revenu is not a canonical column (did you mean revenue?)"),
    ({"where": {"consent": [True]}}, "where: consent: YAML takes this for yes, no, true and false: put it in quotes."),
    ({"where": {"status": []}}, "where: status: nothing is wanted there"),
    ({"where": ["won"]}, "where: must name columns of the source"),
    ({"extra_columns": "every"}, "extra_columns: must be a list of columns of the source, or `all`."),
    ({"extra_columns": ["revenue"]}, "extra_columns: revenue is a canonical column and travels by itself."),
    ({"extra_columns": ["a", "a"]}, "extra_columns: names a more than once; once is enough."),
    ({"ignore": "Total"}, "ignore: must be a list of columns of the source"),
    ({"ignore": ["Net "], "columns": {"revenue": "net"}}, "ignore: net is used under `columns.revenue`"),
    ({"null_values": "n.n."}, "null_values: must be a list of texts"),
    ({"phone_region": "de"}, "phone_region: de is not a country of two letters such as DE (did you mean DE?)."),
    ({"phone_region": False}, 'phone_region: YAML takes NO for "no": put it in quotes.'),
    ({"on_bad_file": "ignore"}, "on_bad_file: "),
    ({"ids_may_be_personal": "perhaps"}, "ids_may_be_personal: "),
    ({"extra_column": ["a"]}, "extra_column: is not a known key (did you mean extra_columns?)."),
]


@pytest.mark.parametrize(("settings", "sentence"), BAD_FORMS, ids=[sentence[:50] for _, sentence in BAD_FORMS])
def test_a_form_that_is_none_is_one_sentence_with_its_path(
    house: House, settings: dict[str, Any], sentence: str
) -> None:
    house.import_settings = settings
    with pytest.raises(ConfigError) as refused:
        _ = house.config
    assert f"imports.orders.{sentence}" in str(refused.value)
    assert "\n" not in str(refused.value)


# -- where


def test_a_row_that_is_not_wanted_today_goes_when_it_is(house: House) -> None:
    house.to = ["converge"]
    house.import_settings = {"where": {"Status": ["won", "approved"], "consent": "yes"}}
    rows = [
        order(1, status="won", consent="yes"),
        order(2, status="open", consent="yes"),
        order(3, status="approved", consent="no"),
        order(4, status=" won ", consent="yes\u00a0"),
    ]
    house.write(rows)
    report = house.run()
    assert report.counts["converge"] == {("delivered", ""): 2, ("skipped", "not_wanted"): 2}
    assert report.exit_code == 0
    house.write([*rows[:1], {**rows[1], "status": "won"}, *rows[2:]])
    assert house.run().by_status("converge") == {"delivered": 1, "duplicate": 2, "skipped": 1}
    assert sorted(item["event_id"] for item in sent(house, "converge")) == ["order-1", "order-2", "order-4"]


def test_a_row_that_is_not_wanted_is_not_judged_and_takes_no_key_from_another(house: House) -> None:
    house.to = ["converge"]
    house.import_settings = {"where": {"status": ["won"]}}
    house.write([order(1, status="open", occurred_at="soon"), order(1, status="won"), order(2, status="Won")])
    report = house.run()
    assert report.counts["converge"] == {("delivered", ""): 1, ("skipped", "not_wanted"): 2}
    assert [w.rows for w in report.warnings if w.code == "where_differs_in_case"] == [1]


def test_what_is_not_wanted_does_not_make_an_import_bad(house: House) -> None:
    house.to = ["converge"]
    house.import_settings = {"where": {"status": ["won"]}}
    house.write(
        [*(order(n, status="open") for n in range(8)), order(8, status="won"), order(9, status="won", currency="?")]
    )
    assert house.run().bad_share("converge") == 0.5


def test_where_names_a_column_that_is_there(house: House) -> None:
    house.import_settings = {"where": {"stage": ["won"]}}
    house.write([order(1)])
    with pytest.raises(SourceError, match=r"where: stage — the source has no such column; it has event_id"):
        preview.check(house.config, "orders")
    house.import_settings = {"where": {"event_name": ["Order Completed"]}, "columns": {"event_name": "Type"}}
    house.write([{**{k: v for k, v in order(1).items() if k != "event_name"}, "Type": "Order Completed"}])
    assert house.run(to=["converge"]).by_status("converge") == {"delivered": 1}


# -- check


def test_check_shows_every_mapping_with_one_example_redacted(house: House) -> None:
    row = {key: value for key, value in order(1).items() if key not in ("revenue", "event_name", "email")}
    house.write([{**row, "Net": "19.99", "Mail": "ada.lovelace@example.com", "store": "Leeds", "total_tax": "3.19"}])
    house.import_settings = {
        "columns": {"revenue": "Net", "email": "Mail", "event_name": {"value": "Order Completed"}},
        "extra_columns": ["store"],
    }
    shown = CliRunner().invoke(app, ["--config", str(house.config.path), "check", "orders"]).stdout
    table = shown.partition("What becomes of the columns")[2]
    assert "ada.lovelace" not in table
    assert "xxx.xxxxxxxx@xxxxxxx.xxx" in table
    lines = [" ".join(line.split()) for line in table.splitlines()]
    assert any(
        line.startswith("Net revenue 19.99 converge properties.total_price, convert goalData.amount,") for line in lines
    )
    assert any(line.startswith("(constant) event_name Order Completed") for line in lines)
    assert any(line.startswith("store xxxxx") and "optimizely tags.store" in line for line in lines), lines
    assert any(line.startswith("total_tax 9.99 converge properties.total_tax") for line in lines), lines


def test_every_field_that_check_names_is_one_that_is_sent(house: House) -> None:
    from etl.destinations import find
    from tests.vendors import EVERYBODY

    everything = {
        "email": "ada@example.com",
        "phone": "+44 20 7946 0958",
        "quantity": "2",
        "attributes": '{"plan": "gold"}',
        "properties": '{"gift": true}',
        "profile_properties": '{"vip": true}',
        "aliases": "urn:user_id:1",
    }
    house.write(
        [order(1, **everything), order(2, event_name="page", url="https://a.example/", title="T", referrer="r")]
    )
    house.run()
    for vendor in EVERYBODY:
        bodies = "".join(request["body"] for request in house.sandbox.requests(vendor))
        for field in find(vendor).fields.values():
            assert f'"{field.rpartition(".")[2]}"' in bodies, (vendor, field)
