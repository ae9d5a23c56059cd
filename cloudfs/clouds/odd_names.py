"""Names that a server may not take as a MOVE's destination: found out with a hidden file, before the damage.

WsgiDAV 4.4 decodes the Destination header before it takes it apart: a "?" or ";" in a name cuts it there
(and what had the shorter name is replaced), a tab or line break vanishes, what is no UTF-8 becomes U+FFFD.
"""

from __future__ import annotations

import re

from cloudfs.clouds.base import Lane
from cloudfs.clouds.propfind import Propfind
from cloudfs.clouds.site import Site
from cloudfs.clouds.statuses import NAME_MEANINGS
from cloudfs.clouds.temporaries import Temporaries
from cloudfs.model.entry import RemotePath
from cloudfs.model.errors import CloudfsError, NameRefused

_ODD = re.compile(r"[?;#%\\\x00-\x1f\x7f]|[\ud800-\udfff]+")
_NO_UTF8 = "\udcff"  # stands for every byte that is none, as Python has it in a str


class OddNames:
    """Which odd characters one site keeps in a destination; each is tried once."""

    def __init__(self, site: Site, propfind: Propfind, temporaries: Temporaries) -> None:
        self._site = site
        self._propfind = propfind
        self._temporaries = temporaries
        self._kept: dict[str, bool] = {}

    async def check(self, target: RemotePath) -> None:
        """NameRefused where the server would move to some other name than this one."""
        folder, _, name = target.rpartition(b"/")
        found = _ODD.findall(name.decode("utf-8", "surrogateescape"))
        for odd in sorted({_NO_UTF8 if text >= "\ud800" else text for text in found}):
            if odd not in self._kept:
                self._kept[odd] = await self._is_kept(folder, odd.encode("utf-8", "surrogateescape"))
            if not self._kept[odd]:
                raise NameRefused(f"the server cannot move anything to a name with {odd!a} in it")

    async def _is_kept(self, folder: RemotePath, odd: bytes) -> bool:
        reserve = self._temporaries.reserve
        async with (
            reserve(folder) as cut,  # what the target's name may become, as may the source's
            reserve(folder, cut.name + b"-") as source,
            reserve(folder, cut.name + odd + b"-") as target,
        ):
            async with self._site.http.request(
                "PUT",
                self._site.url(source.path),
                lane=Lane.METADATA,
                expect=(200, 201, 204),
                body=b"1",
                meanings=NAME_MEANINGS,
            ):
                pass
            destination = {"Destination": self._site.url(target.path), "Overwrite": "F"}
            try:
                async with self._site.http.request(
                    "MOVE",
                    self._site.url(source.path),
                    lane=Lane.METADATA,
                    expect=(201, 204),
                    headers=destination,
                ):
                    pass
            except CloudfsError as error:
                if error.retryable:
                    raise
                return False
            return await self._propfind.is_there(target.path)
