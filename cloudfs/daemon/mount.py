"""One mount: the reference's classes over its foundation, the two ways in, and its life from start to end."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import trio

from cloudfs.clouds.interference import Interference
from cloudfs.cloudsync.cloud_file_cache import CloudFileCache
from cloudfs.cloudsync.drain import Drain
from cloudfs.cloudsync.file_sync import FileSync
from cloudfs.cloudsync.file_sync_state import FileSyncStates
from cloudfs.cloudsync.mount_info import MountStatus, StateRows, StatusSources
from cloudfs.cloudsync.pins import Pins
from cloudfs.cloudsync.waits import Conditions, Waits
from cloudfs.cloudsync.why import Why
from cloudfs.config import Login, MountConfig, socket_directory
from cloudfs.control.callers import Permissions
from cloudfs.control.cloud_file_cache import cloud_file_cache_methods, download_methods
from cloudfs.control.cloud_sync import cloud_sync_methods
from cloudfs.control.file_sync import sync_methods
from cloudfs.control.methods import Methods
from cloudfs.control.mode_bits import ModeBits
from cloudfs.control.mount import MountServices, mount_methods
from cloudfs.control.server import ControlServer
from cloudfs.daemon.cloud import new_cloud
from cloudfs.daemon.foundation import Foundation
from cloudfs.daemon.notify import ServiceManager, summary
from cloudfs.daemon.services import Service, lone_errors
from cloudfs.daemon.syncing import Syncing
from cloudfs.database.bridge import Database
from cloudfs.database.settings import Settings
from cloudfs.device import Device
from cloudfs.device.network_manager import NetworkManager
from cloudfs.fuse.callers import Caller, DenyList, caller_of
from cloudfs.fuse.mountpoint import MountEntry
from cloudfs.fuse.open_files import OpenPolicy
from cloudfs.fuse.session import Session, SessionOptions
from cloudfs.fuse.xattrs import Facts
from cloudfs.model.enums import CloudState, ErrorType, Scope
from cloudfs.model.errors import CloudfsError
from cloudfs.model.node import ROOT
from cloudfs.simulation import Simulator
from cloudfs.transfers.abilities import known_abilities

log = logging.getLogger(__name__)

LAST_SYNC_S = 10.0  # for what is pending when a signal ends the daemon
ANSWER_S = 2.0  # for the answer to a client that asked for the unmount
MARGIN_S = 30.0  # for the rest of a start or an end: what a service manager is asked to wait beside the above


class Mount:
    """One mount, built from its configuration.

    Nothing runs yet when this is made; `services` are to be started in their order.
    """

    def __init__(
        self,
        config: MountConfig,
        login: Login | None,
        database: Database,
        *,
        mount_id: str,
        manager: ServiceManager,
        entry: MountEntry,
    ) -> None:
        """mount_id: the same in every run of this mount, and no other's. manager: told of its life; it runs
        already. entry: how the mount table is to show it."""
        self._config = config
        self._entry = entry
        self._manager = manager
        self._simulator = Simulator(self._device_changed)
        self._networks = NetworkManager(self._device_changed)
        self._device = Device(
            config.device, config.cloud.url, simulator=self._simulator, facts=lambda: self._networks.facts
        )
        self._end = trio.Event()
        self._is_unmounting = False
        self._are_syncs_open = False
        base = self._base = self._new_foundation(login, database, mount_id)
        self.tree = base.tree

        # The reference's classes.
        syncing = self._syncing = Syncing(config, base, database)
        self._pins = Pins(base.tree, base.listings, base.transfers)
        self._syncs = {scope: self._new_sync(scope) for scope in Scope}
        self._drain = Drain(
            base.tree, base.store, syncing.uploads, self._syncs, is_held=syncing.engine.is_held
        )
        self._cache = self._new_cache()
        self._states = FileSyncStates(
            base.tree,
            base.store,
            base.transfers,
            syncing.uploads,
            is_syncing=lambda scope: self._syncs[scope].is_running,
        )
        self._sources = self._new_sources()
        self._status = MountStatus(config, self._sources)

        # The two ways in.
        self._session = self._new_session()
        self._control = self._new_control()
        self.services: tuple[Service, ...] = (self._networks, *base.services, self._pins)

    def _new_foundation(self, login: Login | None, database: Database, mount_id: str) -> Foundation:
        config = self._config
        known = known_abilities(Settings(database), config.cloud.url)
        interference = Interference(
            is_cut_off=lambda: self._device.is_cut_off, answer_to=self._simulator.answer_to
        )
        return Foundation(
            config,
            database,
            partial(new_cloud, config, login, known=known, mount_id=mount_id, interference=interference),
            simulator=self._simulator,
            uid=os.getuid(),
            gid=os.getgid(),
            changed_here=self._changed_here,
            cloud_returned=self._cloud_returned,
        )

    def _new_sync(self, scope: Scope) -> FileSync:
        config, base, engine = self._config, self._base, self._syncing.engine
        return FileSync(
            scope,
            engine.sync_scope,
            wind_down=engine.wind_down,
            stop_pins=self._pins.stop,
            changes=base.tree.changes,
            clear_waits=base.tree.clear_waits,
            publish=base.events.publish,
            latest=base.events.latest,
            settings=base.settings,
            readiness=base.readiness,
            refusal=self._device.refusal,
            interruption=self._interruption,
            device_known=self._networks.known,
            times=config.sync,
        )

    def _new_cache(self) -> CloudFileCache:
        base = self._base
        return CloudFileCache(
            base.tree,
            base.store,
            base.transfers,
            listings=base.listings,
            pins=self._pins,
            uris=base.uris,
            asked=self._hydration_asked,
        )

    def _new_sources(self) -> StatusSources:
        base, syncing = self._base, self._syncing
        return StatusSources(
            readiness=base.readiness,
            syncs=self._syncs,
            transfers=base.transfers,
            uploads=syncing.uploads,
            store=base.store,
            tree=base.tree,
            held=syncing.engine.held,
            simulator=self._simulator,
        )

    def _new_session(self) -> Session:
        config, base = self._config, self._base
        return Session(
            options=SessionOptions(
                config.mount.path,
                config.mount.allow_other,
                config.cloud.timeout,
                config.mount.read_only,
                self._entry,
            ),
            tree=base.tree,
            changes=base.changes,
            store=base.store,
            listings=base.listings,
            transfers=base.transfers,
            editor=base.editor,
            policy=OpenPolicy(
                config.hydration.on_open, DenyList(config.hydration.deny), self._hydration_begun
            ),
            facts=Facts(
                states=self._states,
                uri=base.uri_of,
                media_uri=self._cache.media_uri,
                sync=lambda scope: self._syncs[scope].progress,
                last_sync_time_ms=lambda scope: self._syncs[scope].last_sync_time_ms,
                pending=lambda: self._status.pending,
                set_pin=self._cache.set_pin,
            ),
            changed=self._content_changed,
            quota=lambda: base.quota.quota,
        )

    def _new_control(self) -> ControlServer:
        config, base, engine = self._config, self._base, self._syncing.engine
        mode_bits = ModeBits(base.tree)
        rows = StateRows(config, base.tree, self._states, self._cache)
        services = MountServices(
            status=self._status,
            rows=rows,
            why=self._new_why(rows),
            cache=self._cache,
            syncs=self._syncs,
            confirm=engine.confirm,
            restore=engine.restore,
            drain=partial(self._drain.run, tuple(Scope)),
            simulator=self._simulator,
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
            events=base.events,
            may_read=mode_bits.may_read,
            directory=_socket_directory(),
        )

    def _new_why(self, rows: StateRows) -> Why:
        conditions = Conditions(
            is_held=self._syncing.engine.is_held,
            refusal=self._device.refusal,
            interruption=self._interruption,
            read_only=self._config.mount.read_only,
        )
        waits = Waits(self._sources, self._states, conditions, absolute=rows.absolute)
        return Why(self._base.tree, rows, self._states, waits, self._base.history)

    # --- its life ---

    async def serve(self, ready: Callable[[], None]) -> None:
        """Mount, and serve until the end is asked for, by a signal, by `umount`, or from outside."""
        self._manager.starting(self._config.cloud.timeout + MARGIN_S)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._end_on_signal)
            nursery.start_soon(self._serve, ready)
            await self._end.wait()  # which no start holds up
            self._manager.stopping(MARGIN_S)
            nursery.cancel_scope.cancel()

    async def _serve(self, ready: Callable[[], None]) -> None:
        with lone_errors():
            async with trio.open_nursery() as nursery:
                await nursery.start(self._serve_kernel)
                for sync in self._syncs.values():
                    await nursery.start(sync.run)
                self._are_syncs_open = True
                # The last one: a start or a question must not come before the syncs recall how they stand.
                await nursery.start(self._control.run)
                await self._look_at_root()
                self._manager.ready()
                ready()
                await self._manager.follow(self._summary)

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

    async def _look_at_root(self) -> None:
        """The mount is ready with its root listed, or with the cloud known to be out of reach."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._list_root)
            await self._base.is_cloud_known.wait()
            nursery.cancel_scope.cancel()

    async def _list_root(self) -> None:
        try:
            await self._base.listings.ensure(ROOT)
        except CloudfsError as error:
            log.warning("the cloud's root can't be listed yet: %s", error.reason)
        self._base.is_cloud_known.set()

    # --- its end by a signal ---

    async def _end_on_signal(self) -> None:
        """The first signal lets what is pending go for a moment; the next one ends at once."""
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            async with trio.open_nursery() as nursery:
                log.info("ending by %s", signal.Signals(await anext(signals)).name)
                self._manager.stopping(LAST_SYNC_S + MARGIN_S)
                nursery.start_soon(self._send_and_end)
                log.info("ending at once by %s", signal.Signals(await anext(signals)).name)
                self._end.set()

    async def _send_and_end(self) -> None:
        """What can't go in time is durable, and goes with the next mount."""
        try:
            if self._are_syncs_open and self._base.readiness.state is CloudState.READY:
                scopes = [scope for scope, sync in self._syncs.items() if sync.is_automatic]
                with trio.move_on_after(LAST_SYNC_S):
                    await self._drain.run(scopes)
            if pending := self._status.pending:
                log.warning("changes that go with the next mount: %d", pending)
        except CloudfsError as error:
            log.warning("what is pending goes with the next mount: %s", error.reason)
        self._end.set()

    # --- between the parts ---

    def _summary(self) -> str:
        return summary(self._base.readiness.state, self._status.pending)

    def _device_changed(self) -> None:
        for sync in self._syncs.values():
            sync.device_changed()

    def _cloud_returned(self) -> None:
        for sync in self._syncs.values():
            sync.cloud_returned()

    def _changed_here(self, scope: Scope) -> None:
        self._syncs[scope].local_change()

    def _hydration_begun(self, inode: int, caller: Caller) -> None:
        self._base.history.hydrated(inode, caller.pid, caller.exe)

    def _hydration_asked(self, inode: int, pid: int) -> None:
        self._hydration_begun(inode, caller_of(pid))

    def _content_changed(self, inode: int, caller: Caller) -> None:
        self._base.history.changed(inode, caller.pid, caller.exe)

    def _interruption(self) -> ErrorType:
        return self._device.interruption(wifi_only=self._config.sync.wifi_only)


def _socket_directory() -> Path | None:
    try:
        return socket_directory()
    except ValueError:
        return None  # no runtime directory: nobody looks there
