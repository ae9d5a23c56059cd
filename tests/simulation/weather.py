"""A cloud in memory as a bad network shows it: late, at times not at all, and changed by others meanwhile."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import trio

from cloudfs.model.entry import RemotePath, Version
from cloudfs.model.errors import NetworkUnavailable, ServerError, TooManyRequests
from tests.servers.memory_cloud import Call, MemoryCloud

METHODS = ("list_folder", "stat", "read", "write", "make_folder", "delete", "move")
CHANGING = ("write", "make_folder", "delete", "move")
_LATENCIES = (0.0, 0.0, 0.0, 0.01, 0.05, 0.3)


class StormyCloud(MemoryCloud):
    """Waits before and after what it does, and remembers every content that it ever had.

    A call that is cancelled in the second wait has been carried out, and nobody was told.
    """

    def __init__(self, seed: int, **options: Any) -> None:
        super().__init__(**options)
        self._chance = random.Random(seed)
        self._by_tag: dict[str, bytes] = {}
        self._by_time: dict[tuple[int, int], bytes] = {}
        self._races: list[tuple[str, Callable[[], None]]] = []
        self.is_calm = False

    def race(self, method: str, act: Callable[[], None]) -> None:
        """Let another device do something right before the next call of a method takes effect."""
        self._races.append((method, act))

    def drop(self, method: str, kind: int) -> None:
        """Let the next calls of a method fail, in one of several ways."""
        match kind % 4:
            case 0:
                self.fail(method, NetworkUnavailable("cut"), times=1 + kind % 3)
            case 1:
                self.fail(method, ServerError("500", status=500), times=1 + kind % 3)
            case 2:
                self.fail(method, TooManyRequests("503", status=503, retry_after=0.1))
            case _:
                if method in CHANGING:
                    self.lose_answer(method, times=1 + kind % 2)
                else:
                    self.fail(method, NetworkUnavailable("cut for long"), times=100)

    def calm(self) -> None:
        """From now on all goes well."""
        self.heal()
        self._races.clear()
        self.is_calm = True

    def bytes_of(self, version: Version) -> bytes:
        """The content that a version once named."""
        if version.opaque_tag is not None:
            return self._by_tag[version.opaque_tag]
        if version.size == 0:
            return b""
        assert version.mtime_ns is not None
        return self._by_time[version.mtime_ns, version.size]

    async def _begin(self, call: Call) -> Any:
        await self._wait()
        for race in self._races:
            if race[0] == call.method:
                self._races.remove(race)
                race[1]()
                break
        return await super()._begin(call)

    async def write(self, path: RemotePath, *args: Any, **options: Any) -> Version:
        version = await super().write(path, *args, **options)
        await self._wait()
        return version

    async def make_folder(self, path: RemotePath) -> None:
        await super().make_folder(path)
        await self._wait()

    async def delete(self, path: RemotePath, base: Version | None) -> None:
        await super().delete(path, base)
        await self._wait()

    async def move(self, source: RemotePath, target: RemotePath, **options: Any) -> None:
        await super().move(source, target, **options)
        await self._wait()

    def _fill(self, node: Any, content: bytes, mtime_ns: int | None) -> None:
        super()._fill(node, content, mtime_ns)
        assert node.etag is not None
        self._by_tag[node.etag] = content
        self._by_time[node.mtime_ns, len(content)] = content

    async def _wait(self) -> None:
        await trio.sleep(0 if self.is_calm else self._chance.choice(_LATENCIES))
