"""What Webflow Optimize needs of a row. Age is judged when sending, not here: see ``expires_at_ms``."""

from __future__ import annotations

import pandera.pandas as pa

from schemas.rules import is_negative, looks_personal, money, required, rule


def rules(*, allow_negative: bool) -> pa.DataFrameSchema:
    """Rules for the frame of ``WebflowOptimize.columns``."""
    not_negative = rule(
        "negative_value",
        "revenue is negative; the vendor takes none (allow_negative_value sends it all the same).",
        lambda column: ~is_negative(column),
    )
    return pa.DataFrameSchema(
        {
            "user_id": required(
                "missing_user_id",
                "Neither webflow_user_id nor user_id holds the id that the website gave to setUserId.",
                rule(
                    "looks_like_pii",
                    "The user id looks like an e-mail address or phone number; the vendor forbids those: set hash_user_id.",
                    lambda column: ~looks_personal(column),
                ),
            ),
            "user_domain": pa.Column(
                checks=[
                    rule(
                        "missing_user_domain",
                        "Neither the row (webflow_user_domain) nor the destination (user_domain) names the user's domain.",
                        lambda column: column.astype("str").str.strip() != "",
                    )
                ]
            ),
            "revenue": money(*([] if allow_negative else [not_negative])),
        },
        strict=False,
    )
