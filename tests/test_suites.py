"""`make test` and `make e2e` are every test there is between them, `.ci/run` runs both, and none is ever skipped."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
MAKEFILE = (ROOT / "Makefile").read_text()
SOURCES = sorted((ROOT / "tests").rglob("*.py"))


def pytest_in(target: str) -> list[str]:
    """The options of each call of pytest in a target's recipe."""
    (recipe,) = re.findall(rf"^{target}:.*\n((?:\t.*\n)+)", MAKEFILE, re.M)
    return re.findall(r"-m pytest\b *(.*)", recipe)


def test_every_test_is_of_exactly_one_of_the_two() -> None:
    assert (pytest_in("test"), pytest_in("e2e")) == (['-m "not e2e" --ignore=tests/airflow'], ["-m e2e"])


def test_all_of_airflow_is_of_e2e() -> None:
    hook = re.findall(
        r"def pytest_collection_modifyitems.*?\n\n\n", (ROOT / "tests/airflow/conftest.py").read_text(), re.S
    )
    assert "if item.path.is_relative_to(HERE):\n            item.add_marker(pytest.mark.e2e)\n" in "".join(hook)


def test_nothing_else_leaves_tests_out() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    assert set(settings) == {"testpaths", "addopts", "markers", "filterwarnings"}
    assert settings["testpaths"] == ["tests"]
    assert set(settings["addopts"].split()) == {"-q", "--strict-markers", "--strict-config", "-ra"}
    assert [path.name for path in SOURCES if "collect_ignore" in path.read_text()] == [Path(__file__).name]


def test_every_file_with_tests_is_found() -> None:
    for path in SOURCES:
        has_tests = re.search(r"^(?:async )?def test_|^class Test", path.read_text(), re.M)
        assert path.name.startswith("test_") == bool(has_tests), path


def test_both_forms_of_a_long_test_are_there() -> None:
    """What has a whole form in `make e2e` has a short one in `make test`."""
    for path in SOURCES:
        text = path.read_text()
        assert text.count('id="whole", marks=pytest.mark.e2e') <= text.count('id="short")'), path


def test_continuous_integration_runs_both() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert re.findall(r"^(?:exec )?make (\w+) </dev/null$", script, re.M) == ["test", "e2e"]


def test_nothing_is_skipped() -> None:
    word = re.compile(r"pytest\.(?:skip|xfail|importorskip|mark\.(?:skip|skipif|xfail))\b")
    assert [path for path in SOURCES if word.search(path.read_text())] == []
