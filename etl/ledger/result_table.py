"""The result table: one row per row, run and destination, as people see it; spans are taken apart again."""

from __future__ import annotations

import bisect
import heapq
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import sqlalchemy as sa

from etl.ledger import spans
from etl.ledger.database import Database
from etl.ledger.tables import RESULT_COLUMNS, result_history, result_spans, run_files

Wanted = Mapping[str, Sequence[str] | None]
"""Column -> the values that are asked for; None: all."""

_Keyed = tuple[int, str, int, dict[str, Any]]
"""A row of the table behind what it is sorted by: run, destination, place in the source."""

# Which files did this run read, and which of its rows is the first of each?
_FILES = sa.select(run_files.c.first_row, run_files.c.file, run_files.c.file_row).where(
    run_files.c.run_no == sa.bindparam("run")
)


def blocks(connection: sa.Connection, database: Database, wanted: Wanted, size: int) -> Iterator[list[dict[str, Any]]]:
    """The rows that are asked for, ``size`` at a time, ordered by run, destination, row."""
    rows = heapq.merge(
        _rows(connection, database, wanted), _span_rows(connection, database, wanted), key=lambda row: row[:3]
    )
    while some := [row for *_, row in islice(rows, size)]:
        yield some


def _rows(connection: sa.Connection, database: Database, wanted: Wanted) -> Iterator[_Keyed]:
    columns = [result_history.c[name] for name in RESULT_COLUMNS]
    asked = sa.select(result_history.c.run_no, result_history.c.position, *columns).order_by(
        result_history.c.run_no, _by_name(database, result_history.c.destination), result_history.c.position
    )
    for row in connection.execute(_filtered(asked, result_history, wanted)):
        told = _readable(dict(zip(RESULT_COLUMNS, row[2:], strict=True)))
        yield row[0], told["destination"], row[1], told


def _span_rows(connection: sa.Connection, database: Database, wanted: Wanted) -> Iterator[_Keyed]:
    asked = sa.select(result_spans).order_by(
        result_spans.c.run_no, _by_name(database, result_spans.c.destination), result_spans.c.first_row
    )
    files: dict[int, list[tuple[int, str, int]]] = {}
    for span in connection.execute(_filtered(asked, result_spans, wanted)).mappings():
        run_no = span["run_no"]
        if run_no not in files:
            files = {run_no: sorted(map(tuple, connection.execute(_FILES, {"run": run_no})))}
        same = _readable({name: span.get(name) for name in RESULT_COLUMNS})
        for place, event_id, event_name in spans.unpacked(span["first_row"], span["ids"]):
            file, number = _in_file(files[run_no], place)
            told = same | {"file": file, "row_number": number, "event_id": event_id, "event_name": event_name}
            yield run_no, same["destination"], place, told


def _in_file(files: Sequence[tuple[int, str, int]], place: int) -> tuple[str, int]:
    """Which file a row is from, and its number there."""
    found = bisect.bisect_right(files, place, key=lambda each: each[0])
    if not found:
        return "", place
    first, file, file_row = files[found - 1]
    return file, place - first + file_row


def _filtered(asked: sa.Select[Any], table: sa.TableClause, wanted: Wanted) -> sa.Select[Any]:
    for name, values in wanted.items():
        if values is not None:
            asked = asked.where(table.c[name].in_(list(values)))
    return asked


def _by_name(database: Database, name: sa.ColumnElement[str]) -> sa.ColumnElement[str]:
    """As Python sorts text, and SQLite."""
    return sa.collate(name, "C") if database.is_postgresql else name


def _readable(row: dict[str, Any]) -> dict[str, Any]:
    """The same row with its moments as text, on PostgreSQL as on SQLite."""
    for name in ("sent_at", "recorded_at"):
        if isinstance(row[name], datetime):
            row[name] = f"{row[name].astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{row[name].microsecond // 1000:03d}Z"
    return row
