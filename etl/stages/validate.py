"""Validate: what every conversion must be, whoever gets it. Good rows go on, the others carry all their problems."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import pandas as pd

from etl import reasons, sources
from etl.columns import PARSE_ERROR, TYPED_NUMBERS
from etl.config import ImportSettings
from etl.model import Chunk, RowVerdict, RunWarning, Status, Verdict, summed
from etl.redact import MASK
from etl.stages.declared import Declared
from etl.stages.fingerprint import fingerprints
from etl.stages.plan import Job
from etl.stages.seen_ids import SeenEventIds
from schemas import cleaning, conversion
from schemas.amounts import one_amount
from schemas.numbers import NumberFormat
from schemas.rules import problems


def stage(job: Job, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """Judge every row, in order: conversions are staged, the others recorded for every destination."""
    for chunk, rejected in judged(job, chunks):
        job.record_unsent(job.destinations, rejected)
        yield chunk


def judged(job: Job, chunks: Iterable[Chunk]) -> Generator[tuple[Chunk, list[RowVerdict]]]:
    """Judge every row, in order: conversions are staged, the others are to be recorded."""
    source = job.source or sources.import_source(job.config, job.run.import_name)
    spreadsheet = sources.import_kind(job.config, job.run.import_name).spreadsheet
    with Validator(source.describe()) as validator:
        try:
            for chunk in chunks:
                rules = Rules.of(job.settings, job.clock(), spreadsheet=spreadsheet)
                good, rejected = validator.judge(job.staging.frame(chunk), rules)
                yield job.staging.write("conversions", chunk.index, good), rejected
        finally:
            job.warn("validate", validator.warnings)


@dataclass(frozen=True, slots=True)
class Rules:
    """What the import and the clock add to the schema."""

    source_format: conversion.SourceFormat
    now_ms: int
    skew_ms: int
    null_values: Sequence[str] | None = None
    phone_region: str | None = None

    @classmethod
    def of(cls, settings: ImportSettings, now_ms: int, *, spreadsheet: bool) -> Rules:
        """The rules of an import at a moment; ``spreadsheet`` is what its kind of source says of itself."""
        locale = settings.locale
        source_format = conversion.SourceFormat(
            settings.timezone,
            settings.date_format,
            NumberFormat(**locale.model_dump()) if locale else None,
            spreadsheet=spreadsheet if settings.spreadsheet is None else settings.spreadsheet,
            made_numbers=settings.spreadsheet is not False,
            ids_may_be_personal=settings.ids_may_be_personal,
        )
        return cls(
            source_format, now_ms, settings.max_skew_minutes * 60_000, settings.null_values, settings.phone_region
        )


class Validator:
    """Judges one source, chunk by chunk, and remembers what the chunks before have shown.

    That is the event_ids of good rows, and what might disprove a declared format. ``source`` is its name for people,
    ``warnings`` what was changed in its cells or left out of its rows.
    """

    def __init__(self, source: str = "the source") -> None:
        self._seen = SeenEventIds()
        self._declared = Declared(source)
        self.warnings: list[RunWarning] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._seen.close()

    def judge(self, frame: pd.DataFrame, rules: Rules) -> tuple[pd.DataFrame, list[RowVerdict]]:
        """One chunk (index = row number, canonical names): the good rows, typed, and what is said of the others.

        Good rows have the canonical columns, extras, ``occurred_at_ms``, ``fingerprint``, ``other_event_id`` and,
        where the import declares one, ``phone_region``. Raises SourceError where the chunk disproves a format that the
        import declares.
        """
        numbers = frame.attrs.get(TYPED_NUMBERS, ())
        source, changed = cleaning.clean(frame.drop(columns=PARSE_ERROR, errors="ignore"), rules.null_values, numbers)
        parse_errors = frame[PARSE_ERROR].dropna() if PARSE_ERROR in frame.columns else pd.Series(dtype="str")
        typed = conversion.cast(source, rules.source_format, now_ms=rules.now_ms, skew_ms=rules.skew_ms, typed=numbers)
        self._declared.check(source, typed, rules.source_format, numbers)
        verdicts = _rejected(problems(conversion.SCHEMA, typed))
        verdicts |= {row: _unread(text) for row, text in zip(parse_errors.index, parse_errors, strict=True)}
        verdicts |= _not_conversions(typed, parse_errors)
        sound = typed[~typed.index.isin(list(verdicts))] if verdicts else typed
        repeated = self._repeated(sound)
        good = sound[~sound.index.isin(list(repeated))] if repeated else sound
        good, left_out = one_amount(good)
        self.warnings = summed([*self.warnings, *changed, *left_out])
        return _finished(good, rules.phone_region), _row_verdicts(typed, verdicts | repeated)

    def _repeated(self, sound: pd.DataFrame) -> dict[int, Verdict]:
        """Verdicts on the rows whose event_id a sound row before them has."""
        first = self._seen.first_rows(sound["event_id"])
        again = first.notna()
        if not again.any():
            return {}
        return _rejected(problems(conversion.UNIQUE, first[again].to_frame("first_row")))


def _rejected(bad: pd.DataFrame) -> dict[int, Verdict]:
    return {int(row): Verdict(Status.REJECTED, reason, text) for row, reason, text in bad.itertuples()}


def _unread(parse_error: str) -> Verdict:
    reason, _, sentence = parse_error.partition(": ")
    status = Status.SKIPPED if reason == reasons.NOT_WANTED.code else Status.REJECTED
    return Verdict(status, reason, sentence)


def _not_conversions(typed: pd.DataFrame, parse_errors: pd.Series[str]) -> dict[int, Verdict]:
    """Totals and the like. They have fewer cells than the rows above; what else could not be read may be anything."""
    unread = parse_errors.index[~parse_errors.str.startswith(f"{reasons.RAGGED_ROW.code}:")]
    sentences = conversion.not_conversions(typed.drop(index=unread)).dropna()
    return {
        row: Verdict(Status.REJECTED, reasons.NOT_A_CONVERSION.code, text)
        for row, text in zip(sentences.index, sentences, strict=True)
    }


def _finished(good: pd.DataFrame, phone_region: str | None) -> pd.DataFrame:
    """Good rows as they are staged, with a fingerprint of what the import uses of them: a later row under the same
    event_id can be found to differ."""
    finished = good.drop(columns=[*conversion.HELPER_COLUMNS, "occurred_at"]).astype({"occurred_at_ms": "int64"})
    finished["fingerprint"] = fingerprints(finished.drop(columns=["event_id", "other_event_id"]))
    return finished if phone_region is None else finished.assign(phone_region=phone_region)


def _row_verdicts(frame: pd.DataFrame, verdicts: dict[int, Verdict]) -> list[RowVerdict]:
    """The verdicts with the ids of their rows, in order; ids as a ledger can hold them."""
    if not verdicts:
        return []
    rows = frame.loc[sorted(verdicts)]
    ids, names = (_storable(_masked(rows, name)) for name in conversion.NAMES_OF_EVENTS)
    return [
        RowVerdict(int(row), id_, name, verdicts[row]) for row, id_, name in zip(rows.index, ids, names, strict=True)
    ]


def _masked(rows: pd.DataFrame, name: str) -> pd.Series[str]:
    """A column without what it says of a person where it may not: results are read by people."""
    return rows[name].mask(rows["personal_ids"].str.contains(name, regex=False).fillna(False).astype(bool), MASK)


def _storable(column: pd.Series[str]) -> pd.Series[str]:
    return column.fillna("").str.replace("\x00", "", regex=False).str.slice(0, 500)
