"""Synchronize the files of a mount, stop that, or tell when it was done last. On asyncio.

file_sync.py start     runs a sync to its end, and shows how it goes; 1 where it did not complete
file_sync.py stop      stops it, automatic ones too, until the next start
file_sync.py last      tells when one completed last
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from datetime import datetime

from cloudfs.client import CloudSyncError, FileSync, SyncProgress, SyncState


def show(progress: SyncProgress) -> None:
    print(f"file sync state: {progress.state.name}, error type: {progress.error.name}")


async def start(socket: str | None) -> int:
    async with FileSync(socket) as sync:
        await sync.on("progress", show)
        end = await sync.run()
    return 0 if end.state is SyncState.COMPLETED else 1


async def stop(socket: str | None) -> int:
    await FileSync(socket).stop()
    return 0


async def last(socket: str | None) -> int:
    time_ms = await FileSync(socket).get_last_sync_time()
    print(datetime.fromtimestamp(time_ms / 1000).isoformat(" ", "seconds") if time_ms else "never")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=["start", "stop", "last"])
    parser.add_argument(
        "--socket", help="the mount's control socket; default: $CLOUDFS_SOCKET, or the only one"
    )
    arguments = parser.parse_args()
    actions = {"start": start, "stop": stop, "last": last}
    try:
        return asyncio.run(actions[arguments.action](arguments.socket))
    except CloudSyncError as error:
        print(f"{arguments.action} failed: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
