"""A real Chromium without a window, for tests that see a page as its reader does. Debian's package."""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.programs import Ended, program

QUIET = [
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
]
ANSWERS_WITHIN_S = 60


@dataclass
class Chromium:
    """One tab. Pages are files; nothing is fetched."""

    orders: int
    answers: int
    log: Path
    session: str = ""
    asked: int = 0
    rest: bytes = b""

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the DevTools protocol, and its answer."""
        self.asked += 1
        order = {"id": self.asked, "method": method, "params": params}
        if self.session:
            order["sessionId"] = self.session
        try:
            os.write(self.orders, json.dumps(order).encode() + b"\0")
        except BrokenPipeError:
            raise Ended("Chromium ended by itself", self.log) from None
        while True:
            message = self._message()
            if message.get("id") == self.asked:
                assert "error" not in message, message["error"]
                return dict(message["result"])

    def show(self, page: Path, width: int, *, dark: bool = False) -> None:
        """Open a file at so many CSS pixels, as a phone or a screen would, and wait until it stands."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=844, deviceScaleFactor=1, mobile=width < 600)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", media="", features=[scheme])
        self.ask("Page.enable")
        self.ask("Page.navigate", url=page.absolute().as_uri())
        while self._message().get("method") != "Page.loadEventFired":
            pass

    def value(self, script: str) -> Any:
        """What an expression comes to in the page."""
        found = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def picture(self) -> bytes:
        """The whole page as PNG."""
        return base64.b64decode(self.ask("Page.captureScreenshot", captureBeyondViewport=True)["data"])

    def _message(self) -> dict[str, Any]:
        parts = [self.rest]
        while b"\0" not in parts[-1]:
            if not select.select([self.answers], [], [], ANSWERS_WITHIN_S)[0]:
                raise Ended(f"Chromium did not answer within {ANSWERS_WITHIN_S} seconds", self.log)
            parts.append(os.read(self.answers, 1 << 20))
            if not parts[-1]:
                raise Ended("Chromium ended by itself", self.log)
        text, _, self.rest = b"".join(parts).partition(b"\0")
        return dict(json.loads(text))


@contextmanager
def chromium() -> Iterator[Chromium]:
    """Runs while the block does. Raises Missing or Ended."""
    browser = program("chromium", "chromium-browser", "google-chrome", of="chromium")
    own = ["--no-sandbox"] if os.getuid() == 0 else []
    theirs_in, orders = os.pipe()
    answers, theirs_out = os.pipe()
    with TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as folder:
        command = [browser, *QUIET, *own, f"--user-data-dir={folder}", "--remote-debugging-pipe", "about:blank"]
        log = Path(folder) / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                ["bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "chromium", *command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                pass_fds=(theirs_in, theirs_out),
                env={**os.environ, "HOME": folder, "XDG_CONFIG_HOME": folder, "XDG_CACHE_HOME": folder},
            )
        os.close(theirs_in)
        os.close(theirs_out)
        try:
            tab = Chromium(orders, answers, log)
            target = tab.ask("Target.createTarget", url="about:blank")["targetId"]
            tab.session = tab.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            yield tab
        finally:
            os.close(orders)
            os.close(answers)
            process.terminate()
            process.wait(30)
