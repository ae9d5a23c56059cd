"""Extended attributes: a table of names, each with what answers it (INTERFACE section 5).

Values come from memory only; no name here waits on the network, but for `pin`, whose setting begins to
hydrate. Names outside the table are the user's own and live in the tree, in namespace `user.` alone.
"""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pyfuse3 import ENOATTR, FUSEError

from cloudfs.cloudsync.file_sync_state import FileSyncStates
from cloudfs.model.enums import DownloadErrorType, FileSyncState, Location, Pin, Scope
from cloudfs.model.node import ROOT, Node
from cloudfs.model.progress import SyncProgress
from cloudfs.tree.tree import Tree

# Asked of every entry by `ls -l`, and of every file written to by the kernel: never there, and answered
# before anything is looked up.
NEVER_THERE = frozenset(
    (
        b"security.capability",
        b"security.ima",
        b"security.selinux",
        b"system.posix_acl_access",
        b"system.posix_acl_default",
    )
)

_USER = b"user."
_PIN = b"user.cloudfs.pin"
# xattr(7): the names of one entry, each with its NUL, must fit into the list that listxattr(2) returns.
_LIST_MAX = 65536

_LOCATION_NUMBER = {Location.LOCAL: b"1", Location.CLOUD: b"2", Location.PARTIAL: b"2", Location.BOTH: b"3"}


@dataclass(frozen=True, slots=True)
class Facts:
    """Where the values come from; all by inode, all from memory.

    states: what a file's or folder's state, location and progress are.
    uri, media_uri: canonical URIs; None where the entry has none.
    sync: what FileSync (or GallerySync) said last.
    last_sync_time_ms: epoch milliseconds of its last success, 0 before the first.
    pending: entries with a change that the cloud does not have yet, of both scopes.
    set_pin: sets the entry's own pin; setting it begins to hydrate and does not wait for the end.
    """

    states: FileSyncStates
    uri: Callable[[int], str | None]
    media_uri: Callable[[int], str | None]
    sync: Callable[[Scope], SyncProgress]
    last_sync_time_ms: Callable[[Scope], int]
    pending: Callable[[], int]
    set_pin: Callable[[int, bool], Awaitable[None]]


Getter = Callable[[Node], bytes | None]


class Attributes:
    """The extended attributes of one mount's entries."""

    def __init__(self, tree: Tree, facts: Facts) -> None:
        self._tree = tree
        self._facts = facts
        self._listed: dict[bytes, Getter] = {
            b"user.cloudfs.state": self._state,
            b"user.cloudfs.progress": self._progress,
            b"user.cloudfs.location": lambda node: facts.states.location(node).encode(),
            b"user.cloudfs.error": self._error,
            b"user.cloudfs.uri": self._uri,
            _PIN: self._pin,
            b"user.cloudfs.media_uri": self._media_uri,
            b"user.cloudfs.sync_state": _root_only(lambda: facts.sync(Scope.FILES).state.name),
            b"user.cloudfs.sync_error": _root_only(lambda: facts.sync(Scope.FILES).error.name),
            b"user.cloudfs.last_sync_time": _root_only(lambda: facts.last_sync_time_ms(Scope.FILES)),
            b"user.cloudfs.pending": _root_only(facts.pending),
        }
        self._known: dict[bytes, Getter] = {
            **self._listed,
            # What OpenHarmony's own programs ask for: answered by name, not listed.
            b"user.clouddisk.filesyncstate": self._state_number,
            b"user.clouddisk.placeholder": self._placeholder,
            b"user.cloud.location": lambda node: _LOCATION_NUMBER[facts.states.location(node)],
            b"user.cloud.cloudid": _cloud_id,
        }

    def get(self, inode: int, name: bytes) -> bytes:
        """The value. FUSEError ENODATA where there is none; NotFound for an unknown inode."""
        getter = self._known.get(name)
        node = self._tree.node(inode)
        value = getter(node) if getter else self._tree.attribute(inode, name)
        if value is None:
            raise FUSEError(ENOATTR)
        return value

    def names(self, inode: int) -> list[bytes]:
        """What listxattr(2) shows: the table's that have a value, then the user's own."""
        node = self._tree.node(inode)
        listed = [name for name, getter in self._listed.items() if getter(node) is not None]
        return listed + self._tree.attribute_names(inode)

    async def set(self, inode: int, name: bytes, value: bytes) -> None:
        """Set a pin or an attribute of the user's own.

        FUSEError: EOPNOTSUPP for read-only names and other namespaces, EINVAL for a pin that is neither
        `always` nor `auto`, ENOSPC where the names no longer fit into a list.
        """
        self._check_writable(name)
        if name == _PIN:
            if value not in (Pin.ALWAYS.encode(), Pin.AUTO.encode()):
                raise FUSEError(errno.EINVAL)
            await self._facts.set_pin(inode, value == Pin.ALWAYS.encode())
            return
        names = self.names(inode)
        if name not in names and sum(len(each) + 1 for each in names) + len(name) + 1 > _LIST_MAX:
            raise FUSEError(errno.ENOSPC)
        await self._tree.set_attribute(inode, name, value)

    async def remove(self, inode: int, name: bytes) -> None:
        """Remove an attribute of the user's own, or the entry's own pin. Errors as for `set`; ENODATA."""
        if name in self._known or name.startswith(_USER):
            self._check_writable(name)
        if name == _PIN:
            await self._facts.set_pin(inode, False)
        elif not (name.startswith(_USER) and await self._tree.remove_attribute(inode, name)):
            raise FUSEError(ENOATTR)

    def _check_writable(self, name: bytes) -> None:
        if not name.startswith(_USER) or (name in self._known and name != _PIN):
            raise FUSEError(errno.EOPNOTSUPP)

    # --- the values ---

    def _state(self, node: Node) -> bytes:
        return self._facts.states.state(node.inode).name.encode()

    def _state_number(self, node: Node) -> bytes:
        return b"%d" % self._facts.states.state(node.inode)

    def _progress(self, node: Node) -> bytes:
        return b"%d/%d" % self._facts.states.progress(node)

    def _error(self, node: Node) -> bytes:
        return (node.error or DownloadErrorType.NO_ERROR.name).encode()

    def _uri(self, node: Node) -> bytes | None:
        uri = self._facts.uri(node.inode)
        return uri.encode() if uri is not None else None

    def _media_uri(self, node: Node) -> bytes | None:
        uri = self._facts.media_uri(node.inode)
        return uri.encode() if uri is not None else None

    def _pin(self, node: Node) -> bytes:
        is_linked = node.parent is not None or node.inode == ROOT
        is_pinned = self._tree.is_pinned(node.inode) if is_linked else node.pinned
        return (Pin.ALWAYS if is_pinned else Pin.AUTO).encode()

    def _placeholder(self, node: Node) -> bytes | None:
        if self._facts.states.location(node) in (Location.BOTH, Location.LOCAL):
            return None
        is_coming = self._facts.states.state(node.inode) is FileSyncState.DOWNLOADING
        return b"2" if is_coming else b"1"


def _root_only(value: Callable[[], object]) -> Getter:
    return lambda node: str(value()).encode() if node.inode == ROOT else None


def _cloud_id(node: Node) -> bytes:
    """What names the entry for good: the cloud's file id, else the inode number, which is never reused."""
    return (node.file_id or str(node.inode)).encode()
