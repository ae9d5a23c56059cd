"""`cloudfs events`: the mount's journal as it grows."""

from __future__ import annotations

import argparse
import json
from typing import Any

from cloudfs.cli.connection import lost
from cloudfs.cli.failures import Exit
from cloudfs.cli.mounts import find
from cloudfs.cli.output import human_share, human_time, printable
from cloudfs.model.enums import DownloadErrorType, ErrorType, State, SyncState


def run(arguments: argparse.Namespace) -> Exit:
    since = {} if arguments.since is None else {"since": arguments.since}
    show = _json_line if arguments.json else _human_line
    with find([], arguments.socket) as mount:
        mount.connection.call("Mount.events", **since)
        for notification in mount.connection.notifications():
            print(show(notification.params), flush=True)
    raise lost()


def _json_line(event: dict[str, Any]) -> str:
    return json.dumps({key: value for key, value in event.items() if key != "subscription"})


def _human_line(event: dict[str, Any]) -> str:
    if "skipped" in event:
        first, last = event["skipped"]
        return f"{first}–{last} were skipped"
    progress = event["progress"]
    words = [str(event["seq"]), human_time(event["time"]), event["class"]]
    if "processed" in progress:
        words += [State(progress["state"]).name, human_share(progress["processed"], progress["size"])]
        words += [_name(DownloadErrorType(progress["error"])), printable(progress["uri"] or "-")]
    else:
        words += [SyncState(progress["state"]).name, _name(ErrorType(progress["error"]))]
    return "  ".join(word for word in words if word)


def _name(error: DownloadErrorType | ErrorType) -> str:
    return error.name if error else ""
