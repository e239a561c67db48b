"""Encodings as exports have them: what is declared and cannot be is refused, what is unlikely is a warning."""

from __future__ import annotations

from typing import Any

import pytest

from etl.errors import ConfigError
from etl.report import Report
from tests.conftest import House, order

TEXTS = {
    "cp1250": "Gdańsk Łódź żółć święty",
    "cp1251": "Москва Санкт-Петербург",
    "cp932": "東京都渋谷区 注文完了",
    "gbk": "北京市朝阳区 订单完成",
    "big5": "臺北市信義區 訂單完成",
    "euc-kr": "서울특별시 주문완료",
    "cp850": "Müller Straße Größe",
    "mac-roman": "Müller Straße Größe",
    "cp1252": "Peña Façade œuvre",
    "euc-jp": "東京都渋谷区 注文完了",
}


def run(house: House, content: bytes, encoding: Any = None) -> Report:
    (house.folder / "orders.csv").write_bytes(content)
    house.to = ["converge"]
    house.overrides = {"converge": {"aliases_from": ["user_id"]}}
    source = {"type": "csv", "path": "orders.csv"} | ({} if encoding is None else {"encoding": encoding})
    house.import_settings = {"source": source, "extra_columns": ["town"]}
    return house.run()


def file(town: str) -> str:
    row = {**order(1), "town": town}
    return f"{','.join(row)}\n{','.join(row.values())}\n"


def towns(house: House) -> list[str]:
    return [entry["item"]["properties"]["town"] for entry in house.sandbox.received("converge")]


@pytest.mark.parametrize("encoding", TEXTS)
def test_each_encoding_is_read_where_it_is_declared_in_any_order_and_refused_where_it_is_not(
    house: House, encoding: str
) -> None:
    content = file(TEXTS[encoding]).encode(encoding)
    assert run(house, content).exit_code == 2
    run(house, content, ["utf-8", encoding])
    assert towns(house) == [TEXTS[encoding]]
    assert run(house, file(TEXTS[encoding]).encode(), [encoding, "utf-8"]).by_status("converge") == {"duplicate": 1}
    assert (
        "line 2 is UTF-8. Leave `encoding` out." in run(house, file(TEXTS[encoding]).encode(), encoding).run.stop_detail
    )


@pytest.mark.parametrize("encoding", ["cp1250", "cp1251", "gbk", "euc-kr", "mac-roman"])
def test_letters_of_no_language_under_a_declared_encoding_are_a_warning(house: House, encoding: str) -> None:
    report = run(house, file(TEXTS[encoding]).encode(encoding), ["utf-8", "cp1252"])
    (said,) = [each.sentence for each in report.warnings if each.code == "encoding_doubtful"]
    likely = {"gbk": "gb18030"}.get(encoding, encoding)
    assert f"likely {likely}" in said
    assert TEXTS[encoding] not in said


@pytest.mark.parametrize("town", ["Müller Straße", "Peña ¿Qué?", "Été à Genève", "Façade œuvre", "Ærø Åse", "São João"])
@pytest.mark.parametrize("encoding", ["cp1252", ["utf-8", "cp1252"]], ids=["alone", "listed"])
def test_letters_of_a_language_are_none(house: House, town: str, encoding: Any) -> None:
    report = run(house, file(town).encode("cp1252"), encoding)
    assert [each for each in report.warnings if each.code == "encoding_doubtful"] == []
    assert towns(house) == [town]


UTF16 = {
    "with its mark": ("utf-16", None),
    "declared in its order": ("utf-16-le", "utf-16-le"),
    "declared, big end first": ("utf-16-be", "utf-16-be"),
    "in a list": ("utf-16-be", ["utf-8", "utf-16-be"]),
}


@pytest.mark.parametrize(("written", "declared"), UTF16.values(), ids=UTF16)
def test_utf_16_is_read(house: House, written: str, declared: Any) -> None:
    run(house, file("Łódź").replace(",", "\t").encode(written), declared)
    assert towns(house) == ["Łódź"]


REFUSED = {
    "no mark, nothing declared": ("utf-16-le", None, "this looks like UTF-16 without its mark"),
    "no mark, utf-16 declared": ("utf-16-le", "utf-16", "does not begin with its mark. Set `encoding: utf-16-le`"),
    "no mark, big end first": ("utf-16-be", "utf-16", "does not begin with its mark"),
    "utf-32 declared": ("utf-32-le", "utf-32", "does not begin with its mark"),
}


@pytest.mark.parametrize(("written", "declared", "sentence"), REFUSED.values(), ids=REFUSED)
def test_utf_16_that_does_not_say_its_order_is_refused(
    house: House, written: str, declared: Any, sentence: str
) -> None:
    report = run(house, file("Łódź").encode(written), declared)
    assert report.exit_code == 2
    assert sentence in report.run.stop_detail


@pytest.mark.parametrize("content", [bytes(range(256)) * 20, b"]\x00\x00\x80\x00" + b"\xff" * 40], ids=["any", "lzma"])
def test_what_is_no_text_is_not_taken_for_utf_16(house: House, content: bytes) -> None:
    report = run(house, content)
    assert report.exit_code == 2
    assert "UTF-16" not in report.run.stop_detail


@pytest.mark.parametrize("encoding", [1252, "ansi", "base64", "rot13", "unicode_escape", "idna", [["cp1252"]]], ids=str)
def test_what_is_no_encoding_is_one_sentence(house: House, encoding: Any) -> None:
    with pytest.raises(ConfigError) as refused:
        run(house, b"a\n", encoding)
    assert "source.encoding" in str(refused.value)
    assert "\n" not in str(refused.value)
