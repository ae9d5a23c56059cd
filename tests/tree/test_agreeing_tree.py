"""What the sync records: answers that come late, entries that are gone meanwhile, and how both sides meet."""

from __future__ import annotations

import sqlite3

import pytest

from cloudfs.database.contents import ContentRow, Contents
from cloudfs.database.intents import Intent
from cloudfs.model.entry import Version
from cloudfs.model.enums import Listing, Scope
from cloudfs.model.errors import AlreadyExists, NotFound
from cloudfs.model.node import ROOT, Place
from cloudfs.tree.changes import EntryChanged
from tests.tree.conftest import Opening, also_nothing, file, folder
from tests.tree.test_tree import Heard

V1 = Version('"1"', 5 * 10**9, 0)
V2 = Version('"2"', 6 * 10**9, 0)


def put(inode: int, place: Place) -> Intent:
    return Intent(inode, "put", place, 1, 3, b"hash", V1)


# --- answers ---


async def test_what_was_written_during_an_upload_stays_modified(opening: Opening) -> None:
    async with opening() as world:
        f = await world.file(ROOT, b"f")
        place = Place(ROOT, b"f")
        await world.tree.begin_intent(put(f, place))
        assert world.tree.intents() == [put(f, place)]
        await world.modify(f)
        await world.tree.note_failure(f, "NETWORK_UNAVAILABLE", "no route", 99)
        ran: list[int] = []
        node = await world.tree.record_uploaded(f, 1, V1, place, lambda _: ran.append(1))
        assert node is not None
        assert (node.version, node.sent, node.generation, node.home) == (V1, 1, 2, None)
        assert (node.error, node.tries, node.next_try_ms) == (None, 0, None)
        assert (world.tree.intents(), world.changes(), ran) == ([], {f}, [1])
        node = await world.tree.record_uploaded(f, 2, V2, place, also_nothing)
        assert node is not None
        assert not node.is_changed
        assert await world.tree.record_uploaded(99, 1, V1, place, lambda _: ran.append(2)) is None
        assert ran == [1]


async def test_what_was_renamed_or_removed_during_an_upload_is_where_it_was_sent(opening: Opening) -> None:
    async with opening() as world:
        moved, gone = await world.file(ROOT, b"a"), await world.file(ROOT, b"b")
        for inode, name in ((moved, b"a"), (gone, b"b")):
            await world.tree.begin_intent(put(inode, Place(ROOT, name)))
        await world.tree.rename(ROOT, b"a", ROOT, b"c")
        await world.tree.unlink(ROOT, b"b")
        new = await world.file(ROOT, b"a")
        for inode, name in ((moved, b"a"), (gone, b"b")):
            await world.tree.record_uploaded(inode, 1, V1, Place(ROOT, name), also_nothing)
        assert (world.tree.remote_path(moved), world.tree.path(moved)) == (b"a", b"c")
        assert world.tree.node(gone).is_removed
        assert world.changes() == {moved, gone, new}


async def test_a_made_folder_takes_what_lies_in_it_along(opening: Opening) -> None:
    async with opening() as world:
        d = await world.folder(ROOT, b"d")
        f = await world.file(d, b"f")
        with pytest.raises(NotFound):
            world.tree.place_path(Place(d, b"f"))
        node = await world.tree.record_made(d, Place(ROOT, b"d"))
        assert node is not None
        assert (node.listing, node.version) == (Listing.WHOLE, Version(None, None, 0))
        assert world.tree.place_path(Place(d, b"f")) == b"d/f"
        assert world.changes() == {f}
        assert world.tree.folders(Scope.FILES) == [ROOT, d]
        assert await world.tree.record_made(99, Place(ROOT, b"x")) is None
        e = await world.folder(ROOT, b"e")
        await world.tree.rename(ROOT, b"e", d, b"e")
        await world.tree.record_made(e, Place(ROOT, b"e"))
        assert world.tree.remote_path(e) == b"e"


