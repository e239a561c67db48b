"""docker-compose.yml and the Dockerfile, as far as they can be judged without docker."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from etl import config
from etl.airflow.local.home import SENSITIVE
from tests.airflow.airflow_world import ROOT

TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
AIRFLOW = ["init", "apiserver", "scheduler", "dag-processor"]


def test_the_services() -> None:
    assert set(SERVICES) == {"postgres", "sandbox", *AIRFLOW}
    for name, service in SERVICES.items():
        assert set(service) <= {
            "build",
            "command",
            "depends_on",
            "environment",
            "healthcheck",
            "image",
            "ports",
            "restart",
            "volumes",
        }, name


def test_what_starts_after_what() -> None:
    assert SERVICES["init"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert "healthcheck" in SERVICES["postgres"]
    for name in AIRFLOW[1:]:
        assert SERVICES[name]["depends_on"] == {"init": {"condition": "service_completed_successfully"}}
    assert SERVICES["init"]["restart"] == "no"
    assert SERVICES["init"]["command"][-1] == "airflow db migrate && conversions airflow setup"


@pytest.mark.parametrize("name", AIRFLOW)
def test_every_component_has_the_same_settings(name: str) -> None:
    environment = SERVICES[name]["environment"]
    shared = SERVICES["scheduler"]["environment"]
    assert {key: environment[key] for key in shared} == shared
    assert environment["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert environment["AIRFLOW__CORE__SENSITIVE_VAR_CONN_NAMES"] == SENSITIVE
    assert environment["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://apiserver:8080/execution/"
    assert environment["SANDBOX"] == "http://sandbox:8900"


def test_secrets_are_demanded_and_never_written_down() -> None:
    for name in ("POSTGRES_PASSWORD", "FERNET_KEY", "JWT_SECRET", "ADMIN_PASSWORD"):
        references = re.findall(rf"\$\{{{name}[^}}]*\}}", TEXT)
        assert references
        assert set(references) == {f"${{{name}:?set {name} in .env}}"}


def test_every_secret_of_the_imports_can_be_handed_over() -> None:
    asked = set(re.findall(r"\$\{(\w+)", (ROOT / "imports.yaml").read_text()))
    assert asked - {"ORDERS_CSV"} <= set(SERVICES["scheduler"]["environment"])


def test_only_this_machine_reaches_the_ports() -> None:
    for service in SERVICES.values():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:")


def test_volumes_are_declared_and_files_are_there() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (ROOT / source).exists() if source.startswith("./") else source in COMPOSE["volumes"]


def test_the_image_holds_what_the_lock_and_the_imports_name() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert "--require-hashes" in text
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for copied in re.findall(r"^COPY (.+) \S+$", text, flags=re.MULTILINE):
        for source in copied.split():
            assert source in allowed
            assert (ROOT / source).exists()
    assert f"AIRFLOW__CORE__SENSITIVE_VAR_CONN_NAMES={SENSITIVE}" in text
    config.load(ROOT / "imports.yaml")
