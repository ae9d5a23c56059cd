"""Fetch files of a mount with no event loop in sight: four threads, one connection.

blocking.py FILE…     1 where one of them did not come whole
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ThreadPoolExecutor

from cloudfs.client import State
from cloudfs.client.blocking import CloudFileCache, CloudSyncError

THREADS = 4


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", nargs="+", metavar="FILE")
    parser.add_argument(
        "--socket", help="the mount's control socket; default: $CLOUDFS_SOCKET, or the only one"
    )
    arguments = parser.parse_args()
    try:
        uris = [os.getxattr(path, "user.cloudfs.uri").decode() for path in arguments.paths]
        with CloudFileCache(arguments.socket) as cache, ThreadPoolExecutor(THREADS) as threads:
            ends = list(threads.map(cache.run, uris))
    except (OSError, CloudSyncError) as error:
        print(f"download failed: {error}", file=sys.stderr)
        return 1
    for path, end in zip(arguments.paths, ends, strict=True):
        print(f"{path}: {end.state.name}, {end.processed} of {end.size} bytes")
    return 0 if all(end.state is State.COMPLETED for end in ends) else 1


if __name__ == "__main__":
    sys.exit(main())
