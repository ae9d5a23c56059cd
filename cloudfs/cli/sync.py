"""`cloudfs sync`: FileSync and GallerySync from the shell."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from cloudfs.cli.connection import Connection, Notification, lost
from cloudfs.cli.failures import Exit, combined, exit_of_sync_error
from cloudfs.cli.mounts import find
from cloudfs.cli.output import human_time, print_json, printable
from cloudfs.model.enums import ErrorType, Scope, SyncState

_NO_CAUSE = "cloudfs: more is told by: cloudfs status, cloudfs state -r, cloudfs doctor"


def run(arguments: argparse.Namespace) -> Exit:
    class_name = "GallerySync" if arguments.gallery else "FileSync"
    scope = Scope.GALLERY if arguments.gallery else Scope.FILES
    with find([], arguments.socket) as mount:
        connection = mount.connection
        if arguments.action == "last":
            return _show_last(connection, class_name, as_json=arguments.json)
        act = partial(_act, connection, arguments.action, class_name, scope)
        if not arguments.wait:
            return act()
        is_stopping = arguments.action == "stop"
        return _run_and_wait(connection, class_name, act, is_stopping=is_stopping, as_json=arguments.json)


def _act(connection: Connection, action: str, class_name: str, scope: Scope) -> Exit:
    """Begin or stop a sync. FAILED, each one named, where some of what was to be restored can't be."""
    match action:
        case "confirm":
            connection.call("Mount.confirm", scope=scope.value)
        case "restore":
            lost = connection.call("Mount.restore", scope=scope.value)
            for path in sorted(lost):
                print(f"cloudfs: {printable(path)}: it can't come back, and stays held", file=sys.stderr)
            return Exit.FAILED if lost else Exit.DONE
        case _:
            connection.call(f"{class_name}.{action}")
    return Exit.DONE


def _show_last(connection: Connection, class_name: str, *, as_json: bool) -> Exit:
    time_ms = connection.call(f"{class_name}.getLastSyncTime")
    if as_json:
        print_json({"last_sync_time": time_ms})
    else:
        print(human_time(time_ms))
    return Exit.DONE


def _run_and_wait(
    connection: Connection, class_name: str, act: Callable[[], Exit], *, is_stopping: bool, as_json: bool
) -> Exit:
    """Begin or stop a sync by `act`, and wait for the end that belongs to it. An idle one has stopped.

    Ends that came before the call was accepted are an earlier run's. A run that was under way then emits no
    end of its own: it goes on into the one that was asked for.
    """
    connection.call(f"{class_name}.on", event="progress")
    current = next(_progress(connection.notifications(), class_name), None)
    if current is None:
        raise lost()
    acted = act()
    state, error = [current, *_progress(connection.take_kept(), class_name)][-1]
    if is_stopping and state.is_end:
        return _report(state, error, is_wanted=True, as_json=as_json)
    is_running = not state.is_end
    for state, error in _progress(connection.notifications(), class_name):
        if not state.is_end:
            is_running = True
            print(f"{class_name}: {state.name}", file=sys.stderr)
        elif is_running:
            return combined([acted, _report(state, error, is_wanted=is_stopping, as_json=as_json)])
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
    if state is not SyncState.STOPPED and error is ErrorType.NO_ERROR:
        print(_NO_CAUSE, file=sys.stderr)
    return exit_of_sync_error(error)
