"""The link of scripts/bench before a server of raw sockets: bytes arrive whole, and not before their time."""

from __future__ import annotations

import contextlib
import hashlib
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from benchmarks.link import Link

ROUND_TRIP_S = 0.02
RATE = 20_000_000
BODY = random.Random("link").randbytes(4 << 20)


def serve(answer: Callable[[socket.socket], None]) -> tuple[socket.socket, int]:
    """A server that gives each connection to `answer` in a thread of its own, until its socket is closed."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener, listener.getsockname()[1]


def echo_or_send(connection: socket.socket) -> None:
    """`?` is answered by `!`, `b` by the body and an end; `s` by the digest of so many bytes as follow."""
    with connection, contextlib.suppress(ConnectionError):  # a client may leave
        while (order := connection.recv(1)) == b"?":
            connection.sendall(b"!")
        if order == b"b":
            connection.sendall(BODY)
        elif order == b"s":
            received = receive(connection, len(BODY))
            connection.sendall(hashlib.sha256(received).digest())


def receive(connection: socket.socket, size: int) -> bytes:
    """Exactly so many bytes."""
    data = bytearray()
    while len(data) < size:
        part = connection.recv(1 << 20)
        assert part, "the connection ended early"
        data += part
    return bytes(data)


def settles_at(count: Callable[[], int], expected: int) -> bool:
    """Whether it comes to that: the link counts a moment after it has sent."""
    deadline = time.monotonic() + 5
    while count() != expected and time.monotonic() < deadline:
        time.sleep(0.001)
    return count() == expected


@pytest.fixture
def link() -> Iterator[Link]:
    listener, port = serve(echo_or_send)
    with listener, Link(port, round_trip_s=ROUND_TRIP_S, rate=RATE) as running:
        yield running


@pytest.fixture
def connection(link: Link) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", link.port), timeout=30) as connected:
        yield connected


def elapsed_s(connection: socket.socket, order: bytes, size: int) -> float:
    begin = time.monotonic()
    connection.sendall(order)
    receive(connection, size)
    return time.monotonic() - begin


def test_an_answer_takes_a_round_trip(connection: socket.socket) -> None:
    elapsed_s(connection, b"?", 1)
    assert elapsed_s(connection, b"?", 1) >= ROUND_TRIP_S


def test_a_new_connection_takes_one_more(connection: socket.socket) -> None:
    assert elapsed_s(connection, b"?", 1) >= 2 * ROUND_TRIP_S * 0.95  # accepted a moment after it connected


def test_a_body_arrives_whole_and_not_faster_than_the_rate(connection: socket.socket, link: Link) -> None:
    begin = time.monotonic()
    connection.sendall(b"b")
    assert receive(connection, len(BODY)) == BODY
    assert time.monotonic() - begin >= len(BODY) / RATE * 0.9
    assert settles_at(lambda: link.counters().to_client, len(BODY))
    assert connection.recv(1) == b""


def test_what_the_client_sends_arrives_whole_and_not_faster_than_the_rate(
    connection: socket.socket, link: Link
) -> None:
    begin = time.monotonic()
    connection.sendall(b"s" + BODY)
    assert receive(connection, 32) == hashlib.sha256(BODY).digest()
    assert time.monotonic() - begin >= len(BODY) / RATE * 0.9
    assert settles_at(lambda: link.counters().to_server, 1 + len(BODY))


def test_a_client_that_leaves_takes_nobody_with_it(link: Link) -> None:
    with socket.create_connection(("127.0.0.1", link.port), timeout=30) as leaving:
        leaving.sendall(b"b")
        leaving.recv(1)
    with socket.create_connection(("127.0.0.1", link.port), timeout=30) as staying:
        elapsed_s(staying, b"?", 1)
