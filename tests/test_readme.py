"""The README says what the program does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from etl import destinations
from etl.model import Status

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_table_of_destinations_is_the_programs() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "etl.cli", "destinations", "--format", "markdown"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    ).stdout
    shown = README.split("<!-- destinations -->")[1].split("<!-- /destinations -->")[0]
    assert shown.strip() == printed.strip()


@pytest.mark.parametrize("type_", destinations.types())
def test_every_option_that_it_names_exists(type_: str) -> None:
    fields = destinations.find(type_).settings_model.model_fields
    named = {
        name for row in re.findall(rf"^\| `{type_}\.([^|]*)\|", README, re.M) for name in re.findall(r"[a-z_]+", row)
    }
    options = {name for row in re.findall(rf"^\| `{type_}\.([a-z_]+)", README, re.M) for name in [row]}
    assert options <= set(fields)
    assert named & set(fields), f"{type_} has no options in the README"


def test_every_status_is_explained() -> None:
    assert [status for status in Status if f"| `{status}` |" not in README] == []


def test_every_make_target_that_it_names_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"`make ([a-z]+)`", README)) | {"demo", "test"}:
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_every_test_that_it_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+(?:\.py)?)(?:::(\w+))?", README)
    assert named
    for path, name in named:
        assert (ROOT / path).exists(), path
        assert not name or f"def {name}(" in (ROOT / path).read_text(), f"{path}::{name}"
