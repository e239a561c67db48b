"""Acme Ads, a vendor that does not exist: an array of conversions per request, repeats found by their id."""

from dataclasses import dataclass
from typing import Any

from etl.sandbox.base import (
    Answer,
    Incoming,
    Item,
    Malformed,
    Vendor,
    decode,
    is_integer,
    is_number,
    is_text,
    need,
    only,
    refuse,
)


@dataclass(frozen=True)
class Localhost(Vendor):
    """One account."""

    type = "acme_ads"
    account_id: str = "acme-1"
    api_key: str = "sandbox-acme-key"

    @property
    def delivery_path(self) -> str:
        """See `Vendor.delivery_path`."""
        return f"/accounts/{self.account_id}/conversions"

    def answer(self, request: Incoming) -> Answer:
        """Acme's answer to one request."""
        if request.path != self.delivery_path:
            return refuse(404, "no such path")
        if request.method != "POST":
            return only("POST")
        if request.headers.get("authorization") != f"Key {self.api_key}":
            return refuse(401, "wrong key")
        try:
            conversions = decode(request.body)
            need(isinstance(conversions, list), "body must be an array")
            for conversion in conversions:
                _check(conversion)
        except Malformed as error:
            return refuse(400, str(error))
        items = tuple(Item(conversion, conversion["id"], conversion["id"]) for conversion in conversions)
        return Answer(202, items=items, accepted=True)


def _check(conversion: Any) -> None:
    need(isinstance(conversion, dict), "a conversion must be an object")
    for name in ("id", "name", "user"):
        need(is_text(conversion.get(name)), f"{name} must be text")
    need(is_integer(conversion.get("at")), "at must be an integer")
    need(is_number(conversion.get("value", 0)), "value must be a number")
