"""Faults that meet what is written here: it stays, others go on, and all is well once they are over."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from pathlib import Path

import pytest

from tests.mount.conftest import Mounts
from tests.mount.harness import Mount, wait_until
from tests.mount.programs import cloudfs, content, errno_of, fill
from tests.mount.trees import assert_same, changes, conflicts, tree
from tests.servers.apache import Apache
from tests.servers.faults import (
    LOGIN_PAGE,
    Answer,
    Close,
    CutBody,
    CutRequest,
    Fault,
    Hang,
    HangBody,
    LoseAnswer,
)
from tests.servers.proxy import FaultProxy
from tests.servers.wsgidav import WsgiDav

MIB = 1024 * 1024
OLD, NEW = content(300_000, seed=7), content(400_000, seed=8)
DAY_S = 24 * 3600


@pytest.fixture
def mount(apache: Apache, proxy: FaultProxy, mounts: Mounts) -> Mount:
    """Eight files in sync, with a brake that a few deletes meet."""
    (apache.root / "docs").mkdir()
    for number in range(7):
        (apache.root / f"{number}.bin").write_bytes(OLD[number:])
    (apache.root / "docs" / "d.bin").write_bytes(OLD)
    sync = {"auto": False, "delete_brake": 3}
    mount = mounts(proxy.url, cloud={"timeout": "1s"}, sync=sync)
    mount.settle()
    return mount


def write_some(mount: Mount) -> dict[str, bytes | None]:
    """Two files that faults meet, and one that they don't; what both sides should hold."""
    expected = tree(mount.path)
    for name in ("0.bin", "new 0.bin", "good.bin"):
        (mount.path / name).write_bytes(NEW)
        expected[name] = NEW
    return expected


def assert_well(mount: Mount, root: Path, expected: dict[str, bytes | None]) -> None:
    """Once the trouble is over both sides hold what is expected, and nothing more."""
    mount.settle()
    assert_same(expected, tree(mount.path), "in the mount")
    assert_same(expected, tree(root), "on the server")


# --- an upload in trouble ---


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Answer(507), "CLOUD_STORAGE_FULL"),
        (Answer(409), "NO_ERROR"),
        (Answer(413), "NO_ERROR"),
        (Answer(423), "NO_ERROR"),
        (Answer(429, {"Retry-After": "60"}), "NO_ERROR"),
        (Answer(500), "NO_ERROR"),
        (Answer(503, {"Retry-After": "60"}), "NO_ERROR"),
        (Answer(301, {"Location": "http://127.0.0.1:9/"}), "NO_ERROR"),
        (LOGIN_PAGE, "NO_ERROR"),
        (Close(), "NETWORK_UNAVAILABLE"),
        (CutRequest(100_000), "NETWORK_UNAVAILABLE"),
        (Hang(), "NETWORK_UNAVAILABLE"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{getattr(value, 'status', value)}",
)
def test_an_upload_that_fails_stays_and_goes_up_later(
    fault: Fault, error: str, mount: Mount, apache: Apache, proxy: FaultProxy
) -> None:
    expected = write_some(mount)
    proxy.faults.add(fault, method="PUT", target="0.bin")
    assert mount.sync() == "UPLOAD_FAILED"
    assert mount.xattr("sync_error") == error
    assert mount.pending == 2
    held = tree(apache.root)
    assert (held["0.bin"], held.get("new 0.bin"), held["good.bin"]) == (OLD, None, NEW)
    assert_same(tree(mount.path), expected, "nothing of it is lost here")
    assert mount.xattr("state", "0.bin") == "STOPPED"
    assert {mount.xattr("error", name) for name in ("0.bin", "new 0.bin")} != {"NO_ERROR"}
    proxy.faults.clear()
    assert_well(mount, apache.root, expected)


@pytest.mark.parametrize(
    "fault", [Answer(500), Answer(503, {"Retry-After": "1"}), Close(), LoseAnswer()], ids=str
)
def test_an_upload_that_fails_is_tried_again_by_itself(
    fault: Fault, apache: Apache, proxy: FaultProxy, mounts: Mounts
) -> None:
    mount = mounts(proxy.url, cloud={"timeout": "2s"}, sync={"debounce": "100ms", "interval": "1s"})
    assert os.listdir(mount.path) == []
    proxy.faults.add(fault, method="PUT|MKCOL", target="file|folder", times=3)
    (mount.path / "file.bin").write_bytes(NEW)
    (mount.path / "folder").mkdir()
    expected = {"file.bin": NEW, "folder": None}
    wait_until(lambda: tree(apache.root) == expected, "it is in the cloud")
    wait_until(lambda: mount.pending == 0, "and that is known")
    assert_same(tree(mount.path), expected)
    assert mount.xattr("error", "file.bin") == "NO_ERROR"


