"""Optimizely: the event endpoint and the datafile.

Read 2026-11-21: docs.developers.optimizely.com/experimentation-data (post_events reference, getting started,
troubleshooting), docs.dataflysignal.com/integrations/analytics/optimizely.

Odd: 204 says "queued", never "valid". Unless `X-Optimizely-Strict: true` is sent, whatever breaks a rule is left out
without a word; here such an event is accepted and shows up under `ignored`. The event endpoint knows no key: the
account is a field of the body, and only the datafile has a 403. Repeats: same (entity_id, uuid, timestamp) together.

Open at the vendor, decided here: 413 for a body over 3,500,000 bytes; strict mode refuses the whole request; a body
without `account_id` or `visitors` is 400 in both modes.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

import orjson

from etl.sandbox.base import (
    JSON,
    Answer,
    Incoming,
    Item,
    Malformed,
    Vendor,
    decode,
    is_integer,
    is_number,
    is_text,
    only,
    refuse,
)

BODY_LIMIT = 3_500_000
MILLISECONDS = range(10**12, 10**13)  # thirteen digits

EVENTS = {
    "5001": "purchase",
    "5002": "signup",
    "5003": "add_to_cart",
    "5004": "begin_checkout",
    "5005": "form_submit",
    "5006": "page_view",
    "5007": "refund",
}
ATTRIBUTES = {"7001": "plan", "7002": "age", "7003": "is_vip"}
RESERVED_PREFIX = "$opt_"
DECISION = "campaign_activated"

REVISION = "137"
LAST_MODIFIED = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
ETAG = f'"sandbox-{REVISION}"'

# What no rule of the form forbids, so that even strict mode says 204.
NO_FORM_ERROR = frozenset({"unknown_event", "unknown_attribute", "not_a_conversion", "no_decision"})


@dataclass(frozen=True)
class Optimizely(Vendor):
    """One project of one account, and the key of its datafile."""

    type = "optimizely"
    sdk_key: str = "sandbox-sdk-key"
    account_id: str = "12345678"
    project_id: str = "98765432"

    @property
    def delivery_path(self) -> str:
        """See `Vendor.delivery_path`."""
        return "/v1/events"

    @property
    def lookup_path(self) -> str:
        """See `Vendor.lookup_path`."""
        return f"/datafiles/{self.sdk_key}.json"

    def answer(self, request: Incoming) -> Answer:
        """Optimizely's answer to one request."""
        match request.path.split("/")[1:]:
            case ["v1", "events"]:
                return only("POST") if request.method != "POST" else _events(request, self)
            case ["datafiles", name]:
                return only("GET") if request.method != "GET" else _datafile(request, self, name)
            case _:
                return refuse(404, "no such path")


def _datafile(request: Incoming, optimizely: Optimizely, name: str) -> Answer:
    if name != f"{optimizely.sdk_key}.json":
        return Answer(403, b"Forbidden", {"Content-Type": "text/plain"})
    stamps = {"Last-Modified": format_datetime(LAST_MODIFIED, usegmt=True), "ETag": ETAG}
    if _still_fresh(request):
        return Answer(304, b"", stamps, accepted=True)
    return Answer(200, orjson.dumps(_project(optimizely)), {**JSON, **stamps}, accepted=True)


def _still_fresh(request: Incoming) -> bool:
    known = request.headers.get("if-none-match")
    if known is not None:
        return ETAG in known
    try:
        return parsedate_to_datetime(request.headers.get("if-modified-since", "")) >= LAST_MODIFIED
    except (ValueError, TypeError):
        return False


def _project(optimizely: Optimizely) -> dict[str, Any]:
    return {
        "version": "4",
        "revision": REVISION,
        "accountId": optimizely.account_id,
        "projectId": optimizely.project_id,
        "sdkKey": optimizely.sdk_key,
        "environmentKey": "production",
        "anonymizeIP": True,
        "groups": [],
        "experiments": [],
        "audiences": [],
        "rollouts": [],
        "featureFlags": [],
        "events": [{"id": number, "key": key, "experimentIds": []} for number, key in EVENTS.items()],
        "attributes": [{"id": number, "key": key} for number, key in ATTRIBUTES.items()],
    }


def _events(request: Incoming, optimizely: Optimizely) -> Answer:
    if len(request.body) > BODY_LIMIT:
        return refuse(413, f"body is over {BODY_LIMIT} bytes")
    lost: Counter[str] = Counter()
    try:
        items = tuple(_items(_envelope(request.body), optimizely, lost))
    except Malformed as error:
        return refuse(400, str(error))
    faults = ({item.ignored for item in items if item.ignored} | lost.keys()) - NO_FORM_ERROR
    if faults and request.headers.get("x-optimizely-strict", "").lower() == "true":
        return refuse(400, "failed validation: " + ", ".join(sorted(faults)))
    return Answer(204, items=items, accepted=True, lost_parts=lost)


