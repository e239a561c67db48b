"""Validate: what every conversion must be, whoever gets it. Good rows go on, the others carry all their problems."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from etl import sources
from etl.config import ImportSettings
from etl.model import Chunk, RowVerdict, Status, Verdict
from etl.stages.plan import Job
from schemas import conversion
from schemas.rules import problems

_HASH_KEYS = ("conversions-key1", "conversions-key2")
_KEY = np.dtype([("one", np.uint64), ("two", np.uint64), ("row", np.int64)])
_BLOCK = 262_144
"""Keys that are sorted, written and read at a time: 6 MB."""

_Keys: TypeAlias = npt.NDArray[np.void]


def stage(job: Job, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """Judge every row, in order: conversions are staged, the others recorded for every destination."""
    spreadsheet = sources.import_kind(job.config, job.run.import_name).spreadsheet
    with Seen() as seen:
        for chunk in chunks:
            rules = Rules.of(job.settings, job.clock(), spreadsheet=spreadsheet)
            good, rejected = conversions(job.staging.frame(chunk), rules, seen)
            job.record_unsent(job.destinations, rejected)
            yield job.staging.write("conversions", chunk.index, good)


@dataclass(frozen=True, slots=True)
class Rules:
    """What the import and the clock add to the schema."""

    spelling: conversion.SourceFormat
    now_ms: int
    skew_ms: int

    @classmethod
    def of(cls, settings: ImportSettings, now_ms: int, *, spreadsheet: bool) -> Rules:
        """The rules of an import at a moment; ``spreadsheet`` is what its kind of source says of itself."""
        locale = settings.locale
        spelling = conversion.SourceFormat(
            settings.timezone,
            settings.date_format,
            *((locale.decimal, locale.thousands) if locale else ("", "")),
            spreadsheet=spreadsheet if settings.spreadsheet is None else settings.spreadsheet,
        )
        return cls(spelling, now_ms, settings.max_skew_minutes * 60_000)


class Seen:
    """Which event_ids good rows of a source have had, and where first; in a file, so that memory does not grow.

    Ids are kept as two 64-bit hashes, 24 bytes a row whatever their length: the youngest in sorted runs in memory that
    are merged as they grow, the others in a temporary file, a block at a time. ``commas``: whether a number had a
    decimal comma; chunks before it were judged without knowing.
    """

    def __init__(self) -> None:
        self.commas = False
        self._young: list[_Keys] = []
        self._old = tempfile.TemporaryFile(prefix="conversions-")  # noqa: SIM115 (closed by __exit__)
        self._blocks = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._old.close()

    def first_rows(self, event_ids: pd.Series[str]) -> pd.Series[int]:
        """For each id the row number where it stood first, null if that is here; remembers the new ones.

        ``event_ids`` is indexed by row number; null ids are never duplicates.
        """
        first = pd.Series(pd.NA, index=event_ids.index, dtype="Int64")
        given = event_ids[event_ids.notna()]
        if given.empty:
            return first
        keys = _keys(given)
        _, position, inverse = np.unique(keys["one"], return_index=True, return_inverse=True)
        found = keys["row"][position][inverse]
        for run in chain(self._young, self._from_file()):
            found = np.minimum(found, _look_up(run, keys))
        again = found < keys["row"]
        first.loc[given.index[again]] = found[again]
        self._remember(keys[~again])
        return first

    def _from_file(self) -> Iterator[_Keys]:
        self._old.seek(0)
        for _ in range(self._blocks):
            yield np.frombuffer(self._old.read(_BLOCK * _KEY.itemsize), _KEY)

    def _remember(self, run: _Keys) -> None:
        while self._young and len(self._young[-1]) <= 2 * len(run):
            run = np.concatenate([self._young.pop(), run])
        run = run[np.argsort(run["one"], kind="stable")]
        while len(run) >= _BLOCK:
            block, run = run[:_BLOCK], run[_BLOCK:]
            self._old.seek(0, os.SEEK_END)
            self._old.write(block.tobytes())
            self._blocks += 1
        self._young.append(run)


def _keys(event_ids: pd.Series[str]) -> _Keys:
    values = event_ids.to_numpy(dtype=object)
    keys = np.empty(len(values), _KEY)
    for half, secret in zip(("one", "two"), _HASH_KEYS, strict=True):
        keys[half] = pd.util.hash_array(values, hash_key=secret)
    keys["row"] = event_ids.index
    return keys


def _look_up(run: _Keys, keys: _Keys) -> npt.NDArray[np.int64]:
    """For each key the row where the run has it; the key's own row where it has not."""
    if not len(run):
        return keys["row"]
    place = np.minimum(np.searchsorted(run["one"], keys["one"]), len(run) - 1)
    same = (run["one"][place] == keys["one"]) & (run["two"][place] == keys["two"])
    return np.where(same, run["row"][place], keys["row"])


