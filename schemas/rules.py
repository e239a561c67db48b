"""Rules: pandera checks with a reason code and a sentence, and the row mask computed from their failure cases.

Measured before it was written this way: pandera's own coercion and row dropping are slow and let bad rows through, so
frames are cast by column first, validated without coercion, and the mask of bad rows is ours.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaErrors

from etl import reasons
from etl.reasons import Reason
from schemas.casts import contains, matches
from schemas.numbers import DECIMAL, DECIMAL_COMMA

_EMAIL = r"[^@\s<>|,;:]+(?:@|%40)[^@\s<>|,;:]+\.[^@\s<>|,;:.0-9]{2,}"
_PLUS_PHONE = r"\+[0-9](?:[\s()./-]*[0-9]){6,14}"
# Bare digits are no phone number, ids look the same: zero-padded (0012345678) and dated (2026-11-0012345) ones too.
_PHONE = "|".join(
    (
        _PLUS_PHONE,
        r"00[1-9][0-9]{0,2}[\s./-](?:[\s()./-]*[0-9]){5,14}",
        r"\([0-9]{2,5}\)(?:[\s./-]*[0-9]){4,12}",
        r"0[1-9][0-9]{0,3}[\s/.-](?:[\s/.-]*[0-9]){4,10}",
        *(rf"(?:1{gap})?[0-9]{{3}}{gap}[0-9]{{3}}{gap}[0-9]{{4}}" for gap in (" ", "-", r"\.")),
    )
)

Test = Callable[["pd.Series[Any]"], "pd.Series[bool]"]


def rule(reason: Reason, test: Test, sentence: str = "", *, nulls: bool = False) -> pa.Check:
    """A check of one column.

    ``test`` gets the column and answers True where a row is good; ``reason`` gives the code in the result table and,
    unless ``sentence`` says more, what a person reads. ``sentence`` may name columns of the same row in braces
    (``{alias_count}``), only ones that hold nothing personal. Nulls pass unless ``nulls`` is set.
    """
    template = sentence or reason.detail.replace("{", "{{").replace("}", "}}")
    return pa.Check(test, name=reason.code, description=template, ignore_na=not nulls)


def required(reason: Reason, *tests: pa.Check, sentence: str = "", dtype: object = None) -> pa.Column:
    """A column that must hold something: null is ``reason``; the other checks run where it is not null."""
    present = rule(reason, lambda column: column.notna(), sentence, nulls=True)
    return pa.Column(dtype, nullable=True, checks=[present, *tests])


def optional(*tests: pa.Check, dtype: object = None) -> pa.Column:
    """A column that may be empty; the checks run where it is not."""
    return pa.Column(dtype, nullable=True, checks=list(tests))


def is_decimal(column: pd.Series[Any]) -> pd.Series[bool]:
    """True where the text is a plain decimal (`schemas.numbers.DECIMAL`)."""
    return matches(column, DECIMAL)


def is_negative(column: pd.Series[Any]) -> pd.Series[bool]:
    """True where the decimal text is below zero; ``-0.00`` is zero."""
    return contains(column, "^-.*[1-9]")


def looks_personal(column: pd.Series[Any]) -> pd.Series[bool]:
    """True where a value contains an e-mail address or is a phone number as people write one."""
    text = column.astype("str").str.strip()
    email = contains(text, _EMAIL)
    return email | matches(text, f"(?:tel:)?(?:{_PHONE})")


def names_a_person(column: pd.Series[Any]) -> pd.Series[bool]:
    """True where an id or a name of an event contains an e-mail address or begins with a phone number after a plus."""
    return contains(column, _EMAIL) | matches(column, rf"\s*(?:tel:)?{_PLUS_PHONE}(?:[^0-9].*)?")


def contact_faults() -> list[pa.Check]:
    """Rules for a column of reason codes: why an id is neither the e-mail address nor the phone number it should be."""
    return [
        rule(reasons.NOT_AN_EMAIL, lambda column: column != reasons.NOT_AN_EMAIL.code),
        rule(reasons.NOT_A_PHONE_NUMBER, lambda column: column != reasons.NOT_A_PHONE_NUMBER.code),
        rule(reasons.PHONE_NOT_INTERNATIONAL, lambda column: column != reasons.PHONE_NOT_INTERNATIONAL.code),
    ]


def warned(frame: pd.DataFrame, *found: tuple[pd.Series[bool], Reason]) -> pd.DataFrame:
    """The frame with the columns of its rows' warnings (`Destination.columns`): of each reason where it is true."""
    codes = sentences = pd.Series("", index=frame.index, dtype="str")
    for where, reason in found:
        codes = codes.mask(where, codes + " " + reason.code)
        sentences = sentences.mask(where, sentences + " " + reason.detail)
    said = codes != ""
    return frame.assign(note=codes.str.strip().where(said), note_detail=sentences.str.strip().where(said))


