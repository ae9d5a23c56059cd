"""The cloud that a configuration names."""

from __future__ import annotations

from collections.abc import Callable

from cloudfs.clouds.base import Capabilities
from cloudfs.clouds.credentials import BasicCredentials, BearerCredentials, Credentials
from cloudfs.clouds.http import Http
from cloudfs.clouds.interference import Interference
from cloudfs.clouds.webdav import WebDav
from cloudfs.config import Login, MountConfig
from cloudfs.model.enums import CloudState


def new_cloud(
    config: MountConfig,
    login: Login | None,
    on_state: Callable[[CloudState], None],
    *,
    known: Capabilities | None,
    mount_id: str,
    interference: Interference,
) -> WebDav:
    """on_state: told how it answers to each request. known: what an earlier run found out about it. mount_id:
    the same in every run of this mount, and no other's. interference: what comes between us and it."""
    http = Http(
        config.cloud.url,
        credentials=_credentials(login),
        timeout_s=config.cloud.timeout,
        max_connections=config.cloud.max_connections,
        ca_file=config.cloud.ca_file,
        on_state=on_state,
        interference=interference,
    )
    return WebDav(config.cloud.url, http, known=known, mount_id=mount_id)


def _credentials(login: Login | None) -> Credentials | None:
    if login is None:
        return None
    if not login.username:
        return BearerCredentials(login.secret)
    return BasicCredentials(login.username, login.secret)
