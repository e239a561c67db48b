"""The command line as its users meet it: words in, exit code, print-outs and files out."""

from __future__ import annotations

import csv
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import yaml
from s3fs import S3FileSystem
from typer.testing import CliRunner, Result

from etl import destinations
from etl.cli import app
from etl.ledger import RESULT_COLUMNS
from etl.sandbox import Sandbox
from tests.conftest import House, order

GOOD, SOME_ROWS, STOPPED = 0, 1, 2


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("CONVERSIONS_CONFIG", raising=False)


def conversions(house: House, *words: str) -> Result:
    """One command, with the house's imports.yaml."""
    path = house.config.path
    return CliRunner().invoke(app, ["--config", str(path), *words])


def started(*words: str, **options: Any) -> subprocess.Popen[str]:
    """One command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "etl.cli", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def counted(sandbox: Sandbox) -> dict[str, int]:
    return {vendor: counts["counted"] for vendor, counts in sandbox.counts().items()}


# -- help


@pytest.mark.parametrize(
    "command", ["", "destinations", "check", "run", "results", "retry", "ping", "sandbox", "sample", "ledger"]
)
def test_every_command_explains_itself(command: str) -> None:
    result = CliRunner().invoke(app, [*command.split(), "--help"])
    assert result.exit_code == GOOD
    assert "Usage: conversions" in result.output


def test_help_needs_no_heavy_module() -> None:
    program = (
        "import sys; from typer.testing import CliRunner; from etl.cli import app;"
        "CliRunner().invoke(app, ['--help']);"
        "print(*sorted({'pandas', 'pandera', 'aiohttp', 'sqlalchemy', 'pyarrow'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""


def test_a_run_with_nothing_to_send_loads_nothing_that_sends(house: House) -> None:
    house.to = ["converge"]
    house.write([order(1)])
    house.run()
    program = (
        "import sys; from typer.testing import CliRunner; from etl.cli import app;"
        "print(CliRunner().invoke(app, ['--config', sys.argv[1], 'run', 'orders']).exit_code);"
        "print(*sorted({'aiohttp', 'requests', 'alembic', 'botocore.session', 'airflow'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", program, str(house.config.path)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert found.stdout.split() == [str(GOOD)]


def test_the_command_line_needs_no_airflow(house: House) -> None:
    house.write([order(1)])
    program = (
        "import sys; sys.modules['airflow'] = None; from etl.cli import app;"
        "sys.argv = ['conversions', '--config', sys.argv[1], *sys.argv[2:]]; app()"
    )
    for words in ("check orders", "run orders", "retry", "results"):
        command = [sys.executable, "-c", program, str(house.config.path), *words.split()]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == GOOD, done.stderr


def test_without_a_command_there_is_help_and_with_a_wrong_one_a_sentence() -> None:
    assert "Usage" in CliRunner().invoke(app, []).output
    wrong = CliRunner().invoke(app, ["deliver"])
    assert (wrong.exit_code, wrong.stderr) == (2, "conversions: No such command 'deliver'. See `conversions --help`.\n")


# -- destinations


def test_destinations_need_no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    table = CliRunner().invoke(app, ["destinations"])
    assert table.exit_code == GOOD
    listed = json.loads(CliRunner().invoke(app, ["destinations", "--format", "json"]).output)
    assert [each["type"] for each in listed] == destinations.types()
    for each in listed:
        assert each["type"] in table.output
        assert each["because"] in table.output
    markdown = CliRunner().invoke(app, ["destinations", "--format", "markdown"]).output.splitlines()
    assert [line.split("`")[1] for line in markdown[2:]] == destinations.types()


# -- run


def test_what_is_delivered_once_is_a_duplicate_the_next_time(house: House) -> None:
    house.write([order(n) for n in range(40)])
    first = conversions(house, "run", "orders")
    assert (first.exit_code, first.stderr.splitlines()[0]) == (GOOD, "orders: chunk 0, 40 rows read")
    before = counted(house.sandbox)
    again = conversions(house, "run", "orders")
    assert again.exit_code == GOOD
    assert counted(house.sandbox) == before == dict.fromkeys(before, 40)
    assert [line.split() for line in again.stdout.splitlines()[3:8]] == [[name, "40", "40"] for name in sorted(before)]
    assert "duplicate" in again.stdout
    assert "somebody" not in again.stdout


def test_a_source_without_rows_is_told_in_one_line(house: House) -> None:
    house.write([])
    told = conversions(house, "run", "orders")
    assert (told.exit_code, told.stdout.splitlines()[1:]) == (
        0,
        ["The source had no rows, so there was nothing to send."],
    )


def test_rows_that_need_somebody_are_told_by_reason(house: House) -> None:
    rows = [order(1), order(2, occurred_at="2026-11-20T10:00:00"), order(3, user_id="jo@example.com", anonymous_id="x")]
    house.write(rows)
    result = conversions(house, "run", "orders", "--to", "convert,optimizely")
    assert result.exit_code == SOME_ROWS
    assert "1 rejected no_timezone · every destination" in result.stdout
    assert "Add an offset such as +01:00" in result.stdout
    assert "1 rejected looks_like_pii · convert" in result.stdout
    assert "conversions results --run" in result.stdout
    assert "jo@example.com" not in result.output


def test_a_destination_that_stops_ends_in_a_sentence_and_2(house: House) -> None:
    house.write([order(n) for n in range(3)])
    house.sandbox.fault(vendor="webflow_optimize", status=401)
    result = conversions(house, "run", "orders")
    assert result.exit_code == STOPPED
    assert "conversions: Webflow Optimize stopped: it answered 401" in result.stderr
    assert "Check the token" in result.stderr
    assert counted(house.sandbox) == {**dict.fromkeys(house.to, 3), "webflow_optimize": 0}


def test_a_dry_run_sends_and_writes_nothing(house: House) -> None:
    house.write([order(1)])
    result = conversions(house, "run", "orders", "--dry-run")
    assert result.exit_code == GOOD
    assert "The first request" in result.stdout
    assert set(counted(house.sandbox).values()) == {0}
    assert not (house.folder / "ledger.db").exists()


def test_the_window_of_a_run(house: House) -> None:
    house.import_settings = {"source": {"type": "csv", "path": "orders-{start:%Y-%m-%d}.csv"}}
    house.write([order(1)], "orders-2026-11-20.csv")
    naive = conversions(house, "run", "orders", "--from", "2026-11-20", "--until", "2026-11-21")
    assert naive.exit_code == GOOD
    zoned = conversions(house, "run", "orders", "--from", "2026-11-21T00:30:00+02:00", "--until", "2026-11-21T23:00Z")
    assert zoned.exit_code == GOOD
    assert "duplicate" in zoned.stdout
    backwards = conversions(house, "run", "orders", "--from", "2026-11-21", "--until", "2026-11-20")
    assert (backwards.exit_code, backwards.stderr.count("\n")) == (STOPPED, 1)
    assert "is not before --until" in backwards.stderr
    assert "ISO 8601" in conversions(house, "run", "orders", "--from", "yesterday").stderr


# -- check


def test_check_shows_reasons_and_first_requests_without_secrets(house: House) -> None:
    house.write([order(1, revenue="19.90"), order(2, occurred_at="1700000000"), order(3, aliases="")])
    result = conversions(house, "check", "orders")
    assert result.exit_code == SOME_ROWS
    assert "No destination gets these 1 row:" in result.stdout
    assert "timestamp_not_milliseconds" in result.stdout
    assert "missing_aliases" in result.stdout
    assert result.stdout.count("The first request:") == 5
    assert '"revenue": 19.90' in result.stdout
    assert "Bearer ***" in result.stdout
    assert "X-Webhook-Token: ***" in result.stdout
    assert "sandbox-" not in result.stdout
    assert set(counted(house.sandbox).values()) == {0}
    assert not (house.folder / "ledger.db").exists()


@pytest.mark.parametrize(
    ("endpoint", "shown"),
    [
        pytest.param("${GATE}/event?key=${KEY}", "http://gate.example/event?***", id="in a query"),
        pytest.param("http://gate.example/event?key=hush%2Dhush", "http://gate.example/event?***", id="written down"),
        pytest.param("http://ada:${KEY}@gate.example/event", "http://ada:***@gate.example/event", id="password"),
        pytest.param("${GATE}/${KEY}/event", "http://gate.example/***/event", id="in a path"),
        pytest.param("${GATE:-http://other.example}/event", "http://gate.example/event", id="a host is no secret"),
        pytest.param("http://${HOST}/event", "http://gate.example/event", id="a host alone"),
        pytest.param("http://${HOST}:${PORT}/event", "http://gate.example:8443/event", id="a host and its port"),
        pytest.param("http://${KEY}@gate.example/event", "http://***@gate.example/event", id="a user is no host"),
        pytest.param("http://${KEY}:1@gate.example/event", "http://***:***@gate.example/event", id="nor with a port"),
    ],
)
def test_what_is_secret_in_an_endpoint_is_not_shown(
    house: House, monkeypatch: pytest.MonkeyPatch, endpoint: str, shown: str
) -> None:
    monkeypatch.setenv("KEY", "hush-hush")
    monkeypatch.setenv("GATE", "http://gate.example")
    monkeypatch.setenv("HOST", "gate.example")
    monkeypatch.setenv("PORT", "8443")
    house.overrides = {"webflow_optimize": {"endpoint": endpoint}}
    house.write([order(1)])
    told = conversions(house, "check", "orders", "--to", "webflow_optimize").output
    assert f"POST {shown}\n" in told
    assert "hush" not in told


def test_check_a_file(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    (house.folder / "new [1]").mkdir()
    house.write([order(n) for n in range(30)], "new [1]/leads.csv")
    monkeypatch.chdir(house.folder / "new [1]")
    result = conversions(house, "check", "leads.csv", "--to", "kameleoon")
    assert result.exit_code == GOOD
    assert result.stdout.split()[:8] == [
        "destination",
        "rows",
        "ready",
        result.stdout.split()[3],
        "kameleoon",
        "30",
        "30",
        "kameleoon",
    ]


def test_check_shows_the_first_rows_of_many(house: House) -> None:
    house.write([order(n, revenue="lots") for n in range(50)])
    result = conversions(house, "check", "orders", "--to", "convert")
    assert "rejected: not_a_decimal 50" in result.stdout
    assert "… and 30 more" in result.stdout


def test_check_of_a_vendor_that_cannot_be_asked(house: House) -> None:
    house.write([order(1)])
    house.overrides = {"optimizely": {"datafile_url": f"{house.sandbox.url}/optimizely/datafiles/other.json"}}
    result = conversions(house, "check", "orders")
    assert result.exit_code == STOPPED
    assert "Stopped: Optimizely's datafile could not be had" in result.stdout


def test_what_steers_a_terminal_is_not_printed(house: House) -> None:
    house.write([order(1, event_id="\x1b[31mred\x1b[0m")])
    result = conversions(house, "check", "orders")
    assert "control_character" in result.stdout
    assert "\x1b[31mred" not in result.stdout


def test_the_name_of_a_file_does_not_steer_a_terminal(house: House) -> None:
    house.write([order(1)], "\x1b[31mred\nconversions: all is well.csv")
    (house.folder / "inbox").mkdir()
    (house.folder / "\x1b[31mred\nconversions: all is well.csv").rename(
        house.folder / "inbox/\x1b[31mred\nconversions: all is well.csv"
    )
    house.import_settings = {"drop": {"inbox": "inbox", "settle_seconds": 0}}
    result = conversions(house, "drops", "--once")
    assert "\x1b" not in result.output
    assert not any(line.startswith("conversions: all is well") for line in result.output.splitlines())
    house.write([order(1)], "empty\x1b[31m\n.csv")
    (house.folder / "empty\x1b[31m\n.csv").write_text("")
    house.import_settings = {"source": {"type": "csv", "path": "empty*.csv"}}
    result = conversions(house, "check", "orders")
    assert "\x1b" not in result.output
    assert "empty\N{REPLACEMENT CHARACTER}[31m\N{REPLACEMENT CHARACTER}.csv" in result.output.replace("\n", "")


# -- results


def test_a_spreadsheet_runs_nothing_of_the_results(house: House) -> None:
    house.write([order(1, event_id='=HYPERLINK("x")', event_name="@SUM(A1)"), order(2, event_id="-20")])
    house.to = ["converge"]
    conversions(house, "run", "orders")
    rows = list(csv.DictReader(conversions(house, "results", "--format", "csv").stdout.splitlines()))
    assert [row["event_id"] for row in rows] == ['\'=HYPERLINK("x")', "-20"]
    assert not any(cell.startswith(("=", "@")) for row in rows for cell in row.values())
    (first, _) = json.loads(conversions(house, "results", "--format", "json").stdout)
    assert first["event_id"] == '=HYPERLINK("x")'


@pytest.fixture
def ran(house: House) -> House:
    """A house with two runs behind it: 1 row, then 3 of which one is rejected."""
    house.write([order(1)])
    conversions(house, "run", "orders")
    house.write([order(1), order(2), order(3, occurred_at="")])
    assert conversions(house, "run", "orders").exit_code == SOME_ROWS
    return house


def test_results_are_those_of_the_latest_run(ran: House) -> None:
    result = conversions(ran, "results")
    assert result.exit_code == GOOD
    assert result.stdout.count("missing_occurred_at") == 5
    assert result.stdout.count("order-1 ") == 5
    rows = json.loads(conversions(ran, "results", "--format", "json").stdout)
    assert len(rows) == 15
    assert [list(row) for row in rows] == [list(RESULT_COLUMNS)] * 15
    assert {row["status"] for row in rows} == {"delivered", "duplicate", "rejected"}


def test_results_are_filtered(ran: House) -> None:
    words = (
        "results",
        "--import",
        "orders",
        "--to",
        "convert,kameleoon",
        "--status",
        "rejected,delivered",
        "--format",
        "json",
    )
    rows = json.loads(conversions(ran, *words).stdout)
    assert {(row["destination"], row["event_id"], row["status"]) for row in rows} == {
        (name, event_id, status)
        for name in ("convert", "kameleoon")
        for event_id, status in (("order-2", "delivered"), ("order-3", "rejected"))
    }
    whole = json.loads(conversions(ran, "results", "--run", "all", "--format", "json").stdout)
    assert len(whole) == 20
    earlier = next(row["run_id"] for row in whole if (row["event_id"], row["status"]) == ("order-1", "delivered"))
    first = json.loads(conversions(ran, "results", "--run", earlier, "--format", "json").stdout)
    assert [row["event_id"] for row in first] == ["order-1"] * 5
    assert conversions(ran, "results", "--status", "refused", "--format", "json").stdout == "[]\n"
    assert "No rows." in conversions(ran, "results", "--status", "refused").stdout


def test_results_in_files_say_the_same(ran: House, tmp_path: Path) -> None:
    for ending in ("json", "csv", "parquet", "txt"):
        assert conversions(ran, "results", "--run", "all", "--out", str(tmp_path / f"r.{ending}")).exit_code == GOOD
    rows = json.loads((tmp_path / "r.json").read_text())
    assert pyarrow.parquet.read_table(tmp_path / "r.parquet").to_pylist() == rows
    with (tmp_path / "r.csv").open(newline="") as file:
        as_text = list(csv.DictReader(file))
    assert as_text == [{name: "" if value is None else str(value) for name, value in row.items()} for row in rows]
    assert (tmp_path / "r.txt").read_text().count("order-1 ") == 10
    assert not list(tmp_path.glob(".*"))


def test_the_table_has_an_end(house: House) -> None:
    house.write([order(n) for n in range(250)])
    conversions(house, "run", "orders", "--to", "optimizely")
    result = conversions(house, "results")
    assert result.stdout.count("order-") == 200
    assert "… and 50 more: --format csv, json or parquet holds them all." in result.stdout


def test_results_before_anything_ran(house: House) -> None:
    result = conversions(house, "results")
    assert (result.exit_code, result.stdout) == (GOOD, "Nothing has run yet: conversions run IMPORT\n")


# -- retry


def test_failed_rows_are_sent_again(house: House) -> None:
    house.write([order(n) for n in range(5)])
    house.sandbox.fault(vendor="kameleoon", status=503)
    assert conversions(house, "run", "orders", "--to", "kameleoon").exit_code == STOPPED
    house.sandbox.clear_faults()
    again = conversions(house, "retry")
    assert again.exit_code == GOOD
    assert "sends again what is left of" in again.stdout
    assert counted(house.sandbox)["kameleoon"] == 5
    nothing = conversions(house, "retry")
    assert (nothing.exit_code, nothing.stdout) == (GOOD, "Nothing to send again.\n")


def test_doubtful_rows_wait_for_a_person_where_a_repeat_would_count(house: House) -> None:
    house.write([order(n) for n in range(3)])
    house.sandbox.fault(vendor="convert", drop="after", times=1)
    assert conversions(house, "run", "orders", "--to", "convert").exit_code == SOME_ROWS
    told = conversions(house, "retry")
    assert told.exit_code == GOOD
    assert "3 rows at convert may have been accepted, and Convert would count a repeat twice" in told.stdout
    assert "conversions retry --to convert --status unknown" in told.stdout
    assert counted(house.sandbox)["convert"] == 3
    insisted = conversions(house, "retry", "--to", "convert", "--status", "unknown")
    assert insisted.exit_code == GOOD
    assert counted(house.sandbox)["convert"] == 6
    assert conversions(house, "retry").stdout == "Nothing to send again.\n"


# -- ping


def test_ping_sends_no_conversion(house: House) -> None:
    result = conversions(house, "ping")
    assert result.exit_code == GOOD, result.output
    assert [line.split()[:2] for line in result.stdout.splitlines()] == [
        ["ok", f"{name}:"] for name in sorted(house.to)
    ]
    counts = house.sandbox.counts()
    assert {name: each["requests"] for name, each in counts.items()} == dict.fromkeys(house.to, 0)
    assert {name: each["knocks"] for name, each in counts.items()} == dict.fromkeys(house.to, 1)


def test_ping_says_what_is_wrong_with_whom(house: House) -> None:
    house.overrides = {
        "optimizely": {"account_id": "1"},
        "converge": {"webhook_token": "${NO_SUCH_TOKEN}"},
        "kameleoon": {"endpoint": "http://127.0.0.1:9/visit/events"},
    }
    lines = conversions(house, "ping", "optimizely", "converge", "kameleoon", "convert")
    assert lines.exit_code == STOPPED
    first, second, third, fourth = lines.stdout.splitlines()
    assert "failed  optimizely: The datafile belongs to account_id 12345678" in first
    assert "destinations.converge.webhook_token: ${NO_SUCH_TOKEN} has no value" in second
    assert "127.0.0.1:9 does not answer" in third
    assert fourth.startswith("ok      convert:")


# -- what cannot be done


def edited(house: House, change: Any) -> Path:
    """The house's imports.yaml, spoilt."""
    path = house.config.path
    raw = yaml.safe_load(path.read_text())
    change(raw)
    path.write_text(yaml.safe_dump(raw))
    return path


