"""One amount for everybody: what a row's ``properties`` say of its revenue beside the column of that name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson
import pandas as pd

from etl.columns import ALSO_CALLED, normalize
from etl.model import RunWarning
from schemas.casts import contains

NAMES = ("total_price", "revenue", "value", *ALSO_CALLED)
"""Names under which vendors look for an amount among the properties, however they are spelled."""

CODE = "amount_in_properties"

_SPELLED = {normalize(name) for name in NAMES}
_MAYBE = r'(?i)"\s*(?:total(?:[\s_-]*price)?|revenue|value)\s*"\s*:'
_EXACT = json.JSONDecoder(parse_float=orjson.Fragment, parse_int=orjson.Fragment)
"""Reads JSON so that numbers keep their digits."""


def one_amount(conversions: pd.DataFrame) -> tuple[pd.DataFrame, list[RunWarning]]:
    """The rows without those properties that give another amount than the row's ``revenue``, and how many there were.

    ``conversions`` are rows that `conversion.SCHEMA` finds good. A row without revenue keeps what it has.
    """
    maybe = conversions["revenue"].notna() & contains(conversions["properties"], _MAYBE)
    changed = {}
    found: dict[str, int] = {}
    for row, text, revenue in conversions.loc[maybe, ["properties", "revenue"]].itertuples():
        properties = _EXACT.decode(text)
        others = list(_others(properties, revenue))
        if others:
            kept = {name: value for name, value in properties.items() if name not in others}
            changed[row] = orjson.dumps(kept).decode()
            found |= {name: found.get(name, 0) + 1 for name in others}
    if not changed:
        return conversions, []
    properties = conversions["properties"].copy()
    properties[list(changed)] = list(changed.values())
    return conversions.assign(properties=properties), [_warning(name, rows) for name, rows in found.items()]


def _others(properties: dict[str, Any], revenue: str) -> Iterator[str]:
    for name, value in properties.items():
        if normalize(name) in _SPELLED and value is not None and not _is_same(value, revenue):
            yield name


def _is_same(value: Any, revenue: str) -> bool:
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    try:
        return Decimal(text) == Decimal(revenue)
    except InvalidOperation:
        return False


def _warning(name: str, rows: int) -> RunWarning:
    sentence = (
        f"properties hold {name}, which differs from the revenue of the row: it was left out, so that every "
        "destination is told one amount; rename it where it is something else."
    )
    return RunWarning(CODE, "properties", rows, sentence)
