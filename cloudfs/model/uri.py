"""URIs of files and of gallery assets (INTERFACE section 4; RFC 3986, RFC 8089).

One file has one canonical URI, `file://BUNDLE/data/storage/el2/cloud/…`, and several accepted spellings:
under the mountpoint's own path, and each with an empty authority. What a percent escape stands for is a
byte of a name; so an escaped slash, which no name can hold, is refused rather than taken for a separator.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from cloudfs.model.entry import RemotePath
from cloudfs.model.errors import InvalidUri, NotFound

# Where OpenHarmony shows an application its cloud folder.
SANDBOX = b"/data/storage/el2/cloud"

_SCHEME = "file://"
_MEDIA = re.compile(r"/?media/Photo/([^/]+)")
_MEDIA_ID = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)
_MEDIA_ID_MAX = 2**63 - 1  # what SQLite can hold

_NO_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPED_SLASH = re.compile(r"%2[Ff]")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/")


@dataclass(frozen=True, slots=True)
class MediaId:
    """A gallery asset; the number is never used again and survives renames and remounts."""

    value: int


@dataclass(frozen=True, slots=True)
class Uris:
    """The URIs of one mount.

    bundle: the authority that the mount answers to.
    mountpoint: its absolute path, without a trailing slash.
    """

    bundle: str
    mountpoint: bytes

    def parse(self, uri: str) -> RemotePath | MediaId:
        """What a URI names: a path inside the mount, or a gallery asset.

        Nothing is looked up. Raises InvalidUri where the URI is malformed, foreign or points outside,
        NotFound where it is a well-formed media URI whose ID no asset can have.
        """
        scheme, rest = uri[: len(_SCHEME)], uri[len(_SCHEME) :]
        if scheme.lower() != _SCHEME:
            raise InvalidUri("the scheme is not file://")
        if "?" in rest or "#" in rest:
            raise InvalidUri("a file URI has no query and no fragment; in a name write %3F and %23")
        if media := _MEDIA.fullmatch(rest):
            return _media_id(media.group(1))
        authority, slash, path = rest.partition("/")
        if authority not in ("", self.bundle):
            raise InvalidUri("the URI belongs to another bundle")
        if not slash:
            raise InvalidUri("the URI has no path")
        return self._inside(_without_empty(_unescape(path).split(b"/")))

    def inside(self, path: str) -> RemotePath:
        """Which path inside the mount an absolute path of this machine is.

        Raises InvalidUri where it lies outside.
        """
        if not path.startswith("/"):
            raise InvalidUri("the path is not absolute")
        try:
            names = _without_empty(path.encode("utf-8").split(b"/"))
        except UnicodeEncodeError:
            raise InvalidUri("the path is not UTF-8") from None
        return self._inside(names)

    def canonical(self, path: RemotePath) -> str | None:
        """The one URI of a path; None where its name is no UTF-8 and so has none."""
        try:
            path.decode("utf-8")
        except UnicodeDecodeError:
            return None
        whole = SANDBOX + b"/" + path if path else SANDBOX
        return f"{_SCHEME}{self.bundle}{_escape(whole)}"

    def _inside(self, names: list[bytes]) -> RemotePath:
        for root in (SANDBOX, self.mountpoint):
            above = [name for name in root.split(b"/") if name]
            if names[: len(above)] == above:
                return b"/".join(names[len(above) :])
        raise InvalidUri("the path is outside the mount")


def media_uri(media_id: int) -> str:
    """The canonical URI of a gallery asset."""
    return f"{_SCHEME}media/Photo/{media_id}"


def _media_id(text: str) -> MediaId:
    digits = _unescape(text).decode("utf-8")
    if not _MEDIA_ID.fullmatch(digits) or int(digits) > _MEDIA_ID_MAX:
        raise NotFound("no gallery asset has this ID")
    return MediaId(int(digits))


def _without_empty(names: list[bytes]) -> list[bytes]:
    """The names that mean something: an empty one and `.` do not, as in POSIX. InvalidUri for `..`."""
    if b".." in names:
        raise InvalidUri("the path goes upwards")
    return [name for name in names if name not in (b"", b".")]


def _unescape(text: str) -> bytes:
    """The bytes of a path or a part of one. Raises InvalidUri for bad escapes, bad UTF-8, NUL and an escaped
    slash, which no name holds."""
    if _NO_ESCAPE.search(text):
        raise InvalidUri("a % is not followed by two hexadecimal digits")
    try:
        path = unquote_to_bytes(text)
        path.decode("utf-8")
    except UnicodeError:
        raise InvalidUri("the URI is not UTF-8") from None
    if b"\0" in path or _ESCAPED_SLASH.search(text):
        raise InvalidUri("a name holds a slash or NUL")
    return path


def _escape(path: bytes) -> str:
    return "".join(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in path)
