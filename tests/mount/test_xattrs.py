"""INTERFACE section 5 on a real mount: every name, every value, from placeholder to hydrated and back."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.mount.conftest import Mounts
from tests.mount.harness import Mount, RpcError, wait_until
from tests.mount.programs import content, errno_of, read
from tests.servers.apache import Apache
from tests.servers.faults import Answer
from tests.servers.proxy import FaultProxy

SIZE = 4 * 1024 * 1024
DATA = content(SIZE)

ON_ALL = {f"user.cloudfs.{name}" for name in ("state", "progress", "location", "error", "uri", "pin")}
ON_THE_ROOT = {f"user.cloudfs.{name}" for name in ("sync_state", "sync_error", "last_sync_time", "pending")}
MEDIA_URI = "user.cloudfs.media_uri"
ALIASES = {
    "user.clouddisk.filesyncstate",
    "user.cloud.location",
    "user.cloud.cloudid",
    "user.clouddisk.placeholder",
}
READ_ONLY = (ON_ALL | ON_THE_ROOT | ALIASES | {MEDIA_URI}) - {"user.cloudfs.pin"}

LIBC = ctypes.CDLL(None, use_errno=True)


@pytest.fixture
def mount(apache: Apache, proxy: FaultProxy, mounts: Mounts) -> Mount:
    """Placeholders of every kind, all of them known."""
    (apache.root / "file.bin").write_bytes(DATA)
    (apache.root / "empty").touch()
    (apache.root / "docs" / "deep").mkdir(parents=True)
    (apache.root / "docs" / "a.txt").write_text("a")
    (apache.root / "docs" / "deep" / "b.txt").write_text("b")
    (apache.root / "Photos" / "trip").mkdir(parents=True)
    (apache.root / "Photos" / "trip" / "sea.jpg").write_text("blue")
    (Path(os.fsdecode(bytes(apache.root) + b"/name \xff.txt"))).write_text("no UTF-8")
    mount = mounts(proxy.url, cloud={"timeout": "2s"}, sync={"auto": False})
    assert mount.sync() == "COMPLETED"
    connection = mount.connect()
    connection.call("GallerySync.on", event="progress")
    connection.call("GallerySync.start")
    wait_until(lambda: mount.status()["sync"]["gallery"]["last_sync_time"], "the gallery is known")
    return mount


@pytest.fixture
def server_is_gone(mount: Mount, proxy: FaultProxy) -> Iterator[Mount]:
    proxy.refuse()
    yield mount
    proxy.accept()


def values(mount: Mount, path: str) -> dict[str, str]:
    """What a program sees that looks at all of a file's listed attributes, and at the aliases."""
    found = {name: os.getxattr(mount.path / path, name) for name in os.listxattr(mount.path / path)}
    for name in ALIASES:
        if errno_of(lambda name=name: os.getxattr(mount.path / path, name)) == 0:  # type: ignore[misc]
            found[name] = os.getxattr(mount.path / path, name)
    return {name: value.decode() for name, value in found.items()}


def is_whole(mount: Mount, path: str) -> bool:
    return mount.xattr("location", path) == "both" and mount.xattr("state", path) == "COMPLETED"


def test_what_is_listed_and_that_it_needs_no_network(server_is_gone: Mount) -> None:
    mount = server_is_gone
    for path, names in {
        "": ON_ALL | ON_THE_ROOT,
        "file.bin": ON_ALL,
        "empty": ON_ALL,
        "docs": ON_ALL,
        "Photos": ON_ALL,
        "Photos/trip": ON_ALL,
        "Photos/trip/sea.jpg": ON_ALL | {MEDIA_URI},
        os.fsdecode(b"name \xff.txt"): ON_ALL - {"user.cloudfs.uri"},
    }.items():
        assert set(os.listxattr(mount.path / path)) == names, path
        assert set(values(mount, path)) >= names


