"""What Kameleoon needs of an event. What an event of its type cannot do without, `Kameleoon.columns` has found out."""

from __future__ import annotations

import pandera.pandas as pa

from etl import reasons
from etl.reasons import DELIVERED, REJECTED, SKIPPED, Reason
from schemas.numbers import WHOLE
from schemas.rules import is_negative, money, optional, required, rule

MISSING_VISITOR_CODE = Reason(
    "missing_visitor_code",
    REJECTED,
    "Neither kameleoon_visitor_code nor anonymous_id says who it was.",
    "Fill kameleoon_visitor_code with what Kameleoon's cookie held.",
    "demo-nobody",
)
VISITOR_CODE_TOO_LONG = Reason(
    "visitor_code_too_long",
    REJECTED,
    "The visitor code is longer than `visitor_code_limit` allows.",
    "Check that the right column is mapped to kameleoon_visitor_code.",
    "demo-visitor-code-too-long",
)
LONG_VISITOR_CODE = Reason(
    "long_visitor_code",
    DELIVERED,
    "The visitor code is longer than the 100 characters that Kameleoon documents; its own libraries take 255.",
    "Look for the event at Kameleoon, or correct the code.",
    "a visitor code of 101 characters",
)
FALLBACK_VISITOR = Reason(
    "fallback_visitor",
    DELIVERED,
    "anonymous_id stood in for a missing kameleoon_visitor_code: Kameleoon attributes the event only to a visitor that "
    "it knows under that code.",
    "Have Kameleoon's JavaScript tag set its cookie kameleoonVisitorCode before the conversion and fill "
    "kameleoon_visitor_code with what it holds; nothing to do where anonymous_id is that code.",
    "a row with an anonymous_id only",
)
GOAL_NOT_LISTED = Reason(
    "goal_not_listed",
    REJECTED,
    "`known_goals` does not list this goal id, and Kameleoon loses a conversion to a goal that does not exist "
    "in silence.",
    "Compare the id with Goals in the Kameleoon app, then correct the row or the list.",
    "demo-kameleoon-goal-not-listed",
)
MISSING_URL = Reason(
    "missing_url",
    REJECTED,
    "A page view needs its url.",
    "Fill url.",
    "demo-page-without-url",
)
REFERRERS_NOT_WHOLE_NUMBERS = Reason(
    "referrers_not_whole_numbers",
    REJECTED,
    "referrer is not a list of whole numbers such as 1|4, which referrersIndices demands.",
    "Write the indices of the referrers, or use `referrers_field: referrers`.",
    "demo-good-05",
)
METADATA_LEFT_OUT = Reason(
    "metadata_left_out",
    DELIVERED,
    "metadata was left out: it is no JSON object of custom data, index to list of texts.",
    'Write it as {"3": ["ORD-1"]}.',
    "a metadata that says ORD-1",
)
NOT_IN_MAPPING = Reason(
    "not_in_mapping",
    SKIPPED,
    "Kameleoon gets mapped events only.",
    "To send this one, give it a goal id under `events`.",
    "demo-good-04",
)
OUTSIDE_ATTRIBUTION = Reason(
    "outside_attribution",
    DELIVERED,
    "Older than the attribution window (attribution_days): Kameleoon dates an event when it arrives, and may credit no "
    "experiment with it.",
    "Import sooner.",
    "demo-too-old",
)


def rules(*, visitor_code_limit: int, indices: bool, known_goals: frozenset[str] | None = None) -> pa.DataFrameSchema:
    """Rules for the frame of ``Kameleoon.columns``; with ``indices`` the referrers must be whole numbers.

    ``known_goals`` are the goals that exist, None = any.
    """
    listed = rule(GOAL_NOT_LISTED, lambda column: column.isin(known_goals or ()) | ~column.str.fullmatch(WHOLE))
    return pa.DataFrameSchema(
        {
            "visitor_code": required(
                MISSING_VISITOR_CODE,
                rule(
                    VISITOR_CODE_TOO_LONG,
                    lambda column: column.str.len() <= visitor_code_limit,
                    f"The visitor code is longer than {visitor_code_limit} characters.",
                ),
            ),
            "missing": optional(
                rule(
                    reasons.MISSING_GOAL_ID,
                    lambda column: column != reasons.MISSING_GOAL_ID.code,
                    "A conversion needs a goal: kameleoon_goal_id in the row, or one for its name under `events`.",
                ),
                rule(MISSING_URL, lambda column: column != MISSING_URL.code),
            ),
            "goal_id": optional(
                rule(
                    reasons.GOAL_ID_NOT_A_WHOLE_NUMBER,
                    lambda column: column.str.fullmatch(WHOLE),
                    "The goal id is not a whole number such as 36151.",
                ),
                *([] if known_goals is None else [listed]),
            ),
            "revenue": money(
                rule(
                    reasons.NEGATIVE_AMOUNT,
                    lambda column: ~is_negative(column),
                    "revenue is below zero but this is no refund: name it Order Refunded, or set negative_as_refund.",
                ),
            ),
            "referrers": optional(*([_INDICES] if indices else [])),
        },
        strict=False,
    )


_INDICES = rule(
    REFERRERS_NOT_WHOLE_NUMBERS,
    lambda column: column.str.fullmatch(r"(0|[1-9][0-9]{0,8})(\|(0|[1-9][0-9]{0,8}))*"),
)
