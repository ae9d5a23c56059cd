"""What a mount stands on: its memory, its cache, its cloud, and what moves between them."""

from __future__ import annotations

import os
from collections.abc import Callable

import trio

from cloudfs.cache.store import Store
from cloudfs.clouds.base import Cloud
from cloudfs.cloudsync.history_writer import HistoryWriter
from cloudfs.cloudsync.leftovers import Leftovers
from cloudfs.cloudsync.quota_memory import QuotaMemory
from cloudfs.cloudsync.readiness import CloudReadiness
from cloudfs.config import MountConfig
from cloudfs.daemon.services import Service
from cloudfs.database.bridge import Database
from cloudfs.database.history import History
from cloudfs.database.journal import Journal
from cloudfs.database.settings import Settings
from cloudfs.events import EventLog, Topic
from cloudfs.model.enums import CloudState, Scope
from cloudfs.model.errors import AccessRefused, CloudfsError, NotFound, Unauthorized
from cloudfs.model.uri import Uris
from cloudfs.simulation import Simulator
from cloudfs.transfers.editing import Editor
from cloudfs.transfers.listings import Listings
from cloudfs.transfers.pool import Transfers
from cloudfs.tree.changes import AttributesChanged, TreeChange
from cloudfs.tree.tree import Tree


class Foundation:
    """The lower parts of one mount. Nothing runs yet when this is made.

    new_cloud: makes the cloud, given whom to tell how it answers to each request.
    simulator: runs with it; its store is to meet what is simulated. uid, gid: the mounting user's.
    changed_here: told the scope of each change made here. cloud_returned: told when the cloud answers after
    a while in which it did not. Neither may block.
    """

    def __init__(
        self,
        config: MountConfig,
        database: Database,
        new_cloud: Callable[[Callable[[CloudState], None]], Cloud],
        *,
        simulator: Simulator,
        uid: int,
        gid: int,
        changed_here: Callable[[Scope], None],
        cloud_returned: Callable[[], None],
    ) -> None:
        timeout_s = config.cloud.timeout
        self._simulator = simulator
        self.is_cloud_known = trio.Event()  # whether it can be reached
        self.gallery = [os.fsencode(folder) for folder in config.gallery.folders]
        self.uris = Uris(config.mount.bundle, os.fsencode(config.mount.path))

        self.settings = Settings(database)
        self.events = EventLog(Journal(database))
        self.history = HistoryWriter(History(database))
        self.changes: Topic[TreeChange] = Topic()
        self.tree = Tree(
            database,
            self.changes,
            uid=uid,
            gid=gid,
            gallery=self.gallery,
            changed_here=changed_here,
            content_free=self._content_free,
        )
        self.store = Store(
            config.cache.path,
            database,
            size=config.cache.size,
            min_free=config.cache.min_free,
            is_pinned=self._is_pinned,
            held_changed=lambda inode: self.changes.publish(AttributesChanged(inode)),
            path_of=self._path_of,
            is_disk_full=lambda: simulator.current.is_disk_full,
        )
        self.leftovers = Leftovers(self.store)

        self.cloud = new_cloud(self._heard)
        self.readiness = CloudReadiness(self._probe_root, cloud_returned)
        self.quota = QuotaMemory(self.cloud)

        self.listings = Listings(
            self.tree,
            self.store,
            self.cloud,
            timeout_s=timeout_s,
            root_answered=self._root_answered,
        )
        self.transfers = Transfers(
            self.tree,
            self.store,
            self.cloud,
            self.listings,
            self.events,
            news=self.changes,
            uri_of=self.uri_of,
            timeout_s=timeout_s,
            fetched=self.history.received,
        )
        self.editor = Editor(self.tree, self.store, self.transfers)

    @property
    def services(self) -> tuple[Service, ...]:
        """To be started in this order."""
        return (
            self._simulator,
            self.events,
            self.history,
            self.cloud,
            self.readiness,
            self.quota,
            self.store,
            self.leftovers,
            self.listings,
            self.transfers,
        )

    def uri_of(self, inode: int) -> str | None:
        """The canonical URI; None where its name is no UTF-8, or it is unlinked and still open."""
        path = self._path_of(inode)
        return None if path is None else self.uris.canonical(path)

    # --- between the parts ---

    def _path_of(self, inode: int) -> bytes | None:
        try:
            return self.tree.path(inode)
        except NotFound:
            return None  # unlinked, and still open

    def _content_free(self, inode: int) -> None:
        self.leftovers.drop(inode)

    def _is_pinned(self, inode: int) -> bool:
        try:
            return self.tree.is_pinned(inode)
        except NotFound:
            return False  # the entry is gone, and its content may go like any other

    async def _probe_root(self) -> object:
        return await self.cloud.stat(b"")

    def _heard(self, state: CloudState) -> None:
        if state is CloudState.UNAUTHORIZED:
            self.readiness.unauthorized(Unauthorized("the cloud refused the credentials", status=401))
        elif state is CloudState.OFFLINE:
            self.readiness.unreachable()
            self.is_cloud_known.set()
        else:
            self.readiness.answered()

    def _root_answered(self, failure: CloudfsError | None) -> None:
        if failure is None:
            self.readiness.ready()
        elif isinstance(failure, AccessRefused) or failure.status == 503:
            self.readiness.root_refused(failure)
