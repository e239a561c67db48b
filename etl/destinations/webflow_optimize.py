"""Webflow Optimize (formerly Intellimize), offline conversions.

Documentation: help-optimize.webflow.com article 40810076772243 "Track offline conversions" and
developers.webflow.com/browser/custom-goals/off-site-conversions/server-api (both read 2026-11-21).

Odd: one conversion per request, answered 200 before anything is judged; the import runs at midnight UTC and silently
ignores what is older than seven days (two, says the newer page) or in the future. Only what happened within the session
of the view (30 minutes idle, 24 hours at most) is attributed, which the answer never tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal
from typing import ClassVar, Literal
from urllib.parse import quote

import orjson
import pandas as pd
import pandera.pandas as pa
from pydantic import Field

from etl import reasons
from etl.clock import DAY_MS
from etl.destinations.base import (
    Destination,
    Facts,
    Hashing,
    Secret,
    Settings,
    Text,
    compact,
    hashed_ids,
    number,
    region_of,
    to_python,
)
from etl.model import Limits, Request, Response, Status, Verdict
from schemas import webflow_optimize as schema
from schemas.casts import texts
from schemas.rules import is_decimal

ENDPOINT = "https://log.intellimize.co/event"

CENTS = Decimal("0.01")
DECIMALS = "revenue has more than two decimals, which the vendor's on-site events do not take (round_value rounds it)."

FACTS = Facts(
    title="Webflow Optimize",
    docs=(
        "help-optimize.webflow.com/hc/en-us/articles/40810076772243",
        "developers.webflow.com/browser/custom-goals/off-site-conversions/server-api",
    ),
    limits=Limits(items=1, bytes=100_000, connections=4),
    max_items=1,
    max_bytes=1_000_000,
    repeatable=True,
    repeatable_because="actionId is documented as the conversion's unique id; what a repeat does is not stated",
    all_or_nothing=True,
    requires=(
        "event_id",
        "event_name",
        "occurred_at",
        "user_id or webflow_user_id",
        "user_domain (row or setting)",
    ),
    hints={
        401: (
            "Check the token: Account settings > Offline conversions tracking authorization token; "
            "the feature needs an Enterprise plan."
        ),
        403: "Check the token and that the plan includes offline conversions (Enterprise).",
        404: "Check `endpoint`: it should be https://log.intellimize.co/event.",
        400: "Check customer_id and the event's apiName.",
    },
    expired=(reasons.TOO_OLD.code, "Older than seven days (or max_age_days): Webflow Optimize ignores it."),
    stale=(schema.OLDER_THAN_2_DAYS.code, schema.OLDER_THAN_2_DAYS.sentence),
)


class WebflowOptimizeSettings(Settings):
    """Account, token and the names under which the website knows its visitors.

    ``events`` renames events to API names; others keep theirs. Options, because the vendor's pages contradict each
    other: ``event_field: eventName`` (the newer page's name for ``apiName``); ``max_age_days: 2`` (the newer page's
    limit, a warning otherwise); ``dialect: customer_path_seconds`` (the help page's last example: the account in the
    path, ``eventName``, seconds). Options, because only the on-site call states limits: ``allow_negative_value``,
    ``round_value`` (half up, to cents). ``hash_user_id`` must do what the website did before setUserId;
    ``known_events`` lists the API names that exist, so that a misspelt one is rejected and not lost.
    """

    customer_id: Text
    api_key: Secret
    user_domain: Text | None = None
    events: dict[str, Text] = Field(default_factory=dict)
    known_events: frozenset[str] | None = None
    event_field: Literal["apiName", "eventName"] = "apiName"
    dialect: Literal["event", "customer_path_seconds"] = "event"
    max_age_days: int = Field(default=7, ge=1, le=7)
    hash_user_id: Hashing = "off"
    allow_negative_value: bool = False
    round_value: bool = False


class WebflowOptimize(Destination):
    """One Webflow Optimize account."""

    type = "webflow_optimize"
    facts = FACTS
    contacts = ()
    settings_model = WebflowOptimizeSettings
    endpoint_template = ENDPOINT
    fields: ClassVar = {
        **{"event_id": "actionId", "event_name": "apiName", "occurred_at": "actionTimestamp", "revenue": "value"},
        **{"user_id": "userId", "webflow_user_id": "userId", "webflow_user_domain": "userDomain"},
    }
    settings: WebflowOptimizeSettings

    def columns(self, conversions: pd.DataFrame) -> pd.DataFrame:
        """Resolve event name, domain, user id (hashed where configured) and value; see ``max_age_days``."""
        own, settings = conversions, self.settings
        out = own[["event_id", "event_name", "occurred_at_ms"]].copy(deep=False)
        out["api_name"] = own["event_name"].map(lambda name: settings.events.get(name, name)).astype("str")
        out["user_domain"] = own["webflow_user_domain"].fillna(settings.user_domain or "").astype("str")
        user = own["webflow_user_id"].fillna(own["user_id"])
        users = hashed_ids(user, settings.hash_user_id, region_of(own))
        out["user_fault"] = users.faults.fillna(self._faults(user))
        out["user_id"] = users.ids.mask(out["user_fault"].notna(), "")
        self._value(out, own["revenue"])
        out["expires_at_ms"] = own["occurred_at_ms"] + settings.max_age_days * DAY_MS
        out["stale_at_ms"] = own["occurred_at_ms"] + 2 * DAY_MS
        out["ready_at_ms"] = own["occurred_at_ms"]
        return out

    def _faults(self, user: pd.Series[str]) -> pd.Series[str]:
        """00 is a plus in most countries, but not in all of those that the website's visitors may be in."""
        zeros = user.str.startswith("00").fillna(False).astype(bool)
        zeros &= self.settings.hash_user_id in ("sha256-phone", "sha256-phone-digits")
        return texts([None] * len(user), user.index).mask(zeros, reasons.PHONE_NOT_INTERNATIONAL.code)

    def _value(self, out: pd.DataFrame, revenue: pd.Series[str]) -> None:
        """The value, rounded where configured, and the warning about it and about the event's name."""
        too_fine = revenue.notna() & revenue.str.contains(r"\.[0-9]{2,}[1-9]", regex=True).fillna(False).astype(bool)
        too_fine &= is_decimal(revenue)
        out["revenue"] = revenue
        if self.settings.round_value:
            rounded = revenue.where(too_fine).map(_rounded, na_action="ignore").astype("str")
            out["revenue"] = revenue.mask(too_fine, rounded)
            too_fine = pd.Series(False, index=out.index)
        unusual = ~out["api_name"].str.fullmatch("[!-~]{1,40}").astype(bool)
        nothing, name = texts([None] * len(out), out.index), schema.UNUSUAL_EVENT_NAME.sentence
        codes = nothing.mask(unusual, schema.UNUSUAL_EVENT_NAME.code).mask(too_fine, reasons.TOO_MANY_DECIMALS.code)
        sentences = nothing.mask(unusual, name).mask(too_fine, DECIMALS)
        out["note"], out["note_detail"] = codes, sentences.mask(unusual & too_fine, f"{DECIMALS} {name}")

    def schema(self) -> pa.DataFrameSchema:
        """The rules, with or without negative values and unlisted events."""
        return schema.rules(allow_negative=self.settings.allow_negative_value, known_events=self.settings.known_events)

    def items(self, frame: pd.DataFrame) -> list[bytes]:
        """One JSON object per row, keys in the order of the documentation."""
        in_path = self.settings.dialect == "customer_path_seconds"
        customer = None if in_path else self.settings.customer_id
        field = "eventName" if in_path else self.settings.event_field
        unit_ms = 1000 if in_path else 1
        columns = ("api_name", "user_domain", "user_id", "event_id", "occurred_at_ms", "revenue")
        return [
            compact(
                {
                    "customerId": customer,
                    field: name,
                    "userDomain": domain,
                    "userId": user,
                    "actionId": event_id,
                    "actionTimestamp": at_ms // unit_ms,
                    "value": None if value is None else number(value),
                }
            )
            for name, domain, user, event_id, at_ms, value in zip(*(to_python(frame, c) for c in columns), strict=True)
        ]

    def request(self, payloads: Sequence[bytes]) -> Request:
        """The payload is the body."""
        (body,) = payloads
        request = self.post(body, {"Authorization": f"ApiKey {self.settings.api_key.get_secret_value()}"})
        if self.settings.dialect == "event" or self.settings.endpoint:
            return request
        return replace(request, url=f"https://log.intellimize.co/customer/{quote(self.settings.customer_id, '')}/event")

    def results(self, payloads: Sequence[bytes], response: Response) -> list[Verdict]:
        """2xx is delivered; the answer repeats the conversion, and another one's actionId there is worth a warning."""
        verdicts = self.same_for_all(payloads, response)
        if verdicts[0].status is Status.DELIVERED and _action(response.body) not in (None, _action(payloads[0])):
            return [Verdict(Status.DELIVERED, schema.OTHER_ACTION_ECHOED.code, schema.OTHER_ACTION_ECHOED.detail)]
        return verdicts


def _rounded(value: str) -> str:
    return str(Decimal(value).quantize(CENTS, ROUND_HALF_UP))


def _action(body: bytes) -> object:
    """The actionId of a JSON object; None where there is none. The format of the answer is not documented."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return answer.get("actionId") if isinstance(answer, dict) else None
