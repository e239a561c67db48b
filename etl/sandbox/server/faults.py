"""Trouble on request: which request is delayed, refused or cut off, and how often.

A fault has one shape everywhere (YAML file, HTTP control, Python):

    {vendor: kameleoon | "*", path: part of the path, when_body_contains: text,      which requests
     skip: 2, times: 3,                                                              the first N pass; then at most N
     delay_ms: 500,                                                                  wait first, then go on
     status: 503, body: text, headers: {Retry-After: "2"}, accept: false,            answer this instead, or
     drop: before | mid_body | after | mid_answer}                                   cut the connection

The first fault of the list that matches and is not used up is the one that happens.

- `status` answers without the vendor seeing the request; with `accept: true` the vendor takes it in first.
- `{sent}` in `body` becomes what was sent, address, headers and body, escaped as in a JSON text.
- `drop: before` and `mid_body` reset the connection before the vendor has the request; nothing counts.
- `drop: after` and `mid_answer` let the vendor take the request in, then close without an answer, or within it.

Only `drop: before` stands in the way of a probe (a HEAD request), and is used up by it: the other drops tell what
happens to a delivery, and a status is the vendor's, who answers every probe alike.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator

from etl.sandbox.server.vendors import types

Read = Callable[[], Awaitable[bytes]]
EVERY_VENDOR = "*"


class FaultError(ValueError):
    """A fault that makes no sense; the message says which and why."""


class Fault(BaseModel):
    """One kind of trouble; see the head of this module."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    vendor: str
    path: str = ""
    when_body_contains: str | None = None
    skip: int = Field(default=0, ge=0)
    times: int | None = Field(default=None, ge=1)
    delay_ms: int = Field(default=0, ge=0)
    status: int | None = Field(default=None, ge=200, le=599)
    body: str = ""
    headers: dict[str, str] = {}
    accept: bool = False
    drop: Literal["before", "mid_body", "after", "mid_answer"] | None = None

    @field_validator("vendor")
    @classmethod
    def _one_of_the_vendors(cls, vendor: str) -> str:
        if vendor not in (*types(), EVERY_VENDOR):
            raise ValueError(f"must be one of {', '.join(types())}, or {EVERY_VENDOR} for all of them")
        return vendor

    @field_validator("headers", mode="before")
    @classmethod
    def _headers_as_text(cls, headers: Any) -> Any:
        """YAML reads `Retry-After: 2` as a number; on the wire it is text."""
        if not isinstance(headers, dict):
            return headers
        return {name: str(value) if type(value) is int else value for name, value in headers.items()}

    @model_validator(mode="after")
    def _says_one_thing(self) -> "Fault":
        if self.status is None and (self.body or self.headers or self.accept):
            raise ValueError("body, headers and accept need a status")
        if self.status is not None and self.drop is not None:
            raise ValueError("a fault answers a status or drops the connection, not both")
        if self.status is None and self.drop is None and self.delay_ms == 0:
            raise ValueError("a fault needs a status, a drop or a delay_ms")
        return self

    def aims_at(self, vendor: str, path: str, method: str) -> bool:
        """Whether a request of this method to this path is in its way (the body is looked at elsewhere)."""
        if self.vendor not in (EVERY_VENDOR, vendor) or self.path not in path:
            return False
        return method != "HEAD" or self.drop == "before"


@dataclass
class _Armed:
    fault: Fault
    matched: int = 0

    def strikes(self) -> bool:
        """Count one more match; whether this one is hit."""
        self.matched += 1
        hit = self.matched - self.fault.skip
        return hit > 0 and (self.fault.times is None or hit <= self.fault.times)


class Faults:
    """The faults now set, in order, each remembering how often it has matched."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._armed = [_Armed(fault) for fault in faults]

    def replace(self, faults: Iterable[Fault]) -> None:
        """Forget all, then set these."""
        self._armed = [_Armed(fault) for fault in faults]

    def add(self, fault: Fault) -> None:
        """Set one more, after the others."""
        self._armed.append(_Armed(fault))

    def listed(self) -> list[dict[str, Any]]:
        """The faults as they were given, each with `matched`."""
        return [{**armed.fault.model_dump(exclude_defaults=True), "matched": armed.matched} for armed in self._armed]

    async def pick(self, vendor: str, path: str, method: str, read: Read) -> Fault | None:
        """The fault that happens to this request, if any. The body is read only when a fault asks for its content."""
        for armed in list(self._armed):
            if not armed.fault.aims_at(vendor, path, method):
                continue
            needle = armed.fault.when_body_contains
            if needle is not None and needle.encode() not in await read():
                continue
            if armed.strikes():
                return armed.fault
        return None


def faults_from(value: Any) -> list[Fault]:
    """Faults from decoded JSON or YAML: a list of objects. Raises FaultError with the place and the reason."""
    try:
        return TypeAdapter(list[Fault]).validate_python([] if value is None else value)
    except ValidationError as error:
        raise FaultError("; ".join(_in_words(dict(problem)) for problem in error.errors())) from error


def faults_in(path: Path) -> list[Fault]:
    """The faults of a YAML file. Raises FaultError."""
    try:
        return faults_from(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise FaultError(f"{path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError, FaultError) as error:
        raise FaultError(f"{path}: {error}") from error


def _in_words(problem: dict[str, Any]) -> str:
    place = ".".join(str(part) for part in problem["loc"])
    return f"fault {place}: {problem['msg']}" if place else f"faults: {problem['msg']}"