def _envelope(raw: bytes) -> dict[str, Any]:
    body = decode(raw)
    if not isinstance(body, dict):
        raise Malformed("body must be an object")
    if "account_id" not in body or not isinstance(body.get("visitors"), list):
        raise Malformed("account_id and an array of visitors are required")
    return body


def _items(body: dict[str, Any], optimizely: Optimizely, lost: Counter[str]) -> Iterator[Item]:
    """Every event of every snapshot of every visitor; `lost` gathers the parts that fall off events which count."""
    of_all = _why_envelope_ignored(body, optimizely)
    enriched = body.get("enrich_decisions") is True
    for visitor in body["visitors"]:
        if not isinstance(visitor, dict) or not isinstance(visitor.get("snapshots"), list):
            yield Item(visitor, "", None, of_all or "visitor_malformed")
            continue
        of_visitor = of_all or (None if is_text(visitor.get("visitor_id")) else "visitor_id_not_text")
        lost.update(_lost_attributes(visitor.get("attributes", [])))
        for snapshot in visitor["snapshots"]:
            yield from _snapshot_items(visitor, snapshot, of_visitor, enriched=enriched)


def _snapshot_items(visitor: dict[str, Any], snapshot: Any, reason: str | None, *, enriched: bool) -> Iterator[Item]:
    if not isinstance(snapshot, dict) or not isinstance(snapshot.get("events"), list):
        yield Item(visitor, "", None, reason or "snapshot_malformed")
        return
    tied = enriched or bool(snapshot.get("decisions"))
    visitor_id, attributes = visitor.get("visitor_id"), visitor.get("attributes", [])
    for event in snapshot["events"]:
        content = {"visitor_id": visitor_id, "attributes": attributes, "event": event}
        if not isinstance(event, dict):
            yield Item(content, "", None, reason or "event_malformed")
            continue
        uuid = event.get("uuid")
        triple = (event.get("entity_id"), uuid, event.get("timestamp"))
        untied = None if tied else "no_decision"  # nothing ties the conversion to an experiment
        yield Item(content, str(uuid or ""), triple, reason or _why_event_ignored(event) or untied)


def _why_envelope_ignored(body: dict[str, Any], optimizely: Optimizely) -> str | None:
    if body["account_id"] != optimizely.account_id:
        return "wrong_account"
    if body.get("project_id", optimizely.project_id) != optimizely.project_id:
        return "wrong_project"
    for name, kind in (("anonymize_ip", bool), ("enrich_decisions", bool), ("revision", str)):
        if name in body and not isinstance(body[name], kind):
            return f"{name}_malformed"
    return None


def _why_event_ignored(event: dict[str, Any]) -> str | None:
    if event.get("type") == DECISION or event.get("key") == DECISION:
        return "not_a_conversion"
    return _why_identity_ignored(event) or _why_time_ignored(event.get("timestamp")) or _why_values_ignored(event)


def _why_identity_ignored(event: dict[str, Any]) -> str | None:
    if not is_text(event.get("uuid")):
        return "uuid_not_text"
    entity = event.get("entity_id")
    if not is_text(entity):
        return "entity_id_not_text"
    if entity not in EVENTS:
        return "unknown_event"
    return None if event.get("key", EVENTS[entity]) == EVENTS[entity] else "key_of_another_event"


def _why_time_ignored(timestamp: object) -> str | None:
    if timestamp is None:
        return "timestamp_missing"
    if not is_integer(timestamp):
        return "timestamp_not_integer"
    return None if timestamp in MILLISECONDS else "timestamp_not_milliseconds"


def _why_values_ignored(event: dict[str, Any]) -> str | None:
    if "revenue" in event and not is_integer(event["revenue"]):
        return "revenue_not_integer"
    if "value" in event and not is_number(event["value"]):
        return "value_not_a_number"
    if "quantity" in event and not is_integer(event["quantity"]):
        return "quantity_not_integer"
    if "tags" in event and not _are_plain(event["tags"]):
        return "tags_malformed"
    return None


def _are_plain(tags: object) -> bool:
    if not isinstance(tags, dict):
        return False
    return all(
        isinstance(value, (str, int, float)) or (name == "$opt_event_properties" and isinstance(value, dict))
        for name, value in tags.items()
    )


def _lost_attributes(attributes: object) -> Iterator[str]:
    if not isinstance(attributes, list):
        yield "attributes_malformed"
        return
    for attribute in attributes:
        reason = _why_attribute_lost(attribute)
        if reason:
            yield reason


def _why_attribute_lost(attribute: Any) -> str | None:
    if not isinstance(attribute, dict) or not is_text(attribute.get("type")):
        return "attribute_malformed"
    if not isinstance(attribute.get("value"), (str, int, float)):
        return "attribute_value_malformed"
    entity, key = attribute.get("entity_id"), attribute.get("key")
    if isinstance(key, str) and key.startswith(RESERVED_PREFIX):
        return None if entity == key else "unknown_attribute"
    return None if isinstance(entity, str) and ATTRIBUTES.get(entity, "") == key else "unknown_attribute"
