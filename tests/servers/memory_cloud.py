"""A cloud in memory that keeps the Cloud protocol, for tests of what stands on it.

Trusted because the conformance suite of tests/clouds passes on it as on Apache and WsgiDAV.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from cloudfs.clouds.base import Capabilities, Lane, Quota
from cloudfs.model.entry import TEMPORARY_PREFIX, FolderListing, RemoteEntry, RemotePath, Version
from cloudfs.model.enums import Kind
from cloudfs.model.errors import (
    AlreadyExists,
    CloudfsError,
    CloudStorageFull,
    ContentNotFound,
    NetworkUnavailable,
    NotAFolder,
    NotEmpty,
    NotFound,
    PreconditionFailed,
    VersionChanged,
    WrongContent,
)
from tests.servers.memory_files import MemoryFiles, Node, entry_of, size_of, takes_all, version_of

CHUNK = 64 * 1024


@dataclass(frozen=True)
class Call:
    """One call as it came: the method's name, its path, the range of a read."""

    method: str
    path: RemotePath
    start: int = 0
    stop: int = 0


@dataclass
class _Failure:
    method: str
    path: RemotePath | None
    error: CloudfsError
    times: int | None
    after: int | None = None
    comes_late: bool = False  # once the request was carried out


class MemoryContent:
    """The Content of a read."""

    def __init__(self, body: bytes, start: int, failure: _Failure | None, cloud: MemoryCloud) -> None:
        self.start = start
        self.stop = start + len(body)
        self._body = body
        self._failure = failure
        self._cloud = cloud

        self._at = 0
        self._end = len(body) if failure is None else failure.after or 0

    def chunks(self) -> MemoryContent:
        return self

    def __aiter__(self) -> MemoryContent:
        return self

    async def __anext__(self) -> bytes:
        if self._at < self._end:
            await trio.sleep(self._cloud.chunk_latency_s)
            chunk = self._body[self._at : min(self._at + CHUNK, self._end)]
            self._at += len(chunk)
            self._cloud.bytes_served += len(chunk)
            return chunk
        if self._failure is not None:
            raise self._failure.error
        raise StopAsyncIteration


