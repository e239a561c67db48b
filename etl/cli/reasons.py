"""The list of reasons as a table, as docs/reasons.md, or as plain values. Needs no imports.yaml and no ledger."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from etl.cli.program import GOOD, app, write

if TYPE_CHECKING:
    from rich.table import Table

    from etl.reasons import Reason

_HEAD = """\
# Reasons

Every code that stands under `reason` in the results, printed by `conversions reasons --format markdown`. `detail` says
more where the row does. A code that comes with `delivered` is a warning: the vendor has the row. An example that begins
with `demo-` is a row of `sample_data/orders.csv`; some of those are turned away only under an option of the import or
of the destination.
"""

_COLUMNS = ("Code", "Status", "What it means", "What to do", "Example")


@app.command()
def reasons(
    format_: Annotated[
        Literal["table", "markdown", "json"],
        typer.Option("--format", help="For people, for docs/reasons.md, for programs."),
    ] = "table",
) -> int:
    """Every reason a result may have: what it means and what to do. Needs no imports.yaml."""
    from etl.destinations import all_reasons

    found = {whose: sorted(each, key=lambda reason: reason.code) for whose, each in all_reasons().items()}
    if format_ == "table":
        from etl import tables

        tables.console().print(_table(found))
    elif format_ == "markdown":
        write(_markdown(found))
    else:
        import json

        write(json.dumps([_plain(whose, one) for whose, each in found.items() for one in each], indent=2) + "\n")
    return GOOD


def _table(found: Mapping[str, Sequence[Reason]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column()
    for whose, each in found.items():
        table.add_row(Text(whose, style="bold underline"))
        for reason in each:
            text = Text.assemble(reason.sentence, "\n", (reason.action, "dim"))
            table.add_row(Text.assemble((reason.code, "bold"), "\n", (", ".join(reason.statuses), "dim")), text)
        table.add_row()
    return table


def _markdown(found: Mapping[str, Sequence[Reason]]) -> str:
    return _HEAD + "".join(text for whose, each in found.items() for text in _section(whose, each))


def _section(whose: str, found: Sequence[Reason]) -> Iterator[str]:
    yield f"\n## {_title(whose)}\n\n"
    for line in (_COLUMNS, ["---"] * len(_COLUMNS), *map(_cells, found)):
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n"


def _title(whose: str) -> str:
    from etl import destinations

    return "Everybody's" if whose == destinations.EVERYBODY else destinations.find(whose).facts.title


def _cells(reason: Reason) -> list[str]:
    example = f"`{reason.example}`" if reason.example.startswith("demo-") else reason.example
    code = " ".join([f"`{reason.code}`", *(f"(before: `{alias}`)" for alias in _aliases(reason))])
    return [code, ", ".join(reason.statuses), reason.sentence, reason.action, example]


def _aliases(reason: Reason) -> list[str]:
    from etl.reasons import stored_as

    return stored_as(reason.code)[1:]


def _plain(whose: str, reason: Reason) -> dict[str, Any]:
    return {
        "code": reason.code,
        "whose": whose,
        "statuses": list(reason.statuses),
        "sentence": reason.sentence,
        "action": reason.action,
        "example": reason.example,
        "aliases": _aliases(reason),
    }
