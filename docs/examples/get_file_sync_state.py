"""Tell how files of a mount stand beside the cloud. On trio.

get_file_sync_state.py PATH…     one line each: UPLOADING, DOWNLOADING, COMPLETED or STOPPED
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter

import trio

from cloudfs.client import CloudSyncError, FileSyncState, get_file_sync_state

AT_ONCE = 100  # URIs that one call takes


async def states_of(paths: list[str], socket: str | None) -> list[FileSyncState]:
    uris = [os.getxattr(path, "user.cloudfs.uri").decode() for path in paths]
    states: list[FileSyncState] = []
    for start in range(0, len(uris), AT_ONCE):
        states += await get_file_sync_state(uris[start : start + AT_ONCE], socket=socket)
    return states


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", nargs="+", metavar="PATH")
    parser.add_argument(
        "--socket", help="the mount's control socket; default: $CLOUDFS_SOCKET, or the only one"
    )
    arguments = parser.parse_args()
    try:
        states = trio.run(states_of, arguments.paths, arguments.socket)
    except (OSError, CloudSyncError) as error:
        print(f"get file sync state failed: {error}", file=sys.stderr)
        return 1
    for path, state in zip(arguments.paths, states, strict=True):
        print(f"{state.name:<12}{path}")
    print(", ".join(f"{count} {state.name}" for state, count in sorted(Counter(states).items())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
