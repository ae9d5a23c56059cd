"""One mount's parts: built here once, and handed to each other; and the mount from its start to its end."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import trio

from cloudfs.cache.store import Store
from cloudfs.clouds.http import BasicCredentials, BearerCredentials, Credentials, Http
from cloudfs.clouds.webdav import WebDav
from cloudfs.cloudsync.cloud_file_cache import CloudFileCache
from cloudfs.cloudsync.file_sync import FileSync
from cloudfs.cloudsync.file_sync_state import FileSyncStates
from cloudfs.cloudsync.history_writer import HistoryWriter
from cloudfs.cloudsync.mount_info import MountStatus, StateRows, StatusSources
from cloudfs.cloudsync.pins import Pins
from cloudfs.cloudsync.quota_memory import QuotaMemory
from cloudfs.cloudsync.readiness import CloudReadiness
from cloudfs.config import Login, MountConfig, socket_directory
from cloudfs.control.callers import Permissions
from cloudfs.control.cloud_file_cache import cloud_file_cache_methods, download_methods
from cloudfs.control.cloud_sync import cloud_sync_methods
from cloudfs.control.file_sync import sync_methods
from cloudfs.control.methods import Methods
from cloudfs.control.mode_bits import ModeBits
from cloudfs.control.mount import MountServices, mount_methods
from cloudfs.control.server import ControlServer
from cloudfs.daemon.services import Service
from cloudfs.database.bridge import Database
from cloudfs.database.history import History, HistoryRecord
from cloudfs.database.identities import Identities
from cloudfs.database.journal import Journal
from cloudfs.database.settings import Settings
from cloudfs.device import Device
from cloudfs.events import EventLog, Topic
from cloudfs.fuse.callers import Caller, DenyList
from cloudfs.fuse.open_files import OpenPolicy
from cloudfs.fuse.session import Session, SessionOptions
from cloudfs.fuse.xattrs import Facts
from cloudfs.model.enums import CloudState, Scope
from cloudfs.model.errors import AccessRefused, CloudfsError, NotFound, Unauthorized
from cloudfs.model.node import ROOT
from cloudfs.model.uri import Uris
from cloudfs.sync.engine import Engine
from cloudfs.sync.reappearance import Reappearance
from cloudfs.transfers.listings import Listings
from cloudfs.transfers.pool import Transfers
from cloudfs.tree.changes import AttributesChanged, TreeChange
from cloudfs.tree.tree import Tree

log = logging.getLogger(__name__)

DATABASE_NAME = "cloudfs.db"
ANSWER_S = 2.0  # for the answer to a client that asked for the unmount


def _credentials(login: Login | None) -> Credentials | None:
    if login is None:
        return None
    if not login.username:
        return BearerCredentials(login.secret)
    return BasicCredentials(login.username, login.secret)


def _cloud(config: MountConfig, login: Login | None, on_state: Callable[[CloudState], None]) -> WebDav:
    http = Http(
        config.cloud.url,
        credentials=_credentials(login),
        timeout_s=config.cloud.timeout,
        max_connections=config.cloud.max_connections,
        ca_file=config.cloud.ca_file,
        on_state=on_state,
    )
    return WebDav(config.cloud.url, http)


def _socket_directory() -> Path | None:
    try:
        return socket_directory()
    except ValueError:
        return None  # no runtime directory: nobody looks there


class Mount:
    """One mount's parts, built once from its configuration and handed to each other.

    Nothing runs yet when this is made; `services` are to be started in their order.
    """

    def __init__(self, config: MountConfig, login: Login | None, database: Database) -> None:
        self._config = config
        timeout_s = config.cloud.timeout
        gallery = [os.fsencode(folder) for folder in config.gallery.folders]
        uris = Uris(config.mount.bundle, os.fsencode(config.mount.path))
        self._end = trio.Event()
        self._is_unmounting = False
        self._is_known = trio.Event()  # whether the cloud can be reached

        # What is known and kept.
        self._changes: Topic[TreeChange] = Topic()
        self._events = EventLog(Journal(database))
        self._history = HistoryWriter(History(database))
        self.tree = Tree(database, self._changes, uid=os.getuid(), gid=os.getgid(), gallery=gallery)
        self._store = Store(
            config.cache.path,
            database,
            size=config.cache.size,
            min_free=config.cache.min_free,
            is_pinned=self._is_pinned,
            held_changed=lambda inode: self._changes.publish(AttributesChanged(inode)),
        )

        # The cloud, and what moves between it and here.
        self._cloud = _cloud(config, login, self._heard)
        self._readiness = CloudReadiness(self._probe_root)
        self._quota = QuotaMemory(self._cloud)
        self._listings = Listings(
            self.tree,
            self._store,
            self._cloud,
            timeout_s=timeout_s,
            root_answered=self._root_answered,
        )
        self._transfers = Transfers(
            self.tree,
            self._store,
            self._cloud,
            self._listings,
            self._events,
            uri_of=self._uri_of,
            timeout_s=timeout_s,
        )

        # The reference's classes.
        engine = self._new_engine(database, gallery)
        self._syncs = {scope: self._new_sync(scope, engine, database) for scope in Scope}
        pins = Pins(self.tree, self._listings, self._transfers)
        self._cache = CloudFileCache(
            self.tree,
            self._store,
            self._transfers,
            listings=self._listings,
            pins=pins,
            uris=uris,
        )
        self._states = FileSyncStates(self.tree, self._store, self._transfers)
        status = MountStatus(
            config,
            StatusSources(
                readiness=self._readiness,
                syncs=self._syncs,
                transfers=self._transfers,
                store=self._store,
                tree=self.tree,
                held_deletes=lambda: engine.held_deletes,
            ),
        )

        # The two ways in.
        self._session = self._new_session(status)
        self._control = self._new_control(status, engine)
        self.services: tuple[Service, ...] = (
            self._events,
            self._history,
            self._cloud,
            self._readiness,
            self._quota,
            self._store,
            self._listings,
            self._transfers,
            pins,
        )

    def _new_engine(self, database: Database, gallery: Sequence[bytes]) -> Engine:
        return Engine(
            self.tree,
            self._listings,
            self._transfers,
            Reappearance(self.tree, Identities(database)),
            Settings(database),
            gallery=gallery,
            delete_brake=self._config.sync.delete_brake,
            parallel=max(1, self._config.cloud.max_connections - 4),
        )

    def _new_sync(self, scope: Scope, engine: Engine, database: Database) -> FileSync:
        config = self._config
        device = Device(config.device, config.cloud.url)
        return FileSync(
            scope,
            engine.sync_scope,
            publish=self._events.publish,
            latest=self._events.latest,
            settings=Settings(database),
            readiness=self._readiness,
            refusal=device.refusal,
            interruption=lambda: device.interruption(wifi_only=config.sync.wifi_only),
            times=config.sync,
        )

    def _new_session(self, status: MountStatus) -> Session:
        config = self._config
        return Session(
            options=SessionOptions(config.mount.path, config.mount.allow_other, config.cloud.timeout),
            tree=self.tree,
            changes=self._changes,
            store=self._store,
            listings=self._listings,
            transfers=self._transfers,
            policy=OpenPolicy(
                config.hydration.on_open, DenyList(config.hydration.deny), self._hydration_begun
            ),
            facts=Facts(
                states=self._states,
                uri=self._uri_of,
                media_uri=self._cache.media_uri,
                sync=lambda scope: self._syncs[scope].progress,
                last_sync_time_ms=lambda scope: self._syncs[scope].last_sync_time_ms,
                pending=lambda: status.pending,
                set_pin=self._cache.set_pin,
            ),
            quota=lambda: self._quota.quota,
        )

    def _new_control(self, status: MountStatus, engine: Engine) -> ControlServer:
        config = self._config
        mode_bits = ModeBits(self.tree)
        services = MountServices(
            status=status,
            rows=StateRows(config, self.tree, self._states, self._cache),
            cache=self._cache,
            syncs=self._syncs,
            confirm=engine.confirm,
            unmount=self._unmount,
            end=self._end.set,
        )
        methods = [
            *cloud_file_cache_methods(self._cache, mode_bits),
            *download_methods(self._cache),
            *cloud_sync_methods(self._cache, self._states),
            *(method for sync in self._syncs.values() for method in sync_methods(sync)),
            *mount_methods(services),
        ]
        return ControlServer(
            config.socket,
            config.control.mode,
            Methods(methods, Permissions(config.control.grant)),
            events=self._events,
            may_read=mode_bits.may_read,
            directory=_socket_directory(),
        )

    async def serve(self, ready: Callable[[], None]) -> None:
        """Mount, and serve until the end is asked for, by a signal, by `umount`, or from outside."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._end_on_signal)
            await nursery.start(self._serve_kernel)
            for sync in self._syncs.values():
                await nursery.start(sync.run)
            # The last one, for a start or a question must not come before the syncs recall how they stand.
            await nursery.start(self._control.run)
            await self._look_at_root()
            ready()
            await self._end.wait()
            nursery.cancel_scope.cancel()

    async def _serve_kernel(self, *, task_status: trio.TaskStatus[None]) -> None:
        await self._session.run(task_status=task_status)
        log.info("unmounted")
        with trio.move_on_after(ANSWER_S if self._is_unmounting else 0):
            await self._end.wait()  # who asked for it is answered first
        self._end.set()

    async def _unmount(self) -> None:
        self._is_unmounting = True
        try:
            await self._session.unmount()
        except CloudfsError:
            self._is_unmounting = False
            raise

    async def _end_on_signal(self) -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            async for number in signals:
                log.info("ending by %s", signal.Signals(number).name)
                self._end.set()

    async def _look_at_root(self) -> None:
        """The mount is ready with its root listed, or with the cloud known to be out of reach."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._list_root)
            await self._is_known.wait()
            nursery.cancel_scope.cancel()

    async def _list_root(self) -> None:
        try:
            await self._listings.ensure(ROOT)
        except CloudfsError as error:
            log.warning("the cloud's root can't be listed yet: %s", error.reason)
        self._is_known.set()

    # --- between the parts ---

    async def _probe_root(self) -> object:
        return await self._cloud.stat(b"")

    def _heard(self, state: CloudState) -> None:
        if state is CloudState.UNAUTHORIZED:
            self._readiness.unauthorized(Unauthorized("the cloud refused the credentials", status=401))
        elif state is CloudState.OFFLINE:
            self._readiness.unreachable()
            self._is_known.set()
        else:
            self._readiness.answered()

    def _root_answered(self, failure: CloudfsError | None) -> None:
        if failure is None:
            self._readiness.ready()
        elif isinstance(failure, AccessRefused) or failure.status == 503:
            self._readiness.root_refused(failure)

    def _is_pinned(self, inode: int) -> bool:
        try:
            return self.tree.is_pinned(inode)
        except NotFound:
            return False  # the entry is gone, and its content may go like any other

    def _uri_of(self, inode: int) -> str | None:
        try:
            return self._cache.uri_of(inode)
        except NotFound:
            return None  # unlinked, and still open

    def _hydration_begun(self, inode: int, caller: Caller) -> None:
        exe = None if caller.exe is None else os.fsdecode(caller.exe)
        self._history.note(HistoryRecord(inode, time.time_ns() // 1_000_000, "hydrated", caller.pid, exe))
