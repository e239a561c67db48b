"""Report: what became of a run, counted by the ledger and checked against what was read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from etl import reasons
from etl.errors import SumMismatch
from etl.ledger import Ledger, RunInfo, Stop
from etl.model import GOOD, RunWarning, Status

Counts = Mapping[tuple[str, str], int]
"""(status, reason) -> rows."""


@dataclass(frozen=True)
class Report:
    """One run in numbers. ``rows`` and ``counts`` are per destination."""

    run: RunInfo
    rows: Mapping[str, int]
    counts: Mapping[str, Counts]
    stops: Mapping[str, Stop]
    warnings: Sequence[RunWarning] = ()
    """What was changed, left out or not understood, whatever became of the rows."""

    def by_status(self, destination: str) -> dict[str, int]:
        """Rows of a destination per status; only statuses that occur, in the order of `Status`."""
        sums = dict.fromkeys([status.value for status in Status], 0)
        for (status, _), count in self.counts[destination].items():
            sums[status] += count
        return {status: count for status, count in sums.items() if count}

    @property
    def exit_code(self) -> int:
        """0 all good, 1 some rows need attention, 2 the run or a destination stopped."""
        if self.run.stop_detail or self.stops:
            return 2
        statuses = {status for counts in self.counts.values() for (status, _), count in counts.items() if count}
        return 1 if statuses - {status.value for status in GOOD} else 0

    def bad_share(self, destination: str) -> float:
        """The share that is not delivered, duplicate or skipped, of the rows that could have been delivered.

        Rows that the import does not want or that had expired count for nothing here.
        """
        counts = self.counts[destination]
        expired = self.expired(destination)
        bad = sum(count for (status, _), count in counts.items() if Status(status) not in GOOD) - expired
        wanted = self.rows[destination] - counts.get((Status.SKIPPED.value, reasons.NOT_WANTED.code), 0) - expired
        return bad / wanted if wanted else 0.0

    def expired(self, destination: str) -> int:
        """How many rows a destination no longer takes, because they are too old."""
        return self.counts[destination].get((Status.REJECTED.value, reasons.TOO_OLD.code), 0)


def of(ledger: Ledger, run: RunInfo) -> Report:
    """Count a run. Raises SumMismatch when rows read and statuses differ at any destination."""
    counts = ledger.results.counts(run.run_no)
    offered = ledger.runs.rows_read(run.run_no)
    rows = {destination: offered.get(destination) or 0 for destination in counts}
    wrong = {name: sum(counts[name].values()) for name in counts if sum(counts[name].values()) != rows[name]}
    if wrong and not run.stop_detail:
        differences = ", ".join(
            f"{name}: {rows[name]} rows read, {found} results" for name, found in sorted(wrong.items())
        )
        raise SumMismatch(
            f"Run {run.run_id} does not add up ({differences}); the rows without a result were not delivered by it."
        )
    return Report(run, rows, counts, ledger.runs.stops(run.run_no))
