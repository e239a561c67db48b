"""Kameleoon, Data API ``POST /visit/events``.

Documentation: docs.kameleoon.com/api-reference/visit/send-visitor-events, developers.kameleoon.com "Data API overview"
and "Processing offline goal conversions", and Datafly Signal's page on Kameleoon (all read 2026-11-21).

Odd: the answer is 204 before anybody has looked at the events, so an event without its goal or visitor vanishes in
silence; no event carries a time, it is dated when it arrives. Everything is therefore judged here, before it is sent.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Annotated, ClassVar, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import orjson
import pandas as pd
import pandera.pandas as pa
from pydantic import BeforeValidator, Field, field_validator

from etl import json_columns, reasons
from etl.clock import DAY_MS
from etl.destinations.base import Destination, Facts, Settings, Text, digits, map_distinct
from etl.json_columns import around, column, joined, quoted
from etl.model import Limits, Request, RetryPolicy
from schemas import kameleoon as schema
from schemas.casts import matches, nothing, texts
from schemas.numbers import WHOLE
from schemas.rules import is_negative

ENDPOINT = "https://{data_region}-data.kameleoon.{domain}/visit/events"

DOCUMENTED_VISITOR_CODE = 100

PAGE, CONVERSION = "PAGE", "CONVERSION"
EVENT_TYPES = {"page": PAGE, "Order Completed": CONVERSION, "Order Refunded": CONVERSION, "Signed Up": CONVERSION}
REFUND = "Order Refunded"

FACTS = Facts(
    title="Kameleoon",
    docs=(
        "docs.kameleoon.com/api-reference/visit/send-visitor-events",
        "developers.kameleoon.com/apis/data-api-rest/overview",
    ),
    # 3 MB a body is documented, no number of events; the vendor's libraries stop at 2.6 M characters and send once
    # a second. Rate limits count per IP address, so that more connections win nothing.
    retry_policy=RetryPolicy(first_wait_s=5.0),
    limits=Limits(items=5_000, bytes=2_500_000, connections=1, spacing_ms=1000),
    max_items=30_000,
    max_bytes=3_000_000,
    repeatable=True,
    repeatable_because="events under one nonce count once; the vendor's libraries repeat with the same nonce",
    all_or_nothing=True,
    requires=(
        "event_id",
        "event_name",
        "occurred_at",
        "kameleoon_visitor_code or anonymous_id",
        "kameleoon_goal_id or a goal under `events` (conversions)",
        "url (page views)",
    ),
    hints={
        400: "A nonce or eventType is missing, or the body is malformed.",
        401: "Kameleoon wanted a token, which delivery does not use: ask Kameleoon why this project demands one.",
        403: "The user agent or the address is refused; Kameleoon turns away whatever is on its list of robots.",
        404: "The data region is probably wrong: check `data_region` (eu or na) and `domain` (io or eu).",
        413: "The body is above Kameleoon's 3 MB: lower `limits.bytes`.",
        429: "Over the rate limit for this IP address: raise `limits.spacing_ms`, or ask Kameleoon for more.",
    },
    stale=(schema.OUTSIDE_ATTRIBUTION.code, schema.OUTSIDE_ATTRIBUTION.sentence),
    where_to_look=(
        "In the Kameleoon app, in the visitor's profile (by the visitor code) or the results of the experiment "
        "that the "
        "visitor saw, under the goal: look after 5 to 30 minutes. Kameleoon documents no delay; the answer "
        "comes before "
        "anybody has looked at the event."
    ),
    notes=(
        "no event carries a time, Kameleoon dates it when it arrives: an import that comes late counts late, and after "
        "the attribution window (7 days by default) no experiment is credited.",
    ),
    events={
        "page": "PAGE: href, title, referrers",
        "Order Completed": "CONVERSION: goalId, revenue",
        REFUND: "CONVERSION: goalId, revenue, negative: true",
        "Signed Up": "CONVERSION: goalId",
        "others": "not sent, unless `events` gives them a goal",
    },
    troubleshooting={
        "404 Not Found": "The data region is wrong: `data_region` is eu or na, as the account is hosted.",
        "Conversions not attributed to an experiment": (
            "The visitor went under anonymous_id (warning `fallback_visitor`): install Kameleoon's tag, and "
            "import what "
            "its cookie kameleoonVisitorCode held."
        ),
        "Goal not recorded": (
            "The goal id is missing (`missing_goal_id`) or no goal of the project: list the goals in "
            "`known_goals`, and "
            "what is none is rejected (`goal_not_listed`)."
        ),
        "400 Bad Request": "nonce or eventType is missing or the body is malformed: neither is ever sent so from here.",
        "429 Too Many Requests": (
            "The limit is per IP address; sending pauses and goes on by itself. For more, raise "
            "`limits.spacing_ms`, or "
            "ask Kameleoon for an authenticated connection."
        ),
    },
)

SITE_CODE = "[0-9a-z]{10}"
"""What site codes look like: ten letters and digits (f17c21u1ag); other tools refuse any other length."""


def _goal_id(goal: object) -> str:
    """A goal id as digits, from YAML's whole number or text."""
    text = "" if isinstance(goal, bool) else str(goal).strip()
    if not re.fullmatch(WHOLE, text):
        raise ValueError("must be a goal's numeric id, such as 36151")
    return text


