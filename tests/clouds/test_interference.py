"""What comes between: nothing goes out without a network, made-up answers reach nobody's server, and none of
them is learned from."""

from __future__ import annotations

import pytest
import trio

from cloudfs.clouds.base import Lane
from cloudfs.clouds.http import Http
from cloudfs.clouds.interference import Interference
from cloudfs.model.enums import CloudState
from cloudfs.model.errors import (
    AccessRefused,
    CloudfsError,
    CloudStorageFull,
    NetworkUnavailable,
    NotFound,
    ServerError,
    TooManyRequests,
    Unauthorized,
)
from tests.clouds.conftest import KNOWN, OpenScripted, OpenWebDav, pieces
from tests.servers.apache import Apache
from tests.servers.scripted import response


class Switch:
    """An interference in the test's hands."""

    def __init__(self) -> None:
        self.is_cut_off = False
        self.status: int | None = None
        self.interference = Interference(lambda: self.is_cut_off, lambda method: self.status)


@pytest.fixture
def switch() -> Switch:
    return Switch()


async def start(nursery: trio.Nursery, url: str, switch: Switch) -> Http:
    http = Http(url, timeout_s=5.0, interference=switch.interference)
    await nursery.start(http.run)
    return http


async def get(http: Http, url: str) -> bytes:
    async with http.request("GET", url, lane=Lane.DEMAND, expect=(200,)) as answer:
        return await answer.read(1 << 20)


async def test_without_a_network_nothing_is_sent(
    nursery: trio.Nursery, open_scripted: OpenScripted, switch: Switch
) -> None:
    server = await open_scripted(lambda _: response(200, b"here"))
    http = await start(nursery, server.url, switch)
    assert await get(http, server.url) == b"here"
    switch.is_cut_off = True
    with pytest.raises(NetworkUnavailable, match="told to have no network"):
        await get(http, server.url)
    assert (len(server.seen), http.state) == (1, CloudState.OFFLINE)
    switch.is_cut_off = False
    assert await get(http, server.url) == b"here"
    assert http.state is CloudState.READY


async def test_a_body_ends_with_the_network(
    nursery: trio.Nursery, open_scripted: OpenScripted, switch: Switch
) -> None:
    server = await open_scripted(lambda _: response(200, bytes(4 << 20)))
    http = await start(nursery, server.url, switch)
    async with http.request("GET", server.url, lane=Lane.DEMAND, expect=(200,)) as answer:
        assert await answer.next_chunk()
        switch.is_cut_off = True
        with pytest.raises(NetworkUnavailable):
            await answer.next_chunk()
    assert http.lanes.busy == 0


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (401, Unauthorized),
        (403, AccessRefused),
        (404, NotFound),
        (429, TooManyRequests),
        (500, ServerError),
        (503, ServerError),
        (507, CloudStorageFull),
    ],
)
async def test_an_answer_that_is_made_up_takes_the_way_of_a_real_one(
    nursery: trio.Nursery,
    open_scripted: OpenScripted,
    switch: Switch,
    status: int,
    cause: type[CloudfsError],
) -> None:
    server = await open_scripted(lambda _: response(201))
    http = await start(nursery, server.url, switch)
    switch.status = status
    content = pieces(b"never sent")
    with pytest.raises(cause) as caught:
        async with http.request("PUT", server.url, lane=Lane.BULK, expect=(201,), body=content):
            pass
    assert type(caught.value) is cause
    assert caught.value.status == status
    assert (http.state is CloudState.UNAUTHORIZED) == (status == 401)
    with pytest.raises(StopAsyncIteration):  # it was closed
        await anext(content)
    assert (server.seen, http.lanes.busy) == ([], 0)


async def test_nothing_is_learned_from_what_is_made_up(
    apache: Apache, open_webdav: OpenWebDav, switch: Switch
) -> None:
    """Else a server that keeps to conditions would be taken for one that passes over them, for good."""
    cloud = await open_webdav(apache.url, interference=switch.interference)
    switch.status = 403
    assert await cloud.probe_writes() == KNOWN
    with pytest.raises(AccessRefused):
        await cloud.write(b"f", pieces(b"1"), 1, None)
    with pytest.raises(AccessRefused):  # not NameRefused, which would be kept in mind of all such names
        await cloud.make_folder("e\u0301".encode())
    assert not list(apache.root.iterdir())
    switch.status = None
    await cloud.write(b"f", pieces(b"1"), 1, None)
    await cloud.make_folder("e\u0301".encode())
    assert sorted(path.name for path in apache.root.iterdir()) == ["e\u0301", "f"]
