"""How a verb ends: the exit codes of INTERFACE section 2, and which cause gets which."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from typing import Any

from cloudfs.cli.output import printable
from cloudfs.model.enums import DownloadErrorType, ErrorType


class Exit(IntEnum):
    """INTERFACE section 2."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NO_SUCH_FILE = 3
    NO_DAEMON = 4
    TEMPORARY = 5
    INTERRUPTED = 130  # 128 + SIGINT, as shells report it


class Failure(Exception):
    """A verb that could not do its work: one line for the user, and how the process ends."""

    def __init__(self, message: str, exit_code: Exit = Exit.FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code


class TargetFailure(Failure):
    """What is wrong with one PATH or URI; the others of the command line have no part in it."""


_EXIT_OF_CODE = {
    14000002: Exit.NO_SUCH_FILE,
    13900002: Exit.NO_SUCH_FILE,
    22400002: Exit.TEMPORARY,
    22400003: Exit.TEMPORARY,
    13900010: Exit.TEMPORARY,
}
_CLOUD_NOT_READY = 22400001
_IPC_ERROR = 13600001
_SERVICE_UNAVAILABLE = 503

_PASSING_SYNC_ERRORS = {
    ErrorType.NETWORK_UNAVAILABLE,
    ErrorType.WIFI_UNAVAILABLE,
    ErrorType.BATTERY_LEVEL_LOW,
    ErrorType.BATTERY_LEVEL_WARNING,
}
_PASSING_DOWNLOAD_ERRORS = {DownloadErrorType.NETWORK_UNAVAILABLE, DownloadErrorType.FREQUENT_USER_REQUESTS}


def exit_of_answer(code: int, data: Mapping[str, Any]) -> Exit:
    """The exit code of an error answer. data: its `data`, which tells the causes of one code apart."""
    if code == _CLOUD_NOT_READY and data.get("status") == _SERVICE_UNAVAILABLE:
        return Exit.TEMPORARY
    if code == _IPC_ERROR and data.get("error") in {error.name for error in _PASSING_DOWNLOAD_ERRORS}:
        return Exit.TEMPORARY
    return _EXIT_OF_CODE.get(code, Exit.FAILED)


def attempt(target: str, act: Callable[[], object]) -> Exit:
    """Do something for one target. What is wrong with it is told, and holds up no other."""
    try:
        act()
    except TargetFailure as failure:
        print(f"cloudfs: {printable(target)}: {failure.message}", file=sys.stderr)
        return failure.exit_code
    return Exit.DONE


def combined(exits: Iterable[Exit]) -> Exit:
    """How a verb over several files ends: as they all did, or FAILED where they failed differently."""
    failed = {code for code in exits if code is not Exit.DONE}
    if len(failed) == 1:
        return failed.pop()
    return Exit.FAILED if failed else Exit.DONE


def exit_of_sync_error(error: ErrorType) -> Exit:
    """The exit code of a sync that did not complete."""
    return Exit.TEMPORARY if error in _PASSING_SYNC_ERRORS else Exit.FAILED


def exit_of_download_error(error: DownloadErrorType) -> Exit:
    """The exit code of a download that failed."""
    return Exit.TEMPORARY if error in _PASSING_DOWNLOAD_ERRORS else Exit.FAILED
