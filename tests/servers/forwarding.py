"""One client connection of the proxy: exchanges passed on, delayed, counted and spoilt as told."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass, field

import trio

from tests.servers.exchange import Head, Reader
from tests.servers.faults import (
    Answer,
    AppendBody,
    ChangeHeaders,
    Close,
    CutBody,
    CutRequest,
    DropRange,
    Fault,
    Faults,
    Hang,
    HangBody,
    HoldAnswer,
    IgnoreConditions,
    LoseAnswer,
    SeenRequest,
)


@dataclass
class Counters:
    """Since the start. `open` connections are those of now; bytes are of heads and bodies."""

    connections: int = 0
    open: int = 0
    requests: int = 0
    bytes_up: int = 0
    bytes_down: int = 0


@dataclass
class Conditions:
    """What all connections of a proxy share; changed at any time.

    rtt_s: seconds of a round trip, paid by a new connection and by every exchange.
    bandwidth: bytes a second of each connection's answers, None for no limit.
    upload_bandwidth: the same of each connection's requests.
    hung: requests are taken and never answered.
    """

    rtt_s: float = 0.0
    bandwidth: float | None = None
    upload_bandwidth: float | None = None
    hung: bool = False
    faults: Faults = field(default_factory=Faults)
    counters: Counters = field(default_factory=Counters)
    seen: list[SeenRequest] = field(default_factory=list)


class _ServerClosed(Exception):
    """The server takes no more; its answer may be there all the same."""


class Forwarding:
    """Passes exchanges between a client and the server behind until either closes."""

    def __init__(
        self,
        conditions: Conditions,
        client: trio.SocketStream,
        server: trio.SocketStream,
        authorities: tuple[bytes, bytes],
    ) -> None:
        """authorities: the host:port that clients speak to, and the server's."""
        self._conditions = conditions
        self._client = client
        self._server = server
        self._requests = Reader(client)
        self._answers = Reader(server)
        self._outer, self._inner = authorities
        self._due = 0.0  # when the bandwidth lets the next byte go
        self._due_up = 0.0

    async def run(self) -> None:
        """Returns at an orderly end; raises trio.BrokenResourceError where a side broke off."""
        while (head := await self._requests.head()) is not None:
            seen = _seen(head)
            self._conditions.seen.append(seen)
            self._conditions.counters.requests += 1
            fault = self._conditions.faults.take(seen)
            if self._conditions.hung or isinstance(fault, Hang):
                await trio.sleep_forever()
            if isinstance(fault, Close):
                return
            body = self._requests.body(head, until_closed=False)
            await trio.sleep(self._conditions.rtt_s / 2)
            if isinstance(fault, Answer):
                await self._answer_ourselves(fault, seen.method, body)
                continue
            await self._forward(head, body, fault)
            if isinstance(fault, CutRequest) or not await self._pass_answer(seen.method, fault):
                return

    async def _answer_ourselves(self, answer: Answer, method: str, body: AsyncGenerator[bytes, None]) -> None:
        async with aclosing(body):
            async for piece in body:
                self._conditions.counters.bytes_up += len(piece)
        head = Head(b"HTTP/1.1 %d Told" % answer.status, [])
        for name, value in answer.headers.items():
            head.set(name.encode(), value.encode())
        if head.get(b"content-length") is None and answer.status not in (204, 304):
            head.set(b"Content-Length", b"%d" % len(answer.body))
        await trio.sleep(self._conditions.rtt_s / 2)
        await self._send(bytes(head) + (b"" if method == "HEAD" else answer.body))

    async def _forward(self, head: Head, body: AsyncGenerator[bytes, None], fault: Fault | None) -> None:
        if isinstance(fault, DropRange):
            head.set(b"Range", None)
        if isinstance(fault, IgnoreConditions):
            head.set(b"If-Match", None)
            head.set(b"If-None-Match", None)
        if head.get(b"expect") is not None:
            head.set(b"Expect", None)
            await self._client.send_all(b"HTTP/1.1 100 Continue\r\n\r\n")
        # Host, Destination and If name the proxy; the server must see its own name there.
        text = bytes(head).replace(self._outer, self._inner)
        self._conditions.counters.bytes_up += len(text)
        left = fault.after if isinstance(fault, CutRequest) else None
        with suppress(_ServerClosed):  # a server may answer and close before the whole body
            await self._to_server(text)
            async with aclosing(body):
                await self._forward_body(body, left)

    async def _forward_body(self, body: AsyncGenerator[bytes, None], left: int | None) -> None:
        """left: bytes after which it is cut."""
        async for piece in body:
            if self._conditions.upload_bandwidth is not None:
                self._due_up = max(self._due_up, trio.current_time())
                self._due_up += len(piece) / self._conditions.upload_bandwidth
                await trio.sleep_until(self._due_up)
            self._conditions.counters.bytes_up += len(piece)
            await self._to_server(piece if left is None else piece[:left])
            if left is not None:
                left -= len(piece)
                if left <= 0:
                    return

    async def _to_server(self, data: bytes) -> None:
        try:
            await self._server.send_all(data)
        except trio.BrokenResourceError as error:
            raise _ServerClosed from error

    async def _pass_answer(self, method: str, fault: Fault | None) -> bool:
        """Whether the connection can be used again."""
        framing = await self._answers.head()
        if framing is None or isinstance(fault, LoseAnswer):
            return False
        if isinstance(fault, HoldAnswer):
            await trio.sleep_forever()
        await trio.sleep(self._conditions.rtt_s / 2)
        head = _spoilt(framing, fault)
        await self._send(bytes(head).replace(self._inner, self._outer))
        status = int(framing.start_line.split(b" ", 2)[1])
        has_body = method != "HEAD" and status not in (204, 304)
        if has_body:
            await self._pass_body(self._answers.body(framing, until_closed=True), fault)
        if isinstance(fault, AppendBody):
            await self._send(fault.extra)
        if isinstance(fault, ChangeHeaders) or framing.get(b"connection") == b"close":
            return False
        return not has_body or framing.is_framed

    async def _pass_body(self, pieces: AsyncGenerator[bytes, None], fault: Fault | None) -> None:
        left = fault.after if isinstance(fault, CutBody | HangBody) else None
        async with aclosing(pieces):
            async for piece in pieces:
                if left is not None and len(piece) >= left:
                    await self._send(piece[:left])
                    if isinstance(fault, HangBody):
                        await trio.sleep_forever()
                    raise trio.BrokenResourceError("cut as told")
                if left is not None:
                    left -= len(piece)
                await self._send(piece)

    async def _send(self, data: bytes) -> None:
        if self._conditions.bandwidth is not None:
            self._due = max(self._due, trio.current_time()) + len(data) / self._conditions.bandwidth
            await trio.sleep_until(self._due)
        # Before it goes: who has read an answer finds it counted.
        self._conditions.counters.bytes_down += len(data)
        await self._client.send_all(data)


def _seen(head: Head) -> SeenRequest:
    method, target, _ = head.start_line.decode("latin-1").split(" ", 2)
    headers = {key.decode().lower(): value.decode("latin-1") for key, value in head.headers}
    return SeenRequest(method, target, headers)


def _spoilt(framing: Head, fault: Fault | None) -> Head:
    head = Head(framing.start_line, list(framing.headers))
    if isinstance(fault, ChangeHeaders):
        for name, value in fault.headers.items():
            head.set(name.encode(), None if value is None else value.encode())
    if isinstance(fault, AppendBody):
        length = int(head.get(b"content-length") or 0) + len(fault.extra)
        head.set(b"Content-Length", b"%d" % length)
    return head
