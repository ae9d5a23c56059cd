"""Download pictures of the gallery folders, all at the same time. On trio or asyncio, as asked.

download.py ~/Cloud/Photos/*.jpg     1 where one of them did not come whole
"""

from __future__ import annotations

import argparse
import os
import sys

import anyio

from cloudfs.client import CloudSyncError, Download, DownloadProgress, State


def media_uri_of(path: str) -> str:
    """The name that Download knows a picture by. OSError where it is none."""
    return os.getxattr(path, "user.cloudfs.media_uri").decode()


def show(progress: DownloadProgress) -> None:
    print(f"{progress.uri}: {progress.state.name}, {progress.processed} of {progress.size} bytes")


async def fetch(download: Download, path: str, failed: list[str]) -> None:
    try:
        end = await download.run(media_uri_of(path))
    except (OSError, CloudSyncError) as error:
        failed.append(f"{path}: {error}")
    else:
        if end.state is not State.COMPLETED:
            failed.append(f"{path}: {end.state.name}: {end.error.name}")


async def fetch_all(socket: str | None, paths: list[str]) -> int:
    failed: list[str] = []
    async with Download(socket) as download:
        await download.on("progress", show)
        async with anyio.create_task_group() as tasks:
            for path in paths:
                tasks.start_soon(fetch, download, path, failed)
    for line in failed:
        print(f"download failed: {line}", file=sys.stderr)
    return 1 if failed else 0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", nargs="+", metavar="PATH")
    parser.add_argument("--loop", choices=["asyncio", "trio"], default="asyncio")
    parser.add_argument(
        "--socket", help="the mount's control socket; default: $CLOUDFS_SOCKET, or the only one"
    )
    arguments = parser.parse_args()
    try:
        return anyio.run(fetch_all, arguments.socket, arguments.paths, backend=arguments.loop)
    except CloudSyncError as error:
        print(f"download failed: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
