"""The machine, as it should be and as it often is."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from cloudfs.doctor import machine

ALL_CAPABILITIES = "000001ffffffffff"
NONE_TO_MOUNT = "00000000a80425fb"  # what a container has by default


def be(uid: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)


def status(path: Path, effective: str, bounding: str, no_new_privs: int = 0) -> Path:
    file = path / "status"
    file.write_text(f"CapEff:\t{effective}\nCapBnd:\t{bounding}\nNoNewPrivs:\t{no_new_privs}\n")
    return file


def test_this_machine_can_mount() -> None:
    found = list(machine.examine())
    assert [finding.check for finding in found] == list(machine.CHECKS)
    assert [finding for finding in found if not finding.ok] == []


def test_no_device(tmp_path: Path) -> None:
    found = machine.fuse_device(tmp_path / "fuse")
    assert found.detail == "there is none"
    assert "modprobe fuse" in str(found.mend)
    assert "--device /dev/fuse --cap-add SYS_ADMIN" in str(found.mend)


def test_a_device_that_is_not_ours_to_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "open", refuse)
    found = machine.fuse_device(tmp_path / "fuse")
    assert "chmod 666" in str(found.mend)


def test_a_device_behind_which_nothing_is(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as nothing:
        nothing.bind(str(tmp_path / "fuse"))  # ENXIO, as of a device without its driver
        found = machine.fuse_device(tmp_path / "fuse")
    assert "No such device" in found.detail
    assert not found.ok


def test_no_libfuse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyfuse3", None)
    found = machine.library()
    assert "can't be loaded" in found.detail
    assert "libfuse3" in str(found.mend)


def test_the_version_of_libfuse_is_told() -> None:
    assert machine.library().detail.startswith("3.")


def test_the_helper_has_to_be_there_and_setuid_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "apt-get install fuse3" in str(machine.helper().mend)
    program = tmp_path / "fusermount3"
    program.write_text("")
    program.chmod(0o755)
    be(1000, monkeypatch)
    assert "chmod 4755" in str(machine.helper().mend)
    program.chmod(0o4755)
    assert machine.helper().ok == (program.stat().st_uid == 0)
    program.chmod(0o755)
    be(0, monkeypatch)
    assert machine.helper().ok  # root mounts by itself


@pytest.mark.parametrize(
    ("uid", "effective", "bounding", "no_new_privs", "words"),
    [
        (0, ALL_CAPABILITIES, ALL_CAPABILITIES, 1, None),
        (0, NONE_TO_MOUNT, ALL_CAPABILITIES, 0, "--cap-add SYS_ADMIN"),
        (1000, "0", ALL_CAPABILITIES, 0, None),
        (1000, "0", NONE_TO_MOUNT, 0, "--cap-add SYS_ADMIN"),
        (1000, "0", ALL_CAPABILITIES, 1, "NoNewPrivileges=no"),
    ],
)
def test_the_right_to_mount(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    uid: int,
    effective: str,
    bounding: str,
    no_new_privs: int,
    words: str | None,
) -> None:
    be(uid, monkeypatch)
    found = machine.right_to_mount(status(tmp_path, effective, bounding, no_new_privs))
    assert found.ok == (words is None)
    assert words is None or words in str(found.mend)


def test_others_may_be_let_in_by_root_or_with_its_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fuse_conf = tmp_path / "fuse.conf"
    be(0, monkeypatch)
    assert machine.others_allowed(fuse_conf).ok
    be(1000, monkeypatch)
    assert "can't be read" in machine.others_allowed(fuse_conf).detail
    fuse_conf.write_text("#user_allow_other\nmount_max = 1000\n")
    assert f"echo user_allow_other >> {fuse_conf}" in str(machine.others_allowed(fuse_conf).mend)
    fuse_conf.write_text("mount_max = 1000\nuser_allow_other\n")
    assert machine.others_allowed(fuse_conf).ok
