"""When a request may be sent, and sent again: waits that grow, `Retry-After`, a pause for all, and a circuit breaker.

Values and small objects only: nothing here opens a connection or waits.
"""

from __future__ import annotations

import email.utils
import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from etl.clock import wall_clock
from etl.model import Response, RetryPolicy

TRANSIENT = frozenset({408, 425, 500, 502, 503, 504})
"""Statuses after which the same bytes are sent again."""

THROTTLED = 429
"""The status that asks everybody to wait; it counts as no attempt."""


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """How one request ended, after all attempts.

    ``response`` is the vendor's final word; None when there was none. ``lost``: at least one attempt may have been
    accepted without an answer that could be read. ``why`` says, without the row's data, what happened. ``attempts`` is
    how many requests went out, those that were asked to wait (429) too; 0 where nothing was sent.
    """

    response: Response | None
    lost: bool
    why: str
    attempts: int
    sent_at_ms: int
    answered_at_ms: int
    throttled: bool = False
    """The vendor asked for a longer pause than a request may take."""


@dataclass
class Attempts:
    """What has become of one request so far. ``deadline`` is a moment of `time.monotonic`."""

    deadline: float
    count: int = 0
    """Those that are held against the policy: one that is asked to wait is not."""
    requests: int = 0
    """Those that went out."""
    lost: bool = False
    response: Response | None = None
    why: str = ""
    sent_at_ms: int = 0
    throttled: bool = False

    @property
    def final(self) -> bool:
        """The vendor's last word, rather than "later" or none."""
        return self.response is not None and self.response.status not in {THROTTLED, *TRANSIENT}

    @property
    def asked_to_wait(self) -> bool:
        """The last answer was 429."""
        return self.response is not None and self.response.status == THROTTLED

    def result(self, why_nothing_was_sent: str) -> DeliveryResult:
        """As it stands now, which is how it ends."""
        why = self.why or why_nothing_was_sent
        return DeliveryResult(
            self.response, self.lost, why, self.requests, self.sent_at_ms, wall_clock(), self.throttled
        )


class Breaker:
    """A circuit breaker: it opens when as many attempts in a row got no final answer as one request has.

    While it is open one request at a time goes out, as a probe. A final answer closes it; as many probes in vain
    exhaust it, and nothing more is sent.
    """

    def __init__(self, attempts: int) -> None:
        self._most = attempts
        self._unanswered = 0
        self.probes = 0

    @property
    def is_open(self) -> bool:
        """Of all requests, the last attempts in a row got no final answer."""
        return self._unanswered >= self._most

    @property
    def exhausted(self) -> bool:
        """The probes were in vain too."""
        return self.probes >= self._most

    def record_answer(self) -> None:
        """A final answer came: the vendor is there."""
        self._unanswered = self.probes = 0

    def record_failure(self) -> None:
        """An attempt got no final answer."""
        if self.is_open:
            self.probes += 1
        self._unanswered += 1


class Pause:
    """Until when nobody sends: the longest of what the vendor has asked for and of our own waits."""

    def __init__(self) -> None:
        self.until = 0.0
        """A moment of `time.monotonic`."""

    def extend(self, response: Response | None, least_s: float) -> None:
        """All wait as long as the response asks for, and ``least_s`` in any case."""
        asked_s = retry_after(response) if response is not None else None
        self.until = max(self.until, time.monotonic() + max(asked_s or 0.0, least_s))

    def remaining_s(self) -> float:
        """Seconds still to wait; zero or less when the pause is over."""
        return self.until - time.monotonic()


def backoff(policy: RetryPolicy, attempts: int) -> float:
    """Seconds to wait after so many attempts: doubled each time, up to the longest wait, with jitter."""
    longest = min(policy.longest_wait_s, policy.first_wait_s * 2.0 ** max(attempts - 1, 0))
    return longest * (0.5 + random.random() / 2)  # noqa: S311 (jitter, not a secret)


def retry_after(response: Response) -> float | None:
    """Seconds that ``Retry-After`` asks for, as a number or a date; None when it asks for nothing readable."""
    value = response.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        at = email.utils.parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max((at - datetime.now(UTC)).total_seconds(), 0.0)
