"""FileSync and GallerySync on a real mount: the same class over two scopes (INTERFACE section 8, "Sync")."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from cloudfs.client import CloudSyncError, blocking
from tests.mount.calls import FILE, failure, good_calls
from tests.mount.conftest import Mounts
from tests.mount.harness import Mount, wait_until
from tests.mount.programs import content, fill
from tests.mount.scopes import DATA, Scope, files, gallery
from tests.servers.apache import Apache
from tests.servers.faults import Answer, Hang, HangBody
from tests.servers.proxy import FaultProxy

DOWNLOADING, UPLOADING = ("DOWNLOADING", "NO_ERROR"), ("UPLOADING", "NO_ERROR")
COMPLETED, STOPPED = ("COMPLETED", "NO_ERROR"), ("STOPPED", "NO_ERROR")
NOT_READY = (22400001, "Cloud status not ready.")
LONG = content(3_000_000)


@pytest.fixture
def mount(apache: Apache, proxy: FaultProxy, mounts: Mounts) -> Mount:
    """A file for each of the two."""
    (apache.root / "Photos").mkdir()
    for name in ("1.txt", "Photos/1.jpg"):
        (apache.root / name).write_bytes(DATA)
    return mounts(proxy.url, cloud={"timeout": "3s"}, sync={"auto": False, "wifi_only": True})


@pytest.fixture(params=[files, gallery], ids=["files", "gallery"])
def scope(request: pytest.FixtureRequest, mount: Mount) -> Scope:
    """Either of the two."""
    of_mount: Callable[[Mount], Scope] = request.param
    return of_mount(mount)


@pytest.fixture
def cloud(scope: Scope, apache: Apache) -> Path:
    """The scope's folder at the server."""
    return apache.root / scope.place


# --- how a sync goes ---


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
def test_a_sync(scope: Scope, cloud: Path) -> None:
    assert scope.on() == COMPLETED
    assert scope.call("getLastSyncTime") == 0
    before_ms = time.time() * 1000 - 1
    assert scope.sync() == [DOWNLOADING, COMPLETED]
    first_ms = scope.call("getLastSyncTime")
    assert isinstance(first_ms, int)
    assert before_ms <= first_ms <= time.time() * 1000
    assert scope.mount.call(f"{scope.other}.getLastSyncTime") == 0

    (scope.folder / "new.bin").write_bytes(DATA)
    assert scope.sync() == [DOWNLOADING, UPLOADING, COMPLETED]
    assert (cloud / "new.bin").read_bytes() == DATA

    last_ms = scope.call("getLastSyncTime")
    scope.connection.call(f"{scope.name}.off", event="progress")
    scope.call("start")
    wait_until(lambda: scope.call("getLastSyncTime") != last_ms, "one more has completed")
    assert scope.connection.events == []  # after `off`, nothing
    last_ms = scope.call("getLastSyncTime")
    scope.mount.remount()
    assert scope.mount.call(f"{scope.name}.getLastSyncTime") == last_ms


def test_starts_in_mid_run_make_one_rerun(scope: Scope, cloud: Path, proxy: FaultProxy) -> None:
    scope.on()
    (scope.folder / "new.bin").write_bytes(DATA)
    proxy.faults.add(Hang(), method="PUT", target="new.bin")
    scope.call("start")
    scope.until_uploading()
    for _ in range(3):
        scope.call("start")
    (scope.folder / "newer.bin").write_bytes(DATA)
    proxy.faults.clear()
    proxy.drop_connections()
    said = scope.until_end()
    assert said[0] == DOWNLOADING  # the rerun: the pass before it said no end of its own
    assert said[-1] == COMPLETED
    assert (cloud / "new.bin").read_bytes() == (cloud / "newer.bin").read_bytes() == DATA
    assert scope.sync() == [DOWNLOADING, COMPLETED]  # and there was no other


@pytest.mark.shows(
    "*Sync.progress DOWNLOAD_FAILED", "*Sync.progress UPLOAD_FAILED", "ErrorType.CLOUD_STORAGE_FULL"
)
def test_a_sync_that_fails(scope: Scope, cloud: Path, proxy: FaultProxy) -> None:
    scope.on()
    scope.sync()
    last_ms = scope.call("getLastSyncTime")
    proxy.faults.add(Answer(400), method="PROPFIND", target=scope.root)
    assert scope.sync() == [DOWNLOADING, ("DOWNLOAD_FAILED", "NO_ERROR")]
    proxy.faults.clear()
    (scope.folder / "new.bin").write_bytes(DATA)
    proxy.faults.add(Answer(507), method="PUT")
    assert scope.sync() == [DOWNLOADING, UPLOADING, ("UPLOAD_FAILED", "CLOUD_STORAGE_FULL")]
    assert not (cloud / "new.bin").exists()
    assert scope.call("getLastSyncTime") == last_ms  # it moves on COMPLETED only
    proxy.faults.clear()
    assert scope.sync() == [DOWNLOADING, UPLOADING, COMPLETED]


