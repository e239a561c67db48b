"""Commands that send nothing: who can be delivered to, what a run would do, and whether vendors can be reached."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from etl.cli.options import From, To, Until, listed, moment, window_of
from etl.cli.program import GOOD, SOME_ROWS, STOPPED, app, write
from etl.model import Status

if TYPE_CHECKING:
    from etl.config import Config
    from etl.sources.base import Window


@app.command()
def destinations(
    format_: Annotated[
        Literal["table", "markdown", "json"], typer.Option("--format", help="For people, for the README, for programs.")
    ] = "table",
) -> int:
    """Who can be delivered to: limits, deduplication, required columns. Needs no imports.yaml."""
    from etl import destinations, tables
    from etl.cli import facts

    found = {type_: destinations.find(type_).facts for type_ in destinations.types()}
    if format_ == "table":
        for table in facts.tables(found):
            tables.console().print(table)
    elif format_ == "markdown":
        write(facts.markdown(found))
    else:
        import json

        write(json.dumps([facts.plain(*each) for each in found.items()], indent=2) + "\n")
    return GOOD


@app.command()
def check(
    ctx: typer.Context,
    what: Annotated[
        str,
        typer.Argument(
            metavar="IMPORT|FILE", help="An import, or a CSV file with canonical columns.", show_default=False
        ),
    ],
    start: From = None,
    end: Until = None,
    to: To = None,
    at: Annotated[
        datetime | None,
        typer.Option("--at", metavar="TIME", parser=moment, help="Judge ages as if it were sent then. Default: now."),
    ] = None,
) -> int:
    """Validate and build everything, send nothing.

    Shows the rows that would not go, with reasons, and the first request of each destination (secrets masked).
    """
    is_file = what.lower().endswith(".csv") or Path(what).is_file()
    name, file = (None, what) if is_file else (what, None)
    return check_import(ctx.obj.load(), name, file=file, window=window_of(start, end), to=listed(to), at=at)


def check_import(
    config: Config,
    import_name: str | None,
    *,
    file: str | None = None,
    window: Window | None = None,
    to: Sequence[str] | None = None,
    at: datetime | None = None,
) -> int:
    import glob

    from etl import preview, tables
    from etl.clock import wall_clock

    path = None if file is None else glob.escape(str(Path(file).absolute()))  # relative to here, not to imports.yaml
    with tables.spinner("Checking"):
        clock = wall_clock if at is None else lambda: int(at.timestamp() * 1000)
        checked = preview.check(config, import_name, file=path, window=window, to=to, clock=clock)
    tables.check(checked, tables.console())
    if any(each.stopped for each in checked.values()):
        return STOPPED
    rejected = any(status == Status.REJECTED for each in checked.values() for status, _ in each.counts)
    return SOME_ROWS if rejected else GOOD


@app.command()
def ping(
    ctx: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="DESTINATION…", help="All of them if none is named.", show_default=False),
    ] = None,
) -> int:
    """Can we talk to it: settings, credentials, lookup, connection. Sends no conversion."""
    from concurrent.futures import ThreadPoolExecutor

    from etl import destinations, preview, tables

    for type_ in destinations.types():
        destinations.find(type_)
    config = ctx.obj.load()
    wanted = names or config.destination_names
    with tables.spinner("Checking connections"), ThreadPoolExecutor(max_workers=max(len(wanted), 1)) as pool:
        answers = list(pool.map(lambda name: preview.ping(config, name), wanted))
    for name, (mark, sentence) in zip(wanted, answers, strict=True):
        tables.console().print(tables.ping_line(name, sentence, mark=mark), soft_wrap=True)
    return STOPPED if any(mark == "failed" for mark, _ in answers) else GOOD
