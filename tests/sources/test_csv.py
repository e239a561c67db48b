"""The CSV source: what its settings mean, and what becomes of files too odd or too large for sample_data/messy."""

from __future__ import annotations

import csv
import gzip
import io
import tracemalloc
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pytest
import zstandard
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from etl.column_settings import MappingSettings
from etl.errors import SourceError
from etl.filesystem import local_file, opened
from etl.sources.base import Window
from etl.sources.csv import CsvSettings, CsvSource
from etl.stages import extract
from etl.stages.mapping import ColumnRules
from tests.conftest import House, order

HEADER = ["event_id", "event_name", "occurred_at", "user_id"]
ROWS = [
    [f"A-{n}", "Order Completed", "2026-11-20T10:00:00Z", name] for n, name in enumerate(["Zoë", "Jörg", 'a "b", c'])
]


def source(path: Path | str, **settings: Any) -> CsvSource:
    return CsvSource(CsvSettings(type="csv", path=str(path), **settings), lambda path: path)


def read(path: Path | str, chunk_rows: int = 1000, window: Window | None = None, **settings: Any) -> pd.DataFrame:
    return pd.concat(list(source(path, **settings).frames(window or Window(), chunk_rows)))


def to_python(frame: pd.DataFrame) -> list[list[str]]:
    return frame.drop(columns="damage").to_numpy().tolist()


def damage(frame: pd.DataFrame) -> dict[int, str]:
    """Row number -> reason, for the rows that have one."""
    return {
        int(row): text.partition(":")[0]
        for row, text in zip(frame.index, frame["damage"], strict=True)
        if isinstance(text, str)
    }


def text_of(rows: list[list[str]], delimiter: str = ",", end: str = "\n") -> str:
    target = io.StringIO()
    csv.writer(target, delimiter=delimiter, lineterminator=end).writerows(rows)
    return target.getvalue()


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"], ids=["comma", "semicolon", "tab", "pipe"])
@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", b""),
        ("utf-8", b"\xef\xbb\xbf"),
        ("utf-16-le", b"\xff\xfe"),
        ("utf-16-be", b"\xfe\xff"),
        ("utf-32-le", b"\xff\xfe\x00\x00"),
        ("cp1252", b""),
    ],
    ids=["utf-8", "utf-8 with mark", "utf-16 le", "utf-16 be", "utf-32", "windows-1252"],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["unix", "windows", "old mac"])
def test_the_same_rows_whatever_the_file_looks_like(
    tmp_path: Path, delimiter: str, encoding: str, mark: bytes, end: str
) -> None:
    file = tmp_path / "orders.csv"
    file.write_bytes(mark + text_of([HEADER, *ROWS], delimiter, end).encode(encoding))
    declared: dict[str, Any] = {"encoding": encoding} if encoding == "cp1252" else {}
    frame = read(file, **declared)
    assert list(frame.columns) == [*HEADER, "damage"]
    assert to_python(frame) == ROWS
    assert list(frame.index) == [1, 2, 3]
    assert damage(frame) == {}


@pytest.mark.parametrize(
    ("suffix", "pack"), [(".gz", gzip.compress), (".zst", zstandard.compress), (".GZ", gzip.compress)]
)
def test_compressed_by_suffix(tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]) -> None:
    first, second = text_of([HEADER, *ROWS[:1]]).encode(), text_of(ROWS[1:]).encode()
    file = tmp_path / f"orders.csv{suffix}"
    file.write_bytes(pack(first) + pack(second))  # as when logs are appended
    assert to_python(read(file)) == ROWS


def test_what_is_not_utf8_and_not_declared_is_refused_with_what_to_declare(tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_text(text_of([HEADER, *ROWS]), encoding="cp1252")
    with pytest.raises(SourceError, match=r"orders\.csv: line 2 is not UTF-8.* set `encoding: \[utf-8, cp1252\]`"):
        read(file)
    assert to_python(read(file, encoding=["utf-8", "cp1252"])) == ROWS


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"delimiter": ";;"}, "must be one character"),
        ({"delimiter": '"'}, "must be one character"),
        ({"encoding": "utf-9"}, "utf-9 is not an encoding"),
        ({"encoding": "hex"}, "hex is not an encoding"),
        ({"encoding": ["utf-8", "cp125"]}, "cp125 is not an encoding"),
        ({"encoding": [7]}, "valid string"),
        ({"storage": {"endpoint": "x"}}, "Extra inputs"),
    ],
    ids=str,
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        source("orders.csv", **settings)


