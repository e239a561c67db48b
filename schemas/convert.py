"""What Convert needs of a row: a visitor, a goal by its id, plain numbers. Time plays no part: nothing carries it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
import pandas as pd
import pandera.pandas as pa

from schemas.casts import WHOLE
from schemas.rules import is_negative, looks_personal, money, optional, required, rule


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


def rules(
    *, hashed: bool, allow_negative: bool, currency: str | None, goals: Iterable[str] | None
) -> pa.DataFrameSchema:
    """Rules for the frame of ``Convert.columns``; ``goals`` are the ids that a lookup found, None without a lookup."""
    not_personal = rule(
        "looks_like_pii",
        "The visitor id looks like an e-mail address or a phone number, which Convert forbids: set hash_visitor_id.",
        lambda column: ~looks_personal(column),
    )
    not_negative = rule(
        "negative_amount",
        "revenue is negative; allow_negative_amount sends it all the same.",
        lambda column: ~is_negative(column),
    )
    one_currency = rule(
        "other_currency",
        f"currency is {{currency}}, the project counts in {currency}: Convert would add both up as one.",
        lambda column: column == currency,
    )
    known = frozenset(goals or ())
    exists = rule(
        "unknown_goal",
        "The project has no goal with the id {goal_id}.",
        lambda column: column.isin(known),
    )
    return pa.DataFrameSchema(
        {
            "visitor_id": required(
                "missing_visitor_id",
                "Neither user_id nor anonymous_id holds the id under which Convert knows the visitor.",
                *([] if hashed else [not_personal]),
            ),
            "goal_id": required(
                "no_goal",
                "No goal for the event {event_name}: give the row a convert_goal_id, or name the goal under `events`.",
                rule(
                    "goal_id_not_a_whole_number",
                    "The goal of the event {event_name} is not a goal id (digits only), and no goal goes by that name.",
                    _is_id,
                ),
                *([] if goals is None else [exists]),
            ),
            "revenue": money(*([] if allow_negative else [not_negative])),
            "quantity": optional(
                rule("quantity_not_a_whole_number", "quantity is not a whole number such as 2.", _is_whole),
            ),
            "currency": optional(*([one_currency] if currency else [])),
            "bucketing": optional(
                rule(
                    "bucketing_not_text_to_text",
                    "The bucketing column is not a JSON object of experience ids to variation ids, both as text.",
                    _are_assignments,
                ),
            ),
        },
        strict=False,
    )
