"""The cloud in trouble: each fault has its errno, leaves other files alone, and is over once its cause is.

INTERFACE section 8, "Conditions" and "Errors to errno".
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cloudfs.model.enums import DownloadErrorType, State
from tests.mount.conftest import Mounts
from tests.mount.harness import Mount, RpcError, wait_until
from tests.mount.programs import cloudfs, content, download, errno_of, read, reads_as
from tests.servers.apache import Apache
from tests.servers.faults import Answer, Fault, Hang, HangBody
from tests.servers.proxy import FaultProxy

DATA = content(300_000)
OUT_OF_REACH = {errno.ENETUNREACH, errno.ETIMEDOUT}
SLACK_S = 3.0  # for a machine that has other things to do


@pytest.fixture
def filled(apache: Apache) -> Path:
    """The server's folder: two files and a folder with one more."""
    for name in ("cached.bin", "file.bin"):
        (apache.root / name).write_bytes(DATA)
    (apache.root / "sub").mkdir()
    (apache.root / "sub" / "inner.bin").write_bytes(DATA)
    return apache.root


def mounted(mounts: Mounts, proxy: FaultProxy, timeout: str = "2s") -> Mount:
    """The whole tree is known, `cached.bin` is here, and nothing more is asked but by a test."""
    mount = mounts(proxy.url, cloud={"timeout": timeout}, sync={"auto": False})
    assert mount.sync() == "COMPLETED"
    assert read(mount.path / "cached.bin") == DATA
    wait_until(lambda: mount.xattr("location", "cached.bin") == "both", "it is cached")
    wait_until(lambda: mount.xattr("state", "cached.bin") == "COMPLETED", "and safe")
    return mount


def start_code(mount: Mount) -> int:
    """The code with which a start is refused, 0 where it is accepted."""
    try:
        mount.call("FileSync.start")
    except RpcError as refused:
        return refused.code
    return 0


def within(seconds: float, call: Callable[[], object]) -> int:
    """The errno that a call met; fails where it took longer than the timeout with slack."""
    begin = time.monotonic()
    met = errno_of(call)
    assert time.monotonic() - begin < seconds + SLACK_S, "it waited longer than the timeout"
    return met


# --- refused ---


@pytest.mark.usefixtures("filled")
def test_401_at_the_first_mount(proxy: FaultProxy, mounts: Mounts) -> None:
    proxy.faults.add(Answer(401))
    mount = mounts(proxy.url, cloud={"timeout": "2s"}, sync={"interval": "1s"})
    wait_until(lambda: mount.status()["cloud"]["state"] == "unauthorized", "the status says so")
    assert errno_of(lambda: os.listdir(mount.path)) == errno.EACCES
    assert start_code(mount) == 22400001
    proxy.faults.clear()
    assert start_code(mount) == 0, "a refused start asks at once"
    assert mount.status()["cloud"]["state"] == "ready"
    assert sorted(os.listdir(mount.path)) == ["cached.bin", "file.bin", "sub"]
    assert read(mount.path / "file.bin") == DATA


@pytest.mark.usefixtures("filled")
def test_401_later_is_over_by_itself(proxy: FaultProxy, mounts: Mounts) -> None:
    mount = mounted(mounts, proxy)
    proxy.faults.add(Answer(401))
    assert mount.sync() == "DOWNLOAD_FAILED"
    assert mount.xattr("sync_error") == "NO_ERROR"
    assert mount.status()["cloud"]["state"] == "unauthorized"
    assert start_code(mount) == 22400001
    assert errno_of(lambda: read(mount.path / "file.bin")) == errno.EACCES
    assert read(mount.path / "cached.bin") == DATA
    proxy.faults.clear()
    wait_until(lambda: mount.status()["cloud"]["state"] == "ready", "the daemon asks again by itself")
    assert reads_as(mount.path / "file.bin", DATA)
    assert mount.sync() == "COMPLETED"


