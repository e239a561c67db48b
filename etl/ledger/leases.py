"""Leases: how long the claims of a run stand when nothing is heard of it."""

from __future__ import annotations

import sqlalchemy as sa

from etl.clock import Clock
from etl.ledger.database import Database, retry_on_disconnect
from etl.ledger.tables import runs

LEASE_MS = 15 * 60_000
"""How long, unless imports.yaml says otherwise."""

# Has this run ended, and until when do its claims stand?
_LEASE = sa.select(runs.c.finished_at_ms, runs.c.lease_until_ms).where(runs.c.run_id == sa.bindparam("run_id"))

# This run is alive: its claims stand until then.
_EXTEND = sa.update(runs).where(runs.c.run_no == sa.bindparam("run")).values(lease_until_ms=sa.bindparam("until_ms"))


class Leases:
    """The part of the ledger that knows which runs are alive."""

    def __init__(self, database: Database, lease_ms: int, clock: Clock) -> None:
        self.database = database
        self.lease_ms = lease_ms
        self.clock = clock
        self._extended_at: dict[int, int] = {}

    @property
    def heartbeat_s(self) -> float:
        """How often a run that waits for something has to `renew` its lease, in seconds."""
        return self.lease_ms / 1000 / 10

    def until(self, at_ms: int) -> int:
        """When the claims of a run that is heard of at this moment lapse, epoch ms."""
        return at_ms + self.lease_ms

    def is_alive(self, run_id: str) -> bool:
        """True while a run has not ended and its lease has not run out."""
        with self.database.reading() as connection:
            lease = connection.execute(_LEASE, {"run_id": run_id}).first()
        return lease is not None and lease.finished_at_ms is None and lease.lease_until_ms > self.clock()

    @retry_on_disconnect
    def renew(self, run_no: int) -> None:
        """The run goes on, although it claims nothing for a while."""
        with self.database.writing() as connection:
            self.extend(connection, run_no, self.clock())

    def extend(self, connection: sa.Connection, run_no: int, at_ms: int) -> None:
        """Renew within another question's transaction, at most fifteen times per lease."""
        if at_ms - self._extended_at.get(run_no, 0) > self.lease_ms // 15:
            connection.execute(_EXTEND, {"run": run_no, "until_ms": self.until(at_ms)})
            self._extended_at[run_no] = at_ms