GoalId = Annotated[str, BeforeValidator(_goal_id)]


class KameleoonSettings(Settings):
    """Project, region, and fixed goals.

    Options, because Kameleoon's own documents and libraries differ from that mapping's source:
    ``domain: eu`` (projects live on .io or .eu, by age); ``nonce_style: hex16`` (16 hex digits are documented, any text
    is shown); ``referrers_field: referrersIndices`` (the name and the whole numbers that the libraries send);
    ``visitor_code_limit`` (100 documented, 255 taken).
    """

    site_code: Text
    """The project's site code, from Setup > Project in the Kameleoon app: ten letters and digits."""
    data_region: Literal["eu", "na"]
    """Where the account is hosted."""
    domain: Literal["io", "eu"] = "io"
    """How the host ends: io, or eu for some projects, by age; the project's own page shows it."""
    events: dict[str, GoalId] = Field(default_factory=dict)
    """Event name -> goal id: names beside the default mapping, or a fixed goal; a row's kameleoon_goal_id wins."""
    known_goals: frozenset[GoalId] | None = None
    """The ids of the goals that exist; a conversion to another one is rejected instead of lost."""
    nonce_style: Literal["event_id", "hex16"] = "event_id"
    """What makes repeats known: the event_id as it is, or 16 hex digits made of it, as documented."""
    referrers_field: Literal["referrers", "referrersIndices"] = "referrers"
    """The name of a page view's referrers: that of Signal's page, or that of Kameleoon's own libraries."""
    visitor_code_limit: int = Field(default=255, ge=1, le=255)
    """Longer visitor codes are rejected: Kameleoon's libraries take 255, its reference says 100."""
    negative_as_refund: bool = False
    """Send an amount below zero as a refund instead of rejecting it."""
    attribution_days: int = Field(default=7, ge=1)
    """Conversions older than this go with a warning."""
    max_age_days: int | None = Field(default=None, ge=1)
    """Conversions older than this are rejected; without it none is for its age."""

    @field_validator("events")
    @classmethod
    def _pages_have_no_goal(cls, events: dict[str, str]) -> dict[str, str]:
        if "page" in events:
            raise ValueError("`page` is a page view and has no goal")
        return events


