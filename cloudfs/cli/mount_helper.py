"""mount.fuse.cloudfs: what mount(8) runs for `mount -t fuse.cloudfs CONFIG MOUNTPOINT` and lines of fstab.

Its arguments and exit codes are those of mount(8), "EXTERNAL HELPERS" and "EXIT STATUS". It returns once the
mount is usable; the daemon goes on in the background, as that of `cloudfs mount`.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from cloudfs.cache.directory import user_of
from cloudfs.cli.account import NotPossible, become, complete_environment
from cloudfs.cli.failures import Failure
from cloudfs.cli.install_helper import PROGRAM
from cloudfs.cli.mount import MountRequest, mount_in_background
from cloudfs.cli.output import printable
from cloudfs.config import MountConfig, split_options, without_unknown
from cloudfs.fuse.mountpoint import is_mounted
from cloudfs.model.errors import CloudfsError

DONE, WRONG_USAGE, INTERRUPTED, FAILED = 0, 1, 8, 32  # mount(8)
PREDECESSOR_S = 5.0  # for a daemon whose mount umount(8) took away, which waits for no daemon's end
_LOOK_EVERY_S = 0.05


@dataclass(frozen=True, slots=True)
class HelperOptions:
    """What follows -o, apart.

    user: who is to serve, where it is not who mounts. is_remount: a mount that is there is to change. rest:
    what `cloudfs mount -o` takes.
    """

    user: str | None
    is_remount: bool
    rest: str


def read_options(text: str) -> HelperOptions:
    """Sort out the words for us from those for the mount; of several users the last one counts."""
    words = split_options(text)
    users = [word.removeprefix("setuid=") for word in words if word.startswith("setuid=")]
    rest = [word for word in words if word != "remount" and not word.startswith("setuid=")]
    return HelperOptions(users[-1] if users else None, "remount" in words, ",".join(rest))


def main(arguments: Sequence[str] | None = None) -> int:
    """Mount, as the arguments say; the exit code. Wrong usage leaves by SystemExit(1)."""
    parsed = _parser().parse_args(arguments)
    try:
        _mount(parsed)
    except NotPossible as error:
        return _failed(str(error), WRONG_USAGE)
    except Failure as failure:
        return _failed(failure.message, FAILED)
    except CloudfsError as error:
        return _failed(error.reason, FAILED)
    except KeyboardInterrupt:
        return INTERRUPTED
    return DONE


def _mount(parsed: argparse.Namespace) -> None:
    options = read_options(",".join(parsed.options))
    file, mountpoint = Path(os.path.abspath(parsed.config)), Path(os.path.abspath(parsed.mountpoint))
    if options.is_remount:
        mend = f"umount {printable(str(mountpoint))}, and mount it again"
        raise Failure(f"a mount that is there can't be changed: {mend}")
    # By its source, free of symbolic links, `mount -a` finds in the mount table what is mounted already.
    source = os.path.realpath(file)
    if options.user is not None:
        become(options.user)
    complete_environment()
    rest = without_unknown(options.rest) if parsed.sloppy else options.rest
    request = MountRequest(file, mountpoint, rest, source)
    config = request.config()
    if not parsed.fake:
        _let_predecessor_end(config)
        mount_in_background(request, config)
    if parsed.verbose:
        print(f"{PROGRAM}: {printable(str(file))} on {printable(str(mountpoint))}")


def _let_predecessor_end(config: MountConfig) -> None:
    """A while for the daemon that an umount(8) a moment ago has left without a mount."""
    deadline = time.monotonic() + PREDECESSOR_S
    while user_of(config.cache.path) is not None and not is_mounted(config.mount.path):
        if time.monotonic() > deadline:
            break  # who mounts it elsewhere is named by the daemon that can't start
        time.sleep(_LOOK_EVERY_S)


def _failed(message: str, code: int) -> int:
    print(f"{PROGRAM}: {message}", file=sys.stderr)
    return code


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(WRONG_USAGE, f"{self.prog}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=PROGRAM,
        description="Mounts what a mount.toml describes. mount(8) runs it, for the type fuse.cloudfs.",
        allow_abbrev=False,
    )
    parser.add_argument("config", metavar="CONFIG", help="the mount.toml")
    parser.add_argument("mountpoint", metavar="MOUNTPOINT")
    parser.add_argument("-o", dest="options", metavar="OPTIONS", action="append", default=[])
    parser.add_argument("-s", dest="sloppy", action="store_true", help="pass over options that no key is for")
    parser.add_argument("-f", dest="fake", action="store_true", help="check all, but mount nothing")
    parser.add_argument("-v", dest="verbose", action="store_true", help="say what was done")
    parser.add_argument("-n", action="store_true", help="nothing: there is no /etc/mtab to leave alone")
    parser.add_argument("-t", metavar="TYPE", help="nothing: there is this one only")
    return parser


if __name__ == "__main__":
    sys.exit(main())
