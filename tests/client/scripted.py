"""A daemon that says what a test wrote down, and nothing else."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Client:
    """One connection, as the daemon has it."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._lines = connection.makefile("rb")

    def take(self) -> dict[str, Any]:
        """The next request."""
        request: dict[str, Any] = json.loads(self._lines.readline())
        return request

    def take_end(self) -> None:
        """Wait until the client has gone."""
        assert self._lines.read() == b""

    def answer(self, request: dict[str, Any], result: Any = None) -> None:
        self.say({"jsonrpc": "2.0", "id": request["id"], "result": result})

    def say(self, message: Any) -> None:
        self.send(json.dumps(message).encode() + b"\n")

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)


@contextmanager
def daemon(path: Path, serve: Callable[[Client], None]) -> Iterator[Path]:
    """A socket whose one client is served by a thread, which must have come to its end with the block."""
    failures: list[Exception] = []
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    listener.settimeout(10)

    def run() -> None:
        try:
            connection, _ = listener.accept()
            connection.settimeout(10)
            with connection:
                serve(Client(connection))
        except Exception as error:  # noqa: BLE001 - the test's own thread tells it
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield path
    finally:
        thread.join(10)
        listener.close()
        assert not thread.is_alive()
        assert failures == []
