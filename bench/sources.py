"""``python -m bench.sources``: peak memory of a whole import from each kind of source, a tenth of the rows and all.

Flat means that all the rows take at most 1.3 times the memory of a tenth of them; the exit code says whether they do.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import itertools
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from bench import rows, vendor
from bench.__main__ import CONFIG, Figure, measure

FLAT = 1.3
TYPES = {
    "occurred_at": pa.timestamp("us", "UTC"),
    "revenue": pa.decimal128(12, 2),
    **dict.fromkeys((name for name in rows.HEADER if name not in ("occurred_at", "revenue")), pa.string()),
}
COLUMNS = ", ".join(f"{name} VARCHAR(60)" for name in rows.HEADER)

Source = str
"""The settings of a source, as YAML on one line."""


@contextmanager
def csv_file(path: Path, folder: Path) -> Iterator[Source]:
    """The file as it is."""
    yield f"{{type: csv, path: {path}}}"


@contextmanager
def gzip_file(path: Path, folder: Path) -> Iterator[Source]:
    """The same, compressed."""
    packed = folder / f"{path.name}.gz"
    with path.open("rb") as plain, gzip.open(packed, "wb", compresslevel=1) as out:
        shutil.copyfileobj(plain, out)
    yield f"{{type: csv, path: {packed}}}"


@contextmanager
def parquet_file(path: Path, folder: Path) -> Iterator[Source]:
    """One file with row groups of a million rows, as many writers make them."""
    typed = folder / f"{path.stem}.parquet"
    reader = pa.csv.open_csv(path, convert_options=pa.csv.ConvertOptions(column_types=TYPES))
    pa.parquet.write_table(reader.read_all(), typed, row_group_size=1_000_000)
    yield f"{{type: parquet, path: {typed}}}"


@contextmanager
def sqlite_file(path: Path, folder: Path) -> Iterator[Source]:
    """A table in a file."""
    database = folder / f"{path.stem}.db"
    connection = sqlite3.connect(database)
    connection.execute(f"CREATE TABLE orders ({COLUMNS})")
    with path.open(newline="") as file:
        connection.executemany(
            f"INSERT INTO orders VALUES ({', '.join('?' * len(rows.HEADER))})",
            itertools.islice(csv.reader(file), 1, None),
        )
    connection.commit()
    connection.close()
    yield f"{{type: sql, url: 'sqlite:///{database}', table: orders}}"


@contextmanager
def postgresql(path: Path, folder: Path) -> Iterator[Source]:
    """A table on a real server."""
    import psycopg

    from tests import postgres as real

    with real.server() as url:
        with psycopg.connect(url) as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE TABLE orders ({COLUMNS})")
            with cursor.copy("COPY orders FROM STDIN (FORMAT csv, HEADER)") as copy, path.open("rb") as file:
                while block := file.read(1024 * 1024):
                    copy.write(block)
        yield f"{{type: sql, url: '{url}', table: orders}}"


@contextmanager
def mariadb(path: Path, folder: Path) -> Iterator[Source]:
    """A table on a real server."""
    import pymysql

    from tests import mariadb as real

    with real.server() as url:
        place = url.partition("unix_socket=")[2]
        with pymysql.connect(unix_socket=place, user="root", local_infile=True, autocommit=True) as connection:
            for statement in (
                "CREATE DATABASE bench",
                "USE bench",
                f"CREATE TABLE orders ({COLUMNS})",
                f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE orders FIELDS TERMINATED BY ',' "
                "LINES TERMINATED BY '\\r\\n' IGNORE 1 LINES",
            ):
                with connection.cursor() as cursor:
                    cursor.execute(statement)
        yield f"{{type: sql, url: '{url.replace('/?', '/bench?')}', table: orders}}"


KINDS: dict[str, Callable[[Path, Path], object]] = {
    "csv": csv_file,
    "gzip csv": gzip_file,
    "parquet": parquet_file,
    "sqlite": sqlite_file,
    "postgresql": postgresql,
    "mariadb": mariadb,
}


def importer(url: str, source: Source, count: int, label: str) -> Figure:
    """``conversions run`` in a folder of its own; every row must be delivered."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = CONFIG.format(url=url, csv="PATH", to="optimizely").replace("{type: csv, path: PATH}", source)
        (folder / "imports.yaml").write_text(config)
        argv = ("-m", "etl.cli", "--config", str(folder / "imports.yaml"), "run", "orders")
        figure = measure(f"conversions run, {label}", count, *argv, cwd=folder)
        with sqlite3.connect(folder / "ledger.db") as ledger:
            ((delivered,),) = ledger.execute(
                "SELECT count(*) FROM result_history WHERE status = 'delivered'"
            ).fetchall()
        assert delivered == count, f"{label}: {delivered} of {count} rows were delivered"
        return figure


def compare(url: str, kind: str, files: list[tuple[Path, int]], folder: Path) -> bool:
    """Print a kind's two lines and how many times the memory it took; True when that is flat."""
    figures = []
    for path, count in files:
        with ExitStack() as stack:
            source = stack.enter_context(KINDS[kind](path, folder))  # type: ignore[arg-type, var-annotated]
            figures.append(importer(url, str(source), count, kind))
        print(figures[-1].line(), flush=True)
    ratio = figures[1].peak_mb / figures[0].peak_mb
    print(f"{kind:<44} {ratio:.2f} times the memory{'' if ratio <= FLAT else f': more than {FLAT}'}", flush=True)
    return ratio <= FLAT


def main() -> int:
    """Print the table; ``--rows`` and the kinds for a quick look."""
    options = argparse.ArgumentParser(prog="python -m bench.sources")
    options.add_argument("--rows", type=int, default=2_000_000)
    options.add_argument("kinds", nargs="*", default=list(KINDS), metavar="KIND", help=", ".join(KINDS))
    given = options.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        with vendor.yes(folder) as url:
            sizes = (("tenth", given.rows // 10), ("full", given.rows))
            files = [(rows.write(folder / f"{name}.csv", count), count) for name, count in sizes]
            flat = [compare(url, kind, files, folder) for kind in given.kinds]
            return 0 if all(flat) else 1
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
