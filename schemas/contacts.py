"""E-mail addresses and phone numbers: what plainly is one, and the one form in which it identifies somebody.

What is already hashed (64 hex digits) counts as one. Whether a number exists, and whose it is, nobody here knows.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, NamedTuple

import pandas as pd

from etl import reasons
from schemas.casts import matches

DIGEST = "[0-9a-fA-F]{64}"

_LABEL = r"[\p{L}\p{N}](?:[\p{L}\p{N}-]{0,61}[\p{L}\p{N}])?"
EMAIL = (
    rf"[^\s\p{{Z}}\p{{C}}@<>()\[\],;:|\"\\*]{{1,64}}@(?:{_LABEL}\.)+\p{{L}}[\p{{L}}\p{{N}}-]{{0,61}}[\p{{L}}\p{{N}}]"
)
"""An address as people have them: no spaces, comments, quotes or stars for letters, a domain with a point in it."""

_NO_NAME = r"(?:no|none|null|nil|nan|undefined|unknown|na|nomail|noemail|no[._-]e?-?mail|keine|sin|test)"
NO_ADDRESS = (
    rf"(?i)(?:{_NO_NAME}@{_NO_NAME}|(?:no|none|unknown)@e?-?mail)(?:\.\p{{L}}+)+|(?:no[._-]?e?-?mail|null|undefined)@.*"
)
"""What people and forms write where there is no address: ``none@none.com``, ``noemail@shop.example``."""

_ONE_DIGIT = re.compile(r"(\d)\1+")

_PLAIN_PHONE = re.compile(r"(?:tel:)?(?P<plus>\+|00)?[\s(]*[0-9](?:[\s()./·\-‐‑‒–—\xa0\u202f]*[0-9])*\)?", re.ASCII)
"""Digits, a plus or 00 before them, and what people put between them; no letters, so that no extension is lost."""


class Phone(NamedTuple):
    """A phone number as ``+`` and digits (E.164), or the reason code of why it is nobody's."""

    number: str | None
    fault: str | None


def is_email(column: pd.Series[Any]) -> pd.Series[bool]:
    """True where a text is an e-mail address, or the hash of one; null is False."""
    text = column.str.strip()
    good = matches(text, f"{EMAIL}|{DIGEST}")
    return good & ~matches(text.where(good), NO_ADDRESS)


@lru_cache(maxsize=100_000)
def read_phone(text: str, region: str | None) -> Phone:
    """What a text says as a phone number. ``region``: whose numbers those without a country code are (``DE``)."""
    import phonenumbers  # 60 ms that only who has phone numbers pays for

    written = text.strip()
    if re.fullmatch(DIGEST, written):
        return Phone(written.lower(), None)
    found = _PLAIN_PHONE.fullmatch(written)
    if not found:
        return Phone(None, reasons.NOT_A_PHONE_NUMBER.code)
    if found["plus"] is None and region is None:
        return Phone(None, reasons.PHONE_NOT_INTERNATIONAL.code)
    international = written.removeprefix("tel:")
    if found["plus"] == "00":
        international = "+" + international[2:]
    try:
        number = phonenumbers.parse(international, None if found["plus"] else region)
    except phonenumbers.NumberParseException:
        return Phone(None, reasons.NOT_A_PHONE_NUMBER.code)
    possible = phonenumbers.is_possible_number_with_reason(number)
    one_digit = _ONE_DIGIT.fullmatch(phonenumbers.national_significant_number(number))  # +1 111 111 1111
    if possible != phonenumbers.ValidationResult.IS_POSSIBLE or one_digit or not number.national_number:
        return Phone(None, reasons.NOT_A_PHONE_NUMBER.code)
    return Phone(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164), None)
