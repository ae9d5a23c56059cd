"""Between names (bytes, as a file system has them) and URLs (RFC 3986): percent-coding, once, here.

Names are compared decoded, never as URLs: servers differ in which bytes they code and in the case of
their escapes. What leads out of the mount's URL is no name.
"""

from __future__ import annotations

from urllib.parse import quote_from_bytes, unquote_to_bytes, urlsplit

from cloudfs.model.entry import RemotePath, name_fault

# Only RFC 3986's unreserved characters stay: "+", "&", ";" and the like mean something to some server.
_PLAIN = "/-._~"

_DEFAULT_PORTS = {"http": 80, "https": 443}

Origin = tuple[str, str, int]


class UnusableHref(ValueError):
    """An href that names nothing below the mount's URL; the text says why."""


class BaseUrl:
    """The URL that the mount's root stands for, and what lies below it."""

    def __init__(self, url: str) -> None:
        """Raises ValueError where it is no http or https URL, or holds credentials."""
        self.origin = origin_of(url)
        split = urlsplit(url)
        if "@" in split.netloc:
            raise ValueError("credentials do not belong into a URL")
        self._root = f"{split.scheme}://{split.netloc}"
        self._segments = _segments(split.path)
        self._prefix = "/" + "".join(quote_from_bytes(name, _PLAIN) + "/" for name in self._segments)

    def url(self, path: RemotePath, *, is_folder: bool = False) -> str:
        """Absolute. Folders end in "/", as servers want and would otherwise redirect to."""
        return self._root + self.absolute_path(path, is_folder=is_folder)

    def absolute_path(self, path: RemotePath, *, is_folder: bool = False) -> str:
        """The URL without its scheme and host (RFC 3986 section 3.3, path-absolute)."""
        tail = "/" if is_folder and path else ""
        return f"{self._prefix}{quote_from_bytes(path, _PLAIN)}{tail}"

    def names(self, href: str) -> list[bytes]:
        """The names that lead from the root to what an href names; empty for the root itself.

        href: an absolute URL or an absolute path, percent-coded. Raises UnusableHref where it is neither,
        lies on another host or above the root, has a query, or holds what is no name.
        """
        if "?" in href or "#" in href:
            raise UnusableHref("it has a query or fragment")
        path = href
        if not href.startswith("/") or href.startswith("//"):
            path = self._path_on_our_host(href)
        segments = _segments(path)
        for name in segments:
            if (fault := name_fault(name)) is not None:
                raise UnusableHref(fault)
        depth = len(self._segments)
        if segments[:depth] != self._segments:
            raise UnusableHref("it lies outside the mount's URL")
        return segments[depth:]

    def name(self, segment: str) -> bytes:
        """The name that one segment of an href stands for; a folder's may end in "/".

        Raises UnusableHref where it is more or less than one segment, has a query, or is no name.
        """
        if "?" in segment or "#" in segment:
            raise UnusableHref("it has a query or fragment")
        segment = segment.removesuffix("/")
        if "/" in segment:
            raise UnusableHref("it is not in this folder")
        name = unquote_to_bytes(segment)
        if (fault := name_fault(name)) is not None:
            raise UnusableHref(fault)
        return name

    def _path_on_our_host(self, href: str) -> str:
        try:
            is_ours = origin_of(href) == self.origin
        except ValueError as error:
            raise UnusableHref("it is no absolute URL or path") from error
        if not is_ours:
            raise UnusableHref("it is on another host")
        return urlsplit(href).path


def origin_of(url: str) -> Origin:
    """Scheme, host and port (RFC 6454). Raises ValueError where it is no http or https URL."""
    split = urlsplit(url)
    if split.scheme not in _DEFAULT_PORTS or not split.hostname:
        raise ValueError("not an http or https URL")
    return split.scheme, split.hostname, split.port or _DEFAULT_PORTS[split.scheme]


def _segments(path: str) -> list[bytes]:
    """Decoded after the split, so that an escaped slash is seen as part of a name. Doubled slashes,
    which some servers make when they join paths, mean one."""
    return [unquote_to_bytes(segment) for segment in path.split("/") if segment]
