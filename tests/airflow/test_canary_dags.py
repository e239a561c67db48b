"""Planted secrets and people, looked for in all that Airflow keeps and shows of our DAGs; and proof that the looking
finds them.

The tasks run as a worker runs them, each in a process of its own under Airflow's supervisor, because only there task
logs are written and masked. Searched are these logs, every byte of Airflow's database (XCom, rendered fields, the DAGs
with their descriptions, runs, connections), the pages about DAGs that cannot be read and about connections, our ledger,
and the receipts and names of dropped files.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import shutil
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import yaml
from pydantic import ValidationError

from etl import config, destinations, pipeline, preview
from etl.airflow import parse, secrets, tasks
from etl.delivery import connection, lookups  # noqa: F401
from etl.destinations import make_destination
from etl.destinations.base import Destination
from etl.destinations.converge import Converge
from etl.errors import ConfigError
from etl.sandbox import Sandbox
from etl.sources.base import Source
from etl.sources.sql import SqlSource
from etl.stages import extract
from tests.airflow.airflow_world import CONFIG, HOME, LOGS, ORDERS, ROOT, supervised
from tests.canary.canaries import (
    CREDENTIALS,
    ECHO,
    FEED,
    FEED_SECRETS,
    OLD_ADDRESS,
    PEOPLE,
    REPEATED,
    SECRETS,
    Said,
    install_feed,
    leaks,
    person,
    receipts,
    rows,
)

if TYPE_CHECKING:
    from tests.airflow.airflow_world import World

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Airflow's own sockets

CRM_PASSWORD = "canary-secret/crm"
CRM_QUOTED = "canary-secret%2Fcrm"
MISSPELT = "canary-secret-misspelt"
"""In the environment, under a name that imports.yaml knows and no destination does."""
WRITTEN = "canary-secret-written"
"""In imports.yaml itself, under a misspelt key."""
EVERY_SECRET = [*SECRETS.values(), OLD_ADDRESS, CRM_PASSWORD, CRM_QUOTED, MISSPELT, WRITTEN, *FEED_SECRETS]

IN_A_CONNECTION = {"sdk_key": SECRETS["optimizely_sdk_key"], "webhook_token": SECRETS["converge_token"]}
CONNECTIONS = {
    "CONVERGE_ADDRESS": {"conn_type": "http", "password": None},  # filled in by `connections`
    "WEBFLOW_TOKEN": {"conn_type": "generic", "password": SECRETS["webflow_key"]},
    "OPTIMIZELY": {"conn_type": "generic", "extra": json.dumps(IN_A_CONNECTION)},
}


# -- the world


@pytest.fixture(scope="module")
def vendors() -> Iterator[Sandbox]:
    """The vendors, who know the canaries; Converge as an old source with a secret address."""
    with Sandbox(credentials=CREDENTIALS) as sandbox:
        yield sandbox


@pytest.fixture
def connections(airflow_db: None, vendors: Sandbox) -> Iterator[None]:
    """Secrets where Airflow keeps them: a token and an old source's whole address, as passwords of connections."""
    from airflow.models import Connection
    from airflow.utils.session import create_session

    address = f"{vendors.url}/converge/sources/{OLD_ADDRESS}"
    told: dict[str, Any] = CONNECTIONS | {"CONVERGE_ADDRESS": {"conn_type": "http", "password": address}}
    made = [Connection(conn_id=name, **values) for name, values in told.items()]  # noqa: AIR311
    with create_session() as session:
        session.add_all(made)
    yield
    with create_session() as session:
        for connection in made:
            session.delete(session.merge(connection))


@pytest.fixture
def canaries(world: World, connections: None, monkeypatch: pytest.MonkeyPatch) -> World:
    """imports.yaml with a secret from every place there is: environment, connections, and written down in it."""
    for kind in destinations.types():
        destinations.find(kind)  # what is imported and begun here, the tasks' processes need not do, each of them anew
    preview.check(config.load(ROOT / "imports.yaml"), file=str(ROOT / "sample_data/orders.csv"), to=["kameleoon"])
    monkeypatch.setattr("airflow.sdk.execution_time.supervisor.run_task_in_process", supervised)
    monkeypatch.setattr("airflow.sdk.execution_time.supervisor.MIN_HEARTBEAT_INTERVAL", 0.05)
    sleep = time.sleep  # `dag.test` naps a second each time when it has nothing but tasks to mark
    monkeypatch.setattr(time, "sleep", lambda seconds: None if seconds == 1 else sleep(seconds))
    monkeypatch.setattr(parse, "retries", lambda: {"retries": 0})
    monkeypatch.setenv("CONVERT_API_KEY", SECRETS["convert_key"])
    monkeypatch.setenv("MISSPELT", MISSPELT)
    install_feed(monkeypatch)
    for room, name, careless in CARELESS:
        monkeypatch.setattr(room, name, careless(getattr(room, name)))
    shutil.rmtree(LOGS, ignore_errors=True)
    configure(world)
    return world


