"""What the ledger is told and what it answers: plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from etl.model import Item, Verdict


class Claim(NamedTuple):
    """Items that were won together and are to travel together; ``number`` proves whose they are.

    It is the number of what is said of them. Whoever takes them over says something else under another number.
    """

    number: int
    items: Sequence[Item]


@dataclass(frozen=True, slots=True)
class Sent:
    """Items of a claim that have their last word: one verdict each, how the request went (0 attempts: it did not).

    ``answer``: what a vendor said that did not take them, fit to be shown.
    """

    claim: Claim
    items: Sequence[Item]
    verdicts: Sequence[Verdict]
    bytes: int
    attempts: int
    http_status: int | None = None
    sent_at_ms: int | None = None
    answered_at_ms: int | None = None
    answer: str = ""


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A run as the ledger knows it."""

    run_no: int
    run_id: str
    kind: str
    import_name: str
    source: str
    started_at_ms: int
    finished_at_ms: int | None
    window_start_ms: int | None
    window_end_ms: int | None
    retry_of: str | None
    stop_detail: str


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A dropped file as the ledger knows it: one per import and content, whatever its name. States: see `etl.drops`."""

    import_name: str
    sha256: str
    path: str
    bytes: int
    state: str
    run_id: str | None
    seen_at_ms: int
    done_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a destination took nothing more in a run."""

    reason: str
    detail: str


class RowResult(NamedTuple):
    """What is said of one row at one destination."""

    status: str
    reason: str
    detail: str


class DeadLetters(NamedTuple):
    """Rows of one import run that one destination has not taken, ascending."""

    run_id: str
    destination: str
    row_numbers: list[int]


class Pruned(NamedTuple):
    """How many rows of each table were forgotten."""

    runs: int
    entries: int
    batches: int
