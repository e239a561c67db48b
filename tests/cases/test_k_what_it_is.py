"""K4: a file that is no table of text is refused, saying what it is, whatever its name says."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sqlite3
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.feather
import pyarrow.orc
import pyarrow.parquet as pq
import pytest
import zstandard

from tests.conftest import House, order
from tests.test_drops import Inbox, folder, text  # noqa: F401 (fixture)

CSV = text([order(1)]).encode()
TABLE = pa.Table.from_pylist([order(1)])


def tar(format_: int = tarfile.USTAR_FORMAT, name: str = "orders.csv") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format_) as archive:
        member = tarfile.TarInfo(name)
        member.size = len(CSV)
        archive.addfile(member, io.BytesIO(CSV))
    return out.getvalue()


def v7_tar() -> bytes:
    """A tar archive of before the format had a name: without ``ustar``, and with its sum anew."""
    block = bytearray(tar())
    block[257:512] = bytes(255)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\x00 " % sum(block[:512])
    return bytes(block)


def zipped(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, CSV)
    return out.getvalue()


def written(write: object) -> bytes:
    out = io.BytesIO()
    write(TABLE, out)  # type: ignore[operator]
    return out.getvalue()


def sqlite() -> bytes:
    with sqlite3.connect(":memory:") as connection:
        connection.execute("CREATE TABLE t (event_id TEXT)")
        return connection.serialize()


XLSX = zipped("[Content_Types].xml", "_rels/.rels", "xl/workbook.xml")


class Case(NamedTuple):
    """A name, a content, and what is said of it."""

    name: str
    content: bytes
    said: str


CASES = {
    "a tar": Case("a.csv", tar(), "this is a tar archive, not a CSV file. Unpack it"),
    "a tar of GNU": Case("a.csv", tar(tarfile.GNU_FORMAT), "a tar archive"),
    "a tar of POSIX": Case("a.csv", tar(tarfile.PAX_FORMAT, "Bestellungen-Größe.csv"), "a tar archive"),
    "an old tar": Case("a.csv", v7_tar(), "a tar archive"),
    "a tar.gz": Case("a.csv", gzip.compress(tar()), "a tar archive, compressed with gzip"),
    "a tar.gz named csv.gz": Case("a.csv.gz", gzip.compress(tar()), "a tar archive"),
    "a zip": Case("a.csv", zipped("orders.csv"), "another zip file"),
    "a workbook": Case("a.csv", XLSX, "an Excel workbook"),
    "a workbook in gzip": Case("a.csv.gz", gzip.compress(XLSX), "an Excel workbook"),
    "an OpenDocument": Case(
        "a.csv", b"PK\x03\x04" + bytes(26) + b"mimetypeapplication/vnd.oasis.opendocument.spreadsheet", "LibreOffice"
    ),
    "gzip twice": Case("a.csv.gz", gzip.compress(gzip.compress(CSV)), "compressed with gzip"),
    "gzip, unnamed": Case("a.csv", gzip.compress(CSV), "compressed with gzip, although its name does not end in .gz"),
    "zstd, unnamed": Case("a.csv", zstandard.compress(CSV), "compressed with zstd"),
    "bzip2": Case("a.csv", bz2.compress(CSV), "compressed with bzip2"),
    "xz": Case("a.csv", lzma.compress(CSV), "compressed with xz"),
    "7z": Case("a.csv", b"7z\xbc\xaf\x27\x1c\x00\x04rest", "a 7z archive"),
    "rar": Case("a.csv", b"Rar!\x1a\x07\x01\x00rest", "a RAR archive"),
    "plain, named gz": Case("a.csv.gz", CSV, "its name ends in .gz, but it is not compressed with gzip"),
    "plain, named zst": Case("a.csv.zst", CSV, "its name ends in .zst, but it is not compressed with zstd"),
    "a page of a program, saved as xls": Case("a.csv", b"\r\n<table border=1><tr><td>event_id", "a web page"),
    "a page that says so": Case("a.csv", b"\xef\xbb\xbf<!DOCTYPE html><html>", "a web page"),
    "a page in UTF-16": Case("a.csv", "<html><body>".encode("utf-16"), "a web page"),
    "an error of a bucket": Case("a.csv", b"<?xml version='1.0'?><Error><Code>AccessDenied", "an XML file"),
    "SQLite": Case("a.csv", sqlite(), "a SQLite database"),
    "Parquet": Case("a.csv", written(pq.write_table), "a Parquet file, not a CSV file. Read it with `type: parquet`"),
    "ORC": Case("a.csv", written(pyarrow.orc.write_table), "an ORC file"),
    "Feather": Case("a.csv", written(pyarrow.feather.write_feather), "an Arrow (Feather) file"),
    "Avro": Case("a.csv", b"Obj\x01\x04\x16avro.schema", "an Avro file"),
    "JSON lines": Case("a.csv", b'{"event_id": "1"}\n{"event_id": "2"}\n', "a file of JSON lines"),
    "JSON": Case("a.csv", b'[\n  {"event_id": "1"}\n]', "a JSON file"),
    "a dump of MySQL": Case("a.csv", b"-- MySQL dump 10.13  Distrib 8.0\n--\n-- Host: x\n", "a dump of a database"),
    "a dump of MariaDB": Case(
        "a.csv", b"/*M!999999\\- enable the sandbox mode */\n-- MariaDB dump 10.19", "a dump of a"
    ),
    "a dump of PostgreSQL": Case("a.csv", b"--\n-- PostgreSQL database dump\n--\n", "a dump of a database"),
    "statements": Case("a.csv", b"INSERT INTO orders VALUES (1, 'x');\n", "a dump of a database"),
    "PGP": Case("a.csv", b"-----BEGIN PGP MESSAGE-----\n\nhQ", "encrypted with PGP"),
    "PDF": Case("a.csv", b"%PDF-1.7\n", "a PDF"),
    "a pointer": Case("a.csv", b"version https://git-lfs.github.com/spec/v1\noid sha256:x\n", "a pointer of Git LFS"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_is_no_table_is_refused_by_what_it_is(house: House, case: Case) -> None:
    (house.folder / case.name).write_bytes(case.content)
    house.import_settings = {"source": {"type": "csv", "path": case.name}}
    report = house.run()
    assert report.exit_code == 2
    assert f"{case.name}: " in report.run.stop_detail
    assert case.said in report.run.stop_detail


PARQUET = {
    "CSV in gzip": (gzip.compress(CSV), "compressed with gzip"),
    "JSON lines": (b'{"event_id": "1"}\n{"event_id": "2"}\n', "a file of JSON lines"),
    "ORC": (written(pyarrow.orc.write_table), "an ORC file"),
    "a page": (b"<html>", "a web page"),
    "cut off": (written(pq.write_table)[:-9], "no whole Parquet file"),
}


@pytest.mark.parametrize("case", PARQUET.values(), ids=PARQUET)
def test_what_is_no_parquet_is_refused_by_what_it_is(house: House, case: tuple[bytes, str]) -> None:
    (house.folder / "a.parquet").write_bytes(case[0])
    house.import_settings = {"source": {"type": "parquet", "path": "a.parquet"}}
    assert case[1] in house.run().run.stop_detail


TABLES = {
    "a column called ID first": "ID;event_id;event_name;occurred_at;user_id\n7;{}\n",
    "a column called ORC": "ORC;event_id;event_name;occurred_at;user_id\n7;{}\n",
    "a column called PK": "PK;event_id;event_name;occurred_at;user_id\n7;{}\n",
    "a column called Obj": "Obj;event_id;event_name;occurred_at;user_id\n7;{}\n",
    "a column in brackets": "[id];event_id;event_name;occurred_at;user_id\n7;{}\n",
    "a column with dashes": "-- note;event_id;event_name;occurred_at;user_id\n7;{}\n",
    "a column called version": "version;event_id;event_name;occurred_at;user_id\n7;{}\n",
    "cells that are pages": "html;event_id;event_name;occurred_at;user_id\n<html>;{}\n",
    "cells that are JSON": "raw;event_id;event_name;occurred_at;user_id\n{};{}\n",
}


@pytest.mark.parametrize("content", TABLES.values(), ids=TABLES)
def test_a_table_is_taken_for_nothing_else(house: House, content: str) -> None:
    row = order(1)
    cells = ";".join(row[name] for name in ("event_id", "event_name", "occurred_at", "user_id"))
    (house.folder / "orders.csv").write_text(content.replace("{};{}", "{};" + cells).replace("{}\n", f"{cells}\n"))
    house.to = ["converge"]
    house.overrides = {"converge": {"aliases_from": ["user_id"]}}
    assert house.run().by_status("converge") == {"delivered": 1}


def test_a_dropped_archive_is_answered_with_what_it_is(folder: Inbox) -> None:  # noqa: F811
    folder.settings = {"settle_seconds": 0}
    folder.drop("orders [final].csv", gzip.compress(tar()))
    (outcome,) = folder.round().values()
    assert outcome.state == "quarantined"
    page = Path(f"{folder.root}/quarantine/orders [final].summary.html").read_text()
    assert "orders [final].csv: this is a tar archive, compressed with gzip" in page
