"""Converge (runconverge.com), webhook source.

Documentation: docs.runconverge.com/sources/server-integrations/webhook (older copy: learn.runconverge.com), its "Event
Spec" and the pages on aliases, deduplication and sales channels (all read 2026-11-21). Long, for the spelling of people
and properties that the spec asks for.

Odd: neither statuses nor limits are documented, and an event that breaks the Event Spec is taken and only shown later
as a warning, so this side is the only one that speaks up in time. People are known by aliases, clear e-mails among
them; an alias that is constant or empty merges them for good.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

import numpy as np
import orjson
import pandas as pd
import pandera.pandas as pa
from pydantic import Field, ValidationInfo, field_validator

from etl.clock import DAY_MS
from etl.destinations.base import (
    Destination,
    Facts,
    Secret,
    Settings,
    Text,
    encoded,
    map_distinct,
    number,
    region_of,
    to_python,
)
from etl.model import Limits, Request
from schemas import converge as schema
from schemas.aliases import listed
from schemas.casts import nothing, texts
from schemas.contacts import read_phone
from schemas.conversion import extras
from schemas.rules import is_decimal

ENDPOINT = "https://app.runconverge.com/api/webhooks"

SPEC_NAMES = {
    "order_id": "id",
    "revenue": "total_price",
    "currency": "currency",
    "quantity": "quantity",
    "email": "$email",
    "phone": "$phone_number",
}
"""Canonical column -> property of Converge's Event Spec."""

OWN_NAMES = {
    **{name: name for name in ("total_tax", "total_shipping", "total_discount", "items", "coupon")},
    "is_new_customer": "$is_new_customer",
    **{name: name for name in ("$is_new_customer", "$city", "$state", "$zip_code", "$country_code")},
    "$sales_channel_type": "$sales_channel_type",
}
"""Further column -> property of the Event Spec (read 2026-11-21); some of them without its sign."""

WANTS: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys(("quantity", *schema.NUMBERS), (schema.PROPERTY_NOT_A_NUMBER.code, "a number")),
    "items": (schema.ITEMS_NOT_A_LIST.code, "a JSON list"),
    **dict.fromkeys(
        ("is_new_customer", "$is_new_customer"), (schema.PROPERTY_OF_OTHER_TYPE.code, "yes or no, true or false")
    ),
}
"""Column -> the reason code where it holds text, and what Converge wants there."""

CONTACTS = ("$email", "$phone_number")

PROFILE_NAMES = {"email": "$email", "phone": "$phone_number"}
NUMBERS = ("revenue", "quantity", *schema.NUMBERS)

STATIC_PATH = "/api/webhooks"
"""How the address of every source with a token ends."""

URNS = {"email": "urn:email:", "user_id": "urn:user_id:", "anonymous_id": "urn:cookie:", "phone": "urn:phone:"}

FACTS = Facts(
    title="Converge",
    docs=(
        "docs.runconverge.com/sources/server-integrations/webhook",
        "docs.runconverge.com/sources/converge-spec",
    ),
    # One event per request is all that is documented; neither rate nor size is.
    limits=Limits(items=1, bytes=1_000_000, connections=4),
    max_items=1,
    max_bytes=1_000_000,
    repeatable=True,
    repeatable_because="event_id is documented as the key that drops repeats, within one source",
    all_or_nothing=True,
    requires=("event_id", "event_name", "occurred_at", "aliases (1 to 10) or a column of `aliases_from`"),
    hints={
        400: "Look at the source's Logs tab in Converge, which shows what it made of the event.",
        401: "Check `webhook_token`: the source's configuration tab in Converge shows it.",
        403: "Check `webhook_token`: the source's configuration tab in Converge shows it.",
        404: "Check `endpoint`: the source's configuration tab shows it; old sources have their own.",
    },
    where_to_look=(
        "In Converge, in the source's tabs Logs (the event) and Warnings (what breaks the Event Spec): look "
        "after 1 to 5 "
        "minutes. No delay is documented."
    ),
    notes=(
        "an event that breaks the Event Spec is taken, and shown only in the source's tab Warnings.",
        "repeats are found within one source: keep one source to one destination.",
    ),
    events={"every event": "event_name: its own name, unless `events` gives another; the Event Spec's names are exact"},
    troubleshooting={
        "The event is not in the source's Logs": (
            "Check `webhook_token` (header X-Webhook-Token) and `endpoint`: both stand in the source's "
            "configuration tab."
        ),
        "An old source without a token": "Give its own URL as `endpoint`, and `allow_no_token: true`.",
        "No alias, or more than ten": "Rejected (`missing_aliases`, `too_many_aliases`); see `aliases_from`.",
        "The timestamp has no zone": "Rejected (`no_timezone`), or the import's `timezone` is taken.",
    },
)


