"""What Webflow Optimize needs of a row. Age is judged when sending, not here: see ``expires_at_ms``."""

from __future__ import annotations

import pandas as pd
import pandera.pandas as pa

from schemas.casts import DECIMAL
from schemas.rules import optional, required, rule

_EMAIL = r"[^@\s]+@[^@\s]+\.[^@\s]+"
_PHONE = r"(?:\+|00)[\d\s().-]{7,20}|\(?\d{2,5}\)?[\s./-]\d[\d\s./-]{5,15}"


def looks_personal(column: pd.Series[object]) -> pd.Series[bool]:
    """True where a value has the shape of an e-mail address or a written-out phone number."""
    text = column.astype("str").str.strip()
    return text.str.fullmatch(f"{_EMAIL}|{_PHONE}").astype(bool)


def rules(*, allow_negative: bool) -> pa.DataFrameSchema:
    """Rules for the frame of ``WebflowOptimize.columns``."""
    not_negative = rule(
        "negative_value",
        "revenue is negative; the vendor takes none (allow_negative_value sends it all the same).",
        lambda column: ~column.astype("str").str.startswith("-"),
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
            "revenue": optional(
                rule(
                    "not_a_decimal",
                    "revenue is not a plain decimal such as 149.99 (no sign of currency, no thousands separator).",
                    lambda column: column.astype("str").str.fullmatch(DECIMAL).astype(bool),
                ),
                *([] if allow_negative else [not_negative]),
            ),
        },
        strict=False,
    )
