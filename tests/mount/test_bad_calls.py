"""What clients do wrong to a real daemon: it answers, keeps its memory and its descriptors, and works on."""

from __future__ import annotations

import json
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.mount.calls import HEAD, failure
from tests.mount.conftest import Mounts
from tests.mount.harness import PATIENCE_S, Mount, wait_until
from tests.mount.programs import content, read
from tests.servers.apache import Apache

MIB = 1024 * 1024
DATA = content(3 * MIB)
STATUS = {"jsonrpc": "2.0", "id": 1, "method": "FileSync.getLastSyncTime"}


@pytest.fixture
def mount(apache: Apache, mounts: Mounts) -> Mount:
    for name in ("1.txt", "2.txt", "3.txt"):
        (apache.root / name).write_bytes(DATA)
    (apache.root / "folder").mkdir()
    mount = mounts(apache.url, sync={"auto": False})
    os.listdir(mount.path)
    return mount


@contextmanager
def connected(mount: Mount) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE_S)
        connection.connect(str(mount.socket))
        yield connection


def rss_bytes(mount: Mount) -> int:
    assert mount.process is not None
    pages = int(Path(f"/proc/{mount.process.pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def descriptors(mount: Mount) -> int:
    assert mount.process is not None
    return len(os.listdir(f"/proc/{mount.process.pid}/fd"))


def test_clients_that_misbehave_all_at_once(mount: Mount) -> None:
    """Half lines of a megabyte, requests whose answers nobody reads, and nonsense."""
    before = rss_bytes(mount)
    status = json.dumps(STATUS).encode() + b"\n"
    with ExitStack() as stack:
        for _ in range(120):
            idle = stack.enter_context(connected(mount))
            idle.sendall(b'{"jsonrpc":"2.0","id":1,"method":"' + b"x" * (MIB - 100))
        for _ in range(10):
            deaf = stack.enter_context(connected(mount))
            deaf.setblocking(False)
            sent = 0
            while sent < 100_000 * len(status):
                try:
                    sent += deaf.send(status * 1000)
                except BlockingIOError:
                    break
            assert sent < 100_000 * len(status), "it is read from although it does not read"
        rude = stack.enter_context(connected(mount))
        rude.sendall(b"\xff\n" + b"[" * 100_000 + b"\n" + b"x" * (3 * MIB) + b"\n" + status)
        lines = rude.makefile("rb")
        answers = [json.loads(lines.readline()) for _ in range(4)]
        lines.close()
        assert [each.get("error", {}).get("code") for each in answers] == [-32700, -32700, -32600, None]
        assert read(mount.path / "1.txt") == DATA
        assert mount.call("FileSync.getLastSyncTime") == 0
        assert rss_bytes(mount) - before < 80 * MIB
    assert read(mount.path / "2.txt") == DATA


def test_more_clients_than_descriptors(mount: Mount) -> None:
    assert mount.process is not None
    pid, limit = mount.process.pid, resource.prlimit(mount.process.pid, resource.RLIMIT_NOFILE)
    before = descriptors(mount)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (before + 5, limit[1]))
    with ExitStack() as stack:
        clients = [stack.enter_context(connected(mount)) for _ in range(30)]
        wait_until(lambda: "have to wait: Too many open files" in mount.log.read_text(), "the log says so")
        for client in clients:
            client.sendall(json.dumps(STATUS).encode() + b"\n")
        assert clients[0].recv(1000)
        assert os.listdir(mount.path)
        clients[0].close()
        wait_until(lambda: descriptors(mount) >= before + 5, "the next client is let in")
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limit)
        assert all(client.recv(1000) for client in clients[1:])
    assert mount.log.read_text().count("have to wait") <= 3, "said once for each time, not again and again"
    wait_until(lambda: descriptors(mount) < before + 15, "their descriptors are given back")
    assert read(mount.path / "3.txt") == DATA


def test_calls_that_are_wrong(mount: Mount) -> None:
    connection = mount.connect()
    asset = "file://media/Photo/"
    wrong: dict[int, list[Any]] = {
        14000002: [
            *(
                "",
                "1.txt",
                "http://x/1.txt",
                "file://other/data/storage/el2/cloud/1.txt",
                HEAD[:-1] + "X/1.txt",
            ),
            *(
                HEAD + rest
                for rest in ("../1.txt", "%2e%2e/1.txt", "folder%2F..", "1.txt%00", "%zz", "%ff", "1.txt?")
            ),
            *(f"file://{mount.path}{rest}" for rest in ("/../x", "X/1.txt", "/folder")),
            asset,
            HEAD,
            HEAD + "folder",
        ],
        13900002: [
            *(HEAD + rest for rest in ("none", "1.txt/x", "x" * 10_000, "x/" * 5000)),
            *(asset + number for number in ("0", "01", "-1", "9" * 40, "x")),
        ],
        401: [None, 1, [HEAD + "1.txt"], {}],
    }
    for code, uris in wrong.items():
        for uri in uris:
            for method in ("CloudFileCache.start", "CloudFileCache.stop", "CloudFileCache.cleanCache"):
                assert failure(connection, method, {"uri": uri})[0] == code, (method, uri)
    assert failure(connection, "cloudSync.getFileSyncState", {"uri": [HEAD + "1.txt"] * 101})[0] == 401
    assert failure(connection, "FileSync.begin", {})[0] == -32601
    assert mount.call("cloudSync.getFileSyncState", uri=[f"file://{mount.path}/1.txt", HEAD + "folder"]) == [
        2,
        2,
    ]
