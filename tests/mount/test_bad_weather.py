"""Faults that meet what is written here: it stays, others go on, and all is well once they are over."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from tests.mount.conftest import Mounts, mount_of_eight
from tests.mount.harness import Mount, wait_until
from tests.mount.programs import content
from tests.mount.trees import assert_same, assert_well, changes, conflicts, tree
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

MIB = 1024 * 1024
OLD, NEW = content(300_000, seed=7), content(400_000, seed=8)
DAY_S = 24 * 3600


@pytest.fixture
def mount(apache: Apache, proxy: FaultProxy, mounts: Mounts) -> Mount:
    return mount_of_eight(apache.root, proxy.url, mounts, OLD)


def write_some(mount: Mount) -> dict[str, bytes | None]:
    """Two files that faults meet, and one that they don't; what both sides should hold."""
    expected = tree(mount.path)
    for name in ("0.bin", "new 0.bin", "good.bin"):
        (mount.path / name).write_bytes(NEW)
        expected[name] = NEW
    return expected


# --- an upload in trouble ---


OWN_FAULTS: dict[str, Fault] = {
    "409": Answer(409),
    "413": Answer(413),
    "423": Answer(423),
    "429": Answer(429, {"Retry-After": "60"}),
    "500": Answer(500),
    "503": Answer(503, {"Retry-After": "60"}),
    "redirect": Answer(301, {"Location": "http://127.0.0.1:9/"}),
    "login": LOGIN_PAGE,
}


def test_uploads_that_fail_each_in_its_own_way_stay_and_go_up_later(
    mount: Mount, apache: Apache, proxy: FaultProxy
) -> None:
    (apache.root / "old").mkdir()
    for name, fault in OWN_FAULTS.items():
        (apache.root / "old" / f"{name}.bin").write_bytes(OLD)
        proxy.faults.add(fault, method="PUT", target=f"/{name}.bin")
    mount.settle()
    (mount.path / "new").mkdir()
    for folder in ("old", "new"):
        for name in (*OWN_FAULTS, "good"):
            (mount.path / folder / f"{name}.bin").write_bytes(NEW)
    expected = tree(mount.path)
    assert mount.sync() == "UPLOAD_FAILED"
    assert mount.xattr("sync_error") == "NO_ERROR"
    assert mount.pending == 2 * len(OWN_FAULTS)
    assert_same(tree(mount.path), expected, "nothing of it is lost here")
    held = tree(apache.root)
    assert (held["old/good.bin"], held["new/good.bin"]) == (NEW, NEW)
    for name in OWN_FAULTS:
        assert (held[f"old/{name}.bin"], f"new/{name}.bin" in held) == (OLD, False), name
        for folder in ("old", "new"):
            assert mount.xattr("state", f"{folder}/{name}.bin") == "STOPPED"
            assert mount.xattr("error", f"{folder}/{name}.bin") == "UNKNOWN_ERROR", name
    proxy.faults.clear()
    assert_well(mount, apache.root, expected)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Answer(507), "CLOUD_STORAGE_FULL"),
        (Close(), "NETWORK_UNAVAILABLE"),
        (CutRequest(100_000), "NETWORK_UNAVAILABLE"),
        (Hang(), "NETWORK_UNAVAILABLE"),
    ],
    ids=["507", "closed", "cut", "hangs"],
)
def test_the_cause_of_a_failed_sync_is_told(
    fault: Fault, error: str, mount: Mount, apache: Apache, proxy: FaultProxy
) -> None:
    expected = write_some(mount)
    proxy.faults.add(fault, method="PUT", target="0.bin")
    assert mount.sync() == "UPLOAD_FAILED"
    assert mount.xattr("sync_error") == error
    assert mount.pending == 2
    held = tree(apache.root)
    assert (held["0.bin"], held.get("new 0.bin"), held["good.bin"]) == (OLD, None, NEW)
    assert mount.xattr("state", "0.bin") == "STOPPED"
    assert error in {mount.xattr("error", name) for name in ("0.bin", "new 0.bin")}
    proxy.faults.clear()
    assert_well(mount, apache.root, expected)


def test_a_server_that_says_412_to_what_did_not_change_makes_no_conflict(
    mount: Mount, apache: Apache, proxy: FaultProxy
) -> None:
    expected = write_some(mount)
    proxy.faults.add(Answer(412), method="PUT", target="0.bin")
    assert mount.sync() == "UPLOAD_FAILED"
    held = tree(apache.root)
    assert (held["0.bin"], held.get("new 0.bin") in (None, NEW), held["good.bin"]) == (OLD, True, NEW)
    assert_same(tree(mount.path), expected)
    proxy.faults.clear()
    assert_well(mount, apache.root, expected)


@pytest.mark.parametrize("fault", [Close(), Hang()], ids=["closed", "hangs"])
def test_a_file_that_breaks_every_connection_holds_up_no_others(
    fault: Fault, apache: Apache, proxy: FaultProxy, mounts: Mounts
) -> None:
    """Also where more files wait than go up at once."""
    mount = mounts(proxy.url, cloud={"timeout": "2s", "max_connections": 3}, sync={"auto": False})
    expected: dict[str, bytes | None] = {f"{number:02}.bin": NEW[number:] for number in range(40)}
    for name, data in expected.items():
        (mount.path / name).write_bytes(data or b"")
    proxy.faults.add(fault, method="PUT", target="00.bin")
    for _ in range(2):
        assert mount.sync() == "UPLOAD_FAILED"
    assert (len(tree(apache.root)), mount.pending) == (39, 1)
    proxy.faults.clear()
    assert_well(mount, apache.root, expected)


@pytest.mark.parametrize("fault", [Answer(500), LoseAnswer()], ids=["500", "lost answer"])
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


@pytest.mark.parametrize("status", [403, 423, 507])
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


def test_a_server_that_lets_nothing_go_takes_new_files(
    mount: Mount, apache: Apache, proxy: FaultProxy
) -> None:
    """A drop box: neither DELETE nor MOVE, not of what is its own either."""
    proxy.faults.add(Answer(403), method="MOVE|DELETE")
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


# --- what the server tells of itself ---

EMPTY = (
    '<?xml version="1.0"?><D:multistatus xmlns:D="DAV:"><D:response><D:href>/</D:href><D:propstat><D:prop>'
    "<D:resourcetype><D:collection/></D:resourcetype></D:prop><D:status>HTTP/1.1 200 OK</D:status>"
    "</D:propstat></D:response></D:multistatus>"
)
EMPTY_LISTING = Answer(207, {"Content-Type": "application/xml"}, EMPTY.encode())


@pytest.mark.parametrize(
    "fault",
    [CutBody(300), HangBody(300), LOGIN_PAGE, Answer(207, {}, b"")],
    ids=["cut", "hangs", "login page", "empty"],
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
