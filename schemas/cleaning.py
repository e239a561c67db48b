"""Cells as they were meant: what nobody sees, quotes around an id and marks for nothing are taken away, and counted.

By column, before anything is compared, named or judged. Nothing is guessed: a value that stands between two invisible
characters is that value, and a mark is one of a list (docs/cleaning.md). What a spreadsheet broke is not mended here:
`schemas.spreadsheets` finds it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from functools import cache, lru_cache
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from etl.columns import IDS, NUMBERS, PERSONAL
from etl.model import RunWarning
from schemas import aliases

TEXT = pa.large_string()

INVISIBLE = "".join(
    map(
        chr,
        chain(
            (*range(0x09, 0x0E), *range(0x1C, 0x21), 0x85, 0xA0, 0xAD, 0x34F, 0x61C, 0x115F, 0x1160, 0x1680),
            (0x180E, *range(0x2000, 0x2010), *range(0x2028, 0x2030), *range(0x205F, 0x2070), 0x2800),
            (0x3000, 0x3164, 0xFEFF, 0xFFA0, *range(0xFFF9, 0xFFFC)),
        ),
    )
)
"""White space of every kind, byte order and direction marks, zero-width characters, blanks that count as letters."""

HIDDEN = r"[\p{Cc}\p{Cf}\x{2028}\x{2029}]"
"""Control and format characters and breaks of lines: inside an id they reject it."""

EVERYWHERE = (
    *("null", "none", "nil", "nan", "-nan", "+nan", "nat", "undefined", "\\n", "\\\\n"),
    *("n/a", "n.a.", "n.a", "n. a.", "n/d", "n.d.", "n.d", "n. d.", "s/o", "s.o.", "k.a.", "k.a", "k. a.", "k/a"),
    *("o.a.", "o. a.", "n.v.t.", "н/д", "н.д.", "не указано", "нет данных", "なし", "该项无", "无", "無", "없음"),
    *("not set", "not available", "not applicable", "not provided", "not specified", "no value", "no data"),
    *("keine angabe", "ohne angabe", "nicht angegeben", "nicht vorhanden", "nicht verfügbar"),
    *("non renseigné", "non disponible", "sin datos", "no disponible", "non disponibile", "não disponível"),
    *("__hive_default_partition__", "[object object]", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"),
    *(mark * times for mark in "-‐‑‒–—―−" for times in range(1, 6)),
)
"""Texts that stand for nothing in any column, in any case, also in brackets."""

IN_BRACKETS = (
    *("na", "blank", "blanks", "empty", "missing", "unset", "unknown", "leer", "vide", "vides", "vacío", "vacías"),
    *("en blanco", "vuoto", "vuote", "vazio", "em branco", "leeg", "tom", "tomt", "tyhjä", "puste", "prázdné"),
    *("üres", "boş", "пусто", "空白", "비어 있음"),
)
"""Words that stand for nothing only in brackets: Tom and Leer are names."""

OF_NOBODY = (
    *("na", "unknown", "unbekannt", "inconnu", "inconnue", "desconocido", "desconhecido", "sconosciuto", "onbekend"),
    *("okänd", "ukendt", "ukjent", "nieznany", "неизвестно", "不明", "anonymous", "anonym", "anonyme", "guest", "gast"),
    *("not found", "missing", "empty", "blank", "tbd", "?", "??", "???", ".", "..", "...", "…", "/", "*"),
    "00000000-0000-0000-0000-000000000000",
)
"""Texts that name nobody and nothing in a column of ids; elsewhere they may be meant, as NA is Namibia's code."""

TRUTHS = (
    *("true", "false", "wahr", "falsch", "vrai", "faux", "verdadero", "falso", "vero", "waar", "onwaar"),
    *("истина", "ложь"),
)
"""What a column of yes and no holds: whoever took it for an id of a person or a conversion meant another one."""

TELLS_APART = tuple(name for name in PERSONAL if name != "order_id")
"""Columns in which a truth names nobody."""

SHEET_NOTHING = ("#n/a", "#na", "#n/a n/a", "#nv", "#n/d", "#н/д")
"""What a spreadsheet writes where it found nothing: nothing where the column only describes; see `SAYS_WHO_OR_WHAT`."""

