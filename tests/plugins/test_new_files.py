"""A new vendor is four new files, a new kind of source is one; nothing else is edited, and everything works with them.

The files lie beside this one, in folders that look like the project; here they are added to a copy of it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from etl.sandbox import Sandbox
from tests.conftest import destinations, order

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
PARTS = ("etl", "schemas", "dags", "docs", "sample_data", "tests", "pyproject.toml", "imports.yaml")
FIRST_RUN = "tests/test_pipeline.py::test_every_good_row_arrives_everywhere_once_and_a_second_run_sends_nothing"


def copy_with(added: Path, folder: Path) -> Path:
    """The project in a folder of its own, with the files of ``added``, all of them new."""
    for part in map(ROOT.joinpath, PARTS):
        if part.is_dir():
            shutil.copytree(part, folder / part.name, ignore=shutil.ignore_patterns("__pycache__", "previous"))
        else:
            shutil.copy(part, folder)
    for path in (path for path in added.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
        place = folder / path.relative_to(added)
        assert not place.exists()
        shutil.copy(path, place)
    return folder


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the copy, whose modules go before the project's own."""
    command = [sys.executable, "-B", *arguments]
    there = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(command, cwd=folder, env=there, capture_output=True, text=True, check=False)


@pytest.mark.e2e
def test_a_vendor_is_four_new_files(tmp_path: Path) -> None:
    folder = copy_with(HERE / "vendor", tmp_path)
    suites = ("tests/destinations", "tests/sandbox", "tests/test_house.py", "tests/plugins/test_lookup.py")
    done = python(folder, "-m", "pytest", "-vv", "-p", "no:cacheprovider", *suites, FIRST_RUN)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
    passed = [line for line in done.stdout.splitlines() if "PASSED" in line]
    for suite in suites:
        assert [line for line in passed if line.startswith(suite) and "acme_ads" in line], f"{suite} left it out"
    assert [line for line in passed if line.startswith(FIRST_RUN)]


def test_a_kind_of_source_is_one_new_file(tmp_path: Path, sandbox: Sandbox) -> None:
    folder = copy_with(HERE / "source", tmp_path)
    rows = [order(number) for number in range(1, 8)]
    lines = [json.dumps(row) for row in rows]
    (folder / "orders.jsonl").write_text("\n".join([*lines[:4], "no object", *lines[4:]]))
    settings = {
        "ledger": "sqlite:///ledger.db",
        "staging": "staging",
        "destinations": destinations(sandbox.url),
        "imports": {
            "orders": {
                "source": {"type": "json_lines", "path": "orders.jsonl", "fields": list(rows[0])},
                "to": list(destinations(sandbox.url)),
                "chunk_rows": 3,
            }
        },
    }
    (folder / "imports.yaml").write_text(yaml.safe_dump(settings))

    done = python(folder, "-m", "etl.cli", "run", "orders")
    assert done.returncode == 1, done.stdout + done.stderr
    assert {name: told["counted"] for name, told in sandbox.counts().items()} == dict.fromkeys(
        settings["destinations"], 7
    )

    told = python(folder, "-m", "etl.cli", "results", "--status", "rejected", "--format", "json")
    rejected = json.loads(told.stdout)
    assert {(row["row_number"], row["reason"]) for row in rejected} == {(5, "undecodable")}
    assert len(rejected) == len(settings["destinations"])


def test_a_type_without_a_file_names_those_that_have_one(tmp_path: Path) -> None:
    folder = copy_with(HERE / "source", tmp_path)
    (folder / "imports.yaml").write_text(
        "destinations: {converge: {webhook_token: x}}\nimports: {orders: {source: {type: xls}, to: [converge]}}\n"
    )
    done = python(folder, "-m", "etl.cli", "run", "orders")
    assert done.returncode == 2
    assert "imports.orders.source.type: must be one of csv, json_lines, parquet, sql" in done.stdout + done.stderr
