"""The order of the checks: what others stand on comes first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import trio

from cloudfs.config import MountConfig, load, located, read_credentials, require_supported
from cloudfs.config.faults import ConfigError
from cloudfs.doctor import configuration, content, machine, mounts, server
from cloudfs.doctor.finding import Finding, Report

CHECKS = (
    *machine.CHECKS,
    configuration.CONFIGURATION,
    *mounts.CHECKS,
    *content.CHECKS,
    configuration.DEVICE,
    configuration.CREDENTIALS,
    *server.CHECKS,
)


def examine(
    file: Path, options: Mapping[str, str], mountpoint: Path | None, tell: Callable[[Finding], None]
) -> None:
    """Look at all that a mount needs, and tell each finding as soon as it is there.

    file, options, mountpoint: as `config.load` takes them. Each question to the server has a deadline, of
    `cloud.timeout` or less; a password command or a keyring has ten seconds, a daemon's socket five.
    Nothing of the user's is changed; where `read_only` allows it hidden files are written to the cloud for
    a moment, to see how it treats changes.
    """
    report = Report(tell, CHECKS)
    for finding in machine.examine():
        report.tell(finding)
    try:
        config = load(file, options, mountpoint)
        require_supported(file, config, options)
    except ConfigError as error:
        _tell_faults(report, configuration.CONFIGURATION, error)
        return
    report.tell(configuration.read(file, config))
    for finding in _on_this_machine(config):
        report.tell(finding)
    try:
        login = read_credentials(config)
    except ConfigError as error:
        _tell_faults(report, configuration.CREDENTIALS, located(file, error, options))
        return
    report.tell(configuration.credentials(config, login))
    trio.run(partial(server.examine, config, login, report))


def _tell_faults(report: Report, check: str, error: ConfigError) -> None:
    for finding in configuration.faults(check, error):
        report.tell(finding)
    report.leave_out(check)


def _on_this_machine(config: MountConfig) -> Iterator[Finding]:
    yield from machine.examine_for(config)
    daemons = mounts.running(config.socket)
    yield from mounts.examine(config, daemons)
    yield from content.examine(config, daemons)
    yield configuration.device(config)
