"""F: which objects belong to a folder and to a glob, in a bucket and on a disk, for CSV, Parquet and dropped files."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from etl import filesystem
from etl.report import Report
from tests.conftest import House, order
from tests.test_drops import Inbox, inbox, s3_server, text  # noqa: F401 (fixtures)


def csv_of(number: int) -> bytes:
    return text([order(number)]).encode()


def parquet_of(number: int) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([order(number)]), out)
    return out.getvalue()


class Case(NamedTuple):
    """Files by name, the path that is configured, the orders that arrive, and what the warnings name."""

    type: str
    files: Mapping[str, bytes]
    expected: set[int]
    path: str = "out/"
    warned: tuple[str, ...] = ()


CASES = {
    "a task that died": Case(
        "parquet",
        {"part-0.parquet": parquet_of(0), "_temporary/0/attempt_1/part-1.parquet": parquet_of(1)},
        {0},
    ),
    "Spark, with sums": Case(
        "csv", {"part-0.csv": csv_of(0), "_SUCCESS": b"", ".part-0.csv.crc": b"crc", "part-9.csv": b""}, {0}
    ),
    "staging folders of Hive": Case(
        "parquet",
        {"day=1/a.parquet": parquet_of(0), "day=1/.hive-staging_x/b.parquet": parquet_of(1), "_x/c.parquet": b"?"},
        {0},
    ),
    "a partition whose name begins with a line": Case("parquet", {"_day=1/a.parquet": parquet_of(0)}, {0}),
    "a Delta table": Case(
        "parquet",
        {
            "part-0.parquet": parquet_of(0),
            "_delta_log/0.json": b"{}",
            "_delta_log/0.checkpoint.parquet": parquet_of(1),
            "_change_data/x.parquet": parquet_of(2),
        },
        {0},
        warned=("Delta table",),
    ),
    "an Iceberg table": Case(
        "parquet",
        {
            "data/day=1/a.parquet": parquet_of(0),
            "metadata/v1.metadata.json": b"{}",
            "metadata/snap-1.avro": b"Obj",
            "metadata/partition-stats-1.parquet": parquet_of(1),
        },
        {0},
        warned=("Iceberg table",),
    ),
    "a Hudi table": Case(
        "parquet", {"a.parquet": parquet_of(0), ".hoodie/b.parquet": parquet_of(1)}, {0}, warned=("Hudi table",)
    ),
    "a folder that is called metadata": Case("parquet", {"metadata/a.parquet": parquet_of(0)}, {0}),
    "old Hadoop's folders": Case("csv", {"a.csv": csv_of(0), "sub_$folder$": b"", "sub/b.csv": csv_of(1)}, {0, 1}),
    "all that people save": Case(
        "csv",
        {
            "a.csv": csv_of(0),
            "b.CSV": csv_of(1),
            "c.tsv": csv_of(2).replace(b",", b"\t"),
            "d.txt": csv_of(3),
            "e.csv.gz": gzip.compress(csv_of(4)),
            "f.txt.zst": zstandard.compress(csv_of(5)),
            "orders.xlsx": b"PK\x03\x04",
            "data.json": b"{}",
            "g.csv.bak": csv_of(6),
        },
        {0, 1, 2, 3, 4, 5},
        warned=("data.json", "g.csv.bak", "orders.xlsx"),
    ),
    "texts that are none of ours": Case(
        "csv",
        {"a.csv": csv_of(0), "README.txt": "Grüße, these are the orders".encode("cp1252"), "LICENSE.TXT": b"MIT\n\nx"},
        {0},
        warned=("LICENSE.TXT", "README.txt"),
    ),
    "lists of what was unloaded": Case(
        "csv",
        {"a.csv": csv_of(0), "q1-manifest.csv": b"s3://b/a.csv\n", "manifest.json": b"{}", "manifest": b"{}"},
        {0},
        warned=("q1-manifest.csv",),
    ),
    "what desktops leave": Case(
        "csv",
        {
            "a.csv": csv_of(0),
            ".DS_Store": b"Bud1",
            "__MACOSX/._a.csv": b"\x00\x05\x16\x07",
            "~$a.csv": b"x",
            "Thumbs.db": b"x",
            "desktop.ini": b"x",
        },
        {0},
    ),
    "half-written": Case("csv", {"a.csv": csv_of(0), "b.csv.part": b"event", "c.csv._COPYING_": b"e"}, {0}),
    "a glob takes what it names": Case(
        "csv", {"a.data": csv_of(0), "b.data": csv_of(1), "_c.data": csv_of(2), "_t/d.data": csv_of(3)}, {0, 1}, "out/*"
    ),
    "a glob over hidden folders": Case(
        "csv", {"x/a.csv": csv_of(0), "_temporary/b.csv": csv_of(1), ".c/c.csv": csv_of(2)}, {0}, "out/*/*.csv"
    ),
    "a glob of any depth": Case(
        "csv", {"x/a.csv": csv_of(0), "x/_t/b.csv": csv_of(1), "c.csv": csv_of(2)}, {0, 2}, "out/**/*.csv"
    ),
    "a glob that asks for them": Case("csv", {"_a.csv": csv_of(0), "b.csv": csv_of(1)}, {0}, "out/_*.csv"),
    "a glob in a folder that looks like one": Case(
        "csv", {"orders [1]/a.csv": csv_of(0), "orders 1/b.csv": csv_of(1)}, {0}, "out/orders [1]/*.csv"
    ),
    "an empty file among others": Case(
        "parquet", {"a.parquet": parquet_of(0), "b.parquet": b""}, {0}, warned=("b.parquet: empty",)
    ),
    "files of Spark without an ending": Case("csv", {"part-00000": csv_of(0)}, {0}, "out/part-*"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_folder_on_a_disk_yields_its_data(house: House, case: Case) -> None:
    for name, content in case.files.items():
        path = house.folder / "out" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    judged(house, case, {"type": case.type, "path": case.path})


@pytest.fixture(scope="module")
def storage() -> Iterator[dict[str, str]]:
    """A bucket on localhost: how to get at it."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    found = {"endpoint_url": f"http://127.0.0.1:{server.get_host_and_port()[1]}", "key": "k", "secret": "s"}
    yield found
    server.stop()


