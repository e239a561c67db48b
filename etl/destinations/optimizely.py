"""Optimizely Feature Experimentation, conversion events of a project.

Documentation, read 2026-11-21: docs.dataflysignal.com/integrations/analytics/optimizely (the default: endpoint, event
keys, revenue), docs.developers.optimizely.com/experimentation-data "Post events", "Getting started" and "Event API
troubleshooting" (the body, repeats), .../feature-experimentation "Include event tags" (reserved tags).

Odd: 204 means queued, not valid; whatever does not fit is left out without a word, so everything that can be checked
against the project's datafile is checked before sending. An event goes by an id that stands only in the datafile, money
is whole hundredths of a unit of no currency, and a repeat is known by entity_id, uuid and timestamp together.

Long, because all that knows a vendor is one file: the datafile, money in minor units and tags are this one's own, and
each is a part at the end.

Options where Optimizely's own interface offers more than the default:

``region``
    ``us`` or ``eu``; else what the datafile says. European accounts have their own host.
``strict``
    Asks for a 400 where a body breaks a rule of form (X-Optimizely-Strict), instead of a 204 and silence.
``minor_units: iso4217``
    The default calls it "lowest currency unit", Optimizely defines hundredths. Both agree but for yen, dinar and their
    like; this option takes the currency at its word.
``round_revenue``
    Rounds half up, away from zero, what has more decimals than that; the default is to stop the row.
``lift_quantity``
    Also sends quantity beside the tags, where Optimizely has a field for it.
``anonymize_ip``
    Else as the datafile says. Where that says nothing: true, as the Event API has it (Optimizely's kits send false
    then); the only address Optimizely sees is this importer's.
``hash_visitor_id``, ``reject_personal_ids``
    The terms forbid personal data, ids are stored as given. Hash only if the website decides under the same hash.
``datafile_token``
    For a project whose datafile is served only with a token.
``allow_account_mismatch``
    Sends although the datafile belongs to another account or project than the settings say.
``max_age_days``
    No age limit is documented; this one stops older rows.
``client_name``, ``client_version``
    Free text, by which Optimizely's exports tell who sent an event.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from itertools import repeat
from typing import Annotated, Any, ClassVar, Literal, cast

import orjson
import pandas as pd
import pandera.pandas as pa
from pydantic import AfterValidator, Field, SecretStr

from etl import __version__, json_columns, reasons
from etl.clock import DAY_MS
from etl.destinations.base import (
    Destination,
    Facts,
    Hashing,
    Secret,
    Settings,
    Text,
    digits,
    hashed_ids,
    map_distinct,
    region_of,
    to_python,
)
from etl.errors import LookupFailed
from etl.json_columns import around, column, joined, listed, quoted
from etl.model import Fetch, Limits, Request
from schemas import optimizely as schema
from schemas.casts import texts
from schemas.conversion import extras
from schemas.currencies import THREE_DECIMALS
from schemas.numbers import DECIMAL
from schemas.rules import is_decimal, warned

ENDPOINT = "https://logx.optimizely.com/v1/events"

EU = "https://eu.logx.optimizely.com/v1/events"
DATAFILE = "https://cdn.optimizely.com/datafiles/{sdk_key}.json"

EVENTS = {
    "Order Completed": "purchase",
    "Product Added": "add_to_cart",
    "Checkout Started": "begin_checkout",
    "Form Submitted": "form_submit",
}
"""Event name -> event key, as the default's page has it; any other name is its own key."""

CANONICAL_TAGS = ("currency", "order_id", "quantity")
PLAIN = re.compile(DECIMAL)
EXACT = json.JSONDecoder(parse_float=orjson.Fragment, parse_int=orjson.Fragment)
"""Reads JSON so that numbers keep their digits."""

VERSIONS = ("2", "3", "4")
NEEDED = ("accountId", "projectId", "revision", "version", "events", "attributes")
RESERVED_ATTRIBUTE = "$opt_"
BOT_FILTERING = "$opt_bot_filtering"
LARGEST = 2**53
"""Optimizely's kits drop attributes that are larger numbers."""

