"""The connections under httpx: httpcore's pool, reading in large pieces, by a proxy where one is set."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpcore

from cloudfs.model.errors import CloudfsError

# httpcore reads 64 KiB at a time. 8 MiB ranges over 14 connections from Apache on loopback took 0.91 s of
# CPU a GB so, 0.56-0.70 s with 256 KiB, and 0.75-0.82 s with 1 MiB (larger copies, no fewer wake-ups).
READ_BYTES = 256 * 1024

# Connections stay warm between accesses; a server that closes them sooner is noticed before reuse.
KEEP_WARM_S = 300.0


class LargeReads(httpcore.AsyncNetworkStream):
    """A stream whose reads take more than httpcore asks for, which its h11 side accepts."""

    def __init__(self, inner: httpcore.AsyncNetworkStream) -> None:
        self._inner = inner

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._inner.read(READ_BYTES, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        return LargeReads(await self._inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class Backend(httpcore.TrioBackend):
    """trio's sockets, read in large pieces."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        stream = await super().connect_tcp(host, port, timeout, local_address, socket_options)
        return LargeReads(stream)


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
    proxy = _proxy_for(url)
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


def _proxy_for(url: str) -> str | None:
    split = urlsplit(url)
    if split.hostname is None or proxy_bypass(split.hostname):
        return None
    proxies = getproxies()
    proxy = proxies.get(split.scheme) or proxies.get("all")
    if proxy and "://" not in proxy:
        return f"http://{proxy}"
    return proxy or None
