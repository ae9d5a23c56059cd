"""What `cloudfs status` and `cloudfs state` show: the shapes of INTERFACE section 11."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

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
from cloudfs.transfers.pool import Transfers
from cloudfs.transfers.transfer import TransferStatus
from cloudfs.tree.tree import Tree


@dataclass(frozen=True, slots=True)
class StatusSources:
    """Where `status` reads: all from memory. held_deletes: what the brake holds, both scopes'."""

    readiness: CloudReadiness
    syncs: Mapping[Scope, FileSync]
    transfers: Transfers
    store: Store
    tree: Tree
    held_deletes: Callable[[], int]


class MountStatus:
    """One element of `status --json`'s `mounts`."""

    def __init__(self, config: MountConfig, sources: StatusSources) -> None:
        self._config = config
        self._sources = sources

    @property
    def pending(self) -> int:
        """Entries with a change that the cloud does not have yet; a mount that takes no changes has none."""
        return 0

    def status(self) -> dict[str, object]:
        config, sources = self._config, self._sources
        usage = sources.store.usage
        return {
            "name": config.name,
            "path": _text(os.fsencode(config.mount.path)),
            "socket": str(config.socket),
            "pid": os.getpid(),
            "cloud": {
                "type": config.cloud.type.value,
                "url": config.cloud.url,
                "state": sources.readiness.state.value,
            },
            "sync": {scope.value: _sync(sync) for scope, sync in sources.syncs.items()},
            "pending": self.pending,
            "held_deletes": sources.held_deletes(),
            "transfers": [row for status in sources.transfers.running() if (row := self._transfer(status))],
            "cache": {"used": usage.used, "size": usage.size, "files": usage.files},
        }

    def _transfer(self, status: TransferStatus) -> dict[str, object] | None:
        try:
            path = self._sources.tree.path(status.inode)
        except NotFound:
            return None  # unlinked, and fetched for a program that has it open
        return {
            "path": _absolute(self._config, path),
            "direction": "down",
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
        """The rows of all that is known below a folder, in pages, without listing anything. NotFound."""
        for page in self._tree.walk(folder):
            yield [self._row(node, path) for node, path in page]

    def _row(self, node: Node, path: RemotePath) -> dict[str, object]:
        processed, size = (None, None) if node.is_folder else self._states.progress(node)
        return {
            "path": _absolute(self._config, path),
            "uri": self._cache.canonical(path),
            "state": self._states.state(node.inode).name,
            "location": None if node.is_folder else self._states.location(node).value,
            "processed": processed,
            "size": size,
            "pin": (Pin.ALWAYS if self._tree.is_pinned(node.inode) else Pin.AUTO).value,
            "error": node.error or DownloadErrorType.NO_ERROR.name,
        }


def _sync(sync: FileSync) -> dict[str, object]:
    progress = sync.progress
    return {
        "state": progress.state.name,
        "error": progress.error.name,
        "last_sync_time": sync.last_sync_time_ms,
        "held": sync.is_held,
    }


def _absolute(config: MountConfig, path: RemotePath) -> str:
    root = os.fsencode(config.mount.path)
    return _text(root.rstrip(b"/") + b"/" + path if path else root)


def _text(path: bytes) -> str:
    """As JSON can hold it: what is no UTF-8 is shown by escapes, and its URI is null."""
    return path.decode("utf-8", "backslashreplace")
