"""Entries that lost their names while somebody had them in use."""

from __future__ import annotations

from cloudfs.cache.store import Store
from cloudfs.model.errors import NotFound
from cloudfs.tree.tree import Tree


async def let_go(tree: Tree, store: Store, inode: int) -> None:
    """Drop an entry that was removed here and in the cloud, unless a program still has it open."""
    try:
        node = tree.node(inode)
    except NotFound:
        return
    if node.parent is not None or node.home is not None:
        return
    if not (tree.is_held(inode) or store.is_in_use(inode)):
        await tree.forget_unlinked(inode)
        await store.forget(inode)
