"""What a server can do to those who believe that an answer belongs to the request before it, or that it ends."""

from __future__ import annotations

import gzip
import time
from pathlib import Path

import pytest

from etl.destinations import base
from tests.conftest import House, order
from tests.faults.liar import NO, OK, Asked, Liar

PATHS = {
    "converge": "/events",
    "convert": "/v1",
    "kameleoon": "/visit/events",
    "optimizely": "/v1/events",
    "webflow_optimize": "/import",
}
RETRY = {"attempts": 2, "first_wait_s": 0.005, "longest_wait_s": 0.02, "total_s": 2, "timeout_s": 0.5}


def deliver(house: House, liar: Liar, vendor: str, rows: int, **retry: float) -> dict[str, int]:
    """The statuses after a run of so many rows."""
    house.to = [vendor]
    house.overrides = {vendor: {"endpoint": f"{liar.url}{PATHS[vendor]}", "retry": RETRY | retry}}
    house.write([order(number) for number in range(rows)])
    return dict(house.run().by_status(vendor))


def answered(asked: Asked) -> bool:
    """As an honest server answers."""
    asked.connection.sendall(OK)
    return True


@pytest.mark.parametrize("extra", [OK, NO], ids=["200", "400"])
@pytest.mark.parametrize("vendor", ["converge", "webflow_optimize", "kameleoon", "convert"])
def test_an_answer_that_nobody_asked_for_is_no_answer(house: House, vendor: str, extra: bytes) -> None:
    """After every third request one more answer, at once or a moment later."""

    def lie(asked: Asked) -> bool:
        asked.connection.sendall(OK)
        if asked.nth % 3 == 0:
            time.sleep(0.001 * (asked.nth % 2))  # in the same segment, or in one of its own
            asked.connection.sendall(extra)
        return True

    with Liar(lie) as liar:
        statuses = deliver(house, liar, vendor, 60)
        bodies = b"\n".join(liar.bodies)
    assert statuses == {"delivered": 60}
    assert all(f"order-{number}".encode() in bodies or f"ORD-{number}".encode() in bodies for number in range(60))


@pytest.mark.parametrize("vendor", ["converge", "convert", "kameleoon"])
def test_a_kept_connection_that_closes_as_it_is_used_again_makes_no_row_doubtful(house: House, vendor: str) -> None:
    def hang_up(asked: Asked) -> bool:
        asked.connection.sendall(OK)
        return asked.nth_there == 1 and asked.nth % 2 == 0  # sooner or later, without a word

    with Liar(hang_up) as liar:
        assert deliver(house, liar, vendor, 60) == {"delivered": 60}


@pytest.mark.parametrize("vendor", ["convert", "kameleoon", "optimizely"])
def test_what_takes_many_or_counts_repeats_gets_a_connection_of_its_own(house: House, vendor: str) -> None:
    with Liar(answered) as liar:
        deliver(house, liar, vendor, 40)
        assert liar.connections == len(liar.heads)


def test_an_answer_that_drips_ends_in_time(house: House) -> None:
    def drip(asked: Asked) -> bool:
        for byte in OK * 100:
            asked.connection.sendall(bytes([byte]))
            time.sleep(0.2)
        return False

    with Liar(drip) as liar:
        began = time.monotonic()
        statuses = deliver(house, liar, "convert", 10, total_s=1, attempts=2)
        assert time.monotonic() - began < 8
    assert statuses == {"unknown": 10}


def test_endless_interim_answers_end_in_time(house: House) -> None:
    def go_on(asked: Asked) -> bool:
        while True:
            asked.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            time.sleep(0.05)

    with Liar(go_on) as liar:
        began = time.monotonic()
        statuses = deliver(house, liar, "convert", 10, total_s=1, attempts=2)
        assert time.monotonic() - began < 8
    assert statuses == {"unknown": 10}


