"""What may be shown of addresses and settings, and what is secret in them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, SecretBytes, SecretStr

from etl import config, redact, sources
from etl.errors import ConfigError, LookupFailed
from etl.model import Request

HUSH = "hush/hush"


@pytest.mark.parametrize(
    ("location", "shown", "secrets"),
    [
        pytest.param("in/orders-?.csv", "in/orders-?.csv", set(), id="a path, a pattern"),
        pytest.param("in/ann@example.csv", "in/ann@example.csv", set(), id="a path with an @"),
        pytest.param("s3://bucket/a@b-?.csv", "s3://bucket/a@b-?.csv", set(), id="a bucket, a pattern"),
        pytest.param("http://h:8900/x?mail=ann@b.example", "http://h:8900/x", {"ann@b.example"}, id="an @ in a query"),
        pytest.param("http://[::1]:89/a@b", "http://[::1]:89/a@b", set(), id="a host of numbers"),
        pytest.param("https://ada:s3cret@h/x", "https://h/x", {"s3cret"}, id="a password"),
        pytest.param("https://ada:s3%2Fc@h/x", "https://h/x", {"s3%2Fc", "s3/c"}, id="a quoted password"),
        pytest.param("https://ada:s3@cret@h/x", "https://h/x", {"s3@cret"}, id="a password with an @"),
        pytest.param("sftp://ada:s3/cr?et@h/x", "sftp://h/x", {"s3/cr?et"}, id="a password with a slash"),
        pytest.param("https://t0ken@h/x", "https://h/x", {"t0ken"}, id="a token as the user"),
        pytest.param("sftp://ada@h/x", "sftp://h/x", set(), id="a user alone"),
        pytest.param("HTTPS://h/x?sig=hush", "HTTPS://h/x", {"sig=hush"}, id="in capitals"),
        pytest.param("https://h?sig=Hu+sh#top", "https://h", {"Hu+sh", "Hu sh"}, id="a query behind the host"),
        pytest.param("https://h/x?a=true&b=orders", "https://h/x", {"a=true&b=orders"}, id="words of a query"),
        pytest.param("simplecache::https://h/x?k=s3cret", "simplecache::https://h/x", {"s3cret"}, id="a chain"),
        pytest.param("zip://a?.csv::https://u:s3cret@h/z", "zip://a?.csv::https://h/z", {"s3cret"}, id="in an archive"),
    ],
)
def test_what_is_shown_of_an_address_and_what_is_secret_in_it(location: str, shown: str, secrets: set[str]) -> None:
    assert redact.redact_url(location) == shown
    found = set(redact.secrets_in_url(location))
    assert found >= secrets
    assert bool(found) == bool(secrets)
    assert not [secret for secret in found if secret in shown]


def test_words_of_a_query_are_no_secrets_by_themselves() -> None:
    found = redact.secrets_in_url("https://h/x?a=true&b=orders&key=sesame&c=1")
    assert {"a=true", "b=orders", "key=sesame", "sesame", "c=1"} <= set(found)
    assert not {"true", "orders", "1"} & set(found)


@pytest.mark.parametrize(
    ("url", "shown", "secrets"),
    [
        ("postgresql://ada:hush@db:5432/crm?x=1", "postgresql://db:5432/crm", ["hush"]),
        ("postgresql://db/crm?user=ada&password=hush-it", "postgresql://db/crm", ["password=hush-it", "hush-it"]),
        ("postgresql://ada:hu/sh@db/crm", "postgresql://db/crm", ["hu/sh"]),
        ("sqlite:////srv/a@b.db", "sqlite:////srv/a@b.db", []),
    ],
)
def test_databases(url: str, shown: str, secrets: list[str]) -> None:
    assert redact.redact_database_url(url) == shown
    assert redact.secrets_in_url(url) == secrets


@pytest.mark.parametrize(
    ("url", "host", "origin"),
    [
        ("https://ada:hush@Gate.example:8443/k3y?sig=1", "Gate.example:8443", "https://gate.example:8443"),
        ("https://gate.example?sig=1", "gate.example", "https://gate.example"),
        ("/elsewhere?sig=1", "", ""),
    ],
)
def test_hosts(url: str, host: str, origin: str) -> None:
    assert redact.host_of(url) == host
    assert redact.origin_of(url) == origin


class Inner(BaseModel):
    password: SecretStr
    raw: SecretBytes


class Outer(BaseModel):
    name: str = "orders"
    url: SecretStr
    inner: dict[str, list[Inner]]
    feed: str | None = None


def test_every_secret_of_settings_is_found_however_deep() -> None:
    inner = Inner(password=SecretStr("deep"), raw=SecretBytes(b"bytes"))
    settings = Outer(url=SecretStr("postgresql://ada:pw@db/crm"), inner={"a": [inner]}, feed="https://h/?sig=5ig9")
    found = redact.secrets_of(settings)
    assert set(found) >= {"deep", "bytes", "pw", "postgresql://ada:pw@db/crm", "sig=5ig9"}
    assert "orders" not in found


def test_an_address_of_a_database_that_holds_no_secret_is_none() -> None:
    assert redact.secrets_of(Outer(url=SecretStr("sqlite:///crm.db"), inner={})) == []
    assert redact.secrets_of(Outer(url=SecretStr("https://h/k3y"), inner={})) == ["https://h/k3y"]


def test_masks_take_what_is_quoted_and_leave_words_in_words() -> None:
    assert redact.mask(f"{HUSH} hush%2Fhush", [HUSH]) == "*** ***"
    assert redact.mask("postgresql://postgres@db", ["postgres", ""]) == "postgresql://***@db"
    assert redact.mask("xk3yx", ["k3y"]) == "x***x"


def test_a_request_is_shown_without_secrets_in_any_part_of_it() -> None:
    request = Request("POST", "https://h/k3y", {"Authorization": "Bearer k3y"}, b'{"key":"k3y","bad":"\xff"}')
    shown = redact.mask_request(request, ["k3y"])
    assert (shown.url, shown.headers) == ("https://h/***", {"Authorization": "Bearer ***"})
    assert shown.body == b'{"key":"***","bad":"\xff"}'


def test_errors_of_ours_pass_masked_and_keep_what_they_are() -> None:
    with pytest.raises(LookupFailed, match=r"^it says \*\*\*$") as caught, redact.masked_errors(["k3y"]):
        raise LookupFailed("it says k3y", "odd")
    assert caught.value.reason == "odd"
    with pytest.raises(ValueError, match="k3y"), redact.masked_errors(["k3y"]):
        raise ValueError("k3y")


def loaded(tmp_path: Path, text: str, **secrets: str) -> config.Config:
    (tmp_path / "imports.yaml").write_text(text)
    return config.load(tmp_path / "imports.yaml", secrets.get)


def test_sources_name_their_secrets_also_those_that_take_dropped_files(tmp_path: Path) -> None:
    text = """
