"""What verbs print: JSON for programs, aligned tables for people, names that cannot play tricks."""

from __future__ import annotations

import json
import time
import unicodedata
from collections.abc import Sequence


def print_json(value: object) -> None:
    """One document; ASCII, so that any locale and any name passes through."""
    print(json.dumps(value, indent=2))


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as their widest cell; the last one is left ragged."""
    cells = [list(header), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(_width(row[column]) for row in cells) for column in range(len(header))]
    for row in cells:
        padded = [cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)]
        print("  ".join(padded).rstrip())


def printable(text: str) -> str:
    """A name with control characters, bidirectional marks and bytes that are no UTF-8 escaped."""
    return "".join(character if character.isprintable() else _escape(character) for character in text)


def human_time(epoch_ms: int) -> str:
    """Local time to the second; "never" for 0."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(epoch_ms / 1000)) if epoch_ms else "never"


def human_share(processed: int, size: int) -> str:
    """`processed` of `size` bytes in whole percent, 100 only where all is there."""
    return f"{100 * processed // size if size else 100} %"


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # PEP 383: a byte that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def _width(text: str) -> int:
    """Terminal cells: two for East Asian wide characters, none for combining ones."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )
