"""The command that looks back: results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from etl.cli.options import Format, OnlyImport, Statuses, To, known_statuses, listed
from etl.cli.program import GOOD, Usage, app, open_ledger, write

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
