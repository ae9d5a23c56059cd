"""Requests: deadlines, credentials, redirects, statuses, connections, and how they end."""

from __future__ import annotations

import random
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
import trustme

from cloudfs.clouds.base import Lane
from cloudfs.clouds.credentials import BasicCredentials, BearerCredentials
from cloudfs.clouds.http import Http
from cloudfs.model.enums import CloudState
from cloudfs.model.errors import (
    AccessRefused,
    CloudfsError,
    CloudStorageFull,
    Locked,
    NameRefused,
    NetworkTimeout,
    NetworkUnavailable,
    NotFound,
    PreconditionFailed,
    ServerError,
    TooManyRequests,
    Unauthorized,
    WrongContent,
)
from tests.clouds.conftest import OpenScripted
from tests.servers.faults import SeenRequest
from tests.servers.proxy import FaultProxy
from tests.servers.scripted import CLOSE, response


async def start(nursery: trio.Nursery, url: str, **options: object) -> Http:
    http = Http(url, **{"timeout_s": 5.0, **options})  # type: ignore[arg-type]
    await nursery.start(http.run)
    return http


async def get(http: Http, url: str, *, method: str = "GET", lane: Lane = Lane.DEMAND) -> bytes:
    async with http.request(method, url, lane=lane, expect=(200, 206)) as answer:
        return await answer.read(1 << 20)


STATUSES = [
    (400, CloudfsError),
    (401, Unauthorized),
    (403, AccessRefused),
    (404, NotFound),
    (408, ServerError),
    (410, NotFound),
    (412, PreconditionFailed),
    (414, NameRefused),
    (416, WrongContent),
    (423, Locked),
    (429, TooManyRequests),
    (500, ServerError),
    (502, ServerError),
    (503, ServerError),
    (504, ServerError),
    (507, CloudStorageFull),
    (204, WrongContent),
    (304, WrongContent),
]


@pytest.mark.parametrize(("status", "cause"), STATUSES)
async def test_each_status_is_a_cause(
    nursery: trio.Nursery, open_scripted: OpenScripted, status: int, cause: type[CloudfsError]
) -> None:
    server = await open_scripted(lambda _: response(status))
    http = await start(nursery, server.url)
    with pytest.raises(cause) as caught:
        await get(http, server.url)
    assert type(caught.value) is cause
    assert caught.value.status == status
    # The refused answer's connection is used again.
    with pytest.raises(cause):
        await get(http, server.url)
    assert server.connections == 1


async def test_retry_after_makes_a_503_a_matter_of_patience(
    nursery: trio.Nursery, open_scripted: OpenScripted
) -> None:
    server = await open_scripted(lambda _: response(503, Retry_After="7"))
    http = await start(nursery, server.url)
    with pytest.raises(TooManyRequests) as caught:
        await get(http, server.url)
    assert caught.value.retry_after == 7.0


async def test_a_huge_error_page_is_not_read(nursery: trio.Nursery, open_scripted: OpenScripted) -> None:
    endless = b"HTTP/1.1 500 Oops\r\nContent-Length: 999999999999\r\n\r\n" + b"x" * 1_000_000
    server = await open_scripted(lambda _: endless)
    http = await start(nursery, server.url)
    with pytest.raises(ServerError):
        await get(http, server.url)


async def test_basic_and_bearer_credentials_are_sent(
    nursery: trio.Nursery, open_scripted: OpenScripted
) -> None:
    server = await open_scripted(lambda _: response(200))
    basic = await start(nursery, server.url, credentials=BasicCredentials("m\u00e9", "p:w"))
    bearer = await start(nursery, server.url, credentials=BearerCredentials("t0ken"))
    await get(basic, server.url)
    await get(bearer, server.url)
    sent = [request.headers["authorization"] for request in server.seen]
    assert sent == ["Basic bcOpOnA6dw==", "Bearer t0ken"]


def test_credentials_do_not_show_in_logs() -> None:
    assert "secret" not in repr(BasicCredentials("me", "secret"))
    assert "secret" not in repr(BearerCredentials("secret"))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_to_another_origin_is_refused(
    nursery: trio.Nursery, open_scripted: OpenScripted, status: int
) -> None:
    other = await open_scripted(lambda _: response(200, b"stolen"))
    server = await open_scripted(lambda _: response(status, Location=other.url + "x"))
    http = await start(nursery, server.url, credentials=BasicCredentials("me", "secret"))
    with pytest.raises(WrongContent):
        await get(http, server.url)
    assert other.seen == []


