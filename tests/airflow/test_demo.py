"""The demo's own judgement, with the DAG run replaced by the same run without Airflow (`make demo` is the whole)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from etl import config, pipeline
from etl.airflow.local import demo
from etl.ledger import Ledger, open_ledger
from tests.airflow.airflow_world import ROOT


@pytest.fixture
def imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout in a temporary folder, and no Airflow in between."""
    imports = tmp_path / "imports.yaml"
    imports.write_text((ROOT / "imports.yaml").read_text())
    monkeypatch.setattr(demo, "ROOT", tmp_path)
    monkeypatch.setattr(demo, "IMPORTS", imports)
    monkeypatch.setattr(demo, "FOLDER", tmp_path / "var" / "demo")
    monkeypatch.setattr(demo, "_run_dag", lambda file, out: pipeline.run(config.load(file), demo.IMPORT))
    for name in ("SANDBOX", "ORDERS_CSV", "CONVERT_API_KEY", "CONVERGE_TOKEN"):
        monkeypatch.setenv(name, "from-outside")  # so that what the demo sets is taken back
    return imports


def test_the_demo_holds_and_holds_again(imports: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main() == 0
    told = capsys.readouterr().out
    assert "All of it held" in told
    assert "demo-missing-aliases" in told
    ledger = Ledger(config.load(imports).ledger_url)
    assert len(ledger.runs.all()) == 2

    assert demo.main() == 0
    told = capsys.readouterr().out
    assert "var/ledger.db knows these conversions from an earlier run" in told
    assert "All of it held" in told
    assert len(ledger.runs.all()) == 2
    ledger.close()


def test_the_demo_stays_away_from_real_vendors(imports: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = imports.read_text()
    imports.write_text(text.replace("${SANDBOX:-http://127.0.0.1:8900}/kameleoon", "https://eu-data.kameleoon.io"))
    assert demo.main() == 1
    assert "imports.yaml delivers kameleoon to eu-data.kameleoon.io and not to the sandbox" in capsys.readouterr().out
    assert not (imports.parent / "var" / "ledger.db").exists()


def test_the_demo_notices_a_second_sending(
    imports: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = pipeline.run

    def forgetful(loaded: config.Config, name: str, **options: Any) -> Any:
        """The second time the ledger has lost its memory of one destination."""
        ledger = open_ledger(loaded)
        with ledger.database.engine.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE entries SET state = 0 "
                "WHERE destination_no = (SELECT destination_no FROM destinations WHERE name = 'optimizely')"
            )
        ledger.close()
        return run(loaded, name, **options)

    monkeypatch.setattr(demo, "_run_dag", lambda file, out: run(config.load(file), demo.IMPORT))
    monkeypatch.setattr(pipeline, "run", forgetful)
    assert demo.main() == 1
    assert "optimizely got requests from a run that had nothing to send" in capsys.readouterr().out
