"""Names with a mark before the extension, as `STEM (MARK).EXT`. Pure."""

from __future__ import annotations

import re

from cloudfs.model.entry import NAME_MAX

_PARKED = re.compile(rb".* \(moving [0-9a-f]+-(?P<inode>\d+)\)(\.[^.]*)?", re.DOTALL)


def marked_name(name: bytes, mark: bytes) -> bytes:
    """A name with a mark, ` (…)`, of NAME_MAX bytes at most.

    The stem is cut for the length, on a character boundary where the name is UTF-8.
    """
    stem, extension = _split(name)
    if len(mark) + len(extension) >= NAME_MAX:
        stem, extension = name, b""  # what follows the dot is no extension that anybody goes by
    return _cut(stem, NAME_MAX - len(mark) - len(extension)) + mark + extension


def parked_name(name: bytes, token: str, inode: int) -> bytes:
    """Where an entry of this name waits until the name that it is to have is free.

    Everybody sees it there: who parked it may never come back, and its folder may be renamed around it.
    token: hexadecimal digits that nobody used before.
    """
    return marked_name(name, f" (moving {token}-{inode})".encode())


def is_parked_name(name: bytes, inode: int) -> bool:
    """Whether a name was made by `parked_name` for this entry."""
    match = _PARKED.fullmatch(name)
    return match is not None and int(match["inode"]) == inode


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
