"""Webflow Optimize (Intellimize before): one offline conversion per request.

Read 2026-11-21: help-optimize.webflow.com, article 40810076772243 (track offline conversions), and
developers.webflow.com/browser/custom-goals/off-site-conversions/server-api.

Odd: the two pages name the event field differently (`apiName`, `eventName`); either is taken, both at once are not. The
answer is the body again. Everything that matters (age, goal, session) is judged at night, so a bad timestamp gets its
200 and vanishes; here it shows up under `ignored`. Times are milliseconds, at most 7 days old at receipt, never ahead.

Open at the vendor, decided here: wrong or missing fields are 400; a customerId of somebody else is ignored; an actionId
counts once and its repeats are shown.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from etl.sandbox.base import (
    JSON,
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

OLDEST_MS = timedelta(days=7) // timedelta(milliseconds=1)
MILLISECONDS = range(10**11, 10**14)  # below are seconds, above microseconds


@dataclass(frozen=True)
class WebflowOptimize(Vendor):
    """One customer and its key."""

    type = "webflow_optimize"
    customer_id: str = "123456789"
    api_key: str = "sandbox-webflow-key"

    @property
    def delivery_path(self) -> str:
        """See `Vendor.delivery_path`."""
        return "/event"

    def answer(self, request: Incoming) -> Answer:
        """Webflow Optimize's answer to one request."""
        if request.path != self.delivery_path:
            return refuse(404, "no such path")
        if request.method != "POST":
            return only("POST")
        if request.headers.get("authorization") != f"ApiKey {self.api_key}":
            return refuse(401, "invalid or missing authorization token")
        try:
            action = decode(request.body)
            _check(action)
        except Malformed as error:
            return refuse(400, str(error))
        reason = _why_ignored(action, self, request.now_ms)
        item = Item(action, action["actionId"], action["actionId"], reason)
        return Answer(200, request.body, JSON, (item,), accepted=True)


def _check(action: Any) -> None:
    need(isinstance(action, dict), "body must be one conversion, an object")
    need(("apiName" in action) != ("eventName" in action), "apiName is required (or eventName, not both)")
    need(is_text(action.get("apiName", action.get("eventName"))), "apiName must be text")
    for name in ("customerId", "userDomain", "userId", "actionId"):
        need(is_text(action.get(name)), f"{name} must be text")
    need(is_integer(action.get("actionTimestamp")), "actionTimestamp must be an integer")
    need(is_number(action.get("value", 0)), "value must be a number")


def _why_ignored(action: dict[str, Any], webflow: WebflowOptimize, now_ms: int) -> str | None:
    moment = action["actionTimestamp"]
    if action["customerId"] != webflow.customer_id:
        return "unknown_customer"
    if moment not in MILLISECONDS:
        return "timestamp_not_milliseconds"
    if moment > now_ms:
        return "in_the_future"
    return "too_old" if moment < now_ms - OLDEST_MS else None
