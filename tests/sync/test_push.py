"""What changed here reaches the cloud: in as few requests as there can be, whatever happens on the way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import trio

from cloudfs.model.enums import ErrorType, Scope, SyncState
from cloudfs.model.errors import (
    AccessRefused,
    CloudStorageFull,
    ContentNotFound,
    Locked,
    NameRefused,
    NetworkUnavailable,
    ServerError,
    TooManyRequests,
    Unauthorized,
)
from cloudfs.model.node import ROOT
from tests.servers.memory_cloud import MemoryCloud

from .syncing import DONE, Syncing, failed, pull_failed, syncing


async def test_sends_new_folders_and_files_and_a_second_run_changes_nothing(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        await it.sync()
        await it.mkdir(b"a")
        await it.mkdir(b"a/b")
        await it.save(b"a/b/deep", b"deep")
        await it.save(b"empty", b"")
        assert await it.sync() == DONE
        assert it.cloud.paths() == {b"a": None, b"a/b": None, b"a/b/deep": b"deep", b"empty": b""}
        it.settled()
        before = len(it.cloud.calls)
        assert await it.sync() == DONE
        assert {call.method for call in it.cloud.calls[before:]} == {"list_folder"}


async def test_says_uploading_once_and_only_with_work(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        await it.sync()
        assert it.said == []
        await it.save(b"a", b"1")
        await it.save(b"b", b"2")
        await it.sync()
        assert it.said == [SyncState.UPLOADING]


async def test_sends_a_change_over_the_version_that_it_began_from(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        it.cloud.put(b"a", b"old")
        await it.sync()
        inode = await it.save(b"a", b"newer")
        assert await it.sync() == DONE
        assert it.cloud.paths() == {b"a": b"newer"}
        assert it.inode(b"a") == inode
        assert await it.content(b"a") == b"newer"
        it.settled()


async def test_what_was_sent_is_clean_and_can_be_evicted(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        inode = await it.save(b"a", b"content")
        await it.sync()
        assert not it.store.is_dirty(inode)
        await it.store.discard(inode)
        assert await it.content(b"a") == b"content"


async def test_a_file_that_was_saved_often_is_sent_once(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        for i in range(5):
            await it.save(b"a", b"%d" % i)
        await it.sync()
        assert it.asked("write") == [b"a"]
        assert it.cloud.content(b"a") == b"4"


async def test_a_save_by_rename_is_one_conditional_write(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        it.cloud.put(b"doc", b"old")
        await it.sync()
        await it.rename(b"doc", b"doc~")
        await it.save(b"doc", b"new")
        await it.unlink(b"doc~")
        assert await it.sync() == DONE
        assert it.asked("write") == [b"doc"]
        assert it.asked("delete") == it.asked("move") == []
        assert it.cloud.paths() == {b"doc": b"new"}
        it.settled()


async def test_moves_send_no_content(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        for path in (b"d/one", b"d/two", b"file"):
            it.cloud.put(path, path)
        await it.sync()
        await it.mkdir(b"new")
        await it.rename(b"d", b"new/e")
        await it.rename(b"file", b"new/e/three")
        assert await it.sync() == DONE
        assert it.asked("write") == it.asked("delete") == []
        assert it.cloud.paths() == {
            b"new": None,
            b"new/e": None,
            b"new/e/one": b"d/one",
            b"new/e/two": b"d/two",
            b"new/e/three": b"file",
        }
        it.settled()
        assert await it.sync() == DONE
        assert await it.content(b"new/e/one") == b"d/one"


async def test_a_move_takes_the_tags_of_what_is_open_below(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        it.cloud.put(b"d/open", b"content")
        await it.sync()
        node = it.node(b"d/open")
        content = await it.store.open(node.inode, node.content_version)
        before = content.version
        assert before is not None
        await it.rename(b"d", b"e")
        assert await it.sync() == DONE
        assert content.version == replace(before, etag=None), "no tag of the old URL guards a request"
        await it.store.close(content)


async def test_an_answer_that_stays_open_fails_its_own_file_alone(tmp_path: Path) -> None:
    async with syncing(tmp_path, timeout_s=0.3) as it:
        await it.sync()
        await it.abilities.learn()
        await it.save(b"a", b"ours")
        it.cloud.lose_answer("write", path=b"a")
        it.cloud.fail("stat", NetworkUnavailable("cut"), path=b"a", times=None)
        assert await it.sync() == failed(ErrorType.NETWORK_UNAVAILABLE)
        assert len(it.tree.intents()) == 1
        it.cloud.put(b"theirs", b"new")
        await it.save(b"b", b"ours too")
        assert await it.sync() == failed(ErrorType.NETWORK_UNAVAILABLE)
        assert it.cloud.paths()[b"b"] == b"ours too"
        assert b"theirs" in it.names()
        it.cloud.heal()
        await it.tree.clear_waits()
        assert await it.sync() == DONE
        it.settled()


async def test_a_swap_and_a_move_over_a_file(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        for name in (b"a", b"b", b"c", b"d"):
            it.cloud.put(name, b"content of " + name)
        await it.sync()
        await it.tree.exchange(ROOT, b"a", ROOT, b"b")
        await it.rename(b"c", b"d")
        assert await it.sync() == DONE
        assert it.cloud.paths() == {b"a": b"content of b", b"b": b"content of a", b"d": b"content of c"}
        assert it.asked("write") == []
        it.settled()


async def test_a_moved_and_changed_file_is_moved_and_sent(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        it.cloud.put(b"a", b"old")
        await it.sync()
        await it.rename(b"a", b"b")
        await it.save(b"b", b"new")
        assert await it.sync() == DONE
        assert it.cloud.paths() == {b"b": b"new"}
        it.settled()


async def test_deletes_files_with_their_version_and_folders_once_empty(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        for path in (b"d/e/one", b"d/two", b"kept"):
            it.cloud.put(path, path)
        await it.sync()
        for path in (b"d/e/one", b"d/two"):
            await it.unlink(path)
        await it.rmdir(b"d/e")
        await it.rmdir(b"d")
        assert await it.sync() == DONE
        assert it.cloud.paths() == {b"kept": b"kept"}
        it.settled()


async def test_a_folder_with_something_new_in_it_lives_on_on_both_sides(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        it.cloud.put(b"d/e/one", b"1")
        await it.sync()
        await it.unlink(b"d/e/one")
        await it.rmdir(b"d/e")
        await it.rmdir(b"d")
        it.cloud.put(b"d/e/new", b"from elsewhere")
        assert await it.sync() == DONE
        assert it.cloud.paths() == {b"d": None, b"d/e": None, b"d/e/new": b"from elsewhere"}
        assert it.names(b"d/e") == [b"new"]
        it.settled()


async def test_a_file_that_changed_in_a_removed_folder_comes_back(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        it.cloud.put(b"d/one", b"1")
        it.cloud.put(b"d/two", b"2")
        await it.sync()
        for path in (b"d/one", b"d/two"):
            await it.unlink(path)
        await it.rmdir(b"d")
        it.cloud.put(b"d/one", b"edited elsewhere")
        assert await it.sync() == DONE
        assert it.cloud.paths() == {b"d": None, b"d/one": b"edited elsewhere"}
        assert await it.content(b"d/one") == b"edited elsewhere"
        it.settled()


async def test_a_file_that_was_removed_before_it_was_sent_never_is(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        await it.save(b"a", b"1")
        await it.unlink(b"a")
        assert await it.sync() == DONE
        assert it.asked("write") == []


async def test_a_file_that_is_removed_while_it_is_sent_is_removed_after(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        await it.sync()
        await it.save(b"a", b"1")
        await it.abilities.learn()
        it.cloud.gate = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(it.sync)
            await _until(it.asked, "list_folder", 2)
            gate, it.cloud.gate = it.cloud.gate, trio.Event()
            gate.set()
            await _until(it.asked, "write", 1)
            await it.unlink(b"a")
            it.cloud.gate.set()
            it.cloud.gate = None
        assert it.cloud.paths() == {}
        it.settled()


async def test_a_file_that_changes_while_it_is_sent_is_sent_once_more(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        await it.sync()
        await it.save(b"a", b"first")
        await it.abilities.learn()
        it.cloud.gate = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(it.sync)
            await _until(it.asked, "list_folder", 2)
            gate, it.cloud.gate = it.cloud.gate, trio.Event()
            gate.set()
            await _until(it.asked, "write", 1)
            for i in range(3):
                await it.save(b"a", b"second %d" % i)
            await it.rename(b"a", b"b")
            it.cloud.gate.set()
            it.cloud.gate = None
        assert it.cloud.paths() == {b"b": b"second 2"}
        assert len(it.asked("write")) == 2
        it.settled()


async def test_a_file_being_written_waits_and_holds_up_no_sync(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        node = await it.tree.create(ROOT, b"open", 0o644, 1000, 1000)
        content = it.store.create(node.inode)
        it.store.begin_writing(content)
        await it.editor.write(content, 0, b"half")
        await it.save(b"other", b"1")
        assert await it.sync() == DONE
        assert it.cloud.paths() == {b"other": b"1"}
        await it.editor.flush(content)
        assert await it.sync() == DONE
        assert it.cloud.content(b"open") == b"half"
        it.store.end_writing(content)
        await it.store.close(content)


async def test_what_lacks_of_a_changed_placeholder_is_fetched_before_it_is_sent(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        it.cloud.put(b"a", b"0123456789")
        await it.sync()
        node = it.node(b"a")
        content = await it.store.open(node.inode, node.version)
        it.store.begin_writing(content)
        await it.editor.write(content, 3, b"xyz")
        await it.editor.flush(content)
        it.store.end_writing(content)
        await it.store.close(content)
        assert await it.sync() == DONE
        assert it.cloud.content(b"a") == b"012xyz6789"
        it.settled()


# --- answers that get lost ---


@pytest.mark.parametrize("method", ["write", "make_folder", "move", "delete"])
async def test_a_lost_answer_is_no_conflict(tmp_path: Path, method: str) -> None:
    async with syncing(tmp_path) as it:
        for name in (b"changed", b"moved", b"removed"):
            it.cloud.put(name, b"content of " + name)
        await it.sync()
        await it.save(b"changed", b"changed here")
        await it.mkdir(b"folder")
        await it.save(b"folder/new", b"new")
        await it.rename(b"moved", b"there")
        await it.unlink(b"removed")
        it.cloud.lose_answer(method)
        assert await it.sync() == DONE
        expected = {
            b"changed": b"changed here",
            b"folder": None,
            b"folder/new": b"new",
            b"there": b"content of moved",
        }
        assert it.cloud.paths() == expected
        assert it.names() == [b"changed", b"folder", b"there"]
        it.settled()


@pytest.mark.parametrize("method", ["write", "move"])
async def test_a_crash_between_request_and_answer_is_settled_at_the_next_start(
    tmp_path: Path, method: str
) -> None:
    cloud = MemoryCloud()
    async with syncing(tmp_path, cloud, timeout_s=0.3) as it:
        cloud.put(b"a", b"old")
        await it.sync()
        if method == "write":
            await it.save(b"a", b"new content")
        else:
            await it.rename(b"a", b"b")
        cloud.lose_answer(method)
        cloud.fail("stat", NetworkUnavailable("down"), times=None)
        assert await it.sync() == failed(ErrorType.NETWORK_UNAVAILABLE)
        assert len(it.tree.intents()) == 1
    cloud.heal()
    async with syncing(tmp_path, cloud) as it:
        assert await it.sync() == DONE
        expected = {b"a": b"new content"} if method == "write" else {b"b": b"old"}
        assert cloud.paths() == expected
        assert it.names() == list(expected)
        assert len(it.asked(method)) == 1
        it.settled()


async def test_a_newer_generation_goes_up_over_our_own_lost_upload(tmp_path: Path) -> None:
    async with syncing(tmp_path, timeout_s=0.3) as it:
        it.cloud.put(b"a", b"old")
        await it.sync()
        await it.save(b"a", b"first")
        it.cloud.lose_answer("write")
        it.cloud.fail("stat", NetworkUnavailable("down"), times=None)
        await it.sync()
        it.cloud.heal()
        await it.save(b"a", b"second")
        assert await it.sync() == DONE
        assert it.cloud.paths() == {b"a": b"second"}
        assert it.names() == [b"a"]
        it.settled()


async def test_our_own_lost_upload_is_not_given_up_while_its_content_is_not_to_be_had(tmp_path: Path) -> None:
    """A 404 to a GET says nothing as long as the name is shown: what is there may be ours."""
    async with syncing(tmp_path, timeout_s=0.3) as it:
        it.cloud.put(b"a", b"old")
        await it.sync()
        await it.save(b"a", b"first")
        it.cloud.lose_answer("write")
        it.cloud.fail("read", ContentNotFound("404", status=404), times=None)
        assert await it.sync() == failed(ErrorType.NO_ERROR)
        await it.save(b"a", b"and second")
        assert await it.sync() == failed(ErrorType.NO_ERROR)
        it.cloud.heal()
        it.now_ms += 3_600_000
        assert await it.sync() == DONE
        assert it.cloud.paths() == {b"a": b"and second"}
        assert it.names() == [b"a"]
        it.settled()


# --- failures ---


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (AccessRefused("403", status=403), "UNKNOWN_ERROR"),
        (Locked("423", status=423), "UNKNOWN_ERROR"),
        (NameRefused("400", status=400), "UNKNOWN_ERROR"),
        (CloudStorageFull("507", status=507), "CLOUD_STORAGE_FULL"),
        (ServerError("500", status=500), "UNKNOWN_ERROR"),
    ],
)
async def test_one_files_trouble_is_noted_and_holds_up_no_other(
    tmp_path: Path, error: Exception, name: str
) -> None:
    async with syncing(tmp_path, timeout_s=0.3) as it:
        await it.save(b"bad", b"1")
        for i in range(20):
            await it.save(b"good%d" % i, b"")
        it.cloud.fail("write", error, path=b"bad", times=None)  # type: ignore[arg-type]
        outcome = await it.sync()
        assert outcome == failed(ErrorType.__members__.get(name, ErrorType.NO_ERROR))
        assert len(it.cloud.paths()) == 20
        node = it.node(b"bad")
        assert (node.error, node.error_reason, node.tries) == (name, str(error), 1)
        assert node.next_try_ms == it.now_ms + 5000
        assert await it.content(b"bad") == b"1"


async def test_waits_twice_as_long_each_time_and_an_hour_at_most(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        await it.save(b"bad", b"1")
        it.cloud.fail("write", AccessRefused("403"), times=None)
        waits = []
        for _ in range(12):
            await it.sync()
            next_try_ms = it.node(b"bad").next_try_ms
            assert next_try_ms is not None
            waits.append((next_try_ms - it.now_ms) // 1000)
            it.now_ms = next_try_ms
        assert waits == [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]


async def test_what_waits_for_its_next_try_is_not_asked_for_and_the_sync_has_failed(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        await it.save(b"bad", b"1")
        it.cloud.fail("write", CloudStorageFull("507"))
        assert await it.sync() == failed(ErrorType.CLOUD_STORAGE_FULL)
        assert await it.sync() == failed(ErrorType.CLOUD_STORAGE_FULL)
        assert len(it.asked("write")) == 1
        await it.tree.clear_waits(Scope.FILES)
        assert await it.sync() == DONE
        assert it.node(b"bad").error is None


async def test_respects_retry_after(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        await it.save(b"bad", b"1")
        it.cloud.fail("write", TooManyRequests("429", retry_after=600))
        assert await it.sync() == failed()
        assert it.node(b"bad").next_try_ms == it.now_ms + 600_000


async def test_a_network_that_is_gone_ends_the_push_at_once_without_waits(tmp_path: Path) -> None:
    async with syncing(tmp_path, timeout_s=0.3) as it:
        await it.sync()
        for i in range(300):
            await it.save(b"%d" % i, b"x")
        for method in ("write", "stat"):
            it.cloud.fail(method, NetworkUnavailable("cut"), times=None)
        with trio.fail_after(5):
            assert await it.sync() == failed(ErrorType.NETWORK_UNAVAILABLE)
        assert all(it.node(b"%d" % i).next_try_ms is None for i in range(300))
        it.cloud.heal()
        assert await it.sync() == DONE
        assert len(it.cloud.paths()) == 300
        it.settled()


async def test_a_file_that_breaks_every_connection_is_its_own_trouble(tmp_path: Path) -> None:
    async with syncing(tmp_path, timeout_s=0.3) as it:
        await it.sync()
        for i in range(100):
            await it.save(b"%d" % i, b"x")
        it.cloud.fail("write", NetworkUnavailable("cut"), path=b"7", times=None)
        assert await it.sync() == failed(ErrorType.NETWORK_UNAVAILABLE)
        assert len(it.cloud.paths()) == 99
        bad = it.node(b"7")
        assert (bad.error, bad.error_reason) == ("NETWORK_UNAVAILABLE", "cut")
        assert bad.next_try_ms is not None, "it lets the others go first"
        it.cloud.heal()
        await it.tree.clear_waits()
        assert await it.sync() == DONE
        it.settled()


async def test_credentials_that_are_refused_end_the_push(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        await it.save(b"a", b"1")
        it.cloud.fail("write", Unauthorized("401"))
        assert await it.sync() == pull_failed()
        assert it.node(b"a").next_try_ms is None


async def test_a_full_cloud_is_not_asked_again_for_what_is_no_smaller(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        for size in (50, 100, 200, 300):
            await it.save(b"%d" % size, b"x" * size)
        it.cloud.available = 60
        assert await it.sync() == failed(ErrorType.CLOUD_STORAGE_FULL)
        assert it.cloud.paths() == {b"50": b"x" * 50}
        assert {it.node(b"%d" % size).error for size in (100, 200, 300)} == {"CLOUD_STORAGE_FULL"}


async def test_a_folder_that_fails_keeps_only_its_own_waiting(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        await it.mkdir(b"bad")
        await it.save(b"bad/inner", b"1")
        await it.save(b"good", b"1")
        it.cloud.fail("make_folder", NameRefused("400"))
        assert await it.sync() == failed()
        assert it.cloud.paths() == {b"good": b"1"}
        assert it.node(b"bad/inner").error is None
        await it.tree.clear_waits(Scope.FILES)
        assert await it.sync() == DONE
        assert it.cloud.content(b"bad/inner") == b"1"


async def test_a_name_that_clashes_by_case_alone_stays_here_with_its_reason(tmp_path: Path) -> None:
    async with syncing(tmp_path, MemoryCloud(ignores_case=True)) as it:
        it.cloud.put(b"readme", b"theirs")
        await it.sync()
        await it.save(b"README", b"ours")
        assert await it.sync() == failed()
        assert it.cloud.paths() == {b"readme": b"theirs"}
        assert it.node(b"README").error == "UNKNOWN_ERROR"
        assert await it.content(b"README") == b"ours"


async def test_under_read_only_nothing_is_sent(tmp_path: Path) -> None:
    async with syncing(tmp_path, read_only=True) as it:
        await it.save(b"a", b"1")
        assert await it.sync() == DONE
        assert it.cloud.paths() == {}
        assert it.said == []


async def test_stopped_uploads_end_at_once_and_go_on_by_the_next_run(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        await it.sync()
        await it.save(b"a", b"x" * 200_000)
        it.cloud.chunk_latency_s = 10
        with trio.move_on_after(0.1):
            await it.sync()
        assert it.uploads.running() == []
        it.cloud.chunk_latency_s = 0
        assert await it.sync() == DONE
        assert it.cloud.content(b"a") == b"x" * 200_000
        it.settled()


async def test_winding_down_completes_what_is_under_way_and_begins_no_more(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        await it.sync()
        it.cloud.put(b"pinned", b"p" * 100)
        await it.sync()
        await it.tree.set_pin(it.inode(b"pinned"), True)
        await it.mkdir(b"d")
        await it.save(b"d/inner", b"1")
        await it.save(b"first", b"1" * 200_000)
        await it.abilities.learn()
        make_folder, is_asked, may_answer = it.cloud.make_folder, trio.Event(), trio.Event()

        async def slowly(path: bytes) -> None:
            is_asked.set()
            await may_answer.wait()
            await make_folder(path)

        it.cloud.make_folder = slowly  # type: ignore[method-assign]
        async with trio.open_nursery() as nursery:
            it.cloud.gate = trio.Event()
            nursery.start_soon(it.sync)
            await _until(it.asked, "list_folder", 3)
            it.cloud.gate.set()
            it.cloud.gate = None
            it.cloud.chunk_latency_s = 0.05
            await is_asked.wait()
            while not it.cloud.bytes_taken:
                await trio.sleep(0.001)
            it.engine.wind_down(Scope.FILES)
            may_answer.set()
        assert it.cloud.paths() == {b"d": None, b"first": b"1" * 200_000, b"pinned": b"p" * 100}


async def _until(asked: object, method: str, count: int) -> None:
    assert callable(asked)
    with trio.fail_after(5):
        while len(asked(method)) < count:
            await trio.sleep(0.001)


async def test_each_scope_sends_its_own_and_a_move_goes_by_where_it_came_from(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        it.cloud.put(b"Photos/old", b"picture")
        it.cloud.put(b"file", b"file")
        assert await it.sync() == await it.sync(Scope.GALLERY) == DONE
        await it.save(b"Photos/new", b"new picture")
        await it.rename(b"file", b"Photos/file")
        await it.rename(b"Photos/old", b"old")
        assert await it.sync() == DONE
        assert sorted(it.cloud.paths()) == [b"Photos", b"Photos/file", b"Photos/old"]
        assert await it.sync(Scope.GALLERY) == DONE
        assert sorted(it.cloud.paths()) == [b"Photos", b"Photos/file", b"Photos/new", b"old"]
        it.settled()


async def test_a_gallery_folder_that_was_made_here_is_sent_by_its_own_sync(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        await it.mkdir(b"Photos")
        await it.save(b"Photos/p", b"picture")
        assert await it.sync() == DONE
        assert it.cloud.paths() == {}
        assert await it.sync(Scope.GALLERY) == DONE
        assert it.cloud.paths() == {b"Photos": None, b"Photos/p": b"picture"}
        it.settled()


async def test_a_root_that_takes_no_writes_holds_up_nothing_below_it(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        it.cloud.put(b"d/old", b"0")
        assert await it.sync() == DONE
        await it.save(b"a", b"1")
        await it.save(b"d/b", b"2")
        refusal = AccessRefused("nobody may write here", status=403)
        it.cloud.fail("probe_writes", refusal, times=None)
        it.cloud.fail("write", refusal, path=b"a")
        assert await it.sync() == failed()
        assert it.cloud.paths() == {b"d": None, b"d/old": b"0", b"d/b": b"2"}
        assert it.node(b"a").error_reason == "nobody may write here"


async def test_without_an_answer_to_the_probe_nothing_is_sent_and_nothing_waits(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        await it.save(b"a", b"1")
        it.cloud.fail("probe_writes", NetworkUnavailable("cut"))
        assert await it.sync() == failed(ErrorType.NETWORK_UNAVAILABLE)
        assert it.node(b"a").next_try_ms is None
        assert await it.sync() == DONE
        assert it.cloud.paths() == {b"a": b"1"}


async def test_a_folder_moves_between_the_requests_below_it(tmp_path: Path) -> None:
    """No path that was built before a move is used after it."""
    async with syncing(tmp_path) as it:
        for i in range(20):
            it.cloud.put(b"d/%d" % i, b"old")
        await it.sync()
        for i in range(20):
            await it.save(b"d/%d" % i, b"new %d" % i)
        await it.rename(b"d", b"e")
        it.cloud.latency_s = 0.01
        assert await it.sync() == DONE
        assert it.cloud.paths() == {b"e": None} | {b"e/%d" % i: b"new %d" % i for i in range(20)}
        assert len(it.asked("write")) == 20, "each at its first try"
        it.settled()


async def test_a_wait_that_a_wrong_clock_left_behind_ends(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        await it.save(b"bad", b"1")
        it.cloud.fail("write", AccessRefused("403"))
        await it.sync()
        it.now_ms -= 400 * 24 * 3600 * 1000
        assert await it.sync() == DONE


async def test_winding_down_begins_none_of_the_uploads_that_wait_for_their_turn(tmp_path: Path) -> None:
    async with syncing(tmp_path, MemoryCloud(max_connections=2)) as it:
        await it.sync()
        await it.abilities.learn()
        for i in range(50):
            await it.save(b"%d" % i, b"x")
        it.cloud.latency_s = 0.05
        async with trio.open_nursery() as nursery:
            nursery.start_soon(it.sync)
            await _until(it.asked, "write", 1)
            assert len(it.uploads.running()) <= 8
            it.engine.wind_down(Scope.FILES)
        it.cloud.latency_s = 0
        assert len(it.cloud.paths()) <= len(it.asked("write")) <= 8
        assert await it.sync() == DONE
        assert len(it.cloud.paths()) == 50


async def test_a_swap_that_stopped_half_way_goes_on(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        for name in (b"a", b"b"):
            it.cloud.put(name, b"content of " + name)
        await it.sync()
        await it.tree.exchange(ROOT, b"a", ROOT, b"b")
        hidden = await _stop_half_way(it)
        assert len(it.cloud.paths()) == 2
        assert it.cloud.paths()[hidden] in (b"content of a", b"content of b")
        assert await it.sync() == DONE
        assert it.cloud.paths() == {b"a": b"content of b", b"b": b"content of a"}
        assert it.names() == [b"a", b"b"]
        it.settled()


async def test_a_parked_file_that_the_cloud_lost_is_gone(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        for name in (b"a", b"b"):
            it.cloud.put(name, b"content of " + name)
        await it.sync()
        await it.tree.exchange(ROOT, b"a", ROOT, b"b")
        it.cloud.remove(await _stop_half_way(it))
        assert await it.sync() == DONE
        assert len(it.cloud.paths()) == 1
        assert it.names() == list(it.cloud.paths())
        it.settled()


async def test_an_edit_of_a_parked_file_that_the_cloud_lost_goes_up_again(tmp_path: Path) -> None:
    async with syncing(tmp_path) as it:
        for name in (b"a", b"b"):
            it.cloud.put(name, b"content of " + name)
        await it.sync()
        await it.tree.exchange(ROOT, b"a", ROOT, b"b")
        for name in (b"a", b"b"):
            await it.save(name, b"edited " + name)
        it.cloud.remove(await _stop_half_way(it))
        assert await it.sync() == DONE
        assert it.cloud.paths() == {b"a": b"edited a", b"b": b"edited b"}
        it.settled()


async def _stop_half_way(it: Syncing) -> bytes:
    """Sync until one of two files is parked; returns where."""
    move = it.cloud.move

    async def stop(source: bytes, target: bytes, **options: object) -> None:
        if b" (moving " not in target:
            raise Locked("423")
        await move(source, target, **options)  # type: ignore[arg-type]

    it.cloud.move = stop  # type: ignore[method-assign]
    assert await it.sync() == failed()
    it.cloud.move = move  # type: ignore[method-assign]
    await it.tree.clear_waits(Scope.FILES)
    (parked,) = [path for path in it.cloud.paths() if b" (moving " in path]
    return parked