def configure(world: World, *, converge: Any = None, convert: Any = None, **changes: Any) -> None:
    """Write it; the changes are those of `store_orders`."""
    world.configure(**{"max_bad_share": 1, **changes})
    document = yaml.safe_load(CONFIG.read_text())
    key = SECRETS["optimizely_sdk_key"]
    document["destinations"]["optimizely"] |= {
        "sdk_key": key,
        "datafile_url": f"{world.sandbox.url}/optimizely/datafiles/{key}.json",
    }
    old = {"allow_no_token": True, "endpoint": "${CONVERGE_ADDRESS}"}
    document["destinations"]["converge"] = {**old, **(converge or {})}
    document["destinations"]["convert"] |= convert or {}
    document["destinations"]["webflow_optimize"]["api_key"] = "${WEBFLOW_TOKEN}"
    for settings in document["destinations"].values():
        settings["retry"] = {"attempts": 2, "first_wait_s": 0.01, "longest_wait_s": 0.02}
    document["imports"]["crm"] = {
        "source": {"type": "sql", "url": f"postgresql://ada:{CRM_QUOTED}@127.0.0.1:1/crm", "table": "deals"},
        "to": ["converge"],
    }
    document["imports"]["feed"] = {
        "source": {"type": "feed", **FEED, "chatty": True, "broken": True},
        "to": ["converge"],
    }
    CONFIG.write_text(yaml.safe_dump(document))


# -- careless lines, as a library might write them; what they say is masked in Airflow's logs


def tells_requests(prepare: Any) -> Any:
    """Address and headers of what would be sent, the address also in part."""

    def told(job: Any) -> None:
        prepare(job)
        for name in job.destinations:
            if name not in job.ledger.runs.stops(job.run.run_no):
                request = job.destination(name).request([b"{}"])
                logging.getLogger("chatty").warning("%s %s", request.url, dict(request.headers))
                logging.getLogger("chatty").warning("POST %s", urlsplit(request.url).path)

    return told


def tells_lookups(get: Any) -> Any:
    """The same of a lookup, and on standard output."""

    def told(url: str, headers: Any, **options: Any) -> Any:
        print("GET", url, dict(headers))  # noqa: T201
        return get(url, headers, **options)

    return told


def tells_settings(validated: Any) -> Any:
    """What stands under a key that nobody knows."""

    def told(model: Any, raw: Any, where: str) -> Any:
        logging.getLogger("chatty").warning("%s: webhook_tokn is %s", where, raw.get("webhook_tokn"))
        return validated(model, raw, where)

    return told


def tells_databases(engine: Any) -> Any:
    """Where it connects to, as a driver would say it."""

    def told(self: Any) -> Any:
        logging.getLogger("chatty").warning("to %s with %s", self.settings.url.get_secret_value(), self._url().password)
        return engine(self)

    return told


CARELESS = [
    (pipeline, "prepare", tells_requests),
    (lookups, "_get", tells_lookups),
    (destinations, "validated", tells_settings),
    (SqlSource, "_engine", tells_databases),
]


def write(path: Path, told: list[dict[str, str]], *, header: bool = True) -> None:
    """Rows as CSV."""
    names = list(dict.fromkeys(key for row in told for key in row))
    text = io.StringIO()
    out = csv.DictWriter(text, names, restval="")
    if header:
        out.writeheader()
    out.writerows(told)
    path.write_text(text.getvalue())


# -- everything that Airflow keeps and shows


def everything_kept(world: World) -> Said:
    said: Said = [(f"task log {path.relative_to(LOGS)}", path.read_text()) for path in LOGS.rglob("*.log")]
    said += [("airflow's database", path.read_bytes().decode("latin-1")) for path in HOME.glob("airflow.db*")]
    said += xcoms() + connection_pages() + import_errors()
    said += [("ledger", path.read_bytes().decode("latin-1")) for path in world.folder.glob("ledger.db*")]
    said += [("file name", str(path.relative_to(world.folder))) for path in world.folder.rglob("*")]
    return said + receipts(world.folder)


def xcoms() -> Said:
    """As the page of a task instance shows them; also what it shows as rendered, and a DAG's own page."""
    from airflow.models.renderedtifields import RenderedTaskInstanceFields
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        said = [("xcom", str(row.value)) for row in session.scalars(select(XComModel))]
        said += [("rendered", str(row.rendered_fields)) for row in session.scalars(select(RenderedTaskInstanceFields))]
        said += [("serialized", str(row.data)) for row in session.scalars(select(SerializedDagModel))]
    return said


