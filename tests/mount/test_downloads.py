"""How downloads go on: joined, resumed, stopped, overtaken by another version, and how each failure is told.

What each method answers at all is in test_api_files; here is the rest of INTERFACE section 8, "Downloads".
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cloudfs.model.enums import DownloadErrorType, FileSyncState, State
from tests.control.event_grammar import Grammar, download_progress
from tests.mount.calls import FILE, HEAD
from tests.mount.conftest import Mounts
from tests.mount.harness import Connection, Mount, RpcError, wait_until
from tests.mount.programs import content, read
from tests.servers.apache import Apache
from tests.servers.faults import LOGIN_PAGE, Answer, AppendBody, CutBody, Fault, Hang, HangBody
from tests.servers.proxy import FaultProxy

MIB = 1024 * 1024
DATA, NEWER = content(6 * MIB), content(5 * MIB, seed=2)
A_LITTLE = 64 * 1024  # less than any range that is asked for


@pytest.fixture
def mount(apache: Apache, proxy: FaultProxy, mounts: Mounts) -> Mount:
    """`1.txt`, `2.txt`, a photo and a folder never listed, known and in sync."""
    for folder in ("Photos", "Docs"):
        (apache.root / folder).mkdir()
    for name in ("1.txt", "2.txt", "Photos/1.jpg", "Docs/deep.txt"):
        (apache.root / name).write_bytes(DATA)
    mount = mounts(proxy.url, cloud={"timeout": "2s"}, sync={"auto": False})
    os.listdir(mount.path)
    return mount


@pytest.fixture
def client(mount: Mount) -> Iterator[Connection]:
    """Hears of what it starts."""
    connection = mount.connect()
    connection.call("CloudFileCache.on", event="progress")
    yield connection
    connection.close()


def end_of(connection: Connection) -> dict[str, Any]:
    """The end of the next download that the connection hears of, all of which kept to the grammar."""
    grammar = Grammar()
    while True:
        progress: dict[str, Any] = connection.next_event()["params"]["progress"]
        grammar.take_download(download_progress(progress))
        if progress["state"] != State.RUNNING:
            return progress


def held_of(mount: Mount, name: str) -> int:
    return int(mount.xattr("progress", name).split("/")[0])


def replace(path: Path, data: bytes) -> None:
    """As another device would, whole."""
    path.with_name("new").write_bytes(data)
    path.with_name("new").rename(path)


def begun(mount: Mount, client: Connection, proxy: FaultProxy) -> None:
    """A download of `1.txt` of which something has come, and more does not."""
    proxy.faults.add(HangBody(A_LITTLE), method="GET")
    client.call("CloudFileCache.start", uri=FILE)
    wait_until(lambda: mount.xattr("location", "1.txt") == "partial", "something has come")


def test_a_start_joins_and_a_kept_part_is_not_fetched_again(apache: Apache, mounts: Mounts) -> None:
    (apache.root / "1.txt").write_bytes(DATA)
    with FaultProxy(apache.url, bandwidth=4 * MIB) as proxy:
        mount = mounts(proxy.url, sync={"auto": False})
        one, other = mount.connect(), mount.connect()
        for connection in (one, other):
            connection.call("CloudFileCache.on", event="progress")
            connection.call("CloudFileCache.start", uri=FILE)
        wait_until(lambda: held_of(mount, "1.txt") > MIB, "some of it has come")
        other.call("CloudFileCache.stop", uri=FILE, needClean=False)
        assert end_of(one)["state"] == end_of(other)["state"] == State.STOPPED
        held = held_of(mount, "1.txt")
        assert MIB < held < len(DATA)

        proxy.drop_connections()  # what the proxy holds of them counts no more
        proxy.conditions.bandwidth = None
        before = proxy.counters.bytes_down
        one.call("CloudFileCache.start", uri=FILE)
        assert end_of(one)["state"] == State.COMPLETED
        assert proxy.counters.bytes_down - before < len(DATA) - held + A_LITTLE
        assert read(mount.path / "1.txt") == DATA


def test_a_reader_goes_on_after_a_stop(mount: Mount, client: Connection, proxy: FaultProxy) -> None:
    begun(mount, client, proxy)
    with (mount.path / "1.txt").open("rb", buffering=0) as file:
        client.call("CloudFileCache.stop", uri=FILE)
        assert end_of(client)["state"] == State.STOPPED
        proxy.faults.clear()
        assert file.read(A_LITTLE) == DATA[:A_LITTLE]
        assert os.pread(file.fileno(), 4096, 5 * MIB) == DATA[5 * MIB : 5 * MIB + 4096]


def test_who_listens_to_all_hears_of_opens_and_pins(mount: Mount, client: Connection) -> None:
    everything = mount.connect()
    for name in ("CloudFileCache", "Download"):
        everything.call(f"{name}.on", event="progress", scope="all")
    assert read(mount.path / "1.txt") == DATA
    assert end_of(everything) == {
        **{"state": State.COMPLETED, "processed": len(DATA), "size": len(DATA)},
        **{"uri": FILE, "error": DownloadErrorType.NO_ERROR},
    }
    os.setxattr(mount.path / "2.txt", "user.cloudfs.pin", b"always")
    assert end_of(everything)["uri"] == HEAD + "2.txt"
    assert read(mount.path / "Photos" / "1.jpg") == DATA
    photo = everything.events_until(lambda event: event["params"]["progress"]["state"] == State.COMPLETED)
    assert {event["method"] for event in photo} == {"Download.progress"}
    assert photo[-1]["params"]["progress"]["uri"] == HEAD + "Photos/1.jpg"
    client.call("cloudSync.getFileSyncState", uri=[FILE])
    assert client.events == [], "it started none of them"


def test_another_version_before_the_first_byte_is_taken(
    mount: Mount, client: Connection, apache: Apache
) -> None:
    replace(apache.root / "1.txt", NEWER)
    client.call("CloudFileCache.start", uri=FILE)
    end = end_of(client)
    assert (end["state"], end["size"]) == (State.COMPLETED, len(NEWER))
    assert read(mount.path / "1.txt") == NEWER


@pytest.mark.shows("DownloadErrorType.UNKNOWN_ERROR", "DownloadErrorType.CONTENT_NOT_FOUND")
@pytest.mark.parametrize("is_synced", [False, True], ids=["met by the download", "told by a sync"])
def test_another_version_once_bytes_have_come_is_an_error(
    mount: Mount, client: Connection, apache: Apache, proxy: FaultProxy, is_synced: bool
) -> None:

    def end_once_it_is_heard() -> dict[str, Any]:
        if is_synced:
            assert mount.sync() == "COMPLETED"
        else:
            proxy.faults.clear()
            proxy.drop_connections()
        return end_of(client)

    begun(mount, client, proxy)
    replace(apache.root / "1.txt", NEWER)
    end = end_once_it_is_heard()
    assert (end["state"], end["error"]) == (State.FAILED, DownloadErrorType.UNKNOWN_ERROR)
    proxy.faults.clear()
    wait_until(lambda: (mount.path / "1.txt").stat().st_size == len(NEWER), "the entry was asked for again")
    client.call("CloudFileCache.start", uri=FILE)
    assert end_of(client)["state"] == State.COMPLETED
    assert read(mount.path / "1.txt") == NEWER

    client.call("CloudFileCache.cleanCache", uri=FILE)
    begun(mount, client, proxy)
    (apache.root / "1.txt").unlink()
    end = end_once_it_is_heard()
    assert (end["state"], end["error"]) == (State.FAILED, DownloadErrorType.CONTENT_NOT_FOUND)
    assert os.path.exists(mount.path / "1.txt") is not is_synced, "names go by a listing alone"


WRONG: list[tuple[Fault, DownloadErrorType]] = [
    (AppendBody(b"more"), DownloadErrorType.UNKNOWN_ERROR),
    (LOGIN_PAGE, DownloadErrorType.UNKNOWN_ERROR),
    (Answer(403), DownloadErrorType.UNKNOWN_ERROR),
    (Answer(503, {"Retry-After": "60"}), DownloadErrorType.FREQUENT_USER_REQUESTS),
    (Answer(429, {"Retry-After": "60"}), DownloadErrorType.FREQUENT_USER_REQUESTS),
    (CutBody(0), DownloadErrorType.NETWORK_UNAVAILABLE),
]


@pytest.mark.shows(
    "DownloadErrorType.UNKNOWN_ERROR",
    "DownloadErrorType.NETWORK_UNAVAILABLE",
    "DownloadErrorType.FREQUENT_USER_REQUESTS",
)
def test_answers_that_are_not_the_file(mount: Mount, client: Connection, proxy: FaultProxy) -> None:
    for fault, error in WRONG:
        proxy.faults.add(fault, method="GET")
        client.call("CloudFileCache.start", uri=FILE)
        end = end_of(client)
        assert (end["state"], end["error"]) == (State.FAILED, error), fault
        assert mount.xattr("error", "1.txt") == error.name
        proxy.faults.clear()
    proxy.faults.add(Answer(503, {"Retry-After": "0"}), method="GET", times=2)
    client.call("CloudFileCache.start", uri=FILE)
    assert end_of(client)["state"] == State.COMPLETED, "it was borne with"
    assert mount.xattr("error", "1.txt") == "NO_ERROR"


def test_a_file_never_uploaded_is_whole(mount: Mount, client: Connection, proxy: FaultProxy) -> None:
    (mount.path / "new.txt").write_bytes(b"new")
    asked = len(proxy.seen)
    client.call("CloudFileCache.start", uri=HEAD + "new.txt")
    assert end_of(client) == {
        **{"state": State.COMPLETED, "processed": 3, "size": 3},
        **{"uri": HEAD + "new.txt", "error": DownloadErrorType.NO_ERROR},
    }
    client.call("CloudFileCache.stop", uri=HEAD + "new.txt")
    assert read(mount.path / "new.txt") == b"new"
    assert len(proxy.seen) == asked


def test_a_folder_never_listed_holds_up_no_other_call(mount: Mount, proxy: FaultProxy) -> None:
    proxy.faults.add(Hang(), method="PROPFIND", target="/Docs")
    calls = [
        ("CloudFileCache.start", {"uri": HEAD + "Docs/deep.txt"}),
        ("cloudSync.getFileSyncState", {"uri": [FILE]}),
    ]
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect(str(mount.socket))
        for number, (method, params) in enumerate(calls):
            request = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
            stream.sendall(json.dumps(request).encode() + b"\n")
        answers = stream.makefile("rb")
        first = json.loads(answers.readline())
        assert (first["id"], first["result"]) == (1, [FileSyncState.COMPLETED])
        proxy.faults.clear()
        proxy.drop_connections()
        second = json.loads(answers.readline())
        assert (second["id"], second["result"]) == (0, None)
    assert read(mount.path / "Docs" / "deep.txt") == DATA


@pytest.mark.shows("CloudFileCache.start 13900025")
def test_what_cannot_make_room_is_no_room(apache: Apache, mounts: Mounts) -> None:
    """The cache's size, less what is pinned, open or not sent."""
    for name in ("1.txt", "2.txt"):
        (apache.root / name).write_bytes(DATA)
    mount = mounts(apache.url, cache={"size": "8MiB"}, sync={"auto": False})
    client = mount.connect()
    client.call("CloudFileCache.on", event="progress")

    def has_begun() -> bool:
        try:
            client.call("CloudFileCache.start", uri=FILE)
        except RpcError as refused:
            assert (refused.code, refused.message) == (13900025, "No space left on device.")
            return False
        return True

    os.setxattr(mount.path / "2.txt", "user.cloudfs.pin", b"always")
    wait_until(lambda: mount.xattr("location", "2.txt") == "both", "the pinned file is here")
    assert not has_begun()
    with (mount.path / "2.txt").open("rb"):
        os.removexattr(mount.path / "2.txt", "user.cloudfs.pin")
        assert not has_begun()
    wait_until(lambda: mount.xattr("state", "2.txt") == "COMPLETED", "nothing goes on")
    (mount.path / "new.bin").write_bytes(DATA)
    assert not has_begun()
    (mount.path / "new.bin").unlink()

    wait_until(has_begun, "the kernel has let go of what was unlinked")
    assert end_of(client)["state"] == State.COMPLETED
    assert mount.xattr("location", "2.txt") == "cloud", "it made room"