def money(*tests: pa.Check) -> pa.Column:
    """revenue: empty or a plain decimal; more rules of the vendor as ``tests``."""
    return optional(
        rule(reasons.DECIMAL_COMMA, lambda column: ~_has_comma(column)),
        rule(reasons.NOT_A_DECIMAL, lambda column: is_decimal(column) | _has_comma(column)),
        *tests,
    )


def _has_comma(column: pd.Series[Any]) -> pd.Series[bool]:
    return matches(column, DECIMAL_COMMA)


def problems(schema: pa.DataFrameSchema, frame: pd.DataFrame) -> pd.DataFrame:
    """All problems of a frame, one line per bad row.

    ``frame.index`` is the row number (unique). Returns a frame indexed by row number, in order, with text columns
    ``reason`` (the first broken rule's code) and ``detail`` (the sentences of all of them, joined by a space). Empty
    when every row is good. Values of the row appear only where a sentence names a column.
    """
    if frame.empty:
        return _lines([], [], [])
    try:
        schema.validate(frame, lazy=True)
    except SchemaErrors as errors:
        return _per_row(schema, frame, errors)
    return _lines([], [], [])


def _per_row(schema: pa.DataFrameSchema, frame: pd.DataFrame, errors: SchemaErrors) -> pd.DataFrame:
    cases = errors.failure_cases
    structural = cases[cases["index"].isna()]
    if not structural.empty:
        raise TypeError(f"frame and schema disagree: {structural[['column', 'check']].to_dict('records')}")
    rules = {(name, check.name): check for name, column in schema.columns.items() for check in column.checks}
    order = {key: number for number, key in enumerate(rules)}
    found: dict[int, list[tuple[int, str, str]]] = {}
    for (column, reason), group in cases.groupby(["column", "check"], sort=False):
        key = (str(column), str(reason))
        rows = [int(row) for row in group["index"]]
        for row, sentence in zip(rows, _sentences(rules[key].description, frame, rows), strict=True):
            found.setdefault(row, []).append((order[key], key[1], sentence))
    row_numbers = sorted(found)
    problems_of = [sorted(found[row]) for row in row_numbers]
    first = [reason for (_, reason, _), *_ in problems_of]
    return _lines(row_numbers, first, [" ".join(sentence for _, _, sentence in each) for each in problems_of])


def _sentences(template: str, frame: pd.DataFrame, rows: list[int]) -> Iterable[str]:
    names = [name for _, name, _, _ in string.Formatter().parse(template) if name]
    if not names:
        return [template.format()] * len(rows)
    picked = frame.loc[rows, names]
    return [template.format(**dict(zip(names, values, strict=True))) for values in picked.itertuples(index=False)]


def _lines(rows: list[int], reasons: list[str], details: list[str]) -> pd.DataFrame:
    index = pd.Index(rows, name="row_number", dtype="int64")
    return pd.DataFrame({"reason": reasons, "detail": details}, index=index, dtype="str")