def conversions(frame: pd.DataFrame, rules: Rules, seen: Seen) -> tuple[pd.DataFrame, list[RowVerdict]]:
    """Judge one chunk (index = row number, canonical names): the good rows, typed, and what is said of the others.

    Good rows have the canonical columns, extras, ``occurred_at_ms`` and ``fingerprint``.
    """
    damage = frame.get("damage", pd.Series(dtype="str", index=frame.index))
    source = frame.drop(columns="damage", errors="ignore")
    seen.commas = seen.commas or conversion.writes_commas(source)
    typed = conversion.cast(source, rules.spelling, now_ms=rules.now_ms, skew_ms=rules.skew_ms, commas=seen.commas)
    told = _rejected(problems(conversion.SCHEMA, typed))
    damaged = damage[damage.notna()]
    told |= {row: _damaged(text) for row, text in zip(damaged.index, damaged, strict=True)}
    # A total has fewer cells than the table above it; but what could not be read may be anything.
    unread = damaged.index[~damaged.str.startswith("ragged_row:")]
    none = conversion.not_conversions(typed.drop(index=unread)).dropna()
    told |= {row: Verdict(Status.REJECTED, "not_a_conversion", why) for row, why in zip(none.index, none, strict=True)}
    good = _first_ones(typed[~typed.index.isin(list(told))] if told else typed, seen, told)
    good = good.drop(columns=[*conversion.HELPER_COLUMNS, "occurred_at"])
    good = good.astype({"occurred_at_ms": "int64"})
    # One hash per row of what the source said: a later row under the same event_id can be told to differ.
    content = sorted(name for name in source.columns if name != "event_id")  # whatever the order of the columns
    hashes = pd.util.hash_pandas_object(source.loc[good.index, content], index=False).to_numpy()
    good["fingerprint"] = (hashes >> np.uint64(1)).astype(np.int64)
    return good, noted(typed, told)


def _first_ones(sound: pd.DataFrame, seen: Seen, told: dict[int, Verdict]) -> pd.DataFrame:
    """The rows whose event_id no sound row before them has; the others are added to ``told``."""
    first = seen.first_rows(sound["event_id"])
    again = first.notna()
    if not again.any():
        return sound
    told |= _rejected(problems(conversion.UNIQUE, first[again].to_frame("first_row")))
    return sound[~again]


def _rejected(bad: pd.DataFrame) -> dict[int, Verdict]:
    return {int(row): Verdict(Status.REJECTED, reason, text) for row, reason, text in bad.itertuples()}


def _damaged(damage: str) -> Verdict:
    reason, _, sentence = damage.partition(": ")
    return Verdict(Status.REJECTED, reason, sentence)


def noted(frame: pd.DataFrame, told: dict[int, Verdict]) -> list[RowVerdict]:
    """The rows of ``told`` with their ids, in order."""
    if not told:
        return []
    rows = frame.loc[sorted(told), ["event_id", "event_name"]]
    ids = rows["event_id"].fillna("").str.replace("\x00", "", regex=False).str.slice(0, 500)
    names = rows["event_name"].fillna("").str.replace("\x00", "", regex=False).str.slice(0, 500)
    return [RowVerdict(int(row), id_, name, told[row]) for row, id_, name in zip(rows.index, ids, names, strict=True)]
