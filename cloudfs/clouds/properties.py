"""What a WebDAV property's text says: sizes, dates, tags; nothing is invented where it says nothing."""

from __future__ import annotations

import re
from calendar import month_abbr
from datetime import UTC, datetime
from email.utils import parsedate_tz
from functools import lru_cache

from cloudfs.clouds.multistatus import Resource
from cloudfs.model.entry import Version

_NS = 1_000_000_000
_SIZE_MAX = (1 << 63) - 1
_SIZE = re.compile(r"[0-9]{1,19}")
# RFC 9110 section 8.8.3, without obs-text: such a tag could not be sent back in a header safely.
_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]*"')
_BARE_TAG = re.compile(r"[\x21\x23-\x7e]+")
_MONTHS = {name: number for number, name in enumerate(month_abbr) if name}
_DATE = re.compile(r"[A-Z][a-z]{2}, (\d\d) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT")


def read_size(text: str | None) -> int | None:
    """Bytes, or None where the text is missing or no count."""
    if text is None or _SIZE.fullmatch(text) is None:
        return None
    size = int(text)
    return size if size <= _SIZE_MAX else None


def read_tag(text: str | None) -> str | None:
    """An entity tag as a header has it, quotes included; None where it is missing or unusable.

    Some servers leave the quotes out of the property; GET's header has them, and both must compare equal.
    """
    if not text:
        return None
    if _TAG.fullmatch(text):
        return text
    return f'"{text}"' if _BARE_TAG.fullmatch(text) and not text.startswith("W/") else None


@lru_cache(maxsize=4096)  # a folder's files often share few dates
def read_date(text: str | None) -> int | None:
    """Epoch nanoseconds of an HTTP date (RFC 9110 section 5.6.7), or None where it is none."""
    if text is None:
        return None
    usual = _DATE.fullmatch(text)
    if usual is not None and usual[2] in _MONTHS:
        day, year, hour, minute, second = (int(usual[i]) for i in (1, 3, 4, 5, 6))
        return _epoch_ns((year, _MONTHS[usual[2]], day, hour, minute, second))
    parsed = parsedate_tz(text)
    if parsed is None:
        return None
    at = _epoch_ns(parsed[:6])
    return None if at is None else at - (parsed[9] or 0) * _NS


def _epoch_ns(moment: tuple[int, ...]) -> int | None:
    year, month, day, hour, minute, second = moment
    try:
        seconds = int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp())
    except ValueError:  # no such day, or a leap second
        return None
    # What SQLite and the kernel hold in nanoseconds; a server's nonsense beyond it says nothing.
    return seconds * _NS if abs(seconds) < 1 << 33 else None


def version_of(resource: Resource, size: int) -> Version:
    """The version that a listing shows; `size` in bytes, 0 for a folder."""
    return Version(read_tag(resource.etag), read_date(resource.last_modified), size)
