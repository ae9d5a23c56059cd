"""The whole daemon but FUSE over a cloud in memory: what the API's tests call."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import trio

from cloudfs.cloudsync.cloud_file_cache import CloudFileCache
from cloudfs.cloudsync.drain import Drain
from cloudfs.cloudsync.file_sync import FileSync
from cloudfs.cloudsync.file_sync_state import FileSyncStates
from cloudfs.cloudsync.mount_info import MountStatus, StateRows, StatusSources
from cloudfs.cloudsync.pins import Pins
from cloudfs.cloudsync.waits import Conditions, Waits
from cloudfs.cloudsync.why import Why
from cloudfs.config import CloudSettings, ControlSettings, Grant, MountConfig, MountSettings, SyncSettings
from cloudfs.config.quantities import Duration, Size
from cloudfs.config.settings import CacheSettings
from cloudfs.control.call import Call
from cloudfs.control.callers import CLOUDFILE_SYNC, Caller, Permissions
from cloudfs.control.cloud_file_cache import cloud_file_cache_methods, download_methods
from cloudfs.control.cloud_sync import cloud_sync_methods
from cloudfs.control.file_sync import sync_methods
from cloudfs.control.methods import Methods
from cloudfs.control.mode_bits import ModeBits
from cloudfs.control.mount import MountServices, mount_methods
from cloudfs.control.server import ControlServer
from cloudfs.control.subscriptions import Subscriptions
from cloudfs.daemon.foundation import Foundation
from cloudfs.daemon.syncing import Syncing
from cloudfs.database.bridge import Database
from cloudfs.model.enums import ErrorType, Scope
from cloudfs.model.errors import CloudfsError, TryAgain
from cloudfs.model.jsonrpc import Request, encode_notification
from cloudfs.simulation import Simulator
from tests.servers.memory_cloud import MemoryCloud

MIB = 1024 * 1024
OWNER = Caller(1, 1000, frozenset((1000,)))
ROOT = Caller(1, 0, frozenset((0,)))
SYSTEM_APP = Caller(2, 20001, frozenset((20001,)))
APP = Caller(3, 20002, frozenset((20002,)))  # the permission, but no system app
STRANGER = Caller(4, 20003, frozenset((20003,)))
GRANTS = (
    Grant(uid=20001, permissions=(CLOUDFILE_SYNC,), system_app=True),
    Grant(uid=20002, permissions=(CLOUDFILE_SYNC,), system_app=False),
)
HEAD = "file://com.example.files/data/storage/el2/cloud/"


@dataclass
class Device:
    """What the device says, in the test's hands."""

    refusal: CloudfsError | None = None
    interruption: ErrorType = ErrorType.NO_ERROR


class CallFailed(Exception):
    def __init__(self, code: int, message: str, data: dict[str, Any]) -> None:
        super().__init__(code, message, data)
        self.code, self.message, self.data = code, message, data


