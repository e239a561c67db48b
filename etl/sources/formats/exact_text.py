"""Typed values, as Parquet files and databases hold them, as exact text: what they are, never what a float makes of it.

Moments become ISO 8601 (with a zone only if they had one), decimals plain digits, lists and objects compact JSON, and
floating-point numbers digits as far as such a number holds every whole one; past that they keep an exponent, by which
`schemas.numbers.inexact` knows them. A frame's ``attrs`` say which columns were numbers, see `etl.columns`.
Nulls stay null.
"""

from __future__ import annotations

import datetime
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any

import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from etl import reasons
from etl.columns import PARSE_ERROR, TYPED_NUMBERS, reserved_name, seen
from etl.errors import SourceError

_TEXT = pa.large_string()


_EXACT_TO = {pa.float64(): 2**53, pa.float32(): 2**24, pa.float16(): 2**11}
"""Up to where a type of floating-point number holds every whole number."""

_NUMBERS = {int, float, Decimal, type(None)}


class NotText(ValueError):
    """Bytes that are no text."""


# -- frames


def of_table(table: pa.Table, first: int, used: Collection[str], unreadable: Counter[str]) -> pd.DataFrame:
    """An Arrow table as a frame of text; index = row number from ``first``, `PARSE_ERROR` as `Source.frames` says.

    A column that is not ``used`` is left out where it holds bytes that are no text, counted in ``unreadable``.
    """
    columns = [_arrow_column(column) for column in table.columns]
    numbers = [name for name, column in zip(table.column_names, table.columns, strict=True) if _is_number(column.type)]
    texts = dict(zip(table.column_names, columns, strict=True))
    return _frame(texts, first, table.num_rows, numbers, used, unreadable)


def of_rows(
    names: Sequence[str], rows: Sequence[Sequence[Any]], first: int, used: Collection[str], unreadable: Counter[str]
) -> pd.DataFrame:
    """Rows of Python values as a frame of text; see `of_table`."""
    cells: list[Sequence[Any]] = list(zip(*rows, strict=True)) if rows else [() for _ in names]
    numbers = [name for name, column in zip(names, cells, strict=True) if column and {*map(type, column)} <= _NUMBERS]
    texts = {name: _values(column) for name, column in zip(names, cells, strict=True)}
    return _frame(texts, first, len(rows), numbers, used, unreadable)


def refuse_too_wide(columns: int, what: str) -> None:
    """Raise SourceError, which names ``what``, for more columns than any table of conversions has."""
    if columns > MOST_COLUMNS:
        raise SourceError(
            f"{what}: {columns:,} columns, and {MOST_COLUMNS:,} are the most that are read: leave some out."
        )


def names(given: Sequence[str], what: str) -> list[str]:
    """The column names as frames carry them, without what nobody sees at either end.

    Raises SourceError, which names ``what``, when one stands there twice.
    """
    refuse_too_wide(len(given), what)
    given = [seen(name) or name for name in given]
    twice = [name for name, count in Counter(given).items() if count > 1]
    if twice:
        raise SourceError(f"{what}: {', '.join(twice)} is the name of more than one column: rename one of them.")
    return [reserved_name(name, given) if name == PARSE_ERROR else name for name in given]


MOST_COLUMNS = 2_000
"""What one table may have; exports that put each answer or product into a column of its own have some hundreds."""

_TextColumn = tuple[Any, list[int]]
"""A column's texts, and the positions of the rows whose value is no text."""


def _frame(
    columns: Mapping[str, _TextColumn],
    first: int,
    rows: int,
    numbers: Sequence[str],
    used: Collection[str],
    unreadable: Counter[str],
) -> pd.DataFrame:
    errors: list[str | None] = [None] * rows
    texts = {}
    for name, (text, broken) in columns.items():
        if broken and name not in used:
            unreadable[name] += len(broken)
            continue
        texts[name] = _text(text)
        for row in broken:
            errors[row] = errors[row] or f"{reasons.NOT_TEXT.code}: {name} holds bytes that are no text (UTF-8)."
    index = pd.RangeIndex(first, first + rows, name="row_number")
    frame = pd.DataFrame(texts | {PARSE_ERROR: _text(pa.array(errors, _TEXT))}, index=index)
    frame.attrs[TYPED_NUMBERS] = list(numbers)
    return frame


def _text(arrow: Any) -> Any:
    return pd.array(arrow, dtype="str")


# -- columns of Arrow


