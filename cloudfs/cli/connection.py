"""A blocking client of the control socket (INTERFACE section 7), by the standard library alone.

Not the Python client of the API: that one is async and typed, and imports what verbs cannot wait for.
"""

from __future__ import annotations

import json
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from cloudfs.cli.failures import Exit, Failure, TargetFailure, exit_of_answer

_METHOD_NOT_FOUND = -32601
_ROWS = "Mount.rows"  # what goes before an answer that is too long for a line


class CallFailed(TargetFailure):
    """The daemon answered with an error. rows: those that it sent before."""

    def __init__(
        self, method: str, code: int, message: str, data: dict[str, Any], rows: Sequence[Any] = ()
    ) -> None:
        if code == _METHOD_NOT_FOUND:
            text = f"the running daemon does not know {method}; mount again with this version of cloudfs"
        else:
            text = f"{message.rstrip('.')} ({code})"
            reason = data.get("reason")
            text += f": {reason}" if reason else ""
        super().__init__(text, exit_of_answer(code, data))
        self.code = code
        self.data = data
        self.rows = rows


@dataclass(frozen=True, slots=True)
class Notification:
    """What the daemon says unasked: an event of a subscription."""

    method: str
    params: dict[str, Any]


class Connection:
    """One connection to one mount's daemon. Not for threads.

    Notifications that arrive while an answer is awaited are kept, in order, for `notifications`.
    """

    def __init__(self, path: Path) -> None:
        """Connects. OSError where nobody listens there."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise
        self._lines = self._socket.makefile("rb")
        self._kept: deque[Notification] = deque()
        self._last_id = 0

    def set_patience(self, seconds: float | None) -> None:
        """How long an answer may take before the daemon counts as gone; None: for ever."""
        self._socket.settimeout(seconds)

    def call(self, method: str, **params: Any) -> Any:
        """The method's result, whole where it came in parts. CallFailed where it is an error; Failure where
        the daemon went away."""
        return self._ask(method, params, self._keep)

    def follow(self, method: str, show: Callable[[Notification], None], **params: Any) -> Any:
        """`call`, with what the daemon says before its answer given to `show` as it comes."""
        return self._ask(method, params, show)

    def _ask(self, method: str, params: dict[str, Any], take: Callable[[Notification], None]) -> Any:
        self._last_id += 1
        request = {"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": params}
        try:
            self._socket.sendall(json.dumps(request).encode() + b"\n")
        except OSError as error:
            raise lost() from error
        rows: list[Any] = []
        while True:
            message = self._receive()
            if message is None:
                raise lost()
            if message.get("method") == _ROWS:
                rows += message["params"]["rows"]
            elif message.get("id") != self._last_id:
                if "method" in message:
                    take(_notification(message))
            elif "error" in message:
                answer = message["error"]
                raise CallFailed(method, answer["code"], answer["message"], answer.get("data") or {}, rows)
            else:
                return [*rows, *message["result"]] if rows else message["result"]

    def notifications(self) -> Iterator[Notification]:
        """What the daemon says unasked, until it ends the connection."""
        while True:
            while self._kept:
                yield self._kept.popleft()
            message = self._receive()
            if message is None:
                return
            if "method" in message:
                self._keep(_notification(message))

    def take_kept(self) -> list[Notification]:
        """The notifications that came before the last answer, removed from what `notifications` yields."""
        kept = list(self._kept)
        self._kept.clear()
        return kept

    def close(self) -> None:
        self._lines.close()
        self._socket.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _receive(self) -> dict[str, Any] | None:
        try:
            line = self._lines.readline()
        except TimeoutError as error:
            raise Failure("the daemon does not answer; its log may say why", Exit.NO_DAEMON) from error
        except OSError as error:
            raise lost() from error
        if not line.endswith(b"\n"):
            return None
        message: dict[str, Any] = json.loads(line)
        return message

    def _keep(self, notification: Notification) -> None:
        self._kept.append(notification)


def _notification(message: dict[str, Any]) -> Notification:
    return Notification(message["method"], message.get("params") or {})


def lost() -> Failure:
    return Failure("the daemon ended the connection; is it still mounted? (cloudfs status)", Exit.NO_DAEMON)
