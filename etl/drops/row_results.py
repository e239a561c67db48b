"""Row results: what is known by now of the rows of a dropped file, asked of the ledger and of what its run staged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from etl import reasons
from etl.destinations import make_destination
from etl.ledger import RowResult, RunInfo
from etl.model import Chunk
from etl.stages.plan import Job
from etl.stages.transform import NOT_TAKEN

READY = "ready"
"""What a trial says of a row that would be sent."""


class ResultLookup:
    """What is known of the rows of a run, and of the ``retries`` that sent some of them again.

    ``destinations``: where the run delivers to. ``expired``: destination -> the reason code that means too late.
    """

    def __init__(self, job: Job, retries: Sequence[RunInfo]) -> None:
        self._job = job
        self._run_nos = [job.run.run_no, *(run.run_no for run in retries)]
        self._stopped = job.ledger.runs.stops(job.run.run_no)
        self._conversions = self._staged("conversions")
        self._ageless: set[str] = set()
        self.destinations = job.destinations
        self.expired = {name: make_destination(job.config, name).facts.expired[0] for name in self.destinations}
        prepared = [
            name for name in self.destinations if job.staging.read_value(f"lookup-{job.run.run_id}-{name}") is not None
        ]
        self._items = {name: self._staged(f"items/{name}") for name in prepared}
        self._not_taken = {name: self._staged(f"{NOT_TAKEN}/{name}") for name in prepared}

    def statuses(self, first: int, last: int) -> dict[str, dict[int, RowResult]]:
        """Destination -> row -> what is said of it, for the rows from ``first`` to ``last``."""
        found = self._job.ledger.results.row_results(self._run_nos, self.destinations, first, last)
        return {
            name: {row: _in_words_of_a_trial(result) for row, result in rows.items()} for name, rows in found.items()
        }

    def expiries(self, index: int) -> dict[str, dict[int, int]]:
        """Destination -> row -> the last moment it is taken, epoch ms, only where there is one; for one chunk."""
        conversions = self._conversions.get(index)
        if conversions is None:
            return {}
        return {name: self._expiries(name, conversions) for name in self._items}

    def _expiries(self, name: str, conversions: Chunk) -> dict[int, int]:
        items, not_taken = (staged[name].get(conversions.index) for staged in (self._items, self._not_taken))
        if items is None or (not_taken is None and items.rows < conversions.rows):
            return self._computed(name, conversions)  # staged by an earlier version
        found = self._moments(items) | (self._moments(not_taken) if not_taken else {})
        if not found and name in self._stopped:  # it stopped before the items could be built
            return self._computed(name, conversions)
        return found

    def _moments(self, chunk: Chunk) -> dict[int, int]:
        known = self._job.staging.frame(chunk, ["expires_at_ms"])["expires_at_ms"].dropna().astype("int64")
        return dict(zip(known.index.tolist(), known.tolist(), strict=True))

    def _computed(self, name: str, conversions: Chunk) -> dict[int, int]:
        """The same from the conversions, where what was staged does not say it."""
        frame = self._job.staging.frame(conversions)
        if name in self._ageless or frame.empty:
            return {}
        columns = self._job.destination(name).columns(frame)
        if "expires_at_ms" not in columns.columns:
            self._ageless.add(name)
            return {}
        known = columns["expires_at_ms"].dropna().astype("int64")
        return dict(zip(known.index.tolist(), known.tolist(), strict=True))

    def _staged(self, stage: str) -> Mapping[int, Chunk]:
        return {chunk.index: chunk for chunk in self._job.staging.chunks(stage)}


def _in_words_of_a_trial(result: RowResult) -> RowResult:
    """What only a trial says is said in its own word."""
    return RowResult(READY, "", result.detail) if result.reason == reasons.DRY_RUN.code else result
