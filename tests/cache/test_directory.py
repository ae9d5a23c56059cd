"""One daemon a cache directory, on a local disk, outside of the mount, closed to others."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cloudfs.cache import directory
from cloudfs.cache.directory import boot_id, claim
from cloudfs.cache.hole import punch
from cloudfs.model.errors import LocalIOError

HOLDER = """
import sys, time
from pathlib import Path
from cloudfs.cache.directory import claim
with claim(Path(sys.argv[1])):
    print("claimed", flush=True)
    sys.stdin.read()
"""


def test_it_is_made_private(tmp_path: Path) -> None:
    cache = tmp_path / "a" / "b"
    with claim(cache):
        assert cache.stat().st_mode & 0o777 == 0o700


def test_an_open_one_is_closed_to_others(tmp_path: Path) -> None:
    os.chmod(tmp_path, 0o755)
    with claim(tmp_path):
        assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_a_second_daemon_is_told_who_has_it_and_a_killed_one_leaves_it_free(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "claimed\n"
        with pytest.raises(LocalIOError, match=f"in use by process {holder.pid}:"), claim(tmp_path):
            pass
        holder.kill()
        holder.wait()
        with claim(tmp_path):
            pass


def test_who_only_looks_at_the_lock_keeps_no_daemon_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `user_of` does, for doctor and mount.fuse.cloudfs."""
    looking = os.open(tmp_path / directory.LOCK_NAME, os.O_RDONLY | os.O_CREAT)
    fcntl.flock(looking, fcntl.LOCK_SH)
    monkeypatch.setattr(time, "sleep", lambda seconds: os.close(looking))
    with claim(tmp_path):
        assert directory.user_of(tmp_path) == str(os.getpid())


def test_it_is_free_again_afterwards(tmp_path: Path) -> None:
    for _ in range(2):
        with claim(tmp_path):
            pass


@pytest.mark.parametrize("place", [".", "deep/below"])
def test_it_may_not_lie_inside_the_mount(tmp_path: Path, place: str) -> None:
    with pytest.raises(LocalIOError, match="inside the mountpoint"), claim(tmp_path / place, tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["nfs4", "fuse.sshfs", "cifs"])
def test_it_may_not_lie_on_another_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    device = tmp_path.stat().st_dev
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"22 1 {os.major(device)}:{os.minor(device)} / / rw shared:1 - {kind} server:/x rw\n")
    monkeypatch.setattr(directory, "MOUNTS", mounts)
    with pytest.raises(LocalIOError, match=f"of type {kind}"), claim(tmp_path / "cache"):
        pass


def test_a_file_in_its_place_is_an_error_with_the_path(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    with pytest.raises(LocalIOError, match="cache can't be used"), claim(tmp_path / "cache"):
        pass


def test_the_boot_has_a_name() -> None:
    assert len(boot_id()) == 36


def test_punched_bytes_are_zeros_and_give_their_blocks_back(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 65536)
    fd = os.open(path, os.O_RDWR)
    try:
        punch(fd, 4096, 61440)
        assert os.pread(fd, 65536, 0) == b"x" * 4096 + b"\0" * 57344 + b"x" * 4096
        os.fsync(fd)
        assert os.fstat(fd).st_blocks * 512 <= 16384
    finally:
        os.close(fd)
    with pytest.raises(OSError, match="Bad file descriptor"):
        punch(fd, 0, 4096)
