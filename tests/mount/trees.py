"""Whole trees compared: what a mount shows, what a server's folder holds, which requests went between."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tests.mount.harness import Mount
from tests.servers.faults import SeenRequest

Tree = Mapping[str, bytes | None]  # a path below the top -> its content; None for a folder

CHANGING = ("PUT", "DELETE", "MOVE", "COPY", "MKCOL", "PROPPATCH")
PROPERTIES = ".DAV"  # where Apache's mod_dav_fs keeps what PROPPATCH sets
CONFLICT = re.compile(
    rf"(?P<stem>.*) \(conflict {re.escape(socket.gethostname())} "
    r"\d{4}-\d\d-\d\d \d{6}(?: \d+)?\)(?P<end>\..*|)"
)


BODY_IN_PROGRESS = ".davfs.tmp"  # under such names Apache has the bodies of PUTs under way


def tree(top: Path) -> dict[str, bytes | None]:
    """Everything below a folder, read by system calls alone, without what goes while it is read."""
    found: dict[str, bytes | None] = {}
    for folder, folders, files in os.walk(top, onerror=_fail):
        if PROPERTIES in folders:
            folders.remove(PROPERTIES)
        at = Path(folder).relative_to(top)
        found.update({str(at / name): None for name in folders})
        for name in files:
            if not name.startswith(BODY_IN_PROGRESS):
                with suppress(FileNotFoundError):
                    found[str(at / name)] = (Path(folder) / name).read_bytes()
    return found


def _fail(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def assert_same(one: Tree, other: Tree, what: str = "") -> None:
    """Equal names, kinds and bytes; tells the names that differ, not their content."""
    missing, new = sorted(one.keys() - other.keys()), sorted(other.keys() - one.keys())
    differing = sorted(name for name in one.keys() & other.keys() if one[name] != other[name])
    assert (missing, new, differing) == ([], [], []), f"missing, new, differing: {what}"


def conflicts(names: Mapping[str, object]) -> dict[str, str]:
    """The conflict copies among some names -> the name that each is a copy of."""
    found = {}
    for name in names:
        folder, _, last = name.rpartition("/")
        if match := CONFLICT.fullmatch(last):
            of = match["stem"] + match["end"]
            found[name] = f"{folder}/{of}" if folder else of
    return found


def changes(seen: list[SeenRequest]) -> list[str]:
    """The requests that change something on a server, in order, without those for hidden temporaries."""
    return [
        f"{request.method} {request.target}"
        for request in seen
        if request.method in CHANGING and "/.cloudfs-" not in request.target
    ]


def converge(*mounts: Mount, rounds: int = 2) -> dict[str, bytes | None]:
    """Sync each in turn until all have heard of all; what they then hold alike."""
    for _ in range(rounds):
        for mount in mounts:
            assert mount.sync() == "COMPLETED", mount.log.read_text()
    first, *others = (tree(mount.path) for mount in mounts)
    for other in others:
        assert_same(first, other, "between mounts")
    return first


def assert_well(mount: Mount, root: Path, expected: Tree) -> None:
    """Once the trouble is over both sides hold what is expected, and nothing more."""
    mount.settle()
    assert_same(expected, tree(mount.path), "in the mount")
    assert_same(expected, tree(root), "on the server")
