"""The ledger: the database of runs, results and batches, asked only by named questions.

A row of ``entries`` is one row of one run at one destination; what is said of it is in ``verdicts``, once for all of
which it is said (docs/decisions/0009-ledger.md). Each room asks about one thing and holds the same
`Database`: `etl.ledger.runs` opens and ends runs, `etl.ledger.claims` decides who may send what and records what came
of it, `etl.ledger.results` answers about rows, `etl.ledger.files` remembers dropped files. SQLite (WAL) and PostgreSQL.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from etl.clock import Clock, wall_clock
from etl.config import Config
from etl.ledger import backup, retention
from etl.ledger.claims import ELSEWHERE, Claims
from etl.ledger.database import Database, file_of
from etl.ledger.facts import Facts
from etl.ledger.files import Files
from etl.ledger.identities import Identities
from etl.ledger.leases import LEASE_MS, Leases
from etl.ledger.numbers import Numbers
from etl.ledger.results import Results
from etl.ledger.runs import Runs
from etl.ledger.tables import RESULT_COLUMNS
from etl.ledger.values import Claim, DeadLetters, FileInfo, Pruned, RowResult, RunInfo, Sent, Stop
from etl.ledger.watermarks import Watermarks

__all__ = [
    "ELSEWHERE",
    "RESULT_COLUMNS",
    "Claim",
    "DeadLetters",
    "FileInfo",
    "Ledger",
    "Pruned",
    "RowResult",
    "RunInfo",
    "Sent",
    "Stop",
    "file_of",
    "open_ledger",
]


class Ledger:
    """One ledger, named by its URL (``sqlite:///var/ledger.db``, ``postgresql://…``). Safe to share between threads.

    ``lease_ms``: how long a run that gives no sign of life keeps its claims; by the ledger's own clock, unless
    ``lease_clock`` is given.
    """

    def __init__(
        self, url: str, *, lease_ms: int = LEASE_MS, clock: Clock = wall_clock, lease_clock: Clock | None = None
    ) -> None:
        self.database = Database(url, lease_clock)
        self.leases = Leases(self.database, lease_ms)
        self.numbers = Numbers(self.database)
        self.runs = Runs(self.database, self.leases, self.numbers, clock)
        self.claims = Claims(self.database, self.leases, self.numbers, clock)
        self.results = Results(self.database, self.numbers)
        self.files = Files(self.database)
        self.identities = Identities(self.database, self.numbers, clock)
        self.facts = Facts(self.database)
        self.watermarks = Watermarks(self.database, clock)

    def open(self) -> Self:
        """Make the tables of an empty ledger; upgrade one in a file, refuse one on a server. Raises LedgerError."""
        self.database.open()
        return self

    def upgrade(self) -> None:
        """Bring the tables to this version, making them if there are none. Raises LedgerError."""
        self.database.upgrade()

    def backup(self, target: Path) -> None:
        """Copy all of it into a new file, while runs go on; see `etl.ledger.backup`. Raises LedgerError."""
        backup.write(self.database, target)

    def restore(self, source: Path) -> None:
        """Put such a copy in the place of all that is here. Raises LedgerError."""
        backup.restore(self.database, source)

    def prune(self, before_ms: int) -> Pruned:
        """Forget what runs begun before ``before_ms`` (epoch ms) wrote down; see `etl.ledger.retention`."""
        return retention.prune(self.database, before_ms)

    def close(self) -> None:
        """Give back the connections."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_ledger(config: Config) -> Ledger:
    """The ledger that imports.yaml names. Raises LedgerError."""
    return Ledger(config.ledger_url, lease_ms=config.lease_ms).open()
