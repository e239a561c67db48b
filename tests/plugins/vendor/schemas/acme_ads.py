"""What Acme Ads needs of a row: somebody who converted, and no more money than there is."""

from __future__ import annotations

import pandera.pandas as pa

from schemas.rules import money, required

SCHEMA = pa.DataFrameSchema(
    {
        "user_id": required("missing_user_id", "user_id is empty: Acme Ads has nobody to give the conversion to."),
        "revenue": money(),
    },
    strict=False,
)
