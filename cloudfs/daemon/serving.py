"""One mount from its configuration to its end.

Task owners: each service owns the tasks it starts; this package owns the services, and the task that waits
for signals. A service that fails ends the daemon, which unmounts on its way out.
"""

from __future__ import annotations

import gc
import logging
import resource
import secrets
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import trio

from cloudfs.cache.directory import claim
from cloudfs.config import MountConfig, read_credentials
from cloudfs.daemon.mount import Mount
from cloudfs.daemon.notify import ServiceManager
from cloudfs.daemon.services import lone_errors, running
from cloudfs.database.bridge import Database
from cloudfs.database.faults import DatabaseDamaged, set_aside
from cloudfs.database.settings import Settings
from cloudfs.fuse.mountpoint import MountEntry, prepare

log = logging.getLogger(__name__)

DATABASE_NAME = "cloudfs.db"


async def serve(config: MountConfig, *, ready: Callable[[], None], entry: MountEntry) -> None:
    """Mount what `config` describes and serve it until SIGTERM, SIGINT, SIGHUP or an unmount.

    ready: called once the root was listed, or the cloud is known to be out of reach. A service manager
    (sd_notify(3)) is told of that, of the end, and how it stands meanwhile. entry: how the mount table is to
    show it.
    Raises ConfigError where the credentials can't be had, MountFailed where the mountpoint can't be used,
    LocalIOError where the cache can't (or another daemon uses it); nothing stays mounted then.
    """
    _prepare_process()
    manager = ServiceManager.of_this_process()
    login = await trio.to_thread.run_sync(read_credentials, config)
    with claim(config.cache.path, config.mount.path):
        # Before anything else speaks up: what can't be mounted is the one thing to say.
        await trio.to_thread.run_sync(prepare, config.mount.path, abandon_on_cancel=True)
        async with AsyncExitStack() as stack:
            database = await _open_database(stack, config.cache.path / DATABASE_NAME)
            await stack.enter_async_context(running(manager))
            mount_id = await _mount_id(Settings(database))
            mount = Mount(config, login, database, mount_id=mount_id, manager=manager, entry=entry)
            await mount.tree.load()
            for service in mount.services:
                await stack.enter_async_context(running(service))
            with lone_errors():
                await mount.serve(ready)


async def _mount_id(settings: Settings) -> str:
    """What tells this mount's temporary names in the cloud from those of others."""
    stored = settings.get("mount id")
    if stored is None:
        stored = secrets.token_hex(8)
        await settings.set("mount id", stored)
    return str(stored)


def _prepare_process() -> None:
    """What a process needs that holds many files open and makes many small objects at once."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # each open file costs a descriptor
    # Nodes and listings hold no cycles. By its defaults the collector would look through all of them again
    # and again while a large folder is listed, and stall whoever waits.
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def _open_database(stack: AsyncExitStack, path: Path) -> Database:
    """The durable memory. A damaged one is set aside, and the tree and the cache begin anew."""
    try:
        return await _start_database(stack, path)
    except DatabaseDamaged as error:
        kept = set_aside(path)
        log.error("the database is damaged (%s): it is kept as %s, and built anew", error.reason, kept)
        return await _start_database(stack, path)


async def _start_database(stack: AsyncExitStack, path: Path) -> Database:
    database = Database(path)
    await stack.enter_async_context(running(database))
    return database
