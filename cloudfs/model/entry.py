"""What a cloud says of a file or folder, and how two of its versions compare."""

from __future__ import annotations

from dataclasses import dataclass, field

from cloudfs.model.enums import Kind

NAME_MAX = 255  # bytes, as POSIX NAME_MAX on Linux

# Temporary names that uploads use; hidden by every mount (INTERFACE section 9, promise 4).
TEMPORARY_PREFIX = b".cloudfs-"

# A remote path: names joined by "/", without a leading or trailing one; b"" is the root of the mount.
RemotePath = bytes


@dataclass(frozen=True, slots=True)
class Version:
    """Which content a cloud holds under one URL.

    etag: the entity tag as sent, quotes and `W/` included (RFC 9110 section 8.8.3), or None.
    mtime_ns: last modification in nanoseconds, or None where the cloud does not say.
    size: bytes.
    """

    etag: str | None
    mtime_ns: int | None
    size: int

    @property
    def is_strong(self) -> bool:
        """Whether the tag may guard a range or a write (RFC 9110 section 13.1.1: strong comparison)."""
        return self.etag is not None and not self.etag.startswith("W/")

    @property
    def opaque_tag(self) -> str | None:
        """The tag without its weakness: Apache's tag of a fresh file is weak and turns strong as it is."""
        return self.etag.removeprefix("W/") if self.etag is not None else None

    def is_same_as(self, other: Version) -> bool:
        """Whether both name the same content, as far as can be told.

        Sizes must agree; then the tags decide, weakly compared; without a tag on either side the times
        do, in whole seconds, as most clouds keep no more. A time missing on either side says nothing.
        """
        if self.size != other.size:
            return False
        if self.etag is not None and other.etag is not None:
            return self.opaque_tag == other.opaque_tag
        if self.mtime_ns is None or other.mtime_ns is None:
            return True
        return self.mtime_ns // 1_000_000_000 == other.mtime_ns // 1_000_000_000


@dataclass(frozen=True, slots=True)
class RemoteEntry:
    """One file or folder as a listing shows it. A folder's version has size 0; its tag may be None."""

    name: bytes
    kind: Kind
    version: Version
    file_id: str | None = None

    @property
    def size(self) -> int:
        return self.version.size


@dataclass(frozen=True, slots=True)
class FolderListing:
    """A folder's children, from an answer that came whole (else there is no FolderListing).

    left_out: names (or hrefs) that cannot be shown, with the reason; already logged by the cloud.
    unshown: names that the cloud does hold but could not describe. They have not vanished: an error is
    never a deletion.
    """

    folder: RemoteEntry
    entries: tuple[RemoteEntry, ...]
    left_out: tuple[str, ...] = field(default=())
    unshown: frozenset[bytes] = field(default=frozenset())


def name_fault(name: bytes) -> str | None:
    """Why a name cannot stand in a directory, or None where it can."""
    if not name:
        return "it is empty"
    if name in (b".", b".."):
        return "it means a folder itself"
    if b"/" in name or b"\0" in name:
        return "it holds a slash or NUL"
    if len(name) > NAME_MAX:
        return f"it is longer than {NAME_MAX} bytes"
    return None


def join(folder: RemotePath, name: bytes) -> RemotePath:
    """The path of a child."""
    return folder + b"/" + name if folder else name
