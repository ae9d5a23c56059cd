"""`cloudfs download`: CloudFileCache from the shell, Download for gallery assets."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass

from cloudfs.cli.connection import CallFailed, Connection, lost
from cloudfs.cli.failures import Exit, Failure, combined, exit_of_download_error
from cloudfs.cli.mounts import Mount, find, is_media, reference_of, uri_of
from cloudfs.cli.output import print_json, printable
from cloudfs.cli.progress import Progress, open_progress
from cloudfs.model.enums import DownloadErrorType, Location, State

_LOCAL_STORAGE_FULL = 13900025
_WHOLE = (Location.BOTH, Location.LOCAL)


@dataclass(slots=True)
class _Transfer:
    """One file of the command line, and how far it has come."""

    target: str
    uri: str
    state: State = State.RUNNING
    processed: int = 0
    size: int = 0
    error: DownloadErrorType = DownloadErrorType.NO_ERROR
    exit_code: Exit = Exit.DONE

    def to_json(self) -> dict[str, object]:
        """INTERFACE section 11."""
        return {
            "uri": self.uri,
            "state": self.state.name,
            "processed": self.processed,
            "size": self.size,
            "error": self.error.name,
        }


def run(arguments: argparse.Namespace) -> Exit:
    if arguments.keep_partial and arguments.action != "stop":
        raise Failure("--keep-partial goes with `stop`: a start resumes whatever is kept", Exit.USAGE)
    with find(arguments.targets, arguments.socket) as mount:
        named = {uri_of(mount, target): target for target in reversed(arguments.targets)}
        transfers = [_Transfer(target, uri) for uri, target in reversed(named.items())]
        if arguments.action == "stop":
            _stop(mount, transfers, keep_partial=arguments.keep_partial)
        else:
            _start(mount.connection, transfers, is_waiting=arguments.wait)
        if arguments.json and mount.is_open and (arguments.action == "stop" or not arguments.wait):
            _learn_what_is_here(mount, [each for each in transfers if each.state is not State.FAILED])
    if arguments.json:
        print_json([transfer.to_json() for transfer in transfers])
    return combined(transfer.exit_code for transfer in transfers)


def class_of(uri: str) -> str:
    """The class of the reference that downloads it."""
    return "Download" if is_media(uri) else "CloudFileCache"


def _start(connection: Connection, transfers: list[_Transfer], *, is_waiting: bool) -> None:
    if is_waiting:
        for class_name in {class_of(transfer.uri) for transfer in transfers}:
            connection.call(f"{class_name}.on", event="progress")
    for transfer in transfers:
        try:
            connection.call(f"{class_of(transfer.uri)}.start", uri=transfer.uri)
        except CallFailed as failure:
            _refuse(transfer, failure)
    accepted = {transfer.uri: transfer for transfer in transfers if transfer.state is State.RUNNING}
    if is_waiting:
        with open_progress() as progress:
            _follow(connection, accepted, progress)


def _follow(connection: Connection, running: dict[str, _Transfer], progress: Progress) -> None:
    """Show events until every transfer has met its end."""
    if not running:
        return
    for notification in connection.notifications():
        event = notification.params.get("progress") or {}
        transfer = running.get(event.get("uri", ""))
        if transfer is None:
            continue
        transfer.state = State(event["state"])
        transfer.processed, transfer.size = event["processed"], event["size"]
        transfer.error = DownloadErrorType(event["error"])
        progress.show(transfer.target, transfer.processed, transfer.size)
        if transfer.state.is_end:
            del running[transfer.uri]
            _finish(transfer, progress)
        if not running:
            return
    raise lost()


def _finish(transfer: _Transfer, progress: Progress) -> None:
    match transfer.state:
        case State.COMPLETED:
            progress.end(transfer.target, "done")
        case State.STOPPED:
            progress.end(transfer.target, "stopped")
            transfer.exit_code = Exit.FAILED
        case _:
            progress.end(transfer.target, f"failed: {transfer.error.name}")
            transfer.exit_code = exit_of_download_error(transfer.error)


def _learn_what_is_here(mount: Mount, accepted: list[_Transfer]) -> None:
    """How much of each file is held: no event was waited for that would have told."""
    for transfer in accepted:
        row = mount.connection.call("Mount.state", paths=[reference_of(mount, transfer.target)])[0]
        transfer.processed, transfer.size = row["processed"], row["size"]
        if transfer.state is State.RUNNING and row["location"] in _WHOLE:
            transfer.state = State.COMPLETED


def _stop(mount: Mount, transfers: list[_Transfer], *, keep_partial: bool) -> None:
    for transfer in transfers:
        transfer.state = State.STOPPED
        try:
            mount.connection.call(
                f"{class_of(transfer.uri)}.stop", uri=transfer.uri, needClean=not keep_partial
            )
        except CallFailed as failure:
            _refuse(transfer, failure)


def _refuse(transfer: _Transfer, failure: CallFailed) -> None:
    print(f"cloudfs: {printable(transfer.target)}: {failure.message}", file=sys.stderr)
    transfer.state = State.FAILED
    transfer.exit_code = failure.exit_code
    is_full = failure.code == _LOCAL_STORAGE_FULL
    transfer.error = DownloadErrorType.LOCAL_STORAGE_FULL if is_full else DownloadErrorType.UNKNOWN_ERROR
