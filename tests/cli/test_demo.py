"""The demo's walk over its real server, with a mount that only pretends: each step is checked and cleaned up.

The demo as a user runs it, with a real mount, is in tests/mount.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import urllib.request
from pathlib import Path

import pytest

from cloudfs.cli import demo
from cloudfs.cli.failures import Failure
from cloudfs.cli.sample import BLOCK, LARGE, write_sample
from cloudfs.config import load
from tests.cli.conftest import Run


class PretendedMount:
    """Stands in for the `cloudfs` commands and the attributes that the demo looks at."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []
        self.mountpoint: Path | None = None
        self.is_hydrated = False
        self.hydrates = True
        self.damaged_at: int | None = None

    def cloudfs(self, shell: demo.Shell, *arguments: str | Path) -> None:
        self.commands.append([str(argument) for argument in arguments])
        match arguments:
            case "mount", "--config", Path() as config, Path() as mountpoint:
                url = load(config, mountpoint=mountpoint).cloud.url
                with urllib.request.urlopen(f"{url}Read%20me%20first.txt") as answer:
                    assert b"WebDAV" in answer.read()
                self._mount(mountpoint)
            case "umount", "--force", Path() as mountpoint:
                assert mountpoint == self.mountpoint
                self.mountpoint = None
                for entry in mountpoint.iterdir():
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    def getxattr(self, path: Path, name: str) -> bytes:
        if name == "user.cloudfs.state":
            self.is_hydrated = self.hydrates
            return b"COMPLETED"
        return b"both" if self.is_hydrated else b"cloud"

    def _mount(self, mountpoint: Path) -> None:
        self.mountpoint = mountpoint
        self.is_hydrated = False
        write_sample(mountpoint)
        if self.damaged_at is not None:
            with (mountpoint / LARGE).open("r+b") as stream:
                stream.seek(self.damaged_at)
                stream.write(b"x")


@pytest.fixture
def mount(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> PretendedMount:
    pretended = PretendedMount()
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(demo.Shell, "cloudfs", lambda shell, *words: pretended.cloudfs(shell, *words))
    monkeypatch.setattr(os, "getxattr", pretended.getxattr)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    return pretended


def test_once_shows_the_way_and_leaves_nothing(
    run: Run, mount: PretendedMount, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("demo", "--once") == 0
    assert [command[0] for command in mount.commands] == ["mount", "state", "state", "umount"]
    assert list((tmp_path / "tmp").iterdir()) == []
    printed = capfd.readouterr()
    assert "$ cat " in printed.out
    assert "first read: done" in printed.err


def test_a_mountpoint_of_the_users_own_is_kept(run: Run, mount: PretendedMount, tmp_path: Path) -> None:
    own, new = tmp_path / "own", tmp_path / "new"
    own.mkdir()
    assert run("demo", "--once", own) == 0
    assert own.is_dir()
    assert run("demo", "--once", new) == 0
    assert not new.exists()
    assert run("demo", "--once", new / "deeper") == 1


def test_wrong_bytes_fail_the_demo_and_are_cleaned_up(
    run: Run, mount: PretendedMount, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    mount.damaged_at = 5000 * BLOCK // 2 + 17
    assert run("demo", "--once") == 1
    assert "wrong bytes near" in capfd.readouterr().err
    assert mount.commands[-1][0] == "umount"
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_file_that_stays_a_placeholder_fails_the_demo(run: Run, mount: PretendedMount) -> None:
    mount.hydrates = False
    assert run("demo", "--once") == 1


def test_without_once_it_stays_until_interrupted(
    run: Run, mount: PretendedMount, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def pause() -> None:
        assert mount.mountpoint is not None
        raise KeyboardInterrupt

    monkeypatch.setattr(signal, "pause", pause)
    assert run("demo") == 0
    assert mount.commands[-1][0] == "umount"
    assert "until you press Ctrl-C" in capfd.readouterr().out


def test_what_a_failed_umount_leaves_is_not_removed(
    run: Run, mount: PretendedMount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = mount.cloudfs

    def fail_to_umount(shell: demo.Shell, *words: str | Path) -> None:
        if words[0] == "umount":
            raise Failure("cloudfs umount ended with 5")
        real(shell, *words)

    monkeypatch.setattr(demo.Shell, "cloudfs", lambda shell, *words: fail_to_umount(shell, *words))
    monkeypatch.setattr(demo, "is_mounted", lambda path: path == mount.mountpoint)
    assert run("demo", "--once") == 1
    assert mount.mountpoint is not None
    assert (mount.mountpoint / LARGE).exists()
