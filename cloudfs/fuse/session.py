"""The FUSE session: mounts, serves, tells the kernel what changed, unmounts.

One a process, for pyfuse3 is global. Task owner: pyfuse3's main loop has a nursery of its own for requests;
beside it run the invalidation and the removal of entries that lost their name, both in this session's
nursery. A request starts no task.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pyfuse3
import trio

from cloudfs.cache.store import Store
from cloudfs.clouds.base import Quota
from cloudfs.events import Topic
from cloudfs.fuse.callers import Caller
from cloudfs.fuse.handles import Handles
from cloudfs.fuse.invalidation import Invalidation
from cloudfs.fuse.mountpoint import MountEntry, unmount
from cloudfs.fuse.names import Names
from cloudfs.fuse.open_files import OpenFiles, OpenPolicy
from cloudfs.fuse.operations import Operations, Parts
from cloudfs.fuse.page_cache import PageCache
from cloudfs.fuse.tuning import raise_limits
from cloudfs.fuse.unused import Unused
from cloudfs.fuse.waits import NetworkWaits
from cloudfs.fuse.watchers import Watchers
from cloudfs.fuse.writable_operations import WritableOperations
from cloudfs.fuse.writing import Writing
from cloudfs.fuse.xattrs import Attributes, Facts
from cloudfs.model.errors import MountFailed
from cloudfs.transfers.editing import Editor
from cloudfs.transfers.listings import Listings
from cloudfs.transfers.pool import Transfers
from cloudfs.tree.changes import TreeChange
from cloudfs.tree.tree import Tree

_log = logging.getLogger(__name__)

# pyfuse3 answers nothing once all its tasks wait (its default is 99); a parked one costs 2 kB.
_MAX_TASKS = 1000
_MIN_TASKS = 8
# Tasks that are never given to waiters, so that lookups and cached reads stay answered.
_RESERVED_TASKS = 64
_CLOSE_S = 5.0


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """[mount] and [cloud] as far as the kernel's side needs them.

    timeout_s: the longest that one request waits on the network. read_only: programs may change nothing.
    entry: how the mount table is to show it.
    """

    mountpoint: Path
    allow_other: bool
    timeout_s: float
    read_only: bool = False
    entry: MountEntry = field(default_factory=MountEntry)


class Session:
    """One mount, from `run` to its end."""

    def __init__(
        self,
        *,
        options: SessionOptions,
        tree: Tree,
        changes: Topic[TreeChange],
        store: Store,
        listings: Listings,
        transfers: Transfers,
        editor: Editor,
        policy: OpenPolicy,
        changed: Callable[[int, Caller], None],
        facts: Facts,
        quota: Callable[[], Quota | None],
    ) -> None:
        """changed: told the inode and the program that changed a file which was as the cloud has it."""
        self._options = options
        self._tree = tree
        self._store = store
        self._is_mounted = False
        self._unused = Unused(tree, store)
        pages = PageCache()
        watchers = Watchers(options.mountpoint)
        self._handles = Handles()
        self._waits = NetworkWaits(options.timeout_s, _MAX_TASKS - _RESERVED_TASKS)
        self._files = OpenFiles(
            tree=tree,
            store=store,
            transfers=transfers,
            handles=self._handles,
            waits=self._waits,
            policy=policy,
            editor=editor,
        )
        self._invalidation = Invalidation(tree, changes, pages, watchers)
        parts = Parts(
            tree=tree,
            store=store,
            names=Names(tree, listings, self._waits),
            files=self._files,
            handles=self._handles,
            attributes=Attributes(tree, facts),
            pages=pages,
            watchers=watchers,
            quota=quota,
            unused=self._unused.note,
        )
        if options.read_only:
            self._operations = Operations(parts)
        else:
            writing = Writing(tree, store, editor, self._files, self._handles, changed=changed)
            self._operations = WritableOperations(parts, writing, self._invalidation)

    @property
    def is_mounted(self) -> bool:
        """Whether programs can use the mount at this moment."""
        return self._is_mounted

    @property
    def waiting(self) -> int:
        """Requests that wait on the network."""
        return self._waits.waiting

    @property
    def open_handles(self) -> int:
        """Files and folders that programs have open."""
        return len(self._handles)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Mount, serve, and unmount on the way out.

        Started once requests are answered. Returns when somebody unmounts (`unmount`, fusermount3(1),
        umount(8)); when cancelled, the mount is taken away under the programs that use it. Either way
        nothing is mounted and every file is closed afterwards. The mountpoint has been prepared
        (`mountpoint.prepare`). MountFailed where it can't be mounted.
        """
        self._mount()
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(self._invalidation.run)
                nursery.start_soon(self._unused.run)
                nursery.start_soon(self._greet, task_status)
                await pyfuse3.main(_MIN_TASKS, _MAX_TASKS)
                nursery.cancel_scope.cancel()
        finally:
            self._is_mounted = False
            pyfuse3.close(unmount=True)  # lazily; closing the device also ends whatever still waits for us
            with trio.move_on_after(_CLOSE_S) as scope:
                scope.shield = True
                await self._files.release_all()

    async def unmount(self) -> None:
        """End the mount; `run` returns then. TryAgain while programs use it, MountFailed."""
        await trio.to_thread.run_sync(unmount, self._options.mountpoint, abandon_on_cancel=True)

    def _mount(self) -> None:
        # Not `ro`: pins and `user.*` attributes can be set, changes are refused by the handlers.
        options = {"default_permissions"} | self._options.entry.options()
        if self._options.allow_other:
            options.add("allow_other")
        try:
            pyfuse3.init(self._operations, str(self._options.mountpoint), options)
        except RuntimeError as error:
            pyfuse3.close(unmount=False)
            hint = "; allow_other needs the line user_allow_other in /etc/fuse.conf"
            raise MountFailed(
                f"{self._options.mountpoint} could not be mounted: {error}"
                f"{hint if self._options.allow_other else ''}"
            ) from error

    async def _greet(self, task_status: trio.TaskStatus[None]) -> None:
        """The first requests are our own, from a thread: they prove that the mount answers."""
        await trio.to_thread.run_sync(raise_limits, self._options.mountpoint, abandon_on_cancel=True)
        self._is_mounted = True
        task_status.started()
