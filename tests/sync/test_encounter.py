"""Both sides changed: both versions live, an edit beats a delete, and equal content is no conflict."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloudfs.model.enums import ErrorType
from cloudfs.model.errors import NetworkUnavailable
from tests.servers.memory_cloud import MemoryCloud

from .syncing import CONFLICT, DONE, Syncing, pull_failed, syncing


async def test_both_versions_live_and_the_clouds_has_the_name(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        it.cloud.put(b"doc.txt", b"base")
        await it.sync()
        ours = await it.save(b"doc.txt", b"ours")
        it.cloud.put(b"doc.txt", b"theirs")
        assert await it.sync() == DONE
        copy = b"doc" + CONFLICT + b".txt"
        assert it.cloud.paths() == {b"doc.txt": b"theirs", copy: b"ours"}
        assert it.inode(copy) == ours, "who has it open goes on with what is his"
        assert await it.content(b"doc.txt") == b"theirs"
        it.settled()


async def test_two_new_files_of_one_name_are_both_kept(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        await it.sync()
        await it.save(b"a", b"ours")
        it.cloud.put(b"a", b"theirs")
        assert await it.sync() == DONE
        assert it.cloud.paths() == {b"a": b"theirs", b"a" + CONFLICT: b"ours"}
        it.settled()


async def test_a_conflict_that_comes_up_in_the_middle_of_the_push(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        it.cloud.put(b"a", b"base")
        await it.sync()
        await it.save(b"a", b"ours")
        send = it.cloud.write

        async def write(*args: object, **options: object) -> object:
            it.cloud.write = send  # type: ignore[method-assign]
            it.cloud.put(b"a", b"theirs")
            return await send(*args, **options)  # type: ignore[arg-type]

        it.cloud.write = write  # type: ignore[method-assign, assignment]
        assert await it.sync() == DONE
        assert it.cloud.paths() == {b"a": b"theirs", b"a" + CONFLICT: b"ours"}
        it.settled()


@pytest.mark.parametrize("is_new", [False, True])
async def test_equal_content_is_no_conflict_and_sends_nothing(tmp_path: Path, is_new: bool) -> None:
    async with syncing(tmp_path) as it:
        if not is_new:
            it.cloud.put(b"a", b"base")
        await it.sync()
        inode = await it.save(b"a", b"the same")
        it.cloud.put(b"a", b"the same")
        assert await it.sync() == DONE
        assert it.asked("write") == []
        assert it.names() == [b"a"]
        assert not it.store.is_dirty(inode)
        it.settled()


async def test_equal_sizes_are_compared_by_their_bytes(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        it.cloud.put(b"a", b"base")
        await it.sync()
        await it.save(b"a", b"ours")
        it.cloud.put(b"a", b"thei")
        assert await it.sync() == DONE
        assert it.cloud.paths() == {b"a": b"thei", b"a" + CONFLICT: b"ours"}


async def test_what_can_not_be_compared_stays_as_it_is_until_it_can(tmp_path: Path) -> None:
    async with syncing(tmp_path, timeout_s=0.3) as it:
        it.cloud.put(b"a", b"base")
        await it.sync()
        await it.save(b"a", b"ours")
        it.cloud.put(b"a", b"ours")
        it.cloud.fail("read", NetworkUnavailable("cut"), times=None)
        assert await it.sync() == pull_failed(ErrorType.NETWORK_UNAVAILABLE)
        assert it.names() == [b"a"]
        it.cloud.heal()
        assert await it.sync() == DONE
        assert it.names() == [b"a"]


async def test_an_edit_here_beats_a_delete_there(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        it.cloud.put(b"d/a", b"base")
        it.cloud.put(b"e/b", b"base")
        await it.sync()
        await it.save(b"d/a", b"edited")
        await it.save(b"e/b", b"edited")
        it.cloud.remove(b"d/a")
        it.cloud.remove(b"e")
        assert await it.sync() == DONE
        assert it.cloud.paths() == {b"d": None, b"d/a": b"edited", b"e": None, b"e/b": b"edited"}
        it.settled()


async def test_an_edit_there_beats_a_delete_here(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        it.cloud.put(b"a", b"base")
        await it.sync()
        await it.unlink(b"a")
        it.cloud.put(b"a", b"edited there")
        assert await it.sync() == DONE
        assert it.cloud.paths() == {b"a": b"edited there"}
        assert await it.content(b"a") == b"edited there"
        it.settled()


async def test_removed_on_both_sides_is_removed(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        it.cloud.put(b"a", b"base")
        it.cloud.put(b"d/x", b"base")
        await it.sync()
        await it.unlink(b"a")
        await it.unlink(b"d/x")
        await it.rmdir(b"d")
        it.cloud.remove(b"a")
        it.cloud.remove(b"d")
        assert await it.sync() == DONE
        assert it.cloud.paths() == {}
        it.settled()


async def test_folders_made_on_both_sides_are_one(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        await it.sync()
        await it.mkdir(b"d")
        await it.save(b"d/ours", b"ours")
        it.cloud.put(b"d/theirs", b"theirs")
        assert await it.sync() == DONE
        assert it.cloud.paths() == {b"d": None, b"d/ours": b"ours", b"d/theirs": b"theirs"}
        assert it.names(b"d") == [b"ours", b"theirs"]
        it.settled()


async def test_a_folder_here_and_a_file_there_of_one_name(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        await it.sync()
        await it.mkdir(b"x")
        await it.save(b"x/inner", b"ours")
        it.cloud.put(b"x", b"a file")
        assert await it.sync() == DONE
        copy = b"x" + CONFLICT
        assert it.cloud.paths() == {b"x": b"a file", copy: None, copy + b"/inner": b"ours"}
        it.settled()


async def test_a_quarrel_in_the_root_and_a_folder_that_the_cloud_lost(tmp_path: Path) -> None:
    """The lost folder has the root listed again, so that the quarrel comes up twice in one round."""
    async with syncing(tmp_path) as it:
        it.cloud.put(b"gone/x", b"x")
        await it.sync()
        await it.mkdir(b"a")
        await it.save(b"a/x", b"ours")
        it.cloud.put(b"a", b"theirs")
        it.cloud.remove(b"gone")
        assert await it.sync() == DONE
        assert it.cloud.paths() == {b"a": b"theirs", b"a" + CONFLICT: None, b"a" + CONFLICT + b"/x": b"ours"}
        it.settled()


async def test_a_move_to_a_name_that_the_cloud_gave_away_steps_aside(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        it.cloud.put(b"a", b"content of a")
        await it.sync()
        await it.rename(b"a", b"b")
        it.cloud.put(b"b", b"theirs")
        assert await it.sync() == DONE
        assert it.cloud.paths() == {b"b": b"theirs", b"b" + CONFLICT: b"content of a"}
        assert it.asked("write") == []
        it.settled()


async def test_a_file_renamed_there_and_edited_here_keeps_the_edit(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        it.cloud.put(b"a", b"base")
        await it.sync()
        await it.save(b"a", b"edited")
        it.cloud.rename(b"a", b"b")
        assert await it.sync() == DONE
        assert sorted(content or b"" for content in it.cloud.paths().values()) == [b"edited"]
        it.settled()


async def test_a_gap_whose_base_is_gone_is_never_sent(tmp_path: Path) -> None:
    async with syncing(tmp_path, timeout_s=0.5) as it:
        it.cloud.put(b"a", b"0123456789")
        await it.sync()
        it.cloud.fail("read", NetworkUnavailable("cut"), times=None)
        node = it.node(b"a")
        content = await it.store.open(node.inode, node.version)
        it.store.begin_writing(content)
        await it.editor.write(content, 3, b"xyz")
        await it.editor.flush(content)
        it.store.end_writing(content)
        await it.store.close(content)
        it.cloud.put(b"a", b"another version")
        it.cloud.heal()
        outcome = await it.sync()
        assert it.cloud.paths() == {b"a": b"another version"}
        assert outcome != DONE
        copy = it.node(b"a" + CONFLICT)
        assert copy.error is not None
        assert copy.error_reason is not None
        assert await it.sync() == outcome
        assert it.names() == sorted([b"a", b"a" + CONFLICT])


async def test_what_power_loss_may_have_taken_goes_up_as_a_conflict_copy(tmp_path: Path) -> None:
    cloud = MemoryCloud()
    async with syncing(tmp_path, cloud) as it:
        cloud.put(b"a", b"base")
        await it.sync()
        inode = await it.save(b"a", b"never synced to the disk")
        await it.save(b"new", b"made here")
        it.store.unsafe[:] = [inode, it.inode(b"new")]
        assert await it.sync() == DONE
        assert it.store.unsafe == []
        expected = {b"a": b"base", b"a" + CONFLICT: b"never synced to the disk", b"new": b"made here"}
        assert cloud.paths() == expected
        it.settled()


async def test_no_content_is_ever_lost_whatever_two_devices_do_to_one_name(tmp_path: Path) -> None:
    """A hundred small quarrels over one file, by a fixed sequence of acts."""
    async with syncing(tmp_path) as it:
        it.cloud.put(b"a", b"base")
        await it.sync()
        alive = {b"base"}
        for number in range(40):
            await _quarrel(it, number, alive)
            await it.sync()
            await it.sync()
            contents = {content for content in it.cloud.paths().values() if content is not None}
            assert alive <= contents, f"act {number} lost something"
        it.settled()


async def _quarrel(it: Syncing, number: int, alive: set[bytes]) -> None:
    ours, theirs = b"ours %d" % number, b"theirs %d" % number
    here = await it.content(b"a") if b"a" in it.names() else None
    there = it.cloud.paths().get(b"a")
    if number % 4 == 3 and here is not None:
        await it.unlink(b"a")
        alive.discard(here)
    else:
        await it.save(b"a", ours)
        alive.discard(here or b"")
        alive.add(ours)
    if number % 3 != 2 and there is not None:
        it.cloud.put(b"a", theirs)
        alive.discard(there)
        alive.add(theirs)
