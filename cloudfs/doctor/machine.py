"""The machine: the kernel's FUSE, its helper, and what the user may do with both."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from cloudfs.config import MountConfig
from cloudfs.doctor.finding import Finding

DEVICE = Path("/dev/fuse")
FUSE_CONF = Path("/etc/fuse.conf")
CONNECTIONS = Path("/sys/fs/fuse/connections")
_CONTAINER = "in a container: start it with --device /dev/fuse --cap-add SYS_ADMIN"


def examine() -> Iterator[Finding]:
    """What every mount needs."""
    yield fuse_device(DEVICE)
    yield library()
    yield helper()
    yield background()


def examine_for(config: MountConfig) -> Iterator[Finding]:
    """What this mount needs beside that."""
    if config.mount.allow_other:
        yield others_allowed(FUSE_CONF)


def fuse_device(device: Path) -> Finding:
    """fuse(4): the device by which the kernel's requests come."""
    name = str(device)
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        return Finding(name, "there is none", f"load the kernel's module: modprobe fuse; {_CONTAINER}")
    except PermissionError:
        return Finding(name, "it may not be opened", f"as root: chmod 666 {device}; {_CONTAINER}")
    except OSError as error:
        return Finding(name, f"it can't be opened: {error.strerror}", f"modprobe fuse; {_CONTAINER}")
    return Finding(name, "readable and writable")


def library() -> Finding:
    """libfuse, and the module that speaks to it."""
    try:
        import pyfuse3
    except ImportError as error:
        mend = "on Debian: apt-get install libfuse3-3, then install cloudfs again"
        return Finding("libfuse", f"pyfuse3 can't be loaded: {error}", mend)
    return Finding("libfuse", f"pyfuse3 {pyfuse3.__version__}")


def helper() -> Finding:
    """fusermount3(1), which mounts for who is not root, and unmounts for all."""
    path = shutil.which("fusermount3")
    if path is None:
        return Finding("fusermount3", "it is not installed", "on Debian: apt-get install fuse3")
    if os.geteuid() != 0 and not _is_setuid_root(path):
        mend = f"as root: chown root {path}; chmod 4755 {path}"
        return Finding("fusermount3", f"{path} is not setuid root, so only root can mount", mend)
    return Finding("fusermount3", path)


def background() -> Finding:
    """How many requests that wait for the network the kernel lets go on side by side (DESIGN 8.15)."""
    if os.access(CONNECTIONS, os.X_OK) and os.path.ismount(CONNECTIONS):
        return Finding("kernel limits", f"{CONNECTIONS} is there: read-ahead is raised at each mount")
    return Finding("kernel limits", f"{CONNECTIONS} is not mounted: 12 reads of a mount wait at once at most")


def others_allowed(fuse_conf: Path) -> Finding:
    """`allow_other` takes a line of root's, for who is not root."""
    check = "allow_other"
    if os.geteuid() == 0:
        return Finding(check, "root may")
    mend = f"as root: echo user_allow_other >> {fuse_conf}; or set mount.allow_other = false"
    try:
        lines = fuse_conf.read_text(errors="replace").splitlines()
    except OSError as error:
        return Finding(check, f"{fuse_conf} can't be read: {error.strerror}", mend)
    if "user_allow_other" not in (line.strip() for line in lines):
        return Finding(check, f"{fuse_conf} does not let users have it", mend)
    return Finding(check, f"{fuse_conf} lets users have it")


def _is_setuid_root(path: str) -> bool:
    status = os.stat(path)
    return status.st_uid == 0 and bool(status.st_mode & stat.S_ISUID)
