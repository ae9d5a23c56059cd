"""Listings beside local changes: what is contested, met, passed over; removals, and moves in the cloud."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cloudfs.database.intents import Intent
from cloudfs.model.entry import FolderListing, RemoteEntry, Version
from cloudfs.model.enums import Listing, Scope
from cloudfs.model.errors import TryAgain
from cloudfs.model.node import ROOT, Place
from cloudfs.tree import sends
from cloudfs.tree.changes import EntryChanged
from cloudfs.tree.observation import Observation
from tests.tree.conftest import Opening, World, also_nothing, file, folder, listing
from tests.tree.test_tree import Heard

NOTHING = Observation([], [], {}, [], [])


def found(seen: Observation) -> tuple[list[int], list[tuple[int, bytes]], list[int]]:
    """vanished, contested and met, as inodes and names."""
    contested = [(node.inode, entry.name) for node, entry in seen.contested]
    return [node.inode for node in seen.vanished], contested, seen.met


# --- listings ---


async def test_what_was_never_sent_has_not_vanished(opening: Opening) -> None:
    async with opening() as world:
        f, d = await world.file(ROOT, b"f"), await world.folder(ROOT, b"d")
        assert await world.observe(ROOT) == NOTHING
        assert world.names(ROOT) == {b"f": f, b"d": d}


async def test_a_modified_file_is_never_overwritten_by_a_listing(opening: Opening) -> None:
    async with opening() as world:
        f = await world.sent_file(ROOT, b"f", 'W/"1"')
        await world.modify(f)
        await world.tree.record_content(f, 77, 88, also_nothing)
        seen = await world.observe(ROOT, file(b"f", '"1"', size=0, mtime_s=9))
        assert found(seen) == ([], [], [])
        node = world.tree.node(f)
        assert (node.size, node.mtime_ns) == (77, 88)
        assert node.version == Version('"1"', 9 * 10**9, 0), "a base that may guard the upload now"
        seen = await world.observe(ROOT, file(b"f", '"2"', size=5))
        assert found(seen) == ([], [(f, b"f")], [])
        seen = await world.observe(ROOT, folder(b"f"))
        assert found(seen) == ([], [(f, b"f")], [])
        seen = await world.observe(ROOT)
        assert found(seen) == ([f], [], [])
        assert world.tree.node(f) == node


async def test_a_tombstone_hides_its_name_and_tells_an_edit(opening: Opening) -> None:
    async with opening() as world:
        f, d = await world.sent_file(ROOT, b"f"), await world.sent_folder(ROOT, b"d")
        await world.tree.unlink(ROOT, b"f")
        await world.tree.remove_folder(ROOT, b"d")
        seen = await world.observe(ROOT, file(b"f", size=0), folder(b"d", '"t"'))
        assert seen == NOTHING
        assert world.names(ROOT) == {}
        assert found(await world.observe(ROOT, file(b"f", '"2"'), file(b"d"))) == (
            [],
            [(f, b"f"), (d, b"d")],
            [],
        )
        assert found(await world.observe(ROOT)) == ([f, d], [], [])
        asked = await world.file(ROOT, b"asked")
        await world.tree.begin_intent(Intent(asked, "put", Place(ROOT, b"asked"), 1, 0, b"", None))
        await world.tree.unlink(ROOT, b"asked")
        seen = await world.observe(ROOT, file(b"asked", size=0), file(b"f", size=0), folder(b"d"))
        assert found(seen) == ([], [], []), "whether it came through is to be settled first"
        assert found(await world.observe(ROOT, file(b"f", size=0), folder(b"d"))) == ([], [], [])


async def test_a_listing_says_nothing_of_what_a_crash_left_unsettled(opening: Opening) -> None:
    async with opening() as world:
        new, moved = await world.file(ROOT, b"new"), await world.sent_file(ROOT, b"old")
        await world.tree.begin_intent(Intent(new, "put", Place(ROOT, b"new"), 1, 0, b"", None))
        await world.tree.rename(ROOT, b"old", ROOT, b"target")
        await world.tree.begin_intent(Intent(moved, "move", Place(ROOT, b"target"), 0, 0, b"", None))
        await world.tree.rename(ROOT, b"new", ROOT, b"elsewhere")
    async with opening() as world:
        seen = await world.observe(ROOT, file(b"new", size=0), file(b"target", size=0))
        assert found(seen) == ([], [], [])
        assert world.names(ROOT) == {b"elsewhere": new, b"target": moved}, "no second entry for either"


async def test_a_moved_entry_follows_the_cloud_where_it_lies_here(opening: Opening) -> None:
    async with opening() as world:
        d = await world.sent_folder(ROOT, b"d")
        f, g = await world.sent_file(ROOT, b"f"), await world.sent_file(ROOT, b"g")
        await world.tree.rename(ROOT, b"f", d, b"x")
        await world.tree.rename(ROOT, b"g", d, b"y")
        world.used = {g}
        with Heard(world.topic) as heard:
            seen = await world.observe(ROOT, folder(b"d"), file(b"f", '"2"', 20), file(b"g", '"2"', 20))
        new = world.names(d)[b"y"]
        assert (seen.added, seen.changed, seen.replaced) == ([], [f], {g: new})
        assert world.names(d) == {b"x": f, b"y": new}
        assert [(world.tree.node(inode).size, world.tree.remote_path(inode)) for inode in (f, new)] == [
            (20, b"f"),
            (20, b"g"),
        ]
        assert EntryChanged(d, b"y", replaced=g) in heard.items
        assert (world.tree.node(g).home, world.tree.node(g).size) == (None, 0)
        assert world.changes() == {f, new}
        assert found(await world.observe(ROOT, folder(b"d"))) == ([f, new], [], [])
        assert found(await world.observe(d)) == ([], [], []), "the cloud never had them there"


async def test_a_name_taken_here_is_contested_and_a_folder_met(opening: Opening) -> None:
    async with opening() as world:
        moved = await world.sent_file(ROOT, b"m")
        await world.tree.rename(ROOT, b"m", ROOT, b"taken")
        f, d, clash = [
            await world.file(ROOT, b"f"),
            await world.folder(ROOT, b"d"),
            await world.folder(ROOT, b"clash"),
        ]
        below = await world.file(d, b"below")
        seen = await world.observe(
            ROOT,
            *(file(name, size=3) for name in (b"f", b"clash", b"taken")),
            file(b"m", size=0),
            RemoteEntry(b"d", folder(b"d").kind, Version('"t"', None, 0), "id"),
        )
        assert (seen.added, found(seen)) == (
            [],
            ([], [(moved, b"taken"), (f, b"f"), (clash, b"clash")], [d]),
        )
        node = world.tree.node(d)
        assert (node.is_changed, node.listing, node.file_id) == (False, Listing.NEVER, "id")
        assert (world.names(d), world.tree.remote_path(d)) == ({b"below": below}, b"d")
        assert d in world.tree.folders(Scope.FILES)
        assert world.changes() == {moved, f, clash, below}


async def test_what_is_open_for_writing_is_passed_over(opening: Opening) -> None:
    async with opening() as world:
        f, gone, mine = [
            await world.sent_file(ROOT, b"f"),
            await world.sent_file(ROOT, b"gone"),
            await world.file(ROOT, b"mine"),
        ]
        world.used = world.written = {f, gone, mine}
        seen = await world.observe(ROOT, file(b"f", '"2"', 5), file(b"mine"))
        assert seen == replace(NOTHING, is_complete=False)
        assert world.tree.node(f).size == 0
        entry = file(b"f", '"2"', 5)
        node = await world.tree.observe_one(f, entry, world.in_use, world.is_written)
        assert (node.inode, node.size) == (f, 0)
        world.used = world.written = set()
        seen = await world.observe(ROOT, entry, file(b"mine"))
        assert (seen.changed, found(seen)) == ([f], ([gone], [(mine, b"mine")], []))


async def test_a_file_opened_for_writing_while_its_row_changes_keeps_its_version(opening: Opening) -> None:
    async with opening() as world:
        f, other = await world.sent_file(ROOT, b"f"), await world.sent_file(ROOT, b"other")
        before = world.tree.node(f)
        asked = 0

        def opened_between(inode: int) -> bool:
            nonlocal asked
            asked += inode == f
            return inode == f and asked > 1  # the first question comes before the commit

        seen = await world.tree.observe(
            ROOT,
            listing(file(b"f", '"2"', 20), file(b"other", '"2"', 20)),
            opened_between,
            lambda inode: inode == f and asked > 1,
        )
        assert (seen.changed, seen.replaced, seen.is_complete) == ([other], {}, False)
        assert world.tree.node(f) == before
        assert not world.tree._settling
        await world.modify(f)
        assert found(await world.observe(ROOT, file(b"f", '"2"', 20), file(b"other", '"2"', 20))) == (
            [],
            [(f, b"f")],
            [],
        )


async def test_one_entry_asked_for_leaves_what_is_changed_alone(opening: Opening) -> None:
    async with opening() as world:
        f = await world.sent_file(ROOT, b"f", 'W/"1"')
        await world.modify(f)
        same = await world.tree.observe_one(f, file(b"f", '"1"', 0), world.in_use)
        assert same.version == Version('"1"', 5 * 10**9, 0)
        other = await world.tree.observe_one(f, file(b"f", '"2"', 9), world.in_use)
        assert other == same
        unsent = await world.file(ROOT, b"u")
        assert (await world.tree.observe_one(unsent, file(b"u"), world.in_use)).is_unsent


async def test_a_listing_is_not_believed_about_what_was_sent_meanwhile(opening: Opening) -> None:
    async with opening() as world:
        f, d = await world.file(ROOT, b"f"), await world.folder(ROOT, b"d")
        moved = await world.sent_file(ROOT, b"m")
        gone = await world.sent_file(ROOT, b"gone")
        await world.tree.rename(ROOT, b"m", d, b"n")
        await world.tree.unlink(ROOT, b"gone")
        stamp = world.tree.stamp()
        half_way = [file(b"f", '"2"', 7), folder(b"d"), file(b"other")]
        with (
            world.tree.sending(f),
            world.tree.sending(d),
            world.tree.sending(moved),
            world.tree.sending(gone),
        ):
            await world.tree.rename(ROOT, b"f", ROOT, b"g")  # while it is sent to its old name
            seen = await world.observe(ROOT, *half_way, stamp=stamp)
            assert ([node.name for node in seen.added], found(seen)) == ([b"other"], ([], [], []))
            entry = file(b"g", '"2"', 7)
            assert (await world.tree.observe_one(f, entry, world.in_use)).is_unsent
            await world.tree.record_uploaded(f, 1, Version('"2"', None, 0), Place(ROOT, b"f"), also_nothing)
        after = world.tree.stamp()
        seen = await world.observe(ROOT, file(b"other"), stamp=stamp)
        assert found(seen) == ([], [], []), "it began before"
        assert not seen.is_complete, "no tag of the folder tells of what was passed over"
        seen = await world.observe(ROOT, file(b"other"), stamp=after)
        assert found(seen) == ([f, moved, gone], [], [])
        assert seen.is_complete


async def test_a_listing_too_old_to_be_judged_is_given_up(
    opening: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sends, "_REMEMBERED", 3)
    async with opening() as world:
        f = await world.file(ROOT, b"f")
        stamp = world.tree.stamp()
        for number in range(4):
            assert world.tree.is_sending(f) is False
            await world.observe(ROOT, stamp=stamp)
            with world.tree.sending(f), world.tree.sending(f):
                assert world.tree.is_sending(f)
            if number == 1:
                break
        with pytest.raises(TryAgain):
            await world.observe(ROOT, stamp=stamp)
        assert await world.observe(ROOT) == NOTHING


async def test_what_the_cloud_could_not_describe_stays_wherever_it_lies_here(opening: Opening) -> None:
    async with opening() as world:
        d = await world.sent_folder(ROOT, b"d")
        moved, removed = await world.sent_file(d, b"m"), await world.sent_file(d, b"r")
        await world.tree.rename(d, b"m", ROOT, b"x")
        await world.tree.unlink(d, b"r")
        part = FolderListing(folder(b""), (), (), frozenset({b"m", b"r"}))
        assert (await world.tree.observe(d, part, world.in_use)).vanished == []
        assert world.changes() == {moved, removed}


async def test_a_folder_keeps_the_time_of_a_local_change_until_the_clouds_moves(opening: Opening) -> None:
    async with opening() as world:
        d = (await world.observe(ROOT, folder(b"d", mtime_s=5))).added[0].inode
        of = folder(b"d", mtime_s=5)
        await world.tree.observe(d, listing(of=of), world.in_use)
        await world.file(d, b"f")
        mtime_ns = world.tree.node(d).mtime_ns
        await world.observe(ROOT, of)
        await world.tree.observe(d, listing(of=of), world.in_use)
        assert world.tree.node(d).mtime_ns == mtime_ns
        await world.observe(ROOT, folder(b"d", mtime_s=9))
        assert world.tree.node(d).mtime_ns == 9 * 10**9


# --- removals ---


async def test_what_was_changed_below_a_lost_folder_stays_with_the_folders_down_to_it(
    opening: Opening,
) -> None:
    async with opening() as world:
        d = await world.sent_folder(ROOT, b"d")
        e, empty = await world.sent_folder(d, b"e"), await world.sent_folder(d, b"empty")
        clean, removed, dirty, out, out_dirty = [
            await world.sent_file(e, name) for name in (b"clean", b"removed", b"dirty", b"out", b"out dirty")
        ]
        other = await world.sent_folder(ROOT, b"other")
        inside = await world.sent_file(other, b"inside")
        await world.modify(dirty)
        await world.modify(out_dirty)
        await world.tree.unlink(e, b"removed")
        await world.tree.rename(e, b"out", ROOT, b"out")
        await world.tree.rename(e, b"out dirty", ROOT, b"out dirty")
        await world.tree.rename(ROOT, b"other", d, b"other")
        new = await world.file(empty, b"new")
        with Heard(world.topic) as heard:
            gone = await world.tree.remove([d], world.in_use, world.is_written)
        assert set(gone) == {clean, removed}
        assert heard.items == [EntryChanged(e, b"clean", clean)]
        assert world.names(ROOT).keys() == {b"d", b"out", b"out dirty"}
        assert world.names(d) == {b"e": e, b"empty": empty, b"other": other}
        assert (world.names(e), world.names(empty)) == ({b"dirty": dirty}, {b"new": new})
        for inode in (d, e, empty, dirty, new, out_dirty):
            assert world.tree.node(inode).is_unsent
        assert (world.tree.remote_path(other), world.tree.remote_path(inside)) == (b"other", b"other/inside")
        assert world.changes() == {d, e, empty, dirty, new, out_dirty, other}
        assert world.tree.remote_path(out) == b"out", "as its next listing will tell"
    async with opening() as world:
        assert world.names(d) == {b"e": e, b"empty": empty, b"other": other}


async def test_a_lost_folder_goes_with_its_tombstones_and_leaves_open_files(opening: Opening) -> None:
    async with opening() as world:
        d = await world.sent_folder(ROOT, b"d")
        e = await world.sent_folder(d, b"e")
        f, used, removed = [await world.sent_file(e, name) for name in (b"f", b"used", b"removed")]
        await world.tree.unlink(e, b"removed")
        world.used = {used}
        assert set(await world.tree.remove([d], world.in_use, world.is_written)) == {f, removed}
        assert (world.tree.node(used).parent, world.tree.node(used).home) == (None, None)
        assert all(world.is_gone(inode) for inode in (d, e, f, removed))
        assert (world.changes(), world.names(ROOT)) == (set(), {})


async def test_a_folder_with_a_file_open_for_writing_is_left_for_the_next_round(opening: Opening) -> None:
    async with opening() as world:
        d, other = await world.sent_folder(ROOT, b"d"), await world.sent_folder(ROOT, b"other")
        f = await world.sent_file(d, b"f")
        world.used = world.written = {f}
        assert await world.tree.remove([d, other], world.in_use, world.is_written) == []
        assert world.names(ROOT) == {b"d": d}
        assert world.changes() == set()


async def test_what_stays_of_a_lost_folder_stands_for_what_was_removed_in_its_place(opening: Opening) -> None:
    async with opening() as world:
        d = await world.sent_folder(ROOT, b"d")
        f, g = await world.sent_file(d, b"f"), await world.sent_file(ROOT, b"g", '"g"')
        await world.modify(f)
        await world.tree.rename(d, b"f", ROOT, b"g")
        assert world.changes() == {f, g}
        assert await world.tree.remove([d], world.in_use, world.is_written) == [g]
        node = world.tree.node(f)
        assert node.version is not None
        assert (node.version.etag, node.home, world.changes()) == ('"g"', None, {f})


async def test_a_modified_or_unsent_file_does_not_go(opening: Opening) -> None:
    async with opening() as world:
        dirty, unsent = await world.sent_file(ROOT, b"dirty"), await world.file(ROOT, b"unsent")
        await world.modify(dirty)
        assert await world.tree.remove([dirty, unsent], world.in_use, world.is_written) == []
        assert world.names(ROOT) == {b"dirty": dirty, b"unsent": unsent}
        assert world.tree.node(dirty).is_unsent


async def test_no_follower_takes_a_name_that_was_taken_meanwhile(opening: Opening) -> None:
    async with opening() as world:
        old = (await world.observe(ROOT, folder(b"x"))).added[0].inode
        await world.tree.observe(old, listing(), world.in_use)
        await world.observe(ROOT, file(b"x"))
        await world.tree.rename(ROOT, b"x", ROOT, b"y")
        new = await world.file(ROOT, b"x")
        await world.tree.remove([old], world.in_use)
        assert world.names(ROOT) == {b"x": new}


# --- moves in the cloud ---


async def twins(world: World, *, entry: RemoteEntry) -> tuple[int, int, int]:
    """A file of the root that came up in a folder: folder, old inode, new inode."""
    d = await world.sent_folder(ROOT, b"d")
    old = next(n.inode for n in (await world.observe(ROOT, folder(b"d"), file(b"f"))).added)
    new = (await world.observe(d, entry)).added[0].inode
    return d, old, new


async def test_an_edited_file_follows_its_move_in_the_cloud(opening: Opening) -> None:
    async with opening() as world:
        d, old, new = await twins(world, entry=file(b"g", '"url"', file_id="7"))
        await world.modify(old)
        await world.tree.record_content(old, 77, 88, also_nothing)
        assert await world.tree.adopt_move(old, new, world.in_use) == old
        node = world.tree.node(old)
        assert (world.tree.path(old), node.size, node.is_modified, node.home) == (b"d/g", 77, True, None)
        assert node.version == Version('"url"', 5 * 10**9, 10)
        assert (world.is_gone(new), world.names(d), world.changes()) == (True, {b"g": old}, {old})


async def test_a_file_edited_on_both_sides_and_moved_there_is_contested(opening: Opening) -> None:
    async with opening() as world:
        d, old, new = await twins(world, entry=file(b"g", '"url"', size=99, file_id="7"))
        await world.modify(old)
        assert await world.tree.adopt_move(old, new, world.in_use) == old
        seen = await world.observe(d, file(b"g", '"url"', size=99))
        assert found(seen) == ([], [(old, b"g")], [])


async def test_a_file_moved_on_both_sides_stays_where_it_was_put_here(opening: Opening) -> None:
    async with opening() as world:
        d, old, new = await twins(world, entry=file(b"g", '"url"', file_id="7"))
        await world.tree.rename(ROOT, b"f", ROOT, b"mine")
        with Heard(world.topic) as heard:
            assert await world.tree.adopt_move(old, new, world.in_use) == old
        assert heard.items == [EntryChanged(d, b"g", new)]
        assert (world.tree.path(old), world.tree.remote_path(old)) == (b"mine", b"d/g")
        assert (world.names(d), world.changes()) == ({}, {old})
        await world.tree.rename(ROOT, b"mine", d, b"g")
        assert world.changes() == set()


async def test_what_was_changed_here_is_no_place_to_take(opening: Opening) -> None:
    async with opening() as world:
        d, old, new = await twins(world, entry=file(b"g", '"url"', file_id="7"))
        await world.modify(new)
        assert await world.tree.adopt_move(old, new, world.in_use) is None
        assert (world.names(d), world.tree.path(old)) == ({b"g": new}, b"f")
