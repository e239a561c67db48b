"""What people see on a terminal: tables, reasons, a first request, progress. Values in, print-outs out.

What came from a row is printed as plain text: it can neither colour nor steer the terminal. Long, because all tables
are here, so that they look alike.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import orjson
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from etl import reasons
from etl.model import GOOD, Plan, Preview, Request, RunWarning, Status, Verdict

if TYPE_CHECKING:
    from etl.ledger import RunInfo
    from etl.report import Report

PLAIN_WIDTH = 140
"""Columns where there is no terminal to ask."""

ROWS_SHOWN = 20
RESULTS_SHOWN = 200
BODY_LINES = 40
WIDE = 110
"""From so many columns on, a result's sentence has room beside it."""

STYLES = {
    "ready": "green",
    Status.DELIVERED: "green",
    Status.DUPLICATE: "cyan",
    Status.SKIPPED: "cyan",
    Status.REJECTED: "yellow",
    Status.REFUSED: "red",
    Status.FAILED: "red",
    Status.UNKNOWN: "magenta",
}
_FORESEEN = (Status.DUPLICATE, Status.SKIPPED, Status.REJECTED, Status.FAILED, Status.UNKNOWN)
"""What a check may say of rows that would not be sent."""
SILENT = frozenset({"", reasons.ALREADY_DELIVERED.code})
"""Reasons of good rows that need no words."""


class ResultConsole(Console):
    """A console that leaves a closed pipe to whoever started the program."""

    def on_broken_pipe(self) -> NoReturn:
        """Not rich's exit code 1, which means rejected rows here."""
        raise BrokenPipeError


def console(*, stderr: bool = False) -> ResultConsole:
    """Standard output (or error) as it is now."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or os.environ.get("COLUMNS") else PLAIN_WIDTH
    return ResultConsole(stderr=stderr, markup=False, highlight=False, emoji=False, width=width)


def printable(text: object) -> str:
    """The text without what a terminal would obey."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", "\N{REPLACEMENT CHARACTER}", str(text))


