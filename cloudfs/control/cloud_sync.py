"""The reference module's own function: cloudSync.getFileSyncState."""

from __future__ import annotations

from typing import Annotated

import msgspec

from cloudfs.cloudsync.cloud_file_cache import CloudFileCache
from cloudfs.cloudsync.file_sync_state import FileSyncStates
from cloudfs.control.call import Access, AnyMethod, Call, Method, about
from cloudfs.control.cloud_file_cache import resolve
from cloudfs.control.messages import INVALID_URI, IPC, NO_FILE, PERMISSION_11, table

URIS_MAX = 100


class Uris(msgspec.Struct, forbid_unknown_fields=True):
    """The files asked about."""

    uri: Annotated[list[str], msgspec.Meta(max_length=URIS_MAX)]


def cloud_sync_methods(cache: CloudFileCache, states: FileSyncStates) -> list[AnyMethod]:
    async def get_file_sync_state(call: Call, params: Uris) -> list[int]:
        inodes = []
        for uri in params.uri:
            with about(uri):
                inodes.append(await resolve(call, cache, cache.parse(uri)))
        return [int(states.state(inode)) for inode in inodes]

    messages = table(PERMISSION_11, IPC, NO_FILE, INVALID_URI)
    return [Method("cloudSync.getFileSyncState", Uris, Access.SYSTEM, get_file_sync_state, messages)]
