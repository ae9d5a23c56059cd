"""Servers that are not reached, and why."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio
import trustme

from cloudfs.doctor import server
from cloudfs.doctor.finding import Finding
from tests.doctor.conftest import Asked
from tests.servers.proxy import FaultProxy
from tests.servers.scripted import ScriptedServer, response

Serve = Callable[[trustme.LeafCert], Awaitable[str]]


def mend(found: dict[str, Finding]) -> str:
    """Of a server that was not reached; no other check has failed for that."""
    assert [check for check, finding in found.items() if finding.is_made] == ["server"]
    assert not found["server"].ok
    return str(found["server"].mend)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def serve(nursery: trio.Nursery) -> Serve:
    """A server behind TLS, by its certificate."""

    async def start(certificate: trustme.LeafCert) -> str:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)

        async def answer(stream: trio.SSLStream[trio.SocketStream]) -> None:
            try:
                await stream.receive_some(10_000)
                await stream.send_all(response(404, Connection="close"))
            except trio.BrokenResourceError:
                return  # the client did not like the certificate

        listeners = await trio.open_ssl_over_tcp_listeners(0, context, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, answer, listeners)
        transport = listeners[0].transport_listener
        assert isinstance(transport, trio.SocketListener)
        return f"https://127.0.0.1:{transport.socket.getsockname()[1]}/"

    return start


async def test_nothing_listens(asked: Asked) -> None:
    port = free_port()
    assert f"nothing listens on port {port} of 127.0.0.1" in mend(await asked(f"http://127.0.0.1:{port}/"))


async def test_a_host_that_nobody_knows(asked: Asked) -> None:
    class Resolver(trio.abc.HostnameResolver):
        async def getaddrinfo(self, *_: object) -> list[object]:  # type: ignore[override]
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        async def getnameinfo(self, *_: object) -> tuple[str, str]:
            raise NotImplementedError

    trio.socket.set_custom_hostname_resolver(Resolver())
    assert "getent hosts dav.invalid" in mend(await asked("http://dav.invalid/"))


async def test_one_that_never_answers(asked: Asked, proxy: FaultProxy) -> None:
    proxy.conditions.hung = True
    assert "firewall" in mend(await asked(proxy.url, cloud={"timeout": "200ms"}))


async def test_a_check_that_takes_too_long_is_ended(
    asked: Asked, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "CHECK_S", 0.2)
    proxy.conditions.hung = True
    found = await asked(proxy.url)
    assert "within 0.2 s" in found["server"].detail


async def test_certificates(asked: Asked, serve: Serve, tmp_path: Path) -> None:
    authority = trustme.CA()
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    good = await serve(authority.issue_cert("127.0.0.1"))
    late = await serve(authority.issue_cert("127.0.0.1", not_after=datetime.now(UTC) - timedelta(days=1)))
    other = await serve(authority.issue_cert("dav.example"))
    trusting = {"ca_file": str(ca_file)}
    assert "cloud.ca_file" in mend(await asked(good))
    assert (await asked(good, cloud=trusting))["server"].ok
    assert "clock" in mend(await asked(late, cloud=trusting))
    assert "as the certificate has it" in mend(await asked(other, cloud=trusting))
    plain = good.replace("https:", "http:")
    assert "should begin with https:" in mend(await asked(plain))


async def test_tls_spoken_to_a_plain_server(asked: Asked, nursery: trio.Nursery) -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")

    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some(10_000)
            await stream.send_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    nursery.start_soon(trio.serve_listeners, answer, listeners)
    port = listeners[0].socket.getsockname()[1]
    assert "cloud.url begins with http:" in mend(await asked(f"https://127.0.0.1:{port}/"))


async def test_a_ca_file_that_can_not_be_read(asked: Asked, tmp_path: Path) -> None:
    found = await asked("https://dav.example/", cloud={"ca_file": str(tmp_path / "missing.pem")})
    assert "cloud.ca_file" in mend(found)
    assert "missing.pem" in found["server"].detail


async def test_the_environments_proxy_is_named_without_its_password(
    asked: Asked, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    monkeypatch.setenv("http_proxy", f"http://me:s3cret@127.0.0.1:{port}")
    told = mend(await asked("http://dav.example/"))
    assert f"check the proxy 127.0.0.1:{port}" in told
    assert "dav.example in no_proxy" in told
    assert "s3cret" not in told
    between = ScriptedServer(lambda _: response(407))
    await nursery.start(between.run)
    monkeypatch.setenv("http_proxy", between.url)
    found = await asked("http://dav.example/")
    assert "through the proxy 127.0.0.1" in found["server"].detail
    assert "the proxy's password" in str(found["WebDAV"].mend)
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:1")
    assert "proxy in the environment" in mend(await asked("http://dav.example/"))
