"""What `cloudfs status` and `cloudfs state` show: the shapes of INTERFACE section 11."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from cloudfs.cache.directory import recovered
from cloudfs.cache.store import Store
from cloudfs.cloudsync.cloud_file_cache import CloudFileCache
from cloudfs.cloudsync.file_sync import FileSync
from cloudfs.cloudsync.file_sync_state import FileSyncStates
from cloudfs.cloudsync.readiness import CloudReadiness
from cloudfs.config import MountConfig
from cloudfs.model.entry import RemotePath
from cloudfs.model.enums import DownloadErrorType, Pin, Scope
from cloudfs.model.errors import NotFound
from cloudfs.model.node import Node
from cloudfs.simulation import NOTHING, Simulator
from cloudfs.sync.brake import HeldDeletes
from cloudfs.transfers.pool import Transfers
from cloudfs.transfers.uploads import Uploads
from cloudfs.tree.tree import Tree


@dataclass(frozen=True, slots=True)
class StatusSources:
    """Where `status` reads: memory, and one small question each to the database and the cache directory.

    held: what the delete brake holds of a scope. simulator: what is not as it is.
    """

    readiness: CloudReadiness
    syncs: Mapping[Scope, FileSync]
    transfers: Transfers
    uploads: Uploads
    store: Store
    tree: Tree
    held: Callable[[Scope], HeldDeletes]
    simulator: Simulator


class MountStatus:
    """One element of `status --json`'s `mounts`."""

    def __init__(self, config: MountConfig, sources: StatusSources) -> None:
        self._config = config
        self._sources = sources

    @property
    def pending(self) -> int:
        """Entries with a change that the cloud does not have yet, but for removals that the brake holds."""
        return self._sources.tree.count_changes() - sum(self._sources.held(scope).here for scope in Scope)

    def status(self) -> dict[str, object]:
        """INTERFACE section 11; and `simulated`, null without a simulation; and `recovered`, a folder, while
        content lies there that lost its name."""
        config, sources = self._config, self._sources
        usage = sources.store.usage
        folder = recovered(config.cache.path)
        return {
            "name": config.name,
            "path": shown_path(os.fsencode(config.mount.path)),
            "socket": str(config.socket),
            "pid": os.getpid(),
            "cloud": {
                "type": config.cloud.type.value,
                "url": config.cloud.url,
                "state": sources.readiness.state.value,
            },
            "sync": {scope.value: self._sync(sync) for scope, sync in sources.syncs.items()},
            "pending": self.pending,
            "held_deletes": sum(held.here + held.in_cloud for held in map(sources.held, Scope)),
            "transfers": [
                *self._transfers("up", sources.uploads),
                *self._transfers("down", sources.transfers),
            ],
            "cache": {"used": usage.used, "size": usage.size, "files": usage.files},
            "simulated": simulated(sources.simulator),
            **({"recovered": shown_path(os.fsencode(folder))} if folder else {}),
        }

    def _sync(self, sync: FileSync) -> dict[str, object]:
        progress, held = sync.progress, self._sources.held(sync.scope)
        return {
            "state": progress.state.name,
            "error": progress.error.name,
            "last_sync_time": sync.last_sync_time_ms,
            "held": sync.is_held,
            "held_deletes": {"here": held.here, "cloud": held.in_cloud},
        }

    def _transfers(self, direction: str, source: Transfers | Uploads) -> Iterator[dict[str, object]]:
        for status in source.running():
            try:
                path = self._sources.tree.path(status.inode)
            except NotFound:
                continue  # unlinked: it is fetched for a program that has it open, or about to end
            yield {
                "path": absolute(self._config, path),
                "direction": direction,
                "processed": status.processed,
                "size": status.size,
                "rate": round(status.rate),
            }


class StateRows:
    """The rows of `state --json`."""

    def __init__(
        self, config: MountConfig, tree: Tree, states: FileSyncStates, cache: CloudFileCache
    ) -> None:
        self._config = config
        self._tree = tree
        self._states = states
        self._cache = cache

    def row(self, inode: int) -> dict[str, object]:
        """One entry's row; a folder's `location`, `processed` and `size` are null. NotFound."""
        return self._row(self._tree.node(inode), self._tree.path(inode))

    def below(self, folder: int) -> Iterator[list[dict[str, object]]]:
        """The rows of all that is known below a folder, in pages, without listing anything. NotFound.

        What goes meanwhile is left out.
        """
        for page in self._tree.walk(folder):
            yield list(self._rows(page))

    def where(self, inode: int) -> str:
        """The path on this machine of an entry; of one that was removed here, where it was."""
        try:
            path = self._tree.path(inode)
        except NotFound:
            path = self._tree.remote_path(inode)
        return self.absolute(path)

    def absolute(self, path: RemotePath) -> str:
        """The path on this machine of a path in the mount, as JSON can hold it."""
        return absolute(self._config, path)

    def _rows(self, page: Iterable[tuple[Node, RemotePath]]) -> Iterator[dict[str, object]]:
        for node, path in page:
            try:
                row = self._row(node, path)
            except NotFound:
                continue  # its row is about to go
            yield row

    def _row(self, node: Node, path: RemotePath) -> dict[str, object]:
        processed, size = (None, None) if node.is_folder else self._states.progress(node)
        return {
            "path": absolute(self._config, path),
            "uri": self._cache.canonical(path),
            "state": self._states.state(node.inode).name,
            "location": None if node.is_folder else self._states.location(node).value,
            "processed": processed,
            "size": size,
            "pin": (Pin.ALWAYS if self._tree.is_pinned(node.inode) else Pin.AUTO).value,
            "error": node.error or DownloadErrorType.NO_ERROR.name,
        }


def simulated(simulator: Simulator) -> dict[str, object] | None:
    """What is simulated, and until when in epoch milliseconds; None where nothing is."""
    current = simulator.current
    if current == NOTHING:
        return None
    return {
        "battery": current.battery_percent,
        "network": current.network and current.network.value,
        "quota_full": current.is_quota_full,
        "disk_full": current.is_disk_full,
        "server_error": current.server_error,
        "until": simulator.until_ms,
    }


def absolute(config: MountConfig, path: RemotePath) -> str:
    """The path on this machine of an entry, as JSON can hold it."""
    root = os.fsencode(config.mount.path)
    return shown_path(root.rstrip(b"/") + b"/" + path if path else root)


def shown_path(path: bytes) -> str:
    """As JSON can hold it: what is no UTF-8 is shown by escapes, and its URI is null."""
    return path.decode("utf-8", "backslashreplace")
