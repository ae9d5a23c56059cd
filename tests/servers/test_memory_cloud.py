"""What tests may tell the cloud in memory to be; what it does as every cloud is met in tests/clouds."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio

from cloudfs.model.entry import RemotePath, Version
from cloudfs.model.errors import NameRefused, NetworkUnavailable, NotFound
from tests.clouds.conftest import pieces
from tests.servers.memory_cloud import MemoryCloud


async def version(cloud: MemoryCloud, path: RemotePath) -> Version:
    return (await cloud.stat(path)).version


async def test_a_lost_answer_is_of_a_request_that_was_carried_out() -> None:
    cloud = MemoryCloud()
    for method in ("write", "make_folder", "move", "delete"):
        cloud.lose_answer(method)
    with pytest.raises(NetworkUnavailable):
        await cloud.write(b"f", pieces(b"abc"), 3, None)
    with pytest.raises(NetworkUnavailable):
        await cloud.make_folder(b"d")
    with pytest.raises(NetworkUnavailable):
        await cloud.move(b"f", b"d/g")
    assert cloud.paths() == {b"d": None, b"d/g": b"abc"}
    base = await version(cloud, b"d/g")
    with pytest.raises(NetworkUnavailable):
        await cloud.delete(b"d/g", base)
    with pytest.raises(NotFound):
        await cloud.delete(b"d/g", base)
    assert cloud.paths() == {b"d": None}


async def test_times_are_kept() -> None:
    cloud = MemoryCloud()
    made = await cloud.write(b"f", pieces(b"abc"), 3, None, mtime_ns=7_000_000_000)
    assert made.mtime_ns == (await version(cloud, b"f")).mtime_ns == 7_000_000_000


async def test_folder_tags_tell_of_all_below() -> None:
    cloud = MemoryCloud(folder_tags=True)
    assert cloud.capabilities.folder_tags is True
    cloud.put(b"a/b/f", b"1")
    cloud.put(b"c/g", b"1")

    async def tags() -> list[str | None]:
        return [(await version(cloud, path)).etag for path in (b"", b"a", b"a/b", b"c")]

    before = await tags()
    assert None not in before
    await cloud.write(b"a/b/f", pieces(b"2"), 1, await version(cloud, b"a/b/f"))
    after = await tags()
    assert [old == new for old, new in zip(before, after, strict=True)] == [False, False, False, True]
    await cloud.move(b"a/b", b"c/b")
    moved = [(await version(cloud, path)).etag for path in (b"", b"a", b"c")]
    assert not set(moved) & {after[0], after[1], after[3]}
    assert (await version(cloud, b"c/b")).etag == after[2]


async def test_names_that_differ_in_case_alone() -> None:
    cloud = MemoryCloud(ignores_case=True)
    cloud.put(b"Readme", b"1")
    with pytest.raises(NameRefused):
        await cloud.write(b"README", pieces(b"2"), 1, None)
    with pytest.raises(NameRefused):
        await cloud.make_folder(b"readme")
    assert (await cloud.stat(b"readme")).size == 1
    cloud.remove(b"README")
    assert cloud.paths() == {}


async def test_names_that_it_cannot_hold() -> None:
    cloud = MemoryCloud(refuses=lambda name: b":" in name)
    cloud.put(b"f", b"1")
    with pytest.raises(NameRefused):
        await cloud.write(b"a:b", pieces(b"2"), 1, None)
    with pytest.raises(NameRefused):
        await cloud.move(b"f", b"a:b")
    assert cloud.paths() == {b"f": b"1"}


async def test_tags_are_weak_at_first(autojump_clock: trio.testing.MockClock) -> None:
    cloud = MemoryCloud(weak_at_first=True)
    made = await cloud.write(b"f", pieces(b"abc"), 3, None)
    assert not made.is_strong
    await trio.sleep(1)
    later = await version(cloud, b"f")
    assert later.is_strong
    assert later.is_same_as(made)


async def test_a_body_that_breaks_off_leaves_nothing() -> None:
    cloud = MemoryCloud()

    async def short() -> AsyncIterator[bytes]:
        yield b"a"

    with pytest.raises(NetworkUnavailable):
        await cloud.write(b"f", short(), 2, None)
    assert cloud.paths() == {}
    assert cloud.bytes_taken == 1