def top(**settings: Any) -> Any:
    return lambda raw: raw.update(settings)


def source(**settings: Any) -> Any:
    return lambda raw: raw["imports"]["orders"]["source"].update(settings)


def import_settings(**settings: Any) -> Any:
    return lambda raw: raw["imports"]["orders"].update(settings)


@pytest.mark.parametrize(
    ("change", "words", "sentence"),
    [
        (
            lambda raw: raw["destinations"]["kameleoon"].update(data_regoin="eu"),
            ["run", "orders"],
            "destinations.kameleoon.data_regoin: is not a known key (did you mean data_region?).",
        ),
        (
            lambda raw: raw["destinations"]["converge"].update(webhook_token="${NO_SUCH_TOKEN}"),
            ["run", "orders"],
            "destinations.converge.webhook_token: ${NO_SUCH_TOKEN} has no value",
        ),
        (lambda raw: None, ["run", "leads"], "imports.leads: there is no such import in imports.yaml"),
        (lambda raw: None, ["check", "leads"], "imports.leads: there is no such import in imports.yaml"),
        (lambda raw: None, ["results", "--import", "leads"], "imports.leads: there is no such import"),
        (lambda raw: None, ["run", "orders", "--to", "braze"], "destinations.braze: there is no such destination"),
        (lambda raw: None, ["ping", "braze"], "destinations.braze: there is no such destination"),
        (lambda raw: None, ["results", "--to", "braze"], "destinations.braze: there is no such destination"),
        (lambda raw: None, ["results", "--run", "r1"], "There is no run r1 in this ledger"),
        (lambda raw: None, ["retry", "--run", "r1"], "There is no run r1 in this ledger"),
        (lambda raw: None, ["retry", "--import", "leads"], "imports.leads: there is no such import"),
        (lambda raw: None, ["retry", "--to", "braze"], "destinations.braze: there is no such destination"),
        (lambda raw: None, ["run", "orders", "--to", ""], "--to names nothing: say which, or leave it out."),
        (lambda raw: None, ["run", "orders", "--dry-run", "--to", ","], "--to names nothing"),
        (lambda raw: None, ["check", "orders", "--to", " "], "--to names nothing"),
        (lambda raw: None, ["retry", "--to", ""], "--to names nothing"),
        (lambda raw: None, ["retry", "--status", ""], "--status names nothing"),
        (lambda raw: None, ["results", "--status", ","], "--status names nothing"),
        (lambda raw: None, ["results", "--status", "lost"], "--status lost: a status is one of delivered"),
        (lambda raw: None, ["run", "orders"], "source: no file at orders.csv"),
        (lambda raw: None, ["check", "missing.csv"], "missing.csv"),
        (lambda raw: raw.update(ledger="mysql://x"), ["results"], "ledger: mysql is not supported"),
        (lambda raw: None, ["results", "--format", "parquet"], "--format parquet needs --out FILE."),
        (
            lambda raw: None,
            ["results", "--out", "no/such/r.csv"],
            "conversions: no/such/r.csv: No such file or directory.",
        ),
        (
            source(path="foo://x"),
            ["run", "orders"],
            "source.path: foo:// is no place that can be read; use a path or s3://",
        ),
        (source(path="gs://x"), ["run", "orders"], "source.path: what reads gs:// is not installed here"),
        (source(path="~nobody-at-all/x.csv"), ["run", "orders"], "nobody of that name has a home folder here"),
        (source(path=""), ["run", "orders"], "imports.orders.source.path: String should have at least 1 character."),
        (source(encoding="idna"), ["run", "orders"], "imports.orders.source.encoding: idna is not an encoding such as"),
        (source(encoding="punycode"), ["run", "orders"], "encoding: punycode is not an encoding such as"),
        (top(staging="foo://x"), ["run", "orders"], "staging: foo:// is no place that can be read"),
        (top(staging="gs://x"), ["check", "orders"], "staging: what reads gs:// is not installed here"),
        (
            top(staging="s3://x"),
            ["check", "orders"],
            "staging: the bucket cannot be reached (NoCredentialsError): check",
        ),
        (top(staging="s3://x"), ["run", "orders"], "staging: the bucket cannot be reached (NoCredentialsError): check"),
        (top(keep_staged_days=10**6), ["results"], "keep_staged_days: Input should be less than or equal to 36500."),
        (top(ledger="postgresql://u:p@h:abc/d"), ["results"], "ledger: not a SQLAlchemy URL such as"),
        (top(ledger="postgresql+nope://u:p@h/d"), ["results"], "ledger: the driver nope cannot be used here"),
        (
            top(ledger="postgresql+asyncpg://u:p@h/d"),
            ["results"],
            "driver asyncpg cannot be used here; write postgresql://",
        ),
        (top(ledger="sqlite+aiosqlite:///x.db"), ["results"], "driver aiosqlite cannot be used here; write sqlite://"),
        (top(ledger="sqlite://"), ["run", "orders"], "ledger: a database in memory forgets what was delivered"),
        (
            import_settings(drop="foo://x"),
            ["drops", "--once"],
            "imports.orders.drop.inbox: foo:// is no place that can be read",
        ),
        (
            import_settings(timezone="Europe"),
            ["run", "orders"],
            "imports.orders.timezone: Europe is not a time zone such as Europe/Berlin",
        ),
        (lambda raw: None, ["run", "orders", "--from", "0001-01-01T00:00:00+14:00"], "beyond the years 1 to 9999"),
        (lambda raw: None, ["run", "orders", "--until", "9999-12-31T23:59:59-14:00"], "beyond the years 1 to 9999"),
        (lambda raw: None, ["sandbox", "--faults", "none.yaml"], "--faults none.yaml: No such file or directory"),
        (lambda raw: None, ["sandbox", "--faults", "."], "--faults .: Is a directory"),
    ],
)
def test_errors_are_one_sentence(
    house: House, monkeypatch: pytest.MonkeyPatch, change: Any, words: list[str], sentence: str
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(house.folder / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    result = CliRunner().invoke(app, ["--config", str(edited(house, change)), *words])
    assert result.exit_code == STOPPED
    told = result.output if words[0] == "ping" else result.stderr
    assert sentence in told
    assert told.count("\n") == 1
    assert "Traceback" not in result.output
    S3FileSystem.clear_instance_cache()  # the one without credentials


def test_no_imports_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["run", "orders"])
    assert (result.exit_code, result.stderr.count("\n")) == (STOPPED, 1)
    assert "imports.yaml does not exist: name the file with --config or $CONVERSIONS_CONFIG." in result.stderr


def test_global_options_are_taken_in_any_place(house: House) -> None:
    house.write([order(1)])
    path = house.config.path
    result = CliRunner().invoke(app, ["check", "orders", "--config", str(path), "--to", "converge"])
    assert result.exit_code == GOOD


def test_the_unexpected_is_one_sentence_and_a_traceback_on_request(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="conversions")  # set back afterwards, whatever -v makes of it

    def broken(*args: object, **options: object) -> None:
        raise ValueError("jo@example.com")

    monkeypatch.setattr("etl.pipeline.run", broken)
    house.write([order(1)])
    result = conversions(house, "run", "orders")
    sentence = "conversions: Unexpected ValueError; run with -v for the traceback.\n"
    assert (result.exit_code, result.stderr) == (STOPPED, sentence)
    assert "Traceback" in conversions(house, "run", "orders", "-v").stderr


# -- in a process of its own


def test_ctrl_c_ends_a_run_in_good_order(house: House) -> None:
    house.write([order(n) for n in range(400)])
    house.sandbox.fault(vendor="converge", delay_ms=100)
    running = started("--config", str(house.config.path), "run", "orders", "--to", "converge")
    while not house.sandbox.counts()["converge"]["counted"]:
        assert running.poll() is None
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=20)
    assert running.returncode == 130
    assert "conversions: Interrupted by Ctrl-C; the next run sends what is missing." in err
    house.sandbox.clear_faults()
    assert 0 < counted(house.sandbox)["converge"] < 400
    assert conversions(house, "run", "orders", "--to", "converge").exit_code == GOOD
    assert counted(house.sandbox)["converge"] == 400
    assert house.sandbox.counts()["converge"]["repeats"] == 0


