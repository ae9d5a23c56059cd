"""What a mount.toml can say: one frozen dataclass a table, every key with its default.

The key's name, type and default here are the contract's (INTERFACE section 3); `mount.example.toml` explains
them to people, and a test holds the two together. An empty string or path means "not set".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from cloudfs.config.quantities import Duration, Mode, Size, parse_duration, parse_mode, parse_size


class CloudType(StrEnum):
    """Which protocol the cloud speaks."""

    WEBDAV = "webdav"
    S3 = "s3"
    DRIVEKIT = "drivekit"


class OnOpen(StrEnum):
    """What opening a placeholder starts."""

    FULL = "full"
    RANGES = "ranges"


class Network(StrEnum):
    """What the device is on; `auto` (a setting only) reads the system."""

    AUTO = "auto"
    NONE = "none"
    MOBILE = "mobile"
    WIFI = "wifi"
    ETHERNET = "ethernet"


@dataclass(frozen=True, slots=True, kw_only=True)
class MountSettings:
    """[mount]: where the tree appears, and as what."""

    path: Path = Path("/data/storage/el2/cloud")
    name: str = ""
    bundle: str = "com.example.files"
    allow_other: bool = False
    read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudSettings:
    """[cloud]: which cloud, and how its secret is found. No field holds a secret."""

    type: CloudType = CloudType.WEBDAV
    url: str = ""
    username: str = ""
    password_file: Path | None = None
    password_env: str = ""
    password_command: str = ""
    keyring: bool = False
    bucket: str = ""
    prefix: str = ""
    region: str = ""
    access_key_id: str = ""
    secret_access_key_file: Path | None = None
    secret_access_key_env: str = ""
    secret_access_key_command: str = ""
    timeout: Duration = field(default=parse_duration("30s"))
    max_connections: int = 16
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSettings:
    """[cache]: where content is kept, and how much of it."""

    path: Path = Path("~/.cache/cloudfs/NAME")
    size: Size = field(default=parse_size("10GiB"))
    min_free: Size = field(default=parse_size("1GiB"))


@dataclass(frozen=True, slots=True, kw_only=True)
class HydrationSettings:
    """[hydration]: what triggers a download."""

    on_open: OnOpen = OnOpen.FULL
    deny: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncSettings:
    """[sync]: when changes travel."""

    auto: bool = True
    debounce: Duration = field(default=parse_duration("5s"))
    interval: Duration = field(default=parse_duration("60s"))
    wifi_only: bool = False
    delete_brake: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class GallerySettings:
    """[gallery]: which folders GallerySync covers, as paths inside the mount."""

    folders: tuple[str, ...] = ("Photos",)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSettings:
    """[device]: where battery and network are read."""

    power_supply: Path = Path("/sys/class/power_supply")
    network: Network = Network.AUTO


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """[[control.grant]]: what one more uid may call."""

    uid: int = -1
    permissions: tuple[str, ...] = ()
    system_app: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlSettings:
    """[control]: the control socket. After `load`, `socket` is never None."""

    socket: Path | None = None
    mode: Mode = field(default=parse_mode("0600"))
    grant: tuple[Grant, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MountConfig:
    """One mount.toml. As `load` returns it, paths are absolute, the name is set, every value is checked."""

    mount: MountSettings = field(default_factory=MountSettings)
    cloud: CloudSettings = field(default_factory=CloudSettings)
    cache: CacheSettings = field(default_factory=CacheSettings)
    hydration: HydrationSettings = field(default_factory=HydrationSettings)
    sync: SyncSettings = field(default_factory=SyncSettings)
    gallery: GallerySettings = field(default_factory=GallerySettings)
    device: DeviceSettings = field(default_factory=DeviceSettings)
    control: ControlSettings = field(default_factory=ControlSettings)

    @property
    def name(self) -> str:
        """NAME, as `status` shows it."""
        return self.mount.name

    @property
    def socket(self) -> Path:
        """Where the control socket listens."""
        if self.control.socket is None:
            raise ValueError("control.socket is filled in by load()")
        return self.control.socket
