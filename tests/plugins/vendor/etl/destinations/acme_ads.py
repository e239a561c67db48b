"""Acme Ads, a vendor that does not exist: conversions in batches, under a key of one's own.

Odd: the class is not called as its file, and nothing asks what it is called.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import pandera.pandas as pa

from etl.destinations.base import Destination, Facts, Secret, Settings, Text, compact, number, to_python
from etl.model import Limits, Request
from schemas import acme_ads as schema


class Account(Settings):
    """Account and key; ``events`` renames events, others keep their name."""

    account_id: Text
    api_key: Secret


class OneAccount(Destination):
    """One account of Acme Ads."""

    type = "acme_ads"
    facts = Facts(
        title="Acme Ads",
        docs=("acme-ads.example/conversions",),
        limits=Limits(items=50, bytes=100_000, connections=2),
        max_items=100,
        max_bytes=200_000,
        repeatable=True,
        repeatable_because="the id of a conversion is its key: a second one under it is dropped",
        all_or_nothing=True,
        requires=("event_id", "event_name", "occurred_at", "user_id"),
        hints={401: "Check `api_key`: the account's page shows it."},
    )
    settings_model = Account
    endpoint_template = "https://api.acme-ads.example/accounts/{account_id}/conversions"
    settings: Account

    def columns(self, conversions: pd.DataFrame) -> pd.DataFrame:
        """What the payload holds, and the event's name as the account has it."""
        names = ["event_id", "event_name", "occurred_at_ms", "user_id", "revenue", "currency"]
        out = conversions[names].copy(deep=False)
        out["name"] = out["event_name"].map(lambda name: self.settings.events.get(name, name)).astype("str")
        return out

    def schema(self) -> pa.DataFrameSchema:
        """The rules."""
        return schema.SCHEMA

    def items(self, frame: pd.DataFrame) -> list[bytes]:
        """One object per conversion."""
        columns = [to_python(frame, name) for name in ("event_id", "name", "occurred_at_ms", "user_id", "revenue")]
        return [
            compact(
                {
                    "id": event_id,
                    "name": name,
                    "at": at_ms,
                    "user": user_id,
                    "value": None if revenue is None else number(revenue),
                }
            )
            for event_id, name, at_ms, user_id, revenue in zip(*columns, strict=True)
        ]

    def request(self, payloads: Sequence[bytes]) -> Request:
        """An array of conversions."""
        key = self.settings.api_key.get_secret_value()
        return self.post(b"[" + b",".join(payloads) + b"]", {"Authorization": f"Key {key}"})
