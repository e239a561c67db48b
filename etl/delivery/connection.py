"""The connection that carries conversions to a vendor.

`VendorConnection` goes through aiohttp, with pacing, pauses, bounded retries and a circuit breaker. Answers come back
as values: what may have been accepted is never mistaken for what was never sent.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

import aiohttp

from etl import reasons
from etl.clock import wall_clock
from etl.delivery.connector import Connector, Trip, travelling
from etl.delivery.pacing import EndpointLock
from etl.delivery.proxies import environment_proxy
from etl.delivery.retries import THROTTLED, TRANSIENT, Attempts, Breaker, DeliveryResult, Pause, backoff
from etl.destinations.base import Destination
from etl.errors import DestinationStopped
from etl.model import Limits, Request, Response, RetryPolicy
from etl.redact import host_of
from etl.shutdown import shutting_down

ANSWER_BYTES = 1_000_000
"""No more of an answer is read."""

SHUTDOWN_S = 3.0
"""How long a run that is ended waits for the answers to requests that are on the wire."""

PROBE_AGENT = "offline-conversions"


class NotSent(Exception):
    """The request was not sent: refused, unresolvable, or timed out while connecting. Safe to repeat."""


class AnswerLost(Exception):
    """The request was sent and no answer came back that could be read."""


class ConnectionGone(AnswerLost):
    """The connection was closed before a byte of an answer came."""


class VendorConnection:
    """One destination's connection to its vendor: bounded in number, paced, with one pause and one breaker for all."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        limits: Limits,
        retry_policy: RetryPolicy,
        lock: EndpointLock,
        proxy: str | None,
    ) -> None:
        self._session = session
        self._proxy = proxy
        self._policy = retry_policy
        self.slots = asyncio.Semaphore(limits.connections)
        """To be held around `send`: a request that waits for a slot can still learn that the destination stopped."""
        self.breaker = Breaker(retry_policy.attempts)
        self._one_probe = asyncio.Lock()
        self._spacing_s = limits.spacing_ms / 1000
        self._lock = lock
        self._one_start = asyncio.Lock()
        self._pause = Pause()
        self._throttled = 0
        self._ending = asyncio.Event()
        self._on_the_wire: set[asyncio.Timeout] = set()

    async def send(
        self, request: Request, *, repeatable: bool, may_leave: Callable[[], Awaitable[bool]]
    ) -> DeliveryResult:
        """Send until there is a final answer, or the attempts or the time are used up.

        ``may_leave`` is waited for before each attempt; when it says no, what has been tried before is the end.

        429 pauses all requests and burns no attempt; `TRANSIENT` answers and requests that were not sent are repeated;
        a lost answer is repeated only where the vendor counts a repeat once. While the breaker is open a request goes
        on as a probe, whatever it has tried before.
        """
        attempts = Attempts(time.monotonic() + self._policy.total_s)
        while True:
            async with self._probe_turn():
                if self.breaker.exhausted or not await self._await_slot(attempts):
                    break
                if not await may_leave():
                    break
                await self._attempt(request, attempts)
            if self._is_over(attempts, repeatable=repeatable):
                break
            wait_s = self._wait_after(attempts)
            if time.monotonic() + wait_s > attempts.deadline:
                break
            await self._sleep(wait_s)
        return attempts.result("the run was ended" if self._ending.is_set() else "nobody is answered")

    async def probe(self, url: str, headers: Mapping[str, str]) -> Response:
        """One HEAD without a conversion, so that a vendor which answers nobody is found out before anything is sent.

        Any answer will do, and is returned. Raises DestinationStopped when there is none after all attempts.
        """
        request = Request("HEAD", url, {"User-Agent": headers.get("User-Agent", PROBE_AGENT)}, b"")
        deadline = time.monotonic() + self._policy.total_s
        for attempt in range(1, self._policy.attempts + 1):
            try:
                return await self._bounded(request, deadline)
            except (NotSent, AnswerLost) as error:
                why, wait_s = str(error), backoff(self._policy, attempt)
            if attempt == self._policy.attempts or time.monotonic() + wait_s > deadline or self._ending.is_set():
                break
            await self._sleep(wait_s)
        raise DestinationStopped(
            f"{host_of(url)} does not answer: {why}, {attempt} times in a row. Check the network and `endpoint`; "
            "nothing was sent, `conversions retry` sends it later.",
            reasons.UNREACHABLE.code,
        )

    def shut_down(self) -> None:
        """Start nothing more, and wait only for requests that are on the wire, at most `SHUTDOWN_S`."""
        self._ending.set()
        until = asyncio.get_running_loop().time() + SHUTDOWN_S
        for timeout in self._on_the_wire:
            timeout.reschedule(until)

    # -- before an attempt

    def _probe_turn(self) -> AbstractAsyncContextManager[object]:
        return self._one_probe if self.breaker.is_open else nullcontext()

    async def _await_slot(self, attempts: Attempts) -> bool:
        """Wait out a pause and the spacing, one request after the other.

        False when the pause is longer than this request may take, or the run is ended.
        """
        if self._ending.is_set():
            return False
        async with self._one_start:
            if self._pause.until > attempts.deadline:
                attempts.why, attempts.throttled = attempts.why or "it asked everybody to wait", True
                return False
            await self._sleep(self._pause.remaining_s())
            if self._spacing_s and not self._ending.is_set():
                await self._sleep(self._lock.book(self._spacing_s))
            return not self._ending.is_set()

    async def _sleep(self, seconds: float) -> None:
        """Wait, unless the run is ended meanwhile."""
        if seconds <= 0:
            return
        try:
            await asyncio.wait_for(self._ending.wait(), seconds)
        except TimeoutError:
            return

    # -- an attempt, and what follows from it

    async def _attempt(self, request: Request, attempts: Attempts) -> None:
        """One attempt, written into ``attempts``."""
        attempts.sent_at_ms = wall_clock()
        attempts.count += 1
        attempts.requests += 1
        try:
            attempts.response = await self._bounded(request, attempts.deadline)
        except (NotSent, AnswerLost) as error:
            attempts.response, attempts.why = None, str(error)
            attempts.lost = attempts.lost or isinstance(error, AnswerLost)
        else:
            attempts.why = f"it answered {attempts.response.status}"
        self._learn(attempts)

    def _learn(self, attempts: Attempts) -> None:
        """What this attempt says of the vendor: it is there, it is there but busy, or it may be down."""
        if attempts.asked_to_wait:
            attempts.count -= 1
            self._throttled += 1
            # Never shorter than our own growing wait: "Retry-After: 0" again and again must not become a storm.
            self._pause.extend(attempts.response, backoff(self._policy, self._throttled))
        elif attempts.final:
            self.breaker.record_answer()
            self._throttled = 0
        else:
            self.breaker.record_failure()
            probes = self._policy.attempts + self.breaker.probes
            self._pause.extend(attempts.response, backoff(self._policy, probes) if self.breaker.is_open else 0.0)

    def _is_over(self, attempts: Attempts, *, repeatable: bool) -> bool:
        if attempts.final or self.breaker.exhausted or (attempts.lost and not repeatable):
            return True
        return attempts.count >= self._policy.attempts and not self.breaker.is_open

    def _wait_after(self, attempts: Attempts) -> float:
        if self.breaker.is_open or attempts.asked_to_wait:
            return 0.0  # `_await_slot` waits out the pause, for every request alike
        return backoff(self._policy, attempts.count)

    # -- on the wire

    async def _bounded(self, request: Request, deadline: float) -> Response:
        """`_send_once`, cut short at the deadline (of `time.monotonic`) and when the run is ended."""
        trip = Trip()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(loop.time() + deadline - time.monotonic()) as timeout:
                self._on_the_wire.add(timeout)
                try:
                    return await self._send_quietly(request, trip)
                finally:
                    self._on_the_wire.discard(timeout)
        except TimeoutError:
            if not trip.connected:
                raise NotSent("no connection came about in time") from None
            ended = self._ending.is_set()
            raise AnswerLost("the run was ended before it answered" if ended else "no answer came in time") from None

    async def _send_quietly(self, request: Request, trip: Trip) -> Response:
        """`_send_once`; on a kept connection neither its end nor a refusal is believed before it is heard on a new one.

        Connections are kept only where the vendor counts a repeat once.
        """
        with travelling(trip):
            try:
                answer = await self._send_once(request)
                if not trip.reused or answer.status < 300 or answer.status in {THROTTLED, *TRANSIENT}:
                    return answer
            except ConnectionGone:
                if not trip.reused:
                    raise
            trip.fresh = True
            try:
                return await self._send_once(request)
            except NotSent as error:
                raise AnswerLost(str(error)) from None  # the first may have come through

    async def _send_once(self, request: Request) -> Response:
        """The answer. Raises NotSent, AnswerLost, or DestinationStopped where no request could ever be sent."""
        try:
            async with self._session.request(
                request.method,
                request.url,
                data=request.body,
                headers=request.headers,
                allow_redirects=False,
                proxy=self._proxy,
            ) as answer:
                body = await _read_at_most(answer, ANSWER_BYTES)
                headers = {name.lower(): value for name, value in answer.headers.items()}
                return Response(answer.status, headers, body)
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError, ssl.SSLError) as error:
            raise DestinationStopped(
                f"{host_of(request.url)}: no secure connection ({type(error).__name__}).", reasons.TLS.code
            ) from None
        except aiohttp.InvalidURL:
            raise DestinationStopped("endpoint: not a usable URL.", reasons.BAD_ENDPOINT.code) from None
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NotSent(_reason_of(error)) from None
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionError) as error:
            raise ConnectionGone(_reason_of(error)) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise AnswerLost(_reason_of(error)) from None


