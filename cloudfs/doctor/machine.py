"""The machine: the kernel's FUSE, who may mount, and the programs and libraries between."""

from __future__ import annotations

import ctypes
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from cloudfs.config import MountConfig
from cloudfs.doctor.finding import Finding

DEVICE = Path("/dev/fuse")
FUSE_CONF = Path("/etc/fuse.conf")
PROCESS_STATUS = Path("/proc/self/status")
PROCESS_MAPS = Path("/proc/self/maps")
CHECKS = (str(DEVICE), "libfuse", "fusermount3", "right to mount")

_CAP_SYS_ADMIN = 21  # capabilities(7)
_CONTAINER = "in a container: start it with --device /dev/fuse --cap-add SYS_ADMIN"
_OTHERS = "allow_other"


def examine() -> Iterator[Finding]:
    """What every mount needs, in the order of CHECKS."""
    yield fuse_device(DEVICE)
    yield library()
    yield helper()
    yield right_to_mount(PROCESS_STATUS)


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
    return Finding("libfuse", f"{_libfuse_version(PROCESS_MAPS)}, pyfuse3 {pyfuse3.__version__}")


def _libfuse_version(maps: Path) -> str:
    """As the library tells it that this process has loaded (fuse_pkgversion of fuse_common.h)."""
    path = next((line.split()[-1] for line in maps.read_text().splitlines() if "/libfuse3.so" in line), None)
    if path is None:
        return "built in"
    version = ctypes.CDLL(path).fuse_pkgversion
    version.restype = ctypes.c_char_p
    return str(version().decode())


def helper() -> Finding:
    """fusermount3(1), which mounts for who is not root, and unmounts for all."""
    path = shutil.which("fusermount3")
    if path is None:
        return Finding("fusermount3", "it is not installed", "on Debian: apt-get install fuse3")
    if os.geteuid() == 0:
        return Finding("fusermount3", path)
    if not _is_setuid_root(path):
        mend = f"as root: chown root {path}; chmod 4755 {path}"
        return Finding("fusermount3", f"{path} is not setuid root, so only root can mount", mend)
    return Finding("fusermount3", f"{path}, setuid root")


def right_to_mount(status: Path) -> Finding:
    """Whether the kernel lets this process, or the setuid helper that it starts, mount at all."""
    check = "right to mount"
    told = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    is_root = os.geteuid() == 0
    if not is_root and told.get("NoNewPrivs", "").strip() == "1":
        mend = "start it outside of that sandbox (systemd: NoNewPrivileges=no)"
        return Finding(check, "programs gain no rights here, so fusermount3 has none (no_new_privs)", mend)
    held = int(told["CapEff" if is_root else "CapBnd"], 16)
    if not held >> _CAP_SYS_ADMIN & 1:
        return Finding(check, "the capability to mount (CAP_SYS_ADMIN) is taken away here", _CONTAINER)
    return Finding(check, "root's own" if is_root else "by fusermount3")


def others_allowed(fuse_conf: Path) -> Finding:
    """`allow_other` takes a line of root's, for who is not root."""
    if os.geteuid() == 0:
        return Finding(_OTHERS, "root may")
    mend = f"as root: echo user_allow_other >> {fuse_conf}; or set mount.allow_other = false"
    try:
        lines = fuse_conf.read_text(errors="replace").splitlines()
    except OSError as error:
        return Finding(_OTHERS, f"{fuse_conf} can't be read: {error.strerror}", mend)
    if "user_allow_other" not in (line.strip() for line in lines):
        return Finding(_OTHERS, f"{fuse_conf} does not let users have it", mend)
    return Finding(_OTHERS, f"{fuse_conf} lets users have it")


def _is_setuid_root(path: str) -> bool:
    status = os.stat(path)
    return status.st_uid == 0 and bool(status.st_mode & stat.S_ISUID)
