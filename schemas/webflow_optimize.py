"""What Webflow Optimize needs of a row. Age is judged when sending, not here: see ``expires_at_ms``."""

from __future__ import annotations

import pandera.pandas as pa

from etl import reasons
from etl.reasons import DELIVERED, REJECTED, UNKNOWN, Reason
from schemas.rules import contact_faults, is_negative, looks_personal, money, optional, required, rule

MISSING_USER_ID = Reason(
    "missing_user_id",
    REJECTED,
    "Neither webflow_user_id nor user_id holds the id that the website gave to setUserId.",
    "Fill one of them with that id.",
    "demo-nobody",
)
MISSING_USER_DOMAIN = Reason(
    "missing_user_domain",
    REJECTED,
    "Neither the row (webflow_user_domain) nor the destination (user_domain) names the user's domain.",
    "Set user_domain, or fill the column.",
    "demo-phone-as-user-id",
)
OLDER_THAN_2_DAYS = Reason(
    "older_than_2_days",
    DELIVERED,
    "Older than two days: the vendor's newer page says that it ignores such conversions.",
    "Import sooner; `max_age_days: 2` rejects them instead.",
    "demo-three-days-old",
)
UNUSUAL_EVENT_NAME = Reason(
    "unusual_event_name",
    DELIVERED,
    "The event's API name is not 1 to 40 printable ASCII characters without spaces, as on-site events demand.",
    "Rename it under `events`.",
    "demo-good-02",
)
OTHER_ACTION_ECHOED = Reason(
    "other_action_echoed",
    UNKNOWN,
    "The answer repeated another actionId than the one sent, so that it proves nothing of this row.",
    "The next run sends it again; look for it in tomorrow's results.",
    "an answer with the actionId of the request before",
)

_NO_PII = rule(
    reasons.LOOKS_LIKE_PII,
    lambda column: ~looks_personal(column),
    "The user id looks like an e-mail address or phone number; the vendor forbids those: set hash_user_id.",
)
_DOMAIN = rule(MISSING_USER_DOMAIN, lambda column: column.astype("str").str.strip() != "")
_NOT_NEGATIVE = rule(
    reasons.NEGATIVE_AMOUNT,
    lambda column: ~is_negative(column),
    "revenue is negative; the vendor takes none (allow_negative_value sends it all the same).",
)


def rules(*, allow_negative: bool, known_events: frozenset[str] | None = None) -> pa.DataFrameSchema:
    """Rules for the frame of ``WebflowOptimize.columns``; ``known_events`` are the goals that exist, None = any."""
    known = rule(
        reasons.UNKNOWN_EVENT_KEY,
        lambda column: column.isin(known_events or ()),
        "No such event: `known_events` lists the API names of the account's custom events, case-sensitive.",
    )
    return pa.DataFrameSchema(
        {
            "api_name": pa.Column(checks=[] if known_events is None else [known]),
            "user_fault": optional(*contact_faults()),
            "user_id": required(MISSING_USER_ID, _NO_PII),
            "user_domain": pa.Column(checks=[_DOMAIN]),
            "revenue": money(*([] if allow_negative else [_NOT_NEGATIVE])),
        },
        strict=False,
    )
