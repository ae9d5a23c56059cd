"""A cloud in memory that keeps the Cloud protocol, for tests of what stands on it.

Trusted because the conformance suite of tests/clouds passes on it as on Apache and WsgiDAV.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from cloudfs.clouds.base import Capabilities, Lane, Quota
from cloudfs.model.entry import (
    TEMPORARY_PREFIX,
    FolderListing,
    RemoteEntry,
    RemotePath,
    Version,
    join,
    name_fault,
)
from cloudfs.model.enums import Kind
from cloudfs.model.errors import (
    AlreadyExists,
    CloudfsError,
    CloudStorageFull,
    ContentNotFound,
    NameRefused,
    NetworkUnavailable,
    NotAFolder,
    NotEmpty,
    NotFound,
    PreconditionFailed,
    VersionChanged,
    WrongContent,
)

CHUNK = 64 * 1024
EPOCH_NS = 1_700_000_000_000_000_000
WEAK_S = 1.0  # how long Apache's tags are weak


@dataclass(frozen=True)
class Call:
    """One call as it came: the method's name, its path, the range of a read."""

    method: str
    path: RemotePath
    start: int = 0
    stop: int = 0


@dataclass
class _Node:
    kind: Kind
    file_id: str
    content: bytes = b""
    mtime_ns: int = EPOCH_NS
    etag: str | None = None
    weak_until: float = -float("inf")  # by trio's clock
    children: dict[bytes, _Node] = field(default_factory=dict)


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


def _takes_all(name: bytes) -> bool:
    return False


class MemoryCloud:
    """Folders and files in memory, with a log of calls, failures on demand and waiting times.

    latency_s: before each answer; chunk_latency_s: before each 64 KiB of a body.
    ranges: False makes it a server that answers a range with the whole file.
    available: bytes left, None for no notion of quota.
    folder_tags: whether a folder has a tag that changes with anything below it (Nextcloud).
    ignores_case: whether names that differ in case alone are one (a server on Windows).
    weak_at_first: whether a file's tag is weak in its first second (Apache); needs trio's clock.
    refuses: which names it cannot hold.
    """

    def __init__(
        self,
        *,
        ranges: bool = True,
        max_connections: int = 16,
        folder_tags: bool = False,
        ignores_case: bool = False,
        weak_at_first: bool = False,
        refuses: Callable[[bytes], bool] = _takes_all,
    ) -> None:
        self.ranges = ranges
        self.max_connections = max_connections
        self.folder_tags = folder_tags
        self.ignores_case = ignores_case
        self.weak_at_first = weak_at_first
        self.refuses = refuses
        self.latency_s = 0.0
        self.chunk_latency_s = 0.0
        self.available: int | None = 1 << 40
        self.calls: list[Call] = []
        self.bytes_served = 0
        self.bytes_taken = 0
        self.gate: trio.Event | None = None  # while set, no answer comes before the event
        self._numbers = itertools.count(1)
        self._root = self._new(Kind.FOLDER)
        self._failures: list[_Failure] = []

    # --- told by a test ---

    def put(self, path: RemotePath, content: bytes, *, mtime_ns: int | None = None) -> RemoteEntry:
        """Make or replace a file, and the folders above it, as another device would."""
        folder, name = self._make_parents(path)
        node = folder.children.setdefault(name, self._new(Kind.FILE))
        self._fill(node, content, mtime_ns)
        self._changed(path)
        return _entry(name, node)

    def mkdir(self, path: RemotePath) -> None:
        folder, name = self._make_parents(path)
        folder.children.setdefault(name, self._new(Kind.FOLDER))
        self._changed(path)

    def remove(self, path: RemotePath) -> None:
        """Remove a file, or a folder with all below."""
        parent, _, name = path.rpartition(b"/")
        folder = self._find(parent)
        del folder.children[_name_in(folder, name, self.ignores_case) or name]
        self._changed(path)

    def rename(self, source: RemotePath, target: RemotePath) -> None:
        node = self._find(source)
        self.remove(source)
        folder, name = self._make_parents(target)
        folder.children[name] = node
        self._changed(target)

    def paths(self) -> dict[RemotePath, bytes | None]:
        """All that it holds: the content of each file, None for a folder; temporaries too."""
        return dict(_below(b"", self._root))

    def content(self, path: RemotePath) -> bytes:
        return self._find(path).content

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
        entries = tuple(_entry(name, node.children[name]) for name in shown)
        return FolderListing(_entry(path.rpartition(b"/")[2], node), entries)

    async def stat(self, path: RemotePath) -> RemoteEntry:
        await self._begin(Call("stat", path))
        return _entry(path.rpartition(b"/")[2], self._find(path))

    @asynccontextmanager
    async def read(
        self, path: RemotePath, version: Version, start: int, stop: int, lane: Lane
    ) -> AsyncGenerator[MemoryContent, None]:
        failure = await self._begin(Call("read", path, start, stop))
        try:
            node = self._find(path)
        except NotFound as error:
            raise ContentNotFound(error.reason, status=404) from error
        if not _version(node).is_same_as(version):
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
        return _version(node)

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
        elif node.kind is Kind.FOLDER or not _version(node).is_same_as(base):
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
        if replaces is not None and (there is None or not _version(there).is_same_as(replaces)):
            raise PreconditionFailed(f"{target!r} has changed", status=412)
        self.remove(source)
        parent.children[name] = node
        self._changed(target)
        _raise(failure)

    async def quota(self) -> Quota | None:
        await self._begin(Call("quota", b""))
        if self.available is None:
            return None
        return Quota(used=_size(self._root), available=self.available)

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

    def _new(self, kind: Kind) -> _Node:
        return _Node(kind, f"id-{next(self._numbers)}")

    def _fill(self, node: _Node, content: bytes, mtime_ns: int | None) -> None:
        number = next(self._numbers)
        node.content = content
        node.etag = f'"{number:x}"'
        node.mtime_ns = EPOCH_NS + number * 1_000_000_000 if mtime_ns is None else mtime_ns
        if self.weak_at_first:
            node.weak_until = trio.current_time() + WEAK_S

    def _changed(self, path: RemotePath) -> None:
        """Give the folders above a path another tag."""
        if not self.folder_tags:
            return
        etag = f'"f{next(self._numbers):x}"'
        folder = self._root
        folder.etag = etag
        for name in path.split(b"/")[:-1]:
            folder = self._child(folder, name)
            folder.etag = etag

    async def _receive(self, body: AsyncIterator[bytes]) -> bytes:
        content = bytearray()
        async for chunk in body:
            await trio.sleep(self.chunk_latency_s)
            content += chunk
            self.bytes_taken += len(chunk)
        return bytes(content)

    def _find(self, path: RemotePath) -> _Node:
        node = self._root
        for name in path.split(b"/") if path else ():
            node = self._child(node, name)
        return node

    def _child(self, folder: _Node, name: bytes) -> _Node:
        held = _name_in(folder, name, self.ignores_case)
        if held is None:
            raise NotFound(f"{name!r} is not there", status=404)
        return folder.children[held]

    def _parent(self, path: RemotePath) -> tuple[_Node, bytes]:
        folder, _, name = path.rpartition(b"/")
        if (fault := name_fault(name)) is not None:
            raise NameRefused(f"{name!r}: {fault}", status=400)
        if self.refuses(name):
            raise NameRefused(f"the cloud cannot hold {name!r}", status=400)
        node = self._find(folder)
        if node.kind is not Kind.FOLDER:
            raise NotFound(f"{folder!r} is no folder", status=409)
        return node, name

    def _make_parents(self, path: RemotePath) -> tuple[_Node, bytes]:
        folder, _, name = path.rpartition(b"/")
        node = self._root
        for part in folder.split(b"/") if folder else ():
            node = node.children.setdefault(part, self._new(Kind.FOLDER))
        return node, name

    def _holder(self, folder: _Node, name: bytes) -> _Node | None:
        """What holds the name. NameRefused where that has another one, which the cloud thinks the same."""
        held = _name_in(folder, name, self.ignores_case)
        if held is not None and held != name:
            raise NameRefused(f"{held!r} differs from {name!r} only in case", status=412)
        return None if held is None else folder.children[held]

    def _check_base(self, path: RemotePath, base: Version | None) -> None:
        parent, name = self._parent(path)
        there = self._holder(parent, name)
        if base is None and there is not None:
            raise PreconditionFailed(f"{path!r} is taken", status=412)
        if base is not None and (there is None or not _version(there).is_same_as(base)):
            raise PreconditionFailed(f"{path!r} has changed", status=412)


