"""A home of its own, and daemons that only pretend."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from cloudfs.cli import mounts
from cloudfs.cli.main import main
from tests.cli.fake_daemon import FakeDaemon

StartDaemon = Callable[..., FakeDaemon]
Run = Callable[..., int]


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where sockets are looked for: a folder of the test alone."""
    folder = tmp_path / "r" / "cloudfs"
    folder.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder.parent))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("CLOUDFS_SOCKET", raising=False)
    monkeypatch.setattr(mounts, "ROOT_SOCKETS", tmp_path / "none")
    return folder


@pytest.fixture
def mountpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "mnt"
    folder.mkdir()
    return folder


@pytest.fixture
def start_daemon(runtime: Path) -> Iterator[StartDaemon]:
    with ExitStack() as daemons:

        def start(mountpoint: Path, name: str = "fake", socket: Path | None = None) -> FakeDaemon:
            return daemons.enter_context(FakeDaemon(socket or runtime / f"{name}.sock", mountpoint, name))

        yield start


@pytest.fixture
def daemon(start_daemon: StartDaemon, mountpoint: Path) -> FakeDaemon:
    return start_daemon(mountpoint)


@pytest.fixture
def run() -> Run:
    def run_verb(*arguments: object) -> int:
        return main([str(argument) for argument in arguments])

    return run_verb
