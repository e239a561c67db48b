"""What version 0.1.0 left behind, brought to life: its files in a folder, the vendors, and the command line.

Nothing in here knows how the command line is made. Commands are typed (`terminal.py`), at another time of day
(`clock/sitecustomize.py`): the rows are as old as they were then. The rest is read from files and with SQL.

`SCENARIOS` are what a person may do next. Version 0.1.0 did them too, and what came of it was kept.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import etl
from etl.sandbox import Sandbox

HERE = Path(__file__).parent
LEFT = HERE / "v0_1_0"
"""What is kept of version 0.1.0: `state`, and what it printed and did (`expected`)."""
ROOT = Path(str(etl.__file__)).parents[1]
ELSEWHERE = "/previous"
"""Stands in the kept ledger for the folder that it lay in."""
MOMENT = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=json.loads((LEFT / "moment.json").read_text()))
"""When version 0.1.0 was last used; the tests are an hour later."""
RUN = re.compile(r"\d{8}T\d{6}-[0-9a-f]{6}")


def expected(name: str) -> Any:
    """What version 0.1.0 printed or did."""
    return json.loads(gzip.decompress((LEFT / "expected" / f"{name}.json.gz").read_bytes()))


class Terminal:
    """Where commands are typed (`terminal.py`); ``ahead`` is how far its clock is from ours."""

    def __init__(self, ahead: timedelta) -> None:
        self.ahead = ahead
        paths = [str(HERE / "clock"), str(ROOT), os.environ.get("PYTHONPATH", "")]
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("CONVERSIONS_")},
            "CLOCK_AHEAD_NS": str(int(ahead.total_seconds() * 1_000_000_000)),
            "COLUMNS": "200",
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        }
        command = [sys.executable, str(HERE / "terminal.py")]
        self._process = subprocess.Popen(
            command, env=self.environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.communicate(timeout=60)

    def run(self, words: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Printed:
        """One command, typed in this folder; temporary files are the folder's, so that it meets no other process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        own = folder / "tmp"
        own.mkdir(exist_ok=True)
        out, err = own / "stdout", own / "stderr"
        order = {
            "words": list(words),
            "folder": str(folder),
            "environment": {**self.environment, "TMPDIR": str(own), **environment},
            "out": str(out),
            "err": str(err),
        }
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return Printed(int(self._process.stdout.readline()), out.read_text("utf-8"), err.read_text("utf-8"))


class Printed(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class World:
    """A folder with imports.yaml, the vendors, and a terminal; all but us live at another time."""

    folder: Path
    sandbox: Sandbox
    terminal: Terminal

    def conversions(self, *words: str, config: str = "imports.yaml", **environment: str) -> Printed:
        """One command."""
        there = {"SANDBOX": self.sandbox.url, **environment}
        return self.terminal.run(["--config", config, *words], self.folder, there)

    def table(self, *words: str) -> list[dict[str, Any]]:
        """`conversions results` as JSON."""
        return list(json.loads(self.conversions("results", *words, "--format", "json").out))

    def check(self) -> dict[str, Any]:
        """What `conversions check` shows: rows that would not go, and the numbers beside each destination."""
        printed = self.conversions("check", "store_orders", "--at", f"{MOMENT:%Y-%m-%dT%H:%M:%SZ}").out
        with (self.folder / "orders.csv").open(encoding="utf-8", newline="") as file:
            ids = [row[0] for row in csv.reader(file) if row[0].startswith("demo-") and "good" not in row[0]]
        lines = [line.split() for line in printed.splitlines()]
        counts = {name: [int(word) for word in words] for name, *words in filter(None, lines) if _are_counts(words)}
        return {"rows": [event_id for event_id in ids if event_id in printed], "counts": counts}

    def sql(self, statement: str, database: str = "ledger.db") -> list[tuple[Any, ...]]:
        """Ask, or change, a database directly."""
        with closing(sqlite3.connect(self.folder / database)) as connection, connection:
            return connection.execute(statement).fetchall()

    def view(self, name: str, columns: Sequence[str]) -> list[list[Any]]:
        """What a view, or a table, says in these columns, in their order."""
        listed = ", ".join(f'"{column}"' for column in columns)
        return sorted([list(row) for row in self.sql(f"SELECT {listed} FROM {name}")], key=repr)

    def sent(self) -> dict[str, list[str]]:
        """What every vendor took in since this was last asked, by its own key."""
        keys = {
            vendor: sorted(each["key"] for each in self.sandbox.received(vendor)) for vendor in self.sandbox.counts()
        }
        self.sandbox.reset()
        return {vendor: each for vendor, each in keys.items() if each}

    def last_words(self, where: str = "1 = 1") -> dict[str, dict[str, list[str]]]:
        """The view `results`: destination -> status and reason (but for what is rejected) -> event_ids."""
        found: dict[str, dict[str, list[str]]] = {}
        asked = f"SELECT destination, status, reason, event_id FROM results WHERE {where} ORDER BY 1, 2, 3, 4"
        for destination, status, reason, event_id in self.sql(asked):
            word = status if status == "rejected" else f"{status} {reason}".strip()
            found.setdefault(destination, {}).setdefault(word, []).append(event_id)
        return {name: {word: sorted(ids) for word, ids in words.items()} for name, words in found.items()}

    def files(self) -> list[str]:
        """What lies below the inbox, runs named alike."""
        drops = self.folder / "drops"
        return sorted(RUN.sub("RUN", str(path.relative_to(drops))) for path in drops.rglob("*") if path.is_file())

    def receipt(self, path: str) -> list[dict[str, str]]:
        """A CSV beside a dropped file, without its sentences."""
        with (self.folder / "drops" / path).open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, delimiter=";"))
        return [{k: v for k, v in row.items() if not k.endswith("detail") and k != "problem"} for row in rows]

    def states(self) -> list[tuple[str, str]]:
        """What the ledger knows of dropped files: where they are, and their state."""
        found = self.sql("SELECT path, state FROM files")
        names = [(RUN.sub("RUN", str(Path(path).relative_to(self.folder))), state) for path, state in found]
        return sorted(names)