def test_credentials_that_end_hold_up_all_and_lose_nothing(
    mount: Mount, apache: Apache, proxy: FaultProxy
) -> None:
    expected = write_some(mount)
    proxy.faults.add(Answer(401), method="PUT|PROPFIND", target="")
    assert mount.sync() == "DOWNLOAD_FAILED"
    assert mount.status()["cloud"]["state"] == "unauthorized"
    proxy.faults.clear()
    assert_well(mount, apache.root, expected)


@pytest.mark.parametrize("status", [400, 403, 409, 423, 500, 507])
def test_moves_deletes_and_folders_that_are_refused_are_done_later(
    status: int, mount: Mount, apache: Apache, proxy: FaultProxy
) -> None:
    os.rename(mount.path / "0.bin", mount.path / "docs" / "moved.bin")
    os.unlink(mount.path / "1.bin")
    (mount.path / "made").mkdir()
    (mount.path / "made" / "inner.bin").write_bytes(NEW)
    expected = tree(mount.path)
    proxy.faults.add(
        Answer(status), method="MOVE|DELETE|MKCOL", target="^/[^.]"
    )  # not what it is asked first
    (mount.path / "good.bin").write_bytes(NEW)
    mount.sync()
    assert_same(tree(mount.path), expected | {"good.bin": NEW}, "while it is refused")
    held = tree(apache.root)
    assert held["good.bin"] == NEW
    assert "made" not in held
    assert OLD in (held.get("0.bin"), held.get("docs/moved.bin")), "moved, or sent anew before it is removed"
    proxy.faults.clear()
    assert_well(mount, apache.root, expected | {"good.bin": NEW})


@pytest.mark.parametrize("status", [403, 405])
def test_a_server_that_lets_nothing_go_takes_new_files(
    status: int, mount: Mount, apache: Apache, proxy: FaultProxy
) -> None:
    """A drop box: neither DELETE nor MOVE, not of what is its own either."""
    proxy.faults.add(Answer(status), method="MOVE|DELETE")
    (mount.path / "new.bin").write_bytes(NEW)
    (mount.path / "made").mkdir()
    os.unlink(mount.path / "1.bin")
    expected = tree(mount.path)
    assert mount.sync() == "UPLOAD_FAILED"
    held = tree(apache.root)
    assert (held.get("new.bin"), "made" in held, held["1.bin"]) == (NEW, True, OLD[1:])
    assert mount.pending == 1
    proxy.faults.clear()
    mount.settle()
    assert_same(expected, tree(mount.path))


def test_a_root_that_takes_nothing_is_no_obstacle_to_its_folders(
    mount: Mount, apache: Apache, proxy: FaultProxy
) -> None:
    """As on a server where only the folders in it are the user's own."""
    proxy.faults.add(Answer(403), method="PUT|MKCOL|MOVE|DELETE", target="^/[^/]*$")
    (mount.path / "docs" / "new.bin").write_bytes(NEW)
    (mount.path / "docs" / "made").mkdir()
    (mount.path / "docs" / "d.bin").write_bytes(NEW)
    (mount.path / "refused.bin").write_bytes(NEW)
    expected = tree(mount.path)
    assert mount.sync() == "UPLOAD_FAILED"
    held = tree(apache.root)
    assert (held["docs/new.bin"], held["docs/d.bin"], "docs/made" in held) == (NEW, NEW, True)
    assert (mount.pending, mount.xattr("error", "refused.bin")) == (1, "UNKNOWN_ERROR")
    proxy.faults.clear()
    assert_well(mount, apache.root, expected)


# --- names ---


