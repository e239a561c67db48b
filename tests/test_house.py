"""The house keeps its floors: imports run downward only, one room knows each vendor, one room opens connections."""

from __future__ import annotations

import ast
import re
import statistics
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from etl import destinations, sandbox, sources

ROOT = Path(__file__).parent.parent

FLOORS: tuple[tuple[str, ...], ...] = (
    (
        "etl",
        "etl.clock",
        "etl.shutdown",
        "etl.strict_yaml",
        "etl.model",
        "etl.errors",
        "etl.columns",
        "etl.date_formats",
        "etl.json_columns",
        "etl.plugins",
    ),
    ("etl.reasons", "etl.redact", "etl.column_settings", "etl.locks"),
    ("schemas", "etl.filesystem", "etl.config", "etl.sample"),
    ("etl.sources", "etl.destinations", "etl.ledger", "etl.staging"),
    ("etl.stages", "etl.delivery", "etl.report"),
    ("etl.pipeline", "etl.preview", "etl.tables"),
    ("etl.retry", "etl.drops"),
    ("etl.cli", "etl.airflow"),
    ("dags",),
)
"""From the ground up. A room imports from floors below its own, never from a sibling. The sandbox stands outside."""

FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}

APART = ("etl.sandbox", "etl.migrations")


def modules() -> list[Path]:
    return sorted([*(ROOT / "etl").rglob("*.py"), *(ROOT / "schemas").rglob("*.py"), *(ROOT / "dags").rglob("*.py")])


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported(path: Path) -> set[str]:
    """Every module of ours that a file imports, wherever in the file; names of packages resolved to modules."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            packages = {name for name in inner if (ROOT / name.replace(".", "/")).with_suffix(".py").exists()}
            packages |= {name for name in inner if (ROOT / name.replace(".", "/") / "__init__.py").exists()}
            found |= packages or {node.module}
    return {name for name in found if name.split(".")[0] in {"etl", "schemas", "dags"}}


def room(module: str) -> str:
    """The room of FLOORS that a module is in."""
    parts = module.split(".")
    return next(name for size in range(len(parts), 0, -1) if (name := ".".join(parts[:size])) in {*FLOOR, *APART})


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_imports_run_downward_only(path: Path) -> None:
    module = dotted(path)
    here = room(module)
    for other in imported(path):
        there = room(other)
        if there == here:
            continue
        if here in APART or there in APART:
            only_by = {
                "etl.sandbox": {"etl.cli", "etl.airflow"},
                "etl.migrations": set(),
                "etl.plugins": {"etl.sandbox"},
            }
            assert here in only_by.get(there, set()), f"{module} imports {other}: it stands apart"
            continue
        assert FLOOR[there] < FLOOR[here], f"{module} imports {other}, which is not below it"


TAKES_APART = re.compile("urlsplit|urlparse")
DECIDES = re.compile(
    r"hide_password|render_as_string|'\*\*\*'|format_exc|format_tb|print_exc"
    r"|://\S*[\[(\\]\S*@"  # a pattern of what stands before the host
)
"""Signs of somebody deciding what is shown: secrets blotted out, errors written out."""


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_only_redact_decides_what_is_shown(path: Path) -> None:
    """A vendor's file may take its own address apart: for a request's query, and to name what in it is secret."""
    if dotted(path) == "etl.redact" or "sandbox" in path.parts:
        return
    code = _without_prose(path)
    found = DECIDES.findall(code)
    if path.stem not in destinations.types():
        found += TAKES_APART.findall(code)
    assert not found, f"{dotted(path)} has {', '.join(found)}: what may be shown is decided in etl.redact"


def test_the_signs_of_deciding_what_is_shown_are_those_of_redact() -> None:
    code = _without_prose(ROOT / "etl/redact.py")
    assert TAKES_APART.search(code)
    assert len(set(DECIDES.findall(code))) > 2


def test_the_decision_about_rooms_draws_the_same_floors() -> None:
    text = (ROOT / "docs/decisions/0007-rooms.md").read_text()
    drawn = re.findall(r"^\| \d \| ([^|]*) \|", text, flags=re.MULTILINE)
    assert tuple(tuple(re.findall(r"`([^`]+)`", rooms)) for rooms in drawn) == FLOORS


def test_every_module_has_a_floor() -> None:
    for path in modules():
        assert room(dotted(path)) != "etl" or dotted(path) == "etl", f"{dotted(path)} has no floor"


def test_only_the_dags_and_their_room_know_airflow() -> None:
    for path in modules():
        tree = ast.parse(path.read_text())
        names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        names |= {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module}
        if any(name.split(".")[0] == "airflow" for name in names):
            assert "dags" in path.parts or "airflow" in path.parts, f"{dotted(path)} imports Airflow"


@pytest.mark.parametrize("library", ["aiohttp", "requests", "urllib", "http", "httpx", "socket"])
def test_only_delivery_opens_connections_to_vendors(library: str) -> None:
    for path in modules():
        if dotted(path).startswith("etl.delivery.") or any(part in {"sandbox", "airflow"} for part in path.parts):
            continue
        tree = ast.parse(path.read_text())
        names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        names |= {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module}
        names -= {"urllib.parse"}
        assert library not in {name.split(".")[0] for name in names}, f"{dotted(path)} imports {library}"


@pytest.mark.parametrize("vendor", destinations.types())
def test_what_knows_a_vendor_lives_in_its_own_files(vendor: str) -> None:
    title = destinations.find(vendor).facts.title
    for path in modules():
        if path.stem in {vendor, "sample"}:  # the sample rows say in their ids what is wrong with each, and for whom
            continue
        code = _without_prose(path)
        assert not re.search(rf"\b{vendor}\b", code), f"{dotted(path)} knows {vendor}"
        assert not re.search(rf"\b{title}\b", code), f"{dotted(path)} knows {title}"


@pytest.mark.parametrize("vendor", destinations.types())
def test_a_vendor_is_four_files(vendor: str) -> None:
    for folder, ending in (
        ("schemas", "py"),
        ("etl/destinations", "py"),
        ("etl/sandbox", "py"),
        ("sample_data/exchanges", "json"),
    ):
        assert (ROOT / folder / f"{vendor}.{ending}").exists(), f"{vendor} lacks {folder}/{vendor}.{ending}"


@cache
def _without_prose(path: Path) -> str:
    """The code of a file without docstrings and comments."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [
                n for n in node.body if not (isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant))
            ] or [ast.Pass()]
    return ast.unparse(tree)


@pytest.mark.parametrize("room", [destinations, sources, sandbox], ids=lambda room: str(room.__name__))
def test_plug_ins_are_their_files(room: ModuleType) -> None:
    files = {path.stem for path in (ROOT / room.__name__.replace(".", "/")).glob("*.py")}
    assert room.types() == sorted(files - {"__init__", "__main__", "base"})


MOST_LINES, LONGEST_MEDIAN = 400, 10


def test_a_long_module_says_why_at_its_head() -> None:
    for path in modules():
        text = path.read_text()
        if len(text.splitlines()) > MOST_LINES:
            assert re.search(r"\b[Ll]ong\b", ast.get_docstring(ast.parse(text)) or ""), f"{dotted(path)} is long: why?"


def test_functions_are_short() -> None:
    sizes = [
        (node.end_lineno or node.lineno) - node.lineno + 1
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert statistics.median(sizes) < LONGEST_MEDIAN