def plural(count: int, thing: str = "row") -> str:
    """``1 row``, ``12,345 rows``."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


# -- check


def check(checked: Mapping[str, Preview], out: Console) -> None:
    """What a run would do: counts, the rows that would not go, and the first request of each destination.

    Rows that no destination would get are listed once.
    """
    statuses = [status.value for status in _FORESEEN]
    _counts(out, {name: (each.rows, _sums(each.counts)) for name, each in checked.items()}, ["ready", *statuses])
    rows = _shared(checked)
    keys = {(row[3].status.value, row[3].reason) for row in rows}
    shared = {key: min(each.counts.get(key, 0) for each in checked.values()) for key in keys}
    if shared:
        out.print(f"\nNo destination gets these {plural(sum(shared.values()))}:")
        _print_unsent(out, shared, rows)
    shared_warnings = _shared_warnings(checked)
    _print_warnings(out, shared_warnings)
    for name, each in checked.items():
        out.print()
        out.rule(Text(name, style="bold"), align="left", characters="─", style="dim")
        _check_one(out, each, shared, {row[0] for row in rows})
        _print_warnings(out, [warning for warning in each.warnings if warning not in shared_warnings])
    _print_columns(out, checked)


def _print_columns(out: Console, checked: Mapping[str, Preview]) -> None:
    """Which column of the source feeds which of ours, and which field of each vendor; examples as shapes."""
    goes: dict[tuple[str, str, str], list[str]] = {}
    for name, each in checked.items():
        for column in each.columns:
            found = goes.setdefault((column.source, column.canonical, column.example), [])
            found += [f"{name} {column.field}"] if column.field else []
    if not goes:
        return
    out.print("\nWhat becomes of the columns (examples as shapes, where they may be about somebody):")
    table = heading_table("column of the source", "taken for", "example", "goes to")
    for (source, canonical, example), fields in goes.items():
        table.add_row(_cut(source), canonical, printable(example), Text(printable(", ".join(fields))))
    out.print(table)


def _shared_warnings(checked: Mapping[str, Preview]) -> list[RunWarning]:
    """What is warned of whatever the destination."""
    first, *others = checked.values()
    return [warning for warning in first.warnings if all(warning in each.warnings for each in others)]


def _check_one(out: Console, checked: Preview, shared: Mapping[tuple[str, str], int], listed: set[int]) -> None:
    """What one destination adds to what all of them say (``shared`` counts, ``listed`` rows)."""
    if checked.stopped:
        out.print(Text(f"Stopped: {checked.stopped}", style="red"))
        return
    own = {key: count - shared.get(key, 0) for key, count in checked.counts.items()}
    if checked.plan is not None:
        out.print(Text(f"Plan: {plan(checked.plan)}"), soft_wrap=True)
    if checked.plan is not None and checked.plan.too_slow:
        out.print(Text(checked.plan.too_slow, style="yellow"), soft_wrap=True)
    for note in checked.notes:
        out.print(Text(f"Note: {printable(note)}"), soft_wrap=True)
    _print_unsent(out, own, [row for row in checked.unsent if row[0] not in listed])
    if checked.request is not None:
        out.print(Text("The first request:", style="dim"))
        request(out, checked.request)


def plan(planned: Plan) -> str:
    """What a run would do, in a sentence: ``3 new, 2 delivered before; 2 requests, under a minute.``"""
    counts = [
        (planned.first, "that failed before, first and as a run of their own"),
        (planned.new, "new"),
        (planned.delivered, "delivered before"),
        (planned.changed, "of these changed since, which stays as it was delivered"),
        (planned.expired, "too old"),
        (planned.soon, "of the new ones too old within a day"),
    ]
    rows = ", ".join(f"{rows:,} {words}" for rows, words in counts if rows or words == "new")
    minutes = round(planned.seconds / 60)
    took = f"at least {plural(minutes, 'minute')}" if minutes else "under a minute"
    return f"{rows}; {plural(planned.requests, 'request')}, {took} at the vendor's limits."


def _print_unsent(
    out: Console, counts: Mapping[tuple[str, str], int], rows: Sequence[tuple[int, str, str, Verdict]]
) -> None:
    """Counts by reason, then the first of the rows."""
    for line in _reasons(counts):
        out.print(line)
    if rows:
        total = sum(count for (status, _), count in counts.items() if status != "ready")
        _rows(out, rows, total)


def _sums(counts: Mapping[tuple[str, str], int]) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for (status, _), count in counts.items():
        sums[status] += count
    return dict(sums)


def _shared(checked: Mapping[str, Preview]) -> list[tuple[int, str, str, Verdict]]:
    """Rows that have the same verdict everywhere."""
    if len(checked) < 2:
        return []
    first, *others = checked.values()
    elsewhere = [{(row[0], row[3]) for row in each.unsent} for each in others]
    return sorted(row for row in first.unsent if all((row[0], row[3]) in each for each in elsewhere))


def _reasons(counts: Mapping[tuple[str, str], int]) -> Iterator[Text]:
    """``rejected: no_goal 2, looks_like_pii 1``, and the warnings on ready rows likewise."""
    headings = {status: status for status in ("rejected", "failed", "unknown", "duplicate", "skipped")}
    headings |= {"ready": "ready, with a warning"}
    for status, words in headings.items():
        found = [(reason, count) for (each, reason), count in counts.items() if each == status and reason and count]
        if found:
            named = ", ".join(
                f"{reason} {count:,}" for reason, count in sorted(found, key=lambda pair: (-pair[1], pair[0]))
            )
            yield Text.assemble((f"{words}: ", STYLES[status]), named)


def _rows(out: Console, rows: Sequence[tuple[int, str, str, Verdict]], total: int) -> None:
    table = heading_table(("row", "right"), "event_id", "why")
    table.columns[1].max_width = 32
    for number, event_id, _, verdict in rows[:ROWS_SHOWN]:
        table.add_row(str(number), _cut(event_id), _why(verdict.status, verdict.reason, verdict.detail))
    out.print(table)
    if total > ROWS_SHOWN:
        out.print(f"  … and {total - min(len(rows), ROWS_SHOWN):,} more")


def _why(status: str, reason: str, detail: str) -> Text:
    text = Text()
    text.append(printable(reason or status), STYLES.get(status, ""))
    return text.append(f": {printable(detail)}" if detail else "")


def request(out: Console, shown: Request) -> None:
    """A request as it would travel, its body indented and cut off where it gets long."""
    out.print(f"  {shown.method} {printable(shown.url)}", soft_wrap=True)
    for name, value in shown.headers.items():
        out.print(f"  {printable(name)}: {printable(value)}", soft_wrap=True)
    lines = _indented(shown.body)
    out.print()
    for line in lines[:BODY_LINES]:
        out.print(f"  {printable(line)}", soft_wrap=True)
    if len(lines) > BODY_LINES:
        out.print(f"  … and {len(lines) - BODY_LINES:,} more lines, {len(shown.body):,} bytes in all")


def _indented(body: bytes) -> list[str]:
    """JSON with its numbers digit for digit; anything else as it is."""
    import json

    try:
        content = json.loads(body, parse_float=orjson.Fragment, parse_int=orjson.Fragment)
        return orjson.dumps(content, option=orjson.OPT_INDENT_2).decode().splitlines()
    except (ValueError, RecursionError):
        return body.decode("utf-8", "replace").splitlines()


# -- run, retry, results


def heading(run: RunInfo) -> Text:
    """Which run it is."""
    again = f" · sends again what is left of {run.retry_of}" if run.retry_of else ""
    details = f" · run {run.run_id} · {printable(run.source)}{again}"
    return Text.assemble((printable(run.import_name), "bold"), details)


def report(found: Report, sentences: Mapping[tuple[str, str, str], str], out: Console) -> None:
    """A run in numbers, then the rows that need attention, then warnings on the others."""
    out.print(heading(found.run))
    if not any(found.rows.values()) and not found.run.stop_detail:
        out.print("The source had no rows, so there was nothing to send.")
        return
    statuses = [status.value for status in Status]
    _counts(out, {name: (found.rows[name], found.by_status(name)) for name in found.counts}, statuses)
    groups = _groups(found, sentences)
    bad = [group for group in groups if group[0] not in GOOD]
    if bad:
        out.print("\nRows that need attention:")
        _print_groups(out, bad, len(found.counts))
        named = ",".join(dict.fromkeys(group[0] for group in bad))
        out.print(f"\nEach of them: conversions results --run {found.run.run_id} --status {named}", soft_wrap=True)
    warnings = [group for group in groups if group[0] in GOOD and group[1] not in SILENT]
    if warnings:
        out.print("\nWarnings:")
        _print_groups(out, warnings, len(found.counts))
    _print_warnings(out, found.warnings)


def _print_warnings(out: Console, warnings: Sequence[RunWarning]) -> None:
    """What was changed, left out or not understood on the way."""
    if not warnings:
        return
    out.print("\nChanged, left out or not understood:")
    table = Table.grid(padding=(0, 1), pad_edge=True)
    table.add_column(justify="right")
    table.add_column()
    for warning in warnings:
        table.add_row(f"{warning.rows:,}" if warning.rows else "", printable(warning.sentence))
    out.print(table)


Group = tuple[str, str, str, int, list[str]]
"""status, reason, sentence, rows at each destination, destinations."""


def _groups(found: Report, sentences: Mapping[tuple[str, str, str], str]) -> list[Group]:
    """Rows by reason; destinations with the same number of rows and the same sentence are told together."""
    groups: dict[tuple[str, str, str, int], list[str]] = {}
    for name, counts in found.counts.items():
        for (status, reason), count in counts.items():
            key = (status, reason, sentences.get((name, status, reason), ""), count)
            groups.setdefault(key, []).append(name)
    order = [status.value for status in reversed(Status)]
    listed = [(*key, names) for key, names in groups.items()]
    return sorted(listed, key=lambda group: (order.index(group[0]), -len(group[4]), group[4], group[1]))


def _print_groups(out: Console, groups: Sequence[Group], destinations: int) -> None:
    table = Table.grid(padding=(0, 1), pad_edge=True)
    table.add_column(justify="right")
    table.add_column()
    for status, reason, sentence, count, names in groups:
        everywhere = len(names) == destinations and destinations > 1
        where = "every destination" if everywhere else ", ".join(names)
        head = Text.assemble((f"{status} {printable(reason)}".strip(), STYLES.get(status, "")), (f" · {where}", "dim"))
        table.add_row(f"{count:,}", head.append(f"\n{printable(sentence)}" if sentence else "", "default"))
    out.print(table)


def _counts(out: Console, rows: Mapping[str, tuple[int, Mapping[str, int]]], statuses: Sequence[str]) -> None:
    """destination × status; only statuses that occur."""
    there = [status for status in statuses if any(counts.get(status) for _, counts in rows.values())]
    table = heading_table("destination", ("rows", "right"), *((status, "right") for status in there))
    for name, (total, counts) in rows.items():
        cells = [(counts.get(status, 0), STYLES[status]) for status in there]
        table.add_row(name, f"{total:,}", *(Text(f"{n:,}", style=style if n else "dim") for n, style in cells))
    out.print(table)


def counts(
    run: RunInfo,
    offered: Mapping[str, int | None],
    found: Mapping[str, Mapping[tuple[str, str], int]],
    out: Console,
) -> None:
    """One run of the ledger: rows per destination and status."""
    out.print(heading(run))
    if run.stop_detail:
        out.print(Text(f"Stopped: {printable(run.stop_detail)}", style="red"))
    elif run.finished_at_ms is None:
        out.print(Text("Not finished: still running, or its process died.", style="yellow"))
    statuses = [status.value for status in Status]
    _counts(out, {name: (offered.get(name) or 0, _sums(each)) for name, each in found.items()}, statuses)


def results(blocks: Iterable[Sequence[Mapping[str, Any]]], out: Console, most: int | None) -> int:
    """The first rows of the result table, all of it where ``most`` is None; how many rows there were."""
    wide = out.width >= WIDE
    seen = 0
    for block in blocks:
        shown = block if most is None else block[: max(most - seen, 0)]
        if shown:
            out.print(_results(shown, wide=wide))
        seen += len(block)
    return seen


def _results(rows: Sequence[Mapping[str, Any]], *, wide: bool) -> Table:
    more = ["event_name", "status", "why"] if wide else ["status", "reason"]
    files = ["file"] if len({row["file"] for row in rows}) > 1 else []
    table = heading_table("destination", *files, ("row", "right"), "event_id", *more)
    table.columns[len(files) + 2].max_width = 32
    for column in (0, len(files) + 1, *range(len(files) + 3, len(table.columns) - wide)):
        table.columns[column].no_wrap = True
    for row in rows:
        status, reason = str(row["status"]), str(row["reason"] or "")
        why = _why(status, reason, str(row["detail"] or "")) if wide and reason else Text(printable(reason))
        if wide and row["answer"]:
            why.append(f"\nanswer: {printable(row['answer'])}", "dim")
        name = [_cut(row["event_name"], 24)] if wide else []
        coloured = Text(status, style=STYLES.get(status, ""))
        file = [_cut(row["file"], 40)] if files else []
        number = f"{row['row_number']:,}"
        table.add_row(printable(row["destination"]), *file, number, _cut(row["event_id"]), *name, coloured, why)
    return table


def _cut(text: object, most: int = 60) -> str:
    """Ids may be 500 characters long; sixty tell them apart."""
    clean = printable(text)
    return clean if len(clean) <= most else f"{clean[: most - 1]}…"


def heading_table(*columns: str | tuple[str, str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for column in columns:
        if isinstance(column, tuple):
            table.add_column(column[0], justify=column[1])  # type: ignore[arg-type]
        else:
            table.add_column(column, overflow="fold")
    return table


# -- ping


def ping_line(name: str, sentence: str, *, mark: str) -> Text:
    """One line about one destination; ``mark`` is ok, warning or failed."""
    style = {"ok": "green", "warning": "yellow", "failed": "red"}[mark]
    return Text.assemble((f"{mark:8}", style), (f"{name}: ", "bold"), printable(sentence))


# -- waiting


@contextmanager
def spinner(words: str) -> Iterator[None]:
    """A sign of life on a terminal, nothing elsewhere."""
    err = console(stderr=True)
    if not err.is_terminal:
        yield
        return
    with err.status(f"{words} …"):
        yield
