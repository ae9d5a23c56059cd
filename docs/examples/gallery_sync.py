"""Synchronize the gallery folders of a mount, for no longer than a time. On trio.

gallery_sync.py --for 300     stops the sync after five minutes; 1 where it did not complete by then
"""

from __future__ import annotations

import argparse
import sys

import trio

from cloudfs.client import CloudSyncError, GallerySync, SyncProgress, SyncState


def show(progress: SyncProgress) -> None:
    print(f"gallery sync state: {progress.state.name}, error type: {progress.error.name}")


async def stop_later(sync: GallerySync, seconds: float) -> None:
    await trio.sleep(seconds)
    await sync.stop()


async def synchronize(socket: str | None, seconds: float) -> int:
    async with GallerySync(socket) as sync:
        await sync.on("progress", show)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stop_later, sync, seconds)
            end = await sync.run()
            nursery.cancel_scope.cancel()
    if end.state is SyncState.STOPPED:
        print("stopped; the next start goes on with the rest")
    return 0 if end.state is SyncState.COMPLETED else 1


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--for", dest="seconds", type=float, default=3600, metavar="SECONDS")
    parser.add_argument(
        "--socket", help="the mount's control socket; default: $CLOUDFS_SOCKET, or the only one"
    )
    arguments = parser.parse_args()
    code = 1
    try:
        code = trio.run(synchronize, arguments.socket, arguments.seconds)
    except* CloudSyncError as errors:  # in a group, where it comes out of the nursery
        for error in errors.exceptions:
            print(f"the sync failed: {error}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