def _are_counts(words: Sequence[str]) -> bool:
    return len(words) > 2 and all(word.isdecimal() for word in words)


def an_hour_later() -> Terminal:
    """A terminal at the time that the tests are at."""
    return Terminal(MOMENT + timedelta(hours=1) - datetime.now(UTC))


@contextmanager
def brought_back(folder: Path, terminal: Terminal) -> Iterator[World]:
    """A copy of what version 0.1.0 left, an hour after it was last used."""
    shutil.copytree(LEFT / "state", folder, dirs_exist_ok=True)
    (folder / "ledger.db").write_bytes(gzip.decompress((folder / "ledger.db.gz").read_bytes()))
    for path in (folder / "drops").rglob("*"):  # git keeps no times: nobody has written to them for ten minutes
        os.utime(path, times=((MOMENT - timedelta(minutes=10)).timestamp(),) * 2)
    with Sandbox(now=lambda: datetime.now(UTC) + terminal.ahead) as sandbox:
        world = World(folder, sandbox, terminal)
        world.sql(f"UPDATE files SET path = replace(path, '{ELSEWHERE}', '{folder}')")
        yield world


# -- what a person may do next


def retry(world: World) -> dict[str, Any]:
    """Everything that may be sent again; then again, with nothing left to send."""
    return {
        "first": [world.conversions("retry").code, world.sent(), world.last_words()],
        "again": [world.conversions("retry").code, world.sent()],
    }


def retry_of_some(world: World) -> dict[str, Any]:
    """One import's, one run's and one destination's; and what a person insists on."""
    first = str(world.sql("SELECT run_id FROM runs WHERE kind = 'import' ORDER BY run_no")[0][0])
    steps = [
        ["--run", first, "--to", "kameleoon"],
        ["--import", "partner_orders"],
        ["--to", "convert,converge", "--status", "failed"],
        ["--to", "convert", "--status", "unknown"],
        ["--import", "crm_deals"],
    ]
    done = [[world.conversions("retry", *words).code, world.sent()] for words in steps]
    return {"steps": done, "words": world.last_words()}


def run_again(world: World) -> dict[str, Any]:
    """The first file once more, and once more."""
    return {
        "first": [world.conversions("run", "store_orders").code, world.sent(), world.last_words()],
        "again": [world.conversions("run", "store_orders").code, world.sent()],
    }


def anew(world: World) -> dict[str, Any]:
    """The first file in a ledger of its own, with trouble at every vendor; then what is left of it."""
    world.sandbox.faults(TROUBLE)
    (world.folder / "ledger.db").unlink()
    for marker in world.folder.glob("*/ledger.json"):  # whoever means it takes staging away, too
        marker.unlink()
    code = world.conversions("run", "store_orders").code
    asked = "SELECT destination, row_number, status, reason FROM result_history ORDER BY 1, 2"
    entries = world.sql(asked)
    stops = world.sql("SELECT destination, stop_reason FROM run_destinations ORDER BY 1")
    world.sandbox.clear_faults()
    world.sandbox.reset()
    retried = [world.conversions("retry").code, world.sent()]
    kinds = world.sql("SELECT kind FROM runs ORDER BY run_no")
    return {"run": [code, entries, stops], "retry": retried, "kinds": kinds}


