"""Judging: every row of a file brought up to the wire, before any of them is sent, and whether the file is fit for it.

What a row's way ends with before the wire is recorded here; nothing is sent, moved or decided about other files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from etl import reasons
from etl.delivery.verdicts import expired
from etl.destinations import make_destination
from etl.drops.summary import NOT_ROWS, plural
from etl.ledger import Ledger
from etl.model import Chunk, Item, RowVerdict, Status, Verdict
from etl.sources.base import Window
from etl.stages import extract, transform, validate
from etl.stages.plan import Job

StagedItems = Mapping[str, list[Chunk]]
"""Destination -> its chunks of items, in order."""

UNUSABLE = Verdict(Status.REJECTED, reasons.FILE_UNUSABLE.code, reasons.FILE_UNUSABLE.sentence)
QUARANTINED = Verdict(Status.REJECTED, reasons.FILE_QUARANTINED.code, reasons.FILE_QUARANTINED.sentence)
DELIVERED_BEFORE = Verdict(Status.DUPLICATE, reasons.ALREADY_DELIVERED.code, "Delivered before.")
WOULD_BE_SENT = Verdict(Status.SKIPPED, reasons.DRY_RUN.code, reasons.DRY_RUN.sentence)


def judge(job: Job, staged: StagedItems, real_ledger: Ledger) -> None:
    """Bring every row up to the wire and add its items to ``staged``; what a destination does not take is recorded.

    What ``real_ledger`` knows to be delivered is not too old, whatever its age: nothing of it is to be sent.
    """
    for chunk in validate.stage(job, extract.stage(job, Window())):
        job.ledger.leases.renew(job.run.run_no)
        for name in job.destinations:
            items = transform.stage(job, name, chunk)
            staged[name].append(items)
            late = [item for item in job.staging.items(items) if _is_late(item, job.clock())]
            if late:
                before = _delivered(real_ledger, name, late)
                _record_late(job, name, [item for item in late if item not in before])


def record_unsent(job: Job, staged: StagedItems, verdict: Verdict) -> None:
    """Say the same of every item: nothing of the file is sent."""
    for name, chunks in staged.items():
        for chunk in chunks:
            _record(job, name, job.staging.items(chunk), verdict)


def record_trial(job: Job, staged: StagedItems, real_ledger: Ledger) -> None:
    """Say of every item whether it would be sent, or has been delivered before."""
    for name, chunks in staged.items():
        for chunk in chunks:
            items = job.staging.items(chunk)
            _record(job, name, _delivered(real_ledger, name, items), DELIVERED_BEFORE)
            _record(job, name, items, WOULD_BE_SENT)  # what is recorded already stays as it is


_UNCOUNTED = {*NOT_ROWS, reasons.NOT_WANTED.code}


def quarantine_reason(job: Job, max_bad_share: float) -> str:
    """Why nothing of the file may be sent, in a sentence; empty when it may."""
    rows = max([read or 0 for read in job.ledger.runs.rows_read(job.run.run_no).values()], default=0)
    counts = job.ledger.results.counts(job.run.run_no).values()
    rows -= max([sum(n for (_, reason), n in each.items() if reason in _UNCOUNTED) for each in counts], default=0)
    unfit = job.ledger.results.unfit_rows(job.run.run_no, [QUARANTINED.reason, *NOT_ROWS])
    if unfit <= max_bad_share * rows:
        return ""
    return f"{unfit:,} of {plural(rows)} cannot be used anywhere, which is more than {max_bad_share:.0%}."


def _delivered(ledger: Ledger, name: str, items: Sequence[Item]) -> list[Item]:
    """Those that were delivered before, under either spelling of their id."""
    spelled = [[item.event_id, *filter(None, [item.other_event_id])] for item in items]
    before = ledger.results.delivered_by(name, [event_id for each in spelled for event_id in each])
    return [item for item, ids in zip(items, spelled, strict=True) if any(each in before for each in ids)]


def _record_late(job: Job, name: str, late: Sequence[Item]) -> None:
    destination = make_destination(job.config, name)
    before = job.ledger.results.failed_before(job.run.run_no, name, [item.event_id for item in late]) if late else {}
    rows = [
        RowVerdict(i.row_number, i.event_id, i.event_name, expired(destination, before.get(i.event_id))) for i in late
    ]
    job.ledger.claims.record_unsent(job.run.run_no, [name], rows)


def _is_late(item: Item, at: int) -> bool:
    return item.expires_at_ms is not None and at > item.expires_at_ms


def _record(job: Job, name: str, items: Sequence[Item], verdict: Verdict) -> None:
    rows = [RowVerdict(item.row_number, item.event_id, item.event_name, verdict) for item in items]
    job.ledger.claims.record_unsent(job.run.run_no, [name], rows)
