"""Facts about the ledger itself: its id, and what a person has said about a gap in it."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from etl.ledger.database import Database, retry_on_disconnect
from etl.ledger.tables import facts, runs

LEDGER_ID = "ledger_id"
GAP_UNTIL_MS = "gap_until_ms"
"""Until when (epoch ms) conversions may have been delivered of which this ledger knows nothing."""

_VALUE = sa.select(facts.c.value).where(facts.c.name == sa.bindparam("it"))
_LAST_RUN = sa.select(sa.func.coalesce(sa.func.max(runs.c.run_no), 0))


@dataclass(frozen=True)
class Facts:
    """The part of the ledger that speaks of itself."""

    database: Database

    @retry_on_disconnect
    def get(self, name: str) -> str | None:
        """A fact; None where there is none."""
        with self.database.reading() as connection:
            return connection.execute(_VALUE, {"it": name}).scalar()

    @retry_on_disconnect
    def put(self, name: str, value: str) -> None:
        """Write a fact down; it takes the place of another of its name."""
        new = self.database.upsert(facts).values(name=name, value=value)
        with self.database.writing() as connection:
            connection.execute(new.on_conflict_do_update(index_elements=["name"], set_={"value": value}))

    @property
    def gap_until_ms(self) -> int:
        """Until when conversions may have been delivered without a trace here, epoch ms; 0: there is no gap."""
        return int(self.get(GAP_UNTIL_MS) or 0)

    @retry_on_disconnect
    def last_run_no(self) -> int:
        """The number of the last run; 0 where there is none."""
        with self.database.reading() as connection:
            return int(connection.execute(_LAST_RUN).scalar_one())
