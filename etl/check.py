"""Check: everything a run would do up to the wire, in memory. Sends nothing, writes nothing down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import pandas as pd

import etl.transform
import etl.validate
from etl.destinations.base import Destination
from etl.load import by_age
from etl.model import Checked, Item, Noted, Request, Status, Verdict
from etl.staging import items_of

SHOWN = 10_000
"""No more rows with a reason are kept per destination; all are counted."""


@dataclass
class _Tally:
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    noted: Noted = field(default_factory=list)
    request: Request | None = None

    def note(self, noted: Noted) -> None:
        self.counts.update((verdict.status.value, verdict.reason) for _, _, _, verdict in noted)
        self.noted += noted[: max(SHOWN - len(self.noted), 0)]


def destinations(
    frames: Iterable[pd.DataFrame],
    rules: etl.validate.Rules,
    chosen: Mapping[str, Destination],
    stopped: Mapping[str, str],
) -> dict[str, Checked]:
    """Judge and build every row for every destination; ``stopped`` ones (name -> sentence) get no requests."""
    tallies = {name: _Tally() for name in chosen}
    rows = 0
    with etl.validate.Seen() as seen:
        for frame in frames:
            rows += len(frame)
            good, noted = etl.validate.conversions(frame, rules, seen)
            for name, tally in tallies.items():
                tally.note(noted)
                if name not in stopped:
                    _build(chosen[name], tally, good, rules.now_ms)
    return {
        name: Checked(rows, dict(tally.counts), tally.noted, tally.request, stopped.get(name, ""))
        for name, tally in tallies.items()
    }


def _build(destination: Destination, tally: _Tally, good: pd.DataFrame, now_ms: int) -> None:
    table, noted = etl.transform.items(good, destination)
    tally.note(noted)
    ready, late, early = by_age(items_of(table), now_ms)
    facts = destination.facts
    for items, verdict in (
        (late, Verdict(Status.REJECTED, *facts.expired)),
        (early, Verdict(Status.FAILED, *facts.early)),
    ):
        tally.note([(item.row_number, item.event_id, item.event_name, verdict) for item in items])
    tally.counts.update(("ready", reason) for reason in _remarks(destination, ready, now_ms))
    if tally.request is None and ready:
        payloads = [item.payload for item in ready[: destination.limits.items]]
        tally.request = masked(destination.request(payloads), destination)


def _remarks(destination: Destination, items: list[Item], now_ms: int) -> Iterator[str]:
    for item in items:
        stale = item.stale_at_ms is not None and now_ms > item.stale_at_ms
        yield destination.facts.stale[0] if stale else item.note


def masked(request: Request, destination: Destination) -> Request:
    """The request with every secret of its destination replaced, fit to be shown."""
    headers = {name: destination.masked(value) for name, value in request.headers.items()}
    return replace(request, url=destination.masked(request.url), headers=headers)
