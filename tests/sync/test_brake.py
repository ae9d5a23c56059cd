"""The delete brake, both ways: what is held, confirmed, restored, and across remounts."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloudfs.model.enums import Scope, SyncState
from cloudfs.sync.brake import HeldDeletes
from tests.servers.memory_cloud import MemoryCloud

from .syncing import DONE, Syncing, failed, pull_failed, syncing


async def _removed(it: Syncing, count: int) -> None:
    """A folder of `count` files, which somebody removed here, folder and all."""
    for i in range(count):
        it.cloud.put(b"d/%d" % i, b"content %d" % i)
    await it.sync()
    for i in range(count):
        await it.unlink(b"d/%d" % i)
    await it.rmdir(b"d")


async def test_holds_deletes_made_here_and_sends_all_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with syncing(tmp_path, delete_brake=3) as it:
        await _removed(it, 5)
        await it.save(b"new", b"new")
        assert await it.sync() == failed()
        assert it.engine.held(Scope.FILES) == HeldDeletes(here=6, in_cloud=0)
        assert it.engine.held_deletes == 6
        assert it.tree.count_changes() == 6
        assert it.asked("delete") == []
        assert it.cloud.content(b"new") == b"new"
        assert it.names() == [b"new"]
        await it.sync()
        assert caplog.text.count("6 deletes made here are held") == 1, "not once a sync"


async def test_confirm_carries_out_what_is_held_and_counts_later_ones_afresh(tmp_path: Path) -> None:
    async with syncing(tmp_path, delete_brake=3) as it:
        it.cloud.put(b"other", b"x")
        await _removed(it, 5)
        await it.sync()
        await it.engine.confirm(Scope.FILES)
        await it.unlink(b"other")
        assert await it.sync() == DONE
        assert it.cloud.paths() == {}
        assert it.engine.held_deletes == 0
        it.settled()


async def test_a_confirmation_outlives_a_crash(tmp_path: Path) -> None:
    cloud = MemoryCloud()
    async with syncing(tmp_path, cloud, delete_brake=3) as it:
        await _removed(it, 5)
        await it.sync()
        await it.engine.confirm(Scope.FILES)
    async with syncing(tmp_path, cloud, delete_brake=3) as it:
        assert it.engine.held_deletes == 6, "what is held is known before the first sync"
        assert await it.sync() == DONE
        assert cloud.paths() == {}


async def test_restore_shows_what_was_removed_here_again(tmp_path: Path) -> None:
    async with syncing(tmp_path, delete_brake=3) as it:
        await _removed(it, 5)
        await it.sync()
        held = it.tree.changes(Scope.FILES)
        assert all(it.engine.is_held(node.inode) for node in held)
        assert await it.engine.restore(Scope.FILES) == []
        assert it.engine.held_deletes == 0
        assert await it.sync() == DONE
        assert it.names(b"d") == [b"0", b"1", b"2", b"3", b"4"]
        assert await it.content(b"d/3") == b"content 3"
        assert len(it.cloud.paths()) == 6
        it.settled()


async def test_restore_sends_what_the_cloud_lost_and_names_what_it_can_not(tmp_path: Path) -> None:
    async with syncing(tmp_path, delete_brake=3) as it:
        for i in range(6):
            it.cloud.put(b"d/%d" % i, b"content %d" % i)
        await it.sync()
        for i in range(4):
            assert await it.content(b"d/%d" % i) == b"content %d" % i
        it.cloud.remove(b"d")
        assert await it.sync() == pull_failed()
        assert it.engine.held(Scope.FILES) == HeldDeletes(here=0, in_cloud=7)
        lacking = await it.engine.restore(Scope.FILES)
        assert sorted(lacking) == [it.inode(b"d/4"), it.inode(b"d/5")]
        assert await it.sync() == pull_failed(), "what can't come back stays held, however few"
        assert it.engine.held_deletes == 2
        assert it.names(b"d") == [b"0", b"1", b"2", b"3", b"4", b"5"]
        assert it.cloud.paths() == {b"d": None} | {b"d/%d" % i: b"content %d" % i for i in range(4)}
        await it.engine.confirm(Scope.FILES)
        assert await it.sync() == DONE
        assert it.names(b"d") == [b"0", b"1", b"2", b"3"]
        it.settled()


async def test_restore_sends_a_file_that_was_made_anew_as_it_is_here(tmp_path: Path) -> None:
    """Nothing was ever written to it: its content is empty, and not what the cloud had under the name."""
    async with syncing(tmp_path, delete_brake=2) as it:
        for name in (b"a", b"b", b"anew"):
            it.cloud.put(b"d/" + name, b"content")
        await it.sync()
        for name in (b"a", b"b"):
            assert await it.content(b"d/" + name) == b"content"
        await it.unlink(b"d/anew")
        await it.tree.create(it.inode(b"d"), b"anew", 0o644, 1000, 1000)
        it.cloud.remove(b"d")
        assert (await it.sync()).state is SyncState.DOWNLOAD_FAILED
        assert await it.engine.restore(Scope.FILES) == []
        it.now_ms += 5000  # it could not be sent into a folder that the cloud lost
        assert await it.sync() == DONE
        whole = {b"d": None, b"d/a": b"content", b"d/b": b"content", b"d/anew": b""}
        assert it.cloud.paths() == whole
        it.settled()


async def test_exactly_the_brake_passes_and_replaced_names_and_moves_count_nothing(tmp_path: Path) -> None:
    async with syncing(tmp_path, delete_brake=2) as it:
        for i in range(8):
            it.cloud.put(b"%d" % i, b"content %d" % i)
        await it.sync()
        for i in range(2):
            await it.unlink(b"%d" % i)
        for i in range(2, 4):
            await it.unlink(b"%d" % i)
            await it.save(b"%d" % i, b"new")
        await it.rename(b"4", b"5")
        await it.rename(b"6", b"moved")
        assert await it.sync() == DONE
        assert sorted(it.cloud.paths()) == [b"2", b"3", b"5", b"7", b"moved"]
        it.settled()


async def test_what_was_held_and_is_made_again_is_held_no_more(tmp_path: Path) -> None:
    async with syncing(tmp_path, delete_brake=2) as it:
        await _removed(it, 3)
        await it.sync()
        assert it.engine.held(Scope.FILES).here == 4
        await it.mkdir(b"d")
        await it.save(b"d/0", b"again")
        assert it.engine.held(Scope.FILES).here == 2
        assert await it.sync() == DONE
        assert it.cloud.paths() == {b"d": None, b"d/0": b"again"}
