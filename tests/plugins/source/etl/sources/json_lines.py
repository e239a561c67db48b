"""JSON Lines files: one object per line, as many an export writes them. A kind of source that is one new file."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pandas as pd

from etl.columns import PARSE_ERROR
from etl.errors import SourceError
from etl.filesystem import opened
from etl.sources.base import FileSettings, FileSource, Window


class LinesSettings(FileSettings):
    """``{type: json_lines, path: …}``, and the fields that become columns."""

    fields: tuple[str, ...]


class Lines(FileSource):
    """Files of objects; what a line does not name is empty, and a line that is no object is a row with a reason."""

    type = "json_lines"
    settings_model = LinesSettings
    settings: LinesSettings

    def frames(self, window: Window, chunk_rows: int) -> Iterator[pd.DataFrame]:
        """See `Source.frames`."""
        first = 1
        for place in self.files(window):
            with opened(place) as raw, io.TextIOWrapper(io.BufferedReader(raw), encoding="utf-8") as lines:  # type: ignore[type-var]
                while part := [self._row(line) for line in islice(lines, chunk_rows)]:
                    index = pd.RangeIndex(first, first + len(part), name="row_number")
                    yield pd.DataFrame(part, columns=[*self.settings.fields, PARSE_ERROR], index=index, dtype="str")
                    first += len(part)
        if first == 1:
            raise SourceError(f"source: {self.describe()} holds no line.")

    def _row(self, line: str) -> dict[str, Any]:
        try:
            found = json.loads(line, parse_float=str, parse_int=str)
        except json.JSONDecodeError:
            found = None
        if not isinstance(found, dict):
            return {PARSE_ERROR: "undecodable: The line is no JSON object."}
        return {name: found[name] for name in self.settings.fields if found.get(name) is not None}
