"""What spreadsheets, and programs that take ids for numbers, leave of values: formulas, errors, lost digits.

Found by column and refused, never mended: nobody knows what stood there. Values come without outer white space, as
`schemas.cleaning` leaves them.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from schemas.casts import contains

# Lets nearly every value pass at a third of the cost of the others.
SUSPECT = (
    r"^(?:[=#+@−-]|[0-9]{1,40}[.,eEdD \x{a0}\x{202f}'’×x*·⋅]|[1-9][0-9]{14}0"
    r"|[0-9]{1,2}[- ]|[A-Za-zà-ÿа-я]{3,4}\.?[- ][0-9]{2}$"
    r"|(?i:err|fehler|fout|fejl|fel|błąd|ошибка|loading|wird|chargement|cargando|caricamento))"
)

_ANY_ERROR = r"#[¡¿]?[\p{Lu}\p{Lo}][\p{Lu}\p{Lo}\p{M}0-9/_'’.]*[!?！？]$"
"""An error of a cell in any language: #WERT!, #¿NOMBRE?, #ССЫЛКА!, #値!, #DIV/0!, #SPILL!."""

_NAMED_ERROR = (
    r"(?i:#(?:null|nul|nullo|nulo|leeg|div/0|deel/0|jako/0|dziel/0|sayi/0|value|wert|valeur|valor|valore|waarde|verdi"
    r"|arvo|arg|ref|bezug|rif|verw|adr|name|nom|nombre|nome|naam|navn|nimi|nazwa|num|zahl|getal|luku|liczba|error"
    r"|fehler|spill|calc|field|blocked|connect|busy|unknown)[!?])"
)
"""The commonest of them in any case, as programs change it, and whatever follows."""

_UNMARKED_ERROR = (
    r"#(?:N/A|NV|N/D|N/B|N/V|N/F|I/T|Н/Д|Δ/Υ|YOK|HIÁNYZIK|PUUTTUU|SAKNAS|NENÍ_K_DISPOZICI|NEDOSTUPNÝ|GETTING_DATA"
    r"|SPILL|CALC|NULL|VALUE|WERT|REF|BEZUG|NAME|NUM|ZAHL|ERROR|DIV/0|MISSING|EMPTY|UNKNOWN)[!?]?$|(?i:#n/a)|##+$"
)
"""Errors without a mark at their end: nothing found (in fifteen languages), what other programs left of an error, a
column too narrow to show its number."""

_OFFICE_ERROR = r"(?i:err|error|fehler|erreur|errore|erro|fout|fejl|fel|błąd|ошибка)\s?[:.]\s?[0-9]{3}$"
_WAITING = r"(?i:loading|wird geladen|chargement(?: en cours)?|cargando|caricamento)(?:\.{3}|…)$"
_ERRORS = rf"{_ANY_ERROR}|{_NAMED_ERROR}|{_UNMARKED_ERROR}|{_OFFICE_ERROR}|{_WAITING}"
_CALL = r"[+@−-]\s*[A-Za-z][A-Za-z0-9.]*\("
_REFERENCE = r"[+@-]\s*\$?[A-Z]{1,3}\$?[0-9]{1,7}(?:[-+*/&:!^].*)?$"
_SUM = r"[+-]?[0-9.]+[+*/^&-][0-9A-Za-z.()+*/^&-]+[(|!]|[+-][0-9.]+[+*/^&][0-9]"

FORMULA = rf"^(?:=|{_ERRORS}|{_CALL}|{_REFERENCE}|{_SUM})"
FORMULA_IN_PHONE = rf"^(?:=|{_ERRORS}|{_CALL})"
"""For phone numbers, which begin with a plus and may have slashes."""

_SIGN = "[+−-]"
EXPONENT = (
    rf"^{_SIGN}?(?:[0-9]+(?:[.,][0-9]*)?\s?[eEdD]\s?{_SIGN}\s?[0-9]{{1,3}}"  # 1.23457E+15, 1,2E-05, 1e+20
    r"|[0-9]+[.,][0-9]+[eE][0-9]{1,3}"  # 1.25E10
    r"|[0-9]+(?:[.,][0-9]+)?\s?[×xX*·⋅]\s?10(?:\s?\^\s?[+-]?[0-9]{1,3}|[⁺⁻]?[⁰¹²³⁴-⁹]{1,3}))$"  # 1.25×10^10
)
"""A number with an exponent, in every form but a bare one: 1e5 may be an id."""

ROUNDED = r"^[1-9][0-9]{14}0+$"
"""Zeros from the 16th digit on, where a spreadsheet stops counting."""

MADE_NUMBER = (
    r"^(?:-?(?:0|[1-9][0-9]*)[.,]0+"  # 4711.0
    r"|-?[0-9]{1,3}(?:,[0-9]{2,3})*,[0-9]{3}(?:\.[0-9]+)?"  # 1,234,567, also 12,34,567
    r"|-?[0-9]{1,3}(?:\.[0-9]{3}){2,}(?:,[0-9]+)?"  # 1.234.567
    r"|-?[0-9]{1,3}(?:['’\x{a0}\x{202f}][0-9]{3})+(?:[.,][0-9]+)?"  # 1’234’567
    r"|[0-9]{1,3}E[0-9]{1,3})$"  # 1E5
)
"""What programs write when they take an id for a number."""

_MONTH = (
    r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec|Mrz|Mär|Mai|Okt|Dez|janv|févr|mars|avr|mai|juin|juil|août|sept"
    r"|oct|nov|déc|ene|feb|mar|abr|may|jun|jul|ago|sep|dic|gen|mag|giu|lug|set|ott|mrt|mei|okt|dec|фев|мар|апр)"
)
MADE_DATE = rf"^(?:[0-9]{{1,2}}(?:-|\. ?|[ ]){_MONTH}\.?|{_MONTH}\.?[- ][0-9]{{2}})$"
"""What spreadsheets make of ids such as 1-2, 2/26 and MARCH1, as they write months: 1-Feb, 01. Mrz, Feb-26."""

MADE_NUMBER_IN_PHONE = r"^(?:[0-9]+[.,]0+|[0-9]{1,3}(?:,[0-9]{2,3})*,[0-9]{3}|[0-9]{1,3}E[0-9]{1,3})$"


def suspects(column: pd.Series[Any]) -> pd.Series[bool]:
    """True where a text may be a formula, an error or a number that was an id; null is False."""
    return contains(column, SUSPECT)


def formulas(column: pd.Series[Any], *, phone: bool = False) -> pd.Series[bool]:
    """True where a formula or a sheet's error stands in any language in which spreadsheets write them."""
    return contains(column, FORMULA_IN_PHONE if phone else FORMULA)


def lost_digits(column: pd.Series[Any], *, rounded: bool, made: bool, phone: bool = False) -> pd.Series[bool]:
    """True where an id was taken for a number. ``rounded`` and ``made``: forms that honest ids may have, too."""
    forms = [EXPONENT]
    if rounded and not phone:
        forms.append(ROUNDED)
    if made:
        forms += [MADE_NUMBER_IN_PHONE] if phone else [MADE_NUMBER, MADE_DATE]
    return contains(column, "|".join(forms))
