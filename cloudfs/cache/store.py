"""The content cache: cache files, what is held of them, and which of them may stay.

Invariants: only bytes that were written are ever read; one Content an inode is current, the others are
detached and serve those who had them open; who uses a Content has counted itself by `open`; dirty content
goes only once the cloud has it, or its entry is gone.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

import trio

from cloudfs.cache.content import Content, ContentState
from cloudfs.cache.directory import boot_id
from cloudfs.cache.edits import Also, Edits
from cloudfs.cache.eviction import Eviction
from cloudfs.cache.files import ContentFiles
from cloudfs.cache.held import HeldBytes
from cloudfs.cache.maps import Maps
from cloudfs.cache.recovery import Recovery
from cloudfs.cache.removal import Removal
from cloudfs.cache.safekeeping import Safekeeping
from cloudfs.cache.snapshots import Snapshot, Snapshots
from cloudfs.cache.space import CacheUsage, Space
from cloudfs.cache.tags import PathTags
from cloudfs.cache.turns import Turns
from cloudfs.cache.writing import Writing
from cloudfs.database.bridge import Database
from cloudfs.database.contents import Contents, write_uploaded
from cloudfs.model.entry import Version
from cloudfs.model.errors import CloudfsError, LocalIOError

log = logging.getLogger(__name__)


class Store:
    """The cache of one mount. The directory must have been claimed (`directory.claim`).

    size, min_free: bytes that it may use, and that must stay free on its disk.
    is_pinned: whether an inode's content is to stay.
    path_of: the path of an inode in the mount, for the day its row is lost; None where it has none.
    held_changed: told of an inode of which more or less is held now: when a file was fetched whole, at
    the last close, when content goes. Must not block.
    is_disk_full: whether its disk is to count as full, whatever it says.
    boot: the running boot of the machine.
    """

    def __init__(
        self,
        directory: Path,
        database: Database,
        *,
        size: int,
        min_free: int,
        is_pinned: Callable[[int], bool],
        path_of: Callable[[int], bytes | None] = lambda inode: None,
        held_changed: Callable[[int], None] = lambda inode: None,
        is_disk_full: Callable[[], bool] = lambda: False,
        boot: str | None = None,
    ) -> None:
        boot = boot_id() if boot is None else boot
        self._rows = Contents(database)
        self._files = ContentFiles(directory)
        self._tags = PathTags()
        self._maps = Maps(self._rows, self._files, boot)
        self._space = Space(directory, size=size, min_free=min_free, is_full=is_disk_full)
        self._held = HeldBytes(self._rows, held_changed)
        self._contents: dict[int, Content] = {}
        self._eviction = Eviction(
            rows=self._rows,
            maps=self._maps,
            files=self._files,
            space=self._space,
            held=self._held,
            residents=self._contents,
            is_pinned=is_pinned,
        )
        turns = Turns()
        self._removal = Removal(
            residents=self._contents,
            eviction=self._eviction,
            maps=self._maps,
            space=self._space,
            turns=turns,
            put_away=self._put_away,
        )
        self._writing = Writing(self._files, self._maps, self._space, self._eviction, turns)
        self._snapshots = Snapshots(self._files, self._maps, self._space, self._writing, turns)
        self._safekeeping = Safekeeping(self._rows, self._files, boot)
        self._recovery = Recovery(directory, self._rows, self._files, self._tags, boot)
        self.edits = Edits(
            files=self._files,
            maps=self._maps,
            space=self._space,
            writing=self._writing,
            turns=turns,
            tags=self._tags,
            path_of=path_of,
        )
        self.unsafe: list[int] = []
        self._users: Counter[int] = Counter()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the maps committed until cancelled. Raises LocalIOError where the directory is no good.

        Usable at once, however much is cached: files are looked at when they are opened, and those that
        no row knows are removed in the background.
        """
        try:
            self._files.prepare()
        except OSError as error:
            raise LocalIOError(f"the cache directory can't be used ({error.strerror})") from error
        self.unsafe = await self._recovery.settle()
        self._space.used = self._rows.totals().held_bytes
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._maps.run)
            nursery.start_soon(self._safekeeping.run)
            nursery.start_soon(self._recovery.sweep, self._files_in_use)
            task_status.started()

    # --- who uses what ---

    async def open(self, inode: int, version: Version | None) -> Content:
        """The content of this version, and the caller is one of its users until `close`.

        A dirty content is what there is, whatever version is asked for. None: the cloud never had the
        file; where nothing is kept of it, it is empty.
        Waits only while it is being evicted, or while one of another version is put aside (its users
        keep theirs). Raises LocalIOError, LocalStorageFull.
        """
        while True:
            content = self._contents.get(inode)
            if content is None:
                content = self._maps.load(inode) or Content(inode, version)
                self._contents[inode] = content
            if content.state is ContentState.EVICTING:
                await self._eviction.over(inode)
            elif content.is_dirty or version is None:
                self.keep(content)
                return content
            elif content.version is not None and content.version.is_same_as(version):
                content.version = version
                self.keep(content)
                return content
            else:
                await self.discard(inode)

    def create(self, inode: int) -> Content:
        """The empty content of a file that was made a moment ago; the caller is its user until `close`.

        The commit that made the entry says that it is new, so its first bytes need no other.
        """
        content = Content(inode, None)
        content.marked()
        self._contents[inode] = content
        self.keep(content)
        return content

    def keep(self, content: Content) -> None:
        """One more user of a content that has one: until its own `close`."""
        content.users += 1
        self._users[content.inode] += 1

    async def close(self, content: Content) -> None:
        """One user less; the last one's leaving commits the map and closes the file. Shielded.

        Where the map can't be committed that is logged: those bytes are fetched again one day. What
        programs wrote stays in memory for that, and is committed as soon as that is possible.
        """
        try:
            while content.users == 1 and content.unsaved and not content.detached and content.fd is not None:
                await self._maps.keep(content)
        except CloudfsError as error:
            log.warning("what is held of inode %d can't be recorded: %s", content.inode, error.reason)
        content.users -= 1
        self._users[content.inode] -= 1
        if not self._users[content.inode]:
            del self._users[content.inode]
        if content.users == 0 and (content.detached or not content.unflushed):
            self._put_away(content)

    def begin_writing(self, content: Content) -> None:
        """One more handle that may write, until `end_writing`."""
        content.writers += 1

    def end_writing(self, content: Content) -> None:
        content.writers -= 1

    def is_in_use(self, inode: int) -> bool:
        """Whether a handle or a transfer has any content of this inode, detached ones too."""
        return inode in self._users

    def is_untouched(self, content: Content) -> bool:
        """Whether nobody can have seen a byte of it, so that it may become the content of another version."""
        is_old = content.detached or content.was_filled or content.is_dirty
        return not is_old and self._users[content.inode] <= content.users

    # --- bytes ---

    def read_at(self, content: Content, offset: int, size: int) -> bytes:
        """Held bytes, fewer than `size` only at the end of the file; in the trio thread (FACTS section 1).

        Raises ValueError where they are not held, LocalIOError where the disk no longer has them: they
        are not claimed any more then, and the next read fetches them.
        """
        size = min(size, content.size - offset)
        if size <= 0:
            return b""
        if content.fd is None or not content.held.covers(offset, offset + size):
            raise ValueError(f"[{offset}, {offset + size}) of {content!r} is not held")
        try:
            found = os.pread(content.fd, size, offset)
        except OSError as error:
            self._lose(content, offset, offset + size)
            raise LocalIOError(f"the cache file can't be read ({error.strerror})") from error
        if len(found) < size:
            self._lose(content, offset + len(found), content.size)
            raise LocalIOError("the cache file is shorter than it was")
        return found

    async def write_at(self, content: Content, offset: int, data: bytes) -> None:
        """Bytes of the cloud's version are in the cache file and count as held, as far as they lacked.

        Makes room first, as `admit` does. What programs wrote meanwhile is left alone, and so is what lies
        beyond the end where they have cut the file. Without a reservation a clean content's own oldest bytes
        go where no others can, so that a file of any size can be read through. Raises LocalStorageFull,
        LocalIOError; nothing is claimed then.
        """
        await self._writing.write(content, offset, data)

    async def admit(self, content: Content, count: int) -> None:
        """Keep `count` bytes of room for this content until they are written or `waive` is called.

        Evicts what was least recently used. Raises LocalStorageFull, and nothing is kept then.
        """
        await self._writing.admit(content, count)

    def waive(self, content: Content) -> None:
        """Give up what is left of the content's reservation."""
        self._space.reserved -= content.reserved
        content.reserved = 0

    def check_fits(self, inode: int, size: int) -> None:
        """Raise LocalStorageFull where what lacks of a file cannot fit, whatever other file is evicted."""
        self._writing.check_fits(inode, size - self.held_bytes(inode), is_dirty=self.is_dirty(inode))

    def window(self, content: Content) -> int:
        """About how many bytes of a content without reservation can be held at the same time."""
        return max(0, self._space.room()) + content.held_bytes

    async def settle(self, content: Content) -> None:
        """What is held is synced to the disk, and the committed map says so.

        Raises LocalStorageFull, LocalIOError; it then is as safe as before.
        """
        await self._maps.sync(content)
        if not content.detached:
            self._held.note(content.inode, content.held_bytes)

    async def discard(self, *inodes: int) -> None:
        """Drop what is held of these files, as the cloud has it; rows first, then the files.

        What is not in memory goes together, from this very step on. Programs that have one open keep their
        content, detached; the next open begins with a placeholder. Raises TryAgain where one is dirty or open
        for writing, and LocalStorageFull, LocalIOError: the other ones may be dropped then, or not.
        """
        await self._removal.discard(*inodes)

    async def forget(self, *inodes: int) -> None:
        """Drop what is held of files whose entries are gone, whatever it is; rows first, then the files.

        What is not in memory goes together, from this very step on. Programs that have one open keep their
        content, detached. Raises LocalStorageFull, LocalIOError.
        """
        await self._removal.forget(*inodes)

    # --- what the cloud is to get ---

    def snapshot(self, content: Content) -> AbstractAsyncContextManager[Snapshot]:
        """The content as it is now, to be sent while programs may write on.

        It must be whole and flushed: TryAgain else. The first write from here on is marked as a newer
        generation before it changes anything, so the entry's generation is to be read before entering.
        Where nothing can be kept aside the file itself is sent: a write then makes entering, or `chunks`,
        raise ChangedMeanwhile. LocalIOError.
        """
        return self._snapshots.take(content)

    def uploaded_row(self, content: Content, version: Version, generation: int) -> Also:
        """For the commit that records it: the cloud has this generation, as `version`.

        The row turns clean unless a newer generation was marked before that commit.
        """
        inode, content.was_sent = content.inode, True
        return lambda connection: write_uploaded(connection, inode, version, generation)

    def note_uploaded(self, content: Content, version: Version, is_clean: bool) -> None:
        """That commit was done. is_clean: no newer generation had been marked in the commits before it.

        One that was marked since, or is about to be, keeps the content dirty.
        """
        if not is_clean or content.is_marked or content.unflushed or content.changers:
            content.version = version
            return
        content.cleaned(version)
        if content.fd is not None:
            self._tags.take(content.fd)

    def note_moved(self, inodes: Iterable[int]) -> None:
        """The cloud has these files under other URLs: the tags of before say nothing any more."""
        for inode in inodes:
            content = self._contents.get(inode)
            if content is not None and content.version is not None:
                content.version = replace(content.version, etag=None)

    # --- what is known ---

    def held_bytes(self, inode: int) -> int:
        """Bytes held of a file, as the next open would find them; no wait."""
        content = self._contents.get(inode)
        if content is not None:
            return 0 if content.state is ContentState.EVICTING else content.held_bytes
        return self._held.of(inode)

    def is_whole(self, inode: int, size: int) -> bool:
        """Whether nothing lacks of a file that has `size` bytes as far as the tree knows."""
        content = self._contents.get(inode)
        if content is not None and content.is_dirty:
            return content.is_whole
        return self.held_bytes(inode) == size

    def is_dirty(self, inode: int) -> bool:
        """Whether the file's content is newer than what the cloud has."""
        content = self._contents.get(inode)
        return content.is_dirty if content is not None else self._rows.is_dirty(inode)

    def is_unflushed(self, inode: int) -> bool:
        """Whether it was changed since it was last committed."""
        content = self._contents.get(inode)
        return content is not None and content.unflushed

    def is_written(self, inode: int) -> bool:
        """Whether a handle may write to it."""
        content = self._contents.get(inode)
        return content is not None and content.writers > 0

    def written(self, inode: int) -> tuple[int, int] | None:
        """Size and mtime (epoch nanoseconds) of what is not committed yet; None where the tree knows all."""
        content = self._contents.get(inode)
        if content is None or not content.unflushed or content.mtime_ns is None:
            return None
        return content.size, content.mtime_ns

    def warm(self, inodes: Sequence[int]) -> None:
        """Know `held_bytes` of all these by one read."""
        self._held.warm(inodes)

    @property
    def usage(self) -> CacheUsage:
        return CacheUsage(self._space.used, self._space.size, self._rows.totals().files)

    # --- inside ---

    def _put_away(self, content: Content) -> None:
        self.waive(content)
        self._maps.drop(content)
        if content.fd is not None:
            os.close(content.fd)
            content.fd = None
        if content.detached:
            self._space.gave(content.held_bytes)
        elif self._contents.get(content.inode) is content:
            del self._contents[content.inode]
            told = self._held.remember if content.version is None else self._held.note
            told(content.inode, content.held_bytes)
            if content.file_id is not None:
                self._maps.used(content.inode)
                if not content.durable:
                    self._safekeeping.note(content.inode)

    def _lose(self, content: Content, start: int, stop: int) -> None:
        """The disk does not give these bytes: claim them no more. Dirty ones can't be fetched instead."""
        log.error("cache file %s of inode %d is damaged", content.file_id, content.inode)
        if not content.is_dirty:
            self._space.gave(content.drop(start, stop))
            self._maps.note(content, 0)

    def _files_in_use(self) -> set[str]:
        return {content.file_id for content in self._contents.values() if content.file_id is not None}