@pytest.mark.shows("FileSyncState.UPLOADING", "FileSyncState.STOPPED", "FileSyncState.COMPLETED")
def test_states_while_a_sync_sends(mount: Mount, client: Connection, proxy: FaultProxy) -> None:
    """Queued or under way, failed in the last try, and done; the same for folders."""
    mount.settle()
    proxy.faults.add(Answer(413), method="PUT", target="/bad.bin")
    proxy.faults.add(Hang(), method="PUT", target="/slow.bin")
    proxy.faults.add(Answer(403), method="MKCOL", target="/BadFolder")
    names = ("slow.bin", "bad.bin", "Folder", "BadFolder", "BadFolder/below.bin")
    for name in names:
        path = mount.path / name
        path.mkdir() if "." not in name else path.write_bytes(b"new")

    def states() -> list[FileSyncState]:
        uris = [HEAD + name for name in names]
        return [FileSyncState(each) for each in client.call("cloudSync.getFileSyncState", uri=uris)]

    uploading, completed, stopped = FileSyncState.UPLOADING, FileSyncState.COMPLETED, FileSyncState.STOPPED
    assert states() == [stopped] * 5
    client.call("FileSync.start")
    wait_until(lambda: states()[:4] == [uploading, stopped, completed, stopped], "each goes its way")
    assert states()[4] in (uploading, stopped)  # its folder has to come first
    client.call("FileSync.stop")
    wait_until(lambda: states() == [stopped, stopped, completed, stopped, stopped], "nothing is sent")
    proxy.faults.clear()
    mount.settle()
    assert states() == [completed] * 5
