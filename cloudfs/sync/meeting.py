"""What becomes of an entry that both sides changed. Pure.

INTERFACE section 9, promise 2: both versions live, the cloud's under the name; an edit beats a delete on
either side; equal content is no conflict. Each decision is carried out by the tree in one commit, and what
remains to be done follows from the tree: a plan of the same round sends it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cloudfs.model.entry import RemoteEntry
from cloudfs.model.enums import Kind
from cloudfs.model.node import Node, Place


@dataclass(frozen=True, slots=True)
class Contested:
    """A changed entry, and what the cloud has in a place that is its own.

    place: the place; it is the entry's place here, or the one where the cloud is known to have it.
    entry: what a whole listing shows there now; None: nothing.
    is_equal: whether the entry's content is that of the file here, or was sent from here; None: nobody
    compared, as the sizes differ or one of the two is no file.
    is_whole: whether a file's content is all here. What is not can't be sent once its base is gone.
    """

    node: Node
    place: Place
    entry: RemoteEntry | None
    is_equal: bool | None = None
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class Agree:
    """Both have the same: `Tree.adopt_version`."""

    inode: int
    entry: RemoteEntry


@dataclass(frozen=True, slots=True)
class Conflict:
    """The version here lives on under another name, as something that the cloud never had; the cloud's
    entry, if there is one, takes the old name: `Tree.make_conflict`."""

    inode: int
    name: bytes
    entry: RemoteEntry | None


@dataclass(frozen=True, slots=True)
class StepAside:
    """An entry that was moved here to a name that the cloud gave to another: it gets another name, and
    stays what the cloud has at its home, so that nothing is sent: `Tree.make_conflict` all the same."""

    inode: int
    name: bytes
    entry: RemoteEntry


@dataclass(frozen=True, slots=True)
class Restore:
    """Removed here, and of a newer version there: it comes back as a placeholder: `Tree.restore`.

    Its folder may be removed too; then that one is restored first, and so on upwards. What stands in one of
    the names by now makes room under a conflict name.
    """

    inode: int
    entry: RemoteEntry


@dataclass(frozen=True, slots=True)
class Detach:
    """The cloud lost it and it is newer here: it goes up as new: `Tree.detach`."""

    inode: int


@dataclass(frozen=True, slots=True)
class Bury:
    """Removed on both sides: `Tree.bury`."""

    inode: int


Decision = Agree | Conflict | StepAside | Restore | Detach | Bury


def meet(contested: Contested, new_name: Callable[[], bytes]) -> Decision | None:
    """Decide about one contested entry. None: the two sides do not get in each other's way; what the cloud
    has is taken in as any change of it, and an absence goes by the delete brake.

    new_name: finds a conflict name in the entry's folder; it is asked only where the decision needs one.
    """
    node = contested.node
    if node.is_removed:
        return _meet_removed(contested)
    if node.cloud_place == contested.place:
        return _meet_at_home(contested, new_name)
    if contested.entry is None:
        return None
    if node.version is not None:
        return StepAside(node.inode, new_name(), contested.entry)
    return _meet_unsent(contested, contested.entry, new_name)


def _meet_removed(contested: Contested) -> Decision | None:
    node, entry = contested.node, contested.entry
    if entry is None or entry.kind is not node.kind:
        return Bury(node.inode)
    if node.kind is Kind.FOLDER or (node.version is not None and node.version.is_same_as(entry.version)):
        return None
    return Restore(node.inode, entry)


def _meet_at_home(contested: Contested, new_name: Callable[[], bytes]) -> Decision | None:
    """An entry that the cloud had in this very place, and that is changed here."""
    node, entry = contested.node, contested.entry
    if not node.is_modified:
        return None
    is_file = entry is not None and entry.kind is Kind.FILE
    if entry is not None and is_file and contested.is_equal:
        return Agree(node.inode, entry)
    if entry is not None and is_file and node.version is not None and node.version.is_same_as(entry.version):
        return None
    if node.is_moved and contested.is_whole:
        return Detach(node.inode)  # it has a name of its own already, and leaves this one to the cloud's
    if entry is None and contested.is_whole:
        return Detach(node.inode)
    return Conflict(node.inode, new_name(), None if node.is_moved else entry)


def _meet_unsent(contested: Contested, entry: RemoteEntry, new_name: Callable[[], bytes]) -> Decision:
    node = contested.node
    if entry.kind is node.kind is Kind.FILE and contested.is_equal:
        return Agree(node.inode, entry)
    return Conflict(node.inode, new_name(), entry)
