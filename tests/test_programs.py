"""Where a server cannot be had or does not come up, what is said tells why and what to do."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests import mariadb, postgres
from tests.chromium import chromium
from tests.programs import Ended, Missing

SERVERS = Path(__file__).parent / "servers.sh"


def put(folder: Path, name: str, script: str) -> None:
    """A program of this name."""
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH, but for what stands in /usr/sbin."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_a_missing_program_is_named_with_what_to_do(only: Path) -> None:
    with pytest.raises(Missing, match=r"mariadb-install-db is needed .* tests/servers.sh .*\(mariadb-server-core\)"):
        mariadb.server().__enter__()
    put(only, "mariadb-install-db", "")
    put(only, "mariadbd", "")
    with pytest.raises(Missing, match=r"my_print_defaults is needed .*\(mariadb-client-core\)"):
        mariadb.server().__enter__()
    with pytest.raises(Missing, match=r"chromium or chromium-browser or google-chrome is needed .*\(chromium\)"):
        chromium().__enter__()


def test_the_last_words_of_a_server_that_does_not_come_up_are_shown(only: Path) -> None:
    for name in ("my_print_defaults", "mariadb-install-db"):
        put(only, name, "")
    put(only, "mariadbd", "echo no space left on device >&2; exit 3")
    with pytest.raises(Ended, match=r"did not start and ended with 3; its last words:\nno space left on device"):
        mariadb.server().__enter__()
    put(only, "mariadb-install-db", "echo FATAL ERROR: could not find a file; exit 1")
    with pytest.raises(Ended, match=r"mariadb-install-db ended with 1; its last words:\nFATAL ERROR"):
        mariadb.server().__enter__()
    put(only, "chromium", "echo cannot open display >&2; exit 1")
    put(only, "bash", 'exec /bin/bash "$@"')
    with pytest.raises(Ended, match=r"Chromium ended by itself; its last words:\ncannot open display"):
        chromium().__enter__()


def test_what_postgresql_says_when_it_does_not_start_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "xx_YY")
    with pytest.raises(Ended, match=r"(?s)PostgreSQL did not start: .*last words:.*invalid locale"):
        postgres.server().__enter__()


# -- servers.sh

ROOT, SOMEBODY = "echo 0", "echo 1000"
APT = """
case "$*" in *" mariadb-client-core") echo '#!/bin/sh' > {there}; {chmod} +x {there} ;; esac
"""


def servers(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", SERVERS, *words], env=dict(os.environ), capture_output=True, text=True, check=True
    )


@pytest.fixture
def half(only: Path) -> Path:
    """MariaDB's server without the program that its installer calls."""
    put(only, "mariadbd", "")
    put(only, "mariadb-install-db", "")
    return only


def test_without_apt_get_one_line_says_what_to_do(half: Path) -> None:
    (line,) = servers("mariadb").stderr.splitlines()
    assert "mariadb-client-core" in line
    assert "package manager, and have mariadbd, mariadb-install-db, my_print_defaults" in line


def test_without_root_one_line_says_what_to_do(half: Path) -> None:
    put(half, "apt-get", "exit 1")
    put(half, "id", SOMEBODY)
    assert servers("mariadb").stderr.endswith("mariadb-client-core. What to do: run once: sudo tests/servers.sh\n")


def test_root_with_apt_get_gets_what_is_missing_and_no_more(half: Path) -> None:
    chmod = next(place for place in ("/bin/chmod", "/usr/bin/chmod") if Path(place).exists())
    put(half, "id", ROOT)
    put(half, "apt-get", APT.format(there=half / "my_print_defaults", chmod=chmod))
    done = servers("mariadb")
    assert "apt-get install mariadb-client-core)" in done.stdout
    assert done.stderr == ""
    again = servers("mariadb")
    assert (again.stdout, again.stderr) == ("", "")


def test_what_apt_get_cannot_bring_is_said(half: Path) -> None:
    put(half, "id", ROOT)
    put(half, "apt-get", "exit 100")
    assert "Missing, so the tests that need it will fail: mariadb-client-core." in servers("mariadb").stderr