def connection_pages() -> Said:
    """Every connection as Airflow's API answers it to its pages."""
    from airflow.api_fastapi.core_api.datamodels.connections import ConnectionResponse
    from airflow.models import Connection
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        found = session.scalars(select(Connection).where(Connection.conn_id.in_(CONNECTIONS))).all()  # noqa: AIR311
        said = [("connection", ConnectionResponse.model_validate(one).model_dump_json()) for one in found]
    assert len(said) == len(CONNECTIONS)
    return said


def import_errors() -> Said:
    """Why DAG files cannot be read now, as the front page shows it."""
    from airflow.dag_processing.dagbag import DagBag

    return [("import error", text) for text in DagBag(str(ROOT / "dags")).import_errors.values()]


# -- nights


def a_mixed_night(world: World) -> None:
    """Two vendors take what is good; one refuses, one shuts the door, one answers what nobody reads; all repeat it."""
    write(ORDERS, rows())
    world.sandbox.fault(vendor="convert", status=400, body=REPEATED)
    world.sandbox.fault(vendor="webflow_optimize", status=401, body=REPEATED, headers={"WWW-Authenticate": ECHO})
    world.sandbox.fault(vendor="kameleoon", status=200, body=REPEATED)
    run = world.run()
    assert run.states()["webflow_optimize.load[0]"] == "failed"
    assert run.state == "failed"
    statuses = world.statuses()
    assert statuses["converge"]["delivered"] > 4
    assert {status for one in statuses.values() for status in one} >= {"delivered", "rejected", "refused", "failed"}


def dead_letters_once_more(world: World) -> None:
    world.sandbox.clear_faults()
    run = world.run("retry_dead_letters", run_conf={"destination": "webflow_optimize"})
    assert run.states()["webflow_optimize"] == "success"


def a_database_that_does_not_answer(world: World) -> None:
    assert world.run("crm").states()["extract"] == "failed"


def a_source_of_theirs(world: World) -> None:
    """It logs its secrets, which are written down in imports.yaml, and says them when it cannot be read."""
    assert world.run("feed").states()["extract"] == "failed"


def settings_that_cannot_be_used(world: World) -> None:
    configure(world, converge={"webhook_tokn": "${MISSPELT}"}, convert={"api_kye": WRITTEN})
    assert world.run().states()["start"] == "failed"
    configure(world)


def settings_that_cannot_be_read(world: World) -> None:
    """A key that YAML takes for a tag: Airflow's front page shows why the DAGs are gone."""
    CONFIG.write_text(
        CONFIG.read_text().replace("${WEBFLOW_TOKEN}", f"!{WRITTEN}").replace(f"'!{WRITTEN}'", f"!{WRITTEN}")
    )


