"""Receipts: what somebody who dropped a file gets back beside it. Streamed; the file is read once more.

NAME.result.csv     the file's columns as they were, and per destination status, reason and detail
NAME.fix.csv        only the rows to correct, ready to be dropped again; absent when there are none
NAME.summary.html   one page for a person, see `etl/templates/summary.html`

All are meant for a spreadsheet, which changes what it opens. A cell that it would run as a formula gets a leading
apostrophe, shown as such. In fix.csv so does every cell that it would rewrite: long numbers, leading zeros, dates,
decimals. The first column of fix.csv, ``problem``, is how `FixFileSource` knows such a file when it is dropped
again: the column is left out and one leading apostrophe is taken away from every cell. Cells that begin with an
apostrophe by themselves get a second one, so what comes back is what went out, byte for byte.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup, escape

from etl.errors import SourceError
from etl.model import GOOD, Status
from etl.sources.base import Source, Window

PROBLEM = "problem"
"""The column of fix.csv that says what to correct; it is never part of a conversion."""

KINDS = (".result.csv", ".fix.csv", ".summary.html")

READY = "ready"
"""What a trial says of a row that would be sent."""

FINE = frozenset({*map(str, GOOD), READY})

ROWS_SHOWN = 8
"""Row numbers named per reason, and rows per deadline; the files hold them all."""

TO_CORRECT = frozenset({Status.REJECTED.value, Status.REFUSED.value})

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_MARKED = (*_FORMULA, "'")
_MONTH = r"jan|feb|mar|mär|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez"
# What Excel rewrites: every number but a short whole one, whatever may be a date, and truth.
_REWRITTEN = re.compile(
    rf"\s*(?:0\d|\d{{12,}}|\d+[^\d]|[.,]\d|(?:{_MONTH})\w*[-./ ]*\d|(?:true|false|wahr|falsch)\s*$)", re.I
)

Word = tuple[str, str, str]
"""Status, reason and detail of one row at one destination."""


# -- cells


def escape_formula(cell: str) -> str:
    """The cell as a spreadsheet may open it: one that would be run as a formula gets an apostrophe."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def quote_for_spreadsheet(cell: str) -> str:
    """The cell such that a spreadsheet neither runs nor rewrites it; `unprotected` undoes it."""
    return f"'{cell}" if cell.startswith(_MARKED) or _REWRITTEN.match(cell) else cell


def unquote(cell: str) -> str:
    """The cell without one leading apostrophe."""
    return cell.removeprefix("'")


class FixFileSource(Source):
    """A dropped file as a source: what fix.csv added is taken away again, and ``problem`` is never a column."""

    def __init__(self, inner: Source, name: str) -> None:
        super().__init__(inner.settings, inner.location)
        self.inner = inner
        self.name = name
        self.remarks = inner.remarks

    def describe(self) -> str:
        """The file's name."""
        return self.name

    def frames(self, window: Window, chunk_rows: int) -> Iterator[pd.DataFrame]:
        """See `Source.frames`."""
        for frame in self.inner.frames(window, chunk_rows):
            columns = list(frame.columns)
            ours = bool(columns) and _is_problem(columns[0])
            kept = frame[[name for name in columns if not _is_problem(name)]]
            yield _bare(kept) if ours else kept


def _is_problem(name: object) -> bool:
    return str(name).strip().lower() == PROBLEM


def _bare(frame: pd.DataFrame) -> pd.DataFrame:
    bare = frame.copy(deep=False)
    for name in bare.columns:
        if name != "damage" and isinstance(bare[name].dtype, pd.StringDtype):
            bare[name] = bare[name].str.removeprefix("'")
    return bare.rename(columns=lambda name: unquote(str(name)))


# -- what is told


@dataclass(frozen=True, slots=True)
class FileReport:
    """What happened to a file as a whole.

    ``kind``: ``delivered``, ``quarantined`` (too many bad rows), ``unusable`` (cannot be read), ``dry_run`` or
    ``repeated`` (imported before); nothing is sent but in the first. ``why`` is a sentence for the sender where the
    file as a whole has a problem; lines after its first are to be shown as they are. ``next_run_ms`` is when somebody
    looks next. ``retries``: the runs that have sent rows again, after the file was imported at ``first_at_ms``.
    """

    kind: str
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


