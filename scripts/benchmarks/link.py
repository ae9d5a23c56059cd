"""A link with a round trip time and a rate for each connection, in front of a server on this machine.

Linux has this as `tc netem` and `fq`, but not every kernel carries them, and they need root. So it is a TCP
proxy, built to take next to no processor time from what is measured (a fifth of a core at 350 MB/s):

- Bytes towards the client are spliced and never enter this program; the kernel itself paces the client's
  socket (`SO_MAX_PACING_RATE`, socket(7) and tcp(7): TCP paces without `fq` since Linux 4.13).
- The whole round trip is spent on the way to the server, where bytes are few. A client cannot tell: it sees
  its answer begin one round trip after its request.
- The handshake of a new connection costs one round trip more, as on a real wire.
"""

from __future__ import annotations

import collections
import contextlib
import heapq
import multiprocessing
import os
import select
import socket
import time
from collections.abc import Iterator
from ctypes import Array, c_uint64
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe
from multiprocessing.sharedctypes import RawArray

SO_MAX_PACING_RATE = 47  # asm-generic/socket.h; the socket module does not name it
SEGMENT_BYTES = 1448  # TCP leaves the first ten segments unpaced: 14 KiB on this, 640 KiB on loopback's own
SEND_BUFFER_BYTES = 256 * 1024  # about what is on its way at 20 ms and 25 MB/s
SPLICE_BYTES = 1 << 20
REQUEST_BYTES = 64 * 1024
QUEUE_BYTES = 1 << 20
SENT_TO_CLIENT, SENT_TO_SERVER, CONNECTIONS = range(3)


@dataclass(frozen=True, slots=True)
class Counters:
    """What went over the link so far, in bytes, and how many connections were opened."""

    to_client: int
    to_server: int
    connections: int


class Link:
    """A running link. It ends with the `with` block, and with this process whatever happens.

    `round_trip_s` is in seconds, `rate` in bytes a second for each connection and direction.
    """

    def __init__(self, server_port: int, *, round_trip_s: float, rate: int) -> None:
        self.round_trip_s = round_trip_s
        self.rate = rate
        self._counters = RawArray(c_uint64, 3)
        context = multiprocessing.get_context("spawn")
        self._ready, theirs = context.Pipe(duplex=False)
        self._process = context.Process(
            target=_serve, args=(server_port, round_trip_s, rate, self._counters, theirs), daemon=True
        )
        self.port = 0

    def __enter__(self) -> Link:
        self._process.start()
        if not self._ready.poll(20):
            self._process.kill()
            raise TimeoutError("the link did not start")
        self.port = self._ready.recv()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()

    def url_for(self, path: str) -> str:
        """The URL of an absolute, percent-encoded `path` of the server, through the link."""
        return f"http://127.0.0.1:{self.port}{path}"

    def counters(self) -> Counters:
        """The totals at this moment."""
        return Counters(*self._counters)


@dataclass(slots=True, eq=False)
class _Connection:
    client: socket.socket
    server: socket.socket
    pipe_out: int
    pipe_in: int
    accepted_s: float
    in_pipe: int = 0
    wire_free_s: float = 0.0
    delayed: collections.deque[tuple[float, bytes]] = field(default_factory=collections.deque)
    delayed_bytes: int = 0
    is_closed: bool = False

    def close(self) -> None:
        self.is_closed = True
        self.client.close()
        self.server.close()
        os.close(self.pipe_out)
        os.close(self.pipe_in)


def _serve(server_port: int, round_trip_s: float, rate: int, counters: Array[c_uint64], ready: Pipe) -> None:
    listener = socket.socket()
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT_BYTES)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    # bbr, the default of some machines, stops for 200 ms every ten seconds to measure the way.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
    listener.bind(("127.0.0.1", 0))
    listener.listen(256)
    listener.setblocking(False)
    ready.send(listener.getsockname()[1])
    with contextlib.suppress(KeyboardInterrupt):
        _Proxy(listener, server_port, round_trip_s, rate, counters).run()


