"""A folder of a WebDAV server, as the parts of a WebDav share it: URLs, connections, abilities."""

from __future__ import annotations

from dataclasses import replace

from cloudfs.clouds.base import Capabilities
from cloudfs.clouds.http import Http
from cloudfs.clouds.names import BaseUrl
from cloudfs.model.entry import RemotePath, name_fault
from cloudfs.model.errors import NameRefused


class Site:
    """capabilities: what is known by now; each part adds what it learns."""

    def __init__(self, url: str, http: Http, known: Capabilities) -> None:
        """ValueError where `url` is no http(s) URL."""
        self.base = BaseUrl(url)
        self.http = http
        self.capabilities = known

    def url(self, path: RemotePath, *, is_folder: bool = False) -> str:
        """NameRefused where a part of the path is no name, so that none can lead elsewhere."""
        for name in path.split(b"/") if path else ():
            if (fault := name_fault(name)) is not None:
                raise NameRefused(f"{name[:300]!r} is no name: {fault}")
        return self.base.url(path, is_folder=is_folder)

    def condition(self, path: RemotePath, state: str) -> dict[str, str]:
        """RFC 4918's If header: a lock's token or a tag in brackets, tagged with what it speaks of.

        The tag is always given: Apache holds an untagged condition against the parent folder too, and
        refuses a DELETE. It is a path, as WsgiDAV passes over one with a host in it.
        """
        return {"If": f"<{self.base.absolute_path(path)}> ({state})"}

    def learn(self, **found: bool) -> None:
        """Add to `capabilities`, by their names."""
        self.capabilities = replace(self.capabilities, **found)
