"""The summary as one page for a person: what happened, what to do next, and why. See `templates/summary.html`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import jinja2
from markupsafe import Markup, escape

from etl.drops.fix_file import PROBLEM
from etl.drops.row_results import READY
from etl.drops.summary import NO_RESULT, ROWS_SHOWN, FileReport, Summary, plural
from etl.drops.values import FileKind
from etl.model import Status

MEANINGS = {
    READY: "It would be sent if this were not a trial.",
    Status.DELIVERED.value: "The destination confirmed it.",
    Status.DUPLICATE.value: "It had been delivered before, or is on its way; nothing was sent twice.",
    Status.SKIPPED.value: "The destination does not take this event.",
    Status.REJECTED.value: "It was not sent, because something in the row, or in the file, is not right.",
    Status.REFUSED.value: "It was sent, and the destination said no.",
    Status.FAILED.value: "It has not been delivered yet; it is kept and can be sent again.",
    Status.UNKNOWN.value: "It was sent, but no clear answer came back; it may have arrived.",
}

NO_ROWS = "The file has a header and no rows, so there was nothing to send."
ONLY_TOTALS = "The file has only empty rows and totals below its header, so there was nothing to send."

_NOTHING_SENT = (FileKind.QUARANTINED, FileKind.UNUSABLE)


@dataclass(slots=True)
class _Group:
    """Reasons that read the same at several destinations."""

    status: str
    reason: str
    sentence: str
    destinations: list[str]
    rows: int
    first_rows: list[int]
    alike: bool
    everywhere: bool = False
    """True when all destinations of several say so."""
    answer: str = ""
    """What one of them answered, masked."""


def page(report: FileReport, summary: Summary, fix_name: str, warnings: Sequence[str] = ()) -> str:
    """The summary as one self-contained HTML page; ``fix_name`` is NAME where there is a NAME.fix.csv."""
    unusable = report.kind is FileKind.UNUSABLE
    happened = [status for status in MEANINGS if any(counts[status] for counts in summary.statuses.values())]
    groups = sorted(_grouped(summary, report.answers), key=lambda group: (_rank(group.status), -group.rows))
    return _template().render(
        report=report,
        summary=summary,
        warnings=list(dict.fromkeys(warnings)),
        headline=headline(report, summary),
        more=report.why.partition("\n")[2] if unusable else "",
        tone=_tone(report, summary),
        steps=next_steps(report, summary, fix_name),
        groups=groups,
        updated=bool(report.retries) and report.kind is not FileKind.REPEATED,
        columns=[] if unusable else happened,
        meanings=MEANINGS,
        at=_moment(report.at_ms, report.timezone),
        moment=lambda ms: _moment(ms, report.timezone),
        plural=plural,
        rows_shown=ROWS_SHOWN,
    )


@cache
def _template() -> jinja2.Template:
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["coded"] = _coded
    return environment.get_template("summary.html")


def _coded(text: str) -> Markup:
    """What stands between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 (escaped)


def _rank(status: str) -> int:
    worst_first = (Status.REFUSED, Status.REJECTED, Status.UNKNOWN, Status.FAILED)
    order = (NO_RESULT.status, *(status.value for status in worst_first))
    return order.index(status) if status in order else len(order)


def _grouped(summary: Summary, answers: Mapping[tuple[str, str, str], str]) -> list[_Group]:
    found: dict[tuple[Any, ...], _Group] = {}
    for (name, status, reason, _), rows in summary.reasons.items():
        if reason == NO_RESULT.reason:  # the headline says it
            continue
        answer = answers.get((name, status, reason), "")
        key = (status, reason, rows.sentence, answer, rows.rows, *rows.first_rows)
        group = found.setdefault(key, _Group(status, reason, rows.sentence, [], rows.rows, rows.first_rows, rows.alike))
        group.destinations.append(name)
        group.answer = answer
        group.everywhere = 1 < len(summary.statuses) == len(group.destinations)
    return list(found.values())


