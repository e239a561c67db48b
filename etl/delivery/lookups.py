"""Lookups before a run and connection tests, through `requests`. Nothing here carries a conversion."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, MutableMapping
from concurrent.futures import Future, wait
from contextlib import suppress

import orjson
import requests

from etl import reasons
from etl.delivery.retries import TRANSIENT
from etl.delivery.shutdown import shutting_down
from etl.errors import Interrupted, LookupFailed
from etl.redact import host_of

_INTERRUPTED = "Ended before anything was sent, while a vendor was asked what it knows; the next run sends it."


def fetcher(cache: MutableMapping[str, bytes], user_agent: str) -> Callable[[str, Mapping[str, str]], bytes]:
    """A ``fetch(url, headers)`` for lookups: conditional GET against a cached copy, three attempts, no redirects.

    The copy serves only a 304: what cannot be fetched raises LookupFailed, whatever copy there is.
    """

    def fetch(url: str, headers: Mapping[str, str]) -> bytes:
        name = f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.json"
        copy = _cached(cache, name)
        response = _get(url, {"User-Agent": user_agent, **headers, **_conditions(copy)})
        if response.status_code == 304 and copy:
            return copy["body"].encode()
        if response.status_code != 200:
            raise LookupFailed(f"{host_of(url)} answered {response.status_code}.", reasons.http(response.status_code))
        validators = {key: response.headers[key] for key in ("ETag", "Last-Modified") if key in response.headers}
        body = response.content
        if validators:
            cache[name] = orjson.dumps({"body": body.decode("utf-8", "replace"), **validators})
        return body

    return fetch


def reach(url: str, user_agent: str) -> int:
    """The status of the answer to one HEAD without a conversion. Raises LookupFailed when nothing answers."""
    try:
        return requests.head(url, headers={"User-Agent": user_agent}, timeout=10, allow_redirects=False).status_code
    except requests.RequestException as error:
        raise _unreachable(url, error) from None


def _cached(cache: MutableMapping[str, bytes], name: str) -> dict[str, str]:
    try:
        copy: dict[str, str] = orjson.loads(cache[name])
    except (KeyError, orjson.JSONDecodeError):
        return {}
    return copy


def _conditions(copy: Mapping[str, str]) -> dict[str, str]:
    """The headers that ask for the body only if it is no longer that of the copy."""
    pairs = (("If-None-Match", "ETag"), ("If-Modified-Since", "Last-Modified"))
    return {header: copy[validator] for header, validator in pairs if validator in copy}


def _unreachable(url: str, error: requests.RequestException) -> LookupFailed:
    sentence = f"{host_of(url)} does not answer ({type(error).__name__})."
    return LookupFailed(sentence, reasons.UNREACHABLE.code)


def _get(url: str, headers: Mapping[str, str], attempts: int = 3, first_wait_s: float = 0.5) -> requests.Response:
    """The answer, after retries. Raises LookupFailed when nothing answers, Interrupted when the process is to end."""
    for attempt in range(1, attempts):
        with suppress(requests.RequestException):
            response = _get_once(url, headers)
            if response.status_code not in TRANSIENT:
                return response
        if shutting_down.wait(first_wait_s * 2 ** (attempt - 1)):
            raise Interrupted(_INTERRUPTED)
    try:
        return _get_once(url, headers)
    except requests.RequestException as error:
        raise _unreachable(url, error) from None


def _get_once(url: str, headers: Mapping[str, str]) -> requests.Response:
    """One GET. Raises Interrupted as soon as the process is asked to end; the thread that waits is left behind."""
    answer: Future[requests.Response] = Future()

    def get() -> None:
        try:
            answer.set_result(requests.get(url, headers=dict(headers), timeout=10, allow_redirects=False))
        except BaseException as error:  # noqa: BLE001 (it is raised again where the answer is waited for)
            answer.set_exception(error)

    threading.Thread(target=get, daemon=True).start()
    while not answer.done() and not shutting_down.is_set():
        wait([answer], timeout=0.1)
    if not answer.done():
        raise Interrupted(_INTERRUPTED)
    return answer.result()
