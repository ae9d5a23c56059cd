"""FileSync and GallerySync of the reference: one table over two scopes."""

from __future__ import annotations

from functools import partial

from cloudfs.cloudsync.file_sync import FileSync
from cloudfs.control.call import Access, AnyMethod, Call, Method, NoParams, Off, On
from cloudfs.control.messages import IPC, PERMISSION_10, PERMISSION_11, SYNC_REFUSED, Messages, table
from cloudfs.model.enums import Scope

_GALLERY_EVENTS = table(PERMISSION_10, IPC)
_GALLERY_STOP = table(PERMISSION_10)
_GALLERY_START = table(PERMISSION_10, SYNC_REFUSED)
_FILES = table(PERMISSION_11, IPC)
_FILES_START = table(PERMISSION_11, IPC, SYNC_REFUSED)


def sync_methods(sync: FileSync) -> list[AnyMethod]:
    """The methods of one scope's class; they read by its own tables."""
    if sync.scope is Scope.GALLERY:
        return _methods(sync, events=_GALLERY_EVENTS, start=_GALLERY_START, stop=_GALLERY_STOP)
    return _methods(sync, events=_FILES, start=_FILES_START, stop=_FILES)


def _methods(sync: FileSync, *, events: Messages, start: Messages, stop: Messages) -> list[AnyMethod]:
    source = sync.event_class

    async def on(call: Call, params: On) -> dict[str, int]:
        return {"subscription": call.subscriptions.on(source, params.scope, call.answered)}

    async def off(call: Call, params: Off) -> None:
        call.subscriptions.off(source, params.subscription)

    async def start_sync(call: Call, params: NoParams) -> None:
        if not sync.can_answer_at_once:
            call.begin_next()
        await sync.start(partial(call.subscriptions.told, source))

    async def stop_sync(call: Call, params: NoParams) -> None:
        await sync.stop()

    async def last_sync_time(call: Call, params: NoParams) -> int:
        return sync.last_sync_time_ms

    return [
        Method(f"{source}.on", On, Access.SYSTEM, on, events),
        Method(f"{source}.off", Off, Access.SYSTEM, off, events),
        Method(f"{source}.start", NoParams, Access.SYSTEM, start_sync, start),
        Method(f"{source}.stop", NoParams, Access.SYSTEM, stop_sync, stop),
        Method(f"{source}.getLastSyncTime", NoParams, Access.SYSTEM, last_sync_time, events),
    ]
