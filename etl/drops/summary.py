"""Summary: what the rows of a file came to, counted row by row while its receipts are written. No page, no files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from etl import reasons
from etl.drops.row_results import READY
from etl.drops.values import FileKind
from etl.ledger import RowResult
from etl.model import GOOD, Status

FINE = frozenset({*map(str, GOOD), READY})
"""Statuses of rows that nobody has to do anything about."""

TO_CORRECT = frozenset({Status.REJECTED.value, Status.REFUSED.value})
"""Statuses of rows that their sender can correct."""

NOT_ROWS = frozenset({reasons.NOT_A_CONVERSION.code})
"""Reasons of lines that nobody has to correct: totals and blanks below the data."""

WHOLE_FILE = frozenset({reasons.FILE_QUARANTINED.code, reasons.FILE_UNUSABLE.code})
"""Reasons of rows that have no problem of their own."""

NO_RESULT = RowResult("not sent", reasons.FILE_UNUSABLE.code, "The file as a whole cannot be used, see above.")
"""What is said of a row that the ledger does not know."""

ROWS_SHOWN = 8
"""Row numbers named per reason, and rows per deadline; the files hold them all."""


@dataclass(frozen=True, slots=True)
class FileReport:
    """What happened to a file as a whole.

    ``why`` is a sentence for the sender where the file as a whole has a problem; lines after its first are to be shown
    as they are. ``next_run_ms`` is when somebody looks next. ``stops``: destination -> why it takes nothing more.
    ``retries``: the runs that have sent rows again, after the file was imported at ``first_at_ms``. ``answers``:
    (destination, status, reason) -> what the vendor answered last, masked.
    """

    kind: FileKind
    file: str
    import_name: str
    run_id: str
    at_ms: int
    next_run_ms: int
    timezone: str = "UTC"
    why: str = ""
    stops: Mapping[str, str] = field(default_factory=dict)
    first_at_ms: int = 0
    retries: Sequence[str] = ()
    answers: Mapping[tuple[str, str, str], str] = field(default_factory=dict)


@dataclass(slots=True)
class Reason:
    """Rows that have the same status and reason at a destination; ``sentence`` is what is said of the first of them."""

    sentence: str
    alike: bool = True
    rows: int = 0
    first_rows: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Summary:
    """What the rows of a file came to.

    ``statuses``: destination -> status -> rows. ``reasons``: by destination, status, reason and, of rows that came too
    late, sentence. ``leaving_rows``: destination -> rows that it takes no longer at the next run, and in ``leaving``
    the first of them as (last moment, row, status).
    """

    rows: int = 0
    fine: int = 0
    partly: int = 0
    to_correct: int = 0
    waiting: int = 0
    unconfirmed: int = 0
    late: int = 0
    statuses: dict[str, Counter[str]] = field(default_factory=dict)
    reasons: dict[tuple[str, str, str, str], Reason] = field(default_factory=dict)
    leaving: dict[str, list[tuple[int, int, str]]] = field(default_factory=dict)
    leaving_rows: Counter[str] = field(default_factory=Counter)


def count_row(
    summary: Summary, number: int, results: Mapping[str, RowResult], expired: Mapping[str, str], kind: FileKind
) -> str | None:
    """Count one row; what is to be corrected in it, or None when its sender has nothing to do.

    ``results``: destination -> what is said of the row there. ``expired``: destination -> the reason for too late.
    """
    late = {name for name, result in results.items() if result.reason == expired[name]}
    for name, result in results.items():
        _count_result(summary, number, name, result, is_late=name in late)
    if all(result.reason in NOT_ROWS for result in results.values()):
        return None
    statuses = {result.status for result in results.values()}
    _count_statuses(summary, statuses, is_late=bool(late))
    correctable = {name: result for name, result in results.items() if name not in late and _is_correctable(result)}
    whole_file = kind is FileKind.QUARANTINED and not statuses <= FINE
    if kind is FileKind.UNUSABLE or not (correctable or whole_file):
        return None
    summary.to_correct += 1
    return _problem({name: result for name, result in correctable.items() if result.reason not in WHOLE_FILE})


def _count_result(summary: Summary, number: int, name: str, result: RowResult, *, is_late: bool) -> None:
    summary.statuses[name][result.status] += 1
    if not result.reason:
        return
    # Of what came too late each sentence is kept: it names the run that failed to deliver it in time.
    key = (name, result.status, result.reason, result.detail if is_late else "")
    reason = summary.reasons.setdefault(key, Reason(result.detail))
    reason.alike = reason.alike and reason.sentence == result.detail
    reason.rows += 1
    if len(reason.first_rows) < ROWS_SHOWN:
        reason.first_rows.append(number)


def _count_statuses(summary: Summary, statuses: set[str], *, is_late: bool) -> None:
    summary.rows += 1
    summary.late += is_late
    summary.fine += statuses <= FINE
    summary.partly += bool(statuses & FINE) and not statuses <= FINE
    summary.waiting += Status.FAILED.value in statuses
    summary.unconfirmed += Status.UNKNOWN.value in statuses


def _is_correctable(result: RowResult) -> bool:
    return result.status in TO_CORRECT and result.reason not in NOT_ROWS


def _problem(results: Mapping[str, RowResult]) -> str:
    """Every distinct sentence once, with the destinations that say it unless all say the same."""
    by_sentence: dict[str, list[str]] = {}
    for name, result in results.items():
        by_sentence.setdefault(result.detail or result.reason, []).append(name)
    if len(by_sentence) == 1:
        return next(iter(by_sentence))
    return " | ".join(f"{', '.join(names)}: {sentence}" for sentence, names in by_sentence.items())


def note_leaving(
    summary: Summary,
    statuses: Mapping[str, Mapping[int, RowResult]],
    expiries: Mapping[str, Mapping[int, int]],
    report: FileReport,
) -> None:
    """Count rows that are not delivered and that their destination takes no longer when somebody looks next."""
    for name, rows in expiries.items():
        for number, expires in rows.items():
            status = statuses[name].get(number, NO_RESULT).status
            if status not in GOOD and report.at_ms <= expires < report.next_run_ms:
                summary.leaving_rows[name] += 1
                soonest = [*summary.leaving.get(name, []), (expires, number, status)]
                summary.leaving[name] = sorted(soonest)[:ROWS_SHOWN]


def plural(count: int, what: str = "row") -> str:
    """``1 row``, ``1,200 rows``."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
