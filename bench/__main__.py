"""``python -m bench``: rows a second and peak memory of whole processes, beside the bare loop."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench import rows, vendor

CONFIG = """
ledger: sqlite:///ledger.db
staging: staging
destinations:
  optimizely:
    account_id: "12345678"
    project_id: "98765432"
    sdk_key: bench
    datafile_url: {url}/datafile.json
    endpoint: {url}/v1/events
  kameleoon:
    site_code: f17c21u1ag
    data_region: eu
    endpoint: {url}/visit/events
    limits: {{spacing_ms: 0}}
imports:
  orders: {{source: {{type: csv, path: {csv}}}, to: [{to}]}}
"""


@dataclass(frozen=True)
class Figure:
    """One whole process: how long, how large at its largest."""

    name: str
    count: int
    seconds: float
    peak_mb: float

    def line(self) -> str:
        """For the table."""
        rate = self.count / self.seconds
        return f"{self.name:<44} {self.count:>9,} {self.seconds:>8.1f} s {rate:>9,.0f} rows/s {self.peak_mb:>6.0f} MB"


def measure(name: str, count: int, *argv: str, cwd: Path) -> Figure:
    """Run a process to its end; fails when it does."""
    began = time.monotonic()
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, *argv],
        {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 1, str(cwd / "out.txt"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_OPEN, 2, str(cwd / "err.txt"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
        ],
    )
    _, status, usage = os.wait4(pid, 0)
    seconds = time.monotonic() - began
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(
            f"bench: {name} ended {os.waitstatus_to_exitcode(status)}\n{(cwd / 'err.txt').read_text()[-3000:]}"
        )
    return Figure(name, count, seconds, usage.ru_maxrss / 1024)


def importer(url: str, csv: Path, count: int, to: str, label: str) -> Figure:
    """``conversions run`` in a folder of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "imports.yaml").write_text(CONFIG.format(url=url, csv=csv, to=to))
        argv = ("-m", "etl.cli", "--config", str(folder / "imports.yaml"), "run", "orders")
        return measure(f"conversions run, {label}", count, *argv, cwd=folder)


def bare(url: str, csv: Path, count: int) -> Figure:
    """The bare loop in a folder of its own."""
    with tempfile.TemporaryDirectory() as name:
        argv = ("-m", "bench.bare_loop", str(csv), f"{url}/v1/events", f"{name}/notes.db")
        return measure("bare loop: read, encode, post, note", count, *argv, cwd=Path(name))


def main() -> None:
    """Print the table; ``--rows`` for a quick look."""
    options = argparse.ArgumentParser(prog="python -m bench")
    options.add_argument("--rows", type=int, default=1_000_000)
    count = options.parse_args().rows
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        with vendor.yes(folder) as url:
            full, tenth = rows.write(folder / "full.csv", count), rows.write(folder / "tenth.csv", count // 10)
            mixed = rows.write(folder / "shuffled.csv", count, shuffled=True)
            print(bare(url, full, count).line(), flush=True)
            for path, many, to, name in (
                (full, count, "optimizely", "Optimizely"),
                (mixed, count, "optimizely", "Optimizely, random ids"),
                (tenth, count // 10, "optimizely, kameleoon", "both"),
                (full, count, "optimizely, kameleoon", "both"),
            ):
                print(importer(url, path, many, to, name).line(), flush=True)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
