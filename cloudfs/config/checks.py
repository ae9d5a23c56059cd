"""Whether the values of a configuration make sense, each alone and together."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from cloudfs.config.faults import Fault
from cloudfs.config.settings import CloudSettings, CloudType, MountConfig
from cloudfs.model.entry import name_fault

MIN_CONNECTIONS = 3  # one each for bulk transfers, for what a program waits for, and for listings
_SOCKET_PATH_MAX = 107  # bytes; unix(7): sun_path has 108, the last one NUL
_BUNDLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_PERMISSIONS = ("ohos.permission.CLOUDFILE_SYNC",)

_WEBDAV_ONLY = ("username", "password_file", "password_env", "password_command", "keyring")
_S3_ONLY = (
    "bucket",
    "prefix",
    "region",
    "access_key_id",
    "secret_access_key_file",
    "secret_access_key_env",
    "secret_access_key_command",
)


def check(config: MountConfig) -> Iterator[Fault]:
    """All that is wrong with values of the right types; paths are expanded already."""
    yield from _check_mount(config)
    yield from _check_cloud(config.cloud)
    yield from _check_url(config.cloud)
    yield from _check_limits(config)
    yield from _check_gallery(config.gallery.folders)
    yield from _check_places(config)
    yield from _check_control(config)


def _check_mount(config: MountConfig) -> Iterator[Fault]:
    name = config.name
    fault = name_fault(os.fsencode(name)) or (None if name.isprintable() else "it holds control characters")
    if fault:
        yield Fault(("mount", "name"), f"no usable name: {fault}", "choose letters, digits, . _ or -")
    bundle = config.mount.bundle
    if bundle == "media":
        mend = "choose another name"
        yield Fault(("mount", "bundle"), "file://media/ is kept for gallery assets", mend)
    elif not _BUNDLE.fullmatch(bundle):
        mend = 'write a bundle name such as "com.example.files"'
        yield Fault(("mount", "bundle"), "no usable bundle name", mend)


def _check_cloud(cloud: CloudSettings) -> Iterator[Fault]:
    foreign = {
        CloudType.WEBDAV: dict.fromkeys(_S3_ONLY, "s3"),
        CloudType.S3: dict.fromkeys(_WEBDAV_ONLY, "webdav"),
        CloudType.DRIVEKIT: dict.fromkeys(_S3_ONLY, "s3"),
    }[cloud.type]
    for key, owner in foreign.items():
        if getattr(cloud, key):
            mend = f'remove it, or set type = "{owner}"'
            yield Fault(("cloud", key), f'belongs to type = "{owner}", not "{cloud.type}"', mend)
    if cloud.type is CloudType.S3:
        yield from _check_s3(cloud)
    else:
        yield from _check_password(cloud)
    for key in ("password_env", "secret_access_key_env"):
        if (variable := getattr(cloud, key)) and not _VARIABLE.fullmatch(variable):
            mend = "write the variable's name, without $; the secret itself does not belong in this file"
            yield Fault(("cloud", key), "is no name of an environment variable", mend)


def _check_password(cloud: CloudSettings) -> Iterator[Fault]:
    sources = [key for key in _WEBDAV_ONLY[1:] if getattr(cloud, key)]
    if len(sources) > 1:
        named = " and ".join(sources)
        yield Fault(("cloud", sources[1]), f"two sources of one password: {named}", "keep one of them")
    if cloud.username and not sources:
        mend = "add one of password_file, password_env, password_command, keyring = true"
        yield Fault(("cloud", "username"), "has no password", mend)
    if cloud.keyring and not cloud.username:
        mend = "set username: the keyring's entry is found by it"
        yield Fault(("cloud", "keyring"), "needs a username", mend)
    if ":" in cloud.username:
        mend = "use a name without it"
        yield Fault(("cloud", "username"), "Basic authentication has no colon in names (RFC 7617)", mend)


def _check_s3(cloud: CloudSettings) -> Iterator[Fault]:
    for key in ("bucket", "access_key_id"):
        if not getattr(cloud, key):
            yield Fault(("cloud", key), "is missing", f'type = "s3" needs it: add {key} = "…" to [cloud]')
    sources = [key for key in _S3_ONLY if key.startswith("secret_access_key_") and getattr(cloud, key)]
    if not sources:
        mend = "add secret_access_key_file, secret_access_key_env or secret_access_key_command"
        yield Fault(("cloud", "access_key_id"), "has no secret access key", mend)
    if len(sources) > 1:
        named = " and ".join(sources)
        yield Fault(("cloud", sources[1]), f"two sources of one secret: {named}", "keep one of them")
    if cloud.prefix.startswith("/") or (cloud.prefix and not cloud.prefix.endswith("/")):
        mend = 'write it as "photos/"'
        yield Fault(("cloud", "prefix"), "begins with a slash or does not end with one", mend)


def _check_url(cloud: CloudSettings) -> Iterator[Fault]:
    at = ("cloud", "url")
    if not cloud.url:
        if cloud.type is CloudType.WEBDAV:
            mend = 'add url = "https://…" to [cloud]: the address of the folder to mount'
            yield Fault(at, "is missing", mend)
        return
    try:
        parts = urlsplit(cloud.url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        yield Fault(at, "is no URL", 'write it as "https://host[:port]/path/"')
        return
    if parts.username is not None or parts.password is not None:
        mend = "remove it, and set username and password_file"
        yield Fault(at, "holds a user name or password", mend)
    elif parts.scheme not in ("http", "https") or not host:
        yield Fault(at, "is no address of a web server", 'write it as "https://host[:port]/path/"')
    elif parts.query or parts.fragment or "?" in cloud.url or "#" in cloud.url:
        mend = "remove it; write a ? or # in a folder's name as %3F or %23"
        yield Fault(at, "holds a query or fragment", mend)
    elif not cloud.url.isascii() or not cloud.url.isprintable() or " " in cloud.url:
        mend = "write such characters in percent-encoding, a space as %20"
        yield Fault(at, "holds characters that no URL can hold", mend)


def _check_limits(config: MountConfig) -> Iterator[Fault]:
    for section, key in (("cloud", "timeout"), ("sync", "interval"), ("cache", "size")):
        if getattr(getattr(config, section), key) <= 0:
            mend = "remove the line to take the default, or write more"
            yield Fault((section, key), "must be more than nothing", mend)
    if config.cloud.max_connections < MIN_CONNECTIONS:
        mend = f"write {MIN_CONNECTIONS} or more"
        yield Fault(("cloud", "max_connections"), "too few to list while files are read", mend)
    if config.sync.delete_brake < 0:
        yield Fault(("sync", "delete_brake"), "is below 0", "write 0 to have every deletion wait")


def _check_gallery(folders: tuple[str, ...]) -> Iterator[Fault]:
    at = ("gallery", "folders")
    for folder in folders:
        faults = [fault for name in folder.split("/") if (fault := name_fault(os.fsencode(name)))]
        if faults:
            mend = 'write paths inside the mount, such as "Photos" or "Pictures/Camera"'
            yield Fault(at, f'"{folder}" names no folder below the mount: {faults[0]}', mend)
    if len(set(folders)) < len(folders):
        yield Fault(at, "names a folder twice", "keep it once")


def _check_places(config: MountConfig) -> Iterator[Fault]:
    """What the daemon itself reads or writes must not lie in the tree that it serves."""
    mountpoint = config.mount.path
    own: dict[tuple[str, str], Path | None] = {
        ("cache", "path"): config.cache.path,
        ("cloud", "password_file"): config.cloud.password_file,
        ("cloud", "secret_access_key_file"): config.cloud.secret_access_key_file,
        ("cloud", "ca_file"): config.cloud.ca_file,
        ("control", "socket"): config.control.socket,
    }
    for key, path in own.items():
        if path is not None and path.is_relative_to(mountpoint):
            yield Fault(key, "lies inside the mountpoint", "choose a path outside of it")
    if mountpoint.is_relative_to(config.cache.path):
        yield Fault(("mount", "path"), "lies inside the cache", "choose a path outside of cache.path")


def _check_control(config: MountConfig) -> Iterator[Fault]:
    socket = config.control.socket
    if socket is not None and len(os.fsencode(socket)) > _SOCKET_PATH_MAX:
        mend = "choose a shorter path (or a shorter mount.name)"
        yield Fault(("control", "socket"), f"is longer than {_SOCKET_PATH_MAX} bytes", mend)
    for index, grant in enumerate(config.control.grant):
        at = ("control", "grant", index)
        if grant.uid < 0:
            yield Fault((*at, "uid"), "is missing or below 0", "write the number that `id -u` prints")
        for permission in grant.permissions:
            if permission not in _PERMISSIONS:
                mend = f"known: {', '.join(_PERMISSIONS)}"
                yield Fault((*at, "permissions"), f'unknown permission "{permission}"', mend)