async def test_a_move_settles_the_home_and_forgets_the_tags_below(opening: Opening) -> None:
    async with opening() as world:
        d, e = await world.sent_folder(ROOT, b"d"), await world.sent_folder(ROOT, b"e")
        f, away = await world.sent_file(d, b"f"), await world.sent_file(d, b"away")
        row = ContentRow(f, "random", 0, '"1"', 5 * 10**9, b"", 0, True, True, "boot", 1)
        await Contents(world.database).upsert([row])
        await world.tree.rename(d, b"away", ROOT, b"away")
        await world.tree.rename(ROOT, b"d", e, b"x")
        await world.tree.begin_intent(Intent(d, "move", Place(e, b"x"), 0, 0, b"", None))
        await world.tree.rename(e, b"x", e, b"y")
        await world.tree.record_moved(d, Place(e, b"x"))
        assert (world.tree.remote_path(f), world.tree.path(f)) == (b"e/x/f", b"e/y/f")
        assert (world.tree.remote_path(away), world.tree.intents()) == (b"e/x/away", [])
        await world.tree.record_moved(d, Place(e, b"y"))
        assert world.changes() == {away}
        for inode in (f, away):
            assert world.tree.node(inode).version == Version(None, 5 * 10**9, 0)
        stored = Contents(world.database).load(f)
        assert stored is not None
        assert stored.etag is None, "else the next listing's tag would make it stale"
        await world.tree.record_moved(99, Place(ROOT, b"x"))


async def test_a_move_over_a_tombstone_ends_it(opening: Opening) -> None:
    async with opening() as world:
        a, b = await world.sent_file(ROOT, b"a"), await world.sent_file(ROOT, b"b")
        await world.tree.rename(ROOT, b"a", ROOT, b"b")
        await world.tree.record_moved(a, Place(ROOT, b"b"))
        assert (world.is_gone(b), world.changes(), world.freed) == (True, set(), [b])


async def test_a_cycle_is_broken_by_a_parked_name_that_listings_show(opening: Opening) -> None:
    async with opening() as world:
        a, b = await world.sent_file(ROOT, b"a"), await world.sent_file(ROOT, b"b", '"2"')
        await world.tree.exchange(ROOT, b"a", ROOT, b"b")
        parked = Place(ROOT, b"a (moving 1a-%d)" % a)
        await world.tree.record_moved(a, parked)
        in_cloud = [(b"b", '"2"'), (parked.name, '"1"')]
        seen = await world.observe(ROOT, *(file(name, tag, size=0, mtime_s=None) for name, tag in in_cloud))
        assert (seen.vanished, seen.contested, seen.added) == ([], [], [])
        await world.tree.record_moved(b, Place(ROOT, b"a"))
        await world.tree.record_moved(a, Place(ROOT, b"b"))
        assert (world.changes(), world.names(ROOT)) == (set(), {b"a": b, b"b": a})


async def test_deletes_go_bottom_up_and_leave_an_open_file_to_its_user(opening: Opening) -> None:
    async with opening() as world:
        d = await world.sent_folder(ROOT, b"d")
        f = await world.sent_file(d, b"f")
        world.tree.hold(f)
        await world.tree.unlink(d, b"f")
        await world.tree.remove_folder(ROOT, b"d")
        with pytest.raises(ValueError, match="before"):
            await world.tree.record_deleted(d)
        await world.tree.record_deleted(f)
        assert (world.tree.node(f).home, world.changes()) == (None, {d})
        await world.tree.record_deleted(d)
        assert world.is_gone(d)
        world.tree.release(f, 1)
        await world.tree.forget_unlinked(f)
        assert world.is_gone(f)
        g = await world.sent_file(ROOT, b"g")
        await world.tree.record_deleted(g)
        assert world.names(ROOT) == {b"g": g}, "it is linked"
        await world.tree.unlink(ROOT, b"g")
        await world.tree.record_deleted(g)
        await world.tree.record_deleted(g)
        assert (world.is_gone(g), world.freed) == (True, [g])


