"""Cells: what columns of text are made of others, by column. Nothing is judged, and no header is known here."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np
import orjson
import pandas as pd

from etl import json_columns
from etl.column_settings import template_parts
from etl.model import RunWarning
from schemas import cleaning, spreadsheets


def stripped(column: pd.Series[Any]) -> pd.Series[str]:
    """Cells without what nobody sees at either end; null becomes empty text."""
    return cleaning.trimmed(column).astype("str").fillna("")


def given(column: pd.Series[Any], nothing: Collection[str]) -> pd.Series[str]:
    """The same, and empty where a cell is one of the marks for nothing (lower case)."""
    cells = stripped(column)
    empty = cells.str.lower().isin(nothing)
    return cells.mask(empty, "") if empty.any() else cells


def joined(parts: Sequence[pd.Series[str]], *, whole: bool) -> pd.Series[str]:
    """The cells joined by a space, empty ones left out; with ``whole`` all or nothing."""
    made = parts[0]
    for part in parts[1:]:
        gap = np.where((made != "") & (part != ""), " ", "")
        made = made + pd.Series(gap, index=made.index, dtype="str") + part
    return made.mask(_any_empty(parts), "") if whole and len(parts) > 1 else made


def filled(template: str, parts: Sequence[pd.Series[str]]) -> pd.Series[str]:
    """The template with a row's cells; empty where one of these is."""
    cells = iter(parts)
    made = pd.Series("", index=parts[0].index, dtype="str")
    for text, name in template_parts(template):
        made = made + text + (next(cells) if name is not None else "")
    return made.mask(_any_empty(parts), "")


def or_broken(made: pd.Series[str], parts: Sequence[pd.Series[str]]) -> pd.Series[str]:
    """What was made of several cells; where one of them is broken that cell alone, so that it cannot hide."""
    for part in parts:
        suspect = spreadsheets.suspects(part)
        if suspect.any():
            some = part[suspect]
            broken = spreadsheets.formulas(some) | spreadsheets.lost_digits(some, rounded=False, made=True)
            made = made.mask(part.index.isin(broken.index[broken]), part)
    return made


def _any_empty(parts: Sequence[pd.Series[str]]) -> pd.Series[bool]:
    return pd.concat([part == "" for part in parts], axis=1).any(axis=1)


_SIGNED = re.compile(r"[-\u2212\u2010-\u2013]\s*(?P<behind>\S.*)|(?P<before>.*\S)\s*-|\((?P<inside>.*)\)", re.DOTALL)


def negated(numbers: pd.Series[str]) -> pd.Series[str]:
    return numbers.map(_with_other_sign).astype("str")


def _with_other_sign(text: str) -> str:
    """A number as text with its sign turned round, however the source writes signs; zero and what is none stay."""
    if not re.search("[1-9]", text) or text.startswith(("=", "#")):
        return text
    if found := _SIGNED.fullmatch(text):
        return str(found["behind"] or found["before"] or found["inside"]).strip()
    return f"-{text.removeprefix('+')}"


_WHOLE = re.compile(r"(?P<sign>[-+]?)(?P<digits>[0-9]{1,18})(?:\.0*)?")


def divided(numbers: pd.Series[str], by: int) -> pd.Series[str]:
    """Whole numbers of cents and the like as units, exactly; what is no whole number says so and is none."""
    return numbers.map(lambda text: _divided(text, by)).astype("str")


def _divided(text: str, by: int) -> str:
    if not text:
        return text
    found = _WHOLE.fullmatch(text)
    if found is None:
        return f"{text} / {by}"
    places = len(str(by)) - 1
    digits = found["digits"].rjust(places + 1, "0")
    decimals = digits[-places:].rstrip("0").ljust(min(places, 2), "0")
    if by > 1000 and len(decimals) == 3:  # 1.999 might be taken for thousands
        decimals += "0"
    return f"{found['sign']}{digits[:-places]}.{decimals}"


# -- properties


def without_second_values(out: pd.DataFrame, fields: Mapping[str, str], warnings: list[RunWarning]) -> pd.Series[str]:
    """``properties`` without what says otherwise than a column of the row: every vendor gets one amount of it."""
    given = out["properties"]
    names = [name for name in fields if fields[name] in out.columns]
    if not names or given.isna().all():
        return given
    pattern = '"(?:' + "|".join(map(re.escape, names)) + r')"\s*:'
    suspect = given[given.str.contains(pattern, regex=True).fillna(False).astype(bool)]
    counts: dict[str, int] = {}
    changed: dict[Any, str] = {}
    for row, text in suspect.items():
        cells = {name: str(cell) for name in names if _is_given(cell := out.at[row, fields[name]])}
        second = _second_values(str(text), cells)
        if second:
            changed[row] = json_columns.without_keys(str(text), second)
            counts |= {name: counts.get(name, 0) + 1 for name in second}
    for name, rows in counts.items():
        sentence = f"properties: {name} is left out where the column {fields[name]} says otherwise."
        warnings.append(RunWarning("property_outweighed", name, rows, sentence))
    if not changed:
        return given
    return given.mask(given.index.isin(list(changed)), pd.Series(changed, dtype="str").reindex(given.index))


def _is_given(cell: object) -> bool:
    return isinstance(cell, str) and bool(cell.strip())


def _second_values(text: str, cells: Mapping[str, str]) -> list[str]:
    try:
        given = orjson.loads(text)
    except orjson.JSONDecodeError:
        return []
    if not isinstance(given, dict):
        return []
    return [name for name, cell in cells.items() if given.get(name) is not None and not _same(given[name], cell)]


def _same(value: object, cell: str) -> bool:
    if str(value) == cell.strip():
        return True
    try:
        return not isinstance(value, bool) and Decimal(str(value)) == Decimal(cell.strip())
    except InvalidOperation:
        return False
