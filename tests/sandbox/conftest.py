"""One sandbox per test with its clock standing still, and one good request per vendor."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from etl.sandbox import Sandbox
from tests import vendors

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
AGENT = "conversions/0.1"

Send = Callable[..., requests.Response]


def counted(vendor: str, event_id: str = "e-1") -> dict[str, Any]:
    """A request of this vendor that counts, a second old."""
    return vendors.counted(vendor, event_id, NOW_MS - 1000)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(now=lambda: NOW) as running:
        yield running


@pytest.fixture
def good() -> Callable[..., Any]:
    """A body that the vendor counts, made for one event id."""

    def body(vendor: str, event_id: str = "e-1") -> Any:
        return counted(vendor, event_id)["body"]

    return body


@pytest.fixture
def send(sandbox: Sandbox) -> Send:
    """Post to a vendor with the right credentials; every part can be replaced, a header of None is left out."""

    def post(
        vendor: str,
        body: Any = None,
        *,
        raw: bytes | None = None,
        query: str | None = None,
        headers: dict[str, str | None] | None = None,
        url: str | None = None,
        timeout: float = 5,
    ) -> requests.Response:
        usual = counted(vendor)
        content = {"json": usual["body"] if body is None else body} if raw is None else {"data": raw}
        sent = {"User-Agent": AGENT, **usual["headers"], **(headers or {})}
        address = url or sandbox.endpoint(vendor) + (usual["query"] if query is None else query)
        return requests.post(address, headers=sent, timeout=timeout, allow_redirects=False, **content)

    return post
