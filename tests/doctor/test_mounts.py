"""The mountpoint, the socket, and other daemons. Real mounts: tests/mount/test_doctor.py."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloudfs.config import MountConfig
from cloudfs.doctor import daemons, mounts
from cloudfs.doctor.daemons import Daemon
from cloudfs.doctor.finding import Finding
from tests.cli.fake_daemon import FakeDaemon, Refusal


def examine(config: MountConfig) -> dict[str, Finding]:
    found = list(mounts.examine(config, mounts.running(config.socket)))
    assert [finding.check for finding in found] == list(mounts.CHECKS)
    return {finding.check: finding for finding in found}


@pytest.fixture
def silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The socket of a daemon of ours that takes a connection and says nothing."""
    monkeypatch.setattr(daemons, "ANSWER_S", 0.05)
    path = tmp_path / "run" / "cloudfs" / "silent.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        yield path


def test_nothing_runs(config: MountConfig) -> None:
    found = examine(config)
    assert [finding for finding in found.values() if not finding.ok] == []
    assert "no daemon listens" in found["control socket"].detail
    assert found["other mounts"].detail == "none"
    assert "an empty folder" in found["mountpoint"].detail
    assert "side by side" in found["kernel limits"].detail


def test_others_are_named_once_though_a_link_leads_to_them(config: MountConfig, tmp_path: Path) -> None:
    with FakeDaemon(tmp_path / "other.sock", tmp_path / "films", "films"):
        (config.socket.parent / "films.1.sock").symlink_to(tmp_path / "other.sock")
        (config.socket.parent / "films.2.sock").symlink_to(tmp_path / "other.sock")
        found = examine(config)
    assert found["other mounts"].detail == "films: running, and they answer"
    assert "no daemon listens" in found["control socket"].detail


def test_a_daemon_of_this_configuration(config: MountConfig) -> None:
    with FakeDaemon(config.socket, config.mount.path, "work"):
        found = examine(config)
    assert f"the daemon answers (pid {os.getpid()})" in found["control socket"].detail
    assert found["other mounts"].detail == "none"


def test_one_that_does_not_let_us_ask_answers_all_the_same(config: MountConfig) -> None:
    def refuse(_: object) -> None:
        raise Refusal(201, "Permission verification failed.")

    with FakeDaemon(config.socket, config.mount.path, "work") as daemon:
        daemon.methods["Mount.status"] = refuse
        assert examine(config)["control socket"].ok


def test_one_that_hangs_is_named_with_the_way_out(config: MountConfig, silent: Path) -> None:
    found = examine(config)
    assert str(silent) in found["other mounts"].detail
    assert f"kill -9 {os.getpid()}" in str(found["other mounts"].mend)
    assert found["mountpoint"].ok  # nothing is mounted there, so it can be looked at


def test_a_mount_that_may_be_its_is_not_touched(
    config: MountConfig, silent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mounts, "connection_of", lambda _: 99)
    monkeypatch.setattr(mounts, "is_dead", lambda _: pytest.fail("a question to it is never answered"))
    found = examine(config)["mountpoint"]
    assert not found.is_made
    assert found.mend == 'settle "other mounts" first'


def test_a_mountpoint_of_another_configuration(config: MountConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounts, "connection_of", lambda _: 99)
    path = config.mount.path
    found = mounts.mountpoint(path, None, [Daemon(Path("/s"), 1, True, "films", str(path))])
    assert "is the mount of films" in found.detail
    assert f"cloudfs umount {path}" in str(found.mend)


def test_mountpoints_that_can_not_be_covered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = mounts.mountpoint(tmp_path / "missing", None, [])
    assert missing.detail.endswith("does not exist")
    assert missing.mend == f"make it with: mkdir -p {tmp_path / 'missing'}"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter").write_text("")
    assert mounts.mountpoint(tmp_path / "full", None, []).mend == "choose an empty folder"
    (tmp_path / "theirs").mkdir()
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "may not write" in mounts.mountpoint(tmp_path / "theirs", None, []).detail


def test_what_may_be_at_the_sockets_place(
    config: MountConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = config.socket
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))
    assert "left by a daemon that is gone" in examine(config)["control socket"].detail
    path.unlink()
    path.write_text("")
    assert "is no socket" in examine(config)["control socket"].detail
    path.unlink()
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "not writable" in mounts.control_socket(path, None).detail


def test_the_limit_of_a_running_mount_is_read_from_the_kernel(tmp_path: Path) -> None:
    (tmp_path / "41").mkdir()
    (tmp_path / "41" / "max_background").write_text("256\n")
    assert "up to 256 requests" in mounts.kernel_limits(tmp_path, 41).detail
    assert "can't be read" in mounts.kernel_limits(tmp_path, 42).detail
    assert "is not mounted" in mounts.kernel_limits(tmp_path, None).detail
