"""What an upload sends: a content as it was at one moment, while programs may write on.

A small one is read into memory; a larger one is cloned, where the file system shares blocks between files,
or else copied up to a limit. Beyond that the file itself is sent, and the first write to it ends the upload
before its body is complete (DESIGN 7.4): never a mixture of two states. A file that is written to again and
again is copied after all, in the end.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from weakref import WeakKeyDictionary

import trio

from cloudfs.cache.content import Content
from cloudfs.cache.files import ContentFiles
from cloudfs.cache.maps import Maps
from cloudfs.cache.space import Space
from cloudfs.cache.turns import Turns
from cloudfs.cache.writing import Writing, translated
from cloudfs.model.errors import ChangedMeanwhile, LocalIOError, LocalStorageFull, TryAgain

MIB = 1024 * 1024
CHUNK = 256 * 1024
_IN_MEMORY = MIB  # an upload has no more than a few of these at a time
_COPIED = 8 * MIB  # writers wait for the copy, some 10 ms
_FICLONE = 0x40049409  # ioctl_ficlone(2)
_ABORTS = 3  # so many uploads of the live file may end in vain


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One state of a content. size: its bytes. edits: how often the content had changed by then.

    sha256: of all of it.
    """

    size: int
    edits: int
    sha256: bytes
    _source: _Source = field(repr=False)

    def chunks(self) -> AsyncIterator[bytes]:
        """The bytes in order, as often as they are asked for. Needs no closing.

        Raises ChangedMeanwhile as soon as this state can't be had any more, before the last chunk is
        handed out; LocalIOError.
        """
        return _Chunks(self._source)


class _Chunks:
    """No generator: one that is given up half-way would have to be closed."""

    def __init__(self, source: _Source) -> None:
        self._source = source
        self._offset = 0

    def __aiter__(self) -> _Chunks:
        return self

    async def __anext__(self) -> bytes:
        offset, self._offset = self._offset, self._offset + CHUNK
        if offset >= self._source.size:
            raise StopAsyncIteration
        return self._source.read(offset, min(CHUNK, self._source.size - offset))


class _Source:
    """Bytes of a state that nobody changes: a copy's or a clone's descriptor, or the bytes themselves."""

    def __init__(self, size: int, *, fd: int | None = None, data: bytes = b"") -> None:
        self.size = size
        self._fd = fd
        self._data = data

    def read(self, offset: int, count: int) -> bytes:
        """In the trio thread: the bytes are in the page cache, and a hop costs more than they do."""
        if self._fd is None:
            return self._data[offset : offset + count]
        return _pread(self._fd, offset, count)

    def digest(self) -> bytes:
        """The SHA-256 of all; takes a second for each GB, so large ones are to be taken in a thread."""
        digest = hashlib.sha256()
        for offset in range(0, self.size, CHUNK):
            digest.update(self.read(offset, min(CHUNK, self.size - offset)))
        return digest.digest()


class _LiveSource(_Source):
    """The cache file itself, for as long as nobody writes to it."""

    def __init__(self, content: Content) -> None:
        super().__init__(content.size, fd=content.fd)
        self._content = content
        self._edits = content.edits
        self.was_changed = False

    def read(self, offset: int, count: int) -> bytes:
        if not self._is_unchanged():
            raise self._changed()
        try:
            data = super().read(offset, count)
        except LocalIOError:
            if self._is_unchanged():
                raise
            raise self._changed() from None
        if not self._is_unchanged():
            raise self._changed()
        return data

    def _is_unchanged(self) -> bool:
        return self._content.edits == self._edits

    def _changed(self) -> ChangedMeanwhile:
        self.was_changed = True
        return ChangedMeanwhile("the file was written to while it was sent")


