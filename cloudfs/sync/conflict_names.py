"""The name under which a local version lives on where the cloud has another one under its own.

INTERFACE section 9, promise 2: `name (conflict HOST DATE).ext`. Pure.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import datetime

from cloudfs.model.entry import NAME_MAX

_HOST_MAX = 64  # bytes, as HOST_NAME_MAX on Linux


def conflict_name(name: bytes, host: str, when: datetime, is_taken: Callable[[bytes], bool]) -> bytes:
    """`STEM (conflict HOST YYYY-MM-DD HHMMSS).EXT`, of NAME_MAX bytes at most.

    name: as the file was called. host: this machine. when: in the time zone that is to be shown.
    is_taken: whether a name is in use, here or in the cloud; ` 2`, ` 3`, … follow the date until it says no.
    The stem is cut for the length, on a character boundary where the name is UTF-8.
    """
    mark = f" (conflict {_plain(host)} {when:%Y-%m-%d %H%M%S}".encode()
    for count in itertools.count(1):
        counter = b" %d" % count if count > 1 else b""
        candidate = _marked(name, mark + counter + b")")
        if not is_taken(candidate):
            return candidate
    raise AssertionError("a count has no end")


def _marked(name: bytes, mark: bytes) -> bytes:
    stem, extension = _split(name)
    if len(mark) + len(extension) >= NAME_MAX:
        stem, extension = name, b""  # what follows the dot is no extension that anybody goes by
    return _cut(stem, NAME_MAX - len(mark) - len(extension)) + mark + extension


def _split(name: bytes) -> tuple[bytes, bytes]:
    """Stem and extension, dot included; what begins with its only dot has none."""
    dot = name.rfind(b".")
    return (name[:dot], name[dot:]) if name[:dot].strip(b".") and dot > 0 else (name, b"")


def _cut(text: bytes, length: int) -> bytes:
    """The beginning of a name, of `length` bytes at most, with no character cut in two."""
    if len(text) <= length:
        return text
    end = length
    while end > length - 4 and end > 0 and text[end] & 0xC0 == 0x80:  # the next byte goes on a character
        end -= 1
    return text[:end] if text[end] & 0xC0 != 0x80 else text[:length]


def _plain(host: str) -> str:
    """A host's name as part of a file's name."""
    clean = host.replace("/", "-").replace("\0", "").strip() or "localhost"
    return clean.encode(errors="replace")[:_HOST_MAX].decode(errors="ignore")
