"""What a sync run takes over from the cloud, and what it brings."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from cloudfs.model.enums import ErrorType, Scope
from cloudfs.model.errors import (
    AccessRefused,
    CloudStorageFull,
    LocalStorageFull,
    NetworkUnavailable,
    NotFound,
)
from cloudfs.model.node import ROOT

from .syncing import DONE, pull_failed, syncing


async def test_walks_the_scope_and_leaves_the_other_one(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        it.cloud.put(b"a/b/c/deep", b"deep")
        it.cloud.put(b"Photos/p", b"picture")
        assert await it.sync() == DONE
        assert it.names(b"a/b/c") == [b"deep"]
        assert it.names(b"Photos") == [], "the gallery is the other sync's"
        assert await it.sync(Scope.GALLERY) == DONE
        assert it.names(b"Photos") == [b"p"]


async def test_a_first_gallery_sync_finds_its_folder_by_itself(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        it.cloud.put(b"Photos/2026/p", b"picture")
        assert await it.sync(Scope.GALLERY) == DONE
        assert it.names(b"Photos/2026") == [b"p"]


async def test_a_gallery_sync_brings_nothing_of_the_other_scope(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        await it.world.listings.ensure(ROOT)
        it.cloud.put(b"new", b"x")
        assert await it.sync(Scope.GALLERY) == DONE
        assert it.names() == []


async def test_a_gallery_sync_without_a_network_has_failed(tmp_path: Path) -> None:
    async with syncing(tmp_path, timeout_s=0.5) as it:
        await it.world.listings.ensure(ROOT)
        it.cloud.fail("stat", NetworkUnavailable("cut"), times=None)
        failed = pull_failed(ErrorType.NETWORK_UNAVAILABLE)
        assert await it.sync(Scope.GALLERY) == failed


async def test_removes_what_a_whole_listing_lacks_and_nothing_on_an_error(tmp_path: Path) -> None:
    async with syncing(tmp_path, timeout_s=0.5) as it:
        for path in (b"kept", b"gone", b"d/inner", b"e/inner"):
            it.cloud.put(path, b"x")
        await it.sync()
        it.cloud.remove(b"gone")
        it.cloud.remove(b"d/inner")
        it.cloud.fail("list_folder", NetworkUnavailable("cut"), path=b"e", times=None)
        outcome = await it.sync()
        assert outcome == pull_failed(ErrorType.NETWORK_UNAVAILABLE)
        assert it.names() == [b"d", b"e", b"gone", b"kept"], "a round that the network cut removes nothing"
        it.cloud.heal()
        assert await it.sync() == DONE
        assert it.names() == [b"d", b"e", b"kept"]
        assert it.names(b"d") == []
        assert it.names(b"e") == [b"inner"]


async def test_a_folder_that_is_shown_but_not_found_stays_and_fails_the_sync(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        it.cloud.put(b"d/deep/inner", b"x")
        await it.sync()
        it.cloud.fail("list_folder", NotFound("404", status=404), path=b"d", times=None)
        assert await it.sync() == pull_failed()
        assert it.names(b"d/deep") == [b"inner"]
        it.cloud.heal()
        it.cloud.remove(b"d")
        assert await it.sync() == DONE
        assert it.names() == []


async def test_a_gallery_folder_that_the_cloud_lost_goes_by_its_own_scopes_sync(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        it.cloud.put(b"Photos/p", b"picture")
        assert await it.sync() == await it.sync(Scope.GALLERY) == DONE
        it.cloud.remove(b"Photos")
        assert await it.sync() == DONE
        assert it.names() == [b"Photos"], "FileSync does not touch the gallery"
        assert await it.sync(Scope.GALLERY) == DONE
        assert it.names() == []


async def test_a_refused_folder_holds_up_no_other(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        for path in (b"secret/inner", b"open/gone"):
            it.cloud.put(path, b"x")
        await it.sync()
        it.cloud.remove(b"open/gone")
        it.cloud.put(b"open/new", b"x")
        it.cloud.fail("list_folder", AccessRefused("403"), path=b"secret", times=None)
        assert await it.sync() == pull_failed()
        assert it.names(b"open") == [b"new"]
        assert it.names(b"secret") == [b"inner"]


@pytest.mark.parametrize("is_listed", [True, False])
async def test_of_several_causes_the_gravest_is_told_whichever_way_things_were_to_go(
    tmp_path: Path, is_listed: bool
) -> None:
    """A pin has no room here, or a folder is refused, which has no name; and the cloud is full."""
    async with syncing(tmp_path) as it:
        for path in (b"secret/inner", b"pinned"):
            it.cloud.put(path, b"x")
        await it.sync()
        if is_listed:
            await it.world.tree.set_pin(it.inode(b"pinned"), True)
            it.cloud.fail("read", LocalStorageFull("full"), path=b"pinned", times=None)
        else:
            it.cloud.fail("list_folder", AccessRefused("403"), path=b"secret", times=None)
        await it.save(b"new", b"x")
        it.cloud.fail("write", CloudStorageFull("507"), times=None)
        assert await it.sync() == pull_failed(ErrorType.CLOUD_STORAGE_FULL)


async def test_the_brake_holds_mass_deletes_until_they_are_confirmed(tmp_path: Path) -> None:
    async with syncing(tmp_path, delete_brake=3) as it:
        for i in range(6):
            it.cloud.put(b"d/%d" % i, b"x%d" % i)
        it.cloud.put(b"other", b"x")
        await it.sync()
        for i in range(6):
            it.cloud.remove(b"d/%d" % i)
        it.cloud.put(b"new", b"new")
        assert await it.sync() == pull_failed()
        assert it.engine.held_deletes == 6
        assert len(it.names(b"d")) == 6
        assert b"new" in it.names()
        await it.engine.confirm(Scope.FILES)
        it.cloud.remove(b"other")
        assert await it.sync() == DONE
        assert it.engine.held_deletes == 0
        assert it.names(b"d") == []
        assert it.names() == [b"d", b"new"], "a delete found after the confirmation is counted afresh"


async def test_what_came_back_is_held_no_more(tmp_path: Path) -> None:
    async with syncing(tmp_path, delete_brake=1) as it:
        for i in range(4):
            it.cloud.put(b"%d" % i, b"x")
        await it.sync()
        for i in range(4):
            it.cloud.remove(b"%d" % i)
        await it.sync()
        assert it.engine.held_deletes == 4
        for i in range(4):
            it.cloud.put(b"%d" % i, b"back")
        assert await it.sync() == DONE
        assert it.engine.held_deletes == 0
        assert len(it.names()) == 4


async def test_a_move_by_identity_keeps_the_inode_and_the_content(tmp_path: Path) -> None:
    async with syncing(tmp_path, delete_brake=0) as it:
        it.cloud.put(b"old/file", b"content")
        await it.sync()
        inode = it.inode(b"old/file")
        assert await it.content(b"old/file") == b"content"
        reads = len(it.world.fetched())
        it.cloud.rename(b"old", b"renamed")
        assert await it.sync() == DONE
        assert it.names() == [b"renamed"]
        assert it.inode(b"renamed/file") == inode
        assert await it.content(b"renamed/file") == b"content"
        assert len(it.world.fetched()) == reads, "nothing was fetched again"


async def test_hydrates_what_is_pinned_and_one_failure_stops_no_other(tmp_path: Path) -> None:
    async with syncing(tmp_path, timeout_s=0.5) as it:
        for name in (b"bad", b"good", b"loose"):
            it.cloud.put(b"d/" + name, b"y" * 1000)
        await it.sync()
        for name in (b"bad", b"good"):
            await it.world.tree.set_pin(it.inode(b"d/" + name), True)
        it.cloud.fail("read", NetworkUnavailable("cut"), path=b"d/bad", times=None)
        outcome = await it.sync()
        assert outcome == pull_failed(ErrorType.NETWORK_UNAVAILABLE)
        held = {
            name: it.world.store.held_bytes(it.inode(b"d/" + name)) for name in (b"bad", b"good", b"loose")
        }
        assert held == {b"bad": 0, b"good": 1000, b"loose": 0}
        it.cloud.heal()
        assert await it.sync() == DONE
        assert it.world.store.held_bytes(it.inode(b"d/bad")) == 1000


async def test_a_cancelled_run_leaves_what_was_applied(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        it.cloud.put(b"a/x", b"1")
        await it.sync()
        it.cloud.put(b"b", b"2")
        it.cloud.latency_s = 0.05
        with trio.move_on_after(0.07):
            await it.sync()
        it.cloud.latency_s = 0
        assert await it.sync() == DONE
        assert it.names() == [b"a", b"b"]
        assert it.inode(b"") == ROOT
