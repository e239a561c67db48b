"""What a vendor adds up as one number although it is in several currencies, with the sums."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import pandas as pd

from etl.destinations.base import Destination
from etl.model import RunWarning
from schemas.rules import is_decimal

CODE = "several_currencies"

Sums = list[list[Any]]
"""Lists of metric, currency, sum as decimal text, and rows: JSON-able."""


def sums(destination: Destination, conversions: pd.DataFrame) -> Sums:
    """The money of these conversions by what the vendor adds up and by currency; empty where it has no such thing."""
    metrics = destination.metrics(conversions)
    if metrics is None or conversions.empty:
        return []
    frame = conversions[["revenue", "currency"]].assign(metric=metrics).dropna()
    frame = frame[is_decimal(frame["revenue"])]
    return [
        [metric, currency, format(sum(map(Decimal, amounts), Decimal()), "f"), len(amounts)]
        for (metric, currency), amounts in frame.groupby(["metric", "currency"])["revenue"]
    ]


def warnings(title: str, parts: Iterable[Sums]) -> list[RunWarning]:
    """One warning for each metric that has more than one currency in all the parts of a run together."""
    found: dict[str, dict[str, tuple[Decimal, int]]] = {}
    for metric, currency, amount, rows in (each for part in parts for each in part):
        before, count = found.setdefault(metric, {}).get(currency, (Decimal(), 0))
        found[metric][currency] = (before + Decimal(amount), count + rows)
    return [_warning(title, metric, sorted(money.items())) for metric, money in sorted(found.items()) if len(money) > 1]


def _warning(title: str, metric: str, money: Sequence[tuple[str, tuple[Decimal, int]]]) -> RunWarning:
    listed = ", ".join(
        f"{currency} {amount:,f} in {rows:,} row{'' if rows == 1 else 's'}" for currency, (amount, rows) in money
    )
    sentence = (
        f"{title} adds up {metric} as if it were one currency: {listed}. Bring the amounts into one before, or give "
        "every currency a destination of its own."
    )
    return RunWarning(CODE, "currency", sum(rows for _, (_, rows) in money), sentence)