class ConvergeSettings(Settings):
    """Source, and what to make of a row beyond what it says.

    Options, because the vendor's documents go beyond its table of parameters.
    """

    allow_no_token: bool = False
    """For sources older than tokens, whose secret URL is given as endpoint."""
    webhook_token: Secret | None = Field(default=None, validate_default=True)
    """The token from the source's configuration tab."""
    events: dict[str, Text] = Field(default_factory=dict)
    """Event name -> name at Converge; others keep theirs. The Event Spec's names are exact."""
    aliases_from: tuple[Literal["email", "user_id", "anonymous_id", "phone"], ...] = ()
    """Columns of which further aliases are built, spelled as in the vendor's examples."""
    spec_check: Literal["warn", "strict", "off"] = "warn"
    """What follows where the Event Spec is broken, which the vendor forgives: a warning, a rejection or nothing."""
    max_age_days: int | None = Field(default=None, ge=1)
    """Conversions older than this are rejected; no limit is documented, without it none is."""
    sales_channel: (
        Literal[
            "web",
            "subscription_contract",
            "sms",
            "mobile_app",
            "pos",
            "marketplace",
            "offline",
            "facebook_shop",
            "pinterest_shop",
            "tiktok_shop",
        ]
        | None
    ) = None
    """Sent as $sales_channel_type (offline suits); left out, Converge assumes web."""

    @field_validator("webhook_token")
    @classmethod
    def _needed(cls, token: Secret | None, info: ValidationInfo) -> Secret | None:
        if token is None and not (info.data.get("endpoint") and info.data.get("allow_no_token")):
            raise ValueError("is missing (sources without one need their own `endpoint` and `allow_no_token: true`)")
        return token


