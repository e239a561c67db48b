"""What Converge needs of a row, and what its Event Spec asks of an event.

The two differ: without an alias the webhook has nobody to give the event to, but whatever breaks the Event Spec is
taken and only shown later as a warning. `findings` says what the spec would say; the destination decides what follows.
Event Spec: docs.runconverge.com, "Event Spec", read 2026-11-21.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

import orjson
import pandera.pandas as pa

from schemas.rules import money, optional, rule

MOST_ALIASES = 10

_SUBSCRIPTION = ("total_price", "total_tax", "currency", "$email")
REQUIRED_PROPERTIES: Mapping[str, tuple[str, ...]] = {
    "Placed Order": ("id", "total_price", "total_tax", "total_shipping", "currency", "$email", "$is_new_customer"),
    "Started Subscription": _SUBSCRIPTION,
    "Cancelled Subscription": _SUBSCRIPTION,
    "Placed Recurring Subscription Order": _SUBSCRIPTION,
    "Logged In": ("$email",),
    "Signed Up": ("$email",),
}
"""Properties that the spec marks as required, by event; items are not marked."""

NUMBERS = ("total_price", "total_tax", "total_shipping", "total_discount")
"""Properties of these events that the spec wants as JSON numbers."""

_NAMES = (
    *REQUIRED_PROPERTIES,
    *("Viewed Product", "Viewed Collection", "Added To Cart", "Started Checkout", "Added Payment Info", "Viewed Cart"),
)
_BY_LETTERS = {"".join(filter(str.isalpha, name)).lower(): name for name in _NAMES}

FINDINGS = (
    "near_spec_name",
    "alias_without_urn",
    "missing_spec_property",
    "property_not_a_number",
    "negative_discount",
)
"""Reason codes of `findings`: notes with ``spec_check: warn``, rejections with ``strict``."""


@lru_cache
def near_name(name: str) -> str | None:
    """The spec's spelling of an event name that has the same letters (``placed_order``), if it is not that already."""
    spelled = _BY_LETTERS.get("".join(filter(str.isalpha, name)).lower())
    return None if spelled == name else spelled


def findings(
    name: str, added: Mapping[str, object], given: Mapping[str, object], aliases: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Reason code and sentence of each way in which an event breaks the spec.

    ``given`` are the event's properties, ``added`` what joins them where they have no such key. Numbers may be JSON
    fragments.
    """
    if near := near_name(name):
        yield "near_spec_name", f"For Converge this is a custom event, not {near}: the spec's names are exact."
    if not all(alias.startswith("urn:") for alias in aliases):
        yield "alias_without_urn", "An alias does not start with urn: as all of Converge's do."
    if name not in REQUIRED_PROPERTIES:
        return
    properties = {**added, **given}
    if missing := [key for key in REQUIRED_PROPERTIES[name] if properties.get(key) is None]:
        yield "missing_spec_property", f"The Event Spec requires of {name}: {', '.join(missing)}."
    if texts := [key for key in NUMBERS if isinstance(properties.get(key), (str, bool, list, dict))]:
        yield "property_not_a_number", f"The Event Spec wants a number in {', '.join(texts)}."
    if orjson.dumps(properties.get("total_discount"), default=str).startswith(b"-"):
        yield "negative_discount", "total_discount is below zero; Converge's own module sends it without a sign."


_ALIAS_RULES = (
    rule(
        "aliases_unreadable",
        "aliases starts with [ but is not a JSON list of texts.",
        lambda column: column != "aliases_unreadable",
    ),
    rule(
        "empty_alias",
        "An alias is empty or ends where its value should be, and would merge people who have nothing in common.",
        lambda column: column != "empty_alias",
    ),
)


def rules() -> pa.DataFrameSchema:
    """Rules for the frame of ``Converge.columns``; ``spec_fault`` is filled only where the spec is enforced."""
    return pa.DataFrameSchema(
        {
            "alias_fault": optional(*_ALIAS_RULES),
            "alias_count": optional(
                rule(
                    "missing_aliases",
                    "Converge needs at least one alias to know who it was: fill `aliases`, or set `aliases_from`.",
                    lambda column: column > 0,
                ),
                rule(
                    "too_many_aliases",
                    f"{{alias_count}} different aliases; Converge takes {MOST_ALIASES} and none is dropped silently.",
                    lambda column: column <= MOST_ALIASES,
                ),
            ),
            "revenue": money(),
            "spec_fault": optional(
                *(rule(code, "{spec_detail}", lambda column, code=code: column != code) for code in FINDINGS)  # type: ignore[misc]
            ),
        },
        strict=False,
    )
