"""Commands for the ledger itself: its version, copies of it, accounts behind names, and what it forgets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from etl.cli.options import moment
from etl.cli.program import GOOD, Usage, ledger_app, open_ledger, write


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
def backup(
    ctx: typer.Context, file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that is not there yet.")]
) -> int:
    """Copy the whole ledger into one file, while runs go on."""
    with open_ledger(ctx.obj.load()) as ledger:
        ledger.backup(file)
    write(f"Copied to {file}.\n")
    return GOOD


@ledger_app.command()
def restore(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `ledger backup` has written.")],
    yes: Annotated[bool, typer.Option("--yes", help="Replace a ledger that has runs.")] = False,
) -> int:
    """Put a copy in the place of all that the ledger holds. Not while a run lives."""
    with open_ledger(ctx.obj.load()) as ledger:
        if (runs := len(ledger.runs.all())) and not yes:
            raise Usage(f"The ledger has {runs:,} runs, which the copy would replace: say --yes if that is meant.")
        ledger.restore(file)
    write("Put back. The next run says what is missing, if anything was delivered since.\n")
    return GOOD


@ledger_app.command()
def accept(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="[DESTINATION]", help="The account it is now.")] = None,
    gap_from: Annotated[
        datetime | None,
        typer.Option(
            "--gap-from", metavar="T", parser=moment, help="Since when the ledger may not know everything. ISO 8601."
        ),
    ] = None,
) -> int:
    """Go on with what has changed: a destination's account, or a ledger that was put back from a copy."""
    from etl.delivery import identity
    from etl.destinations import make_destination
    from etl.redact import host_of
    from etl.stages import continuity

    if (name is None) == (gap_from is None):
        raise Usage("Name a destination whose account is the same under new names, or say --gap-from T.")
    config = ctx.obj.load()
    with open_ledger(config) as ledger:
        if name is not None:
            destination = make_destination(config, name)
            known = ledger.identities.known(name)
            now = identity.identity(destination, ledger)
            ledger.identities.take(name, now, host_of(destination.endpoint), is_trial=known.is_trial)
            write(f"{name}: its {ledger.identities.keys(name):,} keys count for the account in imports.yaml.\n")
            return GOOD
        continuity.accept_gap(config, ledger, int(datetime.now(UTC).timestamp() * 1000))
    write(
        f"The ledger goes on; since {gap_from:%Y-%m-%d %H:%M:%S} UTC it may not know everything. Rows of before now "
        "that it does not know are unknown (ledger_restored) at vendors that cannot tell a repeat, until `conversions "
        "retry --status unknown` sends them.\n"
    )
    return GOOD


@ledger_app.command()
def forget(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="DESTINATION", help="Whose keys are to count no more.")],
    yes: Annotated[bool, typer.Option("--yes", help="Yes, they may all be sent again.")] = False,
) -> int:
    """Let a destination's keys count no more: another account stands behind its name, or the trial is over."""
    with open_ledger(ctx.obj.load()) as ledger:
        keys = ledger.identities.keys(name)
        if not yes:
            raise Usage(
                f"{keys:,} conversions that were delivered to {name}, or may have been, would be sent again when their "
                "rows are read again: say --yes if another account stands behind the name now."
            )
        ledger.identities.forget(name)
    write(f"{name}: {keys:,} keys count no more; the history stays.\n")
    return GOOD


@ledger_app.command()
def prune(
    ctx: typer.Context,
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="90d", help="What runs begun that long ago wrote down.")
    ],
) -> int:
    """Forget rows that were turned away long ago. What was delivered, or may have been, is never forgotten."""
    days = older_than.strip().lower().removesuffix("d")
    if not (days.isascii() and days.isdigit() and 1 <= int(days) <= 36_500):
        raise Usage(f"--older-than {older_than}: a number of days such as 90d.")
    before = datetime.now(UTC) - timedelta(days=int(days))
    with open_ledger(ctx.obj.load()) as ledger:
        done = ledger.prune(int(before.timestamp() * 1000))
    write(f"Forgotten: {done.entries:,} results, {done.batches:,} batches, {done.runs:,} runs.\n")
    return GOOD
