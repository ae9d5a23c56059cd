"""The store on a real disk: what it claims is there, after whatever end."""

from __future__ import annotations

import errno
import os
import random
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudfs.cache import writing
from cloudfs.cache.content import Content, ContentState
from cloudfs.cache.store import Store
from cloudfs.model.entry import Version
from cloudfs.model.errors import LocalIOError, LocalStorageFull

from .conftest import KIB, MIB, OpenStore, running_store


def version(size: int, tag: str = "v1") -> Version:
    return Version(etag=f'"{tag}"', mtime_ns=None, size=size)


def body(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


async def fill(store: Store, inode: int, data: bytes) -> None:
    """Download a whole file, as a transfer would."""
    content = await store.open(inode, version(len(data)))
    await store.write_at(content, 0, data)
    await store.settle(content)
    await store.close(content)


def cache_files(directory: Path) -> list[Path]:
    return [path for path in (directory / "contents").rglob("*") if path.is_file()]


async def test_what_was_written_is_read(open_store: OpenStore) -> None:
    data = body(300 * KIB)
    async with open_store() as store:
        content = await store.open(7, version(len(data)))
        assert content.state is ContentState.PLACEHOLDER
        await store.write_at(content, 100 * KIB, data[100 * KIB : 200 * KIB])
        assert store.read_at(content, 120 * KIB, 50 * KIB) == data[120 * KIB : 170 * KIB]
        assert content.missing(0, 300 * KIB) == [(0, 100 * KIB), (200 * KIB, 300 * KIB)]
        with pytest.raises(ValueError, match="not held"):
            store.read_at(content, 99 * KIB, 2 * KIB)
        assert store.held_bytes(7) == 100 * KIB
        assert store.usage.used == 100 * KIB
        await store.close(content)


async def test_reading_beyond_the_end_gives_what_there_is(open_store: OpenStore) -> None:
    async with open_store() as store:
        content = await store.open(7, version(10))
        await store.write_at(content, 0, b"0123456789")
        assert store.read_at(content, 8, 100) == b"89"
        assert store.read_at(content, 10, 100) == b""
        await store.close(content)


async def test_content_survives_a_remount(open_store: OpenStore) -> None:
    data = body(200 * KIB)
    async with open_store() as store:
        content = await store.open(7, version(len(data)))
        await store.write_at(content, 0, data[: 64 * KIB])
        await store.close(content)
    async with open_store() as store:
        assert store.held_bytes(7) == 64 * KIB
        content = await store.open(7, version(len(data)))
        assert store.read_at(content, 0, 64 * KIB) == data[: 64 * KIB]
        assert content.missing(0, len(data)) == [(64 * KIB, len(data))]
        await store.close(content)


async def test_maps_are_committed_while_the_file_stays_open(open_store: OpenStore) -> None:
    """What a kill -9 a second after the write leaves: the committed row has the map."""
    async with open_store() as store:
        content = await store.open(7, version(MIB))
        await store.write_at(content, 0, body(64 * KIB))
        assert store._rows.load(7) is None
        with trio.fail_after(5):
            while (row := store._rows.load(7)) is None:
                await trio.sleep(0.05)
        assert row.held_bytes == 64 * KIB
        await store.close(content)


async def test_an_end_before_the_commit_claims_nothing(tmp_path: Path) -> None:
    """A file whose row never came is removed, and its bytes are fetched again."""
    async with running_store(tmp_path) as store:
        content = await store.open(7, version(MIB))
        await store.write_at(content, 0, body(64 * KIB))
        store._maps.drop(content)  # the process ends here
        assert len(cache_files(tmp_path)) == 1
        content.fd = None
    async with running_store(tmp_path) as store:
        content = await store.open(7, version(MIB))
        assert content.held_bytes == 0
        await store.close(content)
        with trio.fail_after(5):
            while cache_files(tmp_path):
                await trio.sleep(0.01)


async def test_the_sweep_spares_what_has_a_row_or_is_new(tmp_path: Path) -> None:
    async with running_store(tmp_path) as store:
        await fill(store, 1, body(10))
    async with running_store(tmp_path) as store:
        content = await store.open(2, version(10))
        await store.write_at(content, 0, body(10, 2))
        await store._recovery.sweep(store._files_in_use)
        assert store.read_at(content, 0, 10) == body(10, 2)
        await store.close(content)
        assert len(cache_files(tmp_path)) == 2


async def test_unsynced_bytes_end_with_the_boot(open_store: OpenStore) -> None:
    async with open_store(boot="boot-1") as store:
        await fill(store, 1, body(10))
        content = await store.open(2, version(MIB))
        await store.write_at(content, 0, body(64 * KIB))
        await store.close(content)
    async with open_store(boot="boot-2") as store:
        assert store.held_bytes(1) == 10
        assert store.held_bytes(2) == 0
        assert store.usage.used == 10


async def test_a_file_shorter_than_claimed_loses_the_claims(open_store: OpenStore, tmp_path: Path) -> None:
    data = body(100 * KIB)
    async with open_store() as store:
        await fill(store, 7, data)
    (path,) = cache_files(tmp_path)
    os.truncate(path, 40 * KIB)
    async with open_store() as store:
        content = await store.open(7, version(len(data)))
        assert content.missing(0, len(data)) == [(40 * KIB, 100 * KIB)]
        assert store.read_at(content, 0, 40 * KIB) == data[: 40 * KIB]
        await store.close(content)


async def test_a_missing_file_loses_all_claims_and_is_made_again(
    open_store: OpenStore, tmp_path: Path
) -> None:
    data = body(100)
    async with open_store() as store:
        await fill(store, 7, data)
    cache_files(tmp_path)[0].unlink()
    async with open_store() as store:
        await fill(store, 7, data)
    async with open_store() as store:
        content = await store.open(7, version(100))
        assert store.read_at(content, 0, 100) == data
        await store.close(content)


async def test_a_file_cut_while_open_is_an_error_and_then_fetched_again(
    open_store: OpenStore, tmp_path: Path
) -> None:
    async with open_store() as store:
        content = await store.open(7, version(100))
        await store.write_at(content, 0, body(100))
        os.truncate(cache_files(tmp_path)[0], 30)
        with pytest.raises(LocalIOError, match="shorter"):
            store.read_at(content, 20, 50)
        assert content.missing(0, 100) == [(30, 100)]
        await store.close(content)


async def test_another_version_begins_with_a_placeholder(open_store: OpenStore) -> None:
    async with open_store() as store:
        await fill(store, 7, body(100))
        newer = await store.open(7, version(100, "v2"))
        assert newer.held_bytes == 0
        await store.close(newer)
        assert store.usage.used == 0


async def test_readers_of_the_old_version_keep_it(open_store: OpenStore) -> None:
    async with open_store() as store:
        old = await store.open(7, version(100))
        await store.write_at(old, 0, body(100))
        new = await store.open(7, version(50, "v2"))
        await store.write_at(new, 0, body(50, 2))
        assert store.read_at(old, 0, 100) == body(100)
        assert store.read_at(new, 0, 100) == body(50, 2)
        assert store.usage.used == 150
        await store.close(old)
        assert store.usage.used == 50
        assert store.is_in_use(7)
        await store.close(new)
        assert not store.is_in_use(7)


async def test_discard_leaves_readers_their_bytes_and_no_file(open_store: OpenStore, tmp_path: Path) -> None:
    async with open_store() as store:
        await fill(store, 7, body(100))
        reader = await store.open(7, version(100))
        await store.discard(7)
        assert cache_files(tmp_path) == []
        assert store.held_bytes(7) == 0
        assert store.read_at(reader, 0, 100) == body(100)
        again = await store.open(7, version(100))
        assert again.held_bytes == 0
        await store.close(again)
        await store.close(reader)
        assert store.usage.used == 0


async def test_nobody_loads_a_row_that_is_about_to_go(open_store: OpenStore) -> None:
    async with open_store() as store:
        await fill(store, 7, body(100))
        reader = await store.open(7, version(100))
        opened: list[Content] = []

        async def open_again() -> None:
            opened.append(await store.open(7, version(100)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.discard, 7)
            nursery.start_soon(open_again)
        assert opened[0].held_bytes == 0 or opened[0] is reader
        await store.close(opened[0])
        await store.close(reader)


async def test_least_recently_used_goes_first(open_store: OpenStore) -> None:
    async with open_store(size=100) as store:
        for inode in (1, 2, 3):
            await fill(store, inode, body(30))
            await trio.sleep(0.002)
        content = await store.open(1, version(30))
        await store.close(content)
        await store._maps._save_all()
        await fill(store, 4, body(30))
        assert [store.held_bytes(inode) for inode in (1, 2, 3, 4)] == [30, 0, 30, 30]
        assert store.usage.used <= 100


async def test_a_file_cannot_make_room_for_itself(open_store: OpenStore) -> None:
    async with open_store(size=100) as store:
        content = await store.open(1, version(150))
        await store.write_at(content, 0, body(80))
        await store.close(content)
        with pytest.raises(LocalStorageFull):
            store.check_fits(1, 150)
        store.check_fits(1, 100)


async def test_pinned_and_open_files_stay(open_store: OpenStore) -> None:
    async with open_store(size=100, pinned=frozenset({1})) as store:
        await fill(store, 1, body(40))
        await fill(store, 2, body(40))
        reader = await store.open(2, version(40))
        content = await store.open(3, version(40))
        with pytest.raises(LocalStorageFull):
            await store.admit(content, 40)
        with pytest.raises(LocalStorageFull):
            store.check_fits(3, 40)
        store.check_fits(3, 20)
        await store.close(reader)
        store.check_fits(3, 40)
        await store.admit(content, 40)
        await store.write_at(content, 0, body(40))
        await store.close(content)
        assert [store.held_bytes(inode) for inode in (1, 2, 3)] == [40, 0, 40]


async def test_admissions_are_not_promised_twice(open_store: OpenStore) -> None:
    async with open_store(size=100) as store:
        first = await store.open(1, version(60))
        second = await store.open(2, version(60))
        await store.admit(first, 60)
        with pytest.raises(LocalStorageFull):
            await store.admit(second, 60)
        store.waive(first)
        await store.admit(second, 60)
        await store.close(first)
        await store.close(second)
        assert store._space.reserved == 0


async def test_a_file_larger_than_the_cache_can_be_read_through(
    open_store: OpenStore, tmp_path: Path
) -> None:
    data = body(3 * MIB)
    async with open_store(size=MIB) as store:
        content = await store.open(1, version(len(data)))
        for offset in range(0, len(data), 128 * KIB):
            await store.write_at(content, offset, data[offset : offset + 128 * KIB])
            assert store.read_at(content, offset, 128 * KIB) == data[offset : offset + 128 * KIB]
            assert store.usage.used <= MIB
        (path,) = cache_files(tmp_path)
        assert path.stat().st_blocks * 512 <= MIB + 64 * KIB, "holes were punched"
        for start, stop in content.held:
            assert store.read_at(content, start, stop - start) == data[start:stop]
        await store.close(content)
    async with open_store(size=MIB) as store:
        content = await store.open(1, version(len(data)))
        assert 0 < content.held_bytes <= MIB
        for start, stop in content.held:
            assert store.read_at(content, start, stop - start) == data[start:stop]
        await store.close(content)


async def test_ranges_that_somebody_waits_for_are_not_dropped(open_store: OpenStore) -> None:
    async with open_store(size=100 * KIB) as store:
        content = await store.open(1, version(MIB))
        content.wanted.append((0, 50 * KIB))
        await store.write_at(content, 0, body(50 * KIB))
        await store.write_at(content, 200 * KIB, body(50 * KIB))
        await store.write_at(content, 300 * KIB, body(50 * KIB))
        assert content.holds(0, 50 * KIB)
        assert not content.holds(200 * KIB, 250 * KIB)
        content.wanted.append((300 * KIB, 350 * KIB))
        with pytest.raises(LocalStorageFull):
            await store.write_at(content, 500 * KIB, body(50 * KIB))
        await store.close(content)


async def test_min_free_counts_what_the_disk_says(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = [1000]

    class Disk:
        f_frsize = 1

        @property
        def f_bavail(self) -> int:
            return free[0]

    monkeypatch.setattr("cloudfs.cache.space.os.statvfs", lambda _: Disk())
    async with open_store(min_free=900) as store:
        content = await store.open(1, version(200))
        with pytest.raises(LocalStorageFull):
            await store.admit(content, 200)
        await store.admit(content, 100)
        store.waive(content)
        await store.write_at(content, 0, body(100))
        free[0] = 800  # less than is to stay free
        store.check_fits(1, 100)  # only what lacks of a file needs room
        await store.close(content)


async def test_a_disk_that_counts_as_full_takes_nothing_and_costs_nothing(open_store: OpenStore) -> None:
    """Evicting makes no room on it, so nothing is evicted; what is here, or was admitted, stays."""
    is_full = False
    async with open_store(is_disk_full=lambda: is_full) as store:
        await fill(store, 1, body(100))
        partial, admitted = await store.open(2, version(100)), await store.open(3, version(100))
        await store.write_at(partial, 0, body(50))
        await store.admit(admitted, 100)
        await store.write_at(admitted, 0, body(50))
        is_full = True
        store.check_fits(1, 100)
        with pytest.raises(LocalStorageFull):
            store.check_fits(2, 100)
        with pytest.raises(LocalStorageFull):
            await store.admit(partial, 50)
        for content in (partial, admitted):
            with pytest.raises(LocalStorageFull):
                await store.write_at(content, 50, body(50))
        assert [store.held_bytes(inode) for inode in (1, 2, 3)] == [100, 50, 50]
        is_full = False
        store.check_fits(2, 100)
        for content in (partial, admitted):
            await store.write_at(content, 50, body(50))
            await store.close(content)
        assert [store.held_bytes(inode) for inode in (1, 2, 3)] == [100, 100, 100]


async def test_enospc_evicts_and_tries_again(open_store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    real = writing.write_all
    refusals = 1

    def full(fd: int, data: bytes, offset: int) -> None:
        nonlocal refusals
        if refusals:
            refusals -= 1
            raise OSError(errno.ENOSPC, "No space left on device")
        real(fd, data, offset)

    async with open_store() as store:
        await fill_quietly(store, 1)
        monkeypatch.setattr(writing, "write_all", full)
        await fill(store, 2, body(100))
        assert store.held_bytes(1) == 0
        refusals = 2
        content = await store.open(3, version(100))
        with pytest.raises(LocalStorageFull, match="full"):
            await store.write_at(content, 0, body(100))
        assert content.held_bytes == 0
        await store.write_at(content, 0, body(100))
        await store.close(content)


async def fill_quietly(store: Store, inode: int) -> None:
    content = await store.open(inode, version(100))
    await store.write_at(content, 0, body(100))
    await store.close(content)


async def test_held_bytes_of_many_by_one_read(open_store: OpenStore) -> None:
    async with open_store() as store:
        for inode in range(1, 6):
            await fill(store, inode, body(inode))
        store._held._held.clear()
        store.warm(range(1, 10))
        store._held._rows = None  # type: ignore[assignment]  # no further read
        assert [store.held_bytes(inode) for inode in range(1, 10)] == [1, 2, 3, 4, 5, 0, 0, 0, 0]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["write", "close", "remount", "discard"]),
        st.integers(1, 4),
        st.integers(0, 15),
        st.integers(1, 4),
    ),
    max_size=25,
)


@settings(max_examples=30, deadline=None)
@given(STEPS)
def test_whatever_happens_what_is_held_is_right(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int, int]]
) -> None:
    """Random writes under a cache far too small for the four files, with closes and remounts."""
    block = 4 * KIB
    size = 16 * block
    directory = tmp_path_factory.mktemp("cache")

    async def check(store: Store, inode: int) -> None:
        content = await store.open(inode, version(size))
        for start, stop in content.held:
            assert store.read_at(content, start, stop - start) == body(size, inode)[start:stop]
        await store.close(content)

    async def run() -> None:
        rest = list(steps)
        while True:
            async with running_store(directory, size=20 * block) as store:
                contents = {inode: await store.open(inode, version(size)) for inode in range(1, 5)}
                while rest and rest[0][0] != "remount":
                    verb, inode, place, length = rest.pop(0)
                    start, stop = place * block, min(size, (place + length) * block)
                    if verb == "write":
                        try:
                            await store.write_at(contents[inode], start, body(size, inode)[start:stop])
                        except LocalStorageFull:
                            assert store._space.room() < stop - start
                    else:
                        await store.close(contents[inode])
                        if verb == "discard":
                            await store.discard(inode)
                        contents[inode] = await store.open(inode, version(size))
                    assert store._space.used == sum(content.held_bytes for content in contents.values())
                    assert store._space.used <= 20 * block
                for content in contents.values():
                    await store.close(content)
                for inode in contents:
                    await check(store, inode)
            if not rest:
                return
            rest.pop(0)

    trio.run(run)
