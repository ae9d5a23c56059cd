"""Where mount.fuse.cloudfs is put, what it runs, and what it never replaces."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run

NAME = "mount.fuse.cloudfs"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    (folder / "sbin").mkdir(parents=True)
    return folder


def test_it_runs_this_installation(run: Run, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    helper = root / "sbin" / NAME
    assert run("install-helper", "--root", root) == 0
    told = capsys.readouterr().out
    assert str(helper) in told
    assert " fuse.cloudfs _netdev,nofail 0 0\n" in told
    assert stat.S_IMODE(helper.stat().st_mode) == 0o755
    usage = subprocess.run([helper], capture_output=True, text=True, check=False)
    assert usage.returncode == 1
    assert usage.stderr.startswith("usage: mount.fuse.cloudfs ")
    assert os.listdir(root / "sbin") == [NAME]


def test_the_facts_for_programs(run: Run, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("install-helper", "--root", root, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["helper"] == f"{root}/sbin/{NAME}"
    assert facts["interpreter"] == sys.executable
    assert facts["fstab"].split()[2] == "fuse.cloudfs"


def test_an_interpreter_with_an_odd_name(run: Run, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = root / "it's $HOME"
    odd.write_text('#!/bin/sh\necho "$@"\n')
    odd.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(odd))
    assert run("install-helper", "--root", root) == 0
    said = subprocess.run([root / "sbin" / NAME, "a b"], capture_output=True, text=True, check=True).stdout
    assert said == "-P -m cloudfs.cli.mount_helper a b\n"


@pytest.mark.skipif(os.getuid() != 0, reason="only what root installs is run by root")
def test_root_is_told_whose_program_it_will_run(
    run: Run, root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("install-helper", "--root", root) == 0
    assert capsys.readouterr().err == ""
    theirs = root / "python"
    theirs.touch()
    os.chown(theirs, 65534, 65534)
    monkeypatch.setattr(sys, "executable", str(theirs))
    assert run("install-helper", "--root", root) == 0
    assert f"{theirs} belongs to nobody, who so decides" in capsys.readouterr().err


def test_ours_is_replaced(run: Run, root: Path) -> None:
    assert run("install-helper", "--root", root) == 0
    helper = root / "sbin" / NAME
    current = helper.read_text()
    helper.write_text(current + "exit 1\n")
    assert run("install-helper", "--root", root) == 0
    assert helper.read_text() == current


@pytest.mark.parametrize("kind", ["file", "link", "folder"])
def test_what_is_not_ours_stays(run: Run, root: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    helper = root / "sbin" / NAME
    if kind == "file":
        helper.write_text("#!/bin/sh\n")
    elif kind == "link":
        helper.symlink_to("nowhere")
    else:
        helper.mkdir()
    before = helper.lstat()
    assert run("install-helper", "--root", root) == 1
    assert "not of cloudfs' making" in capsys.readouterr().err
    assert helper.lstat() == before


@pytest.mark.parametrize(
    ("links", "where"),
    [
        ({"sbin": "usr/sbin"}, "usr/sbin"),  # Debian
        ({"sbin": "/usr/sbin"}, "usr/sbin"),  # not the one of the running system
        ({"sbin": "usr/sbin", "usr/sbin": "bin"}, "usr/bin"),  # Fedora
        ({"sbin": "../../../usr/sbin"}, "usr/sbin"),
        ({}, "sbin"),
    ],
)
def test_where_usr_is_merged(run: Run, tmp_path: Path, links: dict[str, str], where: str) -> None:
    root = tmp_path / "merged"
    (root / "usr").mkdir(parents=True)
    for link, target in links.items():
        (root / link).symlink_to(target)
    assert run("install-helper", "--root", root) == 0
    assert (root / where / NAME).is_file()


def test_a_circle_of_links(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sbin").symlink_to("sbin")
    assert run("install-helper", "--root", tmp_path) == 1
    assert "circle" in capsys.readouterr().err


def test_where_it_cannot_be_written(run: Run, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "sbin").rmdir()
    (root / "sbin").write_text("a file")
    assert run("install-helper", "--root", root) == 1
    assert "by --root" in capsys.readouterr().err


def test_what_fails_halfway_leaves_what_was_there(
    run: Run, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("install-helper", "--root", root) == 0
    before = (root / "sbin" / NAME).read_text()

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    assert run("install-helper", "--root", root) == 1
    assert os.listdir(root / "sbin") == [NAME]
    assert (root / "sbin" / NAME).read_text() == before