class Converge(Destination):
    """One Converge webhook source. Repeats are found within a source: keep one source to one destination.

    `url`, `title`, `referrer` and `attributes` have no name in the spec and are not sent; put them into ``properties``.
    """

    type = "converge"
    facts = FACTS
    readable = ("event_name", "event_id", "timestamp", "properties.currency", "properties.total_price")
    settings_model = ConvergeSettings
    endpoint_template = ENDPOINT
    fields: ClassVar = {
        **{"event_id": "event_id", "event_name": "event_name", "occurred_at": "timestamp", "aliases": "aliases"},
        **{canonical: f"properties.{name}" for canonical, name in SPEC_NAMES.items()},
        **{name: name for name in ("properties", "profile_properties")},
    }
    property_names = SPEC_NAMES
    own_columns = tuple(OWN_NAMES)
    settings: ConvergeSettings

    def extra_field(self, column: str) -> str:
        """See `Destination.extra_field`."""
        return f"properties.{OWN_NAMES.get(column, column)}"

    def secrets(self) -> list[str]:
        """The token; of an old source, what follows the host in its URL: that takes the token's place."""
        url = urlsplit(self.endpoint)
        path = url.path.strip("/")
        is_old = self.settings.allow_no_token or not url.path.endswith(STATIC_PATH)
        return [*super().secrets(), *([path] if path and is_old and not self._is_a_word(path) else [])]

    def _is_a_word(self, path: str) -> bool:
        """True for a path that guards nothing and stands in sentences too: ``converge``; beside a token, ``events``."""
        if path in (self.name, self.settings.type):
            return True
        return self.settings.webhook_token is not None and re.fullmatch("[a-z]{1,11}", path) is not None

    def columns(self, conversions: pd.DataFrame) -> pd.DataFrame:
        """Name, moment, aliases and both objects of properties, these as JSON bytes ready to be embedded."""
        conversions = self._one_form(conversions)
        out = conversions[["event_id", "event_name", "revenue"]].copy(deep=False)
        out["name"] = conversions["event_name"].map(lambda name: self.settings.events.get(name, name))
        out["timestamp"] = _moments(conversions["occurred_at_ms"])
        self._aliases(out, conversions)
        self._properties(out, conversions)
        profile = zip(to_python(conversions, "profile_properties"), _records(conversions, PROFILE_NAMES), strict=True)
        contact = partial(self._contact, region_of(conversions))
        out["profile_properties"] = [_extended(*_read(text, added, added, contact), added) for text, added in profile]
        if self.settings.max_age_days is not None:
            out["expires_at_ms"] = conversions["occurred_at_ms"] + self.settings.max_age_days * DAY_MS
        return out

    def _one_form(self, conversions: pd.DataFrame) -> pd.DataFrame:
        """E-mails in lower case and phone numbers as + and digits, as they are hashed and as the aliases have them.

        What is no possible phone number stays as it is written.
        """
        out = conversions.copy(deep=False)
        out["email"] = out["email"].str.strip().str.lower()
        if self.settings.hash.phone == "off" and not out["phone"].isna().all():
            region = region_of(out)
            numbers = map_distinct(out["phone"], lambda text: read_phone(text, region).number)
            out["phone"] = numbers.fillna(out["phone"])
        return out

    def _contact(self, region: str | None, name: str, value: str) -> str | None:
        """An e-mail address or phone number inside a JSON object, as it would leave from a column."""
        column = CONTACTS[name == CONTACTS[1]].removeprefix("$").removesuffix("_number")
        frame = pd.DataFrame({"email": [None], "phone": [None], column: [value]}, dtype="str")
        if region is not None:
            frame["phone_region"] = region
        made = self._one_form(self.hash_personal(frame))[column]
        return None if made.isna().item() else str(made.item())

    def _aliases(self, out: pd.DataFrame, own: pd.DataFrame) -> None:
        """The aliases as given, then those built from columns, each once; how many, and what is wrong with them.

        Where what should have identified somebody is no e-mail address or phone number and nothing else does, that is
        what is wrong.
        """
        built = [self._built(own, column) for column in self.settings.aliases_from]
        found = [_distinct(text, row) for text, *row in zip(to_python(own, "aliases"), *built, strict=True)]
        out["aliases"] = pd.Series([aliases for aliases, _ in found], index=own.index, dtype="object")
        counts = pd.Series([len(aliases) for aliases, _ in found], index=own.index, dtype="Int64")
        fault = texts([fault for _, fault in found], own.index)
        for column in self.settings.aliases_from:
            if (name := f"{column}_fault") in own.columns:
                fault = fault.fillna(own[name].where(counts == 0))
        out["alias_fault"] = fault
        out["alias_count"] = counts.mask(fault.notna() & (counts == 0))

    def _built(self, own: pd.DataFrame, column: str) -> list[str | None]:
        """Aliases made of a column: e-mails in lower case, as public integrations do it, phone numbers as + and digits,
        ids as they are; none where that is no possible phone number."""
        values = own[column]
        if column == "phone" and self.settings.hash.phone == "off":
            region = region_of(own)
            values = map_distinct(values, lambda text: read_phone(text, region).number)
        return to_python((URNS[column] + values).to_frame(column), column)

    def _properties(self, out: pd.DataFrame, own: pd.DataFrame) -> None:
        """Each row's JSON object with what its columns add under the spec's names, and what the spec says of that."""
        names = {name: OWN_NAMES.get(name, name) for name in extras(own)}
        added = _records(own, {**names, **SPEC_NAMES})
        columns = (
            to_python(out, "name"),
            to_python(own, "properties"),
            added,
            _left_out(own),
            to_python(out, "aliases"),
        )
        contact = partial(self._contact, region_of(own))
        described = [self._described(contact, *row) for row in zip(*columns, strict=True)]
        out["properties"] = [properties for properties, _ in described]
        found = [findings for _, findings in described]
        first = texts([each[0][0] if each else None for each in found], own.index)
        every = texts([" ".join(code for code, _ in each) or None for each in found], own.index)
        sentences = texts([" ".join(sentence for _, sentence in each) or None for each in found], own.index)
        none = nothing(own.index)
        strict = self.settings.spec_check == "strict"
        out["spec_fault"], out["spec_detail"] = (first, sentences) if strict else (none, none)
        out["note"], out["note_detail"] = (none, none) if strict else (every, sentences)

    def _described(
        self,
        contact: Contact,
        name: str,
        text: str | None,
        added: dict[str, Any],
        left_out: list[Finding],
        aliases: list[str],
    ) -> tuple[bytes, list[Finding]]:
        if self.settings.sales_channel:
            added.setdefault("$sales_channel_type", self.settings.sales_channel)
        text, given = _read(text, added.keys(), added.keys() & SPEC_NAMES.values(), contact)
        found = [] if self.settings.spec_check == "off" else list(schema.findings(name, added, given, aliases))
        return _extended(text, given, added), [*left_out, *found]

    def schema(self) -> pa.DataFrameSchema:
        """The rules, the same for all settings: ``spec_fault`` is empty unless the spec is enforced."""
        return schema.rules()

    def items(self, frame: pd.DataFrame) -> list[bytes]:
        """One JSON object per row, keys in the order of the documentation's table."""
        columns = ("name", "event_id", "properties", "profile_properties", "aliases", "timestamp")
        return [
            encoded(
                {
                    "event_name": name,
                    "event_id": event_id,
                    "properties": orjson.Fragment(properties),
                    "profile_properties": orjson.Fragment(profile),
                    "aliases": aliases,
                    "timestamp": timestamp,
                }
            )
            for name, event_id, properties, profile, aliases, timestamp in zip(
                *(to_python(frame, column) for column in columns), strict=True
            )
        ]

    def request(self, payloads: Sequence[bytes]) -> Request:
        """The payload is the body."""
        (body,) = payloads
        token = self.settings.webhook_token
        return self.post(body, {"X-Webhook-Token": token.get_secret_value()} if token else None)


