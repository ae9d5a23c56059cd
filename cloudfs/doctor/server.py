"""The server: whether it is there, takes us in, speaks WebDAV, and what it can do.

Each question has the deadlines of every other request. What is written to find out how writes are treated
lies under hidden names for a moment, and is removed by who wrote it; nothing is written for a mount that is
read_only.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Iterator
from contextlib import aclosing

import trio

from cloudfs.clouds.base import Capabilities, Lane
from cloudfs.clouds.http import Interference
from cloudfs.clouds.webdav import WebDav
from cloudfs.config import Login, MountConfig
from cloudfs.daemon.cloud import new_cloud
from cloudfs.daemon.services import running
from cloudfs.doctor.finding import Finding
from cloudfs.model.entry import RemoteEntry, RemotePath
from cloudfs.model.enums import Kind
from cloudfs.model.errors import (
    AccessRefused,
    CloudfsError,
    ContentNotFound,
    NetworkTimeout,
    NetworkUnavailable,
    NotFound,
    ServerError,
    TooManyRequests,
    Unauthorized,
    WrongContent,
)

CLOCK_OFF_S = 60.0
_FOLDERS_TRIED = 8  # in search of a file to read a part of

_MENDS: tuple[tuple[type[CloudfsError], str], ...] = (
    (Unauthorized, "check cloud.username and the password; many servers want an app password here"),
    (AccessRefused, "ask the server's owner for access to this folder, or name another in cloud.url"),
    (
        NetworkTimeout,
        "look whether the server is up and a firewall lets you through; cloud.timeout bounds it",
    ),
    (NetworkUnavailable, "check the host and port in cloud.url, and that this machine is online"),
    (NotFound, "check the path in cloud.url: Nextcloud's is /remote.php/dav/files/USER/"),
    (WrongContent, "check the path in cloud.url, in a browser too: another page than WebDAV answers there"),
    (TooManyRequests, "the server is busy: wait, or set a smaller cloud.max_connections"),
    (ServerError, "the server is in trouble: its own log says more"),
)


async def examine_server(config: MountConfig, login: Login | None) -> list[Finding]:
    """What there is to say of a configuration's server. It ends with the first thing that all else needs."""
    cloud = new_cloud(
        config,
        login,
        lambda state: None,
        known=None,
        mount_id=secrets.token_hex(8),
        interference=Interference(),
    )
    findings = list[Finding]()
    try:
        async with running(cloud), aclosing(_findings(cloud, config)) as found:
            async for finding in found:
                findings.append(finding)
    except CloudfsError as error:
        findings.append(_failed("server", error))
    return findings


async def _findings(cloud: WebDav, config: MountConfig) -> AsyncGenerator[Finding, None]:
    began = trio.current_time()
    await cloud.probe()
    took_ms = (trio.current_time() - began) * 1000
    yield Finding("server", f"{config.cloud.url} speaks WebDAV and lets us in ({took_ms:.0f} ms)")
    yield await _asked("clock", _clock(cloud))
    yield await _asked("ranges", _ranges(cloud))
    if config.mount.read_only:
        yield Finding("conditional writes", "not asked, as mount.read_only is true")
    else:
        yield await _asked("conditional writes", _writes(cloud))
    yield await _asked("quota", _quota(cloud))


async def _asked(check: str, question: Awaitable[Finding]) -> Finding:
    """An answer that others do not depend on: its failure is its own."""
    try:
        return await question
    except CloudfsError as error:
        return _failed(check, error)


async def _clock(cloud: WebDav) -> Finding:
    """Versions of a server without ETags are told apart by time, and conflict copies carry ours."""
    theirs = await cloud.time()
    if theirs is None:
        return Finding("clock", "the server does not tell its time")
    ahead = time.time() - theirs
    if abs(ahead) <= CLOCK_OFF_S:
        return Finding("clock", "as the server's")
    direction = "ahead of" if ahead > 0 else "behind"
    mend = "set this machine's clock (timedatectl set-ntp true), or the server's"
    return Finding("clock", f"{abs(ahead):.0f} s {direction} the server's", mend)


async def _ranges(cloud: WebDav) -> Finding:
    found = await _some_file(cloud)
    if found is None:
        return Finding("ranges", "no file was found to try them with")
    path, entry = found
    assert entry.version is not None
    try:
        async with cloud.read(path, entry.version, 0, 1, Lane.METADATA):
            pass  # its head tells
    except ContentNotFound:
        return Finding("ranges", "the file to try them with was removed meanwhile")
    if cloud.capabilities.ranges:
        return Finding("ranges", "the server sends parts of files")
    return Finding("ranges", "the server sends whole files only: reading begins at a file's beginning")


async def _some_file(cloud: WebDav) -> tuple[RemotePath, RemoteEntry] | None:
    """Any file with content, near the root."""
    folders: list[RemotePath] = [b""]
    for _ in range(_FOLDERS_TRIED):
        if not folders:
            return None
        folder = folders.pop(0)
        listing = await cloud.list_folder(folder)
        for entry in listing.entries:
            path = folder + b"/" + entry.name if folder else entry.name
            if entry.kind is Kind.FOLDER:
                folders.append(path)
            elif entry.size:
                return path, entry
    return None


async def _writes(cloud: WebDav) -> Finding:
    """An upload that can't be made conditional by the server is made so by a lock and a look."""
    check = "conditional writes"
    try:
        found = await cloud.probe_writes()
    except AccessRefused as error:
        return Finding(
            check,
            f"the folder takes no files: {error.reason}",
            "set mount.read_only = true, or ask for the right to write",
        )
    return Finding(check, "; ".join(_habits(found)))


def _habits(found: Capabilities) -> Iterator[str]:
    if found.conditional_writes and found.conditional_moves and found.conditional_deletes:
        yield "the server keeps to them"
    else:
        yield "the server passes over some: changes are compared under a lock first"
    if found.whole_writes:
        yield "a file is seen once it is whole"
    else:
        yield "it shows files while they come in: they are sent under a hidden name and moved"


async def _quota(cloud: WebDav) -> Finding:
    quota = await cloud.quota()
    if quota is None or quota.available is None:
        return Finding("quota", "the server does not tell it")
    if quota.available <= 0:
        return Finding("quota", "the cloud is full", "remove files there, or ask for more space")
    used = "" if quota.used is None else f", {quota.used / 1024**3:.1f} GiB used"
    return Finding("quota", f"{quota.available / 1024**3:.1f} GiB free{used}")


def _failed(check: str, error: CloudfsError) -> Finding:
    if "CERTIFICATE_VERIFY_FAILED" in error.reason:
        mend = "name your own authority in cloud.ca_file; if the certificate is out of date, renew it"
        return Finding(check, error.reason, mend)
    mend = next(
        (mend for cause, mend in _MENDS if isinstance(error, cause)), "see cloud in the configuration"
    )
    return Finding(check, error.reason, mend)
