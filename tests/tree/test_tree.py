"""The tree, case by case: what a listing does to it, what is in use, moves, pins, attributes, remounts."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio

from cloudfs.database.contents import ContentRow, Contents
from cloudfs.database.history import History, HistoryRecord
from cloudfs.events import Topic
from cloudfs.model.entry import FolderListing, RemoteEntry, Version
from cloudfs.model.enums import Listing, Scope
from cloudfs.model.errors import Busy, InvalidParameter, NotAFolder, NotFound
from cloudfs.model.node import Node, Place
from cloudfs.tree.changes import AttributesChanged, ContentChanged, EntryChanged, TreeChange
from cloudfs.tree.tree import ROOT
from tests.tree.conftest import T0, Opening, World, file, folder, listing


async def observe(world: World, inode: int, *entries: RemoteEntry) -> dict[bytes, int]:
    """Take a listing in; returns the inodes of the folder's names."""
    await world.tree.observe(inode, listing(*entries), world.in_use)
    return names(world, inode)


def names(world: World, inode: int) -> dict[bytes, int]:
    return {node.name: node.inode for node in world.tree.children(inode, 0, 1_000_000)}


def child(world: World, parent: int, name: bytes) -> Node:
    node = world.tree.child(parent, name)
    assert node is not None
    return node


async def move(world: World, inode: int, parent: int, name: bytes) -> None:
    """Rename an entry here, and hear that the cloud has done so too."""
    node = world.tree.node(inode)
    assert node.parent is not None
    await world.tree.rename(node.parent, node.name, parent, name)
    await world.tree.record_moved(inode, Place(parent, name))


def untagged(node: Node) -> Node:
    """What a move leaves of a version: a tag is that of one URL."""
    assert node.version is not None
    return replace(node, version=replace(node.version, etag=None))


class Heard:
    """What was published while the context lasts."""

    def __init__(self, topic: Topic[TreeChange]) -> None:
        self._context = topic.subscribe()
        self.items: list[TreeChange] = []

    def __enter__(self) -> Heard:
        self._channel = self._context.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        while True:
            try:
                self.items.append(self._channel.receive_nowait())
            except trio.WouldBlock:
                break
        self._context.__exit__(None, None, None)


async def test_a_fresh_tree_knows_nothing_and_denies_nothing(opening: Opening) -> None:
    async with opening() as world:
        root = world.tree.node(ROOT)
        assert (root.listing, root.mode, root.uid, root.gid) == (Listing.NEVER, 0o755, 1000, 100)
        assert world.tree.child(ROOT, b"a") is None
        assert world.tree.path(ROOT) == b""
        assert world.tree.find(b"a/b") == (root, [b"a", b"b"])
        with pytest.raises(NotFound):
            world.tree.node(99)


async def test_a_first_listing_adds_all_with_the_defaults(opening: Opening) -> None:
    async with opening() as world:
        with Heard(world.topic) as heard:
            seen = await world.tree.observe(
                ROOT, listing(folder(b"d", '"d"', 7), file(b"f", size=3, file_id="id")), world.in_use
            )
        assert heard.items == [], "the kernel can't know of names in a folder never listed"
        assert [(node.name, node.mode, node.uid, node.gid) for node in seen.added] == [
            (b"d", 0o755, 1000, 100),
            (b"f", 0o644, 1000, 100),
        ]
        assert (seen.changed, seen.replaced, seen.vanished, seen.outdated) == ([], {}, [], [])
        assert world.tree.children(ROOT, 0, 10) == seen.added
        f = child(world, ROOT, b"f")
        assert (f.size, f.mtime_ns, f.version, f.file_id) == (
            3,
            5 * 10**9,
            Version('"1"', 5 * 10**9, 3),
            "id",
        )
        assert child(world, ROOT, b"d").listing is Listing.NEVER
        assert world.tree.node(ROOT).listing is Listing.WHOLE
        assert world.tree.count_children(ROOT) == 2


async def test_of_two_entries_with_one_name_the_first_is_shown(opening: Opening) -> None:
    async with opening() as world:
        found = await observe(world, ROOT, file(b"a", size=1), file(b"a", size=2))
        assert list(found) == [b"a"]
        assert child(world, ROOT, b"a").size == 1


async def test_a_time_the_cloud_does_not_tell_is_that_of_first_sight_and_stays(opening: Opening) -> None:
    async with opening() as world:
        await observe(world, ROOT, file(b"f", mtime_s=None), folder(b"d"))
        before = [(node.mtime_ns, node.ctime_ns) for node in world.tree.children(ROOT, 0, 10)]
        assert all(mtime_ns >= T0 for mtime_ns, _ in before)
        await observe(world, ROOT, file(b"f", mtime_s=None), folder(b"d"))
        assert [(node.mtime_ns, node.ctime_ns) for node in world.tree.children(ROOT, 0, 10)] == before