@dataclass(slots=True)
class Reason:
    """Rows that have the same status and reason at a destination; ``sentence`` is what is said of the first of them."""

    sentence: str
    alike: bool = True
    rows: int = 0
    first_rows: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Summary:
    """What the rows of a file came to; filled row by row while the receipts are written."""

    rows: int = 0
    fine: int = 0
    partly: int = 0
    to_correct: int = 0
    waiting: int = 0
    unconfirmed: int = 0
    statuses: dict[str, Counter[str]] = field(default_factory=dict)
    reasons: dict[tuple[str, str, str, str], Reason] = field(default_factory=dict)
    leaving: dict[str, list[tuple[int, int, str]]] = field(default_factory=dict)
    leaving_rows: Counter[str] = field(default_factory=Counter)
    late: int = 0


@dataclass(frozen=True)
class ResultLookup:
    """Where the receipts get their words from.

    ``words(first, last)``: destination -> row -> word, for these rows. ``expiries(index)``: destination -> row -> last
    moment in epoch ms, only where there is one, for the chunk at that place. ``expired``: destination -> the reason
    code that means too late.
    """

    words: Callable[[int, int], Mapping[str, Mapping[int, Word]]]
    expiries: Callable[[int], Mapping[str, Mapping[int, int]]]
    expired: Mapping[str, str]


# -- the three files


def write(
    folder: Path,
    name: str,
    source: Source,
    chunk_rows: int,
    asked: ResultLookup,
    story: FileReport,
    delimiter: str,
    fix_name: str = "",
) -> list[Path]:
    """Write the receipts of one file into a local folder; the paths of those that there are.

    ``fix_name`` is another name for the rows to correct. A source that breaks off is told as far as it goes.
    """
    destinations = list(asked.expired)
    tally = Summary(statuses={one: Counter() for one in destinations})
    fix_name = fix_name or name
    result, fix, summary = (folder / f"{one}{kind}" for one, kind in zip((name, fix_name, name), KINDS, strict=True))
    with ExitStack() as files:
        rows_out, fix_out = (
            csv.writer(files.enter_context(path.open("w", encoding="utf-8-sig", newline="")), delimiter=delimiter)
            for path in (result, fix)
        )
        header: list[str] | None = None
        for index, frame in enumerate(_as_far_as_it_goes(source, chunk_rows)):
            names = [str(column) for column in frame.columns if column != "damage"]
            if header is None:
                header = names
                rows_out.writerow([*map(escape_formula, names), *_added(destinations)])
                fix_out.writerow([PROBLEM, *map(quote_for_spreadsheet, names)])
            told = asked.words(int(frame.index[0]), int(frame.index[-1]))
            for number, cells, words in _told(frame, names, told):
                rows_out.writerow(
                    [*map(escape_formula, cells), *(escape_formula(part) for word in words for part in word)]
                )
                problem = _count(tally, number, dict(zip(destinations, words, strict=True)), asked, story)
                if problem is not None:
                    fix_out.writerow([escape_formula(problem), *map(quote_for_spreadsheet, cells)])
            _note_leaving(tally, told, asked.expiries(index), story)
        if header is None:
            rows_out.writerow(["file", "status", "detail"])
            word, why = (story.kind, story.why) if story.why else ("no rows", NO_ROWS)
            rows_out.writerow([escape_formula(story.file), word, escape_formula(why)])
    rows_to_fix = tally.to_correct
    if not rows_to_fix:
        fix.unlink()
    summary.write_text(page(story, tally, fix_name if rows_to_fix else "", source.remarks), encoding="utf-8")
    return [path for path in (result, fix, summary) if path.exists()]


def _as_far_as_it_goes(source: Source, chunk_rows: int) -> Iterator[pd.DataFrame]:
    try:
        yield from (frame for frame in source.frames(Window(), chunk_rows) if len(frame))
    except SourceError:
        return


def _added(destinations: Sequence[str]) -> list[str]:
    return [f"{name} {what}" for name in destinations for what in ("status", "reason", "detail")]


_UNTOLD: Word = ("not sent", "file_unusable", "The file as a whole cannot be used, see above.")


def _told(
    frame: pd.DataFrame, names: Sequence[str], told: Mapping[str, Mapping[int, Word]]
) -> Iterator[tuple[int, tuple[str, ...], list[Word]]]:
    """Row number, cells as text, and one word per destination."""
    columns = [frame[name].astype("object").where(frame[name].notna(), "").map(str) for name in names]
    for number, *cells in zip(frame.index, *columns, strict=True):
        yield int(number), tuple(cells), [words.get(int(number), _UNTOLD) for words in told.values()]


