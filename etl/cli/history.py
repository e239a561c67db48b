"""Commands that look back: results, and the upkeep of the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from etl.cli.options import Format, OnlyImport, Statuses, To, known_statuses, listed
from etl.cli.program import GOOD, Usage, app, ledger_app, open_ledger, write

if TYPE_CHECKING:
    from etl.config import Config
    from etl.ledger import Ledger, RunInfo


@app.command()
def results(
    ctx: typer.Context,
    import_name: OnlyImport = None,
    run_id: Annotated[
        str | None,
        typer.Option(
            "--run", metavar="RUN", help="This run, or all. Default: the latest of each import.", show_default=False
        ),
    ] = None,
    to: To = None,
    status: Statuses = None,
    format_: Annotated[
        Format | None, typer.Option("--format", help="Default: table, or what --out ends with.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write to this file.", show_default=False)
    ] = None,
) -> int:
    """What became of the rows: one line per row and destination.

    The table shows the first 200; csv, json and parquet hold everything, whatever the size.
    """
    from etl import tables
    from etl.cli import export
    from etl.ledger import RESULT_COLUMNS

    config = ctx.obj.load()
    kind = _format(format_, out)
    with open_ledger(config) as ledger, export.target(out) as stream:
        runs = _runs(config, ledger, import_name, run_id)
        names = _known_destinations(config, ledger, runs, listed(to))
        blocks = ledger.results.table(
            run_ids=None if run_id == "all" else [each.run_id for each in runs],
            import_name=import_name,
            destinations=names,
            statuses=known_statuses(status),
        )
        if kind in export.FORMATS:
            export.FORMATS[kind](blocks, RESULT_COLUMNS, stream)
        elif out is not None:
            with export.text(stream) as lines:
                tables.results(blocks, tables.ResultConsole(file=lines, width=200, markup=False, highlight=False), None)
        elif not runs:
            write("Nothing has run yet: conversions run IMPORT\n")
        else:
            _print_results(ledger, runs, blocks, counted=run_id != "all")
    return GOOD


def _print_results(ledger: Ledger, runs: Sequence[RunInfo], blocks: Any, *, counted: bool) -> None:
    """The counts of each run, then the first rows."""
    from etl import tables

    console = tables.console()
    for each in runs if counted else ():
        tables.counts(each, ledger.runs.rows_read(each.run_no), ledger.results.counts(each.run_no), console)
        console.print()
    total = tables.results(blocks, console, tables.RESULTS_SHOWN)
    if total > tables.RESULTS_SHOWN:
        console.print(f"… and {total - tables.RESULTS_SHOWN:,} more: --format csv, json or parquet holds them all.")
    elif not total:
        console.print("No rows.")


def _format(asked: str | None, out: Path | None) -> str:
    ending = out.suffix[1:].lower() if out else ""
    kind = asked or (ending if ending in ("csv", "json", "parquet") else "table")
    if kind == "parquet" and (out is None or str(out) == "-"):
        raise Usage("--format parquet needs --out FILE.")
    return kind


def _runs(config: Config, ledger: Ledger, import_name: str | None, run_id: str | None) -> list[RunInfo]:
    if run_id not in (None, "all"):
        return [ledger.runs.get(run_id)]
    runs = ledger.runs.all(import_name) if run_id == "all" else ledger.runs.latest(import_name)
    if import_name is not None and not runs:
        config.import_settings(import_name)  # says so if there is none of that name
    return runs


def _known_destinations(
    config: Config, ledger: Ledger, runs: Sequence[RunInfo], names: list[str] | None
) -> list[str] | None:
    """The names as asked for; one that neither imports.yaml nor these runs know is said to be unknown."""
    from etl.destinations import make_destination

    for name in set(names or ()) - set(config.destination_names):
        if not any(name in ledger.runs.destinations(each.run_no) for each in runs):
            make_destination(config, name)
    return names


@ledger_app.callback()
def ledger_(ctx: typer.Context) -> None:
    """The ledger: the database of runs and results."""
    if ctx.invoked_subcommand is None:
        write(f"{ctx.get_help()}\n")


@ledger_app.command()
def upgrade(ctx: typer.Context) -> int:
    """Bring the ledger's tables to this version; make them if there are none."""
    from etl.ledger import Ledger

    with Ledger(ctx.obj.load().ledger_url) as ledger:
        ledger.upgrade()
    write("The ledger is up to date.\n")
    return GOOD


@ledger_app.command()
def prune(
    ctx: typer.Context,
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="90d", help="What runs begun that long ago wrote down.")
    ],
) -> int:
    """Forget rows that were turned away long ago. What was delivered, or may have been, is never forgotten."""
    from datetime import timedelta

    days = older_than.strip().lower().removesuffix("d")
    if not (days.isascii() and days.isdigit() and 1 <= int(days) <= 36_500):
        raise Usage(f"--older-than {older_than}: a number of days such as 90d.")
    before = datetime.now(UTC) - timedelta(days=int(days))
    with open_ledger(ctx.obj.load()) as ledger:
        done = ledger.prune(int(before.timestamp() * 1000))
    write(f"Forgotten: {done.entries:,} results, {done.batches:,} batches, {done.runs:,} runs.\n")
    return GOOD