TROUBLE: list[dict[str, Any]] = [
    {"vendor": "kameleoon", "drop": "before"},
    {"vendor": "convert", "drop": "after", "when_body_contains": "user-000003", "times": 1},
    {"vendor": "converge", "drop": "after", "when_body_contains": "demo-good-02"},
    {"vendor": "converge", "status": 422, "body": "no", "when_body_contains": "demo-good-07"},
    {"vendor": "optimizely", "status": 400, "when_body_contains": "demo-good-05"},
    {"vendor": "webflow_optimize", "status": 503, "when_body_contains": "demo-three-days-old"},
]

MERGED = {"negative_value": "negative_amount", "no_goal": "missing_goal_id"}
"""Reason codes of before that rows get no longer, and the code that they get now; CHANGELOG says why."""


SAID_NOW = {
    ("converge", 63): ("delivered", "property_not_a_number"),
    ("convert", 16): ("duplicate", "transaction_repeated"),
    ("convert", 17): ("duplicate", "transaction_repeated"),
    **{("convert", row): ("delivered", "counted_today") for row in (24, 44, 45)},
    **{(vendor, 25): ("delivered", "anonymous_visitor") for vendor in ("convert", "optimizely")},
}
"""Rows of before that were delivered without a word, and what is said of them now; CHANGELOG says why."""


def as_of_now(outcome: Any) -> Any:
    """What version 0.1.0 did, in the reason codes and with the warnings of now."""
    text = json.dumps(outcome)
    for (vendor, row), said in SAID_NOW.items():
        text = text.replace(json.dumps([vendor, row, "delivered", ""]), json.dumps([vendor, row, *said]))
    for before, now in MERGED.items():
        text = text.replace(f'"{before}"', f'"{now}"')
    return json.loads(text)


def drops(world: World) -> dict[str, Any]:
    """A round over an inbox in which a process died at every step that there is."""
    code = world.conversions("drops").code
    return {"round": [code, world.sent()], **_inbox(world), "again": [world.conversions("drops").code, world.sent()]}


def drops_after_retry(world: World) -> dict[str, Any]:
    """Receipts are brought up to date when rows of a file were sent again, and they are so once."""
    retried = [world.conversions("retry", "--import", "partner_orders").code, world.sent()]
    code = world.conversions("drops", "--once").code
    return {"retry": retried, "round": [code, world.sent()], **_inbox(world)}


def drop_again(world: World) -> dict[str, Any]:
    """The same content under another name, files that could not be used, and a fix.csv that somebody has corrected."""
    inbox = world.folder / "drops"
    for name in ("growing.csv", "sending.csv", "taken.csv"):  # what nobody drops again stays as far as it came
        (inbox / name).unlink()
    shutil.copy(inbox / "processed" / "monday.csv", inbox / "monday again.csv")
    fix = (inbox / "processed" / "monday.fix.csv").read_text("utf-8-sig")
    (inbox / "monday.fix.csv").write_text(fix.replace("'yesterday", "yesterday").replace("yesterday", _german()))
    for name in ("tuesday.csv", "wednesday.csv"):
        shutil.move(inbox / "quarantine" / name, inbox / name)
    for name in ("monday again.csv", "monday.fix.csv", "tuesday.csv", "wednesday.csv"):
        os.utime(inbox / name, times=((MOMENT - timedelta(minutes=10)).timestamp(),) * 2)
    code = world.conversions("drops", "partner_orders").code
    return {"round": [code, world.sent()], **_inbox(world)}


def _german() -> str:
    return f"{MOMENT - timedelta(minutes=30):%d.%m.%Y %H:%M:%S}"


def _inbox(world: World) -> dict[str, Any]:
    names = [name for name in world.files() if name.endswith((".result.csv", ".fix.csv"))]
    there = {RUN.sub("RUN", str(p.relative_to(world.folder / "drops"))): p for p in (world.folder / "drops").rglob("*")}
    receipts = {name: world.receipt(str(there[name].relative_to(world.folder / "drops"))) for name in names}
    return {
        "files": world.files(),
        "states": world.states(),
        "receipts": receipts,
        "words": world.last_words("import = 'partner_orders'"),
        "kinds": world.sql("SELECT kind, count(*) FROM runs GROUP BY 1 ORDER BY 1"),
    }


