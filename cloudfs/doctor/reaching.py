"""Why a server gave no answer, and what its user may do about that."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

from cloudfs.clouds.names import origin_of
from cloudfs.clouds.transport import proxy_for
from cloudfs.model.errors import CloudfsError, NetworkTimeout

_CLOCK = "check this machine's clock (timedatectl set-ntp true), or have the server's certificate renewed"
_AUTHORITY = "name the authority that signed it in cloud.ca_file, if you trust it"
_NAME = "write the host in cloud.url as the certificate has it"

# OpenSSL's x509_vfy.h
_BY_CERTIFICATE = {9: _CLOCK, 10: _CLOCK, 18: _AUTHORITY, 19: _AUTHORITY, 20: _AUTHORITY, 21: _AUTHORITY}
_BY_CERTIFICATE |= {62: _NAME, 64: _NAME}


def proxy_of(url: str) -> str | None:
    """The proxy that the environment names for a URL, without credentials; None without one."""
    proxy = proxy_for(url)
    return None if proxy is None else urlsplit(proxy).netloc.rpartition("@")[2]


def mend(error: CloudfsError, url: str) -> str:
    """What to do about a server of `url` that was not reached."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _BY_CERTIFICATE.get(cause.verify_code, "have the server's certificate mended")
    if (proxy := proxy_of(url)) is not None:
        host = urlsplit(url).hostname
        return f"check the proxy {proxy}, which the environment names, or name {host} in no_proxy"
    return _without_proxy(error, causes, url)


def _without_proxy(error: CloudfsError, causes: list[BaseException], url: str) -> str:
    scheme, host, port = origin_of(url)
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            return f"check whether the server speaks TLS on port {port}; if not, cloud.url begins with http:"
        if isinstance(cause, socket.gaierror):
            return f"check the host in cloud.url, and whether names are found here: getent hosts {host}"
        if isinstance(cause, ConnectionRefusedError):
            return f"nothing listens on port {port} of {host}: check cloud.url, and that the server runs"
    if isinstance(error, NetworkTimeout):
        return f"check whether the server is up, and whether a firewall lets you through to port {port}"
    other = "http" if scheme == "https" else "https"
    return f"check this machine's network, and whether cloud.url should begin with {other}:"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error, and all that led to it."""
    yield error
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _causes(each)
    if (cause := error.__cause__ or error.__context__) is not None:
        yield from _causes(cause)
