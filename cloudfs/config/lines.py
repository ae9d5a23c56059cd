"""On which line a key of a TOML text stands; tomllib itself keeps no positions."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable

from cloudfs.config.faults import KeyPath


def locate(text: str, keys: Iterable[KeyPath]) -> dict[KeyPath, int]:
    """The line, from 1, on which each key of a valid text starts; keys that are not there are left out.

    Growing prefixes of the text are parsed: a key starts on the line after the last prefix that is valid and
    lacks it (a prefix that ends inside a multi-line value is not valid). That is right for dotted, quoted and
    inline keys alike, and quadratic in the lines, which only a faulty file pays for.
    """
    wanted = set(keys)
    found: dict[KeyPath, int] = {}
    lines = text.split("\n")
    last_valid = 0
    for count in range(1, len(lines) + 1):
        if not wanted:
            break
        try:
            table = tomllib.loads("\n".join(lines[:count]))
        except tomllib.TOMLDecodeError:
            continue
        for key in [key for key in wanted if _holds(table, key)]:
            found[key] = last_valid + 1
            wanted.discard(key)
        last_valid = count
    return found


def _holds(value: object, key: KeyPath) -> bool:
    for part in key:
        match value, part:
            case dict(), str() if part in value:
                value = value[part]
            case list(), int() if part < len(value):
                value = value[part]
            case _:
                return False
    return True
