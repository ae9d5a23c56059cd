"""`cloudfs sync`: FileSync and GallerySync from the shell."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from cloudfs.cli.connection import Connection, Notification, lost
from cloudfs.cli.failures import Exit, exit_of_sync_error
from cloudfs.cli.mounts import find
from cloudfs.cli.output import human_time, print_json
from cloudfs.model.enums import ErrorType, Scope, SyncState


def run(arguments: argparse.Namespace) -> Exit:
    class_name = "GallerySync" if arguments.gallery else "FileSync"
    scope = Scope.GALLERY if arguments.gallery else Scope.FILES
    with find([], arguments.socket) as mount:
        match arguments.action:
            case "last":
                return _show_last(mount.connection, class_name, as_json=arguments.json)
            case "start":
                begin: tuple[str, dict[str, Any]] = (f"{class_name}.start", {})
            case "stop":
                begin = (f"{class_name}.stop", {})
            case _:
                begin = ("Mount.confirm", {"scope": scope.value})
        if not arguments.wait:
            mount.connection.call(begin[0], **begin[1])
            return Exit.DONE
        return _run_and_wait(mount.connection, class_name, *begin, as_json=arguments.json)


def _show_last(connection: Connection, class_name: str, *, as_json: bool) -> Exit:
    time_ms = connection.call(f"{class_name}.getLastSyncTime")
    if as_json:
        print_json({"last_sync_time": time_ms})
    else:
        print(human_time(time_ms))
    return Exit.DONE


def _run_and_wait(
    connection: Connection, class_name: str, method: str, params: dict[str, Any], *, as_json: bool
) -> Exit:
    """Call what begins or stops a sync, and wait for the end that belongs to it. An idle one has stopped.

    Ends that came before the call was accepted are an earlier run's. A run that was under way then emits no
    end of its own: it goes on into the one that was asked for.
    """
    is_stopping = method.endswith(".stop")
    connection.call(f"{class_name}.on", event="progress")
    current = next(_progress(connection.notifications(), class_name), None)
    if current is None:
        raise lost()
    connection.call(method, **params)
    state, error = [current, *_progress(connection.take_kept(), class_name)][-1]
    if is_stopping and state.is_end:
        return _report(state, error, is_wanted=True, as_json=as_json)
    is_running = not state.is_end
    for state, error in _progress(connection.notifications(), class_name):
        if not state.is_end:
            is_running = True
            print(f"{class_name}: {state.name}", file=sys.stderr)
        elif is_running:
            return _report(state, error, is_wanted=is_stopping, as_json=as_json)
    raise lost()


def _progress(
    notifications: Iterable[Notification], class_name: str
) -> Iterator[tuple[SyncState, ErrorType]]:
    for notification in notifications:
        progress = notification.params.get("progress")
        if notification.method == f"{class_name}.progress" and progress:
            yield SyncState(progress["state"]), ErrorType(progress["error"])


def _report(state: SyncState, error: ErrorType, *, is_wanted: bool, as_json: bool) -> Exit:
    """is_wanted: to be stopped is what this very call was for."""
    if as_json:
        print_json({"state": state.name, "error": error.name})
    else:
        print(state.name if error is ErrorType.NO_ERROR else f"{state.name}: {error.name}")
    if state is SyncState.COMPLETED or is_wanted:
        return Exit.DONE
    return exit_of_sync_error(error)
