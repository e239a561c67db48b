"""What one vendor has received: counters, and (unless told to forget) every request and item."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from etl.sandbox.base import Answer, Incoming, Item

SAFE_HEADERS = ("content-type", "user-agent")


@dataclass(frozen=True)
class Outcome:
    """What became of a request on the wire: the status that went out, or how the connection was cut."""

    status: int | None
    drop: str | None = None


class Book:
    """Counters of one vendor. Not thread-safe: the server's loop writes, and answers whoever asks."""

    def __init__(self, *, keep: bool) -> None:
        self._keep = keep
        self.forget()

    def forget(self) -> None:
        """Back to a vendor that has never received anything."""
        self.requests = self.knocks = self.lookups = 0
        self.items = self.counted = self.repeats = self.refused = self.dropped = 0
        self.ignored: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()
        self.received: list[dict[str, Any]] = []
        self.log: list[dict[str, Any]] = []
        self._seen: set[object] = set()

    def counts(self) -> dict[str, Any]:
        """The counters as plain values."""
        return {
            "requests": self.requests,
            "knocks": self.knocks,
            "lookups": self.lookups,
            "items": self.items,
            "counted": self.counted,
            "repeats": self.repeats,
            "ignored": dict(self.ignored),
            "refused": self.refused,
            "dropped": self.dropped,
            "statuses": dict(self.statuses),
        }

    def enter(self, request: Incoming, path: str, answer: Answer, outcome: Outcome) -> None:
        """Write down one request, the answer the vendor had for it, and what became of both."""
        self.requests += 1
        if outcome.drop:
            self.dropped += 1
        if outcome.status is not None:
            self.statuses[str(outcome.status)] += 1
            self.refused += not answer.accepted and not 200 <= outcome.status < 300
        self.ignored.update(answer.lost_parts)
        self.items += len(answer.items)
        headers = {name: request.headers[name] for name in SAFE_HEADERS if name in request.headers}
        for item in answer.items:
            counted = self._count(item, repeats_count=answer.repeats_count)
            if self._keep:
                self.received.append(_entry(item, headers, request.now_ms, counted=counted))
        if self._keep:
            self.log.append(_log_line(request, path, answer, outcome, headers))

    def _count(self, item: Item, *, repeats_count: bool) -> bool:
        if item.ignored:
            self.ignored[item.ignored] += 1
            return False
        repeated = item.identity is not None and item.identity in self._seen
        if repeated:
            self.repeats += 1
        elif item.identity is not None:
            self._seen.add(item.identity)
        counts = repeats_count or not repeated
        self.counted += counts
        return counts


def _entry(item: Item, headers: dict[str, str], now_ms: int, *, counted: bool) -> dict[str, Any]:
    return {
        "item": item.content,
        "counted": counted,
        "ignored": item.ignored,
        "key": item.key,
        "headers": headers,
        "at_ms": now_ms,
    }


def _log_line(
    request: Incoming, path: str, answer: Answer, outcome: Outcome, headers: dict[str, str]
) -> dict[str, Any]:
    return {
        "method": request.method,
        "path": path,
        "query": request.query,
        "status": outcome.status,
        "drop": outcome.drop,
        "accepted": answer.accepted,
        "size": len(request.body),
        "items": len(answer.items),
        "headers": headers,
        "body": request.body.decode(errors="replace"),
        "at_ms": request.now_ms,
    }
