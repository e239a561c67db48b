"""Several rounds on one inbox, on one machine and on two: one works a file, the others say so, receipts come once."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from etl.ledger import FileInfo, open_ledger
from tests.conftest import House, order
from tests.faults.harness import ROOT


def started(house: House, machine: str) -> subprocess.Popen[str]:
    """A round on one of several machines, whose locks are their own."""
    command = [sys.executable, "-m", "etl.cli", "--config", str(house.config.path), "drops", "--once"]
    environment = {**os.environ, "CONVERSIONS_STATE": str(house.folder / machine)}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def dropped(house: House, ledger_url: str, names: list[str]) -> Path:
    house.ledger_url, house.to = ledger_url, ["kameleoon"]
    inbox = house.folder / "inbox"
    inbox.mkdir()
    house.import_settings = {"drop": {"inbox": str(inbox), "settle_seconds": 0}}
    for number, name in enumerate(names):
        house.write([order(10 * number + n) for n in range(10)], f"inbox/{name}")
    open_ledger(house.config).close()
    return inbox


def answered(inbox: Path, names: list[str]) -> None:
    """Every file is answered once, beside where it was moved, and its receipt says what became of it."""
    expected = {each for name in names for each in (name, f"{name[:-4]}.result.csv", f"{name[:-4]}.summary.html")}
    assert {path.name for path in (inbox / "processed").iterdir()} == expected
    assert [path for path in inbox.iterdir() if path.is_file()] == []
    for name in names:
        with (inbox / "processed" / f"{name[:-4]}.result.csv").open(encoding="utf-8-sig", newline="") as file:
            assert {row["kameleoon status"] for row in csv.DictReader(file)} <= {"delivered", "duplicate"}


def test_two_rounds_at_once(house: House, ledger_url: str) -> None:
    names = ["a.csv", "b.csv", "c.csv"]
    inbox = dropped(house, ledger_url, names)
    house.sandbox.fault(vendor="kameleoon", delay_ms=300)
    rounds = [started(house, "one"), started(house, "one"), started(house, "two")]
    told = [running.communicate(timeout=120) for running in rounds]
    assert [running.returncode for running in rounds] == [0, 0, 0], told
    assert sum(out.count(": processed") for out, _ in told) == 3, told
    answered(inbox, names)
    assert house.sandbox.counts()["kameleoon"]["counted"] == 30


def test_a_round_that_sleeps_past_its_lease_leaves_the_file_to_who_took_it_over(house: House, ledger_url: str) -> None:
    house.lease = "2s"
    inbox = dropped(house, ledger_url, ["a.csv"])
    house.sandbox.fault(vendor="kameleoon", delay_ms=1_500)
    first = started(house, "one")
    while not house.sandbox.counts()["kameleoon"]["knocks"]:
        assert first.poll() is None, first.communicate()
        time.sleep(0.02)
    first.send_signal(signal.SIGSTOP)
    house.sandbox.clear_faults()
    time.sleep(3)
    second = started(house, "two")
    told, err = second.communicate(timeout=120)
    assert "a.csv: processed" in told, err
    first.send_signal(signal.SIGCONT)
    told, err = first.communicate(timeout=120)
    assert "taken over by another process" in told + err
    assert first.returncode == 0, err
    answered(inbox, ["a.csv"])
    ((state,),) = house.sql("SELECT state FROM files WHERE state <> 'sighted'")
    assert state == "done"


def test_a_file_that_two_meet_first_is_taken_once(house: House, ledger_url: str) -> None:
    house.ledger_url = ledger_url
    config = house.config  # written once: each look writes the file anew
    ready = threading.Barrier(4, timeout=30)
    won: list[int] = []

    def take(number: int) -> None:
        with open_ledger(config) as ledger:
            for content in range(20):
                ready.wait()
                if ledger.files.take(FileInfo("orders", f"{content}", "a.csv", 1, "taken", None, number), None):
                    won.append(content)

    open_ledger(config).close()
    threads = [threading.Thread(target=take, args=(number,), daemon=True) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(won) == list(range(20))
