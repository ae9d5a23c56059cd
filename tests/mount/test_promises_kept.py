"""INTERFACE section 9, promise 3: what was acknowledged survives kill -9, and goes up in spite of all."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from tests.mount.conftest import Mounts
from tests.mount.harness import Mount, wait_until
from tests.mount.programs import content
from tests.mount.trees import assert_same, conflicts, tree
from tests.servers.apache import Apache
from tests.servers.faults import Answer
from tests.servers.proxy import FaultProxy

OLD, NEW = content(300_000, seed=3), content(200_000, seed=4)


@pytest.fixture
def mount(apache: Apache, proxy: FaultProxy, mounts: Mounts) -> Mount:
    """A few files in sync, none of them here yet."""
    (apache.root / "docs" / "deep").mkdir(parents=True)
    for name in ("a.bin", "b.bin", "docs/c.bin", "docs/deep/d.bin"):
        (apache.root / name).write_bytes(OLD)
    mount = mounts(proxy.url, cloud={"timeout": "2s"}, sync={"auto": False})
    mount.settle()
    return mount


def _create_and_sync(path: Path, data: bytes) -> int:
    """The descriptor, still open, of a file that was written and synced."""
    fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    os.write(fd, data)
    os.fsync(fd)
    return fd


# --- what was acknowledged survives kill -9 ---


@pytest.mark.parametrize("name", ["a.bin", "docs/deep/new.bin"])
def test_promise_3_what_close_acknowledged_survives_a_kill(name: str, mount: Mount, apache: Apache) -> None:
    (mount.path / name).write_bytes(NEW)
    mount.remount()
    assert (mount.path / name).read_bytes() == NEW
    assert mount.pending == 1
    mount.remount()
    mount.settle()
    assert (apache.root / name).read_bytes() == NEW
    assert_same(tree(mount.path), tree(apache.root))


def test_promise_3_what_fsync_acknowledged_survives_a_kill(mount: Mount, apache: Apache) -> None:
    fds = [_create_and_sync(mount.path / name, NEW) for name in ("a.bin", "new.bin")]
    os.write(fds[0], b"not promised yet")
    mount.kill()
    for fd in fds:
        with suppress(OSError):  # its flush meets nobody
            os.close(fd)
    mount.start()
    assert (mount.path / "a.bin").read_bytes()[: len(NEW)] == NEW
    assert (mount.path / "new.bin").read_bytes() == NEW
    mount.settle()
    assert (apache.root / "new.bin").read_bytes() == NEW
    assert_same(tree(mount.path), tree(apache.root))


def test_promise_3_writes_into_a_placeholder_survive_a_kill_with_their_rest(
    mount: Mount, apache: Apache, proxy: FaultProxy
) -> None:
    """The rest of the file is still in the cloud alone when the daemon dies."""
    proxy.faults.add(Answer(503), method="GET")
    with (mount.path / "a.bin").open("r+b") as file:
        file.seek(100_000)
        file.write(b"patched")
    with (mount.path / "b.bin").open("ab") as file:
        file.write(b"appended")
    os.truncate(mount.path / "docs" / "c.bin", 150_000)
    mount.kill()
    proxy.faults.clear()
    mount.start()
    expected = {
        "a.bin": OLD[:100_000] + b"patched" + OLD[100_007:],
        "b.bin": OLD + b"appended",
        "docs/c.bin": OLD[:150_000],
    }
    assert {name: (mount.path / name).stat().st_size for name in expected} == {
        name: len(data) for name, data in expected.items()
    }
    mount.settle()
    assert {name: (apache.root / name).read_bytes() for name in expected} == expected
    assert {name: (mount.path / name).read_bytes() for name in expected} == expected


def _rename(top: Path) -> None:
    os.rename(top / "a.bin", top / "docs" / "renamed.bin")


def _rename_over(top: Path) -> None:
    os.rename(top / "a.bin", top / "b.bin")


def _rename_folder(top: Path) -> None:
    os.rename(top / "docs", top / "papers")


def _unlink(top: Path) -> None:
    os.unlink(top / "a.bin")


def _make_folders(top: Path) -> None:
    os.makedirs(top / "new" / "newer")


def _remove_folders(top: Path) -> None:
    shutil.rmtree(top / "docs")


def _swap(top: Path) -> None:
    os.rename(top / "a.bin", top / "aside")
    os.rename(top / "b.bin", top / "a.bin")
    os.rename(top / "aside", top / "b.bin")


def _change_and_move(top: Path) -> None:
    (top / "a.bin").write_bytes(NEW)
    os.rename(top / "a.bin", top / "docs" / "deep" / "moved.bin")
    os.rename(top / "docs" / "deep", top / "deep")


def _make_and_remove(top: Path) -> None:
    (top / "new").mkdir()
    (top / "new" / "file").write_bytes(NEW)
    shutil.rmtree(top / "new")


CHANGES = [
    _rename,
    _rename_over,
    _rename_folder,
    _unlink,
    _make_folders,
    _remove_folders,
    _swap,
    _change_and_move,
    _make_and_remove,
]


def test_promise_3_what_was_answered_survives_a_kill_and_reaches_the_cloud(
    mount: Mount, apache: Apache, tmp_path: Path
) -> None:
    """Each change in a folder of its own, which holds what the top holds."""
    for change in CHANGES:
        shutil.copytree(apache.root, tmp_path / "local" / change.__name__)
    shutil.copytree(tmp_path / "local", apache.root, dirs_exist_ok=True)
    mount.settle()
    for change in CHANGES:
        change(tmp_path / "local" / change.__name__)
        change(mount.path / change.__name__)
    mount.remount()
    expected = tree(mount.path) | tree(tmp_path / "local")
    assert_same(expected, tree(mount.path), "after the kill")
    mount.settle()
    assert_same(tree(mount.path), expected, "after the sync")
    assert_same(tree(apache.root), expected, "on the server")
    for change in CHANGES:
        here = tree(mount.path / change.__name__)
        assert_same(tree(tmp_path / "local" / change.__name__), here, change.__name__)


# --- and goes up ---


def test_promise_3_changes_go_up_by_themselves(apache: Apache, mounts: Mounts) -> None:
    mount = mounts(apache.url, sync={"debounce": "100ms"})
    (mount.path / "folder").mkdir()
    (mount.path / "folder" / "new.bin").write_bytes(NEW)
    wait_until(lambda: tree(apache.root) == {"folder": None, "folder/new.bin": NEW}, "it is in the cloud")
    wait_until(lambda: mount.pending == 0, "and that is known")
    os.rename(mount.path / "folder", mount.path / "renamed")
    wait_until(lambda: tree(apache.root) == {"renamed": None, "renamed/new.bin": NEW}, "it was moved")


def test_promise_3_changes_go_up_by_themselves_once_the_network_is_back(
    apache: Apache, proxy: FaultProxy, mounts: Mounts
) -> None:
    timing = {"debounce": "100ms", "interval": "1s"}
    mount = mounts(proxy.url, cloud={"timeout": "2s"}, sync=timing)
    assert os.listdir(mount.path) == []
    proxy.refuse()
    (mount.path / "new.bin").write_bytes(NEW)
    wait_until(lambda: mount.status()["cloud"]["state"] == "offline", "the sync met no network")
    assert mount.pending == 1
    proxy.accept()
    wait_until(lambda: tree(apache.root) == {"new.bin": NEW}, "it is in the cloud")
    wait_until(lambda: mount.pending == 0, "and that is known")


@pytest.mark.parametrize("status", [403, 423, 500])
def test_promise_3_one_files_trouble_holds_up_no_others_and_a_start_overrides_its_wait(
    status: int, mount: Mount, apache: Apache, proxy: FaultProxy
) -> None:
    proxy.faults.add(Answer(status), method="PUT|MKCOL", target="bad")
    for name in ("bad.bin", "a.bin", "docs/new.bin", "docs/bad.bin"):
        (mount.path / name).write_bytes(NEW)
    (mount.path / "bad folder").mkdir()
    (mount.path / "bad folder" / "inner.bin").write_bytes(NEW)
    (mount.path / "good folder").mkdir()
    (mount.path / "good folder" / "inner.bin").write_bytes(NEW)
    assert mount.sync() == "UPLOAD_FAILED"
    assert mount.xattr("sync_error") == "NO_ERROR"
    held = tree(apache.root)
    assert (held["a.bin"], held["docs/new.bin"], held["good folder/inner.bin"]) == (NEW, NEW, NEW)
    assert not [name for name in held if "bad" in name]
    assert mount.pending == 4
    assert mount.xattr("state", "bad.bin") == "STOPPED"
    assert mount.xattr("error", "bad.bin") == "UNKNOWN_ERROR"
    assert mount.xattr("location", "bad.bin") == "local"
    assert mount.status()["cloud"]["state"] == "ready"
    assert (mount.path / "bad.bin").read_bytes() == NEW
    proxy.faults.clear()
    mount.settle()
    assert_same(tree(mount.path), tree(apache.root))
    assert conflicts(tree(apache.root)) == {}
    assert mount.xattr("error", "bad.bin") == "NO_ERROR"


@pytest.mark.parametrize("name", ["a.bin", "new.bin"])
def test_promise_3_a_file_kept_open_for_writing_goes_up_after_its_fsync_or_close(
    name: str, mount: Mount, apache: Apache
) -> None:
    before = tree(apache.root)
    fd = os.open(mount.path / name, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    os.write(fd, NEW)
    (mount.path / "other.bin").write_bytes(NEW)
    assert mount.sync() == "COMPLETED", "it holds up no sync"
    assert mount.pending == 1
    assert_same(tree(apache.root), before | {"other.bin": NEW})
    os.fsync(fd)
    mount.settle()
    assert (apache.root / name).read_bytes() == NEW, "after its fsync"
    os.write(fd, b"more")
    assert mount.sync() == "COMPLETED"
    assert (apache.root / name).read_bytes() == NEW
    os.close(fd)
    wait_until(lambda: mount.pending == 1, "it is known to differ")
    wait_until(lambda: mount.sync() == "COMPLETED" and mount.pending == 0, "the kernel has released it")
    assert (apache.root / name).read_bytes() == NEW + b"more", "after its close"


def test_promise_3_a_file_changed_under_its_upload_goes_up_again(
    mount: Mount, apache: Apache, proxy: FaultProxy
) -> None:
    proxy.conditions.upload_bandwidth = 2_000_000
    data = bytearray(content(6_000_000))
    (mount.path / "large.bin").write_bytes(data)
    sent = proxy.counters.bytes_up
    mount.call("FileSync.start")
    wait_until(lambda: proxy.counters.bytes_up > sent + 1_000_000, "it is under way")
    with (mount.path / "large.bin").open("r+b") as file:
        file.seek(3_000_000)
        file.write(b"changed")
        data[3_000_000:3_000_007] = b"changed"
    proxy.conditions.upload_bandwidth = None
    wait_until(lambda: mount.sync() == "COMPLETED" and mount.pending == 0, "both generations are done with")
    assert (apache.root / "large.bin").read_bytes() == data
    assert_same(tree(mount.path), tree(apache.root))


def test_promise_3_unmounted_by_force_changes_go_up_after_the_next_mount(
    mount: Mount, apache: Apache, proxy: FaultProxy
) -> None:
    (mount.path / "a.bin").write_bytes(NEW)
    os.rename(mount.path / "b.bin", mount.path / "renamed.bin")
    assert mount.process is not None
    mount.call("Mount.umount", force=True)
    assert mount.process.wait(10) == 0
    assert (apache.root / "a.bin").read_bytes() == OLD
    mount.start()
    assert (mount.path / "a.bin").read_bytes() == NEW
    assert mount.pending == 2
    mount.settle()
    assert_same(tree(mount.path), tree(apache.root))
    assert (apache.root / "renamed.bin").read_bytes() == OLD