class _Proxy:
    """One thread, one epoll set; edge-triggered, so each event moves all that can be moved."""

    def __init__(
        self,
        listener: socket.socket,
        server_port: int,
        round_trip_s: float,
        rate: int,
        counters: Array[c_uint64],
    ) -> None:
        self._listener = listener
        self._server = ("127.0.0.1", server_port)
        self._round_trip_s = round_trip_s
        self._rate = rate
        self._counters = counters
        self._epoll = select.epoll()
        self._by_fd: dict[int, _Connection] = {}
        self._due: list[tuple[float, int, _Connection]] = []
        self._sequence = 0

    def run(self) -> None:
        self._epoll.register(self._listener, select.EPOLLIN)
        while True:
            timeout = max(0.0, self._due[0][0] - time.monotonic()) if self._due else None
            # select on the epoll set itself: its timeout has microseconds, epoll_wait's has milliseconds.
            select.select([self._epoll], [], [], timeout)
            for fd, _ in self._epoll.poll(0):
                if fd == self._listener.fileno():
                    self._accept()
                elif (connection := self._by_fd.get(fd)) is not None:
                    self._move(connection)
            for connection in self._take_due():
                self._guarded_forward(connection)

    def _take_due(self) -> Iterator[_Connection]:
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            connection = heapq.heappop(self._due)[2]
            if not connection.is_closed:
                yield connection

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        server = socket.create_connection(self._server)
        for end in (client, server):
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, self._rate)
        pipe_out, pipe_in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        connection = _Connection(client, server, pipe_out, pipe_in, time.monotonic())
        self._counters[CONNECTIONS] += 1
        for end in (client, server):
            self._by_fd[end.fileno()] = connection
            self._epoll.register(end, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)

    def _drop(self, connection: _Connection) -> None:
        for end in (connection.client, connection.server):
            del self._by_fd[end.fileno()]
        connection.close()

    def _move(self, connection: _Connection) -> None:
        try:
            is_open = self._take_requests(connection) and self._pass_answers(connection)
            if is_open:
                self._forward(connection)
        except ConnectionError:
            is_open = False
        if not is_open:
            self._drop(connection)

    def _guarded_forward(self, connection: _Connection) -> None:
        try:
            self._forward(connection)
            is_open = self._take_requests(connection)
        except ConnectionError:
            is_open = False
        if not is_open:
            self._drop(connection)

    def _take_requests(self, connection: _Connection) -> bool:
        """Read what the client sent and note when it reaches the server; False when the client has gone."""
        while connection.delayed_bytes < QUEUE_BYTES:
            try:
                data = connection.client.recv(REQUEST_BYTES)
            except BlockingIOError:
                return True
            if not data:
                return False
            sent_s = max(time.monotonic(), connection.accepted_s + self._round_trip_s)
            connection.wire_free_s = max(sent_s, connection.wire_free_s) + len(data) / self._rate
            due_s = connection.wire_free_s + self._round_trip_s
            connection.delayed.append((due_s, data))
            connection.delayed_bytes += len(data)
            self._sequence += 1
            heapq.heappush(self._due, (due_s, self._sequence, connection))
        return True

    def _forward(self, connection: _Connection) -> None:
        """Send the server what has been on its way long enough."""
        now = time.monotonic()
        while connection.delayed and connection.delayed[0][0] <= now:
            due_s, data = connection.delayed.popleft()
            try:
                sent = connection.server.send(data)
            except BlockingIOError:
                sent = 0
            connection.delayed_bytes -= sent
            self._counters[SENT_TO_SERVER] += sent
            if sent < len(data):
                connection.delayed.appendleft((due_s, data[sent:]))
                return

    def _pass_answers(self, connection: _Connection) -> bool:
        """Splice from the server to the client until one of them blocks; False when the server has closed."""
        while True:
            try:
                if not connection.in_pipe:
                    taken = os.splice(
                        connection.server.fileno(),
                        connection.pipe_in,
                        SPLICE_BYTES,
                        flags=os.SPLICE_F_NONBLOCK,
                    )
                    if not taken:
                        return False
                    connection.in_pipe = taken
                sent = os.splice(
                    connection.pipe_out,
                    connection.client.fileno(),
                    connection.in_pipe,
                    flags=os.SPLICE_F_NONBLOCK,
                )
            except BlockingIOError:
                return True
            connection.in_pipe -= sent
            self._counters[SENT_TO_CLIENT] += sent
