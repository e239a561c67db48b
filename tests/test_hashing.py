"""What `hash:` keeps from leaving in clear, against published vectors."""

from __future__ import annotations

import pandas as pd
import pytest

from etl.destinations.base import hashed
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
        pytest.param("sha256-phone-digits", "+16505551212", DIGITS, id="phone as digits"),
    ],
)
def test_vectors(how: str, text: str, digest: str) -> None:
    assert hashed(pd.Series([text], dtype="str"), how).tolist() == [digest]  # type: ignore[arg-type]


def test_what_a_destination_hashes_leaves_only_hashed(house: House) -> None:
    house.to = ["converge"]
    house.overrides = {"converge": {"hash": {"email": "sha256", "phone": "sha256"}, "aliases_from": ["email"]}}
    house.write([order(1, email="Ada@example.com", phone="+1 650 555 1212"), order(2, phone="650 555 1212")])
    report = house.run()
    assert report.counts["converge"][("rejected", "phone_not_international")] == 1
    (request,) = house.sandbox.requests("converge")
    assert ADA in request["body"]
    assert PHONE in request["body"]
    assert f"urn:email:{ADA}" in request["body"]
    assert "ada@" not in request["body"].lower()
    assert "650" not in request["body"].replace(PHONE, "").replace(ADA, "")
