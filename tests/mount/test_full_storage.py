"""A full cloud and a full disk: nothing acknowledged is lost, and what has room again goes on."""

from __future__ import annotations

import errno
from pathlib import Path

from tests.mount.conftest import Mounts
from tests.mount.harness import wait_until
from tests.mount.programs import content, errno_of, fill
from tests.mount.trees import assert_well, tree
from tests.servers.apache import Apache
from tests.servers.faults import Answer
from tests.servers.proxy import FaultProxy
from tests.servers.wsgidav import WsgiDav

MIB = 1024 * 1024
OLD, NEW = content(300_000, seed=7), content(400_000, seed=8)


def test_a_file_too_large_for_the_cloud_is_refused_and_the_next_one_taken(
    wsgidav: WsgiDav, mounts: Mounts
) -> None:
    """By a server that says so only at the end, whatever way the content goes there."""
    with FaultProxy(wsgidav.url) as proxy:
        mount = mounts(proxy.url, sync={"auto": False})
        (mount.path / "first").write_bytes(b"1")
        mount.settle()
        proxy.faults.add(Answer(507), method="PUT")
        (mount.path / "large.bin").write_bytes(NEW)
        assert mount.sync() == "UPLOAD_FAILED"
        assert mount.xattr("sync_error") == "CLOUD_STORAGE_FULL"
        assert mount.xattr("error", "large.bin") == "CLOUD_STORAGE_FULL"
        assert tree(wsgidav.root) == {"first": b"1"}, "no such file in the cloud"
        proxy.faults.clear()
        assert_well(mount, wsgidav.root, {"first": b"1", "large.bin": NEW})


def test_in_a_full_cloud_room_can_be_made(apache: Apache, proxy: FaultProxy, mounts: Mounts) -> None:
    """By a mount that has never written there, as well: what is deleted and moved needs no room."""
    for name in ("large.bin", "moved.bin"):
        (apache.root / name).write_bytes(OLD)
    mount = mounts(proxy.url, sync={"auto": False})
    mount.settle()
    proxy.faults.add(Answer(507), method="PUT|MKCOL")
    (mount.path / "new.bin").write_bytes(NEW)
    (mount.path / "large.bin").unlink()
    (mount.path / "moved.bin").rename(mount.path / "to here.bin")
    assert mount.sync() == "UPLOAD_FAILED"
    assert mount.xattr("sync_error") == "CLOUD_STORAGE_FULL"
    assert "large.bin" not in tree(apache.root)
    proxy.faults.clear()
    assert_well(mount, apache.root, {"new.bin": NEW, "to here.bin": OLD})


def test_a_disk_full_in_mid_write_costs_nothing_acknowledged(
    apache: Apache, small_disk: Path, mounts: Mounts
) -> None:
    mount = mounts(apache.url, cache={"path": str(small_disk / "cache")}, sync={"auto": False})
    (mount.path / "kept.bin").write_bytes(content(2 * MIB, seed=1))
    (mount.path / "synced.bin").write_bytes(content(2 * MIB, seed=2))
    met = 0
    with (mount.path / "large.bin").open("wb", buffering=0) as file:
        while met == 0:
            met = errno_of(lambda: file.write(bytes(MIB)))
            assert (mount.path / "large.bin").stat().st_size < 24 * MIB
        assert met == errno.ENOSPC
        assert (mount.path / "kept.bin").read_bytes() == content(2 * MIB, seed=1)
    assert errno_of(lambda: (mount.path / "more.bin").write_bytes(bytes(MIB))) == errno.ENOSPC
    mount.remount()
    assert (mount.path / "kept.bin").read_bytes() == content(2 * MIB, seed=1)
    (mount.path / "large.bin").unlink()
    (mount.path / "more.bin").unlink(missing_ok=True)
    after = mount.path / "after.bin"
    # What is unlinked makes room once the kernel has forgotten it.
    wait_until(lambda: errno_of(lambda: after.write_bytes(content(2 * MIB, seed=3))) == 0, "there is room")
    expected: dict[str, bytes | None] = {
        "kept.bin": content(2 * MIB, seed=1),
        "synced.bin": content(2 * MIB, seed=2),
        "after.bin": content(2 * MIB, seed=3),
    }
    assert_well(mount, apache.root, expected)


def test_unsent_content_is_never_evicted_for_room(apache: Apache, small_disk: Path, mounts: Mounts) -> None:
    (apache.root / "large.bin").write_bytes(content(30 * MIB, seed=9))
    cache = {"path": str(small_disk / "cache"), "size": "8MiB"}
    mount = mounts(apache.url, cache=cache, sync={"auto": False})
    mount.settle()
    written = {f"{number}.bin": content(3 * MIB, seed=number) for number in range(4)}
    for name, data in written.items():
        (mount.path / name).write_bytes(data)  # more than `size`: it may be exceeded by what is unsent
    assert (mount.path / "large.bin").read_bytes() == content(30 * MIB, seed=9)
    mount.remount()
    assert {name: (mount.path / name).read_bytes() for name in written} == written
    mount.settle()
    assert {name: (apache.root / name).read_bytes() for name in written} == written
    assert (mount.path / "large.bin").read_bytes() == content(30 * MIB, seed=9)
    wait_until(lambda: mount.status()["cache"]["used"] <= 9 * MIB, "what was sent makes room")


def test_a_full_disk_lets_go_of_what_was_sent(apache: Apache, small_disk: Path, mounts: Mounts) -> None:
    mount = mounts(apache.url, cache={"path": str(small_disk / "cache")}, sync={"auto": False})
    (mount.path / "sent.bin").write_bytes(content(4 * MIB, seed=1))
    mount.settle()
    ballast = fill(small_disk)
    (mount.path / "new.bin").write_bytes(content(2 * MIB, seed=2))
    mount.settle()
    assert (apache.root / "new.bin").read_bytes() == content(2 * MIB, seed=2)
    ballast.unlink()
    assert (mount.path / "sent.bin").read_bytes() == content(4 * MIB, seed=1)
