"""The connection that carries conversions to a vendor.

`VendorConnection` goes through aiohttp, with pacing, pauses, bounded retries and a breaker.
Answers come back as values: what may have been accepted is never mistaken for what never left.
"""

from __future__ import annotations

import asyncio
import email.utils
import random
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp

from etl.clock import wall_clock
from etl.delivery.pacing import EndpointLock
from etl.delivery.shutdown import shutting_down
from etl.errors import DestinationStopped
from etl.model import Limits, Request, Response, RetryPolicy
from etl.redact import host_of

TRANSIENT = frozenset({408, 425, 500, 502, 503, 504})
"""Answers after which the same bytes are sent again."""

ANSWER_BYTES = 1_000_000
"""No more of an answer is read."""

LAST_MOMENT_S = 3.0
"""How long a run that is ended waits for the answers to what is on the wire."""

PROBE_AGENT = "offline-conversions"


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """How one request ended, after all attempts.

    ``response`` is the vendor's final word; None when there was none. ``lost``: at least one attempt may have been
    accepted without an answer that could be read. ``why`` says, without the row's data, what happened. ``attempts`` is
    0 where nothing left.
    """

    response: Response | None
    lost: bool
    why: str
    attempts: int
    sent_at_ms: int
    answered_at_ms: int
    throttled: bool = False
    """The vendor asked for more time than a request may take."""


@dataclass
class _Tries:
    """What has become of one request so far."""

    deadline: float
    attempts: int = 0
    lost: bool = False
    response: Response | None = None
    why: str = ""
    sent_at_ms: int = 0
    throttled: bool = False

    @property
    def final(self) -> bool:
        """The vendor's last word, rather than "later" or none."""
        return self.response is not None and self.response.status not in {429, *TRANSIENT}


class NotSent(Exception):
    """The request did not leave: refused, unresolvable, or timed out while connecting. Safe to repeat."""


class AnswerLost(Exception):
    """The request left and no answer came back that could be read."""


