"""Every verb as a user types it: real programs, a real daemon in the background, a real server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.mount.conftest import Mounts
from tests.mount.harness import CLOUDFS, PATIENCE_S, Mount, wait_until
from tests.servers.apache import Apache
from tests.servers.faults import Answer
from tests.servers.proxy import FaultProxy
from tests.servers.wsgidav import WsgiDav

MIB = 1024 * 1024
Done = subprocess.CompletedProcess[str]
Cloudfs = Callable[..., Done]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Of a user whose home is the test's folder."""
    (tmp_path / "home").mkdir()
    (tmp_path / "run").mkdir()
    own = {
        "HOME": str(tmp_path / "home"),
        "XDG_RUNTIME_DIR": str(tmp_path / "run"),
        "PYTHONPATH": os.getcwd(),
    }
    return {key: value for key, value in os.environ.items() if not key.startswith(("XDG_", "CLOUDFS_"))} | own


@pytest.fixture
def cloudfs(environment: dict[str, str], tmp_path: Path) -> Cloudfs:
    """Runs a verb to its end, which must have the exit code that is named."""

    def run(*arguments: object, code: int = 0) -> Done:
        command = [*CLOUDFS, *(str(argument) for argument in arguments)]
        done = subprocess.run(
            command,
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == code, f"{command[3:]}: {done}"
        return done

    return run


@pytest.fixture
def mount(apache: Apache, mounts: Mounts, cloudfs: Cloudfs) -> Iterator[Mount]:
    """A background mount over a few files; what is left of it at the end is taken away."""
    (apache.root / "a b.txt").write_text("hello\n")
    (apache.root / "Docs").mkdir()
    (apache.root / "Docs" / "big.bin").write_bytes(os.urandom(2 * MIB))
    (apache.root / "Photos").mkdir()
    (apache.root / "Photos" / "sea.jpg").write_bytes(b"\xff\xd8 sea")
    mount = mounts(apache.url, start=False)
    cloudfs("mount", "--config", mount.config)
    cloudfs("sync", "start", "--wait", "--socket", mount.socket)
    cloudfs("sync", "start", "--gallery", "--wait", "--socket", mount.socket)
    pid = mount.status()["pid"]
    yield mount
    if mount.is_mounted():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not Path("/proc", str(pid)).exists() or _is_zombie(pid), "the daemon is gone")


def _is_zombie(pid: int) -> bool:
    return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0] == "Z"


def _json(done: Done) -> Any:
    return json.loads(done.stdout)


# --- mount ---


def test_mount_returns_with_the_root_listed(mount: Mount) -> None:
    assert sorted(os.listdir(mount.path)) == ["Docs", "Photos", "a b.txt"]
    assert (mount.path / "a b.txt").read_text() == "hello\n"


def test_mount_of_a_server_that_is_down_returns_and_fills_when_it_comes(
    apache: Apache, proxy: FaultProxy, mounts: Mounts, cloudfs: Cloudfs
) -> None:
    (apache.root / "there").write_text("x")
    mount = mounts(proxy.url, start=False, cloud={"timeout": "1s"})
    proxy.refuse()
    cloudfs("mount", "--config", mount.config)
    try:
        assert mount.is_mounted()
        assert _json(cloudfs("status", "--json", "--socket", mount.socket))["mounts"][0]["cloud"][
            "state"
        ] == ("offline")
        with pytest.raises(OSError, match="unreachable"):
            os.listdir(mount.path)
        cloudfs("sync", "start", "--wait", "--socket", mount.socket, code=5)
        proxy.accept()
        cloudfs("sync", "start", "--wait", "--socket", mount.socket)
        assert os.listdir(mount.path) == ["there"]
    finally:
        cloudfs("umount", mount.path)


def test_start_up_faults_are_told_with_their_mend(
    apache: Apache, mounts: Mounts, cloudfs: Cloudfs, mount: Mount, tmp_path: Path
) -> None:
    def refused(sections: dict[str, dict[str, Any]], *more: object) -> str:
        other = mounts(apache.url, start=False, **sections)
        done = cloudfs("mount", "--config", other.config, *more, code=1)
        assert not other.is_mounted()
        assert done.stdout == ""
        return done.stderr

    assert "does not exist; make it with: mkdir -p" in refused({}, tmp_path / "none")
    assert "is not empty" in refused({}, apache.root)
    assert "in use by process" in refused({"cache": {"path": str(mount.cache)}})
    assert "another daemon listens on" in refused({"control": {"socket": str(mount.socket)}})
    told = refused({"cloud": {"timout": "5s"}, "cache": {"size": 5}})
    assert "cloud.timout: unknown key; did you mean timeout?" in told
    assert "mount.toml:" in told
    assert "cache.size" in told
    assert "password_file" in refused({"cloud": {"username": "me", "password_file": str(tmp_path / "no")}})
    assert "is mounted already" in refused({}, mount.path)


