"""The only room that opens a connection to a vendor.

Delivery (`Line`) goes through aiohttp, with pacing, pauses and bounded retries; lookups (`fetch`) through requests.
Answers come back as values: what may have been accepted is never mistaken for what never left.
"""

from __future__ import annotations

import asyncio
import email.utils
import fcntl
import hashlib
import os
import random
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, MutableMapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import aiohttp
import orjson
import requests

from etl.errors import DestinationStopped, LookupFailed
from etl.model import Limits, Patience, Request, Response

TRANSIENT = frozenset({408, 425, 500, 502, 503, 504})
"""Answers after which the same bytes are sent again."""

ANSWER_BYTES = 1_000_000
"""No more of an answer is read."""

PROBE_AGENT = "offline-conversions"


@dataclass(frozen=True, slots=True)
class Answer:
    """How one request ended, after all attempts.

    ``response`` is the vendor's final word; None when there was none. ``lost``: at least one attempt may have been
    accepted without an answer that could be read. ``why`` says, without the row's data, what happened.
    """

    response: Response | None
    lost: bool
    why: str
    attempts: int
    sent_at_ms: int
    answered_at_ms: int


@dataclass
class _Tries:
    """What has become of one request so far."""

    deadline: float
    attempts: int = 0
    lost: bool = False
    response: Response | None = None
    why: str = ""
    sent_at_ms: int = 0

    @property
    def final(self) -> bool:
        """The vendor's last word, rather than "later" or none."""
        return self.response is not None and self.response.status not in {429, *TRANSIENT}


class NotReached(Exception):
    """The request did not leave: refused, unresolvable, or timed out while connecting. Safe to repeat."""


class Lost(Exception):
    """The request left and no answer came back that could be read."""


