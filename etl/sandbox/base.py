"""What a vendor's file is made of: one request in, one answer out. Plain values, no I/O; knows no vendor by name."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple
from urllib.parse import parse_qs

import orjson

JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Incoming:
    """A request as one vendor sees it. `path` begins after the vendor's prefix; header names are lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    now_ms: int

    def parameter(self, name: str) -> str | None:
        """The first value of a query parameter, or None."""
        return parse_qs(self.query, keep_blank_values=True).get(name, [None])[0]


class Item(NamedTuple):
    """One conversion (or event) found in an accepted request.

    `key` is what people search by, `identity` what the vendor compares to find repeats (None: it never compares),
    `ignored` the reason why the vendor would take it without a word and count nothing.
    """

    content: Any
    key: str
    identity: object
    ignored: str | None = None


@dataclass(frozen=True)
class Answer:
    """What the vendor replies, and what it took in while doing so."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    items: tuple[Item, ...] = ()
    accepted: bool = False
    repeats_count: bool = False  # True where the vendor has no deduplication: repeats are seen, and still counted
    lost_parts: Mapping[str, int] = field(default_factory=dict)  # reason -> n, of parts dropped from items that count


@dataclass(frozen=True)
class Vendor:
    """One vendor. A subclass in a file of its own, whose fields are the credentials that exist; others are strangers.

    Paths begin after the vendor's prefix and have no query.
    """

    type: ClassVar[str]
    """The name of the subclass's file, and the prefix of its paths."""

    @property
    def delivery_path(self) -> str:
        """Where conversions are posted."""
        raise NotImplementedError

    @property
    def lookup_path(self) -> str | None:
        """Where goals or events can be looked up; None at a vendor that tells nothing."""
        return None

    def answer(self, request: Incoming) -> Answer:
        """The vendor's answer to one request, whatever its path and method."""
        raise NotImplementedError


class Malformed(ValueError):
    """A body that breaks the documented form; the message names the place."""


def decode(body: bytes) -> Any:
    """The body as strict JSON (no NaN, no Infinity, valid UTF-8). Raises Malformed."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Malformed(f"body is not JSON: {error}") from error


def reply(status: int, content: object, **headers: str) -> Answer:
    """An answer that takes nothing in, with a JSON body."""
    return Answer(status, orjson.dumps(content), {**JSON, **headers})


def refuse(status: int, reason: str) -> Answer:
    """A refusal with the reason in it."""
    return reply(status, {"error": reason})


def only(method: str) -> Answer:
    """405, naming the one method this path takes."""
    return reply(405, {"error": f"use {method}"}, Allow=method)


def is_text(value: object) -> bool:
    """A string with something in it."""
    return type(value) is str and value != ""


def is_integer(value: object) -> bool:
    """A JSON integer that fits 64 bits; true and false are no numbers here."""
    return type(value) is int and -(2**63) <= value < 2**63


def is_number(value: object) -> bool:
    """A JSON number."""
    return type(value) is int or type(value) is float


def need(condition: bool, message: str) -> None:
    """Raise Malformed with this message unless the condition holds."""
    if not condition:
        raise Malformed(message)
