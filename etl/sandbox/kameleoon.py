"""Kameleoon: visit events, an array per request.

Read 2026-11-21: docs.kameleoon.com/api-reference/visit/send-visitor-events, developers.kameleoon.com (processing
offline goal conversions), and the Datafly Signal page on Kameleoon.

Odd: the answer is 204 before anybody has looked at the events, so a conversion without a goal vanishes in silence; here
it shows up under `ignored`. Without `json=true` the body is read as lines, and an array is lost whole. A `visitorCode`
in the URL overrides the one of every event. Callers that look like robots get 403. Repeats are found by `nonce`.

Open at the vendor, decided here: a wrong siteCode is 404; an event that is no object, or has no nonce or eventType,
refuses the whole request with 400; 3 MB means 3,000,000 bytes; `visitorCode` is taken up to 255 characters.
"""

from dataclasses import dataclass
from typing import Any

from etl.sandbox.base import (
    Answer,
    Incoming,
    Item,
    Malformed,
    Vendor,
    decode,
    is_integer,
    is_number,
    is_text,
    need,
    only,
    refuse,
)

BODY_LIMIT = 3_000_000
LONGEST_VISITOR_CODE = 255
ROBOTS = (
    *("python-requests", "python-urllib", "python-httpx", "aiohttp", "curl/", "wget/", "libwww", "go-http-client"),
    *("java/", "okhttp", "apache-httpclient", "axios", "node-fetch", "bot", "crawler", "spider"),
)
# In capitals; the vendor takes any case.
TYPES = frozenset(
    {
        *("PAGE", "CONVERSION", "STATICDATA", "CUSTOMDATA", "EXPERIMENT", "PERSONALIZATION"),
        *("TARGETINGSEGMENT", "GEOLOCATION", "ACTIVITY"),
    }
)


@dataclass(frozen=True)
class Kameleoon(Vendor):
    """One site."""

    type = "kameleoon"
    site_code: str = "f17c21u1ag"

    @property
    def delivery_path(self) -> str:
        """See `Vendor.delivery_path`."""
        return "/visit/events"

    def answer(self, request: Incoming) -> Answer:
        """Kameleoon's answer to one request."""
        if request.path != self.delivery_path:
            return refuse(404, "no such path")
        if request.method != "POST":
            return only("POST")
        if _is_robot(request.headers.get("user-agent", "")):
            return refuse(403, "forbidden user agent")
        site_code = request.parameter("siteCode")
        if site_code is None:
            return refuse(400, "siteCode is missing")
        if site_code != self.site_code:
            return refuse(404, "no such site")
        if len(request.body) > BODY_LIMIT:
            return refuse(413, f"body is over {BODY_LIMIT} bytes")
        if request.parameter("json") != "true":
            return _read_as_lines(request.body)
        return _take(request)


def _is_robot(agent: str) -> bool:
    agent = agent.lower()
    return agent == "" or any(robot in agent for robot in ROBOTS)


def _take(request: Incoming) -> Answer:
    try:
        events = decode(request.body)
        need(isinstance(events, list), "body must be an array")
        for n, event in enumerate(events):
            _check(event, n)
    except Malformed as error:
        return refuse(400, str(error))
    url_code = request.parameter("visitorCode")
    items = tuple(
        Item(event, event["nonce"], event["nonce"], _why_ignored(event, url_code or event.get("visitorCode")))
        for event in events
    )
    return Answer(204, items=items, accepted=True)


def _check(event: Any, n: int) -> None:
    if type(event) is not dict:
        raise Malformed(f"[{n}] must be an object")
    if not is_text(event.get("nonce")):
        raise Malformed(f"[{n}].nonce must be text")
    if not is_text(event.get("eventType")):
        raise Malformed(f"[{n}].eventType must be text")


def _read_as_lines(body: bytes) -> Answer:
    """Lines are not sold here: whatever they say is lost, as an array without `json=true` is lost at the vendor."""
    try:
        found = decode(body)
    except Malformed:
        found = body.decode(errors="replace").splitlines()
    events = found if isinstance(found, list) else [found]
    return Answer(204, items=tuple(Item(event, "", None, "json_not_true") for event in events), accepted=True)


def _why_ignored(event: dict[str, Any], visitor_code: object) -> str | None:
    if not visitor_code:
        return "visitor_code_missing"
    if not isinstance(visitor_code, str):
        return "visitor_code_not_text"
    if len(visitor_code) > LONGEST_VISITOR_CODE:
        return "visitor_code_too_long"
    match event["eventType"].upper():
        case "CONVERSION":
            return _why_conversion_ignored(event)
        case "PAGE":
            return _why_page_ignored(event)
        case other:
            return None if other in TYPES else "unknown_event_type"


def _why_conversion_ignored(event: dict[str, Any]) -> str | None:
    if event.get("goalId") is None:
        return "goal_id_missing"
    if not is_integer(event["goalId"]):
        return "goal_id_not_integer"
    if not is_number(event.get("revenue", 0)):
        return "revenue_not_a_number"
    if not isinstance(event.get("negative", False), bool):
        return "negative_not_boolean"
    return None if _is_metadata(event.get("metadata", {})) else "metadata_malformed"


def _is_metadata(metadata: object) -> bool:
    if not isinstance(metadata, dict):
        return False
    return all(index.isdecimal() and isinstance(texts, list) for index, texts in metadata.items())


def _why_page_ignored(event: dict[str, Any]) -> str | None:
    if not is_text(event.get("href")):
        return "href_missing"
    if not isinstance(event.get("title", ""), str):
        return "title_not_text"
    return None