class Line:
    """One destination's line to its vendor: bounded connections, paced starts, one pause for all."""

    def __init__(self, session: aiohttp.ClientSession, limits: Limits, patience: Patience, lane: Lane) -> None:
        self._session = session
        self._patience = patience
        self.slots = asyncio.Semaphore(limits.connections)
        """To be held around `send`: whoever waits for one can still be told that the destination has stopped."""
        self._spacing_s = limits.spacing_ms / 1000
        self._lane = lane
        self._turn = asyncio.Lock()
        self._paused_until = 0.0
        self.unanswered = 0
        """Attempts in a row, of all requests, that got no final answer: the vendor may be down."""

    async def send(self, request: Request, *, repeatable: bool) -> Answer:
        """Send until there is a final word, the attempts or the time are used up.

        429 pauses the whole line and burns no attempt; `TRANSIENT` answers and requests that never left are repeated;
        a lost answer is repeated only where the vendor counts a repeat once.
        """
        tries = _Tries(time.monotonic() + self._patience.total_s)
        while await self._my_turn(tries):
            await self._try(request, tries)
            if tries.final or (tries.lost and not repeatable) or tries.attempts >= self._patience.attempts:
                break
            wait = self._wait_after(tries)
            if time.monotonic() + wait > tries.deadline:
                break
            await asyncio.sleep(wait)
        self.unanswered = 0 if tries.final else self.unanswered
        return Answer(tries.response, tries.lost, tries.why, max(tries.attempts, 1), tries.sent_at_ms, _now_ms())

    async def _try(self, request: Request, tries: _Tries) -> None:
        """One attempt, written into ``tries``. An answer of 429 is none."""
        tries.sent_at_ms = _now_ms()
        tries.attempts += 1
        self.unanswered += 1
        try:
            tries.response = await self._once(request)
        except (NotReached, Lost) as error:
            tries.response, tries.why = None, str(error)
            tries.lost = tries.lost or isinstance(error, Lost)
            return
        tries.why = f"it answered {tries.response.status}"
        if tries.response.status == 429:
            tries.attempts -= 1
            self._pause(tries.response)

    def _wait_after(self, tries: _Tries) -> float:
        if tries.response is None:
            return self._backoff(tries.attempts)
        if tries.response.status == 429:
            return 0.0  # the pause is kept by `_my_turn`, for every request alike
        return max(_retry_after(tries.response) or 0.0, self._backoff(tries.attempts))

    async def knock(self, url: str, headers: Mapping[str, str]) -> None:
        """One harmless HEAD, so that a vendor which answers nobody is found out before any conversion is on the wire.

        Whatever it answers will do. Raises DestinationStopped when nothing answers after all attempts.
        """
        agent = headers.get("User-Agent", PROBE_AGENT)
        probe = Request("HEAD", url, {"User-Agent": agent}, b"")
        deadline = time.monotonic() + self._patience.total_s
        for attempt in range(1, self._patience.attempts + 1):
            try:
                await self._once(probe)
            except (NotReached, Lost) as error:
                why, wait = str(error), self._backoff(attempt)
            else:
                return
            if attempt == self._patience.attempts or time.monotonic() + wait > deadline:
                break
            await asyncio.sleep(wait)
        told = f"{_host(url)} does not answer: {why}, {attempt} times in a row. Check the network and `endpoint`"
        raise DestinationStopped(f"{told}; nothing was sent, `conversions retry` sends it later", "unreachable")

    async def _my_turn(self, tries: _Tries) -> bool:
        """Wait out a pause and the spacing; False when the pause is longer than this request may take."""
        async with self._turn:
            pause = self._paused_until - time.monotonic()
            if time.monotonic() + pause > tries.deadline:
                tries.why = tries.why or "it asked everybody to wait"
                return False
            await asyncio.sleep(max(pause, 0))
            if self._spacing_s:
                await asyncio.sleep(self._lane.book(self._spacing_s))
            return True

    def _pause(self, response: Response) -> None:
        wait = _retry_after(response)
        wait = self._patience.first_wait_s * 2 if wait is None else wait
        self._paused_until = max(self._paused_until, time.monotonic() + wait)

    def _backoff(self, attempts: int) -> float:
        longest = min(self._patience.longest_wait_s, self._patience.first_wait_s * 2.0 ** max(attempts - 1, 0))
        return longest * (0.5 + random.random() / 2)  # noqa: S311 (jitter, not a secret)

    async def _once(self, request: Request) -> Response:
        try:
            async with self._session.request(
                request.method, request.url, data=request.body, headers=request.headers, allow_redirects=False
            ) as answer:
                body = await _limited(answer)
                headers = {name.lower(): value for name, value in answer.headers.items()}
                return Response(answer.status, headers, body)
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError, ssl.SSLError) as error:
            raise DestinationStopped(
                f"{_host(request.url)}: no secure connection ({type(error).__name__})", "tls"
            ) from None
        except aiohttp.InvalidURL:
            raise DestinationStopped("endpoint: not a usable URL", "bad_endpoint") from None
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NotReached(_told(error)) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Lost(_told(error)) from None


async def _limited(answer: aiohttp.ClientResponse) -> bytes:
    body = await answer.content.read(ANSWER_BYTES)
    while body and len(body) < ANSWER_BYTES and not answer.content.at_eof():
        more = await answer.content.read(ANSWER_BYTES - len(body))
        body += more
    return body


def _told(error: BaseException) -> str:
    """What happened, in words that hold nothing of the request."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"the connection failed ({error.os_error.strerror or type(error.os_error).__name__})"
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return "the connection timed out"
    if isinstance(error, TimeoutError):
        return "no answer came in time"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the answer broke off"
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError | ConnectionError):
        return "the connection was dropped without an answer"
    return f"the answer could not be read ({type(error).__name__})"


def _retry_after(response: Response) -> float | None:
    """Seconds that ``Retry-After`` asks for, as a number or a date; None when it asks for nothing readable."""
    asked = response.headers.get("retry-after", "").strip()
    if asked.isdigit():
        return float(asked)
    try:
        at = email.utils.parsedate_to_datetime(asked)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max((at - datetime.now(UTC)).total_seconds(), 0.0)


def _host(url: str) -> str:
    return url.split("://", 1)[-1].split("/", 1)[0].rsplit("@", 1)[-1]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


@asynccontextmanager
async def line(limits: Limits, patience: Patience, lane: Lane) -> AsyncIterator[Line]:
    """Open a destination's line for as long as the block runs."""
    timeout = aiohttp.ClientTimeout(
        total=None, sock_connect=min(10.0, patience.timeout_s), sock_read=patience.timeout_s
    )
    connector = aiohttp.TCPConnector(limit=limits.connections, ttl_dns_cache=300)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=True) as session:
        yield Line(session, limits, patience, lane)


