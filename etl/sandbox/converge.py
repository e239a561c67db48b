"""Converge: the webhook source, one event per request.

Read 2026-11-21: learn.runconverge.com/sources/server-integrations/webhook and the newer page of the same name at
docs.runconverge.com.

Odd: the table of parameters is all there is; no status and no answer is documented. A wrong structure is therefore
refused here with 400 and the field's name, a wrong token with 401. A number as timestamp is in seconds, unlike at every
other vendor. A broken Event Spec (no `total_price`, say) is only a warning on a page at the vendor: it counts.
Repeats of an `event_id` are dropped at ingestion. Sources older than the token have a secret address of their own and
need none; what it looks like is documented nowhere.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from etl.sandbox.base import (
    Answer,
    Incoming,
    Item,
    Malformed,
    Vendor,
    decode,
    is_number,
    is_text,
    need,
    only,
    refuse,
    reply,
)

MOST_ALIASES = 10
FIRST_MILLISECONDS = 10**11  # a number from here on is milliseconds by mistake


@dataclass(frozen=True)
class Converge(Vendor):
    """One webhook source with a token, and one that is older than tokens."""

    type = "converge"
    webhook_token: str = "sandbox-converge-token"  # noqa: S105 - a password for localhost only
    old_path: str = "/sources/sandbox-old-source"

    @property
    def delivery_path(self) -> str:
        """See `Vendor.delivery_path`."""
        return "/api/webhooks"

    def answer(self, request: Incoming) -> Answer:
        """Converge's answer to one request."""
        if request.path not in (self.delivery_path, self.old_path):
            return refuse(404, "no such path")
        if request.method != "POST":
            return only("POST")
        is_old = request.path == self.old_path
        if not is_old and request.headers.get("x-webhook-token") != self.webhook_token:
            return refuse(401, "invalid or missing X-Webhook-Token")
        try:
            event = decode(request.body)
            _check(event)
        except Malformed as error:
            return refuse(400, str(error))
        said = reply(200, {"status": "ok"})
        return Answer(200, said.body, said.headers, (Item(event, event["event_id"], event["event_id"]),), accepted=True)


def _check(event: Any) -> None:
    need(isinstance(event, dict), "body must be one event, an object")
    for name in ("event_name", "event_id"):
        need(is_text(event.get(name)), f"{name} must be text")
    for name in ("properties", "profile_properties"):
        need(isinstance(event.get(name), dict), f"{name} must be an object")
    aliases = event.get("aliases")
    need(isinstance(aliases, list), "aliases must be an array")
    need(1 <= len(aliases) <= MOST_ALIASES, f"aliases must hold 1 to {MOST_ALIASES}")
    need(all(is_text(alias) for alias in aliases), "every alias must be text")
    if "timestamp" in event:
        _check_timestamp(event["timestamp"])


def _check_timestamp(timestamp: Any) -> None:
    if is_number(timestamp):
        need(0 < timestamp < FIRST_MILLISECONDS, "a number as timestamp must be UTC seconds")
        return
    need(isinstance(timestamp, str), "timestamp must be text or a number")
    try:
        moment = datetime.fromisoformat(timestamp)
    except ValueError as error:
        raise Malformed("timestamp must be ISO 8601") from error
    need(moment.tzinfo is not None, "timestamp must specify a timezone")
