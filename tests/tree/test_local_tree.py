"""What programs do to the tree: POSIX's rules, what the cloud lacks afterwards, and who takes over whom."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing

from cloudfs.database.intents import Intent
from cloudfs.model.entry import Version
from cloudfs.model.enums import Kind, Listing, Scope
from cloudfs.model.errors import (
    AlreadyExists,
    Busy,
    CloudfsError,
    InvalidParameter,
    IsAFolder,
    NotAFolder,
    NotEmpty,
    NotFound,
)
from cloudfs.model.node import ROOT, Place
from tests.tree.conftest import T0, Opening, World, also_nothing, file, folder


def put(inode: int, place: Place) -> Intent:
    return Intent(inode, "put", place, 1, 0, b"hash", None)


# --- new names ---


async def test_a_new_file_is_empty_the_callers_and_unsent(opening: Opening) -> None:
    async with opening() as world:
        made = await world.tree.create(ROOT, b"f", 0o640, 7, 8)
        assert (made.kind, made.size, made.mode, made.uid, made.gid) == (Kind.FILE, 0, 0o640, 7, 8)
        assert (made.version, made.generation, made.sent, made.cloud_place) == (None, 1, 0, None)
        assert made.mtime_ns == made.ctime_ns > T0
        assert world.tree.node(ROOT).mtime_ns == made.mtime_ns, "POSIX: the folder changed too"
        assert world.tree.child(ROOT, b"f") == made
        assert (world.changes(), world.tree.count_changes()) == ({made.inode}, 1)
        assert world.changed == [Scope.FILES]
    async with opening() as world:
        assert world.tree.node(made.inode) == made


async def test_a_new_folder_is_known_whole_at_once(opening: Opening) -> None:
    async with opening() as world:
        made = await world.tree.make_folder(ROOT, b"d", 0o750, 7, 8)
        assert (made.listing, made.version, made.generation) == (Listing.WHOLE, None, 0)
        assert made.is_changed
        f = await world.file(made.inode, b"f")
        assert world.names(made.inode) == {b"f": f}
        assert world.tree.path(f) == b"d/f"
        assert world.tree.folders(Scope.FILES) == [ROOT], "the cloud has nothing to list"


async def test_what_was_just_made_is_answered_from_memory(
    opening: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opening() as world:
        d = await world.folder(ROOT, b"d")
        world.tree.node(ROOT)
        before = await world.tree.create(d, b"before", 0o644, 1, 1)

        def refuse(*_: object) -> None:
            raise AssertionError("a read")

        monkeypatch.setattr(world.database, "read", refuse)
        monkeypatch.setattr(world.tree._entries, "_read", refuse)
        made = await world.tree.create(d, b"f", 0o644, 1, 1)
        assert world.tree.child(d, b"f") is made
        assert world.tree.node(d).mtime_ns == made.mtime_ns
        assert [node.inode for node in world.tree.children(d, 0, 9)] == [before.inode, made.inode]
        await world.modify(made.inode)
        await world.tree.record_content(made.inode, 5, 6, also_nothing)
        assert (world.tree.node(made.inode).size, world.tree.node(made.inode).generation) == (5, 2)


async def test_each_change_of_a_program_is_one_commit(
    opening: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opening() as world:
        f = await world.sent_file(ROOT, b"f")
        world.tree.hold(f)  # as the kernel does
        commits = 0
        commit = world.database.commit

        async def counted(*args: object, **named: object) -> object:
            nonlocal commits
            commits += 1
            return await commit(*args, **named)  # type: ignore[arg-type]

        monkeypatch.setattr(world.database, "commit", counted)
        await world.file(ROOT, b"g")
        await world.tree.rename(ROOT, b"g", ROOT, b"h")
        await world.tree.rename(ROOT, b"h", ROOT, b"f")
        await world.tree.set_attributes(f, mode=0o600)
        await world.tree.unlink(ROOT, b"f")
        assert commits == 5


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a/b", b"a\0b", b"x" * 256])
async def test_a_name_that_no_file_can_have_is_refused(opening: Opening, name: bytes) -> None:
    async with opening() as world:
        await world.file(ROOT, b"f")
        with pytest.raises(InvalidParameter):
            await world.tree.create(ROOT, name, 0o644, 1, 1)
        with pytest.raises(InvalidParameter):
            await world.tree.rename(ROOT, b"f", ROOT, name)
        assert world.names(ROOT).keys() == {b"f"}


async def test_a_name_is_made_once_and_only_in_a_folder_that_is_there(opening: Opening) -> None:
    async with opening() as world:
        f = await world.file(ROOT, b"f")
        d = await world.folder(ROOT, b"d")
        for make in (world.tree.create, world.tree.make_folder):
            with pytest.raises(AlreadyExists):
                await make(ROOT, b"f", 0o644, 1, 1)
            with pytest.raises(NotAFolder):
                await make(f, b"x", 0o644, 1, 1)
        world.tree.hold(d)
        await world.tree.remove_folder(ROOT, b"d")
        with pytest.raises(NotFound):
            await world.tree.create(d, b"x", 0o644, 1, 1)
        assert world.tree.count_changes() == 1, "what failed left nothing"


async def test_gallery_files_get_a_media_id_when_made_and_keep_it(opening: Opening) -> None:
    async with opening() as world:
        photos = await world.folder(ROOT, b"Photos")
        a = await world.file(photos, b"a")
        assert world.tree.node(a).media_id == 1
        assert world.changes(Scope.GALLERY) == {photos, a}
        await world.tree.rename(photos, b"a", photos, b"b")
        assert world.tree.node(a).media_id == 1
        await world.tree.rename(photos, b"b", ROOT, b"b")
        assert world.tree.node(a).media_id is None
        other = await world.file(ROOT, b"c")
        await world.tree.exchange(ROOT, b"c", ROOT, b"b")
        await world.tree.rename(ROOT, b"c", photos, b"c")
        assert (world.tree.node(a).media_id, world.tree.node(other).media_id) == (2, None)
        await world.tree.record_made(photos, Place(ROOT, b"Photos"))
        await world.upload(a, '"1"')
        await world.tree.unlink(photos, b"c")
        assert world.tree.by_media_id(2) is None, "a tombstone is nobody's asset"
        again = await world.file(photos, b"c")
        assert world.tree.node(again).media_id == 2, "saved anew under the name: the same asset"


# --- names that go ---


async def test_what_the_cloud_never_had_goes_without_a_trace(opening: Opening) -> None:
    async with opening() as world:
        f = await world.file(ROOT, b"f")
        was = await world.tree.unlink(ROOT, b"f")
        assert (was.inode, was.parent) == (f, ROOT)
        assert world.is_gone(f)
        assert (world.changes(), world.freed, world.names(ROOT)) == (set(), [f], {})


async def test_what_the_cloud_has_becomes_a_tombstone(opening: Opening) -> None:
    async with opening() as world:
        f = await world.sent_file(ROOT, b"f")
        world.changed.clear()
        await world.tree.unlink(ROOT, b"f")
        node = world.tree.node(f)
        assert (node.parent, node.home, node.is_removed) == (None, Place(ROOT, b"f"), True)
        assert (world.tree.child(ROOT, b"f"), world.changes()) == (None, {f})
        assert (world.changed, world.freed) == ([Scope.FILES], [])
        await world.tree.forget_unlinked(f)
        assert world.tree.node(f) == node, "the kernel's forget spares it"
        with pytest.raises(NotFound):
            world.tree.path(f)
        assert world.tree.remote_path(f) == b"f"
    async with opening() as world:
        assert world.tree.node(f) == node


async def test_an_open_file_lives_on_under_its_inode(opening: Opening) -> None:
    async with opening() as world:
        unsent, sent = await world.file(ROOT, b"u"), await world.sent_file(ROOT, b"s")
        for inode in (unsent, sent):
            world.tree.hold(inode)
        await world.tree.unlink(ROOT, b"u")
        other = await world.file(ROOT, b"o")
        replaced = await world.tree.rename(ROOT, b"o", ROOT, b"s")
        assert replaced is not None
        assert replaced.inode == sent
        assert (world.tree.node(unsent).parent, world.tree.node(unsent).home) == (None, None)
        await world.modify(unsent)
        await world.tree.record_content(unsent, 9, 1, also_nothing)
        assert world.tree.node(unsent).size == 9
        assert world.tree.node(sent).parent is None, "taken over, and still open"
        assert world.tree.node(other).version is not None
        for inode in (unsent, sent):
            world.tree.release(inode, 1)
            await world.tree.forget_unlinked(inode)
            assert world.is_gone(inode)
        assert world.changes() == {other}


async def test_only_an_empty_folder_goes_and_only_as_one(opening: Opening) -> None:
    async with opening() as world:
        d = await world.folder(ROOT, b"d")
        await world.file(d, b"f")
        with pytest.raises(NotEmpty):
            await world.tree.remove_folder(ROOT, b"d")
        with pytest.raises(IsAFolder):
            await world.tree.unlink(ROOT, b"d")
        with pytest.raises(NotAFolder):
            await world.tree.remove_folder(d, b"f")
        for call in (world.tree.unlink, world.tree.remove_folder):
            with pytest.raises(NotFound):
                await call(ROOT, b"none")
        await world.tree.unlink(d, b"f")
        await world.tree.remove_folder(ROOT, b"d")
        assert world.is_gone(d)
        await world.observe(ROOT, folder(b"seen"))
        with pytest.raises(NotEmpty, match="not known"):
            await world.tree.remove_folder(ROOT, b"seen")


async def test_gallery_folders_stay_where_they_are(opening: Opening) -> None:
    async with opening(gallery=(b"Photos", b"a/b")) as world:
        await world.folder(ROOT, b"Photos")
        a = await world.folder(ROOT, b"a")
        await world.folder(a, b"b")
        await world.folder(ROOT, b"d")
        with pytest.raises(Busy):
            await world.tree.remove_folder(ROOT, b"Photos")
        for parent, name in ((ROOT, b"Photos"), (a, b"b"), (ROOT, b"a")):
            with pytest.raises(Busy):
                await world.tree.rename(parent, name, ROOT, b"other")
            with pytest.raises(Busy):
                await world.tree.exchange(ROOT, b"d", parent, name)
        with pytest.raises(Busy):
            await world.tree.rename(ROOT, b"d", ROOT, b"Photos")
        assert world.names(ROOT).keys() == {b"Photos", b"a", b"d"}


async def test_an_unsent_file_removed_during_its_upload_is_a_tombstone_until_the_answer(
    opening: Opening,
) -> None:
    async with opening() as world:
        lost, came = await world.file(ROOT, b"lost"), await world.file(ROOT, b"came")
        for inode, name in ((lost, b"lost"), (came, b"came")):
            await world.tree.begin_intent(put(inode, Place(ROOT, name)))
            await world.tree.unlink(ROOT, name)
            node = world.tree.node(inode)
            assert (node.home, node.version, node.is_removed) == (Place(ROOT, name), None, True)
        assert world.changes() == {lost, came}
    async with opening() as world:
        assert {intent.inode for intent in world.tree.intents()} == {lost, came}
        await world.tree.end_intent(lost)
        assert (world.is_gone(lost), world.freed) == (True, [lost])
        version = Version('"1"', None, 0)
        sent = await world.tree.record_uploaded(came, 1, version, Place(ROOT, b"came"), also_nothing)
        assert sent is not None
        assert (sent.is_removed, sent.version) == (True, version)
        assert (world.changes(), world.tree.intents()) == ({came}, [])


async def test_what_is_being_sent_keeps_its_row(opening: Opening) -> None:
    async with opening() as world:
        d = await world.folder(ROOT, b"d")
        with world.tree.sending(d):
            await world.tree.remove_folder(ROOT, b"d")
            await world.tree.forget_unlinked(d)
            assert await world.tree.record_made(d, Place(ROOT, b"d")) is not None
        assert world.tree.node(d).home == Place(ROOT, b"d")
        e = await world.folder(ROOT, b"e")
        with world.tree.sending(e):
            await world.tree.remove_folder(ROOT, b"e")
        await world.tree.forget_unlinked(e)
        assert world.is_gone(e)


# --- names that change ---


async def test_a_rename_leaves_a_home_that_going_back_clears(opening: Opening) -> None:
    async with opening() as world:
        d = await world.sent_folder(ROOT, b"d")
        f = await world.sent_file(ROOT, b"f")
        unsent = await world.file(ROOT, b"u")
        assert await world.tree.rename(ROOT, b"f", d, b"g") is None
        node = world.tree.node(f)
        assert (world.tree.path(f), world.tree.remote_path(f), node.is_moved) == (b"d/g", b"f", True)
        await world.tree.rename(d, b"g", ROOT, b"h")
        assert world.tree.node(f).home == Place(ROOT, b"f"), "the first one counts"
        await world.tree.rename(ROOT, b"h", ROOT, b"f")
        assert world.changes() == {unsent}
        await world.tree.rename(ROOT, b"u", d, b"v")
        assert world.tree.node(unsent).home is None


async def test_a_renamed_folder_keeps_all_below_and_its_place_in_the_cloud(opening: Opening) -> None:
    async with opening() as world:
        d = await world.sent_folder(ROOT, b"d")
        e = await world.sent_folder(d, b"e")
        f = await world.sent_file(e, b"f")
        world.tree.hold(f)
        await world.tree.rename(ROOT, b"d", ROOT, b"x")
        assert (world.tree.path(f), world.tree.remote_path(f)) == (b"x/e/f", b"d/e/f")
        assert world.changes() == {d}
        await world.tree.rename(d, b"e", ROOT, b"e")
        await world.tree.rename(ROOT, b"x", e, b"x")
        assert (world.tree.path(d), world.tree.remote_path(e)) == (b"e/x", b"d/e")
        assert world.tree.folders(Scope.FILES) == [ROOT, d, e], "as the cloud has them"


async def test_what_a_rename_replaces_goes_as_if_removed(opening: Opening) -> None:
    async with opening() as world:
        a, b = await world.sent_file(ROOT, b"a"), await world.sent_file(ROOT, b"b")
        replaced = await world.tree.rename(ROOT, b"a", ROOT, b"b")
        assert replaced is not None
        assert (replaced.inode, replaced.parent) == (b, ROOT)
        assert (world.tree.node(a).home, world.tree.node(b).home) == (Place(ROOT, b"a"), Place(ROOT, b"b"))
        assert world.names(ROOT) == {b"b": a}
        d, e = await world.sent_folder(ROOT, b"d"), await world.folder(ROOT, b"e")
        await world.tree.rename(ROOT, b"d", ROOT, b"e")
        assert world.is_gone(e)
        assert world.names(ROOT) == {b"b": a, b"e": d}


async def test_renames_that_posix_refuses(opening: Opening) -> None:
    async with opening() as world:
        d = await world.folder(ROOT, b"d")
        below = await world.folder(d, b"below")
        full = await world.folder(ROOT, b"full")
        await world.file(full, b"x")
        f = await world.file(ROOT, b"f")
        refused: list[tuple[type[CloudfsError], int, bytes, int, bytes]] = [
            (NotFound, ROOT, b"none", ROOT, b"x"),
            (IsAFolder, ROOT, b"f", ROOT, b"d"),
            (NotAFolder, ROOT, b"d", ROOT, b"f"),
            (NotEmpty, ROOT, b"d", ROOT, b"full"),
            (InvalidParameter, ROOT, b"d", below, b"x"),
            (InvalidParameter, ROOT, b"d", d, b"x"),
            (NotAFolder, ROOT, b"d", f, b"x"),
        ]
        for error, parent, name, new_parent, new_name in refused:
            with pytest.raises(error):
                await world.tree.rename(parent, name, new_parent, new_name)
        with pytest.raises(AlreadyExists):
            await world.tree.rename(ROOT, b"f", ROOT, b"full", no_replace=True)
        with pytest.raises(InvalidParameter):
            await world.tree.exchange(ROOT, b"d", d, b"below")
        with pytest.raises(NotFound):
            await world.tree.exchange(ROOT, b"d", ROOT, b"none")
        assert await world.tree.rename(ROOT, b"f", ROOT, b"f") is None
        await world.tree.exchange(ROOT, b"f", ROOT, b"f")
        assert world.names(ROOT) == {b"d": d, b"full": full, b"f": f}


async def test_an_exchange_is_two_moves_and_a_second_one_none(opening: Opening) -> None:
    async with opening() as world:
        d = await world.sent_folder(ROOT, b"d")
        a, b = await world.sent_file(ROOT, b"a"), await world.sent_folder(d, b"b")
        await world.tree.exchange(ROOT, b"a", d, b"b")
        assert (world.names(ROOT), world.names(d)) == ({b"d": d, b"a": b}, {b"b": a})
        assert (world.tree.remote_path(a), world.tree.remote_path(b)) == (b"a", b"d/b")
        await world.tree.exchange(ROOT, b"a", d, b"b")
        assert world.changes() == set()


# --- who takes over whom ---


async def saved(world: World, inode: int, etag: str) -> None:
    """A new file stands for what the cloud has: its next upload replaces that."""
    node = world.tree.node(inode)
    assert node.version is not None
    assert (node.version.etag, node.home, node.is_modified) == (etag, None, True)
    assert world.changes() == {inode}


async def test_vim_saves_one_file(opening: Opening) -> None:
    async with opening() as world:
        old = await world.sent_file(ROOT, b"f", '"base"')
        await world.tree.rename(ROOT, b"f", ROOT, b"f~")
        new = await world.file(ROOT, b"f")
        assert world.changes() == {old, new}, "not yet: the backup may be meant to stay"
        await world.tree.unlink(ROOT, b"f~")
        await saved(world, new, '"base"')
        assert world.is_gone(old)


async def test_a_replace_saves_one_file_with_what_is_the_users(opening: Opening) -> None:
    async with opening() as world:
        await world.observe(ROOT, file(b"f", '"base"', file_id="id"))
        old = world.names(ROOT)[b"f"]
        await world.tree.set_pin(old, True)
        await world.tree.set_attribute(old, b"user.a", b"1")
        new = await world.file(ROOT, b".f.tmp")
        await world.tree.set_attribute(new, b"user.b", b"2")
        await world.tree.rename(ROOT, b".f.tmp", ROOT, b"f")
        await saved(world, new, '"base"')
        node = world.tree.node(new)
        assert (node.pinned, node.file_id, node.mode) == (True, "id", 0o640)
        assert world.tree.attribute_names(new) == [b"user.b"], "it is another file to programs"
        assert (world.is_gone(old), world.freed) == (True, [old])


async def test_who_leaves_a_place_does_not_take_it_over_on_the_way(opening: Opening) -> None:
    async with opening() as world:
        old = await world.sent_file(ROOT, b"c")
        await world.tree.rename(ROOT, b"c", ROOT, b"a")
        new = await world.file(ROOT, b"c")
        await world.tree.rename(ROOT, b"c", ROOT, b"a")
        assert world.tree.node(new).is_unsent
        assert world.tree.node(old).home == Place(ROOT, b"c")
        assert world.changes() == {old, new}


async def test_removed_and_made_again_is_one_file_in_either_order(opening: Opening) -> None:
    async with opening() as world:
        old = await world.sent_file(ROOT, b"f", '"base"')
        await world.tree.unlink(ROOT, b"f")
        await saved(world, await world.file(ROOT, b"f"), '"base"')
        assert world.is_gone(old)
    async with opening() as world:
        await world.upload(world.names(ROOT)[b"f"], '"2"')
        new = await world.file(ROOT, b"g")
        await world.tree.exchange(ROOT, b"g", ROOT, b"f")
        await world.tree.unlink(ROOT, b"g")
        await saved(world, new, '"2"')


async def test_who_was_taken_over_may_be_forgotten_before_the_take_over_shows(
    opening: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's forget comes between the commit and the step after it."""
    async with opening() as world:
        tombstone = await world.sent_file(ROOT, b"f")
        await world.tree.unlink(ROOT, b"f")
        commit = world.database.commit

        async def commit_and_forget(work: Callable[[sqlite3.Connection], Any], **how: bool) -> Any:
            result = await commit(work, **how)
            monkeypatch.setattr(world.database, "commit", commit)
            world.tree._forget([tombstone])
            nursery.start_soon(world.tree.forget_unlinked, tombstone)
            await trio.testing.wait_all_tasks_blocked()
            return result

        monkeypatch.setattr(world.database, "commit", commit_and_forget)
        async with trio.open_nursery() as nursery:
            made = await world.tree.create(ROOT, b"f", 0o640, 7, 8)
        assert world.names(ROOT) == {b"f": made.inode}
        assert world.freed == [], "who forgets it lets its content go"
        with pytest.raises(NotFound):
            world.tree.node(tombstone)


