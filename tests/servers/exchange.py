"""One HTTP/1.1 message on a byte stream: its head, and the framing of its body (RFC 9112)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

import trio

CHUNK = 256 * 1024  # bytes read at once


@dataclass
class Head:
    """A start line and headers, in order, as bytes."""

    start_line: bytes
    headers: list[tuple[bytes, bytes]]

    def get(self, name: bytes) -> bytes | None:
        return next((value for key, value in self.headers if key.lower() == name), None)

    def set(self, name: bytes, value: bytes | None) -> None:
        self.headers = [(key, old) for key, old in self.headers if key.lower() != name.lower()]
        if value is not None:
            self.headers.append((name, value))

    @property
    def is_framed(self) -> bool:
        """Whether the body ends before the connection does."""
        return self.get(b"content-length") is not None or self.get(b"transfer-encoding") is not None

    def __bytes__(self) -> bytes:
        lines = [self.start_line, *(key + b": " + value for key, value in self.headers)]
        return b"\r\n".join(lines) + b"\r\n\r\n"


def parse_head(text: bytes) -> Head:
    first, *rest = text.split(b"\r\n")
    pairs = [line.partition(b":") for line in rest]
    return Head(first, [(key, value.strip()) for key, _, value in pairs])


class Reader:
    """Reads messages off a stream, keeping what came too early."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._early = b""

    async def head(self) -> Head | None:
        """The next head, or None where the peer closed."""
        while b"\r\n\r\n" not in self._early:
            more = await self._stream.receive_some(CHUNK)
            if not more:
                return None
            self._early += more
        text, _, self._early = self._early.partition(b"\r\n\r\n")
        return parse_head(text)

    async def body(self, head: Head, *, until_closed: bool) -> AsyncGenerator[bytes, None]:
        """The body's bytes as framed (chunk sizes included), each piece as it came."""
        length = head.get(b"content-length")
        if b"chunked" in (head.get(b"transfer-encoding") or b""):
            async with aclosing(self._chunked()) as pieces:
                async for piece in pieces:
                    yield piece
        elif length is not None or not until_closed:
            missing = int(length or 0)
            while missing:
                piece = await self._some(missing)
                missing -= len(piece)
                yield piece
        else:
            while piece := await self._stream.receive_some(CHUNK):
                yield piece

    async def _chunked(self) -> AsyncGenerator[bytes, None]:
        size = -1
        while size:
            line = await self._line()
            yield line
            size = int(line.split(b";")[0], 16)
            missing = size + 2 if size else 0
            while missing:
                piece = await self._some(missing)
                missing -= len(piece)
                yield piece
        while (line := await self._line()) != b"\r\n":
            yield line
        yield line

    async def _line(self) -> bytes:
        while b"\r\n" not in self._early:
            self._early += await self._more()
        line, _, self._early = self._early.partition(b"\r\n")
        return line + b"\r\n"

    async def _some(self, most: int) -> bytes:
        if not self._early:
            return await self._more(most)
        piece, self._early = self._early[:most], self._early[most:]
        return piece

    async def _more(self, most: int = CHUNK) -> bytes:
        piece = await self._stream.receive_some(min(most, CHUNK))
        if not piece:
            raise trio.BrokenResourceError("the peer closed in mid-message")
        return bytes(piece)
