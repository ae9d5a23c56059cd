"""The folder that the mount covers: whether it may be used, and how it is freed again.

Everything here may block on a dead or busy mount, so it runs in a worker thread.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import string
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cloudfs.config.paths import real_mountpoint
from cloudfs.model.errors import MountFailed, TryAgain

_log = logging.getLogger(__name__)

FSNAME = "cloudfs"
FSTYPE = f"fuse.{FSNAME}"

_DEVICE = "/dev/fuse"
_UNMOUNT_TIMEOUT_S = 10
# proc(5), mountinfo: blanks, tabs, newlines and backslashes stand as octal numbers.
_PLAIN = frozenset(b"/._-" + string.ascii_letters.encode() + string.digits.encode())
_OCTAL = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class MountEntry:
    """How the mount table shows a mount.

    source: fstab(5)'s first field, by which mount(8) tells whether a line is mounted already.
    is_noexec: whether no program may be run from it.
    """

    source: str = FSNAME
    is_noexec: bool = False

    def options(self) -> set[str]:
        """As libfuse takes them (fuse_opt.h): in ASCII, all but the plainest characters as octal numbers."""
        source = "".join(
            chr(byte) if byte in _PLAIN else f"\\{byte:03o}" for byte in os.fsencode(self.source)
        )
        return {f"fsname={source}", f"subtype={FSNAME}"} | ({"noexec"} if self.is_noexec else set())


def prepare(mountpoint: Path) -> None:
    """See to it that the mountpoint can be mounted on; a dead daemon's mount is taken away.

    MountFailed names what is wrong and the mend.
    """
    if not os.path.exists(_DEVICE):
        raise MountFailed(f"there is no {_DEVICE}; load the kernel's module with: modprobe fuse")
    if is_dead(mountpoint):
        free(mountpoint)
    if is_mounted(mountpoint):
        raise MountFailed(f"{mountpoint} is mounted already; end that with: cloudfs umount {mountpoint}")
    require_empty(mountpoint)


def require_empty(mountpoint: Path) -> None:
    """MountFailed, with the mend, where it is no folder that a mount can cover without hiding anything."""
    try:
        is_empty = not os.listdir(mountpoint)
    except OSError as error:
        raise _unusable(mountpoint, error) from error
    if not is_empty:
        raise MountFailed(f"the mountpoint {mountpoint} is not empty; choose an empty folder")


def is_mounted(mountpoint: Path) -> bool:
    """Whether the topmost mount there is one of ours, alive or dead. Asks the mount table, not the mount."""
    return connection_of(mountpoint) is not None


def connection_of(mountpoint: Path) -> int | None:
    """The kernel's number of our mount there (fusectl, /proc/self/mountinfo): the minor of its device; None
    where the topmost mount is none of ours. Asks the mount table, not the mount."""
    wanted = os.fsencode(real_mountpoint(mountpoint))
    found = None
    for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
        mount, _, source = line.partition(b" - ")
        fields = mount.split(b" ")
        if _OCTAL.sub(_unescape, fields[4]) == wanted:
            is_ours = source.split(b" ")[0] == FSTYPE.encode()
            found = int(fields[2].partition(b":")[2]) if is_ours else None
    return found


def is_dead(mountpoint: Path) -> bool:
    """Whether a daemon left its mount there and is gone.

    statfs(2), for the kernel answers it from no cache; stat(2) goes on as if nothing had happened for as
    long as attributes are remembered.
    """
    try:
        os.statvfs(mountpoint)
    except OSError as error:
        return error.errno == errno.ENOTCONN
    return False


def unmount(mountpoint: Path) -> None:
    """End the mount as its user may (fusermount3(1)). TryAgain while programs use it; MountFailed."""
    result = _fusermount("-u", mountpoint)
    if result.returncode == 0 or not is_mounted(mountpoint):
        return
    reason = result.stderr.strip() or f"fusermount3 exited with {result.returncode}"
    if "busy" in reason:
        mend = "close them, or end the mount under them by --force"
        raise TryAgain(f"programs have files or folders of {mountpoint} open; {mend}")
    raise MountFailed(f"{mountpoint} could not be unmounted: {reason}")


def free(mountpoint: Path) -> None:
    """Take away what a daemon left that is gone, under programs too: nothing answers them. MountFailed."""
    _log.info("%s is the mount of a daemon that is gone; unmounting it", mountpoint)
    result = _fusermount("-uz", mountpoint)
    if is_dead(mountpoint):
        raise MountFailed(
            f"{mountpoint} is the mount of a daemon that is gone, and it could not be unmounted "
            f"({result.stderr.strip() or 'it is still there'}); try: umount -l {mountpoint}"
        )


def _fusermount(option: str, mountpoint: Path) -> subprocess.CompletedProcess[str]:
    command = ["fusermount3", option, "--", str(mountpoint)]
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=_UNMOUNT_TIMEOUT_S, check=False
        )
    except FileNotFoundError:
        raise MountFailed("fusermount3 is not installed; on Debian: apt-get install fuse3") from None
    except subprocess.TimeoutExpired:
        raise TryAgain(f"fusermount3 did not end within {_UNMOUNT_TIMEOUT_S} s") from None


def _unusable(mountpoint: Path, error: OSError) -> MountFailed:
    if error.errno == errno.ENOENT:
        return MountFailed(f"the mountpoint {mountpoint} does not exist; make it with: mkdir -p {mountpoint}")
    if error.errno == errno.ENOTDIR:
        return MountFailed(f"the mountpoint {mountpoint} is not a folder; choose an empty folder")
    return MountFailed(f"the mountpoint {mountpoint} cannot be used: {error.strerror}")


def _unescape(match: re.Match[bytes]) -> bytes:
    return bytes((int(match[1], 8),))