async def test_a_file_takes_over_no_folder_and_a_folder_no_file(opening: Opening) -> None:
    async with opening() as world:
        f, d = await world.sent_file(ROOT, b"x"), await world.sent_folder(ROOT, b"y")
        await world.tree.unlink(ROOT, b"x")
        await world.tree.remove_folder(ROOT, b"y")
        x, y = await world.folder(ROOT, b"x"), await world.file(ROOT, b"y")
        assert world.changes() == {f, d, x, y}
        assert world.tree.node(x).is_unsent
        assert world.tree.node(y).is_unsent


async def test_a_folder_made_again_takes_over_all_that_was_in_it(opening: Opening) -> None:
    async with opening() as world:
        d = await world.sent_folder(ROOT, b"d")
        e = await world.sent_folder(d, b"e")
        f, kept = await world.sent_file(e, b"f"), await world.sent_file(e, b"kept")
        await world.tree.rename(e, b"kept", ROOT, b"kept")
        other = await world.folder(ROOT, b"other")
        other_e = await world.folder(other, b"e")
        other_f = await world.file(other_e, b"f")
        await world.tree.unlink(e, b"f")
        await world.tree.remove_folder(d, b"e")
        await world.tree.remove_folder(ROOT, b"d")
        assert world.changes() == {d, e, f, kept, other, other_e, other_f}
        await world.tree.rename(ROOT, b"other", ROOT, b"d")
        assert world.changes() == {kept, other_f}
        assert world.tree.remote_path(other_f) == b"d/e/f"
        assert world.tree.remote_path(kept) == b"d/e/kept"
        assert world.tree.node(kept).home == Place(other_e, b"kept")
        assert all(world.is_gone(inode) for inode in (d, e, f))


