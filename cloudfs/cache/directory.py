"""The cache directory as a whole: whose it is, where it may lie, and that only one daemon uses it."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cloudfs.config.paths import real_mountpoint
from cloudfs.model.errors import LocalIOError

LOCK_NAME = "lock"
RECOVERED_NAME = "recovered"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
MOUNTS = Path("/proc/self/mountinfo")

_LOOKERS_S = 0.1  # for who only looks whether the lock is held (`user_of`), and has it for a moment

# Where flock, fdatasync or holes do not mean what they mean on a local disk.
_REMOTE_TYPES = frozenset(
    {"9p", "afs", "ceph", "cifs", "coda", "davfs", "glusterfs", "gfs2", "lustre"}
    | {"ncpfs", "nfs", "nfs4", "ocfs2", "smb3", "smbfs", "virtiofs"}
)


@contextmanager
def claim(directory: Path, mountpoint: Path | None = None) -> Iterator[None]:
    """Be the only user of a cache directory for as long as the context lasts (INTERFACE 9, promise 7).

    Makes the directory and what lies above it, and gives it the mode 0700. To be entered before anything
    in it is opened, the database too. Raises LocalIOError, with the mend, where the directory lies inside
    `mountpoint`, on a network or FUSE file system, belongs to another user, or is in use (the pid of the
    daemon is named); nothing in it has been touched then.
    """
    try:
        require_usable(directory, mountpoint)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.chmod(directory, 0o700)
        lock = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LocalIOError(f"the cache directory {directory} can't be used ({error.strerror})") from error
    try:
        _lock(lock, directory)
        yield
    finally:
        os.close(lock)


def require_usable(directory: Path, mountpoint: Path | None = None) -> None:
    """LocalIOError, with the mend, where a directory can't be the cache, or become it if it is not there yet.

    Nothing is changed.
    """
    existing = nearest(directory)
    try:
        _refuse_inside(directory, mountpoint)
        if existing == directory:
            _refuse_foreign(directory)
        _refuse_remote(directory, existing)
    except OSError as error:
        raise LocalIOError(f"the cache directory {directory} can't be used ({error.strerror})") from error


def nearest(directory: Path) -> Path:
    """The directory, or of those above it the lowest that is there."""
    return next(above for above in (directory, *directory.parents) if os.path.exists(above))


def user_of(directory: Path) -> str | None:
    """The pid of the daemon that uses a cache directory, "unknown" for one that has not written it yet;
    None where none does."""
    try:
        lock = os.open(directory / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LocalIOError(f"the cache directory {directory} can't be used ({error.strerror})") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)  # given up by close; a `claim` bears with it
    except BlockingIOError:
        return _written_pid(lock)
    finally:
        os.close(lock)
    return None


def recovered(directory: Path) -> Path | None:
    """The folder of files that lost their name and were never in the cloud, while there are any in it."""
    folder = directory / RECOVERED_NAME
    try:
        with os.scandir(folder) as entries:
            return folder if next(entries, None) is not None else None
    except FileNotFoundError:
        return None


def boot_id() -> str:
    """Which boot of the machine this is (proc(5)): page cache that was not synced ends with it."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError as error:
        raise LocalIOError(f"{BOOT_ID} can't be read ({error.strerror})") from error


def _lock(lock: int, directory: Path) -> None:
    try:
        is_ours = _try_lock(lock)
        if not is_ours:
            time.sleep(_LOOKERS_S)
            is_ours = _try_lock(lock)
    except OSError as error:
        raise LocalIOError(f"the cache directory {directory} can't be locked ({error.strerror})") from error
    if not is_ours:
        raise LocalIOError(
            f"the cache directory {directory} is in use by process {_written_pid(lock)}: "
            "unmount that mount, or choose another [cache] path"
        )
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _written_pid(lock: int) -> str:
    return os.pread(lock, 32, 0).decode("ascii", "replace").strip() or "unknown"


def _refuse_inside(directory: Path, mountpoint: Path | None) -> None:
    if mountpoint is not None and directory.resolve().is_relative_to(real_mountpoint(mountpoint)):
        raise LocalIOError(
            f"the cache directory {directory} lies inside the mountpoint {mountpoint}: "
            "choose a [cache] path outside of it"
        )


def _refuse_foreign(directory: Path) -> None:
    status = directory.stat()
    if status.st_uid != os.geteuid():
        raise LocalIOError(
            f"the cache directory {directory} belongs to user {status.st_uid}, not to {os.geteuid()}: "
            "choose another [cache] path"
        )


def _refuse_remote(directory: Path, existing: Path) -> None:
    kind = _file_system(existing)
    if kind in _REMOTE_TYPES or kind.partition(".")[0] in ("fuse", "fuseblk"):
        raise LocalIOError(
            f"the cache directory {directory} lies on a file system of type {kind}: "
            "choose a [cache] path on a local disk"
        )


def _file_system(directory: Path) -> str:
    """The type of the file system that a directory is on, from mountinfo (proc(5)); empty if unknown."""
    status = os.stat(directory)
    device = f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}"
    for line in MOUNTS.read_text(errors="surrogateescape").splitlines():
        mount, _, source = line.partition(" - ")
        if mount.split()[2] == device:
            return source.split()[0]
    return ""
