"""`make demo`: one run of the sample import's DAG to the sandbox vendors, its results, and proof that a second run
sends nothing. It keeps to var/, sends nothing anywhere but to localhost, and ends 0 only if all of it came true.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from etl import config, pipeline, report, sample, tables
from etl.airflow.local import home
from etl.airflow.local.home import ROOT
from etl.config import Config
from etl.destinations import make_destination
from etl.errors import ImporterError
from etl.ledger import Ledger, RunInfo, open_ledger
from etl.model import GOOD, Status
from etl.redact import host_of
from etl.report import Report
from etl.sandbox import Sandbox

IMPORT = "store_orders"
IMPORTS = ROOT / "imports.yaml"
FOLDER = ROOT / "var" / "demo"


class DemoFailed(Exception):
    """Something did not come true; the sentence says what."""


def main() -> int:
    """Run the demo; 0 when everything held, 1 and one sentence when not."""
    out = tables.console()
    try:
        with Sandbox() as sandbox:
            _demo(sandbox, out)
    except (DemoFailed, ImporterError) as error:
        out.print(Text(f"\nThe demo stopped: {error}", style="red"), soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        out.print("\nStopped; nothing is left running.")
        return 130
    return 0


def _demo(sandbox: Sandbox, out: Console) -> None:
    _say(out, f"The sandbox plays the vendors on {sandbox.url}.")
    _fresh_folder()
    orders = FOLDER / "orders.csv"
    with orders.open("w", encoding="utf-8", newline="") as text:
        sample.write(sample.showcase(datetime.now(UTC)), text)
    rows = sum(1 for _ in sample.showcase(datetime.now(UTC)))
    _say(out, f"{rows} sample conversions, one for every way to be turned away among them: {_short(orders)}")

    _environment(sandbox, orders)
    imports = _imports(sandbox, out)
    loaded = config.load(imports)
    with closing(open_ledger(loaded)) as ledger:
        _run_dag(imports, out)
        first = report.of(ledger, _new_run(ledger))
        _show_first(first, ledger, out)

        _say(out, "The same import once more, without Airflow this time. Nothing may be sent twice.")
        before = sandbox.counts()
        second = pipeline.run(loaded, IMPORT)
        _show_second(second, before, sandbox.counts(), out)
        _judge(first, second, ledger, before, sandbox.counts())
    all_held = "\nAll of it held: every row has one result, and what was delivered was delivered once."
    out.print(Text(all_held, style="green"))
    out.print(
        f"The log of the Airflow run is in {_short(FOLDER / 'airflow.log')}, the ledger in {_short_url(loaded)}. "
        "Next: `make airflow` for Airflow's own pages, or the README.",
        soft_wrap=True,
    )


# -- before


def _fresh_folder() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)


def _environment(sandbox: Sandbox, orders: Path) -> None:
    """Only sandbox credentials: whatever real ones the shell holds are for imports.yaml to ask and not for here."""
    for name in set(re.findall(r"\$\{(\w+)", IMPORTS.read_text(encoding="utf-8"))):
        os.environ.pop(name, None)
    os.environ |= {"SANDBOX": sandbox.url, "ORDERS_CSV": str(orders)}


def _imports(sandbox: Sandbox, out: Console) -> Path:
    """imports.yaml if its ledger has not seen the sample yet, else a copy with a ledger of its own.

    The ledger is never emptied or moved: it may be the only one who knows what was really delivered.
    """
    loaded = config.load(IMPORTS)
    _only_to_the_sandbox(loaded, sandbox)
    with closing(open_ledger(loaded)) as ledger:
        if not ledger.runs.latest(IMPORT):
            return IMPORTS
    _say(
        out,
        f"{_short_url(loaded)} knows these conversions from an earlier run, so they would all be duplicates. It stays "
        "as it is; this demo takes a ledger of its own.",
    )
    raw = yaml.safe_load(IMPORTS.read_text(encoding="utf-8"))
    copy = FOLDER / "imports.yaml"
    copy.write_text(yaml.safe_dump(raw | {"ledger": "sqlite:///ledger.db", "staging": "staging"}), encoding="utf-8")
    return copy


def _only_to_the_sandbox(loaded: Config, sandbox: Sandbox) -> None:
    """The sample is made up; it must not reach a vendor through an imports.yaml that has gone live."""
    for name in loaded.import_settings(IMPORT).to:
        destination = make_destination(loaded, name)
        if not destination.endpoint.startswith(f"{sandbox.url}/"):
            raise DemoFailed(
                f"imports.yaml delivers {name} to {host_of(destination.endpoint)} "
                "and not to the sandbox, and the "
                "demo's conversions are made up. Run it in a fresh clone."
            )


# -- the DAG


def _run_dag(imports: Path, out: Console) -> None:
    log = FOLDER / "airflow.log"
    environment = home.environment(FOLDER / "airflow", imports, CONVERSIONS_RETRY_DELAY_SECONDS="1")
    with log.open("wb") as said:
        _say(out, "Airflow makes itself a database (a few seconds).")
        with tables.spinner("airflow db migrate"):
            if not home.prepared(environment, said):
                raise DemoFailed(f"Airflow could not make its database; {_short(log)} says why.")
        _say(out, f"Airflow runs the DAG {IMPORT}: read, validate, then transform and load for each destination.")
        with tables.spinner(f"airflow dags test {IMPORT}"):
            code = home.quietly(home.command("dags", "test", IMPORT), environment, said)
    if code != 0:
        raise DemoFailed(f"The DAG run failed; {_short(log)} says why.")


def _new_run(ledger: Ledger) -> RunInfo:
    found = ledger.runs.latest(IMPORT)
    if not found:
        raise DemoFailed("The DAG run left no run in the ledger.")
    return found[0]


# -- after


def _show_first(first: Report, ledger: Ledger, out: Console) -> None:
    out.print()
    tables.counts(first.run, dict(first.rows), first.counts, out)
    out.print("\nThe rows that were not delivered, and why:\n")
    out.print(_table_of(_turned_away(ledger, first)))
    out.print()


def _turned_away(ledger: Ledger, first: Report) -> list[tuple[int, str, str, str, str, str]]:
    """(row, event_id, destinations, status, reason, sentence); destinations that say the same share a line."""
    bad = [status.value for status in Status if status not in GOOD]
    together: dict[tuple[Any, ...], list[str]] = {}
    for row in _rows(ledger, first.run.run_id, bad):
        key = (row["row_number"], row["event_id"], row["status"], row["reason"], row["detail"])
        together.setdefault(key, []).append(row["destination"])
    everywhere = len(first.rows)
    return [
        (number, event_id or "", "all" if len(names) == everywhere else ", ".join(names), status, reason, detail)
        for (number, event_id, status, reason, detail), names in sorted(together.items(), key=lambda pair: pair[0][0])
    ]


def _rows(ledger: Ledger, run_id: str, statuses: list[str]) -> Iterator[Mapping[str, Any]]:
    for block in ledger.results.table(run_ids=[run_id], statuses=statuses):
        yield from block


def _table_of(rows: list[tuple[int, str, str, str, str, str]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("row", justify="right")
    table.add_column("event_id", max_width=26, no_wrap=True, overflow="ellipsis")
    table.add_column("destination", overflow="fold")
    table.add_column("status", no_wrap=True)
    table.add_column("reason and detail", ratio=1)
    for number, event_id, destinations, status, reason, detail in rows:
        style = tables.STYLES.get(status, "")
        why = Text.assemble((tables.printable(reason), style), f": {tables.printable(detail)}" if detail else "")
        table.add_row(str(number), tables.printable(event_id), destinations, Text(status, style=style), why)
    return table


def _show_second(
    second: Report, before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]], out: Console
) -> None:
    out.print()
    tables.counts(second.run, dict(second.rows), second.counts, out)
    requests = ", ".join(f"{name} {before[name]['requests']} → {after[name]['requests']}" for name in second.rows)
    out.print(f"\nDelivery requests that the vendors got, before → after the second run: {requests}.", soft_wrap=True)


def _judge(
    first: Report,
    second: Report,
    ledger: Ledger,
    before: Mapping[str, Mapping[str, Any]],
    after: Mapping[str, Mapping[str, Any]],
) -> None:
    """Raise DemoFailed at the first thing that does not hold."""
    for name in first.rows:
        if before[name]["requests"] != after[name]["requests"]:
            raise DemoFailed(f"{name} got requests from a run that had nothing to send.")
    delivered = {_key(row) for row in _rows(ledger, first.run.run_id, [Status.DELIVERED.value])}
    duplicates = {_key(row) for row in _rows(ledger, second.run.run_id, [Status.DUPLICATE.value])}
    if not delivered:
        raise DemoFailed("Nothing was delivered.")
    if delivered != duplicates:
        raise DemoFailed("What the first run delivered and what the second found delivered differ.")
    again = {name: counts.get("delivered", 0) for name in second.rows if (counts := second.by_status(name))}
    if any(again.values()):
        raise DemoFailed(f"The second run delivered something: {again}.")


def _key(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["destination"], row["event_id"]


# -- words


def _say(out: Console, sentence: str) -> None:
    out.print(Text.assemble(("▸ ", "bold cyan"), sentence), soft_wrap=True)


def _short(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def _short_url(loaded: Config) -> str:
    return _short(Path(unquote(loaded.ledger_url.removeprefix("sqlite:///"))))


if __name__ == "__main__":
    sys.exit(main())
