"""Mounting in the foreground and in the background, and taking mounts away."""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
import threading
import types
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import trio

from cloudfs.cli import mounts, umount
from cloudfs.cli.background import start_daemon
from cloudfs.cli.failures import Exit, Failure
from cloudfs.cli.logs import logging_to, open_log
from cloudfs.config import ConfigError, Fault, MountConfig
from cloudfs.fuse.mountpoint import MountEntry
from cloudfs.model.errors import CloudfsError, MountFailed, TryAgain
from tests.cli.conftest import Run
from tests.cli.fake_daemon import FakeDaemon, Refusal

CONFIG = '[mount]\npath = "/mnt/configured"\n[cloud]\nurl = "http://127.0.0.1:1/"\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "home/.config/cloudfs/mount.toml"
    path.parent.mkdir(parents=True)
    path.write_text(CONFIG)
    return path


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[MountConfig | BaseException]:
    """What the daemon is given to serve; an error put in here is what it fails with."""
    seen: list[MountConfig | BaseException] = []

    async def serve(config: MountConfig, *, ready: Callable[[], None], entry: MountEntry) -> None:
        await trio.lowlevel.checkpoint()
        if seen and isinstance(seen[0], BaseException):
            raise seen[0]
        seen.append(config)
        logging.getLogger("cloudfs.test").info("serving %s", config.name)
        ready()

    serving = types.ModuleType("cloudfs.daemon.serving")  # the real one needs FUSE
    serving.serve = serve  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cloudfs.daemon.serving", serving)
    return seen


# --- foreground ---


