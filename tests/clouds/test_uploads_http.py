"""Streamed request bodies: early answers, closed connections, slow servers, bodies that end badly."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import trio
import trustme

from cloudfs.clouds.base import Lane
from cloudfs.clouds.http import Http
from cloudfs.model.errors import (
    CloudStorageFull,
    NetworkTimeout,
    NetworkUnavailable,
    PreconditionFailed,
    TryAgain,
)
from tests.clouds.conftest import Directory, OpenWebDav
from tests.servers.apache import Apache
from tests.servers.proxy import FaultProxy
from tests.servers.scripted import response

PIECE = 64 * 1024
SIZE = 64 * 1024 * 1024

Serve = Callable[[trio.SocketStream], Awaitable[None]]


class Body:
    """`size` zeros in pieces, counted as they are taken."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.taken = 0
        self.is_closed = False

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        try:
            while self.taken < self.size:
                self.taken += PIECE
                yield bytes(PIECE)
        finally:
            self.is_closed = True


async def start(nursery: trio.Nursery, url: str, **options: object) -> Http:
    http = Http(url, **{"timeout_s": 5.0, **options})  # type: ignore[arg-type]
    await nursery.start(http.run)
    return http


async def put(http: Http, url: str, body: AsyncIterator[bytes], size: int, **headers: str) -> int:
    async with http.request(
        "PUT",
        url,
        lane=Lane.BULK,
        expect=(200, 201, 204),
        headers={"Content-Length": str(size), **headers},
        body=body,
    ) as answer:
        return answer.status


async def serve(nursery: trio.Nursery, handler: Serve) -> str:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, _patient(handler), [listener])
    return f"http://127.0.0.1:{listener.socket.getsockname()[1]}/"


def _patient(handler: Serve) -> Serve:
    async def handle(stream: trio.SocketStream) -> None:
        try:
            await handler(stream)
        except trio.BrokenResourceError:
            return  # the client went

    return handle


async def refuse(stream: trio.SocketStream) -> None:
    """Answer to the head, and take no more."""
    await stream.receive_some(PIECE)
    await stream.send_all(response(507))
    await trio.sleep_forever()


async def refuse_and_close(stream: trio.SocketStream) -> None:
    await stream.receive_some(PIECE)
    await stream.send_all(response(507, Connection="close"))
    await stream.aclose()


@pytest.mark.parametrize("server", [refuse, refuse_and_close])
async def test_an_early_answer_ends_the_body(nursery: trio.Nursery, server: Serve) -> None:
    url = await serve(nursery, server)
    http = await start(nursery, url)
    for _ in range(3):
        body = Body(SIZE)
        with pytest.raises(CloudStorageFull):
            await put(http, url, body.pieces(), SIZE)
        assert body.taken < SIZE
        assert body.is_closed
    assert http.lanes.busy == 0


async def test_an_early_answer_over_tls(nursery: trio.Nursery, tmp_path: Path) -> None:
    """The tickets that TLS 1.3 sends after its handshake are no answer."""
    authority = trustme.CA()
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    async def take(stream: trio.SSLStream[trio.SocketStream]) -> None:
        """A first upload whole, then refuse the next at its head."""
        taken = -1
        while taken < 4 * PIECE:
            chunk = await stream.receive_some(PIECE)
            taken += len(chunk) if taken >= 0 else len(chunk.partition(b"\r\n\r\n")[2]) + 1
        await stream.send_all(response(201))
        await stream.receive_some(PIECE)
        await stream.send_all(response(507))
        await trio.sleep_forever()

    listeners = await trio.open_ssl_over_tcp_listeners(0, context, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, take, listeners)
    transport = listeners[0].transport_listener
    assert isinstance(transport, trio.SocketListener)
    url = f"https://127.0.0.1:{transport.socket.getsockname()[1]}/"
    http = await start(nursery, url, ca_file=ca_file)
    assert await put(http, url, Body(4 * PIECE).pieces(), 4 * PIECE) == 201
    body = Body(SIZE)
    with pytest.raises(CloudStorageFull):
        await put(http, url, body.pieces(), SIZE)
    assert body.taken < SIZE


