"""A daemon that answers on a real Unix socket with what a test gave it."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

Params = dict[str, Any]


class Refusal(Exception):
    """An error answer."""

    def __init__(self, code: int, message: str, **data: Any) -> None:
        super().__init__(code, message)
        self.answer = {"code": code, "message": message, "data": data}


class Hangup(Exception):
    """The daemon ends the connection instead of an answer."""


Handler = Callable[[Params], Any]


class FakeDaemon:
    """Serves while the `with` block runs.

    methods: what each method answers. before, after: notifications sent right before or after a method's
    answer, as (method, params). ends_after: methods whose answer is the connection's last.
    """

    def __init__(self, socket: Path, mountpoint: Path, name: str = "fake") -> None:
        self.socket = socket
        self.calls: list[tuple[str, Params]] = []
        self.methods: dict[str, Handler] = {"Mount.status": lambda _: self.status}
        self.before: dict[str, list[tuple[str, Params]]] = {}
        self.after: dict[str, list[tuple[str, Params]]] = {}
        self.ends_after: set[str] = set()
        idle: dict[str, Any] = {"state": "COMPLETED", "error": "NO_ERROR", "last_sync_time": 0, "held": False}
        self.status: dict[str, Any] = {
            "name": name,
            "path": str(mountpoint),
            "socket": str(socket),
            "pid": 4711,
            "cloud": {"type": "webdav", "url": "https://dav.example/", "state": "ready"},
            "sync": {
                scope: {**idle, "held_deletes": {"here": 0, "cloud": 0}} for scope in ("files", "gallery")
            },
            "pending": 0,
            "held_deletes": 0,
            "transfers": [],
            "cache": {"used": 0, "size": 1024**3, "files": 0},
            "simulated": None,
        }
        socket.parent.mkdir(parents=True, exist_ok=True)
        self._server = _Server(str(socket), self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def asked(self, *methods: str) -> list[tuple[str, Params]]:
        """The calls but Mount.status (or those of `methods` alone), in order."""
        return [call for call in self.calls if (call[0] in methods if methods else call[0] != "Mount.status")]

    def __enter__(self) -> FakeDaemon:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self.socket.unlink()


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, path: str, daemon: FakeDaemon) -> None:
        super().__init__(path, _Connection)
        self.daemon = daemon


class _Connection(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        with suppress(ConnectionError):  # the verb has left
            self._answer_all()

    def _answer_all(self) -> None:
        daemon = self.server.daemon
        for line in self.rfile:
            request = json.loads(line)
            method, params = request["method"], request["params"]
            daemon.calls.append((method, params))
            for notification in daemon.before.get(method, []):
                self._notify(*notification)
            try:
                answer = {"result": daemon.methods[method](params)}
            except Refusal as refusal:
                answer = {"error": refusal.answer}
            except Hangup:
                return
            except KeyError:
                answer = {"error": {"code": -32601, "message": "Method not found"}}
            self._send({"jsonrpc": "2.0", "id": request["id"], **answer})
            for notification in daemon.after.get(method, []):
                self._notify(*notification)
            if method in daemon.ends_after:
                return

    def _notify(self, method: str, params: Params) -> None:
        self._send({"jsonrpc": "2.0", "method": method, "params": params})

    def _send(self, message: Params) -> None:
        self.wfile.write(json.dumps(message).encode() + b"\n")