def _moments(occurred_at_ms: pd.Series[int]) -> pd.Series[str]:
    """ISO 8601 as in the vendor's example (``2024-09-02T12:34:56+00:00``); milliseconds only where there are any."""
    moments = occurred_at_ms.to_numpy(dtype="int64").astype("datetime64[ms]")
    text = pd.Series(np.datetime_as_string(moments), index=occurred_at_ms.index, dtype="str")
    return text.str.removesuffix(".000") + "+00:00"


# -- aliases


def _distinct(text: str | None, built: list[str | None]) -> tuple[list[str], str | None]:
    """A row's aliases in order, each once, and the reason code of what is wrong with them."""
    given = listed(text) if text else []
    if given is None:
        return [], schema.ALIASES_UNREADABLE.code
    aliases = list(dict.fromkeys([*given, *filter(None, built)]))
    for alias in aliases:
        if alias.rstrip()[-1:] in ("", ":"):
            return aliases, schema.EMPTY_ALIAS.code
    return aliases, None


# -- properties

Finding = tuple[str, str]
"""Reason code and sentence of what is said of an event."""

Contact = Callable[[str, str], str | None]
"""``contact(name, value)``: the value of ``$email`` or ``$phone_number`` as it may leave; None where it may not."""


def _read(
    text: str | None, added: Collection[str], first: Collection[str], contact: Contact
) -> tuple[str, Mapping[str, Any]]:
    """A JSON object as text and as read; the text is what is sent, so that its numbers keep their digits.

    Totals written as text (``"42.00"``) become numbers, which is what the spec wants. What is ``first`` makes room for
    the column that fills it, whatever it says, and a null for what is ``added`` in its place.
    """
    if text is None:
        return "{}", {}
    given = orjson.loads(text)
    quoted = any(isinstance(given.get(name), str) for name in schema.NUMBERS)
    own = {name: contact(name, given[name]) for name in CONTACTS if isinstance(given.get(name), str)}
    same = all(given[name] == value for name, value in own.items())
    whole = all(given.get(name, "") is not None for name in added) and given.keys().isdisjoint(first)
    if same and whole and not quoted:
        return text, given
    exact = json.loads(text, parse_float=orjson.Fragment, parse_int=orjson.Fragment) | own
    exact = {
        name: value
        for name, value in exact.items()
        if name not in first and (value is not None or name not in {*added, *own})
    }
    exact |= {name: _number_or_text(exact[name]) for name in schema.NUMBERS if isinstance(exact.get(name), str)}
    return orjson.dumps(exact).decode(), exact