destinations: {converge: {webhook_token: t}}
imports:
  crm: {source: {type: sql, url: "${CRM}", table: deals}, to: [converge]}
  feed: {source: {type: csv, path: "https://${USER}:${PASSWORD}@${HOST}/${FILE}"}, to: [converge]}
  drops:
    source: {type: csv, storage: {key: id, secret: s3cret}}
    drop: {inbox: "s3://bucket/in"}
    to: [converge]
"""
    found = loaded(
        tmp_path, text, CRM="postgresql://a:pw1@db/crm", USER="ada", PASSWORD="pw2", HOST="feed.example", FILE="k3y.csv"
    )
    assert {"postgresql://a:pw1@db/crm", "pw1"} <= set(sources.secrets_of(found, "crm"))
    assert {"pw2", "k3y.csv"} <= set(sources.secrets_of(found, "feed"))
    assert "feed.example" not in sources.secrets_of(found, "feed")
    assert sources.secrets_of(found, "drops") == ["s3cret"]


def test_a_query_shows_no_value_that_was_filled_in(tmp_path: Path) -> None:
    source = '{type: sql, url: "sqlite:///crm.db", query: "SELECT decrypt(x, \'${KEY}\') FROM t"}'
    text = f"destinations: {{converge: {{webhook_token: t}}}}\nimports: {{crm: {{source: {source}, to: [converge]}}}}"
    described = sources.import_source(loaded(tmp_path, text, KEY="hush-hush"), "crm").describe()
    assert described == "sqlite:///crm.db: SELECT decrypt(x, '${KEY}') FROM t …"


def test_the_addresses_of_a_file_are_searched_wherever_they_stand(tmp_path: Path) -> None:
    """Also beside a key that nobody knows; what has no value is left out."""
    text = """
ledger: postgresql://a:pw1@db/ledger
staging: "https://h/${NOWHERE}?sig=none"
destinations: {converge: {webhook_tokn: t, endpoint: "https://h/x?sig=pw2"}}
imports:
  crm: {source: {type: sql, url: "mysql://a:pw3@db/crm", tabel: deals}, to: [converge]}
  drops: {drop: "sftp://a:${PW}@h/in", to: [converge]}
"""
    found = loaded(tmp_path, text, PW="pw4")
    assert set(found.secrets()) == {"pw1", "sig=pw2", "pw3", "pw4"}
    with pytest.raises(ConfigError):
        sources.secrets_of(found, "crm")
