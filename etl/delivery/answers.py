"""What a vendor said that did not take rows, fit to be shown: no secret and nothing about a person is in it.

Only the bytes that were sent are at hand. Every text in them is about a person, unless the vendor's file says that its
field is not (`Destination.readable`). Nothing is logged here and nothing opened.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus

from etl.destinations.base import Destination
from etl.model import Response
from etl.redact import MASK

MOST_BYTES = 1000
"""No more of an answer is kept."""

_LOOKED_AT = 8_000
"""Bytes of an answer in which values are looked for."""

_SHORTEST = 4
"""A shorter text stands in every answer."""

_PLAIN = re.compile(r"[A-Za-z0-9._~-]+")
"""What is the same however it is escaped."""

_DIGEST = re.compile(r"[0-9A-Fa-f]{32}")

_CONTACT = re.compile(r"[^\s\"'<>(),;=]{1,64}(?:@|%40|\\u0040)[^\s\"'<>(),;]+|\+\d[\d ().-]{5,}\d")
"""What looks like an e-mail address or an international phone number, whoever's it is."""


def readable(
    destination: Destination, payloads: Sequence[bytes], response: Response | None, secrets: Iterable[str] = ()
) -> str:
    """At most `MOST_BYTES` of an answer to these payloads, with all in it masked that is secret or about a person.

    ``secrets``: others than the destination's own.
    """
    if response is None:
        return ""
    is_cut = len(response.body) > _LOOKED_AT
    text = destination.masked(_clean(_decoded(response.body[:_LOOKED_AT], is_cut=is_cut)))
    hidden = {part for secret in (*destination.secrets(), *secrets) for part in _parts_of_secret(secret)}
    values = {value for payload in payloads for value in _values(payload, destination.readable)}
    with_digests = _DIGEST.search(text) is not None
    forms = {form for each in hidden | values for form in _forms(each, with_digests=with_digests)}
    return _cut(_masked(text, forms, is_cut=is_cut))


def _decoded(body: bytes, *, is_cut: bool) -> str:
    """UTF-8 where it is that (cut off maybe amid a character), else one byte a character; empty for what is no text."""
    if b"\0" in body:
        return ""
    for some in (body, body[:-1], body[:-2], body[:-3]) if is_cut else (body,):
        try:
            return some.decode()
        except UnicodeDecodeError:
            continue
    return body.decode("cp1252", "replace")


def _clean(text: str) -> str:
    """The text on one line, white space folded, with nothing that a terminal would obey or that cannot be seen."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def _cut(text: str) -> str:
    whole = text.encode()
    if len(whole) <= MOST_BYTES:
        return text
    return f"{whole[: MOST_BYTES - 3].decode(errors='ignore')}…"


# -- what was sent


def _values(payload: bytes, readable_fields: Sequence[str]) -> Iterator[str]:
    """Every text and number of a payload (JSON, or a form) but those of fields that say nothing about a person."""
    try:
        yield from _of_json(json.loads(payload, parse_int=str, parse_float=str), "", readable_fields)
    except (ValueError, RecursionError):
        text = payload.decode(errors="replace")
        pairs = parse_qsl(text, keep_blank_values=True)
        yield from (value for name, value in pairs if name not in readable_fields)
        yield from () if pairs else re.split(r"[\s,;|&\"']+", text)


def _of_json(value: Any, path: str, readable_fields: Sequence[str]) -> Iterator[str]:
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _of_json(each, f"{path}.{name}" if path else name, readable_fields)
    elif isinstance(value, list):
        for each in value:
            yield from _of_json(each, path, readable_fields)
    elif isinstance(value, str) and path not in readable_fields:
        yield value
        yield from _parts(value)


def _parts(value: str) -> Iterator[str]:
    """What a text holds that may be repeated without the rest of it."""
    if value[:1] in ("{", "["):
        try:
            yield from _of_json(json.loads(value, parse_int=str, parse_float=str), "", ())
        except (ValueError, RecursionError):
            return
    if value.lower().startswith("urn:"):
        yield value.rpartition(":")[2]
    if "@" in value:
        yield value.rpartition(":")[2].partition("@")[0]
    if "://" in value:
        yield from _of_address(value)


def _of_address(url: str) -> Iterator[str]:
    path, _, query = url.partition("#")[0].partition("?")
    yield path.rstrip("/").rpartition("/")[2]
    yield from (value for _, value in parse_qsl(query))


def _parts_of_secret(secret: str) -> Iterator[str]:
    """A secret, and what a path or query that is one holds: a vendor may repeat the key alone."""
    yield secret
    yield from (part for part in re.split(r"[/?&=:@]+", secret) if re.search(r"[^a-z]", part))


# -- how it may be said


def _forms(value: str, *, with_digests: bool) -> Iterator[str]:
    """A text as it may stand in an answer: as it is, escaped for JSON, URL or HTML, in base64, hashed."""
    spellings = {value, value.strip(), value.strip().lower(), _clean(value)}
    digits = re.sub(r"\D", "", value)
    if len(digits) >= 7 and not re.search(r"[^\W\d]", value):
        spellings |= {digits, f"+{digits}"}
    for text in spellings:
        if len(text) >= _SHORTEST:
            yield from (text,) if _PLAIN.fullmatch(text) else _escaped(text)
            yield base64.b64encode(text.encode(errors="replace")).decode().rstrip("=")
            yield from _hashed(text) if with_digests else ()


def _escaped(text: str) -> Iterator[str]:
    once = (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])
    twice = (json.dumps(each)[1:-1] for each in once)
    slashed = (each.replace("/", "\\/") for each in once)
    in_html = (html.escape(text), html.escape(text).replace("&#x27;", "&#39;"))
    yield from (text, *once, *twice, *slashed, *in_html)
    yield from (quote(text), quote(text, safe=""), quote_plus(text), quote(text, safe="@"), quote(text, safe="@:/+"))


def _hashed(text: str) -> Iterator[str]:
    for kind in ("sha256", "sha1", "md5"):
        yield hashlib.new(kind, text.encode(errors="replace"), usedforsecurity=False).hexdigest()


# -- masking


def _masked(text: str, forms: Iterable[str], *, is_cut: bool) -> str:
    """The text with every occurrence masked, whatever its case.

    Occurrences that overlap are masked together, so that no rest of one stays; where the text is cut off, its end may
    be the beginning of one, and is masked too.
    """
    folded = _folded(text)
    hidden = bytearray(len(text))
    longest = 0
    beginnings = {folded[place : place + _SHORTEST] for place in range(len(folded))}
    for form in map(_folded, forms):
        longest = max(longest, len(form))
        if form[:_SHORTEST] not in beginnings:
            continue
        place = folded.find(form)
        while place >= 0:
            hidden[place : place + len(form)] = b"\1" * len(form)
            place = folded.find(form, place + 1)
    if is_cut and longest:
        hidden[-longest:] = b"\1" * min(longest, len(text))
    for found in _CONTACT.finditer(text):
        hidden[found.start() : found.end()] = b"\1" * (found.end() - found.start())
    shown = "".join("\0" if is_hidden else sign for sign, is_hidden in zip(text, hidden, strict=True))
    return re.sub("\0+", MASK, shown)


def _folded(text: str) -> str:
    """In lower case, but for what would be more than one character there: places in the text stay what they are."""
    small = text.lower()
    if len(small) == len(text):
        return small
    return "".join(sign.lower() if len(sign.lower()) == 1 else sign for sign in text)
