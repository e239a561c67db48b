"""What is known of currencies: which have three decimals, and the signs that people write for them.

A sign may stand for several currencies (``$``); it is only ever compared with the code that the row itself gives.
"""

from __future__ import annotations

from collections.abc import Mapping

THREE_DECIMALS = ("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND")
"""Currencies of a thousandth part (ISO 4217)."""

_SIGNS: Mapping[str, tuple[str, ...]] = {
    "€": ("EUR",),
    "£": ("GBP", "EGP", "FKP", "GIP", "LBP", "SHP", "SSP", "SDG", "SYP"),
    "$": (
        *("USD", "CAD", "AUD", "NZD", "HKD", "SGD", "TWD", "MXN", "ARS", "CLP", "COP", "UYU", "BBD", "BMD", "BND"),
        *("BSD", "BZD", "DOP", "FJD", "GYD", "JMD", "KYD", "LRD", "NAD", "SBD", "SRD", "TTD", "XCD"),
    ),
    "US$": ("USD",),
    "U$S": ("USD",),
    "CA$": ("CAD",),
    "C$": ("CAD", "NIO"),
    "A$": ("AUD",),
    "AU$": ("AUD",),
    "NZ$": ("NZD",),
    "HK$": ("HKD",),
    "S$": ("SGD",),
    "NT$": ("TWD",),
    "MX$": ("MXN",),
    "R$": ("BRL",),
    "¥": ("JPY", "CNY"),
    "￥": ("JPY", "CNY"),
    "円": ("JPY",),
    "元": ("CNY",),
    "₹": ("INR",),
    "Rs.": ("INR", "PKR", "LKR", "NPR", "MUR"),
    "Rs": ("INR", "PKR", "LKR", "NPR", "MUR"),
    "zł": ("PLN",),
    "Kč": ("CZK",),
    "Ft": ("HUF",),
    "lei": ("RON", "MDL"),
    "лв.": ("BGN",),
    "лв": ("BGN",),
    "kr.": ("DKK", "SEK", "NOK", "ISK"),
    "kr": ("DKK", "SEK", "NOK", "ISK"),
    "Fr.": ("CHF",),
    "SFr.": ("CHF",),
    "R": ("ZAR",),
    "₽": ("RUB",),
    "руб.": ("RUB",),
    "₴": ("UAH",),
    "₺": ("TRY",),
    "TL": ("TRY",),
    "₪": ("ILS",),
    "₩": ("KRW",),
    "원": ("KRW",),
    "₫": ("VND",),
    "đ": ("VND",),
    "฿": ("THB",),
    "Rp": ("IDR",),
    "Rp.": ("IDR",),
    "RM": ("MYR",),
    "₱": ("PHP",),
    "₦": ("NGN",),
    "₸": ("KZT",),
    "S/": ("PEN",),
    "S/.": ("PEN",),
}


def signs(currency: str) -> list[str]:
    """How an amount in this currency (ISO 4217) may be marked, the longest first: its code, and its signs."""
    found = [currency, *(sign for sign, currencies in _SIGNS.items() if currency in currencies)]
    return sorted(found, key=len, reverse=True)
