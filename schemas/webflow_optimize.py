"""What Webflow Optimize needs of a row. Age is judged when sending, not here: see ``expires_at_ms``."""

from __future__ import annotations

import pandera.pandas as pa

from schemas.rules import is_negative, looks_personal, money, optional, required, rule

_NO_PII = rule(
    "looks_like_pii",
    "The user id looks like an e-mail address or phone number; the vendor forbids those: set hash_user_id.",
    lambda column: ~looks_personal(column),
)
_INTERNATIONAL = rule(
    "phone_not_international",
    "The phone number has no country code that we could trust: write it as +15551234567 (no 00, no (0)).",
    lambda column: column != "phone_not_international",
)
_DOMAIN = rule(
    "missing_user_domain",
    "Neither the row (webflow_user_domain) nor the destination (user_domain) names the user's domain.",
    lambda column: column.astype("str").str.strip() != "",
)
_NOT_NEGATIVE = rule(
    "negative_value",
    "revenue is negative; the vendor takes none (allow_negative_value sends it all the same).",
    lambda column: ~is_negative(column),
)


def rules(*, allow_negative: bool, known_events: frozenset[str] | None = None) -> pa.DataFrameSchema:
    """Rules for the frame of ``WebflowOptimize.columns``; ``known_events`` are the goals that exist, None = any."""
    known = rule(
        "unknown_event_key",
        "No such event: `known_events` lists the API names of the account's custom events, case-sensitive.",
        lambda column: column.isin(known_events or ()),
    )
    return pa.DataFrameSchema(
        {
            "api_name": pa.Column(checks=[] if known_events is None else [known]),
            "user_id": required(
                "missing_user_id",
                "Neither webflow_user_id nor user_id holds the id that the website gave to setUserId.",
                _NO_PII,
            ),
            "user_fault": optional(_INTERNATIONAL),
            "user_domain": pa.Column(checks=[_DOMAIN]),
            "revenue": money(*([] if allow_negative else [_NOT_NEGATIVE])),
        },
        strict=False,
    )
