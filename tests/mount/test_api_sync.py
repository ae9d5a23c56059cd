"""FileSync and GallerySync on a real mount: the same class over two scopes (INTERFACE section 8, "Sync")."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from cloudfs.client import CloudSyncError, blocking
from cloudfs.model.enums import ErrorType, SyncState
from tests.mount.calls import FILE, good_calls
from tests.mount.conftest import Mounts
from tests.mount.harness import Connection, Mount, RpcError, wait_until
from tests.mount.programs import content, errno_of, fill
from tests.servers.apache import Apache
from tests.servers.faults import Answer, Hang
from tests.servers.proxy import FaultProxy

DATA = content(200_000)
END = {SyncState.COMPLETED, SyncState.DOWNLOAD_FAILED, SyncState.UPLOAD_FAILED, SyncState.STOPPED}
Said = list[tuple[str, str]]


@dataclass
class Scope:
    """One of the two classes, a folder that it covers, and a connection that has its events."""

    name: str
    mount: Mount
    folder: Path
    target: str
    other: str
    connection: Connection

    def call(self, verb: str) -> object:
        return self.connection.call(f"{self.name}.{verb}")

    def on(self) -> tuple[str, str]:
        """Subscribe; what is delivered at once."""
        self.connection.call(f"{self.name}.on", event="progress")
        return self.next()

    def next(self) -> tuple[str, str]:
        event = self.connection.next_event()
        assert event["method"] == f"{self.name}.progress"
        progress = event["params"]["progress"]
        return SyncState(progress["state"]).name, ErrorType(progress["error"]).name

    def until_end(self) -> Said:
        """What a sync says, to its end."""
        said = [self.next()]
        while SyncState[said[-1][0]] not in END:
            said.append(self.next())
        return said

    def sync(self) -> Said:
        self.call("start")
        return self.until_end()


@pytest.fixture(params=["FileSync", "GallerySync"])
def scope(
    request: pytest.FixtureRequest, apache: Apache, proxy: FaultProxy, mounts: Mounts
) -> Iterator[Scope]:
    (apache.root / "Photos").mkdir()
    (apache.root / "1.txt").write_bytes(DATA)
    (apache.root / "Photos" / "1.jpg").write_bytes(DATA)
    mount = mounts(proxy.url, cloud={"timeout": "2s"}, sync={"auto": False, "wifi_only": True})
    is_gallery = request.param == "GallerySync"
    connection = mount.connect()
    yield Scope(
        name=request.param,
        mount=mount,
        folder=mount.path / "Photos" if is_gallery else mount.path,
        target="/Photos/" if is_gallery else "^/$",
        other="FileSync" if is_gallery else "GallerySync",
        connection=connection,
    )
    connection.close()


@pytest.mark.shows(
    "*Sync.on",
    "*Sync.off",
    "*Sync.start",
    "*Sync.getLastSyncTime",
    "*Sync.progress DOWNLOADING",
    "*Sync.progress UPLOADING",
    "*Sync.progress COMPLETED",
    "ErrorType.NO_ERROR",
)
def test_a_sync(scope: Scope, apache: Apache) -> None:
    assert scope.on() == ("COMPLETED", "NO_ERROR")
    assert scope.call("getLastSyncTime") == 0
    before_ms = time.time() * 1000 - 1
    assert scope.sync() == [("DOWNLOADING", "NO_ERROR"), ("COMPLETED", "NO_ERROR")]
    first_ms = scope.call("getLastSyncTime")
    assert isinstance(first_ms, int)
    assert before_ms <= first_ms <= time.time() * 1000
    assert scope.connection.call(f"{scope.other}.getLastSyncTime") == 0

    (scope.folder / "new.bin").write_bytes(DATA)
    assert scope.sync() == [
        ("DOWNLOADING", "NO_ERROR"),
        ("UPLOADING", "NO_ERROR"),
        ("COMPLETED", "NO_ERROR"),
    ]
    assert (apache.root / scope.folder.relative_to(scope.mount.path) / "new.bin").read_bytes() == DATA

    last_ms = scope.call("getLastSyncTime")
    scope.connection.call(f"{scope.name}.off", event="progress")
    scope.call("start")
    wait_until(lambda: scope.call("getLastSyncTime") != last_ms, "one more has completed")
    assert scope.connection.events == []  # after `off`, nothing
    last_ms = scope.call("getLastSyncTime")
    scope.mount.remount()
    assert scope.mount.call(f"{scope.name}.getLastSyncTime") == last_ms


@pytest.mark.shows(
    "*Sync.progress DOWNLOAD_FAILED", "*Sync.progress UPLOAD_FAILED", "ErrorType.CLOUD_STORAGE_FULL"
)
def test_a_sync_that_fails(scope: Scope, proxy: FaultProxy) -> None:
    scope.on()
    scope.sync()
    last_ms = scope.call("getLastSyncTime")
    proxy.faults.add(Answer(500), method="PROPFIND", target=scope.target)
    assert scope.sync() == [("DOWNLOADING", "NO_ERROR"), ("DOWNLOAD_FAILED", "NO_ERROR")]
    proxy.faults.clear()
    (scope.folder / "new.bin").write_bytes(DATA)
    proxy.faults.add(Answer(507), method="PUT")
    assert scope.sync() == [
        ("DOWNLOADING", "NO_ERROR"),
        ("UPLOADING", "NO_ERROR"),
        ("UPLOAD_FAILED", "CLOUD_STORAGE_FULL"),
    ]
    assert scope.call("getLastSyncTime") == last_ms  # it moves on COMPLETED only
    proxy.faults.clear()
    assert scope.sync()[-1] == ("COMPLETED", "NO_ERROR")


@pytest.mark.shows("*Sync.stop", "*Sync.progress STOPPED")
def test_a_stop_holds_its_scope_until_a_start(scope: Scope, proxy: FaultProxy) -> None:
    scope.on()
    scope.sync()
    scope.call("stop")  # idle: accepted, and nothing is said
    (scope.folder / "new.bin").write_bytes(DATA)
    proxy.faults.add(Hang(), method="PUT", target="new.bin")
    scope.call("start")
    assert [scope.next()[0], scope.next()[0]] == ["DOWNLOADING", "UPLOADING"]
    scope.call("start")  # makes a rerun, which the stop drops
    scope.call("stop")
    assert scope.next() == ("STOPPED", "NO_ERROR")

    mine, other = ("gallery", "files") if scope.name == "GallerySync" else ("files", "gallery")
    scope.mount.remount()  # also across remounts
    held = {name: sync["held"] for name, sync in scope.mount.status()["sync"].items()}
    assert held == {mine: True, other: False}
    proxy.faults.clear()
    scope.mount.call(f"{scope.name}.start")
    wait_until(lambda: scope.mount.pending == 0, "the start goes on where the stop ended")
    assert not scope.mount.status()["sync"][mine]["held"]


@pytest.mark.shows(
    "ErrorType.NETWORK_UNAVAILABLE",
    "ErrorType.WIFI_UNAVAILABLE",
    "ErrorType.BATTERY_LEVEL_LOW",
    "ErrorType.BATTERY_LEVEL_WARNING",
)
@pytest.mark.parametrize(
    ("scope", "condition", "error"),
    [
        ("FileSync", {"network": "none"}, "NETWORK_UNAVAILABLE"),
        ("FileSync", {"network": "mobile"}, "WIFI_UNAVAILABLE"),
        ("FileSync", {"battery": 14}, "BATTERY_LEVEL_LOW"),
        ("GallerySync", {"battery": 9}, "BATTERY_LEVEL_WARNING"),
        ("GallerySync", {"battery": 9, "network": "mobile"}, "WIFI_UNAVAILABLE"),
    ],
    indirect=["scope"],
)
def test_a_condition_in_the_middle_of_a_sync(
    scope: Scope, proxy: FaultProxy, condition: dict[str, object], error: str
) -> None:
    scope.on()
    scope.sync()
    (scope.folder / "new.bin").write_bytes(DATA)
    proxy.faults.add(Hang(), method="PUT", target="new.bin")
    scope.call("start")
    assert [scope.next()[0], scope.next()[0]] == ["DOWNLOADING", "UPLOADING"]
    scope.mount.call("Mount.simulate", **condition)
    assert scope.next() == ("UPLOAD_FAILED", error)


@pytest.mark.shows("ErrorType.NETWORK_UNAVAILABLE")
def test_a_server_that_is_gone(scope: Scope, proxy: FaultProxy) -> None:
    scope.on()
    proxy.refuse()
    assert scope.sync() == [("DOWNLOADING", "NO_ERROR"), ("DOWNLOAD_FAILED", "NETWORK_UNAVAILABLE")]


@pytest.mark.shows("*Sync.start 22400001")
@pytest.mark.parametrize("status", [401, 403, 503])
def test_a_cloud_that_refuses(scope: Scope, proxy: FaultProxy, status: int) -> None:
    scope.on()
    scope.sync()
    # 401 counts whatever was asked for, 403 and 503 at the root.
    proxy.faults.add(Answer(status), method="PROPFIND", target="" if status == 401 else "^/$")
    scope.call("start")
    if scope.name == "FileSync" or status == 401:
        assert scope.until_end()[-1] == ("DOWNLOAD_FAILED", "NO_ERROR")
    else:
        scope.connection.call("FileSync.start")
    wait_until(lambda: refused(scope.mount, "FileSync.start") == 22400001, "starts are refused")
    assert refused(scope.mount, "GallerySync.start") == 22400001


@pytest.mark.shows("ErrorType.LOCAL_STORAGE_FULL")
def test_a_pin_without_room(apache: Apache, proxy: FaultProxy, mounts: Mounts, small_disk: Path) -> None:
    (apache.root / "1.txt").write_bytes(content(4 << 20))
    mount = mounts(
        proxy.url, sync={"auto": False}, cache={"path": str(small_disk / "cache"), "min_free": "1MiB"}
    )
    mount.settle()
    ballast = fill(small_disk)
    os.setxattr(mount.path / "1.txt", "user.cloudfs.pin", b"always")
    assert (mount.sync(), mount.xattr("sync_error")) == ("DOWNLOAD_FAILED", "LOCAL_STORAGE_FULL")
    ballast.unlink()
    assert mount.sync() == "COMPLETED"  # once space is free the next start downloads it
    assert mount.xattr("location", "1.txt") == "both"


def test_a_move_between_the_scopes_and_their_folders(apache: Apache, mounts: Mounts) -> None:
    (apache.root / "Photos").mkdir()
    (apache.root / "1.txt").write_bytes(DATA)
    mount = mounts(apache.url, sync={"auto": False})
    mount.settle()
    assert errno_of(lambda: (mount.path / "Photos").rename(mount.path / "Pictures")) == errno.EBUSY
    assert errno_of(lambda: (mount.path / "Photos").rmdir()) == errno.EBUSY
    (mount.path / "1.txt").rename(mount.path / "Photos" / "1.jpg")
    assert mount.sync() == "COMPLETED"  # by the sync of where it came from
    assert (apache.root / "Photos" / "1.jpg").read_bytes() == DATA
    assert mount.pending == 0


@pytest.mark.shows("* 13600001")
def test_a_daemon_that_is_gone(apache: Apache, mounts: Mounts) -> None:
    (apache.root / "Photos").mkdir()
    (apache.root / "1.txt").write_bytes(DATA)
    (apache.root / "Photos" / "1.jpg").write_bytes(DATA)
    mount = mounts(apache.url, sync={"auto": False})
    mount.settle()
    asset = good_calls(mount)["Download.start"]["uri"]
    with (
        blocking.FileSync(mount.socket) as files,
        blocking.GallerySync(mount.socket) as gallery,
        blocking.CloudFileCache(mount.socket) as cache,
        blocking.Download(mount.socket) as download,
    ):
        for each in (files, gallery, cache, download):
            each.on("progress", ignore)
        mount.kill()
        for sync in (files, gallery):
            assert all(map(ipc_error, (sync.start, sync.stop, sync.get_last_sync_time)))
        for owner, uri in ((cache, FILE), (download, asset)):
            assert ipc_error(partial(owner.start, uri))
            assert ipc_error(partial(owner.stop, uri))
        assert ipc_error(partial(cache.clean_cache, FILE))
        for each in (files, gallery, cache, download):
            assert ipc_error(partial(each.on, "progress", ignore))
            assert ipc_error(partial(each.off, "progress"))
    assert ipc_error(partial(blocking.get_file_sync_state, [FILE], socket=mount.socket))


def ignore(progress: object) -> None:
    """A listener."""


def ipc_error(call: Callable[[], object]) -> bool:
    try:
        call()
    except CloudSyncError as error:
        return (error.code, error.message) == (13600001, "IPC error.")
    return False


def refused(mount: Mount, method: str) -> int:
    """The code with which a start is refused, 0 where it is accepted."""
    try:
        mount.call(method)
    except RpcError as error:
        return error.code
    return 0