async def test_nobody_takes_over_while_the_cloud_is_asked(opening: Opening) -> None:
    async with opening() as world:
        old = await world.sent_file(ROOT, b"f", '"base"')
        await world.modify(old)
        await world.tree.begin_intent(put(old, Place(ROOT, b"f")))
        await world.tree.unlink(ROOT, b"f")
        new = await world.file(ROOT, b"f")
        assert world.changes() == {old, new}
        version = Version('"2"', None, 0)
        assert await world.tree.record_uploaded(old, 2, version, Place(ROOT, b"f"), also_nothing) is None
        await saved(world, new, '"2"')

        await world.upload(new, '"3"')
        waiting = await world.file(ROOT, b"w")
        await world.tree.begin_intent(put(waiting, Place(ROOT, b"w")))
        await world.tree.rename(ROOT, b"w", ROOT, b"f")
        assert world.tree.node(waiting).is_unsent
        await world.tree.end_intent(waiting)
        await saved(world, waiting, '"3"')

        await world.upload(waiting, '"4"')
        await world.tree.unlink(ROOT, b"f")
        with world.tree.sending(waiting):  # its delete is under way
            late = await world.file(ROOT, b"f")
            await world.tree.record_deleted(waiting)
        assert world.tree.node(late).is_unsent
        await world.tree.forget_unlinked(waiting)
        assert world.is_gone(waiting)


