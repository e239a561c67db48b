"""The sandbox inside another program: a thread with its own loop, asked from outside."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from etl.sandbox.server.app import Vendors, listen, utc_now
from etl.sandbox.server.faults import faults_from
from etl.sandbox.server.vendors import Credentials, configured

T = TypeVar("T")


class _Running(NamedTuple):
    loop: asyncio.AbstractEventLoop
    thread: threading.Thread
    close: Callable[[], Awaitable[None]]


class Sandbox:
    """The vendors on 127.0.0.1 while the `with` block lasts.

        with Sandbox() as sandbox:
            requests.post(sandbox.endpoint("converge"), ...)
            assert sandbox.counts()["converge"]["counted"] == 1

    `now` is the vendors' clock, `keep=False` keeps counters and keys but no bodies (for long runs), `credentials` are
    those that differ from the vendors' own. The counters can still be read after the block.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        now: Callable[[], datetime] = utc_now,
        keep: bool = True,
        credentials: Credentials | None = None,
    ) -> None:
        self.port = port
        self._vendors = Vendors(configured(credentials or {}), now, keep=keep)
        self._running: _Running | None = None

    @property
    def credentials(self) -> dict[str, dict[str, str]]:
        """What opens the doors: vendor -> name of a credential -> its value."""
        return {name: asdict(vendor) for name, vendor in self._vendors.vendors.items()}

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def endpoint(self, vendor: str) -> str:
        """The full URL that takes this vendor's conversions, without query. Raises KeyError for a stranger."""
        return self._vendors.endpoint(self.url, vendor)

    def lookup(self, vendor: str) -> str:
        """The full URL of what this vendor lets people look up. Raises KeyError for one that tells nothing."""
        path = self._vendors.vendors[vendor].lookup_path
        if path is None:
            raise KeyError(vendor)
        return f"{self.url}/{vendor}{path}"

    def __enter__(self) -> "Sandbox":
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def start(self) -> None:
        """Open the port. Raises OSError if it is taken."""
        loop = asyncio.new_event_loop()
        try:
            self.port, close = loop.run_until_complete(listen(self._vendors, "127.0.0.1", self.port))
        except OSError:
            loop.close()
            raise
        thread = threading.Thread(target=loop.run_forever, name="sandbox", daemon=True)
        thread.start()
        self._running = _Running(loop, thread, close)

    def stop(self) -> None:
        """Close the port and every connection. Doing it twice is fine; `start` opens the same port again."""
        if self._running is None:
            return
        loop, thread, close = self._running
        self._running = None
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(close())
        loop.run_until_complete(_abandon(asyncio.all_tasks(loop)))
        loop.close()

    def counts(self) -> dict[str, dict[str, Any]]:
        """Every vendor's counters, as GET /_sandbox/counts gives them."""
        return self._ask(self._vendors.counts)

    def received(self, vendor: str) -> list[dict[str, Any]]:
        """The items this vendor took in, in order of arrival; raises RuntimeError with `keep=False`."""
        self._must_keep()
        return self._ask(lambda: list(self._vendors.books[vendor].received))

    def requests(self, vendor: str) -> list[dict[str, Any]]:
        """This vendor's requests (no knocks, no lookups), in order; raises RuntimeError with `keep=False`."""
        self._must_keep()
        return self._ask(lambda: list(self._vendors.books[vendor].log))

    def fault(self, **one: Any) -> None:
        """Set one more fault. Raises FaultError if it makes no sense."""
        (fault,) = faults_from([one])
        self._ask(lambda: self._vendors.faults.add(fault))

    def faults(self, several: Iterable[dict[str, Any]]) -> None:
        """Set these faults and no others. Raises FaultError if one makes no sense."""
        checked = faults_from(list(several))
        self._ask(lambda: self._vendors.faults.replace(checked))

    def faults_set(self) -> list[dict[str, Any]]:
        """The faults in force, each with how often it has `matched`."""
        return self._ask(self._vendors.faults.listed)

    def clear_faults(self) -> None:
        """Set no fault."""
        self.faults([])

    def reset(self) -> None:
        """Forget what was received and counted; keep the faults."""
        self._ask(self._vendors.reset)

    def _must_keep(self) -> None:
        if not self._vendors.keep:
            raise RuntimeError("this sandbox keeps counters only")

    def _ask(self, question: Callable[[], T]) -> T:
        """Run in the server's thread while there is one, so that no answer shows half a request."""
        if self._running is None:
            return question()

        async def in_loop() -> T:
            return question()

        return asyncio.run_coroutine_threadsafe(in_loop(), self._running.loop).result(timeout=10)


async def _abandon(tasks: Iterable["asyncio.Task[Any]"]) -> None:
    """End what still thinks about a request that nobody waits for."""
    waiting = [task for task in tasks if task is not asyncio.current_task()]
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
