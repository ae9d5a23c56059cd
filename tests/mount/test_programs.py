"""Real programs at work in a mount: what they made is in the cloud byte for byte, and in any other mount."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.mount.conftest import Mounts
from tests.mount.harness import Mount
from tests.mount.programs import content
from tests.mount.trees import assert_same, changes, conflicts, tree
from tests.servers.apache import Apache
from tests.servers.proxy import FaultProxy

OLD, NEW = content(100_000, seed=11), content(120_000, seed=12)


@pytest.fixture
def in_the_cloud(apache: Apache, mounts: Mounts) -> Callable[[Mount], dict[str, bytes | None]]:
    """Sync a mount, and compare it with the server and with a fresh mount; what they hold."""

    def compare(mount: Mount) -> dict[str, bytes | None]:
        mount.settle()
        held = tree(mount.path)
        assert_same(held, tree(apache.root), "between the mount and the server")
        assert conflicts(held) == {}
        fresh = mounts(apache.url, sync={"auto": False})
        assert_same(held, tree(fresh.path), "between two mounts")
        fresh.stop()
        return held

    return compare


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    """A folder on the local disk: files of several sizes, times and modes, folders, an empty one."""
    top = tmp_path / "samples"
    for number, name in enumerate(("a.txt", "docs/b.bin", "docs/deep/c.bin", "docs/ünï cödé", "empty file")):
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"" if name == "empty file" else content(50_000 * number + 10, seed=number))
        os.utime(path, ns=(1_600_000_000_123_456_789 + number, 1_600_000_000_123_456_789 + number))
    (top / "a.txt").chmod(0o755)
    (top / "docs" / "b.bin").chmod(0o600)
    (top / "empty folder").mkdir()
    return top


def run(*command: str | Path, cwd: Path | None = None, quiet: bool = True) -> str:
    """A program that must succeed; what it said."""
    environment = os.environ | {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        **{
            f"GIT_{who}_{what}": "me@example.org"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        },
    }
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=environment)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    assert not quiet or done.stderr == "", (command, done.stderr)
    return done.stdout


# --- git ---


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A bare repository with two commits."""
    work = tmp_path / "work"
    run("git", "init", "-q", "-b", "main", work)
    for number in range(2):
        (work / f"folder {number}").mkdir()
        for file in range(20):
            (work / f"folder {number}" / f"{file}.txt").write_text(f"line {number}\n" * file)
        run("git", "add", "-A", cwd=work)
        run("git", "commit", "-q", "-m", f"commit {number}", cwd=work)
    run("git", "clone", "-q", "--bare", work, tmp_path / "bare.git")
    return tmp_path / "bare.git"


def test_git_works_while_it_is_synced(
    at_work: Mount, bare: Path, in_the_cloud: Callable[[Mount], dict[str, bytes | None]]
) -> None:
    clone = at_work.path / "clone"
    run("git", "clone", "-q", bare, clone, quiet=False)
    assert run("git", "status", "--porcelain", cwd=clone) == ""
    for number in range(3):
        (clone / f"new {number}.txt").write_text(f"{number}\n" * 1000)
        (clone / "folder 0" / "3.txt").write_text(f"changed {number}\n")
        run("git", "add", "-A", cwd=clone)
        run("git", "commit", "-q", "-m", f"in the mount {number}", cwd=clone)
    run("git", "mv", "folder 1", "renamed", cwd=clone)
    run("git", "commit", "-q", "-m", "renamed", cwd=clone)
    run("git", "gc", "-q", "--prune=now", cwd=clone)
    run("git", "checkout", "-q", "HEAD~3", cwd=clone)
    run("git", "checkout", "-q", "main", cwd=clone)
    run("git", "push", "-q", "origin", "main", cwd=clone)
    run("git", "fsck", "--strict", "--full", cwd=clone, quiet=False)
    in_the_cloud(at_work)
    assert run("git", "status", "--porcelain", cwd=clone) == ""
    at_work.remount()
    assert run("git", "status", "--porcelain", cwd=clone) == ""
    assert run("git", "log", "--format=%s", cwd=clone) == run("git", "log", "--format=%s", "main", cwd=bare)
    run("git", "fsck", "--strict", "--full", cwd=clone, quiet=False)


