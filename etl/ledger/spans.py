"""Spans: neighbouring rows of a run of which one thing is said, and which hold no key.

A second night over delivered rows says the same of each. One span says it of all, and keeps their ids in a block of a
few bytes each, so that everybody still gets one result per row.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import orjson
import sqlalchemy as sa

from etl.ledger.tables import result_spans, spans
from etl.model import Verdict

_RUN_NO = result_spans.c.run_no

OF_RUN = sa.select(result_spans).where(sa.bindparam("run") == _RUN_NO)
"""Which spans has this run written?"""

OF_ROWS = sa.select(result_spans).where(
    _RUN_NO.in_(sa.bindparam("runs", expanding=True)),
    result_spans.c.destination == sa.bindparam("name"),
    result_spans.c.first_row <= sa.bindparam("last"),
    result_spans.c.last_row >= sa.bindparam("first"),
)
"""Which spans have these runs written of these rows at this destination?"""

LEAST = 16
"""Fewer rows are written one by one."""


class SaidRow(NamedTuple):
    """One row of a run, and what is said of it."""

    row_number: int
    event_id: str
    event_name: str
    fingerprint: int
    verdict: Verdict


class SpanRow(NamedTuple):
    """One row of a span, read back."""

    row_number: int
    event_id: str
    event_name: str


@dataclass(frozen=True)
class Block:
    """The rows of one span: neighbours by number."""

    rows: Sequence[SaidRow]

    @property
    def first(self) -> int:
        """The number of the first row."""
        return self.rows[0].row_number

    @property
    def last(self) -> int:
        """The number of the last row."""
        return self.rows[-1].row_number

    def packed(self) -> bytes:
        """Ids and names of the rows, in their order."""
        names: dict[str, int] = {}
        which = [names.setdefault(row.event_name, len(names)) for row in self.rows]
        told = [[row.event_id for row in self.rows], list(names), which if len(names) > 1 else []]
        return zlib.compress(orjson.dumps(told), 6)


def unpacked(first_row: int, packed: bytes) -> Iterator[SpanRow]:
    """The rows of a span, as `Block.packed` wrote them."""
    ids, names, which = orjson.loads(zlib.decompress(packed))
    for place, event_id in enumerate(ids):
        yield SpanRow(first_row + place, event_id, names[which[place]] if which else names[0])


def in_blocks(rows: Sequence[SaidRow]) -> tuple[list[Block], list[SaidRow]]:
    """Rows of which the same is said and that are neighbours, as blocks; and those that are not."""
    blocks, single = [], []
    for neighbours in _neighbours(sorted(rows, key=lambda row: row.row_number)):
        if len(neighbours) >= LEAST:
            blocks.append(Block(neighbours))
        else:
            single += neighbours
    return blocks, single


def _neighbours(rows: Sequence[SaidRow]) -> Iterator[list[SaidRow]]:
    some: list[SaidRow] = []
    for row in rows:
        if some and (row.row_number != some[-1].row_number + 1 or row.verdict != some[-1].verdict):
            yield some
            some = []
        some.append(row)
    if some:
        yield some


def insert(connection: sa.Connection, run_no: int, destination_no: int, blocks: Sequence[tuple[Block, int]]) -> None:
    """Write blocks down, each with the number of its verdict."""
    values = [
        {
            "run_no": run_no,
            "destination_no": destination_no,
            "first_row": block.first,
            "last_row": block.last,
            "verdict_no": verdict_no,
            "ids": block.packed(),
        }
        for block, verdict_no in blocks
    ]
    if values:
        connection.execute(sa.insert(spans), values)
