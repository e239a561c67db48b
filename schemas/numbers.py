"""Numbers as a source writes them, made plain decimal text; no value is ever made a float, none is guessed.

Typed numbers of databases and Parquet files come here too, but only to be looked at: they are what they are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, cast

import pandas as pd

from schemas.casts import matches, texts
from schemas.currencies import THREE_DECIMALS, signs

# [0-9], because \d also takes the digits of other scripts.
DECIMAL = r"[+-]?(?:[0-9]{1,15}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})"
"""A plain decimal: no exponent, no thousands separator, no currency sign, finite, below 10^15."""

DECIMAL_COMMA = r"[+-]?(?:[0-9]+|[0-9]{1,3}(?:[.' \x{a0}\x{202f}’][0-9]{3})+),[0-9]+"
"""A number whose comma may be its decimal sign, or may group its thousands: only the sender knows."""

WHOLE = r"[0-9]{1,18}"

POINT_OR_GROUPS = r"[+-]?[0-9]{1,3}\.[0-9]{3}"
"""A number whose point marks the decimals or groups the thousands: ``1.299``, ``150.000``."""

_MARK_OR_GROUPS = r"[+-]?[0-9]{1,3}[.,][0-9]{3}"
_INEXACT = r"[+-]?[0-9](?:\.[0-9]+)?e\+?[0-9]+"
_GROUP_MARKS = {" ": r"[ \x{a0}\x{2007}\x{2009}\x{202f}]", "'": "['’]"}
_MINUS = "\u2212-"  # the hyphen last, so that it makes no range of `[+−-]`
_SIGN_OF_A_NUMBER = rf"[+{_MINUS}]?"

Grouping = Literal["thousands", "indian"]


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """How a source writes numbers: ``1.234,50`` is ``NumberFormat(",", ".")``.

    ``grouping``: ``indian`` groups by lakh and crore (``1,23,456.50``). ``currency_sign``: the sign or code of the
    row's own currency may stand at either end. ``accounting_negatives``: ``(12.50)`` and ``12.50-`` are below zero.
    """

    decimal: str
    thousands: str = ""
    grouping: Grouping = "thousands"
    currency_sign: bool = False
    accounting_negatives: bool = False

    @property
    def pattern(self) -> str:
        """A number without its sign. Groups are whole or absent, and the first never begins with a zero."""
        return rf"(?:{self._grouped}[0-9]+)(?:{re.escape(self.decimal)}[0-9]+)?"

    @property
    def _grouped(self) -> str:
        if not self.thousands:
            return ""
        mark = _GROUP_MARKS.get(self.thousands, re.escape(self.thousands))
        if self.grouping == "indian":
            return rf"[1-9][0-9]?(?:{mark}[0-9]{{2}})*{mark}[0-9]{{3}}|"
        return rf"[1-9][0-9]{{0,2}}(?:{mark}[0-9]{{3}})+|"


def trimmed(column: pd.Series[Any]) -> pd.Series[Any]:
    """Text without white space of any kind at its ends; what is no text stays."""
    return cast("pd.Series[Any]", column.str.strip()) if isinstance(column.dtype, pd.StringDtype) else column


def decimals(
    column: pd.Series[Any], how: NumberFormat, currencies: pd.Series[Any] | None = None
) -> tuple[pd.Series[Any], pd.Series[bool]]:
    """Numbers as a source writes them (``1.234,50``) as plain decimal text, and True where one is not written so.

    ``currencies``: the row's currency, for the sign of a number that may have one. Typed columns stay.
    """
    if not isinstance(column.dtype, pd.StringDtype):
        return column, pd.Series(data=False, index=column.index)
    text = trimmed(column)
    good = matches(text, _SIGN_OF_A_NUMBER + how.pattern)
    if (how.currency_sign or how.accounting_negatives) and not (good | text.isna()).all():
        text = _bared(text, good, how, currencies)
        good = matches(text, _SIGN_OF_A_NUMBER + how.pattern)
    bare = text.str.replace("\u2212", "-").str.replace(f"[^0-9+{re.escape(how.decimal)}-]", "", regex=True)
    plain = bare.str.replace(how.decimal, ".", regex=False)
    return plain.where(good, column), column.notna() & ~good


def _bared(
    text: pd.Series[str], good: pd.Series[bool], how: NumberFormat, currencies: pd.Series[Any] | None
) -> pd.Series[str]:
    """Numbers without what `how` allows around them, a minus in front where they are below zero."""
    odd = text[~good & text.notna()]
    of = odd.map(lambda _: None) if currencies is None else currencies[odd.index]
    pairs = zip(odd, of, strict=True)
    found = [_bare(value, currency if isinstance(currency, str) else "", how) for value, currency in pairs]
    return text.where(good | text.isna(), texts(list(found), odd.index).reindex(text.index))


def _bare(text: str, currency: str, how: NumberFormat) -> str:
    """One number without its currency, its minus in front; unchanged but for that where there is more around it."""
    signed = marked = negative = False
    while True:
        text = text.strip()
        if not signed and text[:1] in ("+", *_MINUS):
            signed, negative, text = True, text[0] != "+", text[1:]
        elif not signed and how.accounting_negatives and text[-1:] in tuple(_MINUS):
            signed, negative, text = True, True, text[:-1]
        elif not signed and how.accounting_negatives and (text[:1], text[-1:]) == ("(", ")"):
            signed, negative, text = True, True, text[1:-1]
        elif not marked and how.currency_sign and (rest := _without_sign(text, currency)) is not None:
            marked, text = True, rest
        else:
            return f"-{text}" if negative else text


def _without_sign(text: str, currency: str) -> str | None:
    """The number without the sign of its currency at one end; None where there is none of this currency."""
    upper = text.upper()
    for sign in signs(currency) if currency else ():
        if upper.startswith(sign.upper()):
            return text[len(sign) :]
        if upper.endswith(sign.upper()):
            return text[: -len(sign)]
    return None


def ambiguous(column: pd.Series[Any], currencies: pd.Series[Any] | None = None) -> pd.Series[bool]:
    """True where nobody can tell whether a point marks the decimals or groups the thousands.

    One to three digits, a point and exactly three digits, unless ``currencies`` gives the row's as one of three
    decimals. Only text is in doubt: a typed number is what it is.
    """
    if not isinstance(column.dtype, pd.StringDtype):
        return pd.Series(data=False, index=column.index)
    found = matches(column, POINT_OR_GROUPS)
    return found if currencies is None or not found.any() else found & ~currencies.isin(THREE_DECIMALS)


def inexact(column: pd.Series[Any]) -> pd.Series[bool]:
    """True where a typed floating-point number is past the whole numbers that it can hold, see `exact_text`."""
    return matches(column, _INEXACT)


# -- a declared format that the column itself disproves


def in_doubt(column: pd.Series[Any], how: NumberFormat) -> pd.Series[bool]:
    """True where the number reads as declared, and a thousand times more or less if its mark were the other one."""
    return matches(column, _MARK_OR_GROUPS) & matches(column, _SIGN_OF_A_NUMBER + how.pattern)


def of_other_mark(column: pd.Series[Any], how: NumberFormat) -> pd.Series[bool]:
    """True where a number can only be meant with the other decimal mark than the declared one: ``19.99``."""
    other = "." if how.decimal == "," else ","
    groups = rf"[0-9]{{1,3}}(?:[{how.decimal} '’\x{{a0}}\x{{202f}}][0-9]{{3}})+"
    plainly = matches(column, rf"{_SIGN_OF_A_NUMBER}(?:{groups}|[0-9]+){re.escape(other)}[0-9]+")
    return plainly & ~matches(column, _MARK_OR_GROUPS) & ~matches(column, _SIGN_OF_A_NUMBER + how.pattern)