def _number_or_text(value: Any) -> Any:
    return number(value) if is_decimal(pd.Series([value], dtype="str")).item() else value


def _records(own: pd.DataFrame, names: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Columns as one object per row under other names, without nulls; `NUMBERS` as JSON numbers, digit for digit."""
    keys = list(names.values())
    for row in zip(*(_values(own, column) for column in names), strict=True):
        yield {key: value for key, value in zip(keys, row, strict=True) if value is not None}


def _left_out(own: pd.DataFrame) -> list[list[Finding]]:
    """Of each row, what is said of the columns that hold something but nothing of the type they should."""
    found: list[list[Finding]] = [[] for _ in range(len(own))]
    for column, (code, wanted) in WANTS.items():
        if column not in own.columns:
            continue
        for said, was, became in zip(found, to_python(own, column), _values(own, column), strict=True):
            if was is not None and became is None:
                said.append((code, f"{column} was left out: {wanted} is wanted, not text."))
    return found


def _values(own: pd.DataFrame, column: str) -> list[Any]:
    """A column's values as they are sent; None where they are not of the type that Converge wants there."""
    values = to_python(own, column)
    if column in schema.LISTS:
        return [_list_or_text(value) if column != "items" else _list_or_none(value) for value in values]
    if OWN_NAMES.get(column) == "$is_new_customer":
        return [schema.YES_OR_NO.get(str(value).strip().lower()) for value in values]
    if column not in NUMBERS:
        return values
    plain = is_decimal(own[column])
    return [
        number(str(value)) if is_number else None if column in WANTS and not _is_number(value) else value
        for value, is_number in zip(values, plain, strict=True)
    ]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _list_or_none(value: Any) -> Any:
    read = _list_or_text(value)
    return None if isinstance(read, str) else read


def _list_or_text(value: Any) -> Any:
    """A JSON list as one, its numbers digit for digit; anything else as it is."""
    if not isinstance(value, str) or not value.lstrip().startswith("["):
        return value
    try:
        listed = json.loads(value, parse_float=orjson.Fragment, parse_int=orjson.Fragment)
        return orjson.Fragment(orjson.dumps(listed))
    except (ValueError, RecursionError, orjson.JSONEncodeError):
        return value


def _extended(text: str, given: Mapping[str, Any], added: Mapping[str, Any]) -> bytes:
    """The object as JSON, with what is added where it has no such key."""
    if not given:
        return encoded(added)
    news = {name: value for name, value in added.items() if name not in given}
    return text.rstrip()[:-1].encode() + b"," + encoded(news)[1:] if news else text.encode()
