"""One file against a model of its bytes: writes, cuts, fetches, uploads, evictions, and ends of all kinds.

What a content resolves to is what a reader would get in the end: the cache file's bytes where they are held,
the base version's where they are not. It must be what programs wrote, whatever happens.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any, cast

import pytest
import trio
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cloudfs.cache import snapshots
from cloudfs.cache.content import Content
from cloudfs.cache.snapshots import Snapshot
from cloudfs.cache.store import Store
from cloudfs.database.bridge import Database
from cloudfs.events import Topic
from cloudfs.model.entry import FolderListing, RemoteEntry, Version
from cloudfs.model.enums import Kind, Priority
from cloudfs.model.errors import ChangedMeanwhile, NotFound, TryAgain
from cloudfs.model.node import ROOT, Place
from cloudfs.transfers.editing import Editor
from cloudfs.transfers.pool import Transfers
from cloudfs.tree.changes import TreeChange
from cloudfs.tree.tree import Tree

DATABASE = "cloudfs.db"
SURVIVING = "surviving.db"
LARGEST = 120
BLOCK = 16  # of a snapshot's chunks

Step = tuple[str, int, int]


class NoTransfers:
    """Fetches come as steps of the test."""

    def start(self, inode: int, priority: Priority) -> None:
        pass

    def note_edit(self, content: Content) -> None:
        pass


class Upload:
    """A snapshot on its way: what it was to be, and what came of it so far."""

    def __init__(self, snapshot: Snapshot, generation: int, expected: bytes) -> None:
        self.chunks = snapshot.chunks()
        self.generation = generation
        self.expected = expected
        self.sent = b""

    async def go_on(self) -> bool:
        """Send a chunk; whether that was the last."""
        self.sent += await anext(self.chunks, b"")
        assert self.expected.startswith(self.sent), "a mixture of two states"
        return self.sent == self.expected


class Life:
    """The file, its model and the parts that keep it, from one start to the next end."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.boot = 1
        self.inode = 0
        self.bytes = bytearray()  # what programs see
        self.kept = b""  # what was acknowledged last
        self.touched: set[int] = set()  # what was written since
        self.synced = True  # whether that survives power loss, or the cloud has it
        self.survives = False  # whether it is here after power loss
        self.unflushed = False  # whether more than that was written when it ended
        self.versions: dict[str, bytes] = {}  # what the cloud had, by tag
        self.seed = 0

    async def run(self, steps: list[Step]) -> None:
        rest = list(reversed(steps))
        while True:
            async with AsyncExitStack() as stack:
                await self.start(stack)
                while rest:
                    verb, first, second = rest.pop()
                    if verb in ("crash", "power", "rollback"):
                        break
                    await getattr(self, verb)(first, second)
                    self.check()
                else:
                    await self.end(None)
                    return
                await self.end(verb)
            if verb == "rollback":
                self.lose_power()

    # --- starts and ends ---

    async def start(self, stack: AsyncExitStack) -> None:
        nursery = await stack.enter_async_context(trio.open_nursery())
        stack.callback(nursery.cancel_scope.cancel)
        database = Database(self.directory / DATABASE)
        await nursery.start(database.run)
        self.keep_durable_commits(database)
        self.tree = Tree(database, Topic[TreeChange](), uid=0, gid=0, gallery=())
        await self.tree.load()
        self.store = Store(
            self.directory,
            database,
            size=10**6,
            min_free=0,
            is_pinned=lambda inode: False,
            path_of=lambda inode: b"folder/file",
            boot=f"boot-{self.boot}",
        )
        inner = await stack.enter_async_context(trio.open_nursery())
        stack.callback(inner.cancel_scope.cancel)
        await inner.start(self.store.run)
        self.editor = Editor(self.tree, self.store, cast(Transfers, NoTransfers()))
        self.upload_under_way: tuple[Upload, AsyncExitStack] | None = None
        if self.inode and self.has_survived():
            await self.come_back()
        else:
            await self.make()

    def keep_durable_commits(self, database: Database) -> None:
        """Keep a copy of what power loss can't take."""
        commit = database.commit

        async def kept(work: Any, *, durable: bool = False) -> Any:
            result = await commit(work, durable=durable)
            if durable:
                paths = (self.directory / DATABASE, self.directory / SURVIVING)
                source, target = (closing(sqlite3.connect(path)) for path in paths)
                with source as committed, target as copy:
                    committed.backup(copy)
            return result

        database.commit = kept  # type: ignore[method-assign]

    def lose_power(self) -> None:
        """Take all commits back that were not durable. The worst for them: all the files' bytes are there."""
        for name in (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm"):
            (self.directory / name).unlink(missing_ok=True)
        if (self.directory / SURVIVING).exists():
            shutil.copyfile(self.directory / SURVIVING, self.directory / DATABASE)
        self.was_rolled_back = True

    def has_survived(self) -> bool:
        try:
            return self.tree.node(self.inode).parent is not None
        except NotFound:
            assert not self.survives
            return False

    async def make(self) -> None:
        self.bytes, self.kept, self.synced, self.was_rolled_back = bytearray(), b"", True, False
        self.touched.clear()
        root = RemoteEntry(b"", Kind.FOLDER, Version(None, None, 0))
        await self.tree.observe(ROOT, FolderListing(root, ()), lambda inode: False)
        self.inode = (await self.tree.create(ROOT, b"file", 0o644, 0, 0)).inode
        self.content = self.store.create(self.inode)

    async def come_back(self) -> None:
        """After an end: what was acknowledged is there, and nothing that was cut off."""
        unsafe = self.inode in self.store.unsafe
        self.content = await self.store.open(self.inode, self.tree.node(self.inode).version)
        found = self.resolved()
        assert self.tree.node(self.inode).size == self.content.size
        if self.was_rolled_back:
            self.check_rolled_back(found, unsafe)
        elif self.unflushed:
            self.check_torn(found)
        else:
            assert found == self.kept
            assert not (unsafe and self.synced)
        self.bytes, self.touched, self.kept = bytearray(found), set(), found
        self.unflushed = self.was_rolled_back = False

    def check_rolled_back(self, found: bytes, unsafe: bool) -> None:
        if self.survives and not self.unflushed:
            assert found == self.kept
            assert not unsafe
        version = self.content.version
        if not self.content.is_dirty and version is not None:
            assert found == self.versions[version.etag or ""], "other bytes pass for the cloud's"

    async def end(self, verb: str | None) -> None:
        self.unflushed = self.content.unflushed
        if verb is None:
            await self.fail(0, 0)
            await self.store.close(self.content)
            return
        if self.upload_under_way is not None:
            await self.upload_under_way[1].aclose()
        # The process ends here: nothing more is committed, and its descriptors go.
        self.store._maps._unsaved.clear()
        self.store._maps._uses.clear()
        for content in self.store._contents.values():
            if content.fd is not None:
                os.close(content.fd)
        self.boot += verb != "crash"

    # --- what is looked at ---

    def resolved(self) -> bytes:
        """What the content is once what lacks has come."""
        content = self.content
        version = content.version
        base = b"" if version is None or version.etag is None else self.versions[version.etag]
        found = bytearray()
        for byte in range(content.size):
            held = content.holds(byte, byte + 1)
            found += self.store.read_at(content, byte, 1) if held else base[byte : byte + 1]
        assert len(found) == content.size, "a gap lies beyond the base"
        return bytes(found)

    def check(self) -> None:
        content = self.content
        assert self.resolved() == bytes(self.bytes)
        assert self.store.usage.used == content.held_bytes
        if content.fd is not None and content.is_dirty:
            assert os.fstat(content.fd).st_size == content.size
        node = self.tree.node(self.inode)
        assert node.is_modified or not content.is_dirty, "the tree would never send it"
        written = self.store.written(self.inode)
        assert (node.size if written is None else written[0]) == len(self.bytes)

    def check_torn(self, found: bytes) -> None:
        """After an end without flush: untouched bytes are as acknowledged, new ones are as written or not."""
        for at, byte in enumerate(found):
            if at < len(self.kept) and at not in self.touched:
                assert byte == self.kept[at]
            elif at >= len(self.kept):
                assert byte in (0, self.bytes[at] if at < len(self.bytes) else 0), "old bytes came back"

    def acknowledged(self) -> None:
        self.kept = bytes(self.bytes)
        self.touched.clear()

    # --- steps ---

    async def write(self, offset: int, count: int) -> None:
        self.seed += 1
        data = bytes((self.seed * 7 + i) % 255 + 1 for i in range(count))
        if not data:
            return
        await self.editor.write(self.content, offset, data)
        if offset > len(self.bytes):
            self.bytes.extend(bytes(offset - len(self.bytes)))
        self.bytes[offset : offset + count] = data
        self.touched.update(range(offset, offset + count))
        self.synced = self.survives = False

    async def truncate(self, size: int, _: int) -> None:
        if size == len(self.bytes):
            return
        await self.editor.truncate(self.content, size)
        del self.bytes[size:]
        self.bytes.extend(bytes(size - len(self.bytes)))
        self.acknowledged()
        self.synced = self.survives = False

    async def flush(self, _: int, __: int) -> None:
        await self.editor.flush(self.content)
        self.acknowledged()

    async def sync(self, _: int, __: int) -> None:
        await self.editor.sync(self.content)
        self.acknowledged()
        self.synced = self.survives = True

    async def fetch(self, start: int, count: int) -> None:
        """The cloud's bytes arrive, as a flight that was under way for long brings them."""
        version = self.content.version
        if version is not None and version.etag is not None:
            data = self.versions[version.etag][start : start + count]
            await self.store.write_at(self.content, start, data)

    async def save(self, _: int, __: int) -> None:
        """Half a second went by."""
        await self.store._maps._save_all()

    async def settle(self, _: int, __: int) -> None:
        """A transfer came to its end."""
        await self.store.settle(self.content)

    async def upload(self, flush_first: int, _: int) -> None:
        if self.upload_under_way is not None or not self.tree.node(self.inode).is_modified:
            return
        if flush_first % 2:
            await self.flush(0, 0)
        stack = AsyncExitStack()
        generation = self.tree.node(self.inode).generation
        try:
            snapshot = await stack.enter_async_context(self.store.snapshot(self.content))
        except TryAgain:
            assert self.content.unflushed or not self.content.is_whole
            return
        self.upload_under_way = Upload(snapshot, generation, bytes(self.bytes)), stack

    async def chunk(self, _: int, __: int) -> None:
        """A piece goes up; after the last one the cloud answers, and that is recorded."""
        if self.upload_under_way is None:
            return
        upload, stack = self.upload_under_way
        try:
            is_done = await upload.go_on()
        except ChangedMeanwhile:
            await self.fail(0, 0)
            return
        if not is_done:
            return
        self.upload_under_way = None
        await stack.aclose()
        version = Version(f'"{len(self.versions)}"', None, len(upload.sent))
        self.versions[version.etag or ""] = upload.sent
        also = self.store.uploaded_row(self.content, version, upload.generation)
        place = Place(ROOT, b"file")
        await self.tree.record_uploaded(self.inode, upload.generation, version, place, also)
        node = self.tree.node(self.inode)
        self.store.note_uploaded(self.content, version, node.generation == node.sent)
        assert node.version == version
        if not self.content.is_dirty:
            self.synced = True  # the cloud has it
            assert upload.sent == bytes(self.bytes)

    async def fail(self, _: int, __: int) -> None:
        if self.upload_under_way is not None:
            await self.upload_under_way[1].aclose()
            self.upload_under_way = None

    async def discard(self, _: int, __: int) -> None:
        """The cache is cleaned, or another file takes the room."""
        if self.upload_under_way is not None:
            return
        await self.reopen(0, 0, discard=True)

    async def reopen(self, _: int, __: int, *, discard: bool = False) -> None:
        if self.upload_under_way is not None:
            return
        await self.editor.flush(self.content)
        self.acknowledged()
        await self.store.close(self.content)
        if discard:
            is_dirty = self.store.is_dirty(self.inode)
            try:
                await self.store.discard(self.inode)
                assert not is_dirty
            except TryAgain:
                assert is_dirty
            await self.store._eviction.free(10**6)
        self.content = await self.store.open(self.inode, self.tree.node(self.inode).version)


VERBS = (
    *("write", "write", "write", "truncate", "flush", "sync", "fetch", "fetch", "save", "settle"),
    *("upload", "chunk", "chunk", "fail", "discard", "reopen", "crash", "power", "rollback"),
)
STEPS = st.lists(st.tuples(st.sampled_from(VERBS), st.integers(0, LARGEST), st.integers(0, 40)), max_size=40)


@pytest.mark.parametrize("is_live", [False, True], ids=["kept aside", "live"])
@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
@example(
    steps=[
        *(("write", 0, 40), ("flush", 0, 0), ("upload", 0, 0), *[("chunk", 0, 0)] * 4, ("discard", 0, 0)),
        *(("fetch", 0, 5), ("write", 20, 5), ("truncate", 30, 0), ("truncate", 60, 0), ("fetch", 0, 40)),
        *(("crash", 0, 0), ("fetch", 0, 40), ("upload", 0, 0), *[("chunk", 0, 0)] * 5, ("power", 0, 0)),
    ]
)
@example(
    steps=[
        *(("write", 0, 40), ("flush", 0, 0), ("upload", 0, 0), *[("chunk", 0, 0)] * 4, ("discard", 0, 0)),
        *(("write", 20, 5), ("sync", 0, 0), ("fetch", 0, 10), ("save", 0, 0), ("power", 0, 0)),
    ]
)
@example(
    steps=[
        *(("write", 0, 40), ("flush", 0, 0), ("upload", 0, 0), *[("chunk", 0, 0)] * 4, ("discard", 0, 0)),
        *(("write", 20, 5), ("sync", 0, 0), ("write", 30, 5), ("sync", 0, 0), ("rollback", 0, 0)),
        *(("write", 0, 2), ("flush", 0, 0), ("fetch", 0, 40), ("rollback", 0, 0)),
    ]
)
@example(
    steps=[
        *(("write", 0, 40), ("flush", 0, 0), ("upload", 0, 0), *[("chunk", 0, 0)] * 4, ("settle", 0, 0)),
        *(("write", 10, 5), ("rollback", 0, 0), ("fetch", 0, 40)),
    ]
)
@example(
    steps=[
        *(("write", 0, 40), ("flush", 0, 0), ("upload", 0, 0), ("chunk", 0, 0), ("write", 20, 10)),
        *(*[("chunk", 0, 0)] * 4, ("flush", 0, 0), ("upload", 0, 0), *[("chunk", 0, 0)] * 4),
    ]
)
def test_what_programs_wrote_is_what_there_is(
    tmp_path_factory: pytest.TempPathFactory, is_live: bool, steps: list[Step]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshots, "CHUNK", BLOCK)
        if is_live:
            patch.setattr(snapshots, "_IN_MEMORY", 0)
            patch.setattr(snapshots, "_COPIED", 0)
        trio.run(Life(tmp_path_factory.mktemp("cache")).run, steps)
