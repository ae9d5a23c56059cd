"""`cloudfs clean`: cleanCache for files, or for all that a folder has cached."""

from __future__ import annotations

import argparse
from functools import partial

from cloudfs.cli.failures import Exit, attempt, combined
from cloudfs.cli.mounts import Mount, find, reference_of, uri_of
from cloudfs.model.enums import Location

_CACHED = (Location.PARTIAL, Location.BOTH)


def run(arguments: argparse.Namespace) -> Exit:
    add = _add_cached_below if arguments.recursive else _add_itself
    found: dict[str, str] = {}
    with find(arguments.targets, arguments.socket) as mount:
        exits = [attempt(target, partial(add, mount, target, found)) for target in arguments.targets]
        exits += [attempt(name, partial(_clean, mount, uri)) for uri, name in found.items()]
    return combined(exits)


def _add_itself(mount: Mount, target: str, names: dict[str, str]) -> None:
    names[uri_of(mount, target)] = target


def _add_cached_below(mount: Mount, target: str, names: dict[str, str]) -> None:
    """Files with content here: what there is to drop is known to the daemon, so no folder is listed."""
    paths = [reference_of(mount, target)]
    for row in mount.connection.call("Mount.state", paths=paths, recursive=True):
        if row["location"] in _CACHED and row["size"] and row["uri"]:
            names[row["uri"]] = row["path"]


def _clean(mount: Mount, uri: str) -> None:
    mount.connection.call("CloudFileCache.cleanCache", uri=uri)