def _moment(ms: int, timezone: str) -> str:
    at = datetime.fromtimestamp(ms / 1000, UTC).astimezone(ZoneInfo(timezone))
    return f"{at:%d %b %Y, %H:%M} {timezone if timezone == 'UTC' else at.strftime('%Z')}"


def _tone(report: FileReport, summary: Summary) -> str:
    if report.kind in _NOTHING_SENT:
        return "bad"
    return "good" if 0 < summary.rows == summary.fine else "partly"


# -- what happened


def headline(report: FileReport, summary: Summary) -> str:
    """What happened, in one sentence or two."""
    if report.kind is FileKind.REPEATED:
        return report.why
    if report.kind in _NOTHING_SENT:
        return f"Nothing was sent. {report.why.partition(chr(10))[0]}".strip()
    if not summary.rows:
        return ONLY_TOTALS if any(summary.statuses.values()) else NO_ROWS
    is_trial = report.kind is FileKind.DRY_RUN
    verb = "would be sent" if is_trial else "arrived"
    if summary.fine == summary.rows:
        return f"{'Trial: all' if is_trial else 'All'} {plural(summary.rows)} {verb} everywhere they should."
    return f"{'Trial: ' if is_trial else ''}{_arrived(summary, verb)}{_not_arrived(summary)}"


def _arrived(summary: Summary, verb: str) -> str:
    rows = plural(summary.rows)
    if summary.partly and not summary.fine:
        return f"{summary.partly:,} of {rows} {verb} at some destinations, none at all of them."
    some = f", {summary.partly:,} at some destinations" if summary.partly else ""
    return f"{summary.fine:,} of {rows} {verb} everywhere they should{some}."


def _not_arrived(summary: Summary) -> str:
    """A sentence about the other rows, with a space before it; empty when there is nothing to say."""
    parts = []
    if summary.to_correct:
        parts.append(f"{plural(summary.to_correct)} {'needs' if summary.to_correct == 1 else 'need'} a correction")
    if summary.waiting:
        parts.append(f"{plural(summary.waiting)} could not be delivered yet")
    if summary.unconfirmed:
        parts.append(f"{plural(summary.unconfirmed)} may or may not have arrived")
    if summary.late:
        parts.append(f"{plural(summary.late)} came too late")
    return f" {', '.join(parts)}." if parts else ""


# -- what to do


def next_steps(report: FileReport, summary: Summary, fix_name: str) -> list[str]:
    """What the sender does next, in order."""
    steps: list[str] = []
    if summary.leaving_rows and (summary.to_correct or summary.waiting or summary.unconfirmed):
        soonest = min(rows[0][0] for rows in summary.leaving.values())
        steps.append(f"Be quick: from {_moment(soonest, report.timezone)} on rows become too old, see below.")
    if report.kind is FileKind.UNUSABLE:
        steps.append(
            "Correct the file as the sentence above says and drop it again under any name; or, where it speaks of "
            "settings, give this page to the person who runs the import."
        )
    if fix_name:
        steps.append(
            f"Open {fix_name}.fix.csv beside this page, correct the rows as its column “{PROBLEM}” says, save it as "
            "CSV and drop it into the same folder. Leave the apostrophes: they keep your spreadsheet from changing "
            "long numbers and dates, and are taken away when the file is read."
        )
    if summary.waiting:
        steps.append(
            f"Do not drop the {plural(summary.waiting)} again that could not be delivered yet: they are kept, and the "
            "person who runs the import sends them again with “conversions retry”."
        )
    if summary.unconfirmed:
        steps.append(
            f"Ask the person who runs this import to look at the {plural(summary.unconfirmed)} that may have arrived; "
            "do not drop them again before that."
        )
    if summary.late:
        steps.append("Rows that came too late cannot be counted any more; next time drop the file earlier.")
    if report.kind is FileKind.DRY_RUN:
        steps.append("This was a trial: nothing was sent. Drop the file into the folder above “dryrun” to send it.")
    if not summary.rows and report.kind is FileKind.DELIVERED:
        steps.append("If you expected rows in it, export the file again and drop it into the same folder.")
    return steps or ["Nothing. You can keep this page as a receipt."]
