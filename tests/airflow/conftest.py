"""Fixtures of the Airflow tests; importing `airflow_world` sets the environment before Airflow is imported."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from etl.sandbox import Sandbox
from tests.airflow.airflow_world import CONFIG, ORDERS, World

HERE = Path(__file__).parent
IGNORED = [
    # Airflow's in-process API imports starlette's test client, which would rather have another HTTP library.
    "ignore:Using `httpx` with `starlette.testclient` is deprecated",
]
"""Warnings of Airflow about itself; ours are errors here too."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of this folder, and no others, belong to `make e2e` and pass over what Airflow warns of."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.e2e)
            for warning in IGNORED:
                item.add_marker(pytest.mark.filterwarnings(warning))


@pytest.fixture(scope="module", autouse=True)
def other_peoples_logging() -> Iterator[None]:
    """Airflow takes all logging over when it is imported; the tests after these get it back as it was."""
    yield
    root = logging.getLogger()
    root.handlers[:] = [handler for handler in root.handlers if type(handler).__module__.startswith("_pytest")]
    root.setLevel(logging.WARNING)
    for name in ("conversions", "alembic"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.setLevel(logging.NOTSET)
        logger.propagate, logger.disabled = True, False


@pytest.fixture(scope="session")
def airflow_db() -> Iterator[None]:
    """Airflow's own database, made once."""
    from airflow import settings
    from airflow.utils.db import initdb

    initdb()
    yield
    settings.dispose_orm()


@pytest.fixture(scope="module")
def vendors() -> Iterator[Sandbox]:
    """The vendors on localhost."""
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def world(airflow_db: None, vendors: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Everything fresh but Airflow's database, where runs of several tests lie side by side."""
    vendors.reset()
    vendors.clear_faults()
    for name in ("CONVERT_API_KEY", "OPTIMIZELY_SDK_KEY", "CONVERGE_TOKEN", "WEBFLOW_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CONVERSIONS_CONFIG", str(CONFIG))
    monkeypatch.setenv("CONVERSIONS_RETRY_DELAY_SECONDS", "0")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")
    monkeypatch.setenv("SANDBOX", vendors.url)
    monkeypatch.setenv("ORDERS_CSV", str(ORDERS))
    made = World(tmp_path, vendors)
    made.configure()
    yield made
    made.ledger.close()
