"""Rows that were delivered before, as they are: what is said of them, and which they are."""

from __future__ import annotations

from collections.abc import Sequence

from etl import reasons
from etl.ledger.entries import Entries
from etl.ledger.spans import SaidRow
from etl.model import Item, Status, Verdict, fingerprint_version


def before(entries: Entries, items: Sequence[Item]) -> list[SaidRow]:
    """What is said of those items that other runs have delivered, under either spelling, as they are."""
    others = [item.other_event_id for item in items if item.other_event_id is not None]
    found = entries.delivered_before([*(item.event_id for item in items), *others])
    by = {run_id: said_of(run_id) for run_id in {run_id for run_id, _ in found.values()}}
    rows = []
    for number, event_id, name, _, fingerprint, *_, other in items:
        holder = found.get(other) if other in found else found.get(event_id)
        if holder is not None and not differ(holder[1], fingerprint):
            rows.append(SaidRow(number, event_id, name, fingerprint, by[holder[0]]))
    return rows


def said_of(run_id: str) -> Verdict:
    """Of a row that this run has delivered."""
    return Verdict(Status.DUPLICATE, reasons.ALREADY_DELIVERED.code, f"Delivered by run {run_id}.")


def differ(one: int, other: int) -> bool:
    """True when two rows are known to differ. Fingerprints of different versions do not say, nor does a missing one."""
    return bool(one and other) and one != other and fingerprint_version(one) == fingerprint_version(other)