def deals(world: World) -> dict[str, Any]:
    """A database is read on from where it was left: the overlap and what is new."""
    at = f"{MOMENT - timedelta(minutes=1):%Y-%m-%dT%H:%M:%S+00:00}"
    world.sql(
        "INSERT INTO deals SELECT 'deal-new', event_name, occurred_at, anonymous_id, revenue, currency, aliases, "
        f"kameleoon_visitor_code, kameleoon_goal_id, '{at}' FROM deals LIMIT 1",
        "crm.db",
    )
    code = world.conversions("run", "crm_deals").code
    read = world.sql(
        "SELECT destination, rows_read FROM run_destinations WHERE run_no = (SELECT max(run_no) FROM runs)"
    )
    position = json.loads(world.sql("SELECT position FROM watermarks WHERE import_name = 'crm_deals'")[0][0])
    return {"run": [code, world.sent()], "read": sorted(read), "reached": [position["column"], position["value"] == at]}


def prune(world: World) -> dict[str, Any]:
    """Four hundred days later rows that were turned away are forgotten, and no key is."""
    world.sql(f"UPDATE runs SET started_at_ms = started_at_ms - {400 * 86_400_000}")
    tables = {name: f"count(*) FROM {name}" for name in ("runs", "files", "watermarks")}
    tables |= {"entries": "count(*) FROM result_history", "batches": "count(DISTINCT batch_id) FROM result_history"}
    code = world.conversions("ledger", "prune", "--older-than", "90d").code
    left = {name: world.sql(f"SELECT {counted}")[0][0] for name, counted in tables.items()}
    held = world.sql("SELECT destination, count(*) FROM result_history WHERE state = 1 GROUP BY 1 ORDER BY 1")
    return {"code": code, "left": left, "held": held}


def settings(world: World) -> dict[str, Any]:
    """Every key that imports.yaml had is understood; the rows are fit for every destination but one.

    Version 0.1.0 hashed whatever stood where an e-mail address should (`hash_visitor_id: sha256-email`); it is rejected
    now, and the exit codes of the checks, which were 0, are 1.
    """
    names = {"csv_keys": False, "parquet_keys": True, "query_keys": True, "table_keys": False}
    window = ["--from", f"{MOMENT - timedelta(days=2):%Y-%m-%d}", "--until", f"{MOMENT + timedelta(days=1):%Y-%m-%d}"]
    codes = {
        name: world.conversions("check", name, *(window if given else []), config="every_key.yaml").code
        for name, given in names.items()
    }
    return {**codes, "ping": world.conversions("ping", config="every_key.yaml").code}


def looks(world: World) -> dict[str, Any]:
    """What sends nothing: the exit codes, and that nothing is sent."""
    at = f"{MOMENT:%Y-%m-%dT%H:%M:%SZ}"
    steps = {
        "check": ["check", "store_orders", "--at", at],
        "check --to": ["check", "store_orders", "--at", at, "--to", "convert,converge"],
        "check FILE": ["check", "good.csv", "--at", at],
        "check of a drop": ["check", "partner_orders"],
        "run --dry-run": ["run", "store_orders", "--dry-run"],
        "run of a drop": ["run", "partner_orders"],
        "run of nothing": ["run", "no_such_import"],
        "run of a window": ["run", "store_orders", "--from", at],
        "ping": ["ping"],
        "ping of one": ["ping", "optimizely"],
        "ping of nobody": ["ping", "nobody"],
        "results": ["results"],
        "results of a run": ["results", "--run", "20200101T000000-abcdef"],
        "results of no status": ["results", "--status", "lost"],
        "results of nobody": ["results", "--to", "nobody"],
        "results of no file": ["results", "--format", "parquet"],
        "sample": ["sample", "--rows", "3", "--now", at],
        "sample --with-problems": ["sample", "--with-problems", "--out", "problems.csv"],
        "ledger upgrade": ["ledger", "upgrade"],
        "prune": ["ledger", "prune", "--older-than", "36500d"],
        "prune of no age": ["ledger", "prune", "--older-than", "ninety"],
        "destinations": ["destinations", "--format", "markdown"],
        "version": ["--version"],
        "nothing": [],
        "no such command": ["deliver"],
    }
    return {"codes": {name: world.conversions(*words).code for name, words in steps.items()}, "sent": world.sent()}


SCENARIOS: dict[str, Callable[[World], dict[str, Any]]] = {
    each.__name__: each
    for each in (
        retry, retry_of_some, run_again, anew, drops, drops_after_retry, drop_again, deals, prune, settings, looks,
    )
}  # fmt: skip
