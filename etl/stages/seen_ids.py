"""Which event_ids a source has had so far, in memory that does not grow with the source."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from itertools import chain
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

_HASH_KEYS = ("conversions-key1", "conversions-key2")
_KEY = np.dtype([("one", np.uint64), ("two", np.uint64), ("row", np.int64)])
_BLOCK = 262_144
"""Keys that are sorted, written and read at a time: 6 MB."""

_Keys: TypeAlias = npt.NDArray[np.void]


class SeenEventIds:
    """The event_ids of good rows, and the row where each stood first.

    Ids are kept as two 64-bit hashes, 24 bytes a row whatever their length: the recent ones in sorted runs in memory
    that are merged as they grow, the others in a temporary file, a block at a time.
    """

    def __init__(self) -> None:
        self._recent: list[_Keys] = []
        self._spilled = tempfile.TemporaryFile(prefix="conversions-")  # noqa: SIM115 (closed by `close`)
        self._blocks = 0

    def close(self) -> None:
        """Delete the temporary file."""
        self._spilled.close()

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
        for run in chain(self._recent, self._from_file()):
            found = np.minimum(found, _look_up(run, keys))
        again = found < keys["row"]
        first.loc[given.index[again]] = found[again]
        self._remember(keys[~again])
        return first

    def _from_file(self) -> Iterator[_Keys]:
        self._spilled.seek(0)
        for _ in range(self._blocks):
            yield np.frombuffer(self._spilled.read(_BLOCK * _KEY.itemsize), _KEY)

    def _remember(self, run: _Keys) -> None:
        while self._recent and len(self._recent[-1]) <= 2 * len(run):
            run = np.concatenate([self._recent.pop(), run])
        run = run[np.argsort(run["one"], kind="stable")]
        while len(run) >= _BLOCK:
            block, run = run[:_BLOCK], run[_BLOCK:]
            self._spilled.seek(0, os.SEEK_END)
            self._spilled.write(block.tobytes())
            self._blocks += 1
        self._recent.append(run)


def _keys(event_ids: pd.Series[str]) -> _Keys:
    values = event_ids.to_numpy(dtype=object)
    keys = np.empty(len(values), _KEY)
    for half, hash_key in zip(("one", "two"), _HASH_KEYS, strict=True):
        keys[half] = pd.util.hash_array(values, hash_key=hash_key)
    keys["row"] = event_ids.index
    return keys


def _look_up(run: _Keys, keys: _Keys) -> npt.NDArray[np.int64]:
    """For each key the row where the run has it; the key's own row where it has not."""
    if not len(run):
        return keys["row"]
    nearest = np.minimum(np.searchsorted(run["one"], keys["one"]), len(run) - 1)
    same = (run["one"][nearest] == keys["one"]) & (run["two"][nearest] == keys["two"])
    return np.where(same, run["row"][nearest], keys["row"])
