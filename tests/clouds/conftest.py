"""Clouds under test: each with a way to change its content from outside, as another device would."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest
import trio

from cloudfs.clouds.base import Capabilities, Cloud
from cloudfs.clouds.http import Http
from cloudfs.clouds.webdav import WebDav
from cloudfs.model.entry import RemotePath, Version
from tests.servers.apache import Apache
from tests.servers.memory_cloud import MemoryCloud
from tests.servers.odd_wsgidav import Oddities, OddWsgiDav
from tests.servers.scripted import Script, ScriptedServer
from tests.servers.wsgidav import WsgiDav

OLD_S = 1_700_000_000  # long enough ago for Apache's tags to be strong

NAMES = [
    b"with space",
    b"100%",
    b"50%25",
    b"a#b",
    b"what?",
    b"a+b",
    b"a&b",
    b"a;b=c",
    b"\"double\" and 'single'",
    b"back\\slash",
    b"<tag>",
    b"colon:name",
    b"~tilde",
    b"...",
    b" leading and trailing ",
    "caf\u00e9".encode(),  # NFC
    "cafe\u0301".encode(),  # NFD
    "\u65e5\u672c\u8a9e \U0001f600".encode(),
    b"n" * 255,
    "\u00e9".encode() * 127,
]

KNOWN = Capabilities(
    conditional_writes=True, conditional_moves=True, conditional_deletes=True, whole_writes=True
)
UNCONDITIONAL = Capabilities(
    conditional_writes=False, conditional_moves=False, conditional_deletes=False, whole_writes=True
)

OpenOdd = Callable[[Oddities], OddWsgiDav]
OpenWebDav = Callable[..., Awaitable[WebDav]]


class Outside(Protocol):
    """Changes a cloud's content past the Cloud under test."""

    def put(self, path: RemotePath, content: bytes) -> object: ...
    def mkdir(self, path: RemotePath) -> None: ...
    def content(self, path: RemotePath) -> bytes: ...


class Directory:
    """The folder that a server serves. Each write gets another second, so that no two look alike."""

    def __init__(self, root: Path) -> None:
        self._root = os.fsencode(root)
        self._second = OLD_S

    def put(self, path: RemotePath, content: bytes) -> None:
        full = os.path.join(self._root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "wb") as file:
            file.write(content)
        self._second += 1
        os.utime(full, (self._second, self._second))

    def mkdir(self, path: RemotePath) -> None:
        os.makedirs(os.path.join(self._root, path))

    def content(self, path: RemotePath) -> bytes:
        with open(os.path.join(self._root, path), "rb") as file:
            return file.read()


async def version(cloud: Cloud, path: RemotePath) -> Version:
    return (await cloud.stat(path)).version


def mark(mount_id: str) -> str:
    return hashlib.sha256(mount_id.encode()).hexdigest()[:12]


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


@dataclass(frozen=True)
class Subject:
    cloud: Cloud
    outside: Outside


@pytest.fixture(autouse=True)
def settle_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers on this machine show at once what a probe waits for."""
    monkeypatch.setattr("cloudfs.clouds.write_probe.SETTLE_S", 0.05)


@pytest.fixture
def open_webdav(nursery: trio.Nursery) -> OpenWebDav:
    """Builds a running WebDav for a URL; other keywords go to Http."""

    async def build(
        url: str, known: Capabilities | None = None, mount_id: str | None = None, **options: object
    ) -> WebDav:
        http = Http(url, **{"timeout_s": 6.0, **options})  # type: ignore[arg-type]
        cloud = WebDav(url, http, known=known, mount_id=mount_id)
        await nursery.start(cloud.run)
        return cloud

    return build


@pytest.fixture(params=["memory", "apache", "wsgidav"])
async def subject(request: pytest.FixtureRequest, open_webdav: OpenWebDav) -> Subject:
    """The same cloud by three implementations: whatever a test finds must hold on all of them."""
    if request.param == "memory":
        memory = MemoryCloud()
        return Subject(memory, memory)
    server: Apache | WsgiDav = request.getfixturevalue(request.param)
    return Subject(await open_webdav(server.url), Directory(server.root))


OpenScripted = Callable[[Script], Awaitable[ScriptedServer]]


@pytest.fixture
def open_scripted(nursery: trio.Nursery) -> OpenScripted:
    """Starts a server that answers by a function."""

    async def build(script: Script) -> ScriptedServer:
        server = ScriptedServer(script)
        await nursery.start(server.run)
        return server

    return build


@pytest.fixture
def open_odd(tmp_path: Path) -> Iterator[OpenOdd]:
    """Starts one WsgiDAV with oddities."""
    servers: list[OddWsgiDav] = []

    def build(oddities: Oddities) -> OddWsgiDav:
        server = OddWsgiDav(tmp_path, oddities)
        server.__enter__()
        servers.append(server)
        return server

    yield build
    for server in servers:
        server.__exit__(None, None, None)
