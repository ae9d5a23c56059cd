"""The Python client on trio, on asyncio and blocking, against a daemon in another thread."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from cloudfs.client import (
    CloudFileCache,
    CloudSyncError,
    Download,
    DownloadProgress,
    FileSync,
    FileSyncState,
    GallerySync,
    State,
    SyncProgress,
    SyncState,
    blocking,
    get_file_sync_state,
)
from tests.control.desk import HEAD, Desk, desk_in_thread
from tests.servers.memory_cloud import MemoryCloud

FILE = HEAD + "a.bin"
PHOTO = "file://media/Photo/1"
PATIENCE_S = 20

Run = Callable[[Callable[[], Awaitable[None]]], None]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    cloud = MemoryCloud()
    cloud.put(b"a.bin", bytes(100_000))
    cloud.put(b"Photos/1.jpg", b"jpeg" * 1000)
    with desk_in_thread(tmp_path, cloud) as desk:
        monkeypatch.setenv("CLOUDFS_SOCKET", str(desk.config.socket))
        yield desk


@pytest.fixture(params=["trio", "asyncio"])
def run(request: pytest.FixtureRequest) -> Run:
    def run(program: Callable[[], Awaitable[None]]) -> None:
        async def bounded() -> None:
            with anyio.fail_after(PATIENCE_S):
                await program()

        anyio.run(bounded, backend=request.param)

    return run


class Listener:
    """Keeps what it is called with, and lets a task wait for an end."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self._ended = anyio.Event()

    def __call__(self, progress: SyncProgress | DownloadProgress) -> None:
        self.seen.append(progress)
        if progress.state.is_end and len(self.seen) > 1:
            self._ended.set()

    async def end(self) -> Any:
        await self._ended.wait()
        return self.seen[-1]


def test_a_sync(desk: Desk, run: Run) -> None:
    async def program() -> None:
        listener = Listener()
        async with FileSync() as sync:
            await sync.on("progress", listener)
            await sync.start()
            await listener.end()
            assert await sync.get_last_sync_time() > 1_600_000_000_000
        states = [progress.state for progress in listener.seen]
        assert states == [SyncState.COMPLETED, SyncState.DOWNLOADING, SyncState.COMPLETED]
        assert await GallerySync(desk.config.socket).get_last_sync_time() == 0

    run(program)


def test_a_download(desk: Desk, run: Run) -> None:
    async def program() -> None:
        listener = Listener()
        async with CloudFileCache() as cache:
            await cache.on("progress", listener)
            await cache.start(FILE)
            assert await listener.end() == DownloadProgress(State.COMPLETED, 100_000, 100_000, FILE)
            await cache.clean_cache(FILE)
        assert await get_file_sync_state([FILE]) == [FileSyncState.COMPLETED]

    run(program)


def test_a_gallery_asset(desk: Desk, run: Run) -> None:
    async def program() -> None:
        await get_file_sync_state([HEAD + "Photos/1.jpg"])
        listener = Listener()
        async with Download() as download:
            await download.on("progress", listener)
            await download.start(PHOTO)
            assert (await listener.end()).uri == PHOTO
            await download.stop(PHOTO, need_clean=False)

    run(program)


def test_calls_without_a_block(desk: Desk, run: Run) -> None:
    async def program() -> None:
        sync = FileSync()
        await sync.stop()
        await sync.start()
        with pytest.raises(RuntimeError, match="async with FileSync"):
            await sync.on("progress", print)

    run(program)


def test_off(desk: Desk, run: Run) -> None:
    async def program() -> None:
        one, other = Listener(), Listener()
        async with FileSync() as sync:
            await sync.on("progress", one)
            await sync.on("progress", other)
            await sync.off("progress", one)
            await sync.start()
            await other.end()
            await sync.off("progress")
            await sync.off("progress")
        assert len(one.seen) <= 1
        assert len(other.seen) == 3

    run(program)


