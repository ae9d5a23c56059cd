"""`doctor` beside a mount: one that works, one that hangs, and one whose daemon is gone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Any

from cloudfs.doctor import Finding, examine
from cloudfs.fuse.mountpoint import is_mounted
from tests.mount.conftest import Mounts
from tests.mount.harness import PATIENCE_S, Mount, wait_until
from tests.servers.apache import Apache


def look(mount: Mount) -> dict[str, Finding]:
    found: list[Finding] = []
    examine(mount.config, {}, None, found.append)
    return {finding.check: finding for finding in found}


def look_from_outside(mount: Mount) -> dict[str, Any]:
    """In a process of its own: one that asks a mount that hangs can't even be killed."""
    code = (
        "import sys; from cloudfs.doctor import daemons; from cloudfs.cli.main import main; "
        f"daemons.ANSWER_S = 0.2; sys.exit(main(['doctor', '--json', '--config', '{mount.config}']))"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as doctor:
        try:
            output, _ = doctor.communicate(timeout=PATIENCE_S)
        finally:
            assert mount.process is not None
            mount.process.send_signal(signal.SIGCONT)  # else nothing here would end, should doctor ask
    return {finding["check"]: finding for finding in json.loads(output)}


def is_stopped(pid: int) -> bool:
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0] == "T"


def test_a_mount_is_looked_at_as_it_is(apache: Apache, mounts: Mounts) -> None:
    (apache.root / "letter.txt").write_text("hello\n")
    mount = mounts(apache.url)
    assert mount.process is not None
    pid = mount.process.pid
    found = look(mount)
    assert [finding for finding in found.values() if not finding.ok] == []
    assert found["mountpoint"].detail == f"{mount.path}, mounted"
    (mount.directory / "link").symlink_to(mount.path)
    assert is_mounted(mount.directory / "link")
    assert f"(pid {pid})" in found["control socket"].detail
    assert 'in use by the mount "mount"' in found["cache"].detail
    assert "requests of this mount wait" in found["kernel limits"].detail
    assert os.listdir(mount.path) == os.listdir(apache.root) == ["letter.txt"]
    assert mount.pending == 0

    mount.process.send_signal(signal.SIGSTOP)
    wait_until(lambda: is_stopped(pid), "the daemon is stopped")
    hanging = look_from_outside(mount)
    assert f"kill -9 {pid}" in hanging["control socket"]["mend"]
    assert hanging["mountpoint"]["mend"] == 'settle "control socket" first'
    assert hanging["quota"]["ok"]  # the server is another matter

    mount.process.kill()
    mount.process.wait()
    gone = look(mount)
    assert "the mount of a daemon that is gone" in gone["mountpoint"].detail
    assert "left by a daemon that is gone" in gone["control socket"].detail
    assert "free for a mount" in gone["cache"].detail
