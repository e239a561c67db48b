"""What Optimizely needs of a row: an event that the datafile knows, a visitor, and money in whole hundredths."""

from __future__ import annotations

import pandera.pandas as pa

from schemas.rules import looks_personal, money, optional, required, rule

THIRTEEN_DIGITS = (10**12, 10**13 - 1)


def rules(*, whole_quantity: bool, reject_personal_ids: bool) -> pa.DataFrameSchema:
    """Rules for the frame of ``Optimizely.columns``."""
    not_personal = rule(
        "looks_like_pii",
        "The visitor id looks like an e-mail address or a phone number, and reject_personal_ids is set.",
        lambda column: ~looks_personal(column),
    )
    whole = rule(
        "quantity_not_a_whole_number",
        "quantity is not a whole number such as 2, which lift_quantity needs.",
        lambda column: column.astype("str").str.fullmatch("-?[0-9]{1,18}").astype(bool),
    )
    return pa.DataFrameSchema(
        {
            "entity_id": required(
                "unknown_event_key",
                "The datafile has no event with the key {event_key}. {advice}",
            ),
            "visitor_id": required(
                "missing_visitor_id",
                "Neither user_id nor anonymous_id holds the id under which Optimizely decided for the visitor.",
                *([not_personal] if reject_personal_ids else []),
            ),
            "occurred_at_ms": pa.Column(
                checks=[
                    rule(
                        "timestamp_not_13_digits",
                        "occurred_at lies before September 2001: Optimizely takes milliseconds of 13 digits only.",
                        lambda column: column.between(*THIRTEEN_DIGITS),
                    )
                ]
            ),
            "revenue": money(),
            "decimals": optional(
                rule(
                    "too_many_decimals",
                    "revenue has more than {decimals} decimals, and Optimizely takes only whole numbers of that unit: "
                    "correct it, or set round_revenue.",
                    lambda column: column.isna(),
                ),
            ),
            "quantity": optional(*([whole] if whole_quantity else [])),
        },
        strict=False,
    )