def test_the_configuration_in_the_usual_place(
    run: Run, config: Path, served: list[MountConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("mount", "--foreground") == 0
    assert served[0].mount.path == Path("/mnt/configured")
    assert served[0].name == "mount"
    assert "INFO cloudfs.test: serving mount" in capsys.readouterr().err


def test_mountpoint_and_options_go_before_the_file(
    run: Run, config: Path, served: list[MountConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ["-o", "cache.size=1GiB,ro,_netdev", "-o", "sync.auto=false"]
    assert run("mount", "--foreground", "--config", config, *options, "$mnt") == 0
    assert served[0].mount.path == tmp_path / "$mnt"
    assert served[0].mount.read_only
    assert served[0].cache.size == 1024**3
    assert not served[0].sync.auto


@pytest.mark.parametrize(
    "error",
    [
        MountFailed("the mountpoint /mnt/x does not exist; make it with: mkdir -p /mnt/x"),
        CloudfsError("the cache is in use by another daemon"),
    ],
)
def test_a_failed_start_is_one_line(
    run: Run,
    config: Path,
    served: list[MountConfig | BaseException],
    capsys: pytest.CaptureFixture[str],
    error: CloudfsError,
) -> None:
    served.append(error)
    assert run("mount", "--foreground") == 1
    assert capsys.readouterr().err == f"cloudfs: {error.reason}\n"


def test_missing_credentials_are_told_with_their_mend(
    run: Run,
    config: Path,
    served: list[MountConfig | BaseException],
    capsys: pytest.CaptureFixture[str],
) -> None:
    config.write_text(CONFIG + 'password_env = "X"\n')
    served.append(ConfigError(Path("x"), [Fault(("cloud", "password_env"), "X is not set", "export it")]))
    assert run("mount", "--foreground") == 1
    assert capsys.readouterr().err == f"cloudfs: {config}:5: cloud.password_env: X is not set; export it\n"


def test_a_faulty_configuration_is_told_at_once(
    run: Run, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(CONFIG + "timout = 3\n[cache]\nsize = 1\n")
    assert run("mount") == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"cloudfs: {config}:5: cloud.timout: unknown key; did you mean timeout?"
    assert lines[1].startswith(f"{config}:7: cache.size: ")


def test_a_cloud_of_a_later_version(run: Run, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text('cloud.type = "drivekit"\n')
    assert run("mount") == 1
    assert "not supported yet in this version" in capsys.readouterr().err


# --- background ---


def test_what_the_daemon_says_of_its_failed_start(tmp_path: Path) -> None:
    log = tmp_path / "state/x.log"
    with pytest.raises(Failure, match=r"none.toml: cannot be read: No such file") as failed:
        start_daemon(["mount", "--foreground", "--config", str(tmp_path / "none.toml")], log)
    assert failed.value.exit_code is Exit.FAILED
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert "cannot be read" in log.read_text()


def test_a_daemon_that_dies_without_a_word(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    with pytest.raises(Failure, match=r"ended while it started \(2\); its log: .*x.log"):
        start_daemon(["mount", "--nonsense"], log)
    assert "--nonsense" in log.read_text()


def test_a_log_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(Failure, match="set XDG_STATE_HOME"):
        start_daemon(["mount"], tmp_path / "state/x.log")


def test_the_background_mount_returns_once_it_is_ready(
    run: Run, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interpreter of our own says ready and lives on, in a session of its own and with `/` to stand in."""
    fake = tmp_path / "python"
    facts = tmp_path / "facts"
    fake.write_text(
        f"#!{sys.executable}\n"
        "import os, sys, time\n"
        "is_told_of_the_manager = 'NOTIFY_SOCKET' in os.environ\n"
        "is_leader = os.getsid(0) == os.getpid()\n"
        "facts = (sys.argv[1:], os.getcwd(), is_leader, is_told_of_the_manager, os.getpid())\n"
        f"open({str(facts)!r}, 'w').write(repr(facts))\n"
        "descriptor = int(sys.argv[sys.argv.index('--ready-fd') + 1])\n"
        "os.write(descriptor, b'{\"ready\": true}')\n"
        "os.close(descriptor)\n"
        "sys.stdin.read()\n"
        "time.sleep(60)\n"
    )
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    monkeypatch.setattr(subprocess.Popen, "__del__", lambda _: None)  # it outlives its Popen, as it should
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    assert run("mount", "--config", "home/.config/cloudfs/mount.toml", "-o", "ro", "there") == 0
    arguments, cwd, is_leader, is_told_of_the_manager, pid = eval(facts.read_text())
    os.kill(pid, 15)
    os.waitpid(pid, 0)
    assert (cwd, is_leader, is_told_of_the_manager) == ("/", True, False)
    assert arguments[3] == "mount"
    what = ["--config", str(config), "--source", "cloudfs", "-o", "ro", "--", str(tmp_path / "there")]
    assert arguments[6:] == ["--foreground", *what]
    assert (tmp_path / "state/cloudfs/mount.log").exists()


def test_a_mount_names_the_files_that_lost_their_names(
    run: Run,
    config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("cloudfs.cli.mount.start_daemon", lambda arguments, log: None)
    cache = tmp_path / "cache"
    assert run("mount", "-o", f"cache.path={cache}") == 0
    assert capsys.readouterr().err == ""
    (cache / "recovered").mkdir(parents=True)
    assert run("mount", "-o", f"cache.path={cache}") == 0
    assert capsys.readouterr().err == ""
    (cache / "recovered" / "report.odt-1").write_text("mine")
    assert run("mount", "-o", f"cache.path={cache}") == 0
    assert capsys.readouterr().err == f"cloudfs: files that lost their names are in {cache}/recovered\n"


def test_a_mount_says_that_the_database_was_damaged(
    run: Run,
    config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "cloudfs.db.damaged-1").write_text("told at that time")

    def start(arguments: Sequence[str], log: Path) -> None:
        for name in ("cloudfs.db", "cloudfs.db.damaged-2", "cloudfs.db.damaged-2-wal"):
            (cache / name).touch()

    monkeypatch.setattr("cloudfs.cli.mount.start_daemon", start)
    assert run("mount", "-o", f"cache.path={cache}") == 0
    words = "the database was damaged; it is built anew from the cloud, and kept as"
    assert capsys.readouterr().err == f"cloudfs: {words} {cache}/cloudfs.db.damaged-2\n"


def test_a_large_log_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(b"old")
    os.truncate(path, 17 * 1024 * 1024)
    with open_log(path) as log:
        log.write("new")
    assert path.read_text() == "new"
    assert (tmp_path / "x.log.old").stat().st_size == 17 * 1024 * 1024


def test_lines_for_the_journal_have_priorities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal"
    with path.open("w") as stream:
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        with logging_to(stream):
            logging.getLogger("a").warning("one\ntwo")
    assert path.read_text() == "<4>a: one\n<4>two\n"


# --- umount ---


def test_umount_asks_the_daemon(run: Run, daemon: FakeDaemon, mountpoint: Path) -> None:
    daemon.methods["Mount.umount"] = lambda _: None
    assert run("umount", mountpoint) == 0
    assert run("umount", "--wait") == 0
    assert run("umount", "--force", mountpoint) == 0
    assert [params for _, params in daemon.asked()] == [{"force": False}, {"wait": True}, {"force": True}]


def test_umount_with_pending_changes(
    run: Run, daemon: FakeDaemon, mountpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: object) -> None:
        raise Refusal(13900010, "Try again.", reason="3 changes are not in the cloud yet")

    daemon.methods["Mount.umount"] = refuse
    assert run("umount", mountpoint) == 5
    assert "3 changes" in capsys.readouterr().err


def sending(pending: int, size: int) -> tuple[str, dict[str, int]]:
    return "Mount.sending", {"pending": pending, "size": size}


def test_umount_that_waits_shows_how_far_it_is(
    run: Run, daemon: FakeDaemon, mountpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.methods["Mount.umount"] = lambda _: None
    # More comes while it is sent: nothing of what has gone is counted twice.
    daemon.before["Mount.umount"] = [sending(2, 1000), sending(2, 500), sending(3, 1500), sending(1, 250)]
    assert run("umount", "--wait", mountpoint) == 0
    assert capsys.readouterr().err.splitlines() == [
        "sending changes: 0 % of 1000 B",
        "sending changes: 50 % of 1000 B",
        "sending changes: 87 % of 2.0 KiB",
        "sending changes: 100 % of 2.0 KiB",
        "sending changes: done",
    ]


def test_umount_that_waits_in_vain_names_what_cannot_go(
    run: Run, daemon: FakeDaemon, mountpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stuck = [{"path": "/m/a\nb", "reason": "the cloud is full"}, {"path": "/m/c", "reason": "it is locked"}]

    def refuse(_: object) -> None:
        raise Refusal(13900010, "Try again.", reason="what can't go to the cloud now: 2", stuck=stuck)

    daemon.methods["Mount.umount"] = refuse
    first = {"path": "/m/0", "reason": "a program is writing it"}
    daemon.before["Mount.umount"] = [("Mount.rows", {"id": 1, "rows": [first]})]
    assert run("umount", "--wait", mountpoint) == 5
    assert capsys.readouterr().err.splitlines() == [
        "cloudfs: /m/0: a program is writing it",
        "cloudfs: /m/a\\nb: the cloud is full",
        "cloudfs: /m/c: it is locked",
        "cloudfs: Try again (13900010): what can't go to the cloud now: 2",
    ]


def test_umount_of_a_folder_in_the_mount(
    run: Run, daemon: FakeDaemon, mountpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("umount", mountpoint / "sub") == 1
    assert "is no mountpoint of this mount" in capsys.readouterr().err
    assert daemon.asked() == []


def test_umount_that_does_not_end(
    run: Run, daemon: FakeDaemon, mountpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.methods["Mount.umount"] = lambda _: None
    monkeypatch.setattr(umount, "PATIENCE_S", 0.0)
    monkeypatch.setattr(umount, "is_mounted", lambda path: path == mountpoint)
    assert run("umount", mountpoint) == 5


def dead_mount(monkeypatch: pytest.MonkeyPatch, mountpoint: Path) -> None:
    """What a daemon leaves that was killed: in the mount table, and nobody answers for it."""
    monkeypatch.setattr(umount, "is_mounted", lambda path: path == mountpoint)
    monkeypatch.setattr(umount, "is_dead", lambda path: path == mountpoint)


def test_the_mount_of_a_dead_daemon_is_taken_away(
    run: Run, daemon: FakeDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another daemon runs; it is asked for nothing but what it has mounted."""
    dead = tmp_path / "dead"
    dead_mount(monkeypatch, dead)
    taken: list[Path] = []
    monkeypatch.setattr(umount, "free", taken.append)
    assert run("umount", dead) == 0
    assert taken == [dead]
    assert daemon.asked() == []


def test_a_mount_that_may_hang_is_not_asked(
    run: Run,
    daemon: FakeDaemon,
    mountpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    woken = threading.Event()
    daemon.methods["Mount.status"] = lambda _: woken.wait(30)
    monkeypatch.setattr(mounts, "PATIENCE_S", 0.2)
    monkeypatch.setattr(umount, "is_mounted", lambda path: path == mountpoint)
    monkeypatch.setattr(umount, "is_dead", lambda _: pytest.fail("who asks it hangs too"))
    assert run("umount", mountpoint) == 4
    woken.set()
    assert f"the daemon of {mountpoint} may be one that does not answer" in capsys.readouterr().err


@pytest.mark.parametrize(("error", "code"), [(TryAgain("busy"), 5), (MountFailed("not permitted"), 1)])
def test_a_dead_mount_that_stays(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: CloudfsError, code: int
) -> None:
    dead_mount(monkeypatch, tmp_path / "dead")

    def fail(_: Path) -> None:
        raise error

    monkeypatch.setattr(umount, "free", fail)
    assert run("umount", tmp_path / "dead") == code
