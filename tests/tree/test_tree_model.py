"""The tree against a plain model: random listings, removals, moves, users and remounts.

The model holds what a user can tell: which inode shows under which path, with which version, pin and
attribute. After every step the tree must show just that, from memory and from a second look at the disk.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import Queue
from typing import TypeVar

import hypothesis.strategies as st
import trio
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cloudfs.database.bridge import Database
from cloudfs.events import Topic
from cloudfs.model.entry import FolderListing, RemoteEntry, Version
from cloudfs.model.enums import Kind, Listing, Scope
from cloudfs.model.errors import NotFound
from cloudfs.model.node import Place
from cloudfs.tree.changes import TreeChange
from cloudfs.tree.observation import refined
from cloudfs.tree.tree import ROOT, Tree

T = TypeVar("T")
GALLERY = b"p"


class Loop:
    """A trio loop in a thread, into which rules send their calls."""

    def __init__(self) -> None:
        started: Queue[trio.lowlevel.TrioToken] = Queue()

        async def main() -> None:
            self._end = trio.Event()
            started.put(trio.lowlevel.current_trio_token())
            async with trio.open_nursery() as self.nursery:
                await self._end.wait()
                self.nursery.cancel_scope.cancel()

        self._thread = threading.Thread(target=trio.run, args=(main,))
        self._thread.start()
        self._token = started.get()

    def call(self, function: Callable[..., Awaitable[T]], *args: object) -> T:
        return trio.from_thread.run(function, *args, trio_token=self._token)

    def close(self) -> None:
        trio.from_thread.run_sync(self._end.set, trio_token=self._token)
        self._thread.join()


@dataclass
class Entry:
    """What the model knows of an entry; children by name, None for a file."""

    inode: int
    version: Version
    children: dict[bytes, Entry] | None
    listed: bool = False
    pinned: bool = False
    attribute: bytes | None = None
    media_id: int | None = None


@dataclass
class Open:
    """A file in use: the version that its users read."""

    version: Version
    unlinked: bool = False


@dataclass
class Model:
    root: Entry
    used: dict[int, Open] = field(default_factory=dict)
    ever: set[int] = field(default_factory=lambda: {ROOT})
    media_ids: set[int] = field(default_factory=set)
    # By inode: what follows under the name when the entry is removed (None: a folder).
    successors: dict[int, Version | None] = field(default_factory=dict)

    def all(self) -> list[tuple[bytes, Entry]]:
        """Every linked entry with its path, the root first."""
        found = [(b"", self.root)]
        for path, entry in found:
            for name, child in (entry.children or {}).items():
                found.append((path + b"/" + name if path else name, child))
        return found


names = st.sampled_from([b"a", b"b", GALLERY, b"\xff"])
versions = st.builds(Version, st.sampled_from(['"1"', '"2"']), st.none(), st.sampled_from([1, 2]))
entries = st.dictionaries(names, st.one_of(st.none(), versions), max_size=4)


def remote(name: bytes, version: Version | None) -> RemoteEntry:
    if version is None:
        return RemoteEntry(name, Kind.FOLDER, Version(None, None, 0))
    return RemoteEntry(name, Kind.FILE, version)


class TreeMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = Loop()
        self.directory = tempfile.TemporaryDirectory()
        self.model = Model(Entry(ROOT, Version(None, None, 0), {}))

    @initialize(capacity=st.sampled_from([1, 3, 1000]))
    def mount(self, capacity: int) -> None:
        self.capacity = capacity
        self.loop.call(self._mount)

    async def _mount(self) -> None:
        self.scope = trio.CancelScope()
        self.stopped = trio.Event()
        self.database = Database(Path(self.directory.name, "tree.db"))
        await self.loop.nursery.start(self._run)
        self.tree = Tree(
            self.database,
            Topic[TreeChange](),
            uid=1,
            gid=1,
            gallery=[GALLERY],
            capacity=self.capacity,
        )
        await self.tree.load()

    async def _run(self, task_status: trio.TaskStatus[None]) -> None:
        with self.scope:
            await self.database.run(task_status=task_status)
        self.stopped.set()

    async def _unmount(self) -> None:
        self.scope.cancel()
        await self.stopped.wait()

    def in_use(self, inode: int) -> bool:
        return inode in self.model.used

    def folders(self) -> list[tuple[bytes, Entry]]:
        return [(path, entry) for path, entry in self.model.all() if entry.children is not None]

    def new(self, path: bytes, inode: int, version: Version | None) -> Entry:
        assert inode not in self.model.ever, "an inode came a second time"
        self.model.ever.add(inode)
        entry = Entry(inode, version or Version(None, None, 0), {} if version is None else None)
        self.settle_media(path, entry)
        return entry

    def settle_media(self, path: bytes, entry: Entry) -> None:
        """Takes a new media id from the tree, once, and asserts that it was never given before."""
        for name, child in (entry.children or {}).items():
            self.settle_media(path + b"/" + name, child)
        if entry.children is None:
            if not path.startswith(GALLERY + b"/"):
                entry.media_id = None
            elif entry.media_id is None:
                entry.media_id = self.loop.call(self._media_id, entry.inode)
                assert entry.media_id is not None
                assert entry.media_id not in self.model.media_ids
                self.model.media_ids.add(entry.media_id)

    async def _media_id(self, inode: int) -> int | None:
        return self.tree.node(inode).media_id

    # --- rules ---

    @rule(data=st.data(), listed=entries, remove=st.booleans())
    def observe(self, data: st.DataObject, listed: dict[bytes, Version | None], remove: bool) -> None:
        path, folder = data.draw(st.sampled_from(self.folders()))
        assert folder.children is not None
        listing = FolderListing(
            remote(b"", None), tuple(remote(name, version) for name, version in listed.items())
        )
        seen = self.loop.call(self.tree.observe, folder.inode, listing, self.in_use)
        added = {node.name: node.inode for node in seen.added}
        gone = []
        for name, entry in list(folder.children.items()):
            version = listed.get(name)
            same_kind = name in listed and (version is None) == (entry.children is not None)
            self.model.successors.pop(entry.inode, None)
            if not same_kind:
                gone.append(entry.inode)
                if name in listed:
                    self.model.successors[entry.inode] = version
            elif version is not None and entry.version.is_same_as(version):
                self._refine(entry, refined(entry.version, version))
            elif version is not None:
                self._changed(entry, version, seen.replaced, seen.changed)
        for name in listed.keys() - folder.children.keys():
            folder.children[name] = self.new(join(path, name), added.pop(name), listed[name])
        folder.listed = True
        assert added == {}
        assert sorted(node.inode for node in seen.vanished) == sorted(gone)
        if remove:
            self._remove(gone)

    def _refine(self, entry: Entry, version: Version) -> None:
        """The same content is known by another version."""
        entry.version = version
        if entry.inode in self.model.used:
            self.model.used[entry.inode].version = version

    def _changed(self, entry: Entry, version: Version, replaced: dict[int, int], changed: list[int]) -> None:
        if entry.inode in self.model.used:
            new = replaced[entry.inode]
            assert new not in self.model.ever
            self.model.ever.add(new)
            self.model.used[entry.inode].unlinked = True
            entry.inode = new
        else:
            assert entry.inode in changed
        entry.version = version

    async def _move(self, inode: int, folder: int, name: bytes) -> None:
        """Renamed here, and the cloud has followed."""
        node = self.tree.node(inode)
        assert node.parent is not None
        await self.tree.rename(node.parent, node.name, folder, name)
        await self.tree.record_moved(inode, Place(folder, name))

    async def _inode_of(self, folder: int, name: bytes) -> int:
        node = self.tree.child(folder, name)
        assert node is not None
        return node.inode

    def _remove(self, inodes: list[int]) -> None:
        expected = set()
        following = []
        for path, folder in self.folders():
            assert folder.children is not None
            for name, child in list(folder.children.items()):
                if child.inode in inodes:
                    del folder.children[name]
                    expected |= self._deleted(child)
                    if child.inode in self.model.successors:
                        following.append((path, folder, name, self.model.successors.pop(child.inode)))
        assert set(self.loop.call(self.tree.remove, inodes, self.in_use)) == expected
        for path, folder, name, version in following:
            assert folder.children is not None
            inode = self.loop.call(self._inode_of, folder.inode, name)
            folder.children[name] = self.new(join(path, name), inode, version)

    def _deleted(self, entry: Entry) -> set[int]:
        """The files at or below an entry that go for good; those in use are noted as unlinked."""
        deleted = set()
        for _, below in Model(entry).all():
            if below.inode in self.model.used:
                self.model.used[below.inode].unlinked = True
            elif below.children is None:
                deleted.add(below.inode)
        return deleted

    @precondition(lambda self: len(self.model.all()) > 1)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        _, entry = data.draw(st.sampled_from(self.model.all()[1:]))
        self._remove([entry.inode])

    @rule(data=st.data())
    def use(self, data: st.DataObject) -> None:
        files = [entry for _, entry in self.model.all() if entry.children is None]
        if files:
            entry = data.draw(st.sampled_from(files))
            self.model.used.setdefault(entry.inode, Open(entry.version))

    @precondition(lambda self: self.model.used)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        inode = data.draw(st.sampled_from(sorted(self.model.used)))
        del self.model.used[inode]
        self.loop.call(self.tree.forget_unlinked, inode)

    @precondition(lambda self: len(self.model.all()) > 1)
    @rule(data=st.data(), name=names)
    def move(self, data: st.DataObject, name: bytes) -> None:
        path, entry = data.draw(st.sampled_from(self.model.all()[1:]))
        outside = [(p, f) for p, f in self.folders() if f not in [below for _, below in Model(entry).all()]]
        target_path, target = data.draw(st.sampled_from(outside))
        assert target.children is not None
        if name in target.children:
            return
        if galleries_below(path):
            return
        self.loop.call(self._move, entry.inode, target.inode, name)
        for _, below in Model(entry).all():
            self._refine(below, replace(below.version, etag=None))
        self._take(path)
        self.model.successors.pop(entry.inode, None)
        target.children[name] = entry
        self.settle_media(join(target_path, name), entry)

    @rule(data=st.data())
    def adopt_move(self, data: st.DataObject) -> None:
        files = [(path, entry) for path, entry in self.model.all() if entry.children is None]
        places = [(path, entry) for path, entry in files if entry.inode not in self.model.used]
        if not places or len(files) < 2:
            return
        path, new = data.draw(st.sampled_from(places))
        old_path, old = data.draw(st.sampled_from([(p, e) for p, e in files if e is not new]))
        shown = self.loop.call(self.tree.adopt_move, old.inode, new.inode, self.in_use)
        if old.inode in self.model.used and not old.version.is_same_as(new.version):
            assert shown not in self.model.ever
            assert shown is not None
            self.model.ever.add(shown)
            self.model.used[old.inode].unlinked = True
            self.model.successors.pop(old.inode, None)
            old.inode = shown
        assert shown == old.inode
        if old.version.is_same_as(new.version):
            self._refine(old, refined(old.version, new.version))
        else:
            old.version = new.version
        self._take(old_path)
        for inode in (old.inode, new.inode):
            self.model.successors.pop(inode, None)
        folder = self._folder_of(path)
        folder[path.rpartition(b"/")[2]] = old
        self.settle_media(path, old)

    def _take(self, path: bytes) -> None:
        del self._folder_of(path)[path.rpartition(b"/")[2]]

    def _folder_of(self, path: bytes) -> dict[bytes, Entry]:
        """The children among which the entry of a path is."""
        entry = self.model.root
        for name in path.split(b"/")[:-1]:
            entry = (entry.children or {})[name]
        assert entry.children is not None
        return entry.children

    @rule(data=st.data(), pinned=st.booleans())
    def pin(self, data: st.DataObject, pinned: bool) -> None:
        _, entry = data.draw(st.sampled_from(self.model.all()))
        self.loop.call(self.tree.set_pin, entry.inode, pinned)
        entry.pinned = pinned

    @rule(data=st.data(), value=st.binary(max_size=3))
    def set_attribute(self, data: st.DataObject, value: bytes) -> None:
        _, entry = data.draw(st.sampled_from(self.model.all()))
        self.loop.call(self.tree.set_attribute, entry.inode, b"user.a", value)
        entry.attribute = value

    @rule()
    def remount(self) -> None:
        self.loop.call(self._unmount)
        self.model.used.clear()
        self.model.successors.clear()
        self.loop.call(self._mount)

    # --- what must hold ---

    @invariant()
    def shows_what_the_model_has(self) -> None:
        if hasattr(self, "tree"):
            self.loop.call(self._compare)

    async def _compare(self) -> None:
        effective = {b"": self.model.root.pinned}
        for path, entry in self.model.all():
            node = self.tree.node(entry.inode)
            parent = path.rpartition(b"/")[0]
            effective[path] = entry.pinned or effective[parent]
            assert self.tree.path(entry.inode) == path
            assert self.tree.find(path) == (node, [])
            assert self.tree.is_pinned(entry.inode) == effective[path]
            assert (node.pinned, node.media_id) == (entry.pinned, entry.media_id)
            assert self.tree.attribute(entry.inode, b"user.a") == entry.attribute
            if entry.children is None:
                assert node.version == entry.version
                assert node.size == entry.version.size
            else:
                assert (node.listing is Listing.WHOLE) == entry.listed
                self._compare_children(entry)
        for inode, use in self.model.used.items():
            node = self.tree.node(inode)
            assert node.version == use.version, "a user's version changed under it"
            assert (node.parent is None) == use.unlinked
        self._compare_absent()
        self._compare_folders()

    def _compare_children(self, entry: Entry) -> None:
        assert entry.children is not None
        expected = sorted((child.inode, name) for name, child in entry.children.items())
        paged: list[tuple[int, bytes]] = []
        while page := self.tree.children(entry.inode, paged[-1][0] if paged else 0, 2):
            paged.extend((node.inode, node.name) for node in page)
        assert paged == expected
        assert self.tree.count_children(entry.inode) == len(expected)
        for name in (b"a", b"b", GALLERY, b"\xff"):
            child = self.tree.child(entry.inode, name)
            known = entry.children.get(name)
            assert (child and child.inode) == (known and known.inode)

    def _compare_absent(self) -> None:
        present = {entry.inode for _, entry in self.model.all()} | self.model.used.keys()
        for inode in self.model.ever - present:
            try:
                self.tree.node(inode)
            except NotFound:
                continue
            raise AssertionError(f"{inode} is still there")

    def _compare_folders(self) -> None:
        found = {scope: self.tree.folders(scope) for scope in Scope}
        for path, entry in self.folders():
            in_gallery = path == GALLERY or path.startswith(GALLERY + b"/")
            expected = Scope.GALLERY if in_gallery else Scope.FILES
            assert self.tree.scope(entry.inode) is expected
            assert entry.inode in found[expected]
        assert sum(map(len, found.values())) == len(self.folders())

    def teardown(self) -> None:
        self.loop.close()
        self.directory.cleanup()


def galleries_below(path: bytes) -> bool:
    """Whether a gallery folder lies at a path: what can't be renamed."""
    return path == GALLERY


def join(folder: bytes, name: bytes) -> bytes:
    return folder + b"/" + name if folder else name


TestTree = TreeMachine.TestCase
TestTree.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
