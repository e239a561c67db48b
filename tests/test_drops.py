"""Files that people drop: imported once, moved away, answered beside it; on a local folder and on S3."""

from __future__ import annotations

import csv
import errno
import gzip
import html
import io
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fsspec
import pytest
import zstandard
from typer.testing import CliRunner, Result

from etl import config, destinations, drops, pipeline, preview, retry
from etl.cli import app
from etl.clock import wall_clock
from etl.drops import Outcome, fix_file, moving
from etl.errors import ConfigError
from etl.ledger import open_ledger
from etl.model import Chunk
from etl.stages.plan import Job
from tests.conftest import House, order
from tests.sources import test_messy as messy

TO = ["converge", "webflow_optimize"]


@dataclass
class Inbox:
    """An import that takes dropped files, and a clock that we turn."""

    house: House
    url: str
    fs: Any
    settings: dict[str, Any] = field(default_factory=dict)
    source: dict[str, Any] = field(default_factory=dict)
    to: list[str] = field(default_factory=lambda: list(TO))
    ahead_ms: int = 0

    @property
    def config(self) -> config.Config:
        self.house.to = self.to
        source = {"type": "csv", **self.source}
        self.house.import_settings = {"source": source, "drop": {"inbox": self.url, **self.settings}} | {
            key: value for key, value in self.house.import_settings.items() if key not in ("source", "drop")
        }
        return self.house.config

    @property
    def root(self) -> str:
        return self.url.removeprefix("s3://").rstrip("/")

    def clock(self) -> int:
        return wall_clock() + self.ahead_ms

    def drop(self, name: str, rows: list[dict[str, str]] | str | bytes, *, below: str = "") -> None:
        path = "/".join(part for part in (self.root, below, name) if part)
        self.fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        with self.fs.open(path, "wb") as file:
            file.write(rows if isinstance(rows, bytes) else (rows if isinstance(rows, str) else text(rows)).encode())

    def written_now(self, name: str) -> None:
        """Let the storage say that the file was last written at this moment of our clock."""
        if "file" in self.fs.protocol:
            os.utime(f"{self.root}/{name}", (self.clock() / 1000, self.clock() / 1000))
            return
        from moto.core import DEFAULT_ACCOUNT_ID
        from moto.s3.models import s3_backends

        bucket, _, folder = self.root.partition("/")
        key = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].get_object(bucket, f"{folder}/{name}")
        key.last_modified = datetime.fromtimestamp(self.clock() / 1000, UTC).replace(tzinfo=None)

    def round(self, *, after_s: int = 120) -> dict[str, Outcome]:
        """One round, so long after the last thing that happened."""
        self.ahead_ms += after_s * 1000
        outcomes, _ = drops.process_all(self.config, ["orders"], self.clock)
        return {outcome.file.name: outcome for outcome in outcomes}

    def names(self, below: str = "") -> list[str]:
        folder = f"{self.root}/{below}".rstrip("/")
        self.fs.invalidate_cache()
        if not self.fs.exists(folder):
            return []
        return sorted(e["name"].rsplit("/", 1)[-1] for e in self.fs.ls(folder, detail=True) if e["type"] == "file")

    def read(self, path: str) -> str:
        with self.fs.open(f"{self.root}/{path}", "rb") as file:
            return str(file.read().decode("utf-8-sig"))

    def table(self, path: str) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(self.read(path), newline="")))

    def received(self, vendor: str = "converge") -> list[str]:
        return sorted(entry["key"] for entry in self.house.sandbox.received(vendor))


