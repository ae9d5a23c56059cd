"""The server: whether it is there, takes us in, speaks WebDAV, and what it can do.

Each question has a deadline. What is written to find out how writes are treated lies under hidden names for
a moment, and is removed; nothing is written for a mount that is read_only.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Iterator
from dataclasses import replace
from typing import TypeVar

import trio

from cloudfs.clouds.base import Capabilities, Lane, Offer
from cloudfs.clouds.interference import Interference
from cloudfs.clouds.webdav import WebDav
from cloudfs.config import Login, MountConfig
from cloudfs.config.quantities import Duration
from cloudfs.daemon.cloud import new_cloud
from cloudfs.daemon.services import running
from cloudfs.doctor.finding import Finding, Report
from cloudfs.doctor.reaching import mend, proxy_of
from cloudfs.model.entry import FolderListing, RemoteEntry, RemotePath, join
from cloudfs.model.enums import Kind
from cloudfs.model.errors import (
    AccessRefused,
    CloudfsError,
    CloudStorageFull,
    ContentNotFound,
    NetworkTimeout,
    NetworkUnavailable,
    NotAFolder,
    NotFound,
    ServerError,
    TooManyRequests,
    Unauthorized,
    WrongContent,
)
from cloudfs.model.sizes import human_size

SERVER, ACCESS, WEBDAV, CLOCK, RANGES = "server", "access", "WebDAV", "clock", "ranges"
VERSIONS, CHANGES, WRITES, QUOTA = "versions", "changes", "conditional writes", "quota"
CHECKS = (SERVER, ACCESS, WEBDAV, CLOCK, VERSIONS, RANGES, CHANGES, WRITES, QUOTA)
LEFT_BEHIND = "left behind"  # told of only where it is so

REQUEST_S = 15.0  # for one answer, where cloud.timeout is longer
CHECK_S = 60.0  # for a check of many requests
CLOCK_OFF_S = 60.0
_FOLDERS_TRIED = 8  # in search of a file to read a part of

_PATH = "check the path in cloud.url: Nextcloud's is /remote.php/dav/files/USER/"
_MENDS: tuple[tuple[type[CloudfsError], str], ...] = (
    (Unauthorized, "check cloud.username and the password; many servers want an app password here"),
    (AccessRefused, "ask the server's owner for the right to it, or name another folder in cloud.url"),
    (NetworkUnavailable, "try again: it answered a moment ago"),
    (NotFound, _PATH),
    (NotAFolder, "cloud.url names a file: name the folder that it is in"),
    (WrongContent, f"{_PATH}; or log in to the network here, if it asks for that in a browser"),
    (CloudStorageFull, "remove files there, or ask for more space"),
    (TooManyRequests, "the server is busy: wait, or set a smaller cloud.max_connections"),
    (ServerError, "the server is in trouble: its own log says more"),
)

T = TypeVar("T")


async def examine(config: MountConfig, login: Login | None, report: Report) -> None:
    """Tell of a configuration's server what CHECKS name."""
    timeout = Duration(min(config.cloud.timeout, REQUEST_S))
    cloud = new_cloud(
        replace(config, cloud=replace(config.cloud, timeout=timeout)),
        login,
        lambda state: None,
        known=None,
        mount_id=secrets.token_hex(8),
        interference=Interference(),
    )
    try:
        async with running(cloud):
            await _examine(cloud, config, login, report)
    except CloudfsError as error:  # before the first question
        report.tell(Finding(SERVER, error.reason, "mend cloud.ca_file, or the proxy in the environment"))
        report.leave_out(SERVER)


