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

from etl.reasons import DELIVERED, REJECTED, Reason
from schemas.rules import contact_faults, money, optional, rule

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

TEXTS = (
    *("id", "currency", "$email", "$phone_number", "$city", "$state", "$zip_code", "$country_code"),
    *("$first_name", "$last_name", "$sales_channel_type"),
)
"""Properties of these events that the spec wants as texts."""

ITEM_TEXTS = ("product_id", "name", "currency", "variant_id", "sku", "variant_name", "vendor", "url", "image_url")
"""Parts of an item that the spec wants as texts."""

NUMBERS = ("total_price", "total_tax", "total_shipping", "total_discount")
"""Properties of these events that the spec wants as JSON numbers."""

LISTS = ("items", "coupon")
"""Properties that may be lists."""

YES_OR_NO = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
"""How a column says whether the customer is new; the spec wants true or false."""

_NAMES = (
    *REQUIRED_PROPERTIES,
    *("Viewed Product", "Viewed Collection", "Added To Cart", "Started Checkout", "Added Payment Info", "Viewed Cart"),
)
_BY_LETTERS = {"".join(filter(str.isalpha, name)).lower(): name for name in _NAMES}

MISSING_ALIASES = Reason(
    "missing_aliases",
    REJECTED,
    "Converge needs at least one alias to know who it was.",
    "Fill `aliases`, or set `aliases_from`.",
    "demo-missing-aliases",
)
TOO_MANY_ALIASES = Reason(
    "too_many_aliases",
    REJECTED,
    f"The row has more than {MOST_ALIASES} different aliases; Converge takes no more and none is dropped silently.",
    "Leave out those that say the least about the person.",
    "demo-eleven-aliases",
)
ALIASES_UNREADABLE = Reason(
    "aliases_unreadable",
    REJECTED,
    "aliases starts with [ but is not a JSON list of texts.",
    'Write a|b or ["a", "b"].',
    "demo-unreadable-aliases",
)
EMPTY_ALIAS = Reason(
    "empty_alias",
    REJECTED,
    "An alias is empty or ends where its value should be, and would merge people who have nothing in common.",
    "Leave it out, or complete it.",
    "demo-empty-alias",
)

_FOUND = (*DELIVERED, *REJECTED)
NEAR_SPEC_NAME = Reason(
    "near_spec_name",
    _FOUND,
    "The event's name is nearly one of the Event Spec, so that Converge takes it for a custom event.",
    "Rename it under `events`: the spec's names are exact.",
    "demo-event-name-nearly-right",
)
ALIAS_WITHOUT_URN = Reason(
    "alias_without_urn",
    _FOUND,
    "An alias does not start with urn: as all of Converge's do.",
    "Write it as urn:user_id:… and the like.",
    "demo-alias-without-urn",
)
MISSING_SPEC_PROPERTY = Reason(
    "missing_spec_property",
    _FOUND,
    "The event lacks properties that the Event Spec requires of it.",
    "Fill the columns that the sentence names, or put them into properties.",
    "demo-missing-spec-property",
)
PROPERTY_NOT_A_NUMBER = Reason(
    "property_not_a_number",
    _FOUND,
    "A property that the Event Spec wants as a number is none.",
    "Write it as a plain number such as 3.33.",
    "demo-text-for-a-number",
)
NEGATIVE_DISCOUNT = Reason(
    "negative_discount",
    _FOUND,
    "total_discount is below zero; Converge's own module sends it without a sign.",
    "Leave out the sign.",
    "demo-negative-discount",
)
ITEMS_NOT_A_LIST = Reason(
    "items_not_a_list",
    _FOUND,
    "items is no list of items, as the Event Spec has it.",
    'Write it as JSON such as [{"product_id": "7", "quantity": 1}]; a number of items belongs into quantity.',
    "demo-items-not-a-list",
)
PROPERTY_OF_OTHER_TYPE = Reason(
    "property_of_other_type",
    _FOUND,
    "A property is of another type than the Event Spec wants: a text for true or false, a number for a text.",
    "Write the properties that the sentence names as it says.",
    "demo-text-for-true-or-false",
)
FINDINGS = (
    *(NEAR_SPEC_NAME, ALIAS_WITHOUT_URN, MISSING_SPEC_PROPERTY, PROPERTY_NOT_A_NUMBER, NEGATIVE_DISCOUNT),
    *(ITEMS_NOT_A_LIST, PROPERTY_OF_OTHER_TYPE),
)
"""What may be said of an event: warnings with ``spec_check: warn``, rejections with ``strict``."""


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
        yield NEAR_SPEC_NAME.code, f"For Converge this is a custom event, not {near}: the spec's names are exact."
    if not all(alias.startswith("urn:") for alias in aliases):
        yield ALIAS_WITHOUT_URN.code, ALIAS_WITHOUT_URN.sentence
    if name not in REQUIRED_PROPERTIES:
        return
    properties = {**added, **given}
    if missing := [key for key in REQUIRED_PROPERTIES[name] if properties.get(key) is None]:
        yield MISSING_SPEC_PROPERTY.code, f"The Event Spec requires of {name}: {', '.join(missing)}."
    if texts := [key for key in NUMBERS if isinstance(properties.get(key), (str, bool, list, dict))]:
        yield PROPERTY_NOT_A_NUMBER.code, f"The Event Spec wants a number in {', '.join(texts)}."
    if orjson.dumps(properties.get("total_discount"), default=str).startswith(b"-"):
        yield NEGATIVE_DISCOUNT.code, NEGATIVE_DISCOUNT.sentence
    if not orjson.dumps(properties.get("items"), default=str).startswith((b"[", b"null")):
        yield ITEMS_NOT_A_LIST.code, ITEMS_NOT_A_LIST.sentence
    if odd := list(_of_other_type(properties)):
        yield PROPERTY_OF_OTHER_TYPE.code, f"The Event Spec wants {', '.join(odd)}."


