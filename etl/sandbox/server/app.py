"""The HTTP server: one port, a path prefix per vendor, and the controls under /_sandbox."""

import asyncio
import signal
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from etl.sandbox.base import JSON, Answer, Incoming, Vendor, refuse
from etl.sandbox.server.book import Book, Outcome
from etl.sandbox.server.faults import Fault, FaultError, Faults, faults_from, faults_in
from etl.sandbox.server.vendors import configured

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
RESET = struct.pack("ii", 1, 0)  # SO_LINGER of zero seconds: close by reset


def utc_now() -> datetime:
    """The real clock."""
    return datetime.now(UTC)


class Vendors:
    """The vendors with their books and the faults in force. Lives in one event loop."""

    def __init__(self, vendors: Mapping[str, Vendor], now: Callable[[], datetime], *, keep: bool) -> None:
        self.vendors = vendors
        self.keep = keep
        self.faults = Faults()
        self.books = {vendor: Book(keep=keep) for vendor in vendors}
        self._now = now

    def endpoint(self, url: str, vendor: str) -> str:
        """Where this vendor takes conversions, without query. Raises KeyError for a stranger."""
        return f"{url}/{vendor}{self.vendors[vendor].delivery_path}"

    def counts(self) -> dict[str, dict[str, Any]]:
        """Every vendor's counters."""
        return {vendor: book.counts() for vendor, book in self.books.items()}

    def reset(self) -> None:
        """Forget what was received and counted; keep the faults."""
        for book in self.books.values():
            book.forget()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One request to one vendor, faults included."""
        vendor = request.match_info["vendor"]
        if vendor not in self.vendors:
            return _as_response(refuse(404, "no such vendor"))
        self.books[vendor].knocks += request.method == "HEAD"
        self.books[vendor].lookups += request.method == "GET"
        try:
            return await self._treat(request, vendor)
        except (ConnectionError, web.RequestPayloadError):
            return web.Response()  # the caller left in the middle of the body: nothing has arrived

    async def _treat(self, request: web.Request, vendor: str) -> web.StreamResponse:
        fault = await self.faults.pick(vendor, request.path, request.method, request.read)
        if fault and fault.drop in ("before", "mid_body"):
            return await self._cut_before(request, vendor, fault)
        if request.method == "HEAD":
            return web.Response(status=405, headers={"Allow": "POST"})
        return await self._answer(request, vendor, fault)

    async def _cut_before(self, request: web.Request, vendor: str, fault: Fault) -> web.StreamResponse:
        part = await request.content.readany() if fault.drop == "mid_body" and not request.content.at_eof() else b""
        await _wait(fault)
        if request.method not in ("HEAD", "GET"):
            outcome = Outcome(None, fault.drop)
            self.books[vendor].enter(self._incoming(request, part), request.path, Answer(0), outcome)
        _reset(request)
        return web.Response()

    async def _answer(self, request: web.Request, vendor: str, fault: Fault | None) -> web.StreamResponse:
        body = await request.read()  # before the wait: a caller who gives up waiting has still been heard
        await _wait(fault)
        incoming = self._incoming(request, body)
        answer = _under(fault, incoming, lambda: self._ask(vendor, incoming))
        drop = fault.drop if fault else None
        if request.method != "GET":
            status = None if drop == "after" else answer.status
            self.books[vendor].enter(incoming, request.path, answer, Outcome(status, drop))
        if drop is None:
            return _as_response(answer)
        _hang_up(request, _half(answer) if drop == "mid_answer" else b"")
        return web.Response()

    def _ask(self, vendor: str, incoming: Incoming) -> Answer:
        if incoming.headers.get("content-encoding", "identity") != "identity":
            return refuse(415, "no vendor documents compressed bodies")
        return self.vendors[vendor].answer(incoming)

    def _incoming(self, request: web.Request, body: bytes) -> Incoming:
        return Incoming(
            method=request.method,
            path=request.path.removeprefix(f"/{request.match_info['vendor']}"),
            query=request.rel_url.raw_query_string,
            headers={name.lower(): value for name, value in request.headers.items()},
            body=body,
            now_ms=(self._now() - EPOCH) // timedelta(milliseconds=1),
        )


async def _wait(fault: Fault | None) -> None:
    if fault and fault.delay_ms:
        await asyncio.sleep(fault.delay_ms / 1000)


def _under(fault: Fault | None, incoming: Incoming, ask: Callable[[], Answer]) -> Answer:
    """The vendor's answer, or the fault's in its place; the vendor is asked only if the request reaches it."""
    if fault is None or fault.status is None:
        return ask()
    taken = ask() if fault.accept else Answer(fault.status)
    return replace(taken, status=fault.status, body=_body(fault, incoming).encode(), headers=fault.headers)


def _body(fault: Fault, incoming: Incoming) -> str:
    """The body of a fault, with what was sent in the place of ``{sent}``."""
    if "{sent}" not in fault.body:
        return fault.body
    sent = " ".join(
        [incoming.path, incoming.query, *incoming.headers.values(), incoming.body.decode("utf-8", "replace")]
    )
    return fault.body.replace("{sent}", orjson.dumps(sent).decode()[1:-1])


def _as_response(answer: Answer) -> web.Response:
    return web.Response(status=answer.status, body=answer.body or None, headers=answer.headers)


def _half(answer: Answer) -> bytes:
    """The answer as far as the middle of its body, or of its first line where there is no body."""
    headers = {**answer.headers, "Content-Length": str(len(answer.body))}
    lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}", *(f"{k}: {v}" for k, v in headers.items())]
    head = ("\r\n".join(lines) + "\r\n\r\n").encode()
    return head + answer.body[: len(answer.body) // 2] if answer.body else head[: len("HTTP/1.1 ")]


def _hang_up(request: web.Request, last_words: bytes) -> None:
    if request.transport is not None:
        request.transport.write(last_words)
        request.transport.close()


def _reset(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        request.transport.abort()


# --- the controls


class Controls:
    """What /_sandbox offers to a test or a person: look, forget, set faults."""

    def __init__(self, vendors: Vendors) -> None:
        self._vendors = vendors

    def routes(self) -> list[web.RouteDef]:
        """The control routes."""
        return [
            web.get("/_sandbox/healthy", _healthy),
            web.get("/_sandbox/counts", self._counts),
            web.get("/_sandbox/received", self._received),
            web.get("/_sandbox/requests", self._requests),
            web.get("/_sandbox/faults", self._faults),
            web.post("/_sandbox/faults", self._set_faults),
            web.delete("/_sandbox/faults", self._clear_faults),
            web.post("/_sandbox/reset", self._reset),
        ]

    async def _counts(self, request: web.Request) -> web.Response:
        return _shown(self._vendors.counts())

    async def _received(self, request: web.Request) -> web.Response:
        return self._kept(request, lambda book: book.received)

    async def _requests(self, request: web.Request) -> web.Response:
        return self._kept(request, lambda book: book.log)

    def _kept(self, request: web.Request, choose: Callable[[Book], list[dict[str, Any]]]) -> web.Response:
        book = self._vendors.books.get(request.query.get("vendor", ""))
        limit = request.query.get("limit")
        if book is None:
            return _shown({"error": f"vendor must be one of {', '.join(self._vendors.vendors)}"}, 400)
        if limit is not None and not limit.isdecimal():
            return _shown({"error": "limit must be a number"}, 400)
        if not self._vendors.keep:
            return _shown({"error": "this sandbox keeps counters only"}, 409)
        return _shown(choose(book)[: None if limit is None else int(limit)])

    async def _faults(self, request: web.Request) -> web.Response:
        return _shown(self._vendors.faults.listed())

    async def _set_faults(self, request: web.Request) -> web.Response:
        try:
            faults = faults_from(orjson.loads(await request.read()))
        except (orjson.JSONDecodeError, FaultError) as error:
            return _shown({"error": str(error)}, 400)
        self._vendors.faults.replace(faults)
        return _shown({"faults": len(faults)})

    async def _clear_faults(self, request: web.Request) -> web.Response:
        self._vendors.faults.replace([])
        return web.Response(status=204)

    async def _reset(self, request: web.Request) -> web.Response:
        self._vendors.reset()
        return web.Response(status=204)


async def _healthy(request: web.Request) -> web.Response:
    return _shown({"healthy": True})


def _shown(content: object, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(content, option=orjson.OPT_NON_STR_KEYS), headers=JSON)


# --- running


async def listen(vendors: Vendors, host: str, port: int) -> tuple[int, Callable[[], Awaitable[None]]]:
    """Open the port (0: any). Returns the port and what closes it again. Raises OSError if it is taken."""
    app = web.Application(client_max_size=0)
    app.add_routes(Controls(vendors).routes())
    app.router.add_route("*", r"/{vendor}{rest:(/.*)?}", vendors.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, auto_decompress=False)
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    try:
        await site.start()
    except OSError:
        await runner.cleanup()
        raise
    return int(runner.addresses[0][1]), runner.cleanup


def serve(port: int, faults_path: str | Path | None = None, host: str = "127.0.0.1", *, keep: bool = True) -> None:
    """Run the sandbox until SIGINT or SIGTERM. Raises FaultError for a bad faults file, OSError for a taken port."""
    vendors = Vendors(configured({}), utc_now, keep=keep)
    if faults_path is not None:
        vendors.faults.replace(faults_in(Path(faults_path)))
    asyncio.run(_serve(vendors, host, port))


async def _serve(vendors: Vendors, host: str, port: int) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    port, close = await listen(vendors, host, port)
    sys.stdout.write(welcome(f"http://{host}:{port}", vendors))
    sys.stdout.flush()
    await stopped.wait()
    await close()


def welcome(url: str, vendors: Vendors) -> str:
    """The lines that tell where every vendor is and with which credentials."""
    lines = {
        name: f"{vendors.endpoint(url, name)}  ({', '.join(f'{key} {value}' for key, value in asdict(vendor).items())})"
        for name, vendor in vendors.vendors.items()
    } | {"counts": f"{url}/_sandbox/counts"}
    width = max(map(len, lines))
    return "\n".join([f"Sandbox on {url}", *(f"  {name:{width}}  {line}" for name, line in lines.items()), ""])
