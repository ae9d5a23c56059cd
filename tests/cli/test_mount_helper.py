"""mount.fuse.cloudfs: its options apart, as whom it serves, what it asks of the mount, and its exit codes."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudfs.cache.directory import claim
from cloudfs.cli import mount_helper
from cloudfs.cli.account import NotPossible, become, complete_environment, of_the_machine
from cloudfs.cli.failures import Failure
from cloudfs.cli.mount import MountRequest
from cloudfs.cli.mount_helper import HelperOptions, main, read_options
from cloudfs.config import MountConfig

WORDS = st.text(st.characters(exclude_characters=",[]", exclude_categories=["Cs"]), min_size=1).filter(
    lambda word: word != "remount" and not word.startswith("setuid=")
)


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """As it was, after the test."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


# --- options ---


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("", HelperOptions(None, False, "")),
        ("rw,cache.size=1GiB,_netdev", HelperOptions(None, False, "rw,cache.size=1GiB,_netdev")),
        ("rw,setuid=me,nofail", HelperOptions("me", False, "rw,nofail")),
        ("setuid=me,,setuid=you", HelperOptions("you", False, "")),
        ('setuid=me,gallery.folders=["A","B"]', HelperOptions("me", False, 'gallery.folders=["A","B"]')),
        ("ro,remount", HelperOptions(None, True, "ro")),
        ("x-remount,asetuid=1", HelperOptions(None, False, "x-remount,asetuid=1")),
    ],
)
def test_options_apart(text: str, options: HelperOptions) -> None:
    assert read_options(text) == options


@given(
    st.lists(WORDS), st.none() | st.text(st.characters(exclude_characters=",[]")), st.booleans(), st.data()
)
def test_what_is_not_for_the_helper_goes_on_in_its_order(
    words: list[str], user: str | None, is_remount: bool, data: st.DataObject
) -> None:
    ours = ["remount"] * is_remount + ([] if user is None else [f"setuid={user}"])
    mixed = list(words)
    for word in ours:
        mixed.insert(data.draw(st.integers(0, len(mixed))), word)
    assert read_options(",".join(mixed)) == HelperOptions(user, is_remount, ",".join(words))


# --- as whom ---


def test_nobody_becomes_who_is_not_there() -> None:
    with pytest.raises(NotPossible, match="there is no user nobody-of-that-name"):
        become("nobody-of-that-name")


def test_only_root_becomes_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 4321)
    with pytest.raises(NotPossible, match="only root may mount as root"):
        become("root")


def test_who_becomes_the_same_user_keeps_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "mine")
    become(pwd.getpwuid(os.getuid()).pw_name)
    assert os.environ["SECRET"] == "mine"


def test_what_a_boot_leaves_out_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = pwd.getpwuid(os.getuid())
    for variable in ("HOME", "PATH", "USER", "SHELL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("LOGNAME", "as it was")
    complete_environment()
    assert os.environ["HOME"] == mine.pw_dir
    assert os.environ["USER"] == mine.pw_name
    assert os.environ["LOGNAME"] == "as it was"
    assert "/usr/bin" in os.environ["PATH"].split(":")


def test_a_user_without_a_name_gets_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_: int) -> pwd.struct_passwd:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.delenv("PATH")
    monkeypatch.delenv("USER", raising=False)
    complete_environment()
    assert "PATH" in os.environ
    assert "USER" not in os.environ


def test_what_another_user_is_told_of_the_environment() -> None:
    environment = {
        "HOME": "/root",
        "AWS_SECRET": "x",
        "LANG": "C",
        "LC_TIME": "de",
        "TZ": "UTC",
        "PATH": "/x",
    }
    assert of_the_machine(environment) == {"LANG": "C", "LC_TIME": "de", "TZ": "UTC"}


# --- the whole ---


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "work.toml"
    path.write_text(f'[cloud]\nurl = "http://127.0.0.1:1/"\n[cache]\npath = "{tmp_path}/cache"\n')
    return path


@pytest.fixture
def mounted(monkeypatch: pytest.MonkeyPatch) -> list[MountRequest]:
    """What would have been mounted."""
    requests: list[MountRequest] = []

    def note(request: MountRequest, config: MountConfig) -> None:
        requests.append(request)

    monkeypatch.setattr(mount_helper, "mount_in_background", note)
    return requests


def test_what_is_asked_of_the_mount(config: Path, mounted: list[MountRequest], tmp_path: Path) -> None:
    link = tmp_path / "link.toml"
    link.symlink_to(config)
    mountpoint = tmp_path / "mnt"
    assert main([str(link), str(mountpoint), "-o", "rw,noexec,cache.size=1GiB,nofail"]) == 0
    assert mounted == [MountRequest(link, mountpoint, "rw,noexec,cache.size=1GiB,nofail", str(config))]


def test_nothing_is_mounted_that_is_only_to_be_tried(
    config: Path, mounted: list[MountRequest], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(config), "/mnt", "-sfnv", "-t", "fuse.cloudfs", "-o", "ro,nonsense"]) == 0
    assert mounted == []
    assert capsys.readouterr().out == f"mount.fuse.cloudfs: {config} on /mnt\n"


def test_sloppy_passes_over_what_it_does_not_know(config: Path, mounted: list[MountRequest]) -> None:
    assert main([str(config), "/mnt", "-s", "-o", "ro,nonsense,cache.size=1GiB"]) == 0
    assert mounted[0].options == "ro,cache.size=1GiB"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["-o", "nonsense"], 32, "mount.nonsense: unknown key"),
        (["-o", "ro,remount"], 32, "a mount that is there can't be changed: umount /mnt"),
        (["-o", "setuid=nobody-of-that-name"], 1, "there is no user"),
        (["-N", "/proc/1/ns/mnt"], 1, "unrecognized arguments: -N"),
        (["and", "more"], 1, "unrecognized arguments: and more"),
    ],
)
def test_what_is_refused(
    config: Path,
    mounted: list[MountRequest],
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    try:
        assert main([str(config), "/mnt", *arguments]) == code
    except SystemExit as left:
        assert left.code == code
    assert words in capsys.readouterr().err
    assert mounted == []


@pytest.mark.parametrize(("error", "code"), [(Failure("no daemon"), 32), (KeyboardInterrupt(), 8)])
def test_how_a_mount_fails(
    config: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    def fail(request: MountRequest, config: MountConfig) -> None:
        raise error

    monkeypatch.setattr(mount_helper, "mount_in_background", fail)
    assert main([str(config), "/mnt"]) == code


def test_a_daemon_that_ends_is_let_end(config: Path, mounted: list[MountRequest], tmp_path: Path) -> None:
    """umount(8) does not wait for it, and `umount X && mount X` is to work."""
    ending = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path / "cache")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert ending.stdout is not None
    assert ending.stdout.readline() == b"claimed\n"
    assert main([str(config), "/mnt"]) == 0
    with claim(tmp_path / "cache"):
        assert len(mounted) == 1
    ending.communicate()


def test_a_daemon_that_goes_on_is_not_waited_for(
    config: Path, mounted: list[MountRequest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mount_helper, "PREDECESSOR_S", 0.1)
    with claim(tmp_path / "cache"):
        assert main([str(config), "/mnt"]) == 0
    assert len(mounted) == 1  # and the new one tells who uses the cache


_HOLD = """
import sys, time
from pathlib import Path
from cloudfs.cache.directory import claim
with claim(Path(sys.argv[1])):
    print("claimed", flush=True)
    time.sleep(0.3)
"""