async def test_a_folder_is_not_taken_over_while_something_is_sent_to_it(opening: Opening) -> None:
    async with opening() as world:
        d = await world.sent_folder(ROOT, b"d")
        f, e = await world.file(d, b"f"), await world.folder(d, b"e")
        await world.tree.begin_intent(put(f, Place(d, b"f")))
        with world.tree.sending(e):
            await world.tree.unlink(d, b"f")
            await world.tree.remove_folder(d, b"e")
            await world.tree.remove_folder(ROOT, b"d")
            again = await world.folder(ROOT, b"d")
            await world.tree.record_uploaded(f, 1, Version('"1"', None, 0), Place(d, b"f"), also_nothing)
            assert world.tree.node(again).is_unsent
            await world.tree.record_made(e, Place(d, b"e"))
        assert not world.tree.node(again).is_unsent
        assert world.is_gone(d)
        assert world.tree.node(f).home == Place(again, b"f")
        assert world.tree.node(e).home == Place(again, b"e")
        assert world.changes() == {f, e}


# --- what a file is like ---


async def test_attributes_are_set_alone_and_are_no_change_for_the_cloud(opening: Opening) -> None:
    async with opening() as world:
        f = await world.sent_file(ROOT, b"f")
        before = world.tree.node(f)
        world.changed.clear()
        node = await world.tree.set_attributes(f, mode=0o600)
        assert (node.mode, node.uid, node.gid, node.mtime_ns) == (0o600, 7, 8, before.mtime_ns)
        assert node.ctime_ns > before.ctime_ns
        node = await world.tree.set_attributes(f, uid=1, gid=2, mtime_ns=123, now_ns=456)
        assert (node.mode, node.uid, node.gid, node.mtime_ns, node.ctime_ns) == (0o600, 1, 2, 123, 456)
        assert (world.changes(), world.changed) == (set(), [])
        await world.observe(ROOT, file(b"f", size=0))
        assert world.tree.node(f).mtime_ns == 123, "the cloud's own time did not move"
        with pytest.raises(NotFound):
            await world.tree.set_attributes(99, mode=0)
    async with opening() as world:
        assert world.tree.node(f).mode == 0o600


