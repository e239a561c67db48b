"""What Optimizely needs of a row: an event that the datafile knows, a visitor, and money in whole hundredths."""

from __future__ import annotations

import pandera.pandas as pa

from etl import reasons
from etl.reasons import DELIVERED, FAILED, REJECTED, Reason
from schemas.rules import contact_faults, looks_personal, money, optional, required, rule

THIRTEEN_DIGITS = (10**12, 10**13 - 1)

TIMESTAMP_NOT_13_DIGITS = Reason(
    "timestamp_not_13_digits",
    REJECTED,
    "occurred_at lies before September 2001: Optimizely takes milliseconds of 13 digits only.",
    "Check the date.",
    "demo-before-2001",
)
RESERVED_TAG = Reason(
    "reserved_tag",
    DELIVERED,
    "A property named revenue was left out: money is taken from the revenue column.",
    "Map it to revenue, or rename it.",
    'properties of {"revenue": 5}',
)
UNREGISTERED_ATTRIBUTE = Reason(
    "unregistered_attribute",
    DELIVERED,
    "Attributes were left out: the datafile does not know them, or they are not text, true, false or a number.",
    "Register them in Optimizely, or leave them out of attributes.",
    "demo-bucketing-not-text-to-text",
)
DATAFILE_UNAVAILABLE = Reason(
    "datafile_unavailable",
    FAILED,
    "Optimizely's datafile could not be had, so that nobody knows its events; nothing was sent.",
    "Check sdk_key and datafile_url, then `conversions retry`.",
    "the datafile's address answers 403",
)
DATAFILE_MISMATCH = Reason(
    "datafile_mismatch",
    FAILED,
    "The datafile belongs to another account or project than the settings say: Optimizely would take the conversions "
    "and count none.",
    "Correct account_id, project_id or sdk_key; allow_account_mismatch sends all the same.",
    "the SDK key of the staging project",
)


def rules(*, whole_quantity: bool, reject_personal_ids: bool) -> pa.DataFrameSchema:
    """Rules for the frame of ``Optimizely.columns``."""
    not_personal = rule(
        reasons.LOOKS_LIKE_PII,
        lambda column: ~looks_personal(column),
        "The visitor id looks like an e-mail address or a phone number, and reject_personal_ids is set.",
    )
    whole = rule(
        reasons.QUANTITY_NOT_A_WHOLE_NUMBER,
        lambda column: column.astype("str").str.fullmatch("-?[0-9]{1,18}").astype(bool),
        "quantity is not a whole number such as 2, which lift_quantity needs.",
    )
    return pa.DataFrameSchema(
        {
            "entity_id": required(
                reasons.UNKNOWN_EVENT_KEY,
                sentence="The datafile has no event with the key {event_key}. {advice}",
            ),
            "visitor_fault": optional(*contact_faults()),
            "visitor_id": required(
                reasons.MISSING_VISITOR_ID,
                *([not_personal] if reject_personal_ids else []),
                sentence="Neither user_id nor anonymous_id holds the id by which Optimizely decided for the visitor.",
            ),
            "occurred_at_ms": pa.Column(
                checks=[rule(TIMESTAMP_NOT_13_DIGITS, lambda column: column.between(*THIRTEEN_DIGITS))]
            ),
            "revenue": money(),
            "decimals": optional(
                rule(
                    reasons.TOO_MANY_DECIMALS,
                    lambda column: column.isna(),
                    "revenue has more than {decimals} decimals, and Optimizely takes only whole numbers of that unit: "
                    "correct it, or set round_revenue.",
                ),
            ),
            "quantity": optional(*([whole] if whole_quantity else [])),
        },
        strict=False,
    )
