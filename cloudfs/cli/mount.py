"""`cloudfs mount`: serves in the foreground, or starts a daemon and returns once the mount is usable."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cloudfs.cache.directory import recovered
from cloudfs.cli.background import Announcement, start_daemon
from cloudfs.cli.failures import Exit, Failure
from cloudfs.cli.logs import log_file, logging_to
from cloudfs.cli.output import printable
from cloudfs.config import (
    ConfigError,
    MountConfig,
    is_noexec,
    load,
    located,
    parse_options,
    require_supported,
)
from cloudfs.config.paths import xdg_directory
from cloudfs.database.faults import put_aside
from cloudfs.fuse.mountpoint import FSNAME, MountEntry
from cloudfs.model.errors import CloudfsError


@dataclass(frozen=True, slots=True)
class MountRequest:
    """What is to be mounted, where, and with which keys of `-o`.

    file: the mount.toml. mountpoint: goes before its mount.path. options: as mount(8) spells them. source:
    what the mount table is to name as such. The paths are absolute.
    """

    file: Path
    mountpoint: Path | None
    options: str
    source: str

    @property
    def overrides(self) -> dict[str, str]:
        return parse_options(self.options)

    def config(self) -> MountConfig:
        """Read and checked. Failure tells every fault."""
        try:
            config = load(self.file, self.overrides, self.mountpoint)
            require_supported(self.file, config, self.overrides)
        except ConfigError as error:
            raise Failure(str(error)) from error
        return config


def run(arguments: argparse.Namespace) -> Exit:
    file = config_file(arguments.config)
    mountpoint = Path(os.path.abspath(arguments.mountpoint)) if arguments.mountpoint else None
    request = MountRequest(file, mountpoint, ",".join(arguments.options), arguments.source or FSNAME)
    if not arguments.foreground:
        # Faults are told here, before there is a log to look into.
        mount_in_background(request, request.config())
        return Exit.DONE
    announcement = Announcement(arguments.ready_fd)
    try:
        _serve(request, announcement)
    except Failure as failure:
        announcement.failed(failure.message, failure.exit_code)
        raise
    return Exit.DONE


def mount_in_background(request: MountRequest, config: MountConfig) -> None:
    """Start a daemon; returns once the mount is usable. Failure says why it is not.

    config: what the request says, checked.
    """
    command = ["mount", "--foreground", "--config", str(request.file), "--source", request.source]
    command += ["-o", request.options] if request.options else []
    command += ["--", str(request.mountpoint)] if request.mountpoint else []
    damaged_before = put_aside(config.cache.path)
    start_daemon(command, log_file(config.name))
    for path in put_aside(config.cache.path) - damaged_before:
        words = "the database was damaged; it is built anew from the cloud, and kept as"
        print(f"cloudfs: {words} {printable(str(path))}", file=sys.stderr)
    if folder := recovered(config.cache.path):
        print(f"cloudfs: files that lost their names are in {printable(str(folder))}", file=sys.stderr)


def config_file(asked: Path | None) -> Path:
    """The mount.toml that is meant."""
    return Path(os.path.abspath(asked)) if asked else xdg_directory("XDG_CONFIG_HOME") / "cloudfs/mount.toml"


def _serve(request: MountRequest, announcement: Announcement) -> None:
    config = request.config()
    # Imported here: the front half of a background mount only checks the configuration.
    import trio

    from cloudfs.daemon.serving import serve

    entry = MountEntry(request.source, is_noexec(request.options))
    with logging_to(sys.stderr):
        try:
            trio.run(partial(serve, config, ready=announcement.ready, entry=entry))
        except ConfigError as error:
            raise Failure(str(located(request.file, error, request.overrides))) from error
        except CloudfsError as error:
            raise Failure(error.reason) from error