async def test_new_names_in_a_known_folder_undo_what_the_kernel_was_denied(opening: Opening) -> None:
    async with opening() as world:
        await observe(world, ROOT, file(b"a"))
        with Heard(world.topic) as heard:
            await observe(world, ROOT, file(b"a"), file(b"b"))
        assert heard.items == [EntryChanged(ROOT, b"b")]


async def test_a_changed_version_keeps_the_inode_of_a_file_nobody_uses(opening: Opening) -> None:
    async with opening() as world:
        await observe(world, ROOT, file(b"f"))
        before = child(world, ROOT, b"f")
        await world.tree.set_error(before.inode, "UNKNOWN_ERROR", "it changed")
        with Heard(world.topic) as heard:
            seen = await world.tree.observe(ROOT, listing(file(b"f", '"2"', 20, 9)), world.in_use)
        after = child(world, ROOT, b"f")
        assert seen.changed == [before.inode] == [after.inode]
        assert (after.size, after.mtime_ns) == (20, 9 * 10**9)
        assert after.version == Version('"2"', 9 * 10**9, 20)
        assert after.ctime_ns > before.ctime_ns
        assert after.error == "UNKNOWN_ERROR", "only a next try clears it"
        assert heard.items == [ContentChanged(before.inode)]


async def test_a_tag_that_turns_strong_or_a_rounded_time_is_no_change(opening: Opening) -> None:
    async with opening() as world:
        await observe(world, ROOT, file(b"f", 'W/"1"'), file(b"g", '"1"'))
        before = child(world, ROOT, b"f")
        with Heard(world.topic) as heard:
            await observe(world, ROOT, file(b"f", '"1"'), file(b"g", 'W/"1"'))
        after = child(world, ROOT, b"f")
        assert heard.items == []
        assert after.version == Version('"1"', 5 * 10**9, 10)
        assert (after.mtime_ns, after.ctime_ns) == (before.mtime_ns, before.ctime_ns)
        still = child(world, ROOT, b"g").version
        assert still is not None
        assert still.etag == '"1"', "a strong tag does not give way to a weak one"


async def test_a_time_changed_in_the_cloud_alone_moves_the_times_not_the_content(opening: Opening) -> None:
    async with opening() as world:
        await observe(world, ROOT, file(b"f"), folder(b"d", mtime_s=5))
        inodes = names(world, ROOT)
        with Heard(world.topic) as heard:
            await observe(world, ROOT, file(b"f", mtime_s=6), folder(b"d", mtime_s=6))
        assert heard.items == [AttributesChanged(inodes[b"f"]), AttributesChanged(inodes[b"d"])]
        assert {node.mtime_ns for node in world.tree.children(ROOT, 0, 9)} == {6 * 10**9}


async def test_a_changed_file_in_use_is_left_to_its_users_under_the_old_inode(opening: Opening) -> None:
    async with opening() as world:
        await observe(world, ROOT, folder(b"Photos"))
        photos = names(world, ROOT)[b"Photos"]
        await observe(world, photos, file(b"f"), file(b"z"))
        old = child(world, photos, b"f")
        await world.tree.set_pin(old.inode, True)
        await world.tree.set_attribute(old.inode, b"user.a", b"\0\xff")
        history = History(world.database)
        await history.record([HistoryRecord(old.inode, 1, "hydrated", 7, "/bin/cat", 10)])
        world.used = {old.inode}
        with Heard(world.topic) as heard:
            seen = await world.tree.observe(photos, listing(file(b"f", '"2"', 20), file(b"z")), world.in_use)
        new = child(world, photos, b"f")
        assert seen.replaced == {old.inode: new.inode}
        assert seen.changed == []
        assert heard.items == [EntryChanged(photos, b"f", replaced=old.inode)]
        assert new.inode not in (old.inode, child(world, photos, b"z").inode)
        assert (new.size, new.pinned, new.media_id) == (20, True, old.media_id)
        assert world.tree.attribute(new.inode, b"user.a") == b"\0\xff"
        assert [record.exe for record in history.of(new.inode)] == ["/bin/cat"]
        left = world.tree.node(old.inode)
        assert (left.parent, left.version, left.size, left.media_id) == (None, old.version, old.size, None)
        assert world.tree.attribute(old.inode, b"user.a") == b"\0\xff", "its users still see it"
        assert list(names(world, photos).values()) == [child(world, photos, b"z").inode, new.inode]
        with pytest.raises(NotFound):
            world.tree.path(old.inode)
        await world.tree.forget_unlinked(new.inode)
        assert child(world, photos, b"f") == new, "linked: nothing happens"
        await world.tree.forget_unlinked(old.inode)
        with pytest.raises(NotFound):
            world.tree.node(old.inode)
        await world.tree.forget_unlinked(old.inode)


