"""Convert, goal conversions of a project.

Documentation, read 2026-11-21: docs.dataflysignal.com/integrations/analytics/convert (the default: endpoint, key,
answers), docs.developers.convert.com/docs/direct-tracking-endpoint and api.convert.com/doc/serving (the body, and the
other endpoint), support.convert.com "Complete guide to creating integrations" (visitor ids, goals).

Long because a vendor is one sitting: half of it is what the documents say of each option and each answer.

Odd: no field carries a time, so a conversion counts on the day it arrives, and no key removes repeats, so an unanswered
request is never sent again. The documented address of the default looks like Convert's listing of goals and its body is
described nowhere; it gets the body of the tracking endpoint, and a 200 that lists goals is not taken for a receipt.
Long, because Convert has two interfaces, and each has options.

Options where Convert's own interface differs from the default:

``api: tracking``
    Convert's own ingestion address. It needs no key (`sdk_key`, `sdk_key_secret` where a project closed the open form)
    and its configuration is read first, so that goals may be named by name or key.
``auth_header``, ``auth_scheme``
    The default's page says only "API key in the request headers"; Bearer is the form that Convert's REST API documents.
``revenue_events: one``
    Convert's JavaScript, PHP and iOS kits send money as a second event after the bare conversion (``two``), its
    Python, Ruby and Android kits as one.
``enrich_data``, ``bucketing_column``
    Convert adds the experiences it stored for the visitor, where the plan includes that. A column may instead hold
    ``{"experience id": "variation id"}``; what the row says wins over what is stored.
``hash_visitor_id``
    Ids must not be personal; the website has to use the same hash.
``allow_negative_amount``, ``currency``, ``max_age_days``
    Convert takes negative amounts, has no field for a currency and counts old conversions as today's. So the first are
    stopped unless allowed; rows in another currency or older than that many days only if these two are set.
``send_repeated_goals``, ``send_repeated_transactions``
    Convert's kits send a goal once per visitor, and further orders as their transaction alone; so does a run, see
    `ties`. A goal again without an order, and an order again, are duplicates unless these are set.
``page_goals``
    The server matches no addresses: ``{"https://shop.example/thanks*": "goal id"}`` does it here for ``page`` events.
``goals_url``
    Where the goals are listed: a configuration file as Convert's CDN serves it. The default endpoint looks up nothing
    without it. No key is sent there, save the secret of the SDK key in tracking.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any, ClassVar, Literal

import orjson
import pandas as pd
import pandera.pandas as pa
from pydantic import Field, SecretStr, ValidationInfo, field_validator

from etl import reasons
from etl.clock import DAY_MS
from etl.destinations.base import (
    Destination,
    Facts,
    Hashing,
    Secret,
    Settings,
    Text,
    Ties,
    Url,
    encoded,
    hashed_ids,
    map_distinct,
    number,
    region_of,
    to_python,
)
from etl.errors import LookupFailed
from etl.model import Fetch, Limits, Request, Response, Status, Verdict
from etl.reasons import Reason
from schemas import convert as schema
from schemas.casts import texts
from schemas.rules import warned

ENDPOINT = "https://api.convert.com/v1/projects/{project_id}/goals"

AGENT = "ConvertAgent/1.0"
"""Whoever calls himself otherwise is answered 200 and forgotten (direct-tracking-endpoint, read 2026-11-21)."""

TRACK = "https://metrics.convertexperiments.com/v1/track"
CONFIG = "https://cdn-4.convertexperiments.com/api/v1/config"

FACTS = Facts(
    title="Convert",
    docs=(
        "docs.dataflysignal.com/integrations/analytics/convert",
        "docs.developers.convert.com/docs/direct-tracking-endpoint",
        "api.convert.com/doc/serving",
    ),
    limits=Limits(items=10, bytes=1_000_000, connections=2),
    max_items=100,
    max_bytes=1_000_000,
    repeatable=False,
    repeatable_because="no field identifies a conversion; the vendor's kits suppress repeats on their own side",
    all_or_nothing=False,
    requires=("event_id", "event_name", "occurred_at", "user_id or anonymous_id"),
    hints={
        400: "The body was not understood: look at the first request with `conversions check`.",
        401: "The API key is not valid: make a new one in Account Settings > API Keys.",
        403: (
            "This key or host may not take conversions: check `endpoint` (cdn-4.convertexperiments.com serves only "
            "configuration); a project may also demand its sdk_key."
        ),
        404: "The project is not there: compare project_id with the project's address in the Convert dashboard.",
    },
    stale=(schema.COUNTED_TODAY.code, schema.COUNTED_TODAY.detail),
    expired=(reasons.TOO_OLD.code, "Older than max_age_days: Convert would count it as if it had happened today."),
    where_to_look=(
        "In the Convert dashboard: Live Logs or the Real-Time view at once (a request that Convert drops never shows "
        "there); in the project's active experiment the Results tab and the goal's details, after 5 to 10 minutes."
    ),
    events={
        "page": "a page visit goal, by its URL: `page_goals`, or the row's convert_goal_id",
        "Order Completed": "a revenue goal: amount, products and transaction",
        "Form Submitted": "a click or engagement goal",
        "others": "the goal of that name under `events`, or the row's convert_goal_id",
    },
    troubleshooting={
        "401 authentication error": "The API key is not valid: make a new one in Account Settings > API Keys.",
        "404 project not found": "Compare `project_id` with the project's address in the Convert dashboard.",
        "No conversions recorded": "The goal does not exist: create it, and let `events` or convert_goal_id "
        "name its id.",
        "Revenue not appearing": "Create a revenue goal, and map Order Completed to it under `events`; where goals are "
        "looked up, `not_a_revenue_goal` warns.",
        "400 bad request": "The body was not understood: look at the first request with `conversions check`.",
        "Events sent but experiment shows no data": (
            "The visitor was in no variation before: send the id under which the website's snippet bucketed it."
        ),
    },
)

UNAUTHORIZED = {
    "secret": "The secret of the SDK key was not accepted: compare sdk_key and sdk_key_secret with the project's.",
    "key": "The SDK key has a secret: set sdk_key_secret.",
    "open": "The project takes conversions only under its SDK key: set sdk_key and, where it has one, sdk_key_secret.",
}
"""What a 401 of the tracking endpoint means, by the credential that was sent."""

LONGEST_DIMENSION = 32
REVENUE = "revenue"
"""What a row that brings an amount and no order number ties to: it is an order of its own, whatever else is alike."""

DIMENSIONS = tuple(f"customDimension{number}" for number in range(1, 6))
"""Columns that are goal data of their own name (api.convert.com/doc/serving, read 2026-11-21)."""


class ConvertSettings(Settings):
    """One project, how to reach it, and which event is which goal."""

    account_id: Text
    """The account's id, from Account Settings."""
    project_id: Text
    """The project's id, as its address in the dashboard shows it."""
    api: Literal["goals", "tracking"] = "goals"
    """Where conversions go: the address of the integration's page, or Convert's own tracking endpoint."""
    api_key: Secret | None = Field(default=None, validate_default=True)
    """The key from Account Settings > API Keys; not needed with `api: tracking`."""
    auth_header: Text = "Authorization"
    """The header that carries the key."""
    auth_scheme: str = "Bearer"
    """What stands before the key in that header; empty for nothing."""
    sdk_key: Secret | None = None
    """The SDK key, where a project demands one in tracking mode."""
    sdk_key_secret: Secret | None = None
    """The secret of that SDK key."""
    events: dict[str, Text] = Field(default={})
    """Event name -> goal id; a row's convert_goal_id wins."""
    page_goals: dict[str, Text] = Field(default={})
    """Address of a page, with * for anything -> id of its page visit goal."""
    send_repeated_goals: bool = False
    """Send a visitor's goal again although no order comes with it."""
    send_repeated_transactions: bool = False
    """Send an order again that has the visitor, goal, number and amount of another row of the run."""
    goals_url: Url | None = None
    """Where the project's goals are read before a run, so that unknown ones are rejected."""
    revenue_events: Literal["two", "one"] = "two"
    """A conversion and its transaction as two events, as Convert's kits send them, or as one."""
    enrich_data: bool = True
    """Let Convert add the experiences that it stored for the visitor, where the plan includes that."""
    bucketing_column: Text | None = None
    """The column with a visitor's experiences and variations, as a JSON object of texts."""
    source: Text = "offline-conversions"
    """What Convert is told the data comes from."""
    hash_visitor_id: Hashing = "off"
    """How visitor ids are hashed, just as the website does it."""
    allow_negative_amount: bool = False
    """Send amounts below zero instead of rejecting them."""
    currency: str | None = Field(default=None, pattern="^[A-Z]{3}$")
    """The project's currency; rows in another one are rejected."""
    max_age_days: int | None = Field(default=None, ge=1)
    """Conversions older than this are rejected; without it none is."""

    @field_validator("api_key")
    @classmethod
    def _needed_for_goals(cls, key: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if key is None and info.data.get("api", "goals") == "goals":
            raise ValueError("needed unless api is tracking: Account Settings > API Keys")
        return key

    @field_validator("sdk_key_secret")
    @classmethod
    def _belongs_to_a_key(cls, secret: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if secret is not None and info.data.get("sdk_key") is None:
            raise ValueError("is of no use without sdk_key")
        return secret


class Convert(Destination):
    """One Convert project."""

    type = "convert"
    facts = FACTS
    readable = ("events.eventType", "events.data.goalId", "events.data.goalData.key")
    contacts = ()
    in_order = True
    settings_model = ConvertSettings
    endpoint_template = ENDPOINT
    fields: ClassVar = {
        **{"event_name": "goalId", "convert_goal_id": "goalId", "user_id": "visitorId", "anonymous_id": "visitorId"},
        **{"revenue": "goalData.amount", "quantity": "goalData.productsCount", "order_id": "goalData.transactionId"},
    }
    own_columns = DIMENSIONS
    settings: ConvertSettings

    @classmethod
    def own_columns_of(cls, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """See `Destination.own_columns_of`."""
        column = settings.get("bucketing_column")
        return (*cls.own_columns, column) if isinstance(column, str) else cls.own_columns

    def extra_field(self, column: str) -> str:
        """See `Destination.extra_field`."""
        if column == self.settings.bucketing_column:
            return "bucketingData"
        return f"goalData.{column}" if column in DIMENSIONS else ""

    @cached_property
    def endpoint(self) -> str:
        """The goals address, or in tracking mode the project's ingestion address."""
        if self.settings.api == "goals" or self.settings.endpoint:
            return super().endpoint
        return f"{TRACK}/{self._project_path}"

    @property
    def _project_path(self) -> str:
        key = self.settings.sdk_key
        return key.get_secret_value() if key else f"{self.settings.account_id}/{self.settings.project_id}"

    def columns(self, conversions: pd.DataFrame) -> pd.DataFrame:
        """Resolve visitor (hashed where configured) and goal; the rest is taken as it stands."""
        own, settings = conversions, self.settings
        out = own[["event_id", "event_name", "revenue", "order_id", "currency"]].copy(deep=False)
        visitors = hashed_ids(own["user_id"].fillna(own["anonymous_id"]), settings.hash_visitor_id, region_of(own))
        out["visitor_id"] = visitors.ids.mask(visitors.faults.notna(), "")
        out["visitor_fault"] = visitors.faults
        out["advice"] = self._advice(own)
        out["goal_id"] = self._goal_ids(own)
        out["quantity"] = own["quantity"].astype("str").str.replace(r"\.0*$", "", regex=True)
        nothing = texts([None] * len(own), own.index)
        out["bucketing"] = own.get(settings.bucketing_column or "", nothing)
        out["stale_at_ms"] = own["occurred_at_ms"] + DAY_MS
        if settings.max_age_days:
            out["expires_at_ms"] = own["occurred_at_ms"] + settings.max_age_days * DAY_MS
        return warned(
            out,
            (self._dimensions(out, own), schema.DIMENSION_LEFT_OUT),
            (self._is_unseen(out), schema.NOT_A_REVENUE_GOAL),
            (own["user_id"].isna() & own["anonymous_id"].notna(), reasons.ANONYMOUS_VISITOR),
        )

    def _dimensions(self, out: pd.DataFrame, own: pd.DataFrame) -> pd.Series[bool]:
        """Put in each custom dimension as JSON, text or a list of texts; where one is longer than Convert takes, and
        left out."""
        long = pd.Series(False, index=own.index)
        for name in DIMENSIONS:
            given = own.get(name, texts([None] * len(own), own.index))
            out[name] = map_distinct(given, _dimension)
            long |= given.notna() & out[name].isna()
        return long

    def _is_unseen(self, out: pd.DataFrame) -> pd.Series[bool]:
        """Where revenue goes to a goal that is known to be no revenue goal."""
        others: Sequence[str] = self.lookup.get("not_revenue", ())
        return out["revenue"].notna() & out["goal_id"].isin(list(others))

    def _advice(self, own: pd.DataFrame) -> pd.Series[str]:
        """What to do about an event that has no goal."""
        known = "No goal of the project has that name or key: g" if "goals" in self.lookup else "G"
        name_it = f"{known}ive the row a convert_goal_id, or name the goal under `events`."
        pages = (
            "No pattern of page_goals matches its url" if self.settings.page_goals else "Convert matches no addresses"
        )
        name_page = f"{pages}: name goals of pages under `page_goals` (pattern: goal id), or fill convert_goal_id."
        return texts([name_it] * len(own), own.index).mask(own["event_name"] == "page", name_page)

    def _goal_ids(self, own: pd.DataFrame) -> pd.Series[str]:
        """Named by the row, else by the page, else by `events`, else by the event's own name.

        What is named but leads to no id stays as it is, for the rules to refuse.
        """
        events = own["event_name"]
        named = (
            own["convert_goal_id"].fillna(self._page_goals(own)).fillna(map_distinct(events, self.settings.events.get))
        )
        return map_distinct(named, lambda text: self._goal_id(text) or text).fillna(map_distinct(events, self._goal_id))

    def _page_goals(self, own: pd.DataFrame) -> pd.Series[str]:
        return map_distinct(own["url"].where(own["event_name"] == "page"), self._page_goal)

    def _page_goal(self, url: str) -> str | None:
        return next((goal for pattern, goal in self.settings.page_goals.items() if fnmatchcase(url, pattern)), None)

    def _goal_id(self, text: str) -> str | None:
        goals: Mapping[str, str] = self.lookup.get("goals", {})
        return goals.get(text) or (text if _is_id(text) else None)

    def metrics(self, conversions: pd.DataFrame) -> pd.Series[str] | None:
        """The goal: its revenue is in the project's currency, and no field names another."""
        return map_distinct(self._goal_ids(conversions), lambda goal: f"the revenue of goal {goal}")

    def schema(self) -> pa.DataFrameSchema:
        """The rules, as the options set them."""
        settings = self.settings
        goals = self.lookup.get("goals")
        return schema.rules(
            hashed=settings.hash_visitor_id != "off",
            allow_negative=settings.allow_negative_amount,
            currency=settings.currency,
            goals=None if goals is None else goals.values(),
        )

    def items(self, frame: pd.DataFrame) -> list[bytes]:
        """One visitor object per conversion: a bare event, and where there is something to tell a second with it."""
        names = ("visitor_id", "goal_id", "revenue", "quantity", "order_id", "bucketing", *DIMENSIONS)
        rows = zip(*(to_python(frame, name) for name in names), strict=True)
        return [
            encoded(
                {
                    "visitorId": visitor,
                    "events": self._events(goal, _goal_data(amount, count, order, dimensions), bucketing),
                }
            )
            for visitor, goal, amount, count, order, bucketing, *dimensions in rows
        ]

    def _events(self, goal: str, goal_data: list[dict[str, Any]], bucketing: str | None) -> list[dict[str, Any]]:
        known = {"bucketingData": orjson.loads(bucketing)} if bucketing else {}
        bare = {"eventType": "conversion", "data": {"goalId": goal, **known}}
        if not goal_data:
            return [bare]
        with_data = {"eventType": "conversion", "data": {"goalId": goal, "goalData": goal_data, **known}}
        return [with_data] if self.settings.revenue_events == "one" else [bare, with_data]

    # -- rows of one run that bear on each other

    def ties(self, payload: bytes) -> Ties:
        """Of one visitor; of one visitor and goal; and of one order, with and without its amount."""
        content = orjson.loads(payload)
        data = content["events"][-1]["data"]
        brought = {pair["key"]: pair["value"] for pair in data.get("goalData", ())}
        goal = orjson.dumps([content["visitorId"], data["goalId"]]).decode()
        if "transactionId" not in brought:
            return Ties(content["visitorId"], (goal,) if "amount" not in brought else (goal, f"{goal}{REVENUE}"))
        order = f"{goal}{orjson.dumps(brought['transactionId']).decode()}"
        amount = brought.get("amount")
        return Ties(content["visitorId"], (goal, order, f"{order}{None if amount is None else float(amount)}"))

    def repeated(self, ties: Ties, known: Mapping[str, Status]) -> Verdict | None:
        """A goal again that brings no order, or an order again; as Convert's kits suppress them."""
        goal, *order = ties.shared
        if not order and goal in known and not self.settings.send_repeated_goals:
            return Verdict(Status.DUPLICATE, schema.GOAL_REPEATED.code, schema.GOAL_REPEATED.detail)
        if len(order) > 1 and order[-1] in known and not self.settings.send_repeated_transactions:
            return Verdict(Status.DUPLICATE, schema.TRANSACTION_REPEATED.code, schema.TRANSACTION_REPEATED.detail)
        return None

    def amended(self, payload: bytes, ties: Ties, known: Mapping[str, Status]) -> tuple[bytes, Reason | None]:
        """After an accepted bare conversion of the same visitor and goal the order goes alone, as in Convert's kits."""
        goal, *order = ties.shared
        warning = schema.TRANSACTION_SPLIT if len(order) > 1 and order[0] in known else None
        if order and known.get(goal) is Status.DELIVERED:
            return _without_bare(payload), warning
        return payload, warning

    def request(self, payloads: Sequence[bytes]) -> Request:
        """Visitors in the envelope that Convert's JavaScript kit sends; the agent's name is part of the protocol."""
        return self.post(b"".join((self._head, b",".join(payloads), self._tail)), self._auth(), user_agent=AGENT)

    @cached_property
    def _head(self) -> bytes:
        settings = self.settings
        ids = {"accountId": settings.account_id, "projectId": settings.project_id}
        return orjson.dumps({"enrichData": settings.enrich_data, **ids, "visitors": []})[:-2]

    @cached_property
    def _tail(self) -> bytes:
        return b'],"source":' + orjson.dumps(self.settings.source) + b"}"

    def _auth(self) -> dict[str, str]:
        settings = self.settings
        if settings.api == "tracking" or settings.api_key is None:
            return self._tracking_auth()
        return {settings.auth_header: f"{settings.auth_scheme} {settings.api_key.get_secret_value()}".strip()}

    def _tracking_auth(self) -> dict[str, str]:
        secret = self.settings.sdk_key_secret
        if self.settings.api == "goals" or secret is None:
            return {}
        return {"Authorization": f"Bearer {secret.get_secret_value()}"}

    def hint(self, status: int) -> str:
        """See `Destination.hint`; the tracking endpoint knows no API key."""
        settings = self.settings
        if settings.api == "goals" or status != 401:
            return super().hint(status)
        return UNAUTHORIZED["secret" if settings.sdk_key_secret else "key" if settings.sdk_key else "open"]

    def results(self, payloads: Sequence[bytes], response: Response) -> list[Verdict]:
        """The answer is for the whole request; a 200 is read, because Convert gives it to what it throws away."""
        doubt = _doubt(response.body) if 200 <= response.status < 300 else None
        return [doubt] * len(payloads) if doubt else self.same_for_all(payloads, response)

    def prepare(self, fetch: Fetch) -> dict[str, Any]:
        """``{"goals": {id, key or name: id}, "not_revenue": [id]}`` of the project; nothing without an address."""
        url = self._goals_url
        if url is None:
            return {}
        headers = {"User-Agent": AGENT, **self._tracking_auth()}
        try:
            config = _parsed(fetch(url, headers))
        except LookupFailed as error:
            sentence = f"Convert's goals could not be read. {self.masked(str(error))}"
            raise LookupFailed(sentence, schema.GOALS_UNAVAILABLE.code) from None
        self._check_project(config)
        return {"goals": _goals(config), "not_revenue": _not_revenue(config)}

    @property
    def _goals_url(self) -> str | None:
        """Where goals can be looked up; nobody knows that of an endpoint of one's own."""
        if self.settings.goals_url or self.settings.api == "goals" or self.settings.endpoint:
            return self.settings.goals_url
        return f"{CONFIG}/{self._project_path}"

    def _check_project(self, config: Mapping[str, Any]) -> None:
        project = config.get("project")
        found = {
            "account_id": config.get("account_id"),
            "project_id": project.get("id") if isinstance(project, dict) else None,
        }
        for name, value in found.items():
            if value is not None and str(value) != getattr(self.settings, name):
                sentence = f"Convert's list of goals belongs to {name} {value}: correct {name}, or goals_url."
                raise LookupFailed(sentence, schema.WRONG_PROJECT.code)


def _dimension(text: str) -> str | None:
    """A cell as JSON: a list of texts where it is one, else the text; None where a text is too long."""
    listed = None
    if text.lstrip().startswith("["):
        with suppress(orjson.JSONDecodeError):
            listed = orjson.loads(text)
    if isinstance(listed, list) and all(isinstance(each, str) for each in listed):
        return orjson.dumps(listed).decode() if all(len(each) <= LONGEST_DIMENSION for each in listed) else None
    return orjson.dumps(text).decode() if len(text) <= LONGEST_DIMENSION else None


def _is_id(text: str) -> bool:
    """Digits, and not more of them than any id has."""
    return text.isascii() and text.isdigit() and len(text) <= 40


def _goal_data(
    amount: str | None, count: str | None, order: str | None, dimensions: Sequence[str | None]
) -> list[dict[str, Any]]:
    named = zip(DIMENSIONS, dimensions, strict=True)
    pairs: tuple[tuple[str, Any], ...] = (
        ("amount", None if amount is None else number(amount)),
        ("productsCount", None if count is None else number(count)),
        ("transactionId", order),
        *((name, None if value is None else orjson.Fragment(value)) for name, value in named),
    )
    return [{"key": key, "value": value} for key, value in pairs if value is not None]


def _parsed(body: bytes) -> Mapping[str, Any]:
    try:
        config = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise LookupFailed("The answer is not JSON.") from None
    if not isinstance(config, dict) or not isinstance(config.get("goals"), list):
        raise LookupFailed("The answer holds no list of goals.")
    return config


def _goals(config: Mapping[str, Any]) -> dict[str, str]:
    """Every name, key and id that leads to exactly one goal; an id outweighs a key, a key a name."""
    goals = [goal for goal in config["goals"] if isinstance(goal, dict) and isinstance(goal.get("id"), str | int)]
    found = {text: id_ for field in ("name", "key") for text, id_ in _unambiguous(goals, field)}
    return found | {str(goal["id"]): str(goal["id"]) for goal in goals}


def _not_revenue(config: Mapping[str, Any]) -> list[str]:
    """The ids of goals whose type is known and takes no revenue."""
    goals = [goal for goal in config["goals"] if isinstance(goal, dict) and isinstance(goal.get("id"), str | int)]
    return sorted(str(goal["id"]) for goal in goals if isinstance(goal.get("type"), str) and goal["type"] != "revenue")


def _without_bare(payload: bytes) -> bytes:
    """The item without its bare conversion, where that stands before the order, byte for byte."""
    events = orjson.loads(payload)["events"]
    if len(events) < 2:
        return payload
    return payload.replace(orjson.dumps(events[0]) + b",", b"", 1)


def _unambiguous(goals: list[dict[str, Any]], field: str) -> Iterator[tuple[str, str]]:
    named = [(goal[field], str(goal["id"])) for goal in goals if isinstance(goal.get(field), str) and goal[field]]
    seen = Counter(name for name, _ in named)
    return ((name, id_) for name, id_ in named if seen[name] == 1)


def _doubt(body: bytes) -> Verdict | None:
    """What speaks against a 200: the word BOT, a listing of goals, an error or a web page in its place."""
    if body.lstrip().startswith(b"<"):
        return _unverified("a web page")
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(answer, dict):
        return None
    if "BOT" in (answer.get("code"), answer.get("message")):  # a comment in Convert's Android kit, read 2026-11-21
        sentence = f"Convert answered 200 BOT and dropped it: something on the way may change User-Agent {AGENT}."
        return Verdict(Status.FAILED, schema.DROPPED_AS_BOT.code, sentence)
    if isinstance(answer.get("data"), list):
        return _unverified("a list of goals")
    code = answer.get("code")
    return _unverified(f"code {code}") if isinstance(code, int) and code >= 400 else None


def _unverified(what: str) -> Verdict:
    sentence = f"Convert answered 200 with {what}, which proves no conversion. {schema.UNVERIFIED_ANSWER.action}"
    return Verdict(Status.UNKNOWN, schema.UNVERIFIED_ANSWER.code, sentence)
