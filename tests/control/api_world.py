"""A mount without its kernel, its cloud, and a client and programs that do one thing after another to it.

Each verb takes two numbers, so that it means something in every state, and checks its own answer; `check`
holds the events and states against what was done so far, and `finish` what is left once all is well.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import trio
import trio.testing

from cloudfs.model.entry import RemotePath
from cloudfs.model.enums import DownloadErrorType, ErrorType, EventClass, FileSyncState, State, SyncState
from cloudfs.model.errors import (
    AccessRefused,
    BatteryLow,
    CloudfsError,
    CloudStorageFull,
    ContentNotFound,
    NetworkUnavailable,
    NoNetwork,
    ServerError,
    TooManyRequests,
    WrongContent,
)
from cloudfs.model.progress import Event, SyncProgress
from tests.control.api_client import Client
from tests.control.api_files import FILES, FOLDER, PHOTO, SIZES, KnownFiles, path_of, source_of, uri_of
from tests.control.api_programs import PROGRAMS_DO, Programs
from tests.control.desk import Desk
from tests.servers.memory_cloud import MemoryCloud

PAUSES_S = (0.01, 0.1, 1.0, 10.0)
SYNC_CLASSES = (EventClass.FILE_SYNC, EventClass.GALLERY_SYNC)

_NO_SUCH_FILE, _NO_SPACE, _TRY_AGAIN = 13900002, 13900025, 13900010
_OF_CHANGES = {DownloadErrorType.UNKNOWN_ERROR, DownloadErrorType.CONTENT_NOT_FOUND}
_READ_FAULTS: tuple[CloudfsError, ...] = (
    ContentNotFound("gone", status=404),
    TooManyRequests("too many", status=429, retry_after=0.2),
    ServerError("broken", status=500),
    WrongContent("a login page"),
    NetworkUnavailable("reset"),
)
_DEVICES: tuple[tuple[CloudfsError | None, ErrorType, int], ...] = (
    (None, ErrorType.NO_ERROR, 0),
    (NoNetwork("none"), ErrorType.NETWORK_UNAVAILABLE, 22400002),
    (BatteryLow("14 %"), ErrorType.BATTERY_LEVEL_LOW, 22400003),
)


class World:
    """is_tight: whether the cache holds less than all files."""

    def __init__(self, desk: Desk, cloud: MemoryCloud, nursery: trio.Nursery, *, is_tight: bool) -> None:
        self.desk = desk
        self.cloud = cloud
        self.client = Client(desk, self._heard)
        self.files = KnownFiles(desk, cloud)
        self.programs = Programs(desk, self.files, nursery, is_tight=is_tight)
        self._nursery = nursery
        self._is_tight = is_tight
        self._stopped: set[str] = set()  # URIs of what may have been
        self._syncs_begun: dict[EventClass, int] = {}
        self._stops: Counter[EventClass] = Counter()
        self._refusal = 0  # of a sync's start

    async def begin(self) -> None:
        """Everything is listed, and listened to."""
        for size, path in zip(SIZES, FILES, strict=False):
            self.files.put(path, size, after=-1)
        for path in FILES:
            await self.desk.cache.resolve(path)
        await self.client.begin(self._nursery)

    async def act(self, verb: str, one: int, two: int) -> None:
        """One step, of the client, of the cloud, or of programs."""
        owner = self.programs if verb in PROGRAMS_DO else self
        await getattr(owner, verb)(one, two)
        await self.check()

    # --- the client ---

    async def start(self, one: int, two: int) -> None:
        path = path_of(one)
        inode = self.files.inode(path)
        method, uri = "CloudFileCache.start", uri_of(path)
        if path == PHOTO and two % 2 and inode is not None:
            method, uri = "Download.start", self.desk.cache.media_uri(inode) or uri
        code = await self.client.start(method, uri, inode)
        is_full = self._is_tight or self.desk.simulator.current.is_disk_full
        assert code in {0} | self._if_gone(path) | ({_NO_SPACE} if is_full else set())

    async def stop(self, one: int, two: int) -> None:
        path = path_of(one)
        await self._stop(path, needs_clean=two % 2 == 0)
        await self.check()
        if not self._is_wanted(path):
            assert uri_of(path) not in self.client.grammar.running, "nothing brings it any more"

    async def restart(self, one: int, two: int) -> None:
        """Stop and start by pipelined requests: nothing is heard in between."""
        await self._stop(path_of(one), needs_clean=two % 2 == 0)
        await self.start(one, two // 2)

    async def _stop(self, path: RemotePath, *, needs_clean: bool) -> None:
        self._stopped.add(uri_of(path))
        code = await self.client.call("CloudFileCache.stop", uri=uri_of(path), needClean=needs_clean)
        assert code in {0} | self._if_gone(path)

    async def clean(self, one: int, _: int) -> None:
        path = path_of(one)
        inode = self.files.inode(path)
        if inode is None:
            return
        self._stopped.add(uri_of(path))
        held = self.desk.store.held_bytes(inode)
        code = await self.client.call("CloudFileCache.cleanCache", uri=uri_of(path))
        if code == _TRY_AGAIN:
            assert self.files.is_pinned(path) or not self.files.is_untouched(path)
            assert self.desk.store.held_bytes(inode) >= held, "nothing is lost"
        elif path not in self.files.removed:  # else the pin went with the entry
            assert code == 0
            assert not self.files.is_pinned(path)
            assert not self.files.is_unsent(path)
            assert self.desk.store.held_bytes(inode) == 0 or self._is_wanted(path)

    async def pin(self, one: int, two: int) -> None:
        path = FOLDER if two % 4 == 3 else path_of(one)
        if await self.client.call("Mount.pin", paths=[uri_of(path)]) == 0:
            self.files.pin(path)

    async def unpin(self, one: int, two: int) -> None:
        path = FOLDER if two % 4 == 3 else path_of(one)
        code = await self.client.call("Mount.unpin", paths=[uri_of(path)])
        assert code in {0} | self._if_gone(path)
        self.files.unpin(path)

    async def sync(self, one: int, _: int) -> None:
        source = SYNC_CLASSES[one % 2]
        code = await self.client.call(f"{source}.start")
        assert code == self._refusal

    async def sync_stop(self, one: int, _: int) -> None:
        source = SYNC_CLASSES[one % 2]
        self._stops[source] += 1
        self._may_stop_pins()
        assert await self.client.call(f"{source}.stop") == 0

    # --- the cloud, and what happens on the way ---

    async def put(self, one: int, two: int) -> None:
        self.files.explained |= _OF_CHANGES
        self.files.put(path_of(one), SIZES[two % len(SIZES)], after=self.client.grammar.seq)

    async def remove(self, one: int, _: int) -> None:
        self.files.explained |= _OF_CHANGES
        self.files.remove(path_of(one))

    async def arrive(self, one: int, two: int) -> None:
        """Another version, and the sync that finds it; a large file's has the size of the one before."""
        await self.put(one, two // 3)
        await self.sync(SYNC_CLASSES.index(source_of(path_of(one))), 0)

    async def vanish(self, one: int, _: int) -> None:
        """The same for a removal."""
        await self.remove(one, 0)
        await self.sync(SYNC_CLASSES.index(source_of(path_of(one))), 0)

    async def overtake(self, one: int, two: int) -> None:
        """Another version comes between two reads of one program."""
        await self.programs.open(one, 0)
        await self.programs.read(-1, two)
        await self.wait(1, 0)
        await self.stop(one, 1)
        await self.put(one, 0)
        await self.programs.read(-1, two + 3)

    async def fault(self, one: int, two: int) -> None:
        """What reads meet from now on, for ever or a few times, at once or in mid-body."""
        error = _READ_FAULTS[one % len(_READ_FAULTS)]
        self.files.explained.add(error.download_error)
        self.cloud.fail("read", error, times=(None, 1, 2)[two % 3], after=(None, 70_000)[two // 3 % 2])

    async def cut(self, _: int, __: int) -> None:
        self.files.explained.add(DownloadErrorType.NETWORK_UNAVAILABLE)
        for method in ("read", "list_folder", "stat", "write"):
            self.cloud.fail(method, NetworkUnavailable("no route"), times=None)

    async def refuse(self, one: int, _: int) -> None:
        """No room for uploads, or a folder that can't be listed."""
        if one % 2:
            self.cloud.fail("write", CloudStorageFull("full", status=507), times=None)
        else:
            self.cloud.fail("list_folder", AccessRefused("403", status=403), path=FOLDER, times=None)

    async def slow(self, _: int, __: int) -> None:
        self.cloud.chunk_latency_s = 0.7

    async def fill(self, _: int, __: int) -> None:
        self.files.explained.add(DownloadErrorType.LOCAL_STORAGE_FULL)
        assert await self.client.call("Mount.simulate", diskFull=True) == 0

    async def device(self, one: int, _: int) -> None:
        device = self.desk.device
        device.refusal, device.interruption, self._refusal = _DEVICES[one % len(_DEVICES)]
        self._may_stop_pins()

    async def heal(self, _: int, __: int) -> None:
        self.cloud.heal()
        self.cloud.chunk_latency_s = 0.02
        await self.device(0, 0)
        assert await self.client.call("Mount.simulate") == 0

    async def wait(self, one: int, _: int) -> None:
        await trio.sleep(PAUSES_S[one % len(PAUSES_S)])

    # --- what must be so after each step ---

    async def check(self) -> None:
        await trio.testing.wait_all_tasks_blocked()
        await self.client.listen()
        self.files.look()
        for path in FILES:
            if self.files.inode(path) is not None:
                self._check_state(path, await self._state_of(path))

    def _heard(self, event: Event) -> None:
        progress = event.progress
        if isinstance(progress, SyncProgress):
            self._heard_sync(event.seq, event.source, progress.state)
        elif progress.state is State.FAILED:
            assert progress.error in self.files.explained or self._is_tight, f"nothing explains {progress}"
        elif progress.state is State.STOPPED:
            assert progress.uri in self._stopped, f"nobody stopped {progress}"

    def _heard_sync(self, seq: int, source: EventClass, state: SyncState) -> None:
        if state is SyncState.STOPPED:
            self._stops[source] -= 1
            assert self._stops[source] >= 0, "nobody stopped it"
        elif state is SyncState.DOWNLOADING:
            self._syncs_begun[source] = seq
        elif state is SyncState.COMPLETED:
            self.files.synced(source, self._syncs_begun[source])

    async def _state_of(self, path: RemotePath) -> dict[str, Any]:
        row: dict[str, Any]
        [row] = await self.desk.call("Mount.state", paths=[uri_of(path)])
        [state] = await self.desk.call("cloudSync.getFileSyncState", uri=[uri_of(path)])
        assert row["state"] == FileSyncState(state).name, "both ask the same sources in the same step"
        return row

    def _check_state(self, path: RemotePath, row: dict[str, Any]) -> None:
        state, location = FileSyncState[row["state"]], row["location"]
        assert 0 <= row["processed"] <= row["size"]
        if row["uri"] in self.client.grammar.running:
            assert state in (FileSyncState.DOWNLOADING, FileSyncState.UPLOADING)
        if state in (FileSyncState.COMPLETED, FileSyncState.STOPPED):
            where = {"both": row["size"], "local": row["size"], "cloud": 0}.get(location)
            assert row["processed"] == where or location == "partial", row
        last = self.client.grammar.syncs.get(source_of(path))
        if self.files.is_unsent(path) and (last is None or last.state.is_end):
            assert state in (FileSyncState.STOPPED, FileSyncState.DOWNLOADING)
        if self.files.is_untouched(path):
            assert state in (FileSyncState.COMPLETED, FileSyncState.DOWNLOADING)
            assert location != "local"

    # --- what must be so in the end ---

    async def finish(self) -> None:
        """All is well again: both sides agree, every end was told, and what is said to be here is."""
        await self.heal(0, 0)
        await self.check()
        await trio.sleep(30)
        await self.programs.close_all()
        for number in range(8):
            await self.sync(number, 0)
            await trio.sleep(20)
            await self.check()
            if self._is_tight:
                await self._unpin_all()
        assert {progress.state for progress in self.client.grammar.syncs.values()} == {SyncState.COMPLETED}
        assert not self.client.grammar.running, "a transfer without an end"
        await self._read_all()

    async def _unpin_all(self) -> None:
        """They may be more than there is room for, and lie under the names of conflicts too."""
        for path in self.cloud.paths():
            await self.client.call("Mount.unpin", paths=[str(self.desk.config.mount.path / path.decode())])

    async def _read_all(self) -> None:
        shown = [path for path, content in self.cloud.paths().items() if content is not None]
        assert {path for path in FILES if self.files.inode(path) is not None} == set(FILES) & set(shown)
        for path in shown:
            row = await self._state_of(path)
            assert row["state"] == "COMPLETED"
            self.cloud.calls.clear()
            data = await self.programs.read_all(await self.desk.cache.resolve(path), row["size"])
            assert data == self.cloud.content(path), path
            assert row["location"] != "both" or not self.cloud.calls, "it was here"

    # --- inside ---

    def _if_gone(self, path: RemotePath) -> set[int]:
        return {_NO_SUCH_FILE} if path in self.files.removed else set()

    def _is_wanted(self, path: RemotePath) -> bool:
        """Whether something may bring it without a start."""
        return self.programs.has_open(path) or self.files.is_pinned(path)

    def _may_stop_pins(self) -> None:
        self._stopped.update(uri_of(path) for path in FILES if self.files.was_pinned(path))
