"""A blocking client of a desk in another thread, for tests that draw what they send."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

PATIENCE_S = 20


class Number(str):
    """A number as it was written: an answer's id must be what was sent, not what it is worth."""


def load(text: bytes | str) -> Any:
    """RFC 8259, strictly. ValueError for anything else."""
    return json.loads(text, parse_int=Number, parse_float=Number, parse_constant=_refuse)


def _refuse(name: str) -> Any:
    raise ValueError(name)


class Speaker:
    """One connection. A call that is known to be answered ends what is sent, so that silence shows too."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE_S)
        self._socket.connect(str(path))
        self._lines = self._socket.makefile("rb")
        self._last = 0

    def say(self, data: bytes) -> list[Any]:
        """Send bytes and a newline; the lines that come back for them, in order. Numbers as written."""
        self._last += 1
        last = {"jsonrpc": "2.0", "id": f"last-{self._last}", "method": "FileSync.getLastSyncTime"}
        self._socket.sendall(data + b"\n" + json.dumps(last).encode() + b"\n")
        answers: list[Any] = []
        while True:
            line = self._lines.readline()
            assert line.endswith(b"\n"), f"the daemon ended the connection after {data[:200]!r}"
            answer = load(line)
            if isinstance(answer, dict) and answer.get("id") == last["id"]:
                assert answer["result"] == "0"
                return answers
            answers.append(answer)

    def call(self, method: str, params: Any) -> Any:
        """The answer to a call."""
        self._last += 1
        request = {"jsonrpc": "2.0", "id": f"call-{self._last}", "method": method, "params": params}
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        while (answer := load(self._lines.readline())).get("id") != request["id"]:
            pass  # an event
        return answer

    def break_off(self, data: bytes) -> None:
        """Send these bytes, and go."""
        self._socket.sendall(data)
        self.close()

    def close(self) -> None:
        self._lines.close()
        self._socket.close()