def test_errors(desk: Desk, run: Run) -> None:
    async def program() -> None:
        async with CloudFileCache() as cache:
            with pytest.raises(CloudSyncError) as error:
                await cache.start(HEAD + "nothing")
            assert (error.value.code, error.value.message) == (13900002, "No such file or directory.")
            assert error.value.data["uri"] == HEAD + "nothing"
            with pytest.raises(CloudSyncError, match="Invalid uri"):
                await cache.stop("http://x")
        with pytest.raises(CloudSyncError) as error:
            await get_file_sync_state([FILE] * 101)
        assert error.value.code == 401

    run(program)


def test_an_error_in_the_block_comes_out_as_it_is(desk: Desk, run: Run) -> None:
    async def program() -> None:
        with pytest.raises(CloudSyncError):
            async with CloudFileCache() as cache:
                await cache.start(HEAD + "nothing")
        with pytest.raises(ZeroDivisionError):
            await listen_with_a_bug()

    async def listen_with_a_bug() -> None:
        async with FileSync() as sync:
            await sync.on("progress", lambda progress: 1 / 0)  # type: ignore[arg-type]
            await anyio.sleep(PATIENCE_S)

    run(program)


def test_cancelled_calls(desk: Desk, run: Run) -> None:
    async def program() -> None:
        async with FileSync() as sync:
            for _ in range(20):
                with anyio.move_on_after(0):
                    await sync.get_last_sync_time()
            async with anyio.create_task_group() as tasks:
                for _ in range(50):
                    tasks.start_soon(sync.get_last_sync_time)
        with anyio.move_on_after(0.1):
            async with FileSync():
                await anyio.sleep(PATIENCE_S)

    run(program)


def test_no_daemon(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def program() -> None:
        for socket in (tmp_path / "none.sock", None):
            with pytest.raises(CloudSyncError) as error:
                await FileSync(socket).start()
            assert (error.value.code, error.value.message) == (13600001, "IPC error.")

    monkeypatch.delenv("CLOUDFS_SOCKET", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr("cloudfs.client.sockets.ROOT_SOCKETS", tmp_path / "root")
    run(program)


def test_the_only_daemon_is_found(desk: Desk, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def program() -> None:
        assert await FileSync().get_last_sync_time() == 0

    folder = desk.config.socket.parent
    monkeypatch.delenv("CLOUDFS_SOCKET")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder.parent))
    monkeypatch.setattr("cloudfs.client.sockets.ROOT_SOCKETS", folder.parent / "root")
    folder.rename(folder.parent / "cloudfs")
    try:
        run(program)
    finally:
        (folder.parent / "cloudfs").rename(folder)


def test_a_lost_daemon(tmp_path: Path, run: Run) -> None:
    async def program() -> None:
        with desk_in_thread(tmp_path, MemoryCloud()) as desk:
            sync = FileSync(desk.config.socket)
            await sync.__aenter__()
            await sync.start()
        await sync.wait_lost()
        for _ in range(2):
            with pytest.raises(CloudSyncError) as error:
                await sync.stop()
            assert error.value.code == 13600001
        await sync.__aexit__(None, None, None)

    run(program)


def test_blocking(desk: Desk) -> None:
    seen: list[DownloadProgress] = []
    with blocking.CloudFileCache() as cache:
        cache.on("progress", seen.append)
        cache.start(FILE)
        while not seen or not seen[-1].state.is_end:
            blocking.get_file_sync_state([FILE])
        cache.stop(FILE)
        cache.clean_cache(FILE)
        cache.off("progress", seen.append)
        with pytest.raises(blocking.CloudSyncError, match="No such file"):
            cache.start(HEAD + "nothing")
    assert seen[-1] == DownloadProgress(State.COMPLETED, 100_000, 100_000, FILE)
    blocking.FileSync().start()
    assert blocking.GallerySync().get_last_sync_time() == 0
    with pytest.raises(blocking.CloudSyncError):
        blocking.Download().start(FILE)


def test_an_error_leaves_a_blocking_block_as_it_is(desk: Desk) -> None:
    with pytest.raises(blocking.CloudSyncError), blocking.CloudFileCache() as cache:
        cache.start(HEAD + "nothing")


def test_the_import_is_light() -> None:
    heavy = "{'trio', 'asyncio', 'httpx', 'msgspec', 'pyfuse3', 'aiosqlite'} & set(sys.modules)"
    script = f"import sys, cloudfs.client; print(sorted({heavy}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
