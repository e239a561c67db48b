"""Convert, both doors of it.

Read 2026-11-21: docs.dataflysignal.com/integrations/analytics/convert (the goals endpoint with an API key),
docs.developers.convert.com/docs/direct-tracking-endpoint and api.convert.com/doc/serving (the tracking endpoint).

Odd: nothing carries a time, so every conversion counts at receipt. Nothing removes repeats either: whatever is sent
counts. Revenue usually arrives as two events (a bare conversion, then the same goal with `goalData`), which is ONE
conversion. The tracking door has no key and answers 200 to nearly everything, even to a caller it takes for a bot and
forgets. The goals door leaves its body and its header name open; here it takes the tracking body and a Bearer key.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from etl.sandbox.base import (
    Answer,
    Incoming,
    Item,
    Malformed,
    Vendor,
    decode,
    is_number,
    is_text,
    need,
    only,
    refuse,
    reply,
)

AGENT = "ConvertAgent/"
CUSTOM_DIMENSIONS = frozenset(f"customDimension{n}" for n in range(1, 6))
GOAL_DATA_KEYS = frozenset({"amount", "productsCount", "transactionId"}) | CUSTOM_DIMENSIONS
LONGEST_DIMENSION = 32

# (id, key, name, type). 5001 and 5002 stand in the vendor's recorded samples.
GOALS = (
    ("100215962", "order-completed", "Order Completed", "revenue"),
    ("100215963", "form-submitted", "Form Submitted", "submits_form"),
    ("100215964", "signed-up", "Signed Up", "code_trigger"),
    ("100215965", "page-visit", "Page Visit", "visits_page"),
    ("100215966", "product-added", "Product Added", "code_trigger"),
    ("100215967", "checkout-started", "Checkout Started", "code_trigger"),
    ("5001", "goal-5001", "Goal 5001", "code_trigger"),
    ("5002", "goal-5002", "Goal 5002", "revenue"),
)
GOAL_IDS = frozenset(goal[0] for goal in GOALS)


@dataclass(frozen=True)
class Convert(Vendor):
    """One project of one account, and the key of its goals endpoint."""

    type = "convert"
    api_key: str = "sandbox-convert-key"
    account_id: str = "10001234"
    project_id: str = "20005678"

    @property
    def delivery_path(self) -> str:
        """See `Vendor.delivery_path`."""
        return f"/v1/projects/{self.project_id}/goals"

    @property
    def lookup_path(self) -> str:
        """See `Vendor.lookup_path`."""
        return f"/api/v1/config/{self.account_id}/{self.project_id}"

    def answer(self, request: Incoming) -> Answer:
        """Convert's answer to one request."""
        match request.path.split("/")[1:]:
            case ["v1", "projects", project, "goals"]:
                return only("POST") if request.method != "POST" else _goals_door(request, self, project)
            case ["v1", "track", account, project]:
                return only("POST") if request.method != "POST" else _tracking_door(request, self, account, project)
            case ["api", "v1", "config", account, project]:
                return only("GET") if request.method != "GET" else _config(self, account, project)
            case _:
                return refuse(404, "no such path")


def _goals_door(request: Incoming, convert: Convert, project: str) -> Answer:
    if request.headers.get("authorization") != f"Bearer {convert.api_key}":
        return _error(401, "invalid API key")
    if project != convert.project_id:
        return _error(404, "project not found")
    return _take(request.body, convert)


def _tracking_door(request: Incoming, convert: Convert, account: str, project: str) -> Answer:
    if not request.headers.get("user-agent", "").startswith(AGENT):
        return _forget_bot(request.body, convert)
    if (account, project) != (convert.account_id, convert.project_id):
        return _error(404, "account or project not found")
    return _take(request.body, convert)


def _config(convert: Convert, account: str, project: str) -> Answer:
    if (account, project) != (convert.account_id, convert.project_id):
        return _error(404, "account or project not found")
    goals: list[dict[str, Any]] = [
        {"id": number, "key": key, "name": name, "type": kind, "rules": None, "settings": {}}
        for number, key, name, kind in GOALS
    ]
    return reply(200, {"account_id": account, "project": {"id": project, "name": "Sandbox"}, "goals": goals})


def _take(body: bytes, convert: Convert) -> Answer:
    try:
        items = _items(decode(body), convert)
    except Malformed as error:
        return _error(400, str(error))
    return _accept({"code": 200, "message": "OK"}, items)


def _forget_bot(body: bytes, convert: Convert) -> Answer:
    try:
        items = _items(decode(body), convert)
    except Malformed:
        items = ()
    forgotten = tuple(item._replace(ignored="bot") for item in items)
    return _accept({"code": "BOT", "message": "BOT"}, forgotten)


def _accept(content: object, items: tuple[Item, ...]) -> Answer:
    said = reply(200, content)
    return Answer(200, said.body, said.headers, items, accepted=True, repeats_count=True)