def _of_other_type(properties: Mapping[str, object]) -> Iterator[str]:
    """``a text in id`` and so on, for each property of another type than the spec's; `NUMBERS` are judged elsewhere."""
    for name in TEXTS:
        if not isinstance(properties.get(name), str | None):
            yield f"a text in {name}"
    if not isinstance(properties.get("$is_new_customer"), bool | None):
        yield "true or false in $is_new_customer"
    coupon = _plain(properties.get("coupon"))
    if not (isinstance(coupon, str | None) or (isinstance(coupon, list) and all(isinstance(c, str) for c in coupon))):
        yield "a text or a list of texts in coupon"
    items = _plain(properties.get("items"))
    if isinstance(items, list):
        yield from dict.fromkeys(odd for item in items for odd in _of_other_type_in_item(item))


def _of_other_type_in_item(item: object) -> Iterator[str]:
    if not isinstance(item, dict):
        yield "an object for each of items"
        return
    for name in ITEM_TEXTS:
        required = name in ITEM_TEXTS[:2]
        if not isinstance(item.get(name), str) and (required or name in item):
            yield f"a text in items[].{name}"
    if not isinstance(item.get("price"), int | float) or isinstance(item.get("price"), bool):
        yield "a number in items[].price"
    if not isinstance(item.get("quantity"), int) or isinstance(item.get("quantity"), bool):
        yield "a whole number in items[].quantity"


def _plain(value: object) -> object:
    """What JSON text that was put together by column says."""
    return orjson.loads(orjson.dumps(value)) if isinstance(value, orjson.Fragment) else value


_ALIAS_RULES = (
    rule(ALIASES_UNREADABLE, lambda column: column != ALIASES_UNREADABLE.code),
    rule(EMPTY_ALIAS, lambda column: column != EMPTY_ALIAS.code),
    *contact_faults(),
)


def rules() -> pa.DataFrameSchema:
    """Rules for the frame of ``Converge.columns``; ``spec_fault`` is filled only where the spec is enforced."""
    return pa.DataFrameSchema(
        {
            "alias_fault": optional(*_ALIAS_RULES),
            "alias_count": optional(
                rule(MISSING_ALIASES, lambda column: column > 0),
                rule(
                    TOO_MANY_ALIASES,
                    lambda column: column <= MOST_ALIASES,
                    f"{{alias_count}} different aliases; Converge takes {MOST_ALIASES} and none is dropped silently.",
                ),
            ),
            "revenue": money(),
            "spec_fault": optional(
                *(rule(found, lambda column, code=found.code: column != code, "{spec_detail}") for found in FINDINGS)  # type: ignore[misc]
            ),
        },
        strict=False,
    )
