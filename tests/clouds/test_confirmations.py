"""Files just written are asked for by one listing where many go into a folder, else one by one."""

from __future__ import annotations

from contextlib import ExitStack
from typing import cast

import pytest
import trio
import trio.testing

from cloudfs.clouds import confirmations
from cloudfs.clouds.confirmations import Confirmations
from cloudfs.clouds.propfind import Propfind
from cloudfs.model.entry import FolderListing, RemoteEntry, RemotePath, Version
from cloudfs.model.enums import Kind
from cloudfs.model.errors import NetworkUnavailable, NotFound


class Server:
    """Counts what it is asked; each answer takes a moment."""

    def __init__(self, *names: bytes) -> None:
        self.names = list(names)
        self.lists = 0
        self.stats = 0
        self.is_failing = False

    async def list_folder(self, path: RemotePath) -> FolderListing:
        self.lists += 1
        entries = tuple(self._entry(name) for name in self.names)
        await trio.sleep(0.01)
        if self.is_failing:
            raise NetworkUnavailable("cut")
        return FolderListing(RemoteEntry(b"", Kind.FOLDER, Version(None, None, 0)), entries)

    async def stat(self, path: RemotePath) -> RemoteEntry:
        self.stats += 1
        await trio.sleep(0.01)
        name = path.rpartition(b"/")[2]
        if name not in self.names:
            raise NotFound("404", status=404)
        return self._entry(name)

    def _entry(self, name: bytes) -> RemoteEntry:
        return RemoteEntry(name, Kind.FILE, Version(f'"{name.decode()}"', None, 1))


def confirming(server: Server) -> Confirmations:
    return Confirmations(cast(Propfind, server))


async def put_all(confirmations: Confirmations, server: Server, names: list[bytes]) -> dict[bytes, Version]:
    """All at the same time, in one folder."""
    found: dict[bytes, Version] = {}

    async def put(name: bytes) -> None:
        with confirmations.writing(b"d/" + name):
            await trio.sleep(0.001 * (len(found) + 1))
            server.names.append(name)
        found[name] = await confirmations.version(b"d/" + name)

    async with trio.open_nursery() as nursery:
        for name in names:
            nursery.start_soon(put, name)
    return found


NAMES = [b"%d" % number for number in range(30)]


async def test_many_files_of_a_folder_are_asked_for_by_few_listings() -> None:
    server = Server()
    found = await put_all(confirming(server), server, NAMES)
    assert {name: version.etag for name, version in found.items()} == {
        name: f'"{name.decode()}"' for name in NAMES
    }
    assert server.lists in (1, 2)
    assert server.stats < len(NAMES) / 2


async def test_a_file_alone_is_asked_for_at_once() -> None:
    server = Server()
    await put_all(confirming(server), server, NAMES[:1])
    assert (server.lists, server.stats) == (0, 1)


async def test_a_failing_listing_leaves_each_to_its_own_question() -> None:
    server = Server()
    server.is_failing = True
    assert len(await put_all(confirming(server), server, NAMES)) == len(NAMES)
    assert server.stats >= len(NAMES) - 2


async def test_a_large_folder_is_not_listed_for_a_few_files() -> None:
    server = Server(*(b"other %d" % number for number in range(5000)))
    confirmations = confirming(server)
    await put_all(confirmations, server, NAMES)
    known = server.lists
    await put_all(confirmations, server, NAMES)
    assert server.lists == known


async def test_who_leads_may_be_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confirmations, "GATHER_S", 30)
    server = Server(*NAMES)
    asking = confirming(server)
    with trio.fail_after(5), ExitStack() as stack:
        for name in NAMES:
            stack.enter_context(asking.writing(b"d/" + name))
        async with trio.open_nursery() as others, trio.open_nursery() as leader:
            leader.start_soon(asking.version, b"d/0")
            await trio.testing.wait_all_tasks_blocked()
            others.start_soon(asking.version, b"d/1")
            await trio.testing.wait_all_tasks_blocked()
            leader.cancel_scope.cancel()
    assert server.stats == 1


async def test_what_the_listing_lacks_is_asked_for_by_itself() -> None:
    server = Server()
    asking = confirming(server)
    missing: list[bytes] = []

    async def ask(name: bytes) -> None:
        try:
            await asking.version(b"d/" + name)
        except NotFound:
            missing.append(name)

    async with trio.open_nursery() as nursery:
        with ExitStack() as stack:
            for name in NAMES:
                stack.enter_context(asking.writing(b"d/" + name))
            for name in NAMES:
                nursery.start_soon(ask, name)
            await trio.testing.wait_all_tasks_blocked()
    assert sorted(missing) == sorted(NAMES)
    assert (server.lists, server.stats) == (1, len(NAMES))
