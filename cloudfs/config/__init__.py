"""mount.toml: read, checked and explained (INTERFACE section 3)."""

from cloudfs.config.credentials import Login, read_credentials
from cloudfs.config.faults import ConfigError, Fault
from cloudfs.config.loading import load, located, require_supported, socket_directory
from cloudfs.config.options import is_noexec, parse_options, split_options, without_unknown
from cloudfs.config.settings import (
    CacheSettings,
    CloudSettings,
    CloudType,
    ControlSettings,
    DeviceSettings,
    GallerySettings,
    Grant,
    HydrationSettings,
    MountConfig,
    MountSettings,
    Network,
    OnOpen,
    SyncSettings,
)

__all__ = [
    "CacheSettings",
    "CloudSettings",
    "CloudType",
    "ConfigError",
    "ControlSettings",
    "DeviceSettings",
    "Fault",
    "GallerySettings",
    "Grant",
    "HydrationSettings",
    "Login",
    "MountConfig",
    "MountSettings",
    "Network",
    "OnOpen",
    "SyncSettings",
    "is_noexec",
    "load",
    "located",
    "parse_options",
    "read_credentials",
    "require_supported",
    "socket_directory",
    "split_options",
    "without_unknown",
]
