"""The daemons that listen on this machine, and whether they answer."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudfs.control.callers import peer_of

ANSWER_S = 5.0
_QUESTION = {"jsonrpc": "2.0", "id": 1, "method": "Mount.status", "params": {}}


@dataclass(frozen=True, slots=True)
class Daemon:
    """Who listens on a socket.

    answers: whether it did, in time. name, path: of its mount; "" where it does not answer, or not to us.
    """

    socket: Path
    pid: int
    answers: bool
    name: str = ""
    path: str = ""


def ask_all(sockets: Iterable[Path]) -> list[Daemon]:
    """Every daemon behind these sockets that lets us connect, each once. ANSWER_S at most for each."""
    real = {Path(os.path.realpath(path)) for path in sockets}  # some are links (control/advertising)
    return [daemon for path in sorted(real) if (daemon := _ask(path)) is not None]


def _ask(path: Path) -> Daemon | None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ANSWER_S)
        try:
            connection.connect(os.fsencode(path))
        except OSError:
            return None  # left behind by a daemon that was killed, another user's, or no socket at all
        pid = peer_of(connection).pid
        try:
            status = _status(connection)
        except (OSError, ValueError):
            return Daemon(path, pid, answers=False)
    return Daemon(path, pid, True, str(status.get("name", "")), str(status.get("path", "")))


def _status(connection: socket.socket) -> dict[str, Any]:
    """Its answer to Mount.status; empty where it does not let us ask that. ValueError where it is none."""
    connection.sendall(json.dumps(_QUESTION).encode() + b"\n")
    with connection.makefile("rb") as lines:
        answer = json.loads(lines.readline())
    status = answer.get("result", {}) if isinstance(answer, dict) else None
    if not isinstance(status, dict):
        raise ValueError("no answer of a daemon")
    return status
