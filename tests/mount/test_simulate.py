"""`cloudfs simulate`: each condition and error on demand, over when it is over, and nothing lost by it."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from cloudfs.model.enums import DownloadErrorType, State
from tests.mount.conftest import Mounts
from tests.mount.harness import Mount, RpcError, wait_until
from tests.mount.programs import cloudfs, content, download, errno_of, read, reads_as
from tests.servers.apache import Apache
from tests.servers.proxy import FaultProxy

MIB = 1024 * 1024
DATA = content(300_000)
LONG = content(8 * MIB)
NAMES = ["a.bin", "b.bin", "c.bin"]


@pytest.fixture
def mount(apache: Apache, proxy: FaultProxy, mounts: Mounts) -> Iterator[Mount]:
    """Three placeholders, known and in sync; after the test all of them are there still, on both sides."""
    for name in NAMES:
        (apache.root / name).write_bytes(DATA)
    mount = mounts(proxy.url, cloud={"timeout": "2s"}, sync={"auto": False, "wifi_only": True})
    mount.settle()
    yield mount
    simulate(mount, "off")
    mount.settle()  # a start asks the cloud at once, whatever it refused before
    for name in NAMES:
        assert (apache.root / name).read_bytes() == DATA
        wait_until(partial(reads_as, mount.path / name, DATA), "an open asks for it again")
    assert not [name for name in os.listdir(mount.path) if "conflict" in name]


def simulate(mount: Mount, *arguments: str) -> None:
    done = cloudfs("simulate", *arguments, "--socket", mount.socket)
    assert done.returncode == 0, done.stderr


def refused(mount: Mount, method: str, **params: object) -> int:
    with pytest.raises(RpcError) as error:
        mount.call(method, **params)
    return error.value.code


def starts(mount: Mount) -> list[int]:
    """What a start of each sync is refused with."""
    return [refused(mount, "FileSync.start"), refused(mount, "GallerySync.start")]


def ended(mount: Mount) -> tuple[str, str]:
    return mount.sync(), mount.xattr("sync_error")


def failure(mount: Mount, name: str) -> DownloadErrorType:
    """What a download of the file fails with."""
    end = download(mount, name)
    assert end["state"] == State.FAILED
    return DownloadErrorType(end["error"])


def in_mid_download(mount: Mount, proxy: FaultProxy, *arguments: str) -> DownloadErrorType:
    """What a download fails with when this is simulated from its middle on."""
    proxy.conditions.bandwidth = 4e6
    connection = mount.connect()
    connection.call("CloudFileCache.on", event="progress")
    connection.call("CloudFileCache.start", uri=mount.uri("long.bin"))
    connection.events_until(lambda event: event["params"]["progress"]["processed"] > 0)
    simulate(mount, *arguments)
    end = connection.events_until(lambda event: State(event["params"]["progress"]["state"]).is_end)[-1]
    proxy.conditions.bandwidth = None
    progress = end["params"]["progress"]
    assert progress["state"] == State.FAILED
    assert 0 < progress["processed"] < progress["size"]
    return DownloadErrorType(progress["error"])


def test_it_is_shown_and_ends_at_a_word_by_itself_or_with_the_mount(mount: Mount) -> None:
    simulate(mount, "--battery", "9", "--network", "mobile", "--for", "60s")
    shown = mount.status()["simulated"]
    assert 0 < shown.pop("until") - time.time() * 1000 <= 60_000
    assert shown == {
        **{"battery": 9, "network": "mobile", "quota_full": False, "disk_full": False},
        "server_error": None,
    }
    text = cloudfs("status", "--socket", mount.socket).stdout
    assert "simulated  battery 9 %, network mobile, for " in text

    done = cloudfs("simulate", "off", "--json", "--socket", mount.socket)
    assert json.loads(done.stdout) == {"simulated": None}
    assert mount.status()["simulated"] is None

    simulate(mount, "--server-error", "500", "--for", "200ms")
    wait_until(lambda: mount.status()["simulated"] is None, "it ended by itself")
    assert mount.log.read_text().count("the simulation is over") == 2

    simulate(mount, "--network", "none")
    mount.remount()
    assert mount.status()["simulated"] is None


@pytest.mark.shows("FileSync.start 22400003", "GallerySync.start 22400003")
def test_a_battery(mount: Mount) -> None:
    simulate(mount, "--battery", "14")
    assert starts(mount) == [22400003, 22400003]
    assert download(mount, "a.bin")["state"] == State.COMPLETED  # it refuses syncs only
    simulate(mount, "--battery", "15")
    mount.settle()


@pytest.mark.shows(
    "FileSync.start 22400002",
    "GallerySync.start 22400002",
    "ErrorType.WIFI_UNAVAILABLE",
    "DownloadErrorType.NETWORK_UNAVAILABLE",
)
def test_a_network(mount: Mount, apache: Apache, proxy: FaultProxy) -> None:
    (apache.root / "long.bin").write_bytes(LONG)
    mount.settle()
    error = in_mid_download(mount, proxy, "--network", "none")
    assert error is DownloadErrorType.NETWORK_UNAVAILABLE
    before = len(proxy.seen)
    assert starts(mount) == [22400002, 22400002]
    assert errno_of(lambda: read(mount.path / "a.bin")) == errno.ENETUNREACH
    assert len(proxy.seen) == before

    simulate(mount, "--network", "mobile")
    assert ended(mount) == ("DOWNLOAD_FAILED", "WIFI_UNAVAILABLE")
    assert read(mount.path / "long.bin") == LONG


def test_a_device_that_is_configured_to_have_no_network(mount: Mount, proxy: FaultProxy) -> None:
    mount.stop()
    configuration = mount.config.read_text()
    mount.config.write_text(configuration + '[device]\nnetwork = "none"\n')
    before = len(proxy.seen)
    mount.start()
    assert sorted(os.listdir(mount.path)) == NAMES
    assert starts(mount) == [22400002, 22400002]
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(errno_of, partial(read, mount.path / "b.bin"))
        assert failure(mount, "a.bin") is DownloadErrorType.NETWORK_UNAVAILABLE
        assert reading.result() == errno.ENETUNREACH
    assert len(proxy.seen) == before
    simulate(mount, "--network", "wifi")
    assert reads_as(mount.path / "b.bin", DATA)
    mount.stop()
    mount.config.write_text(configuration)
    mount.start()


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


@pytest.mark.shows(
    "ErrorType.LOCAL_STORAGE_FULL", "DownloadErrorType.LOCAL_STORAGE_FULL", "CloudFileCache.start 13900025"
)
def test_a_full_disk(mount: Mount, apache: Apache, proxy: FaultProxy) -> None:
    (apache.root / "long.bin").write_bytes(LONG)
    mount.settle()
    assert read(mount.path / "b.bin") == DATA
    with (mount.path / "begun.bin").open("wb", buffering=0) as file:
        assert file.write(DATA) == len(DATA)
        error = in_mid_download(mount, proxy, "--disk-full")
        assert error is DownloadErrorType.LOCAL_STORAGE_FULL
        assert errno_of(lambda: file.write(DATA)) == errno.ENOSPC

    assert refused(mount, "CloudFileCache.start", uri=mount.uri("a.bin")) == 13900025
    assert download(mount, "b.bin")["state"] == State.COMPLETED  # nothing lacks of it
    assert errno_of(lambda: read(mount.path / "a.bin")) == errno.ENOSPC
    os.setxattr(mount.path / "c.bin", "user.cloudfs.pin", b"always")
    assert ended(mount) == ("DOWNLOAD_FAILED", "LOCAL_STORAGE_FULL")
    assert (apache.root / "begun.bin").read_bytes() == DATA  # what was taken goes up all the same
    assert mount.xattr("location", "b.bin") == "both"  # nothing was given up for room

    simulate(mount, "off")
    assert ended(mount) == ("COMPLETED", "NO_ERROR")
    assert mount.xattr("location", "c.bin") == "both"


@pytest.mark.shows(
    "DownloadErrorType.UNKNOWN_ERROR",
    "DownloadErrorType.CONTENT_NOT_FOUND",
    "DownloadErrorType.FREQUENT_USER_REQUESTS",
)
def test_server_errors(mount: Mount, apache: Apache) -> None:
    (mount.path / "new.bin").write_bytes(DATA)
    for status in ("404", "410"):
        simulate(mount, "--server-error", status)
        assert failure(mount, "a.bin") is DownloadErrorType.CONTENT_NOT_FOUND
    assert mount.sync() == "COMPLETED"  # no file is taken for gone
    assert sorted(os.listdir(mount.path)) == sorted(os.listdir(apache.root)) == [*NAMES, "new.bin"]
    assert (apache.root / "new.bin").read_bytes() == DATA

    for status, error in (
        ("507", DownloadErrorType.UNKNOWN_ERROR),
        ("500", DownloadErrorType.UNKNOWN_ERROR),
        ("429", DownloadErrorType.FREQUENT_USER_REQUESTS),
    ):
        simulate(mount, "--server-error", status)
        assert failure(mount, "a.bin") is error


@pytest.mark.shows("FileSync.start 22400001", "GallerySync.start 22400001")
def test_server_errors_that_refuse_a_start(mount: Mount, apache: Apache) -> None:
    for status in ("401", "403", "503"):
        (mount.path / status).write_bytes(DATA)
        simulate(mount, "--server-error", status)
        assert ended(mount) == ("DOWNLOAD_FAILED", "NO_ERROR")
        assert starts(mount) == [22400001, 22400001]
        simulate(mount, "off")
        mount.settle()
        assert (apache.root / status).read_bytes() == DATA


def test_all_goes_on_by_itself_when_it_is_over(apache: Apache, mounts: Mounts) -> None:
    mount = mounts(apache.url, sync={"debounce": "50ms", "interval": "1h"})
    wait_until(lambda: mount.xattr("last_sync_time") != "0", "the first sync is over")
    simulate(mount, "--server-error", "401")
    (mount.path / "new.bin").write_bytes(DATA)
    wait_until(lambda: mount.status()["cloud"]["state"] == "unauthorized", "the sync met it")
    simulate(mount, "--battery", "5", "--for", "100ms")
    wait_until(lambda: mount.pending == 0, "it went up")
    assert (apache.root / "new.bin").read_bytes() == DATA
