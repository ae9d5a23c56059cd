"""`cloudfs clean`: cleanCache for files, or for all that a folder has cached."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from cloudfs.cli.connection import CallFailed
from cloudfs.cli.failures import Exit, combined
from cloudfs.cli.mounts import Mount, find, reference_of, uri_of
from cloudfs.cli.output import printable
from cloudfs.model.enums import Location

_CACHED = (Location.PARTIAL, Location.BOTH)


def run(arguments: argparse.Namespace) -> Exit:
    with find(arguments.targets, arguments.socket) as mount:
        if arguments.recursive:
            uris = list(_cached_below(mount, arguments.targets))
        else:
            uris = [(target, uri_of(mount, target)) for target in arguments.targets]
        return combined([_clean(mount, name, uri) for name, uri in uris])


def _cached_below(mount: Mount, targets: list[str]) -> Iterator[tuple[str, str]]:
    """Files with content here: what there is to drop is known to the daemon, so no folder is listed."""
    paths = [reference_of(mount, target) for target in targets]
    for row in mount.connection.call("Mount.state", paths=paths, recursive=True):
        if row["location"] in _CACHED and row["size"] and row["uri"]:
            yield row["path"], row["uri"]


def _clean(mount: Mount, name: str, uri: str) -> Exit:
    try:
        mount.connection.call("CloudFileCache.cleanCache", uri=uri)
    except CallFailed as failure:
        print(f"cloudfs: {printable(name)}: {failure.message}", file=sys.stderr)
        return failure.exit_code
    return Exit.DONE
