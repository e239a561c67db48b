"""Which event_ids a source has had so far, in memory that does not grow with the source."""

from __future__ import annotations

import tempfile
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

_HASH_KEYS = ("conversions-key1", "conversions-key2")
_BLOCK = 262_144
"""Keys that are sorted and written at a time: 6 MB."""

_FILTER_BITS, _FILTER_HASHES = 28, 3
"""32 MB; of a chunk of new ids one in a thousand is looked for in vain among ten million."""


class _Keys(NamedTuple):
    """Ids as two 64-bit hashes, and the row of each; a column each, for searching one must not copy it."""

    one: npt.NDArray[np.uint64]
    two: npt.NDArray[np.uint64]
    row: npt.NDArray[np.int64]

    def take(self, places: npt.NDArray[np.intp] | npt.NDArray[np.bool_] | slice) -> _Keys:
        return _Keys(self.one[places], self.two[places], self.row[places])

    def by_hash(self) -> _Keys:
        return self.take(np.argsort(self.one, kind="stable"))


class SeenEventIds:
    """The event_ids of good rows, and the row where each stood first.

    Ids are kept as hashes, 24 bytes a row whatever their length: the recent ones in sorted runs in memory that are
    merged as they grow, the others in blocks of a temporary file. What the file cannot have is not looked for there, so
    that a chunk of new ids costs the same however many came before.
    """

    def __init__(self) -> None:
        self._recent: list[_Keys] = []
        self._spilled = _Spilled()

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
        keys = _keys(given).by_hash()
        found = np.minimum(_first_among(keys), self._spilled.find(keys))
        for run in self._recent:
            found = np.minimum(found, _look_up(run, keys))
        again = found < keys.row
        if again.any():
            first.loc[keys.row[again].tolist()] = found[again]
        self._remember(keys.take(~again))
        return first

    def _remember(self, run: _Keys) -> None:
        while self._recent and len(self._recent[-1].one) <= 2 * len(run.one):
            run = _joined(self._recent.pop(), run).by_hash()
        while len(run.one) >= _BLOCK:
            self._spilled.add(run.take(slice(_BLOCK)))
            run = run.take(slice(_BLOCK, None))
        if len(run.one):
            self._recent.append(run)


class _Spilled:
    """Sorted blocks of keys in a temporary file, and a Bloom filter over all of them."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="conversions-")  # noqa: SIM115 (closed by `close`)
        self._blocks: list[_Keys] = []
        self._filter = np.zeros(0, np.uint8)

    def close(self) -> None:
        self._blocks.clear()
        self._file.close()

    def add(self, block: _Keys) -> None:
        start = self._file.seek(0, 2)
        for column in block:
            self._file.write(column.tobytes())
        self._file.flush()
        size = len(block.one)
        mapped = np.memmap(self._file, np.uint64, "r", start, (3, size))
        self._blocks.append(_Keys(mapped[0], mapped[1], mapped[2].view(np.int64)))
        if not len(self._filter):
            self._filter = np.zeros(2**_FILTER_BITS // 8, np.uint8)
        for bits in _filter_bits(block):
            np.bitwise_or.at(self._filter, bits >> np.uint64(3), _bit(bits))

    def find(self, keys: _Keys) -> npt.NDArray[np.int64]:
        """For each key the row where a block has it; the key's own row where none has."""
        rows = keys.row.copy()
        if not self._blocks:
            return rows
        maybe = np.ones(len(rows), np.bool_)
        for bits in _filter_bits(keys):
            maybe &= (self._filter[bits >> np.uint64(3)] & _bit(bits)) != 0
        places = np.flatnonzero(maybe)
        for block in reversed(self._blocks):  # a key is in one of them, most likely in a late one
            if not len(places):
                break
            some = keys.take(places)
            rows[places] = found = _look_up(block, some)
            places = places[found == some.row]
        return rows


def _joined(one: _Keys, other: _Keys) -> _Keys:
    return _Keys(
        np.concatenate([one.one, other.one]),
        np.concatenate([one.two, other.two]),
        np.concatenate([one.row, other.row]),
    )


def _filter_bits(keys: _Keys) -> list[npt.NDArray[np.uint64]]:
    shift = np.uint64(64 - _FILTER_BITS)
    return [(keys.one * np.uint64(2 * n + 1) + keys.two * np.uint64(n)) >> shift for n in range(_FILTER_HASHES)]


def _bit(bits: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint8]:
    return np.left_shift(np.uint8(1), (bits & np.uint64(7)).astype(np.uint8))


def _keys(event_ids: pd.Series[str]) -> _Keys:
    values = event_ids.to_numpy(dtype=object)
    one, two = (pd.util.hash_array(values, hash_key=key, categorize=False) for key in _HASH_KEYS)
    return _Keys(one, two, event_ids.index.to_numpy(np.int64))


def _first_among(keys: _Keys) -> npt.NDArray[np.int64]:
    """For each of these keys, sorted, the first row that has it."""
    begins = np.ones(len(keys.one), np.bool_)
    begins[1:] = (keys.one[1:] != keys.one[:-1]) | (keys.two[1:] != keys.two[:-1])
    firsts = np.minimum.reduceat(keys.row, np.flatnonzero(begins))
    return np.repeat(firsts, np.diff(np.flatnonzero(np.append(begins, True))))


def _look_up(run: _Keys, keys: _Keys) -> npt.NDArray[np.int64]:
    """For each key the row where the run has it; the key's own row where it has not."""
    nearest = np.minimum(np.searchsorted(run.one, keys.one), len(run.one) - 1)
    same = (run.one[nearest] == keys.one) & (run.two[nearest] == keys.two)
    rows: npt.NDArray[np.int64] = np.where(same, run.row[nearest], keys.row)
    return rows
