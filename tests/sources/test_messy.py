"""Files as colleagues send them: each is understood, or refused with a sentence that says what to do.

The files are in sample_data/messy; this table says what becomes of each, without any setting or with the one that its
sentence asks for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from typer.testing import CliRunner

from etl import config, preview
from etl.cli import app
from etl.errors import SourceError
from tests.conftest import House, destinations

MESSY = Path(__file__).parent.parent.parent / "sample_data/messy"
NOW = datetime(2026, 11, 20, 20, tzinfo=UTC)

Counts = dict[tuple[str, str], int]
READY = ("ready", "")


class Case(NamedTuple):
    """A file, settings of its source and of its import, and what comes of it: counts, or part of the refusal."""

    file: str
    expected: Counts | str
    source: Mapping[str, Any] = {}
    settings: Mapping[str, Any] = {}


def good(rows: int, **rejected: int) -> Counts:
    return ({READY: rows} if rows else {}) | {("rejected", reason): count for reason, count in rejected.items()}


CASES = [
    Case("good.csv", good(3)),
    # compressed
    Case("good_compressed.csv.gz", good(3)),
    Case("good_compressed.csv.zst", good(3)),
    Case("cut_off.csv.gz", "the compressed file is damaged or cut off."),
    Case("cut_off.csv.zst", "the compressed file is damaged or cut off."),
    # encodings
    Case("utf8_with_mark.csv", good(3)),
    Case("utf16_tabs.csv", good(3)),
    Case("utf16_tabs.csv", "begins with the mark of UTF-16: leave `encoding` out.", {"encoding": "utf-8"}),
    Case("utf16_big_endian.csv", good(3)),
    Case("utf16_without_mark.csv", "set `encoding: utf-16-le`"),
    Case("utf16_without_mark.csv", good(3), {"encoding": "utf-16-le"}),
    Case("windows_1252.csv", "set `encoding: [utf-8, cp1252]`"),
    Case("windows_1252.csv", good(3), {"encoding": ["utf-8", "cp1252"]}),
    Case("windows_1252.csv", good(3), {"encoding": "windows-1252"}),
    Case("windows_1252.csv", "says UTF-8, but line 2 is not", {"encoding": "utf-8"}),
    Case("windows_1252.csv", "says utf-16, but the file is not", {"encoding": "utf-16"}),
    Case("windows_1251.csv", "set `encoding: [utf-8, cp1251]`"),
    Case("windows_1251.csv", good(2), {"encoding": "cp1251"}),
    Case("old_mac.csv", "set `encoding: [utf-8, mac-roman]`"),
    Case("old_mac.csv", good(1), {"encoding": "mac-roman"}),
    Case("bad_bytes_in_utf8.csv", good(2, undecodable=1)),
    Case("half_a_character.csv", good(2, undecodable=1)),
    # delimiters and quotes
    Case("pipes.csv", good(3)),
    Case("line_that_names_the_delimiter.csv", good(3)),
    Case("which_delimiter.csv", "the columns may be separated by comma and semicolon"),
    Case("quoted_line_breaks.csv", good(2)),
    Case("quote_not_closed.csv", "line 3 opens a quotation mark that is not closed"),
    Case("quote_inside_a_cell.csv", good(2, broken_quotes=1)),
    Case("inches.csv", good(1)),
    # headers
    Case("header_spelled_loosely.csv", good(3)),
    Case("header_twice.csv", "the header names user_id more than once (columns 4, 7)"),
    Case("header_two_alike.csv", "Event ID and event-id may both be event_id"),
    Case("header_unknown.csv", "columns:\n  event_id: Bestellnummer\n  event_name: Ereignis\n  occurred_at: Datum\n"),
    Case("header_without_names.csv", good(3)),
    Case("header_missing.csv", "the first line holds values, not column names"),
    Case("header_below_a_title.csv", "delete what stands above them"),
    Case("header_only.csv", good(0)),
    # rows
    Case("blank_lines.csv", good(3)),
    Case("total_and_empty_rows.csv", good(3, not_a_conversion=5)),
    Case("ragged.csv", good(2, ragged_row=3)),
    Case("nul_and_control.csv", good(2, nul_byte=1, control_character=1)),
    # numbers and dates
    Case("decimal_comma.csv", good(0, decimal_comma=2, ambiguous_number=1)),
    Case("decimal_comma.csv", good(3), settings={"locale": {"decimal": ",", "thousands": "."}}),
    Case("decimal_comma.csv", "row 1 only the other mark can", settings={"locale": {"decimal": ".", "thousands": ","}}),
    Case("thousands.csv", good(1, not_a_decimal=1, decimal_comma=1)),
    Case("thousands.csv", good(3), settings={"locale": {"decimal": ".", "thousands": ","}}),
    Case("german_dates.csv", good(0, date_format_needed=2, ambiguous_date=1)),
    Case("german_dates.csv", good(0, no_timezone=3), settings={"date_format": "%d.%m.%Y %H:%M"}),
    Case("german_dates.csv", good(3), settings={"date_format": "%d.%m.%Y %H:%M", "timezone": "Europe/Berlin"}),
    Case("day_or_month.csv", good(0, ambiguous_date=1, date_format_needed=2, timestamp_unparsable=1)),
    # what spreadsheets do to ids
    Case("ids_rounded.csv", good(2, id_damaged_by_spreadsheet=3)),
    Case("ids_rounded.csv", good(3, id_damaged_by_spreadsheet=2), settings={"spreadsheet": False}),
    Case("formulas.csv", good(1, formula_text=5, negative_amount=1)),
    # no CSV at all
    Case("empty.csv", good(0)),
    Case("workbook.csv", "this is an Excel workbook"),
    Case("page.csv", "this is a web page, not a CSV file"),
]


def check(folder: Path, case: Case) -> Counts:
    """Judge the file for one destination, with nothing sent."""
    raw = {
        "ledger": f"sqlite:///{folder}/ledger.db",
        "staging": str(folder / "staging"),
        "destinations": {"convert": destinations("http://127.0.0.1:1")["convert"]},
        "imports": {
            "orders": {
                "source": {"type": "csv", "path": str(MESSY / case.file), **case.source},
                "to": ["convert"],
                **case.settings,
            }
        },
    }
    file = folder / "imports.yaml"
    file.write_text(yaml.safe_dump(raw))
    checked = preview.check(config.load(file), "orders", clock=lambda: int(NOW.timestamp() * 1000))["convert"]
    assert sum(checked.counts.values()) == checked.rows, "every row read has its word"
    for _, _, _, verdict in checked.unsent:
        assert verdict.detail.endswith((".", ")")), verdict
        assert not any(private in verdict.detail for private in ("customer-", "Müller", "Smith")), verdict
    return without_warnings(checked.counts)


def without_warnings(counts: Mapping[tuple[str, str], int]) -> Counts:
    """The counts, whether a row goes with a warning (that it counts today at Convert) or without."""
    found: Counter[tuple[str, str]] = Counter()
    for (status, why), rows in counts.items():
        found[status, "" if (status, why) == ("ready", "counted_today") else why] += rows
    return dict(found)


def named(case: Case) -> str:
    with_ = [f"{key}={value}" for key, value in {**case.source, **case.settings}.items()]
    return " ".join([case.file, *with_])


@pytest.mark.parametrize("case", CASES, ids=named)
def test_a_messy_file_is_understood_or_refused(tmp_path: Path, case: Case) -> None:
    if isinstance(case.expected, str):
        with pytest.raises(SourceError) as refused:
            check(tmp_path, case)
        assert case.expected in str(refused.value)
        assert case.file in str(refused.value)
        assert "customer-" not in str(refused.value)
    else:
        assert check(tmp_path, case) == case.expected


def test_the_proposed_columns_are_right_as_they_are_pasted(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as refused:
        check(tmp_path, Case("header_unknown.csv", {}))
    pasted = yaml.safe_load(str(refused.value).partition("Add to the import:\n")[2])
    assert check(tmp_path, Case("header_unknown.csv", {}, settings=pasted)) == good(3)


THOUSANDS = {"1.299": "ambiguous_number", "999.000": "ambiguous_number", "1.29": "", "1299.00": "", "1.2999": ""}
"""What becomes of a number while nothing is declared, whether or not another one has a decimal comma."""


@pytest.mark.parametrize("chunk_rows", [1, 100], ids=["in another chunk", "in the same chunk"])
@pytest.mark.parametrize("comma", ["19,99", "1.234,50", "1.299,5"])
def test_a_point_is_not_taken_for_decimals_where_others_write_commas(
    tmp_path: Path, comma: str, chunk_rows: int
) -> None:
    first, *rows = (
        f"A-{n};Order Completed;2026-11-20T10:30:00+01:00;u;{text}" for n, text in enumerate([comma, *THOUSANDS])
    )
    body = [first, *rows] if chunk_rows == 1 else [*rows, first]
    file = tmp_path / "numbers.csv"
    file.write_text("\n".join(["event_id;event_name;occurred_at;user_id;revenue", *body]))
    unclear = sum(reason == "ambiguous_number" for reason in THOUSANDS.values())
    settings = {"chunk_rows": chunk_rows}
    told = check(tmp_path, Case(str(file), {}, settings=settings))
    assert told == good(len(THOUSANDS) - unclear, ambiguous_number=unclear, decimal_comma=1)
    file.write_text("\n".join(["event_id;event_name;occurred_at;user_id;revenue", *rows]))
    told = check(tmp_path, Case(str(file), {}, settings=settings))
    assert told == good(len(THOUSANDS) - unclear, ambiguous_number=unclear), "whatever other rows say"


def test_every_messy_file_has_its_expectation() -> None:
    assert {case.file for case in CASES} == {file.name for file in MESSY.iterdir()}


def test_no_messy_file_stands_in_the_way_of_the_good_one(tmp_path: Path) -> None:
    for case in CASES:
        try:
            check(tmp_path, case)
        except SourceError:
            continue
        finally:
            assert check(tmp_path, Case("good.csv", {})) == {READY: 3}, case.file


def test_runs_deliver_what_is_understood_and_stop_at_what_is_not(house: House) -> None:
    house.to = ["convert"]
    for number, case in enumerate(CASES):
        # a ledger of its own for each, as the files share their ids
        house.ledger_url = f"sqlite:///{house.folder}/{number}.db"
        house.top_settings = {"staging": f"staging-{number}"}
        path = str(MESSY / case.file)
        house.import_settings = {"source": {"type": "csv", "path": path, **case.source}, **case.settings}
        before = house.sandbox.counts()["convert"]["counted"]
        report = house.run(clock=lambda: int(NOW.timestamp() * 1000))
        sent = house.sandbox.counts()["convert"]["counted"] - before
        if isinstance(case.expected, str):
            assert case.expected in report.run.stop_detail, case
            assert (sent, report.exit_code) == (0, 2)
        else:
            assert sent == case.expected.get(READY, 0), case
            counts = {
                ("ready" if status == "delivered" else status, why): n
                for (status, why), n in report.counts["convert"].items()
            }
            assert without_warnings(counts) == case.expected, case


def test_the_same_customers_arrive_from_every_encoding(house: House) -> None:
    house.to = ["convert"]
    bodies = set()
    for number, file in enumerate(("utf8_with_mark.csv", "utf16_tabs.csv", "utf16_big_endian.csv", "windows_1252.csv")):
        house.ledger_url = f"sqlite:///{house.folder}/{number}.db"
        house.top_settings = {"staging": f"staging-{number}"}
        encoding = {"encoding": "cp1252"} if file == "windows_1252.csv" else {}
        house.import_settings = {"source": {"type": "csv", "path": str(MESSY / file), **encoding}}
        before = len(house.sandbox.requests("convert"))
        house.run(clock=lambda: int(NOW.timestamp() * 1000))
        bodies.add("".join(request["body"] for request in house.sandbox.requests("convert")[before:]))
    (body,) = bodies
    assert all(name in body for name in ("Müller", "Jörg Weiß", "Café"))


def test_an_encoding_that_nobody_declared_is_asked_for_in_a_line_to_paste(house: House) -> None:
    house.import_settings = {"source": {"type": "csv", "path": str(MESSY / "windows_1252.csv")}}
    house.to = ["convert"]
    shown = CliRunner().invoke(app, ["--config", str(house.config.path), "check", "orders"])
    assert shown.exit_code == 2
    assert "windows_1252.csv: line 2 is not UTF-8" in " ".join(shown.output.split())
    assert "encoding: [utf-8, cp1252]" in " ".join(shown.output.split())