async def test_a_redirect_within_the_origin_is_followed(
    nursery: trio.Nursery, open_scripted: OpenScripted
) -> None:
    def script(request: SeenRequest) -> bytes:
        if request.target == "/new%20place/":
            return response(200, request.method.encode())
        return response(308, Location="/new%20place/")

    server = await open_scripted(script)
    http = await start(nursery, server.url)
    assert await get(http, server.url + "old") == b"GET"
    assert await get(http, server.url + "old", method="PROPFIND") == b"PROPFIND"


async def test_redirects_in_a_circle_end(nursery: trio.Nursery, open_scripted: OpenScripted) -> None:
    server = await open_scripted(lambda request: response(302, Location=request.target + "a"))
    http = await start(nursery, server.url)
    with pytest.raises(WrongContent):
        await get(http, server.url)
    assert len(server.seen) < 10


async def test_a_streamed_body_is_not_sent_elsewhere(
    nursery: trio.Nursery, open_scripted: OpenScripted
) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"abc"

    server = await open_scripted(lambda _: response(307, Location="/other"))
    http = await start(nursery, server.url)
    with pytest.raises(WrongContent):
        async with http.request(
            "PUT",
            server.url,
            lane=Lane.BULK,
            expect=(201,),
            headers={"Content-Length": "3"},
            body=body(),
        ):
            pass
    assert len(server.seen) == 1


async def test_an_encoded_body_is_refused(nursery: trio.Nursery, open_scripted: OpenScripted) -> None:
    server = await open_scripted(lambda _: response(200, b"\x1f\x8b", Content_Encoding="gzip"))
    http = await start(nursery, server.url)
    with pytest.raises(WrongContent):
        await get(http, server.url)
    assert server.seen[0].headers["accept-encoding"] == "identity"


async def test_no_cookie_is_kept(nursery: trio.Nursery, open_scripted: OpenScripted) -> None:
    server = await open_scripted(lambda _: response(200, Set_Cookie="a=b; Path=/"))
    http = await start(nursery, server.url)
    await get(http, server.url)
    await get(http, server.url)
    assert "cookie" not in server.seen[1].headers


async def test_an_answer_that_does_not_come_is_a_timeout(nursery: trio.Nursery, proxy: FaultProxy) -> None:
    http = await start(nursery, proxy.url, timeout_s=0.2)
    proxy.hang()
    with pytest.raises(NetworkTimeout):
        await get(http, proxy.url)
    assert http.state is CloudState.OFFLINE


async def test_a_head_that_drips_is_bounded(nursery: trio.Nursery) -> None:
    async def drip(stream: trio.SocketStream) -> None:
        await stream.receive_some(10_000)
        await stream.send_all(b"HTTP/1.1 200 OK\r\n")
        try:
            while True:
                await trio.sleep(0.05)
                await stream.send_all(b"a: b\r\n")
        except trio.BrokenResourceError:
            return

    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, drip, [listener])
    url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}/"
    http = await start(nursery, url, timeout_s=0.5)
    with trio.fail_after(10), pytest.raises(NetworkTimeout):
        await get(http, url)


async def test_a_refused_connection(nursery: trio.Nursery, proxy: FaultProxy) -> None:
    http = await start(nursery, proxy.url)
    proxy.refuse()
    with pytest.raises(NetworkUnavailable) as caught:
        await get(http, proxy.url + "f")
    assert type(caught.value) is NetworkUnavailable
    assert "refused" in caught.value.reason


async def test_a_closed_idle_connection_costs_a_safe_request_nothing(
    nursery: trio.Nursery, open_scripted: OpenScripted
) -> None:
    answers = iter([response(200, b"1"), CLOSE, response(200, b"2"), CLOSE])
    server = await open_scripted(lambda _: next(answers))
    http = await start(nursery, server.url)
    assert await get(http, server.url) == b"1"
    assert await get(http, server.url) == b"2"
    # What may change something is asked once.
    with pytest.raises(NetworkUnavailable):
        await get(http, server.url, method="DELETE")
    assert len(server.seen) == 4


