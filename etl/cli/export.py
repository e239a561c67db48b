"""The result table as a file: csv, json or parquet, block by block, so that its size is no matter."""

from __future__ import annotations

import csv
import io
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from etl.redact import escape_formula

Block = Sequence[Mapping[str, Any]]
"""Some rows of the table."""

WHOLE_NUMBERS = ("row_number", "http_status", "attempts")
_NUMBER = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)*")


@contextmanager
def target(out: Path | None) -> Iterator[BinaryIO]:
    """Where bytes go: standard output, or a file that appears only once it is whole."""
    if out is None or str(out) == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    elif out.exists() and not out.is_file():  # /dev/null, a named pipe
        with out.open("wb") as device:
            yield device
    else:
        final = out.resolve()
        part = final.with_name(f".{final.name}.{os.getpid()}.part")
        try:
            with _created(part, out) as file:
                yield file
            part.replace(final)
        finally:
            part.unlink(missing_ok=True)


def _created(part: Path, out: Path) -> BinaryIO:
    try:
        return part.open("wb")
    except OSError as error:
        error.filename = str(out)  # the name that a person gave
        raise


@contextmanager
def text(stream: BinaryIO) -> Iterator[io.TextIOWrapper]:
    """UTF-8 over bytes, whatever the terminal's own encoding; the stream stays open."""
    wrapper = io.TextIOWrapper(stream, encoding="utf-8", newline="")
    try:
        yield wrapper
        wrapper.flush()
    finally:
        wrapper.detach()


def as_csv(blocks: Iterable[Block], columns: Sequence[str], stream: BinaryIO) -> None:
    """A header and a line per row; nulls are empty, and no cell is one that a spreadsheet would run as a formula."""
    with text(stream) as lines:
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(columns)
        for block in blocks:
            writer.writerows([_harmless(row[name]) for name in columns] for row in block)


def _harmless(cell: Any) -> Any:
    """A text that a spreadsheet would run gets an apostrophe before it; numbers stay numbers."""
    return escape_formula(cell) if isinstance(cell, str) and not _NUMBER.fullmatch(cell) else cell


def as_json(blocks: Iterable[Block], columns: Sequence[str], stream: BinaryIO) -> None:
    """One array with an object per row, each on a line of its own."""
    before = b"[\n"
    for block in blocks:
        for row in block:
            stream.write(before + orjson.dumps({name: row[name] for name in columns}))
            before = b",\n"
    stream.write(b"[]\n" if before == b"[\n" else b"\n]\n")


def as_parquet(blocks: Iterable[Block], columns: Sequence[str], stream: BinaryIO) -> None:
    """One row group per block; times are text as in the other formats."""
    import pyarrow
    from pyarrow import parquet

    types = {name: pyarrow.int64() if name in WHOLE_NUMBERS else pyarrow.string() for name in columns}
    schema = pyarrow.schema(list(types.items()))
    with parquet.ParquetWriter(stream, schema, compression="zstd") as writer:
        for block in blocks:
            writer.write_table(pyarrow.Table.from_pylist(list(block), schema))


Writer = Callable[[Iterable[Block], Sequence[str], BinaryIO], None]
FORMATS: Mapping[str, Writer] = {"csv": as_csv, "json": as_json, "parquet": as_parquet}
"""What `conversions results` can write besides its table."""