def test_without_a_listing_nothing_is_sent(mount: Mount, apache: Apache, proxy: FaultProxy) -> None:
    scope = files(mount)
    scope.on()
    scope.sync()
    (mount.path / "new.bin").write_bytes(DATA)
    proxy.faults.add(Answer(400), method="PROPFIND", target=scope.root)
    assert scope.sync() == [DOWNLOADING, ("DOWNLOAD_FAILED", "NO_ERROR")]
    assert not (apache.root / "new.bin").exists()
    proxy.faults.clear()
    assert scope.sync() == [DOWNLOADING, UPLOADING, COMPLETED]


def test_what_fails_holds_up_nothing_else(scope: Scope, cloud: Path, proxy: FaultProxy) -> None:
    """A folder, a pinned file and an upload fail in one sync, which ends with the gravest of their causes."""
    (cloud / "refused").mkdir()
    for name in ("gone.bin", "wanted.bin"):
        (cloud / name).write_bytes(DATA)
    scope.on()
    assert scope.sync() == [DOWNLOADING, COMPLETED]
    for name in ("large.bin", "small.bin"):
        (scope.folder / name).write_bytes(DATA)
    (cloud / "theirs.bin").write_bytes(DATA)
    proxy.faults.add(Answer(403), method="PROPFIND", target="/refused/")
    proxy.faults.add(Answer(404), method="GET", target="/gone.bin")
    proxy.faults.add(Answer(507), method="PUT", target="/large.bin")
    for name in ("gone.bin", "wanted.bin"):
        os.setxattr(scope.folder / name, "user.cloudfs.pin", b"always")
    assert scope.sync() == [DOWNLOADING, UPLOADING, ("DOWNLOAD_FAILED", "CLOUD_STORAGE_FULL")]
    assert (cloud / "small.bin").read_bytes() == DATA
    assert (scope.folder / "theirs.bin").stat().st_size == len(DATA)
    assert scope.xattr("location", "wanted.bin") == "both"
    proxy.faults.clear()
    assert scope.sync() == [DOWNLOADING, UPLOADING, COMPLETED]
    assert scope.xattr("location", "gone.bin") == "both"


# --- stop ---


@pytest.mark.shows("*Sync.stop", "*Sync.progress STOPPED")
def test_a_stop_holds_its_scope_until_a_start(scope: Scope, proxy: FaultProxy) -> None:
    scope.on()
    scope.sync()
    scope.call("stop")  # idle: accepted, and nothing is said
    (scope.folder / "new.bin").write_bytes(DATA)
    proxy.faults.add(Hang(), method="PUT", target="new.bin")
    scope.call("start")
    scope.until_uploading()
    scope.call("start")  # makes a rerun, which the stop drops
    scope.call("stop")
    assert scope.next() == STOPPED

    scope.mount.remount()  # also across remounts
    held = {name: sync["held"] for name, sync in scope.mount.status()["sync"].items()}
    assert held == {"files": False, "gallery": False, scope.key: True}
    proxy.faults.clear()
    scope.mount.call(f"{scope.name}.start")
    wait_until(lambda: scope.mount.pending == 0, "the start goes on where the stop ended")
    assert not scope.mount.status()["sync"][scope.key]["held"]


def test_a_stop_ends_the_syncs_own_transfers_alone(scope: Scope, cloud: Path, proxy: FaultProxy) -> None:
    """Uploads and pins, and not the downloads that somebody asked for."""
    for name in ("asked.bin", "pinned.bin"):
        (cloud / name).write_bytes(LONG)
    scope.on()
    scope.sync()
    proxy.conditions.bandwidth = 500_000
    proxy.faults.add(Hang(), method="PUT", target="new.bin")
    scope.mount.call("CloudFileCache.start", uri=scope.uri("asked.bin"))
    os.setxattr(scope.folder / "pinned.bin", "user.cloudfs.pin", b"always")
    (scope.folder / "new.bin").write_bytes(DATA)
    scope.call("start")
    scope.until_uploading()

    def under_way() -> set[str]:
        return {Path(each["path"]).name for each in scope.mount.status()["transfers"]}

    wait_until(lambda: under_way() == {"asked.bin", "pinned.bin", "new.bin"}, "all three are under way")
    scope.call("stop")
    assert scope.next() == STOPPED
    assert under_way() == {"asked.bin"}
    proxy.conditions.bandwidth = None
    wait_until(lambda: scope.xattr("location", "asked.bin") == "both", "it went on")
    assert scope.xattr("location", "pinned.bin") != "both"
    proxy.faults.clear()
    assert scope.sync() == [DOWNLOADING, UPLOADING, COMPLETED]
    assert scope.xattr("location", "pinned.bin") == "both"


