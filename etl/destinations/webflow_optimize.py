"""Webflow Optimize (formerly Intellimize), offline conversions.

Documentation: help-optimize.webflow.com article 40810076772243 "Track offline conversions" and
developers.webflow.com/browser/custom-goals/off-site-conversions/server-api (both read 2026-11-21).

Odd: one conversion per request, answered 200 before anything is judged; the import runs at midnight UTC and silently
ignores what is older than seven days (two, says the newer page) or in the future. The help page and the developer page
name the event field differently (``apiName``, ``eventName``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import pandas as pd
import pandera.pandas as pa
from pydantic import Field, SecretStr

from etl.destinations.base import Destination, Facts, Hashing, Settings, Text, cells, compact, hashed, number
from etl.model import Limits, Request
from schemas import webflow_optimize as schema

DAY_MS = 86_400_000


class WebflowOptimizeSettings(Settings):
    """Account, token and the names under which the website knows its visitors."""

    customer_id: Text
    api_key: SecretStr
    user_domain: str | None = None
    events: dict[str, str] = {}
    event_field: Literal["apiName", "eventName"] = "apiName"
    max_age_days: int = Field(default=7, ge=1, le=7)
    hash_user_id: Hashing = "off"
    allow_negative_value: bool = False


class WebflowOptimize(Destination):
    """One Webflow Optimize account."""

    facts = Facts(
        title="Webflow Optimize",
        docs=(
            "help-optimize.webflow.com/hc/en-us/articles/40810076772243",
            "developers.webflow.com/browser/custom-goals/off-site-conversions/server-api",
        ),
        limits=Limits(items=1, bytes=100_000, connections=4),
        max_items=1,
        max_bytes=1_000_000,
        repeatable=True,
        repeatable_because="actionId is documented as the unique id of the conversion; what a repeat does is not stated",
        all_or_nothing=True,
        requires=("event_id", "event_name", "occurred_at", "user_id or webflow_user_id"),
        hints={
            401: (
                "Check the token: Account settings > Offline conversions tracking authorization token; "
                "the feature needs an Enterprise plan."
            ),
            403: "Check the token and that the plan includes offline conversions (Enterprise).",
            404: "Check `endpoint`: it should be https://log.intellimize.co/event.",
            400: "Check customer_id and the event's apiName.",
        },
        expired=("too_old", "Older than seven days: Webflow Optimize ignores it."),
        stale=("older_than_2_days", "Older than two days: the vendor's newer page says that such conversions are ignored."),
    )
    settings_model = WebflowOptimizeSettings
    endpoint_template = "https://log.intellimize.co/event"
    settings: WebflowOptimizeSettings

    def columns(self, conversions: pd.DataFrame) -> pd.DataFrame:
        """Resolve event name, domain and user id (hashed where configured); an event expires after ``max_age_days``."""
        own, settings = conversions, self.settings
        out = own[["event_id", "event_name", "occurred_at_ms", "revenue"]].copy(deep=False)
        out["api_name"] = own["event_name"].map(lambda name: settings.events.get(name, name)).astype("str")
        out["user_domain"] = own["webflow_user_domain"].fillna(settings.user_domain or "").astype("str")
        out["user_id"] = hashed(own["webflow_user_id"].fillna(own["user_id"]), settings.hash_user_id)
        out["expires_at_ms"] = own["occurred_at_ms"] + settings.max_age_days * DAY_MS
        out["stale_at_ms"] = own["occurred_at_ms"] + 2 * DAY_MS
        return out

    def schema(self) -> pa.DataFrameSchema:
        """The rules, with or without negative values."""
        return schema.rules(allow_negative=self.settings.allow_negative_value)

    def items(self, frame: pd.DataFrame) -> list[bytes]:
        """One JSON object per row, keys in the order of the documentation."""
        customer, field = self.settings.customer_id, self.settings.event_field
        columns = ("api_name", "user_domain", "user_id", "event_id", "occurred_at_ms", "revenue")
        return [
            compact(
                {
                    "customerId": customer,
                    field: name,
                    "userDomain": domain,
                    "userId": user,
                    "actionId": event_id,
                    "actionTimestamp": at,
                    "value": None if value is None else number(value),
                }
            )
            for name, domain, user, event_id, at, value in zip(*(cells(frame, c) for c in columns), strict=True)
        ]

    def request(self, payloads: Sequence[bytes]) -> Request:
        """The payload is the body."""
        (body,) = payloads
        return self.post(body, {"Authorization": f"ApiKey {self.settings.api_key.get_secret_value()}"})
