"""Entries that swapped names across the two scopes, so that neither scope's moves can be done alone. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from cloudfs.model.node import Node, Place


def in_circles(ours: Sequence[Node], others: Sequence[Node]) -> list[Node]:
    """Those of `others` that stand in a circle of moves with one of `ours`, each awaiting the next's name."""
    own = {node.inode for node in ours}
    holders = {node.cloud_place: node for node in (*ours, *others) if node.is_moved}
    found: list[Node] = []
    seen = set[int]()
    for start in ours:
        path: list[Node] = []
        node: Node | None = start if start.is_moved else None
        while node is not None and node.inode not in seen:
            seen.add(node.inode)
            path.append(node)
            node = holders.get(_target(node))
        circle = (
            path[path.index(node) :] if node in path else []
        )  # else it leads nowhere, or into an earlier one
        if any(each.inode in own for each in circle):
            found += [each for each in circle if each.inode not in own]
    return found


def _target(node: Node) -> Place | None:
    return None if node.parent is None else Place(node.parent, node.name)
