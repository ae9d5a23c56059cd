"""Sizes ("10GiB"), durations ("1h30m") and modes ("0600") as people write them, taken strictly.

A unit is never guessed: a bare number, another case or a sign is refused, since half of all readers would
take it for something else.
"""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import pairwise
from typing import NewType

Size = NewType("Size", int)  # bytes
Duration = NewType("Duration", float)  # seconds
Mode = NewType("Mode", int)  # permission bits

_NUMBER = r"(\d+(?:\.\d+)?)"
_SIZE = re.compile(rf"{_NUMBER}(B|[KMGTP]iB|[kMGTP]B)", re.ASCII)
_DURATION = re.compile(rf"(?:{_NUMBER}(d|h|m(?!s)|s|ms))+", re.ASCII)
_DURATION_PART = re.compile(rf"{_NUMBER}(d|h|m(?!s)|s|ms)", re.ASCII)
_MODE = re.compile(r"0?[0-7]{3}", re.ASCII)

_BINARY = {f"{prefix}iB": 1024**power for power, prefix in enumerate("KMGTP", start=1)}
_DECIMAL = {f"{prefix}B": 1000**power for power, prefix in enumerate("kMGTP", start=1)}
_BYTES = {"B": 1, **_BINARY, **_DECIMAL}
_SECONDS = {
    "d": Fraction(86_400),
    "h": Fraction(3_600),
    "m": Fraction(60),
    "s": Fraction(1),
    "ms": Fraction(1, 1000),
}


def parse_size(text: str) -> Size:
    """Bytes of "10GiB" (powers of 1024) or "10GB" (powers of 1000). ValueError where it is no size.

    A fraction of a unit is cut to whole bytes; a fraction of a byte is refused.
    """
    match = _SIZE.fullmatch(text)
    if match is None or (match[2] == "B" and "." in match[1]):
        raise ValueError(f'"{text}" is no size')
    return Size(int(Fraction(match[1]) * _BYTES[match[2]]))


def parse_duration(text: str) -> Duration:
    """Seconds of "500ms", "30s", "5m" or "1h30m": units from large to small, each once, or ValueError."""
    parts = _DURATION_PART.findall(text) if _DURATION.fullmatch(text) else []
    weights = [_SECONDS[unit] for _, unit in parts]
    if not parts or any(later >= earlier for earlier, later in pairwise(weights)):
        raise ValueError(f'"{text}" is no duration')
    return Duration(float(sum(Fraction(number) * _SECONDS[unit] for number, unit in parts)))


def parse_mode(text: str) -> Mode:
    """Permission bits of an octal text such as "0600", or ValueError."""
    if _MODE.fullmatch(text) is None:
        raise ValueError(f'"{text}" is no mode')
    return Mode(int(text, 8))