class Kameleoon(Destination):
    """One Kameleoon project, by its site code.

    Not offered: the authenticated mode (a JWT for higher rate limits); delivery does not need it.
    """

    type = "kameleoon"
    facts = FACTS
    readable = ("eventType", "nonce", "goalId", "revenue")
    contacts = ()
    settings_model = KameleoonSettings
    endpoint_template = ENDPOINT
    fields: ClassVar = {
        **{"event_id": "nonce", "event_name": "eventType", "kameleoon_visitor_code": "visitorCode"},
        **{"anonymous_id": "visitorCode", "kameleoon_goal_id": "goalId", "revenue": "revenue"},
        **{"url": "href", "title": "title", "referrer": "referrers"},
    }
    own_columns = ("metadata",)
    settings: KameleoonSettings

    def extra_field(self, column: str) -> str:
        """See `Destination.extra_field`."""
        return column if column in self.own_columns else ""

    def columns(self, conversions: pd.DataFrame) -> pd.DataFrame:
        """Type, visitor, goal and amount of each event; names outside the mapping are skipped.

        ``missing`` names what an event of its type cannot do without (reason code, null = nothing).
        """
        out = conversions[["event_id", "event_name"]].copy(deep=False)
        names = conversions["event_name"]
        types = {**EVENT_TYPES, **dict.fromkeys(self.settings.events, CONVERSION)}
        out["event_type"] = names.map(types).astype("str")
        out["skip"] = _text_where(schema.NOT_IN_MAPPING.code, out["event_type"].isna())
        out["skip_detail"] = _text_where(schema.NOT_IN_MAPPING.detail, out["event_type"].isna())
        out["nonce"] = self._nonces(conversions["event_id"])
        self._visitor(out, conversions)
        self._conversion(out, conversions, out["event_type"] == CONVERSION)
        self._page(out, conversions, out["event_type"] == PAGE)
        self._metadata(out, conversions, out["event_type"] == CONVERSION)
        out["stale_at_ms"] = conversions["occurred_at_ms"] + self.settings.attribution_days * DAY_MS
        if self.settings.max_age_days is not None:
            out["expires_at_ms"] = conversions["occurred_at_ms"] + self.settings.max_age_days * DAY_MS
        return out

    def doubts(self) -> list[str]:
        """A site code of another form: nobody tells, Kameleoon answers before it looks."""
        if re.fullmatch(SITE_CODE, self.settings.site_code):
            return []
        return ["`site_code` is not ten small letters and digits such as f17c21u1ag: compare it with Setup > Project."]

    def _nonces(self, event_ids: pd.Series[str]) -> pd.Series[str]:
        """The event id as it is or, in the documented form, the first 64 bits of its SHA-256."""
        if self.settings.nonce_style == "event_id":
            return event_ids
        digests = (hashlib.sha256(event_id.encode()).hexdigest() for event_id in event_ids)
        return texts([digest[:16].upper() for digest in digests], event_ids.index)

    def _visitor(self, out: pd.DataFrame, own: pd.DataFrame) -> None:
        """The visitor code, and the warning about it."""
        codes = own["kameleoon_visitor_code"]
        out["visitor_code"] = codes.fillna(own["anonymous_id"])
        fallback = codes.isna() & out["visitor_code"].notna()
        long = (out["visitor_code"].str.len() > DOCUMENTED_VISITOR_CODE).fillna(False).astype(bool)
        too_long, stood_in = schema.LONG_VISITOR_CODE, schema.FALLBACK_VISITOR
        codes = _text_where(too_long.code, long).mask(fallback & ~long, stood_in.code)
        out["note"] = codes.mask(long & fallback, f"{too_long.code} {stood_in.code}")
        detail = _text_where(stood_in.detail, fallback).mask(long & ~fallback, too_long.sentence)
        out["note_detail"] = detail.mask(long & fallback, f"{too_long.sentence} {stood_in.detail}")

    def _conversion(self, out: pd.DataFrame, own: pd.DataFrame, wanted: pd.Series[bool]) -> None:
        """Goal and amount; of a refund, the amount without its sign."""
        out["goal_id"] = self._goals(own).where(wanted)
        out["missing"] = _text_where(reasons.MISSING_GOAL_ID.code, wanted & out["goal_id"].isna())
        revenue = own["revenue"].where(wanted)
        below = revenue.notna() & is_negative(revenue)
        refund = own["event_name"] == REFUND
        out["negative"] = refund | (below & self.settings.negative_as_refund)
        signed = (below & ~out["negative"]) | revenue.str.startswith("--").fillna(False).astype(bool)
        out["revenue"] = revenue.where(signed, revenue.str.removeprefix("-"))

    def _page(self, out: pd.DataFrame, own: pd.DataFrame, wanted: pd.Series[bool]) -> None:
        """Address, title and referrers of a page view."""
        for name, canonical in (("href", "url"), ("title", "title"), ("referrers", "referrer")):
            out[name] = own[canonical].where(wanted)
        out["missing"] = out["missing"].mask(wanted & out["href"].isna(), schema.MISSING_URL.code)

    def _metadata(self, out: pd.DataFrame, own: pd.DataFrame, wanted: pd.Series[bool]) -> None:
        """Custom data of a conversion, index -> texts; what is no such object is left out, with a warning."""
        given = own.get("metadata", nothing(own.index)).where(wanted)
        out["metadata"] = map_distinct(given, _custom_data)
        odd = given.notna() & out["metadata"].isna()
        said = schema.METADATA_LEFT_OUT.detail
        out["note"] = out["note"].mask(odd, (out["note"] + " ").fillna("") + schema.METADATA_LEFT_OUT.code)
        out["note_detail"] = out["note_detail"].mask(odd, (out["note_detail"] + " ").fillna("") + said)

    def _goals(self, own: pd.DataFrame) -> pd.Series[str]:
        fixed = own["event_name"].map(self.settings.events).astype("str")
        goals = own["kameleoon_goal_id"].str.strip().fillna(fixed)
        return goals.str.replace("^0+([0-9])", r"\1", regex=True)  # JSON knows no 036151

    def metrics(self, conversions: pd.DataFrame) -> pd.Series[str] | None:
        """The goal: no field of an event names a currency."""
        return map_distinct(self._goals(conversions), lambda goal: f"the revenue of goal {goal}")

    def schema(self) -> pa.DataFrameSchema:
        """The rules, under this destination's limit for visitor codes."""
        return schema.rules(
            visitor_code_limit=self.settings.visitor_code_limit,
            indices=self.settings.referrers_field == "referrersIndices",
            known_goals=self.settings.known_goals,
        )

    def items(self, frame: pd.DataFrame) -> list[bytes]:
        """One JSON object per event, keys in the order of the documented example.

        Put together by column: only text that needs escaping is encoded by row.
        """
        return json_columns.encoded(
            joined(
                '{"nonce":',
                quoted(frame["nonce"]),
                around(',"eventType":"', column(frame["event_type"]), '"'),
                ',"visitorCode":',
                quoted(frame["visitor_code"]),
                around(',"goalId":', column(frame["goal_id"])),
                around(',"revenue":', column(_digits(frame["revenue"]))),
                column(_text_where(',"negative":true', frame["negative"])),
                around(',"metadata":', column(frame["metadata"])),
                around(',"href":', quoted(frame["href"])),
                around(',"title":', quoted(frame["title"])),
                around(f',"{self.settings.referrers_field}":', self._referrers(frame["referrers"])),
                "}",
            )
        )

    def _referrers(self, referrers: pd.Series[str]) -> json_columns.Column:
        if self.settings.referrers_field == "referrers":
            return quoted(referrers)
        return around("[", column(referrers.str.replace("|", ",", regex=False)), "]")

    def request(self, payloads: Sequence[bytes]) -> Request:
        """An array, even around a single event."""
        return replace(self.post(b"[" + b",".join(payloads) + b"]"), url=self._url)

    @cached_property
    def _url(self) -> str:
        """The endpoint with its query: without ``json=true`` the array would be read as lines and lost with a 204.

        A ``visitorCode`` there would override the one of every event, so it is not kept.
        """
        parts = urlsplit(self.endpoint)
        kept = [pair for pair in parse_qsl(parts.query, True) if pair[0] not in ("siteCode", "json", "visitorCode")]
        query = urlencode([*kept, ("siteCode", self.settings.site_code), ("json", "true")])
        return urlunsplit(parts._replace(query=query))


def _custom_data(text: str) -> str | None:
    """``{"3": ["ORD-1"]}``, as Kameleoon's libraries send it (read 2026-11-21); None for anything else."""
    try:
        given = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(given, dict) or not given or not all(index.isascii() and index.isdigit() for index in given):
        return None
    lists = all(isinstance(each, list) and all(isinstance(one, str) for one in each) for each in given.values())
    return orjson.dumps(given).decode() if lists else None


def _digits(amounts: pd.Series[str]) -> pd.Series[str]:
    """Decimal text as JSON numbers, digit for digit; only the odd ones (``+.5``, ``007``) are looked at by row."""
    odd = amounts.notna() & ~matches(amounts, r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
    return amounts.mask(odd, amounts[odd].map(digits)) if odd.any() else amounts


def _text_where(text: str, where: pd.Series[bool]) -> pd.Series[str]:
    """The text in the rows where it applies, else null."""
    return nothing(where.index).mask(where, text)
