"""Mountpoints that can't be used, and why."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloudfs.fuse import mountpoint
from cloudfs.model.errors import MountFailed


def test_an_empty_folder_will_do(tmp_path: Path) -> None:
    mountpoint.prepare(tmp_path)
    assert not mountpoint.is_mounted(tmp_path)


def test_a_missing_one_names_the_mend(tmp_path: Path) -> None:
    with pytest.raises(MountFailed, match=r"does not exist; make it with: mkdir -p .*/cloud"):
        mountpoint.prepare(tmp_path / "cloud")


def test_a_file_is_no_mountpoint(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MountFailed, match="is not a folder"):
        mountpoint.prepare(tmp_path / "file")
    with pytest.raises(MountFailed, match="is not a folder"):
        mountpoint.prepare(tmp_path / "file" / "below")


def test_what_is_in_the_folder_would_be_hidden(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("")
    with pytest.raises(MountFailed, match="is not empty"):
        mountpoint.prepare(tmp_path)


def test_unmounting_what_is_not_mounted_is_done(tmp_path: Path) -> None:
    mountpoint.unmount(tmp_path)


def test_the_mount_table_is_told_in_characters_that_libfuse_does_not_read_as_its_own() -> None:
    entry = mountpoint.MountEntry("/etc/a,b\\ü\udcff.toml", is_noexec=True)
    source = r"fsname=/etc/a\054b\134\303\274\377.toml"
    assert entry.options() == {source, "subtype=cloudfs", "noexec"}
    assert mountpoint.MountEntry().options() == {"fsname=cloudfs", "subtype=cloudfs"}
