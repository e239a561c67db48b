"""The names of columns: those that people may use, and those that are ours. No pandas: settings are judged by them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from functools import lru_cache

REQUIRED = ("event_id", "event_name", "occurred_at")
COLUMNS = (
    *REQUIRED,
    "user_id",
    "anonymous_id",
    "email",
    "phone",
    "revenue",
    "currency",
    "order_id",
    "quantity",
    "aliases",
    "properties",
    "profile_properties",
    "attributes",
    "url",
    "title",
    "referrer",
    "kameleoon_visitor_code",
    "kameleoon_goal_id",
    "convert_goal_id",
    "webflow_user_id",
    "webflow_user_domain",
)
"""Canonical columns of a source. Any other travels only where a vendor or the import names it."""

NUMBERS = ("quantity", "revenue")
"""Canonical columns that hold numbers as a locale writes them."""

ALSO_CALLED = {"total": "revenue"}
"""Names that a vendor's page uses for a canonical column, which such a column is taken for, with a warning."""

IDS = (
    "event_id",
    "user_id",
    "anonymous_id",
    "order_id",
    "kameleoon_visitor_code",
    "kameleoon_goal_id",
    "convert_goal_id",
    "webflow_user_id",
)
"""Columns that hold ids: exact text, and the first to suffer in a spreadsheet."""

PERSONAL = (
    *("event_id", "order_id", "user_id", "anonymous_id", "email", "phone", "aliases"),
    *("kameleoon_visitor_code", "webflow_user_id"),
)
"""Columns that say who it was, or which order: what all rows share says neither."""

DERIVED = ("occurred_at_ms", "fingerprint", "other_event_id", "phone_region", "email_fault", "phone_fault")
"""Columns beside those of a source. Validation adds epoch milliseconds and a fingerprint of the row's content (int64
both), the source's own spelling of an id that was cleaned, and the import's region for phone numbers; a destination
adds why an e-mail or a phone number is none."""


PARSE_ERROR = "damage"
"""A column beside the source's own: why a row could not be read as a row (``reason: sentence``), else null."""


TYPED_NUMBERS = "typed_numbers"
"""Key of a frame's ``attrs``: the names of its columns whose texts were numbers by type, as databases and Parquet files
have them."""


UNSEEN = (
    r"\x00-\x1f\x7f-\xa0\xad\u034f\u061c\u115f\u1160\u180b-\u180e\u200b-\u200f"
    r"\u202a-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb"
)
"""Characters that nobody sees in a name, for a class of a pattern; white space of other kinds is ``\\s``."""
_OUTSIDE = re.compile(rf"^[\s{UNSEEN}]+|[\s{UNSEEN}]+$")
_MEANS_NOTHING = re.compile(rf"[\s_\-\u2010-\u2015{UNSEEN}]+")


def seen(name: str) -> str:
    """A column's name without what nobody sees at either end."""
    return _OUTSIDE.sub("", name)


@lru_cache(maxsize=65_536)
def normalize(name: str) -> str:
    """A column's name without case, width, spaces, underscores, dashes and what nobody sees: names that share it mean
    the same."""
    return unicodedata.normalize("NFKC", _MEANS_NOTHING.sub("", unicodedata.normalize("NFKC", name)).casefold())


def reserved_name(name: str, taken: Collection[str]) -> str:
    """The name under which a source's own column travels when its name is one of ours; none of those taken."""
    other = f"source_{name}"
    return reserved_name(other, taken) if other in taken else other