async def _read_at_most(answer: aiohttp.ClientResponse, limit: int) -> bytes:
    body = await answer.content.read(limit)
    while body and len(body) < limit and not answer.content.at_eof():
        body += await answer.content.read(limit - len(body))
    return body


def _reason_of(error: BaseException) -> str:
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


@asynccontextmanager
async def connect(destination: Destination, lock: EndpointLock) -> AsyncIterator[VendorConnection]:
    """A destination's connection, for as long as the block runs.

    TCP connections are kept only where one conversion travels at a time and the vendor counts a repeat once.
    """
    limits, retry_policy = destination.limits, destination.retry_policy
    keep = destination.facts.repeatable and destination.facts.max_items == 1
    timeout = aiohttp.ClientTimeout(
        total=None, sock_connect=min(10.0, retry_policy.timeout_s), sock_read=retry_policy.timeout_s
    )
    connector, jar = Connector(connections=limits.connections, keep=keep), aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=jar) as session:
        proxy = environment_proxy(destination.endpoint)
        connection = VendorConnection(session, limits, retry_policy, lock, proxy)
        watch = asyncio.create_task(_watch_for_shutdown(connection))
        try:
            yield connection
        finally:
            watch.cancel()


async def _watch_for_shutdown(connection: VendorConnection) -> None:
    while not shutting_down.is_set():
        await asyncio.sleep(0.1)
    connection.shut_down()
