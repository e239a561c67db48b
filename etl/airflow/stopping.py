"""A destination that stopped in a DAG run: in which try of its tasks, and how a cleared one asks the vendor again.

The ledger knows that and why a destination stopped in a run; staging, in which try of the tasks and when. So of fifty
cleared tasks one asks the vendor again, and the others go by its answer.
"""

from __future__ import annotations

from datetime import UTC, datetime

from etl import pipeline
from etl.model import Chunk
from etl.stages import transform
from etl.stages.plan import Job


def asks_again(job: Job, destination: str, attempt: int) -> bool:
    """Whether a destination stopped in an earlier try than this one. It then has not stopped any more."""
    if destination not in job.ledger.runs.stops(job.run.run_no) or attempt <= _noted(job, destination)[0]:
        return False
    job.ledger.runs.lift_stop(job.run.run_no, destination)
    return True


def reopen(job: Job) -> None:
    """A run that was closed goes on, because a task of it is done again."""
    if job.run.finished_at_ms is not None:
        job.ledger.runs.reopen(job.run.run_no)


def made_anew(job: Job, destination: str, chunk: Chunk) -> Chunk:
    """What a stopped destination was not given: its lookups, and the items of a chunk."""
    pipeline.prepare(job, [destination])
    read = next((each for each in job.staging.chunks("conversions") if each.index == chunk.index), None)
    return chunk if read is None else transform.stage(job, destination, read)


def sentence(job: Job, destination: str, attempt: int) -> str:
    """Why a destination takes nothing more, and since when; empty while it does."""
    stop = job.ledger.runs.stops(job.run.run_no).get(destination)
    if stop is None:
        return ""
    met, since_ms = _noted(job, destination)
    if since_ms is None or met < attempt:
        since_ms = job.clock()
        job.staging.write_value(_name(job, destination), [attempt, since_ms])
    return f"{stop.detail} ({datetime.fromtimestamp(since_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC.)"


def _noted(job: Job, destination: str) -> tuple[int, int | None]:
    """In which try it stopped, and when; the first, where it stopped before anything was to be delivered."""
    attempt, since_ms = job.staging.read_value(_name(job, destination)) or (1, None)
    return attempt, since_ms


def _name(job: Job, destination: str) -> str:
    return f"stopped-{job.run.run_id}-{destination}"