@pytest.mark.parametrize("status", [400, 403, 414, 422])
def test_a_name_that_the_cloud_refuses_stays_local_with_the_reason(
    status: int, mount: Mount, apache: Apache, proxy: FaultProxy
) -> None:
    proxy.faults.add(Answer(status), method="PUT|MKCOL|MOVE", target="refused")
    (mount.path / "refused: file").write_bytes(NEW)
    (mount.path / "refused| folder").mkdir()
    (mount.path / "refused| folder" / "inner").write_bytes(NEW)
    expected = tree(mount.path)
    (mount.path / "good.bin").write_bytes(NEW)
    assert mount.sync() == "UPLOAD_FAILED"
    assert_same(tree(mount.path), expected | {"good.bin": NEW})
    assert (apache.root / "good.bin").read_bytes() == NEW
    assert mount.pending == 3
    for name in ("refused: file", "refused| folder"):
        assert mount.xattr("error", name) == "UNKNOWN_ERROR"
        told = cloudfs("why", "--json", mount.path / name, "--socket", mount.socket)
        assert told.returncode == 0, told.stderr
        assert json.loads(told.stdout)["error"], "with the reason"
    os.rename(mount.path / "refused: file", mount.path / "taken file")
    os.rename(mount.path / "refused| folder", mount.path / "taken folder")
    assert_well(mount, apache.root, tree(mount.path))


def test_a_path_too_long_for_a_url_holds_up_no_other(mount: Mount, apache: Apache) -> None:
    """Debian's Apache takes 8 KiB of a request line, and none of it beyond 4 KiB of path on its disk."""
    here = os.open(mount.path, os.O_RDONLY)
    try:
        for _ in range(20):
            os.mkdir("n" * 250, dir_fd=here)
            below = os.open("n" * 250, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        fd = os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here)
        os.write(fd, NEW)
        os.close(fd)
    finally:
        os.close(here)
    (mount.path / "good.bin").write_bytes(NEW)
    assert mount.sync() == "UPLOAD_FAILED"
    assert (apache.root / "good.bin").read_bytes() == NEW
    assert 0 < mount.pending < 21
    shutil.rmtree(mount.path / ("n" * 250))
    assert mount.sync() == "UPLOAD_FAILED", "so many deletes meet the brake"
    mount.call("Mount.confirm", scope="files")
    assert_well(mount, apache.root, tree(mount.path))


def test_names_that_differ_by_case_live_where_the_server_lets_them(mount: Mount, apache: Apache) -> None:
    for name, data in (("readme", OLD), ("README", NEW), ("Readme", b"third")):
        (mount.path / name).write_bytes(data)
    os.rename(mount.path / "0.bin", mount.path / "0.BIN")
    assert_well(mount, apache.root, tree(mount.path))
    assert {"readme", "README", "Readme", "0.BIN"} < set(os.listdir(apache.root))


def test_names_that_the_server_takes_for_one_do_not_overwrite_each_other(
    mount: Mount, apache: Apache, proxy: FaultProxy
) -> None:
    """A server that folds case says 412, or 405, to a name that it takes for another, and lists the other."""
    (apache.root / "readme").write_bytes(OLD)
    (apache.root / "folder").mkdir()
    mount.settle()
    proxy.faults.add(Answer(412), method="PUT|MOVE", target="/README")
    proxy.faults.add(Answer(405), method="MKCOL", target="/FOLDER")
    (mount.path / "README").write_bytes(NEW)
    (mount.path / "FOLDER").mkdir()
    (mount.path / "good.bin").write_bytes(NEW)
    expected = tree(mount.path)
    for _ in range(2):
        assert mount.sync() == "UPLOAD_FAILED"
        assert_same(tree(mount.path), expected)
        assert mount.xattr("error", "README") == "UNKNOWN_ERROR"
    assert (apache.root / "readme").read_bytes() == OLD
    assert mount.pending == 2
    os.rename(mount.path / "README", mount.path / "second readme")
    os.rmdir(mount.path / "FOLDER")
    assert_well(mount, apache.root, tree(mount.path))


# --- what the server tells of itself ---

EMPTY = (
    '<?xml version="1.0"?><D:multistatus xmlns:D="DAV:"><D:response><D:href>/</D:href><D:propstat><D:prop>'
    "<D:resourcetype><D:collection/></D:resourcetype></D:prop><D:status>HTTP/1.1 200 OK</D:status>"
    "</D:propstat></D:response></D:multistatus>"
)
EMPTY_LISTING = Answer(207, {"Content-Type": "application/xml"}, EMPTY.encode())