@pytest.mark.parametrize("word", ["semicolon", ";"])
def test_a_delimiter_has_a_name(tmp_path: Path, word: str) -> None:
    file = tmp_path / "orders.csv"
    file.write_text("a,b;c\n1,2;3\n")
    assert to_python(read(file, delimiter=word)) == [["1,2", "3"]]


@given(
    rows=st.lists(
        st.lists(st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=8), min_size=3, max_size=3),
        min_size=1,
        max_size=12,
    ),
    delimiter=st.sampled_from(",;\t|"),
    chunk_rows=st.integers(1, 5),
)
def test_every_row_arrives_whole_however_it_is_cut(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], delimiter: str, chunk_rows: int
) -> None:
    file = tmp_path_factory.mktemp("csv") / "orders.csv"
    target = io.StringIO()
    csv.writer(target, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([["id", "name", "note"], *rows])
    file.write_text(target.getvalue(), encoding="utf-8", newline="")
    frame = read(file, chunk_rows)
    assert to_python(frame) == rows
    assert list(frame.index) == list(range(1, len(rows) + 1))


def test_files_follow_one_another_and_the_window_names_them(tmp_path: Path) -> None:
    for day, ids in {"2026-11-19": ["A"], "2026-11-20": ["B", "C"]}.items():
        folder = tmp_path / f"day={day}"
        folder.mkdir()
        (folder / "orders.csv").write_text(text_of([["event_id", "x"], *[[id_, day] for id_ in ids]]))
    everything = read(tmp_path / "*" / "*.csv")
    assert everything["event_id"].tolist() == ["A", "B", "C"]
    assert list(everything.index) == [1, 2, 3]
    window = Window(datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 21, tzinfo=UTC))
    assert read(tmp_path / "day={start:%Y-%m-%d}" / "*.csv", window=window)["event_id"].tolist() == ["B", "C"]
    with pytest.raises(SourceError, match="needs a window"):
        read(tmp_path / "day={start:%Y-%m-%d}" / "*.csv")


def test_a_name_with_brackets_means_itself(tmp_path: Path) -> None:
    (tmp_path / "orders [1].csv").write_text("a,b\n1,2\n")
    assert to_python(read(tmp_path / "orders [1].csv")) == [["1", "2"]]


def test_what_programs_leave_in_a_folder_is_no_source(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text("a\n1\n")
    for name in (".DS_Store", "_SUCCESS", "_orders.csv"):
        (tmp_path / name).write_bytes(b"\x00\x00\x00\x01Bud1")
    for path in (f"{tmp_path}/", tmp_path / "*"):
        assert to_python(read(path)) == [["1"]]
    (tmp_path / "_orders.csv").write_text("a\n2\n")
    for path in (tmp_path / "_orders.csv", tmp_path / "_*.csv"):
        assert to_python(read(path)) == [["2"]]


def test_a_folder_of_any_name_and_links_to_files_are_read(tmp_path: Path) -> None:
    """Links are how a container's volumes and a `latest.csv` look."""
    folder = tmp_path / "_exports"
    folder.mkdir()
    (tmp_path / "store.csv").write_text("a\n1\n")
    (folder / "latest.csv").symlink_to(tmp_path / "store.csv")
    (folder / "whole.csv").write_text("a\n2\n")
    (folder / "_SUCCESS").write_bytes(b"")
    for path in (f"{folder}/", folder / "*", folder / "*.csv", f"{tmp_path}/_*/*.csv"):
        assert to_python(read(path)) == [["1"], ["2"]]
    (folder / "broken.csv").symlink_to(tmp_path / "gone.csv")
    assert to_python(read(folder / "[lw]*.csv")) == [["1"], ["2"]]


class _OfPrefixes(MemoryFileSystem):  # type: ignore[misc]
    """A bucket whose reader may list folders, and is refused where he asks for what is not there."""

    protocol = "prefixes"

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.replace("prefixes://", "memory://")))

    def info(self, path: str, **options: Any) -> Any:
        try:
            return super().info(path, **options)
        except FileNotFoundError:
            raise PermissionError("Forbidden") from None


