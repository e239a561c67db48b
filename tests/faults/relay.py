"""A relay before the sandbox that forwards bytes, and sometimes lies: one answer too many, or one that drips."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections import Counter
from contextlib import suppress

from tests.faults.liar import NO, OK
from tests.faults.listening import Listening

UNASKED, DRIP = "unasked answer", "drip"


class Relay(Listening):
    """``with Relay(port, dice) as relay``: forwards to a port of this machine. `share` of the answers is a lie."""

    def __init__(self, port: int, dice: random.Random) -> None:
        super().__init__()
        self._port, self._dice = port, dice
        self.share = 0.0
        self.struck: Counter[str] = Counter()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection, socket.create_connection(("127.0.0.1", self._port)) as far:
            threading.Thread(target=self._forward, args=(connection, far), daemon=True).start()
            while some := far.recv(65536):
                self._answer(connection, some)

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
