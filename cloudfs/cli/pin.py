"""`cloudfs pin` and `cloudfs unpin`: the pin attribute, for many at once."""

from __future__ import annotations

import argparse
import sys

from cloudfs.cli.connection import CallFailed
from cloudfs.cli.failures import Exit, combined
from cloudfs.cli.mounts import Mount, find, reference_of
from cloudfs.cli.output import printable


def run(arguments: argparse.Namespace) -> Exit:
    with find(arguments.targets, arguments.socket) as mount:
        return combined([_pin(mount, f"Mount.{arguments.verb}", target) for target in arguments.targets])


def _pin(mount: Mount, method: str, target: str) -> Exit:
    try:
        mount.connection.call(method, paths=[reference_of(mount, target)])
    except CallFailed as failure:
        print(f"cloudfs: {printable(target)}: {failure.message}", file=sys.stderr)
        return failure.exit_code
    return Exit.DONE
