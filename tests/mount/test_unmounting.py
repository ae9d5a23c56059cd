"""How a mount ends while changes are pending: umount in its three ways, signals, and what comes after."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.mount.conftest import Mounts
from tests.mount.harness import CLOUDFS, PATIENCE_S, Mount, wait_until
from tests.mount.programs import cloudfs, content
from tests.mount.trees import assert_same, tree
from tests.servers.apache import Apache
from tests.servers.faults import Answer
from tests.servers.proxy import FaultProxy

NEW = content(100_000)


@pytest.fixture
def mount(apache: Apache, proxy: FaultProxy, mounts: Mounts) -> Mount:
    """Nothing goes up but when it is asked for."""
    (apache.root / "old.bin").write_bytes(b"old")
    mount = mounts(proxy.url, sync={"auto": False}, cloud={"timeout": "2s"})
    mount.settle()
    return mount


def end_of(mount: Mount) -> int:
    """The daemon's exit code."""
    assert mount.process is not None
    code = mount.process.wait(PATIENCE_S)
    mount.process = None
    return code


# --- umount ---


def test_umount_refuses_while_changes_are_pending(mount: Mount, apache: Apache) -> None:
    (mount.path / "new.bin").write_bytes(NEW)
    (mount.path / "old.bin").unlink()
    refused = cloudfs("umount", mount.path)
    assert refused.returncode == 5
    assert "2 changes are not in the cloud yet" in refused.stderr
    assert "--wait" in refused.stderr
    assert "--force" in refused.stderr
    assert mount.is_mounted()
    mount.settle()
    assert cloudfs("umount", mount.path).returncode == 0
    assert_same(tree(apache.root), {"new.bin": NEW})


def test_umount_wait_sends_all_also_what_was_stopped(mount: Mount, apache: Apache) -> None:
    mount.call("FileSync.stop")
    (mount.path / "Photos").mkdir()
    (mount.path / "Photos" / "1.jpg").write_bytes(NEW)
    (mount.path / "new.bin").write_bytes(NEW)
    (mount.path / "old.bin").rename(mount.path / "moved.bin")
    done = cloudfs("umount", "--wait", mount.path)
    assert done.returncode == 0, done.stderr
    assert "sending changes: done" in done.stderr
    assert end_of(mount) == 0
    held = {"Photos": None, "Photos/1.jpg": NEW, "new.bin": NEW, "moved.bin": b"old"}
    assert_same(tree(apache.root), held)
    mount.start()
    assert mount.status()["sync"]["files"]["held"]  # it stays stopped


def test_umount_wait_names_what_cannot_go_and_stays(mount: Mount, apache: Apache, proxy: FaultProxy) -> None:
    proxy.faults.add(Answer(507), method="PUT", target="bad")
    (mount.path / "bad.bin").write_bytes(NEW)
    (mount.path / "good.bin").write_bytes(NEW)
    refused = cloudfs("umount", "--wait", mount.path)
    assert refused.returncode == 5
    assert f"{mount.path}/bad.bin: " in refused.stderr
    assert "good.bin" not in refused.stderr
    assert mount.is_mounted()
    assert (apache.root / "good.bin").read_bytes() == NEW
    assert (mount.path / "bad.bin").read_bytes() == NEW
    proxy.faults.clear()
    assert cloudfs("umount", "--wait", mount.path).returncode == 0
    assert (apache.root / "bad.bin").read_bytes() == NEW


def test_umount_wait_without_a_network_ends_and_stays(
    mount: Mount, apache: Apache, proxy: FaultProxy
) -> None:
    proxy.refuse()
    (mount.path / "new.bin").write_bytes(NEW)
    refused = cloudfs("umount", "--wait", mount.path)
    assert refused.returncode == 5
    assert f"{mount.path}/new.bin: " in refused.stderr
    assert mount.is_mounted()
    proxy.accept()
    mount.settle()


def test_umount_wait_that_is_interrupted_leaves_the_mount_as_it_was(
    mount: Mount, apache: Apache, proxy: FaultProxy
) -> None:
    mount.call("FileSync.stop")
    (mount.path / "new.bin").write_bytes(NEW)
    proxy.hang()
    waiting = subprocess.Popen([*CLOUDFS, "umount", "--wait", str(mount.path)], stderr=subprocess.PIPE)
    wait_until(lambda: mount.status()["sync"]["files"]["state"] in ("DOWNLOADING", "UPLOADING"), "it sends")
    waiting.send_signal(signal.SIGINT)
    _, told = waiting.communicate(timeout=PATIENCE_S)
    assert waiting.returncode == 130, told
    wait_until(lambda: mount.status()["sync"]["files"]["state"] == "STOPPED", "the sync has ended")
    proxy.resume()
    status = mount.status()
    assert (status["pending"], status["sync"]["files"]["held"]) == (1, True)
    time.sleep(1)
    assert mount.is_mounted()
    assert not (apache.root / "new.bin").exists()
    mount.settle()


