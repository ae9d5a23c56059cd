"""Telling the kernel what changed in the tree behind its back.

The kernel answers by itself for minutes, so every change that did not come through it is followed by a
notification. These wait for locks that a pending request may hold, and the trio thread must be free to
answer that request: so they are sent from a worker thread, and never awaited by a request.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pyfuse3
import trio

from cloudfs.events import Topic
from cloudfs.fuse.page_cache import PageCache
from cloudfs.fuse.watchers import Watchers
from cloudfs.model.entry import RemotePath, Version
from cloudfs.model.errors import CloudfsError
from cloudfs.tree.changes import AttributesChanged, ContentChanged, EntryChanged, TreeChange
from cloudfs.tree.tree import Tree

_log = logging.getLogger(__name__)

# Changes told by one hop to the thread, which costs several times what a notification does.
_BATCH = 256
# Of each batch so many changes wake their watchers: each costs two requests, and a flood is no news.
_WOKEN = 64
_SENT_BACK = 1000  # opens that may be on their way back


class Invalidation:
    """The task that carries tree changes to the kernel, in order."""

    def __init__(self, tree: Tree, changes: Topic[TreeChange], pages: PageCache, watchers: Watchers) -> None:
        self._tree = tree
        self._changes = changes
        self._pages = pages
        self._watchers = watchers
        self._incoming: trio.MemoryReceiveChannel[TreeChange] | None = None
        # Files that the kernel was told to look up again, and for which thread, the oldest first. Who then
        # finds another file under the name never asks for this one.
        self._sent_back: dict[tuple[int, int], bool] = {}

    def may_write(self, inode: int, thread: int) -> bool:
        """Whether the kernel knows the file's size, at which it appends (O_APPEND).

        Not while news is on its way, unless it was sent back to look: that it does once for each open(2),
        and a program that is refused again sees the error.
        """
        was_sent_back = self._sent_back.pop((inode, thread), False)
        is_told = self._incoming is None or self._incoming.statistics().tasks_waiting_receive > 0
        return is_told or was_sent_back

    def sent_back(self, inode: int, thread: int) -> None:
        """The kernel is told to look a file up again, for a thread that opens it."""
        self._sent_back[inode, thread] = True
        if len(self._sent_back) > _SENT_BACK:
            del self._sent_back[next(iter(self._sent_back))]

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Follow the changes until cancelled; started once no change can be missed any more."""
        with self._changes.subscribe() as changes:
            self._incoming = changes
            task_status.started()
            async for change in changes:
                await self._tell([change, *_at_hand(changes, _BATCH - 1)])

    async def _tell(self, batch: Sequence[TreeChange]) -> None:
        inodes = [change.inode for change in batch if isinstance(change, ContentChanged)]
        stale = {inode: self._version(inode) for inode in inodes}
        # Left behind on cancel: it may wait for a request that nobody answers any more, and ends with the
        # connection to the kernel.
        await trio.to_thread.run_sync(_notify, batch, abandon_on_cancel=True)
        for inode, version in stale.items():
            self._pages.invalidated(inode, version)
        watched = [path for change in batch[:_WOKEN] if (path := self._watched(change)) is not None]
        if watched:
            await trio.to_thread.run_sync(self._watchers.wake, watched, abandon_on_cancel=True)

    def _watched(self, change: TreeChange) -> RemotePath | None:
        """What to touch: what is there now, else its folder. Only known names, whose lookup never waits."""
        try:
            match change:
                case EntryChanged(parent, name):
                    child = self._tree.child(parent, name)
                    return self._tree.path(child.inode if child is not None else parent)
                case ContentChanged(inode):
                    return self._tree.path(inode)
                case AttributesChanged():
                    return None
        except CloudfsError:
            return None

    def _version(self, inode: int) -> Version | None:
        try:
            return self._tree.node(inode).version
        except CloudfsError:
            return None


def _at_hand(changes: trio.MemoryReceiveChannel[TreeChange], limit: int) -> list[TreeChange]:
    """What can be had without waiting."""
    found: list[TreeChange] = []
    try:
        while len(found) < limit:
            found.append(changes.receive_nowait())
    except trio.WouldBlock:
        return found
    return found


def _notify(batch: Sequence[TreeChange]) -> None:
    for change in batch:
        try:
            _notify_of(change)
        except FileNotFoundError:
            continue  # the kernel does not know it: nothing to forget
        except OSError as error:
            _log.debug("the kernel keeps what it knows of %s: %s", change, error)


def _notify_of(change: TreeChange) -> None:
    match change:
        case EntryChanged(parent, name, deleted):
            # A name that is new makes the kernel forget that there was none. `deleted` tells inotify too.
            pyfuse3.invalidate_entry(parent, name, deleted or 0)
        case ContentChanged(inode):
            pyfuse3.invalidate_inode(inode, attr_only=False)
        case AttributesChanged(inode):
            pyfuse3.invalidate_inode(inode, attr_only=True)