NOT_IN_NUMBERS = (
    *("nan", "-nan", "+nan", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"),
    *(mark * times for mark in "-‐‑‒–—―−" for times in range(1, 6)),
)
"""Marks that stay in a column of numbers, to be refused: a computation failed, or a dash that may mean zero."""

BRACKETS = (("(", ")"), ("[", "]"), ("{", "}"), ("<", ">"), ("'", "'"), ('"', '"'), ("[[", "]]"), ("{{", "}}"))

SAYS_WHO_OR_WHAT = (*IDS, "email", "phone", "event_name")
"""Columns whose value says who, what or which: never guessed. `is_identity` knows a source's own ones."""

_QUOTES = (
    *("“”", "„“", "„”", "””", "““", "«»", "»«", "‹›", "›‹", "‘’", "‚‘", "‚’", "’’", "「」", "『』"),
    *('""', "''", "``", "＂＂"),
)
"""Pairs of quotation marks: opening and closing one."""

_QUOTED = [re.compile(f"{first}+([^{first}{last}]*){last}+", re.DOTALL) for first, last in map(tuple, _QUOTES)]
_OPENING = "".join(sorted({pair[0] for pair in _QUOTES}))

_DIGEST = r"(?i)^urn:(?:email|phone)[a-z_]*:[0-9a-f]{64}$"

_WORDS = re.compile(r"[A-Z]?[a-zà-ÿ]+|[A-Z]+(?![a-zà-ÿ])|[0-9]+")
_IDENTITY_WORDS = frozenset(
    ("id", "ids", "uuid", "guid", "sku", "ean", "gtin", "upc", "iban", "email", "mail", "phone", "telephone", "telefon")
)
_IDENTITY_ENDINGS = frozenset(("no", "nr", "num", "number", "nummer", "numero", "número", "ref", "reference", "mobile"))
_IDENTITY_COMPOUND = re.compile(
    r"(?:user|order|customer|client|visitor|session|transaction|product|item|account|contact|lead|deal|event|click)ids?"
    r"|(?:gcl|fbcl|msclk|ttcl|gbra|wbra)id|gbraid|wbraid|\w+(?:nummer|nr)"
)


class Cleaned(NamedTuple):
    """A frame with clean cells, and what was changed in it, counted by column."""

    frame: pd.DataFrame
    warnings: list[RunWarning]


def clean(frame: pd.DataFrame, null_values: Sequence[str] | None = None) -> Cleaned:
    """The frame (text columns under canonical names, index = row number) with every cell as it was meant.

    Cells that hold nothing are null. Adds ``other_event_id``: the source's own spelling of event_id where that differs.
    ``null_values``: marks for nothing beside the usual ones; an empty list switches marks off, None adds none.
    """
    out = frame.copy(deep=False)
    warnings: list[RunWarning] = []
    for name in map(str, frame.columns):
        if isinstance(frame[name].dtype, pd.StringDtype):
            cells, found = _column(name, to_arrow(frame[name]), null_values, name)
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


def is_identity(name: str) -> bool:
    """True for a canonical column of `SAYS_WHO_OR_WHAT`, and for others whose name says that they hold ids."""
    if name in SAYS_WHO_OR_WHAT:
        return True
    words = [word.lower() for word in _WORDS.findall(name)]
    if not words:
        return False
    compound = any(_IDENTITY_COMPOUND.fullmatch(word) for word in words)
    return compound or not _IDENTITY_WORDS.isdisjoint(words) or words[-1] in _IDENTITY_ENDINGS


def marks(name: str, null_values: Sequence[str] | None) -> frozenset[str]:
    """Every text, in lower case, that stands for nothing in this column."""
    if null_values is not None and not null_values:
        return frozenset()
    declared = frozenset(mark.strip(INVISIBLE).lower() for mark in null_values or ())
    identity = is_identity(name) and name != "event_name"
    if name in NUMBERS:
        return _usual_marks(identity=False, sheets=False) - frozenset(NOT_IN_NUMBERS) | declared
    truths = frozenset(TRUTHS if name in TELLS_APART else ())
    return _usual_marks(identity=identity, sheets=not is_identity(name)) | truths | declared


@cache
def _usual_marks(*, identity: bool, sheets: bool) -> frozenset[str]:
    words = (*EVERYWHERE, *(OF_NOBODY if identity else ()))
    bracketed = _bracketed((*EVERYWHERE, *IN_BRACKETS, *(OF_NOBODY if identity else ())))
    return frozenset((*words, *bracketed, *(SHEET_NOTHING if sheets else ())))


def _bracketed(words: Iterable[str]) -> Collection[str]:
    return [f"{first}{word}{last}" for word in words for first, last in BRACKETS]


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
    """Without pairs of quotation marks around the whole of a value, where they are its only ones of their kind."""
    quoted = pc.match_substring_regex(array, f"^[{_OPENING}]").fill_null(False)
    if not pc.any(quoted).as_py():
        return array
    bare = pa.array([_bare(text) for text in array.filter(quoted).to_pylist()], TEXT)
    return pc.replace_with_mask(array, quoted, bare)


def _bare(text: str) -> str:
    for pair in _QUOTED:
        if found := pair.fullmatch(text):
            return _bare(found[1].strip(INVISIBLE))
    return text


def _without_marks(label: str, array: Any, those: frozenset[str]) -> tuple[Any, list[RunWarning]]:
    if not those:
        return array, []
    found = pc.is_in(pc.utf8_lower(array), value_set=_array(those))
    if not pc.any(found).as_py():
        return array, []
    counts = pc.value_counts(array.filter(found)).to_pylist()
    warnings = [_nothing(label, each["values"], each["counts"]) for each in counts]
    return pc.if_else(found, pa.scalar(None, TEXT), array), sorted(warnings, key=lambda each: each.sentence)


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
    values, warnings = _without_marks("aliases", aliases.values(bare), marks("user_id", null_values))
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
