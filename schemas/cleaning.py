"""Cells as they were meant: what nobody sees, quotes around an id and marks for nothing are taken away, and counted.

By column, before anything is compared, named or judged. Nothing is guessed: a value that stands between two invisible
characters is that value, and a mark is one of a list (docs/cleaning.md). What a spreadsheet broke is not mended here:
`schemas.spreadsheets` finds it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from etl.model import RunWarning
from schemas import aliases
from schemas.marks import INVISIBLE, MAYBE_PLACEHOLDER, SHEET_TEXT, is_identity, marks, placeholder_forms

TEXT = pa.large_string()

HIDDEN = r"[\p{Cc}\p{Cf}\x{2028}\x{2029}]"
"""Control and format characters and breaks of lines: inside an id they reject it."""

_QUOTES = (
    *("“”", "„“", "„”", "””", "““", "«»", "»«", "‹›", "›‹", "‘’", "‚‘", "‚’", "’’", "「」", "『』"),
    *('""', "''", "``", "＂＂"),
)
"""Pairs of quotation marks: opening and closing one."""

_QUOTED = [re.compile(f"{first}+([^{first}{last}]*){last}+", re.DOTALL) for first, last in map(tuple, _QUOTES)]
_OPENING = "".join(sorted({pair[0] for pair in _QUOTES}))

_APOSTROPHE = re.compile(r"'([0-9][0-9 ()./-]*|[=+@-][^']*)", re.DOTALL)
"""What a spreadsheet shows as text, or a careful exporter keeps a spreadsheet from calculating."""

_DIGEST = r"(?i)^urn:(?:email|phone)[a-z_]*:[0-9a-f]{64}$"
_WHOLE_DECIMAL = r"^(-?[0-9]+)\.0+$"


class Cleaned(NamedTuple):
    """A frame with clean cells, and what was changed in it, counted by column."""

    frame: pd.DataFrame
    warnings: list[RunWarning]


def clean(frame: pd.DataFrame, null_values: Sequence[str] | None = None, typed: Collection[str] = ()) -> Cleaned:
    """The frame (text columns under canonical names, index = row number) with every cell as it was meant.

    Cells that hold nothing are null. Adds ``other_event_id``: the source's own spelling of event_id where that differs.
    ``null_values``: marks for nothing beside the usual ones; an empty list switches marks off, None adds none.
    ``typed``: columns that were numbers by type; as ids they are whole numbers, whatever the scale of their type.
    """
    out = frame.copy(deep=False)
    warnings: list[RunWarning] = []
    for name in map(str, frame.columns):
        if isinstance(frame[name].dtype, pd.StringDtype):
            cells, found = _column(name, to_arrow(frame[name]), null_values, name)
            if name in typed and is_identity(name):
                cells = _whole(to_arrow(frame[name]) if cells is None else cells)
            if cells is not None:
                out[name] = to_series(cells, frame.index)
            warnings += found
    out["other_event_id"] = other_spelling(frame["event_id"], out["event_id"])
    return Cleaned(out, warnings)


def meant(
    column: pd.Series[Any], canonical: str, null_values: Sequence[str] | None = None
) -> tuple[pd.Series[Any], list[RunWarning]]:
    """One text column of a source as it was meant where something is made of it for one of ours, see `clean`."""
    cells, warnings = _column(canonical, to_arrow(column), null_values, str(column.name))
    return column if cells is None else to_series(cells, column.index), warnings


def trimmed(column: pd.Series[Any]) -> pd.Series[Any]:
    """A text column without invisible characters at either end of its values; what holds nothing is null."""
    array = to_arrow(column)
    cells = _without_blanks(pc.utf8_trim(array, INVISIBLE))
    return column if cells.equals(array) else to_series(cells, column.index)


def other_spelling(written: pd.Series[Any], used: pd.Series[Any]) -> pd.Series[Any]:
    """The id as it was written where another is used in its place, else null."""
    return written.astype("str").where(used.notna() & (written != used))


def clean_ids(column: pd.Series[Any]) -> pd.Series[Any]:
    """Ids as `clean` makes them, without a word about marks: null is what holds nothing."""
    array = to_arrow(column)
    cells = _unquoted(pc.utf8_trim(array, INVISIBLE))
    return to_series(_without_blanks(cells), column.index)


def is_printable_ascii(array: Any) -> bool:
    """True when no value of a text array holds anything but printable ASCII, found by a look at its bytes."""
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    _, offsets, values = array.buffers()
    if values is None or not len(array):
        return True
    ends = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    there = np.frombuffer(values, np.uint8)[ends[0] : ends[-1]]
    return not there.size or bool(there.min() >= 0x20 and there.max() < 0x7F)


def hides_something(column: pd.Series[Any]) -> pd.Series[bool]:
    """True where a text holds a control or format character; null is False."""
    array = to_arrow(column)
    if is_printable_ascii(array):
        return pd.Series(data=False, index=column.index)
    found = pc.match_substring_regex(array, HIDDEN).fill_null(False)
    return pd.Series(found.to_numpy(zero_copy_only=False), index=column.index)


# -- one column


def _whole(array: Any) -> Any:
    """Numbers without zeros behind their point, which are those of a DECIMAL's scale."""
    return pc.replace_substring_regex(array, _WHOLE_DECIMAL, r"\1")


