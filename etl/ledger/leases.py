"""Leases: how long the claims of a run stand when nothing is heard of it.

By the ledger's clock: that of the database server, or of the machine whose disk the ledger is on. Machines whose clocks
differ agree on who is alive.
"""

from __future__ import annotations

import sqlalchemy as sa

from etl.ledger.database import Database, retry_on_disconnect
from etl.ledger.tables import runs

LEASE_MS = 15 * 60_000
"""How long, unless imports.yaml says otherwise."""

# Has this run ended, and until when do its claims stand?
_LEASE = sa.select(runs.c.finished_at_ms, runs.c.lease_until_ms).where(runs.c.run_id == sa.bindparam("run_id"))

# Until when do the claims of this run stand?
_UNTIL = sa.select(runs.c.lease_until_ms).where(runs.c.run_no == sa.bindparam("run"))

# This run is alive: its claims stand until then.
_EXTEND = sa.update(runs).where(runs.c.run_no == sa.bindparam("run")).values(lease_until_ms=sa.bindparam("until_ms"))


class Leases:
    """The part of the ledger that knows which runs are alive."""

    def __init__(self, database: Database, lease_ms: int) -> None:
        self.database = database
        self.lease_ms = lease_ms

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
            now_ms = self.database.now_ms(connection)
        return lease is not None and lease.finished_at_ms is None and lease.lease_until_ms > now_ms

    @retry_on_disconnect
    def renew(self, run_no: int) -> bool:
        """The run goes on, although it claims nothing for a while; False when its lease had run out meanwhile."""
        with self.database.writing() as connection:
            now_ms = self.database.now_ms(connection)
            unbroken = int(connection.execute(_UNTIL, {"run": run_no}).scalar_one()) > now_ms
            connection.execute(_EXTEND, {"run": run_no, "until_ms": self.until(now_ms)})
        return unbroken

    def extend(self, connection: sa.Connection, run_no: int) -> int:
        """Renew within another question's transaction, at most fifteen times per lease; the ledger's time, epoch ms."""
        now_ms = self.database.now_ms(connection)
        if self.until(now_ms) - connection.execute(_UNTIL, {"run": run_no}).scalar_one() > self.lease_ms // 15:
            connection.execute(_EXTEND, {"run": run_no, "until_ms": self.until(now_ms)})
        return now_ms
