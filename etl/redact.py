"""What may be shown: the only room that decides it, of addresses, paths, secrets, requests and errors.

Everybody else asks here, and everybody who holds secrets (`Config`, `Source`, `Destination`) answers ``secrets()`` with
what is found here. It reads no settings file, opens nothing and logs nothing; of values about people it knows nothing,
but that the words of other libraries' errors may hold them.
"""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, unquote_plus, urlsplit

from pydantic import BaseModel, SecretBytes, SecretStr

from etl.errors import ImporterError
from etl.model import Request

MASK = "***"

SHORTEST = 5
"""A value of a query that is shorter is no secret by itself: ``1`` or ``true`` stands in every text."""

CHATTY = ("fsspec", "s3fs", "botocore", "aiobotocore", "urllib3.connectionpool")
"""Loggers whose DEBUG lines hold whole addresses, with the keys in them, and the bytes of files."""
for _name in CHATTY:
    logging.getLogger(_name).setLevel(logging.INFO)

_USER = re.compile(
    r"(?<=://)"
    r"(?:[^/?#@:\[]*:(?!\d*(?:[/?#]|$))[^@]*@)?"  # a password with a slash in it; a port is none
    r"(?:[^/?#]*@)?"
)
"""User and password of an address, with the @ behind them, as careless as people write them."""
_QUERY_OF_THE_WEB = re.compile(r"(https?://[^?]*)\?.*", re.IGNORECASE | re.DOTALL)
_WEB = re.compile(r"https?://", re.IGNORECASE)
_ORIGIN = re.compile(r"(https?://)(?:[^/?#@]*@)?([\w.-]+(?::\d+)?)(?=[/?#]|$)", re.ASCII | re.IGNORECASE)
_UP_TO_HOST = re.compile(r"[a-z]+://[\w.-]+(:\d+)?")
_AFTER_HOST = re.compile(r"(:\d+)?([/?#]|$)")
_SECRET_NAME = re.compile(r"pass|pwd|secret|token|key|sig|auth|credential", re.IGNORECASE)
_WORD = re.compile(r"[a-z]{1,11}")
_STEERS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_STEERS_A_LINE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""How cells begin that a spreadsheet runs."""


# -- texts of others


def printable(text: object) -> str:
    """The text without what a terminal would obey."""
    return _STEERS.sub("\N{REPLACEMENT CHARACTER}", str(text))


def printable_lines(text: str) -> str:
    """Our own lines of text, in which others' words may stand, without what a terminal would obey; lines stay lines."""
    return _STEERS_A_LINE.sub("\N{REPLACEMENT CHARACTER}", text)


def escape_formula(cell: str) -> str:
    """The cell as a spreadsheet may open it: one that would be run as a formula gets an apostrophe."""
    return f"'{cell}" if cell.startswith(FORMULA) else cell


# -- addresses and paths


def redact_url(location: str) -> str:
    """A path or URL without what may be secret in it: of a URL user and password, and of a web address its query."""
    return _QUERY_OF_THE_WEB.sub(r"\1", _USER.sub("", location))  # elsewhere ? is of a pattern


def redact_database_url(url: str) -> str:
    """The URL of a database without user, password and query."""
    return _USER.sub("", url).partition("?")[0]


def host_of(url: str) -> str:
    """Where a URL leads, host and port: without what may be secret in the rest of it."""
    return re.split("[/?#]", _USER.sub("", url).split("://", 1)[-1], maxsplit=1)[0]


def origin_of(url: str) -> str:
    """Scheme and host of an absolute web address, in lower case; empty for anything else."""
    found = _ORIGIN.match(url)
    return f"{found[1]}{found[2]}".lower() if found else ""


def is_safe_to_show(value: str, folder: Path | None = None) -> bool:
    """True for what may and must be shown: the path of a file, or a URL that holds no credentials.

    With ``folder``, the name of anything that is in it is a path too.
    """
    if _WEB.match(value):
        return _is_bare_host(value)
    if folder is not None and _exists(folder / value):
        return True
    return value.startswith(("/", ".")) and _exists(Path(value))


def display_reference(name: str, value: str, folder: Path) -> str:
    """What a path shows in the place of ``${name}``: its value, or itself where that may be a secret."""
    return value if is_safe_to_show(value, folder) else f"${{{name}}}"


def _is_bare_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return not (parts.username or parts.password or parts.query or parts.fragment) and parts.path in ("", "/")


def _exists(path: Path) -> bool:
    """True when something is there; a key taken for a path may be too long for one."""
    try:
        return path.exists()
    except OSError:
        return False


_IN_CLEAR = ("event_name", "occurred_at", "revenue", "currency", "quantity")
_OF_A_PERSON = re.compile(r"@|%40|\+\d")
LONGEST_EXAMPLE = 40


def example(column: str, cell: str) -> str:
    """A cell of somebody's row as an example of its column: its shape alone, unless it says nothing of a person.

    Letters become x, digits 9; what stands between them stays, and long ones are cut off.
    """
    clear = column in _IN_CLEAR and not (column == "event_name" and _OF_A_PERSON.search(cell))
    shape = cell if clear else re.sub(r"[^\W\d_]", "x", re.sub(r"\d", "9", cell))
    return shape if len(shape) <= LONGEST_EXAMPLE else f"{shape[: LONGEST_EXAMPLE - 1]}…"


# -- which values are secret


class Filled(NamedTuple):
    """One ``${NAME}`` of a setting, filled in: its value, and the setting's text before and after it."""

    value: str
    before: str
    after: str