@pytest.mark.parametrize(
    "fault",
    [CutBody(300), HangBody(300), LOGIN_PAGE, Answer(207, {}, b""), Answer(404), Answer(500), Answer(403)],
    ids=["cut", "hangs", "login page", "empty", "404", "500", "403"],
)
def test_what_is_no_listing_costs_nothing_that_was_written(
    fault: Fault, mount: Mount, apache: Apache, proxy: FaultProxy
) -> None:
    expected = write_some(mount)
    os.unlink(mount.path / "6.bin")
    del expected["6.bin"]
    before = tree(apache.root)
    proxy.faults.add(fault, method="PROPFIND")
    assert mount.sync() == "DOWNLOAD_FAILED"
    assert_same(tree(mount.path), expected)
    assert_same(tree(apache.root), before, "nothing goes up after a listing that failed as a whole")
    proxy.faults.clear()
    assert_well(mount, apache.root, expected)


def test_an_empty_answer_where_files_were_meets_the_brake(
    mount: Mount, apache: Apache, proxy: FaultProxy
) -> None:
    expected = write_some(mount)
    del expected["docs"]
    proxy.faults.add(EMPTY_LISTING, method="PROPFIND", target="^/$")
    assert mount.sync() == "DOWNLOAD_FAILED"
    assert mount.status()["held_deletes"] >= 7
    held = tree(mount.path)
    assert {name: held.get(name) for name in expected} == expected
    assert len(tree(apache.root)) >= 9, "nor was anything removed there"
    proxy.faults.clear()
    mount.sync()
    mount.settle()
    held = tree(apache.root)
    assert_same(tree(mount.path), held)
    assert NEW in (held["0.bin"], *(held[name] for name in conflicts(held)))
    assert (held["new 0.bin"], held["docs/d.bin"], held["6.bin"]) == (NEW, OLD, OLD[6:])


def test_a_server_restored_from_an_old_backup_costs_nothing_written_here(
    mount: Mount, apache: Apache, tmp_path: Path
) -> None:
    shutil.copytree(apache.root, tmp_path / "backup")
    for name in ("0.bin", "1.bin", "later.bin"):
        (mount.path / name).write_bytes(NEW)
    mount.settle()
    shutil.rmtree(apache.root, ignore_errors=True)
    shutil.copytree(tmp_path / "backup", apache.root, copy_function=shutil.copy2, dirs_exist_ok=True)
    (mount.path / "1.bin").write_bytes(NEW + b"and more")
    (mount.path / "later.bin").write_bytes(NEW + b"and more")
    mount.settle()
    held = tree(apache.root)
    assert_same(tree(mount.path), held)
    copies = {of: held[name] for name, of in conflicts(held).items()}
    assert (held["0.bin"], held["1.bin"]) == (OLD, OLD[1:]), "the cloud's, under its name"
    assert copies == {"1.bin": NEW + b"and more"}
    assert held["later.bin"] == NEW + b"and more", "an edit beats a delete"


def test_times_that_jump_hide_no_change(mount: Mount, apache: Apache, proxy: FaultProxy) -> None:
    """Of the same size, with times of yesterday, tomorrow, 1970 and 2100: content and tags decide."""
    now = time.time()
    for number, when in enumerate((now - DAY_S, now + DAY_S, 1, 4_102_444_800)):
        path = mount.path / f"{number}.bin"
        path.write_bytes(NEW[: len(OLD) - number])
        os.utime(path, (when, when))
    for number, when in ((4, now - DAY_S), (5, now + DAY_S)):
        path = apache.root / f"{number}.bin"
        path.write_bytes(NEW[: len(OLD) - number])
        os.utime(path, (when, when))
    mount.settle()
    held = tree(apache.root)
    assert_same(tree(mount.path), held)
    assert {f"{number}.bin": NEW[: len(OLD) - number] for number in range(6)}.items() <= held.items()
    assert conflicts(held) == {}
    assert int((mount.path / "2.bin").stat().st_mtime) == 1
    before = len(proxy.seen)
    os.utime(mount.path / "6.bin", (1, 1))
    mount.settle()
    assert changes(proxy.seen[before:]) == [], "a time alone is no change of content"
    assert int((mount.path / "6.bin").stat().st_mtime) == 1


# --- a full cloud and a full disk ---