class Lane:
    """The right to send to one endpoint from this machine, and when the next request may start.

    Held by one process at a time, so that connections and spacing hold across chunks, tasks and runs.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def book(self, spacing_s: float) -> float:
        """Book the next start; how many seconds to wait for it. Uses the wall clock, shared by all processes."""
        now = time.time()
        self._file.seek(0)
        told = self._file.read(32)
        free_at = float(told) if told else now
        start = min(max(now, free_at), now + spacing_s)  # a clock that was set back must not block for hours
        self._file.seek(0)
        self._file.write(f"{start + spacing_s:.3f}".ljust(31).encode())
        self._file.flush()
        return start - now


@contextmanager
def lane(endpoint: str) -> Iterator[Lane]:
    """Wait for the lane to an endpoint and hold it."""
    folder = Path(tempfile.gettempdir()) / f"offline-conversions-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    name = hashlib.sha256(endpoint.encode()).hexdigest()[:16]
    descriptor = os.open(folder / f"{name}.lane", os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield Lane(file)


def fetcher(cache: MutableMapping[str, bytes], user_agent: str) -> Callable[[str, Mapping[str, str]], bytes]:
    """A ``fetch(url, headers)`` for lookups: conditional GET against a cached copy, three attempts, no redirects.

    The copy serves only a 304: what cannot be had raises LookupFailed, however good the copy.
    """

    def fetch(url: str, headers: Mapping[str, str]) -> bytes:
        name = f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.json"
        kept = _kept(cache, name)
        response = _get(url, {"User-Agent": user_agent, **headers, **_conditions(kept)})
        if response.status_code == 304 and kept:
            return kept["body"].encode()
        if response.status_code != 200:
            raise LookupFailed(f"{_host(url)} answered {response.status_code}", f"http_{response.status_code}")
        marks = {key: response.headers[key] for key in ("ETag", "Last-Modified") if key in response.headers}
        body = response.content
        if marks:
            cache[name] = orjson.dumps({"body": body.decode("utf-8", "replace"), **marks})
        return body

    return fetch


def reach(url: str, user_agent: str) -> int:
    """The status that one harmless HEAD is answered with; whatever it is, somebody is there.

    Raises LookupFailed when nothing answers.
    """
    try:
        return requests.head(url, headers={"User-Agent": user_agent}, timeout=10, allow_redirects=False).status_code
    except requests.RequestException as error:
        raise LookupFailed(f"{_host(url)} does not answer ({type(error).__name__})", "unreachable") from None


def _kept(cache: MutableMapping[str, bytes], name: str) -> dict[str, str]:
    try:
        kept: dict[str, str] = orjson.loads(cache[name])
    except (KeyError, orjson.JSONDecodeError):
        return {}
    return kept


def _conditions(kept: Mapping[str, str]) -> dict[str, str]:
    pairs = (("If-None-Match", "ETag"), ("If-Modified-Since", "Last-Modified"))
    return {asked: kept[mark] for asked, mark in pairs if mark in kept}


def _get(url: str, headers: Mapping[str, str], attempts: int = 3, first_wait_s: float = 0.5) -> requests.Response:
    for attempt in range(1, attempts + 1):
        try:
            response = requests.get(url, headers=dict(headers), timeout=10, allow_redirects=False)
        except requests.RequestException as error:
            if attempt == attempts:
                raise LookupFailed(f"{_host(url)} does not answer ({type(error).__name__})", "unreachable") from None
        else:
            if response.status_code not in TRANSIENT or attempt == attempts:
                return response
        time.sleep(first_wait_s * 2 ** (attempt - 1))
    raise AssertionError("unreachable: the loop returns or raises")
