"""CloudFileCache and Download of the reference: the same downloads, told apart by which URIs they take."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import msgspec

from cloudfs.cloudsync.cloud_file_cache import CloudFileCache, MaySearch, Place, anybody
from cloudfs.control.call import Access, AnyMethod, Call, Method, Off, On, OneUri, about
from cloudfs.control.messages import INVALID_URI, IPC, NO_FILE, NO_SPACE, PERMISSION_10, PERMISSION_11, table
from cloudfs.control.mode_bits import ModeBits
from cloudfs.model.enums import EventClass
from cloudfs.model.errors import InvalidUri
from cloudfs.model.uri import MediaId

# The file of a call's URI, for who may have it downloaded.
Find = Callable[[Call, str], Awaitable[int]]

_DOWNLOAD_EVENTS = table(PERMISSION_10, IPC)
_DOWNLOAD_START = table(PERMISSION_10, NO_FILE, NO_SPACE)
_DOWNLOAD_STOP = table(PERMISSION_10)
_CACHE_ON = table(IPC)
_CACHE_OFF = table(IPC, NO_FILE, NO_SPACE, INVALID_URI)
_CACHE_START = table(IPC, NO_FILE, NO_SPACE, INVALID_URI)
_CACHE_STOP = table(IPC, NO_FILE, INVALID_URI)
_CLEAN_CACHE = table(PERMISSION_11, IPC, NO_FILE, INVALID_URI)


class Stop(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """need_clean: the partial content goes too; without, the next start resumes it."""

    uri: str
    need_clean: bool = True


async def resolve(call: Call, cache: CloudFileCache, place: Place, may_search: MaySearch = anybody) -> int:
    """The inode. Where a folder must be listed for it, the connection's next requests go on meanwhile."""
    inode = cache.find(place, may_search)
    if inode is not None:
        return inode
    call.begin_next()
    return await cache.resolve(place, may_search)


def cloud_file_cache_methods(cache: CloudFileCache, mode_bits: ModeBits) -> list[AnyMethod]:
    """CloudFileCache: whoever can read a file may have it downloaded; cleanCache is a system call."""

    async def find(call: Call, uri: str) -> int:
        may_search = partial(mode_bits.require_search, call.caller)
        inode = await resolve(call, cache, cache.parse(uri), may_search)
        mode_bits.require_read(call.caller, inode)
        return inode

    async def clean_cache(call: Call, params: OneUri) -> None:
        with about(params.uri):
            await cache.clean_cache(await resolve(call, cache, cache.parse(params.uri)))

    on, off, start, stop = _calls(EventClass.CLOUD_FILE_CACHE, cache, find)
    return [
        Method("CloudFileCache.on", On, Access.ANYBODY, on, _CACHE_ON),
        Method("CloudFileCache.off", Off, Access.ANYBODY, off, _CACHE_OFF),
        Method("CloudFileCache.start", OneUri, Access.ANYBODY, start, _CACHE_START),
        Method("CloudFileCache.stop", Stop, Access.ANYBODY, stop, _CACHE_STOP),
        Method("CloudFileCache.cleanCache", OneUri, Access.SYSTEM, clean_cache, _CLEAN_CACHE),
    ]


def download_methods(cache: CloudFileCache) -> list[AnyMethod]:
    """Download: gallery assets by their media URIs, for system apps."""

    async def find(call: Call, uri: str) -> int:
        place = cache.parse(uri)
        if not isinstance(place, MediaId):
            raise InvalidUri("Download takes the URIs of gallery assets, file://media/Photo/ID")
        return await resolve(call, cache, place)

    on, off, start, stop = _calls(EventClass.DOWNLOAD, cache, find)
    return [
        Method("Download.on", On, Access.SYSTEM, on, _DOWNLOAD_EVENTS),
        Method("Download.off", Off, Access.SYSTEM, off, _DOWNLOAD_EVENTS),
        Method("Download.start", OneUri, Access.SYSTEM, start, _DOWNLOAD_START),
        Method("Download.stop", Stop, Access.SYSTEM, stop, _DOWNLOAD_STOP),
    ]


def _calls(
    source: EventClass, cache: CloudFileCache, find: Find
) -> tuple[
    Callable[[Call, On], Awaitable[dict[str, int]]],
    Callable[[Call, Off], Awaitable[None]],
    Callable[[Call, OneUri], Awaitable[None]],
    Callable[[Call, Stop], Awaitable[None]],
]:
    async def on(call: Call, params: On) -> dict[str, int]:
        return {"subscription": call.subscriptions.on(source, params.scope, call.answered)}

    async def off(call: Call, params: Off) -> None:
        call.subscriptions.off(source, params.subscription)

    async def start(call: Call, params: OneUri) -> None:
        with about(params.uri):
            inode = await find(call, params.uri)
            with call.subscriptions.starting(source, inode, params.uri) as claim:
                claim.transfer = cache.start(inode, call.caller.pid)

    async def stop(call: Call, params: Stop) -> None:
        with about(params.uri):
            await cache.stop(await find(call, params.uri), need_clean=params.need_clean)

    return on, off, start, stop
