"""`cloudfs mount`: serves in the foreground, or starts a daemon and returns once the mount is usable."""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from pathlib import Path

from cloudfs.cache.directory import recovered
from cloudfs.cli.background import Announcement, start_daemon
from cloudfs.cli.failures import Exit, Failure
from cloudfs.cli.logs import log_file, logging_to
from cloudfs.cli.output import printable
from cloudfs.config import ConfigError, MountConfig, load, located, parse_options, require_supported
from cloudfs.config.paths import xdg_directory
from cloudfs.database.faults import put_aside
from cloudfs.model.errors import CloudfsError


def run(arguments: argparse.Namespace) -> Exit:
    file = config_file(arguments.config)
    mountpoint = Path(os.path.abspath(arguments.mountpoint)) if arguments.mountpoint else None
    options = parse_options(",".join(arguments.options))
    if arguments.foreground:
        announcement = Announcement(arguments.ready_fd)
        try:
            _serve(file, _config(file, options, mountpoint), announcement)
        except Failure as failure:
            announcement.failed(failure.message, failure.exit_code)
            raise
        return Exit.DONE
    config = _config(file, options, mountpoint)  # faults are told here, before there is a log to look into
    command = ["mount", "--foreground", "--config", str(file)]
    command += [part for option in arguments.options for part in ("-o", option)]
    command += ["--", str(mountpoint)] if mountpoint else []
    damaged_before = put_aside(config.cache.path)
    start_daemon(command, log_file(config.name))
    for path in put_aside(config.cache.path) - damaged_before:
        words = "the database was damaged; it is built anew from the cloud, and kept as"
        print(f"cloudfs: {words} {printable(str(path))}", file=sys.stderr)
    if folder := recovered(config.cache.path):
        print(f"cloudfs: files that lost their names are in {printable(str(folder))}", file=sys.stderr)
    return Exit.DONE


def config_file(asked: Path | None) -> Path:
    """The mount.toml that is meant."""
    return Path(os.path.abspath(asked)) if asked else xdg_directory("XDG_CONFIG_HOME") / "cloudfs/mount.toml"


def _config(file: Path, options: dict[str, str], mountpoint: Path | None) -> MountConfig:
    try:
        config = load(file, options, mountpoint)
        require_supported(file, config)
    except ConfigError as error:
        raise Failure(str(error)) from error
    return config


def _serve(file: Path, config: MountConfig, announcement: Announcement) -> None:
    # Imported here: the front half of a background mount only checks the configuration.
    import trio

    from cloudfs.daemon import serve

    with logging_to(sys.stderr):
        try:
            trio.run(partial(serve, config, ready=announcement.ready))
        except ConfigError as error:
            raise Failure(str(located(file, error))) from error
        except CloudfsError as error:
            raise Failure(error.reason) from error
