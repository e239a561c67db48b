"""What Acme Ads needs of a row: somebody who converted, and no more money than there is."""

from __future__ import annotations

import pandera.pandas as pa

from etl.reasons import REJECTED, Reason
from schemas.rules import money, required

MISSING_ACME_USER = Reason(
    "missing_acme_user",
    REJECTED,
    "user_id is empty: Acme Ads has nobody to give the conversion to.",
    "Fill it.",
    "a row of a guest",
)

SCHEMA = pa.DataFrameSchema(
    {
        "user_id": required(MISSING_ACME_USER),
        "revenue": money(),
    },
    strict=False,
)