NO_DECIMALS = (
    *("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW"),
    *("PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"),
)
PLACES = {**dict.fromkeys(NO_DECIMALS, "0"), **dict.fromkeys(THREE_DECIMALS, "3")}
"""Decimals of the currencies that do not have two (ISO 4217). Those with four are units of account, not of payment."""

FACTS = Facts(
    title="Optimizely",
    docs=(
        "docs.dataflysignal.com/integrations/analytics/optimizely",
        "docs.developers.optimizely.com/experimentation-data/reference/post_events",
        "docs.developers.optimizely.com/experimentation-data/docs/event-api-troubleshooting",
    ),
    limits=Limits(items=5_000, bytes=3_000_000, connections=4),
    max_items=50_000,
    max_bytes=3_500_000,
    repeatable=True,
    repeatable_because="of events with the same entity_id, uuid and timestamp one is kept (troubleshooting page)",
    all_or_nothing=True,
    requires=("event_id", "event_name", "occurred_at", "user_id or anonymous_id"),
    hints={
        400: "Compare account_id and project_id with the Optimizely dashboard.",
        401: "The event endpoint knows no login: check `endpoint`, or a proxy on the way.",
        403: "The SDK key may be wrong or of another environment: Settings > Environments shows it.",
        404: "Check `endpoint`: it should be https://logx.optimizely.com/v1/events.",
        413: "Lower limits.bytes: one body may hold 3.5 MB.",
    },
    notes=(
        "Checkout Started sends the cart's value as revenue, as the default's page says: a metric that begin_checkout "
        "and purchase share adds up both.",
    ),
    expired=(reasons.TOO_OLD.code, "Older than max_age_days."),
    where_to_look=(
        "In Optimizely, the Event Inspector (under Events) at once; the Results tab of the experiment after up to 10 "
        "minutes."
    ),
    events={
        "Order Completed": "purchase: revenue and item count as event tags",
        "Product Added": "add_to_cart: product details as event tags",
        "Checkout Started": "begin_checkout: the cart's value as revenue tag",
        "Form Submitted": "form_submit: form details as event tags",
        "others": "the event key of the same name, unless `events` gives another",
    },
    troubleshooting={
        "No conversions in experiment results": (
            "The event key differs: keys are case-sensitive; with `datafile_url` an unknown one is found out before "
            "anything is sent (`unknown_event_key`)."
        ),
        "Events sent but not attributed to experiment": (
            "The visitor was not activated in an experiment before, or goes under another id than there."
        ),
        "400 bad request": "Compare `account_id` and `project_id` with the Optimizely dashboard.",
        "Revenue not tracked": "Amounts are turned into hundredths here (89.99 goes as 8999): give plain amounts.",
        "Stale experiment configuration": "The datafile is fetched anew before every run; check `datafile_url`.",
        "403 forbidden": "The SDK key may be wrong or of another environment: Settings > Environments shows it.",
        "Visitor count higher than expected": "Anonymous ids change: fill user_id, which goes first.",
    },
)


def _secret_address(url: SecretStr) -> SecretStr:
    if not url.get_secret_value().startswith(("http://", "https://")):
        raise ValueError("must be a full http:// or https:// URL")
    return url


class OptimizelySettings(Settings):
    """One environment of a project. The datafile's address holds the SDK key, so it is as secret as that."""

    account_id: Text
    """The account's id, from Settings > Account."""
    project_id: Text
    """The Feature Experimentation project's id."""
    sdk_key: Secret
    """The SDK key of the environment."""
    datafile_url: Annotated[SecretStr, AfterValidator(_secret_address)] | None = None
    """Where the datafile is read before a run, so that unknown event keys are rejected."""
    datafile_token: Secret | None = None
    """The token of a datafile that is not public."""
    events: dict[str, Text] = Field(default={})
    """Event name -> event key; others keep their name. Keys are case-sensitive."""
    region: Literal["us", "eu"] | None = None
    """Whose endpoint: us or eu; left out, what the datafile says."""
    strict: bool = False
    """Ask for a 400 where a body breaks a rule of form; else Optimizely answers 204 and drops it."""
    minor_units: Literal["hundredths", "iso4217"] = "hundredths"
    """How amounts become whole numbers: hundredths always, or as many digits as the currency has."""
    round_revenue: bool = False
    """Round amounts with too many decimals instead of rejecting them."""
    lift_quantity: bool = False
    """Also send quantity beside the tags, where Optimizely has a field for it."""
    anonymize_ip: bool | None = None
    """Ask Optimizely not to keep the sender's address; left out, as the datafile says, else yes."""
    hash_visitor_id: Hashing = "off"
    """How visitor ids are hashed, just as the website does it."""
    reject_personal_ids: bool = False
    """Reject visitor ids that look like e-mail addresses or phone numbers."""
    allow_account_mismatch: bool = False
    """Send although the datafile belongs to another account or project."""
    max_age_days: int | None = Field(default=None, ge=1)
    """Conversions older than this are rejected; without it none is."""
    client_name: Text = "offline-conversions"
    """The name under which this program presents itself."""
    client_version: Text = __version__
    """The version under which it does."""


