"""Every method: its checks in their order, its codes and texts, its result."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
import trio

from cloudfs.control.call import Call
from cloudfs.control.callers import Caller
from cloudfs.control.subscriptions import Subscriptions
from cloudfs.model.enums import Scope
from cloudfs.model.errors import BatteryLow, NetworkUnavailable, NoNetwork, Unauthorized
from cloudfs.model.jsonrpc import Request
from cloudfs.model.node import ROOT as ROOT_INODE
from tests.control.desk import APP, HEAD, OWNER, ROOT, STRANGER, SYSTEM_APP, CallFailed, Desk
from tests.servers.memory_cloud import MemoryCloud

LONG_201 = "Permission verification failed, usually the result returned by VerifyAccessToken."
LONG_202 = "Permission verification failed, application which is not a system application uses system API."
SHORT_201 = "Permission verification failed."
SHORT_202 = "The caller is not a system application."
FILE = HEAD + "a%20b.txt"
NOTHING = HEAD + "nothing"
PHOTO = "file://media/Photo/1"

GOOD: dict[str, dict[str, Any]] = {
    **{
        f"{name}.on": {"event": "progress"}
        for name in ("FileSync", "GallerySync", "Download", "CloudFileCache")
    },
    **{
        f"{name}.off": {"event": "progress"}
        for name in ("FileSync", "GallerySync", "Download", "CloudFileCache")
    },
    **{
        f"{name}.{verb}": {}
        for name in ("FileSync", "GallerySync")
        for verb in ("start", "stop", "getLastSyncTime")
    },
    "Download.start": {"uri": PHOTO},
    "Download.stop": {"uri": PHOTO},
    "CloudFileCache.start": {"uri": FILE},
    "CloudFileCache.stop": {"uri": FILE},
    "CloudFileCache.cleanCache": {"uri": FILE},
    "cloudSync.getFileSyncState": {"uri": [FILE]},
    "Mount.status": {},
    "Mount.events": {},
    "Mount.state": {"paths": [FILE]},
    "Mount.why": {"uri": FILE},
    "Mount.pin": {"paths": [FILE]},
    "Mount.unpin": {"paths": [FILE]},
    "Mount.confirm": {"scope": "files"},
    "Mount.restore": {"scope": "files"},
    "Mount.umount": {},
    "Mount.simulate": {"network": "wifi"},
}
OPEN_TO_ALL = {f"CloudFileCache.{verb}" for verb in ("on", "off", "start", "stop")}
OWNERS_ONLY = {"Mount.confirm", "Mount.restore", "Mount.umount", "Mount.simulate"}


async def failure(desk: Desk, method: str, caller: Caller = OWNER, **params: Any) -> CallFailed:
    with pytest.raises(CallFailed) as error:
        await desk.call(method, caller, **params)
    return error.value


async def list_photos(desk: Desk) -> None:
    """Media IDs are given as the gallery is listed."""
    await desk.call("cloudSync.getFileSyncState", uri=[HEAD + "Photos/1.jpg"])


async def test_the_table_is_whole(desk: Desk) -> None:
    assert desk.methods.names == sorted(GOOD)


@pytest.mark.parametrize("method", GOOD)
async def test_who_may_call(desk: Desk, method: str) -> None:
    await list_photos(desk)
    for caller in (OWNER, ROOT):
        await desk.call(method, caller, **GOOD[method])
    if method in OPEN_TO_ALL:
        await desk.call(method, STRANGER, **GOOD[method])
        return
    if method in OWNERS_ONLY:
        assert (await failure(desk, method, SYSTEM_APP, **GOOD[method])).code == 201
        return
    await desk.call(method, SYSTEM_APP, **GOOD[method])
    short = method.startswith(("GallerySync", "Download"))
    refused = await failure(desk, method, STRANGER, **GOOD[method])
    assert (refused.code, refused.message) == (201, SHORT_201 if short else LONG_201)
    refused = await failure(desk, method, APP, **GOOD[method])
    assert (refused.code, refused.message) == (202, SHORT_202 if short else LONG_202)


@pytest.mark.parametrize("method", GOOD)
@pytest.mark.parametrize("fault", ["list", "unknown", "missing", "type"])
async def test_params_come_first(desk: Desk, method: str, fault: str) -> None:
    """401 even for who may not call."""
    good = GOOD[method]
    params: Any = {
        "list": list(good.values()),
        "unknown": good | {"more": 1},
        "missing": {},
        "type": dict.fromkeys(good, 7),
    }[fault]
    optional = method in OWNERS_ONLY | {"Mount.events", "Mount.status"}
    if fault in ("missing", "type") and (not good or (optional and fault == "missing")):
        return
    with pytest.raises(CallFailed) as error:
        await desk.call_raw(method, json.dumps(params).encode(), STRANGER)
    assert (error.value.code, error.value.message) == (401, "The input parameter is invalid.")


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("FileSync.on", {"event": "batchDownload"}),
        ("FileSync.on", {"event": "progress", "scope": "mine"}),
        ("FileSync.off", {"event": "progress", "subscription": "1"}),
        ("CloudFileCache.stop", {"uri": FILE, "need_clean": True}),
        ("CloudFileCache.stop", {"uri": FILE, "needClean": 1}),
        ("cloudSync.getFileSyncState", {"uri": FILE}),
        ("cloudSync.getFileSyncState", {"uri": [FILE] * 101}),
        ("cloudSync.getFileSyncState", {"uri": [None]}),
        ("Mount.events", {"since": -1}),
        ("Mount.confirm", {"scope": "all"}),
        ("Mount.restore", {"scope": "all"}),
        ("Mount.umount", {"wait": True, "force": True}),
    ],
)
async def test_wrong_values(desk: Desk, method: str, params: dict[str, Any]) -> None:
    assert (await failure(desk, method, **params)).code == 401


async def test_unknown_method(desk: Desk) -> None:
    for method in ("FileSync.Start", "FileSync", "", "rpc.discover", "FileSync.__init__"):
        assert (await failure(desk, method)).code == -32601


@pytest.mark.parametrize("class_name", ["FileSync", "GallerySync"])
async def test_start_is_refused_in_order(desk: Desk, cloud: MemoryCloud, class_name: str) -> None:
    unauthorized = Unauthorized("the password is wrong", status=401)
    cloud.fail("stat", unauthorized, times=None)
    desk.readiness.unauthorized(unauthorized)
    desk.device.refusal = NoNetwork("none")
    refused = await failure(desk, f"{class_name}.start")
    assert (refused.code, refused.message) == (22400002, "Network unavailable.")
    desk.device.refusal = BatteryLow("14 %")
    refused = await failure(desk, f"{class_name}.start")
    assert (refused.code, refused.message) == (22400001, "Cloud status not ready.")
    assert refused.data == {"reason": "the password is wrong", "status": 401}
    assert (await failure(desk, f"{class_name}.start", STRANGER)).code == 201
    cloud.heal()
    refused = await failure(desk, f"{class_name}.start")
    assert (refused.code, refused.message) == (22400003, "Battery level warning.")


@pytest.mark.parametrize(
    "method", ["CloudFileCache.start", "CloudFileCache.stop", "CloudFileCache.cleanCache"]
)
async def test_files_that_are_none(desk: Desk, method: str) -> None:
    refused = await failure(desk, method, uri=NOTHING)
    assert (refused.code, refused.message) == (13900002, "No such file or directory.")
    assert refused.data["uri"] == NOTHING
    for uri in (HEAD + "folder", HEAD, HEAD + "..", "http://x", ""):
        refused = await failure(desk, method, uri=uri)
        assert (refused.code, refused.message) == (14000002, "Invalid uri.")
    for uri in ("file://media/Photo/999", "file://media/Photo/x", HEAD + "a%20b.txt/below"):
        assert (await failure(desk, method, uri=uri)).code == 13900002


@pytest.mark.parametrize("method", ["Download.start", "Download.stop"])
async def test_download_takes_gallery_assets_only(desk: Desk, method: str) -> None:
    await list_photos(desk)
    for uri in (FILE, HEAD + "Photos/1.jpg", HEAD + "folder", "x"):
        assert (await failure(desk, method, uri=uri)).code == 14000002
    assert (await failure(desk, method, uri="file://media/Photo/999")).code == 13900002
    for uri in (PHOTO, "file:///media/Photo/1"):
        assert await desk.call(method, uri=uri) is None


async def test_no_space_at_start(desk: Desk, cloud: MemoryCloud) -> None:
    cloud.put(b"huge", bytes(65 * 1024 * 1024))
    refused = await failure(desk, "CloudFileCache.start", uri=HEAD + "huge")
    assert (refused.code, refused.message) == (13900025, "No space left on device.")


async def test_a_pinned_file_is_not_cleaned(desk: Desk) -> None:
    await desk.call("Mount.pin", paths=[FILE])
    refused = await failure(desk, "CloudFileCache.cleanCache", uri=FILE)
    assert (refused.code, refused.message) == (13900010, "Try again.")
    await desk.call("Mount.unpin", paths=[str(desk.config.mount.path / "a b.txt")])
    assert await desk.call("CloudFileCache.cleanCache", uri=FILE) is None


async def test_mode_bits_decide_for_strangers(desk: Desk) -> None:
    inode = await desk.cache.resolve(desk.cache.parse(HEAD + "folder/deep/file.bin"))
    deep = desk.tree.node(desk.tree.node(inode).parent or 0)

    def set_modes(folder: int, file: int) -> None:
        desk.tree.node(deep.inode).mode = folder
        desk.tree.node(inode).mode = file

    uri = HEAD + "folder/deep/file.bin"
    set_modes(0o750, 0o644)
    refused = await failure(desk, "CloudFileCache.start", STRANGER, uri=uri)
    assert (refused.code, refused.message) == (201, LONG_201)
    # What is not there is not told apart for who may not look.
    assert (await failure(desk, "CloudFileCache.start", STRANGER, uri=HEAD + "folder/deep/x")).code == 201
    assert (await failure(desk, "CloudFileCache.start", STRANGER, uri=HEAD + "folder/..")).code == 14000002
    in_group = Caller(5, 20003, frozenset((1000,)))
    await desk.call("CloudFileCache.start", in_group, uri=uri)
    set_modes(0o755, 0o640)
    assert (await failure(desk, "CloudFileCache.stop", STRANGER, uri=uri)).code == 201
    set_modes(0o705, 0o604)  # a group that has less than the others has less
    assert (await failure(desk, "CloudFileCache.stop", in_group, uri=uri)).code == 201
    await desk.call("CloudFileCache.stop", STRANGER, uri=uri)
    set_modes(0o000, 0o000)
    await desk.call("CloudFileCache.stop", ROOT, uri=uri)


async def test_states(desk: Desk, cloud: MemoryCloud) -> None:
    uris = [FILE, HEAD + "folder", HEAD + "folder/deep/file.bin"]
    assert await desk.call("cloudSync.getFileSyncState", uri=uris) == [2, 2, 2]
    assert await desk.call("cloudSync.getFileSyncState", uri=[]) == []
    assert await desk.call("cloudSync.getFileSyncState", uri=[FILE] * 100) == [2] * 100
    refused = await failure(desk, "cloudSync.getFileSyncState", uri=[FILE, NOTHING])
    assert (refused.code, refused.data["uri"]) == (13900002, NOTHING)
    cloud.gate = trio.Event()
    await desk.call("CloudFileCache.start", uri=FILE)
    assert await desk.call("cloudSync.getFileSyncState", uri=uris) == [1, 2, 2]
    cloud.gate.set()


async def test_a_folder_that_cannot_be_listed(desk: Desk, cloud: MemoryCloud) -> None:
    cloud.fail("list_folder", NetworkUnavailable("no route"), times=None)
    with trio.fail_after(20):
        refused = await failure(desk, "CloudFileCache.start", uri=FILE)
    assert (refused.code, refused.message) == (13600001, "IPC error.")
    assert "no route" in refused.data["reason"]
    assert refused.data["error"] == "NETWORK_UNAVAILABLE"


async def test_a_bug_is_an_error_and_no_dead_connection(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.tree.find = lambda path: 1 / 0  # type: ignore[assignment,method-assign,return-value]
    assert (await failure(desk, "CloudFileCache.start", uri=FILE)).code == 13600001
    assert "CloudFileCache.start met a bug" in caplog.text


async def test_notifications_are_not_answered(desk: Desk) -> None:
    request = Request("CloudFileCache.start", json.dumps({"uri": NOTHING}).encode(), b"null")
    silent = Request(request.method, request.params, None)
    subscriptions = Subscriptions(desk.events, lambda inode: True, desk._note)
    call = Call(OWNER, subscriptions, lambda: None, desk._notify)
    assert await desk.methods.answer(silent, call) is None
    assert await desk.methods.answer(request, call) is not None


async def test_last_sync_time(desk: Desk) -> None:
    assert await desk.call("FileSync.getLastSyncTime") == 0
    await desk.call("FileSync.start")
    with trio.fail_after(10):
        while not (time_ms := await desk.call("FileSync.getLastSyncTime")):
            await trio.sleep(0.01)
    assert time_ms > 1_600_000_000_000
    assert await desk.call("GallerySync.getLastSyncTime") == 0


async def test_status(desk: Desk) -> None:
    await desk.call("GallerySync.stop")
    none = {"here": 0, "cloud": 0}
    idle = {"state": "COMPLETED", "error": "NO_ERROR", "last_sync_time": 0, "held_deletes": none}
    assert await desk.call("Mount.status") == {
        "name": "desk",
        "path": str(desk.config.mount.path),
        "socket": str(desk.config.socket),
        "pid": os.getpid(),
        "cloud": {"type": "webdav", "url": "https://dav.example/me/", "state": "ready"},
        "sync": {"files": idle | {"held": False}, "gallery": idle | {"held": True}},
        "pending": 0,
        "held_deletes": 0,
        "transfers": [],
        "cache": {"used": 0, "size": 64 * 1024 * 1024, "files": 0},
        "simulated": None,
    }


async def test_status_shows_transfers(desk: Desk, cloud: MemoryCloud) -> None:
    cloud.put(b"large", bytes(8 * 1024 * 1024))
    cloud.chunk_latency_s = 0.05
    await desk.call("CloudFileCache.start", uri=HEAD + "large")
    with trio.fail_after(10):
        while not (transfers := (await desk.call("Mount.status"))["transfers"]):
            await trio.sleep(0.01)
    [transfer] = transfers
    assert set(transfer) == {"path", "direction", "processed", "size", "rate"}
    assert transfer["path"] == str(desk.config.mount.path / "large")
    assert (transfer["direction"], transfer["size"]) == ("down", 8 * 1024 * 1024)
    await desk.call("CloudFileCache.stop", uri=HEAD + "large")


async def test_state_rows(desk: Desk, cloud: MemoryCloud) -> None:
    cloud.put(b"caf\xe9", b"x")
    root = str(desk.config.mount.path)
    [row] = await desk.call("Mount.state", paths=[root + "/a b.txt"])
    assert row == {
        "path": root + "/a b.txt",
        "uri": FILE,
        "state": "COMPLETED",
        "location": "cloud",
        "processed": 0,
        "size": 5,
        "pin": "auto",
        "error": "NO_ERROR",
    }
    await desk.call("cloudSync.getFileSyncState", uri=[HEAD + "folder/deep/file.bin"])
    rows = {row["path"]: row for row in await desk.call("Mount.state", paths=[root], recursive=True)}
    assert (rows[root]["location"], rows[root]["size"], rows[root]["processed"]) == (None, None, None)
    assert rows[root + "/folder/deep/file.bin"]["size"] == 100_000
    assert rows[root + "/empty"]["location"] == "both"
    assert rows[root + "/caf\\xe9"]["uri"] is None
    assert root + "/Photos/1.jpg" not in rows  # nothing is listed for it
    assert len(rows) == 8


async def test_a_pin_on_a_folder_brings_all_below(desk: Desk) -> None:
    await desk.call("Mount.pin", paths=[HEAD + "folder"])
    with trio.fail_after(10):
        while True:
            [row] = await desk.call("Mount.state", paths=[HEAD + "folder/deep/file.bin"])
            if row["location"] == "both":
                break
            await trio.sleep(0.01)
    assert row["pin"] == "always"
    assert not desk.tree.is_pinned(ROOT_INODE)


async def test_umount_ends_the_daemon_after_the_answer(desk: Desk) -> None:
    await desk.call("Mount.umount", wait=True)
    assert desk.ended.is_set()


async def test_umount_of_a_mount_in_use_is_refused_unless_forced(desk: Desk) -> None:
    desk.is_busy = True
    assert (await failure(desk, "Mount.umount")).code == 13900010
    assert not desk.ended.is_set()
    await desk.call("Mount.umount", force=True)
    assert desk.ended.is_set()


async def test_confirm_starts_a_sync(desk: Desk) -> None:
    await desk.call("Mount.confirm", scope="gallery")
    assert not desk.syncs[Scope.GALLERY].is_held
