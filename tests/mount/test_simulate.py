"""`cloudfs simulate`: each condition and error on demand, over when it is over, and nothing lost by it."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from cloudfs.model.enums import DownloadErrorType, State
from tests.mount.conftest import Mounts
from tests.mount.harness import Mount, RpcError, wait_until
from tests.mount.programs import cloudfs, content, download, errno_of, read, reads_as
from tests.servers.apache import Apache
from tests.servers.faults import Hang
from tests.servers.proxy import FaultProxy

DATA = content(300_000)
NAMES = ("a.bin", "b.bin", "c.bin")


@pytest.fixture
def mount(apache: Apache, proxy: FaultProxy, mounts: Mounts) -> Iterator[Mount]:
    """Three placeholders, known and in sync; after the test all of them are there still, on both sides."""
    for name in NAMES:
        (apache.root / name).write_bytes(DATA)
    mount = mounts(proxy.url, cloud={"timeout": "2s"}, sync={"auto": False, "wifi_only": True})
    mount.settle()
    yield mount
    mount.call("Mount.simulate")
    proxy.faults.clear()
    mount.settle()  # a start asks the cloud at once, whatever it refused before
    for name in NAMES:
        assert (apache.root / name).read_bytes() == DATA
        wait_until(partial(reads_as, mount.path / name, DATA), "an open asks for it again")


def simulate(mount: Mount, *arguments: str) -> None:
    done = cloudfs("simulate", *arguments, "--socket", mount.socket)
    assert done.returncode == 0, done.stderr


def refused(mount: Mount, method: str, **params: object) -> int:
    with pytest.raises(RpcError) as error:
        mount.call(method, **params)
    return error.value.code


def ended(mount: Mount) -> tuple[str, str]:
    return mount.sync(), mount.xattr("sync_error")


def test_it_is_shown_and_ends_by_itself_or_at_a_word(mount: Mount) -> None:
    simulate(mount, "--battery", "9", "--network", "mobile", "--for", "60s")
    shown = mount.status()["simulated"]
    assert 0 < shown.pop("until") - time.time() * 1000 <= 60_000
    assert shown == {
        **{"battery": 9, "network": "mobile", "quota_full": False, "disk_full": False},
        "server_error": None,
    }
    assert "simulated  battery 9 %, network mobile for " in cloudfs("status", "--socket", mount.socket).stdout

    done = cloudfs("simulate", "off", "--json", "--socket", mount.socket)
    assert json.loads(done.stdout) == {"simulated": None}
    assert mount.status()["simulated"] is None

    simulate(mount, "--server-error", "500", "--for", "200ms")
    wait_until(lambda: mount.status()["simulated"] is None, "it ended by itself")


@pytest.mark.shows("ErrorType.BATTERY_LEVEL_WARNING", "FileSync.start 22400003", "GallerySync.start 22400003")
def test_a_battery(mount: Mount, proxy: FaultProxy, apache: Apache) -> None:
    simulate(mount, "--battery", "14")
    assert refused(mount, "FileSync.start") == refused(mount, "GallerySync.start") == 22400003
    simulate(mount, "off")

    for name in ("x.bin", "y.bin"):
        (mount.path / name).write_bytes(DATA)
    proxy.faults.add(Hang(), method="PUT", target="[xy].bin")  # until the sync has begun for certain
    connection = mount.connect()
    connection.call("FileSync.on", event="progress")
    connection.call("FileSync.start")
    connection.events_until(lambda event: event["params"]["progress"]["state"] == 0)
    simulate(mount, "--battery", "9")
    end = connection.events_until(lambda event: event["params"]["progress"]["state"] not in (0, 2))[-1]
    assert end["params"]["progress"] == {"state": 1, "error": 4}


@pytest.mark.shows(
    "FileSync.start 22400002",
    "GallerySync.start 22400002",
    "ErrorType.WIFI_UNAVAILABLE",
    "DownloadErrorType.NETWORK_UNAVAILABLE",
)
def test_a_network(mount: Mount) -> None:
    simulate(mount, "--network", "none")
    assert refused(mount, "FileSync.start") == refused(mount, "GallerySync.start") == 22400002
    assert download(mount, "a.bin")["error"] == DownloadErrorType.NETWORK_UNAVAILABLE
    assert errno_of(lambda: read(mount.path / "b.bin")) == errno.ENETUNREACH

    simulate(mount, "--network", "mobile")
    assert ended(mount) == ("DOWNLOAD_FAILED", "WIFI_UNAVAILABLE")
    assert download(mount, "a.bin")["state"] == State.COMPLETED


def test_a_network_that_goes_in_the_middle_of_a_file(apache: Apache, proxy: FaultProxy, mount: Mount) -> None:
    (apache.root / "long.bin").write_bytes(content(64 << 20))
    mount.settle()
    with (mount.path / "long.bin").open("rb", buffering=0) as file:
        assert file.read(4096)
        simulate(mount, "--network", "none")
        assert errno_of(lambda: os.pread(file.fileno(), 4096, (64 << 20) - 4096)) in (
            0,  # it had come
            errno.ENETUNREACH,
        )
    wait_until(lambda: not mount.status()["transfers"], "nothing goes on without a network")


def test_a_configured_device_without_network_asks_nothing(
    apache: Apache, proxy: FaultProxy, mounts: Mounts
) -> None:
    (apache.root / "a.bin").write_bytes(DATA)
    mount = mounts(proxy.url, cloud={"timeout": "2s"}, sync={"auto": False}, device={"network": "none"})
    assert errno_of(lambda: os.listdir(mount.path)) == errno.ENETUNREACH
    assert proxy.seen == []


@pytest.mark.shows("ErrorType.CLOUD_STORAGE_FULL")
def test_a_full_cloud(mount: Mount, apache: Apache) -> None:
    simulate(mount, "--quota-full")
    (mount.path / "new.bin").write_bytes(DATA)
    assert ended(mount) == ("UPLOAD_FAILED", "CLOUD_STORAGE_FULL")
    assert mount.xattr("error", "new.bin") == "CLOUD_STORAGE_FULL"
    assert not (apache.root / "new.bin").exists()
    simulate(mount, "off")
    assert ended(mount) == ("COMPLETED", "NO_ERROR")
    assert (apache.root / "new.bin").read_bytes() == DATA


@pytest.mark.shows("ErrorType.LOCAL_STORAGE_FULL", "CloudFileCache.start 13900025")
def test_a_full_disk(mount: Mount, apache: Apache) -> None:
    (mount.path / "kept.bin").write_bytes(DATA)
    assert read(mount.path / "b.bin") == DATA
    simulate(mount, "--disk-full")
    assert refused(mount, "CloudFileCache.start", uri=mount.uri("a.bin")) == 13900025
    assert errno_of(lambda: read(mount.path / "a.bin")) == errno.ENOSPC
    assert errno_of(lambda: Path(mount.path, "more.bin").write_bytes(DATA)) == errno.ENOSPC
    os.setxattr(mount.path / "c.bin", "user.cloudfs.pin", b"always")
    assert ended(mount) == ("DOWNLOAD_FAILED", "LOCAL_STORAGE_FULL")
    assert mount.xattr("location", "b.bin") == "both"  # nothing was given up for room

    simulate(mount, "off")
    assert ended(mount) == ("COMPLETED", "NO_ERROR")
    assert mount.xattr("location", "c.bin") == "both"
    assert (apache.root / "kept.bin").read_bytes() == DATA


@pytest.mark.shows(
    "DownloadErrorType.UNKNOWN_ERROR",
    "DownloadErrorType.CONTENT_NOT_FOUND",
    "DownloadErrorType.FREQUENT_USER_REQUESTS",
)
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (404, DownloadErrorType.CONTENT_NOT_FOUND),
        (410, DownloadErrorType.CONTENT_NOT_FOUND),
        (429, DownloadErrorType.FREQUENT_USER_REQUESTS),
        (500, DownloadErrorType.UNKNOWN_ERROR),
    ],
)
def test_server_errors_of_downloads(mount: Mount, status: int, error: DownloadErrorType) -> None:
    (mount.path / "new.bin").write_bytes(DATA)
    simulate(mount, "--server-error", str(status))
    end = download(mount, "a.bin")
    assert (end["state"], end["error"]) == (State.FAILED, error)
    mount.sync()
    assert sorted(os.listdir(mount.path)) == [*NAMES, "new.bin"]


@pytest.mark.shows("FileSync.start 22400001", "GallerySync.start 22400001")
@pytest.mark.parametrize("status", [401, 403, 503])
def test_server_errors_that_refuse_a_start(mount: Mount, status: int) -> None:
    simulate(mount, "--server-error", str(status))
    assert ended(mount) == ("DOWNLOAD_FAILED", "NO_ERROR")
    assert refused(mount, "FileSync.start") == refused(mount, "GallerySync.start") == 22400001


def test_it_is_not_for_everybody(mount: Mount) -> None:
    assert refused(mount, "Mount.simulate", battery=101) == 401
    assert refused(mount, "Mount.simulate", serverError=412) == 401
    assert refused(mount, "Mount.simulate", network="auto") == 401
    assert refused(mount, "Mount.simulate", forMs=1000) == 401
    for wrong in (
        [],
        ["off", "--battery", "9"],
        ["--server-error", "412"],
        ["--battery", "9", "--for", "0s"],
    ):
        assert cloudfs("simulate", *wrong, "--socket", mount.socket).returncode == 2
    assert mount.status()["simulated"] is None
