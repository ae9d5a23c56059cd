"""Local changes against a plain model: the tree that programs see, and the one that the cloud has.

The model says who is where here, what the cloud has and whose it is. After every step the tree must show
just that: who is moved, removed or unsent, under which path in the cloud, and who took over whom; from
memory as from the disk. Answers of the cloud come in any order, listings in between.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import hypothesis.strategies as st
import trio
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from cloudfs.database.bridge import Database
from cloudfs.database.intents import Intent
from cloudfs.events import Topic
from cloudfs.model.entry import FolderListing, RemoteEntry, Version
from cloudfs.model.enums import Kind, Listing, Scope
from cloudfs.model.errors import CloudfsError, NotEmpty, NotFound
from cloudfs.model.node import ROOT, Place
from cloudfs.tree.changes import TreeChange
from cloudfs.tree.tree import Tree
from tests.tree.conftest import also_nothing
from tests.tree.test_tree_model import Loop, join

FOLDER = Version(None, None, 0)


@dataclass(eq=False)
class Remote:
    """What the cloud has. owner: the inode that stands for it here, linked or a tombstone."""

    owner: int
    version: Version
    children: dict[bytes, Remote] | None

    @property
    def kind(self) -> Kind:
        return Kind.FILE if self.children is None else Kind.FOLDER

    def below(self, path: bytes = b"") -> Iterator[tuple[bytes, Remote]]:
        yield path, self
        for name, child in (self.children or {}).items():
            yield from child.below(join(path, name))


@dataclass(eq=False)
class Local:
    """What programs see."""

    inode: int
    children: dict[bytes, Local] | None
    remote: Remote | None = None
    generation: int = 1
    sent: int = 0
    listed: bool = True

    @property
    def kind(self) -> Kind:
        return Kind.FILE if self.children is None else Kind.FOLDER

    @property
    def is_modified(self) -> bool:
        return self.children is None and self.generation > self.sent

    def below(self, path: bytes = b"") -> Iterator[tuple[bytes, Local]]:
        yield path, self
        for name, child in (self.children or {}).items():
            yield from child.below(join(path, name))


@dataclass(eq=False)
class Pending:
    """An upload that the cloud has not answered."""

    folder: Remote
    name: bytes
    generation: int


@dataclass(eq=False)
class Model:
    root: Local
    pending: dict[int, Pending] = field(default_factory=dict)
    # What was removed while its first upload was under way.
    ghosts: set[int] = field(default_factory=set)
    # Changes of what was removed: a tombstone's generation and the one sent.
    counts: dict[int, tuple[int, int]] = field(default_factory=dict)
    held: set[int] = field(default_factory=set)
    gone: set[int] = field(default_factory=set)

    @property
    def cloud(self) -> Remote:
        assert self.root.remote is not None
        return self.root.remote

    def locals(self) -> list[tuple[bytes, Local]]:
        return list(self.root.below())

    def linked(self) -> dict[int, Local]:
        return {local.inode: local for _, local in self.root.below()}

    def folders(self) -> list[Local]:
        return [local for _, local in self.root.below() if local.children is not None]

    def places(self) -> list[tuple[Local, bytes, Local]]:
        """(folder, name, entry) of everything but the root."""
        return [(f, name, child) for f in self.folders() for name, child in (f.children or {}).items()]

    def remote_places(self) -> dict[Remote, tuple[Remote, bytes]]:
        return {
            child: (remote, name)
            for _, remote in self.cloud.below()
            for name, child in (remote.children or {}).items()
        }

    def is_asked(self, inode: int) -> bool:
        return inode in self.pending or any(p.folder.owner == inode for p in self.pending.values())

    def take_away(self, local: Local) -> None:
        """It lost its name here."""
        if local.remote is not None:
            self.counts[local.inode] = (local.generation, local.sent)
        elif local.inode in self.pending:
            self.ghosts.add(local.inode)
            self.counts[local.inode] = (local.generation, local.sent)
        else:
            self.gone.add(local.inode)

    def settle(self) -> None:
        """Whatever stands for a tombstone takes it over, until nobody does any more."""
        while any(self._take_over(*place) for place in self.places()):
            pass

    def _take_over(self, folder: Local, name: bytes, local: Local) -> bool:
        if local.remote is not None or folder.remote is None:
            return False
        remote = (folder.remote.children or {}).get(name)
        if remote is None or remote.owner in self.linked() or remote.kind is not local.kind:
            return False
        if self.is_asked(local.inode) or self.is_asked(remote.owner):
            return False
        self.gone.add(remote.owner)
        remote.owner, local.remote = local.inode, remote
        return True


names = st.sampled_from([b"a", b"b", b"c"])
etags = st.sampled_from(['"1"', '"2"', '"3"'])


class LocalMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = Loop()
        self.directory = tempfile.TemporaryDirectory()
        self.model = Model(Local(ROOT, {}, Remote(ROOT, FOLDER, {}), generation=0))

    @initialize(capacity=st.sampled_from([2, 1000]))
    def mount(self, capacity: int) -> None:
        self.capacity = capacity
        self.loop.call(self._mount)

    async def _mount(self) -> None:
        self.scope = trio.CancelScope()
        self.stopped = trio.Event()
        self.database = Database(Path(self.directory.name, "tree.db"))
        await self.loop.nursery.start(self._run)
        topic = Topic[TreeChange]()
        self.tree = Tree(self.database, topic, uid=1, gid=1, gallery=[], capacity=self.capacity)
        await self.tree.load()
        await self.tree.observe(ROOT, self._listing(self.model.cloud), lambda _: False)

    async def _run(self, task_status: trio.TaskStatus[None]) -> None:
        with self.scope:
            await self.database.run(task_status=task_status)
        self.stopped.set()

    async def _unmount(self) -> None:
        self.scope.cancel()
        await self.stopped.wait()

    def _listing(self, remote: Remote, extra: tuple[RemoteEntry, ...] = ()) -> FolderListing:
        children = (remote.children or {}).items()
        entries = [RemoteEntry(name, child.kind, child.version) for name, child in children]
        return FolderListing(RemoteEntry(b"", Kind.FOLDER, FOLDER), (*entries, *extra))

    def _pick(self, data: st.DataObject, items: list[Local]) -> Local | None:
        return data.draw(st.sampled_from(items)) if items else None

    # --- what programs do ---

    @rule(data=st.data(), name=names, is_folder=st.booleans())
    def create(self, data: st.DataObject, name: bytes, is_folder: bool) -> None:
        folder = data.draw(st.sampled_from(self.model.folders()))
        assert folder.children is not None
        if name in folder.children:
            return
        make = self.tree.make_folder if is_folder else self.tree.create
        node = self.loop.call(make, folder.inode, name, 0o700, 1, 1)
        generation = 0 if is_folder else 1
        folder.children[name] = Local(node.inode, {} if is_folder else None, generation=generation)
        self.model.settle()

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        if not self.model.places():
            return
        folder, name, local = data.draw(st.sampled_from(self.model.places()))
        assert folder.children is not None
        remove = self.tree.unlink if local.children is None else self.tree.remove_folder
        if local.children or not local.listed:
            self.refused(NotEmpty, remove, folder.inode, name)
            return
        self.loop.call(remove, folder.inode, name)
        del folder.children[name]
        self.model.take_away(local)
        self.model.settle()

    def refused(self, error: type[CloudfsError], call: object, *args: object) -> None:
        try:
            self.loop.call(call, *args)  # type: ignore[arg-type]
        except error:
            return
        raise AssertionError(f"{call} was not refused")

    @rule(data=st.data(), name=names)
    def rename(self, data: st.DataObject, name: bytes) -> None:
        if not self.model.places():
            return
        source, old_name, local = data.draw(st.sampled_from(self.model.places()))
        within = {id(below) for _, below in local.below()}
        folders = [folder for folder in self.model.folders() if id(folder) not in within]
        target = data.draw(st.sampled_from(folders))
        assert source.children is not None
        assert target.children is not None
        other = target.children.get(name)
        args = (source.inode, old_name, target.inode, name)
        if other is not None and other is not local:
            if other.kind is not local.kind or other.children or not other.listed:
                self.refused(CloudfsError, self.tree.rename, *args)
                return
            self.model.take_away(other)
        replaced = self.loop.call(self.tree.rename, *args)
        assert (replaced and replaced.inode) == (other.inode if other and other is not local else None)
        del source.children[old_name]
        target.children[name] = local
        self.model.settle()

    @rule(data=st.data())
    def exchange(self, data: st.DataObject) -> None:
        places = self.model.places()
        if len(places) < 2:
            return
        one, other = data.draw(st.permutations(range(len(places))))[:2]
        (f1, n1, l1), (f2, n2, l2) = places[one], places[other]
        if l1 in [below for _, below in l2.below()] or l2 in [below for _, below in l1.below()]:
            self.refused(CloudfsError, self.tree.exchange, f1.inode, n1, f2.inode, n2)
            return
        self.loop.call(self.tree.exchange, f1.inode, n1, f2.inode, n2)
        assert f1.children is not None
        assert f2.children is not None
        f1.children[n1], f2.children[n2] = l2, l1
        self.model.settle()

    @rule(data=st.data())
    def modify(self, data: st.DataObject) -> None:
        local = self._pick(data, [entry for _, entry in self.model.locals() if entry.children is None])
        if local is not None:
            self.loop.call(self.tree.mark_modified, local.inode, also_nothing)
            local.generation += 1

    @rule(data=st.data())
    def hold(self, data: st.DataObject) -> None:
        local = data.draw(st.sampled_from([entry for _, entry in self.model.locals()]))
        if local.inode not in self.model.held:
            self.tree.hold(local.inode)
            self.model.held.add(local.inode)

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        if self.model.held:
            inode = data.draw(st.sampled_from(sorted(self.model.held)))
            self.model.held.discard(inode)
            self.tree.release(inode, 1)
            self.loop.call(self.tree.forget_unlinked, inode)

    @rule()
    def remount(self) -> None:
        self.loop.call(self._unmount)
        self.model.held.clear()
        self.loop.call(self._mount)

    # --- what the cloud answers ---

    def _awaits(self, folder: Remote | None, name: bytes) -> bool:
        return any(p.folder is folder and p.name == name for p in self.model.pending.values())

    def _is_free(self, folder: Remote | None, name: bytes) -> bool:
        """Whether the cloud can take something new there."""
        return folder is not None and name not in (folder.children or {}) and not self._awaits(folder, name)

    @rule(data=st.data())
    def begin_upload(self, data: st.DataObject) -> None:
        where = self.model.remote_places()
        ready: list[tuple[Local, Remote, bytes]] = []
        for folder, name, local in self.model.places():
            if not local.is_modified or local.inode in self.model.pending:
                continue
            if local.remote is not None:
                ready.append((local, *where[local.remote]))
            elif folder.remote is not None and self._is_free(folder.remote, name):
                ready.append((local, folder.remote, name))
        if not ready:
            return
        local, remote, name = data.draw(st.sampled_from(ready))
        place = Place(remote.owner, name)
        self.loop.call(
            self.tree.begin_intent, Intent(local.inode, "put", place, local.generation, 0, b"", None)
        )
        self.model.pending[local.inode] = Pending(remote, name, local.generation)

    @rule(data=st.data(), came=st.booleans(), etag=etags)
    def answer_upload(self, data: st.DataObject, came: bool, etag: str) -> None:
        if not self.model.pending:
            return
        inode = data.draw(st.sampled_from(sorted(self.model.pending)))
        pending = self.model.pending.pop(inode)
        if came:
            self._uploaded(inode, pending, Version(etag, None, 0))
        else:
            self.loop.call(self.tree.end_intent, inode)
            if inode in self.model.ghosts:
                self.model.ghosts.discard(inode)
                self.model.gone.add(inode)
        self.model.settle()

    def _uploaded(self, inode: int, pending: Pending, version: Version) -> None:
        place = Place(pending.folder.owner, pending.name)
        self.loop.call(self.tree.record_uploaded, inode, pending.generation, version, place, also_nothing)
        assert pending.folder.children is not None
        remote = pending.folder.children.setdefault(pending.name, Remote(inode, version, None))
        remote.version = version
        assert remote.owner == inode
        local = self.model.linked().get(inode)
        if local is not None:
            local.remote, local.sent = remote, pending.generation
        else:
            self.model.ghosts.discard(inode)
            generation, _ = self.model.counts[inode]
            self.model.counts[inode] = (generation, pending.generation)

    @rule(data=st.data())
    def make_remote_folder(self, data: st.DataObject) -> None:
        ready = [
            (folder, name, local)
            for folder, name, local in self.model.places()
            if local.children is not None and local.remote is None and self._is_free(folder.remote, name)
        ]
        if ready:
            folder, name, local = data.draw(st.sampled_from(ready))
            assert folder.remote is not None
            assert folder.remote.children is not None
            self.loop.call(self.tree.record_made, local.inode, Place(folder.inode, name))
            local.remote = folder.remote.children[name] = Remote(local.inode, FOLDER, {})
            self.model.settle()

    def _movable(self) -> Iterator[tuple[Local, Remote, bytes, Remote | None]]:
        """(entry, its folder's remote, name, the tombstone that it replaces there)."""
        where = self.model.remote_places()
        for folder, name, local in self.model.places():
            remote, into = local.remote, folder.remote
            if remote is None or into is None or where[remote] == (into, name):
                continue
            if local.inode in self.model.pending or self._awaits(into, name):
                continue
            if into in [below for _, below in remote.below()]:
                continue
            there = (into.children or {}).get(name)
            if there is None:
                yield local, into, name, None
            elif not (
                there.owner in self.model.linked() or there.children or self.model.is_asked(there.owner)
            ):
                yield local, into, name, there

    @rule(data=st.data())
    def move_remote(self, data: st.DataObject) -> None:
        ready = list(self._movable())
        if not ready:
            return
        local, into, name, replaced = data.draw(st.sampled_from(ready))
        assert local.remote is not None
        assert into.children is not None
        self.loop.call(self.tree.record_moved, local.inode, Place(into.owner, name))
        folder, old_name = self.model.remote_places()[local.remote]
        assert folder.children is not None
        del folder.children[old_name]
        if replaced is not None:
            self.model.gone.add(replaced.owner)
        into.children[name] = local.remote
        for _, below in local.remote.below():
            below.version = replace(below.version, etag=None)
        self.model.settle()

    def _tombstones(self) -> list[tuple[Remote, bytes, Remote]]:
        linked = self.model.linked()
        return [
            (folder, name, remote)
            for remote, (folder, name) in self.model.remote_places().items()
            if remote.owner not in linked
        ]

    @rule(data=st.data(), is_ours=st.booleans())
    def delete_remote(self, data: st.DataObject, is_ours: bool) -> None:
        """A tombstone's place is empty now: by our delete, or because somebody else was first."""
        ready = [
            place
            for place in self._tombstones()
            if not place[2].children and not self.model.is_asked(place[2].owner)
        ]
        if ready:
            folder, name, remote = data.draw(st.sampled_from(ready))
            assert folder.children is not None
            self.loop.call(self.tree.record_deleted if is_ours else self.tree.bury, remote.owner)
            del folder.children[name]
            self.model.gone.add(remote.owner)
            self.model.settle()

    @rule(data=st.data())
    def detach(self, data: st.DataObject) -> None:
        """The cloud lost a file that lives on here."""
        ready = [
            local
            for _, local in self.model.locals()
            if local.children is None and local.remote and local.inode not in self.model.pending
        ]
        local = self._pick(data, ready)
        if local is not None and local.remote is not None:
            self.loop.call(self.tree.detach, local.inode)
            folder, name = self.model.remote_places()[local.remote]
            assert folder.children is not None
            del folder.children[name]
            local.remote, local.sent = None, 0
            local.generation = max(local.generation, 1)
            self.model.settle()

    @rule(data=st.data())
    def restore(self, data: st.DataObject) -> None:
        ready = [place for place in self._tombstones() if not self.model.is_asked(place[2].owner)]
        if not ready:
            return
        folder, name, remote = data.draw(st.sampled_from(ready))
        parent = self.model.linked().get(folder.owner)
        can_be = parent is not None and name not in (parent.children or {})
        old = remote.owner
        assert self.loop.call(self.tree.restore, old, None) is can_be
        if not can_be or parent is None or parent.children is None:
            return
        generation, sent = self.model.counts[old]
        inode = self.loop.call(self._inode, parent.inode, name)
        if remote.kind is Kind.FOLDER or (generation == sent and old not in self.model.held):
            assert inode == old
        else:
            assert inode != old
            self.model.gone.add(old)
            generation = sent = 0
        remote.owner = inode
        is_file = remote.kind is Kind.FILE
        parent.children[name] = Local(
            inode, None if is_file else {}, remote, generation, sent, listed=is_file
        )
        self.model.settle()

    async def _inode(self, folder: int, name: bytes) -> int:
        node = self.tree.child(folder, name)
        assert node is not None
        return node.inode

    # --- what the cloud shows ---

    @rule(data=st.data(), etag=etags, new=st.dictionaries(names, st.sampled_from(Kind), max_size=2))
    def observe(self, data: st.DataObject, etag: str, new: dict[bytes, Kind]) -> None:
        """A listing with files changed there, and with new names."""
        folders = [folder for folder in self.model.folders() if folder.remote is not None]
        folder = data.draw(st.sampled_from(folders))
        remote = folder.remote
        assert remote is not None
        assert remote.children is not None
        assert folder.children is not None
        linked = self.model.linked()
        stale = []
        for child in remote.children.values():
            local = linked.get(child.owner)
            if (
                local
                and local.children is None
                and not local.is_modified
                and local.inode not in self.model.held
                and local.inode not in self.model.pending
            ):
                if child.version.etag not in (None, etag):
                    stale.append(local.inode)
                child.version = Version(etag, None, 0)
        added = {
            name: kind
            for name, kind in new.items()
            if name not in remote.children and name not in folder.children and not self._awaits(remote, name)
        }
        clash = {
            name: kind
            for name, kind in new.items()
            if name not in remote.children
            and name in folder.children
            and folder.children[name].inode not in self.model.pending
            and not self._awaits(remote, name)
        }
        extra = [
            RemoteEntry(name, kind, FOLDER if kind is Kind.FOLDER else Version('"new"', None, 0))
            for name, kind in (added | clash).items()
        ]
        seen = self.loop.call(
            self.tree.observe, folder.inode, self._listing(remote, tuple(extra)), self._is_held
        )
        folder.listed = True
        assert sorted(seen.changed) == sorted(stale)
        assert (seen.vanished, seen.replaced) == ([], {})
        self._added(folder, remote, {node.name: node.inode for node in seen.added}, added)
        met = []
        contested = []
        for name, kind in clash.items():
            local = folder.children[name]
            if local.remote is None and local.kind is kind is Kind.FOLDER:
                local.remote = remote.children[name] = Remote(local.inode, FOLDER, {})
                local.listed = False
                met.append(local.inode)
            else:
                contested.append((local.inode, name))
        assert sorted(seen.met) == sorted(met)
        assert sorted((node.inode, entry.name) for node, entry in seen.contested) == sorted(contested)
        self.model.settle()

    def _added(self, folder: Local, remote: Remote, seen: dict[bytes, int], added: dict[bytes, Kind]) -> None:
        assert seen.keys() == added.keys()
        assert remote.children is not None
        assert folder.children is not None
        for name, inode in seen.items():
            is_file = added[name] is Kind.FILE
            version = Version('"new"', None, 0) if is_file else FOLDER
            remote.children[name] = Remote(inode, version, None if is_file else {})
            folder.children[name] = Local(
                inode, None if is_file else {}, remote.children[name], 0, 0, listed=is_file
            )

    def _is_held(self, inode: int) -> bool:
        return inode in self.model.held

    # --- what must hold ---

    @invariant()
    def shows_what_the_model_has(self) -> None:
        if hasattr(self, "tree"):
            self.loop.call(self._compare)

    async def _compare(self) -> None:
        where = self.model.remote_places()
        changed = set(self.model.pending) | self.model.ghosts
        for path, local in self.model.locals():
            node = self.tree.node(local.inode)
            assert self.tree.path(local.inode) == path
            assert node.kind is local.kind
            if local.children is not None:
                listed = {child.name: child.inode for child in self.tree.children(local.inode, 0, 99)}
                assert listed == {name: child.inode for name, child in local.children.items()}
                assert local.inode == ROOT or (node.listing is Listing.WHOLE) == local.listed
            if local.inode == ROOT:
                continue
            assert node.is_modified == local.is_modified
            assert (node.generation, node.sent) == (local.generation, local.sent)
            assert (node.version is None) == (local.remote is None)
            self._compare_place(local, where)
            if node.is_changed:
                changed.add(local.inode)
        for folder, name, remote in self._tombstones():
            node = self.tree.node(remote.owner)
            assert (node.parent, node.home) == (None, Place(folder.owner, name))
            assert node.version is not None
            changed.add(remote.owner)
        self._compare_changes(changed)
        self._compare_gone()
        self._compare_with_disk()

    def _compare_place(self, local: Local, where: dict[Remote, tuple[Remote, bytes]]) -> None:
        """What the cloud has of an entry, and where, if not where it lies here."""
        node = self.tree.node(local.inode)
        if local.remote is None:
            assert node.home is None
            return
        folder, name = where[local.remote]
        place = Place(folder.owner, name)
        assert node.cloud_place == place
        assert (node.home is None) == (place == (node.parent, node.name))
        if local.children is None:
            assert node.version == local.remote.version

    def _compare_changes(self, changed: set[int]) -> None:
        for inode in self.model.ghosts:
            node = self.tree.node(inode)
            assert (node.is_removed, node.version) == (True, None)
        paths = {remote.owner: path for path, remote in self.model.cloud.below()}
        assert {inode: self.tree.remote_path(inode) for inode in paths} == paths
        assert {node.inode for node in self.tree.changes(Scope.FILES)} == changed
        assert {intent.inode for intent in self.tree.intents()} == self.model.pending.keys()
        lacking = [inode for inode in changed if self.tree.node(inode).is_changed]
        assert self.tree.count_changes() == len(lacking)

    def _compare_gone(self) -> None:
        for inode in self.model.gone:
            try:
                node = self.tree.node(inode)
            except NotFound:
                continue
            assert inode in self.model.held, f"{inode} is still there"
            assert (node.parent, node.home) == (None, None)

    def _compare_with_disk(self) -> None:
        for (inode,) in self.database.read("SELECT inode FROM entries"):
            assert self.tree.node(inode) == self.tree._entries.load(inode)

    def teardown(self) -> None:
        self.loop.close()
        self.directory.cleanup()


TestLocalTree = LocalMachine.TestCase
TestLocalTree.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
