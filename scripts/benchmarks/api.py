"""The control socket under load: many clients that call as fast as they are answered, while files hydrate."""

from __future__ import annotations

import itertools
import json
import selectors
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from benchmarks.figures import Against, Better, Figure, Measure, Target
from benchmarks.mounts import SOCKET, Mount
from benchmarks.trees import DATA
from benchmarks.world import World

CLIENTS = 100
FETCHING = 20  # more clients, whose calls are not counted
FETCHED = 1000  # files that they fetch and drop in turn
STATES = 10  # files that one getFileSyncState asks about
LOAD_S = 10.0
WARM_UP_S = 10.0  # before the memory is looked at: journal, history and buffers are full by then
ANSWER_S = 60.0
MIB = 1 << 20
CLOUD = "file://com.example.files/data/storage/el2/cloud/"


@dataclass(slots=True)
class _Client:
    """One connection, one call at a time."""

    connection: socket.socket
    calls: Iterator[bytes]
    rest: bytes = b""
    asked_at: float = 0.0
    waits: list[float] = field(default_factory=list)

    def ask(self) -> None:
        self.asked_at = time.perf_counter()
        self.connection.sendall(next(self.calls))

    def take(self) -> None:
        """What has come; the next call goes out with the answer to the last."""
        data = self.rest + self.connection.recv(1 << 16)
        if not data:
            raise ConnectionError("the daemon ended a connection")
        if data.endswith(b"\n"):
            if b'"result":' not in data:
                raise ValueError(f"a call failed: {data[:300]!r}")
            self.waits.append(time.perf_counter() - self.asked_at)
            self.rest = b""
            self.ask()
        else:
            self.rest = data


def api(mount: Mount, world: World) -> dict[str, float]:
    """Calls a second of a hundred clients, how long slow ones take, and what the daemon's memory grows."""
    path = mount.path.parent / SOCKET
    names = [f"{DATA}/document {number:05}.txt" for number in range(world.trees.scale.flat_files)]
    here, others = names[:CLIENTS], names[CLIENTS:][:FETCHED]
    for name in here:
        (mount.path / name).read_bytes()
    clients = [_connected(path, _asking(name, here[:STATES])) for name in here]
    fetching = [_connected(path, _fetching(others[first::FETCHING])) for first in range(FETCHING)]
    try:
        before, after = _load(mount, clients, fetching)
    finally:
        for client in (*clients, *fetching):
            client.connection.close()
    waits = sorted(itertools.chain.from_iterable(client.waits for client in clients))
    return {
        "api-calls": len(waits) / LOAD_S,
        "api-wait": 1000 * waits[len(waits) * 99 // 100],
        "api-fetched": sum(len(client.waits) for client in fetching) / 2 / LOAD_S,
        "api-memory": after / MIB,
        "api-growth": max(0.0, after - before) / MIB,
    }


def _load(mount: Mount, clients: list[_Client], fetching: list[_Client]) -> tuple[int, int]:
    """Let all call, first without counting; the memory before and after the count."""
    with selectors.DefaultSelector() as selector:
        for client in (*clients, *fetching):
            selector.register(client.connection, selectors.EVENT_READ, client)
            client.ask()
        _answer_until(selector, time.perf_counter() + WARM_UP_S)
        for client in (*clients, *fetching):
            client.waits.clear()
        before = mount.memory_bytes()
        _answer_until(selector, time.perf_counter() + LOAD_S)
    return before, mount.memory_bytes()


def _answer_until(selector: selectors.BaseSelector, end: float) -> None:
    while time.perf_counter() < end:
        for key, _ in selector.select(ANSWER_S):
            client: _Client = key.data
            client.take()


def _connected(path: Path, calls: Iterator[bytes]) -> _Client:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(ANSWER_S)
    connection.connect(str(path))
    return _Client(connection, calls)


def _asking(name: str, others: Sequence[str]) -> Iterator[bytes]:
    """The states of some files, the last sync, the status, and a download of what is hydrated."""
    calls = [
        _line("cloudSync.getFileSyncState", uri=[_uri(other) for other in others]),
        _line("FileSync.getLastSyncTime"),
        _line("Mount.status"),
        _line("CloudFileCache.start", uri=_uri(name)),
    ]
    return itertools.cycle(calls)


def _fetching(names: Sequence[str]) -> Iterator[bytes]:
    """Downloads one file after the other, and drops the one before, so that there is no end to it."""
    for before, name in zip(itertools.cycle((names[-1], *names[:-1])), itertools.cycle(names), strict=False):
        yield _line("CloudFileCache.start", uri=_uri(name))
        yield _line("CloudFileCache.cleanCache", uri=_uri(before))


def _uri(name: str) -> str:
    return CLOUD + quote(name)


def _line(method: str, **params: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode() + b"\n"


API = (
    Measure(
        figures=(
            Figure(
                "api-calls", "calls by 100 clients", "calls/s", Better.MORE, Target(1000, Against.NOTHING)
            ),
            Figure("api-wait", "99 % of them answered within", "ms", Better.LESS),
            Figure("api-fetched", "files hydrated meanwhile", "files/s", Better.MORE),
            Figure("api-memory", "memory at the end", "MiB", Better.LESS),
            Figure("api-growth", "grown meanwhile", "MiB", Better.LESS, Target(4, Against.NOTHING)),
        ),
        tree="flat",
        sample=api,
        systems=("cloudfs",),
    ),
)