def test_a_missing_configuration_names_the_file(cloudfs: Cloudfs, tmp_path: Path) -> None:
    done = cloudfs("mount", code=1)
    assert str(tmp_path / "home/.config/cloudfs/mount.toml") in done.stderr


def test_a_wrong_password_mounts_and_says_unauthorized(
    mounts: Mounts, cloudfs: Cloudfs, tmp_path: Path
) -> None:
    secret = tmp_path / "password"
    secret.write_text("wrong\n")
    secret.chmod(0o600)
    (tmp_path / "private").mkdir()
    with Apache(tmp_path / "private", user="me", password="right") as server:
        mount = mounts(server.url, start=False, cloud={"username": "me", "password_file": str(secret)})
        cloudfs("mount", "--config", mount.config)
        try:
            status = _json(cloudfs("status", "--json", "--socket", mount.socket))["mounts"][0]
            assert status["cloud"]["state"] == "unauthorized"
            with pytest.raises(PermissionError):
                os.listdir(mount.path)
            assert "22400001" in cloudfs("sync", "start", "--socket", mount.socket, code=1).stderr
        finally:
            cloudfs("umount", mount.path)


# --- umount ---


def test_umount_by_path_and_by_socket(mount: Mount, cloudfs: Cloudfs) -> None:
    cloudfs("umount", mount.path)
    assert not mount.is_mounted()
    assert not mount.socket.exists()
    cloudfs("mount", "--config", mount.config)
    cloudfs("umount", "--wait", "--socket", mount.socket)
    assert not mount.is_mounted()


def test_umount_of_what_is_in_use_is_refused(mount: Mount, cloudfs: Cloudfs) -> None:
    with (mount.path / "a b.txt").open():
        done = cloudfs("umount", mount.path, code=5)
        assert "open; close them, or end the mount under them by --force" in done.stderr
        assert mount.is_mounted()
    wait_until(lambda: not _is_busy(mount, cloudfs), "the kernel has released the file")


def _is_busy(mount: Mount, cloudfs: Cloudfs) -> bool:
    """Closing answers before the kernel's release reaches the daemon."""
    try:
        cloudfs("umount", mount.path)
    except AssertionError:
        return True
    return False


def test_the_mount_of_a_killed_daemon_is_taken_away(mount: Mount, cloudfs: Cloudfs) -> None:
    in_use = os.open(mount.path, os.O_PATH)
    os.kill(mount.status()["pid"], signal.SIGKILL)
    cloudfs("sync", "last", "--socket", mount.socket, code=4)
    wait_until(lambda: not _answers(mount.path), "the mount is dead")
    cloudfs("umount", mount.path)  # nothing would answer the program that still holds it
    os.close(in_use)
    assert not mount.is_mounted()
    cloudfs("mount", "--config", mount.config)  # and the lock and the socket hold nothing up
    assert (mount.path / "a b.txt").read_text() == "hello\n"
    os.kill(mount.status()["pid"], signal.SIGKILL)
    wait_until(lambda: not _answers(mount.path), "the mount is dead again")
    cloudfs("mount", "--config", mount.config)  # also without an umount before
    assert (mount.path / "a b.txt").read_text() == "hello\n"
    cloudfs("umount", mount.path)


def _answers(path: Path) -> bool:
    try:
        os.statvfs(path)  # not stat: the kernel goes on answering that from memory
    except OSError:
        return False
    return True


# --- what is, and what happens ---


def test_status(mount: Mount, cloudfs: Cloudfs, apache: Apache) -> None:
    (status,) = _json(cloudfs("status", "--json", "--socket", mount.socket))["mounts"]
    assert set(status) == {
        *("name", "path", "socket", "pid", "cloud", "sync", "pending"),
        *("held_deletes", "transfers", "cache", "simulated"),
    }
    assert (status["name"], status["path"]) == ("mount", str(mount.path))
    assert status["cloud"] == {"type": "webdav", "url": apache.url, "state": "ready"}
    assert {"state", "error", "last_sync_time"} <= set(status["sync"]["files"])
    assert set(status["cache"]) == {"used", "size", "files"}
    text = cloudfs("status", "--socket", mount.socket).stdout
    assert text.startswith(f"mount on {mount.path} (pid ")