async def test_changes_of_content_count_and_carry_what_goes_with_them(opening: Opening) -> None:
    async with opening() as world:
        f = await world.sent_file(ROOT, b"f")

        def also(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT OR REPLACE INTO settings (key, value) VALUES ('also', 1)")

        def broken(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT INTO nowhere VALUES (1)")

        world.changed.clear()
        await world.tree.mark_modified(f, also)
        await world.tree.record_content(f, 10, 20, also, durable=True)
        node = world.tree.node(f)
        assert (node.generation, node.sent, node.size, node.mtime_ns) == (2, 1, 10, 20)
        assert world.changes() == {f}
        assert world.database.read("SELECT value FROM settings WHERE key = 'also'") == [(1,)]
        assert world.changed == [Scope.FILES] * 2
        for call in (
            world.tree.mark_modified(f, broken),
            world.tree.record_content(f, 11, 21, broken),
        ):
            with pytest.raises(CloudfsError):
                await call
        assert world.tree.node(f) == node
        for missing in (
            world.tree.mark_modified(99, also),
            world.tree.record_content(99, 1, 1, also),
        ):
            with pytest.raises(NotFound):
                await missing
        await world.tree.sync()


async def test_content_that_a_crash_left_newer_than_its_entry_counts_as_changed(opening: Opening) -> None:
    async with opening() as world:
        f, g = await world.sent_file(ROOT, b"f"), await world.sent_file(ROOT, b"g")

        def dirty(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO contents (inode, file, size, ranges, held_bytes, whole, durable, boot_id, "
                "last_use_ms, dirty) VALUES (?, 'random', 1, x'', 1, 1, 1, 'boot', 0, 1)",
                (f,),
            )

        await world.database.commit(dirty)
    async with opening() as world:
        assert world.changes() == {f}
        assert not world.tree.node(g).is_modified
    async with opening() as world:
        assert (world.tree.node(f).generation, world.tree.node(f).sent) == (2, 1), "once"
