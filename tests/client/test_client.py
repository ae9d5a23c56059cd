"""The Python client on trio, on asyncio and blocking, against a daemon in another thread."""

from __future__ import annotations

import asyncio
import subprocess
import sys
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
    get_file_sync_state,
)
from tests.client.conftest import FILE, OTHER, PATIENCE_S, Run
from tests.control.desk import HEAD, Desk, desk_in_thread
from tests.servers.memory_cloud import MemoryCloud

PHOTO = "file://media/Photo/1"


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
            await sync.on("progress", lambda progress: 1 / 0)
            await anyio.sleep(PATIENCE_S)

    run(program)


def test_start_and_the_wait_for_its_end(desk: Desk, run: Run) -> None:
    """Within a block, where listeners hear of it, and without."""

    async def program() -> None:
        listener = Listener()
        async with CloudFileCache() as cache:
            await cache.on("progress", listener)
            assert await cache.run(FILE) == DownloadProgress(State.COMPLETED, 100_000, 100_000, FILE)
            assert (await listener.end()).uri == FILE
            with pytest.raises(CloudSyncError, match="No such file"):
                await cache.run(HEAD + "nothing")
            with anyio.move_on_after(0):
                await cache.run(OTHER)
            ends = [(await cache.run(uri)).state for uri in (FILE, OTHER)]
            assert ends == [State.COMPLETED] * 2
        assert await FileSync().run() == SyncProgress(SyncState.COMPLETED)
        assert await GallerySync().run() == SyncProgress(SyncState.COMPLETED)

    run(program)


def test_several_waits_on_one_connection(desk: Desk, run: Run) -> None:
    async def program() -> None:
        async def note(uri: str) -> None:
            ends.append(await cache.run(uri))

        ends: list[DownloadProgress] = []
        async with CloudFileCache() as cache, anyio.create_task_group() as tasks:
            for uri in (FILE, OTHER, FILE):
                tasks.start_soon(note, uri)
        assert sorted(end.uri or "" for end in ends) == [FILE, FILE, OTHER]
        assert {end.state for end in ends} == {State.COMPLETED}

    run(program)


def test_a_listener_makes_calls(desk: Desk, run: Run) -> None:
    """It starts the next download, asks, and ends itself."""

    async def program() -> None:
        done = anyio.Event()
        seen = []

        async def listen(progress: DownloadProgress) -> None:
            if not progress.state.is_end:
                return
            seen.append(progress.uri)
            assert await get_file_sync_state([FILE]) == [FileSyncState.COMPLETED]
            if progress.uri == FILE:
                await cache.start(OTHER)
            else:
                await cache.off("progress", listen)
                done.set()

        async with CloudFileCache() as cache:
            await cache.on("progress", listen)
            await cache.start(FILE)
            await done.wait()
            await cache.run(FILE)
        assert seen == [FILE, OTHER]

    run(program)


def test_a_listener_that_takes_its_time_holds_up_nothing(desk: Desk, run: Run) -> None:
    async def program() -> None:
        async def sleep(progress: SyncProgress) -> None:
            slept.append(progress)
            await woken.wait()

        woken = anyio.Event()
        quick = Listener()
        slept: list[SyncProgress] = []
        async with FileSync() as sync:
            await sync.on("progress", sleep)
            await sync.on("progress", quick)
            await sync.run()
            assert (await quick.end()).state is SyncState.COMPLETED
            assert len(slept) == 1
            woken.set()
        assert slept == quick.seen, "who leaves waits for it"
        with anyio.move_on_after(0.1):
            async with FileSync() as sync:
                woken = anyio.Event()
                await sync.on("progress", sleep)
                await anyio.sleep(PATIENCE_S)

    run(program)


def test_cancelled_calls(desk: Desk, run: Run) -> None:
    async def program() -> None:
        async with FileSync() as sync:
            for _ in range(2):
                for _ in range(200):  # a connection may have 256 listeners
                    with anyio.move_on_after(0):
                        await sync.on("progress", print)
                    with anyio.move_on_after(0):
                        await sync.get_last_sync_time()
                await sync.get_last_sync_time()  # all answers are here by now,
                await sync.get_last_sync_time()  # and by now what they led to was done
            await sync.on("progress", print)
        with anyio.move_on_after(0.1):
            async with FileSync():
                await anyio.sleep(PATIENCE_S)

    run(program)


def test_hundreds_of_calls_at_the_same_time(desk: Desk, run: Run) -> None:
    async def program() -> None:
        async def note() -> None:
            times.append(await sync.get_last_sync_time())

        times: list[int] = []
        async with FileSync() as sync, anyio.create_task_group() as tasks:
            for _ in range(500):
                tasks.start_soon(note)
        assert times == [0] * 500

    run(program)


def test_a_block_within_itself(desk: Desk, run: Run) -> None:
    async def program() -> None:
        async with FileSync() as sync:
            with pytest.raises(RuntimeError, match="in a block already"):
                await sync.__aenter__()
            await sync.start()
        async with sync:
            await sync.stop()

    run(program)


async def asyncio_program() -> None:
    """The calls of a program that knows no other loop."""
    ended = asyncio.Event()
    async with CloudFileCache() as cache, FileSync() as sync:
        await cache.on("progress", lambda progress: ended.set() if progress.state.is_end else None)
        first, _, times = await asyncio.gather(
            asyncio.wait_for(cache.run(FILE), PATIENCE_S), cache.start(OTHER), sync.get_last_sync_time()
        )
        await asyncio.wait_for(ended.wait(), PATIENCE_S)
        assert (first.state, times) == (State.COMPLETED, 0)
        task = asyncio.create_task(sync.wait_lost())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(sync.wait_lost(), 0.01)
        assert (await sync.run()).state is SyncState.COMPLETED


async def cancelled_asyncio_program() -> None:
    async def hold() -> None:
        async with FileSync():
            held.set()
            await asyncio.sleep(PATIENCE_S)

    held = asyncio.Event()
    task = asyncio.create_task(hold())
    await held.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_plain_asyncio(desk: Desk) -> None:
    asyncio.run(asyncio_program())
    asyncio.run(cancelled_asyncio_program())


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


def test_the_import_is_light() -> None:
    heavy = "{'trio', 'asyncio', 'httpx', 'msgspec', 'pyfuse3', 'aiosqlite'} & set(sys.modules)"
    script = f"import sys, cloudfs.client; print(sorted({heavy}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
