"""Mount.why: why an entry is as it is, what it waits for, and when that is tried next."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from cloudfs.model.enums import ErrorType, Scope
from cloudfs.model.errors import (
    BatteryLow,
    CloudStorageFull,
    NameRefused,
    NetworkUnavailable,
    NoNetwork,
    Unauthorized,
)
from cloudfs.model.node import ROOT
from tests.control.desk import HEAD, CallFailed, Desk, open_desk
from tests.servers.memory_cloud import MemoryCloud

PATIENCE_S = 20
BRAKE = 3
BY_HAND = "`cloudfs sync start`, as sync.auto is false"


@pytest.fixture
async def desk(tmp_path: Path, cloud: MemoryCloud) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path, cloud, delete_brake=BRAKE) as desk:
        yield desk


@pytest.fixture
async def automatic(tmp_path: Path, cloud: MemoryCloud) -> AsyncIterator[Desk]:
    """A desk whose syncs begin by themselves, after its first ones."""
    async with open_desk(tmp_path, cloud, auto=True) as desk:
        await until(lambda: all(sync.last_sync_time_ms for sync in desk.syncs.values()))
        yield desk


async def until(is_true: Callable[[], Any]) -> None:
    with trio.fail_after(PATIENCE_S):
        while not is_true():
            await trio.sleep(0.01)


async def why(desk: Desk, path: str) -> dict[str, Any]:
    found: dict[str, Any] = await desk.call("Mount.why", path=f"{desk.config.mount.path}/{path}")
    return found


async def wait_of(desk: Desk, path: str) -> tuple[str | None, int | None]:
    found = await why(desk, path)
    return found["waiting_for"], found["next_try"]


async def sync(desk: Desk, scope: Scope = Scope.FILES) -> str:
    await desk.syncs[scope].start()
    with trio.fail_after(PATIENCE_S):
        await desk.syncs[scope].wait_idle()
    return desk.syncs[scope].progress.state.name


# --- what is asked for ---


async def test_an_entry_that_is_as_the_cloud_has_it(desk: Desk) -> None:
    assert await why(desk, "a b.txt") == {
        "path": str(desk.config.mount.path / "a b.txt"),
        "uri": HEAD + "a%20b.txt",
        "state": "COMPLETED",
        "location": "cloud",
        "processed": 0,
        "size": 5,
        "pin": "auto",
        "error": "NO_ERROR",
        "reason": None,
        "tries": 0,
        "dirty": False,
        "dirty_because": [],
        "changed_by": [],
        "waiting_for": None,
        "next_try": None,
        "pinned_at": None,
        "hydrated_by": [],
    }
    assert (await why(desk, "folder"))["location"] is None


async def test_by_uri_and_by_path(desk: Desk) -> None:
    assert await desk.call("Mount.why", uri=HEAD + "a%20b.txt") == await why(desk, "a b.txt")
    await desk.call("cloudSync.getFileSyncState", uri=[HEAD + "Photos/1.jpg"])
    assert (await desk.call("Mount.why", uri="file://media/Photo/1"))["path"].endswith("/Photos/1.jpg")


@pytest.mark.parametrize("params", [{}, {"path": "/x", "uri": HEAD}, {"path": 1}, {"paths": ["/x"]}])
async def test_one_of_path_and_uri_is_to_be_given(desk: Desk, params: dict[str, Any]) -> None:
    with pytest.raises(CallFailed) as refused:
        await desk.call("Mount.why", **params)
    assert refused.value.code == 401


async def test_what_is_not_there(desk: Desk) -> None:
    await desk.write(b"gone", b"1")
    await desk.remove(b"gone")
    for path, code in (("nothing", 13900002), ("gone", 13900002), ("../x", 14000002)):
        with pytest.raises(CallFailed) as refused:
            await why(desk, path)
        assert (path, refused.value.code) == (path, code)


# --- why it is dirty ---


async def test_each_kind_of_change(desk: Desk) -> None:
    root = desk.config.mount.path
    await desk.write(b"new", b"1")
    await desk.write(b"a b.txt", b"changed")
    folder = await desk.cache.resolve(b"folder")
    await desk.tree.rename(ROOT, b"a b.txt", ROOT, b"c.txt")
    await desk.cache.resolve(b"empty")
    await desk.tree.rename(ROOT, b"empty", folder, b"empty")
    because = {path: (await why(desk, path))["dirty_because"] for path in ("new", "c.txt", "folder/empty")}
    assert because == {
        "new": ["created here"],
        "c.txt": ["changed here", f"renamed here from {root}/a b.txt"],
        "folder/empty": [f"moved here from {root}/empty"],
    }
    assert (await why(desk, "c.txt"))["dirty"] is True
    assert await sync(desk) == "COMPLETED"
    for path in because:
        found = await why(desk, path)
        assert (found["dirty"], found["dirty_because"], found["waiting_for"]) == (False, [], None)


# --- what it waits for ---


async def test_without_automatic_syncs_somebody_has_to_start_one(desk: Desk) -> None:
    await desk.write(b"new", b"1")
    assert await wait_of(desk, "new") == (BY_HAND, None)
    await desk.write(b"Photos/2.jpg", b"2")
    assert await wait_of(desk, "Photos/2.jpg") == (BY_HAND.replace("start", "start --gallery"), None)


async def test_a_change_waits_for_the_next_sync(automatic: Desk) -> None:
    now_ms = time.time() * 1000
    await automatic.write(b"new", b"1")
    cause, next_try = await wait_of(automatic, "new")
    assert cause == "the next sync"
    assert next_try is not None
    assert now_ms <= next_try <= now_ms + 1000 * (automatic.config.sync.debounce + PATIENCE_S)


async def test_after_stop_somebody_has_to_start_one(automatic: Desk) -> None:
    await automatic.call("FileSync.stop")
    await automatic.write(b"new", b"1")
    assert await wait_of(automatic, "new") == ("`cloudfs sync start`, as syncs were stopped", None)


async def test_a_running_sync_and_the_upload_in_it(desk: Desk, cloud: MemoryCloud) -> None:
    await desk.write(b"new", b"1")
    cloud.gate = trio.Event()
    await desk.syncs[Scope.FILES].start()
    assert await wait_of(desk, "new") == ("the sync that is under way", None)
    cloud.chunk_latency_s = 0.2
    cloud.gate.set()
    await until(desk.uploads.running)
    assert await wait_of(desk, "new") == ("its upload, which is under way", None)


async def test_a_file_that_is_being_written(desk: Desk) -> None:
    await desk.write(b"new", b"1", is_closed=False)
    writer = "the fsync or close of a program that is writing it"
    assert await wait_of(desk, "new") == (f"{writer}, then {BY_HAND}", None)
    assert await sync(desk) == "COMPLETED"
    assert (await why(desk, "new"))["dirty"] is True


async def test_after_a_failure_its_next_try_is_named(automatic: Desk, cloud: MemoryCloud) -> None:
    cloud.fail("write", CloudStorageFull("the cloud is full"), path=b"new", times=None)
    before_ms = time.time() * 1000
    await automatic.write(b"new", b"1")
    assert await sync(automatic) == "UPLOAD_FAILED"
    found = await why(automatic, "new")
    assert (found["error"], found["reason"]) == ("CLOUD_STORAGE_FULL", "the cloud is full")
    assert found["tries"] == 1
    assert found["waiting_for"] == "its next try"
    assert found["next_try"] == automatic.tree.node(await automatic.cache.resolve(b"new")).next_try_ms
    assert found["next_try"] > before_ms
    await automatic.call("FileSync.stop")
    assert await wait_of(automatic, "new") == ("`cloudfs sync start`, as syncs were stopped", None)


async def test_a_file_in_a_folder_that_the_cloud_refused(automatic: Desk, cloud: MemoryCloud) -> None:
    cloud.fail("make_folder", NameRefused("no such names here"), times=None)
    await automatic.tree.make_folder(ROOT, b"made", 0o755, 1000, 1000)
    inode = await automatic.write(b"made/file", b"1")
    assert await sync(automatic) == "UPLOAD_FAILED"
    folder = await why(automatic, "made")
    assert (folder["error"], folder["reason"]) == ("UNKNOWN_ERROR", "no such names here")
    assert automatic.tree.node(inode).error is None
    path = automatic.config.mount.path / "made"
    assert await wait_of(automatic, "made/file") == (
        f"the folder {path}, which the cloud does not have (no such names here)",
        folder["next_try"],
    )


async def test_what_the_device_and_the_cloud_refuse(automatic: Desk, cloud: MemoryCloud) -> None:
    """One cause more each time, and what is told is the one to mend first."""
    await automatic.write(b"new", b"1")
    device = automatic.device
    device.refusal = BatteryLow("the battery is low")
    assert await wait_of(automatic, "new") == ("a sync, which can't begin: the battery is low", None)
    device.interruption = ErrorType.WIFI_UNAVAILABLE
    without_wifi = "Wi-Fi or a cable that is not metered, as sync.wifi_only is true"
    assert await wait_of(automatic, "new") == (without_wifi, None)
    automatic.readiness.unreachable()
    assert await wait_of(automatic, "new") == ("the cloud, which can't be reached", None)
    cloud.fail("stat", Unauthorized("no such user"), times=None)
    automatic.readiness.unauthorized(Unauthorized("no such user"))
    assert await wait_of(automatic, "new") == ("the cloud, which refuses this mount: no such user", None)
    device.refusal = NoNetwork("the device has no network")
    assert await wait_of(automatic, "new") == ("a sync, which can't begin: the device has no network", None)


async def test_a_network_that_failed_in_the_middle_names_no_time(desk: Desk, cloud: MemoryCloud) -> None:
    await desk.write(b"new", b"1")
    cloud.fail("write", NetworkUnavailable("reset"), times=None)
    await sync(desk)
    found = await why(desk, "new")
    assert (found["error"], found["next_try"]) == ("NETWORK_UNAVAILABLE", None)


async def test_what_the_cloud_lost_waits_for_a_word(desk: Desk, cloud: MemoryCloud) -> None:
    for number in range(BRAKE + 1):
        cloud.put(b"lost/%d" % number, b"x")
    await sync(desk)
    cloud.remove(b"lost")
    assert await sync(desk) == "DOWNLOAD_FAILED"
    ways = "`cloudfs sync confirm` or `cloudfs sync restore`, as the cloud lost it and many others"
    assert await wait_of(desk, "lost") == (ways, None)
    assert await wait_of(desk, "lost/0") == (ways, None)
    assert await wait_of(desk, "a b.txt") == (None, None)


async def test_a_pinned_file_that_is_not_here(automatic: Desk, cloud: MemoryCloud) -> None:
    cloud.fail("read", NameRefused("no"), times=None)
    inode = await automatic.cache.resolve(b"folder/deep/file.bin")
    folder = await automatic.cache.resolve(b"folder")
    await automatic.cache.set_pin(folder, True)
    await until(lambda: automatic.tree.node(inode).error)
    found = await why(automatic, "folder/deep/file.bin")
    assert (found["pin"], found["pinned_at"]) == ("always", str(automatic.config.mount.path / "folder"))
    assert (found["waiting_for"], found["reason"]) == ("the next sync", "no")
    cloud.heal()
    assert await sync(automatic) == "COMPLETED"
    assert await wait_of(automatic, "folder/deep/file.bin") == (None, None)


async def test_a_running_download(desk: Desk, cloud: MemoryCloud) -> None:
    await desk.cache.resolve(b"a b.txt")
    cloud.gate = trio.Event()
    await desk.call("CloudFileCache.start", uri=HEAD + "a%20b.txt")
    assert await wait_of(desk, "a b.txt") == ("its download, which is under way", None)
    cloud.gate.set()


# --- who did it ---


async def test_who_asked_for_the_content_and_how_much_came(desk: Desk) -> None:
    await desk.call("CloudFileCache.start", uri=HEAD + "folder/deep/file.bin")
    inode = await desk.cache.resolve(b"folder/deep/file.bin")
    await until(lambda: desk.transfers.progress(inode) is None)
    await until_bytes(desk, "folder/deep/file.bin")
    found = await why(desk, "folder/deep/file.bin")
    [program] = found["hydrated_by"]
    assert abs(program.pop("time") - time.time() * 1000) < PATIENCE_S * 1000
    assert program == {"pid": 1, "exe": "/bin/asking", "bytes": 100_000}
    await desk.call("CloudFileCache.start", uri=HEAD + "folder/deep/file.bin")
    assert len((await why(desk, "folder/deep/file.bin"))["hydrated_by"]) == 1  # nothing was fetched


async def test_what_a_pin_brings_is_nobodys(desk: Desk) -> None:
    await desk.call("Mount.pin", paths=[HEAD + "folder"])
    await until_bytes(desk, "folder/deep/file.bin")
    [program] = (await why(desk, "folder/deep/file.bin"))["hydrated_by"]
    assert (program["pid"], program["exe"], program["bytes"]) == (None, None, 100_000)


async def until_bytes(desk: Desk, path: str) -> None:
    with trio.fail_after(PATIENCE_S):
        while not [each for each in (await why(desk, path))["hydrated_by"] if each["bytes"]]:
            await trio.sleep(0.01)
