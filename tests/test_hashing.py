"""What `hash:` keeps from leaving in clear, against published vectors."""

from __future__ import annotations

import hashlib

import pandas as pd
import pytest

from etl.destinations.base import hashed, hashed_ids
from tests.conftest import House, order

ADA = "b5fc85e55755f9e0d030a10ab4429b6b2944855f9a0d60077fe832becbc41d72"
PHONE = "1e231c66011e7a2d867a9cfae267a6aff103cf4913640b6e71a99850fc0ffbc8"
DIGITS = "e323ec626319ca94ee8bff2e4c87cf613be6ea19919ed1364124e16807ab3176"


@pytest.mark.parametrize(
    ("how", "text", "digest"),
    [
        pytest.param("sha256-email", "ada@example.com", ADA, id="e-mail"),
        pytest.param("sha256-email", "  Ada@Example.COM ", ADA, id="e-mail trimmed and lower-cased"),
        pytest.param("sha256-email", ADA, ADA, id="already hashed is left"),
        pytest.param("sha256-phone", "+1 (650) 555-1212", PHONE, id="phone as E.164"),
        pytest.param("sha256-phone", "001 650 555 1212", PHONE, id="00 is a plus"),
        pytest.param("sha256-phone", PHONE.upper(), PHONE, id="a digest is in lower case"),
        pytest.param("sha256-email", ADA.upper(), ADA, id="a digest of an e-mail, too"),
        pytest.param("sha256", ADA.upper(), ADA, id="a digest of an id, too"),
        pytest.param("sha256-phone-digits", "+16505551212", DIGITS, id="phone as digits"),
    ],
)
def test_vectors(how: str, text: str, digest: str) -> None:
    assert hashed(pd.Series([text], dtype="str"), how).tolist() == [digest]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("how", "text", "region", "fault"),
    [
        ("sha256-email", "call back", None, "not_an_email"),
        ("sha256-email", "ada@example", None, "not_an_email"),
        ("sha256-email", "Ada <ada@example.com>", None, "not_an_email"),
        ("sha256-email", "ada@example.com, bob@example.com", None, "not_an_email"),
        ("sha256-email", "a\u200bda@example.com", None, "not_an_email"),
        ("sha256-phone", "+1 555", None, "not_a_phone_number"),
        ("sha256-phone", "+44 20 7946 0958 ext. 12", None, "not_a_phone_number"),
        ("sha256-phone", "call +44 20 7946 0958", None, "not_a_phone_number"),
        ("sha256-phone", "+999 123456", None, "not_a_phone_number"),
        ("sha256-phone", "1", "DE", "not_a_phone_number"),
        ("sha256-phone", "0171 1234567", None, "phone_not_international"),
        ("sha256-phone", "15551234567", None, "phone_not_international"),
    ],
)
def test_what_is_none_is_not_hashed(how: str, text: str, region: str | None, fault: str) -> None:
    ids, faults = hashed_ids(pd.Series([text, None], dtype="str"), how, region)  # type: ignore[arg-type]
    assert ids.isna().all()
    assert faults.isna().tolist() == [False, True]
    assert faults[0] == fault


@pytest.mark.parametrize(
    ("text", "region", "number"),
    [
        ("+44 (0)20 7946 0958", None, "+442079460958"),
        ("0044 20 7946 0958", None, "+442079460958"),
        ("tel:+44-20-7946-0958", None, "+442079460958"),
        ("+49/151/1234567", None, "+491511234567"),
        ("0171 1234567", "DE", "+491711234567"),
        ("(020) 7946 0958", "GB", "+442079460958"),
        ("06 12 34 56 78", "FR", "+33612345678"),
        ("+39 06 6982 1234", "DE", "+390669821234"),
    ],
)
def test_a_phone_number_has_one_form(text: str, region: str | None, number: str) -> None:
    expected = hashlib.sha256(number.encode()).hexdigest()
    assert hashed(pd.Series([text], dtype="str"), "sha256-phone", region).tolist() == [expected]


def test_what_a_destination_hashes_leaves_only_hashed(house: House) -> None:
    house.to = ["converge"]
    house.overrides = {"converge": {"hash": {"email": "sha256", "phone": "sha256"}, "aliases_from": ["email"]}}
    house.write([order(1, email="Ada@example.com", phone="+1 650 555 1212"), order(2, phone="650 555 1212")])
    report = house.run()
    assert report.counts["converge"][("delivered", "phone_not_international")] == 1
    request, other = sorted(house.sandbox.requests("converge"), key=lambda each: "phone" not in each["body"])
    assert "phone" not in other["body"]
    assert "650" not in other["body"]
    assert ADA in request["body"]
    assert PHONE in request["body"]
    assert f"urn:email:{ADA}" in request["body"]
    assert "ada@" not in request["body"].lower()
    assert "650" not in request["body"].replace(PHONE, "").replace(ADA, "")