class Desk:
    """Every service of one mount. `methods` are called straight, or by the socket once `server` runs."""

    def __init__(
        self,
        directory: Path,
        cloud: MemoryCloud,
        *,
        size: int,
        auto: bool,
        delete_brake: int,
        database: Database | None,
    ) -> None:
        self.cloud = cloud
        self.device = Device()
        self.simulator = Simulator()
        self.ended = trio.Event()
        self.is_busy = False
        self.config = MountConfig(
            mount=MountSettings(path=directory / "mnt", name="desk"),
            cloud=CloudSettings(url="https://dav.example/me/", timeout=Duration(5), max_connections=8),
            cache=CacheSettings(path=directory, size=Size(size), min_free=Size(0)),
            control=ControlSettings(socket=directory / "run" / "desk.sock", grant=GRANTS),
            sync=replace(SyncSettings(), auto=auto, delete_brake=delete_brake),
        )
        self.database = database or Database(directory / "cloudfs.db")
        self.base = Foundation(
            self.config,
            self.database,
            lambda on_state: cloud,
            simulator=self.simulator,
            uid=OWNER.uid,
            gid=1000,
            changed_here=lambda scope: self.syncs[scope].local_change(),
            cloud_returned=self._cloud_returned,
        )
        self.settings, self.events, self.changes = self.base.settings, self.base.events, self.base.changes
        self.tree, self.store, self.editor = self.base.tree, self.base.store, self.base.editor
        self.listings, self.transfers = self.base.listings, self.base.transfers
        self.readiness = self.base.readiness
        syncing = Syncing(self.config, self.base, self.database)
        self.engine, self.uploads = syncing.engine, syncing.uploads
        self.pins = Pins(self.tree, self.listings, self.transfers)
        self.cache = CloudFileCache(
            self.tree,
            self.store,
            self.transfers,
            listings=self.listings,
            pins=self.pins,
            uris=self.base.uris,
            asked=lambda inode, pid: self.base.history.hydrated(inode, pid, b"/bin/asking"),
        )
        self.syncs = {scope: self._sync(scope) for scope in Scope}
        self.drain = Drain(self.tree, self.store, self.uploads, self.syncs, is_held=self.engine.is_held)
        self.states = FileSyncStates(
            self.tree,
            self.store,
            self.transfers,
            self.uploads,
            is_syncing=lambda scope: self.syncs[scope].is_running,
        )
        self.mode_bits = ModeBits(self.tree)
        self.methods = Methods(self._tables(), Permissions(GRANTS, owner=OWNER.uid))
        self.server = ControlServer(
            self.config.socket,
            self.config.control.mode,
            self.methods,
            events=self.events,
            may_read=self.mode_bits.may_read,
        )
        self.lines: list[dict[str, Any]] = []  # notifications of calls made straight

    async def _unmount(self) -> None:
        if self.is_busy:
            raise TryAgain("programs have files open")

    def _cloud_returned(self) -> None:
        for sync in self.syncs.values():
            sync.cloud_returned()

    def _sync(self, scope: Scope) -> FileSync:
        return FileSync(
            scope,
            self.engine.sync_scope,
            wind_down=self.engine.wind_down,
            stop_pins=self.pins.stop,
            changes=self.tree.changes,
            clear_waits=self.tree.clear_waits,
            publish=self.events.publish,
            latest=self.events.latest,
            settings=self.settings,
            readiness=self.readiness,
            refusal=lambda: self.device.refusal,
            interruption=lambda: self.device.interruption,
            device_known=trio.lowlevel.checkpoint,
            times=self.config.sync,
        )

    def _tables(self) -> Iterator[Any]:
        for sync in self.syncs.values():
            yield from sync_methods(sync)
        yield from cloud_file_cache_methods(self.cache, self.mode_bits)
        yield from download_methods(self.cache)
        yield from cloud_sync_methods(self.cache, self.states)
        sources = StatusSources(
            readiness=self.readiness,
            syncs=self.syncs,
            transfers=self.transfers,
            uploads=self.uploads,
            store=self.store,
            tree=self.tree,
            held=self.engine.held,
            simulator=self.simulator,
        )
        rows = StateRows(self.config, self.tree, self.states, self.cache)
        conditions = Conditions(
            is_held=self.engine.is_held,
            refusal=lambda: self.device.refusal,
            interruption=lambda: self.device.interruption,
            read_only=self.config.mount.read_only,
        )
        waits = Waits(sources, self.states, conditions, absolute=rows.absolute)
        services = MountServices(
            MountStatus(self.config, sources),
            rows,
            Why(self.tree, rows, self.states, waits, self.base.history),
            self.cache,
            self.syncs,
            confirm=self.engine.confirm,
            restore=self.engine.restore,
            drain=partial(self.drain.run, tuple(Scope)),
            simulator=self.simulator,
            unmount=self._unmount,
            end=self.ended.set,
        )
        yield from mount_methods(services)

    # --- what programs do ---

    async def write(self, path: bytes, data: bytes, *, is_closed: bool = True) -> int:
        """A file's whole content, new or instead of the old one; returns the inode."""
        folder, name = await self._place(path)
        node = self.tree.child(folder, name)
        if node is None:
            node = await self.tree.create(folder, name, 0o644, OWNER.uid, 1000)
            content = self.store.create(node.inode)
        else:
            content = await self.store.open(node.inode, node.version)
        self.store.begin_writing(content)
        await self.editor.truncate(content, 0)
        await self.editor.write(content, 0, data)
        if is_closed:
            await self.editor.flush(content)
            self.store.end_writing(content)
            await self.store.close(content)
        return node.inode

    async def remove(self, path: bytes) -> None:
        folder, name = await self._place(path)
        await self.tree.unlink(folder, name)

    async def _place(self, path: bytes) -> tuple[int, bytes]:
        above, _, name = path.rpartition(b"/")
        folder = await self.cache.resolve(above)
        await self.listings.ensure(folder)
        return folder, name

    # --- running, and calls ---

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(running(self.database.run))
            await self.tree.load()
            for service in (*self.base.services, self.pins, *self.syncs.values()):
                await stack.enter_async_context(running(service.run))
            yield

    async def call(self, method: str, caller: Caller = OWNER, **params: Any) -> Any:
        """The result of a call made straight. Raises CallFailed."""
        return await self.call_raw(method, json.dumps(params).encode(), caller)

    async def call_raw(self, method: str, params: bytes, caller: Caller = OWNER) -> Any:
        subscriptions = Subscriptions(self.events, lambda inode: True, self._note)
        return await self.call_on(subscriptions, method, params, caller)

    async def call_on(
        self, subscriptions: Subscriptions, method: str, params: bytes, caller: Caller = OWNER
    ) -> Any:
        """A call of the connection that has these subscriptions."""
        call = Call(caller, subscriptions, lambda: None, self._notify)
        line = await self.methods.answer(Request(method, params, b"1"), call)
        assert line is not None
        answer = json.loads(line)
        call.answered.set()
        for act in call.afterwards:
            act()
        if "error" in answer:
            error = answer["error"]
            raise CallFailed(error["code"], error["message"], error.get("data", {}))
        return answer["result"]

    async def _notify(self, method: str, params: Mapping[str, object]) -> None:
        await self._note(encode_notification(method, params))

    async def _note(self, line: bytes) -> None:
        self.lines.append(json.loads(line))


