"""The index against plain dicts: consistent under any order of changes, and bounded."""

from __future__ import annotations

from dataclasses import replace

import hypothesis.strategies as st
from hypothesis import given
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cloudfs.model.enums import Kind, Listing
from cloudfs.model.node import Node
from cloudfs.tree.index import Index, page_after

CAPACITY = 6
LISTED = 8


def node(inode: int, parent: int | None = 1, name: bytes | None = None, size: int = 0) -> Node:
    name = b"%d" % inode if name is None else name
    return Node(
        inode,
        parent,
        name,
        Kind.FILE,
        size,
        0,
        0,
        0o644,
        0,
        0,
        None,
        None,
        Listing.NEVER,
        False,
        None,
        None,
        None,
    )


inodes = st.integers(2, 12)
parents = st.sampled_from([None, 1, 2, 3])
names = st.sampled_from([b"a", b"b", b"c"])
folders = st.integers(1, 4)


class IndexMachine(RuleBasedStateMachine):
    """`truth` is what the tree would have in its database: the index may know less, never otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.index = Index(CAPACITY, LISTED)
        self.truth: dict[int, Node] = {}
        self.listings: dict[int, list[int]] = {}

    @rule(inode=inodes, parent=parents, name=names, size=st.integers(0, 3))
    def put(self, inode: int, parent: int | None, name: bytes, size: int) -> None:
        for other in list(self.truth.values()):
            if parent is not None and (other.parent, other.name) == (parent, name):
                del self.truth[other.inode]
        self.truth[inode] = node(inode, parent, name, size)
        self.index.put(self.truth[inode])

    @rule(inode=inodes)
    def drop(self, inode: int) -> None:
        self.index.drop(inode)
        self.truth.pop(inode, None)

    @rule(inode=inodes)
    def look(self, inode: int) -> None:
        found = self.index.node(inode)
        assert found is None or found == self.truth[inode]

    @rule(folder=folders, children=st.sets(inodes))
    def put_listing(self, folder: int, children: set[int]) -> None:
        self.index.put_listing(folder, sorted(children))
        self.listings[folder] = sorted(children)
        found = self.index.listing(folder)
        assert found is not None, "the one used last stays"
        assert list(found) == sorted(children)

    @rule(folder=folders)
    def drop_listing(self, folder: int) -> None:
        self.index.drop_listing(folder)

    @rule(folder=folders, inode=inodes)
    def enlist(self, folder: int, inode: int) -> None:
        self.index.enlist(folder, inode)
        if folder in self.listings:
            self.listings[folder] = sorted({*self.listings[folder], inode})

    @rule(folder=folders, inode=inodes)
    def delist(self, folder: int, inode: int) -> None:
        self.index.delist(folder, inode)
        if folder in self.listings:
            self.listings[folder] = [other for other in self.listings[folder] if other != inode]

    @precondition(lambda self: self.listings)
    @rule(data=st.data(), after=st.integers(0, 13), limit=st.integers(1, 5))
    def page(self, data: st.DataObject, after: int, limit: int) -> None:
        folder = data.draw(st.sampled_from(sorted(self.listings)))
        found = self.index.listing(folder)
        if found is not None:
            expected = [inode for inode in self.listings[folder] if inode > after][:limit]
            assert list(page_after(found, after, limit)) == expected

    @invariant()
    def agrees_and_is_bounded(self) -> None:
        assert len(self.index) <= CAPACITY
        present = {inode for inode in self.truth if self.index._nodes.get(inode) is not None}
        assert len(present) == len(self.index)
        places = {
            (self.truth[i].parent, self.truth[i].name): i for i in present if self.truth[i].parent is not None
        }
        assert self.index._inodes == places
        known = {folder: list(listed) for folder, listed in self.index._listings.items()}
        assert all(listed == self.listings[folder] for folder, listed in known.items())
        assert self.index.listed == sum(map(len, known.values()))


TestIndex = IndexMachine.TestCase


def test_the_least_recently_used_node_goes_first() -> None:
    index = Index(capacity=3)
    for inode in (2, 3, 4):
        index.put(node(inode))
    assert index.node(2) is not None  # used: now 3 is the oldest
    assert index.child(1, b"3") is not None  # used by name: now 4 is
    index.put(node(5))
    assert index.node(4) is None
    assert index.child(1, b"4") is None
    assert {inode for inode in range(6) if index.node(inode)} == {2, 3, 5}


def test_a_node_put_again_under_another_name_loses_the_first() -> None:
    index = Index()
    index.put(node(2, name=b"a"))
    index.put(replace(node(2), name=b"b"))
    assert index.child(1, b"a") is None
    found = index.child(1, b"b")
    assert found is not None
    assert found.inode == 2


def test_listings_are_bounded_together_but_the_last_stays() -> None:
    index = Index(listed_capacity=10)
    index.put_listing(1, range(6))
    index.put_listing(2, range(4))
    assert index.listing(1) is not None
    index.put_listing(3, range(5))
    assert index.listing(2) is None, "the least recently used"
    index.put_listing(4, range(100))
    assert [folder for folder in range(1, 5) if index.listing(folder) is not None] == [4]


@given(children=st.sets(st.integers(2, 50)), limit=st.integers(1, 7))
def test_paging_shows_every_child_once_in_order(children: set[int], limit: int) -> None:
    index = Index()
    index.put_listing(1, sorted(children))
    found = index.listing(1)
    assert found is not None
    seen: list[int] = []
    while page := page_after(found, seen[-1] if seen else 0, limit):
        seen.extend(page)
    assert seen == sorted(children)
