"""What verbs ask of the daemon, what they print, and how they end."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from cloudfs.cli import mounts
from tests.cli.conftest import Run, StartDaemon
from tests.cli.fake_daemon import FakeDaemon, Hangup, Refusal


def row(path: str, location: str | None = "cloud", **more: Any) -> dict[str, Any]:
    return {
        "path": path,
        "uri": f"file://b{path}",
        "state": "COMPLETED",
        "location": location,
        "processed": 0,
        "size": 1000,
        "pin": "auto",
        "error": "NO_ERROR",
        **more,
    }


def download_event(uri: str, state: int, processed: int, error: int = 0) -> tuple[str, dict[str, Any]]:
    progress = {"state": state, "processed": processed, "size": 100, "uri": uri, "error": error}
    return "CloudFileCache.progress", {"subscription": 1, "seq": 1, "progress": progress}


def sync_event(state: int, error: int = 0, name: str = "FileSync") -> tuple[str, dict[str, Any]]:
    return f"{name}.progress", {"subscription": 1, "seq": 1, "progress": {"state": state, "error": error}}


def refuse(code: int, message: str = "No.", **data: Any) -> Any:
    def answer(_: object) -> None:
        raise Refusal(code, message, **data)

    return answer


# --- state ---


def test_state_prints_a_table(
    run: Run, daemon: FakeDaemon, mountpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.methods["Mount.state"] = lambda _: [
        row("/m/a\x1b[31m\n.txt", "both", processed=1000),
        row("/m/東京", "partial", processed=500, pin="always", error="LOCAL_STORAGE_FULL", state="STOPPED"),
        row("/m/folder", None, size=None, processed=None),
    ]
    assert run("state", mountpoint / "a", "-r") == 0
    assert capsys.readouterr().out.splitlines() == [
        "STATE                         LOCATION  LOCAL  SIZE    PIN     PATH",
        "COMPLETED                     both      100 %  1000 B  auto    /m/a\\x1b[31m\\n.txt",
        "STOPPED (LOCAL_STORAGE_FULL)  partial   50 %   1000 B  always  /m/東京",
        "COMPLETED                     -         -      -       auto    /m/folder",
    ]
    assert daemon.asked() == [("Mount.state", {"paths": [f"{mountpoint}/a"], "recursive": True})]


def test_state_in_json_is_what_the_daemon_says(
    run: Run, daemon: FakeDaemon, mountpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = {str(mountpoint): [row("/m/ä"), row("/m/ä/c")], "file://b/x": [row("/m/b")]}
    daemon.methods["Mount.state"] = lambda params: rows[params["paths"][0]]
    assert run("state", mountpoint, "file://b/x", "--json") == 0
    assert json.loads(capsys.readouterr().out) == [row("/m/ä"), row("/m/ä/c"), row("/m/b")]


def test_a_state_in_parts_is_one_list(
    run: Run, daemon: FakeDaemon, mountpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.before["Mount.state"] = [
        ("Mount.rows", {"id": 1, "rows": [row("/m/a"), row("/m/b")]}),
        ("Mount.rows", {"id": 1, "rows": [row("/m/c")]}),
    ]
    daemon.methods["Mount.state"] = lambda _: [row("/m/d")]
    assert run("state", "-r", mountpoint, "--json") == 0
    assert json.loads(capsys.readouterr().out) == [row(f"/m/{name}") for name in "abcd"]


def test_state_names_what_is_not_there_and_shows_the_rest(
    run: Run, daemon: FakeDaemon, mountpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def state(params: dict[str, Any]) -> list[dict[str, Any]]:
        if params["paths"][0].endswith("none"):
            raise Refusal(13900002, "No such file or directory.")
        return [row("/m/a")]

    daemon.methods["Mount.state"] = state
    assert run("state", mountpoint / "none", mountpoint / "a", "--json") == 3
    printed = capsys.readouterr()
    assert json.loads(printed.out) == [row("/m/a")]
    assert printed.err == f"cloudfs: {mountpoint}/none: No such file or directory (13900002)\n"
    assert run("state", mountpoint / "none") == 3
    assert capsys.readouterr().out == ""


def test_a_name_that_json_cannot_hold_hides_no_other(
    run: Run, daemon: FakeDaemon, mountpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = os.fsdecode(bytes(mountpoint) + b"/\xff")
    daemon.methods |= {"Mount.state": lambda _: [row("/m/a")], "Mount.pin": lambda _: None}
    for verb in ["state", "--json"], ["pin"], ["clean", "-r"]:
        assert run(*verb, bad, mountpoint / "a") == 1
        assert "/\\xff: the name is no UTF-8" in capsys.readouterr().err
    assert run("why", bad) == 1
    asked = [params["paths"] for _, params in daemon.asked("Mount.state", "Mount.pin")]
    assert asked == [[f"{mountpoint}/a"]] * 3


# --- exit codes ---


@pytest.mark.parametrize(
    ("code", "data", "exit_code"),
    [
        (14000002, {}, 3),
        (13900002, {}, 3),
        (22400002, {}, 5),
        (22400003, {}, 5),
        (13900010, {}, 5),
        (22400001, {"status": 503}, 5),
        (22400001, {"status": 401}, 1),
        (22400001, {}, 1),
        (201, {}, 1),
        (13900025, {}, 1),
        (13600001, {"error": "NETWORK_UNAVAILABLE"}, 5),
        (13600001, {"error": "UNKNOWN_ERROR"}, 1),
    ],
)
def test_exit_codes_of_errors(
    run: Run,
    daemon: FakeDaemon,
    capsys: pytest.CaptureFixture[str],
    code: int,
    data: dict[str, Any],
    exit_code: int,
) -> None:
    daemon.methods["FileSync.start"] = refuse(code, "It is so.", reason="because of that", **data)
    assert run("sync", "start") == exit_code
    assert capsys.readouterr().err == f"cloudfs: It is so ({code}): because of that\n"


def test_without_a_daemon(run: Run, mountpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for verb in (
        ["state", mountpoint],
        ["why", mountpoint],
        ["sync", "last"],
        ["events"],
        ["umount"],
        ["pin", mountpoint],
    ):
        assert run(*verb) == 4
    assert "start one with: cloudfs mount" in capsys.readouterr().err


def test_a_daemon_that_goes_away(run: Run, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    def hang_up(_: object) -> None:
        raise Hangup

    daemon.methods["FileSync.start"] = hang_up
    assert run("sync", "start") == 4
    assert "cloudfs status" in capsys.readouterr().err


def test_a_daemon_of_another_version(
    run: Run, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("sync", "confirm") == 1
    assert "does not know Mount.confirm; mount again" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["state"],
        ["state", "--jso", "x"],
        ["sync", "begin"],
        ["events", "--since", "-1"],
        ["events", "--since", "x"],
        ["umount", "--wait", "--force"],
        ["completion", "tcsh"],
        ["download", "start"],
        ["why"],
        ["why", "a", "b"],
        ["clean", "-r", ""],
        ["pin", "a", ""],
        ["umount", ""],
        ["mount", ""],
        ["status", "--socket", ""],
    ],
)
def test_wrong_usage_is_2(run: Run, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(*arguments)
    assert ended.value.code == 2


# --- which mount ---


def test_the_path_decides(run: Run, start_daemon: StartDaemon, tmp_path: Path) -> None:
    one, other = start_daemon(tmp_path / "one", "one"), start_daemon(tmp_path / "one" / "other", "other")
    for daemon in (one, other):
        daemon.methods["Mount.state"] = lambda _: []
    assert run("state", tmp_path / "one/x") == 0
    assert run("state", tmp_path / "one/other/x", "--socket", one.socket) == 0
    assert run("state", f"file://{tmp_path}/one/other/x%20y") == 0
    assert len(one.asked()) == 1
    assert len(other.asked()) == 2


def test_a_symbolic_link_into_the_mount(
    run: Run, daemon: FakeDaemon, mountpoint: Path, tmp_path: Path
) -> None:
    (mountpoint / "sub").mkdir()
    (tmp_path / "link").symlink_to(mountpoint / "sub")
    daemon.methods["Mount.state"] = lambda _: []
    assert run("state", tmp_path / "link" / "x") == 0
    assert daemon.asked()[0][1]["paths"] == [f"{mountpoint}/sub/x"]


def test_a_relative_path(
    run: Run, daemon: FakeDaemon, mountpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.methods["CloudFileCache.cleanCache"] = lambda _: None
    monkeypatch.chdir(mountpoint)
    assert run("clean", "a b%?") == 0
    assert daemon.asked()[0][1] == {"uri": f"file://{mountpoint}/a%20b%25%3F"}


def test_several_mounts_and_nothing_to_tell_them_apart(
    run: Run, start_daemon: StartDaemon, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = start_daemon(tmp_path / "one", "one"), start_daemon(tmp_path / "other", "other")
    assert run("sync", "last") == 2
    assert f"by --socket: {one.socket} ({tmp_path}/one), {other.socket}" in capsys.readouterr().err
    assert run("state", tmp_path / "third") == 2
    assert "the path lies in none; name one by --socket" in capsys.readouterr().err
    assert run("state", tmp_path / "one/x", tmp_path / "other/x") == 2
    assert "several mounts (one, other)" in capsys.readouterr().err
    assert one.asked() == other.asked() == []


def test_where_one_is_named_no_other_is_asked(
    run: Run, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask_all() -> list[mounts.Mount]:
        raise AssertionError("every mount is asked")

    monkeypatch.setattr(mounts, "running", ask_all)
    daemon.methods["FileSync.stop"] = lambda _: None
    assert run("sync", "stop", "--socket", daemon.socket) == 0
    assert [method for method, _ in daemon.asked()] == ["FileSync.stop"]


def test_socket_and_variable_name_the_mount(
    run: Run, start_daemon: StartDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_daemon(tmp_path / "a", "a")
    far = start_daemon(tmp_path / "b", "b", tmp_path / "b.sock")
    farther = start_daemon(tmp_path / "c", "c", tmp_path / "c.sock")
    for daemon in (far, farther):
        daemon.methods["FileSync.stop"] = lambda _: None
    monkeypatch.setenv("CLOUDFS_SOCKET", str(far.socket))
    assert run("sync", "stop") == 0
    assert run("sync", "stop", "--socket", farther.socket) == 0
    assert len(far.asked()) == len(farther.asked()) == 1
    assert run("sync", "stop", "--socket", tmp_path / "none.sock") == 4


def test_downloads_need_no_right_to_the_status(
    run: Run, daemon: FakeDaemon, mountpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.methods |= {"Mount.status": refuse(201, "Permission verification failed.")}
    daemon.methods |= {"CloudFileCache.start": lambda _: None}
    assert run("download", "start", mountpoint / "a", "--socket", daemon.socket, "--json") == 0
    assert daemon.asked() == [("CloudFileCache.start", {"uri": f"file://{mountpoint}/a"})]
    capsys.readouterr()
    for verb in ["status"], ["umount"]:
        assert run(*verb, "--socket", daemon.socket) == 1
        assert capsys.readouterr().err == "cloudfs: Permission verification failed (201)\n"


def test_a_socket_left_behind_is_passed_over(run: Run, daemon: FakeDaemon, runtime: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(runtime / "dead.sock"))
    daemon.methods["FileSync.stop"] = lambda _: None
    assert run("sync", "stop") == 0


def test_a_daemon_that_hangs_does_not_hang_the_others(
    run: Run,
    start_daemon: StartDaemon,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stuck, well = start_daemon(tmp_path / "a", "a"), start_daemon(tmp_path / "b", "b")
    woken = threading.Event()
    stuck.methods["Mount.status"] = lambda _: woken.wait(30)
    monkeypatch.setattr(mounts, "PATIENCE_S", 0.2)
    assert run("status", "--json") == 0
    woken.set()
    printed = capsys.readouterr()
    assert json.loads(printed.out)["mounts"] == [well.status]
    assert f"{stuck.socket}: the daemon does not answer" in printed.err


def test_a_daemon_that_hangs_and_no_other(
    run: Run, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is not taken for none, which another mount would help."""
    woken = threading.Event()
    daemon.methods["Mount.status"] = lambda _: woken.wait(30)
    monkeypatch.setattr(mounts, "PATIENCE_S", 0.2)
    for verb in ["status"], ["sync", "last"]:
        assert run(*verb) == 4
        assert capsys.readouterr().err.splitlines() == [
            f"cloudfs: {daemon.socket}: the daemon does not answer; its log may say why",
            "cloudfs: no other mount is running; what to do is told by: cloudfs doctor",
        ]
    woken.set()


