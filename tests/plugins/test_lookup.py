"""A plug-in is found by the name of its file and by what its class says it is, whatever the class is called."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from etl import destinations, plugins, sources
from etl.destinations.base import Destination
from etl.sources.base import Source

PACKAGE = "throw_away_plugins"


class Base:
    type: str


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An importable package of plug-ins, empty but for its base and a folder of shared code."""
    found = tmp_path / PACKAGE
    (found / "shared").mkdir(parents=True)
    for name in ("__init__.py", "base.py", "shared/__init__.py"):
        (found / name).write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    yield found
    for name in [name for name in sys.modules if name.split(".")[0] == PACKAGE]:
        del sys.modules[name]


def test_types_are_file_names(folder: Path) -> None:
    assert plugins.types(PACKAGE) == []
    (folder / "google_sheets.py").write_text("")
    (folder / "avro.py").write_text("")
    assert plugins.types(PACKAGE) == ["avro", "google_sheets"]


def test_a_class_is_found_by_its_type_whatever_it_is_called(folder: Path) -> None:
    (folder / "google_sheets.py").write_text(
        f"from {__name__} import Base\n\n\n"
        "class Shared(Base): ...\n\n\nclass Workbook(Shared):\n    type = 'google_sheets'\n\n\n"
        "class OldWorkbook(Workbook):\n    type = 'excel'\n"
    )
    assert plugins.find(PACKAGE, "google_sheets", Base).__name__ == "Workbook"


def test_a_stranger_and_a_file_without_its_class_are_errors(folder: Path) -> None:
    (folder / "avro.py").write_text("class Avro:\n    type = 'avro'\n")
    with pytest.raises(KeyError):
        plugins.find(PACKAGE, "orc", Base)
    with pytest.raises(TypeError, match=f"{PACKAGE}.avro holds no Base that says `type = 'avro'`"):
        plugins.find(PACKAGE, "avro", Base)


@pytest.mark.parametrize("type_", destinations.types())
def test_every_destination_is_found(type_: str) -> None:
    found = destinations.find(type_)
    assert issubclass(found, Destination)
    assert (found.type, found.__module__) == (type_, f"etl.destinations.{type_}")


@pytest.mark.parametrize("type_", sources.types())
def test_every_source_is_found(type_: str) -> None:
    found = sources.find(type_)
    assert issubclass(found, Source)
    assert (found.type, found.__module__) == (type_, f"etl.sources.{type_}")
