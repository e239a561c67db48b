"""Commands that deliver: an import, dead letters, dropped files."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from etl.cli.options import From, ImportName, OnlyImport, To, Until, known_statuses, listed, window_of
from etl.cli.program import GOOD, SOME_ROWS, Usage, app, open_ledger, say, write
from etl.cli.shutdown import graceful_shutdown
from etl.cli.vendors import check_import
from etl.model import Status

if TYPE_CHECKING:
    from etl.config import Config
    from etl.drops import Outcome
    from etl.report import Report


@app.command()
def run(
    ctx: typer.Context,
    import_name: ImportName,
    start: From = None,
    end: Until = None,
    to: To = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            metavar="N",
            min=1,
            help="Send each destination the first N rows that it would be sent, and read no further.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Like check: send nothing, write nothing, show the plan for all rows.")
    ] = False,
) -> int:
    """Deliver an import: read its source, send what has not been sent yet, say what became of every row.

    Without --from, --until and --limit, what failed in earlier runs of the import goes first.
    """
    from etl import retry, tables
    from etl.cli.progress import progress_bars

    config = ctx.obj.load()
    window = window_of(start, end)
    if dry_run and limit is not None:
        raise Usage("--dry-run sends nothing and shows the plan for all rows: leave --limit out.")
    if dry_run:
        return check_import(config, import_name, window=window, to=listed(to))
    with progress_bars(tables.console(stderr=True)) as shown, graceful_shutdown(shown) as (progress, code):
        found = retry.run(config, import_name, window=window, to=listed(to), limit=limit, progress=progress)
    _print_reports(config, found)
    if limit is not None:
        _print_where_to_look(config, found)
    return code(max([each.exit_code for each in found], default=GOOD))


@app.command()
def retry(
    ctx: typer.Context,
    import_name: OnlyImport = None,
    run_id: Annotated[str | None, typer.Option("--run", metavar="RUN", help="Only what this run left.")] = None,
    to: To = None,
    status: Annotated[
        list[str] | None,
        typer.Option(
            "--status",
            metavar="failed,unknown",
            help="What to send again. Naming unknown here is your word that a repeat is right, also where the vendor "
            "would count it twice.",
            show_default=False,
        ),
    ] = None,
) -> int:
    """Send dead letters again: rows that failed, and unknown ones where the vendor counts a repeat once."""
    from etl import retry, tables
    from etl.cli.progress import progress_bars

    config = ctx.obj.load()
    asked = known_statuses(status)
    chosen = {"import_name": import_name, "run_id": run_id, "to": listed(to)}
    if run_id is not None:
        with open_ledger(config) as ledger:
            ledger.runs.get(run_id)
    force_unknown = asked is not None and Status.UNKNOWN in asked
    left_out = {} if asked is not None else retry.unknown_unsafe(config, **chosen)  # type: ignore[arg-type]
    stays: list[str] = []
    with progress_bars(tables.console(stderr=True)) as shown, graceful_shutdown(shown) as (progress, code):
        again = retry.retry(
            config,
            **chosen,  # type: ignore[arg-type]
            statuses=asked or ("failed", "unknown"),
            force_unknown=force_unknown,
            progress=progress,
            on_skip=stays.append,
        )
    _print_reports(config, again)
    for sentence in stays:
        say(sentence)
    if not again and not stays:
        write("Nothing to send again.\n")
    for name, count in left_out.items():
        write(_unknown_hint(config, name, count))
    worst = max([found.exit_code for found in again], default=GOOD)
    return code(max(worst, SOME_ROWS if stays else GOOD))


@app.command()
def drops(
    ctx: typer.Context,
    import_name: Annotated[
        str | None,
        typer.Argument(metavar="[IMPORT]", help="Default: every import with a `drop`.", show_default=False),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Look once; leave what may still be growing to the next time.")
    ] = False,
) -> int:
    """Import the files that were dropped, move them away and write the answers beside them.

    Waits until files that may still be growing have come to rest, unless --once.
    """
    from etl import drops

    config = ctx.obj.load()
    names = [import_name] if import_name else [n for n, each in config.imports.items() if each.drop is not None]
    if not names:
        raise Usage("No import has a `drop`: it says which folder or bucket files are dropped into.")
    worst = GOOD
    handled = 0
    while True:
        outcomes, growing = drops.process_all(config, names)
        for outcome in outcomes:
            _print_drop(outcome)
        handled += len(outcomes)
        worst = max([worst, *(outcome.exit_code for outcome in outcomes)])
        if once or not growing or any(outcome.state == "left" for outcome in outcomes):
            break
        time.sleep(1)
    for file in growing:
        write(f"{file.name}: may still be growing, left where it is.\n")
    if not handled and not growing:
        write("Nothing was dropped.\n")
    return worst


def _print_drop(outcome: Outcome) -> None:
    """One file in a line, and its destinations in one each."""
    if outcome.state == "updated":
        write(f"{outcome.file.name}: {outcome.sentence}\n")
        return
    place = f" → {outcome.place}" if outcome.place else ""
    write(f"{outcome.file.name}: {outcome.state}{place}\n")
    if outcome.report is not None and outcome.state != "tried":
        for name in (each for each, rows in outcome.report.rows.items() if rows):
            counts = ", ".join(f"{rows:,} {status}" for status, rows in outcome.report.by_status(name).items())
            write(f"  {name}: {counts or 'no results'}\n")
        for stop in outcome.report.stops.values():
            say(stop.detail)
    if outcome.sentence and outcome.exit_code:
        say(f"{outcome.file.name}: {outcome.sentence}")
    elif outcome.sentence:
        write(f"  {outcome.sentence}\n")


def _unknown_hint(config: Config, name: str, count: int) -> str:
    from etl import tables
    from etl.destinations import make_destination

    title = make_destination(config, name).facts.title
    return (
        f"{tables.plural(count)} at {name} may have been accepted, and {title} would count a repeat twice: look them "
        f"up there (conversions results --run all --to {name} --status unknown), then send them again with "
        f"conversions retry --to {name} --status unknown\n"
    )


def _print_where_to_look(config: Config, reports: Sequence[Report]) -> None:
    """For each destination that took rows, where they will be seen, and after how long."""
    from etl.destinations import make_destination

    for name in dict.fromkeys(name for found in reports for name in found.counts):
        facts = make_destination(config, name).facts
        if facts.where_to_look and any(Status.DELIVERED in found.by_status(name) for found in reports):
            write(f"\nWhere to look for it at {name}: {facts.where_to_look}\n")


def _print_reports(config: Config, reports: Sequence[Report]) -> None:
    """The runs in numbers; what stopped goes to standard error, where errors go."""
    from etl import tables

    with open_ledger(config) as ledger:
        for found in reports:
            tables.report(found, ledger.results.first_details(found.run.run_no), tables.console())
            sys.stdout.flush()
            for stop in found.stops.values():
                say(stop.detail)
            if found.run.stop_detail:
                say(found.run.stop_detail)
