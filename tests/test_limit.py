"""A few real rows first: `--limit` sends so many to each destination, and a full run afterwards the rest."""

from __future__ import annotations

from typer.testing import CliRunner

from etl import destinations, retry
from etl.cli import app
from etl.report import Report
from tests.conftest import House, order
from tests.test_plan import write_sample
from tests.vendors import EVERYBODY


def counted(house: House) -> dict[str, int]:
    return {vendor: counts["counted"] for vendor, counts in house.sandbox.counts().items()}


def run(house: House, **how: int) -> Report:
    return retry.run(house.config, "orders", **how)[-1]  # type: ignore[arg-type]


def test_one_row_of_the_sample_to_everybody_and_the_rest_afterwards_once(house: House) -> None:
    write_sample(house)
    first = run(house, limit=1)
    assert {name: first.by_status(name)["delivered"] for name in EVERYBODY} == dict.fromkeys(EVERYBODY, 1)
    assert counted(house) == dict.fromkeys(EVERYBODY, 1)
    assert all(sum(first.by_status(name).values()) == first.rows[name] for name in EVERYBODY)
    full = run(house)
    assert all(full.by_status(name)["duplicate"] >= 1 for name in EVERYBODY)
    for name in EVERYBODY:
        keys = [entry["key"] for entry in house.sandbox.received(name) if entry.get("key")]
        assert len(keys) == len(set(keys)), f"{name} got a row twice"
        assert house.sandbox.counts()[name]["items"] == full.by_status(name)["delivered"] + 1


def test_rows_that_would_not_be_sent_do_not_count_and_those_beyond_have_no_result(house: House) -> None:
    house.to, house.import_settings = ["converge", "kameleoon"], {"chunk_rows": 4}
    rows = [order(n) for n in range(10)]
    house.write(rows[:2])
    run(house)
    house.write([rows[0], rows[1] | {"occurred_at": "yesterday"}, rows[2], rows[3] | {"aliases": ""}, *rows[4:]])
    report = run(house, limit=2)
    assert report.by_status("converge") == {"delivered": 2, "duplicate": 1, "rejected": 2}
    assert report.by_status("kameleoon") == {"delivered": 2, "duplicate": 1, "rejected": 1}
    assert report.rows == {"converge": 5, "kameleoon": 4}, "the second chunk is read, as far as converge needs it"
    told = house.results(run_ids=[report.run.run_id], destinations=["converge"])
    assert [row["row_number"] for row in told] == [1, 2, 3, 4, 5]


def test_where_there_are_fewer_rows_all_are_sent(house: House) -> None:
    house.to, house.import_settings = ["converge"], {"chunk_rows": 2}
    house.write([order(n) for n in range(5)])
    report = run(house, limit=100)
    assert (report.by_status("converge"), report.rows) == ({"delivered": 5}, {"converge": 5})


def test_no_watermark_moves_and_no_dead_letter_goes(house: House) -> None:
    house.sql("CREATE TABLE deals (event_id TEXT, event_name TEXT, occurred_at TEXT, aliases TEXT, at INTEGER)")
    for n in range(4):
        row = order(n)
        house.sql(
            f"INSERT INTO deals VALUES ('{row['event_id']}', 'Order Completed', '{row['occurred_at']}', "
            f"'urn:user_id:{n}', {n})"
        )
    url = house.config.ledger_url
    house.ledger_url = f"sqlite:///{house.folder}/other.db"
    cursor = {"column": "at", "overlap": "0"}
    house.to = ["converge"]
    house.import_settings = {"source": {"type": "sql", "url": url, "table": "deals", "cursor": cursor}}
    house.sandbox.fault(vendor="converge", status=401, times=1)
    assert run(house, limit=1).by_status("converge") == {"failed": 1}
    assert run(house, limit=2).by_status("converge") == {"delivered": 2}, "the same rows again, as a run of its own"
    assert house.sql("SELECT * FROM watermarks") == []
    assert [row[0] for row in house.sql("SELECT kind FROM runs")] == ["import", "import"]
    assert run(house).by_status("converge") == {"delivered": 2, "duplicate": 2}
    assert len(house.sql("SELECT * FROM watermarks")) == 1


def test_a_destination_that_stops_before_anything_is_sent_has_no_rows(house: House) -> None:
    house.to = ["optimizely", "converge"]
    house.write([order(1), order(2)])
    house.overrides = {"optimizely": {"datafile_url": f"{house.sandbox.url}/optimizely/datafiles/other.json"}}
    report = run(house, limit=1)
    assert (report.exit_code, report.rows) == (2, {"converge": 1, "optimizely": 0})


def test_the_command_ends_with_where_to_look(house: House) -> None:
    house.write([order(1), order(2)])
    told = CliRunner().invoke(app, ["--config", str(house.config.path), "run", "orders", "--limit", "1"])
    assert told.exit_code == 0, told.output
    for name in EVERYBODY:
        assert f"Where to look for it at {name}: {destinations.find(name).facts.where_to_look}" in told.stdout
    for words in (["--limit", "0"], ["--limit", "1", "--dry-run"]):
        assert CliRunner().invoke(app, ["--config", str(house.config.path), "run", "orders", *words]).exit_code == 2
