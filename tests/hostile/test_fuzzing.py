"""Bytes that nobody meant: of CSV files, of settings and of vendors' answers. What comes of them is one of our errors.

The same bytes every time: the examples are drawn without a seed of their own.
"""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl import config, destinations, preview, sources
from etl.errors import ConfigError, SourceError
from etl.model import Response, Status, Verdict
from etl.sources.base import Window
from tests.conftest import destinations as configured

QUIET = settings(max_examples=60, derandomize=True, deadline=None, database=None)
FRAGMENTS = st.sampled_from(
    [b"event_id", b",", b'"', b"\n", b"\r", b"\x00", b"\xff", b"\xef\xbb\xbf", b";", b"1", b"\xed\xa0\x80", b"a" * 300]
)
ANSWERS = st.one_of(
    st.binary(max_size=200),
    st.sampled_from(
        [b"null", b"[]", b"{}", b"[" * 3000, b'{"code": "x"}', b'{"code": 1e400}', b'{"data": 7}', b'"\\ud800"', b"NaN"]
    ),
)


@QUIET
@given(content=st.one_of(st.binary(max_size=300), st.lists(FRAGMENTS, max_size=40).map(b"".join)))
def test_a_csv_of_any_bytes_is_rows_or_a_sentence(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "orders.csv").write_bytes(content)
        (Path(folder) / "imports.yaml").write_text(
            "imports: {orders: {source: {type: csv, path: orders.csv}, to: [converge]}}\n"
            "destinations: {converge: {webhook_token: x}}\n"
        )
        source = sources.import_source(config.load(Path(folder) / "imports.yaml"), "orders")
        with suppress(SourceError):
            numbers = [row for frame in source.frames(Window(), 7) for row in frame.index]
            assert numbers == sorted(set(numbers)), "every row has a number of its own"


@QUIET
@given(
    content=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: text.encode(errors="replace")))
)
def test_settings_of_any_bytes_are_a_sentence(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "imports.yaml"
        file.write_bytes(content)
        with suppress(ConfigError):
            preview.check_settings(config.load(file))


@pytest.mark.parametrize("vendor", destinations.types())
@QUIET
@given(body=ANSWERS, status=st.sampled_from([200, 201, 204, 206, 299, 302, 400, 409, 413, 422, 451, 501, 505]))
def test_an_answer_of_any_bytes_is_one_verdict_per_row(vendor: str, body: bytes, status: int) -> None:
    kind = destinations.find(vendor)
    settings_of = kind.settings_model.model_validate({"type": vendor, **configured("http://127.0.0.1:1")[vendor]})
    payloads = [b'{"actionId": "a"}'] * 3
    verdicts = kind(vendor, settings_of).results(payloads[: kind.facts.max_items], Response(status, {}, body))
    assert len(verdicts) == min(3, kind.facts.max_items)
    assert all(isinstance(verdict, Verdict) for verdict in verdicts)
    if not 200 <= status < 300:
        assert all(verdict.status is not Status.DELIVERED for verdict in verdicts)
    assert all(len(verdict.detail) < 1000 for verdict in verdicts), "no answer is copied into the ledger"
