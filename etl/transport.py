"""The only room that opens a connection to a vendor.

Delivery (`Line`) goes through aiohttp, with pacing, pauses and bounded retries; lookups (`fetch`) through requests.
Answers come back as values: what may have been accepted is never mistaken for what never left.
"""

from __future__ import annotations

import asyncio
import email.utils
import fcntl
import hashlib
import logging
import os
import random
import ssl
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, MutableMapping
from concurrent.futures import Future, wait
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import aiohttp
import orjson
import requests

from etl.errors import DestinationStopped, Interrupted, LookupFailed
from etl.model import Limits, Patience, Request, Response

TRANSIENT = frozenset({408, 425, 500, 502, 503, 504})
"""Answers after which the same bytes are sent again."""

ANSWER_BYTES = 1_000_000
"""No more of an answer is read."""

LAST_MOMENT_S = 3.0
"""How long a run that is ended waits for the answers to what is on the wire."""

leaving = threading.Event()
"""Set when this process is asked to end: lines are left, lanes are not waited for. One per process, as signals are."""

POOL_LOG = logging.getLogger("urllib3.connectionpool")
POOL_LOG.setLevel(logging.INFO)  # its DEBUG lines hold whole addresses, and those of lookups have keys in them

PROBE_AGENT = "offline-conversions"

_CUT_SHORT = "Ended before anything was sent, while a vendor was asked what it knows; the next run sends it."


@dataclass(frozen=True, slots=True)
class Answer:
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
    put_off: bool = False
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
    put_off: bool = False

    @property
    def final(self) -> bool:
        """The vendor's last word, rather than "later" or none."""
        return self.response is not None and self.response.status not in {429, *TRANSIENT}


class NotReached(Exception):
    """The request did not leave: refused, unresolvable, or timed out while connecting. Safe to repeat."""


class Lost(Exception):
    """The request left and no answer came back that could be read."""


