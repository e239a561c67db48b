"""Converge (runconverge.com), webhook source.

Documentation: docs.runconverge.com/sources/server-integrations/webhook (older copy: learn.runconverge.com), its "Event
Spec" and the pages on aliases, deduplication and sales channels (all read 2026-11-21).

Odd: neither statuses nor limits are documented, and an event that breaks the Event Spec is taken and only shown later
as a warning, so this side is the only one that speaks up in time. People are known by aliases, clear e-mails among
them; an alias that is constant or empty merges them for good.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

import numpy as np
import orjson
import pandas as pd
import pandera.pandas as pa
from pydantic import Field, ValidationInfo, field_validator

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
from schemas.casts import texts
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
)


class ConvergeSettings(Settings):
    """Source, and what to make of a row beyond what it says.

    ``events`` renames events; others keep their name. Options, because the vendor's documents go beyond its table of
    parameters: ``allow_no_token`` (old sources have a secret URL, given as ``endpoint``, and no token);
    ``aliases_from`` builds further aliases from these columns, spelled as in the vendor's examples; ``spec_check`` says
    what follows when the Event Spec is broken, which the vendor itself forgives: a warning, a rejection or nothing;
    ``sales_channel`` is sent as ``$sales_channel_type`` (``offline`` suits; left out, Converge assumes ``web``).
    """

    allow_no_token: bool = False
    webhook_token: Secret | None = Field(default=None, validate_default=True)
    events: dict[str, Text] = Field(default_factory=dict)
    aliases_from: tuple[Literal["email", "user_id", "anonymous_id", "phone"], ...] = ()
    spec_check: Literal["warn", "strict", "off"] = "warn"
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
        out = conversions[["event_id", "event_name", "revenue"]].copy(deep=False)
        out["name"] = conversions["event_name"].map(lambda name: self.settings.events.get(name, name))
        out["timestamp"] = _moments(conversions["occurred_at_ms"])
        self._aliases(out, conversions)
        self._properties(out, conversions)
        profile = zip(to_python(conversions, "profile_properties"), _records(conversions, PROFILE_NAMES), strict=True)
        out["profile_properties"] = [_extended(*_read(text, added, added), added) for text, added in profile]
        return out

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
        ids as they are."""
        values = own[column]
        if column == "email":
            values = values.str.strip().str.lower()
        if column == "phone" and self.settings.hash.phone == "off":
            region = region_of(own)
            values = map_distinct(values, lambda text: read_phone(text, region).number)
        return to_python((URNS[column] + values).to_frame(column), column)

    def _properties(self, out: pd.DataFrame, own: pd.DataFrame) -> None:
        """Each row's JSON object with what its columns add under the spec's names, and what the spec says of that."""
        names = {name: OWN_NAMES.get(name, name) for name in extras(own)}
        added = _records(own, {**names, **SPEC_NAMES})
        rows = zip(to_python(out, "name"), to_python(own, "properties"), added, to_python(out, "aliases"), strict=True)
        described = [self._described(*row) for row in rows]
        out["properties"] = [properties for properties, _ in described]
        codes = texts([finding and finding[0] for _, finding in described], own.index)
        sentences = texts([finding and finding[1] for _, finding in described], own.index)
        nothing = texts([None] * len(own), own.index)
        strict = self.settings.spec_check == "strict"
        out["spec_fault"], out["spec_detail"] = (codes, sentences) if strict else (nothing, nothing)
        out["note"], out["note_detail"] = (nothing, nothing) if strict else (codes, sentences)

    def _described(
        self, name: str, text: str | None, added: dict[str, Any], aliases: list[str]
    ) -> tuple[bytes, Finding]:
        if self.settings.sales_channel:
            added.setdefault("$sales_channel_type", self.settings.sales_channel)
        text, given = _read(text, added.keys(), added.keys() & SPEC_NAMES.values())
        found = [] if self.settings.spec_check == "off" else list(schema.findings(name, added, given, aliases))
        finding = (found[0][0], " ".join(sentence for _, sentence in found)) if found else None
        return _extended(text, given, added), finding

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

Finding = tuple[str, str] | None
"""Reason code and sentences of what the spec says, or nothing."""


def _read(text: str | None, added: Collection[str], first: Collection[str]) -> tuple[str, Mapping[str, Any]]:
    """A JSON object as text and as read; the text is what is sent, so that its numbers keep their digits.

    Totals written as text (``"42.00"``) become numbers, which is what the spec wants. What is ``first`` makes room for
    the column that fills it, whatever it says, and a null for what is ``added`` in its place.
    """
    if text is None:
        return "{}", {}
    given = orjson.loads(text)
    quoted = any(isinstance(given.get(name), str) for name in schema.NUMBERS)
    if not quoted and all(given.get(name, "") is not None for name in added) and given.keys().isdisjoint(first):
        return text, given
    exact = json.loads(text, parse_float=orjson.Fragment, parse_int=orjson.Fragment)
    exact = {
        name: value for name, value in exact.items() if name not in first and (value is not None or name not in added)
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


def _values(own: pd.DataFrame, column: str) -> list[Any]:
    values = to_python(own, column)
    if column in schema.LISTS:
        return [_list_or_text(value) for value in values]
    if OWN_NAMES.get(column) == "$is_new_customer":
        return [schema.YES_OR_NO.get(str(value).strip().lower(), value) for value in values]
    if column not in NUMBERS:
        return values
    plain = is_decimal(own[column])
    return [number(str(value)) if is_number else value for value, is_number in zip(values, plain, strict=True)]


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
