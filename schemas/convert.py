"""What Convert needs of a row: a visitor, a goal by its id, plain numbers. Time plays no part: nothing carries it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
import pandas as pd
import pandera.pandas as pa

from etl import reasons
from etl.reasons import DELIVERED, DUPLICATE, FAILED, REJECTED, UNKNOWN, Reason
from schemas.numbers import WHOLE
from schemas.rules import contact_faults, is_negative, looks_personal, money, optional, required, rule

OTHER_CURRENCY = Reason(
    "other_currency",
    REJECTED,
    "currency is not the one in which the project counts: Convert would add both up as one.",
    "Send the amount in the project's currency, or leave the row to a destination for the other one.",
    "demo-other-currency",
)
UNKNOWN_GOAL = Reason(
    "unknown_goal",
    REJECTED,
    "The project has no goal with this id.",
    "Compare the id with the project's list of goals.",
    "demo-convert-goal-unknown",
)
BUCKETING_NOT_TEXT_TO_TEXT = Reason(
    "bucketing_not_text_to_text",
    REJECTED,
    "The bucketing column is not a JSON object of experience ids to variation ids, both as text.",
    'Write {"100001": "200002"}, or empty the cell.',
    "demo-bucketing-not-text-to-text",
)

GOALS_UNAVAILABLE = Reason(
    "goals_unavailable",
    FAILED,
    "Convert's goals could not be read, so that nobody knows whether the goals of the rows exist; nothing was sent.",
    "Check goals_url and the keys, then `conversions retry`.",
    "the address of the goals answers 404",
)
WRONG_PROJECT = Reason(
    "wrong_project",
    FAILED,
    "Convert's list of goals belongs to another account or project than the settings say; nothing was sent.",
    "Correct account_id, project_id or goals_url, then `conversions retry`.",
    "the goals_url of the staging project",
)
DROPPED_AS_BOT = Reason(
    "dropped_as_bot",
    FAILED,
    "Convert answered 200 BOT and dropped it: something on the way may change the User-Agent.",
    "Look at what stands between this machine and Convert, then `conversions retry`.",
    "a proxy that puts its own name into User-Agent",
)
UNVERIFIED_ANSWER = Reason(
    "unverified_answer",
    UNKNOWN,
    "Convert answered 200 with something that proves no conversion.",
    "Look into the goal's report before a repeat; `api: tracking` uses Convert's own endpoint for conversions.",
    "a list of goals for an answer",
)


DIMENSION_LEFT_OUT = Reason(
    "dimension_left_out",
    DELIVERED,
    "A custom dimension was left out: it has more than the 32 characters that Convert documents.",
    "Shorten it in the source.",
    "a customDimension1 of 33 characters",
)

NOT_A_REVENUE_GOAL = Reason(
    "not_a_revenue_goal",
    DELIVERED,
    "The list of goals says that this is no revenue goal: its revenue shows in no report.",
    "Send it to a revenue goal, or make this one such a goal.",
    "an order whose convert_goal_id is a page goal",
)
COUNTED_TODAY = Reason(
    "counted_today",
    DELIVERED,
    "It happened more than a day ago: Convert has no field for the time and counts it as of today.",
    "Import at least daily; max_age_days stops older rows.",
    "demo-three-days-old",
)
GOAL_REPEATED = Reason(
    "goal_repeated",
    DUPLICATE,
    "Another row of this run has the same visitor and goal, and this one brings neither revenue nor an order number: "
    "Convert counts a goal once per visitor.",
    "Nothing to do; send_repeated_goals sends such rows all the same.",
    "two sign-ups of one visitor",
)
TRANSACTION_REPEATED = Reason(
    "transaction_repeated",
    DUPLICATE,
    "Another row of this run has the same visitor, goal, order number and amount: Convert would add both up.",
    "Nothing to do if it is the same order; else give it a number of its own, or set send_repeated_transactions.",
    "an order that stands twice under two event_ids",
)
TRANSACTION_SPLIT = Reason(
    "transaction_split",
    DELIVERED,
    "Another row of this run has the same visitor, goal and order number with another amount: Convert adds both up.",
    "Right where each row is a line of the order; else export one row per order.",
    "an export with one row per line of an order",
)


def _is_whole(column: pd.Series[Any]) -> pd.Series[bool]:
    return column.astype("str").str.fullmatch(WHOLE).astype(bool)


def _is_id(column: pd.Series[Any]) -> pd.Series[bool]:
    return column.astype("str").str.fullmatch("[0-9]{1,40}").astype(bool)


def _are_assignments(column: pd.Series[Any]) -> pd.Series[bool]:
    return column.map(_maps_text_to_text).astype(bool)


def _maps_text_to_text(value: object) -> bool:
    try:
        content = orjson.loads(str(value))
    except orjson.JSONDecodeError:
        return False
    return isinstance(content, dict) and all(isinstance(variation, str) for variation in content.values())


UNNAMED = {
    True: ", and no single goal of the project has that name or key",
    False: "; names and keys were not looked up, which goals_url or `api: tracking` does",
}
"""What can be said of a goal that is no id: after a lookup, and without one."""


def rules(
    *, hashed: bool, allow_negative: bool, currency: str | None, goals: Iterable[str] | None
) -> pa.DataFrameSchema:
    """Rules for the frame of ``Convert.columns``; ``goals`` are the ids that a lookup found, None without a lookup."""
    not_personal = rule(
        reasons.LOOKS_LIKE_PII,
        lambda column: ~looks_personal(column),
        "The visitor id looks like an e-mail address or a phone number, which Convert forbids: set hash_visitor_id.",
    )
    not_negative = rule(
        reasons.NEGATIVE_AMOUNT,
        lambda column: ~is_negative(column),
        "revenue is negative; allow_negative_amount sends it all the same.",
    )
    one_currency = rule(
        OTHER_CURRENCY,
        lambda column: column == currency,
        f"currency is {{currency}}, the project counts in {currency}: Convert would add both up as one.",
    )
    known = frozenset(goals or ())
    exists = rule(
        UNKNOWN_GOAL,
        lambda column: column.isin(known),
        "The project has no goal with the id {goal_id}.",
    )
    return pa.DataFrameSchema(
        {
            "visitor_fault": optional(*contact_faults()),
            "visitor_id": required(
                reasons.MISSING_VISITOR_ID,
                *([] if hashed else [not_personal]),
                sentence="Neither user_id nor anonymous_id holds the id under which Convert knows the visitor.",
            ),
            "goal_id": required(
                reasons.MISSING_GOAL_ID,
                rule(
                    reasons.GOAL_ID_NOT_A_WHOLE_NUMBER,
                    _is_id,
                    f"The goal of the event {{event_name}} is not a goal id (digits only){UNNAMED[goals is not None]}.",
                ),
                *([] if goals is None else [exists]),
                sentence="No goal for the event {event_name}. {advice}",
            ),
            "revenue": money(*([] if allow_negative else [not_negative])),
            "quantity": optional(rule(reasons.QUANTITY_NOT_A_WHOLE_NUMBER, _is_whole)),
            "currency": optional(*([one_currency] if currency else [])),
            "bucketing": optional(rule(BUCKETING_NOT_TEXT_TO_TEXT, _are_assignments)),
        },
        strict=False,
    )