def test_a_clone_of_git_opens_in_a_fresh_mount(
    mount: Mount, bare: Path, mounts: Mounts, apache: Apache
) -> None:
    run("git", "clone", "-q", bare, mount.path / "clone", quiet=False)
    mount.settle()
    fresh = mounts(apache.url, sync={"auto": False})
    run("git", "fsck", "--strict", "--full", cwd=fresh.path / "clone", quiet=False)
    assert run("git", "status", "--porcelain", cwd=fresh.path / "clone") == ""


# --- databases ---


@pytest.mark.parametrize("journal", ["delete", "truncate", "wal"])
def test_sqlite_keeps_a_database_whole_while_it_is_synced(
    journal: str, at_work: Mount, in_the_cloud: Callable[[Mount], dict[str, bytes | None]]
) -> None:
    path = at_work.path / "data.db"
    with closing(sqlite3.connect(path)) as database:
        assert database.execute(f"PRAGMA journal_mode={journal}").fetchone() == (journal,)
        database.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, data BLOB)")
        for number in range(60):
            with database:
                database.execute("INSERT INTO rows (data) VALUES (?)", (content(3000, seed=number),))
            if number % 20 == 19:
                with database:
                    database.execute("DELETE FROM rows WHERE id % 3 = 0")
                database.execute("VACUUM")
        with closing(sqlite3.connect(path)) as reader:
            assert reader.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = database.execute("SELECT count(*) FROM rows").fetchone()
    in_the_cloud(at_work)
    at_work.remount()
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("SELECT count(*) FROM rows").fetchone() == rows


INSERTS = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA journal_mode=" + sys.argv[2])
database.execute("PRAGMA synchronous=FULL")
database.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, data BLOB)")
for number in range(1, 1_000_000):
    database.execute("INSERT INTO rows (data) VALUES (randomblob(3000))")
    print(number, flush=True)