def test_a_file_too_large_for_the_cloud_is_refused_and_the_next_one_taken(
    wsgidav: WsgiDav, mounts: Mounts
) -> None:
    """By a server that says so only at the end, whatever way the content goes there."""
    with FaultProxy(wsgidav.url) as proxy:
        mount = mounts(proxy.url, sync={"auto": False})
        (mount.path / "first").write_bytes(b"1")
        mount.settle()
        proxy.faults.add(Answer(507), method="PUT")
        (mount.path / "large.bin").write_bytes(NEW)
        assert mount.sync() == "UPLOAD_FAILED"
        assert mount.xattr("sync_error") == "CLOUD_STORAGE_FULL"
        assert mount.xattr("error", "large.bin") == "CLOUD_STORAGE_FULL"
        assert tree(wsgidav.root) == {"first": b"1"}, "no such file in the cloud"
        proxy.faults.clear()
        assert_well(mount, wsgidav.root, {"first": b"1", "large.bin": NEW})


def test_a_disk_full_in_mid_write_costs_nothing_acknowledged(
    apache: Apache, small_disk: Path, mounts: Mounts
) -> None:
    mount = mounts(apache.url, cache={"path": str(small_disk / "cache")}, sync={"auto": False})
    (mount.path / "kept.bin").write_bytes(content(2 * MIB, seed=1))
    (mount.path / "synced.bin").write_bytes(content(2 * MIB, seed=2))
    met = 0
    with (mount.path / "large.bin").open("wb", buffering=0) as file:
        while met == 0:
            met = errno_of(lambda: file.write(bytes(MIB)))
            assert (mount.path / "large.bin").stat().st_size < 24 * MIB
        assert met == errno.ENOSPC
        assert (mount.path / "kept.bin").read_bytes() == content(2 * MIB, seed=1)
    assert errno_of(lambda: (mount.path / "more.bin").write_bytes(bytes(MIB))) == errno.ENOSPC
    mount.remount()
    assert (mount.path / "kept.bin").read_bytes() == content(2 * MIB, seed=1)
    (mount.path / "large.bin").unlink()
    (mount.path / "more.bin").unlink(missing_ok=True)
    (mount.path / "after.bin").write_bytes(content(2 * MIB, seed=3))
    expected: dict[str, bytes | None] = {
        "kept.bin": content(2 * MIB, seed=1),
        "synced.bin": content(2 * MIB, seed=2),
        "after.bin": content(2 * MIB, seed=3),
    }
    assert_well(mount, apache.root, expected)


def test_unsent_content_is_never_evicted_for_room(apache: Apache, small_disk: Path, mounts: Mounts) -> None:
    (apache.root / "large.bin").write_bytes(content(30 * MIB, seed=9))
    cache = {"path": str(small_disk / "cache"), "size": "8MiB"}
    mount = mounts(apache.url, cache=cache, sync={"auto": False})
    mount.settle()
    written = {f"{number}.bin": content(3 * MIB, seed=number) for number in range(4)}
    for name, data in written.items():
        (mount.path / name).write_bytes(data)  # more than `size`: it may be exceeded by what is unsent
    assert (mount.path / "large.bin").read_bytes() == content(30 * MIB, seed=9)
    mount.remount()
    assert {name: (mount.path / name).read_bytes() for name in written} == written
    mount.settle()
    assert {name: (apache.root / name).read_bytes() for name in written} == written
    assert (mount.path / "large.bin").read_bytes() == content(30 * MIB, seed=9)
    wait_until(lambda: mount.status()["cache"]["used"] <= 9 * MIB, "what was sent makes room")


def test_a_full_disk_lets_go_of_what_was_sent(apache: Apache, small_disk: Path, mounts: Mounts) -> None:
    mount = mounts(apache.url, cache={"path": str(small_disk / "cache")}, sync={"auto": False})
    (mount.path / "sent.bin").write_bytes(content(4 * MIB, seed=1))
    mount.settle()
    ballast = fill(small_disk)
    (mount.path / "new.bin").write_bytes(content(2 * MIB, seed=2))
    mount.settle()
    assert (apache.root / "new.bin").read_bytes() == content(2 * MIB, seed=2)
    ballast.unlink()
    assert (mount.path / "sent.bin").read_bytes() == content(4 * MIB, seed=1)
