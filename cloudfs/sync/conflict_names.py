"""The name under which a local version lives on where the cloud has another one under its own.

INTERFACE section 9, promise 2: `name (conflict HOST DATE).ext`. Pure.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import datetime

from cloudfs.model.marked_names import marked_name

_HOST_MAX = 64  # bytes, as HOST_NAME_MAX on Linux


def conflict_name(name: bytes, host: str, when: datetime, is_taken: Callable[[bytes], bool]) -> bytes:
    """`STEM (conflict HOST YYYY-MM-DD HHMMSS).EXT`, of NAME_MAX bytes at most.

    name: as the file was called. host: this machine. when: in the time zone that is to be shown.
    is_taken: whether a name is in use, here or in the cloud; ` 2`, ` 3`, … follow the date until it says no.
    """
    mark = f" (conflict {_plain(host)} {when:%Y-%m-%d %H%M%S}".encode()
    for count in itertools.count(1):
        counter = b" %d" % count if count > 1 else b""
        candidate = marked_name(name, mark + counter + b")")
        if not is_taken(candidate):
            return candidate
    raise AssertionError("a count has no end")


def _plain(host: str) -> str:
    """A host's name as part of a file's name."""
    clean = host.replace("/", "-").replace("\0", "").strip() or "localhost"
    return clean.encode(errors="replace")[:_HOST_MAX].decode(errors="ignore")