@pytest.mark.usefixtures("filled")
def test_a_403_for_one_file_or_folder_is_its_own(proxy: FaultProxy, mounts: Mounts) -> None:
    mount = mounts(proxy.url, cloud={"timeout": "2s"}, sync={"auto": False})
    proxy.faults.add(Answer(403), target="/(sub|file.bin)")
    assert errno_of(lambda: os.listdir(mount.path / "sub")) == errno.EACCES
    assert errno_of(lambda: read(mount.path / "file.bin")) == errno.EACCES
    wait_until(lambda: mount.xattr("error", "file.bin") == "UNKNOWN_ERROR", "the failure is recorded")
    assert read(mount.path / "cached.bin") == DATA
    assert mount.sync() == "DOWNLOAD_FAILED"
    assert start_code(mount) == 0
    assert mount.status()["cloud"]["state"] == "ready"
    proxy.faults.clear()
    wait_until(lambda: reads_as(mount.path / "file.bin", DATA), "it is let in again")
    assert os.listdir(mount.path / "sub") == ["inner.bin"]
    wait_until(lambda: mount.xattr("error", "file.bin") == "NO_ERROR", "the error is over")


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("status", [403, 503])
def test_a_refused_root_refuses_starts(status: int, proxy: FaultProxy, mounts: Mounts) -> None:
    mount = mounted(mounts, proxy)
    proxy.faults.add(Answer(status), method="PROPFIND", target="^/$")
    assert mount.sync() == "DOWNLOAD_FAILED"
    assert mount.xattr("sync_error") == "NO_ERROR"
    assert start_code(mount) == 22400001
    assert sorted(os.listdir(mount.path)) == ["cached.bin", "file.bin", "sub"]
    assert read(mount.path / "file.bin") == DATA, "its files are another matter"
    assert start_code(mount) == 22400001, "an answer to something else does not end it"
    proxy.faults.clear()
    assert start_code(mount) == 0


# --- gone ---


def test_content_that_is_gone(filled: Path, proxy: FaultProxy, mounts: Mounts) -> None:
    mount = mounted(mounts, proxy)
    (filled / "file.bin").unlink()
    proxy.faults.add(Answer(503), method="PROPFIND")  # nobody hears of it by a listing for now
    assert errno_of(lambda: read(mount.path / "file.bin")) == errno.EIO
    wait_until(lambda: mount.xattr("error", "file.bin") == "CONTENT_NOT_FOUND", "the failure is recorded")
    assert errno_of(lambda: os.open(mount.path / "file.bin", os.O_RDONLY)) == errno.ENOENT
    assert "file.bin" in os.listdir(mount.path), "a 404 on a GET removes nothing by itself"
    proxy.faults.clear()
    wait_until(lambda: start_code(mount) == 0, "starts are accepted")
    assert mount.sync() == "COMPLETED"
    assert errno_of(lambda: os.stat(mount.path / "file.bin")) == errno.ENOENT
    assert sorted(os.listdir(mount.path)) == ["cached.bin", "sub"]
    assert read(mount.path / "cached.bin") == DATA


@pytest.mark.usefixtures("filled")
def test_content_that_is_gone_and_comes_back(proxy: FaultProxy, mounts: Mounts) -> None:
    mount = mounted(mounts, proxy)
    proxy.faults.add(Answer(410), method="GET", target="file.bin")
    assert errno_of(lambda: read(mount.path / "file.bin")) == errno.EIO
    assert download(mount, "file.bin")["error"] == DownloadErrorType.CONTENT_NOT_FOUND
    proxy.faults.clear()
    wait_until(lambda: reads_as(mount.path / "file.bin", DATA), "it reads again")
    wait_until(lambda: mount.xattr("error", "file.bin") == "NO_ERROR", "the error is over")


# --- busy and broken ---


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_borne_with(status: int, proxy: FaultProxy, mounts: Mounts) -> None:
    mount = mounted(mounts, proxy, timeout="4s")
    proxy.faults.add(Answer(status, {"Retry-After": "1"}), method="GET", times=2)
    assert within(4, lambda: read(mount.path / "file.bin")) == 0
    proxy.faults.add(Answer(status, {"Retry-After": "60"}), method="GET")
    assert within(4, lambda: read(mount.path / "sub" / "inner.bin")) == errno.EAGAIN
    assert download(mount, "sub/inner.bin")["error"] == DownloadErrorType.FREQUENT_USER_REQUESTS
    wait_until(lambda: mount.xattr("error", "sub/inner.bin") == "FREQUENT_USER_REQUESTS", "it is recorded")
    assert read(mount.path / "cached.bin") == DATA
    proxy.faults.clear()
    wait_until(lambda: reads_as(mount.path / "sub" / "inner.bin", DATA), "it reads again")


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("status", [500, 503, 504])
def test_a_broken_server_is_asked_again_within_the_timeout(
    status: int, proxy: FaultProxy, mounts: Mounts
) -> None:
    mount = mounted(mounts, proxy)
    proxy.faults.add(Answer(status), method="GET", times=1)
    assert read(mount.path / "file.bin") == DATA
    proxy.faults.add(Answer(status), method="GET")
    assert within(2, lambda: read(mount.path / "sub" / "inner.bin")) == errno.EIO
    assert mount.status()["cloud"]["state"] == "ready", "one file's trouble"
    proxy.faults.clear()
    wait_until(lambda: reads_as(mount.path / "sub" / "inner.bin", DATA), "it reads again")