@asynccontextmanager
async def running(run: Callable[..., Any]) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        await nursery.start(run)
        yield
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def open_desk(
    directory: Path,
    cloud: MemoryCloud,
    *,
    size: int = 64 * MIB,
    auto: bool = False,
    delete_brake: int = 100,
    database: Database | None = None,
) -> AsyncIterator[Desk]:
    """database: in place of one on the disk."""
    desk = Desk(directory, cloud, size=size, auto=auto, delete_brake=delete_brake, database=database)
    async with desk.running():
        yield desk


@contextmanager
def desk_in_thread(directory: Path, cloud: MemoryCloud) -> Iterator[Desk]:
    """A desk with its socket, in a thread with a loop of its own; ended when the block is left."""
    ready, box = threading.Event(), list[tuple[Desk, trio.lowlevel.TrioToken]]()

    async def main() -> None:
        async with open_desk(directory, cloud) as desk, running(desk.server.run):
            box.append((desk, trio.lowlevel.current_trio_token()))
            ready.set()
            await desk.ended.wait()

    thread = threading.Thread(target=trio.run, args=(main,))
    thread.start()
    try:
        assert ready.wait(10)
        yield box[0][0]
    finally:
        if box and thread.is_alive():
            desk, token = box[0]
            token.run_sync_soon(desk.ended.set)
        thread.join(10)
