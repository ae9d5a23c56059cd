"""The Cloud protocol: what every kind of cloud (webdav, s3, drivekit) offers to the layers above.

Paths are `RemotePath`s: raw name bytes joined by "/", relative to the mount's root. Every call has a
deadline on its progress, tries once (retries live in `transfers` and `sync`), and raises only the
classes of `model.errors`. A call that was cancelled has released its connection.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

import trio

from cloudfs.model.entry import FolderListing, RemoteEntry, RemotePath, Version
from cloudfs.model.enums import Kind


class Lane(IntEnum):
    """How many of the connections a request may take: the last ones are kept for the more urgent.

    With 16 connections bulk transfers take 14 at most, what a program waits for 15, and listings and
    other metadata 16.
    """

    BULK = 2
    DEMAND = 1
    METADATA = 0


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the server was found to do; None where nobody asked yet.

    ranges: answers 206 to a Range request.
    conditional_writes: PUT with a stale If-Match, and with If-None-Match: * on what exists, is refused
    with 412.
    conditional_moves: so is MOVE onto a file or folder, with Overwrite: F or a stale tag in If.
    conditional_deletes: so is DELETE of a file or folder, with a stale If-Match.
    whole_writes: nobody sees the body of a PUT before it is complete, nor keeps one that was cut.
    quota: tells the space used and available.
    folder_tags: a folder's tag changes with anything below it.
    changes: can list what changed since a cursor.
    """

    ranges: bool | None = None
    conditional_writes: bool | None = None
    conditional_moves: bool | None = None
    conditional_deletes: bool | None = None
    whole_writes: bool | None = None
    quota: bool | None = None
    folder_tags: bool | None = None
    changes: bool = False


@dataclass(frozen=True, slots=True)
class Quota:
    """Bytes used and bytes still available; None where the cloud does not say."""

    used: int | None
    available: int | None


@dataclass(frozen=True, slots=True)
class Offer:
    """What a server says of itself before anything is asked of it.

    levels: of WebDAV (RFC 4918 section 18: 1, 2 with locks, 3); empty where it offers none. time_s: its
    clock, in epoch seconds; None where it does not tell.
    """

    levels: frozenset[str] = frozenset()
    time_s: float | None = None


class Content(Protocol):
    """An answer's body, checked against what was asked for before the first byte is handed out."""

    @property
    def start(self) -> int:
        """Offset of the first byte that `chunks` yields: 0 where the server knows no ranges."""
        ...

    @property
    def stop(self) -> int:
        """Offset after the last byte it will yield."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The bytes in order, each chunk as the network gave it.

        Raises WrongContent when the body is longer than `stop - start`, NetworkUnavailable when it is
        cut short; what was yielded before is right either way.
        """
        ...


class Cloud(Protocol):
    """One cloud, seen from one mount."""

    @property
    def capabilities(self) -> Capabilities:
        """What is known by now; grows as answers come in."""
        ...

    @property
    def max_connections(self) -> int:
        """How many connections may be used at this moment (fewer while the server says 429 or 503)."""
        ...

    async def run(self, *, task_status: trio.TaskStatus[None] = ...) -> None:
        """Own the connections until cancelled."""
        ...

    async def list_folder(self, path: RemotePath) -> FolderListing:
        """All children of a folder. NotFound, NotAFolder; any error means that nothing was learned."""
        ...

    async def stat(self, path: RemotePath) -> RemoteEntry:
        """One entry. NotFound by a positive answer only."""
        ...

    def read(
        self, path: RemotePath, version: Version, start: int, stop: int, lane: Lane
    ) -> AbstractAsyncContextManager[Content]:
        """Bytes [start, stop) of exactly this version.

        Entering sends the request and checks the answer's head. ContentNotFound on 404 and 410,
        VersionChanged where the answer is of another version, WrongContent where it is no such file.
        """
        ...

    async def probe_writes(self) -> Capabilities:
        """Find out how the server treats writes (`conditional_…`, `whole_writes`).

        Writes and removes hidden temporary files in the root; asks nothing where it is known already. A
        change whose precondition depends on it finds it out by itself, in its own folder. Raises what the
        server answers to a write.
        """
        ...

    async def write(
        self,
        path: RemotePath,
        body: AsyncIterator[bytes],
        size: int,
        base: Version | None,
        *,
        mtime_ns: int | None = None,
    ) -> Version:
        """Put `size` bytes under a name, whole or not at all; returns the version that the cloud has now.

        base: the version it replaces, or None for a name that must be free. mtime_ns: the time that the
        file should have there, where the cloud can hold it.
        PreconditionFailed where the cloud holds something else, be it a folder; CloudStorageFull;
        FileTooLarge; NameRefused; Locked; NotFound where the parent is missing; TryAgain where `body` is
        longer or shorter than `size`. After any other failure (NetworkUnavailable, ServerError) the cloud
        may have taken it all the same: ask.
        """
        ...

    async def make_folder(self, path: RemotePath) -> None:
        """AlreadyExists where the name is taken; NotFound where the parent is missing."""
        ...

    async def delete(self, path: RemotePath, base: Version | None) -> None:
        """Remove a file of this version, or (base None) an empty folder.

        NotFound; PreconditionFailed where the file is of another version or a folder; NotAFolder, NotEmpty.
        """
        ...

    async def move(
        self,
        source: RemotePath,
        target: RemotePath,
        *,
        replaces: Version | None = None,
        kind: Kind = Kind.FILE,
    ) -> None:
        """Rename without sending content; a folder goes with all below it.

        replaces: the version of the file at the target that goes by it, None for a name that must be free.
        kind: of the source; some servers insist on a folder's being named as one.
        AlreadyExists where the target is taken; PreconditionFailed where it is not `replaces`; NotFound
        where the source or the target's parent is missing; NameRefused; Locked. After any other failure the
        cloud may have moved it all the same: ask.
        """
        ...

    async def quota(self) -> Quota | None:
        """None where the cloud has no notion of it."""
        ...

    async def changes(self, cursor: str | None) -> tuple[list[RemotePath], str] | None:
        """Folders whose listing may differ since `cursor`, and the next cursor; None where the cloud
        can't tell (then folders are walked)."""
        ...