def test_a_closed_pipe_ends_without_a_word() -> None:
    running = started("sample", "--rows", "200000")
    assert running.stdout is not None
    assert running.stderr is not None
    running.stdout.readline()
    running.stdout.close()
    assert running.wait(timeout=20) == 141
    assert running.stderr.read() == ""
    running.stderr.close()


def test_the_sandbox_serves_until_ctrl_c() -> None:
    running = started("sandbox", "--port", "0")
    assert running.stdout is not None
    assert running.stdout.readline().startswith("Sandbox on http://127.0.0.1:")
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=20)
    assert (running.returncode, err) == (GOOD, "")


def test_sandbox_faults_that_make_no_sense(tmp_path: Path) -> None:
    (tmp_path / "F.yaml").write_text("- {vendor: braze, status: 500}\n")
    result = CliRunner().invoke(app, ["sandbox", "--port", "0", "--faults", str(tmp_path / "F.yaml")])
    assert (result.exit_code, result.stderr.count("\n")) == (STOPPED, 1)
    assert "braze" not in result.stdout


# -- sample and ledger


def test_a_sample_goes_through(house: House) -> None:
    out = house.folder / "orders.csv"
    assert CliRunner().invoke(app, ["sample", "--rows", "60", "--out", str(out)]).exit_code == GOOD
    assert conversions(house, "run", "orders", "--to", "converge,kameleoon,webflow_optimize").exit_code == GOOD
    assert counted(house.sandbox)["converge"] == 60
    with out.open(newline="") as file:
        times = [datetime.fromisoformat(row["occurred_at"]) for row in csv.DictReader(file)]
    assert datetime.now(UTC) - timedelta(hours=37) < min(times) < max(times) < datetime.now(UTC)


