"""A bucket on localhost (moto's S3) that answers 503 SlowDown for as long as it is told to, as S3 does under load."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from types import TracebackType
from typing import Any

import fsspec
from moto.server import create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

BUSY = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n'
    b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)
FOR_EVER = 1_000_000


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 (the name is the base's)
        return


class BusyBucket:
    """Reads (GET and HEAD) of what ``within`` names are refused, ``times`` of them after ``skip`` that are answered."""

    def __init__(self) -> None:
        self._s3 = create_backend_app("s3")
        self._lock = threading.Lock()
        self._within = ""
        self._skip = self._times = 0
        self.refused = 0
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=_Quiet)
        url = f"http://127.0.0.1:{self._server.server_port}"
        self.storage = {"endpoint_url": url, "key": "k", "secret": "s"}

    def refuse(self, within: str = "", times: int = FOR_EVER, skip: int = 0) -> None:
        """From now on; what was ordered before is forgotten. ``times=0`` is fair weather."""
        with self._lock:
            self._within, self._skip, self._times, self.refused = within, skip, times, 0

    def put(self, path: str, content: bytes) -> None:
        """Write an object; its bucket is made if there is none."""
        fs = fsspec.filesystem("s3", **self.storage)
        fs.makedirs(path.split("/", 1)[0], exist_ok=True)
        fs.pipe(path, content)

    def _answer(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in ("GET", "HEAD") and self._is_busy(environ["PATH_INFO"]):
            start("503 Slow Down", [("Content-Type", "application/xml"), ("Content-Length", str(len(BUSY)))])
            return [] if environ["REQUEST_METHOD"] == "HEAD" else [BUSY]
        passed: Iterable[bytes] = self._s3(environ, start)
        return passed

    def _is_busy(self, path: str) -> bool:
        with self._lock:
            if self._within not in path or not self._times:
                return False
            if self._skip:
                self._skip -= 1
                return False
            self._times -= 1
            self.refused += 1
            return True

    def __enter__(self) -> BusyBucket:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
