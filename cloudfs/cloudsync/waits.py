"""What an entry waits for, in words, and when that is tried next: for `cloudfs why`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cloudfs.cloudsync.file_sync_state import FileSyncStates
from cloudfs.cloudsync.mount_info import StatusSources
from cloudfs.model.entry import RemotePath
from cloudfs.model.enums import CloudState, DownloadErrorType, ErrorType, Location, Scope
from cloudfs.model.errors import CloudfsError, NoNetwork
from cloudfs.model.node import ROOT, Node


@dataclass(frozen=True, slots=True)
class Wait:
    """What is waited for, as "waits for ..." goes on; None: for nothing.

    next_try_ms: epoch milliseconds; None where it comes with what is waited for, whenever that is.
    """

    cause: str | None
    next_try_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Conditions:
    """What else decides whether a change goes to the cloud.

    is_held: whether the delete brake holds an entry. refusal: why the device lets no sync start, or None.
    interruption: why it would end one. read_only: the mount sends nothing.
    """

    is_held: Callable[[int], bool]
    refusal: Callable[[], CloudfsError | None]
    interruption: Callable[[], ErrorType]
    read_only: bool


class Waits:
    """Answers from memory, or by small reads. absolute: the path on this machine of one in the mount."""

    def __init__(
        self,
        sources: StatusSources,
        states: FileSyncStates,
        conditions: Conditions,
        *,
        absolute: Callable[[RemotePath], str],
    ) -> None:
        self._sources = sources
        self._tree = sources.tree
        self._states = states
        self._conditions = conditions
        self._absolute = absolute

    def of(self, node: Node) -> Wait:
        """What an entry that has a name here waits for. NotFound where it has none, LocalIOError."""
        if self._sources.uploads.progress(node.inode) is not None:
            return Wait("its upload, which is under way")
        if self._states.is_dirty(node):
            return self._of_change(node)
        if self._sources.transfers.progress(node.inode) is not None:
            return Wait("its download, which is under way")
        return self._of_content(node)

    # --- changes made here ---

    def _of_change(self, node: Node) -> Wait:
        scope = self._tree.change_scope(node)
        above = self._refused_folder(node)
        causes = [*self._of_file(node, above), *self._of_sending(scope)]
        by_time = self._of_time(scope, above or node)
        if not causes:
            return by_time
        return Wait(", then ".join(causes), by_time.next_try_ms if len(causes) == 1 and above else None)

    def _of_file(self, node: Node, above: Node | None) -> Iterator[str]:
        """What keeps this change back, whatever becomes of others. above: a folder that the cloud refused."""
        if self._sources.store.is_unflushed(node.inode):
            yield "the fsync or close of a program that is writing it"
        if above is not None:
            path = self._absolute(self._tree.path(above.inode))
            yield f"the folder {path}, which the cloud does not have ({above.error_reason})"

    def _of_sending(self, scope: Scope) -> Iterator[str]:
        """What keeps all of a scope's changes back."""
        hindrance = self._hindrance(scope)
        if self._conditions.read_only:
            yield "a mount without mount.read_only, as this one sends nothing"
        elif hindrance is not None:
            yield hindrance

    def _refused_folder(self, node: Node) -> Node | None:
        """The nearest folder above that the cloud did not take when it was to."""
        while node.parent is not None and node.parent != ROOT:
            node = self._tree.node(node.parent)
            if node.is_unsent and node.tries:
                return node
        return None

    # --- what comes from the cloud ---

    def _of_content(self, node: Node) -> Wait:
        scope = self._tree.scope(node.inode)
        option = _option(scope)
        if self._is_held(node):
            ways = f"`cloudfs sync confirm{option}` or `cloudfs sync restore{option}`"
            return Wait(f"{ways}, as the cloud lost it and many others")
        if not self._is_wanted(node):
            return Wait(None)
        hindrance = self._hindrance(scope)
        return self._of_time(scope, node) if hindrance is None else Wait(hindrance)

    def _is_wanted(self, node: Node) -> bool:
        """Whether syncs fetch its content: it is pinned, or there was no room for it."""
        if node.is_folder or self._states.location(node) is Location.BOTH:
            return False
        had_no_room = node.error == DownloadErrorType.LOCAL_STORAGE_FULL.name
        return had_no_room or self._tree.is_pinned(node.inode)

    def _is_held(self, node: Node) -> bool:
        """Whether the brake holds it, or a folder above."""
        while node.parent is not None:
            if self._conditions.is_held(node.inode):
                return True
            node = self._tree.node(node.parent)
        return False

    # --- syncs ---

    def _hindrance(self, scope: Scope) -> str | None:
        """Why no sync of a scope is going to begin by itself; the gravest cause alone."""
        sync = self._sources.syncs[scope]
        if sync.is_running:
            return None
        if sync.is_held:
            return f"`cloudfs sync start{_option(scope)}`, as syncs were stopped"
        if not sync.is_automatic:
            return f"`cloudfs sync start{_option(scope)}`, as sync.auto is false"
        return self._of_conditions()

    def _of_conditions(self) -> str | None:
        """What keeps automatic syncs back for now, of both scopes."""
        readiness, refusal = self._sources.readiness, self._conditions.refusal()
        if isinstance(refusal, NoNetwork):  # then nothing can be said of the cloud
            return _cannot_begin(refusal)
        if readiness.refusal is not None:
            return f"the cloud, which refuses this mount: {readiness.refusal.reason}"
        if readiness.state is CloudState.OFFLINE:
            return "the cloud, which can't be reached"
        if self._conditions.interruption() is ErrorType.WIFI_UNAVAILABLE:
            return "Wi-Fi or a cable that is not metered, as sync.wifi_only is true"
        return None if refusal is None else _cannot_begin(refusal)

    def _of_time(self, scope: Scope, node: Node) -> Wait:
        """What is left to wait for where nothing is in the way."""
        sync = self._sources.syncs[scope]
        if node.next_try_ms is not None and node.next_try_ms > time.time() * 1000:
            return Wait("its next try", node.next_try_ms)
        if sync.is_running:
            return Wait("the sync that is under way")
        return Wait("the next sync", sync.next_begin_ms)


def _cannot_begin(refusal: CloudfsError) -> str:
    return f"a sync, which can't begin: {refusal.reason}"


def _option(scope: Scope) -> str:
    return " --gallery" if scope is Scope.GALLERY else ""
