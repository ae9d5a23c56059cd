"""The two scopes beside each other: what each sync moves and holds, and the URIs of the gallery's files.

INTERFACE sections 1, 4 and 8.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import partial

import pytest

from tests.mount.calls import failure
from tests.mount.conftest import Mounts
from tests.mount.harness import Mount, wait_until
from tests.mount.programs import content, errno_of, read
from tests.mount.scopes import DATA, Scope, files, gallery
from tests.servers.apache import Apache

NEW = content(10_000, seed=2)
DONE = [("DOWNLOADING", "NO_ERROR"), ("COMPLETED", "NO_ERROR")]
SENT = [("DOWNLOADING", "NO_ERROR"), ("UPLOADING", "NO_ERROR"), ("COMPLETED", "NO_ERROR")]


@pytest.fixture
def mount(apache: Apache, mounts: Mounts) -> Mount:
    (apache.root / "Photos" / "2026").mkdir(parents=True)
    for name in ("1.txt", "Photos/1.jpg"):
        (apache.root / name).write_bytes(DATA)
    return mounts(apache.url, sync={"auto": False})


def synced(mount: Mount) -> tuple[Scope, Scope]:
    """Both of a mount's syncs, each of which has had its first."""
    both = files(mount), gallery(mount)
    for scope in both:
        scope.on()
        assert scope.sync() == DONE
    return both


@pytest.mark.parametrize(("held", "free"), [(files, gallery), (gallery, files)], ids=["files", "gallery"])
def test_a_stop_holds_the_automatic_syncs_of_its_own_scope(
    apache: Apache, mounts: Mounts, held: Callable[[Mount], Scope], free: Callable[[Mount], Scope]
) -> None:
    (apache.root / "Photos").mkdir()
    mount = mounts(apache.url, sync={"debounce": "50ms", "interval": "1h"})
    stopped, other = held(mount), free(mount)
    for scope in (stopped, other):
        wait_until(partial(scope.call, "getLastSyncTime"), "its first sync is over")
        ended = ("COMPLETED", "NO_ERROR")
        assert scope.on() == ended or scope.next() == ended  # the journal may be about to take it
    stopped.call("stop")
    for run in ("first.bin", "second.bin"):
        for scope in (stopped, other):
            (scope.folder / run).write_bytes(NEW)
        wait_until((apache.root / other.place / run).exists, "it went by itself")
        wait_until(lambda: mount.status()["sync"][other.key]["state"] == "COMPLETED", "and that is all")
        mount.remount()  # also across remounts
    assert not list((apache.root / stopped.place).glob("*.bin"))
    assert mount.pending == 2
    stopped = held(mount)
    assert stopped.on() == ("COMPLETED", "NO_ERROR")  # nothing was said
    stopped.call("start")
    wait_until(lambda: mount.pending == 0, "all of it went")
    for run in ("first.bin", "second.bin"):
        assert (apache.root / stopped.place / run).read_bytes() == NEW


def test_a_move_goes_by_the_sync_of_where_it_came_from(apache: Apache, mount: Mount) -> None:
    by_files, by_gallery = synced(mount)
    (mount.path / "1.txt").rename(mount.path / "Photos" / "2.jpg")
    (mount.path / "Photos" / "1.jpg").rename(mount.path / "2.txt")
    assert mount.pending == 2
    assert by_files.sync() == SENT
    assert sorted(os.listdir(apache.root)) == ["Photos"]
    assert sorted(os.listdir(apache.root / "Photos")) == ["1.jpg", "2.jpg", "2026"]
    assert by_gallery.sync() == SENT
    assert sorted(os.listdir(apache.root)) == ["2.txt", "Photos"]
    assert mount.pending == 0
    assert by_files.sync() == by_gallery.sync() == DONE
    assert read(mount.path / "2.txt") == read(mount.path / "Photos" / "2.jpg") == DATA