def secrets_of(settings: BaseModel) -> list[str]:
    """Every secret of settings, however deep it stands: each SecretStr, and what is secret in each address."""
    found: list[str] = []
    for value in texts_in(settings):
        if isinstance(value, str):
            found += secrets_in_url(value)
        elif not _is_harmless_address(value.get_secret_value()):
            found += [value.get_secret_value(), *secrets_in_url(value.get_secret_value())]
    return _distinct(found)


def secrets_filled_in(parts: Iterable[Filled]) -> list[str]:
    """Of what is filled into addresses: all that is more than a host."""
    return _distinct(part.value for part in parts if _is_secret_part(part))


def secrets_in_url(url: str) -> list[str]:
    """What is secret in an address: the password, and what a web address has after the question mark.

    A user's name stands for a password where there is none. Of the query of a database only what is named like a secret
    counts. All as written and as meant (``%2F`` is ``/``). Nothing for a text that is no address.
    """
    if "://" not in url:
        return []
    bare = _USER.sub("", url)
    web = _WEB.search(bare)
    is_web = web is not None
    query = bare[web.start() if web else 0 :].partition("?")[2].partition("#")[0]
    found = [_password(user[0], is_web=is_web) for user in _USER.finditer(url)]
    found += [query] if is_web else []
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if value and (is_web or _SECRET_NAME.search(name)):
            alone = len(value) >= SHORTEST and bool(_SECRET_NAME.search(name) or not _WORD.fullmatch(value))
            found += [pair, value] if alone else [pair]
    return _distinct(form for text in found for form in (text, unquote(text), unquote_plus(text)))


def texts_in(settings: Any) -> Iterator[Any]:
    """Every text and every secret of settings, however deep it stands."""
    if isinstance(settings, BaseModel):
        settings = {name: getattr(settings, name) for name in type(settings).model_fields}
    if isinstance(settings, Mapping):
        settings = list(settings.values())
    if isinstance(settings, list | tuple | set | frozenset):
        for value in settings:
            yield from texts_in(value)
    elif isinstance(settings, SecretBytes):
        yield SecretStr(settings.get_secret_value().decode("utf-8", "replace"))
    elif isinstance(settings, str | SecretStr):
        yield settings


def _password(user: str, *, is_web: bool) -> str:
    name, colon, password = user.removesuffix("@").partition(":")
    return password if colon else name * is_web


def _is_secret_part(part: Filled) -> bool:
    if not part.value or "://" not in f"{part.before}{part.value}{part.after}":
        return False
    if is_safe_to_show(part.value) or _is_harmless_address(part.value):
        return False
    names_a_host = _UP_TO_HOST.fullmatch(_USER.sub("", part.before) + part.value) and _AFTER_HOST.match(part.after)
    return not names_a_host  # what ends at @ is no host


def _is_harmless_address(text: str) -> bool:
    """True for the address of a database or bucket that holds no secret; a web address may be one as a whole."""
    return "://" in text and not _WEB.search(text) and not secrets_in_url(text)


def _distinct(texts: Iterable[str]) -> list[str]:
    return [text for text in dict.fromkeys(texts) if text]


# -- what is shown without them


def mask(text: str, secrets: Iterable[str]) -> str:
    """The text with every secret blotted out, also where it is quoted for a URL.

    A secret that is a plain word is blotted out as a word: the password ``postgres`` is none in ``postgresql://``.
    """
    forms = {form for secret in secrets if secret for form in (secret, quote(secret, safe=""))}
    for form in sorted(forms, key=len, reverse=True):
        text = re.sub(rf"\b{form}\b", MASK, text) if _WORD.fullmatch(form) else text.replace(form, MASK)
    return text


def mask_request(request: Request, secrets: Sequence[str]) -> Request:
    """The request with every secret replaced, fit to be shown to whoever has the rows in it."""
    headers = {name: mask(value, secrets) for name, value in request.headers.items()}
    body = mask(request.body.decode("utf-8", "surrogateescape"), secrets).encode("utf-8", "surrogateescape")
    return replace(request, url=mask(request.url, secrets), headers=headers, body=body)


# -- errors


@contextmanager
def masked_errors(secrets: Sequence[str]) -> Iterator[None]:
    """Blot secrets out of the sentence of an error of ours that passes, whoever wrote it."""
    try:
        yield
    except ImporterError as error:
        error.args = (mask(str(error), secrets), *error.args[1:])
        raise


def database_error(error: BaseException, secrets: Sequence[str]) -> str:
    """The first line of what a database says, without the statement and its values."""
    said = str(error.args[-1] if error.args else "").strip()
    return mask(said.splitlines()[0], secrets) if said else type(error).__name__


def without_quotes(problem: str) -> str:
    """What a parser says, without what it quotes: that may be a secret. Single characters stay."""
    return re.sub(r"(['\"]).{2,}\1", "…", problem)


def trace(error: BaseException) -> str:
    """Where an error came from, and what led to it: places and types, and words only where they are our own.

    The words of others may hold a row's values: ``Could not convert 'jo@example.com'``.
    """
    words = f": {error}" if isinstance(error, ImporterError) else ""
    places = ["Traceback (most recent call last):\n", *traceback.format_tb(error.__traceback__)]
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    first = [f"{trace(before)}\nand then:\n\n"] if before is not None else []
    return "".join([*first, *places, f"{type(error).__name__}{words}\n"])
