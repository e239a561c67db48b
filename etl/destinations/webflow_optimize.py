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
from etl.model import Limits, Request, Response, RunWarning, Status, Verdict
from schemas import webflow_optimize as schema
from schemas.casts import texts
from schemas.rules import is_decimal

ENDPOINT = "https://log.intellimize.co/event"

CENTS = Decimal("0.01")
DECIMALS = "revenue has more than two decimals, which the vendor's on-site events do not take (round_value rounds it)."

SESSION_RULE = (
    "a conversion is attributed only if it happened after the view and in the same session (30 minutes idle, "
    "24 hours at "
    "most); the answer never tells."
)
NIGHTLY = (
    "conversions are imported at midnight UTC and shown under the day on which they happened, so that results "
    "of past days "
    "change: send before midnight UTC, look the day after."
)
DIALECTS = (
    "the vendor's two pages differ (apiName or eventName, 7 days or 2, a second path with seconds): where "
    "tomorrow's results "
    "lack the event, try `event_field: eventName`; `dialect: customer_path_seconds` is the help page's odd example."
)
OLDER_THAN_A_DAY = (
    "Webflow Optimize: happened more than a day before sending. They change the results of past days, and are "
    "attributed "
    "only where they happened in the session of the view (30 minutes idle, 24 hours at most), which the answer "
    "never tells."
)

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
    repeatable_because=(
        "actionId is documented as the conversion's unique id, but not what a repeat does: an unanswered "
        "request is sent "
        "again, with a warning"
    ),
    dedup_documented=False,
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
    where_to_look=(
        "In the results of the optimization whose goal uses the event, on the day after: conversions are imported at "
        "midnight UTC, up to 1,440 minutes later, and stand under the day on which they happened."
    ),
    notes=(SESSION_RULE, NIGHTLY, DIALECTS),
    events={"every event": "apiName: its own name, unless `events` gives another"},
    troubleshooting={
        "Ignored or attributed wrongly: the timestamp is in the wrong format": (
            "It always goes as UTC milliseconds; what is no moment is rejected (`timestamp_unparsable`, `no_timezone`, "
            "`timestamp_not_milliseconds`)."
        ),
        "Ignored or attributed wrongly: the timestamp lies after the call": (
            "Rejected (`in_the_future`) or kept for the next run (`not_yet`)."
        ),
        "Ignored or attributed wrongly: the timestamp is older than 7 days": (
            "Rejected (`too_old`); from two days on a warning (`older_than_2_days`), as the newer page says two."
        ),
        "No attribution: the apiName did not exist when the conversion happened": (
            "Nobody can tell from here: list the names in `known_events`, and others are rejected "
            "(`unknown_event_key`)."
        ),
        "No attribution: outside the session of the view": SESSION_RULE,
        "No attribution: setUserId was not called before": (
            "Nobody can tell from here: the website has to call setUserId with the same domain and id (hashed alike)."
        ),
    },
)


class WebflowOptimizeSettings(Settings):
    """Account, token and the names under which the website knows its visitors.

    Options, because the vendor's pages contradict each other: ``event_field``, ``max_age_days``, ``dialect``; because
    only the on-site call states limits: ``allow_negative_value``, ``round_value``.
    """

    customer_id: Text
    """The Optimize account's id, from its Account settings."""
    api_key: Secret
    """The offline conversions tracking authorization token, from the Account settings."""
    user_domain: Text | None = None
    """The domain that the website gives to setUserId; a row's webflow_user_domain wins."""
    events: dict[str, Text] = Field(default_factory=dict)
    """Event name -> apiName of the custom event; others keep their name."""
    known_events: frozenset[str] | None = None
    """The API names that exist; an event of another name is rejected instead of lost."""
    event_field: Literal["apiName", "eventName"] = "apiName"
    """The field of the event's name: that of the help page, or that of the newer page."""
    dialect: Literal["event", "customer_path_seconds"] = "event"
    """The form of the request: that of both pages, or that of the help page's last example."""
    max_age_days: int = Field(default=7, ge=1, le=7)
    """Older conversions are rejected; the newer page says that two days is the limit."""
    hash_user_id: Hashing = "off"
    """How user ids are hashed, just as the website does it before setUserId."""
    allow_negative_value: bool = False
    """Send values below zero, which on-site events may not have."""
    round_value: bool = False
    """Round values half up to two decimals, which is all that on-site events may have."""


class WebflowOptimize(Destination):
    """One Webflow Optimize account."""

    type = "webflow_optimize"
    facts = FACTS
    readable = ("customerId", "apiName", "eventName", "userDomain", "actionId", "actionTimestamp", "value")
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
        both = f"{reasons.TOO_MANY_DECIMALS.code} {schema.UNUSUAL_EVENT_NAME.code}"
        out["note"] = codes.mask(unusual & too_fine, both)
        out["note_detail"] = sentences.mask(unusual & too_fine, f"{DECIMALS} {name}")

    def warnings(self, conversions: pd.DataFrame, at_ms: int) -> list[RunWarning]:
        """Of conversions that last night's import missed, what becomes of them."""
        late = int((conversions["occurred_at_ms"] < at_ms - DAY_MS).sum())
        return [RunWarning("older_than_a_day", "", late, OLDER_THAN_A_DAY)] if late else []

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
        """2xx is delivered; the answer repeats the conversion, and with another one's actionId it proves nothing."""
        verdicts = self.same_for_all(payloads, response)
        if verdicts[0].status is Status.DELIVERED and _action(response.body) not in (None, _action(payloads[0])):
            return [Verdict(Status.UNKNOWN, schema.OTHER_ACTION_ECHOED.code, schema.OTHER_ACTION_ECHOED.detail)]
        return verdicts


def _rounded(value: str) -> str:
    return str(Decimal(value).quantize(CENTS, ROUND_HALF_UP))


def _action(body: bytes) -> str | None:
    """The actionId of a JSON object, as text; None where there is none. The format of the answer is not documented."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    action = answer.get("actionId") if isinstance(answer, dict) else None
    return None if action is None else str(action)
