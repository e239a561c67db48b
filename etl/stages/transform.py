"""Transform: conversions into one vendor's items, encoded once. Rows that the vendor does not take end here."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import pandas as pd
import pyarrow as pa

from etl import reasons
from etl.destinations.base import Destination, to_python
from etl.model import Chunk, RowVerdict, Status, Verdict
from etl.stages.plan import Job
from etl.staging import ITEMS
from schemas.rules import problems

MOMENTS = ("expires_at_ms", "stale_at_ms", "ready_at_ms")
"""Columns of moments that a destination may give its rows, see `model.Item`."""

PHONE = Verdict(
    Status.REJECTED,
    reasons.PHONE_NOT_INTERNATIONAL.code,
    "phone carries no country code (+49 …) and cannot be hashed as the website does it: add the code, or leave it out.",
)


NOT_TAKEN = "not_taken"
"""Under what name the last moments of rows are staged that became no items, where there are such rows."""


class Transformed(NamedTuple):
    """One chunk for one destination: its items, and what is said of the rows that became none.

    ``expiries``: ``expires_at_ms`` of each of those rows (index = row number), null where it has none.
    """

    items: pa.Table
    not_taken: list[RowVerdict]
    expiries: pd.DataFrame


def stage(job: Job, name: str, chunk: Chunk) -> Chunk:
    """One chunk in one vendor's words; rows it does not take are recorded."""
    destination = job.destination(name)
    frame = job.staging.frame(chunk)
    if name in job.ledger.runs.stops(job.run.run_no):
        return job.staging.write(f"items/{name}", chunk.index, unsent(frame))
    made = transformed(frame, destination)
    job.record_unsent([name], made.not_taken)
    if made.not_taken:
        job.staging.write(f"{NOT_TAKEN}/{name}", chunk.index, made.expiries)
    return job.staging.write(f"items/{name}", chunk.index, made.items)


def items(conversions: pd.DataFrame, destination: Destination) -> tuple[pa.Table, list[RowVerdict]]:
    """One chunk of conversions as staged items, and what is said of the rows that are skipped or rejected."""
    made = transformed(conversions, destination)
    return made.items, made.not_taken


def transformed(conversions: pd.DataFrame, destination: Destination) -> Transformed:
    """One chunk of conversions in one vendor's words."""
    conversions, unusable = destination.hash_personal(conversions)
    told = {int(row): PHONE for row in conversions.index[unusable]}
    columns = destination.columns(conversions)
    frame = columns[~unusable] if told else columns
    if "skip" in frame.columns:
        skipped = frame[frame["skip"].notna()]
        pairs = zip(skipped.index, skipped["skip"], skipped["skip_detail"], strict=True)
        told |= {int(row): Verdict(Status.SKIPPED, reason, detail) for row, reason, detail in pairs}
        frame = frame[frame["skip"].isna()]
    bad = problems(destination.schema(), frame)
    told |= {int(row): Verdict(Status.REJECTED, reason, detail) for row, reason, detail in bad.itertuples()}
    good = frame.drop(index=bad.index) if len(bad) else frame
    table = _table(good, conversions, destination.items(good))
    return Transformed(table, _noted(conversions, told), _expiries(columns, told))


def _expiries(columns: pd.DataFrame, rows: Collection[int]) -> pd.DataFrame:
    """``expires_at_ms`` of these rows, whether or not the vendor has such a thing."""
    some = columns.reindex(columns=["expires_at_ms"]).loc[sorted(rows)]
    return some.astype("Int64")


def unsent(conversions: pd.DataFrame) -> pa.Table:
    """The rows as items without a payload, for a destination that stopped before they could be built."""
    return _table(conversions[["event_id", "event_name"]], conversions, [b""] * len(conversions))


def _table(good: pd.DataFrame, conversions: pd.DataFrame, payloads: list[bytes]) -> pa.Table:
    own = conversions.loc[good.index] if len(good) != len(conversions) else conversions
    nothing: list[None] = [None] * len(good)
    columns = {
        "row_number": good.index,
        "event_id": own["event_id"],
        "event_name": own["event_name"],
        "payload": payloads,
        "fingerprint": own["fingerprint"],
        **{n: to_python(good, n) if n in good.columns else nothing for n in MOMENTS},
        **{n: good[n].fillna("") if n in good.columns else [""] * len(good) for n in ("note", "note_detail")},
    }
    return pa.table({name: pa.array(values, ITEMS.field(name).type) for name, values in columns.items()}, schema=ITEMS)


def _noted(conversions: pd.DataFrame, told: dict[int, Verdict]) -> list[RowVerdict]:
    rows = conversions.loc[sorted(told), ["event_id", "event_name"]]
    return [RowVerdict(int(row), id_, name, told[int(row)]) for row, id_, name in rows.itertuples()]
