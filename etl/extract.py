"""Extract: the source's rows under canonical names. Nothing is judged here but the header."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pandas as pd

from etl.errors import SourceError
from etl.sources.base import Source, Window
from schemas.conversion import COLUMNS, REQUIRED


def frames(source: Source, window: Window, columns: Mapping[str, str], chunk_rows: int) -> Iterator[pd.DataFrame]:
    """The source in chunks, index = row number, columns canonical where they are mapped or named so.

    Raises SourceError when a required column is missing, with a ``columns:`` block to start from.
    """
    for frame in source.frames(window, chunk_rows):
        yield _renamed(frame, columns, source.describe())


def _renamed(frame: pd.DataFrame, columns: Mapping[str, str], source: str) -> pd.DataFrame:
    there = [str(name) for name in frame.columns if name != "damage"]
    missing = [f"{canonical}: {name}" for canonical, name in columns.items() if name not in there]
    if missing:
        raise SourceError(f"{source}: columns.{missing[0]} — the source has no such column; it has {', '.join(there)}.")
    shadowed = {name: f"source_{name}" for name in there if name in columns and columns[name] != name}
    renamed = frame.rename(columns=shadowed | {name: canonical for canonical, name in columns.items()})
    absent = [name for name in REQUIRED if name not in renamed.columns]
    if absent:
        raise SourceError(
            f"{source}: no column for {', '.join(absent)}. Add to the import:\n{_proposal(there, columns)}"
        )
    return renamed


def _proposal(there: list[str], columns: Mapping[str, str]) -> str:
    """A ``columns:`` block, ready to paste: what is mapped already, and the likeliest guess for the rest."""
    free = [name for name in there if name not in columns.values()]
    lines = ["columns:"]
    for canonical in COLUMNS:
        guess = columns.get(canonical) or _likely(canonical, free)
        if guess is not None and guess != canonical:
            lines.append(f"  {canonical}: {guess}")
        elif guess is None and canonical in REQUIRED:
            lines.append(f"  {canonical}: ???   # one of: {', '.join(there)}")
    return "\n".join(lines)


_SYNONYMS = {
    "event_id": ("order no", "order number", "transaction id", "message id", "id", "deal id", "lead id"),
    "event_name": ("event", "event type", "conversion name", "type", "name"),
    "occurred_at": ("timestamp", "date", "time", "closed at", "created at", "datetime", "conversion time", "closed"),
    "user_id": ("user", "customer id", "contact id", "client id"),
    "email": ("e-mail", "mail", "e-mail address", "email address"),
    "phone": ("telephone", "phone number", "mobile"),
    "revenue": ("amount", "total", "value", "price", "total price"),
    "currency": ("currency code",),
    "order_id": ("order", "order id"),
    "quantity": ("qty", "items", "count"),
}


def _likely(canonical: str, free: list[str]) -> str | None:
    wanted = {canonical.replace("_", " "), *_SYNONYMS.get(canonical, ())}
    return next((name for name in free if name.strip().lower().replace("_", " ") in wanted), None)