async def test_an_intent_is_for_what_may_still_be_sent(opening: Opening) -> None:
    async with opening() as world:
        f = await world.sent_file(ROOT, b"f")
        await world.tree.begin_intent(put(f, Place(ROOT, b"f")))
        assert world.changes() == {f}, "an answer may be lost, though nothing is modified"
        await world.tree.unlink(ROOT, b"f")
        with pytest.raises(NotFound):
            await world.tree.begin_intent(put(f, Place(ROOT, b"f")))
        move = Intent(f, "move", Place(ROOT, b".cloudfs-moved"), 0, 0, b"", None)
        await world.tree.begin_intent(move)
        assert world.tree.intents() == [move]
        await world.tree.end_intent(f)
        assert world.tree.node(f).is_removed
        with pytest.raises(NotFound):
            await world.tree.begin_intent(put(99, Place(ROOT, b"f")))
        await world.tree.end_intent(99)


async def test_an_intent_is_only_for_what_was_planned(opening: Opening) -> None:
    """Saved by rename twice, between the plan and its steps: the new file's place is no longer its own."""
    async with opening() as world:
        await world.sent_file(ROOT, b"f")
        new = await world.file(ROOT, b"new")
        await world.tree.rename(ROOT, b"new", ROOT, b"f")
        with pytest.raises(NotFound):
            await world.tree.begin_intent(put(new, Place(ROOT, b"new")))
        await world.tree.begin_intent(put(new, Place(ROOT, b"f")))
        await world.tree.end_intent(new)
        await world.tree.rename(ROOT, b"f", ROOT, b"g")
        with pytest.raises(NotFound):
            await world.tree.begin_intent(put(new, Place(ROOT, b"g")))
        with pytest.raises(NotFound):
            await world.tree.begin_intent(Intent(new, "move", Place(ROOT, b"g"), 0, 0, b"", V1))
        await world.tree.begin_intent(Intent(new, "move", Place(ROOT, b"g"), 0, 0, b"", None))


@pytest.mark.parametrize("is_done", [True, False])
async def test_what_a_move_is_to_replace_is_taken_over_only_after_the_answer(
    opening: Opening, is_done: bool
) -> None:
    async with opening() as world:
        old, moved = await world.sent_file(ROOT, b"f"), await world.sent_file(ROOT, b"m")
        await world.tree.rename(ROOT, b"m", ROOT, b"f")
        place = Place(ROOT, b"f")
        await world.tree.begin_intent(Intent(moved, "move", place, 0, 0, b"", world.tree.node(old).version))
        new = await world.file(ROOT, b"new")
        await world.tree.rename(ROOT, b"new", ROOT, b"f")
        assert world.tree.node(new).is_unsent
        assert world.changes() == {old, moved, new}
        if is_done:
            await world.tree.record_moved(moved, place)
        else:
            await world.tree.end_intent(moved)
        assert not world.tree.node(new).is_unsent, "of whichever lies there now"
        assert world.tree.remote_path(new) == b"f"
        assert world.changes() == ({new} if is_done else {moved, new})


async def test_failures_are_counted_and_waits_end_for_a_scope_or_all(opening: Opening) -> None:
    async with opening() as world:
        photos = await world.sent_folder(ROOT, b"Photos")
        f, p = await world.file(ROOT, b"f"), await world.file(photos, b"p")
        for _ in range(2):
            await world.tree.note_failure(f, "CLOUD_STORAGE_FULL", "the quota is used up", 1000)
        await world.tree.note_failure(p, "UNKNOWN_ERROR", "423", 2000)
        await world.tree.note_failure(99, "UNKNOWN_ERROR", "gone", 1)
        node = world.tree.node(f)
        assert (node.error, node.error_reason, node.tries) == (
            "CLOUD_STORAGE_FULL",
            "the quota is used up",
            2,
        )

        def waits() -> tuple[int | None, int | None]:
            return world.tree.node(f).next_try_ms, world.tree.node(p).next_try_ms

        assert waits() == (1000, 2000)
        await world.tree.clear_waits(Scope.GALLERY)
        assert waits() == (1000, None)
        await world.tree.note_failure(p, "UNKNOWN_ERROR", "423", 2000)
        await world.tree.clear_waits()
        assert (waits(), world.tree.node(f).tries) == ((None, None), 2)
        await world.tree.note_failure(f, "UNKNOWN_ERROR", "the name is refused", 3000)
        await world.tree.rename(ROOT, b"f", ROOT, b"g")
        assert world.tree.node(f).next_try_ms is None, "another name is tried at once"