async def _examine(cloud: WebDav, config: MountConfig, login: Login | None, report: Report) -> None:
    url = config.cloud.url
    try:
        offer = await _offer(cloud)
    except CloudfsError as error:
        report.tell(Finding(SERVER, error.reason, mend(error, url)))
        report.leave_out(SERVER)
        return
    behind_s = None if offer.time_s is None else offer.time_s - time.time()
    proxy = proxy_of(url)
    report.tell(Finding(SERVER, f"{url} answers{f', through the proxy {proxy}' if proxy else ''}"))
    try:
        listing = await _in_time(cloud.list_folder(b""))
    except AccessRefused as error:
        report.tell(_refused(error, login))
        report.leave_out(ACCESS)
        return
    except CloudfsError as error:
        report.tell(_failed(WEBDAV, error, otherwise=_PATH))
        report.leave_out(WEBDAV)
        return
    report.tell(Finding(ACCESS, f"as {login.username or 'the owner of the token'}" if login else "anybody's"))
    levels = ", ".join(sorted(level for level in offer.levels if level.isdecimal()))
    report.tell(Finding(WEBDAV, f"spoken there, level {levels or 'unknown'}"))
    report.tell(_clock(behind_s))
    await _examine_files(cloud, listing, report)
    if config.mount.read_only:
        report.tell(Finding(WRITES, "not tried, as mount.read_only is true"))
    else:
        await _examine_writes(cloud, offer, report)
    report.tell(await _asked(QUOTA, _quota(cloud)))


async def _offer(cloud: WebDav) -> Offer:
    """What a server offers that answers; nothing is one that sends us elsewhere, of which a listing tells."""
    try:
        return await _in_time(cloud.offer())
    except CloudfsError as error:
        if error.status is None:
            raise
        return Offer()


async def _examine_files(cloud: WebDav, listing: FolderListing, report: Report) -> None:
    """What is told of files, by one that is there."""
    try:
        found = await _in_time(_some_file(cloud, listing))
    except CloudfsError as error:
        report.tell(_failed(VERSIONS, error))
        report.tell(_failed(RANGES, error))
    else:
        report.tell(_versions(found))
        report.tell(await _asked(RANGES, _ranges(cloud, found)))
    report.tell(_changes(cloud.capabilities, listing))


async def _examine_writes(cloud: WebDav, offer: Offer, report: Report) -> None:
    report.tell(await _asked(WRITES, _writes(cloud, offer)))
    try:
        left = await _in_time(cloud.sweep())
    except CloudfsError as error:
        report.tell(_failed(LEFT_BEHIND, error))
        return
    if left:
        names = ", ".join(sorted(name.decode() for name in left))
        what = "the server did not let the hidden files of this check be removed"
        report.tell(Finding(LEFT_BEHIND, what, f"remove them there: {names}"))


async def _in_time(answer: Awaitable[T]) -> T:
    try:
        with trio.fail_after(CHECK_S):
            return await answer
    except trio.TooSlowError as error:
        raise NetworkTimeout(f"it was not answered within {CHECK_S:g} s") from error


async def _asked(check: str, question: Awaitable[Finding]) -> Finding:
    """A finding on which no other depends: its failure is its own."""
    try:
        return await _in_time(question)
    except CloudfsError as error:
        return _failed(check, error)


def _clock(ahead_s: float | None) -> Finding:
    """Versions of a server without tags are told apart by time, and conflict copies carry ours."""
    if ahead_s is None:
        return Finding(CLOCK, "the server does not tell its time")
    if abs(ahead_s) <= CLOCK_OFF_S:
        return Finding(CLOCK, "as the server's")
    direction = "behind" if ahead_s > 0 else "ahead of"
    detail = f"this machine's is {abs(ahead_s):.0f} s {direction} the server's"
    return Finding(CLOCK, detail, "set it (timedatectl set-ntp true), or have the server's set")


async def _some_file(cloud: WebDav, root: FolderListing) -> tuple[RemotePath, RemoteEntry] | None:
    """Any file of more than one byte, near the root."""
    folders: list[RemotePath] = [b""]
    for _ in range(_FOLDERS_TRIED):
        if not folders:
            break
        folder = folders.pop(0)
        listing = await cloud.list_folder(folder) if folder else root
        for entry in listing.entries:
            if entry.kind is Kind.FOLDER:
                folders.append(join(folder, entry.name))
            elif entry.size > 1:
                return join(folder, entry.name), entry
    return None


