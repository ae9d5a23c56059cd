"""Fetch files of a mount one after the other, or free their space again. On asyncio.

cloud_file_cache.py FILE…             fetches them; Ctrl-C stops, and keeps what came
cloud_file_cache.py --clean FILE…     drops what is cached of them; the files stay
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys

from cloudfs.client import CloudFileCache, CloudSyncError, DownloadProgress, State

TRY_AGAIN = 13900010


def uri_of(path: str) -> str:
    """As the reference's fileUri.getUriFromPath. OSError for what lies in no mount."""
    return os.getxattr(path, "user.cloudfs.uri").decode()


def show(progress: DownloadProgress) -> None:
    share = 100 * progress.processed // progress.size if progress.size else 100
    print(f"download state: {progress.state.name}, {share} %")


async def fetch(cache: CloudFileCache, path: str) -> bool:
    """Whether a file is here now."""
    uri = uri_of(path)
    try:
        end = await cache.run(uri)
    except asyncio.CancelledError:  # Ctrl-C
        await cache.stop(uri, need_clean=False)
        raise
    if end.state is not State.COMPLETED:
        print(f"{path}: {end.state.name}: {end.error.name}", file=sys.stderr)
    return end.state is State.COMPLETED


async def clean(cache: CloudFileCache, path: str) -> bool:
    """Whether a file takes no space any more."""
    try:
        await cache.clean_cache(uri_of(path))
    except CloudSyncError as error:
        if error.code != TRY_AGAIN:
            raise
        print(f"{path}: it stays: {error.data['reason']}", file=sys.stderr)
        return False
    print(f"{path}: cleaned")
    return True


async def run(socket: str | None, paths: list[str], *, is_cleaning: bool) -> int:
    act = clean if is_cleaning else fetch
    async with CloudFileCache(socket) as cache:
        await cache.on("progress", show)
        done = [await act(cache, path) for path in paths]
    return 0 if all(done) else 1


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", nargs="+", metavar="FILE")
    parser.add_argument("--clean", action="store_true")
    parser.add_argument(
        "--socket", help="the mount's control socket; default: $CLOUDFS_SOCKET, or the only one"
    )
    arguments = parser.parse_args()
    try:
        return asyncio.run(run(arguments.socket, arguments.paths, is_cleaning=arguments.clean))
    except (OSError, CloudSyncError) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