async def test_a_file_opened_while_its_row_changes_is_given_up_to_its_user(opening: Opening) -> None:
    async with opening(capacity=2) as world:
        await observe(world, ROOT, *(file(b"f%d" % number) for number in range(5)))
        old = child(world, ROOT, b"f0")
        asked = 0

        def opened_between(inode: int) -> bool:
            nonlocal asked
            if inode != old.inode:
                return False
            asked += 1
            return asked > 1  # the first question comes before the commit

        async def look_meanwhile() -> None:
            for _ in range(200):
                for number in range(5):  # churns the small memory, so that the row is read again
                    world.tree.child(ROOT, b"f%d" % number)
                shown = world.tree.child(ROOT, b"f0")
                assert shown is not None
                assert shown.inode != old.inode or shown.version == old.version
                await trio.sleep(0)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(look_meanwhile)
            seen = await world.tree.observe(
                ROOT,
                listing(file(b"f0", '"2"', 20), *(file(b"f%d" % number) for number in range(1, 5))),
                opened_between,
            )
        new = child(world, ROOT, b"f0")
        assert seen.replaced == {old.inode: new.inode}
        assert (new.size, world.tree.node(old.inode).version) == (20, old.version)
        assert world.tree.node(old.inode).parent is None


async def test_absence_removes_nothing_by_itself(opening: Opening) -> None:
    async with opening() as world:
        await observe(world, ROOT, file(b"a"), file(b"b", file_id="x"))
        gone = child(world, ROOT, b"b")
        seen = await world.tree.observe(ROOT, listing(file(b"a")), world.in_use)
        assert seen.vanished == [gone]
        assert child(world, ROOT, b"b") == gone
        assert await world.tree.remove([gone.inode], world.in_use) == [gone.inode]
        assert world.tree.child(ROOT, b"b") is None
        assert names(world, ROOT).keys() == {b"a"}


async def test_what_the_cloud_has_but_could_not_describe_has_not_vanished(opening: Opening) -> None:
    async with opening() as world:
        found = await observe(world, ROOT, file(b"a"), file(b"b"))
        part = FolderListing(folder(b""), (file(b"a"),), ("b: 403",), frozenset({b"b", b"never seen"}))
        seen = await world.tree.observe(ROOT, part, world.in_use)
        assert seen.vanished == []
        assert names(world, ROOT) == found


async def test_what_is_of_the_other_kind_now_follows_when_the_old_goes(opening: Opening) -> None:
    async with opening() as world:
        await observe(world, ROOT, folder(b"x"))
        old = child(world, ROOT, b"x")
        await observe(world, old.inode, file(b"in it"))
        seen = await world.tree.observe(ROOT, listing(file(b"x", size=4)), world.in_use)
        assert (seen.added, [node.inode for node in seen.vanished]) == ([], [old.inode])
        assert child(world, ROOT, b"x").is_folder, "a folder with all it held goes through the brake"
        with Heard(world.topic) as heard:
            gone = await world.tree.remove([old.inode], world.in_use)
        assert len(gone) == 1
        assert heard.items == [EntryChanged(ROOT, b"x", old.inode), EntryChanged(ROOT, b"x")]
        new = child(world, ROOT, b"x")
        assert (new.is_folder, new.size) == (False, 4)
        assert list(names(world, ROOT).values()) == [new.inode]


async def test_a_removed_folder_takes_all_below_but_what_is_in_use(opening: Opening) -> None:
    async with opening() as world:
        d = (await observe(world, ROOT, folder(b"d"), file(b"keep")))[b"d"]
        below = await observe(world, d, folder(b"e"), file(b"f"))
        deep = await observe(world, below[b"e"], file(b"open"), file(b"g"))
        world.used = {deep[b"open"]}
        with Heard(world.topic) as heard:
            gone = await world.tree.remove([d, below[b"f"], 4711], world.in_use)
        assert sorted(gone) == sorted([below[b"f"], deep[b"g"]])
        assert heard.items == [EntryChanged(ROOT, b"d", d)]
        assert world.tree.node(deep[b"open"]).parent is None
        for inode in (d, below[b"e"], below[b"f"], deep[b"g"]):
            with pytest.raises(NotFound):
                world.tree.node(inode)
        assert names(world, ROOT).keys() == {b"keep"}