def _count(
    tally: Summary, number: int, words: Mapping[str, Word], asked: ResultLookup, story: FileReport
) -> str | None:
    """Count one row; what is to be corrected in it, or None when its sender has nothing to do."""
    late = {name for name, (_, reason, _) in words.items() if reason == asked.expired[name]}
    for name, (status, reason, detail) in words.items():
        tally.statuses[name][status] += 1
        if reason:
            # Of what came too late each sentence is told: it names the run that failed to deliver it in time.
            key = (name, status, reason, detail if name in late else "")
            told = tally.reasons.setdefault(key, Reason(detail))
            told.alike = told.alike and told.sentence == detail
            told.rows += 1
            if len(told.first_rows) < ROWS_SHOWN:
                told.first_rows.append(number)
    if all(reason in NOT_ROWS for _, reason, _ in words.values()):
        return None
    tally.rows += 1
    statuses = {status for status, _, _ in words.values()}
    mendable = {n: w for n, w in words.items() if w[0] in TO_CORRECT and w[1] not in NOT_ROWS and n not in late}
    whole = story.kind == "quarantined"
    tally.late += bool(late)
    tally.fine += statuses <= FINE
    tally.partly += bool(statuses & FINE) and not statuses <= FINE
    tally.waiting += Status.FAILED.value in statuses
    tally.unconfirmed += Status.UNKNOWN.value in statuses
    if story.kind == "unusable" or not (mendable or (whole and not statuses <= FINE)):
        return None
    tally.to_correct += 1
    return _problem({n: w for n, w in mendable.items() if w[1] not in WHOLE_FILE})


NOT_ROWS = frozenset({"not_a_conversion"})
"""Reasons of lines that nobody has to correct: totals and blanks below the data."""

WHOLE_FILE = frozenset({"file_quarantined", "file_unusable"})
"""Reasons of rows that have no problem of their own."""


def _problem(words: Mapping[str, Word]) -> str:
    """Every distinct sentence once, with the destinations that say it unless all say the same."""
    by_sentence: dict[str, list[str]] = {}
    for name, (_, reason, detail) in words.items():
        by_sentence.setdefault(detail or reason, []).append(name)
    if len(by_sentence) == 1:
        return next(iter(by_sentence))
    return " | ".join(f"{', '.join(names)}: {sentence}" for sentence, names in by_sentence.items())


def _note_leaving(
    tally: Summary, told: Mapping[str, Mapping[int, Word]], expiries: Mapping[str, Mapping[int, int]], story: FileReport
) -> None:
    """Rows that are not delivered and that their destination takes no longer when somebody looks next."""
    for name, rows in expiries.items():
        for number, expires in rows.items():
            status = told[name].get(number, _UNTOLD)[0]
            if status not in GOOD and story.at_ms <= expires < story.next_run_ms:
                tally.leaving_rows[name] += 1
                soonest = [*tally.leaving.get(name, []), (expires, number, status)]
                tally.leaving[name] = sorted(soonest)[:ROWS_SHOWN]


# -- the page


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


@cache
def _template() -> jinja2.Template:
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["coded"] = _coded
    return environment.get_template("summary.html")


def _coded(text: str) -> Markup:
    """What stands between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 (escaped)


def page(story: FileReport, tally: Summary, fix_name: str, remarks: Sequence[str] = ()) -> str:
    """The summary as one self-contained HTML page; ``fix_name`` is NAME where there is a NAME.fix.csv."""
    groups = sorted(_grouped(tally), key=lambda group: (_rank(group.status), -group.rows))
    return _template().render(
        story=story,
        tally=tally,
        remarks=list(dict.fromkeys(remarks)),
        headline=headline(story, tally),
        more=story.why.partition("\n")[2] if story.kind == "unusable" else "",
        tone=_tone(story, tally),
        todo=to_do(story, tally, fix_name),
        groups=groups,
        anew=bool(story.retries) and story.kind != "repeated",
        columns=[s for s in MEANINGS if story.kind != "unusable" and any(c[s] for c in tally.statuses.values())],
        meanings=MEANINGS,
        at=_moment(story.at_ms, story.timezone),
        moment=lambda ms: _moment(ms, story.timezone),
        many=many,
        rows_shown=ROWS_SHOWN,
    )


def _rank(status: str) -> int:
    order = ("not sent", *(s.value for s in (Status.REFUSED, Status.REJECTED, Status.UNKNOWN, Status.FAILED)))
    return order.index(status) if status in order else len(order)


def _grouped(tally: Summary) -> list[_Group]:
    found: dict[tuple[Any, ...], _Group] = {}
    for (name, status, reason, _), told in tally.reasons.items():
        if reason == "file_unusable":  # the headline says it
            continue
        key = (status, reason, told.sentence, told.rows, *told.first_rows)
        group = found.setdefault(key, _Group(status, reason, told.sentence, [], told.rows, told.first_rows, told.alike))
        group.destinations.append(name)
        group.everywhere = 1 < len(tally.statuses) == len(group.destinations)
    return list(found.values())


def many(count: int, what: str = "row") -> str:
    """``1 row``, ``1,200 rows``."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