def test_state(mount: Mount, cloudfs: Cloudfs) -> None:
    path = mount.path / "Docs" / "big.bin"
    assert _json(cloudfs("state", path, "--json")) == [
        {
            "path": str(path),
            "uri": "file://com.example.files/data/storage/el2/cloud/Docs/big.bin",
            "state": "COMPLETED",
            "location": "cloud",
            "processed": 0,
            "size": 2 * MIB,
            "pin": "auto",
            "error": "NO_ERROR",
        }
    ]
    rows = _json(cloudfs("state", "-r", mount.path, "--json"))
    assert {row["path"].removeprefix(str(mount.path)) for row in rows} == {
        *("", "/Docs", "/Docs/big.bin", "/Photos", "/Photos/sea.jpg", "/a b.txt"),
    }
    by_uri = cloudfs("state", mount.uri("a b.txt"), "--json", "--socket", mount.socket)
    assert _json(by_uri)[0]["path"] == f"{mount.path}/a b.txt"
    table = cloudfs("state", mount.path / "none", path, code=3)
    assert "none: No such file or directory (13900002)" in table.stderr
    assert str(path) in table.stdout


def test_download_clean_and_pin(mount: Mount, cloudfs: Cloudfs) -> None:
    path = mount.path / "Docs" / "big.bin"
    done = cloudfs("download", "start", "--wait", path, "--json")
    (row,) = _json(done)
    uri = row.pop("uri")
    assert row == {"state": "COMPLETED", "processed": 2 * MIB, "size": 2 * MIB, "error": "NO_ERROR"}
    assert f"{path}: done" in done.stderr
    assert mount.xattr("location", "Docs/big.bin") == "both"
    cloudfs("download", "stop", uri)
    assert mount.xattr("location", "Docs/big.bin") == "both", "stop drops no whole content"

    cloudfs("clean", mount.path / "Docs", code=3)
    cloudfs("clean", path)
    assert mount.xattr("location", "Docs/big.bin") == "cloud"
    cloudfs("pin", mount.path / "Docs")
    wait_until(lambda: mount.xattr("location", "Docs/big.bin") == "both", "the pin brings it")
    assert "pinned" in cloudfs("clean", path, code=5).stderr
    cloudfs("unpin", mount.path / "Docs")
    (mount.path / "a b.txt").read_text()
    wait_until(lambda: mount.xattr("state", "a b.txt") == "COMPLETED", "it has come")
    cloudfs("clean", "-r", mount.path)
    assert {row["location"] for row in _json(cloudfs("state", "-r", mount.path, "--json"))} == {"cloud", None}
    cloudfs("pin", mount.path / "none", code=3)
    cloudfs("download", "start", "--wait", mount.path / "none", code=3)
    media = mount.xattr("media_uri", "Photos/sea.jpg")
    done = cloudfs("download", "start", "--wait", media, "--json", "--socket", mount.socket)
    assert _json(done)[0]["state"] == "COMPLETED"


