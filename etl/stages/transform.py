"""Transform: conversions into one vendor's items, encoded once. Rows that the vendor does not take end here."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

import pandas as pd
import pyarrow as pa

from etl.column_settings import ALL_COLUMNS, MappingSettings
from etl.columns import COLUMNS, DERIVED, normalize, reserved_name
from etl.destinations.base import CONTACT_FAULTS, CONTACT_REASONS, Destination, to_python
from etl.model import Chunk, RowVerdict, RunWarning, Status, Verdict
from etl.stages import gap, sums
from etl.stages.plan import Job
from etl.staging import ITEMS, items_of
from schemas.cleaning import clean_ids, other_spelling
from schemas.rules import problems

MOMENTS = ("expires_at_ms", "stale_at_ms", "ready_at_ms")
"""Columns of moments that a destination may give its rows, see `model.Item`."""

WARNINGS = ("note", "note_detail")
"""Columns of the warnings (reason codes, joined by a space, and sentences) that a destination may give its rows."""

NOT_TAKEN = "not_taken"
"""Under what name the last moments of rows are staged that became no items, where there are such rows."""

PROBED = 20
"""So many rows of a chunk, drawn evenly, are looked up before all of them are."""


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
        return job.staging.write(f"items/{name}", chunk.index, without_payloads(frame))
    frame, unclear = gap.apart(job.ledger, destination, frame)
    passed = _pass_delivered(job, destination, frame)
    made = transformed(frame[~frame.index.isin(passed)] if passed else frame, destination, job.settings)
    job.record_unsent([name], [*unclear, *made.not_taken])
    job.warn(f"items-{name}-{chunk.index:05d}", warnings(made.items, frame, destination, job.clock()))
    rows = made.items["row_number"].to_numpy()
    own = frame[frame.index.isin([*passed, *rows])] if passed else frame.loc[rows]
    job.keep_sums(destination, chunk.index, sums.sums(destination, own))
    if made.items.num_rows < len(frame):
        job.staging.write(f"{NOT_TAKEN}/{name}", chunk.index, made.expiries)
    return job.staging.write(f"items/{name}", chunk.index, made.items)


def _pass_delivered(job: Job, destination: Destination, frame: pd.DataFrame) -> list[int]:
    """Record which rows were delivered before, for nothing is to be made of them.

    Nothing is looked up where none of a few rows was, nor where rows bear on each other (``in_order``): what others are
    to send depends on what is made of these.
    """
    few = without_payloads(frame.iloc[:: len(frame) // PROBED + 1])
    ids = [*few["event_id"].to_pylist(), *few["other_event_id"].drop_null().to_pylist()]
    claims, run_no, name = job.ledger.claims, job.run.run_no, destination.name
    if destination.in_order or not claims.any_delivered(run_no, name, ids):
        return []
    passed = sorted(claims.pass_delivered(run_no, name, items_of(without_payloads(frame))))
    job.progress(name, len(passed))
    return passed


def items(
    conversions: pd.DataFrame, destination: Destination, settings: MappingSettings
) -> tuple[pa.Table, list[RowVerdict]]:
    """One chunk of conversions as staged items, and what is said of the rows that are skipped or rejected."""
    made = transformed(conversions, destination, settings)
    return made.items, made.not_taken


def warnings(items: pa.Table, conversions: pd.DataFrame, destination: Destination, at_ms: int) -> list[RunWarning]:
    """What a destination has to say of a chunk's items as a whole, at the moment they are about to be sent."""
    return destination.warnings(conversions.loc[items["row_number"].to_numpy()], at_ms)


def travelling(conversions: pd.DataFrame, destination: Destination, settings: MappingSettings) -> pd.DataFrame:
    """The conversions without the columns that neither this vendor nor the import names."""
    if settings.extra_columns == ALL_COLUMNS:
        return conversions
    named = {*COLUMNS, *DERIVED, *type(destination).own_columns_of(dict(destination.settings))}
    listed = {normalize(each) for name in settings.extra_columns for each in (name, reserved_name(name, ()))}
    return conversions[[name for name in conversions.columns if name in named or normalize(name) in listed]]