def test_a_sample_goes_to_standard_output_by_default() -> None:
    lines = CliRunner().invoke(app, ["sample"]).stdout.splitlines()
    assert len(lines) == 1001
    assert lines[1].startswith("sample-0000001,Order Completed,")


def test_the_showcase_keeps_its_ids(house: House) -> None:
    CliRunner().invoke(app, ["sample", "--with-problems", "--out", str(house.folder / "orders.csv")])
    assert conversions(house, "run", "orders").exit_code == SOME_ROWS
    keys = {item["key"] for item in house.sandbox.received("webflow_optimize")}
    assert {"007", "9007199254740993123", "order 42 b", "Größe-Ä1"} <= keys


def test_ledger_upgrade(house: House) -> None:
    for _ in range(2):
        result = conversions(house, "ledger", "upgrade")
        assert (result.exit_code, result.stdout) == (GOOD, "The ledger is up to date.\n")
    assert (house.folder / "ledger.db").exists()


def test_out_leaves_devices_alone() -> None:
    assert CliRunner().invoke(app, ["sample", "--rows", "1", "--out", os.devnull]).exit_code == GOOD
    assert not Path(os.devnull).is_file()


# -- one vendor whole


@pytest.mark.parametrize("type_", destinations.types())
def test_one_vendor_is_shown_whole(type_: str) -> None:
    (shown,) = json.loads(CliRunner().invoke(app, ["destinations", type_, "--format", "json"]).output)
    facts, model = destinations.find(type_).facts, destinations.find(type_).settings_model
    assert shown["where_to_look"].endswith(".")
    assert "minute" in shown["where_to_look"]
    assert shown["events"] == dict(facts.events) != {}
    assert shown["troubleshooting"] == dict(facts.troubleshooting) != {}
    named = {setting["name"].partition(".")[0]: setting for setting in shown["settings"]}
    assert set(named) == set(model.model_fields)
    assert [name for name, setting in named.items() if not setting["meaning"].endswith(".")] == []
    table = CliRunner().invoke(app, ["destinations", type_]).output
    assert [name for name in (*named, *facts.events) if name not in table] == []


