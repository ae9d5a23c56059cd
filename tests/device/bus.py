"""A message bus of our own, and a stand-in for NetworkManager on it that says what a test lets it say."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trio
from jeepney import DBusAddress, HeaderFields, Message, message_bus, new_error, new_method_return, new_signal
from jeepney.io.trio import DBusConnection, open_dbus_connection

from cloudfs.device.network_manager import DEVICE, MANAGER, NAME

_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>{address}</listen>
  <servicedir>{services}</servicedir>
  <policy context="default">
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
  </policy>
</busconfig>
"""
# What the bus would start if anybody asked for NetworkManager while it does not run.
_SERVICE = "[D-BUS Service]\nName={name}\nExec=/usr/bin/touch {mark}\n"


class PrivateBus:
    """dbus-daemon at `address`, which can be ended and started again, and held up for a while."""

    def __init__(self, directory: Path) -> None:
        self.address = f"unix:path={directory / 'bus'}"
        self.process: subprocess.Popen[bytes] | None = None
        self._socket = directory / "bus"
        self._started = directory / "started"
        self._config = directory / "bus.conf"
        self._config.write_text(_CONFIG.format(address=self.address, services=directory))
        (directory / f"{NAME}.service").write_text(_SERVICE.format(name=NAME, mark=self._started))

    @property
    def has_started_network_manager(self) -> bool:
        return self._started.exists()

    def start(self) -> None:
        command = [
            "dbus-daemon",
            f"--config-file={self._config}",
            "--nofork",
            "--nopidfile",
            "--print-address",
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self.process.stdout is not None
        assert self.process.stdout.readline(), "dbus-daemon did not start"

    @contextmanager
    def held_up(self) -> Iterator[None]:
        """It takes connections and answers nothing for the length of the block."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None
        self._socket.unlink(missing_ok=True)


@contextmanager
def private_bus(directory: Path) -> Iterator[PrivateBus]:
    """Running for the length of the block."""
    bus = PrivateBus(directory)
    bus.start()
    try:
        yield bus
    finally:
        bus.stop()


class StandIn:
    """NetworkManager, as far as its properties go.

    manager: those of itself. devices: those of each, by its path. asked: how often it answered GetAll.
    is_deaf: it owns its name and answers nothing.
    """

    def __init__(self, address: str, manager: dict[str, Any], devices: dict[str, dict[str, Any]]) -> None:
        self._address = address
        self._connection: DBusConnection | None = None
        self.manager = manager
        self.devices = devices
        self.asked = 0
        self.is_deaf = False

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with await open_dbus_connection(self._address) as self._connection:
            await self._connection.send(message_bus.RequestName(NAME))
            task_status.started()
            async for asked in self._connection:  # until the bus ends
                if asked.header.fields.get(HeaderFields.member) == "GetAll" and not self.is_deaf:
                    await self._connection.send(self._answer(asked))
                    self.asked += 1

    async def change(self, path: str, **properties: Any) -> None:
        """Of itself or a device, and say so."""
        interface = NAME if path == MANAGER.object_path else DEVICE
        self._properties(path).update(properties)
        assert self._connection is not None
        source = DBusAddress(path, interface="org.freedesktop.DBus.Properties")
        body: tuple[Any, ...] = (interface, _variants(properties), [])
        await self._connection.send(new_signal(source, "PropertiesChanged", "sa{sv}as", body))

    def _answer(self, asked: Message) -> Message:
        path = asked.header.fields[HeaderFields.path]
        if path != MANAGER.object_path and path not in self.devices:
            return new_error(asked, "org.freedesktop.DBus.Error.UnknownMethod")
        return new_method_return(asked, "a{sv}", (_variants(self._properties(path)),))

    def _properties(self, path: str) -> dict[str, Any]:
        return self.manager if path == MANAGER.object_path else self.devices[path]


def _variants(properties: dict[str, Any]) -> dict[str, tuple[str, Any]]:
    signatures = {int: "u", str: "s", list: "ao"}
    return {name: (signatures[type(value)], value) for name, value in properties.items()}
