"""The Python client against a real daemon: to COMPLETED, through errors, and past the daemon's end."""

from __future__ import annotations

import threading
from pathlib import Path

import anyio
import pytest

from cloudfs.client import (
    CloudFileCache,
    CloudSyncError,
    DownloadProgress,
    FileSync,
    FileSyncState,
    State,
    SyncProgress,
    SyncState,
    blocking,
    get_file_sync_state,
)
from tests.mount.conftest import Mounts
from tests.mount.harness import PATIENCE_S, Mount
from tests.servers.apache import Apache

SIZE = 3_000_000
HEAD = "file://com.example.files/data/storage/el2/cloud/"
FILE = HEAD + "Docs/big%20file.bin"


@pytest.fixture
def mount(apache: Apache, mounts: Mounts) -> Mount:
    (apache.root / "Docs").mkdir()
    (apache.root / "Docs" / "big file.bin").write_bytes(bytes(SIZE))
    return mounts(apache.url, sync={"auto": False})


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_async(mount: Mount, backend: str) -> None:
    async def program() -> None:
        with anyio.fail_after(PATIENCE_S):
            await download(mount)
            await sync(mount)
            await errors_and_the_end(mount)

    anyio.run(program, backend=backend)


async def download(mount: Mount) -> None:
    seen: list[DownloadProgress] = []
    ended = anyio.Event()

    def listen(progress: DownloadProgress) -> None:
        seen.append(progress)
        if progress.state.is_end:
            ended.set()

    async with CloudFileCache(mount.socket) as cache:
        await cache.on("progress", listen)
        await cache.start(FILE)
        await ended.wait()
        assert seen[-1] == DownloadProgress(State.COMPLETED, SIZE, SIZE, FILE)
        processed = [progress.processed for progress in seen]
        assert processed == sorted(processed)
        assert [progress.state for progress in seen[:-1]] == [State.RUNNING] * (len(seen) - 1)
        assert mount.xattr("location", "Docs/big file.bin") == "both"
        await cache.clean_cache(FILE)
        assert mount.xattr("location", "Docs/big file.bin") == "cloud"
    assert await get_file_sync_state([FILE, HEAD + "Docs"], socket=mount.socket) == [
        FileSyncState.COMPLETED,
        FileSyncState.COMPLETED,
    ]


async def sync(mount: Mount) -> None:
    seen: list[SyncState] = []
    ended = anyio.Event()
    async with FileSync(mount.socket) as files:

        def listen(progress: SyncProgress) -> None:
            seen.append(progress.state)
            if len(seen) > 1 and seen[-1].is_end:
                ended.set()

        await files.on("progress", listen)
        await files.start()
        await ended.wait()
        assert seen == [SyncState.COMPLETED, SyncState.DOWNLOADING, SyncState.COMPLETED]
        assert await files.get_last_sync_time() > 1_600_000_000_000


async def errors_and_the_end(mount: Mount) -> None:
    async with CloudFileCache(mount.socket) as cache:
        for uri, code in ((HEAD + "none", 13900002), (HEAD + "Docs", 14000002), ("http://x", 14000002)):
            with pytest.raises(CloudSyncError) as error:
                await cache.start(uri)
            assert error.value.code == code
        await anyio.to_thread.run_sync(mount.kill)
        await cache.wait_lost()
        with pytest.raises(CloudSyncError) as error:
            await cache.start(FILE)
        assert (error.value.code, error.value.message) == (13600001, "IPC error.")


def test_blocking(mount: Mount) -> None:
    seen: list[DownloadProgress] = []
    ended = threading.Event()

    def listen(progress: DownloadProgress) -> None:
        seen.append(progress)
        if progress.state.is_end:
            ended.set()

    with blocking.CloudFileCache(mount.socket) as cache:
        cache.on("progress", listen)
        cache.start(FILE)
        assert ended.wait(PATIENCE_S)
        assert seen[-1] == DownloadProgress(State.COMPLETED, SIZE, SIZE, FILE)
        with pytest.raises(CloudSyncError, match="No such file"):
            cache.start(HEAD + "none")
        mount.kill()
        with pytest.raises(CloudSyncError) as error:
            cache.clean_cache(FILE)
        assert error.value.code == 13600001
    with pytest.raises(CloudSyncError) as error:
        blocking.FileSync(mount.socket).start()
    assert error.value.code == 13600001
    assert not Path(mount.path / "Docs").exists()
