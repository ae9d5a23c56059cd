"""The folders and files of a cloud in memory, as another device would change them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import trio

from cloudfs.model.entry import RemoteEntry, RemotePath, Version, join, name_fault
from cloudfs.model.enums import Kind
from cloudfs.model.errors import NameRefused, NotFound

EPOCH_NS = 1_700_000_000_000_000_000
WEAK_S = 1.0  # how long Apache's tags are weak


@dataclass
class Node:
    """A file or folder."""

    kind: Kind
    file_id: str
    content: bytes = b""
    mtime_ns: int = EPOCH_NS
    etag: str | None = None
    weak_until: float = -float("inf")  # by trio's clock
    children: dict[bytes, Node] = field(default_factory=dict)


def takes_all(name: bytes) -> bool:
    return False


class MemoryFiles:
    """A tree of them, and what its server makes of names and tags.

    folder_tags: whether a folder has a tag that changes with anything below it (Nextcloud).
    ignores_case: whether names that differ in case alone are one (a server on Windows).
    weak_at_first: whether a file's tag is weak in its first second (Apache); needs trio's clock.
    refuses: which names it cannot hold.
    """

    def __init__(
        self, *, folder_tags: bool, ignores_case: bool, weak_at_first: bool, refuses: Callable[[bytes], bool]
    ) -> None:
        self.folder_tags = folder_tags
        self.ignores_case = ignores_case
        self.weak_at_first = weak_at_first
        self.refuses = refuses
        self._numbers = itertools.count(1)
        self._root = self._new(Kind.FOLDER)

    def put(self, path: RemotePath, content: bytes, *, mtime_ns: int | None = None) -> RemoteEntry:
        """Make or replace a file, and the folders above it, as another device would."""
        folder, name = self._make_parents(path)
        node = folder.children.setdefault(name, self._new(Kind.FILE))
        self._fill(node, content, mtime_ns)
        self._changed(path)
        return entry_of(name, node)

    def mkdir(self, path: RemotePath) -> None:
        folder, name = self._make_parents(path)
        folder.children.setdefault(name, self._new(Kind.FOLDER))
        self._changed(path)

    def remove(self, path: RemotePath) -> None:
        """Remove a file, or a folder with all below."""
        parent, _, name = path.rpartition(b"/")
        folder = self._find(parent)
        del folder.children[_name_in(folder, name, self.ignores_case) or name]
        self._changed(path)

    def rename(self, source: RemotePath, target: RemotePath) -> None:
        node = self._find(source)
        self.remove(source)
        folder, name = self._make_parents(target)
        folder.children[name] = node
        self._changed(target)

    def paths(self) -> dict[RemotePath, bytes | None]:
        """All that it holds: the content of each file, None for a folder; temporaries too."""
        return dict(_below(b"", self._root))

    def content(self, path: RemotePath) -> bytes:
        return self._find(path).content

    def _new(self, kind: Kind) -> Node:
        return Node(kind, f"id-{next(self._numbers)}")

    def _fill(self, node: Node, content: bytes, mtime_ns: int | None) -> None:
        number = next(self._numbers)
        node.content = content
        node.etag = f'"{number:x}"'
        node.mtime_ns = EPOCH_NS + number * 1_000_000_000 if mtime_ns is None else mtime_ns
        if self.weak_at_first:
            node.weak_until = trio.current_time() + WEAK_S

    def _changed(self, path: RemotePath) -> None:
        """Give the folders above a path another tag."""
        if not self.folder_tags:
            return
        etag = f'"f{next(self._numbers):x}"'
        folder = self._root
        folder.etag = etag
        for name in path.split(b"/")[:-1]:
            folder = self._child(folder, name)
            folder.etag = etag

    def _find(self, path: RemotePath) -> Node:
        node = self._root
        for name in path.split(b"/") if path else ():
            node = self._child(node, name)
        return node

    def _child(self, folder: Node, name: bytes) -> Node:
        held = _name_in(folder, name, self.ignores_case)
        if held is None:
            raise NotFound(f"{name!r} is not there", status=404)
        return folder.children[held]

    def _parent(self, path: RemotePath) -> tuple[Node, bytes]:
        folder, _, name = path.rpartition(b"/")
        if (fault := name_fault(name)) is not None:
            raise NameRefused(f"{name!r}: {fault}", status=400)
        if self.refuses(name):
            raise NameRefused(f"the cloud cannot hold {name!r}", status=400)
        node = self._find(folder)
        if node.kind is not Kind.FOLDER:
            raise NotFound(f"{folder!r} is no folder", status=409)
        return node, name

    def _make_parents(self, path: RemotePath) -> tuple[Node, bytes]:
        folder, _, name = path.rpartition(b"/")
        node = self._root
        for part in folder.split(b"/") if folder else ():
            node = node.children.setdefault(part, self._new(Kind.FOLDER))
        return node, name

    def _holder(self, folder: Node, name: bytes) -> Node | None:
        """What holds the name. NameRefused where that has another one, which the cloud thinks the same."""
        held = _name_in(folder, name, self.ignores_case)
        if held is not None and held != name:
            raise NameRefused(f"{held!r} differs from {name!r} only in case", status=412)
        return None if held is None else folder.children[held]


def _name_in(folder: Node, name: bytes, ignores_case: bool) -> bytes | None:
    """The name under which a folder holds what is asked for."""
    if name in folder.children or not ignores_case:
        return name if name in folder.children else None
    asked = _folded(name)
    return next((held for held in folder.children if _folded(held) == asked), None)


def _folded(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape").casefold()


def _below(path: RemotePath, folder: Node) -> Iterator[tuple[RemotePath, bytes | None]]:
    for name, node in folder.children.items():
        below = join(path, name)
        yield below, node.content if node.kind is Kind.FILE else None
        yield from _below(below, node)


def version_of(node: Node) -> Version:
    etag = node.etag
    # The clock is asked only where it matters: tests fill clouds before trio runs.
    if etag is not None and node.weak_until > 0 and trio.current_time() < node.weak_until:
        etag = f"W/{etag}"
    return Version(etag, node.mtime_ns, len(node.content))


def entry_of(name: bytes, node: Node) -> RemoteEntry:
    return RemoteEntry(name, node.kind, version_of(node), node.file_id)


def size_of(node: Node) -> int:
    return len(node.content) + sum(size_of(child) for child in node.children.values())