def _arrow_column(column: Any) -> _TextColumn:
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType) and kind.extension_name != "arrow.uuid":
        column = column.cast(kind.storage_type)
        kind = column.type
    if pa.types.is_dictionary(kind):
        return _arrow_column(pc.cast(column, kind.value_type))
    if pa.types.is_timestamp(kind) or pa.types.is_time(kind):
        return _moments(column), []
    if pa.types.is_floating(kind):
        return _floats(column), []
    if pa.types.is_date64(kind):
        column = pc.cast(column, pa.date32())
    if _is_plain(kind):
        return pc.cast(column, _TEXT), []
    return _values(_mapped(column) if _has_maps(kind) else column.to_pylist())


def _is_plain(kind: Any) -> bool:
    """Types that Arrow itself writes exactly; it gives small decimals an exponent, and bytes may be no text."""
    tests = ("is_string", "is_large_string", "is_string_view", "is_integer", "is_boolean", "is_date")
    return any(getattr(pa.types, test)(kind) for test in (*tests, "is_null"))


def _is_number(kind: Any) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_number(kind.value_type)
    return any(test(kind) for test in (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal))


def _floats(column: Any) -> Any:
    """Digits as Arrow writes them, the shortest that are this number and no other; exponents only past `_EXACT_TO`."""
    exact_to = _EXACT_TO.get(column.type, 2**24)
    past = pc.greater(pc.abs(pc.cast(column, pa.float64())), float(exact_to)).fill_null(False)
    text = pc.cast(column, _TEXT)
    spelled = pc.match_substring(text, "e").fill_null(False)
    if not pc.any(pc.or_(past, spelled)).as_py():
        return text
    return pa.array(
        [
            value if value is None else _with_exponent(value) if is_past else _without_exponent(value)
            for value, is_past in zip(text.to_pylist(), past.to_pylist(), strict=True)
        ],
        _TEXT,
    )


def _with_exponent(text: str) -> str:
    return text if "e" in text or text.endswith("inf") else f"{Decimal(text):e}"


def _without_exponent(text: str) -> str:
    return format(Decimal(text), "f") if "e" in text else text


def _mapped(column: Any) -> list[Any]:
    """Maps as objects; as lists of pairs where one has a key twice, which an object would lose."""
    try:
        return list(column.to_pylist(maps_as_pydicts="strict"))
    except KeyError:
        return list(column.to_pylist())


def _has_maps(kind: Any) -> bool:
    return pa.types.is_map(kind) or any(_has_maps(kind.field(at).type) for at in range(kind.num_fields))


def _moments(column: Any) -> Any:
    """2026-11-20T09:30:00.123Z; without the Z where the column has no zone."""
    if getattr(column.type, "tz", None) is not None:
        column = pc.cast(column, pa.timestamp(column.type.unit, "UTC"))
    text = pc.replace_substring_regex(pc.cast(column, _TEXT), r"\.0+(Z?)$", r"\1")
    return pc.replace_substring(text, " ", "T", max_replacements=1)


# -- values of Python


def _values(values: Sequence[Any]) -> _TextColumn:
    kinds = {*map(type, values)} - {type(None)}
    if kinds <= {str}:
        return pa.array(values, _TEXT), []
    if kinds == {float}:
        return _floats(pa.array(values, pa.float64())), []
    texts: list[str | None] = []
    broken = []
    for at, value in enumerate(values):
        try:
            texts.append(None if value is None else exact(value))
        except NotText:
            texts.append(None)
            broken.append(at)
    return pa.array(texts, _TEXT), broken


def exact(value: Any) -> str:
    """One value that is not null, as exact text. Raises NotText."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, float):
        return str(_floats(pa.array([value], pa.float64()))[0].as_py())
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat().removesuffix("+00:00") + "Z" if _is_utc(value) else value.isoformat()
    if isinstance(value, bytes | bytearray | memoryview):
        try:
            return bytes(value).decode()
        except UnicodeDecodeError:
            raise NotText from None
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return _json(value)
    return str(value)


def _json(value: Any) -> str:
    """Raises NotText where bytes in it are no text."""
    try:
        return orjson.dumps(value, default=_json_default, option=orjson.OPT_NON_STR_KEYS).decode()
    except orjson.JSONEncodeError as error:
        if isinstance(error.__cause__, NotText):
            raise NotText from None
    # Whole numbers of more than 64 bits, which orjson does not write.
    return json.dumps(value, default=exact, ensure_ascii=False, separators=(",", ":"))


def _is_utc(value: Any) -> bool:
    return isinstance(value, datetime.datetime) and value.utcoffset() == datetime.timedelta(0)


def _json_default(value: Any) -> Any:
    """What JSON has no type for: exact numbers stay numbers, the rest is text."""
    if isinstance(value, Decimal) and value.is_finite():
        return orjson.Fragment(format(value, "f"))
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    return exact(value)