class VendorConnection:
    """One destination's line to its vendor: bounded connections, paced starts, one pause for all, and a breaker.

    The breaker opens when as many attempts in a row went unanswered as one request has. From then on one request at a
    time goes out as a probe, after growing pauses; an answer closes it, as many vain probes give the vendor up.
    """

    def __init__(
        self, session: aiohttp.ClientSession, limits: Limits, retry_policy: RetryPolicy, lock: EndpointLock
    ) -> None:
        self._session = session
        self._policy = retry_policy
        self.slots = asyncio.Semaphore(limits.connections)
        """To be held around `send`: whoever waits for one can still be told that the destination has stopped."""
        self._spacing_s = limits.spacing_ms / 1000
        self._lock = lock
        self._turn = asyncio.Lock()
        self._paused_until = 0.0
        self._pauses = 0
        self._unanswered = 0
        self._probes = 0
        self._probing = asyncio.Lock()
        self._ending = asyncio.Event()
        self._on_the_wire: set[asyncio.Timeout] = set()

    @property
    def breaker_open(self) -> bool:
        """The breaker is open: of all requests, the last attempts in a row got no final answer."""
        return self._unanswered >= self._policy.attempts

    @property
    def exhausted(self) -> bool:
        """The probes were in vain too."""
        return self._probes >= self._policy.attempts

    def shut_down(self) -> None:
        """Start nothing more and wait for nothing but what is on the wire, and for that a moment only."""
        self._ending.set()
        until = asyncio.get_running_loop().time() + LAST_MOMENT_S
        for timeout in self._on_the_wire:
            timeout.reschedule(until)

    async def send(self, request: Request, *, repeatable: bool) -> DeliveryResult:
        """Send until there is a final word, the attempts or the time are used up.

        429 pauses the whole line and burns no attempt; `TRANSIENT` answers and requests that never left are repeated;
        a lost answer is repeated only where the vendor counts a repeat once. While the breaker is open a request goes
        on as a probe, whatever it has tried before.
        """
        tries = _Tries(time.monotonic() + self._policy.total_s)
        while True:
            async with self._gate():
                if self.exhausted or self._ending.is_set() or not await self._await_slot(tries):
                    break
                await self._try(request, tries)
            if self._is_over(tries, repeatable=repeatable):
                break
            wait = self._wait_after(tries)
            if time.monotonic() + wait > tries.deadline:
                break
            await self._rest(wait)
        attempts = max(tries.attempts, 1 if tries.sent_at_ms else 0)
        why = tries.why or ("the run was ended" if self._ending.is_set() else "nobody is answered")
        ended_at_ms = wall_clock()
        return DeliveryResult(tries.response, tries.lost, why, attempts, tries.sent_at_ms, ended_at_ms, tries.throttled)

    def _is_over(self, tries: _Tries, *, repeatable: bool) -> bool:
        if tries.final or self.exhausted or (tries.lost and not repeatable):
            return True
        return tries.attempts >= self._policy.attempts and not self.breaker_open

    def _gate(self) -> AbstractAsyncContextManager[object]:
        return self._probing if self.breaker_open else nullcontext()

    async def _rest(self, seconds: float) -> None:
        """Wait, unless the line is left meanwhile."""
        try:
            await asyncio.wait_for(self._ending.wait(), seconds)
        except TimeoutError:
            return

    async def _try(self, request: Request, tries: _Tries) -> None:
        """One attempt, written into ``tries``. An answer of 429 is none."""
        tries.sent_at_ms = wall_clock()
        tries.attempts += 1
        try:
            tries.response = await self._bounded(request)
        except (NotSent, AnswerLost) as error:
            tries.response, tries.why = None, str(error)
            tries.lost = tries.lost or isinstance(error, AnswerLost)
        else:
            tries.why = f"it answered {tries.response.status}"
        self._learn(tries)

    def _learn(self, tries: _Tries) -> None:
        """What this attempt says of the vendor: alive, alive but busy, or perhaps down."""
        if tries.response is not None and tries.response.status == 429:
            tries.attempts -= 1
            self._pauses += 1
            # Never shorter than our own growing wait: "Retry-After: 0" again and again must not become a storm.
            self._pause(tries.response, self._backoff(self._pauses))
        elif tries.final:
            self._unanswered = self._probes = self._pauses = 0
        else:
            self._probes += self.breaker_open
            self._unanswered += 1
            self._pause(
                tries.response, self._backoff(self._policy.attempts + self._probes) if self.breaker_open else 0.0
            )

    async def _bounded(self, request: Request) -> Response:
        """`_once`, cut short when the line is left."""
        try:
            async with asyncio.timeout(None) as timeout:
                self._on_the_wire.add(timeout)
                try:
                    return await self._once(request)
                finally:
                    self._on_the_wire.discard(timeout)
        except TimeoutError:
            raise AnswerLost("the run was ended before it answered") from None

    def _wait_after(self, tries: _Tries) -> float:
        if self.breaker_open or (tries.response is not None and tries.response.status == 429):
            return 0.0  # the pause is kept by `_await_slot`, for every request alike
        return self._backoff(tries.attempts)

    async def probe(self, url: str, headers: Mapping[str, str]) -> None:
        """One harmless HEAD, so that a vendor which answers nobody is found out before any conversion is on the wire.

        Whatever it answers will do. Raises DestinationStopped when nothing answers after all attempts.
        """
        agent = headers.get("User-Agent", PROBE_AGENT)
        probe = Request("HEAD", url, {"User-Agent": agent}, b"")
        deadline = time.monotonic() + self._policy.total_s
        for attempt in range(1, self._policy.attempts + 1):
            try:
                await self._bounded(probe)
            except (NotSent, AnswerLost) as error:
                why, wait = str(error), self._backoff(attempt)
            else:
                return
            if attempt == self._policy.attempts or time.monotonic() + wait > deadline or self._ending.is_set():
                break
            await self._rest(wait)
        told = f"{host_of(url)} does not answer: {why}, {attempt} times in a row. Check the network and `endpoint`"
        raise DestinationStopped(f"{told}; nothing was sent, `conversions retry` sends it later", "unreachable")

    async def _await_slot(self, tries: _Tries) -> bool:
        """Wait out a pause and the spacing; False when the pause is longer than this request may take."""
        async with self._turn:
            pause = self._paused_until - time.monotonic()
            if time.monotonic() + pause > tries.deadline:
                tries.why, tries.throttled = tries.why or "it asked everybody to wait", True
                return False
            if pause > 0:
                await self._rest(pause)
            if self._spacing_s and not self._ending.is_set():
                await self._rest(self._lock.book(self._spacing_s))
            return not self._ending.is_set()

    def _pause(self, response: Response | None, least_s: float) -> None:
        """All wait as long as the vendor asks for, and ``least_s`` in any case."""
        asked = _retry_after(response) if response is not None else None
        self._paused_until = max(self._paused_until, time.monotonic() + max(asked or 0.0, least_s))

    def _backoff(self, attempts: int) -> float:
        longest = min(self._policy.longest_wait_s, self._policy.first_wait_s * 2.0 ** max(attempts - 1, 0))
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
                f"{host_of(request.url)}: no secure connection ({type(error).__name__})", "tls"
            ) from None
        except aiohttp.InvalidURL:
            raise DestinationStopped("endpoint: not a usable URL", "bad_endpoint") from None
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NotSent(_told(error)) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise AnswerLost(_told(error)) from None


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
    if asked.isascii() and asked.isdigit():
        return float(asked)
    try:
        at = email.utils.parsedate_to_datetime(asked)
    except (ValueError, TypeError, OverflowError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max((at - datetime.now(UTC)).total_seconds(), 0.0)


@asynccontextmanager
async def connect(limits: Limits, retry_policy: RetryPolicy, lock: EndpointLock) -> AsyncIterator[VendorConnection]:
    """Open a destination's line for as long as the block runs."""
    timeout = aiohttp.ClientTimeout(
        total=None, sock_connect=min(10.0, retry_policy.timeout_s), sock_read=retry_policy.timeout_s
    )
    connector = aiohttp.TCPConnector(limit=limits.connections, ttl_dns_cache=300)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=True) as session:
        opened = VendorConnection(session, limits, retry_policy, lock)
        watch = asyncio.create_task(_watch_for_shutdown(opened))
        try:
            yield opened
        finally:
            watch.cancel()


async def _watch_for_shutdown(line: VendorConnection) -> None:
    while not shutting_down.is_set():
        await asyncio.sleep(0.1)
    line.shut_down()
