"""What a listing changes in the tree: a pure comparison of it with the children known."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from cloudfs.model.entry import FolderListing, RemoteEntry, Version
from cloudfs.model.enums import Kind, Listing
from cloudfs.model.node import Node

_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Observation:
    """What came of a folder's listing, once committed.

    added: new entries, whatever they are moves of.
    changed: files that show another version under their old inode: cached content of it is stale.
    replaced: files in use that were given up to their users (old inode, now unlinked) for a new inode
    under the same name.
    vanished: entries that the cloud no longer has under their names. Nothing happened to them yet.
    outdated: child folders known before whose tag here is not that of their own last listing, those
    without tag and those never listed: something below may differ.
    """

    added: list[Node]
    changed: list[int]
    replaced: dict[int, int]
    vanished: list[Node]
    outdated: list[int]


@dataclass(slots=True)
class Comparison:
    """How a listing differs from what is known; each node is the known one, untouched.

    folder: the folder itself, as the listing has it.
    new: entries under free names.
    stale: files whose version differs.
    touched: files with the same content, and folders, where some fact beside it differs.
    vanished, outdated: as in Observation.
    successors: what the cloud has under the name of a vanished entry of the other kind, by its inode.
    """

    folder: RemoteEntry
    new: list[RemoteEntry] = field(default_factory=list)
    stale: list[tuple[Node, RemoteEntry]] = field(default_factory=list)
    touched: list[tuple[Node, RemoteEntry]] = field(default_factory=list)
    vanished: list[Node] = field(default_factory=list)
    successors: dict[int, RemoteEntry] = field(default_factory=dict)
    outdated: list[int] = field(default_factory=list)


def compare(known: Iterable[Node], listing: FolderListing) -> Comparison:
    """Compare a folder's children with a whole listing of it, by names; of two alike the first counts."""
    comparison = Comparison(listing.folder)
    remaining: dict[bytes, RemoteEntry] = {}
    for entry in listing.entries:
        remaining.setdefault(entry.name, entry)
    for node in known:
        if node.name in listing.unshown:
            continue  # the cloud has it and could not describe it: it stays as it was last seen
        if node.version is None:
            remaining.pop(node.name, None)  # made here and never sent: the cloud can't take it away
        else:
            _compare_one(comparison, node, node.version, remaining.pop(node.name, None))
    comparison.new.extend(remaining.values())
    return comparison


def _compare_one(comparison: Comparison, node: Node, version: Version, entry: RemoteEntry | None) -> None:
    if entry is None:
        comparison.vanished.append(node)
    elif entry.kind is not node.kind:
        comparison.vanished.append(node)
        comparison.successors[node.inode] = entry
    elif node.kind is Kind.FOLDER:
        if node.listing is Listing.NEVER or version.etag is None or version.etag != entry.version.etag:
            comparison.outdated.append(node.inode)
        if new_time(node, entry) is not None or (entry.file_id or node.file_id) != node.file_id:
            comparison.touched.append((node, entry))
    elif not version.is_same_as(entry.version):
        comparison.stale.append((node, entry))
    elif refined(version, entry.version) != version or (entry.file_id or node.file_id) != node.file_id:
        comparison.touched.append((node, entry))


def new_time(node: Node, entry: RemoteEntry) -> int | None:
    """The mtime that an entry of the same content shows from now on, or None where it keeps the one it has.

    It moves when the cloud's own time did, in whole seconds, as most clouds keep no more: a time that was
    set here and that the cloud could not take stays.
    """
    seen = entry.version.mtime_ns
    known = node.mtime_ns if node.is_folder or node.version is None else node.version.mtime_ns
    if seen is None or known is None or seen // _SECOND_NS == known // _SECOND_NS:
        return None
    return seen


def refined(known: Version, seen: Version) -> Version:
    """The more telling of two versions of the same content, tag and time each by itself.

    A tag that turned strong replaces the weak one; nothing gives way to an answer that says less.
    """
    keeps_tag = seen.etag is None or (known.is_strong and not seen.is_strong)
    return Version(
        known.etag if keeps_tag else seen.etag,
        known.mtime_ns if seen.mtime_ns is None else seen.mtime_ns,
        seen.size,
    )


def adopted(node: Node, entry: RemoteEntry, now_ns: int) -> Node:
    """A file as it is once it shows the content that `entry` names, under whatever inode."""
    return replace(
        node,
        size=entry.size,
        mtime_ns=now_ns if entry.version.mtime_ns is None else entry.version.mtime_ns,
        ctime_ns=now_ns,
        version=entry.version,
        file_id=entry.file_id or node.file_id,
    )


def touched(node: Node, entry: RemoteEntry, now_ns: int) -> Node:
    """An entry whose content is the same, with the times and identity that the cloud names now."""
    mtime_ns = new_time(node, entry)
    version = node.version
    if version is not None and not node.is_folder:
        version = refined(version, entry.version)
    return replace(
        node,
        mtime_ns=node.mtime_ns if mtime_ns is None else mtime_ns,
        ctime_ns=node.ctime_ns if mtime_ns is None else now_ns,
        version=version,
        file_id=entry.file_id or node.file_id,
    )


def first_seen(
    entry: RemoteEntry, inode: int, parent: int, *, uid: int, gid: int, media_id: int | None, now_ns: int
) -> Node:
    """An entry that the tree did not know: 0644 or 0755, of the mounting user."""
    is_folder = entry.kind is Kind.FOLDER
    return Node(
        inode=inode,
        parent=parent,
        name=entry.name,
        kind=entry.kind,
        size=0 if is_folder else entry.size,
        mtime_ns=now_ns if entry.version.mtime_ns is None else entry.version.mtime_ns,
        ctime_ns=now_ns,
        mode=0o755 if is_folder else 0o644,
        uid=uid,
        gid=gid,
        # A folder's version is that of its own listing, which is still to come.
        version=Version(None, None, 0) if is_folder else entry.version,
        file_id=entry.file_id,
        listing=Listing.NEVER,
        pinned=False,
        media_id=media_id,
        error=None,
        error_reason=None,
    )
