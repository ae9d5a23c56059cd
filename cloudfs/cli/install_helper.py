"""`cloudfs install-helper`: puts mount.fuse.cloudfs where mount(8) looks, so that fstab may name a mount."""

from __future__ import annotations

import argparse
import os
import pwd
import shlex
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from cloudfs.cli.failures import Exit, Failure
from cloudfs.cli.output import print_json, printable

PROGRAM = "mount.fuse.cloudfs"
_MARK = "# Written by `cloudfs install-helper`, which also replaces it."
_EXAMPLE = "/etc/cloudfs/mount.toml /mnt/cloud fuse.cloudfs _netdev,nofail 0 0"
_LINKS_MAX = 40  # path_resolution(7)


def run(arguments: argparse.Namespace) -> Exit:
    try:
        helper = install(Path(os.path.abspath(arguments.root)))
    except OSError as error:
        where = printable(str(error.filename or arguments.root))
        mend = "run it as root, or name a folder that you may write to by --root"
        raise Failure(f"{where}: {error.strerror}; {mend}") from error
    if owner := _deciding_user():
        words = f"{printable(sys.executable)} belongs to {owner}, who so decides what mount(8) runs as root"
        print(f"cloudfs: {words}", file=sys.stderr)
    if arguments.json:
        print_json({"helper": str(helper), "interpreter": sys.executable, "fstab": _EXAMPLE})
    else:
        print(f"{printable(str(helper))} runs {printable(sys.executable)} from now on")
        print(f"a line for /etc/fstab:\n  {_EXAMPLE}")
    return Exit.DONE


def install(root: Path) -> Path:
    """Write the helper into ROOT/sbin, at once or not at all; where it is.

    Failure where something lies there that is not ours, OSError where it can't be written; what was there is
    as it was then.
    """
    folder = _sbin(root)
    folder.mkdir(parents=True, exist_ok=True)
    helper = folder / PROGRAM
    if os.path.lexists(helper) and not _is_ours(helper):
        mend = "move it away, if nothing needs it"
        raise Failure(f"{printable(str(helper))} is there, and not of cloudfs' making; {mend}")
    _replace(helper, _script())
    return helper


def _deciding_user() -> str | None:
    """Who but root may change what the helper runs, where it is root who installs it."""
    owners = {os.stat(path).st_uid for path in (sys.executable, __file__)} - {0}
    if os.geteuid() != 0 or not owners:
        return None
    uid = min(owners)
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _script() -> str:
    command = shlex.join([sys.executable, "-P", "-m", "cloudfs.cli.mount_helper"])
    return f'#!/bin/sh\n{_MARK}\nexec {command} "$@"\n'


def _sbin(root: Path) -> Path:
    """ROOT/sbin, or where its symbolic link leads (/usr merged), as a system that has ROOT for / sees it."""
    inside = "/sbin"
    for _ in range(_LINKS_MAX):
        folder = root / inside.lstrip("/")
        if not folder.is_symlink():
            return folder
        inside = os.path.normpath(os.path.join(os.path.dirname(inside), os.readlink(folder)))
    raise Failure(f"{printable(str(root))}/sbin is a circle of symbolic links")


def _is_ours(helper: Path) -> bool:
    return not helper.is_symlink() and helper.is_file() and _MARK.encode() in helper.read_bytes()


def _replace(path: Path, text: str) -> None:
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            os.fchmod(file.fileno(), 0o755)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