class MemoryCloud(MemoryFiles):
    """Folders and files in memory, with a log of calls, failures on demand and waiting times.

    latency_s: before each answer; chunk_latency_s: before each 64 KiB of a body.
    ranges: False makes it a server that answers a range with the whole file.
    available: bytes left, None for no notion of quota.
    The rest as in MemoryFiles.
    """

    def __init__(
        self,
        *,
        ranges: bool = True,
        max_connections: int = 16,
        folder_tags: bool = False,
        ignores_case: bool = False,
        weak_at_first: bool = False,
        refuses: Callable[[bytes], bool] = takes_all,
    ) -> None:
        super().__init__(
            folder_tags=folder_tags,
            ignores_case=ignores_case,
            weak_at_first=weak_at_first,
            refuses=refuses,
        )
        self.ranges = ranges
        self.max_connections = max_connections
        self.latency_s = 0.0
        self.chunk_latency_s = 0.0
        self.available: int | None = 1 << 40
        self.calls: list[Call] = []
        self.bytes_served = 0
        self.bytes_taken = 0
        self.gate: trio.Event | None = None  # while set, no answer comes before the event
        self._failures: list[_Failure] = []

    # --- told by a test ---

    def fail(
        self,
        method: str,
        error: CloudfsError,
        *,
        path: RemotePath | None = None,
        times: int | None = 1,
        after: int | None = None,
    ) -> None:
        """Make the next `times` (None: all) calls of `method` raise `error`.

        after: for `read`, how many bytes of the body come first (None: the head already fails).
        """
        self._failures.append(_Failure(method, path, error, times, after))

    def lose_answer(self, method: str, *, path: RemotePath | None = None, times: int | None = 1) -> None:
        """Carry out the next `times` calls of a changing `method`, and raise NetworkUnavailable after it."""
        lost = NetworkUnavailable("the answer was lost")
        self._failures.append(_Failure(method, path, lost, times, comes_late=True))

    def heal(self) -> None:
        self._failures.clear()

    # --- the Cloud protocol ---

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            ranges=self.ranges,
            conditional_writes=True,
            conditional_moves=True,
            conditional_deletes=True,
            whole_writes=True,
            quota=self.available is not None,
            folder_tags=self.folder_tags,
        )

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        await trio.sleep_forever()

    async def list_folder(self, path: RemotePath) -> FolderListing:
        await self._begin(Call("list_folder", path))
        node = self._find(path)
        if node.kind is not Kind.FOLDER:
            raise NotAFolder(f"{path!r} is a file")
        shown = [name for name in node.children if not name.startswith(TEMPORARY_PREFIX)]
        entries = tuple(entry_of(name, node.children[name]) for name in shown)
        return FolderListing(entry_of(path.rpartition(b"/")[2], node), entries)

    async def stat(self, path: RemotePath) -> RemoteEntry:
        await self._begin(Call("stat", path))
        return entry_of(path.rpartition(b"/")[2], self._find(path))

    @asynccontextmanager
    async def read(
        self, path: RemotePath, version: Version, start: int, stop: int, lane: Lane
    ) -> AsyncGenerator[MemoryContent, None]:
        failure = await self._begin(Call("read", path, start, stop))
        try:
            node = self._find(path)
        except NotFound as error:
            raise ContentNotFound(error.reason, status=404) from error
        if not version_of(node).is_same_as(version):
            raise VersionChanged(f"{path!r} is of another version", status=412)
        if not start < stop <= len(node.content):
            raise WrongContent(f"{path!r} has no bytes {start}-{stop}")
        if not self.ranges:
            start, stop = 0, len(node.content)
        yield MemoryContent(node.content[start:stop], start, failure, self)

    async def probe_writes(self) -> Capabilities:
        await self._begin(Call("probe_writes", b""))
        return self.capabilities

    async def write(
        self,
        path: RemotePath,
        body: AsyncIterator[bytes],
        size: int,
        base: Version | None,
        *,
        mtime_ns: int | None = None,
    ) -> Version:
        failure = await self._begin(Call("write", path))
        self._check_base(path, base)
        content = await self._receive(body)
        if len(content) != size:
            raise NetworkUnavailable(f"the body of {path!r} broke off")
        if self.available is not None and size > self.available:
            raise CloudStorageFull("the cloud is full", status=507)
        self._check_base(path, base)  # somebody may have come first
        parent, name = self._parent(path)
        node = parent.children.setdefault(name, self._new(Kind.FILE))
        self._fill(node, content, mtime_ns)
        self._changed(path)
        _raise(failure)
        return version_of(node)

    async def make_folder(self, path: RemotePath) -> None:
        failure = await self._begin(Call("make_folder", path))
        parent, name = self._parent(path)
        if self._holder(parent, name) is not None:
            raise AlreadyExists(f"{path!r} is there already", status=405)
        parent.children[name] = self._new(Kind.FOLDER)
        self._changed(path)
        _raise(failure)

    async def delete(self, path: RemotePath, base: Version | None) -> None:
        failure = await self._begin(Call("delete", path))
        node = self._find(path)
        if base is None:
            _check_empty_folder(path, node)
        elif not _is_version(node, base):
            raise PreconditionFailed(f"{path!r} has changed", status=412)
        self.remove(path)
        _raise(failure)

    async def move(
        self,
        source: RemotePath,
        target: RemotePath,
        *,
        replaces: Version | None = None,
        kind: Kind = Kind.FILE,
    ) -> None:
        failure = await self._begin(Call("move", source))
        node = self._find(source)
        parent, name = self._parent(target)
        there = self._holder(parent, name)
        if replaces is None and there is not None and there is not node:
            raise AlreadyExists(f"{target!r} is taken", status=412)
        if replaces is not None and not _is_version(there, replaces):
            raise PreconditionFailed(f"{target!r} has changed", status=412)
        self.remove(source)
        parent.children[name] = node
        self._changed(target)
        _raise(failure)

    async def quota(self) -> Quota | None:
        await self._begin(Call("quota", b""))
        if self.available is None:
            return None
        return Quota(used=size_of(self._root), available=self.available)

    async def changes(self, cursor: str | None) -> tuple[list[RemotePath], str] | None:
        return None

    # --- inside ---

    async def _begin(self, call: Call) -> _Failure | None:
        """Log, wait, fail. A failure of a body, or one that comes late, is returned, to be raised then."""
        self.calls.append(call)
        await trio.sleep(self.latency_s)
        if self.gate is not None:
            await self.gate.wait()
        for failure in self._failures:
            if failure.method == call.method and failure.path in (None, call.path):
                if failure.times is not None:
                    failure.times -= 1
                    if failure.times == 0:
                        self._failures.remove(failure)
                if failure.after is None and not failure.comes_late:
                    raise failure.error
                return failure
        return None

    async def _receive(self, body: AsyncIterator[bytes]) -> bytes:
        content = bytearray()
        async for chunk in body:
            await trio.sleep(self.chunk_latency_s)
            content += chunk
            self.bytes_taken += len(chunk)
        return bytes(content)

    def _check_base(self, path: RemotePath, base: Version | None) -> None:
        parent, name = self._parent(path)
        there = self._holder(parent, name)
        if base is None and there is not None:
            raise PreconditionFailed(f"{path!r} is taken", status=412)
        if base is not None and not _is_version(there, base):
            raise PreconditionFailed(f"{path!r} has changed", status=412)


def _is_version(node: Node | None, version: Version) -> bool:
    return node is not None and node.kind is Kind.FILE and version_of(node).is_same_as(version)


def _check_empty_folder(path: RemotePath, node: Node) -> None:
    if node.kind is not Kind.FOLDER:
        raise NotAFolder(f"{path!r} is a file")
    if node.children:
        raise NotEmpty(f"{path!r} still holds something")


def _raise(failure: _Failure | None) -> None:
    """What comes once the request was carried out."""
    if failure is not None:
        raise failure.error