class Optimizely(Destination):
    """One Optimizely Feature Experimentation project, in one environment."""

    type = "optimizely"
    facts = FACTS
    readable = (
        *(f"snapshots.events.{name}" for name in ("entity_id", "uuid", "key", "timestamp", "revenue")),
        *(f"snapshots.events.tags.{name}" for name in ("revenue", "currency", "quantity")),
        *(f"attributes.{name}" for name in ("entity_id", "key", "type")),
    )
    contacts = ()
    settings_model = OptimizelySettings
    endpoint_template = ENDPOINT
    fields: ClassVar = {
        **{"event_id": "uuid", "event_name": "key", "occurred_at": "timestamp", "revenue": "revenue"},
        **{"user_id": "visitor_id", "anonymous_id": "visitor_id", "attributes": "attributes", "properties": "tags"},
        **{name: f"tags.{name}" for name in CANONICAL_TAGS},
    }
    property_names: ClassVar = {name: name for name in ("revenue", *CANONICAL_TAGS)}
    settings: OptimizelySettings

    def extra_field(self, column: str) -> str:
        """See `Destination.extra_field`."""
        return f"tags.{column}"

    @cached_property
    def endpoint(self) -> str:
        """`endpoint`, else the host of `region`, else of the region that the datafile names."""
        region = self.settings.region or self.lookup.get("region")
        return EU if region == "eu" and not self.settings.endpoint else super().endpoint

    def columns(self, conversions: pd.DataFrame) -> pd.DataFrame:
        """Resolve event, visitor (hashed where configured) and money; tags and attributes become JSON text."""
        own, settings = conversions, self.settings
        out = own[["event_id", "event_name", "occurred_at_ms", "revenue", "currency", "order_id"]].copy(deep=False)
        out["event_key"] = map_distinct(own["event_name"], self._event_key)
        out["entity_id"] = map_distinct(out["event_key"], self._ids.get)
        out["advice"] = self._advice(out["event_key"].mask(out["entity_id"].notna()))
        visitors = hashed_ids(own["user_id"].fillna(own["anonymous_id"]), settings.hash_visitor_id, region_of(own))
        out["visitor_id"] = visitors.ids.mask(visitors.faults.notna(), "")
        out["visitor_fault"] = visitors.faults
        out["minor"], out["decimals"] = self._money(own)
        out["quantity"] = own["quantity"].astype("str").str.replace(r"\.0*$", "", regex=True)
        out["quantity_json"] = map_distinct(out["quantity"], _number_or_text)
        out["more_tags"], out["value"], reserved = _more_tags(own)
        out["attributes"], unregistered = self._attributes(own["attributes"])
        if settings.max_age_days:
            out["expires_at_ms"] = own["occurred_at_ms"] + settings.max_age_days * DAY_MS
        return warned(
            out,
            (unregistered, schema.UNREGISTERED_ATTRIBUTE),
            (reserved, schema.RESERVED_TAG),
            (own["user_id"].isna() & own["anonymous_id"].notna(), reasons.ANONYMOUS_VISITOR),
        )

    @property
    def _ids(self) -> Mapping[str, str]:
        ids: Mapping[str, str] = self.lookup.get("events", {})
        return ids

    def _event_key(self, event_name: str) -> str:
        return self.settings.events.get(event_name) or EVENTS.get(event_name, event_name)

    def _advice(self, unknown: pd.Series[str]) -> pd.Series[str]:
        """What to do about keys that the datafile does not know; the search is slow, so only for a hundred of them."""
        nearest = {key: self._nearest(key) for key in unknown.dropna().unique()[:100]}
        return map_distinct(unknown, lambda key: f"{nearest.get(key, '')}Map the event under `events`, or create it.")

    def _nearest(self, event_key: str) -> str:
        """The nearest known key, whatever its case."""
        by_lower = {key.lower(): key for key in self._ids}
        found = difflib.get_close_matches(event_key.lower(), by_lower, n=1)
        return f"The nearest is {by_lower[found[0]]} (case counts). " if found else ""

    def _money(self, own: pd.DataFrame) -> tuple[pd.Series[str], pd.Series[str]]:
        """revenue in minor units as digits and, where it has too many decimals for that, how many it may have."""
        revenue, known = own["revenue"], PLACES if self.settings.minor_units == "iso4217" else {}
        places = map_distinct(own["currency"], lambda currency: known.get(currency, "2")).fillna("2")
        minor = texts([None] * len(own), own.index)
        for each in places.unique():
            scaled = partial(_minor, places=int(each), rounds=self.settings.round_revenue)
            minor = minor.fillna(map_distinct(revenue.where(places == each), scaled))
        lost = revenue.notna() & minor.isna()
        if lost.any():
            lost &= is_decimal(revenue)
        return minor, places.where(lost)

    def _attributes(self, given: pd.Series[str]) -> tuple[pd.Series[str], pd.Series[bool]]:
        """The registered ones as a JSON array, and where others were left out."""
        if given.isna().all():
            return given, given.notna()
        found = [self._registered(orjson.loads(text)) for text in given.fillna("{}").tolist()]
        arrays, fewer = zip(*found, strict=True)
        return texts(list(arrays), given.index), pd.Series(fewer, index=given.index)

    def _registered(self, attributes: Mapping[str, Any]) -> tuple[str, bool]:
        ids: Mapping[str, str] = self.lookup.get("attributes", {})
        kept = [
            {"entity_id": ids.get(key, key), "key": key, "type": "custom", "value": value}
            for key, value in attributes.items()
            if (key in ids or key.startswith(RESERVED_ATTRIBUTE)) and _is_attribute(value)
        ]
        return orjson.dumps([*kept, *self._bot_filtering]).decode(), len(kept) < len(attributes)

    @property
    def _bot_filtering(self) -> list[dict[str, Any]]:
        """The attribute that Optimizely's kits append last where the datafile says anything of bots."""
        said = self.lookup.get("bot_filtering")
        named = {"entity_id": BOT_FILTERING, "key": BOT_FILTERING, "type": "custom", "value": said}
        return [] if said is None else [named]

    def metrics(self, conversions: pd.DataFrame) -> pd.Series[str] | None:
        """The event: money has no currency here, the tag of that name is for people."""
        return map_distinct(conversions["event_name"], lambda name: f"the revenue of {self._event_key(name)}")

    def schema(self) -> pa.DataFrameSchema:
        """The rules, as the options set them."""
        settings = self.settings
        return schema.rules(whole_quantity=settings.lift_quantity, reject_personal_ids=settings.reject_personal_ids)

    def items(self, frame: pd.DataFrame) -> list[bytes]:
        """One visitor object per conversion, in the shape that Optimizely's kits send.

        Put together by column: only text that needs escaping is encoded by row.
        """
        no_field = pd.Series(None, index=frame.index, dtype="str")
        return json_columns.encoded(
            joined(
                '{"snapshots":[{"events":[{"entity_id":',
                quoted(frame["entity_id"]),
                ',"uuid":',
                quoted(frame["event_id"]),
                ',"key":',
                quoted(frame["event_key"]),
                ',"timestamp":',
                column(frame["occurred_at_ms"]),
                around(',"revenue":', column(frame["minor"])),
                around(',"value":', column(frame["value"])),
                around(',"quantity":', column(frame["quantity_json"] if self.settings.lift_quantity else no_field)),
                _tags(frame),
                '}]}],"attributes":',
                column(frame["attributes"].fillna(orjson.dumps(self._bot_filtering).decode())),
                ',"visitor_id":',
                quoted(frame["visitor_id"]),
                "}",
            )
        )

    def request(self, payloads: Sequence[bytes]) -> Request:
        """Visitors in the account's envelope. No key travels: the account is a field of the body."""
        body = b"".join((self._head, b",".join(payloads), b"]}"))
        return self.post(body, {"X-Optimizely-Strict": "true"} if self.settings.strict else None)

    @cached_property
    def _head(self) -> bytes:
        settings, lookup = self.settings, self.lookup
        by_datafile = lookup.get("anonymize_ip", True)
        envelope = {
            "account_id": settings.account_id,
            "project_id": settings.project_id,
            "revision": lookup.get("revision", ""),
            "client_name": settings.client_name,
            "client_version": settings.client_version,
            "anonymize_ip": by_datafile if settings.anonymize_ip is None else settings.anonymize_ip,
            "enrich_decisions": True,
            "visitors": [],
        }
        return orjson.dumps(envelope)[:-2]

    # -- before a run

    def prepare(self, fetch: Fetch) -> dict[str, Any]:
        """What is needed of the datafile: ids of events and attributes by key, and whose datafile it is."""
        settings = self.settings
        key, token = settings.sdk_key.get_secret_value(), settings.datafile_token
        url = settings.datafile_url.get_secret_value() if settings.datafile_url else DATAFILE.format(sdk_key=key)
        headers = {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}
        try:
            lookup = _lookup(_datafile(fetch(url, headers), self.masked))
        except LookupFailed as error:
            raise LookupFailed(self._no_datafile(error), schema.DATAFILE_UNAVAILABLE.code) from None
        if not settings.allow_account_mismatch:
            self._check_account(lookup)
        return lookup

    def _no_datafile(self, error: LookupFailed) -> str:
        hint = f" {self.hint(403)}" if error.reason == "http_403" else ""
        return f"Optimizely's datafile could not be had: {self.masked(str(error))}{hint}"

    def _check_account(self, lookup: Mapping[str, Any]) -> None:
        for name in ("account_id", "project_id"):
            ours, theirs = getattr(self.settings, name), lookup[name]
            if ours != theirs:
                sentence = (
                    f"The datafile belongs to {name} {theirs}, the settings say {ours}: Optimizely would take the "
                    f"conversions and count none. Correct {name} or sdk_key; allow_account_mismatch sends all the same."
                )
                raise LookupFailed(sentence, schema.DATAFILE_MISMATCH.code)