def test_umount_force_leaves_changes_to_the_next_mount(mount: Mount, apache: Apache) -> None:
    descriptor = os.open(mount.path / "open.bin", os.O_WRONLY | os.O_CREAT)
    os.write(descriptor, NEW)
    os.fsync(descriptor)
    (mount.path / "old.bin").unlink()
    assert cloudfs("umount", "--force", mount.path).returncode == 0
    assert end_of(mount) == 0
    with suppress(OSError):  # the mount went under it
        os.close(descriptor)
    assert_same(tree(apache.root), {"old.bin": b"old"})
    mount.start()
    assert mount.pending == 2
    assert (mount.path / "open.bin").read_bytes() == NEW
    mount.settle()
    assert_same(tree(apache.root), {"open.bin": NEW})


# --- signals ---


def test_a_signal_lets_what_is_pending_go(apache: Apache, mounts: Mounts) -> None:
    mount = mounts(apache.url, sync={"debounce": "1h", "interval": "1h"})
    wait_until(lambda: mount.status()["sync"]["files"]["state"] == "COMPLETED", "the first sync is over")
    (mount.path / "new.bin").write_bytes(NEW)
    assert mount.stop() == 0
    assert_same(tree(apache.root), {"new.bin": NEW})


@pytest.mark.parametrize("kept_still_by", ["auto", "stop"])
def test_a_signal_sends_nothing_that_is_kept_still(
    apache: Apache, mounts: Mounts, kept_still_by: str
) -> None:
    mount = mounts(apache.url, sync={"auto": kept_still_by != "auto", "debounce": "1h"})
    if kept_still_by == "stop":
        mount.call("FileSync.stop")
    (mount.path / "new.bin").write_bytes(NEW)
    assert mount.stop() == 0
    assert_same(tree(apache.root), {})
    mount.start()
    assert (mount.path / "new.bin").read_bytes() == NEW
    mount.settle()
    assert_same(tree(apache.root), {"new.bin": NEW})


def test_a_second_signal_ends_at_once_and_loses_nothing(
    apache: Apache, proxy: FaultProxy, mounts: Mounts
) -> None:
    mount = mounts(proxy.url, sync={"debounce": "1h", "interval": "1h"}, cloud={"timeout": "30s"})
    wait_until(lambda: mount.status()["sync"]["files"]["state"] == "COMPLETED", "the first sync is over")
    (mount.path / "new.bin").write_bytes(NEW)
    proxy.hang()
    process = mount.process
    assert process is not None
    process.send_signal(signal.SIGTERM)
    wait_until(lambda: mount.status()["sync"]["files"]["state"] == "DOWNLOADING", "it tries to send")
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert end_of(mount) == 0
    assert time.monotonic() - began < 8, "not as long as the first signal gives"
    proxy.resume()
    mount.start()
    mount.settle()
    assert_same(tree(apache.root), {"new.bin": NEW})


# --- a memory that is lost ---


def test_a_damaged_database_costs_no_unsent_content(mount: Mount, apache: Apache) -> None:
    (mount.path / "new.bin").write_bytes(NEW)
    (mount.path / "old.bin").write_bytes(b"changed here")
    mount.kill()
    for database in mount.cache.glob("cloudfs.db*"):
        database.write_bytes(b"no database at all" * 1000)
    mount.start()
    folder = Path(mount.status()["recovered"])
    found = {path.name.rpartition("-")[0]: path.read_bytes() for path in folder.iterdir()}
    assert found == {"new.bin": NEW, "old.bin": b"changed here"}
    assert str(folder) in cloudfs("status", "--socket", mount.socket).stdout
    assert (mount.path / "old.bin").read_bytes() == b"old"  # the rest is built anew from the cloud
    assert mount.pending == 0
    for path in folder.iterdir():
        path.unlink()
    assert "recovered" not in mount.status()
    assert "damaged" in mount.log.read_text()
