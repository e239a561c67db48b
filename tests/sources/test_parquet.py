"""Parquet files as a source: every value exact, every row accounted for, folders as columns, buckets as folders."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etl.errors import SourceError
from etl.sources.base import Source, StorageSettings, Window
from etl.sources.parquet import ParquetSettings, ParquetSource
from etl.stages import extract
from etl.stages.mapping import ColumnRules
from schemas.times import times
from tests.conftest import House, order

DAY = Window(datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 21, tzinfo=UTC))


def source(folder: Path, path: str, **storage: str) -> Source:
    settings = ParquetSettings(type="parquet", path=path, storage=StorageSettings.model_validate(storage))
    return ParquetSource(settings, lambda given: given if "://" in given else str((folder / given).absolute()))


def read(asked: Source, window: Window | None = None, chunk_rows: int = 1000) -> pd.DataFrame:
    return pd.concat(list(asked.frames(window or Window(), chunk_rows)))


def write(path: Path, **columns: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def texts(column: pd.Series[Any]) -> list[str | None]:
    return [None if pd.isna(value) else value for value in column]


MOMENT = datetime(2026, 11, 20, 9, 30, 0, 123456, tzinfo=UTC)
LOCAL = datetime(2026, 11, 20, 9, 30)
TYPES: dict[str, tuple[pa.Array, list[str | None]]] = {
    "text": (pa.array(["007", " a  b ", None]), ["007", " a  b ", None]),
    "text by reference": (pa.array(["x", "y", None], pa.string_view()), ["x", "y", None]),
    "text in a dictionary": (pa.array(["x", "x", None]).dictionary_encode(), ["x", "x", None]),
    "int64": (pa.array([2**63 - 1, -(2**63), None]), ["9223372036854775807", "-9223372036854775808", None]),
    "int64 of 17 digits": (pa.array([12345678901234567, None]), ["12345678901234567", None]),
    "uint64": (pa.array([2**64 - 1, 0, None], pa.uint64()), ["18446744073709551615", "0", None]),
    "decimal128": (
        pa.array([Decimal("19.90"), Decimal("-0.05"), None], pa.decimal128(20, 2)),
        ["19.90", "-0.05", None],
    ),
    "decimal128, tiny": (pa.array([Decimal("1E-9"), None], pa.decimal128(20, 9)), ["0.000000001", None]),
    "decimal256": (pa.array([Decimal("1" * 50), None], pa.decimal256(60, 1)), ["1" * 50 + ".0", None]),
    "float": (pa.array([19.99, 0.1, 5.0, None]), ["19.99", "0.1", "5", None]),
    "float32": (pa.array([19.99, None], pa.float32()), ["19.99", None]),
    "float, too long for an id": (pa.array([1.2345678901234567e18]), ["1.2345678901234568e+18"]),
    "float, not a number": (pa.array([float("nan"), None]), ["nan", None]),
    "boolean": (pa.array([True, False, None]), ["true", "false", None]),
    "date": (pa.array([date(2026, 11, 20), None]), ["2026-11-20", None]),
    "date in milliseconds": (pa.array([date(2026, 11, 20), None], pa.date64()), ["2026-11-20", None]),
    "time": (pa.array([time(9, 30), None], pa.time32("s")), ["09:30:00", None]),
    "timestamp, UTC": (pa.array([MOMENT, None]), ["2026-11-20T09:30:00.123456Z", None]),
    "timestamp, Berlin": (
        pa.array([MOMENT, None], pa.timestamp("ms", "Europe/Berlin")),
        ["2026-11-20T09:30:00.123Z", None],
    ),
    "timestamp, an offset": (pa.array([0, None], pa.timestamp("s", "+02:00")), ["1970-01-01T00:00:00Z", None]),
    "timestamp without zone, s": (pa.array([LOCAL, None], pa.timestamp("s")), ["2026-11-20T09:30:00", None]),
    "timestamp without zone, ns": (pa.array([1, None], pa.timestamp("ns")), ["1970-01-01T00:00:00.000000001", None]),
    "list": (pa.array([["a", "ü"], [], None]), ['["a","ü"]', "[]", None]),
    "struct": (pa.array([{"a": Decimal("1.10"), "b": None}, None]), ['{"a":1.10,"b":null}', None]),
    "map": (pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())), ['{"k":1}', None]),
    "JSON": (pa.array(['{"a": 1.10}', None], pa.json_()), ['{"a": 1.10}', None]),
    "UUID": (pa.array([bytes(16), None], pa.uuid()), ["00000000-0000-0000-0000-000000000000", None]),
    "bytes that are text": (pa.array(["ü".encode(), None]), ["ü", None]),
    "nothing but nulls": (pa.nulls(2), [None, None]),
}


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_is_exact_text(tmp_path: Path, kind: str) -> None:
    values, expected = TYPES[kind]
    write(tmp_path / "a.parquet", value=values)
    frame = read(source(tmp_path, "a.parquet"))
    assert texts(frame["value"]) == expected
    assert frame["damage"].isna().all()


def test_bytes_that_are_no_text_are_that_row_s_trouble_alone(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", event_id=[b"1", b"\xff\xfe", b"3"], damage=["own", "own", "own"])
    frame = read(source(tmp_path, "a.parquet"))
    assert texts(frame["event_id"]) == ["1", None, "3"]
    assert texts(frame["damage"]) == [None, "not_text: event_id holds bytes that are no text (UTF-8).", None]
    assert texts(frame["source_damage"]) == ["own"] * 3


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize(
    ("zone", "timezone", "hour"),
    [("UTC", None, 9), ("Europe/Berlin", None, 9), (None, "Europe/Berlin", 8), (None, "UTC", 9), (None, None, None)],
)
def test_a_time_means_the_same_typed_and_read(
    tmp_path: Path, unit: Any, zone: str | None, timezone: str | None, hour: int | None
) -> None:
    moment = datetime(2026, 11, 20, 9, 30, tzinfo=UTC) if zone else LOCAL
    values = pa.array([moment, None], pa.timestamp(unit, zone))
    write(tmp_path / "a.parquet", at=values)
    expected = None if hour is None else int(datetime(2026, 11, 20, hour, 30, tzinfo=UTC).timestamp() * 1000)
    for column in (read(source(tmp_path, "a.parquet"))["at"], values.to_pandas()):
        ms, reason = times(column, timezone)
        assert [None if missing else value for value, missing in zip(ms, ms.isna(), strict=True)] == [expected, None]
        assert texts(reason) == ["no_timezone" if expected is None else None, None]


def test_a_moment_beyond_any_calendar_is_not_wrapped_round(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", at=pa.array([2**62, 10**17], pa.timestamp("ms", "UTC")))
    ms, reason = times(read(source(tmp_path, "a.parquet"))["at"], "UTC")
    assert ms.isna().all()
    assert texts(reason) == ["timestamp_unparsable"] * 2


@pytest.mark.parametrize("chunk_rows", [1, 7, 100, 1000])
def test_rows_are_cut_anew_and_numbered_through_all_files(tmp_path: Path, chunk_rows: int) -> None:
    for part, rows in ((2, 50), (1, 70), (3, 0), (10, 5)):
        path = tmp_path / f"part-{part:02d}.parquet"
        pq.write_table(pa.table({"a": [f"{part}-{n}" for n in range(rows)]}, pa.schema([("a", pa.string())])), path, 30)
    frames = list(source(tmp_path, "*.parquet").frames(Window(), chunk_rows))
    assert {len(frame) for frame in frames[:-1]} <= {chunk_rows}
    whole = pd.concat(frames)
    assert list(whole.index) == list(range(1, 126))
    assert list(whole["a"]) == [f"{part}-{n}" for part, rows in ((1, 70), (2, 50), (10, 5)) for n in range(rows)]


def test_folders_of_a_partition_are_columns(tmp_path: Path) -> None:
    for day, shop in itertools.product(("2026-11-19", "2026-11-20"), ("a%2Fb", "__HIVE_DEFAULT_PARTITION__")):
        write(tmp_path / "orders" / f"day={day}" / f"shop={shop}" / "0.parquet", event_id=[day])
    (tmp_path / "orders" / "_SUCCESS").touch()
    (tmp_path / "orders" / "day=2026-11-19" / ".0.parquet.crc").write_bytes(b"crc")
    frame = read(source(tmp_path, "orders"))
    assert list(frame.columns) == ["event_id", "day", "shop", "damage"]
    assert texts(frame["day"]) == ["2026-11-19"] * 2 + ["2026-11-20"] * 2
    assert sorted(texts(frame["shop"]), key=str) == [None, None, "a/b", "a/b"]


def test_a_column_of_the_file_stays_before_its_folder_s_name(tmp_path: Path) -> None:
    write(tmp_path / "day=19" / "0.parquet", day=["the file's own"])
    assert texts(read(source(tmp_path, "day=*/*.parquet"))["day"]) == ["the file's own"]


def test_the_window_names_the_folder(tmp_path: Path) -> None:
    for day in (19, 20, 21):
        write(tmp_path / f"day=2026-11-{day}" / "0.parquet", event_id=[str(day)])
    asked = source(tmp_path, "day={start:%Y-%m-%d}/*.parquet")
    assert asked.uses_window
    assert not source(tmp_path, "day=*/*.parquet").uses_window
    assert texts(read(asked, DAY)["event_id"]) == ["20"]
    with pytest.raises(SourceError, match="needs a window"):
        read(asked)


def test_types_and_columns_may_differ_between_files(tmp_path: Path) -> None:
    write(tmp_path / "1.parquet", a=[1, 2], b=["x", "y"])
    write(tmp_path / "2.parquet", b=["z"], a=["3"])
    write(tmp_path / "3.parquet", a=["4"], c=["?"])
    asked = source(tmp_path, "*.parquet")
    frame = read(asked)
    assert texts(frame["a"]) == ["1", "2", "3", "4"]
    assert texts(frame["b"]) == ["x", "y", "z", None]
    assert texts(frame["c"]) == [None, None, None, "?"]
    assert [(warning.column, warning.rows) for warning in asked.warnings] == [("c", 3), ("b", 1)]


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def damaged_inside(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:4] + b"\x00" * 400 + content[404:])


def not_parquet(path: Path) -> None:
    path.write_text("event_id,event_name\n1,x\n")


@pytest.mark.parametrize("damage", [cut_off, damaged_inside, not_parquet])
def test_a_damaged_file_is_a_sentence_and_the_rows_before_it_are_accounted_for(house: House, damage: Any) -> None:
    rows = [order(number) for number in range(30)]
    for part in (1, 2):
        path = house.folder / f"part-{part}.parquet"
        pq.write_table(pa.Table.from_pylist(rows), path, compression="gzip")
    damage(path)
    house.to = ["converge"]
    house.import_settings = {"source": {"type": "parquet", "path": "*.parquet"}, "chunk_rows": 20}
    report = house.run()
    assert report.exit_code == 2
    assert report.run.stop_detail.startswith("part-2.parquet: this is no whole Parquet file")
    assert report.rows == {"converge": 30}
    assert report.by_status("converge") == {"delivered": 30}


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]), tmp_path / "a.parquet")
    with pytest.raises(SourceError, match=r"a\.parquet: a is the name of more than one column"):
        read(source(tmp_path, "a.parquet"))


def test_columns_without_rows_are_judged_like_any_other(tmp_path: Path) -> None:
    write(tmp_path / "1.parquet", event_id=pa.array([], pa.string()), event_name=[], occurred_at=[])
    assert list(extract.frames(source(tmp_path, "1.parquet"), Window(), ColumnRules(), 100)) == []
    write(tmp_path / "2.parquet", foo=pa.array([], pa.string()))
    with pytest.raises(SourceError, match="no column for event_id"):
        list(extract.frames(source(tmp_path, "2.parquet"), Window(), ColumnRules(), 100))


def test_no_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no file at nowhere/\*\.parquet"):
        read(source(tmp_path, "nowhere/*.parquet"))


def test_names_of_our_own_columns_may_stand_in_a_file(house: House) -> None:
    rows = [{**order(n), "row_number": n, "fingerprint": "f", "damage": "d", "ahead": "no"} for n in range(3)]
    pq.write_table(pa.Table.from_pylist(rows), house.folder / "a.parquet")
    house.to = ["converge"]
    house.import_settings = {"source": {"type": "parquet", "path": "a.parquet"}, "extra_columns": "all"}
    assert house.run().by_status("converge") == {"delivered": 3}
    sent = [entry["item"]["properties"] for entry in house.sandbox.received("converge")]
    assert {name for item in sent for name in item} >= {"source_row_number", "source_fingerprint", "source_damage"}


@pytest.fixture(scope="module")
def storage() -> Iterator[dict[str, str]]:
    """A bucket on localhost: how to get at it."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    found = {"endpoint_url": f"http://127.0.0.1:{server.get_host_and_port()[1]}", "key": "k", "secret": "s"}
    fsspec.filesystem("s3", **found).mkdir("parquet-bucket")
    yield found
    server.stop()


def test_a_bucket_is_read_like_a_folder(tmp_path: Path, storage: dict[str, str]) -> None:
    fs = fsspec.filesystem("s3", **storage)
    for part in (1, 2):
        write(tmp_path / "0.parquet", event_id=[f"{part}-{n}" for n in range(5000)], note=["x" * 300] * 5000)
        fs.put_file(str(tmp_path / "0.parquet"), f"parquet-bucket/day=2026-11-20/part-{part}.parquet")
    frame = read(source(tmp_path, "s3://parquet-bucket/day={start:%Y-%m-%d}/*.parquet", **storage), DAY)
    assert list(frame["event_id"]) == [f"{part}-{n}" for part in (1, 2) for n in range(5000)]
    assert set(frame["day"]) == {"2026-11-20"}
    assert list(frame.index) == list(range(1, 10_001))


def test_a_bucket_that_cannot_be_reached_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    asked = source(tmp_path, "s3://parquet-bucket/a.parquet", endpoint_url="http://127.0.0.1:9", key="k", secret="hush")
    assert "hush" not in repr(asked.settings)
    with pytest.raises(SourceError, match=r"s3://parquet-bucket/a\.parquet: the bucket cannot be reached"):
        read(asked)
