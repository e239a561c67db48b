"""Watermarks: how far incremental sources have been read."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from etl.clock import Clock
from etl.ledger.database import Database, retry_on_disconnect
from etl.ledger.tables import watermarks

# How far has this import been read?
_POSITION = sa.select(watermarks.c.position).where(watermarks.c.import_name == sa.bindparam("name"))

# This import, which has a watermark, has been read up to there.
_MOVE = (
    sa.update(watermarks)
    .where(watermarks.c.import_name == sa.bindparam("name"))
    .values(position=sa.bindparam("to_position"), run_id=sa.bindparam("by_run_id"), moved_at_ms=sa.bindparam("now_ms"))
)

# This import, which has none, has been read up to there.
_FIRST = sa.insert(watermarks).values(
    import_name=sa.bindparam("name"),
    position=sa.bindparam("to_position"),
    run_id=sa.bindparam("by_run_id"),
    moved_at_ms=sa.bindparam("now_ms"),
)


@dataclass(frozen=True)
class Watermarks:
    """The part of the ledger that knows how far incremental sources have been read."""

    database: Database
    clock: Clock

    @retry_on_disconnect
    def position(self, import_name: str) -> str | None:
        """How far an import has been read, in its source's words; None when it never was."""
        with self.database.reading() as connection:
            return connection.execute(_POSITION, {"name": import_name}).scalar()

    @retry_on_disconnect
    def move(self, import_name: str, position: str, run_id: str) -> None:
        """Note how far a run has read; every row up to there is in the ledger."""
        values = {"name": import_name, "to_position": position, "by_run_id": run_id, "now_ms": self.clock()}
        with self.database.writing() as connection:
            if connection.execute(_MOVE, values).rowcount == 0:
                connection.execute(_FIRST, values)