async def test_changes_belong_to_the_scope_of_their_place_in_the_cloud(opening: Opening) -> None:
    async with opening() as world:
        photos = await world.sent_folder(ROOT, b"Photos")
        out, gone = await world.sent_file(photos, b"out"), await world.sent_file(photos, b"gone")
        into = await world.sent_file(ROOT, b"in")
        new = await world.file(photos, b"new")
        world.changed.clear()
        await world.tree.rename(photos, b"out", ROOT, b"out")
        await world.tree.rename(ROOT, b"in", photos, b"in")
        await world.tree.unlink(photos, b"gone")
        assert world.changes(Scope.GALLERY) == {out, gone, new}
        assert world.changes(Scope.FILES) == {into}
        assert world.changed == [Scope.GALLERY, Scope.FILES, Scope.GALLERY]
        assert world.tree.count_changes() == 4
        assert world.tree.change_scope(world.tree.node(gone)) is Scope.GALLERY


# --- both sides changed ---


async def test_what_the_cloud_lost_and_was_changed_here_is_as_if_just_made(opening: Opening) -> None:
    async with opening() as world:
        f = await world.sent_file(ROOT, b"f")
        await world.modify(f)
        await world.tree.rename(ROOT, b"f", ROOT, b"g")
        await world.tree.detach(f)
        node = world.tree.node(f)
        assert (node.version, node.home, node.sent, node.generation) == (None, None, 0, 2)
        clean = await world.sent_file(ROOT, b"c")
        await world.tree.detach(clean)
        assert world.tree.node(clean).is_modified, "it has to be sent again"
        await world.tree.detach(99)


async def test_a_detached_folder_loses_what_the_cloud_had_in_it(opening: Opening) -> None:
    async with opening() as world:
        d = await world.sent_folder(ROOT, b"d")
        e = await world.sent_folder(d, b"e")
        removed, clean, dirty = [await world.sent_file(e, name) for name in (b"r", b"c", b"m")]
        await world.modify(dirty)
        await world.tree.unlink(e, b"r")
        await world.tree.rename(e, b"c", ROOT, b"c")
        await world.tree.rename(e, b"m", ROOT, b"m")
        await world.tree.remove_folder(d, b"e")
        await world.tree.detach(d)
        assert world.freed == [removed]
        assert all(world.is_gone(inode) for inode in (removed, e))
        assert world.tree.node(d).is_unsent
        assert world.tree.node(dirty).is_unsent
        seen = await world.observe(ROOT)
        assert [node.inode for node in seen.vanished] == [clean], "as the next listing says"


async def test_what_is_removed_from_a_detached_folder_leaves_nothing_to_send(opening: Opening) -> None:
    """What could not be restored with it is shown on; with the folder the cloud lost that too."""
    async with opening() as world:
        d = await world.sent_folder(ROOT, b"d")
        f, moved = [await world.sent_file(d, name) for name in (b"f", b"m")]
        await world.tree.detach(d)
        assert not world.tree.node(f).is_unsent
        await world.tree.unlink(d, b"f")
        assert world.changes() == {d}
        assert world.freed == [f]
        await world.tree.rename(d, b"m", ROOT, b"m")
        await world.tree.remove_folder(ROOT, b"d")
        await world.tree.unlink(ROOT, b"m")
        assert world.changes() == set()
        assert world.is_gone(moved)


async def test_a_folder_removed_from_a_detached_one_leaves_nothing_to_send_either(opening: Opening) -> None:
    async with opening() as world:
        d = await world.sent_folder(ROOT, b"d")
        e = await world.sent_folder(d, b"e")
        f, moved = [await world.sent_file(e, name) for name in (b"f", b"m")]
        await world.tree.detach(d)
        await world.tree.unlink(e, b"f")
        await world.tree.rename(e, b"m", ROOT, b"m")
        await world.tree.remove_folder(d, b"e")
        assert all(world.is_gone(inode) for inode in (e, f))
        assert world.changes() == {d}
        seen = await world.observe(ROOT)
        assert [node.inode for node in seen.vanished] == [moved], "as the next listing says"


