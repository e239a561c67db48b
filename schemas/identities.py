"""What says who, what or which: values that are refused because they cannot be what they stand for.

Found by row, over every column that identifies, a source's own ones and single aliases among them. What is missing or
only written carelessly has been dealt with before (`schemas.cleaning`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from etl.columns import COLUMNS, DERIVED, IDS, NUMBERS
from schemas import aliases, spreadsheets
from schemas.casts import matches, nothing
from schemas.cleaning import hides_something, to_arrow, to_series
from schemas.contacts import DIGEST
from schemas.marks import is_identity


class Cells(NamedTuple):
    """The cells of a column (index = place), and the position of the row that each belongs to."""

    name: str
    cells: pd.Series[Any]
    rows: Any


def spreadsheet_damage(
    out: pd.DataFrame, *, rounded: bool, made: bool, typed: Collection[str] = ()
) -> tuple[pd.Series[str], pd.Series[str]]:
    """For each row the names of its ids whose digits are lost, and of its columns that hold formulas; null where there
    are none.

    ``rounded``, ``made``: see `spreadsheets.lost_digits`. ``typed`` columns were numbers by type and are left alone.
    """
    damaged, formulas = nothing(out.index), nothing(out.index)
    for name, cells, rows in [*_identifying(out), *_of_columns(out, reversed(NUMBERS))]:
        if name in typed or not (suspect := spreadsheets.suspects(cells)).any():
            continue
        some, phone = cells[suspect], name == "phone"
        if name not in ("email", "event_name", *NUMBERS):
            lost = spreadsheets.lost_digits(some, rounded=rounded, made=made, phone=phone)
            _add_name(damaged, rows[lost.index[lost]], name)
        broken = spreadsheets.formulas(some, phone=phone)
        _add_name(formulas, rows[broken.index[broken]], name)
    return damaged, formulas


def hidden(out: pd.DataFrame) -> pd.Series[str]:
    """For each row the names of its ids with characters in them that nobody sees; null where there are none.

    E-mails, phone numbers and names of events are judged by rules of their own.
    """
    names = nothing(out.index)
    for name, cells, rows in _identifying(out):
        if name not in ("email", "phone", "event_name"):
            found = hides_something(cells)
            _add_name(names, rows[found.index[found]], name)
    return names


def lower_digests(column: pd.Series[Any]) -> pd.Series[Any]:
    """SHA-256 digests in lower case; what else there is stays."""
    digests = matches(column, DIGEST)
    return column.where(~digests, column.str.lower()) if digests.any() else column


def _identifying(out: pd.DataFrame) -> Iterator[Cells]:
    own = [str(name) for name in out.columns if name not in {*COLUMNS, *DERIVED} and is_identity(str(name))]
    yield from _of_columns(out, (*IDS, "email", "phone", *own, "event_name"))
    if not out["aliases"].isna().all():
        found = aliases.exploded(to_arrow(out["aliases"]))
        places = pd.RangeIndex(len(found.rows))
        yield Cells("aliases", to_series(aliases.values(found.aliases), places), found.rows)


def _of_columns(out: pd.DataFrame, names: Any) -> Iterator[Cells]:
    places = np.arange(len(out))
    for name in names:
        if isinstance(out[name].dtype, pd.StringDtype) and not out[name].isna().all():
            yield Cells(name, out[name].set_axis(places), places)


def _add_name(names: pd.Series[str], rows: Any, name: str) -> None:
    """Add a column's name to the list of names that the rows at these positions have."""
    if len(rows):
        there = np.unique(rows)
        names.iloc[there] = (names.iloc[there] + ", ").fillna("") + name