class Line:
    """One destination's line to its vendor: bounded connections, paced starts, one pause for all, and a breaker.

    The breaker opens when as many attempts in a row went unanswered as one request has. From then on one request at a
    time goes out as a probe, after growing pauses; an answer closes it, as many vain probes give the vendor up.
    """

    def __init__(self, session: aiohttp.ClientSession, limits: Limits, patience: Patience, lane: Lane) -> None:
        self._session = session
        self._patience = patience
        self.slots = asyncio.Semaphore(limits.connections)
        """To be held around `send`: whoever waits for one can still be told that the destination has stopped."""
        self._spacing_s = limits.spacing_ms / 1000
        self._lane = lane
        self._turn = asyncio.Lock()
        self._paused_until = 0.0
        self._pauses = 0
        self._unanswered = 0
        self._probes = 0
        self._probing = asyncio.Lock()
        self._leaving = asyncio.Event()
        self._on_the_wire: set[asyncio.Timeout] = set()

    @property
    def failing(self) -> bool:
        """The breaker is open: of all requests, the last attempts in a row got no final answer."""
        return self._unanswered >= self._patience.attempts

    @property
    def given_up(self) -> bool:
        """The probes were in vain too."""
        return self._probes >= self._patience.attempts

    def leave(self) -> None:
        """Start nothing more and wait for nothing but what is on the wire, and for that a moment only."""
        self._leaving.set()
        until = asyncio.get_running_loop().time() + LAST_MOMENT_S
        for timeout in self._on_the_wire:
            timeout.reschedule(until)

    async def send(self, request: Request, *, repeatable: bool) -> Answer:
        """Send until there is a final word, the attempts or the time are used up.

        429 pauses the whole line and burns no attempt; `TRANSIENT` answers and requests that never left are repeated;
        a lost answer is repeated only where the vendor counts a repeat once. While the breaker is open a request goes
        on as a probe, whatever it has tried before.
        """
        tries = _Tries(time.monotonic() + self._patience.total_s)
        while True:
            async with self._gate():
                if self.given_up or self._leaving.is_set() or not await self._my_turn(tries):
                    break
                await self._try(request, tries)
            if self._is_over(tries, repeatable=repeatable):
                break
            wait = self._wait_after(tries)
            if time.monotonic() + wait > tries.deadline:
                break
            await self._rest(wait)
        attempts = max(tries.attempts, 1 if tries.sent_at_ms else 0)
        why = tries.why or ("the run was ended" if self._leaving.is_set() else "nobody is answered")
        return Answer(tries.response, tries.lost, why, attempts, tries.sent_at_ms, _now_ms(), tries.put_off)

    def _is_over(self, tries: _Tries, *, repeatable: bool) -> bool:
        if tries.final or self.given_up or (tries.lost and not repeatable):
            return True
        return tries.attempts >= self._patience.attempts and not self.failing

    def _gate(self) -> AbstractAsyncContextManager[object]:
        return self._probing if self.failing else nullcontext()

    async def _rest(self, seconds: float) -> None:
        """Wait, unless the line is left meanwhile."""
        try:
            await asyncio.wait_for(self._leaving.wait(), seconds)
        except TimeoutError:
            return

    async def _try(self, request: Request, tries: _Tries) -> None:
        """One attempt, written into ``tries``. An answer of 429 is none."""
        tries.sent_at_ms = _now_ms()
        tries.attempts += 1
        try:
            tries.response = await self._bounded(request)
        except (NotReached, Lost) as error:
            tries.response, tries.why = None, str(error)
            tries.lost = tries.lost or isinstance(error, Lost)
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
            self._probes += self.failing
            self._unanswered += 1
            self._pause(tries.response, self._backoff(self._patience.attempts + self._probes) if self.failing else 0.0)

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
            raise Lost("the run was ended before it answered") from None

    def _wait_after(self, tries: _Tries) -> float:
        if self.failing or (tries.response is not None and tries.response.status == 429):
            return 0.0  # the pause is kept by `_my_turn`, for every request alike
        return self._backoff(tries.attempts)

    async def knock(self, url: str, headers: Mapping[str, str]) -> None:
        """One harmless HEAD, so that a vendor which answers nobody is found out before any conversion is on the wire.

        Whatever it answers will do. Raises DestinationStopped when nothing answers after all attempts.
        """
        agent = headers.get("User-Agent", PROBE_AGENT)
        probe = Request("HEAD", url, {"User-Agent": agent}, b"")
        deadline = time.monotonic() + self._patience.total_s
        for attempt in range(1, self._patience.attempts + 1):
            try:
                await self._bounded(probe)
            except (NotReached, Lost) as error:
                why, wait = str(error), self._backoff(attempt)
            else:
                return
            if attempt == self._patience.attempts or time.monotonic() + wait > deadline or self._leaving.is_set():
                break
            await self._rest(wait)
        told = f"{_host(url)} does not answer: {why}, {attempt} times in a row. Check the network and `endpoint`"
        raise DestinationStopped(f"{told}; nothing was sent, `conversions retry` sends it later", "unreachable")

    async def _my_turn(self, tries: _Tries) -> bool:
        """Wait out a pause and the spacing; False when the pause is longer than this request may take."""
        async with self._turn:
            pause = self._paused_until - time.monotonic()
            if time.monotonic() + pause > tries.deadline:
                tries.why, tries.put_off = tries.why or "it asked everybody to wait", True
                return False
            if pause > 0:
                await self._rest(pause)
            if self._spacing_s and not self._leaving.is_set():
                await self._rest(self._lane.book(self._spacing_s))
            return not self._leaving.is_set()

    def _pause(self, response: Response | None, least_s: float) -> None:
        """All wait as long as the vendor asks for, and ``least_s`` in any case."""
        asked = _retry_after(response) if response is not None else None
        self._paused_until = max(self._paused_until, time.monotonic() + max(asked or 0.0, least_s))

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
    if asked.isascii() and asked.isdigit():
        return float(asked)
    try:
        at = email.utils.parsedate_to_datetime(asked)
    except (ValueError, TypeError, OverflowError):
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
        opened = Line(session, limits, patience, lane)
        watch = asyncio.create_task(_left_in_time(opened))
        try:
            yield opened
        finally:
            watch.cancel()


async def _left_in_time(line: Line) -> None:
    while not leaving.is_set():
        await asyncio.sleep(0.1)
    line.leave()


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
    """Wait for the lane to an endpoint and hold it. Raises Interrupted when the process is asked to end meanwhile."""
    folder = Path(tempfile.gettempdir()) / f"offline-conversions-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    name = hashlib.sha256(endpoint.encode()).hexdigest()[:16]
    descriptor = os.open(folder / f"{name}.lane", os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        while not _locked(file):
            if leaving.wait(0.05):
                raise Interrupted("Ended while another run was sending to the same address; nothing was sent there.")
        yield Lane(file)


def _locked(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


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
            response = _asked(url, headers)
        except requests.RequestException as error:
            if attempt == attempts:
                raise LookupFailed(f"{_host(url)} does not answer ({type(error).__name__})", "unreachable") from None
        else:
            if response.status_code not in TRANSIENT or attempt == attempts:
                return response
        if leaving.wait(first_wait_s * 2 ** (attempt - 1)):
            raise Interrupted(_CUT_SHORT)
    raise AssertionError("unreachable: the loop returns or raises")


def _asked(url: str, headers: Mapping[str, str]) -> requests.Response:
    """One GET. Raises Interrupted as soon as the process is asked to end; who waits for the answer is left behind."""
    answer: Future[requests.Response] = Future()

    def ask() -> None:
        try:
            answer.set_result(requests.get(url, headers=dict(headers), timeout=10, allow_redirects=False))
        except BaseException as error:  # noqa: BLE001 (it is raised again where the answer is waited for)
            answer.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    while not answer.done() and not leaving.is_set():
        wait([answer], timeout=0.1)
    if not answer.done():
        raise Interrupted(_CUT_SHORT)
    return answer.result()
