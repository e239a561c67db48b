"""A server that takes whole requests and answers them byte by byte, as it is told: no web framework lies so well."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from tests.faults.listening import Listening


@dataclass
class Asked:
    """One request: the connection it came on, the how manieth there and in all, its head and body."""

    connection: socket.socket
    nth_there: int
    nth: int
    head: bytes
    body: bytes = field(repr=False)


Answer = Callable[[Asked], bool]
"""Answers a request; False when the connection is to be closed."""

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
NO = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\n{}"


class Liar(Listening):
    """``with Liar(answer) as liar``: listens at `url` until the block ends; `bodies` are the requests it took.

    A HEAD is answered honestly.
    """

    def __init__(self, answer: Answer, *, greeting: bytes = b"") -> None:
        super().__init__()
        self._answer = answer
        self._greeting = greeting
        self.bodies: list[bytes] = []
        self.heads: list[bytes] = []

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            connection.sendall(self._greeting)
            nth_there, rest = 0, b""
            while asked := _read(connection, rest):
                head, body, rest = asked
                nth_there += 1
                with self._lock:
                    self.heads.append(head)
                    if not head.startswith(b"HEAD "):
                        self.bodies.append(body)
                    nth = len(self.bodies)
                if head.startswith(b"HEAD "):
                    connection.sendall(OK.removesuffix(b"{}"))
                elif not self._answer(Asked(connection, nth_there, nth, head, body)):
                    return


def _read(connection: socket.socket, rest: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Head and body of the next request, and what came after it; None at the end."""
    while b"\r\n\r\n" not in rest:
        if not (some := connection.recv(65536)):
            return None
        rest += some
    head, _, body = rest.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        if not (some := connection.recv(65536)):
            return None
        body += some
    return head, body[:length], body[length:]
