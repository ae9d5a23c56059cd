"""What a listing changes in the tree: a pure comparison of it with the children known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from cloudfs.model.entry import TEMPORARY_PREFIX, FolderListing, RemoteEntry, Version
from cloudfs.model.enums import Kind, Listing
from cloudfs.model.node import Node
from cloudfs.tree.sends import PassedOver

_SECOND_NS = 1_000_000_000


Contested = tuple[Node, RemoteEntry]
_UNLISTED = Version(None, None, 0)


@dataclass(frozen=True, slots=True)
class Observation:
    """What came of a folder's listing, once committed.

    added: new entries, whatever they are moves of.
    changed: files that show another version under their old inode: cached content of it is stale.
    replaced: files in use that were given up to their users (old inode, now unlinked) for a new inode
    under the same name.
    vanished: entries that the cloud no longer has under their names, those changed or removed here too.
    Nothing happened to them yet.
    contested: entries changed here, with what the cloud has where they are there, or lie here. Nothing
    happened to them either.
    met: folders made on both sides, which are one from now on; their listings are still to come.
    outdated: child folders known before whose tag here is not that of their own last listing, those
    without tag and those never listed: something below may differ.
    is_complete: whether nothing was passed over. Else the folder is to be listed again, although its tag is
    known: what it says of the rest was not taken in.
    """

    added: list[Node]
    changed: list[int]
    replaced: dict[int, int]
    vanished: list[Node]
    outdated: list[int]
    contested: list[Contested] = field(default_factory=list)
    met: list[int] = field(default_factory=list)
    is_complete: bool = True


@dataclass(slots=True)
class Comparison:
    """How a listing differs from what is known; each node is the known one, untouched.

    folder: the folder itself, as the listing has it.
    new: entries under free names.
    stale: files whose version differs.
    touched: files with the same content, and folders, where some fact beside it differs.
    vanished, outdated, contested, is_complete: as in Observation. met: those folders as they were.
    successors: what the cloud has under the name of a vanished entry of the other kind, by its inode.
    """

    folder: RemoteEntry
    new: list[RemoteEntry] = field(default_factory=list)
    stale: list[tuple[Node, RemoteEntry]] = field(default_factory=list)
    touched: list[tuple[Node, RemoteEntry]] = field(default_factory=list)
    vanished: list[Node] = field(default_factory=list)
    successors: dict[int, RemoteEntry] = field(default_factory=dict)
    outdated: list[int] = field(default_factory=list)
    contested: list[Contested] = field(default_factory=list)
    met: list[tuple[Node, RemoteEntry]] = field(default_factory=list)
    is_complete: bool = True

    def pass_over(self, is_written: Callable[[int], bool]) -> None:
        """Leave out the files that are open for writing: their change is still to come."""
        differing = [*self.vanished, *(node for node, _ in (*self.stale, *self.contested))]
        if any(is_written(node.inode) for node in differing):
            self.is_complete = False
        self.stale = [seen for seen in self.stale if not is_written(seen[0].inode)]
        self.contested = [seen for seen in self.contested if not is_written(seen[0].inode)]
        self.vanished = [node for node in self.vanished if not is_written(node.inode)]


def compare(
    known: Iterable[Node], here: Iterable[Node], listing: FolderListing, passed: PassedOver
) -> Comparison:
    """Compare what is known of a folder with a whole listing of it, by the names that the cloud has.

    known: what the cloud had in the folder, wherever it lies here. here: what lies in the folder and is
    elsewhere in the cloud, or nowhere. Of two entries alike the first counts.
    """
    comparison = Comparison(listing.folder)
    remaining: dict[bytes, RemoteEntry] = {}
    for seen in listing.entries:
        if seen.name in passed.names:
            comparison.is_complete = False
        else:
            remaining.setdefault(seen.name, seen)
    for node, name in _in_cloud(known):
        entry = remaining.pop(name, None)
        # Under a name that listings hide, being sent, or not described: it stays as last seen.
        is_hidden = name.startswith(TEMPORARY_PREFIX) or name in listing.unshown or name in passed.names
        if is_hidden or node.inode in passed.inodes:
            comparison.is_complete = False
        else:
            _compare_one(comparison, node, entry)
    for node in here:
        taken = remaining.pop(node.name, None)
        if taken is not None and node.inode in passed.inodes:
            comparison.is_complete = False
        elif taken is not None:
            _compare_taken(comparison, node, taken)
    comparison.new.extend(remaining.values())
    return comparison


def _in_cloud(known: Iterable[Node]) -> Iterator[tuple[Node, bytes]]:
    for node in known:
        yield node, node.name if node.home is None else node.home.name


def _compare_taken(comparison: Comparison, node: Node, entry: RemoteEntry) -> None:
    """The cloud has something new under a name that is taken here."""
    if node.is_unsent and node.is_folder and entry.kind is Kind.FOLDER:
        comparison.met.append((node, entry))
    else:
        comparison.contested.append((node, entry))


def _compare_one(comparison: Comparison, node: Node, entry: RemoteEntry | None) -> None:
    if node.is_removed or node.is_modified:
        _compare_changed(comparison, node, entry)
    elif entry is None:
        comparison.vanished.append(node)
    elif entry.kind is not node.kind:
        comparison.vanished.append(node)
        if not node.is_moved:
            comparison.successors[node.inode] = entry
    elif node.kind is Kind.FOLDER:
        etag = None if node.version is None else node.version.etag
        if node.listing is Listing.NEVER or etag is None or etag != entry.version.etag:
            comparison.outdated.append(node.inode)
        if new_time(node, entry) is not None or (entry.file_id or node.file_id) != node.file_id:
            comparison.touched.append((node, entry))
    elif is_same(node, entry):
        _note_touched(comparison, node, entry)
    else:
        comparison.stale.append((node, entry))


def _compare_changed(comparison: Comparison, node: Node, entry: RemoteEntry | None) -> None:
    """A file modified here, or a tombstone, against what the cloud has in its place there."""
    if entry is None:
        if node.version is not None:
            comparison.vanished.append(node)
    elif entry.kind is not node.kind or not is_same(node, entry):
        comparison.contested.append((node, entry))
    elif not node.is_folder:
        _note_touched(comparison, node, entry)


def _note_touched(comparison: Comparison, node: Node, entry: RemoteEntry) -> None:
    assert node.version is not None
    is_refined = refined(node.version, entry.version) != node.version
    if is_refined or (entry.file_id or node.file_id) != node.file_id:
        comparison.touched.append((node, entry))


def is_same(node: Node, entry: RemoteEntry) -> bool:
    """Whether the cloud's entry has the content that it last had, as far as can be told; a folder has."""
    return node.is_folder or (node.version is not None and node.version.is_same_as(entry.version))


def new_time(node: Node, entry: RemoteEntry) -> int | None:
    """The mtime that an entry of the same content shows from now on, or None where it keeps the one it has.

    It moves when the cloud's own time did, in whole seconds, as most clouds keep no more: a time that was
    set here and that the cloud could not take stays. What is modified here has its own time, and what was
    removed none to show.
    """
    if node.is_removed or node.is_modified:
        return None
    seen = entry.version.mtime_ns
    known = node.mtime_ns if node.version is None else node.version.mtime_ns
    if node.is_folder and known is None:
        known = node.mtime_ns  # its own listing is still to come
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


def met(node: Node, entry: RemoteEntry) -> Node:
    """A folder made here, once it is known to be the cloud's too: it may hold more there."""
    return replace(
        node,
        version=_UNLISTED,
        listing=Listing.NEVER,
        file_id=entry.file_id,
        error=None,
        error_reason=None,
        tries=0,
        next_try_ms=None,
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
        version=_UNLISTED if is_folder else entry.version,
        file_id=entry.file_id,
        listing=Listing.NEVER,
        pinned=False,
        media_id=media_id,
        error=None,
        error_reason=None,
    )
