"""What is said of items that were sent, or could not be, and why a destination stops. Pure functions, no I/O."""

from __future__ import annotations

from collections.abc import Sequence

from etl import reasons
from etl.delivery.retries import THROTTLED, TRANSIENT, DeliveryResult
from etl.destinations.base import STOPS, Destination
from etl.errors import DestinationStopped
from etl.ledger import Stop
from etl.model import Item, Response, Status, Verdict
from etl.redact import origin_of

ALREADY_DELIVERED = (Status.DUPLICATE.value, reasons.ALREADY_DELIVERED.code)
"""Status and reason of a row that was delivered before."""

SENT_AGAIN = (reasons.SENT_AGAIN.code, reasons.SENT_AGAIN.sentence)


def of_result(
    destination: Destination, batch: Sequence[Item], result: DeliveryResult, stop: Stop | None, at: int
) -> list[Verdict]:
    """One verdict per item, for an answer that is final or for the lack of one; ``stop`` is what it led to.

    ``at`` (epoch ms) is when the batch was about to be sent.
    """
    response = result.response
    if response is not None and not blames_no_row(response) and not is_transient(response):
        verdicts = destination.results([item.payload for item in batch], response)
        uncertain = result.lost and not destination.facts.dedup_documented
        plain = not any(item.warnings or item.stale_at_ms is not None for item in batch)
        if (
            plain and not uncertain and not any(verdict.reason for verdict in verdicts)
        ):  # the usual case, by the thousand
            return verdicts
        after = (SENT_AGAIN,) if uncertain else ()
        return [
            _with_warnings(destination, item, verdict, at, after) for item, verdict in zip(batch, verdicts, strict=True)
        ]
    if result.lost:
        detail = f"Sent, but {result.why}: it may have been accepted."
        verdict = Verdict(Status.UNKNOWN, reasons.NO_ANSWER.code, detail)
    elif response is not None and blames_no_row(response):
        verdict = Verdict(Status.FAILED, reasons.http(response.status), stop.detail if stop else "")
    else:
        detail = f"{_attempts(result)}: {result.why}; the next run sends it. {_hint(destination, response)}".strip()
        verdict = Verdict(Status.FAILED, _reason(response), detail)
    return [verdict] * len(batch)


def stop_after(destination: Destination, result: DeliveryResult, *, breaker_open: bool) -> DestinationStopped | None:
    """Why the destination takes no more after this: its answer blames no row, it asks for too long a pause, or (while
    the breaker is open) it answers nobody."""
    response = result.response
    if response is not None and blames_no_row(response):
        why = STOPS.get(response.status) or _redirected(response)
        sentence = f"it answered {response.status}, {why}. {destination.hint(response.status)}".strip()
    elif response is not None and result.throttled:
        sentence = (
            f"it answered {response.status} and asked for more time than `retry.total_s` allows; "
            f"`conversions retry` goes on later. {_hint(destination, response)}"
        ).strip()
    elif breaker_open and (response is None or is_transient(response)):
        sentence = f"{result.why}, and so on for every request. Is the vendor down, or `endpoint` wrong?"
    else:
        return None
    return DestinationStopped(sentence, _reason(response))


def not_sent(stop: Stop | None) -> Verdict:
    """Of an item that was not sent because the destination stopped or, without a stop, because the run was ended."""
    if stop is None:
        return Verdict(Status.FAILED, reasons.INTERRUPTED.code, reasons.INTERRUPTED.detail)
    return Verdict(Status.FAILED, stop.reason, f"Not sent. {stop.detail}")


def too_large(destination: Destination) -> Verdict:
    """Of an item that no request may carry."""
    limit = destination.limits.bytes
    detail = f"Alone it is larger than a request may be ({limit:,} bytes)."
    return Verdict(Status.REJECTED, reasons.TOO_LARGE.code, detail)


def expired(destination: Destination, failed_in: str | None) -> Verdict:
    """Of an item that came too late; ``failed_in`` is the run that failed to deliver it in time."""
    reason, detail = destination.facts.expired
    if failed_in is not None:
        detail = f"{detail} It expired undelivered: run {failed_in} failed to deliver it while there was time."
    return Verdict(Status.REJECTED, reason, detail)


def blames_no_row(response: Response) -> bool:
    """The vendor, or whoever answers in its place, refuses everybody: credentials, the address, or a redirect."""
    return response.status in STOPS or 300 <= response.status < 400


def is_transient(response: Response) -> bool:
    """The answer is not the vendor's last word."""
    return response.status == THROTTLED or response.status in TRANSIENT


def _with_warnings(
    destination: Destination, item: Item, verdict: Verdict, at: int, after: Sequence[tuple[str, str]]
) -> Verdict:
    """A delivered item keeps the warnings it came with, and gets what its age and the answers say.

    The first one is its reason, and every code stands in ``warnings``.
    """
    if verdict.status is not Status.DELIVERED:
        return verdict
    found = [destination.facts.stale] if item.stale_at_ms is not None and at > item.stale_at_ms else []
    found += [(item.warnings, item.warning_detail)] if item.warnings else []
    found += [(verdict.reason, verdict.detail)] if verdict.reason else []
    found += after
    codes = list(dict.fromkeys(" ".join(codes for codes, _ in found).split()))
    if not codes:
        return verdict
    return Verdict(verdict.status, codes[0], " ".join(sentence for _, sentence in found), " ".join(codes))


def _hint(destination: Destination, response: Response | None) -> str:
    return destination.hint(response.status) if response is not None else ""


def _reason(response: Response | None) -> str:
    return reasons.UNREACHABLE.code if response is None else reasons.http(response.status)


def _attempts(result: DeliveryResult) -> str:
    if not result.attempts:
        return "Not sent"
    return "Not accepted after 1 attempt" if result.attempts == 1 else f"Not accepted after {result.attempts} attempts"


def _redirected(response: Response) -> str:
    """Where to, as far as it may be shown: scheme and host. What comes after them may hold a key."""
    origin = origin_of(response.headers.get("location", ""))
    target = f"to {origin}" if origin else "elsewhere"
    return f"a redirect {target}, which is not followed; if that is the vendor, set `endpoint` to the address there"
