"""What the tests of the API share: a call of every method that succeeds, and calls as another user."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.mount.harness import Connection, Mount, RpcError

HEAD = "file://com.example.files/data/storage/el2/cloud/"
FILE = HEAD + "1.txt"
ON = {"event": "progress"}

# The reference's methods that name no file, and those that do with the param that holds it.
WITHOUT_FILE: dict[str, dict[str, Any]] = {
    **{f"{name}.on": ON for name in ("FileSync", "GallerySync", "Download", "CloudFileCache")},
    **{f"{name}.off": ON for name in ("FileSync", "GallerySync", "Download", "CloudFileCache")},
    **{
        f"{name}.{verb}": {}
        for name in ("FileSync", "GallerySync")
        for verb in ("start", "stop", "getLastSyncTime")
    },
}
OF_A_FILE = ("CloudFileCache.start", "CloudFileCache.stop", "CloudFileCache.cleanCache")
OF_AN_ASSET = ("Download.start", "Download.stop")


def good_calls(mount: Mount) -> dict[str, dict[str, Any]]:
    """Every method of the reference with params that it takes. `1.txt` and `Photos/1.jpg` are there."""
    asset = mount.xattr("media_uri", "Photos/1.jpg")
    return {
        **WITHOUT_FILE,
        **{method: {"uri": FILE} for method in OF_A_FILE},
        **{method: {"uri": asset} for method in OF_AN_ASSET},
        "cloudSync.getFileSyncState": {"uri": [FILE]},
    }


def failure(connection: Connection, method: str, params: Any) -> tuple[int, str]:
    """Code and text of a call that fails."""
    try:
        result = connection.request(method, params)
    except RpcError as error:
        return error.code, error.message
    raise AssertionError(f"{method} succeeded: {result}")


@contextmanager
def connected_as(mount: Mount, uid: int) -> Iterator[Connection]:
    """A connection of that user, in no group but its own: the kernel keeps who it was that connected."""
    groups, here = os.getgroups(), os.open(".", os.O_PATH)
    try:
        os.chdir(mount.socket.parent)  # the folders above are closed to others
        os.setgroups([])
        os.setegid(uid)
        os.seteuid(uid)
        connection = Connection(mount.socket.relative_to(mount.socket.parent))
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)
        os.fchdir(here)
        os.close(here)
    try:
        yield connection
    finally:
        connection.close()