"""


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_a_database_survives_the_daemons_end_in_mid_work(journal: str, at_work: Mount) -> None:
    """What sqlite committed with synchronous=FULL is there, whatever of it was in the cloud."""
    path = at_work.path / "data.db"
    command = [sys.executable, "-c", INSERTS, str(path), journal]
    # A process of its own: one that maps a file of a dead mount gets SIGBUS.
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as program:
        assert program.stdout is not None
        for line in program.stdout:
            if int(line) == 40:
                break
        at_work.kill()
        committed = 40 + len(program.stdout.readlines())
    at_work.start()
    with closing(sqlite3.connect(path)) as again:
        assert again.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        (found,) = again.execute("SELECT count(*) FROM rows").fetchone()
    assert found in (committed, committed + 1), "one may be committed and not yet told"


# --- copies and archives ---


def test_rsync_both_ways(
    mount: Mount, samples: Path, tmp_path: Path, in_the_cloud: Callable[[Mount], dict[str, bytes | None]]
) -> None:
    there, back = mount.path / "there", tmp_path / "back"
    run("rsync", "-a", f"{samples}/", there)
    assert run("rsync", "-ai", f"{samples}/", there) == "", "the second run transfers nothing"
    in_the_cloud(mount)
    assert run("rsync", "-ai", f"{samples}/", there) == "", "neither after a sync"
    mount.remount()
    assert run("rsync", "-ai", f"{samples}/", there) == "", "nor after a remount"
    run("rsync", "-a", f"{there}/", back)
    assert run("rsync", "-aic", f"{there}/", back) == ""
    assert run("rsync", "-aic", f"{samples}/", back) == ""
    assert_same(tree(samples), tree(back))
    (samples / "a.txt").write_bytes(NEW)
    shutil.rmtree(samples / "docs" / "deep")
    run("rsync", "-a", "--delete", f"{samples}/", there)
    assert_same(tree(samples), tree(there))
    in_the_cloud(mount)


def test_rsync_in_place_and_from_placeholders(
    mount: Mount, apache: Apache, samples: Path, in_the_cloud: Callable[[Mount], dict[str, bytes | None]]
) -> None:
    shutil.copytree(samples, apache.root / "there")
    mount.settle()
    (samples / "docs" / "deep" / "c.bin").write_bytes(content(100_010, seed=2)[:60_000] + NEW)
    run("rsync", "-a", "--inplace", "--no-whole-file", f"{samples}/", mount.path / "there")
    assert_same(tree(samples), tree(mount.path / "there"))
    in_the_cloud(mount)


def test_tar(
    mount: Mount, samples: Path, tmp_path: Path, in_the_cloud: Callable[[Mount], dict[str, bytes | None]]
) -> None:
    run("tar", "-C", samples, "-cf", tmp_path / "one.tar", ".")
    (mount.path / "there").mkdir()
    run("tar", "-C", mount.path / "there", "-xf", tmp_path / "one.tar")
    run("tar", "-C", mount.path / "there", "-df", tmp_path / "one.tar")
    run("tar", "-C", mount.path / "there", "-czf", mount.path / "two.tar.gz", ".")
    in_the_cloud(mount)
    mount.remount()
    run("tar", "-C", mount.path / "there", "-df", tmp_path / "one.tar")
    run("tar", "-C", samples, "-df", mount.path / "two.tar.gz")


def test_zip(mount: Mount, samples: Path, in_the_cloud: Callable[[Mount], dict[str, bytes | None]]) -> None:
    run("cp", "-a", samples, mount.path / "there")
    run("zip", "-qr", mount.path / "all.zip", ".", cwd=mount.path / "there")
    (mount.path / "there" / "late.txt").write_bytes(NEW)
    run("zip", "-q", mount.path / "all.zip", "late.txt", cwd=mount.path / "there")
    run("unzip", "-qt", mount.path / "all.zip")
    run("unzip", "-q", mount.path / "all.zip", "-d", mount.path / "again")
    assert_same(tree(mount.path / "there"), tree(mount.path / "again"))
    in_the_cloud(mount)


def test_cp_keeps_times_modes_and_attributes(
    mount: Mount, samples: Path, in_the_cloud: Callable[[Mount], dict[str, bytes | None]]
) -> None:
    os.setxattr(samples / "a.txt", "user.tag", b"red")
    run("cp", "-a", samples, mount.path / "there")
    run("cp", "-a", mount.path / "there", mount.path / "again")
    in_the_cloud(mount)
    mount.remount()
    for copy in ("there", "again"):
        assert_same(tree(samples), tree(mount.path / copy))
        assert os.getxattr(mount.path / copy / "a.txt", "user.tag") == b"red"
        for path in samples.rglob("*"):
            kept, original = (mount.path / copy / path.relative_to(samples)).stat(), path.stat()
            assert (kept.st_mode, kept.st_mtime_ns) == (original.st_mode, original.st_mtime_ns), path


def test_mv_between_folders_sends_no_content(
    mount: Mount,
    apache: Apache,
    samples: Path,
    proxy: FaultProxy,
    in_the_cloud: Callable[[Mount], dict[str, bytes | None]],
) -> None:
    shutil.copytree(samples, apache.root / "there")
    mount.settle()
    before = len(proxy.seen)
    run("mv", "a.txt", "docs/ünï cödé", "empty folder", cwd=mount.path / "there")
    run("mv", mount.path / "there" / "docs", mount.path / "papers")
    run("mv", mount.path / "papers" / "deep" / "c.bin", mount.path / "top.bin")
    held = in_the_cloud(mount)
    assert {change.split()[0] for change in changes(proxy.seen[before:])} == {"MOVE"}
    assert held["top.bin"] == (samples / "docs" / "deep" / "c.bin").read_bytes()
    run("mv", mount.path / "top.bin", samples / "taken.bin")
    assert (samples / "taken.bin").read_bytes() == held["top.bin"]
    run("mv", samples / "taken.bin", mount.path / "papers")
    in_the_cloud(mount)