# --- conditions ---


@pytest.mark.shows("ErrorType.NETWORK_UNAVAILABLE", "ErrorType.WIFI_UNAVAILABLE")
@pytest.mark.parametrize(
    ("scope", "network", "error"),
    [(files, "none", "NETWORK_UNAVAILABLE"), (gallery, "mobile", "WIFI_UNAVAILABLE")],
    indirect=["scope"],
)
def test_a_network_that_goes_in_mid_sync(scope: Scope, proxy: FaultProxy, network: str, error: str) -> None:
    scope.on()
    (scope.folder / "new.bin").write_bytes(DATA)
    proxy.faults.add(Hang(), method="PUT", target="new.bin")
    scope.call("start")
    scope.until_uploading()
    scope.mount.call("Mount.simulate", network=network, battery=9)
    assert scope.next() == ("UPLOAD_FAILED", error)  # at once, and the first of several causes


@pytest.mark.shows("ErrorType.NETWORK_UNAVAILABLE")
def test_a_server_that_is_gone(scope: Scope, proxy: FaultProxy) -> None:
    scope.on()
    proxy.refuse()
    assert scope.sync() == [DOWNLOADING, ("DOWNLOAD_FAILED", "NETWORK_UNAVAILABLE")]
    proxy.accept()
    (scope.folder / "new.bin").write_bytes(DATA)
    proxy.faults.add(Hang(), method="PUT", target="new.bin")
    scope.call("start")
    scope.until_uploading()
    proxy.refuse()
    assert scope.next() == ("UPLOAD_FAILED", "NETWORK_UNAVAILABLE")


@pytest.mark.shows("*Sync.start 22400001")
@pytest.mark.parametrize(
    ("meets_it", "status", "target"),
    [(gallery, 401, "/Photos/"), (files, 403, "^/$"), (files, 503, "^/$")],
    ids=["401", "403", "503"],
)
def test_a_cloud_that_refuses(
    mount: Mount, proxy: FaultProxy, meets_it: Callable[[Mount], Scope], status: int, target: str
) -> None:
    """401 counts whatever was asked for, 403 and 503 at the root; then neither sync is begun."""
    scope, both = meets_it(mount), (files(mount), gallery(mount))
    scope.on()
    scope.sync()
    proxy.faults.add(Answer(status), method="PROPFIND", target=f"{target}|^/$")
    assert scope.sync() == [DOWNLOADING, ("DOWNLOAD_FAILED", "NO_ERROR")]
    for each in both:
        assert failure(each.connection, f"{each.name}.start", {}) == NOT_READY
    proxy.faults.clear()
    for each in both:
        each.call("start")  # asks at once


@pytest.mark.shows("ErrorType.LOCAL_STORAGE_FULL", "DownloadErrorType.LOCAL_STORAGE_FULL")
def test_a_full_disk(apache: Apache, proxy: FaultProxy, mounts: Mounts, small_disk: Path) -> None:
    """What was pinned, and a download that failed for want of space: the next sync brings both."""
    for name in ("asked.bin", "pinned.bin"):
        (apache.root / name).write_bytes(LONG)
    cache = {"path": str(small_disk / "cache"), "min_free": "1MiB"}
    mount = mounts(proxy.url, sync={"auto": False}, cache=cache)
    scope = files(mount)
    scope.on()
    scope.sync()
    proxy.faults.add(HangBody(65536), method="GET")
    scope.connection.call("CloudFileCache.start", uri=mount.uri("asked.bin"))
    wait_until(lambda: mount.xattr("location", "asked.bin") == "partial", "something has come")
    ballast = fill(small_disk)
    os.setxattr(mount.path / "pinned.bin", "user.cloudfs.pin", b"always")
    proxy.faults.clear()
    proxy.drop_connections()
    wait_until(lambda: mount.xattr("error", "asked.bin") == "LOCAL_STORAGE_FULL", "there is no room")
    assert scope.sync() == [DOWNLOADING, ("DOWNLOAD_FAILED", "LOCAL_STORAGE_FULL")]
    ballast.unlink()
    assert scope.sync() == [DOWNLOADING, COMPLETED]
    assert [mount.xattr("location", name) for name in ("asked.bin", "pinned.bin")] == ["both", "both"]


@pytest.mark.shows("* 13600001")
def test_a_daemon_that_is_gone(mount: Mount) -> None:
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
