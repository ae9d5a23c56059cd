"""`cloudfs status`: every running mount at a glance."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cloudfs.cli.failures import Exit
from cloudfs.cli.mounts import Running, connect, running
from cloudfs.cli.output import human_share, human_time, print_json, printable
from cloudfs.cli.simulate import described
from cloudfs.model.enums import ErrorType, Scope
from cloudfs.model.sizes import human_size

_ARROWS = {"up": "↑", "down": "↓"}


def run(arguments: argparse.Namespace) -> Exit:
    socket = arguments.socket or os.environ.get("CLOUDFS_SOCKET")
    found = Running([connect(Path(socket))], []) if socket else running()
    for mount in found.mounts:
        mount.connection.close()
    statuses = [mount.status for mount in found.mounts]
    if arguments.json:
        print_json({"mounts": statuses})
    else:
        print("\n\n".join("\n".join(_lines(status)) for status in statuses), end="\n" if statuses else "")
    if not statuses:
        raise found.none()
    return Exit.DONE


def _lines(status: dict[str, Any]) -> Iterator[str]:
    cloud, cache = status["cloud"], status["cache"]
    yield f"{printable(status['name'])} on {printable(status['path'])} (pid {status['pid']})"
    yield f"  cloud      {cloud['state']}, {cloud['type']} {printable(cloud['url'])}"
    for scope, sync in status["sync"].items():
        yield f"  {scope:<9}  {_sync(sync)}"
    yield f"  pending    {status['pending']}"
    yield (f"  cache      {human_size(cache['used'])} of {human_size(cache['size'])}, {cache['files']} files")
    for scope, sync in status["sync"].items():
        yield from _held(sync["held_deletes"], " --gallery" if scope == Scope.GALLERY else "")
    if simulated := status.get("simulated"):  # a daemon from before an upgrade does not tell
        yield f"  simulated  {described(simulated)}"
    if "recovered" in status:
        yield f"  recovered  files that lost their names are in {printable(status['recovered'])}"
    for transfer in status["transfers"]:
        yield f"  {_ARROWS[transfer['direction']]} {_transfer(transfer)}"


def _held(held: dict[str, int], option: str) -> Iterator[str]:
    """What the delete brake holds of one scope, with the two ways on."""
    if held["here"]:
        yield f"  held       {held['here']} deletions made here that the cloud has not seen"
        yield from _ways_on(option, confirm="delete them there", restore="bring them back")
    if held["cloud"]:
        yield f"  held       {held['cloud']} deletions in the cloud that do not show here"
        yield from _ways_on(option, confirm="delete them here", restore="send up again what is whole here")


def _ways_on(option: str, *, confirm: str, restore: str) -> Iterator[str]:
    yield f"             cloudfs sync confirm{option}: {confirm}"
    yield f"             cloudfs sync restore{option}: {restore}"


def _sync(sync: dict[str, Any]) -> str:
    words = [sync["state"]]
    if sync["error"] != ErrorType.NO_ERROR.name:
        words.append(sync["error"])
    if sync.get("held"):
        words.append("stopped until: cloudfs sync start")
    return f"{', '.join(words)}; last completed: {human_time(sync['last_sync_time'])}"


def _transfer(transfer: dict[str, Any]) -> str:
    return (
        f"{printable(transfer['path'])}  {human_share(transfer['processed'], transfer['size'])} of "
        f"{human_size(transfer['size'])}, {human_size(transfer['rate'])}/s"
    )
