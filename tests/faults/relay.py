"""A relay before the sandbox that forwards bytes, and sometimes lies: one answer too many, or one that drips."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections import Counter
from contextlib import suppress

from tests.faults.liar import NO, OK

UNASKED, DRIP = "unasked answer", "drip"


class Relay:
    """``with Relay(port, dice) as relay``: forwards to a port of this machine. `share` of the answers is a lie."""

    def __init__(self, port: int, dice: random.Random) -> None:
        self._port, self._dice, self._lock = port, dice, threading.Lock()
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.share = 0.0
        self.struck: Counter[str] = Counter()
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def __enter__(self) -> Relay:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        with suppress(OSError), near, socket.create_connection(("127.0.0.1", self._port)) as far:
            threading.Thread(target=self._forward, args=(near, far), daemon=True).start()
            while some := far.recv(65536):
                self._answer(near, some)

    def _forward(self, near: socket.socket, far: socket.socket) -> None:
        with suppress(OSError):
            while some := near.recv(65536):
                far.sendall(some)
            far.shutdown(socket.SHUT_WR)

    def _answer(self, near: socket.socket, some: bytes) -> None:
        with self._lock:
            lie = self._dice.choice([UNASKED, DRIP]) if self._dice.random() < self.share else ""
            extra = self._dice.choice([OK, NO])
            self.struck += Counter([lie] if lie else [])
        if lie == DRIP:
            for byte in some:
                near.sendall(bytes([byte]))
                time.sleep(0.05)
        else:
            near.sendall(some + extra if lie else some)
