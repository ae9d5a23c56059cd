"""Programs at the files of a mount without its kernel: every byte they read is looked at when it comes."""

from __future__ import annotations

from dataclasses import dataclass

import trio

from cloudfs.config.settings import OnOpen
from cloudfs.fuse.callers import DenyList
from cloudfs.fuse.handles import Handles
from cloudfs.fuse.open_files import OpenFiles, OpenPolicy
from cloudfs.fuse.waits import NetworkWaits
from cloudfs.model.entry import RemotePath
from cloudfs.model.enums import DownloadErrorType
from cloudfs.model.errors import CloudfsError, NotFound
from cloudfs.transfers.nameless import let_go
from tests.control.api_files import SIZES, KnownFiles, path_of
from tests.control.desk import Desk

PROGRAMS_DO = ("open", "read", "close", "write")
READ_FROM = (0, 100_000, 599_000, 1_470_000)
TIMEOUT_S = 5.0


@dataclass(slots=True, eq=False)
class OpenFile:
    """floor: the oldest content that it can be of. possible: those that what was read so far can be of; None
    before the first byte, until which it may become another version's. writes: how often it was written."""

    number: int
    path: RemotePath
    inode: int
    floor: int
    possible: list[bytes] | None = None
    is_reading: bool = False
    writes: int = 0


class Programs:
    """Its verbs are like the world's. is_tight: whether the cache holds less than all files."""

    def __init__(self, desk: Desk, files: KnownFiles, nursery: trio.Nursery, *, is_tight: bool) -> None:
        self._desk = desk
        self._files = files
        self._nursery = nursery
        self._is_tight = is_tight
        self._open: list[OpenFile] = []
        self._handles = OpenFiles(
            tree=desk.tree,
            store=desk.store,
            transfers=desk.transfers,
            handles=Handles(),
            waits=NetworkWaits(TIMEOUT_S, 100),
            policy=OpenPolicy(OnOpen.FULL, DenyList(()), lambda *_: None),
            editor=desk.editor,
        )

    async def open(self, one: int, _: int) -> None:
        path = path_of(one)
        inode = self._files.inode(path)
        if inode is None:
            return
        number = await self._handles.open(inode, 0)
        try:
            self._handles.hydrate(number)
        except NotFound:
            assert DownloadErrorType.CONTENT_NOT_FOUND in self._files.explained
        self._open.append(OpenFile(number, path, inode, self._files.floors[path]))

    async def read(self, one: int, two: int) -> None:
        """Begin to; what comes is looked at when it comes."""
        file = self._one_open(one)
        if file is not None:
            file.is_reading = True
            self._nursery.start_soon(self._read, file, READ_FROM[two % 4], 40_000)

    async def _read(self, file: OpenFile, offset: int, count: int) -> None:
        writes = file.writes
        try:
            data = await self._handles.read(file.number, offset, count)
        except CloudfsError as error:
            assert self._files.explained or self._is_tight, f"nothing explains {error!r}"
        else:
            if writes == file.writes:
                self._look_at(file, offset, count, data)
        file.is_reading = False

    def _look_at(self, file: OpenFile, offset: int, count: int, data: bytes) -> None:
        contents = file.possible or self._files.contents[file.path][file.floor :]
        # Fewer bytes than there are: as many as the version before had, where a new one was taken over.
        possible = [each for each in contents if each[offset : offset + count].startswith(data)]
        assert possible, f"{len(data)} bytes at {offset} of {file.path!r} are of no one version"
        if data:
            file.possible = possible

    async def close(self, one: int, _: int) -> None:
        file = self._one_open(one)
        if file is not None:
            self._open.remove(file)
            await self._handles.release(file.number)
            await let_go(self._desk.tree, self._desk.store, file.inode)  # as the kernel's forget would

    async def write(self, one: int, two: int) -> None:
        if self._desk.simulator.current.is_disk_full:
            return
        path = path_of(one)
        data = self._files.written(path, SIZES[two % len(SIZES)])
        for file in self._open:
            file.writes += file.inode == self._files.inode(path)  # what is read meanwhile may be of both
        inode = await self._desk.write(path, data)
        for file in self._open:
            if file.inode == inode:
                file.possible, file.writes = [data], file.writes + 1

    async def close_all(self) -> None:
        while self._open:
            await self.close(0, 0)

    async def read_all(self, inode: int, size: int) -> bytes:
        number = await self._handles.open(inode, 0)
        data = await self._handles.read(number, 0, size + 1)
        await self._handles.release(number)
        return data

    def has_open(self, path: RemotePath) -> bool:
        return any(file.path == path for file in self._open)

    def _one_open(self, number: int) -> OpenFile | None:
        idle = [file for file in self._open if not file.is_reading]
        return idle[number % len(idle)] if idle else None