def _name_in(folder: _Node, name: bytes, ignores_case: bool) -> bytes | None:
    """The name under which a folder holds what is asked for."""
    if name in folder.children or not ignores_case:
        return name if name in folder.children else None
    asked = _folded(name)
    return next((held for held in folder.children if _folded(held) == asked), None)


def _folded(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape").casefold()


def _check_empty_folder(path: RemotePath, node: _Node) -> None:
    if node.kind is not Kind.FOLDER:
        raise NotAFolder(f"{path!r} is a file")
    if node.children:
        raise NotEmpty(f"{path!r} still holds something")


def _raise(failure: _Failure | None) -> None:
    """What comes once the request was carried out."""
    if failure is not None:
        raise failure.error


def _below(path: RemotePath, folder: _Node) -> Iterator[tuple[RemotePath, bytes | None]]:
    for name, node in folder.children.items():
        below = join(path, name)
        yield below, node.content if node.kind is Kind.FILE else None
        yield from _below(below, node)


def _version(node: _Node) -> Version:
    etag = node.etag
    # The clock is asked only where it matters: tests fill clouds before trio runs.
    if etag is not None and node.weak_until > 0 and trio.current_time() < node.weak_until:
        etag = f"W/{etag}"
    return Version(etag, node.mtime_ns, len(node.content))


def _entry(name: bytes, node: _Node) -> RemoteEntry:
    return RemoteEntry(name, node.kind, _version(node), node.file_id)


def _size(node: _Node) -> int:
    return len(node.content) + sum(_size(child) for child in node.children.values())