NO_ROWS = "The file has a header and no rows, so there was nothing to send."
ONLY_TOTALS = "The file has only empty rows and totals below its header, so there was nothing to send."


def headline(story: FileReport, tally: Summary) -> str:
    """What happened, in one sentence."""
    if story.kind == "repeated":
        return story.why
    if story.kind in ("quarantined", "unusable"):
        return f"Nothing was sent. {story.why.partition(chr(10))[0]}".strip()
    if not tally.rows:
        return ONLY_TOTALS if any(tally.statuses.values()) else NO_ROWS
    verb = "would be sent" if story.kind == "dry_run" else "arrived"
    if tally.fine == tally.rows:
        return f"{'Trial: all' if story.kind == 'dry_run' else 'All'} {many(tally.rows)} {verb} everywhere they should."
    start = "Trial: " if story.kind == "dry_run" else ""
    if tally.partly and not tally.fine:
        told = f"{start}{tally.partly:,} of {many(tally.rows)} {verb} at some destinations, none at all of them."
    else:
        some = f", {tally.partly:,} at some destinations" if tally.partly else ""
        told = f"{start}{tally.fine:,} of {many(tally.rows)} {verb} everywhere they should{some}."
    rest = [
        f"{many(tally.to_correct)} {'needs' if tally.to_correct == 1 else 'need'} a correction"
        * bool(tally.to_correct),
        f"{many(tally.waiting)} could not be delivered yet" * bool(tally.waiting),
        f"{many(tally.unconfirmed)} may or may not have arrived" * bool(tally.unconfirmed),
        f"{many(tally.late)} came too late" * bool(tally.late),
    ]
    return " ".join([told, *([", ".join(filter(None, rest)) + "."] if any(rest) else [])])


def _tone(story: FileReport, tally: Summary) -> str:
    if story.kind in ("quarantined", "unusable"):
        return "bad"
    return "good" if 0 < tally.rows == tally.fine else "partly"


def to_do(story: FileReport, tally: Summary, fix_name: str) -> list[str]:
    """What the sender does next, in order."""
    steps: list[str] = []
    if tally.leaving_rows and (tally.to_correct or tally.waiting or tally.unconfirmed):
        soonest = min(rows[0][0] for rows in tally.leaving.values())
        steps.append(f"Be quick: from {_moment(soonest, story.timezone)} on rows become too old, see below.")
    if story.kind == "unusable":
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
    if tally.waiting:
        steps.append(
            f"Do not drop the {many(tally.waiting)} again that could not be delivered yet: they are kept, and the "
            "person who runs the import sends them again with “conversions retry”."
        )
    if tally.unconfirmed:
        steps.append(
            f"Ask the person who runs this import to look at the {many(tally.unconfirmed)} that may have arrived; "
            "do not drop them again before that."
        )
    if tally.late:
        steps.append("Rows that came too late cannot be counted any more; next time drop the file earlier.")
    if story.kind == "dry_run":
        steps.append("This was a trial: nothing was sent. Drop the file into the folder above “dryrun” to send it.")
    if not tally.rows and story.kind == "delivered":
        steps.append("If you expected rows in it, export the file again and drop it into the same folder.")
    return steps or ["Nothing. You can keep this page as a receipt."]


def _moment(ms: int, timezone: str) -> str:
    from zoneinfo import ZoneInfo

    at = datetime.fromtimestamp(ms / 1000, UTC).astimezone(ZoneInfo(timezone))
    return f"{at:%d %b %Y, %H:%M} {timezone if timezone == 'UTC' else at.strftime('%Z')}"
