"""Made `v0_1_0`; run at version 0.1.0 (commit 47d00e7) and kept for the record. It need not run on newer code.

    git worktree add /tmp/base 47d00e7
    PYTHONPATH=/tmp/base:. python tests/previous/make_fixture.py

What people and programs write (imports.yaml, rows) is made here. The ledger, the staged files, the receipts and all
that is expected come from the command line of that version, which is killed at every step of a dropped file's way.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
LEFT = HERE / "v0_1_0"
MOMENT = (datetime.now(UTC) - timedelta(hours=2)).replace(microsecond=0)
QUICK = "retry: {attempts: 3, first_wait_s: 0.001, longest_wait_s: 0.01, total_s: 5, timeout_s: 5}"

IMPORTS = f"""\
# As at version 0.1.0: the sample import, files that a partner drops, and a database that is read on from where it was.
ledger: sqlite:///ledger.db
staging: staging
keep_staged_days: 36500 # what is kept here grows older than any import would let it

destinations:
  convert:
    account_id: "10001234"
    project_id: "20005678"
    api_key: ${{CONVERT_API_KEY:-sandbox-convert-key}}
    events: {{Order Completed: "100215962", Form Submitted: "100215963", Signed Up: "100215964"}}
    endpoint: ${{SANDBOX:-http://127.0.0.1:8900}}/convert/v1/projects/20005678/goals
    limits: {{items: 5}}
    {QUICK}
  optimizely:
    account_id: "12345678"
    project_id: "98765432"
    sdk_key: ${{OPTIMIZELY_SDK_KEY:-sandbox-sdk-key}}
    datafile_url: ${{SANDBOX:-http://127.0.0.1:8900}}/optimizely/datafiles/${{OPTIMIZELY_SDK_KEY:-sandbox-sdk-key}}.json
    events: {{Signed Up: signup, page: page_view, Order Refunded: refund}}
    endpoint: ${{SANDBOX:-http://127.0.0.1:8900}}/optimizely/v1/events
    {QUICK}
  converge:
    webhook_token: ${{CONVERGE_TOKEN:-sandbox-converge-token}}
    endpoint: ${{SANDBOX:-http://127.0.0.1:8900}}/converge/api/webhooks
    {QUICK}
  kameleoon:
    site_code: f17c21u1ag
    data_region: eu
    endpoint: ${{SANDBOX:-http://127.0.0.1:8900}}/kameleoon/visit/events
    limits: {{spacing_ms: 0}}
    {QUICK}
  webflow_optimize:
    customer_id: "123456789"
    api_key: ${{WEBFLOW_TOKEN:-sandbox-webflow-key}}
    user_domain: salesforce
    events: {{Order Completed: order-completed, Signed Up: signed-up, page: page-viewed}}
    endpoint: ${{SANDBOX:-http://127.0.0.1:8900}}/webflow_optimize/event
    {QUICK}

imports:
  store_orders:
    source: {{type: csv, path: "${{ORDERS_CSV:-orders.csv}}"}}
    to: [convert, optimizely, converge, kameleoon, webflow_optimize]
    schedule: "0 21 * * *" # UTC; before Webflow Optimize's import at midnight UTC
    max_bad_share: 0.9 # the sample holds one row for every reason a row can be turned away
  partner_orders:
    source: {{type: csv, delimiter: ";"}}
    drop: {{inbox: drops, settle_seconds: 60, max_bad_share: 0.5}}
    columns: {{event_id: Order No, occurred_at: Closed At, revenue: Net}}
    timezone: Europe/Berlin
    date_format: "%d.%m.%Y %H:%M:%S"
    locale: {{decimal: ",", thousands: "."}}
    chunk_rows: 5
    to: [convert, converge, webflow_optimize]
  crm_deals:
    source: {{type: sql, url: "sqlite:///crm.db", table: deals, cursor: {{column: updated_at, overlap: 1h}}}}
    to: [converge, kameleoon]
"""

EVERY_KEY = """\
# Every key that imports.yaml had at version 0.1.0, at least once.
ledger: sqlite:///every_key.db
staging: every_key_staging
keep_staged_days: 14

destinations:
  goals:
    type: convert
    account_id: "10001234"
    project_id: "20005678"
    api: goals
    api_key: sandbox-convert-key
    auth_header: Authorization
    auth_scheme: Bearer
    events: {Order Completed: "100215962"}
    page_goals: {/thanks: "100215965"}
    revenue_events: two
    enrich_data: true
    source: offline-conversions
    hash_visitor_id: "off"
    allow_negative_amount: true
    currency: GBP
    max_age_days: 365
    endpoint: ${SANDBOX}/convert/v1/projects/20005678/goals
    limits: {items: 10, bytes: 500000, connections: 1, spacing_ms: 0}
    retry: {attempts: 2, first_wait_s: 0.01, longest_wait_s: 0.02, total_s: 5, timeout_s: 5}
    hash: {email: sha256, phone: sha256}
  tracking:
    type: convert
    account_id: "10001234"
    project_id: "20005678"
    api: tracking
    sdk_key: sandbox-sdk-key
    sdk_key_secret: sandbox-sdk-secret
    goals_url: ${SANDBOX}/convert/api/v1/config/10001234/20005678
    bucketing_column: attributes
    events: {Order Completed: "100215962"}
    revenue_events: one
    hash_visitor_id: sha256
    endpoint: ${SANDBOX}/convert/v1/track/10001234/20005678
  optimizely:
    account_id: "12345678"
    project_id: "98765432"
    sdk_key: sandbox-sdk-key
    datafile_url: ${SANDBOX}/optimizely/datafiles/sandbox-sdk-key.json
    datafile_token: sandbox-datafile-token
    events: {Order Completed: purchase}
    region: us
    strict: true
    minor_units: iso4217
    round_revenue: true
    lift_quantity: true
    anonymize_ip: true
    hash_visitor_id: sha256-email
    reject_personal_ids: true
    allow_account_mismatch: true
    max_age_days: 30
    client_name: offline-conversions
    client_version: "1.0"
    endpoint: ${SANDBOX}/optimizely/v1/events
    hash: {email: "off", phone: sha256-digits}
  converge:
    allow_no_token: true
    webhook_token: sandbox-converge-token
    events: {Order Completed: Placed Order}
    aliases_from: [email, user_id, anonymous_id, phone]
    spec_check: warn
    sales_channel: offline
    endpoint: ${SANDBOX}/converge/api/webhooks
  kameleoon:
    site_code: f17c21u1ag
    data_region: eu
    domain: io
    events: {Form Submitted: "36151"}
    nonce_style: hex16
    referrers_field: referrersIndices
    visitor_code_limit: 100
    negative_as_refund: true
    attribution_days: 7
    endpoint: ${SANDBOX}/kameleoon/visit/events
  shop_de:
    type: webflow_optimize
    customer_id: "123456789"
    api_key: sandbox-webflow-key
    user_domain: salesforce
    events: {Order Completed: order-completed}
    known_events: [order-completed]
    event_field: apiName
    dialect: event
    max_age_days: 7
    hash_user_id: "off"
    allow_negative_value: true
    round_value: true
    endpoint: ${SANDBOX}/webflow_optimize/event

imports:
  csv_keys:
    source: {type: csv, path: "keys/*.csv", delimiter: comma, encoding: utf-8}
    to: &all [goals, tracking, optimizely, converge, kameleoon, shop_de]
    columns: {order_id: Receipt}
    timezone: Europe/Berlin
    date_format: "%Y-%m-%d %H:%M:%S"
    locale: {decimal: ",", thousands: "."}
    spreadsheet: false
    schedule: "0 21 * * *"
    chunk_rows: 1000
    max_skew_minutes: 10
    max_bad_share: 0.5
  parquet_keys:
    source: {type: parquet, path: "keys/{end:%Y}/*.parquet"}
    to: *all
  query_keys:
    source: {type: sql, url: "sqlite:///keys/rows.db", query: "SELECT * FROM rows WHERE occurred_at >= :start"}
    to: *all
  table_keys:
    source: {type: sql, url: "sqlite:///keys/rows.db", table: rows, cursor: {column: number, overlap: 5}}
    to: *all
  drop_keys:
    source: {type: csv, storage: {endpoint_url: "http://127.0.0.1:9", key: test, secret: test}}
    drop: {inbox: a, processed: b, quarantine: c, settle_seconds: 1, max_bad_share: 0.1, receipts: false}
    to: *all
  drop_as_text:
    drop: d
    to: *all
"""

DYING = """
import os, signal, sys, threading
from etl import config, drops, pipeline
from etl.ledger import Ledger
name, state = sys.argv[1:]
mark, record = Ledger.mark_file, Ledger.record
second, turns = threading.Barrier(3), {}
def marked(self, info):
    found = mark(self, info)
    if info.state == state != "sending" and info.run_id:
        os.kill(os.getpid(), signal.SIGKILL)
    return found
def recorded(self, run_no, destination, sent):
    turns[destination] = turns.get(destination, 0) + 1
    if state == "sending" and turns[destination] == 2:
        second.wait(30)
        os.kill(os.getpid(), signal.SIGKILL)
    return record(self, run_no, destination, sent)
Ledger.mark_file, Ledger.record = marked, recorded
read = config.load("imports.yaml")
file = next(file for file in drops._listed(drops.box(read, "partner_orders"), "") if file.name == name)
drops.handle(read, file)
"""

COMMANDS = """
import json, typer
from etl.cli import app
def of(command, words):
    found = {" ".join(words): sorted(o for p in command.params for o in (*p.opts, *p.secondary_opts) if o[0] == "-")}
    for name, each in getattr(command, "commands", {}).items():
        found |= of(each, [*words, name])
    return found
print(json.dumps(of(typer.main.get_command(app), []), indent=1))
"""

KEYS = """
import json, pydantic, typing, yaml
from etl import config, destinations, sources
file = yaml.safe_load(open("every_key.yaml"))
def missing(model, given, where):
    for name, about in model.model_fields.items():
        values = [one[name] for one in given if name in one]
        if not values:
            raise SystemExit(f"{where}.{name} is in no example")
        kind = about.annotation
        kinds = [] if typing.get_origin(kind) is dict else [kind, *typing.get_args(kind)]
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, pydantic.BaseModel):
                missing(kind, [value for value in values if isinstance(value, dict)], f"{where}.{name}")
missing(config._File, [file], "file")
missing(config.ImportSettings, list(file["imports"].values()), "imports")
for type_ in destinations.types():
    given = [{"type": name, **each} for name, each in file["destinations"].items()]
    own = [one for one in given if one["type"] == type_]
    shared = {"endpoint", "limits", "retry", "hash", "type"}
    model = destinations.find(type_).settings_model
    missing(model, [*own, *({k: v for k, v in one.items() if k in shared} for one in given)], type_)
for type_ in sources.types():
    own = [each["source"] for each in file["imports"].values() if each.get("source", {}).get("type") == type_]
    storage = {"storage": file["imports"]["drop_keys"]["source"]["storage"]}
    missing(sources.find(type_).settings_model, [*own, storage], type_)
"""


def iso(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def store_orders(world: Any) -> None:
    """Rows for every vendor and every way to be turned away, and some of them again."""
    made = world.conversions("sample", "--with-problems", "--now", iso(MOMENT)).out
    header, *rows = list(csv.reader(io.StringIO(made, newline="")))
    left_out = {f"demo-good-{number}" for number in range(16, 31)}
    rows = [row for row in rows if row[0] not in left_out and len(row[0]) < 100 and len(row[1]) < 100]
    good = dict(zip(header, rows[2], strict=True))
    soon = {"event_id": "expires-soon", "occurred_at": iso(MOMENT - timedelta(days=7) + timedelta(minutes=30))}
    ahead = {"event_id": "ahead-of-the-clock", "occurred_at": iso(MOMENT + timedelta(minutes=4))}
    rows[15:15] = [list({**good, **each}.values()) for each in (soon, ahead)]
    again = [row for row in rows if row[0] in {f"demo-good-{n:02d}" for n in (1, 2, 3, 4, 8)}]
    again[-1] = [*again[-1]]
    again[-1][header.index("revenue")] = "1.99"
    again += [list({**good, "event_id": f"later-{n}", "order_id": f"ORD-later-{n}"}.values()) for n in (1, 2)]
    for name, lines in (("orders.csv", rows), ("orders_again.csv", again), ("good.csv", rows[:3])):
        with (world.folder / name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([header, *lines])


def partner(world: Any, name: str, orders: list[str], **changed: str) -> None:
    """A dropped file, as a German spreadsheet writes it: ``changed`` is event_id -> moment."""
    lines = ["Order No;event_name;Closed At;user_id;Net;currency;order_id;aliases;note"]
    for number, order in enumerate(orders):
        at = changed.get(order, f"{MOMENT - timedelta(minutes=30 + number):%d.%m.%Y %H:%M:%S}")
        lines.append(
            f"{order};Order Completed;{at};user-{order};1.019,9{number % 10};EUR;00{order[1:]};urn:user_id:{order};=A1"
        )
    path = world.folder / "drops" / name
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text("\r\n".join(lines) + "\r\n", encoding="utf-8")
    os.utime(path, times=((MOMENT - timedelta(minutes=10)).timestamp(),) * 2)


def database(path: Path, table: str, rows: list[dict[str, Any]]) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"CREATE TABLE {table} ({', '.join(rows[0])})")
        connection.executemany(
            f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", [tuple(r.values()) for r in rows]
        )


def crm(world: Any) -> None:
    """Six deals, one per hour."""
    at = [MOMENT - timedelta(hours=hours, minutes=10) for hours in range(6, 0, -1)]
    deals = [
        {
            "event_id": f"deal-{number}",
            "event_name": "Order Completed",
            "occurred_at": iso(moment),
            "anonymous_id": f"anon-deal-{number}",
            "revenue": "19.99",
            "currency": "GBP",
            "aliases": f"urn:user_id:deal-{number}",
            "kameleoon_visitor_code": f"deal{number}",
            "kameleoon_goal_id": "36151",
            "updated_at": f"{moment:%Y-%m-%dT%H:%M:%S+00:00}",
        }
        for number, moment in enumerate(at)
    ]
    database(world.folder / "crm.db", "deals", deals)


def every_key(world: Any) -> None:
    """Rows for an imports.yaml that knows every key."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    (world.folder / "every_key.yaml").write_text(EVERY_KEY)
    keys = world.folder / "keys"
    (keys / f"{MOMENT + timedelta(days=1):%Y}").mkdir(parents=True)
    row: dict[str, Any] = {
        "event_id": "key-1",
        "event_name": "Order Completed",
        "occurred_at": iso(MOMENT - timedelta(hours=1)),
        "user_id": "user-1",
        "anonymous_id": "anon-1",
        "email": "user-1@example.com",
        "phone": "+442079460123",
        "revenue": "1019.90",
        "currency": "GBP",
        "order_id": "0042",
        "quantity": "1",
        "aliases": "urn:user_id:user-1",
        "attributes": "{}",
        "kameleoon_visitor_code": "code1",
        "kameleoon_goal_id": "36151",
    }
    local = {**row, "occurred_at": f"{MOMENT:%Y-%m-%d %H:%M:%S}", "revenue": "1.019,90", "Receipt": row["order_id"]}
    del local["order_id"]
    with (keys / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([local.keys(), local.values()])
    pq.write_table(pa.Table.from_pylist([row]), keys / f"{MOMENT + timedelta(days=1):%Y}" / "rows.parquet")
    database(keys / "rows.db", "rows", [{**row, "number": 1}])


def lived(world: Any) -> None:
    """What happened while version 0.1.0 was in use."""
    from tests.previous.world import TROUBLE

    faults = [*TROUBLE[:-1], {"vendor": "converge", "drop": "after", "when_body_contains": "demo-good-09"}]
    down = [
        {"vendor": "webflow_optimize", "status": 503, "when_body_contains": f'"{name}"'}
        for name in ("demo-good-04", "expires-soon")
    ]
    later = {"vendor": "webflow_optimize", "status": 503, "when_body_contains": "demo-good-06"}
    world.sandbox.faults([*faults, *down, later])
    world.conversions("run", "store_orders")
    world.sandbox.faults(down)
    world.conversions("retry", "--import", "store_orders", "--to", "webflow_optimize", "--status", "failed")
    world.sandbox.clear_faults()
    world.conversions("run", "store_orders", ORDERS_CSV="orders_again.csv")
    world.conversions("run", "crm_deals")
    dropped(world)


def dropped(world: Any) -> None:
    """Files at every step of their way."""
    world.sandbox.faults(
        [
            {"vendor": "webflow_optimize", "status": 503, "when_body_contains": "P-102"},
            {"vendor": "converge", "status": 422, "body": "no", "when_body_contains": "P-103"},
        ]
    )
    partner(world, "monday.csv", [f"P-10{n}" for n in range(1, 6)], **{"P-104": "yesterday"})
    partner(world, "tuesday.csv", [f"P-20{n}" for n in range(1, 4)], **{"P-201": "yesterday", "P-202": "tomorrow"})
    (world.folder / "drops" / "wednesday.csv").write_text("Nummer;Datum\r\n1;heute\r\n")
    os.utime(world.folder / "drops" / "wednesday.csv", times=((MOMENT - timedelta(minutes=10)).timestamp(),) * 2)
    partner(world, "growing.csv", ["P-301", "P-302"])
    os.utime(world.folder / "drops" / "growing.csv", times=((MOMENT + timedelta(minutes=10)).timestamp(),) * 2)
    world.conversions("drops", "--once")
    world.sandbox.faults([{"vendor": "webflow_optimize", "status": 503, "when_body_contains": "P-402"}])
    late = f"{MOMENT - timedelta(days=6, hours=14):%d.%m.%Y %H:%M:%S}"
    partner(world, "taken.csv", ["P-501", "P-502", "P-503"])
    partner(world, "sending.csv", [f"P-6{n:02d}" for n in range(1, 13)])
    partner(world, "delivered.csv", ["P-401", "P-402", "P-403"], **{"P-402": late})
    partner(world, "spoilt.csv", ["P-701", "P-702"], **{"P-701": "yesterday", "P-702": "yesterday"})
    for state in ("taken", "sending", "delivered", "spoilt"):
        died = program(world, DYING, f"{state}.csv", state)
        assert died.returncode == -9, (state, died.stderr)
    world.sandbox.clear_faults()
    partner(world, "dryrun/trial.csv", ["P-801", "P-101"])


def program(world: Any, text: str, *words: str) -> Any:
    """A program that knows version 0.1.0 from inside."""
    environment = {**world.terminal.environment, "SANDBOX": world.sandbox.url, "TMPDIR": str(world.folder / "tmp")}
    command = [sys.executable, "-c", text, *words]
    return subprocess.run(command, cwd=world.folder, env=environment, capture_output=True, text=True, check=False)


def packed(name: str, value: Any) -> None:
    """Keep what is expected, with the same bytes every time."""
    target = LEFT / "expected" / f"{name}.json.gz"
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(gzip.compress(json.dumps(value, ensure_ascii=False).encode(), mtime=0))


def main() -> None:
    """Make it all anew."""
    shutil.rmtree(LEFT, ignore_errors=True)
    LEFT.mkdir()
    (LEFT / "moment.json").write_text(f"{int(MOMENT.timestamp() * 1000)}\n")
    from etl.sandbox import Sandbox
    from tests.previous import world as worlds  # it reads the moment

    ahead = MOMENT - datetime.now(UTC)
    vendors = Sandbox(now=lambda: datetime.now(UTC) + ahead)
    with tempfile.TemporaryDirectory() as folder, vendors as sandbox, worlds.Terminal(ahead) as terminal:
        world = worlds.World(Path(folder), sandbox, terminal)
        (world.folder / "imports.yaml").write_text(IMPORTS)
        store_orders(world)
        crm(world)
        every_key(world)
        lived(world)
        keep(world)
    with tempfile.TemporaryDirectory() as folder, worlds.an_hour_later() as terminal:
        with worlds.brought_back(Path(folder) / "printed", terminal) as again:
            printed(again)
        for name, scenario in worlds.SCENARIOS.items():
            with worlds.brought_back(Path(folder) / name, terminal) as again:
                packed(name, scenario(again))


def keep(world: Any) -> None:
    """The state of things, the ledger in one file and without the name of this folder."""
    shutil.rmtree(world.folder / "tmp")
    with closing(sqlite3.connect(world.folder / "ledger.db")) as connection:
        connection.execute("UPDATE files SET path = replace(path, ?, '/previous')", (str(world.folder),))
        connection.commit()
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("VACUUM")
        columns = {
            name: [column[1] for column in connection.execute(f"PRAGMA table_info({name})")]
            for (name,) in connection.execute(
                "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')"
            ).fetchall()
        }
    ledger = world.folder / "ledger.db"
    Path(f"{ledger}.gz").write_bytes(gzip.compress(ledger.read_bytes(), mtime=0))
    ledger.unlink()
    shutil.copytree(world.folder, LEFT / "state")
    packed("tables", columns)


def printed(world: Any) -> None:
    """What the command line and the views say of it."""
    tables = json.loads(gzip.decompress((LEFT / "expected" / "tables.json.gz").read_bytes()))
    packed("results", world.table())
    packed("results_all", world.table("--run", "all"))
    views = ("result_history", "results", "dead_letters", "last_entries")
    packed("views", {name: world.view(name, tables[name]) for name in views})
    packed("check", world.check())
    packed("destinations", json.loads(world.conversions("destinations", "--format", "json").out))
    packed("commands", json.loads(program(world, COMMANDS).stdout))
    found = program(world, KEYS)
    assert found.returncode == 0, found.stderr


if __name__ == "__main__":
    main()
