"""The ways in which programs save: one upload over what was there, whatever syncs at that moment."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.mount.harness import Mount
from tests.mount.programs import content
from tests.mount.trees import assert_same, changes, tree
from tests.servers.apache import Apache
from tests.servers.proxy import FaultProxy

OLD, NEW = content(100_000, seed=11), content(120_000, seed=12)


def save_in_place(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def save_beside_and_rename(path: Path, data: bytes) -> None:
    """As most editors do: GNOME's, KDE's, Python's atomicwrites."""
    beside = path.with_name(f".{path.name}.tmp")
    with beside.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    shutil.copymode(path, beside)
    os.rename(beside, path)


def save_as_vim(path: Path, data: bytes) -> None:
    """vim with `backupcopy=no`: the old file becomes the backup, the new one is created under its name."""
    swap = path.with_name(f".{path.name}.swp")
    with swap.open("xb") as file:
        file.write(b"b0VIM 9.0")
    for probe in (path.with_name("4913"), path.with_name("5036")):
        os.close(os.open(probe, os.O_CREAT | os.O_WRONLY | os.O_EXCL | os.O_NOFOLLOW, 0o100644))
        os.unlink(probe)
    backup = path.with_name(path.name + "~")
    os.rename(path, backup)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.write(fd, data)
    os.fsync(fd)
    os.close(fd)
    os.chmod(path, 0o644)
    os.unlink(backup)
    os.unlink(swap)


def save_as_vim_copying(path: Path, data: bytes) -> None:
    """vim with `backupcopy=yes`: a copy becomes the backup, the file is written over in place."""
    backup = path.with_name(path.name + "~")
    shutil.copy2(path, backup)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.write(fd, data)
    os.fsync(fd)
    os.close(fd)
    os.unlink(backup)


def save_as_libreoffice(path: Path, data: bytes) -> None:
    """A lock file beside it; the new file complete under another name; a copy of the old one meanwhile."""
    lock = path.with_name(f".~lock.{path.name}#")
    lock.write_text(",me,host,25.11.2026 10:00,file:///home/me/.config/libreoffice/4;")
    beside, backup = path.with_name("lu1234abcd.tmp"), path.with_name("lu1234abce.tmp")
    fd = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(fd, data)
    os.ftruncate(fd, len(data))
    os.fsync(fd)
    os.close(fd)
    os.chmod(beside, 0o644)
    shutil.copyfile(path, backup)
    os.rename(beside, path)
    os.unlink(backup)
    os.unlink(lock)


def save_by_swapping(path: Path, data: bytes) -> None:
    """The new one beside it, the old one aside, the new one under the name, the old one away."""
    beside, aside = path.with_name("new.tmp"), path.with_name("old.tmp")
    beside.write_bytes(data)
    os.rename(path, aside)
    os.rename(beside, path)
    os.unlink(aside)


SAVES = [
    save_in_place,
    save_beside_and_rename,
    save_as_vim,
    save_as_vim_copying,
    save_as_libreoffice,
    save_by_swapping,
]


def test_a_save_is_one_upload_over_what_was_there(
    apache: Apache, mount: Mount, proxy: FaultProxy, tmp_path: Path
) -> None:
    """In a folder for each way of saving."""
    names = {save: f"{save.__name__}/text.odt" for save in SAVES}
    for top in (tmp_path / "local", apache.root):
        for name in names.values():
            (top / name).parent.mkdir(parents=True)
            (top / name).write_bytes(OLD)
    mount.settle()
    for data in (NEW, NEW + b"again", OLD):
        for save, name in names.items():
            save(tmp_path / "local" / name, data)
            save(mount.path / name, data)
        before = len(proxy.seen)
        mount.settle()
        seen = proxy.seen[before:]
        assert sorted(changes(seen)) == sorted(f"PUT /{name}" for name in names.values())
        for put in seen:
            new = put.method == "PUT" and "/.cloudfs-" not in put.target and "if-match" not in put.headers
            assert not new or "if" in put.headers, f"never as a new file: {put}"
        assert_same(tree(apache.root), tree(tmp_path / "local"))
        assert_same(tree(mount.path), tree(tmp_path / "local"))


def test_saves_beside_syncs_leave_one_file(apache: Apache, at_work: Mount) -> None:
    """Syncs run in the middle of the saves."""
    for save in SAVES:
        (at_work.path / save.__name__).mkdir()
        (at_work.path / save.__name__ / "text.odt").write_bytes(OLD)
    for number in range(12):
        for save in SAVES:
            save(at_work.path / save.__name__ / "text.odt", NEW + b"%d" % number)
        at_work.call("FileSync.start")
    at_work.settle()
    expected: dict[str, bytes | None] = {f"{save.__name__}/text.odt": NEW + b"11" for save in SAVES}
    expected |= {save.__name__: None for save in SAVES}
    assert_same(tree(at_work.path), expected)
    assert_same(tree(apache.root), expected)


@pytest.mark.parametrize("backupcopy", ["yes", "no"])
def test_vim_itself(backupcopy: str, apache: Apache, mount: Mount, proxy: FaultProxy) -> None:
    vim = shutil.which("vim") or shutil.which("vim.tiny")
    assert vim is not None, "scripts/setup installs it"
    (apache.root / "text.txt").write_text("one\ntwo\n")
    mount.settle()
    options = f"set nocompatible backupcopy={backupcopy} writebackup nobackup fsync"
    command = [vim, "-N", "-u", "NONE", "-i", "NONE", "-es", "-c", options]
    before = len(proxy.seen)
    for change in ("%s/one/three/", "%s/two/four/"):
        subprocess.run([*command, "-c", change, "-c", "wq", mount.path / "text.txt"], check=True, timeout=30)
    mount.settle()
    assert changes(proxy.seen[before:]) == ["PUT /text.txt"]
    assert tree(apache.root) == tree(mount.path) == {"text.txt": b"three\nfour\n"}