def test_a_vendor_is_shown_with_what_an_import_changes(house: House) -> None:
    house.overrides = {"kameleoon": {"events": {"Deal Won": 36151}}}
    (shown,) = json.loads(
        conversions(house, "destinations", "kameleoon", "--import", "orders", "--format", "json").output
    )
    assert shown["events_changed"] == {"Deal Won": "36151"}
    assert {event["name"]: event["default"] for event in shown["settings"]}["limits.items"] == "5000"
    told = conversions(house, "destinations", "braze")
    assert told.exit_code == 2
    assert "braze: there is no such destination" in told.stderr


def test_check_counts_every_row(house: House) -> None:
    house.to = ["webflow_optimize"]
    ahead = datetime.fromtimestamp(time.time() + 60, UTC).isoformat()
    house.write([order(1, webflow_user_id="7"), order(2, webflow_user_id="7", occurred_at=ahead)])
    lines = conversions(house, "check", "orders").output
    assert re.search(r"destination +rows +ready +failed", lines)
    assert re.search(r"webflow_optimize +2 +1 +1", lines)
    assert "failed: not_yet 1" in lines


def test_ping_doubts_an_address_that_answers_404(house: House) -> None:
    house.overrides = {"kameleoon": {"endpoint": f"{house.sandbox.url}/nobody/here"}}
    told = conversions(house, "ping", "kameleoon")
    assert told.exit_code == 0
    assert "404 to a request without conversions: the address is in doubt" in told.output
    assert "`data_region`" in told.output


def test_ping_and_check_doubt_a_site_code_of_another_form(house: House) -> None:
    house.to = ["kameleoon"]
    house.overrides = {"kameleoon": {"site_code": "F17C21U1AG"}}
    house.write([order(1)])
    assert "`site_code` is not ten small letters and digits" in conversions(house, "ping", "kameleoon").output
    assert "Note: `site_code` is not ten small letters and digits" in conversions(house, "check", "orders").output