async def test_a_tombstone_that_the_cloud_lost_too_goes_with_all_below(opening: Opening) -> None:
    async with opening() as world:
        d = await world.sent_folder(ROOT, b"d")
        f = await world.sent_file(d, b"f")
        moved = await world.sent_file(d, b"m")
        await world.tree.bury(f)
        assert not world.tree.node(f).is_removed, "it is linked"
        await world.tree.rename(d, b"m", ROOT, b"m")
        await world.tree.unlink(d, b"f")
        await world.tree.remove_folder(ROOT, b"d")
        await world.tree.bury(d)
        assert world.freed == [f]
        assert (world.is_gone(d), world.is_gone(f), world.changes()) == (True, True, set())
        assert world.tree.remote_path(moved) == b"m"


async def test_equal_content_on_both_sides_is_agreed_upon(opening: Opening) -> None:
    async with opening() as world:
        f = await world.file(ROOT, b"f")
        await world.tree.begin_intent(put(f, Place(ROOT, b"f")))
        before = world.tree.node(f)
        node = await world.tree.adopt_version(f, file(b"f", '"9"', 0, file_id="id"), 1)
        assert node is not None
        assert (node.version, node.file_id, node.is_changed) == (Version('"9"', 5 * 10**9, 0), "id", False)
        assert (node.mtime_ns, node.ctime_ns) == (before.mtime_ns, before.ctime_ns)
        assert world.tree.intents() == []
        await world.modify(f)
        await world.modify(f)
        ran: list[int] = []

        def also(_: sqlite3.Connection) -> None:
            ran.append(1)

        node = await world.tree.adopt_version(f, file(b"f", '"10"', 0), 2, also=also)
        assert node is not None
        assert (node.sent, node.generation, ran) == (2, 3, [1])
        d = await world.sent_folder(ROOT, b"d")
        await world.tree.rename(ROOT, b"f", d, b"g")
        node = await world.tree.adopt_version(f, file(b"g", '"11"', 0), 3, Place(d, b"g"))
        assert node is not None
        assert (node.home, node.is_changed) == (None, False)
        await world.tree.unlink(d, b"g")
        assert await world.tree.adopt_version(f, file(b"g"), 3) is None
        assert await world.tree.adopt_version(99, file(b"g"), 3) is None


async def test_in_a_conflict_both_live_and_the_name_is_the_clouds(opening: Opening) -> None:
    async with opening() as world:
        photos = await world.sent_folder(ROOT, b"Photos")
        f = await world.sent_file(photos, b"f")
        await world.tree.set_attribute(f, b"user.a", b"1")
        await world.tree.set_pin(f, True)
        await world.modify(f)
        world.tree.hold(f)
        with Heard(world.topic) as heard:
            shown = await world.tree.make_conflict(f, b"f (conflict)", file(b"f", '"9"', 4))
        assert heard.items == [EntryChanged(photos, b"f"), EntryChanged(photos, b"f (conflict)")]
        assert shown is not None
        assert world.names(photos) == {b"f": shown.inode, b"f (conflict)": f}
        mine = world.tree.node(f)
        assert (mine.version, mine.file_id, mine.is_modified, mine.home) == (None, None, True, None)
        assert (shown.version, shown.size) == (Version('"9"', 5 * 10**9, 4), 4)
        assert (shown.uid, shown.mode, shown.pinned, shown.media_id) == (7, 0o640, True, 1)
        assert mine.media_id not in (None, 1), "another asset"
        assert world.tree.attribute(shown.inode, b"user.a") == b"1"
        assert world.tree.attribute(f, b"user.a") == b"1"
        assert world.changes(Scope.GALLERY) == {f}
        with pytest.raises(AlreadyExists):
            await world.tree.make_conflict(f, b"f", None)
        assert await world.tree.make_conflict(99, b"x", None) is None