def a_task_that_fails(world: World) -> None:
    """For a reason that nobody foresaw, whose words hold a row."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extract, "stage", broken)
        configure(world, to=["kameleoon"])
        assert world.run().states()["extract"] == "failed"
    configure(world)


def broken(*_: Any) -> Any:
    raise ValueError(ECHO)


def a_source_that_is_not_there(world: World) -> None:
    """No row is read; what prepares the run has been said by then."""
    ORDERS.unlink(missing_ok=True)
    assert world.run().states()["prepare"] == "success"


def dropped_files(world: World) -> None:
    """A good file with bad rows, one that is bad as a whole, and one whose first line is a person already."""
    inbox = world.folder / "inbox"
    inbox.mkdir()
    drop = {"inbox": str(inbox), "settle_seconds": 0}
    configure(world, source={"type": "csv"}, drop=drop, schedule=None, to=["converge", "optimizely"])
    write(inbox / "mixed.csv", [*(person(n) for n in range(300, 330)), *rows()[5:]])
    write(inbox / "headless.csv", [person(400)], header=False)
    with (inbox / "mixed.csv").open("a") as file:
        file.write("order-500,Order Completed,canary.ada@example.com\norder-501,Order Completed,=canary-user-7\n")
    assert set(world.run("drops").states().values()) == {"success"}
    assert len(list(inbox.rglob("*.summary.html"))) == 2
    configure(world)


NIGHTS: list[Callable[[World], None]] = [
    a_mixed_night,
    dead_letters_once_more,
    a_database_that_does_not_answer,
    a_source_of_theirs,
    settings_that_cannot_be_used,
    a_task_that_fails,
    dropped_files,
    settings_that_cannot_be_read,
]


def test_no_secret_and_no_person_is_in_anything_airflow_keeps_or_shows(canaries: World) -> None:
    for night in NIGHTS:
        night(canaries)
    said = everything_kept(canaries)
    places = {place.split()[0] for place, _ in said}
    assert places >= {"task", "airflow's", "xcom", "rendered", "serialized", "import", "connection", "ledger", "file"}
    assert places >= {"page", "result.csv", "fix.csv"}
    assert leaks(said, [*EVERY_SECRET, *PEOPLE]) == []
    assert not [text for place, text in said if place == "xcom" and f"{canaries.folder}/staging" in text], (
        "a whole address"
    )
    assert sum("***" in text for place, text in said if place.startswith("task log")) > 5, "nobody was careless"


# -- one mask less


@dataclass(frozen=True)
class Mask:
    """One mask, how it is taken away, the night that needs it, and what is then found where."""

    name: str
    remove: Callable[[pytest.MonkeyPatch], None]
    night: Callable[[World], None]
    place: str
    canary: str


def shown_in_full(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(tasks, "trace", lambda error: "".join(traceback.format_exception(error)))


def words_and_all(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(tasks, "_failing_for_good", nullcontext)


def whole_sentence(validated: Any) -> Any:
    def told(model: Any, raw: Any, where: str) -> Any:
        try:
            return model.model_validate(raw)
        except ValidationError as error:
            raise ConfigError(f"{where}: {error}") from None

    return told


def without_sdk_key(patch: pytest.MonkeyPatch) -> None:
    from airflow._shared.secrets_masker import _secrets_masker

    left = [name for name in _secrets_masker().sensitive_variables_fields if name != "sdk_key"]
    patch.setattr(_secrets_masker(), "sensitive_variables_fields", left)


def without_sources(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(secrets, "_of_sources", lambda loaded: ())
    patch.setattr(config.Config, "secrets", lambda self: [])


def generous_start(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(tasks, "start", lambda file, *_, **__: make_destination(tasks._config(file), "converge").endpoint)


def nothing(world: World) -> None:
    """No DAG run is needed: it is there from the beginning."""


MASKS = [
    Mask(
        "what ${NAME} stands for",
        lambda patch: patch.setattr(secrets, "is_safe_to_show", lambda value: True),
        settings_that_cannot_be_used,
        "task log",
        MISSPELT,
    ),
    Mask(
        "what is written down in imports.yaml",
        lambda patch: patch.setattr(secrets, "_of_destinations", lambda loaded: ()),
        a_source_that_is_not_there,
        "task log",
        SECRETS["optimizely_sdk_key"],
    ),
    Mask(
        "an old source's address in part",
        lambda patch: patch.setattr(Converge, "secrets", Destination.secrets),
        a_source_that_is_not_there,
        "task log",
        OLD_ADDRESS,
    ),
    Mask(
        "passwords of databases",
        without_sources,
        a_database_that_does_not_answer,
        "task log",
        CRM_PASSWORD,
    ),
    Mask(
        "what a source of theirs says is secret",
        lambda patch: patch.setattr(Source, "secrets", lambda self: []),
        a_source_of_theirs,
        "task log",
        FEED["token"],
    ),
    Mask(
        "a database's name for people",
        lambda patch: patch.setattr(SqlSource, "describe", lambda self: self.settings.url.get_secret_value()),
        a_database_that_does_not_answer,
        "ledger",
        CRM_QUOTED,
    ),
    Mask(
        "a DAG's description",
        lambda patch: patch.setattr(parse, "description", lambda name, settings: str(settings.source)),
        a_database_that_does_not_answer,
        "serialized",
        CRM_QUOTED,
    ),
    Mask(
        "wrong settings told without their values",
        lambda patch: patch.setattr(destinations, "validated", whole_sentence(config.validated)),
        settings_that_cannot_be_used,
        "task log",
        WRITTEN,
    ),
    Mask(
        "broken YAML told without what it holds",
        lambda patch: patch.setattr(config, "_where_in_yaml", str),
        settings_that_cannot_be_read,
        "import error",
        WRITTEN,
    ),
    Mask("the trace of the unforeseen, bare", shown_in_full, a_task_that_fails, "task log", PEOPLE[0]),
    Mask("the words of the unforeseen", words_and_all, a_task_that_fails, "task log", PEOPLE[0]),
    Mask("what travels between tasks", generous_start, a_source_that_is_not_there, "xcom", OLD_ADDRESS),
    Mask("the name sdk_key", without_sdk_key, nothing, "connection", SECRETS["optimizely_sdk_key"]),
]


@pytest.mark.parametrize("mask", MASKS, ids=lambda mask: mask.name)
def test_the_search_finds_what_one_missing_mask_lets_through(
    canaries: World, mask: Mask, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask.remove(monkeypatch)
    with suppress(AssertionError):
        mask.night(canaries)
    found = leaks(everything_kept(canaries), [mask.canary])
    assert [place for place, _ in found if place.startswith(mask.place)], f"{mask.name}: no mask, or nobody looks there"