def _error(status: int, message: str) -> Answer:
    return reply(status, {"code": status, "message": message, "fields": []})


def _items(body: Any, convert: Convert) -> tuple[Item, ...]:
    need(isinstance(body, dict), "body must be an object")
    need(body.get("accountId") == convert.account_id, "accountId must be the account's id, as text")
    need(body.get("projectId") == convert.project_id, "projectId must be the project's id, as text")
    need(isinstance(body.get("enrichData", False), bool), "enrichData must be true or false")
    need(isinstance(body.get("source", ""), str), "source must be text")
    visitors = body.get("visitors")
    need(isinstance(visitors, list), "visitors must be an array")
    return tuple(item for n, visitor in enumerate(visitors) for item in _conversions(visitor, f"visitors[{n}]"))


def _conversions(visitor: Any, place: str) -> Iterator[Item]:
    """One item per conversion of a visitor object: a bare event takes the next event with data of its goal along."""
    need(isinstance(visitor, dict), f"{place} must be an object")
    visitor_id, events = visitor.get("visitorId"), visitor.get("events")
    need(isinstance(visitor_id, str), f"{place}.visitorId must be text")
    need(isinstance(visitor.get("segments", {}), dict), f"{place}.segments must be an object")
    need(isinstance(events, list), f"{place}.events must be an array")
    conversions: list[list[Any]] = []
    waiting: dict[str, list[Any]] = {}  # goal id -> its bare conversion that has had no data yet
    for n, event in enumerate(events):
        _check_event(event, f"{place}.events[{n}]")
        if event["eventType"] != "conversion":
            continue
        goal, bare = event["data"]["goalId"], "goalData" not in event["data"]
        if not bare and goal in waiting:
            waiting.pop(goal).append(event)
            continue
        conversions.append([event])
        if bare:
            waiting[goal] = conversions[-1]
    return (_item(visitor_id, conversion) for conversion in conversions)


def _item(visitor_id: str, events: list[Any]) -> Item:
    goal = events[0]["data"]["goalId"]
    data = {pair["key"]: pair["value"] for pair in events[-1]["data"].get("goalData", ())}
    transaction = data.get("transactionId")
    key = "/".join(str(part) for part in (visitor_id, goal, transaction) if part is not None)
    identity = None if transaction is None else str(transaction)
    content = {"visitorId": visitor_id, "events": events}
    return Item(content, key, identity, _why_ignored(visitor_id, goal, data))


def _why_ignored(visitor_id: str, goal: str, data: dict[str, Any]) -> str | None:
    if visitor_id == "":
        return "visitor_id_empty"
    if goal not in GOAL_IDS:
        return "unknown_goal"
    if not _is_amount(data.get("amount", 0)):
        return "amount_not_a_number"
    return None


def _is_amount(value: Any) -> bool:
    """Text is allowed by the vendor's schema, as long as a number stands in it."""
    if is_number(value):
        return True
    return isinstance(value, str) and value.lstrip("-").replace(".", "", 1).isdecimal()


def _check_event(event: Any, place: str) -> None:
    need(isinstance(event, dict), f"{place} must be an object")
    data = event.get("data")
    need(isinstance(data, dict), f"{place}.data must be an object")
    match event.get("eventType"):
        case "conversion":
            _check_conversion(data, f"{place}.data")
        case "bucketing":
            need(is_text(data.get("experienceId")), f"{place}.data.experienceId must be text")
            need(is_text(data.get("variationId")), f"{place}.data.variationId must be text")
        case _:
            raise Malformed(f"{place}.eventType must be conversion or bucketing")


def _check_conversion(data: dict[str, Any], place: str) -> None:
    need(is_text(data.get("goalId")), f"{place}.goalId must be text")
    goal_data, bucketing = data.get("goalData", []), data.get("bucketingData", {})
    need(isinstance(goal_data, list), f"{place}.goalData must be an array")
    for n, pair in enumerate(goal_data):
        _check_pair(pair, f"{place}.goalData[{n}]")
    need(isinstance(bucketing, dict), f"{place}.bucketingData must be an object")
    need(all(is_text(variation) for variation in bucketing.values()), f"{place}.bucketingData must map text to text")


def _check_pair(pair: Any, place: str) -> None:
    need(isinstance(pair, dict) and pair.keys() == {"key", "value"}, f"{place} must be one key and one value")
    key, value = pair["key"], pair["value"]
    need(isinstance(key, str) and key in GOAL_DATA_KEYS, f"{place}.key is not one the vendor knows")
    if key in CUSTOM_DIMENSIONS and isinstance(value, list):
        fits = all(isinstance(text, str) and len(text) <= LONGEST_DIMENSION for text in value)
        need(fits, f"{place}.value must hold texts of at most {LONGEST_DIMENSION} characters")
    else:
        need(is_number(value) or isinstance(value, str), f"{place}.value must be a number or text")
