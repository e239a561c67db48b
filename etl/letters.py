"""Letters: which rows a retry sends again, in a file, so that memory does not grow with them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from typing import Self

import numpy as np
import pandas as pd


class Letters:
    """Row numbers per import run and destination, ascending; 8 bytes each, in a temporary file.

    ``found``: (run, destination, row numbers) in order, as `Ledger.letters` gives them. ``runs`` counts them: run ->
    destination -> rows.
    """

    def __init__(self, found: Iterable[tuple[str, str, Sequence[int]]]) -> None:
        self.runs: dict[str, dict[str, int]] = {}
        self._starts: dict[tuple[str, str], int] = {}
        self._file = tempfile.TemporaryFile(prefix="conversions-")  # noqa: SIM115 (closed by __exit__)
        for run, destination, numbers in found:
            self._starts.setdefault((run, destination), self._file.tell())
            rows = self.runs.setdefault(run, {})
            rows[destination] = rows.get(destination, 0) + len(numbers)
            self._file.write(np.array(numbers, np.int64).tobytes())
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def among(self, run: str, destination: str, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows of a chunk (index = row number, ascending) that are to be sent again."""
        if frame.empty:
            return frame
        size = self.runs[run][destination]
        numbers = np.memmap(self._file, np.int64, "r", self._starts[run, destination], (size,))
        first, end = np.searchsorted(numbers, [frame.index[0], frame.index[-1] + 1])
        return frame[frame.index.isin(numbers[first:end])]
