"""What Kameleoon needs of an event. What an event of its type cannot do without, `Kameleoon.columns` has found out."""

from __future__ import annotations

import pandera.pandas as pa

from schemas.casts import WHOLE
from schemas.rules import is_negative, money, optional, required, rule


def rules(*, visitor_code_limit: int, indices: bool) -> pa.DataFrameSchema:
    """Rules for the frame of ``Kameleoon.columns``; with ``indices`` the referrers must be whole numbers."""
    return pa.DataFrameSchema(
        {
            "visitor_code": required(
                "missing_visitor_code",
                "Neither kameleoon_visitor_code nor anonymous_id says who it was.",
                rule(
                    "visitor_code_too_long",
                    f"The visitor code is longer than {visitor_code_limit} characters.",
                    lambda column: column.str.len() <= visitor_code_limit,
                ),
            ),
            "missing": optional(
                rule(
                    "missing_goal_id",
                    "A conversion needs a goal: kameleoon_goal_id in the row, or one for its name under `events`.",
                    lambda column: column != "missing_goal_id",
                ),
                rule("missing_url", "A page view needs its url.", lambda column: column != "missing_url"),
            ),
            "goal_id": optional(
                rule(
                    "goal_id_not_a_whole_number",
                    "The goal id is not a whole number such as 36151.",
                    lambda column: column.str.fullmatch(WHOLE),
                ),
            ),
            "revenue": money(
                rule(
                    "negative_amount",
                    "revenue is below zero but this is no refund: name it Order Refunded, or set negative_as_refund.",
                    lambda column: ~is_negative(column),
                ),
            ),
            "referrers": optional(*([_INDICES] if indices else [])),
        },
        strict=False,
    )


_INDICES = rule(
    "referrers_not_whole_numbers",
    "referrer is not a list of whole numbers such as 1|4, which referrersIndices demands.",
    lambda column: column.str.fullmatch(r"(0|[1-9][0-9]{0,8})(\|(0|[1-9][0-9]{0,8}))*"),
)