def text(rows: list[dict[str, str]]) -> str:
    names = list(dict.fromkeys(key for row in rows for key in row))
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, names, restval="")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def bad(number: int) -> dict[str, str]:
    return order(number, occurred_at="yesterday")


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["folder", "s3"])
def inbox(request: pytest.FixtureRequest, house: House, monkeypatch: pytest.MonkeyPatch) -> Inbox:
    if request.param == "folder":
        return local(house)
    url = request.getfixturevalue("s3_server")
    for name, value in {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    fs = fsspec.filesystem("s3", skip_instance_cache=True)
    type(fs).clear_instance_cache()  # one that was made in another environment knows other credentials
    bucket = re.sub(r"[^a-z0-9]+", "-", f"b-{house.folder.name.lower()}")[:60]
    fs.mkdir(bucket)
    return Inbox(house, f"s3://{bucket}/inbox/", fs)


@pytest.fixture
def folder(house: House) -> Inbox:
    return local(house)


def local(house: House) -> Inbox:
    where = house.folder / "inbox"
    where.mkdir()
    return Inbox(house, str(where), fsspec.filesystem("file"))


# -- what is promised


def test_a_file_packed_to_do_harm_holds_no_other_up(folder: Inbox) -> None:
    folder.drop("a bomb.csv.zst", zstandard.compress(text([order(1)]).encode() + b"\n" * 300_000_000))
    folder.drop("b wide.csv", text([order(2) | {f"answer {n}": "" for n in range(5_000)}]))
    folder.drop("c good.csv", [order(3)])
    outcomes = folder.round()
    assert [outcome.state for outcome in outcomes.values()] == ["quarantined", "quarantined", "processed"]
    assert "more than 500 times as large" in folder.read("quarantine/a bomb.summary.html")
    assert "2,000 are the most that are read" in folder.read("quarantine/b wide.summary.html")
    assert folder.received() == ["order-3"]


def test_three_files_one_of_them_twice_one_growing_and_one_all_bad(inbox: Inbox) -> None:
    good = [order(n) for n in range(3)]
    inbox.drop("a.csv", good)
    inbox.drop("copy of a.csv", good)
    inbox.drop("bad.csv", [bad(n) for n in range(10, 14)] + [order(14)])
    inbox.drop("growing.csv", [order(20)])
    inbox.ahead_ms = 300_000
    inbox.written_now("growing.csv")
    seen = drops.scan(inbox.config, "orders", inbox.clock)
    assert [file.name for file in seen.ready] == ["a.csv", "bad.csv", "copy of a.csv"]
    assert [file.name for file in seen.growing] == ["growing.csv"]

    outcomes = inbox.round(after_s=1)
    assert {name: outcome.state for name, outcome in outcomes.items()} == {
        "a.csv": "processed",
        "copy of a.csv": "repeated",
        "bad.csv": "quarantined",
    }
    assert [outcomes[name].exit_code for name in ("a.csv", "bad.csv", "copy of a.csv")] == [0, 1, 0]
    assert inbox.received() == ["order-0", "order-1", "order-2"]
    assert inbox.names("processed") == [
        "a.csv",
        "a.result.csv",
        "a.summary.html",
        "copy of a.csv",
        "copy of a.result.csv",
        "copy of a.summary.html",
    ]
    assert inbox.names("quarantine") == ["bad.csv", "bad.fix.csv", "bad.result.csv", "bad.summary.html"]
    again = inbox.read("processed/copy of a.summary.html")
    assert "Nothing was sent: this content was already imported on" in again
    assert "as a.csv." in again
    told = inbox.table("quarantine/bad.result.csv")
    assert [row["converge reason"] for row in told] == ["timestamp_unparsable"] * 4 + ["file_quarantined"]
    assert "4 of 5 rows cannot be used anywhere, which is more than 50%" in inbox.read("quarantine/bad.summary.html")
    assert inbox.names() == ["growing.csv"]
    inbox.drop("growing.csv", [order(20), order(21)])
    inbox.written_now("growing.csv")
    assert inbox.round(after_s=30) == {}, "it grew"
    assert inbox.round(after_s=31)["growing.csv"].state == "processed"
    assert inbox.received() == ["order-0", "order-1", "order-2", "order-20", "order-21"]


def test_a_file_that_grows_is_left_until_it_rests(folder: Inbox) -> None:
    folder.drop("orders.csv", text([order(1)]))
    path = Path(folder.root) / "orders.csv"
    for rows in (2, 3):
        path.write_text(text([order(n) for n in range(rows)]))
        os.utime(path, (4e9, 4e9 + rows))  # a clock that is ahead of ours says nothing
        assert folder.round(after_s=59) == {}
    assert folder.round(after_s=30) == {}
    assert folder.round(after_s=31)["orders.csv"].state == "processed"
    assert len(folder.received()) == 3


def test_it_is_the_same_on_every_ledger(house: House, ledger_url: str) -> None:
    house.ledger_url = ledger_url
    folder = local(house)
    folder.settings = {"settle_seconds": 0}
    rows = [order(1), order(2), bad(3)]
    folder.drop("t.csv", rows, below="dryrun")
    folder.drop("a.csv", rows)
    folder.drop("b.csv", rows)
    folder.drop("c.csv", [bad(1)])
    states = {name: outcome.state for name, outcome in folder.round().items()}
    assert states == {"t.csv": "tried", "a.csv": "processed", "b.csv": "repeated", "c.csv": "quarantined"}
    folder.house.sandbox.fault(vendor="converge", status=401)
    folder.drop("d.csv", [order(4)])
    folder.round()
    folder.house.sandbox.clear_faults()
    retry.retry(folder.config)
    folder.round()
    assert [row["converge status"] for row in folder.table("processed/d.result.csv")] == ["delivered"]


def test_what_was_delivered_before_is_a_duplicate_however_old_it_is_now(folder: Inbox) -> None:
    folder.settings = {"settle_seconds": 0}
    rows = [order(1), order(2)]
    folder.drop("a.csv", rows)
    folder.round()
    for below in ("dryrun", ""):
        folder.drop("later.csv", [*rows, order(3)], below=below)
        folder.round(after_s=8 * 86_400)
        told = folder.table(f"{below}/processed/later.result.csv".lstrip("/"))
        assert [row["webflow_optimize status"] for row in told] == ["duplicate", "duplicate", "rejected"]
        assert told[2]["webflow_optimize reason"] == "too_old"


class Killed(BaseException):
    """As if the process died here."""


STEPS = ["drops.moving.put", "drops.moving.remove", "drops.receipts.write", "drops.intake._judge_and_send"]


@pytest.mark.parametrize("step", [*STEPS, "pipeline.finish"])
def test_a_crash_at_any_step_imports_nothing_twice_and_the_next_round_ends_it(
    inbox: Inbox, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox.settings = {"settle_seconds": 0}
    rows = [order(1), order(2), bad(3)]
    inbox.drop("orders.csv", rows)

    def dies(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(f"etl.{step}", dies)
        with pytest.raises(Killed):
            inbox.round()
    inbox.round()
    assert inbox.received() == ["order-1", "order-2"]
    assert inbox.house.sandbox.counts()["converge"]["repeats"] == 0
    assert inbox.names() == []
    assert inbox.names("processed") == ["orders.csv", "orders.fix.csv", "orders.result.csv", "orders.summary.html"]
    told = inbox.table("processed/orders.result.csv")
    assert [row["converge status"] for row in told] == ["delivered", "delivered", "rejected"]
    inbox.drop("again.csv", rows)
    assert inbox.round()["again.csv"].state == "repeated"


def test_a_file_that_cannot_be_moved_for_now_blocks_no_other(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    inbox.settings = {"settle_seconds": 0}
    inbox.drop("orders.csv", [order(1)])
    put = moving.put

    def refuses(*what: Any) -> None:
        if any("orders.csv" in str(one) for one in what):
            raise PermissionError(13, "Permission denied")
        put(*what)

    with monkeypatch.context() as patched:
        patched.setattr("etl.drops.moving.put", refuses)
        assert inbox.round()["orders.csv"].state == "left"
        inbox.drop("new.csv", [order(2)])
        assert inbox.round()["new.csv"].state == "processed"
        assert "orders.csv" in inbox.names()
    inbox.round()
    assert inbox.names() == []
    assert inbox.received() == ["order-1", "order-2"]


def test_a_file_leaves_its_inbox_only_when_its_content_is_proven_at_the_target(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox.settings = {"settle_seconds": 0}
    inbox.drop("orders.csv", [order(1), order(2)])
    content = inbox.read("orders.csv")

    def half(folders: Any, local: Path, target: str) -> None:
        folders.fs.makedirs(target.rpartition("/")[0], exist_ok=True)
        folders.fs.pipe_file(target, local.read_bytes()[:-9])

    with monkeypatch.context() as patched:
        patched.setattr("etl.drops.moving.put", half)
        assert inbox.round()["orders.csv"].state == "left"
        assert inbox.read("orders.csv") == content
        assert "orders.csv" not in inbox.names("processed"), "nothing that is damaged is left there"
    inbox.round()
    assert inbox.names() == []
    assert inbox.read("processed/orders.csv") == content
    assert inbox.received() == ["order-1", "order-2"]


def test_a_name_that_was_taken_while_a_file_was_moved_is_left_to_its_owner(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox.settings = {"settle_seconds": 0}
    inbox.drop("orders.csv", [order(1)])
    content = inbox.read("orders.csv")

    def dies(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("etl.drops.moving.put", dies)
        with pytest.raises(Killed):
            inbox.round()
    inbox.drop("orders.csv", "somebody else's", below="processed")
    inbox.round()
    assert inbox.read("processed/orders.csv") == "somebody else's"
    (ours,) = [
        name for name in inbox.names("processed") if re.fullmatch(r"orders\.[-\w]+\.csv", name) and "result" not in name
    ]
    assert inbox.read(f"processed/{ours}") == content
    assert inbox.names() == []


def test_a_name_that_looks_like_a_pattern_is_a_name(inbox: Inbox) -> None:
    inbox.settings = {"settle_seconds": 0}
    inbox.drop("orders [1].csv", [order(1)])
    inbox.drop("orders 1.csv", [order(2)])
    assert {outcome.state for outcome in inbox.round().values()} == {"processed"}
    assert inbox.names() == []
    assert [row["event_id"] for row in inbox.table("processed/orders [1].result.csv")] == ["order-1"]
    assert [row["event_id"] for row in inbox.table("processed/orders [1].csv")] == ["order-1"]


def test_a_trial_writes_nothing_into_the_real_ledger(folder: Inbox) -> None:
    folder.settings = {"settle_seconds": 0}
    folder.drop("orders.csv", [order(1), bad(2)], below="dryrun")
    folder.round()
    for table in ("runs", "entries", "verdicts"):
        assert folder.house.sql(f"SELECT * FROM {table}") == []
    assert {state for (state,) in folder.house.sql("SELECT state FROM files")} == {"sighted"}


def cut_off_while_sending(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of which two rows of five were sent when the process died."""
    inbox.settings = {"settle_seconds": 0}
    inbox.house.import_settings = {"chunk_rows": 2}
    inbox.drop("orders.csv", [order(n) for n in range(1, 6)])
    load = pipeline.load

    def dies(job: Job, name: str, chunk: Chunk) -> None:
        if chunk.index == 1:
            raise Killed
        load(job, name, chunk)

    with monkeypatch.context() as patched:
        patched.setattr("etl.pipeline.load", dies)
        with pytest.raises(Killed):
            inbox.round()
    assert inbox.received() == ["order-1", "order-2"]


OTHERWISE: dict[str, dict[str, Any]] = {
    "larger chunks": {"chunk_rows": 3},
    "smaller chunks": {"chunk_rows": 1},
    "another column": {"columns": {"title": "order_id"}},
}


@pytest.mark.parametrize("settings", OTHERWISE.values(), ids=OTHERWISE)
def test_a_file_cut_off_while_sending_is_sent_to_its_end_though_the_settings_read_it_otherwise_now(
    inbox: Inbox, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off_while_sending(inbox, monkeypatch)
    inbox.house.import_settings |= settings
    outcome = inbox.round()["orders.csv"]
    assert (outcome.state, outcome.exit_code) == ("processed", 0)
    assert outcome.report is not None
    assert outcome.report.by_status("converge") == {"delivered": 3, "duplicate": 2}
    assert inbox.received() == [f"order-{n}" for n in range(1, 6)]
    assert inbox.house.sandbox.counts()["converge"]["repeats"] == 0
    assert (inbox.names(), inbox.names("quarantine")) == ([], [])
    told = inbox.table("processed/orders.result.csv")
    assert [row["converge status"] for row in told] == ["duplicate"] * 2 + ["delivered"] * 3
    assert "Nothing was sent" not in inbox.read("processed/orders.summary.html")
    ((stopped,),) = inbox.house.sql("SELECT stop_detail FROM runs ORDER BY run_no LIMIT 1")
    assert "a new run takes its place" in stopped
    assert inbox.round() == {}


def test_a_file_cut_off_while_sending_is_never_put_aside_as_unsent(
    folder: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off_while_sending(folder, monkeypatch)
    folder.house.import_settings["columns"] = {"occurred_at": "user_id"}
    assert folder.round()["orders.csv"].state == "processed"
    assert folder.names("quarantine") == []
    assert "Nothing was sent" not in folder.read("processed/orders.summary.html")


def test_a_file_cut_off_while_sending_waits_for_settings_that_can_read_it(
    folder: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off_while_sending(folder, monkeypatch)
    folder.source = {"delimiter": ";"}
    for _ in range(2):
        outcome = folder.round()["orders.csv"]
        assert (outcome.state, outcome.exit_code) == ("left", 2)
        assert "no column for event_id" in outcome.sentence
        assert "part of it may have been sent: it stays where it is" in outcome.sentence
        assert folder.names() == ["orders.csv"]
    folder.source = {}
    assert folder.round()["orders.csv"].exit_code == 0
    assert folder.received() == [f"order-{n}" for n in range(1, 6)]
    assert [row["converge status"] for row in folder.table("processed/orders.result.csv")] == ["delivered"] * 5


def test_a_trial_gets_the_same_answers_and_sends_nothing(inbox: Inbox) -> None:
    inbox.settings = {"settle_seconds": 0}
    rows = [order(1), order(2), bad(3)]
    inbox.drop("orders.csv", rows, below="dryrun")
    assert inbox.round()["orders.csv"].state == "tried"
    assert inbox.received() == []
    assert inbox.house.results() == []
    assert inbox.names("dryrun") == []
    there = ["orders.csv", "orders.fix.csv", "orders.result.csv", "orders.summary.html"]
    assert inbox.names("dryrun/processed") == there
    told = inbox.table("dryrun/processed/orders.result.csv")
    assert [row["converge status"] for row in told] == ["ready", "ready", "rejected"]
    assert "nothing was sent" in inbox.read("dryrun/processed/orders.summary.html")

    inbox.drop("orders.csv", rows)
    assert inbox.round()["orders.csv"].state == "processed"
    assert inbox.received() == ["order-1", "order-2"]
    real = inbox.table("processed/orders.result.csv")
    assert [row["converge detail"] for row in real][2] == [row["converge detail"] for row in told][2]
    inbox.drop("orders.csv", rows, below="dryrun")
    inbox.round()
    (third,) = [name for name in inbox.names("dryrun/processed") if name.endswith(".result.csv") and name not in there]
    assert [row["converge status"] for row in inbox.table(f"dryrun/processed/{third}")][:2] == ["duplicate"] * 2


def test_the_fix_file_corrected_and_dropped_again_delivers_exactly_the_corrected_rows(inbox: Inbox) -> None:
    inbox.settings = {"settle_seconds": 0}
    inbox.house.import_settings = {"extra_columns": ["note"]}
    ids = ["000123456789012345", "2026-11-20", "'quoted", "-1250", "0E5x", "MAR1", "19.90"]
    rows = [order(n, event_id=id_, note="=1+1", occurred_at="yesterday") for n, id_ in enumerate(ids)]
    inbox.drop("orders.csv", [order(n) for n in range(20, 40)] + rows)
    assert inbox.round()["orders.csv"].exit_code == 1
    before = inbox.received()
    fix = inbox.table("processed/orders.fix.csv")
    assert list(fix[0]) == ["problem", *rows[0]]
    assert "ISO 8601" in fix[0]["problem"]
    assert [row["event_id"] for row in fix] == [f"'{id_}" for id_ in ids]
    corrected = [row | {"occurred_at": order(n)["occurred_at"]} for n, row in enumerate(fix)]
    inbox.drop("corrected.csv", ("\ufeff" + text(corrected)).encode())
    assert inbox.round()["corrected.csv"].exit_code == 0
    assert sorted(set(inbox.received()) - set(before)) == sorted(ids)
    sent = [entry["item"] for entry in inbox.house.sandbox.received("converge") if entry["key"] in ids]
    assert all("problem" not in str(item) and "'=1+1'" in str(item) for item in sent)


@pytest.mark.parametrize(
    ("encoding", "delimiter"), [("utf-8-sig", ";"), ("utf-8", ","), ("cp1252", ";"), ("utf-8-sig", "\t")]
)
def test_a_fix_file_is_read_back_however_a_spreadsheet_saved_it(folder: Inbox, encoding: str, delimiter: str) -> None:
    folder.settings = {"settle_seconds": 0}
    folder.house.import_settings = {"extra_columns": ["note"]}
    row = order(1, event_id="0012", note="Größe; 1,5", revenue="19.90", occurred_at="yesterday")
    folder.drop(
        "a.csv", text([row, order(2)]).replace(",", ";").replace('"Größe; 1;5"', '"Größe; 1,5"').encode("cp1252")
    )
    folder.source = {"encoding": "cp1252", "delimiter": ";"}
    folder.round()
    (fix,) = list(csv.DictReader(io.StringIO(folder.read("processed/a.fix.csv"), newline=""), delimiter=";"))
    assert (fix["event_id"], fix["note"]) == ("'0012", row["note"])
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(fix), delimiter=delimiter)
    writer.writeheader()
    writer.writerow(fix | {"occurred_at": order(1)["occurred_at"]})
    folder.drop("b.csv", out.getvalue().encode(encoding))
    assert folder.round()["b.csv"].exit_code == 0
    (item,) = [entry["item"] for entry in folder.house.sandbox.received("converge") if entry["key"] == "0012"]
    assert "Größe; 1,5" in str(item)
    assert "19.9" in str(item)


def test_totals_and_blank_lines_are_nobodys_fault(folder: Inbox) -> None:
    folder.settings = {"settle_seconds": 0, "max_bad_share": 0}
    rows = text([order(1), order(2)])
    commas = "," * rows.splitlines()[0].count(",")
    folder.drop("a.csv", f"{rows}{commas}\n{commas}\nTotal{commas}\n")
    assert folder.round()["a.csv"].state == "processed"
    assert "All 2 rows arrived everywhere they should." in folder.read("processed/a.summary.html")
    assert "a.fix.csv" not in folder.names("processed")
    assert [row["converge reason"] for row in folder.table("processed/a.result.csv")] == [
        "",
        "",
        *3 * ["not_a_conversion"],
    ]


def test_every_messy_file_is_answered_as_expected_and_blocks_no_other(folder: Inbox) -> None:
    folder.settings = {"settle_seconds": 0}
    folder.to = ["convert"]
    folder.ahead_ms = int(messy.NOW.timestamp() * 1000) - wall_clock()
    expected = {case.file: case.expected for case in messy.CASES if not case.source and not case.settings}
    assert set(expected) == {path.name for path in messy.MESSY.iterdir()}
    for name in expected:
        folder.drop(name, (messy.MESSY / name).read_bytes())
    outcomes = folder.round(after_s=0)
    assert set(outcomes) == set(expected)
    assert folder.names() == []
    for name, outcome in outcomes.items():
        stem = outcome.place.removesuffix(".gz").removesuffix(".zst").removesuffix(".csv")
        page = html.unescape(Path(f"{stem}.summary.html").read_text())
        assert "What to do next" in page, name
        sentence_or_counts = expected[name]
        if isinstance(sentence_or_counts, str):
            assert outcome.state == "quarantined", name
            assert sentence_or_counts in re.sub("</?code>", "`", page), name
        else:
            bad_ones = {why: n for (status, why), n in sentence_or_counts.items() if status == "rejected"}
            told = Counter(row.get("convert reason", "") for row in _rows(f"{stem}.result.csv"))
            assert {why: told[why] for why in bad_ones} == bad_ones, name
            assert outcome.state == "processed" or told["file_quarantined"] or "cannot be used anywhere" in page, name


def _rows(path: str) -> list[dict[str, str]]:
    """The rows of a result file, whatever separates them."""
    text = Path(path).read_text("utf-8-sig")
    mark = max(",;\t|", key=text.partition("\n")[0].count)
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=mark))


def test_a_compressed_file_is_answered_like_any_other(folder: Inbox) -> None:
    folder.settings = {"settle_seconds": 0}
    folder.drop("orders.csv.gz", gzip.compress(text([order(1), bad(2)]).encode()))
    assert folder.round()["orders.csv.gz"].state == "processed"
    assert folder.names("processed") == ["orders.csv.gz", "orders.fix.csv", "orders.result.csv", "orders.summary.html"]


def test_a_problem_column_of_their_own_does_not_travel_either(folder: Inbox) -> None:
    folder.settings = {"settle_seconds": 0}
    folder.house.import_settings = {"extra_columns": "all"}
    folder.drop("orders.csv", [order(1, note="'kept", Problem="secret remark")])
    folder.round()
    (item,) = [entry["item"] for entry in folder.house.sandbox.received("converge")]
    assert "secret remark" not in str(item)
    assert "'kept" in str(item), "an apostrophe is taken away only from a file of ours"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"], ids=repr)
def test_no_cell_of_a_receipt_is_a_formula(folder: Inbox, start: str) -> None:
    folder.settings = {"settle_seconds": 0, "max_bad_share": 1}
    evil = f"{start}cmd|' /C calc'!A0"
    rows = [order(1, title=evil), order(2, title=evil, occurred_at="yesterday"), order(3, event_name=evil)]
    folder.drop("orders.csv", [{**row, f"{start}x": "1"} for row in rows])
    folder.round()
    for name in ("orders.result.csv", "orders.fix.csv"):
        for row in csv.reader(io.StringIO(folder.read(f"processed/{name}"), newline="")):
            assert not [cell for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


def test_the_name_of_a_file_is_no_formula_either(folder: Inbox) -> None:
    folder.settings = {"settle_seconds": 0}
    folder.drop("=1+1.csv", "")
    folder.round()
    (told,) = folder.table("processed/=1+1.result.csv")
    assert told["file"] == "'=1+1.csv"
    assert not told["detail"].startswith("=")


def test_the_result_file_keeps_the_columns_as_they_were(folder: Inbox) -> None:
    folder.settings = {"settle_seconds": 0}
    rows = [
        {"Order No": "007", **order(1), "Closed": " x ", "Müller;": '"a"\n,b', "amount": "1.234,50"},
        {"Order No": "12345678901234567890", **bad(2), "Closed": "", "Müller;": "", "amount": ""},
    ]
    folder.drop("orders.csv", rows)
    folder.round()
    told = folder.table("processed/orders.result.csv")
    names = list(rows[0])
    assert list(told[0])[: len(names)] == names
    assert list(told[0])[len(names) :] == [f"{name} {what}" for name in TO for what in ("status", "reason", "detail")]
    assert [{name: row[name] for name in names} for row in told] == rows
    assert (Path(folder.root) / "processed/orders.result.csv").read_bytes().startswith(b"\xef\xbb\xbf")


def test_the_summary_escapes_what_came_from_the_file(folder: Inbox) -> None:
    folder.settings = {"settle_seconds": 0}
    name = "<script>alert(1)<!--.csv"
    folder.drop(name, [order(1, event_name="<img src=x onerror=alert(1)>")])
    folder.drop("<b>unusable.csv", "<script>,<i>\n1,2\n")
    folder.round()
    for path in ("processed/<script>alert(1)<!--.summary.html", "quarantine/<b>unusable.summary.html"):
        page = folder.read(path)
        assert "<script" not in page
        assert "<img" not in page
        assert "<b>" not in page
        assert "<i>" not in page
        assert not re.search(r"(src|href)\s*=|url\(|@import", page), "the page asks for nothing else"


def test_a_file_that_cannot_be_used_is_put_aside_with_what_to_do_and_does_not_block_the_next(folder: Inbox) -> None:
    folder.settings = {"settle_seconds": 0}
    folder.drop("a.csv", "Order,When\n1,2\n")
    folder.drop("b.csv", [order(1)])
    outcomes = folder.round()
    assert {name: outcome.state for name, outcome in outcomes.items()} == {"a.csv": "quarantined", "b.csv": "processed"}
    assert outcomes["a.csv"].exit_code == 2
    assert folder.names("quarantine") == ["a.csv", "a.result.csv", "a.summary.html"], (
        "the file is to be corrected whole"
    )
    assert "columns:" in folder.read("quarantine/a.summary.html")
    folder.house.import_settings["columns"] = {"event_id": "Order", "occurred_at": "When", "event_name": "Order"}
    folder.drop("a.csv", "Order,When\n1,2\n")
    assert folder.round()["a.csv"].state == "quarantined", "read again, now that the settings are others"


def test_the_name_of_an_earlier_file_is_never_taken(folder: Inbox) -> None:
    folder.settings = {"settle_seconds": 0}
    for number in (1, 2):
        folder.drop("orders.csv", [order(number)])
        folder.round()
    names = folder.names("processed")
    assert len(names) == 6
    assert "orders.csv" in names
    assert folder.received() == ["order-1", "order-2"]


def test_rows_that_expire_before_the_next_run_are_named(folder: Inbox) -> None:
    folder.settings = {"settle_seconds": 0}
    folder.to = ["webflow_optimize"]
    soon = (datetime.now(UTC) - timedelta(days=6, hours=20)).isoformat()
    folder.drop("orders.csv", [order(1), order(2, occurred_at=soon), order(3, occurred_at=soon, user_id="")])
    folder.house.sandbox.fault(vendor="webflow_optimize", status=401)
    folder.round()
    page = folder.read("processed/orders.summary.html")
    assert "Before it is too late" in page
    assert re.findall(r"Row (\d+): until", page) == ["2", "3"]


def test_when_rows_expire_is_read_from_what_was_staged_and_computed_where_nothing_was(
    folder: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.settings = {"settle_seconds": 0}
    folder.to = ["webflow_optimize"]
    vendor = destinations.find("webflow_optimize")
    columns, asked = vendor.columns, []

    def counted(self: Any, conversions: Any) -> Any:
        asked.append(len(conversions))
        return columns(self, conversions)

    monkeypatch.setattr(vendor, "columns", counted)
    soon = (datetime.now(UTC) - timedelta(days=6, hours=20)).isoformat()
    rows = [order(1), order(2, occurred_at=soon), order(3, occurred_at=soon, user_id="")]
    folder.drop("orders.csv", rows)
    folder.house.sandbox.fault(vendor="webflow_optimize", status=401)
    folder.round()
    assert asked == [3], "once, when the rows were brought into the vendor's words"
    for folder_of_items in ("not_taken", "items"):
        for path in (folder.house.folder / "staging").glob(f"2*/{folder_of_items}"):
            shutil.rmtree(path)
        folder.drop(f"without {folder_of_items}.csv", rows)
        folder.round(after_s=0)
        page = folder.read(f"processed/without {folder_of_items}.summary.html")
        assert re.findall(r"Row (\d+): until", page) == ["2", "3"]
    assert asked == [3, 3, 3]


@pytest.mark.parametrize("below", ["", "dryrun"], ids=["inbox", "trial"])
@pytest.mark.parametrize(
    ("bad_rows", "share", "good_place"),
    [(1, 0.25, True), (2, 0.25, False), (2, 0.5, True), (3, 0.5, False), (1, 0.0, False), (4, 1.0, True)],
)
def test_of_a_file_with_more_than_the_configured_share_of_bad_rows_nothing_is_sent(
    folder: Inbox, bad_rows: int, share: float, good_place: bool, below: str
) -> None:
    folder.settings = {"settle_seconds": 0, "max_bad_share": share}
    folder.drop("orders.csv", [bad(n) if n < bad_rows else order(n) for n in range(4)], below=below)
    folder.round()
    where = "/".join(part for part in (below, "processed" if good_place else "quarantine") if part)
    assert "orders.csv" in folder.names(where)
    sent = [f"order-{n}" for n in range(bad_rows, 4)] if good_place and not below else []
    assert folder.received() == sent
    assert len(folder.table(f"{where}/orders.fix.csv")) == (bad_rows if good_place else 4)


def test_of_a_file_that_breaks_off_nothing_is_sent_however_good_its_beginning(folder: Inbox) -> None:
    folder.settings = {"settle_seconds": 0}
    folder.house.import_settings["chunk_rows"] = 1
    whole = text([order(n) for n in range(3)])
    folder.drop("open quote.csv", whole + 'order-9,"Order Completed\n' + "x," * 20)
    folder.drop("cut off.csv.gz", gzip.compress(whole.encode() * 9)[:-9])
    states = {name: outcome.state for name, outcome in folder.round().items()}
    assert states == {"open quote.csv": "quarantined", "cut off.csv.gz": "quarantined"}
    assert folder.received() == []
    told = folder.table("quarantine/open quote.result.csv")
    assert {row["converge reason"] for row in told} == {"file_unusable"}
    assert "opens a quotation mark that is not closed" in folder.read("quarantine/open quote.summary.html")


def test_what_is_said_of_one_row_is_not_said_of_others_with_the_same_reason(folder: Inbox) -> None:
    folder.settings = {"settle_seconds": 0, "max_bad_share": 1}
    folder.drop("alike.csv", [bad(1), bad(2)])
    folder.drop("unlike.csv", [order(3), order(4), order(3), order(4)])
    folder.round()
    assert "for example" not in folder.read("processed/alike.summary.html")
    page = folder.read("processed/unlike.summary.html")
    assert "Row 3, for example: Row 1 of the same source already has this event_id" in page


def test_files_are_put_where_the_settings_say_and_receipts_are_optional(folder: Inbox) -> None:
    done, aside = folder.house.folder / "done", folder.house.folder / "aside"
    folder.settings = {"settle_seconds": 0, "processed": str(done), "quarantine": str(aside), "receipts": False}
    folder.drop("orders.csv", [order(1)])
    folder.drop("bad.csv", [bad(1)])
    folder.drop(".hidden.csv", [order(5)])
    folder.drop("half.csv.part", [order(6)])
    folder.round()
    assert [path.name for path in done.iterdir()] == ["orders.csv"]
    assert [path.name for path in aside.iterdir()] == ["bad.csv"]
    assert folder.names() == [".hidden.csv", "half.csv.part"]


def test_a_vendor_that_is_down_keeps_the_file_and_retry_sends_it(folder: Inbox) -> None:
    folder.settings = {"settle_seconds": 0}
    folder.drop("orders.csv", [order(1), order(2)])
    folder.house.sandbox.fault(vendor="converge", status=401)
    assert folder.round()["orders.csv"].exit_code == 2
    page = folder.read("processed/orders.summary.html")
    assert "they are kept, and" in page
    assert "Where delivery stopped" in page
    assert "orders.fix.csv" not in folder.names("processed"), "there is nothing that its sender could correct"
    folder.house.sandbox.clear_faults()
    (again,) = retry.retry(folder.config)
    assert again.by_status("converge") == {"delivered": 2}


def down(inbox: Inbox, rows: list[dict[str, str]]) -> None:
    """A file that was imported while a vendor was down."""
    inbox.settings = {"settle_seconds": 0}
    inbox.drop("orders.csv", rows)
    inbox.house.sandbox.fault(vendor="converge", status=401)
    inbox.round(after_s=0)
    inbox.house.sandbox.clear_faults()
    told = inbox.table("processed/orders.result.csv")
    assert [row["converge status"] for row in told] == ["failed", "failed", "rejected"]


def test_after_a_retry_the_next_round_brings_the_receipts_up_to_date(inbox: Inbox) -> None:
    rows = [order(1), order(2), bad(3)]
    down(inbox, rows)
    half_corrected = inbox.read("processed/orders.fix.csv") + "half corrected"
    inbox.drop("orders.fix.csv", half_corrected, below="processed")
    (again,) = retry.retry(inbox.config)
    assert inbox.round(after_s=0)["orders.csv"].state == "updated"
    told = inbox.table("processed/orders.result.csv")
    assert [row["converge status"] for row in told] == ["delivered", "delivered", "rejected"]
    assert [{name: row[name] for name in rows[0]} for row in told] == rows
    page = inbox.read("processed/orders.summary.html")
    assert "2 of 3 rows arrived everywhere they should. 1 row needs a correction." in page
    assert "Brought up to date" in page
    assert f"Sent again by run <code>{again.run.run_id}</code>" in page
    assert "Where delivery stopped" not in page
    assert "conversions retry" not in page
    assert inbox.read("processed/orders.fix.csv") == half_corrected, "its sender is at work on it"
    assert len(inbox.names("processed")) == 4
    inbox.drop("orders.summary.html", "as it is", below="processed")
    assert inbox.round(after_s=0) == {}
    assert inbox.read("processed/orders.summary.html") == "as it is", "told once"


@pytest.mark.parametrize("step", ["stages.plan.resume", "drops.receipts.write", "drops.receipts._stops"])
def test_a_crash_while_receipts_are_brought_up_to_date_is_made_good_by_the_next_round(
    folder: Inbox, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    down(folder, [order(1), order(2), bad(3)])
    retry.retry(folder.config)

    def dies(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(f"etl.{step}", dies)
        with pytest.raises(Killed):
            folder.round(after_s=0)
    folder.round(after_s=0)
    told = folder.table("processed/orders.result.csv")
    assert [row["converge status"] for row in told] == ["delivered", "delivered", "rejected"]
    assert folder.received() == ["order-1", "order-2"]


def test_rows_that_a_retry_turns_away_are_to_be_corrected_in_a_file_of_their_own(folder: Inbox) -> None:
    down(folder, [order(1), order(2), bad(3)])
    folder.house.sandbox.fault(vendor="converge", status=400, times=1)
    (again,) = retry.retry(folder.config)
    folder.round(after_s=0)
    assert again.by_status("converge") == {"delivered": 1, "refused": 1}
    fix = f"orders.{again.run.run_id}.fix.csv"
    assert fix in folder.names("processed")
    assert len(folder.table(f"processed/{fix}")) == 2
    assert f"Open {fix} beside this page" in folder.read("processed/orders.summary.html")
    assert len(folder.table("processed/orders.fix.csv")) == 1


@pytest.mark.parametrize("gone", ["moved away", "another file", "settings"])
def test_receipts_stay_as_they_were_where_the_file_is_gone_and_that_is_said_once(
    folder: Inbox, gone: str, caplog: pytest.LogCaptureFixture
) -> None:
    down(folder, [order(1), order(2), bad(3)])
    before = folder.read("processed/orders.result.csv")
    retry.retry(folder.config)
    if gone == "moved away":
        (Path(folder.root) / "processed/orders.csv").unlink()
    elif gone == "another file":
        folder.drop("orders.csv", [order(9)], below="processed")
    else:
        folder.source = {"encoding": "utf-16"}
    folder.round(after_s=0)
    assert "its receipts stay as they were before the retry" in caplog.text
    assert folder.read("processed/orders.result.csv") == before
    caplog.clear()
    folder.round(after_s=0)
    assert "receipts" not in caplog.text


@pytest.mark.parametrize(("verb", "locked"), [("replace", "orders.result.csv"), ("open", "processed/orders.csv")])
def test_receipts_that_cannot_be_written_for_now_block_no_other_file_and_are_tried_again(
    folder: Inbox, verb: str, locked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody has the result open in Excel; the file itself was moved to cold storage."""
    down(folder, [order(1), order(2), bad(3)])
    before = folder.read("processed/orders.result.csv")
    retry.retry(folder.config)
    owner: Any = Path if verb == "replace" else type(folder.fs)
    real = getattr(owner, verb)

    def refuses(self: Any, *words: Any, **more: Any) -> Any:
        if any(str(word).endswith(locked) for word in words):
            raise PermissionError(13, "Permission denied", locked)
        return real(self, *words, **more)

    with monkeypatch.context() as patched:
        patched.setattr(owner, verb, refuses)
        for number in (7, 8):
            folder.drop("new.csv", [order(number)])
            outcomes = folder.round()
            assert {name: outcome.state for name, outcome in outcomes.items()} == {
                "orders.csv": "updated",
                "new.csv": "processed",
            }
            assert outcomes["orders.csv"].sentence == (
                "its receipts stay as they were before the retry: a file there is locked or out of reach "
                "(Permission denied); the next round tries again."
            )
    assert folder.read("processed/orders.result.csv") == before
    assert folder.round()["orders.csv"].sentence == "its rows were sent again, and its receipts say so now."
    told = folder.table("processed/orders.result.csv")
    assert [row["converge status"] for row in told] == ["delivered", "delivered", "rejected"]
    assert folder.round() == {}


def test_a_copy_that_is_dropped_after_a_retry_is_answered_with_what_is_true_by_then(folder: Inbox) -> None:
    rows = [order(1), order(2), bad(3)]
    down(folder, rows)
    long_ago = wall_clock() - 3 * 86_400_000
    folder.house.sql(f"UPDATE runs SET started_at_ms = {long_ago}, finished_at_ms = {long_ago + 1}")
    folder.house.sql(f"UPDATE files SET done_at_ms = {long_ago + 2} WHERE state = 'done'")
    retry.retry(folder.config)
    folder.drop("copy.csv", rows)
    outcome = folder.round()["copy.csv"]
    then = datetime.fromtimestamp(long_ago / 1000, UTC)
    assert outcome.sentence == (
        f"Nothing was sent: this content was already imported on {then:%d %b %Y at %H:%M} UTC as orders.csv."
    )
    told = folder.table("processed/copy.result.csv")
    assert [row["converge status"] for row in told] == ["delivered", "delivered", "rejected"]
    page = folder.read("processed/copy.summary.html")
    assert "Brought up to date" not in page, "it is new"
    assert "Sent again by run" in page


def unstaged(inbox: Inbox) -> None:
    """Staged rows are deleted after a fortnight."""
    for run in (inbox.house.folder / "staging").glob("2*"):
        shutil.rmtree(run)


def test_rows_that_failed_and_are_no_longer_staged_are_sent_when_the_file_is_dropped_again(folder: Inbox) -> None:
    rows = [order(1), order(2), bad(3)]
    down(folder, rows)
    folder.drop("still staged.csv", rows)
    assert folder.round()["still staged.csv"].state == "repeated"
    unstaged(folder)
    (gone,) = retry.retry(folder.config)
    assert "dropping orders.csv again, its content unchanged, sends what is missing" in gone.run.stop_detail
    assert folder.round() == {}, "a retry that sent nothing brings nothing up to date"
    folder.drop("again.csv", rows)
    again = folder.round()["again.csv"]
    assert again.state == "processed"
    assert again.report is not None
    assert again.report.by_status("converge") == {"delivered": 2, "rejected": 1}
    assert again.report.by_status("webflow_optimize") == {"duplicate": 2, "rejected": 1}
    assert [row["converge status"] for row in folder.table("processed/again.result.csv")] == [
        "delivered",
        "delivered",
        "rejected",
    ]
    assert retry.retry(folder.config) == []
    unstaged(folder)
    folder.drop("third.csv", rows)
    assert folder.round()["third.csv"].state == "repeated"
    assert folder.received() == ["order-1", "order-2"]


def test_rows_that_a_retry_cannot_send_as_they_are_are_to_be_corrected_in_the_file(folder: Inbox) -> None:
    down(folder, [order(1), order(2), bad(3)])
    (again,) = retry.retry(folder.config, statuses=["rejected"])
    assert again.run.stop_detail.endswith("correct them in the file and drop it again.")


def forgotten(inbox: Inbox) -> None:
    """What a year later is left in the ledger, when another file has been dropped since."""
    inbox.drop("later.csv", [order(99)])
    inbox.round()
    inbox.house.sql("UPDATE runs SET started_at_ms = 1")
    with open_ledger(inbox.config) as ledger:
        ledger.prune(2)


@pytest.mark.parametrize("of_all", [True, False], ids=["the whole run", "some of its rows"])
def test_content_that_the_ledger_has_forgotten_is_taken_anew_and_nothing_is_sent_twice(
    folder: Inbox, of_all: bool
) -> None:
    folder.settings = {"settle_seconds": 0}
    folder.drop("first.csv", [order(1)])
    folder.round()
    rows = [order(1, order_id="another"), *([] if of_all else [order(2)])]
    folder.drop("second.csv", rows)
    folder.round()
    forgotten(folder)
    for name in ("third.csv", "fourth.csv"):
        folder.drop(name, rows)
        assert folder.round()[name].state == ("processed" if name == "third.csv" else "repeated")
        told = folder.table(f"processed/{name.removesuffix('.csv')}.result.csv")
        assert [row["converge status"] for row in told] == ["duplicate"] * len(rows)
    assert folder.names() == []
    assert len(folder.received()) == len(rows) + 1
    assert folder.house.sandbox.counts()["converge"]["repeats"] == 0


@pytest.mark.parametrize("step", STEPS)
def test_a_file_whose_cut_off_run_was_forgotten_is_taken_anew(
    folder: Inbox, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.settings = {"settle_seconds": 0}
    folder.drop("first.csv", [order(1)])
    folder.round()
    folder.drop("cut off.csv", [order(1, order_id="another")])

    def dies(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(f"etl.{step}", dies)
        with pytest.raises(Killed):
            folder.round()
    run_no = folder.house.sql("SELECT max(run_no) FROM runs")[0][0]
    for table in ("entries", "run_destinations", "runs"):
        folder.house.sql(f"DELETE FROM {table} WHERE run_no = {run_no}")
    (folder.house.folder / "staging" / "ledger.json").unlink()  # a later run is there in truth, and is never forgotten
    assert folder.round()["cut off.csv"].exit_code == 0
    assert folder.names() == []
    assert folder.received() == ["order-1"]


def test_a_retry_of_a_forgotten_run_leaves_the_receipts_and_is_told_once(
    folder: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    down(folder, [order(1), order(2), bad(3)])
    retry.retry(folder.config)
    folder.house.sql("DELETE FROM runs WHERE kind = 'drop'")
    folder.round(after_s=0)
    assert "the ledger has forgotten some of its rows by age" in caplog.text
    caplog.clear()
    folder.round(after_s=0)
    assert "receipts" not in caplog.text


CELLS = ["", "abc", "42", "-1", "007", "1e5", "'", "''x", "=A1", "1.10", "12345678901234", "ÄÖ", "May 5", "TRUE"]


@pytest.mark.parametrize("cell", CELLS)
def test_a_protected_cell_comes_back_as_it_was(cell: str) -> None:
    assert fix_file.unquote(fix_file.quote_for_spreadsheet(cell)) == cell


def excel(cell: str) -> str:
    """What a cell of a CSV file is after Excel has opened and saved it."""
    bare = cell.strip()
    if cell.startswith(("=", "+", "-", "@")) and not re.fullmatch(r"[+-]?[\d.,]+", bare):
        return "#NAME?"
    if re.fullmatch(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)(E[+-]?\d+)?", bare, re.IGNORECASE):
        number = float(bare.replace(",", "."))
        return f"{number:.5E}" if abs(number) >= 1e11 else f"{number:.15g}"
    if re.fullmatch(r"\d{1,4}[-./]\d{1,2}([-./]\d{1,4})?|(mar|may|dec)\w*[-. ]?\d{1,2}", bare, re.IGNORECASE):
        return "20.11.2026"
    return bare.upper() if bare.lower() in ("true", "false", "wahr", "falsch") else cell


REWRITTEN = [
    "000123456789012345",
    "1234567890123456789",
    "007",
    "1E5",
    "1234E56",
    "2026-11-20",
    "3-4",
    "1/2",
    "MAR1",
    "Dec 5",
    "1.10",
    "19,90",
    ".5",
    "+49170",
    "=1+1",
    "true",
]


@pytest.mark.parametrize("cell", REWRITTEN)
def test_a_second_round_through_excel_leaves_the_cells_of_a_fix_file_as_they_were(cell: str) -> None:
    assert excel(cell) != cell, "else this test says nothing"
    assert fix_file.unquote(excel(fix_file.quote_for_spreadsheet(cell))) == cell


def test_ids_come_through_excel_with_a_fix_file_and_not_without(folder: Inbox) -> None:
    folder.settings = {"settle_seconds": 0, "max_bad_share": 1}
    ids = ["000123456789012345", "2026-11-20", "MAR1", "1234E56"]
    folder.drop("orders.csv", [order(n, event_id=id_, occurred_at="yesterday") for n, id_ in enumerate(ids)])
    folder.round()
    opened = [{name: excel(cell) for name, cell in row.items()} for row in folder.table("processed/orders.fix.csv")]
    mended = [row | {"occurred_at": order(n)["occurred_at"]} for n, row in enumerate(opened)]
    folder.drop("orders.fix.csv", text(mended))
    assert folder.round()["orders.fix.csv"].exit_code == 0
    assert folder.received() == sorted(ids)


def test_an_import_that_only_takes_drops_has_nothing_to_run(folder: Inbox) -> None:
    with pytest.raises(ConfigError, match="conversions drops orders"):
        pipeline.run(folder.config, "orders")
    preview.check_settings(folder.config)


def test_an_import_without_drop_takes_none(house: House) -> None:
    with pytest.raises(ConfigError, match="takes no dropped files"):
        drops.scan(house.config, "orders")


# -- the command line


def conversions(inbox: Inbox, *words: str) -> Result:
    return CliRunner().invoke(app, ["--config", str(inbox.config.path), *words])


def test_the_command_says_what_became_of_each_file_and_its_exit_code_is_the_worst(folder: Inbox) -> None:
    assert conversions(folder, "drops").stdout == "Nothing was dropped.\n"
    folder.settings = {"settle_seconds": 0}
    folder.drop("a.csv", [order(1), order(2)])
    told = conversions(folder, "drops", "orders", "--once")
    assert told.exit_code == 0
    assert told.stdout.splitlines() == [
        f"a.csv: processed → {folder.root}/processed/a.csv",
        "  converge: 2 delivered",
        "  webflow_optimize: 2 delivered",
    ]
    folder.drop("b.csv", [order(3), bad(4)])
    assert conversions(folder, "drops").exit_code == 1
    folder.drop("c.csv", "nothing of ours\n1\n")
    told = conversions(folder, "drops")
    assert told.exit_code == 2
    assert "c.csv: quarantined" in told.stdout
    assert "no column for event_id" in told.stderr


def test_the_command_says_that_receipts_were_brought_up_to_date(folder: Inbox) -> None:
    down(folder, [order(1), order(2), bad(3)])
    retry.retry(folder.config)
    told = conversions(folder, "drops")
    assert (told.exit_code, told.stdout) == (0, "orders.csv: its rows were sent again, and its receipts say so now.\n")
    assert conversions(folder, "drops").stdout == "Nothing was dropped.\n"


def test_the_command_says_why_receipts_were_not_brought_up_to_date(folder: Inbox) -> None:
    down(folder, [order(1), order(2), bad(3)])
    retry.retry(folder.config)
    (Path(folder.root) / "processed/orders.csv").unlink()
    told = conversions(folder, "drops")
    assert told.exit_code == 0
    assert "orders.csv: its receipts stay as they were before the retry: the file is no longer at" in told.stdout
    assert "Nothing was dropped" not in told.stdout


def test_a_file_with_a_header_and_no_rows_is_answered_in_one_sentence(folder: Inbox) -> None:
    folder.settings = {"settle_seconds": 0}
    sentence = "The file has a header and no rows, so there was nothing to send."
    for below, state in (("dryrun", "tried"), ("", "processed")):
        folder.drop("none.csv", "event_id,event_name,occurred_at\n", below=below)
        told = conversions(folder, "drops")
        place = "/".join(part for part in (folder.root, below, "processed") if part)
        assert (told.exit_code, told.stderr.strip()) == (0, "")
        assert told.stdout == f"none.csv: {state} → {place}/none.csv\n  {sentence}\n"
        here = f"{below}/processed".lstrip("/")
        assert folder.names(here) == ["none.csv", "none.result.csv", "none.summary.html"]
        assert sentence in folder.read(f"{here}/none.summary.html")
        assert folder.table(f"{here}/none.result.csv") == [
            {"file": "none.csv", "status": "no rows", "detail": sentence}
        ]
    assert folder.received() == []


def test_once_leaves_what_may_still_be_growing(folder: Inbox) -> None:
    folder.drop("a.csv", [order(1)])
    told = conversions(folder, "drops", "--once")
    assert (told.exit_code, told.stdout) == (0, "a.csv: may still be growing, left where it is.\n")
    assert folder.names() == ["a.csv"]


def test_the_command_waits_for_what_is_still_growing(folder: Inbox) -> None:
    folder.settings = {"settle_seconds": 0.5}
    folder.drop("a.csv", [order(1)])
    assert "a.csv: processed" in conversions(folder, "drops").stdout


def test_an_inbox_that_is_a_file_is_refused(inbox: Inbox) -> None:
    inbox.drop("orders.csv", [order(1)])
    inbox.url = f"{inbox.url.rstrip('/')}/orders.csv"
    told = conversions(inbox, "drops")
    assert (told.exit_code, told.stdout) == (2, "")
    assert "imports.orders.drop.inbox: " in told.stderr
    assert "orders.csv is a file; name the folder that files are dropped into." in told.stderr


def test_a_bucket_that_marks_its_folders_with_empty_files_is_no_file(inbox: Inbox) -> None:
    inbox.settings = {"settle_seconds": 0}
    if "s3" in inbox.fs.protocol:
        inbox.fs.touch(f"{inbox.root}/")
    inbox.drop("orders.csv", [order(1)])
    assert inbox.round()["orders.csv"].state == "processed"
    assert inbox.round() == {}


def test_without_any_drop_the_command_says_so(house: House) -> None:
    told = CliRunner().invoke(app, ["--config", str(house.config.path), "drops"])
    assert told.exit_code == 2
    assert "No import has a `drop`" in told.stderr


# -- who may read what, and disks that are full


def test_receipts_and_the_ledger_are_for_nobody_who_could_not_read_the_drop(folder: Inbox) -> None:
    folder.drop("own.csv", [order(1), bad(2)])
    folder.drop("team.csv", [order(3), bad(4)])
    (Path(folder.root) / "own.csv").chmod(0o600)
    (Path(folder.root) / "team.csv").chmod(0o640)
    os.chown(Path(folder.root) / "team.csv", os.getuid(), os.getgid())
    folder.round()
    for name, mode in {"own": 0o600, "team": 0o640}.items():
        found = {path.name: path.stat().st_mode & 0o777 for path in (Path(folder.root) / "processed").glob(f"{name}.*")}
        assert found == {f"{name}{end}": mode for end in (".csv", ".fix.csv", ".result.csv", ".summary.html")}
    ledger = folder.house.folder / "ledger.db"
    assert {path.stat().st_mode & 0o777 for path in ledger.parent.glob("ledger.db*")} == {0o600}


def test_the_copy_of_a_drop_is_cleared_away_after_a_kill(folder: Inbox) -> None:
    folder.drop("a.csv", [order(1)])
    program = (
        "import os, sys; from etl import config; from etl.drops import inbox, copies, folders\n"
        "loaded = config.load(sys.argv[1]); here = folders.drop_folders(loaded, 'orders')\n"
        "with copies.local_copy(loaded, here, inbox.list_files(here)[0]): os._exit(9)"
    )
    path = folder.config.path
    assert subprocess.run([sys.executable, "-c", program, str(path)], check=False).returncode == 9
    staging = folder.house.folder / "staging"
    (left,) = staging.rglob("a.csv")
    assert [each.stat().st_mode & 0o077 for each in (staging / "copies").iterdir()] == [0, 0]
    folder.round()
    assert not left.exists()
    assert list((staging / "copies").iterdir()) == []


@pytest.mark.parametrize("what", [".result.csv", ".summary.html"])
def test_receipts_that_a_full_disk_has_no_room_for_are_owed(
    folder: Inbox, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.drop("a.csv", [order(1)])
    real = shutil.copyfile

    def full(source: Any, target: Any, **more: Any) -> Any:
        if str(source).endswith(what):
            Path(target).write_bytes(b"half of it")
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        return real(source, target, **more)

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copyfile", full)
        for _ in range(2):
            (outcome,) = folder.round().values()
            assert outcome.state == "left"
            assert outcome.exit_code == 1
            assert "receipts or its move are still owed: there is no room (No space left on device)" in outcome.sentence
            told = CliRunner().invoke(app, ["--config", str(folder.config.path), "drops", "--once"])
            assert "a.csv: left" in told.stdout
            assert "Nothing was dropped" not in told.stdout
        assert f"a{what}" not in folder.names("processed")
        assert not [name for name in folder.names("processed") if name.endswith(".part")]
    assert folder.round()["a.csv"].state == "updated"
    assert folder.names("processed") == ["a.csv", "a.result.csv", "a.summary.html"]
    assert folder.received() == ["order-1"]
