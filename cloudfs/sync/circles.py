"""Entries that swapped names across the two scopes, so that neither scope's moves can be done alone. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from cloudfs.model.node import Node, Place


def in_circles(ours: Sequence[Node], others: Sequence[Node]) -> list[Node]:
    """Those of `others` that stand in a circle of moves with one of `ours`, each awaiting the next's name."""
    others_inodes = {node.inode for node in others}
    holders = {node.cloud_place: node for node in (*ours, *others) if node.is_moved}
    found: dict[int, Node] = {}
    for start in ours:
        circle: dict[int, Node] = {}
        node: Node | None = start if start.is_moved else None
        while node is not None and node.inode not in circle:
            circle[node.inode] = node
            node = holders.get(_target(node))
        if node is start:
            found |= {inode: each for inode, each in circle.items() if inode in others_inodes}
    return list(found.values())


def _target(node: Node) -> Place | None:
    return None if node.parent is None else Place(node.parent, node.name)
