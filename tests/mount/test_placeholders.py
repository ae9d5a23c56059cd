"""What a user sees first: the tree at once, placeholders, content that streams in and stays."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tests.mount.conftest import Mounts
from tests.mount.harness import wait_until
from tests.servers.apache import Apache
from tests.servers.proxy import FaultProxy
from tests.servers.wsgidav import WsgiDav

PATTERN = bytes(range(256)) * 4096  # 1 MiB


def fill(root: Path) -> None:
    (root / "readme.txt").write_text("hello\n")
    (root / "docs" / "deep").mkdir(parents=True)
    (root / "docs" / "deep" / "leaf.bin").write_bytes(PATTERN)
    (root / "Photos").mkdir()
    (root / "Photos" / "a.jpg").write_bytes(b"\xff\xd8 picture")
    (root / "empty").write_bytes(b"")


@pytest.fixture(params=["apache", "wsgidav"])
def server(request: pytest.FixtureRequest) -> Apache | WsgiDav:
    fixture: Apache | WsgiDav = request.getfixturevalue(request.param)
    fill(fixture.root)
    return fixture


def test_shows_the_tree_with_sizes_and_times_without_any_content(
    server: Apache | WsgiDav, mounts: Mounts
) -> None:
    mount = mounts(server.url)
    found = {str(p.relative_to(mount.path)) for p in mount.path.rglob("*")}
    assert found == {
        "readme.txt",
        "docs",
        "docs/deep",
        "docs/deep/leaf.bin",
        "Photos",
        "Photos/a.jpg",
        "empty",
    }
    for name in ("readme.txt", "docs/deep/leaf.bin"):
        here, there = (mount.path / name).stat(), (server.root / name).stat()
        assert here.st_size == there.st_size
        assert int(here.st_mtime) == int(there.st_mtime)
        assert here.st_blocks == 1, "a placeholder with st_blocks 0 is one hole to tar -S"
        assert mount.xattr("location", name) == "cloud"
    assert mount.xattr("location", "empty") == "both"


def test_reading_hydrates_and_the_content_is_right(server: Apache | WsgiDav, mounts: Mounts) -> None:
    mount = mounts(server.url)
    name = "docs/deep/leaf.bin"
    assert (mount.path / name).read_bytes() == PATTERN
    wait_until(lambda: mount.xattr("state", name) == "COMPLETED", "the file is hydrated, and safe")
    assert mount.xattr("location", name) == "both"
    assert mount.xattr("progress", name) == f"{len(PATTERN)}/{len(PATTERN)}"
    assert (mount.path / name).stat().st_blocks == len(PATTERN) // 512


def test_hydrated_files_are_read_without_a_network_and_after_a_remount(
    apache: Apache, proxy: FaultProxy, mounts: Mounts
) -> None:
    fill(apache.root)
    mount = mounts(proxy.url)
    assert (mount.path / "docs/deep/leaf.bin").read_bytes() == PATTERN
    wait_until(lambda: mount.xattr("location", "docs/deep/leaf.bin") == "both", "hydrated")
    inode = (mount.path / "docs/deep/leaf.bin").stat().st_ino
    wait_until(lambda: mount.status()["sync"]["files"]["last_sync_time"], "the walk is over")
    assert mount.stop() == 0
    proxy.refuse()
    mount.start()
    assert (mount.path / "docs/deep/leaf.bin").read_bytes() == PATTERN
    assert (mount.path / "docs/deep/leaf.bin").stat().st_ino == inode
    with pytest.raises(OSError) as refused:
        (mount.path / "readme.txt").read_bytes()
    assert refused.value.errno in (errno.ENETUNREACH, errno.ETIMEDOUT)
    proxy.accept()
    wait_until(lambda: _text(mount.path / "readme.txt") == "hello\n", "reads again once the server is back")


def _text(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None


def test_content_survives_kill_9(apache: Apache, proxy: FaultProxy, mounts: Mounts) -> None:
    fill(apache.root)
    mount = mounts(proxy.url)
    (mount.path / "docs/deep/leaf.bin").read_bytes()
    wait_until(lambda: mount.xattr("state", "docs/deep/leaf.bin") == "COMPLETED", "hydrated")
    mount.kill()
    proxy.refuse()
    mount.start()
    assert (mount.path / "docs/deep/leaf.bin").read_bytes() == PATTERN


def test_a_read_only_mount_refuses_changes_but_keeps_pins_and_own_attributes(
    apache: Apache, mounts: Mounts
) -> None:
    fill(apache.root)
    mount = mounts(apache.url, mount={"read_only": True})
    file = mount.path / "readme.txt"
    for change in (
        lambda: file.write_text("x"),
        lambda: file.unlink(),
        lambda: (mount.path / "new").mkdir(),
        lambda: file.rename(mount.path / "other"),
        lambda: file.chmod(0o600),
        lambda: os.truncate(file, 0),
        lambda: (mount.path / "new.txt").touch(),
    ):
        with pytest.raises(OSError) as refused:
            change()
        assert refused.value.errno == errno.EROFS
    os.setxattr(file, "user.comment", b"mine\0\xff")
    os.setxattr(file, "user.cloudfs.pin", b"always")
    wait_until(lambda: mount.xattr("location", "readme.txt") == "both", "a pinned file is hydrated at once")
    assert mount.stop() == 0
    mount.start()
    assert os.getxattr(file, "user.comment") == b"mine\0\xff"
    assert mount.xattr("pin", "readme.txt") == "always"


def test_only_one_daemon_uses_a_cache(apache: Apache, mounts: Mounts) -> None:
    first = mounts(apache.url)
    second = mounts(apache.url, start=False, cache={"path": str(first.cache)})
    with pytest.raises(AssertionError, match=r"in use|another"):
        second.start()
    assert first.status()["pid"]