@pytest.mark.parametrize("vendor", ["kameleoon", "converge", "convert"])
def test_nothing_is_read_from_a_netrc(
    house: House, vendor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password hush-hush\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with Liar(answered) as liar:
        assert deliver(house, liar, vendor, 20) == {"delivered": 20}
        assert not any(b"Basic" in head for head in liar.heads)


def test_no_cookie_is_kept(house: House) -> None:
    def bake(asked: Asked) -> bool:
        asked.connection.sendall(OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: who=you\r\n\r\n", 1))
        return True

    with Liar(bake) as liar:
        deliver(house, liar, "converge", 20)
        assert not any(b"who=you" in head for head in liar.heads)


def test_a_proxy_of_the_environment_is_used(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    with Liar(answered) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        house.to = ["converge"]
        house.overrides = {"converge": {"endpoint": "http://nowhere.invalid/events", "retry": RETRY}}
        house.write([order(1)])
        assert house.run().by_status("converge") == {"delivered": 1}
        assert any(head.startswith(b"POST http://nowhere.invalid/events ") for head in proxy.heads)


def test_an_error_of_our_own_makes_nothing_doubtful(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second request cannot even be written."""
    real = base.Destination.post

    def broken(self: base.Destination, body: bytes, *given: object, **more: object) -> object:
        if b"order-15" in body:
            raise ZeroDivisionError
        return real(self, body, *given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(base.Destination, "post", broken)
    house.to = ["kameleoon"]
    house.overrides = {"kameleoon": {"limits": {"items": 10, "connections": 1}}}
    house.write([order(number) for number in range(40)])
    with pytest.raises(ZeroDivisionError):
        house.run()
    statuses = [(row["status"], row["reason"]) for row in house.results()]
    assert sorted(set(statuses)) == [("delivered", ""), ("failed", "own_error")]
    assert statuses.count(("delivered", "")) == house.sandbox.counts()["kameleoon"]["counted"] == 30


def test_an_error_before_the_first_request_makes_nothing_doubtful(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even the request that is knocked with can be written."""
    real = base.Destination.post

    def broken(self: base.Destination, body: bytes, *given: object, **more: object) -> object:
        if b"order-0" in body:
            raise ZeroDivisionError
        return real(self, body, *given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(base.Destination, "post", broken)
    house.to = ["kameleoon"]
    house.write([order(number) for number in range(20)])
    with pytest.raises(ZeroDivisionError):
        house.run()
    assert {(row["status"], row["reason"]) for row in house.results()} == {("failed", "own_error")}
    assert house.sandbox.counts()["kameleoon"]["requests"] == 0


# -- lookups


def look_up(house: House, liar: Liar) -> tuple[float, str]:
    """Seconds and the sentence with which Optimizely stops; Converge is to be delivered all the same."""
    house.to = ["optimizely", "converge"]
    house.overrides = {"optimizely": {"datafile_url": f"{liar.url}/datafile.json"}}
    house.write([order(1)])
    began = time.monotonic()
    report = house.run()
    assert report.by_status("converge") == {"delivered": 1}
    assert report.by_status("optimizely") == {"failed": 1}
    return time.monotonic() - began, report.stops["optimizely"].detail


def test_a_lookup_that_drips_stops_its_own_destination_in_time(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("etl.delivery.lookups.LONGEST_S", 2.0)

    def drip(asked: Asked) -> bool:
        asked.connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            asked.connection.sendall(b"{")
            time.sleep(0.1)

    with Liar(drip) as liar:
        seconds, sentence = look_up(house, liar)
    assert seconds < 8
    assert "does not answer" in sentence


def test_a_lookup_is_read_as_far_as_it_may_be(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("etl.delivery.lookups.MOST_BYTES", 2_000_000)
    bomb = gzip.compress(b"[" * 50_000_000)

    def burst(asked: Asked) -> bool:
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n"
        asked.connection.sendall(head.encode() + bomb)
        return True

    with Liar(burst) as liar:
        _, sentence = look_up(house, liar)
    assert "sent more than 2 MB" in sentence


def test_a_lookup_waits_as_long_as_it_is_asked_to(house: House) -> None:
    def later(asked: Asked) -> bool:
        asked.connection.sendall(b"HTTP/1.1 429 Slow\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n")
        return True

    with Liar(later) as liar:
        seconds, sentence = look_up(house, liar)
        assert len(liar.bodies) <= 2
        assert len(liar.heads) == 1, "who asks for an hour is not asked again at once"
    assert seconds < 8
    assert "429" in sentence
