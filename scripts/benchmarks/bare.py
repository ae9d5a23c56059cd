"""What the link carries to a program that does nothing else: raw sockets, no parsing beyond a length.

The figures of the mounts are held against these, measured in the same run through the same link.
"""

from __future__ import annotations

import selectors
import socket
import statistics
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

RANGE_BYTES = 4 << 20  # beats 1 MiB over 16 connections, and larger ones leave some idle at the end


def _request(url: str, start: int, stop: int) -> bytes:
    parts = urlsplit(url)
    return (
        f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nRange: bytes={start}-{stop - 1}\r\n\r\n"
    ).encode()


def _connect(url: str) -> socket.socket:
    parts = urlsplit(url)
    connection = socket.create_connection((parts.hostname, parts.port or 80), timeout=30)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _body_already_read(connection: socket.socket, buffer: memoryview) -> tuple[int, int]:
    """Read an answer's head; return (length of the body, bytes of it that came along)."""
    head = b""
    while b"\r\n\r\n" not in head:
        count = connection.recv_into(buffer)
        if not count:
            raise ConnectionError("the server closed the connection")
        head += bytes(buffer[:count])
    head, _, body = head.partition(b"\r\n\r\n")
    status, *fields = head.split(b"\r\n")
    if status.split()[1] != b"206":
        raise ValueError(f"not an answer to a range: {status!r}")
    for line in fields:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value), len(body)
    raise ValueError("an answer without Content-Length")


def round_trip_s(url: str, *, requests: int = 15) -> float:
    """Median seconds from a request of one byte to its answer, on one warm connection."""
    buffer = memoryview(bytearray(1 << 16))
    times = []
    with _connect(url) as connection:
        for _ in range(requests + 1):
            begin = time.perf_counter()
            connection.sendall(_request(url, 0, 1))
            length, got = _body_already_read(connection, buffer)
            while got < length:
                got += connection.recv_into(buffer)
            times.append(time.perf_counter() - begin)
    return statistics.median(times[1:])


def throughput(url: str, size: int, *, connections: int = 16) -> float:
    """Bytes a second over `connections` warm ones that share out the ranges of a file of `size` bytes."""
    ranges = ((start, min(start + RANGE_BYTES, size)) for start in range(0, size, RANGE_BYTES))
    buffer = memoryview(bytearray(1 << 20))
    pool = [_connect(url) for _ in range(connections)]
    try:
        for connection in pool:
            connection.sendall(_request(url, 0, 1))
        for connection in pool:
            _body_already_read(connection, buffer)
        begin = time.perf_counter()
        _share_out(url, ranges, pool, buffer)
        return size / (time.perf_counter() - begin)
    finally:
        for connection in pool:
            connection.close()


def _share_out(
    url: str, ranges: Iterator[tuple[int, int]], pool: list[socket.socket], buffer: memoryview
) -> None:
    left: dict[socket.socket, int] = {}
    with selectors.DefaultSelector() as selector:
        for connection in pool:
            selector.register(connection, selectors.EVENT_READ, connection)
            _ask_next(url, ranges, connection)
        while selector.get_map():
            for key, _ in selector.select(30):
                connection = key.data
                if connection not in left:
                    length, got = _body_already_read(connection, buffer)
                    left[connection] = length - got
                else:
                    left[connection] -= connection.recv_into(buffer)
                if not left[connection]:
                    del left[connection]
                    if not _ask_next(url, ranges, connection):
                        selector.unregister(connection)


def _ask_next(url: str, ranges: Iterator[tuple[int, int]], connection: socket.socket) -> bool:
    span = next(ranges, None)
    if span is not None:
        connection.sendall(_request(url, *span))
    return span is not None
