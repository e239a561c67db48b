"""What a file is, by how it begins, whatever its name says: archives, workbooks, databases, pages, dumps.

Only what no table begins with is named here; nothing is opened further than to say what is inside a compressed file.
"""

from __future__ import annotations

import codecs
import re
import zlib

HEAD_BYTES = 4096
"""How much of a file's beginning is looked at."""

_OFFICE = (
    (b"xl/", "an Excel workbook"),
    (b"word/", "a Word document"),
    (b"application/vnd.oasis.opendocument.spreadsheet", "a LibreOffice workbook"),
    (b"Index/Document.iwa", "a Numbers workbook"),
    (b"[Content_Types].xml", "an Excel workbook (or another Office document)"),
)
_BINARY: tuple[tuple[bytes, str], ...] = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook (or another old Office file)"),
    (b"%PDF", "a PDF"),
    (b"PAR1", "a Parquet file"),
    (b"PARE", "an encrypted Parquet file"),
    (b"ARROW1\x00\x00", "an Arrow (Feather) file"),
    (b"FEA1", "an Arrow (Feather) file"),
    (b"Obj\x01", "an Avro file"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"SQLite format 3\x00", "a SQLite database"),
    (b"\x00\x01\x00\x00Standard ", "an Access database"),
    (b"PGDMP", "a dump of a PostgreSQL database"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd, although its name does not end in .zst"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\xfd7zXZ\x00", "compressed with xz"),
    (b"\x04\x22\x4d\x18", "compressed with lz4"),
    (b"\xff\x06\x00\x00sNaPpY", "compressed with snappy"),
    (b"MSCF\x00\x00\x00\x00", "a CAB archive"),
    (b"\x1f\x9d", "compressed with compress (.Z)"),
    (b"\x89PNG\r\n", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
    (b"bplist00", "a property list of macOS"),
    (b"\x00\x05\x16\x07", "what macOS keeps beside a file, not the file itself"),
)
_TEXT: tuple[tuple[str, str], ...] = (
    (r"<!doctype html|<html|<head|<body|<table|<div|<meta|<style|<script|<!--|<center|<font|<p>", "a web page"),
    (r"<\?xml|<workbook|<feed|<rss", "an XML file"),
    (r"mime-version:", "a web page saved as one file (MHTML)"),
    (r"\{\\rtf", "a text document (RTF)"),
    (r"ID;P(?:WXL|CALC|SCALC)", "a SYLK workbook"),
    (r"-----BEGIN PGP", "encrypted with PGP"),
    (r"version https://git-lfs", "a pointer of Git LFS, not the file itself"),
    (r"BEGIN:VC", "a calendar or address file"),
    (
        r"(?:--\s*\n)*--[^\n]*(?:dump|phpmyadmin|adminer|heidisql)|/\*M?!\d{5,6}|"
        r"(?:insert into|create table|drop table|lock tables|set names|set session|begin transaction) ",
        "a dump of a database (SQL)",
    ),
)
_TEXTS = tuple((re.compile(rf"\s*(?:{pattern})", re.IGNORECASE | re.DOTALL), kind) for pattern, kind in _TEXT)
_JSON = re.compile(r'\s*(?:\{\s*"|\{\s*\}|\[\s*(?:[\[{]|\]))')
_JSON_LINES = re.compile(r'\s*\{\s*".*\}\s*?\n\s*\{')
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


def kind_of(head: bytes) -> str | None:
    """What a file that begins so is, to be put behind “this is”; None where it may be a table of text.

    ``head``: `HEAD_BYTES` of it or more, decompressed as its name says.
    """
    head = head[:HEAD_BYTES]
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")):
        return next((kind for mark, kind in _OFFICE if mark in head), "an Excel workbook (or another zip file)")
    if head.startswith(b"\x1f\x8b"):
        return _in_gzip(head)
    for mark, kind in _BINARY:
        if head.startswith(mark):
            return kind
    if _is_tar(head):
        return "a tar archive"
    if re.match(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)", head):
        return "compressed with bzip2"
    if head.startswith(b"ORC") and re.search(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]", head[3:64]):
        return "an ORC file"
    return _kind_of_text(_text(head))


def _in_gzip(head: bytes) -> str:
    """What a gzip file is: an archive, where the beginning of what it holds shows one."""
    try:
        inside = zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(head, HEAD_BYTES)
    except zlib.error:
        inside = b""
    kind = kind_of(inside) if inside else None
    if kind is None or "although" in kind:
        return "compressed with gzip, although its name does not end in .gz"
    return f"{kind}, compressed with gzip"


def _is_tar(head: bytes) -> bool:
    """True for a tar archive of any age: its first block holds the sum of its own bytes, as digits to the base 8."""
    block = head[:512]
    if len(block) < 512 or block[0] == 0:
        return False
    digits = block[148:156].strip(b" \x00")
    if not re.fullmatch(rb"[0-7]{1,8}", digits):
        return False
    return sum(block) - sum(block[148:156]) + 8 * 32 == int(digits, 8)


def _text(head: bytes) -> str:
    for mark, codec in _MARKS:
        if head.startswith(mark):
            return head[len(mark) :].decode(codec, "replace")
    return head.decode("latin-1")


def _kind_of_text(text: str) -> str | None:
    for pattern, kind in _TEXTS:
        if pattern.match(text):
            return kind
    if _JSON_LINES.match(text):
        return "a file of JSON lines"
    return "a JSON file" if _JSON.match(text) else None
