"""Names that a server may make another name of: found out with hidden files, before the damage.

ownCloud stores every name in Unicode's composed form; servers on Windows drop a dot or blank at the end.
WsgiDAV 4.4 decodes the Destination header before it takes it apart: a "?" or ";" in a name cuts it there
(and what had the shorter name is replaced), a tab or line break vanishes, what is no UTF-8 becomes U+FFFD.
"""

from __future__ import annotations

import re
import unicodedata

from cloudfs.clouds.base import Lane
from cloudfs.clouds.propfind import Propfind
from cloudfs.clouds.site import Site
from cloudfs.clouds.statuses import NAME_MEANINGS
from cloudfs.clouds.temporaries import Temporaries
from cloudfs.model.entry import RemotePath
from cloudfs.model.errors import CloudfsError, NameRefused

_ODD = re.compile(r"[?;#%\\\x00-\x1f\x7f]|[\ud800-\udfff]+")
_NO_UTF8 = "\udcff"  # stands for every byte that is none, as Python has it in a str
_DECOMPOSED = "e\u0301"
_END = re.compile(r"[. ]\Z")


class OddNames:
    """What one site keeps in a name; each oddity is tried once."""

    def __init__(self, site: Site, propfind: Propfind, temporaries: Temporaries) -> None:
        self._site = site
        self._propfind = propfind
        self._temporaries = temporaries
        self._stored: dict[str, bool] = {}
        self._moved: dict[str, bool] = {}

    async def check(self, path: RemotePath) -> None:
        """NameRefused where the server would store a new name as another one than this."""
        folder, _, name = path.rpartition(b"/")
        text = name.decode("utf-8", "surrogateescape")
        odd = [] if unicodedata.is_normalized("NFC", text) else [_DECOMPOSED]
        odd += _END.findall(text)
        for each in odd:
            if each not in self._stored:
                with self._site.http.interference.held_off():
                    self._stored[each] = await self._is_stored(folder, each.encode())
            if not self._stored[each]:
                raise NameRefused(
                    "the cloud would make another name of it, in another form of Unicode "
                    "or without the dot or blank at its end"
                )

    async def check_target(self, path: RemotePath) -> None:
        """NameRefused where the server would move to some other name than this one."""
        await self.check(path)
        folder, _, name = path.rpartition(b"/")
        found = _ODD.findall(name.decode("utf-8", "surrogateescape"))
        for odd in sorted({_NO_UTF8 if text >= "\ud800" else text for text in found}):
            if odd not in self._moved:
                with self._site.http.interference.held_off():
                    self._moved[odd] = await self._is_moved(folder, odd.encode("utf-8", "surrogateescape"))
            if not self._moved[odd]:
                raise NameRefused(f"the server cannot move anything to a name with {odd!a} in it")

    async def _is_stored(self, folder: RemotePath, odd: bytes) -> bool:
        reserve = self._temporaries.reserve
        async with reserve(folder) as stem, reserve(folder, stem.name + b"-" + odd) as whole:
            try:
                await self._put(whole.path)
            except NameRefused:
                return False
            shown = await self._propfind.hidden_names(folder)
            # Where no listing shows what is hidden nothing is known against it.
            return whole.name in shown or not any(name.startswith(stem.name) for name in shown)

    async def _is_moved(self, folder: RemotePath, odd: bytes) -> bool:
        reserve = self._temporaries.reserve
        async with (
            reserve(folder) as cut,  # what the target's name may become, as may the source's
            reserve(folder, cut.name + b"-") as source,
            reserve(folder, cut.name + odd + b"-") as target,
        ):
            await self._put(source.path)
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

    async def _put(self, path: RemotePath) -> None:
        async with self._site.http.request(
            "PUT",
            self._site.url(path),
            lane=Lane.METADATA,
            expect=(200, 201, 204),
            body=b"1",
            meanings=NAME_MEANINGS,
        ):
            pass
