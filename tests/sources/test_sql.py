"""Databases as a source: SQLite, a real PostgreSQL, a real MariaDB. Exact, streamed, and read on where it was left."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
import pytest
import sqlalchemy as sa

from etl import config, pipeline, preview, sources
from etl.errors import ConfigError, SourceError
from etl.ledger import open_ledger
from etl.sources.base import Window
from etl.sources.sql import SqlSettings, SqlSource
from etl.stages import plan
from tests.conftest import House, order

DAY = Window(datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 21, tzinfo=UTC))


@dataclass
class Database:
    """One database with things in it."""

    kind: str
    url: str

    def run(self, *statements: str, **values: Any) -> None:
        """Change something, committed."""
        self.run_many(statements, [values])

    def run_many(self, statements: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
        """Change something for each of these values, committed once."""
        rows = [{name: self._own(value) for name, value in values.items()} for values in rows]
        engine = sa.create_engine(self.url, poolclass=sa.pool.NullPool)
        with engine.begin() as connection:
            if self.kind == "mariadb":
                connection.exec_driver_sql("SET time_zone = '+00:00'")
            for statement in statements:
                connection.execute(sa.text(statement), rows)

    def _own(self, value: Any) -> Any:
        if isinstance(value, datetime) and self.kind != "postgresql":
            return value.isoformat() if self.kind == "sqlite" else value.replace(tzinfo=None)
        return value

    def source(self, **settings: Any) -> SqlSource:
        """A source on it."""
        return SqlSource(
            SqlSettings.model_validate({"type": "sql", "url": self.url, **settings}),
            lambda path: str(Path(path).absolute()),
        )

    def read(self, window: Window | None = None, chunk_rows: int = 100, **settings: Any) -> pd.DataFrame:
        """All its rows."""
        return pd.concat(list(self.source(**settings).frames(window or Window(), chunk_rows)))

    @property
    def moment(self) -> str:
        """The type of a moment."""
        return {"sqlite": "TEXT", "postgresql": "TIMESTAMPTZ", "mariadb": "TIMESTAMP(6) NULL"}[self.kind]


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """An empty database of each kind."""
    if request.param == "sqlite":
        (tmp_path / "crm.db").touch()
        return Database("sqlite", f"sqlite:///{tmp_path}/crm.db")
    return Database(
        request.param, request.getfixturevalue({"postgresql": "postgres_url"}.get(request.param, "mariadb_url"))
    )


def texts(column: pd.Series[Any]) -> list[str | None]:
    return [None if pd.isna(value) else value for value in column]


# -- values

POSTGRESQL = {
    "text": ("' 007 '::text", " 007 "),
    "int8": ("9223372036854775807::int8", "9223372036854775807"),
    "numeric": ("19.90::numeric(20,2)", "19.90"),
    "numeric, tiny": ("0.0000000001::numeric", "0.0000000001"),
    "float8": ("19.99::float8", "19.99"),
    "boolean": ("true", "true"),
    "date": ("date '2026-11-20'", "2026-11-20"),
    "a date beyond any calendar": ("date 'infinity'", "infinity"),
    "time": ("time '09:30'", "09:30:00"),
    "timestamptz": ("timestamptz '2026-11-20 09:30:00.123456+01'", "2026-11-20T08:30:00.123456Z"),
    "timestamp": ("timestamp '2026-11-20 09:30:00.5'", "2026-11-20T09:30:00.500000"),
    "a moment beyond any calendar": ("'infinity'::timestamptz", "infinity"),
    "uuid": ("'00000000-0000-0000-0000-00000000000a'::uuid", "00000000-0000-0000-0000-00000000000a"),
    "json": ("""'{"a": 1.10}'::json""", '{"a": 1.10}'),
    "jsonb": ("""'{"a": 12345678901234567890.10}'::jsonb""", '{"a": 12345678901234567890.10}'),
    "array": ("array['a','ü']", '["a","ü"]'),
    "bytea that is text": ("'\\xc3bc'::bytea", "ü"),
    "bytea": ("'\\xff'::bytea", None),
    "null": ("null", None),
}
MARIADB = {
    "text": ("' 007 '", " 007 "),
    "bigint unsigned": ("18446744073709551615", "18446744073709551615"),
    "decimal": ("CAST(19.90 AS DECIMAL(20,2))", "19.90"),
    "double": ("CAST(19.99 AS DOUBLE)", "19.99"),
    "date": ("DATE '2026-11-20'", "2026-11-20"),
    "datetime": ("TIMESTAMP '2026-11-20 09:30:00.5'", "2026-11-20T09:30:00.500000"),
    "json": ("""JSON_OBJECT('a', 1.10)""", '{"a": 1.10}'),
    "binary that is text": ("CAST('ü' AS BINARY)", "ü"),
    "binary": ("x'ff'", None),
    "null": ("NULL", None),
}
SQLITE = {
    "text": ("' 007 '", " 007 "),
    "integer": ("9223372036854775807", "9223372036854775807"),
    "real": ("19.99", "19.99"),
    "blob that is text": ("x'c3bc'", "ü"),
    "blob": ("x'ff'", None),
    "text that is none": ("CAST(x'ff' AS TEXT)", None),
    "null": ("NULL", None),
}


@pytest.mark.parametrize("database", ["sqlite", "postgresql", "mariadb"], indirect=True)
def test_every_type_is_exact_text(database: Database) -> None:
    kinds = {"sqlite": SQLITE, "postgresql": POSTGRESQL, "mariadb": MARIADB}[database.kind]
    query = ", ".join(f"{value} AS v{place}" for place, (value, _) in enumerate(kinds.values()))
    frame = database.read(query="SELECT " + query.replace(":", "\\:"))
    assert {kind: texts(frame[f"v{place}"])[0] for place, kind in enumerate(kinds)} == {
        kind: text for kind, (_, text) in kinds.items()
    }
    assert "holds bytes that are no text" in frame["damage"].iloc[0]


def test_a_mysql_timestamp_is_a_moment_and_a_datetime_is_not(mariadb_url: str) -> None:
    database = Database("mariadb", mariadb_url)
    database.run("CREATE TABLE t (a TIMESTAMP(3) NULL, b DATETIME(3))")
    database.run(
        "SET time_zone = '+02:00'", "INSERT INTO t VALUES ('2026-11-20 09:30:00', '2026-11-20 09:30:00'), (NULL, NULL)"
    )
    frame = database.read(table="t")
    assert texts(frame["a"]) == ["2026-11-20T07:30:00Z", None]
    assert texts(frame["b"]) == ["2026-11-20T09:30:00", None]


# -- what is read


def fill(database: Database, rows: int = 10) -> None:
    """A table of some orders, an hour apart."""
    database.run(f"CREATE TABLE crm_orders (event_id VARCHAR(50), at {database.moment}, n BIGINT)")
    for n in range(rows):
        at = DAY.start + timedelta(hours=n * 4)  # type: ignore[operator]
        database.run("INSERT INTO crm_orders VALUES (:id, :at, :n)", id=f"e{n}", at=at, n=n)


def test_the_window_is_bound(database: Database) -> None:
    fill(database)
    query = "SELECT event_id FROM crm_orders WHERE at >= :start AND at < :end ORDER BY at"
    assert database.source(query=query).uses_window
    assert texts(database.read(DAY, query=query)["event_id"]) == [f"e{n}" for n in range(6)]
    only_from = "SELECT event_id FROM crm_orders WHERE at >= :start ORDER BY at"
    assert texts(database.read(Window(DAY.end), query=only_from)["event_id"]) == [f"e{n}" for n in range(6, 10)]
    with pytest.raises(SourceError, match="needs a window"):
        database.read(Window(DAY.start), query=query)


def test_a_table_and_a_view_are_read_by_their_names(database: Database) -> None:
    fill(database)
    database.run(
        "CREATE VIEW crm_view AS SELECT event_id AS "
        + ("`Order`" if database.kind == "mariadb" else '"Order"')
        + " FROM crm_orders"
    )
    assert list(database.read(table="crm_orders").columns) == ["event_id", "at", "n", "damage"]
    assert sorted(map(str, texts(database.read(table="crm_view")["Order"]))) == [f"e{n}" for n in range(10)]
    assert not database.source(table="crm_orders").uses_window
    if database.kind == "postgresql":
        assert len(database.read(table="public.crm_orders")) == 10


def test_rows_are_cut_and_numbered(database: Database) -> None:
    fill(database)
    frames = list(database.source(query="SELECT event_id FROM crm_orders ORDER BY n").frames(Window(), 4))
    assert [list(frame.index) for frame in frames] == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]


ENDLESS = {
    "sqlite": "WITH RECURSIVE a(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM a) SELECT n FROM a",
    "postgresql": "SELECT generate_series(1, 100000000000) AS n",
    "mariadb": "SELECT seq AS n FROM seq_1_to_100000000000",
}


def test_rows_stream_and_an_end_before_their_end_hangs_up(database: Database) -> None:
    frames = database.source(query=ENDLESS[database.kind]).frames(Window(), 20_000)
    assert [list(next(frames)["n"])[-1] for _ in range(3)] == ["20000", "40000", "60000"]
    assert isinstance(frames, Generator)
    frames.close()


# -- what people see


@pytest.mark.parametrize(
    "query",
    [
        "DROP TABLE goals",
        "DELETE FROM goals",
        "INSERT INTO goals VALUES ('b')",
        "UPDATE goals SET event_id = 'b' ",
        "SELECT 1 AS event_id; DROP TABLE goals",
    ],
)
def test_a_query_that_writes_changes_nothing(database: Database, query: str) -> None:
    database.run("CREATE TABLE goals (event_id VARCHAR(9))", "INSERT INTO goals VALUES ('a')")
    with pytest.raises(SourceError):
        database.read(query=query)
    assert texts(database.read(table="goals")["event_id"]) == ["a"]


def test_a_file_is_only_read_whatever_its_name_and_its_journal(tmp_path: Path) -> None:
    place = tmp_path / "50%41 #1"
    place.mkdir()
    database = Database("sqlite", f"sqlite:///{quote(str(place))}/crm.db")
    database.run("PRAGMA journal_mode=WAL", "CREATE TABLE goals (event_id TEXT)", "INSERT INTO goals VALUES ('a')")
    before = (place / "crm.db").read_bytes()
    assert texts(database.read(table="goals")["event_id"]) == ["a"]
    assert (place / "crm.db").read_bytes() == before


def test_no_password_is_ever_shown(database: Database) -> None:
    for settings in ({"table": "nowhere"}, {"query": "SELECT a FROM nowhere WHERE b = 'ada@example.com'"}):
        asked = database.source(**settings)
        with pytest.raises(SourceError, match="nowhere") as caught:
            list(asked.frames(Window(), 10))
        told = f"{asked.describe()} {asked.settings!r} {caught.value}"
        assert "hush" not in told
        assert "ada@" not in told
    assert asked.describe().endswith(": SELECT a FROM nowhere WHERE …")


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("sqlite:///nowhere.db", "there is no such file"),
        ("postgresql://ada:hush@127.0.0.1:9/crm", "postgresql://127.0.0.1/crm: orders: .*(refused|failed)"),
        ("mysql://ada:hush@127.0.0.1:9/crm", r"mysql://127\.0\.0\.1/crm: orders: .*refused"),
        ("oracle://ada:hush@127.0.0.1/crm", "no driver for oracle is installed"),
        ("nonsense://ada:hush@127.0.0.1/crm", "no driver for nonsense is installed"),
    ],
)
def test_a_database_that_cannot_be_had_is_a_sentence(tmp_path: Path, url: str, sentence: str) -> None:
    with pytest.raises(SourceError, match=sentence) as caught:
        Database("any", url).read(table="orders")
    assert "hush" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"url": "hush"}, "url: is not a SQLAlchemy URL"),
        ({}, "needs either `query` or `table`"),
        ({"table": "a", "query": "SELECT 1"}, "needs either `query` or `table`"),
        ({"query": "SELECT :begin"}, "query: :begin is not known"),
        ({"query": "SELECT :start", "cursor": {"column": "n"}}, "it can have no :start and :end"),
        (
            {"table": "a", "cursor": {"column": "n", "overlap": "1 week"}},
            "cursor.overlap.*: must be a number, or a span",
        ),
        ({"table": "a", "cursor": {"colum": "n"}}, "cursor.colum"),
    ],
)
def test_settings_are_judged(house: House, settings: dict[str, Any], sentence: str) -> None:
    house.import_settings = {"source": {"type": "sql", "url": "sqlite:///crm.db", **settings}}
    with pytest.raises(ConfigError, match=sentence) as caught:
        sources.import_source(house.config, "orders")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    "source", [{"type": "csv", "path": "orders.csv"}, {"type": "sql", "url": "sqlite:///crm.db", "table": "orders"}]
)
def test_a_window_without_a_place_is_refused_when_a_person_names_it(house: House, source: dict[str, Any]) -> None:
    house.write([order(1)])
    house.import_settings = {"source": source}
    with pytest.raises(ConfigError, match="reads the same rows whatever --from and --until say"):
        house.run(window=DAY)
    with pytest.raises(ConfigError, match="reads the same rows"):
        preview.check(house.config, "orders", window=DAY)
    assert plan.start(house.config, "orders", window=DAY).run.window_start_ms, "a schedule always names one"


# -- reading on

NAMES = list(order(1))


@dataclass
class Crm:
    """A table of orders that grows, and the import that follows it."""

    house: House
    database: Database

    def __post_init__(self) -> None:
        columns = ", ".join(f"{name} VARCHAR(100)" for name in NAMES)
        self.database.run(f"CREATE TABLE crm_orders ({columns}, changed {self.database.moment}, serial BIGINT)")
        self.house.to = ["converge"]
        self.follow("changed", "1h")

    def follow(self, column: str, overlap: Any) -> None:
        """Which column the import follows."""
        cursor = {"column": column, "overlap": overlap}
        source = {"type": "sql", "url": self.database.url, "table": "crm_orders", "cursor": cursor}
        self.house.import_settings = {"source": source, "chunk_rows": 3, "columns": {}}

    def add(self, *numbers: int, minutes_ago: float = 120, serial: int | None = None) -> None:
        """Orders that were changed then."""
        at = None if minutes_ago < 0 else datetime.now(UTC) - timedelta(minutes=minutes_ago)
        names = [*NAMES, "changed", "serial"]
        statement = f"INSERT INTO crm_orders ({', '.join(names)}) VALUES ({', '.join(f':{name}' for name in names)})"
        rows = [order(n) | {"changed": at, "serial": n if serial is None else serial} for n in numbers]
        self.database.run_many([statement], rows)

    def run(self) -> dict[str, int]:
        """One run; rows per status."""
        return self.house.run().by_status("converge")

    @property
    def position(self) -> str | None:
        ledger = open_ledger(self.house.config)
        found = ledger.watermarks.position("orders")
        ledger.close()
        return found


@pytest.fixture
def crm(house: House, database: Database) -> Crm:
    return Crm(house, database)


@pytest.fixture
def small_crm(house: House, tmp_path: Path) -> Crm:
    (tmp_path / "crm.db").touch()
    return Crm(house, Database("sqlite", f"sqlite:///{tmp_path}/crm.db"))


def test_each_run_reads_on_where_the_last_one_ended(crm: Crm) -> None:
    crm.add(*range(5), minutes_ago=600)
    crm.add(*range(5, 8), minutes_ago=120)
    assert crm.run() == {"delivered": 8}
    assert crm.run() == {"duplicate": 3}, "only what lies inside the overlap is read again"
    crm.add(8, minutes_ago=150)
    crm.add(9, minutes_ago=50)
    assert crm.run() == {"delivered": 2, "duplicate": 3}, "a row that came late, and a new one"
    crm.database.run(
        "UPDATE crm_orders SET changed = :at, revenue = '1' WHERE order_id = 'ORD-0'", at=datetime.now(UTC)
    )
    assert crm.run() == {"duplicate": 2}, "a changed row is read, and never sent again"
    assert crm.house.sandbox.counts()["converge"]["counted"] == 10


def test_numbers_are_followed_too(crm: Crm) -> None:
    crm.follow("serial", 2)
    crm.add(*range(10, 20))
    assert crm.run() == {"delivered": 10}
    crm.add(20)
    crm.add(21, serial=18)
    assert crm.run() == {"delivered": 2, "duplicate": 3}
    assert (crm.position or "").endswith('"column":"serial","kind":"int","value":"20"}')


def test_without_overlap_rows_beside_the_last_one_are_not_lost(crm: Crm) -> None:
    crm.follow("serial", 0)
    crm.add(1, 2, serial=7)
    assert crm.run() == {"delivered": 2}
    crm.add(3, serial=7)
    assert crm.run() == {"delivered": 1, "duplicate": 2}


def test_rows_without_a_value_and_rows_from_the_future_hide_nothing(crm: Crm) -> None:
    crm.add(1, minutes_ago=-1)
    crm.add(2, minutes_ago=30)
    crm.add(3, minutes_ago=-1)
    crm.database.run(
        "UPDATE crm_orders SET changed = :at WHERE order_id = 'ORD-3'", at=datetime.now(UTC) + timedelta(days=3650)
    )
    assert crm.run() == {"delivered": 3}
    crm.add(4, minutes_ago=0)
    crm.add(5, minutes_ago=-1)
    assert crm.run() == {"delivered": 2, "duplicate": 3}


def test_another_column_begins_anew(small_crm: Crm) -> None:
    small_crm.add(1, 2)
    small_crm.run()
    small_crm.follow("serial", 0)
    assert small_crm.run() == {"duplicate": 2}
    assert '"column":"serial"' in (small_crm.position or "")


WIDER = "SELECT * FROM crm_orders WHERE serial >= 0"


@pytest.mark.parametrize(
    ("changed", "again"),
    [
        ({"query": f"{WIDER} -- all"}, True),
        ({"query": WIDER.replace("crm_orders", "other")}, True),
        ({"url": "sqlite:///other.db"}, True),
        ({"query": f"  {WIDER}\n"}, False),
        ({"url": "sqlite:///crm.db?timeout=5"}, False),
    ],
    ids=["another query", "another table", "another database", "other gaps", "another way in"],
)
def test_what_was_never_read_has_no_watermark(small_crm: Crm, changed: dict[str, str], again: bool) -> None:
    """The rows of the other table come before the mark of this one."""
    small_crm.follow("serial", 0)
    source = small_crm.house.import_settings["source"]
    del source["table"]
    source |= {"url": "sqlite:///crm.db", "query": WIDER}
    small_crm.add(101, 102)
    assert small_crm.run() == {"delivered": 2}
    small_crm.database.run("CREATE TABLE other AS SELECT * FROM crm_orders")
    shutil.copy(small_crm.house.folder / "crm.db", small_crm.house.folder / "other.db")
    source |= changed
    assert small_crm.run() == {"duplicate": 2 if again else 1}
    assert small_crm.run() == {"duplicate": 1}


def test_a_destination_that_is_new_gets_what_is_read_from_then_on(small_crm: Crm) -> None:
    """As README says; under another name the import is read from its beginning."""
    small_crm.follow("serial", 0)
    small_crm.add(1, 2)
    small_crm.run()
    small_crm.house.to = ["converge", "kameleoon"]
    small_crm.add(3)
    assert small_crm.house.run().by_status("kameleoon") == {"delivered": 2}
    path = small_crm.house.config.path
    path.write_text(path.read_text().replace("  orders:", "  orders_again:"))
    anew = pipeline.run(config.load(path), "orders_again")
    assert anew.by_status("kameleoon") == {"delivered": 1, "duplicate": 2}
    assert anew.by_status("converge") == {"duplicate": 3}


def test_a_query_is_followed_like_a_table(small_crm: Crm) -> None:
    small_crm.add(1, 2, 3)
    source = small_crm.house.import_settings["source"]
    del source["table"]
    source |= {"query": "SELECT * FROM crm_orders WHERE serial <> 2 -- not this\n;", "cursor": {"column": "serial"}}
    assert small_crm.run() == {"delivered": 2}
    assert small_crm.run() == {"duplicate": 1}


@pytest.mark.parametrize(
    ("column", "overlap", "sentence"),
    [
        ("serial", "1h", "serial holds numbers; it must be a number"),
        ("changed", 5, "changed holds text; it must be a span such as 1h"),
        ("event_id", "1h", "event_id holds text; it must be a span such as 1h, if it is ISO 8601, or 0"),
    ],
)
def test_an_overlap_of_another_kind_is_a_sentence(small_crm: Crm, column: str, overlap: Any, sentence: str) -> None:
    small_crm.follow(column, overlap)
    small_crm.add(1)
    assert small_crm.run() == {"delivered": 1}
    report = small_crm.house.run()
    assert report.exit_code == 2
    assert sentence in report.run.stop_detail


def test_a_cursor_that_is_not_read_is_a_sentence(small_crm: Crm) -> None:
    small_crm.follow("changd", "1h")
    small_crm.add(1)
    report = small_crm.house.run()
    assert (report.exit_code, "changd" in report.run.stop_detail) == (2, True)


def test_what_holds_the_watermark_back(small_crm: Crm) -> None:
    small_crm.house.to = ["converge", "kameleoon"]
    small_crm.add(1, 2)
    small_crm.house.run(to=["converge"])
    assert small_crm.position is None, "kameleoon has not seen these rows"
    small_crm.house.sandbox.fault(vendor="kameleoon", status=401)
    small_crm.house.run()
    assert small_crm.position is None, "the next run sends what failed"
    small_crm.house.sandbox.clear_faults()
    small_crm.add(3, minutes_ago=900)
    report = small_crm.house.run()
    assert report.by_status("kameleoon") == {"delivered": 3}
    assert report.by_status("converge") == {"delivered": 1, "duplicate": 2}
    moved = small_crm.position
    assert moved is not None
    small_crm.add(4, minutes_ago=1)
    small_crm.database.run("ALTER TABLE crm_orders RENAME COLUMN event_name TO renamed")
    assert small_crm.house.run().exit_code == 2
    assert small_crm.position == moved, "the source could not be read"
