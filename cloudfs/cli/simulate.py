"""`cloudfs simulate`: conditions and errors on demand, for who tries a program against them."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import Any

from cloudfs.cli.failures import Exit, Failure
from cloudfs.cli.mounts import find
from cloudfs.cli.output import print_json

END_IT = "cloudfs simulate off"
OPTIONS = "--battery, --network, --quota-full, --disk-full, --server-error"


def run(arguments: argparse.Namespace) -> Exit:
    wanted = _wanted(arguments)
    if arguments.off is None and not wanted:
        raise Failure(f"name what to simulate ({OPTIONS}), or `off` to end it", Exit.USAGE)
    if arguments.off is not None and (wanted or arguments.duration):
        raise Failure("`off` ends all that is simulated, and goes with nothing else", Exit.USAGE)
    if arguments.duration:
        wanted["forMs"] = max(1, round(arguments.duration * 1000))
    with find([], arguments.socket) as mount:
        now = mount.connection.call("Mount.simulate", **wanted)
    if arguments.json:
        print_json({"simulated": now})
    else:
        print("nothing is simulated" if now is None else f"simulated: {described(now)}")
    return Exit.DONE


def described(simulated: dict[str, Any]) -> str:
    """What is simulated, in words, with the way to end it."""
    return f"{', '.join(_conditions(simulated))}; end it by: {END_IT}"


def _wanted(arguments: argparse.Namespace) -> dict[str, Any]:
    """The params of Mount.simulate; empty where nothing was named."""
    options = {
        "battery": arguments.battery,
        "network": arguments.network,
        "quotaFull": arguments.quota_full or None,
        "diskFull": arguments.disk_full or None,
        "serverError": arguments.server_error,
    }
    return {name: value for name, value in options.items() if value is not None}


def _conditions(simulated: dict[str, Any]) -> Iterator[str]:
    """Each in its words; the last is how long they last."""
    if simulated["battery"] is not None:
        yield f"battery {simulated['battery']} %"
    if simulated["network"] is not None:
        yield f"network {simulated['network']}"
    if simulated["quota_full"]:
        yield "cloud full"
    if simulated["disk_full"]:
        yield "disk full"
    if simulated["server_error"] is not None:
        yield f"server error {simulated['server_error']}"
    if simulated["until"] is not None:
        yield f"for {max(0, round(simulated['until'] / 1000 - time.time()))} s more"
