"""`sync confirm` and `sync restore` on a real mount: many deletions, made here and in the cloud."""

from __future__ import annotations

import os

import pytest

from tests.mount.conftest import Mounts
from tests.mount.harness import Mount
from tests.mount.programs import cloudfs
from tests.mount.trees import assert_same, tree
from tests.servers.apache import Apache

BRAKE = 5
NAMES = [f"file-{number}.txt" for number in range(BRAKE + 1)]


@pytest.fixture
def mount(apache: Apache, mounts: Mounts) -> Mount:
    for name in NAMES:
        (apache.root / name).write_text(name)
    mount = mounts(apache.url, sync={"auto": False, "delete_brake": BRAKE})
    mount.settle()
    return mount


@pytest.fixture
def files(mount: Mount) -> dict[str, bytes | None]:
    return tree(mount.path)


def held_of(mount: Mount) -> dict[str, int]:
    held: dict[str, int] = mount.status()["sync"]["files"]["held_deletes"]
    return held


def remove_here(mount: Mount) -> None:
    for name in NAMES:
        (mount.path / name).unlink()
    assert mount.sync() == "UPLOAD_FAILED"
    assert mount.xattr("sync_error") == "NO_ERROR"
    assert held_of(mount) == {"here": len(NAMES), "cloud": 0}


def test_deletes_made_here_wait_and_are_confirmed(mount: Mount, apache: Apache) -> None:
    remove_here(mount)
    assert sorted(tree(apache.root)) == NAMES
    assert mount.pending == 0  # held ones are not
    told = cloudfs("status", "--socket", mount.socket).stdout
    assert f"{len(NAMES)} deletions made here" in told
    assert "cloudfs sync confirm" in told
    assert "cloudfs sync restore" in told
    done = cloudfs("sync", "confirm", "--wait", "--socket", mount.socket)
    assert (done.returncode, done.stdout) == (0, "COMPLETED\n")
    assert tree(apache.root) == {}
    assert held_of(mount) == {"here": 0, "cloud": 0}


def test_deletes_made_here_come_back_as_placeholders(
    mount: Mount, apache: Apache, files: dict[str, bytes | None]
) -> None:
    remove_here(mount)
    done = cloudfs("sync", "restore", "--wait", "--socket", mount.socket)
    assert (done.returncode, done.stdout) == (0, "COMPLETED\n"), done.stderr
    assert sorted(os.listdir(mount.path)) == NAMES
    assert_same(tree(mount.path), files)
    assert_same(tree(apache.root), files)
    assert held_of(mount) == {"here": 0, "cloud": 0}


def test_deletes_in_the_cloud_are_undone_where_content_is_here(mount: Mount, apache: Apache) -> None:
    kept, *lost = NAMES
    assert (mount.path / kept).read_text() == kept  # hydrated
    for name in NAMES:
        (apache.root / name).unlink()
    assert mount.sync() == "DOWNLOAD_FAILED"
    assert held_of(mount) == {"here": 0, "cloud": len(NAMES)}
    assert sorted(os.listdir(mount.path)) == NAMES  # nothing of it shows
    done = cloudfs("sync", "restore", "--wait", "--socket", mount.socket)
    assert done.returncode == 1
    named = [line.split(": ")[1] for line in done.stderr.splitlines() if "can't come back" in line]
    assert sorted(named) == [f"{mount.path}/{name}" for name in lost]
    assert (apache.root / kept).read_text() == kept
    assert held_of(mount) == {"here": 0, "cloud": len(lost)}
    done = cloudfs("sync", "confirm", "--wait", "--socket", mount.socket)
    assert (done.returncode, done.stdout) == (0, "COMPLETED\n")
    assert os.listdir(mount.path) == [kept]
