"""I: UTF-8 and UTF-16 are recognised, every other alphabet is declared, and what the file disproves is refused."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import pytest

from etl.report import Report
from tests.conftest import House, order
from tests.test_drops import text


class Case(NamedTuple):
    """Names in an encoding, what is declared, and part of the refusal; empty: the names arrive as they are."""

    names: list[str]
    written: str
    declared: Any
    refused: str = ""


WEST, POLAND, GREECE = ["Müller", "François", "Señor Núñez"], ["Gdańsk-7"], ["Παπαδόπουλος"]
CASES = {
    "plain ASCII needs nothing": Case(["Smith"], "ascii", None),
    "UTF-8": Case(WEST + POLAND + GREECE, "utf-8", None),
    "UTF-8 with its mark": Case(WEST, "utf-8-sig", None),
    "UTF-16 of Excel": Case(POLAND, "utf-16", None),
    "Windows-1250, undeclared": Case(POLAND, "cp1250", None, "line 2 is not UTF-8, .* likely cp1250"),
    "Windows-1252, undeclared": Case(WEST, "cp1252", None, r"set `encoding: \[utf-8, cp1252\]`"),
    "Shift-JIS, undeclared": Case(["山田太郎", "東京"], "shift_jis", None, "likely cp932"),
    "GBK, undeclared": Case(["北京", "张伟", "李娜"], "gbk", None, "likely gb18030"),
    "EUC-KR, undeclared": Case(["김철수", "서울"], "euc_kr", None, "likely euc-kr"),
    "cp850, undeclared": Case(["Müller", "Größe"], "cp850", None, "likely cp850"),
    "Windows-1251, undeclared": Case(["Иванов", "Петров"], "cp1251", None, "likely cp1251"),
    "KOI8-R, undeclared": Case(["Иванов", "Петров"], "koi8_r", None, "likely koi8-r"),
    "Windows-1253, undeclared": Case(GREECE, "cp1253", None, "likely cp1253"),
    "Windows-1254, undeclared": Case(["Yılmaz", "Şen", "Öztürk"], "cp1254", None, "likely cp1254"),
    "ISO-2022-JP looks like ASCII": Case(["山田太郎"], "iso2022_jp", None, "likely iso2022-jp"),
    "Big5, declared": Case(["台北", "王小明"], "big5", "big5"),
    "Windows-1252, declared": Case(WEST, "cp1252", "cp1252"),
    "a list, UTF-8 first": Case(WEST, "utf-8", ["utf-8", "cp1252"]),
    "a list, the other": Case(WEST, "cp1252", ["utf-8", "cp1252"]),
    "a list with UTF-8 last": Case(WEST, "utf-8", ["cp1252", "utf-8"]),
    "a list, with the mark of UTF-8": Case(WEST, "utf-8-sig", ["utf-8", "cp1252"]),
    "a list, Japanese": Case(["山田太郎", "ﾃｽﾄ"], "cp932", ["utf-8", "cp932"]),
    "a list of which nothing fits": Case(
        ["山田", "表示"], "shift_jis", ["utf-8", "ascii"], "none of what `encoding` lists"
    ),
    "Windows-1252 declared over UTF-8": Case(
        WEST, "utf-8", "cp1252", "says cp1252, but line 2 is UTF-8. Leave `encoding` out"
    ),
    "one letter of it": Case(["Żak"], "utf-8", "cp1250", "says cp1250, but line 2 is UTF-8"),
    "Windows-1252 declared over UTF-8 with its mark": Case(WEST, "utf-8-sig", "cp1252", "the mark of UTF-8"),
    "Shift-JIS declared over UTF-8": Case(["山田太郎"], "utf-8", "shift_jis", "says shift_jis, but line 2 is UTF-8"),
    "Latin-1 declared over Windows-1252": Case(
        ["10 € für “Jörg”"], "cp1252", "latin-1", "no letters in it.* likely cp1252"
    ),
    "UTF-8 declared over Windows-1252": Case(WEST, "cp1252", "utf-8", "says UTF-8, but line 2 is not"),
    "half-width letters in Shift-JIS": Case(["ﾃｽ"], "shift_jis", "shift_jis"),
    "a brand in Windows-1252": Case(["NESTLÉ®", "Müller"], "cp1252", "cp1252"),
}


def run(house: House, content: bytes, declared: Any) -> Report:
    (house.folder / "orders.csv").write_bytes(content)
    house.to = ["converge"]
    house.overrides = {"converge": {"aliases_from": ["user_id"]}}
    encoding = {} if declared is None else {"encoding": declared}
    house.import_settings = {"source": {"type": "csv", "path": "orders.csv", **encoding}}
    return house.run()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_names_arrive_as_they_are_or_the_file_is_refused(house: House, case: Case) -> None:
    rows = [order(number, user_id=name) for number, name in enumerate(case.names)]
    report = run(house, text(rows).encode(case.written), case.declared)
    received = str([entry["item"] for entry in house.sandbox.received("converge")])
    if case.refused:
        assert report.exit_code == 2
        assert re.search(case.refused, report.run.stop_detail), report.run.stop_detail
        assert received == "[]"
    else:
        assert report.by_status("converge") == {"delivered": len(rows)}, report.run.stop_detail
        assert all(name in received for name in case.names)


def test_what_the_refusal_says_to_paste_reads_the_file(house: House) -> None:
    content = text([order(1, user_id="Łódź"), order(2, user_id="Žižka")]).encode("cp1250")
    said = run(house, content, None).run.stop_detail or ""
    assert "Save as" in said
    pasted = said.partition("`encoding: [")[2].partition("]`")[0].split(", ")
    assert pasted == ["utf-8", "cp1250"]
    assert run(house, content, pasted).by_status("converge") == {"delivered": 2}
    assert "Łódź" in str(house.sandbox.received("converge"))


def test_two_files_joined_in_two_encodings_are_refused_whatever_is_declared(house: House) -> None:
    content = text([order(1, user_id="Müller")]).encode() + "".join(
        text([order(n, user_id="Jörg")]).partition("\n")[2] for n in (2, 3)
    ).encode("cp1252")
    for declared in (None, "cp1252", ["utf-8", "cp1252"]):
        report = run(house, content, declared)
        assert report.exit_code == 2
        assert "line 3" in report.run.stop_detail or "line 2 is UTF-8 and line 3 is not" in report.run.stop_detail
    assert house.sandbox.received("converge") == []


def test_a_damaged_character_costs_only_its_row(house: House) -> None:
    rows = text([order(1, user_id="Müller"), order(2, user_id="Jörg"), order(3, user_id="X~Y")]).encode()
    report = run(house, rows.replace(b"~", b"\xf6"), None)
    assert report.counts["converge"] == {("delivered", ""): 2, ("rejected", "undecodable"): 1}
