"""Secrets come from the environment or from connections, and stay out of everything that Airflow stores and shows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.airflow.airflow_world import CONFIG
from tests.canary.canaries import FEED, FEED_SECRETS, install_feed

if TYPE_CHECKING:
    from tests.airflow.airflow_world import World

TOKEN = "sandbox-converge-token"

HARMLESS = """
destinations:
  converge: {webhook_token: a-token, endpoint: "https://gate.example/converge"}
  webflow_optimize:
    {customer_id: "1", api_key: an-api-key, user_domain: salesforce, endpoint: "https://${GATE}/webflow/${KEY}"}
"""


@pytest.fixture
def connection(airflow_db: None) -> Iterator[None]:
    """An Airflow connection CONVERGE_TOKEN that holds the token as its password."""
    from airflow.models import Connection
    from airflow.utils.session import create_session

    made = Connection(conn_id="CONVERGE_TOKEN", conn_type="generic", password=TOKEN)  # noqa: AIR311
    with create_session() as session:
        session.add(made)
    yield
    with create_session() as session:
        session.delete(session.merge(made))


def without_default(world: World) -> None:
    """imports.yaml in which the token has no default."""
    world.configure(to=["converge"])
    CONFIG.write_text(CONFIG.read_text().replace(":-sandbox-converge-token}", "}"))


@pytest.mark.usefixtures("connection")
def test_a_connection_answers_and_nothing_stored_shows_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.models.dagrun import DagRun
    from airflow.models.renderedtifields import RenderedTaskInstanceFields
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    masked: list[object] = []
    monkeypatch.setattr("etl.airflow.secrets.mask_secret", masked.append)
    event_ids = world.orders(3)
    without_default(world)
    run = world.run()
    assert run.state == "success"
    assert world.counted()["converge"] == 3
    assert TOKEN in masked

    with create_session() as session:
        kept = [str(row.value) for row in session.scalars(select(XComModel))]
        kept += [str(row.rendered_fields) for row in session.scalars(select(RenderedTaskInstanceFields))]
        kept += [str(row.data) for row in session.scalars(select(SerializedDagModel))]
        kept += [str(row.conf) for row in session.scalars(select(DagRun))]
    assert len(kept) > 10
    for text in kept:
        assert not [secret for secret in (TOKEN, "@shop.example", *event_ids) if secret in text]


def test_the_environment_goes_first(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from etl.airflow.secrets import Secrets

    masked: list[object] = []
    monkeypatch.setattr("etl.airflow.secrets.mask_secret", masked.append)
    monkeypatch.setattr("etl.airflow.secrets._from_connection", {"B_KEY": "from-connection"}.get)
    monkeypatch.setenv("A_KEY", "from-environment")
    secrets = Secrets()
    assert [secrets(name) for name in ("A_KEY", "B_KEY", "C_KEY")] == ["from-environment", "from-connection", None]
    assert masked == ["from-environment", "from-connection"]


@pytest.mark.parametrize(
    ("given", "url"),
    [
        pytest.param(
            {"conn_type": "postgres", "host": "db", "login": "ada", "password": "p:w@", "schema": "crm", "port": 5432},
            "postgres://ada:p%3Aw%40@db:5432/crm",
            id="PostgreSQL",
        ),
        pytest.param(
            {"conn_type": "mysql", "host": "db", "login": "ada", "schema": "crm", "extra": '{"charset": "utf8mb4"}'},
            "mysql://ada@db/crm?charset=utf8mb4",
            id="MySQL",
        ),
        pytest.param({"conn_type": "sqlite", "host": "/srv/crm.db"}, "sqlite:////srv/crm.db", id="SQLite"),
        pytest.param({"conn_type": "http", "host": "api", "password": "token"}, "token", id="anything else"),
    ],
)
def test_a_connection_to_a_database_answers_with_its_url(
    given: dict[str, object], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk import Connection

    from etl.airflow.secrets import Secrets

    masked: list[object] = []
    monkeypatch.setattr("etl.airflow.secrets.mask_secret", masked.append)
    monkeypatch.setattr(Connection, "get", classmethod(lambda cls, name: Connection(conn_id=name, **given)))
    assert Secrets()("CRM") == url
    assert masked == [url]


@pytest.mark.parametrize(
    ("value", "hidden"),
    [
        pytest.param("http://127.0.0.1:8900", False, id="plain address"),
        pytest.param("https://user:pass@crm.example", True, id="address with credentials"),
        pytest.param("https://hooks.example/T0/B1/secret", True, id="address with a path"),
        pytest.param("/", False, id="path that exists"),
        pytest.param("/k3y+that/looks=like-a-path", True, id="key that looks like a path"),
        pytest.param("k3y", True, id="key"),
    ],
)
def test_only_what_cannot_be_a_secret_is_shown(
    airflow_db: None, monkeypatch: pytest.MonkeyPatch, value: str, hidden: bool
) -> None:
    from etl.airflow.secrets import Secrets

    masked: list[object] = []
    monkeypatch.setattr("etl.airflow.secrets.mask_secret", masked.append)
    monkeypatch.setenv("A_VALUE", value)
    assert Secrets()("A_VALUE") == value
    assert bool(masked) == hidden


def test_harmless_words_of_addresses_are_not_hidden(
    airflow_db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from etl import config
    from etl.airflow.secrets import hide

    masked: list[object] = []
    monkeypatch.setattr("etl.airflow.secrets.mask_secret", masked.append)
    (tmp_path / "imports.yaml").write_text(HARMLESS)
    hide(config.load(tmp_path / "imports.yaml", {"GATE": "gate.example", "KEY": "hush-hush"}.get))
    assert set(masked) == {"a-token", "an-api-key", "hush-hush"}


def test_whatever_a_source_holds_is_hidden_without_anybody_knowing_its_type(
    airflow_db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from etl import config
    from etl.airflow.secrets import hide

    masked: list[object] = []
    monkeypatch.setattr("etl.airflow.secrets.mask_secret", masked.append)
    install_feed(monkeypatch)
    bucket = {"type": "csv", "storage": {"key": "id", "secret": "bucket-secret"}}
    imports = {
        "feed": {"source": {"type": "feed", **FEED}, "to": ["converge"]},
        "drops": {"source": bucket, "drop": "sftp://ada:inbox-secret@files.example/in", "to": ["converge"]},
    }
    document = {"destinations": {"converge": {"webhook_token": "a-token"}}, "imports": imports}
    (tmp_path / "imports.yaml").write_text(yaml.safe_dump(document))
    hide(config.load(tmp_path / "imports.yaml", lambda name: None))
    assert set(masked) >= {*FEED_SECRETS, "bucket-secret", "inbox-secret", "a-token"}
    assert not {"feed", "ada", "id", "feed.example", "files.example"} & set(masked)


def test_a_secret_that_nobody_has_fails_the_run_with_its_name(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.orders(1)
    without_default(world)
    assert world.run().state == "failed"
    assert "destinations.converge.webhook_token: ${CONVERGE_TOKEN} has no value" in capsys.readouterr().out
