"""Lookups before a run and connection tests, through `requests`. Nothing here carries a conversion.

`requests` is imported by whoever asks: it takes a while to load, and few vendors are asked anything.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Mapping, MutableMapping
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING

import orjson

from etl import reasons
from etl.delivery.proxies import environment_proxy
from etl.delivery.retries import THROTTLED, TRANSIENT, retry_after
from etl.errors import Interrupted, LookupFailed
from etl.model import Response
from etl.redact import host_of
from etl.shutdown import shutting_down

if TYPE_CHECKING:
    import requests

LONGEST_S = 30.0
"""A lookup ends within that, repeats and waits included."""
MOST_BYTES = 64_000_000
"""No more of an answer is read, unpacked."""
ATTEMPTS, FIRST_WAIT_S = 3, 0.5

_VALIDATORS = (("ETag", "etag"), ("Last-Modified", "last-modified"))
_INTERRUPTED = "Ended before anything was sent, while a vendor was asked what it knows; the next run sends it."


def fetcher(cache: MutableMapping[str, bytes], user_agent: str) -> Callable[[str, Mapping[str, str]], bytes]:
    """A ``fetch(url, headers)`` for lookups: conditional GET against a cached copy, three attempts, no redirects.

    It ends within `LONGEST_S` in all. The copy serves only a 304: what cannot be fetched raises LookupFailed, whatever
    copy there is.
    """

    def fetch(url: str, headers: Mapping[str, str]) -> bytes:
        name = f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.json"
        copy = _cached(cache, name)
        answer = _get(url, {"User-Agent": user_agent, **headers, **_conditions(copy)})
        if answer.status == 304 and copy:
            return copy["body"].encode()
        if answer.status != 200:
            raise LookupFailed(f"{host_of(url)} answered {answer.status}.", reasons.http(answer.status))
        validators = {name: answer.headers[key] for name, key in _VALIDATORS if key in answer.headers}
        body = answer.body
        if validators:
            cache[name] = orjson.dumps({"body": body.decode("utf-8", "replace"), **validators})
        return body

    return fetch


def reach(url: str, user_agent: str) -> Response:
    """The answer to one HEAD without a conversion. Raises LookupFailed when nothing answers."""
    import requests

    until = time.monotonic() + LONGEST_S
    try:
        return _ask_once("HEAD", url, {"User-Agent": user_agent}, until)
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


def _get(url: str, headers: Mapping[str, str]) -> Response:
    """The answer, after retries. Raises LookupFailed when nothing answers, Interrupted when the process is to end."""
    import requests

    until = time.monotonic() + LONGEST_S
    for attempt in range(1, ATTEMPTS + 1):
        wait_s, said = FIRST_WAIT_S * 2 ** (attempt - 1), None
        try:
            said = _ask_once("GET", url, headers, until)
        except requests.RequestException as error:
            silence = _unreachable(url, error)
        else:
            if said.status not in {THROTTLED, *TRANSIENT}:
                return said
            wait_s = max(wait_s, retry_after(said) or 0.0)
        if attempt == ATTEMPTS or time.monotonic() + wait_s >= until:
            break
        if shutting_down.wait(wait_s):
            raise Interrupted(_INTERRUPTED)
    if said is None:
        raise silence
    return said


def _ask_once(method: str, url: str, headers: Mapping[str, str], until: float) -> Response:
    """One question, answered before ``until`` (of `time.monotonic`). Raises Interrupted as soon as the process is asked
    to end; the thread that waits is left behind."""
    import requests

    answer: Future[Response] = Future()

    def ask() -> None:
        try:
            answer.set_result(_read(method, url, headers, until))
        except BaseException as error:  # noqa: BLE001 (it is raised again where the answer is waited for)
            answer.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    while not answer.done() and not shutting_down.is_set() and time.monotonic() < until:
        wait([answer], timeout=0.1)
    if answer.done():
        return answer.result()
    if shutting_down.is_set():
        raise Interrupted(_INTERRUPTED)
    raise requests.Timeout


def _read(method: str, url: str, headers: Mapping[str, str], until: float) -> Response:
    """The answer, read as far as it may be; nothing of the environment but proxies and certificates has a say."""
    import requests

    with requests.Session() as session:
        session.trust_env = False  # a netrc would put somebody's password on the request
        proxy = environment_proxy(url)
        given = session.request(
            method,
            url,
            headers=dict(headers),
            timeout=10,
            allow_redirects=False,
            stream=True,
            proxies={"http": proxy, "https": proxy} if proxy else {},
            verify=os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True,
        )
        body = bytearray()
        for some in given.iter_content(1 << 16):
            body += some
            if len(body) > MOST_BYTES:
                raise LookupFailed(
                    f"{host_of(url)} sent more than {MOST_BYTES // 1_000_000} MB, which is no answer to this question.",
                    reasons.LOOKUP_FAILED.code,
                )
            if time.monotonic() >= until:
                raise requests.Timeout
        return Response(given.status_code, {name.lower(): value for name, value in given.headers.items()}, bytes(body))