class Snapshots:
    """Takes them, and counts the room that copies take."""

    def __init__(self, files: ContentFiles, maps: Maps, space: Space, writing: Writing, turns: Turns) -> None:
        self._files = files
        self._maps = maps
        self._space = space
        self._writing = writing
        self._turns = turns
        self._aborts: WeakKeyDictionary[Content, int] = WeakKeyDictionary()

    @asynccontextmanager
    async def take(self, content: Content) -> AsyncIterator[Snapshot]:
        """See Store.snapshot."""
        async with self._turns.take(content):
            await self._check(content)
            edits = content.edits
            content.taken()
            source, fd, copied = await self._source(content)
        try:
            large = source.size > _IN_MEMORY
            sha256 = await trio.to_thread.run_sync(source.digest) if large else source.digest()
            yield Snapshot(source.size, edits, sha256, source)
        finally:
            if isinstance(source, _LiveSource) and source.was_changed:
                self._aborts[content] = self._aborts.get(content, 0) + 1
            if fd is not None:
                os.close(fd)
            if copied:
                self._space.gave(copied)

    async def _check(self, content: Content) -> None:
        """What can be sent: all of it is here, and committed."""
        if content.unflushed:
            raise TryAgain("the file is being written")
        if not content.is_whole or content.is_stale:
            raise TryAgain("a part of the file is still in the cloud alone")
        if content.unsaved:
            # The row that is to turn clean must say that the content is whole.
            if content.durable:
                await self._maps.sync_file(content)
            await self._maps.save([content], durable=content.durable)

    async def _source(self, content: Content) -> tuple[_Source, int | None, int]:
        """Where the bytes are to be had, the descriptor to close at the end, and the room that it takes."""
        size, fd = content.size, content.fd
        if fd is None:
            return _Source(0), None, 0
        if size <= _IN_MEMORY:
            return _Source(size, data=_pread(fd, 0, size)), None, 0
        twin = self._twin()
        try:
            with trio.CancelScope(shield=True):
                if await trio.to_thread.run_sync(_clone, fd, twin):
                    # Its blocks are those of the file until that is written to; the disk tells how many.
                    return _Source(size, fd=twin), twin, 0
                is_due = self._aborts.get(content, 0) >= _ABORTS
                if (size <= _COPIED or is_due) and await self._copy(content, fd, twin):
                    self._aborts.pop(content, None)
                    return _Source(size, fd=twin), twin, size
        except BaseException:
            os.close(twin)
            raise
        os.close(twin)
        return _LiveSource(content), None, 0

    def _twin(self) -> int:
        try:
            return self._files.create_nameless()
        except OSError as error:
            raise translated(error) from error

    async def _copy(self, content: Content, fd: int, twin: int) -> bool:
        """Whether there was room for a copy, which then is counted."""
        try:
            await self._writing.make_room_for_edit(content, content.size)
            await trio.to_thread.run_sync(_copy, fd, twin, content.size)
        except LocalStorageFull:
            return False
        self._space.took(content.size)
        return True


def can_clone(directory: Path) -> bool | None:
    """Whether files of a directory can share blocks; None where it can't be found out.

    Tried with files that have no name, of which nothing stays.
    """
    try:
        with TemporaryFile(dir=directory) as file, TemporaryFile(dir=directory) as twin:
            return _clone(file.fileno(), twin.fileno())
    except OSError:
        return None


def _clone(fd: int, twin: int) -> bool:
    """Whether the file system shares the blocks of one file with another."""
    try:
        fcntl.ioctl(twin, _FICLONE, fd)
    except OSError:
        return False
    return True


def _copy(fd: int, twin: int, size: int) -> None:
    try:
        offset = 0
        while offset < size:
            copied = os.sendfile(twin, fd, offset, size - offset)
            if copied == 0:
                raise LocalIOError("the cache file is shorter than it was")
            offset += copied
    except OSError as error:
        raise translated(error) from error


def _pread(fd: int, offset: int, count: int) -> bytes:
    try:
        data = os.pread(fd, count, offset)
    except OSError as error:
        raise LocalIOError(f"the cache file can't be read ({error.strerror})") from error
    if len(data) < count:
        raise LocalIOError("the cache file is shorter than it was")
    return data
