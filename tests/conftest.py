"""What tests of the whole house share: a real sandbox, real ledgers, and an import to run."""

from __future__ import annotations

import csv
import logging
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from etl import config, pipeline, retry
from etl.destinations import find_reason
from etl.ledger import open_ledger
from etl.model import Status, Verdict
from etl.report import Report
from etl.sandbox import Sandbox
from tests import mariadb, postgres, vendors
from tests.vendors import EVERYBODY

QUICK = {"attempts": 3, "first_wait_s": 0.01, "longest_wait_s": 0.05, "total_s": 5, "timeout_s": 2}


def destinations(url: str) -> dict[str, dict[str, Any]]:
    """Every vendor, pointed at a sandbox, impatient."""
    return {name: {**vendors.settings(name, url), "retry": QUICK} for name in EVERYBODY}


def order(number: int, **changed: str) -> dict[str, str]:
    """One good row for every vendor, an hour or so old."""
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=60 + number % 600)
    return {
        "event_id": f"order-{number}",
        "event_name": "Order Completed",
        "occurred_at": at.isoformat(),
        "user_id": f"user-{number}",
        "anonymous_id": f"anon-{number}",
        "revenue": "19.99",
        "currency": "GBP",
        "order_id": f"ORD-{number}",
        **{name: text for type_ in EVERYBODY for name, text in vendors.row(type_, number).items()},
        **changed,
    }


@dataclass
class House:
    """An import over a CSV file, its ledger and its config, in one folder."""

    folder: Path
    sandbox: Sandbox
    ledger_url: str = ""
    lease: str = "15m"
    to: list[str] = field(default_factory=lambda: list(EVERYBODY))
    overrides: dict[str, dict[str, Any]] = field(default_factory=dict)
    import_settings: dict[str, Any] = field(default_factory=dict)
    top_settings: dict[str, Any] = field(default_factory=dict)

    def write(self, rows: list[dict[str, str]], name: str = "orders.csv") -> None:
        """The source."""
        names = list(dict.fromkeys(key for row in rows for key in row)) or ["event_id", "event_name", "occurred_at"]
        with (self.folder / name).open("w", newline="") as file:
            out = csv.DictWriter(file, names, restval="")
            out.writeheader()
            out.writerows(rows)

    @property
    def config(self) -> config.Config:
        """imports.yaml, written anew at every look."""
        base = destinations(self.sandbox.url)
        settings = {
            "ledger": self.ledger_url or f"sqlite:///{self.folder}/ledger.db",
            "staging": str(self.folder / "staging"),
            "lease": self.lease,
            "destinations": {name: {**base[name], **self.overrides.get(name, {})} for name in EVERYBODY},
            "imports": {
                "orders": {"source": {"type": "csv", "path": "orders.csv"}, "to": self.to, **self.import_settings}
            },
            **self.top_settings,
        }
        path = self.folder / "imports.yaml"
        path.write_text(yaml.safe_dump(settings))
        return config.load(path)

    def run(self, **options: Any) -> Report:
        """One run of the import."""
        return pipeline.run(self.config, "orders", **options)

    def retry(self, **options: Any) -> list[Report]:
        """Dead letters, again."""
        return retry.retry(self.config, **options)

    def results(self, **options: Any) -> list[dict[str, Any]]:
        """The result table, all runs unless ``run_ids`` names some."""
        ledger = open_ledger(self.config)
        rows = [row for part in ledger.results.table(run_ids=options.pop("run_ids", None), **options) for row in part]
        ledger.close()
        return rows

    def sql(self, statement: str) -> list[Any]:
        """Ask the ledger's database directly."""
        engine = sa.create_engine(self.config.ledger_url)
        with engine.begin() as connection:
            result = connection.exec_driver_sql(statement)
            rows = list(result.all()) if result.returns_rows else []
        engine.dispose()
        return rows


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Where the time went, before the line that closes a run."""
    seconds: dict[str, float] = defaultdict(float)
    tests: Counter[str] = Counter()
    for report in chain(*terminalreporter.stats.values()):
        if isinstance(report, pytest.TestReport):
            folder = str(Path(report.nodeid.partition("::")[0]).parent)
            seconds[folder] += report.duration
            tests[folder] += report.when == "call"
    if seconds:
        terminalreporter.section("seconds by folder")
    for folder, spent in sorted(seconds.items(), key=itemgetter(1), reverse=True):
        terminalreporter.write_line(f"{spent:7.1f}  {folder}, {tests[folder]} tests")


@pytest.fixture(scope="session", autouse=True)
def only_listed_reasons() -> Iterator[None]:
    """Whatever is said of a row is in the list of reasons, with a status that it is listed under."""
    unchecked, find = Verdict.__init__, lru_cache(find_reason)

    def checked(self: Verdict, status: Status, reason: str = "", detail: str = "", warnings: str = "") -> None:
        for code in dict.fromkeys([*filter(None, [reason]), *warnings.split()]):
            listed = find(code)
            assert listed is not None, f"{code} is not listed with {status}"
            assert status in listed.statuses, f"{code} is not listed with {status}"
        unchecked(self, status, reason, detail, warnings)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Verdict, "__init__", checked)
        yield


@pytest.fixture(scope="session", autouse=True)
def _locks_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Locks of tests are none of this user's; processes that tests start take the folder over."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("CONVERSIONS_STATE", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(autouse=True)
def _log_as_it_was() -> Iterator[None]:
    """A command with -v turns the log on for its process; the next test shall find it as it was."""
    log = logging.getLogger("conversions")
    level, handlers, propagate = log.level, list(log.handlers), log.propagate
    yield
    log.setLevel(level)
    log.handlers, log.propagate = handlers, propagate


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Every vendor, fresh."""
    with Sandbox() as running:
        yield running


@pytest.fixture
def house(tmp_path: Path, sandbox: Sandbox) -> House:
    """An import on SQLite."""
    return House(tmp_path, sandbox)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A real PostgreSQL server for the session; its URL."""
    with postgres.server() as url:
        yield url


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[str]:
    """A real MariaDB server for the session; its URL without a database."""
    with mariadb.server() as url:
        yield url


@pytest.fixture
def mariadb_url(mariadb_server: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database of this test's own, of a user who has a password."""
    name = f"test_{abs(hash(request.node.nodeid))}"
    admin = sa.create_engine(mariadb_server, poolclass=sa.pool.NullPool)
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        connection.exec_driver_sql(f"CREATE USER {name[:20]}@localhost IDENTIFIED BY 'hush:hush'")
        connection.exec_driver_sql(f"GRANT ALL ON {name}.* TO {name[:20]}@localhost")
    own = sa.make_url(mariadb_server).set(database=name, username=name[:20], password="hush:hush")
    yield own.render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name}")
        connection.exec_driver_sql(f"DROP USER {name[:20]}@localhost")


@pytest.fixture
def postgres_url(postgres_server: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database of this test's own."""
    name = f"test_{abs(hash(request.node.nodeid))}"
    admin = sa.create_engine(postgres_server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    yield sa.make_url(postgres_server).set(database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    admin.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty ledger on each database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    return str(request.getfixturevalue("postgres_url"))
