"""The Python client without async: in one thread, in several, and in those of its listeners."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from cloudfs.client import DownloadProgress, State, blocking
from tests.client.conftest import FILE, OTHER, PATIENCE_S
from tests.control.desk import HEAD, Desk


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


def test_a_blocking_listener_makes_calls(desk: Desk) -> None:
    done = threading.Event()

    def listen(progress: DownloadProgress) -> None:
        if progress.state.is_end and progress.uri == FILE:
            assert cache.run(OTHER).state is State.COMPLETED
            cache.off("progress", listen)
            done.set()

    with blocking.CloudFileCache() as cache:
        cache.on("progress", listen)
        cache.start(FILE)
        assert done.wait(PATIENCE_S)


def test_threads_share_a_blocking_object(desk: Desk) -> None:
    with blocking.CloudFileCache() as cache, blocking.FileSync() as sync, ThreadPoolExecutor(16) as threads:
        ends = list(threads.map(cache.run, [FILE, OTHER] * 8))
        times = list(threads.map(lambda _: sync.get_last_sync_time(), range(100)))
        with pytest.raises(RuntimeError, match="in a block already"):
            sync.__enter__()
    assert {end.state for end in ends} == {State.COMPLETED}
    assert times == [0] * 100


def test_an_error_leaves_a_blocking_block_as_it_is(desk: Desk) -> None:
    with pytest.raises(blocking.CloudSyncError), blocking.CloudFileCache() as cache:
        cache.start(HEAD + "nothing")


def test_a_blocking_listener_with_a_bug(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """Told at once, as nobody may be waiting, and raised when the block is left."""

    def listen_with_a_bug() -> None:
        with blocking.FileSync() as sync:
            sync.on("progress", lambda progress: 1 / 0)
            sync.wait_lost()

    with pytest.raises(ZeroDivisionError):
        listen_with_a_bug()
    told = [record for record in caplog.records if record.name == "cloudfs.client.blocking"]
    assert [record.levelno for record in told] == [logging.ERROR]
