"""Which folders are listed: all of them, or those whose tags say that something changed."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing

from cloudfs.model.enums import Scope
from cloudfs.model.errors import AccessRefused, NotFound
from cloudfs.model.node import ROOT
from tests.servers.memory_cloud import MemoryCloud

from .syncing import DONE, Syncing, pull_failed, syncing


def _lists(it: Syncing) -> list[bytes]:
    found = it.asked("list_folder")
    it.cloud.calls.clear()
    return sorted(found)


async def _tagged(it: Syncing) -> None:
    for path in (b"a/b/one", b"a/c/two", b"d/three", b"Photos/p"):
        it.cloud.put(path, path)
    await it.sync()
    _lists(it)


async def test_without_tags_every_folder_is_listed(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        await _tagged(it)
        await it.sync()
        assert _lists(it) == [b"", b"a", b"a/b", b"a/c", b"d"]


async def test_tags_lead_to_what_changed(tmp_path: Path) -> None:
    async with syncing(tmp_path, MemoryCloud(folder_tags=True)) as it:
        await _tagged(it)
        assert await it.sync() == DONE
        assert _lists(it) == [b""]
        it.cloud.put(b"a/b/new", b"new")
        assert await it.sync() == DONE
        assert _lists(it) == [b"", b"a", b"a/b"]
        assert it.names(b"a/b") == [b"new", b"one"]


async def test_the_first_run_of_a_mount_lists_every_folder(tmp_path: Path) -> None:
    cloud = MemoryCloud(folder_tags=True)
    async with syncing(tmp_path, cloud) as it:
        await _tagged(it)
    async with syncing(tmp_path, cloud) as it:
        await it.sync()
        assert _lists(it) == [b"", b"a", b"a/b", b"a/c", b"d"]


async def test_a_folder_that_failed_is_asked_again_whatever_its_tag(tmp_path: Path) -> None:
    async with syncing(tmp_path, MemoryCloud(folder_tags=True)) as it:
        await _tagged(it)
        it.cloud.put(b"a/b/new", b"new")
        it.cloud.fail("list_folder", AccessRefused("403"), path=b"a/b")
        assert await it.sync() == pull_failed()
        assert await it.sync() == DONE
        assert it.names(b"a/b") == [b"new", b"one"]


async def test_held_deletes_are_found_again_whatever_the_tags(tmp_path: Path) -> None:
    async with syncing(tmp_path, MemoryCloud(folder_tags=True), delete_brake=0) as it:
        await _tagged(it)
        it.cloud.remove(b"a/b/one")
        for _ in range(2):
            assert await it.sync() == pull_failed()
            assert it.engine.held_deletes == 1
        await it.engine.confirm(Scope.FILES)
        assert await it.sync() == DONE
        assert it.names(b"a/b") == []


async def test_what_a_lookup_listed_is_still_descended_into(tmp_path: Path) -> None:
    async with syncing(tmp_path, MemoryCloud(folder_tags=True)) as it:
        await _tagged(it)
        it.cloud.put(b"a/b/new", b"new")
        await it.world.listings.list_folder(ROOT)
        await it.world.listings.list_folder(it.inode(b"a"))
        assert await it.sync() == DONE
        assert it.names(b"a/b") == [b"new", b"one"]


@pytest.mark.parametrize("folder_tags", [False, True])
async def test_what_a_lookup_is_listing_is_descended_into_too(tmp_path: Path, folder_tags: bool) -> None:
    """The lookup's listing is the first to show the new folder; the walk's own, which follows, is not."""
    async with syncing(tmp_path, MemoryCloud(folder_tags=folder_tags)) as it, trio.open_nursery() as nursery:
        await _tagged(it)
        it.cloud.put(b"new/below/file", b"new")
        it.cloud.put(b"a/b/new", b"new")
        it.cloud.latency_s = 0.02
        for folder in (ROOT, it.inode(b"a")):
            nursery.start_soon(it.world.listings.list_folder, folder)
        await trio.testing.wait_all_tasks_blocked()
        assert await it.sync() == DONE
        listed = _lists(it)
        assert listed.count(b"") == 2
        assert {b"a/b", b"new", b"new/below"} <= set(listed)
        assert it.names(b"a/b") == [b"new", b"one"]


async def test_folders_that_the_cloud_lacks_are_not_listed(tmp_path: Path) -> None:
    async with syncing(tmp_path, read_only=True) as it:
        await it.mkdir(b"mine")
        await it.world.listings.ensure(it.inode(b"mine"))
        assert await it.sync() == DONE
        assert _lists(it) == [b""]


async def test_a_moved_folder_is_listed_where_the_cloud_has_it(tmp_path: Path) -> None:
    async with syncing(tmp_path, read_only=True) as it:
        await _tagged(it)
        await it.rename(b"a", b"d/moved")
        it.cloud.put(b"a/b/new", b"new")
        assert await it.sync() == DONE
        assert it.names(b"d/moved/b") == [b"new", b"one"]


async def test_a_root_that_is_not_found_fails_the_gallery_too(tmp_path: Path) -> None:
    """It is the other scope's to list, and says nothing of what a gallery folder is."""
    async with syncing(tmp_path) as it:
        await _tagged(it)
        assert await it.sync(Scope.GALLERY) == DONE
        for path in b"", b"Photos":
            it.cloud.fail("list_folder", NotFound("404"), path=path)
        assert await it.sync(Scope.GALLERY) == pull_failed()
        assert it.names(b"Photos") == [b"p"]
        assert await it.sync(Scope.GALLERY) == DONE
