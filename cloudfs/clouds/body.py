"""Is the answer the file? What must hold of a GET's answer before its first byte is believed.

Not the file are: a login page, a body in another encoding, another range, another version, a body longer
or shorter than it says. rclone 1.75.2 hands each of these on as content.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cloudfs.clouds.http import Answer
from cloudfs.clouds.properties import read_date, read_size, read_tag
from cloudfs.model.entry import Version
from cloudfs.model.errors import CloudfsError, NetworkUnavailable, VersionChanged, WrongContent

_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)")  # RFC 9110 section 14.4
_UNSATISFIED = re.compile(r"bytes \*/(\d{1,19})")


class TagDiffers(VersionChanged):
    """By the tag alone, that is; some servers tell one tag in a listing and another with the content."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for: bytes [start, stop) of a version.

    tags_agree: whether the server's tag of a GET may be compared with that of a listing.
    """

    version: Version
    start: int
    stop: int
    tags_agree: bool = True

    @property
    def is_whole(self) -> bool:
        return self.start == 0 and self.stop == self.version.size


class FileContent:
    """The Content of `Cloud.read`: counts its bytes against what the head promised."""

    def __init__(self, answer: Answer, start: int, stop: int) -> None:
        self.start = start
        self.stop = stop
        self._answer = answer
        self._missing = stop - start

    def chunks(self) -> FileContent:
        """Itself: it can be read once."""
        return self

    def __aiter__(self) -> FileContent:
        return self

    async def __anext__(self) -> bytes:
        chunk = await self._answer.next_chunk()
        self._missing -= len(chunk)
        if self._missing < 0:
            raise WrongContent(f"the body is longer than {self.stop - self.start} bytes")
        if chunk:
            return chunk
        if self._missing:
            raise NetworkUnavailable(f"the body was cut {self._missing} bytes short")
        raise StopAsyncIteration


def accept(answer: Answer, wish: Wish) -> FileContent:
    """The content, once the head says that it is what was wished for.

    VersionChanged where it is of another version, WrongContent where it is no such file.
    """
    if answer.status == 416:
        raise _unsatisfied(answer, wish)
    is_part = answer.status == 206
    start, stop = _check_range(answer, wish) if is_part else (0, wish.version.size)
    confirmed = _check_version(answer, wish)
    # A part of a file of this very size speaks for itself, unless tags are known to say nothing.
    if not confirmed and _has_validator(wish.version) and not (is_part and wish.tags_agree):
        raise WrongContent("the answer shows neither the file's tag nor its time")
    _check_length(answer, stop - start)
    return FileContent(answer, start, stop)


def tags_agree(answer: Answer, version: Version) -> bool:
    """Whether the content's tag is the listing's, but for weakness (Apache's turns strong as it is)."""
    tag = read_tag(answer.header("ETag"))
    return tag is not None and tag.removeprefix("W/") == version.opaque_tag


def _check_range(answer: Answer, wish: Wish) -> tuple[int, int]:
    match = _CONTENT_RANGE.fullmatch(answer.header("Content-Range") or "")
    if match is None:
        raise WrongContent("a partial answer does not say which part it is")
    start, stop = int(match[1]), int(match[2]) + 1
    if match[3] != "*" and int(match[3]) != wish.version.size:
        raise VersionChanged(f"the file has {match[3]} bytes now, not {wish.version.size}")
    if start != wish.start or not start < stop <= wish.stop:
        raise WrongContent(f"bytes {wish.start}-{wish.stop} were asked for, {start}-{stop} came")
    return start, stop


def _check_version(answer: Answer, wish: Wish) -> bool:
    """Whether a validator confirmed the version; VersionChanged where one denies it.

    A strong tag settles it (RFC 9110 section 8.8.3.2); a weak one only together with the time.
    """
    version, confirmed = wish.version, False
    tag = read_tag(answer.header("ETag"))
    if wish.tags_agree and tag is not None and version.etag is not None:
        if not tags_agree(answer, version):
            raise TagDiffers(f"the file's tag is {tag} now, not {version.etag}")
        if not tag.startswith("W/"):
            return True
        confirmed = True
    mtime_ns = _told_mtime_ns(answer, version)
    if mtime_ns is not None and version.mtime_ns is not None:
        if mtime_ns // 1_000_000_000 != version.mtime_ns // 1_000_000_000:
            raise VersionChanged("the file was modified at another time")
        confirmed = True
    return confirmed


def _told_mtime_ns(answer: Answer, version: Version) -> int | None:
    """The answer's Last-Modified. None where it is the answer's own time, standing in for one in the future
    (RFC 9110 section 8.8.2.1), which a listing tells all the same."""
    mtime_ns, now_ns = read_date(answer.header("Last-Modified")), read_date(answer.header("Date"))
    is_ahead = now_ns is not None and version.mtime_ns is not None and version.mtime_ns > now_ns
    return None if is_ahead and mtime_ns == now_ns else mtime_ns


def _check_length(answer: Answer, expected: int) -> None:
    text = answer.header("Content-Length")
    if text is not None and read_size(text) != expected:
        # h11 would cut or miss bytes by this length, so it must not contradict the range and the size.
        raise WrongContent(f"the answer has {text[:20]} bytes where {expected} belong")


def _has_validator(version: Version) -> bool:
    return version.etag is not None or version.mtime_ns is not None


def _unsatisfied(answer: Answer, wish: Wish) -> CloudfsError:
    match = _UNSATISFIED.fullmatch(answer.header("Content-Range") or "")
    if match is not None and int(match[1]) != wish.version.size:
        return VersionChanged(f"the file has {match[1]} bytes now, not {wish.version.size}", status=416)
    return WrongContent("the server has no such range of the file", status=416)