async def test_nobody_comes_to_use_what_was_found_unused_and_is_about_to_go(opening: Opening) -> None:
    async with opening() as world:
        found = await observe(world, ROOT, file(b"a"), file(b"b"))
        asked: set[int] = set()
        looks = 0

        def in_use(inode: int) -> bool:
            asked.add(inode)
            return False

        async def look_meanwhile() -> None:
            nonlocal looks
            while True:
                await trio.sleep(0)
                for inode in asked:
                    looks += 1
                    with pytest.raises(NotFound):
                        world.tree.node(inode)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(look_meanwhile)
            await world.tree.remove(list(found.values()), in_use)
            nursery.cancel_scope.cancel()
        assert asked == set(found.values())
        assert looks > 0


async def test_the_outdated_are_folders_whose_tag_is_not_that_of_their_own_listing(opening: Opening) -> None:
    async with opening() as world:
        a = (await observe(world, ROOT, folder(b"a", '"1"'), folder(b"b")))[b"a"]

        async def outdated(*entries: RemoteEntry) -> list[bytes]:
            seen = await world.tree.observe(ROOT, listing(*entries), world.in_use)
            return [world.tree.node(inode).name for inode in seen.outdated]

        assert await outdated(folder(b"a", '"1"'), folder(b"b")) == [b"a", b"b"], "never listed"
        await world.tree.observe(a, listing(of=folder(b"a", '"1"')), world.in_use)
        await world.tree.observe(names(world, ROOT)[b"b"], listing(of=folder(b"b")), world.in_use)
        assert await outdated(folder(b"a", '"1"'), folder(b"b")) == [b"b"], "no tag tells nothing"
        assert await outdated(folder(b"a", '"2"'), folder(b"b")) == [b"a", b"b"]
        assert await outdated(folder(b"a", '"2"'), folder(b"b")) == [b"a", b"b"], "until it was listed"


async def test_observing_what_is_gone_or_no_folder_is_told(opening: Opening) -> None:
    async with opening() as world:
        f = (await observe(world, ROOT, file(b"f")))[b"f"]
        with pytest.raises(NotAFolder):
            await world.tree.observe(f, listing(), world.in_use)
        with pytest.raises(NotFound):
            await world.tree.observe(99, listing(), world.in_use)


async def test_one_file_asked_for_is_taken_in_like_in_a_listing(opening: Opening) -> None:
    async with opening() as world:
        await observe(world, ROOT, file(b"f"), folder(b"d"))
        f, d = child(world, ROOT, b"f"), child(world, ROOT, b"d")
        same = await world.tree.observe_one(f.inode, file(b"f"), world.in_use)
        assert same == f
        changed = await world.tree.observe_one(f.inode, file(b"f", '"2"', 2), world.in_use)
        assert (changed.inode, changed.size) == (f.inode, 2)
        world.used = {f.inode}
        replaced = await world.tree.observe_one(f.inode, file(b"f", '"3"', 3), world.in_use)
        assert (replaced.inode != f.inode, replaced.size) == (True, 3)
        assert child(world, ROOT, b"f") == replaced
        for inode, entry in ((f.inode, file(b"f")), (d.inode, folder(b"d")), (replaced.inode, folder(b"f"))):
            with pytest.raises(NotFound):
                await world.tree.observe_one(inode, entry, world.in_use)


async def test_inodes_survive_a_remount_and_are_never_used_again(opening: Opening) -> None:
    async with opening() as world:
        before = await observe(world, ROOT, file(b"a"), file(b"b"), folder(b"d"))
        await world.tree.set_pin(before[b"d"], True)
        await world.tree.set_attribute(before[b"a"], b"user.x", b"1")
        await world.tree.set_error(before[b"a"], "NETWORK_UNAVAILABLE", "no route")
        shown = world.tree.children(ROOT, 0, 10)
        highest = max(before.values())
    async with opening() as world:
        assert [node.inode for node in world.tree.children(ROOT, 0, 10)] == [node.inode for node in shown]
        assert names(world, ROOT) == before
        assert world.tree.node(ROOT).listing is Listing.WHOLE
        assert world.tree.node(before[b"d"]).pinned
        assert world.tree.attribute(before[b"a"], b"user.x") == b"1"
        assert world.tree.node(before[b"a"]).error_reason == "no route"
        await observe(world, ROOT, file(b"a"))
        await world.tree.remove([before[b"b"], before[b"d"]], world.in_use)
    async with opening() as world:
        after = await observe(world, ROOT, file(b"a"), file(b"b"))
        assert after[b"a"] == before[b"a"]
        assert after[b"b"] > highest


