"""J: of several files the one at fault is named; with ``on_bad_file: skip`` it spoils only itself."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from etl.cli import app
from etl.report import Report
from tests.conftest import House, order
from tests.test_drops import text

GOOD = text([order(2)]).encode()
BAD: dict[str, tuple[str, bytes, str]] = {
    "another header": ("b.csv", b"foo,bar\n1,2\n", "b.csv: no column for event_id"),
    "another header without rows": ("b.csv", b"foo,bar\n", "b.csv: no column for event_id"),
    "another alphabet": ("b.csv", text([order(9, user_id="Gdańsk")]).encode("cp1250"), "b.csv: line 2 is not UTF-8"),
    "a workbook": ("b.csv", b"PK\x03\x04....xl/workbook.xml", "b.csv: this is an Excel workbook"),
    "cut off": ("b.csv.gz", gzip.compress(GOOD)[:-12], "b.csv.gz: the compressed file is damaged"),
    "an open quotation mark": ("b.csv", GOOD + b'x,"\n', "b.csv: line 3 opens a quotation mark"),
    "no header": ("b.csv", GOOD.partition(b"\n")[2], "b.csv: the first line holds values"),
    "in a folder": ("day=2/b.csv", b"foo,bar\n1,2\n", "day=2/b.csv: no column for event_id"),
}


def three(house: House, name: str, content: bytes, **settings: Any) -> Report:
    for path, held in {"a.csv": text([order(1)]).encode(), name: content, "c.csv": text([order(3)]).encode()}.items():
        (house.folder / "in" / path).parent.mkdir(parents=True, exist_ok=True)
        (house.folder / "in" / path).write_bytes(held)
    house.to = ["converge"]
    house.import_settings = {"source": {"type": "csv", "path": "in/"}, **settings}
    return house.run()


def received(house: House) -> set[str]:
    return {entry["key"] for entry in house.sandbox.received("converge")}


@pytest.mark.parametrize("case", BAD.values(), ids=BAD)
def test_the_file_at_fault_is_named(house: House, case: tuple[str, bytes, str]) -> None:
    name, content, sentence = case
    report = three(house, name, content)
    assert report.exit_code == 2
    assert sentence in report.run.stop_detail


@pytest.mark.parametrize("case", BAD.values(), ids=BAD)
def test_a_bad_file_spoils_only_itself(house: House, case: tuple[str, bytes, str]) -> None:
    name, content, sentence = case
    report = three(house, name, content, on_bad_file="skip")
    assert report.run.stop_detail in ("", None)
    assert {"order-1", "order-3"} <= received(house)
    (warning,) = [warning for warning in report.warnings if warning.code == "bad_file_skipped"]
    assert sentence in warning.sentence


def test_a_header_that_is_wrong_in_the_last_file_stops_before_anything_is_sent(house: House) -> None:
    assert three(house, "z.csv", b"foo,bar\n1,2\n").run.stop_detail.startswith("z.csv: no column for")
    assert received(house) == set()


def test_files_that_are_all_bad_stop_whatever_is_said(house: House) -> None:
    (house.folder / "a.csv").write_bytes(b"foo\n1\n")
    (house.folder / "b.csv").write_bytes(b"PK\x03\x04")
    house.import_settings = {"source": {"type": "csv", "path": "*.csv"}, "on_bad_file": "skip"}
    report = house.run()
    assert report.exit_code == 2
    assert report.run.stop_detail.startswith("a.csv: no column for event_id")


def test_a_bad_parquet_file_spoils_only_itself(house: House) -> None:
    for number in (1, 2, 3):
        out = io.BytesIO()
        pq.write_table(pa.Table.from_pylist([order(number)]), out)
        (house.folder / f"{number}.parquet").write_bytes(out.getvalue()[: -20 if number == 2 else None])
    house.to = ["converge"]
    house.import_settings = {"source": {"type": "parquet", "path": "*.parquet"}, "on_bad_file": "skip"}
    report = house.run()
    assert report.by_status("converge") == {"delivered": 2}
    assert "2.parquet: this is no whole Parquet file" in report.warnings[0].sentence


def test_a_check_says_which_file_was_skipped(house: House) -> None:
    three(house, "b.csv", b"foo,bar\n1,2\n", on_bad_file="skip")
    shown = CliRunner().invoke(app, ["--config", str(house.config.path), "check", "orders"])
    assert "Skipped: b.csv: no column for event_id" in " ".join(shown.output.split())


def test_what_else_is_said_of_bad_files_is_refused(house: House) -> None:
    settings = {"destinations": {}, "imports": {"o": {"source": {"type": "csv"}, "to": ["x"], "on_bad_file": "no"}}}
    path = house.folder / "imports.yaml"
    path.write_text(yaml.safe_dump(settings))
    said = CliRunner().invoke(app, ["--config", str(path), "check", "o"])
    assert "imports.o.on_bad_file" in said.output


# -- which file a row is from


def csv_file(numbers: range) -> bytes:
    return text([order(number) for number in numbers]).encode()


def parquet_file(numbers: range) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([order(number) for number in numbers]), out)
    return out.getvalue()


@pytest.mark.parametrize(("kind", "write"), [("csv", csv_file), ("parquet", parquet_file)])
@pytest.mark.parametrize("chunk_rows", [1, 4, 100])
def test_each_chunk_says_which_files_its_rows_are_from(
    house: House, kind: str, write: Callable[[range], bytes], chunk_rows: int
) -> None:
    files = {"day=1/a": range(3), "day=1/b": range(3, 8), "day=2/a": range(8, 9)}
    for name, numbers in files.items():
        path = house.folder / f"in/{name}.{kind}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(write(numbers))
    house.to = ["converge"]
    house.import_settings = {"source": {"type": kind, "path": "in/"}, "chunk_rows": chunk_rows}
    report = house.run()
    assert report.by_status("converge") == {"delivered": 9}
    assert {row["event_id"]: (row["file"], row["row_number"]) for row in house.results()} == {
        f"order-{number}": (f"{name}.{kind}", 1 + number - numbers.start)
        for name, numbers in files.items()
        for number in numbers
    }