# --- out of reach ---


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("fault", [Hang(), HangBody(100_000)], ids=["no answer", "no more of the body"])
def test_a_server_that_hangs_is_waited_for_until_the_timeout(
    fault: Fault, proxy: FaultProxy, mounts: Mounts
) -> None:
    mount = mounted(mounts, proxy)
    proxy.faults.add(fault, method="GET")
    assert within(2, lambda: read(mount.path / "file.bin")) == errno.ETIMEDOUT
    assert within(0, lambda: read(mount.path / "cached.bin")) == 0
    assert download(mount, "sub/inner.bin")["error"] == DownloadErrorType.NETWORK_UNAVAILABLE
    proxy.faults.clear()
    proxy.resume()
    wait_until(lambda: reads_as(mount.path / "file.bin", DATA), "it reads again")
    assert start_code(mount) == 0


@pytest.mark.usefixtures("filled")
def test_a_server_that_goes_and_comes(proxy: FaultProxy, mounts: Mounts) -> None:
    mount = mounted(mounts, proxy)
    with (mount.path / "sub" / "inner.bin").open("rb") as held:
        assert held.read() == DATA
        proxy.refuse()
        assert within(2, lambda: read(mount.path / "file.bin")) in OUT_OF_REACH
        assert mount.status()["cloud"]["state"] == "offline"
        assert mount.sync() == "DOWNLOAD_FAILED"
        assert mount.xattr("sync_error") == "NETWORK_UNAVAILABLE"
        assert read(mount.path / "cached.bin") == DATA
        assert os.listdir(mount.path / "sub") == ["inner.bin"]
        held.seek(0)
        assert held.read() == DATA
    proxy.accept()
    wait_until(lambda: reads_as(mount.path / "file.bin", DATA), "it reads again")
    assert mount.sync() == "COMPLETED"
    assert mount.status()["cloud"]["state"] == "ready"


# --- programs and daemons that begin and end ---


def test_a_start_that_comes_at_once_is_carried_out(apache: Apache, mounts: Mounts) -> None:
    """The first request, on the very first connection: nothing of it is lost to what was before the mount."""
    mount = mounts(apache.url, sync={"auto": False})
    for _ in range(3):
        assert mount.sync() == "COMPLETED"
        assert mount.stop() == 0
        mount.start()


@pytest.mark.usefixtures("filled")
def test_a_killed_reader_leaves_nothing_behind(proxy: FaultProxy, mounts: Mounts) -> None:
    mount = mounts(proxy.url, cloud={"timeout": "20s"}, hydration={"on_open": "ranges"})
    os.listdir(mount.path)
    proxy.hang()
    readers = [subprocess.Popen(["cat", mount.path / "file.bin"], stdout=subprocess.DEVNULL) for _ in "ab"]
    wait_until(lambda: all(_is_waiting(reader.pid) for reader in readers), "they wait")
    for reader in readers:
        reader.send_signal(signal.SIGKILL)
        assert reader.wait(5) == -signal.SIGKILL, "a killed reader goes at once"
    proxy.resume()
    wait_until(lambda: mount.status()["transfers"] == [], "nothing is fetched for the dead")
    assert reads_as(mount.path / "file.bin", DATA)
    result = cloudfs("umount", mount.path)
    assert result.returncode == 0, result.stderr
    assert not mount.is_mounted()


def _is_waiting(pid: int) -> bool:
    """Whether it sleeps in the middle of a read of the mount (proc(5): of the system call's number)."""
    return Path(f"/proc/{pid}/syscall").read_text().split(" ")[0] in ("0", "63")


@pytest.mark.usefixtures("filled")
def test_a_mount_in_use_stays_mounted(proxy: FaultProxy, mounts: Mounts) -> None:
    mount = mounted(mounts, proxy)
    with (mount.path / "cached.bin").open("rb") as file:
        result = cloudfs("umount", mount.path)
        assert result.returncode == 5
        assert "open" in result.stderr
        assert file.read() == DATA
    assert read(mount.path / "file.bin") == DATA, "the mount goes on"
    assert cloudfs("umount", mount.path).returncode == 0
    assert mount.process is not None
    assert mount.process.wait(10) == 0
    assert not mount.is_mounted()


@pytest.mark.usefixtures("filled")
def test_the_next_start_takes_over_from_a_killed_daemon(proxy: FaultProxy, mounts: Mounts) -> None:
    mount = mounted(mounts, proxy)
    assert mount.process is not None
    mount.process.kill()
    mount.process.wait()
    assert errno_of(lambda: os.listdir(mount.path)) == errno.ENOTCONN
    assert mount.path.stat().st_mode, "the kernel still answers what it remembers"
    mount.start()
    wait_until(lambda: errno_of(lambda: os.listdir(mount.path)) == 0, "the dead mount was replaced")
    proxy.refuse()
    assert read(mount.path / "cached.bin") == DATA
    assert download(mount, "cached.bin")["state"] == State.COMPLETED
