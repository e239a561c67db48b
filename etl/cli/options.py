"""What is typed: the options that several commands share, and how their texts become values."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from etl.cli.program import Usage
from etl.model import Status

if TYPE_CHECKING:
    from etl.sources.base import Window


def moment(text: str) -> datetime:
    """An ISO 8601 time; without a zone it is UTC."""
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not an ISO 8601 time such as 2026-11-20T21:00:00Z.") from None
    try:
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except OverflowError:
        raise typer.BadParameter(f"{text!r} is beyond the years 1 to 9999 in UTC.") from None


Format = Literal["table", "csv", "json", "parquet"]
ImportName = Annotated[str, typer.Argument(metavar="IMPORT", help="An import of imports.yaml.", show_default=False)]
To = Annotated[
    list[str] | None,
    typer.Option("--to", metavar="A,B", help="Only these destinations.", show_default=False),
]
From = Annotated[
    datetime | None,
    typer.Option(
        "--from", metavar="TIME", parser=moment, help="Start of the window, included. ISO 8601; UTC if it has no zone."
    ),
]
Until = Annotated[
    datetime | None,
    typer.Option(
        "--until", metavar="TIME", parser=moment, help="End of the window, excluded. ISO 8601; UTC if it has no zone."
    ),
]
OnlyImport = Annotated[str | None, typer.Option("--import", metavar="IMPORT", help="Only this import.")]
Statuses = Annotated[
    list[str] | None,
    typer.Option("--status", metavar="S,S", help=f"Only these: {', '.join(Status)}.", show_default=False),
]


def listed(values: Sequence[str] | None, option: str = "--to") -> list[str] | None:
    """``--to A,B --to C`` as [A, B, C]; None when it was not given, which is not the same as giving nothing."""
    if values is None:
        return None
    named = list(dict.fromkeys(part.strip() for value in values for part in value.split(",") if part.strip()))
    if not named:
        raise Usage(f"{option} names nothing: say which, or leave it out.")
    return named


def known_statuses(values: Sequence[str] | None) -> list[str] | None:
    wanted = listed(values, "--status")
    for status in wanted or ():
        if status not in set(Status):
            raise Usage(f"--status {status}: a status is one of {', '.join(Status)}.")
    return wanted


def window_of(start: datetime | None, end: datetime | None) -> Window | None:
    from etl.sources.base import Window

    if start is not None and end is not None and start >= end:
        raise Usage(f"--from {start.isoformat()} is not before --until {end.isoformat()}.")
    return None if start is None and end is None else Window(start, end)