def test_values_from_placeholder_to_hydrated_and_back(mount: Mount, proxy: FaultProxy) -> None:
    inode = (mount.path / "file.bin").stat().st_ino
    uri = "file://com.example.files/data/storage/el2/cloud/file.bin"
    placeholder = {
        "user.cloudfs.state": "COMPLETED",
        "user.cloudfs.progress": f"0/{SIZE}",
        "user.cloudfs.location": "cloud",
        "user.cloudfs.error": "NO_ERROR",
        "user.cloudfs.uri": uri,
        "user.cloudfs.pin": "auto",
        "user.clouddisk.filesyncstate": "2",
        "user.cloud.location": "2",
        "user.cloud.cloudid": str(inode),
        "user.clouddisk.placeholder": "1",
    }
    assert values(mount, "file.bin") == placeholder
    assert (mount.path / "file.bin").stat().st_blocks == 1

    proxy.conditions.bandwidth = 256 * 1024
    mount.call("CloudFileCache.start", uri=uri)
    wait_until(lambda: mount.xattr("location", "file.bin") == "partial", "some of it is here")
    during = values(mount, "file.bin")
    processed, size = (int(each) for each in during["user.cloudfs.progress"].split("/"))
    assert (0 < processed < SIZE, size) == (True, SIZE)
    assert during["user.cloudfs.state"] == "DOWNLOADING"
    assert during["user.clouddisk.filesyncstate"] == "1"
    assert during["user.cloud.location"] == "2"
    assert during["user.clouddisk.placeholder"] == "2"

    proxy.conditions.bandwidth = None
    proxy.drop_connections()
    wait_until(lambda: is_whole(mount, "file.bin"), "all of it is here")
    hydrated = values(mount, "file.bin")
    assert hydrated == {
        **{name: value for name, value in placeholder.items() if name != "user.clouddisk.placeholder"},
        "user.cloudfs.progress": f"{SIZE}/{SIZE}",
        "user.cloudfs.location": "both",
        "user.cloud.location": "3",
    }
    wait_until(lambda: (mount.path / "file.bin").stat().st_blocks == SIZE // 512, "stat(2) hears of it")

    mount.call("CloudFileCache.cleanCache", uri=uri)
    assert values(mount, "file.bin") == placeholder
    wait_until(lambda: (mount.path / "file.bin").stat().st_blocks == 1, "stat(2) hears of it")
    assert read(mount.path / "file.bin") == DATA


def test_an_empty_file_and_a_folder_have_nothing_to_fetch(mount: Mount) -> None:
    assert mount.xattr("location", "empty") == "both"
    assert mount.xattr("progress", "empty") == "0/0"
    assert (mount.path / "empty").stat().st_blocks == 0
    assert errno_of(lambda: os.getxattr(mount.path / "empty", "user.clouddisk.placeholder")) == errno.ENODATA
    assert mount.xattr("location", "docs") == "both"


def test_the_root_shows_its_sync(mount: Mount, proxy: FaultProxy) -> None:
    assert mount.xattr("sync_state") == "COMPLETED"
    assert mount.xattr("sync_error") == "NO_ERROR"
    assert mount.xattr("pending") == "0"
    before = int(mount.xattr("last_sync_time"))
    assert before == mount.call("FileSync.getLastSyncTime") > 1_700_000_000_000
    proxy.refuse()
    assert mount.sync() == "DOWNLOAD_FAILED"
    assert mount.xattr("sync_state") == "DOWNLOAD_FAILED"
    assert mount.xattr("sync_error") == "NETWORK_UNAVAILABLE"
    assert int(mount.xattr("last_sync_time")) == before


def test_the_last_failure_stands_until_the_next_success(mount: Mount, proxy: FaultProxy) -> None:
    proxy.faults.add(Answer(410), method="GET")
    assert errno_of(lambda: read(mount.path / "file.bin")) == errno.EIO
    wait_until(lambda: mount.xattr("error", "file.bin") == "CONTENT_NOT_FOUND", "the failure is recorded")
    assert mount.stop() == 0
    mount.start()
    assert mount.xattr("error", "file.bin") == "CONTENT_NOT_FOUND"
    proxy.faults.clear()
    mount.call("CloudFileCache.start", uri=mount.uri("file.bin"))
    wait_until(lambda: mount.xattr("error", "file.bin") == "NO_ERROR", "it is over")


# --- pins ---


def pin(mount: Mount, path: str, value: bytes) -> int:
    return errno_of(lambda: os.setxattr(mount.path / path, "user.cloudfs.pin", value))


def test_a_pinned_file_is_hydrated_and_stays(mount: Mount) -> None:
    assert pin(mount, "file.bin", b"always") == 0
    wait_until(lambda: is_whole(mount, "file.bin"), "always hydrates at once")
    with pytest.raises(RpcError) as refused:
        mount.call("CloudFileCache.cleanCache", uri=mount.uri("file.bin"))
    assert refused.value.code == 13900010
    assert mount.xattr("location", "file.bin") == "both"
    os.removexattr(mount.path / "file.bin", "user.cloudfs.pin")
    assert mount.xattr("pin", "file.bin") == "auto"
    mount.call("CloudFileCache.cleanCache", uri=mount.uri("file.bin"))
    assert mount.xattr("location", "file.bin") == "cloud"


def test_a_pin_on_a_folder_holds_for_all_below(mount: Mount) -> None:
    assert pin(mount, "docs", b"always") == 0
    wait_until(lambda: is_whole(mount, "docs/a.txt") and is_whole(mount, "docs/deep/b.txt"), "all came")
    assert pin(mount, "docs/deep/b.txt", b"always") == 0
    assert pin(mount, "docs/a.txt", b"auto") == 0
    os.removexattr(mount.path / "docs/a.txt", "user.cloudfs.pin")
    below = ["docs", "docs/a.txt", "docs/deep", "docs/deep/b.txt"]
    assert [mount.xattr("pin", path) for path in below] == ["always"] * 4
    assert mount.xattr("pin", "file.bin") == mount.xattr("pin") == "auto"
    assert mount.stop() == 0
    mount.start()
    assert [mount.xattr("pin", path) for path in below] == ["always"] * 4
    assert pin(mount, "docs", b"auto") == 0
    assert [mount.xattr("pin", path) for path in below] == ["auto", "auto", "auto", "always"]
    assert pin(mount, "docs/deep/b.txt", b"auto") == 0
    assert mount.xattr("pin", "docs/deep/b.txt") == "auto"


def test_other_pins_are_invalid(mount: Mount) -> None:
    for value in (b"never", b"", b"ALWAYS", b"always\0", b"always\n", b"\xff"):
        assert pin(mount, "file.bin", value) == errno.EINVAL, value
    assert mount.xattr("pin", "file.bin") == "auto"


# --- what can't be changed, and what is the user's own ---


def test_read_only_names_are_not_supported(mount: Mount) -> None:
    for path in ("", "file.bin", "docs"):
        for name in sorted(READ_ONLY):
            file = mount.path / path
            assert errno_of(lambda f=file, n=name: os.setxattr(f, n, b"x")) == errno.EOPNOTSUPP, name  # type: ignore[misc]
            assert errno_of(lambda f=file, n=name: os.removexattr(f, n)) == errno.EOPNOTSUPP, name  # type: ignore[misc]


def test_the_users_own_are_binary_and_large_and_survive_a_remount(mount: Mount) -> None:
    own = {"user.small": b"\0\xff\n", "user.empty": b"", "user.large": content(65536), "user.cloudfsx": b"1"}
    for path in ("file.bin", "docs"):
        for name, value in own.items():
            os.setxattr(mount.path / path, name, value)
        too_long = errno_of(lambda p=path: os.setxattr(mount.path / p, "user.x", bytes(65537)))  # type: ignore[misc]
        assert too_long == errno.E2BIG
    assert mount.stop() == 0
    mount.start()
    for path in ("file.bin", "docs"):
        assert {name: os.getxattr(mount.path / path, name) for name in own} == own
        assert set(os.listxattr(mount.path / path)) == ON_ALL | set(own)
        for name in own:
            os.removexattr(mount.path / path, name)
        assert set(os.listxattr(mount.path / path)) == ON_ALL


def test_missing_ones_flags_and_short_buffers(mount: Mount) -> None:
    file = mount.path / "file.bin"
    for name in ("user.none", "user.cloudfs.none", "user.cloudfs.media_uri", "user.cloudfs.pending"):
        assert errno_of(lambda n=name: os.getxattr(file, n)) == errno.ENODATA, name  # type: ignore[misc]
    assert errno_of(lambda: os.removexattr(file, "user.none")) == errno.ENODATA
    assert errno_of(lambda: os.setxattr(file, "user.a", b"1", os.XATTR_REPLACE)) == errno.ENODATA
    os.setxattr(file, "user.a", b"1", os.XATTR_CREATE)
    assert errno_of(lambda: os.setxattr(file, "user.a", b"2", os.XATTR_CREATE)) == errno.EEXIST
    assert os.getxattr(file, "user.a") == b"1"
    for arguments in ((b"user.cloudfs.location",), ()):
        call = LIBC.getxattr if arguments else LIBC.listxattr
        buffer = ctypes.create_string_buffer(3)
        assert call(os.fsencode(file), *arguments, buffer, 3) == -1
        assert ctypes.get_errno() == errno.ERANGE
        assert call(os.fsencode(file), *arguments, None, 0) > 3, "size 0 asks how much there is"


def test_a_name_that_is_no_utf8_has_no_uri(mount: Mount) -> None:
    file = mount.path / os.fsdecode(b"name \xff.txt")
    assert errno_of(lambda: os.getxattr(file, "user.cloudfs.uri")) == errno.ENODATA
    assert read(file) == b"no UTF-8"
    (row,) = mount.call("Mount.state", paths=[mount.uri("file.bin")])
    assert row["uri"] == "file://com.example.files/data/storage/el2/cloud/" + quote("file.bin")


# --- programs that copy attributes ---


def test_copies_stay_quiet(mount: Mount, tmp_path: Path) -> None:
    os.setxattr(mount.path / "docs" / "a.txt", "user.mine", b"kept")
    commands: list[list[str | Path]] = [
        ["cp", "-a", mount.path / "docs", tmp_path / "copy"],
        ["cp", "--preserve=all", mount.path / "file.bin", tmp_path / "file.bin"],
    ]
    if shutil.which("rsync"):
        commands.append(["rsync", "-aX", f"{mount.path}/docs/", tmp_path / "synced"])
    for command in commands:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (result.returncode, result.stderr) == (0, ""), command
    assert (tmp_path / "copy" / "deep" / "b.txt").read_text() == "b"
    assert (tmp_path / "file.bin").read_bytes() == DATA
    for copy in tmp_path.glob("*/a.txt"):
        assert os.getxattr(copy, "user.mine") == b"kept"
