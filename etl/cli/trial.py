"""Commands to try it out: the vendors on localhost, and sample rows."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from etl.cli.options import moment
from etl.cli.program import GOOD, STOPPED, app, say


@app.command()
def sandbox(
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes any free port.")] = 8900,
    faults: Annotated[
        Path | None, typer.Option("--faults", metavar="F.yaml", help="A YAML list of faults.", show_default=False)
    ] = None,
) -> int:
    """Play the vendors on localhost, strictly, until Ctrl-C."""
    from etl.sandbox import FaultError, serve

    try:
        serve(port, faults)
    except FaultError as error:
        say(f"--faults {error}")
        return STOPPED
    except OSError as error:
        say(f"Port {port} cannot be opened: {error.strerror or error}. Another one: --port 0.")
        return STOPPED
    return GOOD


@app.command()
def sample(
    rows: Annotated[int, typer.Option("--rows", min=1, help="How many.")] = 1000,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write to this file.", show_default=False)
    ] = None,
    with_problems: Annotated[
        bool, typer.Option("--with-problems", help="A small file with one row for every way to be turned away.")
    ] = False,
    now: Annotated[datetime | None, typer.Option("--now", metavar="TIME", parser=moment, hidden=True)] = None,
) -> int:
    """Write fresh sample rows as CSV: canonical columns, good for every vendor, inside every window.

    The event_ids are the same every time, so what was delivered once is a duplicate the next time.
    """
    from etl import sample
    from etl.cli import export

    at = now or datetime.now(UTC)
    lines = sample.showcase(at) if with_problems else sample.rows(rows, at)
    with export.target(out) as stream, export.text(stream) as text:
        sample.write(lines, text)
    return GOOD