def test_a_download_is_stopped_and_what_came_is_kept_or_not(
    apache: Apache, proxy: FaultProxy, mounts: Mounts, cloudfs: Cloudfs
) -> None:
    (apache.root / "slow.bin").write_bytes(bytes(64 * MIB))
    proxy.conditions.bandwidth = 0.2 * MIB
    mount = mounts(proxy.url, cloud={"timeout": "30s"})
    path = mount.path / "slow.bin"
    path.stat()
    for option, location in (("--keep-partial", "partial"), (None, "cloud")):
        waiting = subprocess.Popen(
            [*CLOUDFS, "download", "start", "--wait", "--socket", str(mount.socket), str(path)],
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_until(lambda: mount.xattr("location", "slow.bin") == "partial", "some has come")
        wait_until(lambda: mount.xattr("state", "slow.bin") == "DOWNLOADING", "it runs")
        cloudfs("download", "stop", path, *([option] if option else []))
        _, told = waiting.communicate(timeout=PATIENCE_S)
        assert waiting.returncode == 1
        assert "stopped" in told
        assert mount.xattr("location", "slow.bin") == location


def test_a_download_without_network_ends_with_5(
    apache: Apache, proxy: FaultProxy, mounts: Mounts, cloudfs: Cloudfs
) -> None:
    (apache.root / "far.bin").write_bytes(bytes(MIB))
    mount = mounts(proxy.url, cloud={"timeout": "1s"})
    (mount.path / "far.bin").stat()
    proxy.refuse()
    (row,) = _json(cloudfs("download", "start", "--wait", mount.path / "far.bin", "--json", code=5))
    assert (row["state"], row["error"]) == ("FAILED", "NETWORK_UNAVAILABLE")
    assert mount.xattr("error", "far.bin") == "NETWORK_UNAVAILABLE"


def test_sync(mount: Mount, cloudfs: Cloudfs, apache: Apache) -> None:
    def sync(*arguments: object, code: int = 0) -> Done:
        return cloudfs("sync", *arguments, "--socket", mount.socket, code=code)

    before = _json(sync("last", "--json"))["last_sync_time"]
    (apache.root / "new").write_text("new")
    done = sync("start", "--wait", "--json")
    assert _json(done) == {"state": "COMPLETED", "error": "NO_ERROR"}
    assert done.stderr == "FileSync: DOWNLOADING\n"
    assert (mount.path / "new").exists()
    assert _json(sync("last", "--json"))["last_sync_time"] > before
    sync("start")
    wait_until(lambda: mount.status()["sync"]["files"]["state"] == "COMPLETED", "it is over")
    assert sync("start", "--gallery", "--wait").stdout == "COMPLETED\n"
    assert _json(sync("stop", "--wait", "--json"))["state"] == "COMPLETED"
    assert "stopped until: cloudfs sync start" in cloudfs("status", "--socket", mount.socket).stdout
    sync("start", "--wait")
    assert "stopped until" not in cloudfs("status", "--socket", mount.socket).stdout


def test_a_busy_server_is_temporary_and_a_forbidding_one_is_not(
    proxy: FaultProxy, mounts: Mounts, cloudfs: Cloudfs
) -> None:
    mount = mounts(proxy.url, cloud={"timeout": "1s"}, sync={"auto": False})
    for status, code in ((503, 5), (403, 1)):
        proxy.faults.add(Answer(status), method="PROPFIND")
        cloudfs("sync", "start", "--wait", "--socket", mount.socket, code=1)  # meets it: DOWNLOAD_FAILED
        refused = cloudfs("sync", "start", "--socket", mount.socket, code=code)
        assert "22400001" in refused.stderr
        proxy.faults.clear()
        cloudfs("sync", "start", "--wait", "--socket", mount.socket)


def test_events_have_no_gap_also_across_a_remount(
    mount: Mount, cloudfs: Cloudfs, environment: dict[str, str]
) -> None:
    cloudfs("download", "start", "--wait", mount.path / "Docs/big.bin")
    cloudfs("umount", mount.path)
    cloudfs("mount", "--config", mount.config)
    wait_until(lambda: mount.status()["sync"]["files"]["state"] == "COMPLETED", "the first sync is over")
    cloudfs("sync", "start", "--wait", "--socket", mount.socket)
    following = subprocess.Popen(
        [*CLOUDFS, "events", "--since", "0", "--json", "--socket", str(mount.socket)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    timer = threading.Timer(PATIENCE_S, following.kill)
    timer.start()
    assert following.stdout is not None
    events = [json.loads(following.stdout.readline())]
    cloudfs("download", "start", "--wait", mount.path / "a b.txt")
    while not (
        events[-1]["progress"].get("uri", "").endswith(".txt") and events[-1]["progress"]["state"] == 1
    ):
        events.append(json.loads(following.stdout.readline()))
    timer.cancel()
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert all(set(event) == {"seq", "time", "class", "progress"} for event in events)
    assert {"FileSync", "GallerySync", "CloudFileCache"} == {event["class"] for event in events}
    cloudfs("umount", mount.path)
    _, told = following.communicate(timeout=PATIENCE_S)
    assert following.returncode == 4
    assert "the daemon ended the connection" in told


def test_a_daemon_that_is_killed_ends_what_waits_for_it(
    apache: Apache, proxy: FaultProxy, mounts: Mounts, cloudfs: Cloudfs
) -> None:
    (apache.root / "slow.bin").write_bytes(bytes(16 * MIB))
    mount = mounts(proxy.url, sync={"auto": False})
    (mount.path / "slow.bin").stat()
    proxy.hang()
    verbs = (["download", "start", "--wait", str(mount.path / "slow.bin")], ["sync", "start", "--wait"])
    waiting = [
        subprocess.Popen([*CLOUDFS, *verb, "--socket", str(mount.socket)], stderr=subprocess.PIPE, text=True)
        for verb in verbs
    ]
    wait_until(lambda: mount.xattr("state", "slow.bin") == "DOWNLOADING", "the download runs")
    wait_until(lambda: mount.status()["sync"]["files"]["state"] == "DOWNLOADING", "the sync runs")
    mount.kill()
    for process in waiting:
        _, told = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 4
        assert "the daemon ended the connection" in told


def test_completion_and_help_need_no_daemon(cloudfs: Cloudfs) -> None:
    for shell in ("bash", "zsh", "fish"):
        assert "download" in cloudfs("completion", shell).stdout
    assert "exit codes" in cloudfs("mount", "--help").stdout
    assert cloudfs("--version").stdout.startswith("cloudfs ")
    cloudfs("fly", code=2)


# --- the demo, and a user without rights ---


def test_the_demo_leaves_nothing_behind(
    cloudfs: Cloudfs, environment: dict[str, str], tmp_path: Path
) -> None:
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    environment["TMPDIR"] = str(scratch)
    told = cloudfs("demo", "--once").stdout
    assert "cloud     0 %" in told
    assert "COMPLETED  both      100 %" in told
    assert list(scratch.iterdir()) == []
    assert str(scratch) not in Path("/proc/self/mountinfo").read_text()
    assert not [pid for pid in Path("/proc").glob("[0-9]*") if str(scratch) in _command_of(pid)]


def _command_of(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


# In a mount namespace of its own, so that nothing of it is seen outside: a /dev/fuse that all may open, as
# systems have it, and an interpreter that is found where root keeps it. Then: nobody, without capabilities.
_WITHOUT_RIGHTS = """\
set -eu
mknod -m 666 "$SCRATCH/fuse" c 10 229
mount --bind "$SCRATCH/fuse" /dev/fuse
if [ -n "$CLOSED" ]; then
    mkdir "$SCRATCH/interpreter"
    mount --bind "$PREFIX" "$SCRATCH/interpreter"
    mount -t tmpfs -o mode=755 tmpfs "$CLOSED"
    mkdir -p "$PREFIX"
    mount --bind "$SCRATCH/interpreter" "$PREFIX"
fi
exec setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all bash -euxc "$PROGRAM"
"""

_AS_ANYBODY = """\
cloudfs() { "$PYTHON" -P -m cloudfs.cli.main "$@"; }
trap 'cloudfs umount --force || true' EXIT
mkdir -p ~/Cloud ~/.config/cloudfs
printf '[mount]\\npath = "~/Cloud"\\n[cloud]\\nurl = "%s"\\n' "$URL" > ~/.config/cloudfs/mount.toml
cloudfs mount
test "$(cat ~/Cloud/a.txt)" = hello
"$PYTHON" -c 'import os, sys; print(os.getxattr(sys.argv[1], "user.cloudfs.location"))' ~/Cloud/a.txt
cloudfs pin ~/Cloud/a.txt
cloudfs state ~/Cloud/a.txt
cloudfs sync start --wait
cloudfs umount
trap - EXIT
test ! -e ~/Cloud/a.txt
cloudfs demo --once
! grep "$HOME" /proc/self/mounts
"""


def test_a_user_without_rights(wsgidav: WsgiDav) -> None:
    if os.geteuid() != 0:
        pytest.skip("every test here runs without rights already")
    (wsgidav.root / "a.txt").write_text("hello\n")
    with tempfile.TemporaryDirectory(prefix="cloudfs-user-") as scratch:
        home = Path(scratch, "home")
        for folder in (home, home / "run", home / "tmp"):
            folder.mkdir()
        for folder in (Path(scratch), home, home / "run", home / "tmp"):
            os.chown(folder, 65534, 65534)
        done = subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "bash", "-c", _WITHOUT_RIGHTS],
            env={
                **{"PATH": os.environ["PATH"], "PYTHON": sys.executable, "PYTHONPATH": os.getcwd()},
                **{"HOME": str(home), "XDG_RUNTIME_DIR": str(home / "run"), "TMPDIR": str(home / "tmp")},
                **{
                    "SCRATCH": scratch,
                    "PREFIX": sys.base_prefix,
                    "CLOSED": _closed_to_others(sys.base_prefix),
                },
                **{"URL": wsgidav.url, "PROGRAM": _AS_ANYBODY},
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "both" in done.stdout
        assert list((home / "tmp").iterdir()) == []


def _closed_to_others(path: str) -> str:
    """The outermost folder on the way that others can't search; "" where there is none."""
    for folder in reversed([Path(path), *Path(path).parents]):
        if not folder.stat().st_mode & 0o001:
            return str(folder)
    return ""