# -- the datafile


def _datafile(body: bytes, masked: Callable[[str], str]) -> Mapping[str, Any]:
    """The datafile, with every key that is read from it. Raises LookupFailed otherwise."""
    try:
        datafile = orjson.loads(body)
    except orjson.JSONDecodeError:
        # A project that was switched off answers 200 with "// This Optimizely project has been deactivated …".
        # Masked before it is cut: half a secret would not be known again.
        shown = masked(body[:2000].decode("utf-8", "replace"))[:60]
        raise LookupFailed(f"it is not JSON but begins {shown!r}.") from None
    missing = [name for name in NEEDED if name not in datafile] if isinstance(datafile, dict) else NEEDED
    if missing:
        raise LookupFailed(f"it lacks {', '.join(missing)}.")
    if str(datafile["version"]) not in VERSIONS:
        raise LookupFailed(f"it has version {datafile['version']}, and only {', '.join(VERSIONS)} are known.")
    return cast("dict[str, Any]", datafile)


def _lookup(datafile: Mapping[str, Any]) -> dict[str, Any]:
    """What is needed of the datafile."""
    anonymize, bots = datafile.get("anonymizeIP"), datafile.get("botFiltering")
    return {
        "account_id": str(datafile["accountId"]),
        "project_id": str(datafile["projectId"]),
        "revision": str(datafile["revision"]),
        "events": _ids_by_key(datafile["events"]),
        "attributes": _ids_by_key(datafile["attributes"]),
        "anonymize_ip": anonymize if isinstance(anonymize, bool) else True,
        "bot_filtering": bots if isinstance(bots, bool) else None,
        "region": "eu" if str(datafile.get("region", "")).lower() == "eu" else "us",
    }


