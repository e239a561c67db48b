"""The plain values that travel between the rooms. No I/O, no clock, nothing vendor-specific."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple


class Status(StrEnum):
    """The last word on one (destination, conversion); the whole list."""

    DELIVERED = "delivered"  # the vendor acknowledged the request that carried it
    DUPLICATE = "duplicate"  # already delivered, or in flight, under the same key; nothing sent
    SKIPPED = "skipped"  # the destination does not want this event
    REJECTED = "rejected"  # our validation stopped it
    REFUSED = "refused"  # the vendor said no to this row, for good
    FAILED = "failed"  # never accepted: retries used up, or the destination was down or misconfigured
    UNKNOWN = "unknown"  # it may have been accepted: sent, no readable answer


GOOD = frozenset({Status.DELIVERED, Status.DUPLICATE, Status.SKIPPED})
"""Statuses that need no attention."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of one row: a status, a short reason code and a sentence for a person.

    ``warnings``: the codes of all that is worth knowing of a row that is good, with spaces between them.
    """

    status: Status
    reason: str = ""
    detail: str = ""
    warnings: str = ""


class RowVerdict(NamedTuple):
    """What is said of a row that is never sent."""

    row_number: int
    event_id: str
    event_name: str
    verdict: Verdict


class RunWarning(NamedTuple):
    """What a run changed, left out or did not understand, and how often; nothing of the rows themselves.

    ``code`` is short and stable, ``column`` the source's name of the column (empty: the file as a whole), ``rows`` how
    many rows it happened in (0: it is not about rows), ``sentence`` for a person, without the count.
    """

    code: str
    column: str
    rows: int
    sentence: str

    def __str__(self) -> str:
        """The sentence with its count, for people."""
        return f"{self.sentence} ({self.rows:,} row{'' if self.rows == 1 else 's'})" if self.rows else self.sentence


def summed(warnings: Iterable[RunWarning]) -> list[RunWarning]:
    """Warnings that say the same as one, with the sum of their rows, in the order they first came."""
    rows: dict[tuple[str, str, str], int] = {}
    for warning in warnings:
        key = (warning.code, warning.column, warning.sentence)
        rows[key] = rows.get(key, 0) + warning.rows
    return [RunWarning(code, column, count, sentence) for (code, column, sentence), count in rows.items()]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much travels at once. A vendor file states defaults; imports.yaml may lower or raise them.

    ``items`` and ``bytes`` bound one request's body, ``connections`` the requests in flight at once, ``spacing_ms`` the
    time between the starts of two requests.
    """

    items: int
    bytes: int
    connections: int
    spacing_ms: int = 0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long one request is tried: attempts and total time both bound it. Waits double, with jitter."""

    attempts: int = 5
    first_wait_s: float = 0.5
    longest_wait_s: float = 60.0
    total_s: float = 300.0
    timeout_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, described: nothing is opened. Header values may be secret and are never logged."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP answer, read to its end. Header names are lower-case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


Fetch = Callable[[str, Mapping[str, str]], bytes]
"""``fetch(url, headers)`` -> the body of a 200; raises `errors.LookupFailed` with a sentence otherwise."""


FINGERPRINT_BITS = 56
"""Bits of a fingerprint that are the row's; those above are the version's."""

FINGERPRINT_VERSION = 2
"""What a fingerprint covers, and how; those of version 1 are not negative. Another meaning needs another number."""


def fingerprint_version(fingerprint: int) -> int:
    """The version that made a fingerprint."""
    return 1 if fingerprint >= 0 else (fingerprint >> FINGERPRINT_BITS) + 2**7


class Item(NamedTuple):
    """One conversion in one vendor's words, ready for the wire. A tuple: millions of them are made.

    ``row_number`` is for people, ``event_id`` the key's second half, ``payload`` bytes encoded once. ``expires_at_ms``
    (epoch ms) is the last moment the vendor takes it, if there is one, and ``ready_at_ms`` the first; after
    ``stale_at_ms`` it goes with a warning.
    ``warnings`` (codes, joined by a space) and ``warning_detail`` (their sentences) travel into the result when
    delivered. ``other_event_id`` is
    another spelling of the same id, under which an earlier version may have sent it: the source's own where the id was
    cleaned, the clean one where a row was staged before ids were.
    """

    row_number: int
    event_id: str
    event_name: str
    payload: bytes
    fingerprint: int = 0
    expires_at_ms: int | None = None
    stale_at_ms: int | None = None
    ready_at_ms: int | None = None
    warnings: str = ""
    warning_detail: str = ""
    other_event_id: str | None = None

    @property
    def warning(self) -> str:
        """The first of its warnings, empty where it has none."""
        return self.warnings.partition(" ")[0]

    def __repr__(self) -> str:
        """Without the payload, which is about a person."""
        return f"Item(row_number={self.row_number}, event_id={self.event_id!r})"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows of a source, staged as one file. Only this travels between stages and through Airflow.

    ``path`` is relative to the run's staging folder, whose own address may hold credentials.
    """

    index: int
    path: str
    rows: int


class MappedColumn(NamedTuple):
    """What becomes of a column at one destination, with the redacted example of one row.

    ``source``: the source's name of it, or names; ``canonical``: ours, empty for what travels beside ours; ``field``:
    the vendor's, empty where it has none.
    """

    source: str
    canonical: str
    field: str
    example: str


class Plan(NamedTuple):
    """What a run of now would do at one destination.

    ``new``: rows that it would send. ``delivered``: before; ``changed``: of those that were delivered, the ones that
    say something else now. ``expired``: too old already; ``soon``: of the new ones, too old within a day. ``first``:
    rows that failed before and would be sent before the others, as a run of their own. ``seconds``: how long the
    ``requests`` take at least at the vendor's limits. ``too_slow``: what to do where that is very long.
    """

    new: int = 0
    delivered: int = 0
    changed: int = 0
    expired: int = 0
    soon: int = 0
    first: int = 0
    requests: int = 0
    seconds: float = 0.0
    too_slow: str = ""


@dataclass(frozen=True, slots=True)
class Preview:
    """What a check of one destination found: nothing was sent and nothing written down.

    ``counts``: (status or ``ready``, reason) -> rows. ``unsent``: the first of the rows that would not be sent.
    ``request``: the first request as it would be sent, secrets masked. ``stopped``: why the destination would stop.
    ``warnings``: those of the whole source, and this destination's own. ``columns``: what feeds what. ``notes``: what
    is odd about the settings, and what to know of the vendor before anything is sent, in sentences. ``plan``: what a
    run of now would do, where the destination can be delivered to.
    """

    rows: int
    counts: Mapping[tuple[str, str], int]
    unsent: list[RowVerdict]
    request: Request | None
    stopped: str = ""
    warnings: Sequence[RunWarning] = ()
    columns: Sequence[MappedColumn] = ()
    notes: Sequence[str] = ()
    plan: Plan | None = None