async def test_connections_stay_warm(nursery: trio.Nursery, open_scripted: OpenScripted) -> None:
    server = await open_scripted(lambda _: response(200, b"x" * 100_000))
    http = await start(nursery, server.url)
    for _ in range(5):
        await get(http, server.url)
    # An error's small body, and a body that its reader left for the most part.
    async with http.request("GET", server.url, lane=Lane.DEMAND, expect=(200,)) as answer:
        await answer.next_chunk()
    await get(http, server.url)
    assert server.connections <= 2


async def test_state_follows_the_answers(nursery: trio.Nursery, open_scripted: OpenScripted) -> None:
    answers = iter([200, 200, 401, 500, 404])
    server = await open_scripted(lambda _: response(next(answers)))
    heard: list[CloudState] = []
    http = await start(nursery, server.url, on_state=heard.append)
    assert http.state is CloudState.OFFLINE
    for _ in range(5):
        try:
            await get(http, server.url)
        except CloudfsError:
            continue
    assert heard == [CloudState.READY, CloudState.UNAUTHORIZED, CloudState.READY]


async def test_overload_shrinks_the_connections_and_success_grows_them(
    nursery: trio.Nursery, open_scripted: OpenScripted
) -> None:
    statuses = iter([429, *([200] * 1000)])
    server = await open_scripted(lambda _: response(next(statuses)))
    http = await start(nursery, server.url, max_connections=16)
    with pytest.raises(TooManyRequests):
        await get(http, server.url)
    assert http.lanes.limit == 8
    for _ in range(150):
        await get(http, server.url)
    assert http.lanes.limit == 16


async def test_cancelled_requests_leak_no_connection(nursery: trio.Nursery, proxy: FaultProxy) -> None:
    """httpx's pool alone loses a slot with each request cancelled while it is full (httpcore#1093)."""
    http = await start(nursery, proxy.url, max_connections=4)
    proxy.conditions.rtt_s = 0.004
    rng = random.Random(7)

    async def churn() -> None:
        for _ in range(30):
            with trio.move_on_after(rng.random() * 0.02):
                await get(http, proxy.url, method="OPTIONS", lane=Lane.METADATA)

    async with trio.open_nursery() as inner:
        for _ in range(20):
            inner.start_soon(churn)
    assert http.lanes.busy == 0
    with trio.fail_after(20):
        async with trio.open_nursery() as inner:
            for _ in range(8):
                inner.start_soon(_options, http, proxy.url)


async def _options(http: Http, url: str) -> None:
    await get(http, url, method="OPTIONS", lane=Lane.METADATA)


async def test_certificates_are_verified(
    nursery: trio.Nursery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    async def serve(stream: trio.SSLStream[trio.SocketStream]) -> None:
        try:
            await stream.receive_some(10_000)
            await stream.send_all(response(200, b"secure"))
        except trio.BrokenResourceError:
            return  # the client did not like the certificate

    listeners = await trio.open_ssl_over_tcp_listeners(0, context, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, serve, listeners)
    transport = listeners[0].transport_listener
    assert isinstance(transport, trio.SocketListener)
    url = f"https://127.0.0.1:{transport.socket.getsockname()[1]}/"
    trusting = await start(nursery, url, ca_file=ca_file)
    assert await get(trusting, url) == b"secure"
    wary = await start(nursery, url)
    with pytest.raises(NetworkUnavailable) as caught:
        await get(wary, url)
    assert "certificate" in caught.value.reason


async def test_a_ca_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nonsense")
    for name in ("ca.pem", "missing.pem"):
        with pytest.raises(CloudfsError, match="ca_file"):
            await Http("https://example.org/", ca_file=tmp_path / name).run()


async def test_the_environments_proxy_is_used(
    nursery: trio.Nursery, open_scripted: OpenScripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    between = await open_scripted(lambda _: response(200, b"by proxy"))
    monkeypatch.setenv("http_proxy", between.url)
    http = await start(nursery, "http://cloud.test/")
    assert await get(http, "http://cloud.test/f") == b"by proxy"
    assert between.seen[0].target == "http://cloud.test/f"
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = await open_scripted(lambda _: response(200, b"direct"))
    direct = await start(nursery, server.url)
    assert await get(direct, server.url) == b"direct"
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:1")
    with pytest.raises(CloudfsError, match="socks5"):
        await Http("http://cloud.test/").run()
