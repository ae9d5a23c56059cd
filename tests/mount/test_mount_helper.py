"""mount(8), umount(8) and fstab with the installed helper, in a mount namespace with an /sbin of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cloudfs.cache.directory import user_of
from tests.mount.conftest import Mounts
from tests.mount.harness import CLOUDFS, PATIENCE_S, Connection, wait_until
from tests.servers.apache import Apache

pytestmark = pytest.mark.skipif(
    os.getuid() != 0, reason="only root has a mount namespace of its own to try in"
)

NAME, UID = "cloudfs-test", 24711
BOOT = (
    "env",
    "--ignore-environment",
)  # as a unit of systemd for a line of fstab, which may not even have PATH


class System:
    """What the machine is for the programs run in it; what they mount is seen by nobody else."""

    def __init__(self, directory: Path) -> None:
        self._state = directory / "state"
        command = ["unshare", "--mount", "--propagation=private", "sh", "-c", "echo here; exec cat"]
        self._holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"here\n"
        for mount in self.mounts():  # a copy of somebody's mount would outlive it here
            self.run("umount", "--lazy", mount["target"])
        sbin = directory / "root" / "sbin"
        self.run(*CLOUDFS, "install-helper", "--root", sbin.parent)
        self.run("mount", "--bind", sbin, os.path.realpath("/sbin"))

    def run(self, *command: str | Path, code: int = 0) -> str:
        """Run a program in it, to its end; what it said, which has to end with `code`."""
        done = subprocess.run(
            ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_S * 2,
            env=os.environ | {"XDG_STATE_HOME": str(self._state)},
            check=False,
        )
        assert done.returncode == code, done.stdout
        return done.stdout

    def mounts(self) -> list[dict[str, Any]]:
        """findmnt(8)'s rows of our mounts."""
        table = self.run("sh", "-c", "findmnt --json --list --types fuse.cloudfs || true")
        rows: list[dict[str, Any]] = json.loads(table)["filesystems"] if table else []
        return rows

    def close(self) -> None:
        for mount in self.mounts():
            self.run("umount", "--lazy", mount["target"])
        self._holder.communicate()


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    system = System(tmp_path)
    yield system
    system.close()


def fstab(directory: Path, *fields: str | Path) -> Path:
    """A table of one line (fstab(5): blanks and backslashes as octal numbers)."""
    path = directory / "fstab"
    line = " ".join(re.sub(r"[\s\\]", lambda match: f"\\{ord(match[0]):03o}", str(each)) for each in fields)
    path.write_text(f"{line} 0 0\n")
    return path


def test_a_line_of_fstab(apache: Apache, mounts: Mounts, system: System, tmp_path: Path) -> None:
    (apache.root / "old.txt").write_bytes(b"old")
    mount = mounts(apache.url, start=False, sync={"auto": False})
    config = mount.config.rename(tmp_path / "a,b ü \\ c.toml")
    link = tmp_path / "link.toml"
    link.symlink_to(config)
    table = fstab(
        tmp_path,
        link,
        mount.path,
        "fuse.cloudfs",
        "_netdev,nofail,noexec,x-systemd.automount,sync.debounce=1s",
    )
    boot = (*BOOT, f"XDG_STATE_HOME={tmp_path}/state", "/bin/mount", "--all", "--fstab", table)

    assert system.run(*boot) == ""
    assert system.run(*boot) == ""  # it is mounted already
    (row,) = system.mounts()
    assert (row["source"], row["target"]) == (str(config), str(mount.path))
    assert {"nosuid", "nodev", "noexec"} <= set(row["options"].split(","))
    assert system.run("cat", mount.path / "old.txt") == "old"

    remount = system.run("mount", "--options", "remount,ro", mount.path, code=32)
    assert "a mount that is there can't be changed" in remount
    second = system.run("mount", "--types", "fuse.cloudfs", config, mount.path, code=32)
    assert f"in use by process {mount.status()['pid']}" in second

    system.run("sh", "-c", 'echo new >"$1"/new.txt', "sh", mount.path)
    system.run("umount", mount.path)
    system.run("mount", "--all", "--fstab", table)  # at once: the daemon before may still be ending
    assert mount.status()["pending"] == 1
    assert mount.sync() == "COMPLETED"
    assert (apache.root / "new.txt").read_text() == "new\n"
    system.run("umount", config)
    wait_until(lambda: user_of(mount.cache) is None, "the daemon has ended")


def test_options_that_no_key_is_for(apache: Apache, mounts: Mounts, system: System) -> None:
    mount = mounts(apache.url, start=False)
    command = ("mount", "--types", "fuse.cloudfs", mount.config, mount.path, "--options", "nonsense,ro")
    assert "mount.nonsense: unknown key" in system.run(*command, code=32)
    assert f"{mount.config} on {mount.path}" in system.run(*command, "--fake", "-s", "--verbose")
    assert system.mounts() == []
    system.run(*command, "-s")
    system.run("touch", mount.path / "x", code=1)
    system.run("umount", mount.path)
    wait_until(lambda: user_of(mount.cache) is None, "the daemon has ended")