def transformed(conversions: pd.DataFrame, destination: Destination, settings: MappingSettings) -> Transformed:
    """One chunk of conversions in one vendor's words."""
    if conversions.empty:
        return Transformed(without_payloads(conversions), [], _expiries(conversions, ()))
    conversions = travelling(conversions, destination, settings)
    conversions = destination.hash_personal(conversions)
    columns = _with_faults(destination.columns(conversions), conversions)
    verdicts: dict[int, Verdict] = {}
    frame = columns
    if "skip" in frame.columns:
        skipped = frame[frame["skip"].notna()]
        verdicts |= _verdicts(Status.SKIPPED, skipped[["skip", "skip_detail"]])
        frame = frame[frame["skip"].isna()]
    bad = problems(destination.schema(), frame)
    verdicts |= _verdicts(Status.REJECTED, bad)
    good = frame.drop(index=bad.index) if len(bad) else frame
    table = _table(good, conversions, destination.items(good))
    return Transformed(table, _row_verdicts(conversions, verdicts), _expiries(columns, verdicts))


def _with_faults(columns: pd.DataFrame, conversions: pd.DataFrame) -> pd.DataFrame:
    """The destination's columns, with a warning where an e-mail or phone number is none; its own go first."""
    for name in CONTACT_FAULTS:
        fault = conversions[name] if name in conversions.columns else None
        if fault is None or not fault.notna().any():
            continue
        columns = columns.copy(deep=False)
        nothing = pd.Series(None, index=columns.index, dtype="str")
        code, detail = (columns[each] if each in columns.columns else nothing for each in WARNINGS)
        sentence = fault.map({reason.code: reason.sentence for reason in CONTACT_REASONS}).astype("str")
        columns["note"] = (code + " " + fault).fillna(code).fillna(fault)
        columns["note_detail"] = (detail + " " + sentence).fillna(sentence).fillna(detail)
    return columns


def _verdicts(status: Status, reasons: pd.DataFrame) -> dict[int, Verdict]:
    """Row number -> verdict; ``reasons`` has two columns, reason code and sentence."""
    return {int(row): Verdict(status, reason, detail) for row, reason, detail in reasons.itertuples()}


def _expiries(columns: pd.DataFrame, rows: Collection[int]) -> pd.DataFrame:
    """``expires_at_ms`` of these rows, whether or not the vendor has such a thing."""
    some = columns.reindex(columns=["expires_at_ms"]).loc[sorted(rows)]
    return some.astype("Int64")


def without_payloads(conversions: pd.DataFrame) -> pa.Table:
    """The rows as items without a payload, for a destination that stopped before they could be built."""
    return _table(conversions[["event_id", "event_name"]], conversions, [b""] * len(conversions))


def _table(good: pd.DataFrame, conversions: pd.DataFrame, payloads: list[bytes]) -> pa.Table:
    own = conversions.loc[good.index] if len(good) != len(conversions) else conversions
    columns = {
        "row_number": good.index,
        "event_id": own["event_id"],
        "event_name": own["event_name"],
        "payload": payloads,
        "fingerprint": own["fingerprint"],
        **{name: to_python(good, name) if name in good.columns else [None] * len(good) for name in MOMENTS},
        **{name: good[name].fillna("") if name in good.columns else [""] * len(good) for name in WARNINGS},
        "other_event_id": to_python(_other_spellings(own), "other_event_id"),
    }
    return pa.table({name: pa.array(values, ITEMS.field(name).type) for name, values in columns.items()}, schema=ITEMS)


def _other_spellings(own: pd.DataFrame) -> pd.DataFrame:
    """The column ``other_event_id``; of rows that were staged before ids were cleaned, the clean spelling."""
    if "other_event_id" in own.columns:
        return own[["other_event_id"]]
    return other_spelling(clean_ids(own["event_id"]), own["event_id"]).to_frame("other_event_id")


def _row_verdicts(conversions: pd.DataFrame, verdicts: Mapping[int, Verdict]) -> list[RowVerdict]:
    rows = conversions.loc[sorted(verdicts), ["event_id", "event_name"]]
    return [RowVerdict(int(row), id_, name, verdicts[int(row)]) for row, id_, name in rows.itertuples()]