# --- sync ---


def test_sync_last(run: Run, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.methods["GallerySync.getLastSyncTime"] = lambda _: 1764000000000
    daemon.methods["FileSync.getLastSyncTime"] = lambda _: 0
    assert run("sync", "last", "--gallery", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"last_sync_time": 1764000000000}
    assert run("sync", "last") == 0
    assert capsys.readouterr().out == "never\n"


@pytest.mark.parametrize(
    ("end", "exit_code", "said"),
    [
        ((4, 0), 0, "COMPLETED"),
        ((3, 1), 5, "DOWNLOAD_FAILED: NETWORK_UNAVAILABLE"),
        ((1, 2), 5, "UPLOAD_FAILED: WIFI_UNAVAILABLE"),
        ((1, 3), 5, "UPLOAD_FAILED: BATTERY_LEVEL_LOW"),
        ((1, 5), 1, "UPLOAD_FAILED: CLOUD_STORAGE_FULL"),
        ((3, 0), 1, "DOWNLOAD_FAILED"),
        ((5, 0), 1, "STOPPED"),
    ],
)
def test_sync_start_waits_for_its_own_end(
    run: Run,
    daemon: FakeDaemon,
    capsys: pytest.CaptureFixture[str],
    end: tuple[int, int],
    exit_code: int,
    said: str,
) -> None:
    daemon.methods |= {"FileSync.on": lambda _: {"subscription": 1}, "FileSync.start": lambda _: None}
    daemon.after["FileSync.on"] = [sync_event(4)]
    # A run that ends just before the start is accepted is not the one that was asked for.
    daemon.before["FileSync.start"] = [sync_event(2), sync_event(3, 1)]
    daemon.after["FileSync.start"] = [sync_event(2), sync_event(0), sync_event(*end)]
    assert run("sync", "start", "--wait") == exit_code
    printed = capsys.readouterr()
    assert printed.out == f"{said}\n"
    lines = printed.err.splitlines()
    assert lines[:2] == ["FileSync: DOWNLOADING", "FileSync: UPLOADING"]
    # An error that has no name leaves the user with a state alone.
    assert bool(lines[2:]) is (said == "DOWNLOAD_FAILED")


def test_a_start_that_joins_a_running_sync_waits_for_the_one_end(run: Run, daemon: FakeDaemon) -> None:
    daemon.methods |= {"FileSync.on": lambda _: {"subscription": 1}, "FileSync.start": lambda _: None}
    daemon.after["FileSync.on"] = [sync_event(2)]
    daemon.after["FileSync.start"] = [sync_event(4)]
    assert run("sync", "start", "--wait", "--json") == 0


def test_sync_stop_waits_only_where_something_runs(
    run: Run, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.methods |= {"GallerySync.on": lambda _: {"subscription": 1}, "GallerySync.stop": lambda _: None}
    daemon.after["GallerySync.on"] = [sync_event(4, name="GallerySync")]
    assert run("sync", "stop", "--gallery", "--wait", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"state": "COMPLETED", "error": "NO_ERROR"}
    daemon.after["GallerySync.on"] = [sync_event(2, name="GallerySync")]
    daemon.after["GallerySync.stop"] = [sync_event(5, name="GallerySync")]
    assert run("sync", "stop", "--gallery", "--wait", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"state": "STOPPED", "error": "NO_ERROR"}


def test_confirm_names_its_scope(run: Run, daemon: FakeDaemon) -> None:
    daemon.methods |= {"Mount.confirm": lambda _: None}
    assert run("sync", "confirm", "--gallery") == 0
    assert run("sync", "confirm") == 0
    assert daemon.asked() == [
        ("Mount.confirm", {"scope": "gallery"}),
        ("Mount.confirm", {"scope": "files"}),
    ]


@pytest.mark.parametrize(("waits", "end", "exit_code"), [(False, 4, 1), (True, 4, 1), (True, 3, 1)])
def test_restore_names_what_cannot_come_back(
    run: Run,
    daemon: FakeDaemon,
    capsys: pytest.CaptureFixture[str],
    waits: bool,
    end: int,
    exit_code: int,
) -> None:
    daemon.methods |= {"FileSync.on": lambda _: {"subscription": 1}, "Mount.restore": lambda _: ["/m/a\tb"]}
    daemon.after["FileSync.on"] = [sync_event(4)]
    daemon.before["Mount.restore"] = [("Mount.rows", {"id": 2, "rows": ["/m/0"]})]
    daemon.after["Mount.restore"] = [sync_event(2), sync_event(end)]
    assert run("sync", "restore", *(["--wait"] if waits else [])) == exit_code
    named = ["cloudfs: /m/0: it can't come back, and stays held"]
    named.append("cloudfs: /m/a\\tb: it can't come back, and stays held")
    assert capsys.readouterr().err.splitlines()[:2] == named
    assert daemon.asked("Mount.restore") == [("Mount.restore", {"scope": "files"})]


def test_restore_of_all(run: Run, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.methods |= {"GallerySync.on": lambda _: {"subscription": 1}, "Mount.restore": lambda _: []}
    daemon.after["GallerySync.on"] = [sync_event(4, name="GallerySync")]
    daemon.after["Mount.restore"] = [sync_event(state, name="GallerySync") for state in (2, 4)]
    assert run("sync", "restore", "--gallery") == 0
    assert run("sync", "restore", "--gallery", "--wait") == 0
    assert capsys.readouterr().out == "COMPLETED\n"
    assert daemon.asked("Mount.restore") == [("Mount.restore", {"scope": "gallery"})] * 2


# --- download, clean, pin ---


def test_download_follows_each_file_to_its_end(
    run: Run, daemon: FakeDaemon, mountpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = f"file://{mountpoint}/good", "file://b/data/storage/el2/cloud/bad"
    daemon.methods |= {
        "CloudFileCache.on": lambda _: {"subscription": 1},
        "CloudFileCache.start": lambda _: None,
    }
    daemon.after["CloudFileCache.start"] = [
        download_event(good, 0, 7),
        download_event(good, 0, 11),
        download_event(good, 1, 100),
        download_event("file://b/other", 2, 0),
        download_event(bad, 2, 50, 2),
    ]
    assert run("download", "start", "--wait", "--json", mountpoint / "good", bad) == 5
    printed = capsys.readouterr()
    assert json.loads(printed.out) == [
        {"uri": good, "state": "COMPLETED", "processed": 100, "size": 100, "error": "NO_ERROR"},
        {"uri": bad, "state": "FAILED", "processed": 50, "size": 100, "error": "NETWORK_UNAVAILABLE"},
    ]
    lines = printed.err.splitlines()
    assert f"{mountpoint}/good: done" in lines
    assert f"{bad}: failed: NETWORK_UNAVAILABLE" in lines
    assert [line for line in lines if "7 %" in line]
    assert not [line for line in lines if "11 %" in line]  # too soon after the last line


def test_download_goes_on_where_one_is_refused(
    run: Run, daemon: FakeDaemon, mountpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def start(params: dict[str, Any]) -> None:
        if params["uri"].endswith("full"):
            raise Refusal(13900025, "No space left on device.")
        if params["uri"].endswith("none"):
            raise Refusal(13900002, "No such file or directory.")

    daemon.methods["CloudFileCache.start"] = start
    assert run("download", "start", mountpoint / "none", mountpoint / "good") == 3
    assert run("download", "start", mountpoint / "none", mountpoint / "full", "--json") == 1
    assert [answer["error"] for answer in json.loads(capsys.readouterr().out)] == [
        "UNKNOWN_ERROR",
        "LOCAL_STORAGE_FULL",
    ]
    assert len(daemon.asked("CloudFileCache.start")) == 4


def test_one_file_by_two_names_is_one_download(
    run: Run,
    daemon: FakeDaemon,
    mountpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    daemon.methods |= {"CloudFileCache.on": lambda _: {"subscription": 1}}
    daemon.methods |= {"CloudFileCache.start": lambda _: None}
    daemon.after["CloudFileCache.start"] = [download_event(f"file://{mountpoint}/a", 1, 100)]
    monkeypatch.chdir(mountpoint)
    assert run("download", "start", "--wait", "--json", "a", "./a", mountpoint / "a") == 0
    printed = capsys.readouterr()
    assert [answer["state"] for answer in json.loads(printed.out)] == ["COMPLETED"]
    assert printed.err.splitlines()[-1] == "a: done"


def test_download_stop_says_whether_to_keep(run: Run, daemon: FakeDaemon, mountpoint: Path) -> None:
    daemon.methods["CloudFileCache.stop"] = lambda _: None
    assert run("download", "stop", mountpoint / "a") == 0
    assert run("download", "stop", "--keep-partial", mountpoint / "a") == 0
    assert [params["needClean"] for _, params in daemon.asked()] == [True, False]
    assert run("download", "start", "--keep-partial", mountpoint / "a") == 2


def test_download_without_waiting_says_what_is_here(
    run: Run, daemon: FakeDaemon, mountpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.methods |= {
        "CloudFileCache.start": lambda _: None,
        "CloudFileCache.stop": lambda _: None,
        "Mount.state": lambda _: [row("/m/a", "partial", processed=400)],
    }
    for action, state in (("start", "RUNNING"), ("stop", "STOPPED")):
        assert run("download", action, mountpoint / "a", "--json") == 0
        assert json.loads(capsys.readouterr().out) == [
            {
                "uri": f"file://{mountpoint}/a",
                "state": state,
                "processed": 400,
                "size": 1000,
                "error": "NO_ERROR",
            }
        ]


def test_download_of_what_is_here_needs_no_waiting(
    run: Run, daemon: FakeDaemon, mountpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.methods |= {"CloudFileCache.start": lambda _: None}
    daemon.methods |= {"Mount.state": lambda _: [row("/m/a", "both", processed=1000)]}
    assert run("download", "start", mountpoint / "a", "--json") == 0
    assert [answer["state"] for answer in json.loads(capsys.readouterr().out)] == ["COMPLETED"]


def test_gallery_assets_go_by_download(run: Run, daemon: FakeDaemon) -> None:
    daemon.methods["Download.start"] = lambda _: None
    assert run("download", "start", "file://media/Photo/7", "file:///media/Photo/8") == 0
    assert len(daemon.asked("Download.start")) == 2


def test_clean_recursive_takes_what_is_cached(run: Run, daemon: FakeDaemon, mountpoint: Path) -> None:
    daemon.methods["Mount.state"] = lambda _: [
        row("/m", None, size=None),
        row("/m/a", "cloud"),
        row("/m/b", "both"),
        row("/m/c", "partial"),
        row("/m/d", "local"),
    ]

    def clean(params: dict[str, Any]) -> None:
        if params["uri"].endswith("/c"):
            raise Refusal(13900010, "Try again.", reason="it is pinned")

    daemon.methods["CloudFileCache.cleanCache"] = clean
    assert run("clean", "-r", mountpoint) == 5
    cleaned = [params["uri"] for _, params in daemon.asked("CloudFileCache.cleanCache")]
    assert cleaned == ["file://b/m/b", "file://b/m/c"]


def test_clean_recursive_names_what_is_not_there(
    run: Run, daemon: FakeDaemon, mountpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def state(params: dict[str, Any]) -> list[dict[str, Any]]:
        if params["paths"] == [f"{mountpoint}/none"]:
            raise Refusal(13900002, "No such file or directory.")
        return [row("/m/a", "both")]

    daemon.methods |= {"Mount.state": state, "CloudFileCache.cleanCache": lambda _: None}
    assert run("clean", "-r", mountpoint / "none", mountpoint / "a") == 3
    assert capsys.readouterr().err == f"cloudfs: {mountpoint}/none: No such file or directory (13900002)\n"
    assert daemon.asked("CloudFileCache.cleanCache") == [
        ("CloudFileCache.cleanCache", {"uri": "file://b/m/a"})
    ]


def test_pin_and_unpin(run: Run, daemon: FakeDaemon, mountpoint: Path) -> None:
    daemon.methods |= {"Mount.pin": lambda _: None, "Mount.unpin": refuse(13900002)}
    assert run("pin", mountpoint / "a", mountpoint / "b") == 0
    assert run("unpin", mountpoint / "a") == 3
    assert daemon.asked("Mount.pin") == [
        ("Mount.pin", {"paths": [f"{mountpoint}/a"]}),
        ("Mount.pin", {"paths": [f"{mountpoint}/b"]}),
    ]


# --- status, events ---


def test_status_of_all_mounts(
    run: Run, start_daemon: StartDaemon, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = start_daemon(tmp_path / "one", "one"), start_daemon(tmp_path / "two", "two")
    one.status["sync"]["files"] |= {"error": "NETWORK_UNAVAILABLE", "state": "DOWNLOAD_FAILED", "held": True}
    del other.status["simulated"]  # a daemon from before an upgrade
    one.status["transfers"] = [
        {"path": "/a\nb", "direction": "down", "processed": 512, "size": 1024, "rate": 2048.0}
    ]
    assert run("status", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"mounts": [one.status, other.status]}
    assert run("status") == 0
    text = capsys.readouterr().out
    assert f"one on {tmp_path}/one (pid 4711)" in text
    assert (
        "DOWNLOAD_FAILED, NETWORK_UNAVAILABLE, stopped until: cloudfs sync start; last completed: never"
        in text
    )
    assert "↓ /a\\nb  50 % of 1.0 KiB, 2.0 KiB/s" in text
    assert f"two on {tmp_path}/two" in text


def test_status_names_the_ways_on_from_held_deletes_and_where_recovered_files_are(
    run: Run, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("status") == 0
    assert "held" not in capsys.readouterr().out
    daemon.status["sync"]["files"]["held_deletes"] = {"here": 250, "cloud": 0}
    daemon.status["sync"]["gallery"]["held_deletes"] = {"here": 0, "cloud": 101}
    daemon.status["recovered"] = "/cache/recovered"
    assert run("status") == 0
    assert capsys.readouterr().out.splitlines()[-7:] == [
        "  held       250 deletions made here that the cloud has not seen",
        "             cloudfs sync confirm: delete them there",
        "             cloudfs sync restore: bring them back",
        "  held       101 deletions in the cloud that do not show here",
        "             cloudfs sync confirm --gallery: delete them here",
        "             cloudfs sync restore --gallery: send up again what is whole here",
        "  recovered  files that lost their names are in /cache/recovered",
    ]


def test_status_without_mounts(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("status", "--json") == 4
    assert json.loads(capsys.readouterr().out) == {"mounts": []}


def test_events_follow_the_journal(run: Run, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    events: list[dict[str, Any]] = [
        {"seq": 42, "time": 5000, "class": "FileSync", "progress": {"state": 2, "error": 0}},
        {"skipped": [43, 50]},
        {
            "seq": 51,
            "time": 6000,
            "class": "CloudFileCache",
            "progress": {"state": 2, "processed": 1, "size": 4, "uri": "file://b/x", "error": 3},
        },
    ]
    daemon.methods["Mount.events"] = lambda _: {"subscription": 9}
    daemon.after["Mount.events"] = [("Mount.event", {"subscription": 9, **event}) for event in events]
    daemon.ends_after = {"Mount.events"}
    assert run("events", "--since", "41", "--json") == 4  # the daemon has ended
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == events
    assert run("events") == 4
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("42  ")
    assert shown[0].endswith("FileSync  DOWNLOADING")
    assert shown[1] == "43–50 were skipped"
    assert shown[2].endswith("CloudFileCache  FAILED  25 %  LOCAL_STORAGE_FULL  file://b/x")
    assert daemon.asked() == [("Mount.events", {"since": 41}), ("Mount.events", {})]


def test_an_interrupt_is_130(run: Run, daemon: FakeDaemon) -> None:
    def interrupt(_: object) -> dict[str, int]:
        main_thread = threading.main_thread().ident
        assert main_thread is not None
        signal.pthread_kill(main_thread, signal.SIGINT)
        return {"subscription": 1}

    daemon.methods["Mount.events"] = interrupt
    assert run("events") == 130