def as_user(*command: str | Path) -> tuple[str | Path, ...]:
    return ("setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", *command)


@pytest.fixture
def home(system: System, tmp_path: Path) -> Path:
    """The home of one more user of the system, /mnt there; /dev/fuse is there for all, as udev makes it."""
    home = tmp_path / "home"
    for folder in (home, home / "Cloud"):
        folder.mkdir()
        os.chown(folder, UID, UID)
    users = tmp_path / "passwd"
    users.write_text(Path("/etc/passwd").read_text() + f"{NAME}:x:{UID}:{UID}::/mnt:/bin/sh\n")
    system.run("mount", "--bind", users, "/etc/passwd")
    system.run("mount", "--bind", home, "/mnt")
    system.run("mount", "-t", "tmpfs", "-o", "mode=755", "cloudfs-test", "/run")
    system.run("mknod", "-m", "666", "/run/fuse", "c", "10", "229")
    system.run("mount", "--bind", "/run/fuse", "/dev/fuse")
    try:
        system.run(*as_user(sys.executable, "-c", "import cloudfs, pyfuse3"))
    except AssertionError as error:
        pytest.skip(f"other users can't run this installation: {str(error).splitlines()[0]}")
    return home


def test_a_line_of_fstab_for_one_user(apache: Apache, system: System, home: Path, tmp_path: Path) -> None:
    (apache.root / "old.txt").write_bytes(b"old")
    facts = "env >~/seen; id -u >>~/seen; echo secret"
    (home / "mine.toml").write_text(f'[cloud]\nurl = "{apache.url}"\npassword_command = "{facts}"\n')
    table = fstab(tmp_path, "/mnt/mine.toml", "/mnt/Cloud", "fuse.cloudfs", f"_netdev,setuid={NAME}")
    environment = ("SECRET=of root", "XDG_CACHE_HOME=/root/.cache", "LANG=C.UTF-8")
    boot = (*BOOT, *environment, "/bin/mount", "--all", "--fstab", table)
    assert "set control.socket" in system.run(*boot, code=32)  # nobody made /run/user/UID
    system.run("install", "-d", "-o", str(UID), "-m", "700", f"/run/user/{UID}")
    system.run(*boot)
    system.run(*boot)
    (row,) = system.mounts()
    assert row["source"] == "/mnt/mine.toml"
    assert f"user_id={UID}" in row["options"].split(",")
    seen = (home / "seen").read_text().splitlines()
    assert {"HOME=/mnt", f"USER={NAME}", f"XDG_RUNTIME_DIR=/run/user/{UID}", "LANG=C.UTF-8", str(UID)} <= set(
        seen
    )
    assert not [line for line in seen if line.startswith(("SECRET=", "XDG_CACHE_HOME="))]
    user = as_user("env", "HOME=/mnt", f"XDG_RUNTIME_DIR=/run/user/{UID}")
    assert system.run(*user, "cat", "/mnt/Cloud/old.txt") == "old"
    assert "mine" in system.run(*user, *CLOUDFS, "status")
    system.run(*user, *CLOUDFS, "umount", "/mnt/Cloud")
    wait_until(lambda: user_of(home / ".cache/cloudfs/mine") is None, "the daemon has ended")


def test_a_user_mounts_a_line_that_is_for_users(
    apache: Apache, system: System, home: Path, tmp_path: Path
) -> None:
    socket = home / "socket"
    (home / "mine.toml").write_text(
        f'[cloud]\nurl = "{apache.url}"\n[control]\nsocket = "/mnt/{socket.name}"\n'
    )
    table = fstab(tmp_path, "/mnt/mine.toml", "/mnt/Cloud", "fuse.cloudfs", "noauto,user")
    system.run("mount", "--bind", table, "/etc/fstab")
    user = as_user("env", "--unset=XDG_STATE_HOME", "HOME=/mnt")
    system.run(*user, "mount", "/mnt/Cloud")
    (row,) = system.mounts()
    assert {"noexec", f"user_id={UID}"} <= set(row["options"].split(","))
    connection = Connection(socket)
    assert connection.call("Mount.status")["path"] == "/mnt/Cloud"
    connection.close()
    assert "only root may mount as root" in system.run(
        *user, "mount.fuse.cloudfs", "/mnt/mine.toml", "/mnt/Cloud", "-o", "setuid=root", code=1
    )
    system.run(*user, "umount", "/mnt/Cloud")
    wait_until(lambda: user_of(home / ".cache/cloudfs/mine") is None, "the daemon has ended")
