"""A client of a desk's socket, in the desk's own loop."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio

from tests.control.desk import Desk

PATIENCE_S = 20


class Client:
    """Speaks lines."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._rest = bytearray()

    async def send(self, *messages: Any) -> None:
        await self.stream.send_all(b"".join(json.dumps(message).encode() + b"\n" for message in messages))

    async def text(self) -> bytes | None:
        """The next line as it came; None at the end."""
        with trio.fail_after(PATIENCE_S):
            while (end := self._rest.find(b"\n")) < 0:
                data = await self.stream.receive_some()
                if not data:
                    return None
                self._rest += data
        line = bytes(self._rest[:end])
        del self._rest[: end + 1]
        return line

    async def line(self) -> Any:
        """The next line; None at the end."""
        text = await self.text()
        return None if text is None else json.loads(text)

    async def call(self, method: str, **params: Any) -> Any:
        """A result, where nothing else comes in between."""
        await self.send(request(0, method, **params))
        return (await self.line())["result"]


def request(number: Any, method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


@asynccontextmanager
async def connected(desk: Desk) -> AsyncIterator[Client]:
    async with await trio.open_unix_socket(str(desk.config.socket)) as stream:
        yield Client(stream)