async def test_what_the_cloud_has_elsewhere_only_steps_aside(opening: Opening) -> None:
    async with opening() as world:
        d = await world.sent_folder(ROOT, b"d")
        f = await world.sent_file(ROOT, b"f")
        await world.tree.rename(ROOT, b"f", d, b"g")
        shown = await world.tree.make_conflict(f, b"aside", file(b"g", '"9"', 4))
        assert shown is not None
        assert world.names(d) == {b"g": shown.inode, b"aside": f}
        node = world.tree.node(f)
        assert (node.home, node.version, node.is_modified) == (Place(ROOT, b"f"), V1, False)
        mine = await world.folder(ROOT, b"x")
        below = await world.file(mine, b"below")
        assert await world.tree.make_conflict(mine, b"y", file(b"x")) is not None
        assert world.tree.path(below) == b"y/below"


# --- restored ---


async def test_what_was_removed_comes_back_as_the_cloud_has_it(opening: Opening) -> None:
    async with opening() as world:
        d = await world.sent_folder(ROOT, b"d")
        f = await world.sent_file(d, b"f")
        await world.tree.set_attribute(f, b"user.a", b"1")
        await world.tree.unlink(d, b"f")
        await world.tree.remove_folder(ROOT, b"d")
        assert not await world.tree.restore(f, None), "its folder is not there"
        with Heard(world.topic) as heard:
            assert await world.tree.restore(d, None)
            assert await world.tree.restore(f, None)
        assert heard.items == [EntryChanged(ROOT, b"d"), EntryChanged(d, b"f")]
        assert (world.names(ROOT), world.names(d)) == ({b"d": d}, {b"f": f})
        assert world.tree.node(d).listing is Listing.NEVER, "it may hold more by now"
        assert world.tree.attribute(f, b"user.a") == b"1"
        assert (world.changes(), world.tree.path(f)) == (set(), b"d/f")
        assert not await world.tree.restore(f, None), "it is no tombstone"
        assert not await world.tree.restore(99, None)


async def test_other_content_comes_back_under_another_inode_with_what_is_the_users(opening: Opening) -> None:
    async with opening() as world:
        photos = await world.sent_folder(ROOT, b"Photos")
        for name, entry in ((b"edited", None), (b"newer", file(b"newer", '"9"', 4)), (b"open", None)):
            old = await world.sent_file(photos, name)
            await world.tree.set_attribute(old, b"user.a", b"1")
            media_id = world.tree.node(old).media_id
            if name == b"edited":
                await world.modify(old)
                await world.tree.record_content(old, 77, 1, also_nothing)
            await world.tree.unlink(photos, name)
            if name == b"open":
                world.tree.hold(old)
            assert await world.tree.restore(old, entry)
            new = world.tree.node(world.names(photos)[name])
            assert new.inode != old
            assert (new.size, new.is_changed, new.media_id) == (0 if entry is None else 4, False, media_id)
            assert world.tree.attribute(new.inode, b"user.a") == b"1"
            assert world.is_gone(old) is (name != b"open")
        assert world.changes() == set()


async def test_what_is_taken_or_was_never_there_does_not_come_back(opening: Opening) -> None:
    async with opening() as world:
        f = await world.sent_file(ROOT, b"f")
        await world.tree.unlink(ROOT, b"f")
        occupant = await world.folder(ROOT, b"f")
        assert not await world.tree.restore(f, None)
        assert await world.tree.make_conflict(occupant, b"f (conflict)", None) is None
        assert await world.tree.restore(f, None)
        assert world.names(ROOT) == {b"f": f, b"f (conflict)": occupant}
        asked = await world.file(ROOT, b"asked")
        await world.tree.begin_intent(put(asked, Place(ROOT, b"asked")))
        await world.tree.unlink(ROOT, b"asked")
        assert not await world.tree.restore(asked, None)
        await world.tree.unlink(ROOT, b"f")
        assert await world.tree.restore(f, folder(b"f")), "another kind came in its place"
        assert world.tree.node(world.names(ROOT)[b"f"]).is_folder
