"""A mount under a service manager: what it is told, in which order, and an end that nothing holds up."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mount.conftest import Mounts
from tests.mount.harness import PATIENCE_S, Mount, wait_until
from tests.mount.programs import content
from tests.mount.trees import assert_same, tree
from tests.servers.apache import Apache
from tests.servers.proxy import FaultProxy

NEW = content(100_000)
NEVER_BY_ITSELF = {"debounce": "1h", "interval": "1h"}


class Manager:
    """A service manager: starts a mount as `Type=notify` does, and notes what it is told."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self.told: list[str] = []
        self._heard = 0

    def start(self, mount: Mount, *changes: str) -> None:
        """changes: Python that comes before the program, for limits that no test waits for."""
        program = "; ".join([*changes, "from cloudfs.cli.main import entry_point", "entry_point()"])
        command = [sys.executable, "-c", program, "mount", "--foreground", "--config", str(mount.config)]
        environment = os.environ | {"NOTIFY_SOCKET": str(self._path)}
        with mount.log.open("ab") as log:
            mount.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)

    def hear(self, words: str) -> None:
        """Wait until it is told this, after what was heard before."""
        self._socket.settimeout(PATIENCE_S)
        while words not in self.told[self._heard :]:
            self.told += self._socket.recv(4096).decode().splitlines()
        self._heard = self.told.index(words, self._heard) + 1

    def rest(self) -> list[str]:
        """All that it was told, once the daemon has ended."""
        self._socket.setblocking(False)
        try:
            while True:
                self.told += self._socket.recv(4096).decode().splitlines()
        except BlockingIOError:
            return self.told

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(tmp_path / "notify")
    yield manager
    manager.close()


def let_first_sync_end(mount: Mount) -> None:
    """It would take along what is changed while it runs."""
    wait_until(lambda: mount.xattr("last_sync_time") != "0", "the first sync is over")


def test_it_is_told_of_a_mount_from_start_to_end(apache: Apache, mounts: Mounts, manager: Manager) -> None:
    password = mounts(apache.url, start=False).directory / "password"
    command = f'echo "${{NOTIFY_SOCKET-not mine}}" >{password}; cat {password}'
    mount = mounts(apache.url, start=False, sync=NEVER_BY_ITSELF, cloud={"password_command": command})
    manager.start(mount, "import cloudfs.daemon.notify as notify", "notify.LOOK_EVERY_S = 0.05")
    manager.hear("READY=1")
    assert mount.is_mounted()
    assert password.read_text() == "not mine\n"  # no child speaks for the daemon
    manager.hear("STATUS=ready")
    let_first_sync_end(mount)
    (mount.path / "new.bin").write_bytes(NEW)
    manager.hear("STATUS=ready; 1 change pending")
    assert mount.stop() == 0
    told = [words for words in manager.rest() if not words.startswith("STATUS=")]
    assert [words.partition("=")[0] for words in told[:3]] == ["EXTEND_TIMEOUT_USEC", "READY", "STOPPING"]
    assert told.count("READY=1") == 1
    assert_same(tree(apache.root), {"new.bin": NEW})
    assert not mount.is_mounted()


def test_a_server_that_hangs_holds_up_no_end_and_nothing_is_lost(
    apache: Apache, proxy: FaultProxy, mounts: Mounts, manager: Manager
) -> None:
    mount = mounts(proxy.url, start=False, sync=NEVER_BY_ITSELF, cloud={"timeout": "1h"})
    proxy.hang()
    manager.start(mount)
    wait_until(mount.is_mounted, "the mount waits for its root")
    assert mount.stop() == 0, "an end does not wait for a start"
    assert "READY=1" not in manager.rest()
    proxy.resume()
    manager.start(mount, "import cloudfs.daemon.mount as mount", "mount.LAST_SYNC_S = 0.5")
    manager.hear("READY=1")
    let_first_sync_end(mount)
    (mount.path / "new.bin").write_bytes(NEW)
    proxy.hang()
    assert mount.process is not None
    mount.process.send_signal(signal.SIGTERM)
    manager.hear("STOPPING=1")
    assert mount.process.wait(PATIENCE_S) == 0
    assert "changes that go with the next mount: 1\n" in mount.log.read_text()
    proxy.resume()
    assert_same(tree(apache.root), {})
    mount.start()
    mount.settle()
    assert_same(tree(apache.root), {"new.bin": NEW})
