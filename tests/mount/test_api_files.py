"""CloudFileCache, Download, getFileSyncState: every outcome on a real mount (INTERFACE sections 4, 7, 8)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cloudfs.model.enums import DownloadErrorType, FileSyncState, State
from tests.mount.calls import FILE, HEAD, OF_A_FILE, OF_AN_ASSET, failure
from tests.mount.conftest import Mounts
from tests.mount.harness import Connection, Mount, wait_until
from tests.mount.programs import content, fill, read
from tests.servers.apache import Apache
from tests.servers.faults import Answer, Hang, HangBody
from tests.servers.proxy import FaultProxy

DATA = content(3_000_000)
ASSET = "file://media/Photo/"
MIB = 1024 * 1024
A_LITTLE = 64 * 1024  # less than any range that is asked for


@pytest.fixture
def mount(apache: Apache, proxy: FaultProxy, mounts: Mounts) -> Mount:
    (apache.root / "Photos").mkdir()
    for name in ("1.txt", "2.txt", "Photos/1.jpg"):
        (apache.root / name).write_bytes(DATA)
    (apache.root / "Docs").mkdir()
    (apache.root / "Docs" / "deep.txt").write_bytes(DATA)
    return mounts(proxy.url, cloud={"timeout": "2s"}, sync={"auto": False})


@pytest.fixture
def connection(mount: Mount) -> Iterator[Connection]:
    connection = mount.connect()
    yield connection
    connection.close()


def asset_of(mount: Mount, path: str = "Photos/1.jpg") -> str:
    os.stat(mount.path / path)
    return mount.xattr("media_uri", path)


def progress(connection: Connection) -> list[dict[str, Any]]:
    """The events of one transfer, which keep to the grammar: RUNNING*, then one end."""
    events = connection.events_until(lambda event: event["params"]["progress"]["state"] != State.RUNNING)
    shown: list[dict[str, Any]] = [event["params"]["progress"] for event in events]
    processed = [each["processed"] for each in shown]
    assert processed == sorted(processed)
    if shown[-1]["state"] == State.COMPLETED:
        assert shown[-1]["processed"] == shown[-1]["size"]
    return shown


def follow(connection: Connection, name: str, uri: str) -> list[dict[str, Any]]:
    connection.call(f"{name}.on", event="progress")
    connection.call(f"{name}.start", uri=uri)
    shown = progress(connection)
    connection.call(f"{name}.off", event="progress")
    return shown


def name_and_uri(mount: Mount, name: str) -> tuple[str, str]:
    return ("1.txt", FILE) if name == "CloudFileCache" else ("Photos/1.jpg", asset_of(mount))


# --- what goes well ---


@pytest.mark.shows(
    "CloudFileCache.on",
    "CloudFileCache.off",
    "CloudFileCache.start",
    "CloudFileCache.progress RUNNING",
    "CloudFileCache.progress COMPLETED",
    "Download.on",
    "Download.off",
    "Download.start",
    "Download.progress RUNNING",
    "Download.progress COMPLETED",
    "DownloadErrorType.NO_ERROR",
)
@pytest.mark.parametrize("name", ["CloudFileCache", "Download"])
def test_a_download(mount: Mount, connection: Connection, proxy: FaultProxy, name: str) -> None:
    path, uri = name_and_uri(mount, name)
    shown = follow(connection, name, uri)
    assert shown[0]["state"] == State.RUNNING
    assert shown[-1] == {
        **{"state": State.COMPLETED, "processed": len(DATA), "size": len(DATA)},
        **{"uri": uri, "error": DownloadErrorType.NO_ERROR},
    }
    assert mount.xattr("location", path) == "both"

    before = len(proxy.seen)
    again = follow(connection, name, uri)
    assert [each["state"] for each in again] == [State.COMPLETED]  # without a transfer
    assert not [request for request in proxy.seen[before:] if request.method == "GET"]
    assert read(mount.path / path) == DATA
    assert connection.events == []  # after `off`, nothing


@pytest.mark.shows(
    "CloudFileCache.stop",
    "CloudFileCache.progress STOPPED",
    "Download.stop",
    "Download.progress STOPPED",
)
@pytest.mark.parametrize("name", ["CloudFileCache", "Download"])
def test_a_stop(mount: Mount, connection: Connection, proxy: FaultProxy, name: str) -> None:
    path, uri = name_and_uri(mount, name)
    proxy.faults.add(HangBody(A_LITTLE), method="GET")
    connection.call(f"{name}.on", event="progress")
    connection.call(f"{name}.start", uri=uri)
    wait_until(lambda: mount.xattr("location", path) == "partial", "something has come")
    connection.call(f"{name}.stop", uri=uri, needClean=False)
    assert progress(connection)[-1]["state"] == State.STOPPED
    assert mount.xattr("location", path) == "partial"

    connection.call(
        f"{name}.stop", uri=uri
    )  # it does not run: accepted, says nothing, and drops what there is
    assert mount.xattr("location", path) == "cloud"
    proxy.faults.clear()
    connection.call(f"{name}.start", uri=uri)
    assert progress(connection)[-1]["state"] == State.COMPLETED
    connection.call(f"{name}.stop", uri=uri)  # never whole content
    assert mount.xattr("location", path) == "both"


def test_both_classes_share_one_transfer(mount: Mount, connection: Connection, proxy: FaultProxy) -> None:
    asset, by_path = asset_of(mount), HEAD + "Photos/1.jpg"
    proxy.faults.add(HangBody(A_LITTLE), method="GET")
    for name, uri in (("CloudFileCache", by_path), ("Download", asset)):
        connection.call(f"{name}.on", event="progress")
        connection.call(f"{name}.start", uri=uri)
    connection.call("Download.stop", uri="file:///media/Photo/" + asset.removeprefix(ASSET))
    ends: dict[str, Any] = {}
    while len(ends) < 2:
        event = connection.next_event()
        if event["params"]["progress"]["state"] != State.RUNNING:
            ends[event["method"]] = event["params"]["progress"]
    assert {name: (end["state"], end["uri"]) for name, end in ends.items()} == {
        "CloudFileCache.progress": (State.STOPPED, by_path),
        "Download.progress": (State.STOPPED, asset),
    }


@pytest.mark.shows("CloudFileCache.cleanCache", "CloudFileCache.cleanCache 13900010")
def test_clean_cache(mount: Mount, connection: Connection, proxy: FaultProxy) -> None:
    assert read(mount.path / "1.txt") == DATA
    wait_until(lambda: mount.xattr("location", "1.txt") == "both", "it is here")
    with (mount.path / "1.txt").open("rb") as reader:
        connection.call("CloudFileCache.cleanCache", uri=FILE)
        assert mount.xattr("location", "1.txt") == "cloud"
        assert reader.read() == DATA  # with right bytes, whoever has it open
    connection.call("CloudFileCache.cleanCache", uri=HEAD + "2.txt")  # not cached: done

    def refused(path: str) -> bool:
        return failure(connection, "CloudFileCache.cleanCache", {"uri": HEAD + path}) == (
            13900010,
            "Try again.",
        )

    (mount.path / "new.txt").write_bytes(b"never uploaded")
    assert refused("new.txt")
    with (mount.path / "2.txt").open("r+b") as writer:
        assert refused("2.txt")
        writer.write(b"changed")
    assert refused("2.txt")
    os.setxattr(mount.path / "1.txt", "user.cloudfs.pin", b"always")
    assert refused("1.txt")
    assert (mount.path / "new.txt").read_bytes() == b"never uploaded"
    assert read(mount.path / "2.txt") == b"changed" + DATA[7:]


@pytest.mark.shows(
    "cloudSync.getFileSyncState",
    "FileSyncState.UPLOADING",
    "FileSyncState.DOWNLOADING",
    "FileSyncState.COMPLETED",
    "FileSyncState.STOPPED",
)
def test_file_sync_states(mount: Mount, connection: Connection, proxy: FaultProxy) -> None:
    uris = [HEAD + path for path in ("1.txt", "2.txt", "new.txt", "NewFolder", "Docs")]

    def states() -> list[int]:
        asked: list[int] = connection.call("cloudSync.getFileSyncState", uri=uris)
        return asked

    (mount.path / "new.txt").write_bytes(b"new")
    (mount.path / "NewFolder").mkdir()
    done, stopped = FileSyncState.COMPLETED, FileSyncState.STOPPED
    assert states() == [done, done, stopped, stopped, done]

    proxy.faults.add(HangBody(A_LITTLE), method="GET", target="2.txt")
    proxy.faults.add(Hang(), method="PUT", target="new.txt")
    connection.call("CloudFileCache.start", uri=uris[1])
    connection.call("FileSync.start")
    under_way = [done, FileSyncState.DOWNLOADING, FileSyncState.UPLOADING]
    wait_until(lambda: states()[:3] == under_way, "both are under way")
    connection.call("FileSync.stop")
    wait_until(lambda: states()[2] == stopped, "nothing is sent any more")
    assert states()[1] == FileSyncState.DOWNLOADING  # what was asked for goes on
    connection.call("CloudFileCache.stop", uri=uris[1])
    proxy.faults.clear()
    mount.settle()
    assert states() == [done] * 5


# --- what goes wrong ---

BAD_URIS = [
    "http://com.example.files/data/storage/el2/cloud/1.txt",
    "file://com.example.other/data/storage/el2/cloud/1.txt",
    "file://com.example.files/data/storage/el2/cloudX/1.txt",
    HEAD + "../cloud/1.txt",
    HEAD + "%2e%2e/1.txt",
    HEAD + "a%2Fb/../1.txt",
    HEAD + "1.txt%00",
    HEAD + "%zz",
    HEAD + "%ff",
    "",
    "/data/storage/el2/cloud/1.txt",
]


@pytest.mark.shows(
    "CloudFileCache.start 14000002",
    "CloudFileCache.stop 14000002",
    "CloudFileCache.cleanCache 14000002",
    "Download.start 14000002",
    "Download.stop 14000002",
    "cloudSync.getFileSyncState 14000002",
)
def test_uris_that_are_none(connection: Connection) -> None:
    invalid = (14000002, "Invalid uri.")
    for uri in BAD_URIS:
        for method in (*OF_A_FILE, *OF_AN_ASSET):
            assert failure(connection, method, {"uri": uri}) == invalid
        assert failure(connection, "cloudSync.getFileSyncState", {"uri": [FILE, uri]}) == invalid
    for method in OF_AN_ASSET:  # gallery assets only
        assert failure(connection, method, {"uri": FILE}) == invalid
    for method in OF_A_FILE:  # a folder
        assert failure(connection, method, {"uri": HEAD + "Docs"}) == invalid


@pytest.mark.shows(
    "CloudFileCache.start 13900002",
    "CloudFileCache.stop 13900002",
    "CloudFileCache.cleanCache 13900002",
    "Download.start 13900002",
    "Download.stop 13900002",
    "cloudSync.getFileSyncState 13900002",
)
def test_files_that_are_not_there(connection: Connection) -> None:
    missing = (13900002, "No such file or directory.")
    for uri in (HEAD + "none", HEAD + "Docs/none", HEAD + "1.txt/none", HEAD + "x" * 10_000, ASSET + "4711"):
        for method in OF_A_FILE:
            assert failure(connection, method, {"uri": uri}) == missing
        assert failure(connection, "cloudSync.getFileSyncState", {"uri": [FILE, uri]}) == missing
    for method in OF_AN_ASSET:
        assert failure(connection, method, {"uri": ASSET + "4711"}) == missing


def test_a_hundred_uris_and_no_more(connection: Connection) -> None:
    assert connection.call("cloudSync.getFileSyncState", uri=[FILE] * 100) == [FileSyncState.COMPLETED] * 100
    assert failure(connection, "cloudSync.getFileSyncState", {"uri": [FILE] * 101})[0] == 401


FAILURES = {
    "CloudFileCache": {
        404: DownloadErrorType.CONTENT_NOT_FOUND,
        410: DownloadErrorType.CONTENT_NOT_FOUND,
        429: DownloadErrorType.FREQUENT_USER_REQUESTS,
        500: DownloadErrorType.UNKNOWN_ERROR,
    },
    "Download": {401: DownloadErrorType.UNKNOWN_ERROR, 404: DownloadErrorType.CONTENT_NOT_FOUND},
}


@pytest.mark.shows(
    "CloudFileCache.progress FAILED",
    "Download.progress FAILED",
    "DownloadErrorType.UNKNOWN_ERROR",
    "DownloadErrorType.NETWORK_UNAVAILABLE",
    "DownloadErrorType.CONTENT_NOT_FOUND",
    "DownloadErrorType.FREQUENT_USER_REQUESTS",
)
@pytest.mark.parametrize("name", ["CloudFileCache", "Download"])
def test_downloads_that_fail(mount: Mount, connection: Connection, proxy: FaultProxy, name: str) -> None:
    _, uri = name_and_uri(mount, name)
    for status, error in FAILURES[name].items():
        proxy.faults.add(Answer(status), method="GET")
        end = follow(connection, name, uri)[-1]
        assert (end["state"], end["error"], end["uri"]) == (State.FAILED, error, uri)
        proxy.faults.clear()
    proxy.refuse()
    end = follow(connection, name, uri)[-1]
    assert (end["state"], end["error"]) == (State.FAILED, DownloadErrorType.NETWORK_UNAVAILABLE)
    proxy.accept()
    assert follow(connection, name, uri)[-1]["state"] == State.COMPLETED


@pytest.mark.shows(
    "CloudFileCache.start 13900025", "Download.start 13900025", "DownloadErrorType.LOCAL_STORAGE_FULL"
)
def test_a_disk_without_room(apache: Apache, proxy: FaultProxy, mounts: Mounts, small_disk: Path) -> None:
    (apache.root / "Photos").mkdir()
    for name in ("1.txt", "Photos/1.jpg"):
        (apache.root / name).write_bytes(content(8 * MIB))
    mount = mounts(
        proxy.url,
        cloud={"timeout": "3s"},
        sync={"auto": False},
        cache={"path": str(small_disk / "cache"), "min_free": "1MiB"},
    )
    connection = mount.connect()
    asset = asset_of(mount)
    proxy.faults.add(HangBody(A_LITTLE), method="GET")
    connection.call("CloudFileCache.on", event="progress")
    connection.call("CloudFileCache.start", uri=FILE)
    wait_until(lambda: mount.xattr("location", "1.txt") == "partial", "something has come")
    ballast = fill(small_disk)
    others = mount.connect()
    for method, uri in (("CloudFileCache.start", HEAD + "Photos/1.jpg"), ("Download.start", asset)):
        assert failure(others, method, {"uri": uri}) == (13900025, "No space left on device.")
    proxy.faults.clear()
    proxy.drop_connections()
    end = progress(connection)[-1]
    assert (end["state"], end["error"]) == (State.FAILED, DownloadErrorType.LOCAL_STORAGE_FULL)
    ballast.unlink()
    connection.call("CloudFileCache.start", uri=FILE)
    assert progress(connection)[-1]["state"] == State.COMPLETED
