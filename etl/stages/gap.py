"""A gap in the ledger: rows that may have been delivered while another copy of it was in use.

Where a vendor counts a repeat once they are sent. Where it does not, a person decides.
"""

from __future__ import annotations

import pandas as pd

from etl import reasons
from etl.destinations.base import Destination
from etl.ledger import Ledger
from etl.model import RowVerdict, Status, Verdict

_DOUBTFUL = Verdict(Status.UNKNOWN, reasons.LEDGER_RESTORED.code, reasons.LEDGER_RESTORED.detail)


def apart(ledger: Ledger, destination: Destination, conversions: pd.DataFrame) -> tuple[pd.DataFrame, list[RowVerdict]]:
    """The conversions that may be sent, and what is said of those on which a person has to decide."""
    unclear = _doubtful(ledger, destination, conversions)
    return (conversions.drop(index=[row.row_number for row in unclear]) if unclear else conversions), unclear


def _doubtful(ledger: Ledger, destination: Destination, conversions: pd.DataFrame) -> list[RowVerdict]:
    """The rows that occurred before the gap ended, of which the ledger knows nothing, where a repeat would count."""
    until_ms = 0 if destination.facts.repeatable else ledger.facts.gap_until_ms
    rows = conversions[conversions["occurred_at_ms"] < until_ms]
    if rows.empty:
        return []
    other = rows["other_event_id"] if "other_event_id" in rows.columns else rows["event_id"]
    spelled = [*rows["event_id"].dropna(), *other.dropna()]
    known = ledger.results.delivered_by(destination.name, spelled)
    return [
        RowVerdict(int(number), str(event_id), str(event_name), _DOUBTFUL)
        for number, event_id, event_name, spelling in zip(
            rows.index, rows["event_id"], rows["event_name"], other, strict=True
        )
        if event_id not in known and spelling not in known
    ]
