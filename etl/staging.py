"""Where stages hand rows over: Parquet files under one folder per run, on disk or any fsspec URL.

Staged files hold people's data; folders on disk are readable by their owner only. Only the paths travel on.
"""

from __future__ import annotations

import os
import re
from collections.abc import MutableMapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import fsspec
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from botocore.exceptions import BotoCoreError

from etl.errors import ImporterError
from etl.filesystem import file_system
from etl.model import Chunk, Item

_KINDS: dict[str, pa.DataType] = {
    "row_number": pa.int64(),
    "event_id": pa.string(),
    "event_name": pa.string(),
    "payload": pa.binary(),
    "fingerprint": pa.int64(),
    "expires_at_ms": pa.int64(),
    "stale_at_ms": pa.int64(),
    "ready_at_ms": pa.int64(),
    "note": pa.string(),
    "note_detail": pa.string(),
    "other_event_id": pa.string(),
}
ITEMS: Any = pa.schema(_KINDS)
"""Staged items, in the order of the fields of `model.Item`."""


_ATTRS = b"attrs"
"""Under what key of a file's metadata the ``attrs`` of a frame are kept (JSON)."""

_RUN_ID = re.compile(r"[0-9]{8}T[0-9]{6}-[0-9a-f]{6}")


class Staging:
    """The staged files of one run."""

    def __init__(self, url: str, run_id: str) -> None:
        self.run_id = run_id
        self.root = f"{url.rstrip('/')}/{run_id}"
        self._fs: fsspec.AbstractFileSystem = file_system(url, "staging")[0]

    def write(self, stage: str, index: int, rows: pd.DataFrame | pa.Table) -> Chunk:
        """Write one chunk of a stage, whole or not at all, and name it. A frame's index becomes ``row_number``."""
        table = rows if isinstance(rows, pa.Table) else _table(rows)
        name = f"{stage}/{index:05d}.parquet"
        path = f"{self.root}/{name}"
        self._make_folder(path)
        part = f"{path}.part"
        with self._fs.open(part, "wb") as file:
            # Read once and soon deleted: dictionaries and statistics cost more than they save.
            pq.write_table(table, file, compression="lz4", use_dictionary=False, write_statistics=False)
        self._fs.mv(part, path)
        return Chunk(index, name, table.num_rows)

    def is_same(self, chunk: Chunk, frame: pd.DataFrame) -> bool:
        """True when a chunk holds just these rows, and maybe columns that nobody reads any more."""
        staged, now = self.frame(chunk), _frame(_table(frame))
        return {*now.columns} <= {*staged.columns} and staged[list(now.columns)].equals(now)

    def frame(self, chunk: Chunk, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Read a chunk back, or some of its columns; the index is the row number."""
        names = None if columns is None else ["row_number", *columns]
        with self._fs.open(f"{self.root}/{chunk.path}", "rb") as file:
            return _frame(pq.read_table(file, columns=names))

    def items(self, chunk: Chunk) -> list[Item]:
        """Read staged items back."""
        with self._fs.open(f"{self.root}/{chunk.path}", "rb") as file:
            return items_of(pq.read_table(file, schema=ITEMS))

    def chunks(self, stage: str) -> list[Chunk]:
        """What a stage has written, in order; empty when nothing is there (any more)."""
        try:
            paths = sorted(
                path for path in self._fs.ls(f"{self.root}/{stage}", detail=False) if path.endswith(".parquet")
            )
        except FileNotFoundError:
            return []
        return [Chunk(int(Path(path).stem), f"{stage}/{Path(path).name}", self._rows(path)) for path in paths]

    def _rows(self, path: str) -> int:
        with self._fs.open(path, "rb") as file:
            return int(pq.ParquetFile(file).metadata.num_rows)

    def write_value(self, name: str, value: Any) -> None:
        """Keep a small JSON-able value, such as what a destination looked up."""
        path = f"{self.root}/{name}.json"
        self._make_folder(path)
        with self._fs.open(path, "wb") as file:
            file.write(orjson.dumps(value))

    def read_value(self, name: str) -> Any:
        """Read such a value back; None when there is none."""
        try:
            with self._fs.open(f"{self.root}/{name}.json", "rb") as file:
                return orjson.loads(file.read())
        except FileNotFoundError:
            return None

    def read_values(self, folder: str) -> list[Any]:
        """The values kept under ``folder/…``, by name."""
        try:
            names = sorted(path.rsplit("/", 1)[-1] for path in self._fs.ls(f"{self.root}/{folder}", detail=False))
        except FileNotFoundError:
            return []
        return [self.read_value(f"{folder}/{name.removesuffix('.json')}") for name in names if name.endswith(".json")]

    def _make_folder(self, path: str) -> None:
        if "file" in self._fs.protocol:
            Path(self.root).mkdir(parents=True, exist_ok=True)
            os.chmod(self.root, 0o700)  # noqa: PTH101 (a path that may be an fsspec URL elsewhere)
            Path(path).parent.mkdir(parents=True, exist_ok=True)


def delete_old(url: str, before: datetime) -> list[str]:
    """Delete the staged files of runs begun before that moment; returns the ids of those runs.

    A run's folder is its id, which begins with the time (UTC) it began. Whatever is named otherwise is left alone.
    """
    fs, root = file_system(url, "staging")
    if not _exists(fs, root):
        return []
    names = sorted(path.rstrip("/").rsplit("/", 1)[-1] for path in fs.ls(root, detail=False))
    old = [name for name in names if _RUN_ID.fullmatch(name) and name[:15] < f"{before:%Y%m%dT%H%M%S}"]
    for name in old:
        fs.rm(f"{root.rstrip('/')}/{name}", recursive=True)
    return old


_MARKER = "ledger.json"
"""Which ledger the runs staged here belong to, and which of its runs was the last."""


def read_marker(url: str) -> tuple[str, int] | None:
    """The id of the ledger whose runs were staged here last, and the number of the last of them; None at first."""
    fs, root = file_system(url, "staging")
    try:
        with fs.open(f"{root.rstrip('/')}/{_MARKER}", "rb") as file:
            found = orjson.loads(file.read())
    except (FileNotFoundError, orjson.JSONDecodeError):
        return None
    except BotoCoreError as error:
        raise _out_of_reach(error) from None
    return str(found["ledger_id"]), int(found["run_no"])


def write_marker(url: str, ledger_id: str, run_no: int) -> None:
    """Remember a ledger and its last run."""
    fs, root = file_system(url, "staging")
    if "file" in fs.protocol:
        Path(root).mkdir(mode=0o700, parents=True, exist_ok=True)
    with fs.open(f"{root.rstrip('/')}/{_MARKER}", "wb") as file:
        file.write(orjson.dumps({"ledger_id": ledger_id, "run_no": run_no}))


def cache(url: str) -> MutableMapping[str, bytes]:
    """A cache that is kept between runs beside the staged files (of datafiles that were looked up)."""
    file_system(url, "staging")
    mapper: Any = fsspec.get_mapper(f"{url.rstrip('/')}/cache")
    _exists(mapper.fs, mapper.root)
    return cast("MutableMapping[str, bytes]", mapper)


def _exists(fs: Any, path: str) -> bool:
    try:
        return bool(fs.exists(path))
    except BotoCoreError as error:
        raise _out_of_reach(error) from None


def _out_of_reach(error: BotoCoreError) -> ImporterError:
    """No ConfigError: it may pass, so Airflow shall repeat the task."""
    return ImporterError(
        f"staging: the bucket cannot be reached ({type(error).__name__}): check credentials and endpoint."
    )


def items_of(table: pa.Table) -> list[Item]:
    """The rows of a table of `ITEMS`."""
    return list(map(Item._make, zip(*(_values(column) for column in table.columns), strict=True)))


def _values(column: Any) -> Any:
    """A column as a list; measured 5 times as fast as ``to_pylist`` where nothing is null."""
    if column.null_count == len(column):
        return [None] * len(column)
    return column.to_pylist() if column.null_count else column.to_numpy(zero_copy_only=False).tolist()


def _table(frame: pd.DataFrame) -> pa.Table:
    table = pa.Table.from_pandas(frame, preserve_index=False)
    numbered = table.append_column("row_number", pa.array(frame.index, pa.int64()))
    return numbered.replace_schema_metadata({_ATTRS: orjson.dumps(frame.attrs)} if frame.attrs else None)


def _frame(table: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas(types_mapper=_text_type)
    frame = frame.set_index("row_number")
    frame.attrs = orjson.loads((table.schema.metadata or {}).get(_ATTRS, b"{}"))
    return frame


def _text_type(kind: pa.DataType) -> Any:
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return pd.StringDtype(na_value=float("nan"))
    return pd.Int64Dtype() if pa.types.is_int64(kind) else None
