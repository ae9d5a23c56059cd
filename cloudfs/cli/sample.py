"""Sample content for the demo: texts, pictures and one large file whose every block can be checked."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

LARGE = Path("Films", "a long film.bin")
LARGE_SIZE = 256 * 1024 * 1024
BLOCK = 64 * 1024

_TEXTS = {
    "Read me first.txt": (
        "This folder lies on a WebDAV server. Every file here shows its full size,\n"
        "and its content comes when it is opened.\n"
    ),
    "Notes/50% done & more.txt": "Names may hold anything: spaces, %, &, #, + and ?.\n",
    "Notes/Zürich 東京.txt": "Grüezi. こんにちは。\n",
}
# Name, and the colours of its top and bottom.
_PICTURES = {
    "Photos/sunrise.png": ((32, 40, 96), (255, 170, 70)),
    "Photos/sea.png": ((150, 205, 240), (10, 60, 120)),
    "Photos/forest.png": ((120, 180, 90), (15, 50, 25)),
}

_Colour = tuple[int, int, int]


def write_sample(root: Path) -> None:
    """Fill a folder; takes about 20 MiB of disk."""
    for name, text in _TEXTS.items():
        _write(root / name, text.encode())
    for name, (top, bottom) in _PICTURES.items():
        _write(root / name, png_gradient(320, 200, top, bottom))
    large = root / LARGE
    large.parent.mkdir(parents=True, exist_ok=True)
    with large.open("wb") as stream:
        for offset in range(0, LARGE_SIZE, BLOCK):
            stream.seek(offset)
            stream.write(block_mark(offset))  # between the marks the file has holes, read as zeros
        stream.truncate(LARGE_SIZE)


def block_mark(offset: int) -> bytes:
    """What the block of the large file at this offset begins with; its other bytes are zero."""
    return b"block at %016x\n" % offset


def is_right(offset: int, data: bytes) -> bool:
    """Whether `data`, whole blocks read from `offset`, is what the large file holds there."""
    return all(
        data[at : at + BLOCK] == block_mark(offset + at).ljust(BLOCK, b"\0")
        for at in range(0, len(data), BLOCK)
    )


def png_gradient(width: int, height: int, top: _Colour, bottom: _Colour) -> bytes:
    """A picture that fades from one colour to another (PNG specification, colour type 2, filter 0)."""
    rows = bytearray()
    for y in range(height):
        colour = bytes(
            (a * (height - 1 - y) + b * y) // (height - 1) for a, b in zip(top, bottom, strict=True)
        )
        rows += b"\0" + colour * width
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(rows))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