def test_a_swap_across_the_two_goes_by_one_sync(apache: Apache, mount: Mount) -> None:
    """Each of the two moves waits for the name that the other one leaves."""
    mine, photos = synced(mount)
    (apache.root / "1.txt").write_bytes(NEW)
    assert mine.sync() == DONE
    spare = mount.path / "spare"
    os.rename(mount.path / "1.txt", spare)
    os.rename(mount.path / "Photos" / "1.jpg", mount.path / "1.txt")
    os.rename(spare, mount.path / "Photos" / "1.jpg")
    assert mine.sync() == SENT
    assert photos.sync() == DONE
    assert mount.pending == 0
    assert ((apache.root / "1.txt").read_bytes(), (apache.root / "Photos" / "1.jpg").read_bytes()) == (
        DATA,
        NEW,
    )


def test_a_gallery_folder_stays_where_it_is(mount: Mount) -> None:
    synced(mount)
    photos = mount.path / "Photos"
    assert errno_of(lambda: photos.rename(mount.path / "Pictures")) == errno.EBUSY
    assert errno_of(photos.rmdir) == errno.EBUSY
    (mount.path / "new").mkdir()
    assert errno_of(lambda: os.rename(mount.path / "new", photos)) == errno.EBUSY
    (photos / "2026").rename(photos / "2027")  # those below it are folders as others


# --- file://media/Photo/ID ---


def path_of(mount: Mount, uri: str) -> str:
    """Where the asset is, by either spelling of its URI, as every method knows it. Raises RpcError."""
    number = uri.removeprefix("file://media/Photo/")
    found = set()
    for spelling in (uri, f"file:///media/Photo/{number}"):
        for method in ("CloudFileCache.stop", "Download.stop", "CloudFileCache.start", "Download.start"):
            mount.call(method, uri=spelling)
        assert len(mount.call("cloudSync.getFileSyncState", uri=[spelling])) == 1
        found |= {row["path"] for row in mount.call("Mount.state", paths=[spelling])}
    (path,) = found
    return os.path.relpath(path, mount.path)


@pytest.mark.shows("Download.start 13900002", "Download.stop 13900002")
def test_an_assets_uri_stays_with_it(mount: Mount) -> None:
    synced(mount)
    uri = mount.xattr("media_uri", "Photos/1.jpg")
    assert path_of(mount, uri) == "Photos/1.jpg"

    def assert_moves(source: str, target: str) -> None:
        (mount.path / source).rename(mount.path / target)
        assert path_of(mount, uri) == target
        assert mount.xattr("media_uri", target) == uri

    assert_moves("Photos/1.jpg", "Photos/a b.jpg")
    assert_moves("Photos/a b.jpg", "Photos/2026/a b.jpg")
    mount.remount()
    assert path_of(mount, uri) == "Photos/2026/a b.jpg"
    by_gallery = gallery(mount)
    by_gallery.on()
    assert by_gallery.sync() == SENT
    (mount.path / "Photos" / "2026").rename(mount.path / "Photos" / "2027")
    saved = mount.path / "Photos" / "2027" / "saved"
    saved.write_bytes(NEW)  # as an editor saves
    saved.rename(mount.path / "Photos" / "2027" / "a b.jpg")
    assert path_of(mount, uri) == "Photos/2027/a b.jpg"
    assert by_gallery.sync() == SENT
    assert path_of(mount, uri) == "Photos/2027/a b.jpg"

    # What leaves the gallery is no asset any more, and a new one when it is back.
    (mount.path / "Photos" / "2027" / "a b.jpg").rename(mount.path / "out.jpg")
    missing = (13900002, "No such file or directory.")
    assert errno_of(lambda: os.getxattr(mount.path / "out.jpg", "user.cloudfs.media_uri")) == errno.ENODATA
    for method in ("CloudFileCache.start", "Download.start", "Download.stop"):
        assert failure(by_gallery.connection, method, {"uri": uri}) == missing
    (mount.path / "out.jpg").rename(mount.path / "Photos" / "back.jpg")
    again = mount.xattr("media_uri", "Photos/back.jpg")
    assert again != uri
    assert path_of(mount, again) == "Photos/back.jpg"
    assert failure(by_gallery.connection, "Download.start", {"uri": uri}) == missing
