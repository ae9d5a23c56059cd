"""What the tree tells the layers above after a change is committed: enough to invalidate the kernel."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EntryChanged:
    """What a folder shows under a name is another thing now (or something, or nothing).

    deleted: the inode that lost the name for good, so that watchers hear of it; None where the name
    only leads elsewhere. replaced: the inode that another one stands for now, as somebody uses it and the
    cloud has another version.
    """

    parent: int
    name: bytes
    deleted: int | None = None
    replaced: int | None = None


@dataclass(frozen=True, slots=True)
class ContentChanged:
    """A file nobody had open shows another version under the same inode: size, times and pages."""

    inode: int


@dataclass(frozen=True, slots=True)
class AttributesChanged:
    """Times changed, the content did not."""

    inode: int


TreeChange = EntryChanged | ContentChanged | AttributesChanged
