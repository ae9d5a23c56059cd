"""The cache directory and its disk."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from cloudfs.cache import directory
from cloudfs.cache.directory import claim
from cloudfs.config import CacheSettings, MountConfig
from cloudfs.config.quantities import Size
from cloudfs.doctor.content import cache, disk
from cloudfs.doctor.daemons import Daemon


def with_cache(config: MountConfig, cache: CacheSettings) -> MountConfig:
    return replace(config, cache=cache)


def test_one_that_is_not_there_yet_is_not_made(config: MountConfig, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    found = cache(config, [])
    assert found.ok
    assert "free for a mount" in found.detail
    assert sorted(tmp_path.rglob("*")) == before


def test_one_that_is_there_is_left_as_it_is(config: MountConfig) -> None:
    path = config.cache.path
    path.mkdir(mode=0o700)
    (path / "database").write_text("rows")
    before = os.stat(path)
    assert cache(config, []).ok
    after = os.stat(path)
    assert (after.st_mode, after.st_mtime_ns, os.listdir(path)) == (
        before.st_mode,
        before.st_mtime_ns,
        ["database"],
    )


def test_who_uses_it_is_named(config: MountConfig) -> None:
    mine = Daemon(config.socket, os.getpid(), True, "work", str(config.mount.path))
    with claim(config.cache.path, config.mount.path):
        assert f"in use by process {os.getpid()}" in cache(config, []).detail
        found = cache(config, [mine])
        assert found.ok
        assert 'in use by the mount "work"' in found.detail
    assert "free for a mount" in cache(config, [mine]).detail


def test_one_that_others_may_look_into(config: MountConfig) -> None:
    config.cache.path.mkdir()
    config.cache.path.chmod(0o750)
    found = cache(config, [])
    assert "0750" in found.detail
    assert found.mend == f"chmod 700 {config.cache.path}"


def test_what_is_no_folder(config: MountConfig) -> None:
    config.cache.path.write_text("")
    found = cache(config, [])
    assert "Not a directory" in found.detail
    assert found.mend == "choose another [cache] path"


def test_another_users(config: MountConfig) -> None:
    config.cache.path.mkdir(mode=0o700)
    os.chown(config.cache.path, 12345, 12345)
    found = cache(config, [])
    assert "belongs to user 12345" in found.detail
    assert found.mend == "choose another [cache] path"


def test_one_that_can_not_be_made(config: MountConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "nothing may be made in" in cache(config, []).detail


def test_one_inside_the_mountpoint(config: MountConfig) -> None:
    inside = replace(config.cache, path=config.mount.path / "cache")
    assert "inside the mountpoint" in cache(with_cache(config, inside), []).detail


def test_one_on_a_network_file_system(
    config: MountConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = tmp_path.stat().st_dev
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"36 35 {os.major(device)}:{os.minor(device)} / /x rw - nfs4 host:/x rw\n")
    monkeypatch.setattr(directory, "MOUNTS", mounts)
    found = cache(config, [])
    assert "nfs4" in found.detail
    assert "on a local disk" in str(found.mend)


def test_files_that_lost_their_names_are_told_of(config: MountConfig) -> None:
    (config.cache.path / "recovered").mkdir(parents=True)
    config.cache.path.chmod(0o700)
    (config.cache.path / "recovered" / "letter").write_text("")
    assert "look through" in str(cache(config, []).mend)


def test_the_disk_has_to_hold_more_than_stays_free(config: MountConfig) -> None:
    small = replace(config.cache, size=Size(1))
    assert disk(with_cache(config, small)).ok
    large = disk(with_cache(config, replace(config.cache, size=Size(1 << 60))))
    assert large.ok
    assert "may grow by" in large.detail
    full = disk(with_cache(config, replace(config.cache, min_free=Size(1 << 60))))
    assert "make room" in str(full.mend)
