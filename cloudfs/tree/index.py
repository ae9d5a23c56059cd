"""Nodes and folder contents in memory, bounded, by least recent use. Pure: no I/O, and no truth of its own.

Invariants: a node is found by (parent, name) exactly if it is found by inode and is linked; a listing,
where there is one, holds all children of its folder in ascending order, in memory or not.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Sequence

from cloudfs.model.node import Node

__all__ = ["Index", "Node"]


class Index:
    """What is at hand of the tree.

    capacity: nodes kept. listed_capacity: children kept in listings, in all folders together (8 bytes
    each); the listing used last stays, however large.
    """

    def __init__(self, capacity: int = 50_000, listed_capacity: int = 1_000_000) -> None:
        self._capacity = capacity
        self._nodes: OrderedDict[int, Node] = OrderedDict()
        self._inodes: dict[tuple[int, bytes], int] = {}
        self._listed_capacity = listed_capacity
        self._listings: OrderedDict[int, array[int]] = OrderedDict()
        self._listed = 0

    def __len__(self) -> int:
        """How many nodes."""
        return len(self._nodes)

    @property
    def room(self) -> int:
        """How many more nodes fit before one has to go."""
        return self._capacity - len(self._nodes)

    @property
    def listed(self) -> int:
        """How many children in all listings."""
        return self._listed

    # --- nodes ---

    def node(self, inode: int) -> Node | None:
        """None: not in memory."""
        node = self._nodes.get(inode)
        if node is not None:
            self._nodes.move_to_end(inode)
        return node

    def child(self, parent: int, name: bytes) -> Node | None:
        """None: not in memory."""
        inode = self._inodes.get((parent, name))
        return self.node(inode) if inode is not None else None

    def put(self, node: Node) -> None:
        """Take a node in, over an older one of its inode or its place; the least recently used may go."""
        self.drop(node.inode)
        if node.parent is not None:
            place = (node.parent, node.name)
            former = self._inodes.get(place)
            if former is not None:
                self.drop(former)
            self._inodes[place] = node.inode
        self._nodes[node.inode] = node
        while len(self._nodes) > self._capacity:
            self.drop(next(iter(self._nodes)))

    def drop(self, inode: int) -> None:
        """Forget a node; it may be put again. Listings stay."""
        node = self._nodes.pop(inode, None)
        if node is not None and node.parent is not None:
            del self._inodes[node.parent, node.name]

    # --- listings ---

    def listing(self, folder: int) -> Sequence[int] | None:
        """All children, ascending; None: not in memory. To be read at once, as it changes in place."""
        listing = self._listings.get(folder)
        if listing is not None:
            self._listings.move_to_end(folder)
        return listing

    def put_listing(self, folder: int, inodes: Iterable[int]) -> None:
        """Take all children of a folder in; `inodes` ascend."""
        self.drop_listing(folder)
        listing = array("Q", inodes)
        self._listings[folder] = listing
        self._listed += len(listing)
        while self._listed > self._listed_capacity and len(self._listings) > 1:
            self.drop_listing(next(iter(self._listings)))

    def drop_listing(self, folder: int) -> None:
        """Forget a listing; it may be put again."""
        listing = self._listings.pop(folder, None)
        if listing is not None:
            self._listed -= len(listing)

    def enlist(self, folder: int, inode: int) -> None:
        """Note a new child where the folder's listing is in memory; one that it has already stays single."""
        listing = self._listings.get(folder)
        if listing is None:
            return
        at = bisect_left(listing, inode)
        if at == len(listing) or listing[at] != inode:
            listing.insert(at, inode)
            self._listed += 1

    def delist(self, folder: int, inode: int) -> None:
        """Note that a child is gone from a folder, if its listing is in memory and has it."""
        listing = self._listings.get(folder)
        if listing is None:
            return
        at = bisect_left(listing, inode)
        if at < len(listing) and listing[at] == inode:
            del listing[at]
            self._listed -= 1


def page_after(listing: Sequence[int], after: int, limit: int) -> Sequence[int]:
    """At most `limit` children above an inode."""
    start = bisect_right(listing, after)
    return listing[start : start + limit]
