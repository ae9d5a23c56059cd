"""`cloudfs pin` and `cloudfs unpin`: the pin attribute, for many at once."""

from __future__ import annotations

import argparse
from functools import partial

from cloudfs.cli.failures import Exit, attempt, combined
from cloudfs.cli.mounts import Mount, find, reference_of


def run(arguments: argparse.Namespace) -> Exit:
    method = f"Mount.{arguments.verb}"
    with find(arguments.targets, arguments.socket) as mount:
        return combined(
            [attempt(target, partial(_pin, mount, method, target)) for target in arguments.targets]
        )


def _pin(mount: Mount, method: str, target: str) -> None:
    mount.connection.call(method, paths=[reference_of(mount, target)])