async def test_what_was_left_unlinked_goes_at_the_next_start(opening: Opening) -> None:
    async with opening() as world:
        found = await observe(world, ROOT, file(b"a"), file(b"b"))
        world.used = {found[b"a"]}
        await world.tree.remove([found[b"a"]], world.in_use)
        row = ContentRow(found[b"a"], "random", 10, '"1"', None, b"", 10, True, True, "boot", 1)
        await Contents(world.database).upsert([row])
        assert Contents(world.database).orphans() == []
    async with opening() as world:
        with pytest.raises(NotFound):
            world.tree.node(found[b"a"])
        assert Contents(world.database).orphans() == [row]


async def test_a_folder_is_paged_by_inode_with_every_entry_once(opening: Opening) -> None:
    async with opening(capacity=7) as world:
        await observe(world, ROOT, *(file(b"%d" % number) for number in range(50)))
        seen: list[Node] = []
        while page := world.tree.children(ROOT, seen[-1].inode if seen else 0, 4):
            seen.extend(page)
            if len(seen) == 20:  # while it is read one goes and one comes
                await world.tree.remove([child(world, ROOT, b"30").inode], world.in_use)
                kept = (file(b"%d" % number) for number in range(50) if number != 30)
                await observe(world, ROOT, *kept, file(b"new"))
        assert [node.name for node in seen] == [b"%d" % n for n in range(50) if n != 30] + [b"new"]