IN_A_BUCKET = CASES | {
    "the object of the folder": Case("csv", {"": b"", "a.csv": csv_of(0)}, {0}),
    "objects of folders below": Case("csv", {"x/": b"", "x/a.csv": csv_of(0), "x": b"", "y/": b""}, {0}),
    "objects of folders in a glob": Case("csv", {"x/": b"", "x/a.csv": csv_of(0), "x": b""}, {0}, "out/**"),
    "a folder whose object has its name": Case("csv", {"../out": b"", "a.csv": csv_of(0)}, {0}, "out"),
}


@pytest.mark.parametrize("case", IN_A_BUCKET.values(), ids=IN_A_BUCKET)
def test_a_folder_in_a_bucket_yields_its_data(
    house: House, storage: dict[str, str], case: Case, request: pytest.FixtureRequest
) -> None:
    bucket = f"case-{list(IN_A_BUCKET).index(request.node.callspec.id)}"
    fs = fsspec.filesystem("s3", **storage)
    fs.mkdir(bucket)
    for name, content in case.files.items():
        fs.call_s3("put_object", Bucket=bucket, Key="out" if name == "../out" else f"out/{name}", Body=content)
    fs.invalidate_cache()
    judged(house, case, {"type": case.type, "path": f"s3://{bucket}/{case.path}", "storage": storage})


def judged(house: House, case: Case, source: dict[str, Any]) -> Report:
    house.to = ["converge"]
    house.import_settings = {"source": source}
    report = house.run()
    assert report.run.stop_detail in ("", None)
    assert {entry["key"] for entry in house.sandbox.received("converge")} == {f"order-{n}" for n in case.expected}
    said = " ".join(warning.sentence for warning in report.warnings)
    for name in case.warned:
        assert name in said
    hidden = [name for name in case.files if not filesystem.is_data(name) and "/" not in name and name]
    assert not any(name in said for name in hidden), "what is beside data is nobody's business"
    return report


def test_a_folder_of_nothing_that_can_be_read_names_what_is_there(house: House) -> None:
    (house.folder / "out").mkdir()
    for name in ("part-00000", "orders.orc"):
        (house.folder / "out" / name).write_bytes(b"ORC\x00")
    house.import_settings = {"source": {"type": "parquet", "path": "out/"}}
    report = house.run()
    assert report.exit_code == 2
    assert "no file at out/; there is orders.orc, part-00000" in report.run.stop_detail


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b"\r\n\r\n", b"\xff\xfe\n\x00"], ids=repr)
def test_an_empty_file_has_no_rows(house: House, content: bytes) -> None:
    (house.folder / "orders.csv").write_bytes(content)
    report = house.run()
    assert (report.exit_code, set(report.rows.values())) == (0, {0})
    (warning,) = report.warnings
    assert warning.code == "empty_file"
    assert warning.sentence.startswith("orders.csv: empty")


def test_dropped_files_are_told_from_what_is_beside_them_in_the_same_way(inbox: Inbox) -> None:  # noqa: F811
    inbox.settings = {"settle_seconds": 0}
    for name in ("_SUCCESS", ".orders.csv.crc", "sub_$folder$", "~$orders.csv", "Thumbs.db", "b.csv.filepart"):
        inbox.drop(name, b"")
    inbox.drop("orders.csv", [order(1)])
    inbox.drop("orders.xlsx", b"PK\x03\x04[Content_Types].xml")
    outcomes = inbox.round()
    assert {name: outcome.state for name, outcome in outcomes.items()} == {
        "orders.csv": "processed",
        "orders.xlsx": "quarantined",
    }, "who drops a workbook is told so"


def test_the_object_of_an_inbox_is_no_dropped_file(inbox: Inbox) -> None:  # noqa: F811
    inbox.settings = {"settle_seconds": 0}
    inbox.drop("orders.csv", [order(1)])
    if "file" not in inbox.fs.protocol:
        bucket, _, folder = inbox.root.partition("/")
        for key in (folder, f"{folder}/", f"{folder}/processed/", f"{folder}/processed"):
            inbox.fs.call_s3("put_object", Bucket=bucket, Key=key, Body=b"")
    assert list(inbox.round()) == ["orders.csv"]
    assert inbox.round() == {}


def test_a_local_path_may_look_like_a_chain(tmp_path: Path) -> None:
    (tmp_path / "file::memory.csv").write_text("a\n1\n")
    (found,) = filesystem.find(str(tmp_path / "file::memory.csv")).places
    with filesystem.opened(found) as file:
        assert file.read() == b"a\n1\n"
