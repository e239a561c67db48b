"""Commands that send nothing: who can be delivered to, what a run would do, and whether vendors can be reached."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from etl.cli.options import From, To, Until, listed, moment, window_of
from etl.cli.program import GOOD, SOME_ROWS, STOPPED, Globals, Usage, app, write
from etl.model import Status

if TYPE_CHECKING:
    from etl.config import Config
    from etl.destinations.base import Destination
    from etl.sources.base import Window


@app.command()
def destinations(
    ctx: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="One vendor whole: its type, or a destination's name.", show_default=False),
    ] = None,
    import_name: Annotated[
        str | None,
        typer.Option("--import", metavar="IMPORT", help="Show what this import's `events` change.", show_default=False),
    ] = None,
    format_: Annotated[
        Literal["table", "markdown", "json"], typer.Option("--format", help="For people, for the README, for programs.")
    ] = "table",
) -> int:
    """Who can be delivered to: limits, deduplication, required columns. Needs no imports.yaml.

    With a NAME everything about one: events, settings, columns, where to look after a test event, what may go wrong.
    """
    if name is not None or import_name is not None:
        return _one(ctx.obj, name, import_name, format_)
    from etl import destinations, tables
    from etl.cli import facts

    found = {type_: destinations.find(type_).facts for type_ in destinations.types()}
    if format_ == "table":
        for table in facts.tables(found):
            tables.console().print(table)
    elif format_ == "markdown":
        write(facts.markdown(found))
    else:
        write(json.dumps([facts.plain(*each) for each in found.items()], indent=2) + "\n")
    return GOOD


def _one(program: Globals, name: str | None, import_name: str | None, format_: str) -> int:
    """One vendor whole, or each of those that an import delivers to."""
    from etl import destinations, tables
    from etl.cli import blueprint

    found = _named(program, name, import_name)
    if format_ == "json":
        write(json.dumps([blueprint.plain(*each) for each in found], indent=2) + "\n")
        return GOOD
    for class_, changed in found:
        if format_ == "markdown":
            write(blueprint.markdown(class_, destinations.all_reasons().get(class_.type, [])))
            continue
        for part in blueprint.parts(class_, changed):
            tables.console().print(part)
    return GOOD


def _named(
    program: Globals, name: str | None, import_name: str | None
) -> list[tuple[type[Destination], dict[str, str]]]:
    """The vendors meant, and for each what the import's destination says under `events`."""
    from etl import destinations

    if import_name is None and name in destinations.types():
        return [(destinations.find(name), {})]
    config = program.load()
    among = config.import_settings(import_name).to if import_name is not None else config.destination_names
    found = []
    for each in among:
        class_, raw = destinations.kind_of(config, each)
        if name in (None, each, class_.type):
            events = raw.get("events") or {} if import_name is not None else {}
            found.append((class_, {event: str(becomes) for event, becomes in events.items()}))
    if not found:
        known = ", ".join(dict.fromkeys([*destinations.types(), *config.destination_names]))
        raise Usage(f"{name}: there is no such destination (there is: {known}).")
    return found


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
