"""What changes of a WebDav leave on its server when they fail: no temporaries, no locks."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest
import trio

from cloudfs.clouds.http import Http
from cloudfs.clouds.locks import Locks
from cloudfs.clouds.site import Site
from cloudfs.model.entry import Version
from cloudfs.model.errors import (
    CloudStorageFull,
    Locked,
    NetworkUnavailable,
    PreconditionFailed,
)
from tests.clouds.conftest import (
    KNOWN,
    UNCONDITIONAL,
    Directory,
    OpenOdd,
    OpenWebDav,
    mark,
    pieces,
    version,
)
from tests.servers.apache import Apache
from tests.servers.faults import Answer, IgnoreConditions, LoseAnswer
from tests.servers.odd_wsgidav import Oddities
from tests.servers.proxy import FaultProxy


async def test_what_a_crash_left_is_removed_by_its_own_mount_alone(
    open_odd: OpenOdd, open_webdav: OpenWebDav
) -> None:
    server = open_odd(Oddities(shows_torsos=True))
    cloud = await open_webdav(server.url, mount_id="ours")
    names = [f".cloudfs-{mark(owner)}-{'0' * 16}" for owner in ("ours", "theirs")]
    for name in [*names, ".cloudfs-moved-ours-7"]:
        (server.root / name).write_bytes(b"left")
    assert (await cloud.list_folder(b"")).entries == ()
    assert len(os.listdir(server.root)) == 3  # a listing changes nothing
    await cloud.write(b"f", pieces(b"abc"), 3, None)
    assert sorted(os.listdir(server.root)) == sorted([names[1], ".cloudfs-moved-ours-7", "f"])


async def test_a_lost_answer_leaves_no_temporary(open_odd: OpenOdd, open_webdav: OpenWebDav) -> None:
    server = open_odd(Oddities(shows_torsos=True))
    with FaultProxy(server.url) as proxy:
        cloud = await open_webdav(proxy.url)
        await cloud.probe_writes()
        proxy.conditions.faults.add(LoseAnswer(), method="MOVE", times=1)
        with pytest.raises(NetworkUnavailable):
            await cloud.write(b"f", pieces(b"abc"), 3, None)
        proxy.conditions.faults.add(Answer(507), method="MOVE", times=1)
        with pytest.raises(CloudStorageFull):
            await cloud.write(b"g", pieces(b"abc"), 3, None)
        proxy.conditions.faults.add(Answer(507), method="PUT", times=1)
        with pytest.raises(CloudStorageFull):
            await cloud.write(b"h", pieces(b"abc"), 3, None)
    assert os.listdir(server.root) == ["f"]


async def test_a_temporary_that_could_not_be_removed_goes_with_a_later_change(
    open_odd: OpenOdd, open_webdav: OpenWebDav
) -> None:
    server = open_odd(Oddities(shows_torsos=True))
    with FaultProxy(server.url) as proxy:
        cloud = await open_webdav(proxy.url)
        await cloud.probe_writes()
        proxy.faults.add(Answer(507), method="MOVE", times=1)
        proxy.faults.add(Answer(503), method="DELETE", times=1)
        with pytest.raises(CloudStorageFull):
            await cloud.write(b"f", pieces(b"abc"), 3, None)
        assert len(os.listdir(server.root)) == 1
        assert (await cloud.list_folder(b"")).entries == ()
        await cloud.write(b"g", pieces(b"abc"), 3, None)
    assert os.listdir(server.root) == ["g"]


async def test_a_lock_is_released_whatever_happens(apache: Apache, open_webdav: OpenWebDav) -> None:
    Directory(apache.root).put(b"f", b"first")
    (apache.root / "f").chmod(0o666)
    cloud = await open_webdav(apache.url, known=UNCONDITIONAL)
    base = await version(cloud, b"f")

    async def failing() -> AsyncIterator[bytes]:
        yield b"x"
        raise InterruptedError

    with pytest.raises(InterruptedError):
        await cloud.write(b"f", failing(), 2, base)
    with pytest.raises(PreconditionFailed):
        await cloud.write(b"f", pieces(b"xx"), 2, Version('"stale"', None, 7))
    with trio.CancelScope() as scope:

        async def cancelling() -> AsyncIterator[bytes]:
            yield b"x"
            scope.cancel()
            await trio.sleep_forever()

        await cloud.write(b"f", cancelling(), 2, base)
    await cloud.write(b"f", pieces(b"xx"), 2, base)
    await cloud.delete(b"f", await version(cloud, b"f"))
    assert not (apache.root / "f").exists()


async def test_conditions_that_a_proxy_strips(
    proxy: FaultProxy, apache: Apache, open_webdav: OpenWebDav
) -> None:
    outside = Directory(apache.root)
    outside.put(b"f", b"first")
    proxy.conditions.faults.add(IgnoreConditions())
    cloud = await open_webdav(proxy.url)
    base = await version(cloud, b"f")
    outside.put(b"f", b"other")
    with pytest.raises(PreconditionFailed):
        await cloud.write(b"f", pieces(b"mine"), 4, base)
    with pytest.raises(PreconditionFailed):
        await cloud.delete(b"f", base)
    assert (apache.root / "f").read_bytes() == b"other"


async def test_somebody_elses_lock(nursery: trio.Nursery, apache: Apache, open_webdav: OpenWebDav) -> None:
    Directory(apache.root).put(b"f", b"first")
    cloud = await open_webdav(apache.url, known=KNOWN)
    base = await version(cloud, b"f")
    http = Http(apache.url)
    await nursery.start(http.run)
    async with Locks(Site(apache.url, http, KNOWN)).hold(b"f"):
        for known in (KNOWN, UNCONDITIONAL):
            other = await open_webdav(apache.url, known=known)
            with pytest.raises(Locked):
                await other.write(b"f", pieces(b"mine"), 4, base)
            with pytest.raises(Locked):
                await other.delete(b"f", base)
            with pytest.raises(Locked):
                await other.move(b"f", b"g")
    assert (apache.root / "f").read_bytes() == b"first"