def _versions(found: tuple[RemotePath, RemoteEntry] | None) -> Finding:
    """By what a change is seen that leaves the size as it is."""
    if found is None:
        return Finding(VERSIONS, "no file was found to look at")
    version = found[1].version
    if version.etag is None:
        return Finding(VERSIONS, "files have no ETags: a change is seen by time and size")
    if not version.is_strong:
        return Finding(VERSIONS, "files have weak ETags: each upload is looked at once more")
    return Finding(VERSIONS, "files have strong ETags")


async def _ranges(cloud: WebDav, found: tuple[RemotePath, RemoteEntry] | None) -> Finding:
    if found is None:
        return Finding(RANGES, "no file was found to try them with")
    path, entry = found
    try:
        async with cloud.read(path, entry.version, 0, 1, Lane.METADATA):
            pass  # its head tells
    except ContentNotFound:
        return Finding(RANGES, "the file to try them with was removed meanwhile")
    if cloud.capabilities.ranges:
        return Finding(RANGES, "the server sends any part of a file")
    return Finding(RANGES, "the server sends whole files only: a read waits for all that is before it")


def _changes(known: Capabilities, listing: FolderListing) -> Finding:
    if known.folder_tags:
        return Finding(CHANGES, "a folder's tag tells of all below it: only what changed is listed")
    if any(entry.file_id for entry in (listing.folder, *listing.entries)):
        return Finding(CHANGES, "files have ids, so a move there is seen as one; every folder is listed")
    return Finding(CHANGES, "every folder is listed; a file moved there counts as a new one")


async def _writes(cloud: WebDav, offer: Offer) -> Finding:
    """An upload that can't be made conditional by the server is made so by a lock and a look."""
    try:
        found = await cloud.probe_writes()
    except AccessRefused as error:
        what = f"the folder takes no files: {error.reason}"
        return Finding(WRITES, what, "set mount.read_only = true, or ask for the right to write")
    return Finding(WRITES, "; ".join(_habits(found, has_locks="2" in offer.levels)))


def _habits(found: Capabilities, *, has_locks: bool) -> Iterator[str]:
    if found.conditional_writes and found.conditional_moves and found.conditional_deletes:
        yield "the server keeps to them (If-Match)"
    elif has_locks:
        yield "the server passes over some: what is there is compared under a LOCK before it is changed"
    else:
        yield "the server passes over some and has no locks: what is there is compared before it is changed"
    if found.whole_writes:
        yield "a file is seen once it is whole"
    else:
        yield "it shows files while they come in: they are sent under a temporary name, and moved"


async def _quota(cloud: WebDav) -> Finding:
    quota = await cloud.quota()
    if quota is None or quota.available is None:
        return Finding(QUOTA, "the server does not tell it")
    if quota.available <= 0:
        return Finding(QUOTA, "the cloud is full", "remove files there, or ask for more space")
    used = "" if quota.used is None else f", {human_size(quota.used)} used"
    return Finding(QUOTA, f"{human_size(quota.available)} free{used}")


def _refused(error: AccessRefused, login: Login | None) -> Finding:
    if login is None:
        mend = "set cloud.username and one of password_file, password_env, password_command, keyring"
        return Finding(ACCESS, error.reason, mend)
    return _failed(ACCESS, error)


def _failed(
    check: str, error: CloudfsError, otherwise: str = "see what the server's own log says of it"
) -> Finding:
    if error.status == 407:  # RFC 9110 section 15.5.8
        return Finding(check, error.reason, "write the proxy's password into the environment's URL of it")
    words = next((words for cause, words in _MENDS if isinstance(error, cause)), otherwise)
    return Finding(check, error.reason, words)
