"""Validate: what every conversion must be, whoever gets it. Good rows go on, the others carry all their problems."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from etl.config import ImportSettings
from etl.model import Noted, Status, Verdict
from schemas import conversion
from schemas.rules import problems

_HASH_KEYS = ("conversions-key1", "conversions-key2")


@dataclass(frozen=True, slots=True)
class Rules:
    """What the import and the clock add to the schema."""

    spelling: conversion.Spelling
    now_ms: int
    skew_ms: int

    @classmethod
    def of(cls, settings: ImportSettings, now_ms: int) -> Rules:
        """The rules of an import at a moment."""
        locale, is_csv = settings.locale, settings.source["type"] == "csv"
        spelling = conversion.Spelling(
            settings.timezone,
            settings.date_format,
            *((locale.decimal, locale.thousands) if locale else ("", "")),
            spreadsheet=is_csv if settings.spreadsheet is None else settings.spreadsheet,
        )
        return cls(spelling, now_ms, settings.max_skew_minutes * 60_000)


class Seen:
    """Which event_ids a source has had, and in which row first: 24 bytes a row, whatever their length.

    Ids are kept as two 64-bit hashes in sorted runs that are merged as they grow. ``commas``: whether a number had a
    decimal comma; chunks before it were judged without knowing.
    """

    def __init__(self) -> None:
        self.commas = False
        self._runs: list[tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64], npt.NDArray[np.int64]]] = []

    def first_rows(self, event_ids: pd.Series[str]) -> pd.Series[int]:
        """For each id the row number where it stood first, null if that is here; remembers the new ones.

        ``event_ids`` is indexed by row number; null ids are never duplicates.
        """
        first = pd.Series(pd.NA, index=event_ids.index, dtype="Int64")
        given = event_ids[event_ids.notna()]
        if given.empty:
            return first
        values = given.to_numpy(dtype=object)
        one, two = (pd.util.hash_array(values, hash_key=key) for key in _HASH_KEYS)
        rows = given.index.to_numpy(dtype=np.int64)
        _, position, inverse = np.unique(one, return_index=True, return_inverse=True)
        found = rows[position][inverse]
        for run in self._runs:
            found = np.minimum(found, _look_up(run, one, two, rows))
        again = found < rows
        first.loc[given.index[again]] = found[again]
        self._remember(one[~again], two[~again], rows[~again])
        return first

    def _remember(self, one: npt.NDArray[np.uint64], two: npt.NDArray[np.uint64], rows: npt.NDArray[np.int64]) -> None:
        run = (one, two, rows)
        while self._runs and len(self._runs[-1][0]) <= 2 * len(run[0]):
            last = self._runs.pop()
            run = (
                np.concatenate([last[0], run[0]]),
                np.concatenate([last[1], run[1]]),
                np.concatenate([last[2], run[2]]),
            )
        order = np.argsort(run[0], kind="stable")
        self._runs.append((run[0][order], run[1][order], run[2][order]))


def _look_up(
    run: tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64], npt.NDArray[np.int64]],
    one: npt.NDArray[np.uint64],
    two: npt.NDArray[np.uint64],
    rows: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    if not len(run[0]):
        return rows
    place = np.minimum(np.searchsorted(run[0], one), len(run[0]) - 1)
    same = (run[0][place] == one) & (run[1][place] == two)
    return np.where(same, run[2][place], rows)


def conversions(frame: pd.DataFrame, rules: Rules, seen: Seen) -> tuple[pd.DataFrame, Noted]:
    """Judge one chunk (index = row number, canonical names): the good rows, typed, and what is said of the others.

    Good rows have the canonical columns, extras, ``occurred_at_ms`` and ``fingerprint``.
    """
    damage = frame.get("damage", pd.Series(dtype="str", index=frame.index))
    source = frame.drop(columns="damage", errors="ignore")
    seen.commas = seen.commas or conversion.writes_commas(source)
    typed = conversion.cast(source, rules.spelling, now_ms=rules.now_ms, skew_ms=rules.skew_ms, commas=seen.commas)
    typed["first_row"] = seen.first_rows(typed["event_id"])
    bad = problems(conversion.SCHEMA, typed)
    told = {row: Verdict(Status.REJECTED, reason, text) for row, reason, text in bad.itertuples()}
    damaged = damage[damage.notna()]
    told |= {row: _damaged(text) for row, text in damaged.items()}
    # A total has fewer cells than the table above it; but what could not be read may be anything.
    unread = damaged.index[~damaged.str.startswith("ragged_row:")]
    none = conversion.not_conversions(typed.drop(index=unread)).dropna()
    told |= {row: Verdict(Status.REJECTED, "not_a_conversion", why) for row, why in none.items()}
    good = typed[~typed.index.isin(list(told))] if told else typed
    good = good.drop(columns=[*conversion.JUDGED, "occurred_at"])
    good = good.astype({"occurred_at_ms": "int64"})
    # One hash per row of what the source said: a later row under the same event_id can be told to differ.
    content = [name for name in source.columns if name != "event_id"]
    hashes = pd.util.hash_pandas_object(source.loc[good.index, content], index=False).to_numpy()
    good["fingerprint"] = (hashes >> np.uint64(1)).astype(np.int64)
    return good, noted(typed, told)


def _damaged(damage: str) -> Verdict:
    reason, _, sentence = damage.partition(": ")
    return Verdict(Status.REJECTED, reason, sentence)


def noted(frame: pd.DataFrame, told: dict[int, Verdict]) -> Noted:
    """The rows of ``told`` with their ids, in order."""
    if not told:
        return []
    rows = frame.loc[sorted(told), ["event_id", "event_name"]]
    ids = rows["event_id"].fillna("").str.replace("\x00", "", regex=False).str.slice(0, 500)
    names = rows["event_name"].fillna("").str.replace("\x00", "", regex=False).str.slice(0, 500)
    return [(int(row), id_, name, told[row]) for row, id_, name in zip(rows.index, ids, names, strict=True)]
