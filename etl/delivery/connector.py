"""Which TCP connection carries a request. Opens nothing before a request asks for it.

What an answer belongs to is known only by its place on the connection, so an answer that nobody asked for would be
taken for the next request's. Most requests therefore get a connection of their own
(docs/decisions/0010-connections.md); one that is kept is used again only while it is quiet.
"""

from __future__ import annotations

import select
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

import aiohttp

_TRIP: ContextVar[Trip] = ContextVar("trip")


@dataclass
class Trip:
    """One request's way: whether it got a connection, and whether that had carried another before."""

    fresh: bool = False
    """It must have a connection of its own."""
    connected: bool = False
    reused: bool = False


@contextmanager
def travelling(trip: Trip) -> Iterator[Trip]:
    """What `Connector` learns of the request that is sent within the block."""
    before = _TRIP.set(trip)
    try:
        yield trip
    finally:
        _TRIP.reset(before)


class Connector(aiohttp.TCPConnector):
    """Gives a request a connection on which nothing has come in that nobody asked for."""

    def __init__(self, *, connections: int, keep: bool) -> None:
        super().__init__(limit=connections, ttl_dns_cache=300, force_close=not keep)
        self._used: WeakSet[Any] = WeakSet()

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Any], timeout: aiohttp.ClientTimeout
    ) -> aiohttp.connector.Connection:
        """A quiet connection: a kept one or a new one."""
        trip = _TRIP.get(None) or Trip()
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            trip.reused = protocol in self._used
            if not trip.reused or (not trip.fresh and _is_quiet(connection)):
                break
            connection.close()
        self._used.add(protocol)
        trip.connected = True
        return connection


def _is_quiet(connection: aiohttp.connector.Connection) -> bool:
    """True while a kept connection is open and nothing has come in on it, not even into the kernel."""
    if connection.protocol is None or connection.protocol.should_close or connection.transport is None:
        return False
    socket = connection.transport.get_extra_info("socket")
    if socket is None:
        return False
    poll = select.poll()
    poll.register(socket.fileno(), select.POLLIN | select.POLLERR | select.POLLHUP)
    return not poll.poll(0)