def _ids_by_key(entries: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Of two entries with one key the last counts, as in Optimizely's own kit. Raises LookupFailed."""
    try:
        return {str(entry["key"]): str(entry["id"]) for entry in entries}
    except (KeyError, TypeError):
        raise LookupFailed("its events or attributes are not lists of keys and ids.") from None


# -- values


def _minor(revenue: str, *, places: int, rounds: bool) -> str | None:
    """Decimal text times ten to the ``places``, as digits: ``19.99`` is ``1999``. None where decimals would be lost."""
    whole, _, fraction = revenue.partition(".")
    try:
        units = int(whole + fraction[:places].ljust(places, "0"))
    except ValueError:
        return None
    lost = fraction[places:].rstrip("0")
    if lost and not rounds:
        return None
    up = (-1 if whole.startswith("-") else 1) if lost[:1] >= "5" else 0
    return str(units + up)


def _number_or_text(text: str) -> str:
    return digits(text) if PLAIN.fullmatch(text) else orjson.dumps(text).decode()


def _is_attribute(value: object) -> bool:
    if isinstance(value, bool | str):
        return True
    return isinstance(value, int | float) and abs(value) <= LARGEST


# -- tags


def _more_tags(own: pd.DataFrame) -> tuple[pd.Series[str], pd.Series[str], pd.Series[bool]]:
    """What properties and extra columns add: tags as the inside of a JSON object, the tag ``value`` as a number, and
    where a property was left out because it is named ``revenue``.

    A property outweighs an extra column, a canonical column both.
    """
    names, index = extras(own), own.index
    if not names and own["properties"].isna().all():
        nothing = texts([None] * len(own), index)
        return nothing, nothing, nothing.notna()
    properties, extra, canonical = (
        own["properties"].fillna("{}").tolist(),
        _tuples(own, names),
        _tuples(own, CANONICAL_TAGS),
    )
    # Row by row and only texts kept: a list of dicts would cost more in garbage collection than in work.
    rows = [
        _tags_of_row(
            EXACT.decode(given), dict(zip(names, row, strict=True)), dict(zip(CANONICAL_TAGS, taken, strict=True))
        )
        for given, row, taken in zip(properties, extra, canonical, strict=True)
    ]
    inside, values, reserved = zip(*rows, strict=True) if rows else ((), (), ())
    return texts(list(inside), index), texts(list(values), index), pd.Series(reserved, index=index, dtype=bool)


def _tuples(own: pd.DataFrame, names: Sequence[str]) -> Iterable[tuple[Any, ...]]:
    return zip(*(to_python(own, name) for name in names), strict=True) if names else repeat((), len(own))


def _tags_of_row(
    properties: Mapping[str, Any], extra: Mapping[str, Any], canonical: Mapping[str, Any]
) -> tuple[str | None, str | None, bool]:
    properties = {name: value for name, value in properties.items() if value is not None}
    tags = _flat({**extra, **properties}, canonical)
    inside = orjson.dumps(tags, default=str)[1:-1].decode()
    return inside or None, _value(tags.get("value")), "revenue" in properties


def _flat(tags: Mapping[str, Any], canonical: Mapping[str, Any]) -> dict[str, Any]:
    """Text, numbers, true and false; what is nested becomes its JSON text, nulls and taken names fall away."""
    return {
        name: orjson.dumps(value).decode() if isinstance(value, dict | list) else value
        for name, value in tags.items()
        if value is not None and name != "revenue" and canonical.get(name) is None
    }


def _value(tag: object) -> str | None:
    if isinstance(tag, str):
        return digits(tag) if PLAIN.fullmatch(tag) else None
    return None if tag is None or isinstance(tag, bool) else orjson.dumps(tag, default=str).decode()


def _tags(frame: pd.DataFrame) -> json_columns.Column:
    """``,"tags":{…}`` of each row, null where there are none; revenue stands here too, as in the vendor's kits."""
    pairs = listed(
        around('"revenue":', column(frame["minor"])),
        around('"currency":', quoted(frame["currency"])),
        around('"order_id":', quoted(frame["order_id"])),
        around('"quantity":', column(frame["quantity_json"])),
        column(frame["more_tags"]),
    )
    return around(',"tags":{', pairs, "}")
