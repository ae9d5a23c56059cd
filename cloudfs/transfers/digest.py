"""The hash of what a cloud holds, from a stream that is kept nowhere."""

from __future__ import annotations

import hashlib

from cloudfs.clouds.base import Cloud, Lane
from cloudfs.model.entry import RemoteEntry, RemotePath
from cloudfs.model.errors import NetworkUnavailable


async def cloud_digest(cloud: Cloud, path: RemotePath, entry: RemoteEntry) -> bytes:
    """The SHA-256 of a file's content in the cloud, read whole; of an empty one without asking.

    Tries once. Raises what `Cloud.read` does: VersionChanged where it is another version than `entry`'s.
    """
    digest = hashlib.sha256()
    if entry.size == 0:
        return digest.digest()
    received = 0
    async with cloud.read(path, entry.version, 0, entry.size, Lane.BULK) as body:
        async for chunk in body.chunks():
            digest.update(chunk)
            received += len(chunk)
    if received != entry.size:
        raise NetworkUnavailable("the body ended early")
    return digest.digest()