def _column(name: str, array: Any, null_values: Sequence[str] | None, label: str) -> tuple[Any, list[RunWarning]]:
    """The cells of a column, None where all stay as they are, and what was changed; ``label``: its name for people."""
    warnings = []
    cells = pc.utf8_trim(array, INVISIBLE)
    if rows := _changed(array, cells):
        sentence = f"{label}: white space or invisible characters around the value were removed."
        warnings.append(RunWarning("trimmed", label, rows, sentence))
    if is_identity(name):
        unquoted = _unquoted(cells)
        if rows := _changed(cells, unquoted):
            sentence = f"{label}: quotes around the whole value were removed."
            warnings.append(RunWarning("unquoted", label, rows, sentence))
        cells = unquoted
    cells = _without_blanks(cells)
    cells, found = _without_marks(label, cells, marks(name, null_values))
    warnings += found
    if null_values is None or null_values:
        cells, found = _without_placeholders(name, label, cells)
        warnings += found
    if name == "aliases":
        cells, found = _clean_aliases(cells, null_values)
        warnings += found
    return (None if cells.equals(array) else cells), warnings


def _changed(before: Any, after: Any) -> int:
    """How many cells differ; one that holds nothing afterwards does not count, it was as good as empty."""
    if before.equals(after):
        return 0
    differ = pc.and_(pc.not_equal(before, after), pc.greater(pc.binary_length(after), 0))
    return int(pc.sum(differ).as_py() or 0)


def _without_blanks(array: Any) -> Any:
    blank = pc.equal(pc.binary_length(array), 0)
    return pc.if_else(blank, pa.scalar(None, TEXT), array) if pc.any(blank).as_py() else array


def _unquoted(array: Any) -> Any:
    """Without pairs of quotation marks around the whole of a value, where they are its only ones of their kind, and
    without the apostrophe that keeps a spreadsheet from taking it for a number or a formula."""
    quoted = pc.match_substring_regex(array, f"^[{_OPENING}]").fill_null(False)
    if not pc.any(quoted).as_py():
        return array
    bare = pa.array([_bare(text) for text in array.filter(quoted).to_pylist()], TEXT)
    return pc.replace_with_mask(array, quoted, bare)


def _bare(text: str) -> str:
    for pair in _QUOTED:
        if found := pair.fullmatch(text):
            return _bare(found[1].strip(INVISIBLE))
    found = _APOSTROPHE.fullmatch(text)
    return found[1].strip(INVISIBLE) if found else text


