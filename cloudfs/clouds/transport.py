"""The connections under httpx: httpcore's pool on streams of ours, by a proxy where one is set."""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpcore
import trio

from cloudfs.model.errors import CloudfsError

# httpcore reads 64 KiB at a time. 8 MiB ranges over 14 connections from Apache on loopback took 0.91 s of
# CPU a GB so, 0.56-0.70 s with 256 KiB, and 0.75-0.82 s with 1 MiB (larger copies, no fewer wake-ups).
READ_BYTES = 256 * 1024

# Connections stay warm between accesses; a server that closes them sooner is noticed before reuse.
KEEP_WARM_S = 300.0


_INTERIM = re.compile(rb"HTTP/1\.1 1")  # RFC 9110 section 15.2: the answer is yet to come


class Stream(httpcore.AsyncNetworkStream):
    """A connection that reads more at once than httpcore asks for, which its h11 side accepts, and that
    stops sending once the server has answered: a 412 or 507 need not wait for a gigabyte that nobody wants.

    `_early`: what was read while sending. `_is_quiet`: whether what is to be read can only be an answer; on
    a new connection of TLS 1.3 it may be a ticket, behind which a read would wait.
    """

    def __init__(self, inner: httpcore.AsyncNetworkStream) -> None:
        self._inner = inner
        self._early: bytes | None = None
        self._is_quiet = inner.get_extra_info("ssl_object") is None

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        early, self._early = self._early, None
        if early is not None:
            return early
        data = await self._inner.read(READ_BYTES, timeout)
        self._is_quiet = True
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """WriteError where an answer came first: httpcore then goes on to read it."""
        if not buffer:  # the end of a request, after which an answer is never early
            return
        await self._look(timeout)
        try:
            await self._inner.write(buffer, timeout)
        except httpcore.WriteTimeout:  # nobody takes it
            await self._look(timeout)
            raise

    async def _look(self, timeout: float | None) -> None:
        if self._early is None and self._is_quiet and self._inner.get_extra_info("is_readable"):
            self._early = await self._inner.read(READ_BYTES, timeout)
        if self._early is not None and _INTERIM.match(self._early) is None:
            raise httpcore.WriteError("the server answered before the end of the request")

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        return Stream(await self._inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class Backend(httpcore.TrioBackend):
    """trio's sockets as our streams."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        stream = await super().connect_tcp(host, port, timeout, local_address, socket_options)
        return Stream(stream)


class OnePiece(AsyncIterator[bytes]):
    """A request's body that is no stream: one piece, or none."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def __anext__(self) -> bytes:
        data, self._data = self._data, b""
        if not data:
            raise StopAsyncIteration
        return data


async def close_body(body: bytes | AsyncIterator[bytes] | None) -> None:
    """End a request's body that may not have been sent to its end."""
    if isinstance(body, AsyncGenerator):
        with trio.CancelScope(shield=True):
            await body.aclose()


def open_pool(url: str, max_connections: int, ca_file: Path | None) -> httpcore.AsyncConnectionPool:
    """A pool for the server of `url`; nothing is connected yet.

    ca_file: certificates trusted beside the system's. CloudfsError where it cannot be read.
    The environment's HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY are kept to, as curl and rclone do.
    """
    options: dict[str, Any] = {
        "max_connections": max_connections,
        "max_keepalive_connections": max_connections,
        "keepalive_expiry": KEEP_WARM_S,
        "network_backend": Backend(),
    }
    if url.startswith("https:"):
        options["ssl_context"] = _trust(ca_file)
    proxy = proxy_for(url)
    if proxy is None:
        return httpcore.AsyncConnectionPool(**options)
    split = urlsplit(proxy)
    if split.scheme not in ("http", "https"):
        raise CloudfsError(
            f"the environment names a {split.scheme} proxy, which is not supported; "
            "unset it, or name the cloud's host in no_proxy"
        )
    if split.username is not None:
        options["proxy_auth"] = (unquote(split.username), unquote(split.password or ""))
    address = f"{split.scheme}://{split.netloc.rpartition('@')[2]}"
    return httpcore.AsyncHTTPProxy(proxy_url=address, **options)


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:  # ssl.SSLError is one
            raise CloudfsError(f"[cloud] ca_file {ca_file} cannot be used: {error}") from error
    return context


def proxy_for(url: str) -> str | None:
    """The proxy that the environment names for a URL, with credentials if it has any; None without one."""
    split = urlsplit(url)
    if split.hostname is None or proxy_bypass(split.hostname):
        return None
    proxies = getproxies()
    proxy = proxies.get(split.scheme) or proxies.get("all")
    if proxy and "://" not in proxy:
        return f"http://{proxy}"
    return proxy or None