async def test_an_interim_answer_is_none(nursery: trio.Nursery) -> None:
    async def answer(stream: trio.SocketStream) -> None:
        taken = len((await stream.receive_some(PIECE)).partition(b"\r\n\r\n")[2])
        await stream.send_all(b"HTTP/1.1 102 Processing\r\n\r\n")
        while taken < 8 * PIECE:
            taken += len(await stream.receive_some(PIECE))
        await stream.send_all(response(201))

    url = await serve(nursery, answer)
    http = await start(nursery, url)
    body = Body(8 * PIECE)
    assert await put(http, url, body.pieces(), body.size) == 201
    assert body.taken == body.size


async def test_a_large_body_with_a_stale_base(apache: Apache, open_webdav: OpenWebDav) -> None:
    """Apache reads it to its end before it refuses."""
    outside = Directory(apache.root)
    outside.put(b"f", b"first")
    cloud = await open_webdav(apache.url)
    stale = (await cloud.stat(b"f")).version
    outside.put(b"f", b"other")
    body = Body(SIZE)
    with pytest.raises(PreconditionFailed):
        await cloud.write(b"f", body.pieces(), SIZE, stale)
    assert body.is_closed
    assert outside.content(b"f") == b"other"


@pytest.mark.parametrize("size", [PIECE - 1, PIECE + 1])
async def test_a_body_of_another_length_is_never_taken(
    apache: Apache, open_webdav: OpenWebDav, size: int
) -> None:
    cloud = await open_webdav(apache.url)
    body = Body(PIECE)
    with pytest.raises(TryAgain):
        await cloud.write(b"f", body.pieces(), size, None)
    assert body.is_closed
    assert not (apache.root / "f").exists()


async def test_the_bodys_own_error_is_the_callers(apache: Apache, nursery: trio.Nursery) -> None:
    http = await start(nursery, apache.url)

    async def failing() -> AsyncIterator[bytes]:
        yield b"x"
        raise InterruptedError

    with pytest.raises(InterruptedError):
        await put(http, apache.url + "f", failing(), 2)
    assert http.lanes.busy == 0
    assert not (apache.root / "f").exists()


async def test_a_server_that_takes_nothing_is_out_of_reach(nursery: trio.Nursery) -> None:
    async def ignore(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    url = await serve(nursery, ignore)
    http = await start(nursery, url, timeout_s=0.3)
    with pytest.raises(NetworkTimeout):
        await put(http, url, Body(SIZE).pieces(), SIZE)


async def test_an_upload_has_the_whole_timeout_for_its_answer(nursery: trio.Nursery) -> None:
    """A read has a third of it, and 2 s at least."""

    async def answer(stream: trio.SocketStream) -> None:
        taken = len((await stream.receive_some(PIECE)).partition(b"\r\n\r\n")[2])
        while taken < PIECE:
            taken += len(await stream.receive_some(PIECE))
        await trio.sleep(2.2)
        await stream.send_all(response(201))

    url = await serve(nursery, answer)
    http = await start(nursery, url, timeout_s=6.0)
    assert await put(http, url, Body(PIECE).pieces(), PIECE) == 201


async def test_a_connection_lost_in_mid_body(proxy: FaultProxy, nursery: trio.Nursery) -> None:
    http = await start(nursery, proxy.url)

    async def pieces() -> AsyncIterator[bytes]:
        yield bytes(PIECE)
        while not proxy.counters.open:
            await trio.sleep(0.01)
        proxy.drop_connections()
        for _ in range(100):
            yield bytes(PIECE)
            await trio.sleep(0.02)

    with pytest.raises(NetworkUnavailable):
        await put(http, proxy.url + "f", pieces(), SIZE)