def _without_marks(label: str, array: Any, those: frozenset[str]) -> tuple[Any, list[RunWarning]]:
    if not those:
        return array, []
    found = pc.is_in(pc.utf8_lower(array), value_set=_array(those))
    if not is_printable_ascii(array):  # ＮＵＬＬ, and accents that are characters of their own
        alike = pc.utf8_lower(pc.utf8_normalize(array, form="NFKC"))
        found = pc.or_(found, pc.is_in(alike, value_set=_array(those)))
    if not pc.any(found).as_py():
        return array, []
    counts = pc.value_counts(array.filter(found)).to_pylist()
    warnings = [_nothing(label, each["values"], each["counts"]) for each in counts]
    return pc.if_else(found, pa.scalar(None, TEXT), array), sorted(warnings, key=lambda each: each.sentence)


def _without_placeholders(name: str, label: str, array: Any) -> tuple[Any, list[RunWarning]]:
    forms = placeholder_forms(name)
    if not forms or not pc.any(maybe := pc.match_substring_regex(array, MAYBE_PLACEHOLDER).fill_null(False)).as_py():
        return array, []
    some = array.filter(maybe)
    found = pc.match_substring_regex(some, "|".join(forms))
    found = pc.and_not(found, pc.match_substring_regex(some, SHEET_TEXT))
    rows = int(pc.sum(found).as_py() or 0)
    if not rows:
        return array, []
    kept = pc.if_else(found, pa.scalar(None, TEXT), some)
    sentence = (
        f"{label}: a field of a template that nobody filled, words in brackets or punctuation alone (such as "
        "{{user_id}}, (not logged in), **) stand for nothing and were taken as empty cells."
    )
    return pc.replace_with_mask(array, maybe, kept), [RunWarning("null_value", label, rows, sentence)]


def _nothing(label: str, mark: str, rows: int) -> RunWarning:
    return RunWarning("null_value", label, rows, f"{label}: {mark} stands for nothing and was taken as an empty cell.")


@lru_cache(maxsize=64)
def _array(those: frozenset[str]) -> Any:
    return pa.array(sorted(those), TEXT)


def _clean_aliases(cells: Any, null_values: Sequence[str] | None) -> tuple[Any, list[RunWarning]]:
    """Each alias of each cell cleaned like an id; what stands for nothing is left out. Digests are in lower case."""
    found = aliases.exploded(cells)
    bare = _unquoted(pc.utf8_trim(found.aliases, INVISIBLE))
    digests = pc.match_substring_regex(bare, _DIGEST)
    bare = pc.if_else(digests, pc.utf8_lower(bare), bare) if pc.any(digests).as_py() else bare
    values, warnings = _without_marks("aliases", aliases.values(bare), marks("order_id", null_values))
    if null_values is None or null_values:
        values, placeholders = _without_placeholders("user_id", "aliases", values)
        warnings += placeholders
    kept = pc.if_else(values.is_null(), pa.scalar(None, TEXT), bare)
    if kept.equals(found.aliases):
        return cells, []
    differ = pc.fill_null(pc.not_equal(found.aliases, kept), True).to_numpy(zero_copy_only=False)
    rows = np.unique(found.rows[differ])
    wanted = np.isin(found.rows, rows)
    groups: dict[int, list[str]] = {int(row): [] for row in rows}
    for row, alias in zip(found.rows[wanted].tolist(), kept.filter(pa.array(wanted)).to_pylist(), strict=True):
        if alias is not None:
            groups[row].append(alias)
    mask = np.zeros(len(cells), dtype=bool)
    mask[rows] = True
    return pc.replace_with_mask(cells, mask, pa.array(map(aliases.cell, groups.values()), TEXT)), warnings


# -- Arrow and pandas


def to_arrow(column: pd.Series[Any]) -> Any:
    """A text column as an Arrow array."""
    array = pa.array(column.astype("str"), TEXT)
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def to_series(array: Any, index: Any) -> pd.Series[Any]:
    """An Arrow array as a text column."""
    return pd.Series(pd.array(array, dtype="str"), index=index)