async def test_a_warm_folder_needs_no_read(opening: Opening, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opening() as world:
        found = await observe(world, ROOT, *(file(b"%d" % number) for number in range(50)))
        world.tree.attribute_names(found[b"7"])
        world.tree.node(ROOT)

        def refuse(*_: object) -> None:
            raise AssertionError("a read")

        monkeypatch.setattr(world.database, "_opened", refuse)
        assert len(world.tree.children(ROOT, 0, 100)) == 50
        assert world.tree.count_children(ROOT) == 50
        node = child(world, ROOT, b"7")
        assert world.tree.node(node.inode) == node
        assert world.tree.path(node.inode) == b"7"
        assert world.tree.scope(node.inode) is Scope.FILES
        assert not world.tree.is_pinned(node.inode)
        assert world.tree.attribute(node.inode, b"user.none") is None


async def test_a_file_that_found_no_room_is_wanted_until_it_is_there(opening: Opening) -> None:
    async with opening() as world:
        top = await observe(world, ROOT, file(b"full"), file(b"cut"))
        await world.tree.set_error(top[b"full"], "LOCAL_STORAGE_FULL", "the disk is full")
        await world.tree.set_error(top[b"cut"], "NETWORK_UNAVAILABLE", "the server is out of reach")
        assert await world.tree.wanted_files(Scope.FILES) == [top[b"full"]]
        await world.tree.set_error(top[b"full"], None, None)
        assert await world.tree.wanted_files(Scope.FILES) == []


async def test_pins_are_inherited_and_name_the_files_to_hydrate(opening: Opening) -> None:
    async with opening() as world:
        top = await observe(world, ROOT, folder(b"d"), folder(b"Photos"), file(b"other"))
        in_d = await observe(world, top[b"d"], file(b"f"), file(b"empty", size=0), folder(b"e"))
        deep = await observe(world, in_d[b"e"], file(b"g"))
        in_photos = await observe(world, top[b"Photos"], file(b"p"))
        await world.tree.set_pin(top[b"d"], True)
        await world.tree.set_pin(in_photos[b"p"], True)
        assert world.tree.is_pinned(deep[b"g"])
        assert not world.tree.node(deep[b"g"]).pinned
        assert not world.tree.is_pinned(top[b"other"])
        assert sorted(await world.tree.wanted_files(Scope.FILES)) == sorted([in_d[b"f"], deep[b"g"]])
        assert await world.tree.wanted_files(Scope.GALLERY) == [in_photos[b"p"]]
        contents = Contents(world.database)
        whole = ContentRow(deep[b"g"], "r1", 10, '"1"', 5 * 10**9, b"", 10, True, True, "boot", 1)
        stale = ContentRow(in_d[b"f"], "r2", 10, '"0"', 5 * 10**9, b"", 10, True, True, "boot", 1)
        await contents.upsert([whole, stale])
        assert await world.tree.wanted_files(Scope.FILES) == [in_d[b"f"]]
        await world.tree.set_pin(ROOT, True)
        assert world.tree.is_pinned(top[b"other"])
        assert sorted(await world.tree.wanted_files(Scope.FILES)) == sorted([in_d[b"f"], top[b"other"]])
        await world.tree.set_pin(ROOT, False)
        await world.tree.set_pin(top[b"d"], False)
        assert await world.tree.wanted_files(Scope.FILES) == []
        with pytest.raises(NotFound):
            await world.tree.set_pin(99, True)


async def test_media_ids_are_for_gallery_files_stable_and_never_used_again(opening: Opening) -> None:
    async with opening() as world:
        top = await observe(world, ROOT, folder(b"Photos"), file(b"f"))
        first = await observe(world, top[b"Photos"], file(b"a"), folder(b"trip"), file(b"b"))
        deep = await observe(world, first[b"trip"], file(b"c"))

        def media_id(inode: int) -> int | None:
            return world.tree.node(inode).media_id

        assert [media_id(i) for i in (first[b"a"], first[b"b"], deep[b"c"])] == [1, 2, 3]
        assert [media_id(i) for i in (top[b"f"], top[b"Photos"], first[b"trip"])] == [None, None, None]
        assert world.tree.by_media_id(3) == world.tree.node(deep[b"c"])
        await move(world, deep[b"c"], top[b"Photos"], b"renamed")
        assert media_id(deep[b"c"]) == 3
        await world.tree.remove([deep[b"c"]], world.in_use)
        assert world.tree.by_media_id(3) is None
        await move(world, top[b"f"], top[b"Photos"], b"f")
        await move(world, first[b"a"], ROOT, b"a")
        assert (media_id(top[b"f"]), media_id(first[b"a"])) == (4, None)
    async with opening(gallery=(b"Photos/trip", b"Pictures/")) as world:
        await observe(world, first[b"trip"], file(b"d"))
        assert [node.media_id for node in world.tree.children(top[b"Photos"], 0, 9)] == [None] * 3
        assert child(world, first[b"trip"], b"d").media_id == 5
        assert world.tree.scope(first[b"trip"]) is Scope.GALLERY
        assert world.tree.scope(top[b"Photos"]) is Scope.FILES
    async with opening(gallery=(b"Photos",)) as world:
        ids = {child(world, top[b"Photos"], name).media_id for name in (b"b", b"f")}
        assert ids == {6, 7}
        assert child(world, first[b"trip"], b"d").media_id == 5


async def test_a_folder_moved_into_the_gallery_or_out_takes_its_files_along(opening: Opening) -> None:
    async with opening() as world:
        top = await observe(world, ROOT, folder(b"Photos"), folder(b"d"))
        f = (await observe(world, top[b"d"], file(b"f")))[b"f"]
        assert world.tree.node(f).media_id is None
        await move(world, top[b"d"], top[b"Photos"], b"d")
        assert world.tree.node(f).media_id == 1
        await move(world, top[b"d"], ROOT, b"d")
        assert world.tree.node(f).media_id is None


async def test_a_folder_that_gets_the_name_of_a_gallery_is_one_with_all_below(opening: Opening) -> None:
    async with opening(gallery=(b"a/b/c",)) as world:
        x = (await observe(world, ROOT, folder(b"x")))[b"x"]
        b = (await observe(world, x, folder(b"b"), file(b"f")))[b"b"]
        c = (await observe(world, b, folder(b"d"), file(b"g")))[b"d"]
        deep = (await observe(world, c, file(b"h")))[b"h"]
        await move(world, c, b, b"c")
        await move(world, x, ROOT, b"a")
        assert world.tree.scope(deep) is Scope.GALLERY
        ids = {node.name: node.media_id for page in world.tree.walk(ROOT) for node, _ in page}
        assert ids == {b"a": None, b"b": None, b"c": None, b"f": None, b"g": None, b"h": 1}
        with pytest.raises(Busy):
            await move(world, b, x, b"bb")


async def test_what_would_have_followed_under_a_name_is_forgotten_with_a_move(opening: Opening) -> None:
    async with opening() as world:
        top = await observe(world, ROOT, folder(b"x"), folder(b"d"))
        await observe(world, ROOT, file(b"x"), folder(b"d"))
        await move(world, top[b"x"], top[b"d"], b"y")
        await world.tree.remove([top[b"x"]], world.in_use)
        assert names(world, top[b"d"]) == {}
        assert names(world, ROOT).keys() == {b"d"}
        assert world.tree.child(ROOT, b"x") is None, "its next listing brings it"


async def test_each_scope_has_its_folders_parents_first(opening: Opening) -> None:
    async with opening(gallery=(b"Photos", b"a/DCIM")) as world:
        top = await observe(world, ROOT, folder(b"Photos"), folder(b"a"), file(b"f"))
        in_a = await observe(world, top[b"a"], folder(b"DCIM"), folder(b"b"))
        in_photos = await observe(world, top[b"Photos"], folder(b"trip"))
        in_dcim = await observe(world, in_a[b"DCIM"], folder(b"100"))
        assert world.tree.folders(Scope.FILES) == [ROOT, top[b"a"], in_a[b"b"]]
        gallery = world.tree.folders(Scope.GALLERY)
        assert set(gallery) == {top[b"Photos"], in_a[b"DCIM"], in_photos[b"trip"], in_dcim[b"100"]}
        assert gallery.index(in_a[b"DCIM"]) < gallery.index(in_dcim[b"100"])


async def test_moves_keep_the_inode_and_all_below(opening: Opening) -> None:
    async with opening() as world:
        top = await observe(world, ROOT, folder(b"a"), folder(b"b"), file(b"taken"))
        in_a = await observe(world, top[b"a"], file(b"f"), folder(b"c"))
        before = world.tree.node(in_a[b"f"])
        with Heard(world.topic) as heard:
            await move(world, top[b"a"], top[b"b"], b"moved")
        assert heard.items == [], "the kernel did it itself"
        assert world.tree.path(in_a[b"f"]) == b"b/moved/f"
        assert world.tree.find(b"b/moved/f") == (untagged(before), [])
        assert names(world, ROOT).keys() == {b"b", b"taken"}
        assert names(world, top[b"b"]) == {b"moved": top[b"a"]}
    async with opening() as world:
        assert world.tree.path(in_a[b"f"]) == b"b/moved/f"


async def test_a_file_moved_in_the_cloud_keeps_its_inode_and_what_is_the_users(opening: Opening) -> None:
    async with opening() as world:
        top = await observe(world, ROOT, folder(b"a"), folder(b"b"))
        old = (await observe(world, top[b"a"], file(b"f", file_id="7")))[b"f"]
        await world.tree.set_pin(old, True)
        new = (await observe(world, top[b"b"], file(b"g", '"other url"', file_id="7")))[b"g"]
        with Heard(world.topic) as heard:
            assert await world.tree.adopt_move(old, new, world.in_use) == old
        assert heard.items == [
            ContentChanged(old),
            EntryChanged(top[b"a"], b"f"),
            EntryChanged(top[b"b"], b"g"),
        ]
        node = world.tree.node(old)
        assert (node.parent, node.name, node.pinned) == (top[b"b"], b"g", True)
        assert node.version == Version('"other url"', 5 * 10**9, 10)
        assert (names(world, top[b"a"]), names(world, top[b"b"])) == ({}, {b"g": old})
        with pytest.raises(NotFound):
            world.tree.node(new)


async def test_a_moved_file_in_use_keeps_its_inode_only_with_its_version(opening: Opening) -> None:
    async with opening() as world:
        top = await observe(
            world, ROOT, file(b"same", file_id="1"), file(b"other", file_id="2"), folder(b"d")
        )
        await world.tree.set_attribute(top[b"other"], b"user.a", b"1")
        new = await observe(world, top[b"d"], file(b"s", file_id="1"), file(b"o", '"2"', 20, file_id="2"))
        world.used = {top[b"same"], top[b"other"]}
        assert await world.tree.adopt_move(top[b"same"], new[b"s"], world.in_use) == top[b"same"]
        shown = await world.tree.adopt_move(top[b"other"], new[b"o"], world.in_use)
        assert shown not in (None, top[b"other"], new[b"o"])
        assert shown is not None
        assert names(world, top[b"d"]) == {b"s": top[b"same"], b"o": shown}
        assert names(world, ROOT).keys() == {b"d"}
        assert world.tree.attribute(shown, b"user.a") == b"1"
        left = world.tree.node(top[b"other"])
        assert (left.parent, left.size) == (None, 10)


async def test_a_move_into_the_place_of_what_is_in_use_only_hands_over(opening: Opening) -> None:
    async with opening() as world:
        top = await observe(world, ROOT, file(b"old"), file(b"new"), folder(b"d"))
        await world.tree.set_pin(top[b"old"], True)
        await world.tree.set_attribute(top[b"old"], b"user.a", b"1")
        world.used = {top[b"new"]}
        assert await world.tree.adopt_move(top[b"old"], top[b"new"], world.in_use) is None
        assert names(world, ROOT) == top
        assert world.tree.node(top[b"new"]).pinned
        assert world.tree.attribute(top[b"new"], b"user.a") == b"1"
        assert await world.tree.adopt_move(top[b"old"], top[b"d"], world.in_use) is None


async def test_a_folder_moved_in_the_cloud_keeps_its_inode_and_is_listed_again(opening: Opening) -> None:
    async with opening() as world:
        top = await observe(world, ROOT, folder(b"a", '"t"'), folder(b"b", '"t"'))
        await world.tree.observe(top[b"a"], listing(file(b"f"), of=folder(b"a", '"t"')), world.in_use)
        f = child(world, top[b"a"], b"f").inode
        await world.tree.observe(top[b"b"], listing(file(b"f"), of=folder(b"b", '"t"')), world.in_use)
        assert await world.tree.adopt_move(top[b"a"], top[b"b"], world.in_use) == top[b"a"]
        assert names(world, ROOT) == {b"b": top[b"a"]}
        assert world.tree.path(f) == b"b/f"
        seen = await world.tree.observe(ROOT, listing(folder(b"b", '"t"')), world.in_use)
        assert seen.outdated == [top[b"a"]]


async def test_attributes_are_binary_safe_and_bounded(opening: Opening) -> None:
    async with opening() as world:
        f = (await observe(world, ROOT, file(b"f")))[b"f"]
        assert world.tree.attribute_names(f) == []
        value = bytes(range(256)) * 256
        await world.tree.set_attribute(f, b"user.big\xff", value)
        await world.tree.set_attribute(f, b"user.empty", b"")
        assert world.tree.attribute(f, b"user.big\xff") == value
        assert world.tree.attribute(f, b"user.empty") == b""
        assert world.tree.attribute_names(f) == [b"user.big\xff", b"user.empty"]
        await world.tree.set_attribute(f, b"user.empty", b"\0")
        assert world.tree.attribute(f, b"user.empty") == b"\0"
        assert await world.tree.remove_attribute(f, b"user.empty")
        assert not await world.tree.remove_attribute(f, b"user.empty")
        assert world.tree.attribute_names(f) == [b"user.big\xff"]
        with pytest.raises(InvalidParameter):
            await world.tree.set_attribute(f, b"user.big", value + b"x")
        with pytest.raises(NotFound):
            await world.tree.set_attribute(99, b"user.a", b"")


async def test_the_kernels_counts_live_apart_from_memory(opening: Opening) -> None:
    async with opening(capacity=2) as world:
        found = await observe(world, ROOT, *(file(b"%d" % number) for number in range(9)))
        world.tree.hold(found[b"0"])
        world.tree.hold(found[b"0"])
        world.tree.children(ROOT, 0, 9)
        assert world.tree.node(found[b"0"]).name == b"0"
        world.tree.release(found[b"0"], 1)
        assert world.tree.is_held(found[b"0"])
        world.tree.release(found[b"0"], 1)
        assert not world.tree.is_held(found[b"0"])


async def test_walk_gives_every_path_below_a_folder(opening: Opening) -> None:
    async with opening() as world:
        top = await observe(world, ROOT, folder(b"d"), file(b"f"))
        in_d = await observe(world, top[b"d"], folder(b"e"), *(file(b"%04d" % n) for n in range(1500)))
        await observe(world, in_d[b"e"], file(b"g"))
        pages = list(world.tree.walk(ROOT))
        assert max(map(len, pages)) <= 1000
        found = {path: node for page in pages for node, path in page}
        assert found.keys() == {b"d", b"f", b"d/e", b"d/e/g", *(b"d/%04d" % n for n in range(1500))}
        assert all(world.tree.find(path) == (node, []) for path, node in found.items())
        assert [path for page in world.tree.walk(in_d[b"e"]) for _, path in page] == [b"d/e/g"]


async def test_a_large_listing_lets_other_tasks_run_and_a_cancel_leaves_it_whole(opening: Opening) -> None:
    count = 20_000
    whole = FolderListing(folder(b""), tuple(file(b"%06d" % number) for number in range(count)))
    async with opening() as world:
        turns = 0

        async def count_turns() -> None:
            nonlocal turns
            while True:
                await trio.sleep(0)
                turns += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(count_turns)
            await world.tree.observe(ROOT, whole, world.in_use)
            nursery.cancel_scope.cancel()
        assert turns > 10
        changed = FolderListing(folder(b""), tuple(file(b"%06d" % n, '"2"', 11) for n in range(count)))
        with trio.move_on_after(0.01):
            await world.tree.observe(ROOT, changed, world.in_use)
        sizes = {node.size for page in world.tree.walk(ROOT) for node, _ in page}
        shown = {node.size for node in world.tree.children(ROOT, 0, count)}
        assert sizes == shown
        assert len(sizes) == 1, "all or nothing"


async def test_changes_of_one_folder_wait_for_each_other(opening: Opening) -> None:
    async with opening() as world:
        listings = [listing(*(file(b"%d" % n) for n in range(k))) for k in range(1, 12)]
        async with trio.open_nursery() as nursery:
            for each in listings:
                nursery.start_soon(world.tree.observe, ROOT, each, world.in_use)
        assert list(names(world, ROOT)) == [b"%d" % n for n in range(11)]
        assert len(world.tree._locks) == 0, "idle locks are dropped"
