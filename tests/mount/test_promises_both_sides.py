"""INTERFACE section 9, promises 1 and 2, where both sides change: errors never delete, both versions live."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mount.conftest import Mounts
from tests.mount.harness import Mount, wait_until
from tests.mount.programs import content
from tests.mount.trees import assert_same, changes, conflicts, tree
from tests.servers.apache import Apache
from tests.servers.faults import (
    LOGIN_PAGE,
    Answer,
    Close,
    CutBody,
    Fault,
    HoldAnswer,
    IgnoreConditions,
    LoseAnswer,
)
from tests.servers.proxy import FaultProxy
from tests.servers.wsgidav import WsgiDav

MINE, THEIRS, BASE = b"mine, written here\n", b"theirs, written there, longer\n", b"base\n"


@pytest.fixture
def mount(apache: Apache, proxy: FaultProxy, mounts: Mounts) -> Mount:
    """Three files and a folder with two more, all known and in sync."""
    for name in ("a.txt", "b.txt", "c.txt", "docs/d.txt", "docs/e.txt"):
        (apache.root / name).parent.mkdir(exist_ok=True)
        (apache.root / name).write_bytes(BASE)
    mount = mounts(proxy.url, cloud={"timeout": "2s"}, sync={"auto": False})
    mount.settle()
    return mount


def assert_agreed(mount: Mount, root: Path) -> dict[str, bytes | None]:
    """Both sides hold the same; what that is."""
    held = tree(root)
    assert_same(tree(mount.path), held, "between the mount and the server")
    return held


def assert_quiet(mount: Mount, proxy: FaultProxy) -> None:
    """One more sync changes nothing in the cloud."""
    before = len(proxy.seen)
    mount.settle()
    assert changes(proxy.seen[before:]) == []


# --- 1: an error is never a deletion ---


@pytest.mark.parametrize(
    "fault",
    [
        Answer(500),
        Answer(404),
        Close(),
        CutBody(200),
        LOGIN_PAGE,
    ],
    ids=["500", "404", "closed", "cut", "login page"],
)
def test_promise_1_an_error_deletes_nothing_beside_deletes_made_here(
    fault: Fault, mount: Mount, apache: Apache, proxy: FaultProxy
) -> None:
    os.unlink(mount.path / "b.txt")
    (mount.path / "new.txt").write_bytes(MINE)
    proxy.faults.add(fault, method="PROPFIND")
    assert mount.sync() == "DOWNLOAD_FAILED"
    local = {"a.txt", "c.txt", "docs", "docs/d.txt", "docs/e.txt", "new.txt"}
    assert set(tree(mount.path)) == local
    assert set(tree(apache.root)) >= local - {"new.txt"}
    proxy.faults.clear()
    mount.settle()
    assert set(assert_agreed(mount, apache.root)) == local


@pytest.mark.parametrize("fault", [Answer(403), Close(), LoseAnswer()], ids=str)
def test_promise_1_a_delete_that_fails_is_carried_out_later(
    fault: Fault, mount: Mount, apache: Apache, proxy: FaultProxy
) -> None:
    proxy.faults.add(fault, method="DELETE", target="b.txt")
    os.unlink(mount.path / "b.txt")
    os.unlink(mount.path / "c.txt")
    state = mount.sync()
    assert not (mount.path / "b.txt").exists(), "what failed there is not undone here"
    assert not (apache.root / "c.txt").exists(), "and holds up no other"
    if not isinstance(fault, LoseAnswer):
        assert (state, mount.pending) == ("UPLOAD_FAILED", 1)
    proxy.faults.clear()
    mount.settle()
    assert set(assert_agreed(mount, apache.root)) == {"a.txt", "docs", "docs/d.txt", "docs/e.txt"}


def test_promise_1_a_folder_removed_here_keeps_what_was_new_there(mount: Mount, apache: Apache) -> None:
    shutil.rmtree(mount.path / "docs")
    (apache.root / "docs" / "unseen.txt").write_bytes(THEIRS)
    mount.sync()
    mount.settle()
    held = assert_agreed(mount, apache.root)
    assert held == {"a.txt": BASE, "b.txt": BASE, "c.txt": BASE, "docs": None, "docs/unseen.txt": THEIRS}


def test_promise_1_mass_deletes_made_here_wait_for_a_confirmation(apache: Apache, mounts: Mounts) -> None:
    for number in range(6):
        (apache.root / f"{number}.txt").write_bytes(BASE)
    mount = mounts(apache.url, sync={"auto": False, "delete_brake": 4})
    mount.settle()
    for number in range(6):
        os.unlink(mount.path / f"{number}.txt")
    (mount.path / "new.txt").write_bytes(MINE)
    assert mount.sync() == "UPLOAD_FAILED"
    assert mount.xattr("sync_error") == "NO_ERROR"
    assert (mount.status()["held_deletes"], mount.pending) == (6, 0)
    assert len(tree(apache.root)) == 7, "nothing of them is applied, all else goes on"
    mount.call("Mount.restore", scope="files")
    wait_until(lambda: len(os.listdir(mount.path)) == 7, "they come back as placeholders")
    assert (mount.path / "3.txt").read_bytes() == BASE
    for number in range(6):
        os.unlink(mount.path / f"{number}.txt")
    assert mount.sync() == "UPLOAD_FAILED"
    mount.call("Mount.confirm", scope="files")
    wait_until(lambda: set(tree(apache.root)) == {"new.txt"}, "confirmed deletes are carried out")
    mount.settle()
    assert mount.status()["held_deletes"] == 0


# --- 2: every upload and delete carries its base version; both versions live ---


def test_promise_2_every_change_is_conditional(mount: Mount, proxy: FaultProxy) -> None:
    (mount.path / "new.txt").write_bytes(MINE)
    (mount.path / "a.txt").write_bytes(MINE)
    (mount.path / "folder").mkdir()
    os.unlink(mount.path / "b.txt")
    os.rename(mount.path / "c.txt", mount.path / "docs" / "c.txt")
    mount.settle()
    for request in proxy.seen:
        if request.method in ("PUT", "DELETE") and "/.cloudfs-" not in request.target:
            assert request.headers.keys() & {"if-match", "if-none-match", "if"}, request
        if request.method == "MOVE":
            assert request.headers.get("overwrite") == "F" or "if" in request.headers, request
    assert changes(proxy.seen).count("PUT /new.txt") == 1


def test_promise_2_both_versions_of_a_file_changed_on_both_sides_live(
    mount: Mount, apache: Apache, proxy: FaultProxy
) -> None:
    (mount.path / "docs" / "d.txt").write_bytes(MINE)
    (apache.root / "docs" / "d.txt").write_bytes(THEIRS)
    mount.settle()
    held = assert_agreed(mount, apache.root)
    (copy,) = conflicts(held).items()
    assert copy[1] == "docs/d.txt", "in the form that is promised"
    assert (held["docs/d.txt"], held[copy[0]]) == (THEIRS, MINE)
    assert_quiet(mount, proxy)


def test_promise_2_both_versions_of_a_name_made_on_both_sides_live(
    mount: Mount, apache: Apache, proxy: FaultProxy
) -> None:
    for where, data in ((mount.path, MINE), (apache.root, THEIRS)):
        (where / "new").write_bytes(data)
        (where / "both").mkdir()
        (where / "both" / f"{data[:4].decode()}.txt").write_bytes(data)
    mount.settle()
    held = assert_agreed(mount, apache.root)
    (copy,) = conflicts(held).items()
    assert copy[1] == "new"
    assert (held["new"], held[copy[0]]) == (THEIRS, MINE)
    assert (held["both/mine.txt"], held["both/thei.txt"]) == (MINE, THEIRS), "folders are merged"
    assert_quiet(mount, proxy)


def test_promise_2_a_file_and_a_folder_of_one_name_live(mount: Mount, apache: Apache) -> None:
    (mount.path / "one").mkdir()
    (mount.path / "one" / "inner.txt").write_bytes(MINE)
    (apache.root / "one").write_bytes(THEIRS)
    (mount.path / "two").write_bytes(MINE)
    (apache.root / "two").mkdir()
    (apache.root / "two" / "inner.txt").write_bytes(THEIRS)
    mount.settle()
    held = assert_agreed(mount, apache.root)
    copies = {of: name for name, of in conflicts(held).items()}
    assert (held["one"], held[f"{copies['one']}/inner.txt"]) == (THEIRS, MINE)
    assert (held["two/inner.txt"], held[copies["two"]]) == (THEIRS, MINE)


def test_promise_2_a_conflict_name_fits_into_255_bytes(mount: Mount, apache: Apache) -> None:
    name = "é" * 123 + ".longish"
    (mount.path / name).write_bytes(MINE)
    (apache.root / name).write_bytes(THEIRS)
    mount.settle()
    held = assert_agreed(mount, apache.root)
    (copy,) = conflicts(held)
    assert len(os.fsencode(copy)) in (254, 255), "the stem is cut as little as a whole character allows"
    assert copy.startswith("éé")
    assert copy.endswith(").longish")


@pytest.mark.parametrize("edited_here", [True, False])
def test_promise_2_an_edit_beats_a_delete(edited_here: bool, mount: Mount, apache: Apache) -> None:
    edited, deleted = (mount.path, apache.root) if edited_here else (apache.root, mount.path)
    (edited / "docs" / "d.txt").write_bytes(MINE)
    (deleted / "docs" / "d.txt").unlink()
    mount.settle()
    held = assert_agreed(mount, apache.root)
    assert held["docs/d.txt"] == MINE
    assert conflicts(held) == {}


@pytest.mark.parametrize("edited_here", [True, False])
def test_promise_2_an_edit_beats_the_delete_of_its_folder(
    edited_here: bool, mount: Mount, apache: Apache
) -> None:
    edited, deleted = (mount.path, apache.root) if edited_here else (apache.root, mount.path)
    (edited / "docs" / "d.txt").write_bytes(MINE)
    shutil.rmtree(deleted / "docs")
    mount.sync()
    mount.settle()
    held = assert_agreed(mount, apache.root)
    assert held == {"a.txt": BASE, "b.txt": BASE, "c.txt": BASE, "docs": None, "docs/d.txt": MINE}


def test_promise_2_equal_content_on_both_sides_is_no_conflict(
    mount: Mount, apache: Apache, proxy: FaultProxy
) -> None:
    for where in (mount.path, apache.root):
        (where / "a.txt").write_bytes(THEIRS)
        (where / "new.bin").write_bytes(content(200_000))
    mount.settle()
    held = assert_agreed(mount, apache.root)
    assert conflicts(held) == {}
    assert len(held) == 7
    assert_quiet(mount, proxy)


@pytest.mark.parametrize("name", ["a.txt", "new.txt"])
def test_promise_2_an_upload_whose_answer_was_lost_is_no_conflict(
    name: str, mount: Mount, apache: Apache, proxy: FaultProxy
) -> None:
    proxy.faults.add(LoseAnswer(), method="PUT", target=name, times=1)
    (mount.path / name).write_bytes(content(100_000))
    mount.sync()
    mount.settle()
    held = assert_agreed(mount, apache.root)
    assert held[name] == content(100_000)
    assert conflicts(held) == {}


@pytest.mark.parametrize("name", ["a.txt", "new.txt"])
@pytest.mark.parametrize("then", ["a kill", "an edit"])
def test_promise_2_nor_is_one_whose_answer_never_came_before(
    then: str, name: str, mount: Mount, apache: Apache, proxy: FaultProxy
) -> None:
    data = content(100_000)
    proxy.faults.add(HoldAnswer(), method="PUT", target=name, times=1)
    (mount.path / name).write_bytes(data)
    mount.call("FileSync.start")
    wait_until(lambda: tree(apache.root).get(name) == data, "the server has it")
    if then == "a kill":
        mount.remount()
    else:
        data += b"more"
        (mount.path / name).write_bytes(data)
    proxy.drop_connections()
    mount.settle()
    held = assert_agreed(mount, apache.root)
    assert held[name] == data
    assert conflicts(held) == {}


def test_promise_2_several_lost_answers_are_no_conflicts(
    mount: Mount, apache: Apache, proxy: FaultProxy
) -> None:
    """Of every kind of change: what the server did is found out by asking."""
    proxy.faults.add(LoseAnswer(), method="MKCOL", times=1)
    proxy.faults.add(LoseAnswer(), method="MOVE", times=1)
    proxy.faults.add(LoseAnswer(), method="DELETE", times=1)
    proxy.faults.add(LoseAnswer(), method="PUT", target="(one|two|a).txt", times=3)
    (mount.path / "made").mkdir()
    (mount.path / "made" / "one.txt").write_bytes(MINE)
    (mount.path / "two.txt").write_bytes(MINE)
    (mount.path / "a.txt").write_bytes(MINE)
    os.unlink(mount.path / "b.txt")
    os.rename(mount.path / "c.txt", mount.path / "moved.txt")
    for _ in range(2):
        mount.sync()
    mount.settle()
    held = assert_agreed(mount, apache.root)
    assert conflicts(held) == {}
    mine = {"made/one.txt": MINE, "two.txt": MINE, "a.txt": MINE}
    kept = {"moved.txt": BASE, "docs": None, "docs/d.txt": BASE, "docs/e.txt": BASE}
    assert held == {"made": None} | mine | kept


@pytest.fixture
def ignorant(apache: Apache) -> Iterator[FaultProxy]:
    """A server that does not know If-Match and If-None-Match."""
    with FaultProxy(apache.url) as proxy:
        proxy.faults.add(IgnoreConditions())
        yield proxy


def test_promise_2_holds_on_a_server_that_ignores_conditions(
    apache: Apache, ignorant: FaultProxy, mounts: Mounts
) -> None:
    both_change_all(apache.root, mounts(ignorant.url, sync={"auto": False}))


def test_promise_2_holds_on_wsgidav(wsgidav: WsgiDav, mounts: Mounts) -> None:
    both_change_all(wsgidav.root, mounts(wsgidav.url, sync={"auto": False}))


def both_change_all(root: Path, mount: Mount) -> None:
    for name in ("edited", "deleted here", "deleted there", "moved"):
        (root / name).write_bytes(BASE)
    mount.settle()
    (mount.path / "edited").write_bytes(MINE)
    (root / "edited").write_bytes(THEIRS)
    (mount.path / "new").write_bytes(MINE)
    (root / "new").write_bytes(THEIRS)
    (mount.path / "deleted here").unlink()
    (root / "deleted here").write_bytes(THEIRS)
    (mount.path / "deleted there").write_bytes(MINE)
    (root / "deleted there").unlink()
    os.rename(mount.path / "moved", mount.path / "target")
    (root / "target").write_bytes(THEIRS)
    mount.sync()
    mount.settle()
    held = assert_agreed(mount, root)
    assert (held["edited"], held["new"], held["target"]) == (THEIRS, THEIRS, THEIRS)
    assert (held["deleted here"], held["deleted there"]) == (THEIRS, MINE)
    copies = {of: held[name] for name, of in conflicts(held).items()}
    assert copies == {"edited": MINE, "new": MINE, "target": BASE}
    assert len(held) == 8