def test_who_may_only_list_may_use_a_pattern() -> None:
    fsspec.register_implementation("prefixes", _OfPrefixes, clobber=True)
    fsspec.filesystem("memory").pipe("/exports/orders.csv", b"a\n1\n")
    assert to_python(read("prefixes://exports/*.csv")) == [["1"]]
    with pytest.raises(SourceError, match=r"other\.csv: access was refused; check the credentials"):
        read("prefixes://exports/other.csv")


@pytest.mark.parametrize("path", ["of-${PLACE}/orders.csv", "folder/${FILE}"], ids=["in a folder", "in a name"])
def test_a_secret_in_a_path_is_told_nobody(house: House, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """What is no path by itself; the name of a folder or a file that is there may be told."""
    folder = house.folder / ("of-k3y-folder" if "PLACE" in path else "folder")
    file = folder / ("orders.csv" if "PLACE" in path else "k3y-file.csv")
    monkeypatch.setenv("PLACE", "k3y-folder")
    monkeypatch.setenv("FILE", file.name)
    folder.mkdir()
    house.write([order(1)], str(file))
    house.import_settings = {"source": {"type": "csv", "path": path}}
    told = [house.run().run]
    assert [row["source"] for row in house.results()] == [path] * 5
    for content in (b"foo,bar\n1,2\n", b"PK\x03\x04", b"a,b\n\xff\x00"):
        file.write_bytes(content)
        told.append(house.run().run)
    file.unlink()
    told.append(house.run().run)
    assert all(run.stop_detail for run in told[1:])
    assert "k3y" not in str(told)


@pytest.fixture(scope="module")
def bucket() -> Iterator[dict[str, str]]:
    """A bucket on localhost: how to get at it."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    storage = {"endpoint_url": f"http://127.0.0.1:{server.get_host_and_port()[1]}", "key": "k", "secret": "s"}
    fsspec.filesystem("s3", **storage).mkdir("orders-bucket")
    yield storage
    server.stop()


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_a_bucket_is_read_like_a_folder(bucket: dict[str, str], suffix: str) -> None:
    packers: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}
    pack = packers[suffix]
    many = [[f"A-{n}", "Order Completed", "2026-11-20T10:00:00Z", f"user {n}"] for n in range(5000)]
    fs = fsspec.filesystem("s3", **bucket)
    for part in (1, 2):
        fs.pipe(
            f"orders-bucket/day=2026-11-20{suffix}/part-{part}.csv{suffix}", pack(text_of([HEADER, *many]).encode())
        )
    window = Window(datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 21, tzinfo=UTC))
    path = f"s3://orders-bucket/day={{start:%Y-%m-%d}}{suffix}/*.csv{suffix}"
    frame = read(path, window=window, storage=bucket)
    assert to_python(frame) == many + many
    assert list(frame.index) == list(range(1, 10_001))


def test_a_secret_is_not_shown(bucket: dict[str, str]) -> None:
    asked = source("s3://orders-bucket/x.csv", storage={**bucket, "secret": "hush-hush"})
    assert "hush-hush" not in repr(asked.settings)
    with pytest.raises(SourceError, match=r"no file at s3://orders-bucket/x\.csv"):
        list(asked.frames(Window(), 10))


def lines(*given: str) -> bytes:
    return "".join(f"{line}\n" for line in ("event_id,note", *given)).encode("utf-8", "surrogatepass")


ODD: dict[str, tuple[bytes, dict[int, str]]] = {
    "a cell of ten megabytes": (lines("A,1", "B," + "x" * 10_000_000, "C,3"), {}),
    "a cell larger than any": (lines("A,1", "B," + "x" * 17_000_000, "C,3"), {2: "cell_too_large"}),
    "control characters": (lines("A,\x01\x02\x1b", "B,\x7f\x85"), {}),
    "NUL bytes": (lines("A,1", "B,\x00", "C,3"), {2: "nul_byte"}),
    "a row of nothing but NUL bytes": (lines("A,1", "\x00" * 5000, "C,3"), {2: "ragged_row"}),
    "half a character": (lines("A,1", "B,\ud800", "C,\udfff"), {2: "undecodable", 3: "undecodable"}),
    "two faults in one row": (lines("A,\x00\ud800", "B,2"), {1: "undecodable"}),
    "text after quotes, twice": (lines('A,"1"2', "B,2", '"C"3,4'), {1: "broken_quotes", 3: "broken_quotes"}),
    "too many and too few": (lines("A,1,2", "B", "C,3"), {1: "ragged_row", 2: "ragged_row"}),
    "a line break in a ragged row": (lines('A,"1\n2",3', "B,2"), {1: "ragged_row"}),
    "separators of other worlds": (lines("A,x\u2028y\x0bz\x1c", "B,\x85"), {}),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("chunk_rows", [1, 1000])
def test_an_odd_row_is_its_own_trouble(tmp_path: Path, name: str, chunk_rows: int) -> None:
    content, expected = ODD[name]
    file = tmp_path / "orders.csv"
    file.write_bytes(content)
    frame = read(file, chunk_rows)
    assert damage(frame) == expected
    good = [id_ for row, id_ in frame["event_id"].items() if row not in expected]
    assert good == [id_ for row, id_ in enumerate("ABC"[: len(frame)], 1) if row not in expected]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (lines("A,1", 'B,"2', *(f"{n},x" for n in range(100))), "line 3 opens a quotation mark"),
        (lines("A,1", 'B,"2', "C,3", 'D,"4"'), "line 3 opens a quotation mark"),
        (lines("A,1", '"two\nlines",2', 'B,"3'), "line 5 opens a quotation mark"),
        (lines("A,1", 'B,"' + "x" * 9_000_000, "y" * 9_000_000 + '"'), "line 3 opens a quotation mark"),
        (lines("A" * 70_000_000), "a line is longer than 64 million"),
        ("event_id,note\nA,1\n".encode("utf-16")[:-1], "near line 1 the file is not in its encoding, or it is cut off"),
        (b"\xff" * 100, "line 1 is not UTF-8, and `encoding` does not say what it is"),
        (b"\n\n , ,\n", "the file is empty"),
    ],
    ids=["open", "open, then closed elsewhere", "after lines", "endless cell", "endless line", "cut", "junk", "blank"],
)
def test_what_cannot_be_told_apart_is_refused_as_a_whole(tmp_path: Path, content: bytes, sentence: str) -> None:
    file = tmp_path / "orders.csv"
    file.write_bytes(content)
    with pytest.raises(SourceError, match=sentence):
        read(file)


BOMBS: dict[str, bytes] = {
    "blank lines": b"\n",
    "delimiters": b",",
    "rows of nothing": b",\n",
    "zeros": b"\x00",
}


@pytest.mark.parametrize("filling", BOMBS)
@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_file_that_was_packed_to_do_harm_is_refused_before_it_does(tmp_path: Path, filling: str, suffix: str) -> None:
    file = tmp_path / f"orders.csv{suffix}"
    pack = gzip.compress if suffix == ".gz" else zstandard.compress
    file.write_bytes(pack(b"event_id,note\nA,1\n" + BOMBS[filling] * (300_000_000 // len(BOMBS[filling]))))
    if filling != "zeros":  # which are told by their beginning
        with pytest.raises(SourceError, match=r"more than 500 times|a line is longer|no CSV file"):
            read(file)
    tracemalloc.start()
    with opened(local_file(file)) as unpacked, pytest.raises(SourceError, match="unpacked it is more than 500 times"):
        deque(iter(partial(unpacked.read, 256 * 1024), b""), maxlen=0)
    assert tracemalloc.get_traced_memory()[1] < 80_000_000
    tracemalloc.stop()


def test_what_packs_well_is_read(tmp_path: Path) -> None:
    file = tmp_path / "orders.csv.zst"
    rows = "".join(f"A-{n},Order Completed,2026-11-20T10:00:00Z,same\n" for n in range(400_000))
    content = f"{','.join(HEADER)}\n{rows}".encode()
    file.write_bytes(zstandard.compress(content))
    with opened(local_file(file)) as unpacked:
        assert unpacked.read() == content


def test_more_columns_than_any_table_has_are_refused_at_once(tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_bytes(b"event_id," + b",".join(b"c%d" % n for n in range(32_000)) + b"\nA\n")
    with pytest.raises(SourceError, match=r"orders\.csv: 32,001 columns, and 2,000 are the most that are read"):
        read(file)


def test_an_encoding_that_fails_far_into_the_file_costs_only_those_rows(tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    rows = [f"{n},{'x' * 1000}" for n in range(9000)]
    file.write_bytes(lines(*rows) + "last,Zoë\n".encode("cp1252") + b"end,1\n")
    frame = read(file)
    assert damage(frame) == {9001: "undecodable"}
    assert len(frame) == 9002


@pytest.mark.parametrize(
    ("header", "names"),
    [
        ("event_id,note,,", ["event_id", "note"]),
        (",event_id,note", ["column_1", "event_id", "note"]),
        ("event_id,,note,", ["event_id", "column_2", "note"]),
        ("event_id,damage", ["event_id", "source_damage"]),
    ],
)
def test_columns_without_a_name(tmp_path: Path, header: str, names: list[str]) -> None:
    file = tmp_path / "orders.csv"
    width = header.count(",") + 1
    file.write_text(header + "\n" + ",".join([*"12345"[: len(names)], *[""] * (width - len(names))]) + "\n")
    assert list(read(file).columns) == [*names, "damage"]


def test_a_value_below_no_name_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_text("event_id,note,\n1,2,\n3,4,5\n")
    assert read(file)["column_3"].tolist() == ["", "5"]


@pytest.mark.parametrize(
    "first", ["a@example.com,x", "A-1,2026-11-20T10:00:00Z", "A-1,20.11.2026", "1234567,x", "A-1,19.99"]
)
def test_a_file_without_a_header_does_not_show_its_values(tmp_path: Path, first: str) -> None:
    file = tmp_path / "orders.csv"
    file.write_text(f"{first}\n{first}\n")
    with pytest.raises(SourceError, match="values, not column names") as refused:
        read(file)
    assert not any(cell in str(refused.value) for cell in first.split(",") if len(cell) > 1)


def everything(columns: dict[str, str]) -> ColumnRules:
    return ColumnRules(MappingSettings.model_validate({"columns": columns, "extra_columns": "all"}))


def extracted(file: Path, columns: dict[str, str]) -> list[str]:
    (frame,) = extract.frames(source(file), Window(), everything(columns), 100)
    return list(frame.columns)


@pytest.mark.parametrize(
    ("header", "columns", "names"),
    [
        ("Event ID,EVENT_NAME,occurred-at", {}, ["event_id", "event_name", "occurred_at"]),
        ("event_id,Event Name,OccurredAt,Event-ID", {}, ["event_id", "event_name", "occurred_at", "Event-ID"]),
        ("order no.,What,When", {"event_id": "Order No.", "event_name": "what", "occurred_at": "WHEN"}, None),
        (
            "event_id,Order No,event_name,occurred_at",
            {"event_id": "Order No"},
            ["source_event_id", "event_id", "event_name", "occurred_at"],
        ),
        (
            "event_id,Order No,source_event_id,event_name,occurred_at",
            {"event_id": "Order No"},
            ["source_source_event_id", "event_id", "source_event_id", "event_name", "occurred_at"],
        ),
        (
            "damage,source_damage,event_id,event_name,occurred_at",
            {},
            ["source_source_damage", "source_damage", "event_id", "event_name", "occurred_at"],
        ),
        (
            "damage,event_id,event_name,occurred_at",
            {"order_id": "damage"},
            ["order_id", "event_id", "event_name", "occurred_at"],
        ),
    ],
    ids=[
        "loosely",
        "exact first",
        "mapped loosely",
        "mapped over one of that name",
        "put aside twice",
        "a name of ours",
        "a name of ours mapped",
    ],
)
def test_names_match_whatever_their_case_and_gaps(
    tmp_path: Path, header: str, columns: dict[str, str], names: list[str] | None
) -> None:
    file = tmp_path / "orders.csv"
    file.write_text(f"{header}\n{header.replace('a', 'x')}\n")
    assert extracted(file, columns)[:-1] == (names or ["event_id", "event_name", "occurred_at"])


@pytest.mark.parametrize("order", [("event_id", "order_id"), ("order_id", "event_id")], ids=" first, then ".join)
def test_one_column_may_have_two_names(tmp_path: Path, order: tuple[str, str]) -> None:
    file = tmp_path / "orders.csv"
    file.write_text("Order No,event_name,occurred_at\nA-1,bought,2026-11-20T10:00:00Z\n")
    (frame,) = extract.frames(source(file), Window(), everything(dict.fromkeys(order, "Order No")), 100)
    # Always in one order: the fingerprint of the row must not hang on that of the settings.
    assert list(frame.columns) == ["event_id", "event_name", "occurred_at", "damage", "order_id"]
    assert frame[["event_id", "order_id"]].to_numpy().tolist()[0] == ["A-1", "A-1"]


PROPOSALS = {
    "shop export": (
        "Order No,Event,Closed At,Amount,Currency",
        {},
        "columns:\n  event_id: Order No\n  event_name: Event\n  occurred_at: Closed At\n  revenue: Amount",
    ),
    "what is mapped stays": (
        "ref,Type,Closed",
        {"event_id": "ref"},
        "columns:\n  event_id: ref\n  event_name: Type\n  occurred_at: Closed",
    ),
    "names that YAML would misread": (
        "Order No,'yes': no,Closed At",
        {"event_name": "'yes': no"},
        "columns:\n  event_id: Order No\n  event_name: '''yes'': no'\n  occurred_at: Closed At",
    ),
    "nothing to go by": (
        "a,b,c",
        {},
        "columns:\n  event_id: ???   # one of: a, b, c\n  event_name: ???   # one of: a, b, c\n"
        "  occurred_at: ???   # one of: a, b, c",
    ),
}


@pytest.mark.parametrize("chunk_rows", [1, 100])
def test_a_header_without_rows_is_judged_like_any_other(tmp_path: Path, chunk_rows: int) -> None:
    (tmp_path / "1.csv").write_text("event_id,event_name,occurred_at\n")
    (tmp_path / "2.csv").write_text("event_id,event_name,occurred_at\na,b,c\n\nd,e,f\n")
    frames = extract.frames(source(f"{tmp_path}/"), Window(), ColumnRules(), chunk_rows)
    assert pd.concat(list(frames))["event_id"].to_list() == ["a", "d"]
    (tmp_path / "3.csv").write_text("foo,bar\n\n")
    frames = extract.frames(source(f"{tmp_path}/"), Window(), ColumnRules(), chunk_rows)
    with pytest.raises(SourceError, match="no column for event_id, event_name, occurred_at"):
        list(frames)


def test_a_file_that_a_wrong_encoding_made_one_line_of_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_text(text_of([HEADER, *ROWS[2:]]), encoding="utf-8")
    with pytest.raises(SourceError, match="no column for"):
        list(extract.frames(source(file, encoding="cp037", delimiter=","), Window(), ColumnRules(), 100))


@pytest.mark.parametrize("name", PROPOSALS)
def test_an_unknown_header_is_answered_with_a_block_to_paste(tmp_path: Path, name: str) -> None:
    header, columns, block = PROPOSALS[name]
    file = tmp_path / "orders.csv"
    file.write_text(f"{header}\n1,2,3,4,5\n")
    with pytest.raises(SourceError) as refused:
        extracted(file, columns)
    assert str(refused.value).endswith(f"Add to the import:\n{block}")


def test_a_mapped_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_text("event_id,event_name,occurred_at\n1,2,3\n")
    with pytest.raises(SourceError, match=r"columns\.revenue: Total — the source has no such column"):
        extracted(file, {"revenue": "Total"})
