"""What NetworkManager knows of this machine's networks, over D-Bus, where there is one.

Its properties: https://networkmanager.dev/docs/api/latest/spec.html. Which connection is metered only it
knows; it says so of each device, also by a guess from what a phone's hotspot announces by DHCP.

Invariants: nobody waits for the bus, `facts` are the last that were heard; where there is no bus, no
NetworkManager, or none that answers, nothing is known. NetworkManager is never started by a question.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio
from jeepney import (
    DBusAddress,
    DBusErrorResponse,
    HeaderFields,
    Message,
    MessageFlag,
    MessageType,
    Properties,
    message_bus,
)
from jeepney.auth import BEGIN, Authenticator
from jeepney.bus import find_system_bus
from jeepney.io.trio import DBusConnection
from jeepney.wrappers import unwrap_msg

from cloudfs.config import Network
from cloudfs.device.links import NOTHING_KNOWN, NetworkFacts

log = logging.getLogger(__name__)

ANSWER_S = 1.0  # for the bus and NetworkManager to answer; they are on this machine
SETTLE_S = 0.2  # signals come in swarms: a connection that comes up sends a dozen
REOPEN_S = 1.0  # until a bus that went, or does not answer, is asked again at first; then ever longer
LONGEST_S = 60.0

NAME = "org.freedesktop.NetworkManager"
MANAGER = DBusAddress("/org/freedesktop/NetworkManager", NAME, NAME)
DEVICE = f"{NAME}.Device"

# NMMetered: YES and GUESS_YES.
_METERED = (1, 3)

# NMDeviceType. One that is missing here stands on another, or says nothing of what it costs.
_DEVICE_KINDS = {
    1: Network.ETHERNET,
    2: Network.WIFI,
    5: Network.MOBILE,  # Bluetooth: a phone's network
    6: Network.WIFI,  # OLPC mesh
    7: Network.MOBILE,  # WiMAX
    8: Network.MOBILE,  # modem
    9: Network.ETHERNET,  # InfiniBand
    12: Network.ETHERNET,  # ADSL
}

# PrimaryConnectionType: the names of the settings that make a connection's kind (nm-settings(5)).
_CONNECTION_KINDS = {
    "802-3-ethernet": Network.ETHERNET,
    "infiniband": Network.ETHERNET,
    "adsl": Network.ETHERNET,
    "pppoe": Network.ETHERNET,
    "802-11-wireless": Network.WIFI,
    "802-11-olpc-mesh": Network.WIFI,
    "gsm": Network.MOBILE,
    "cdma": Network.MOBILE,
    "bluetooth": Network.MOBILE,
    "wimax": Network.MOBILE,
}

_CHANGED = (
    f"type='signal',sender='{NAME}',interface='org.freedesktop.DBus.Properties',member='PropertiesChanged'"
)
_RULES = (
    f"type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='{NAME}'",
    f"{_CHANGED},arg0='{NAME}'",
    f"{_CHANGED},arg0='{DEVICE}'",  # access points, whose strength changes all the time, have their own
)


class NetworkManager:
    """Follows NetworkManager as long as it runs. facts: to be read at the moment of the question.

    changed: told that the facts are others now. Must not block.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._failure = ""
        self._is_first_over = trio.Event()
        self.facts = NOTHING_KNOWN

    async def known(self) -> None:
        """Return once it has answered for the first time, or did not within about ANSWER_S."""
        await self._is_first_over.wait()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Follow it until cancelled, through ends of the bus and of itself; a start waits for neither."""
        task_status.started()
        wait_s = REOPEN_S
        while True:
            asked_at = trio.current_time()
            try:
                await self._follow()
            except Exception as error:  # noqa: BLE001 one conversation: nothing in it may end the mount
                self._lost(error)
            if trio.current_time() - asked_at > LONGEST_S:  # it was well until now
                wait_s = REOPEN_S
            await trio.sleep(wait_s)
            wait_s = min(2 * wait_s, LONGEST_S)

    async def _follow(self) -> None:
        """One connection, until it fails."""
        async with _open_bus() as bus:
            for rule in _RULES:
                await bus.call(message_bus.AddMatch(rule))
            while True:
                heard = bus.signals
                self._learn(await _read_facts(bus))
                await bus.wait_for_signal(heard)
                await trio.sleep(SETTLE_S)

    def _lost(self, error: Exception) -> None:
        failure = f"{type(error).__name__}: {error}".removesuffix(": ")
        if failure != self._failure:  # a machine without a bus says so once
            log.info("NetworkManager can't be asked: %s", failure)
        self._failure = failure
        self._learn(NOTHING_KNOWN)

    def _learn(self, facts: NetworkFacts) -> None:
        if facts != self.facts:
            log.debug("NetworkManager: %s", facts)
            self.facts = facts
            self._changed()
        self._is_first_over.set()


class _Bus:
    """One connection to the bus that asks one thing after the other. signals: how many came so far.

    Without jeepney's router: that would not say when the connection ends, and drops signals that find its
    queues full.
    """

    def __init__(self, connection: DBusConnection) -> None:
        self._connection = connection
        self.signals = 0

    async def call(self, message: Message) -> tuple[Any, ...]:
        """What was answered. DBusErrorResponse, trio.TooSlowError; EndOfChannel or BrokenResourceError."""
        message.header.flags |= MessageFlag.no_auto_start
        serial = next(self._connection.outgoing_serial)
        with trio.fail_after(ANSWER_S):
            await self._connection.send(message, serial=serial)
            while True:
                answer = await self._receive()
                if answer.header.fields.get(HeaderFields.reply_serial) == serial:
                    body: tuple[Any, ...] = unwrap_msg(answer)
                    return body

    async def wait_for_signal(self, heard: int) -> None:
        """Return once there are more than were heard."""
        while self.signals == heard:
            await self._receive()

    async def _receive(self) -> Message:
        message = await self._connection.receive()
        self.signals += message.header.message_type is MessageType.signal
        return message


@asynccontextmanager
async def _open_bus() -> AsyncIterator[_Bus]:
    """A connection that has said its Hello. jeepney's own way leaves the socket open where that fails."""
    with trio.fail_after(ANSWER_S):
        stream = await trio.open_unix_socket(find_system_bus())
    async with stream:
        with trio.fail_after(ANSWER_S):
            await _authenticate(stream)
        bus = _Bus(DBusConnection(stream.socket))
        await bus.call(message_bus.Hello())
        yield bus


async def _authenticate(stream: trio.SocketStream) -> None:
    authenticator = Authenticator()
    for line in authenticator:
        await stream.send_all(line)
        answer = await stream.receive_some()
        if not answer:
            raise trio.EndOfChannel("the bus hung up")
        authenticator.feed(answer)
    await stream.send_all(BEGIN)


async def _read_facts(bus: _Bus) -> NetworkFacts:
    (is_there,) = await bus.call(message_bus.NameHasOwner(NAME))
    if not is_there:
        return NOTHING_KNOWN
    manager = await _properties(bus, MANAGER)
    devices = [await _properties(bus, DBusAddress(path, NAME, DEVICE)) for path in manager.get("Devices", ())]
    return facts_of(manager, devices)


async def _properties(bus: _Bus, address: DBusAddress) -> Mapping[str, Any]:
    """Those of an object; none where it is gone meanwhile, or where we may not see it."""
    try:
        (properties,) = await bus.call(Properties(address).get_all())
    except DBusErrorResponse as error:
        log.debug("NetworkManager does not tell of %s: %s", address.object_path, error.name)
        return {}
    return {name: value for name, (_, value) in properties.items()}


def facts_of(manager: Mapping[str, Any], devices: Sequence[Mapping[str, Any]]) -> NetworkFacts:
    """Pure. The properties of NetworkManager itself, and those of its devices."""
    primary = _CONNECTION_KINDS.get(manager.get("PrimaryConnectionType", ""))
    if manager.get("Metered") in _METERED:
        primary = Network.MOBILE
    links = {name: kind for device in devices for name, kind in _links(device)}
    return NetworkFacts(links, primary)


def _links(device: Mapping[str, Any]) -> Iterator[tuple[str, Network]]:
    """The interfaces of a device: a modem has one more for its packets, and so has DSL."""
    kind = _DEVICE_KINDS.get(device.get("DeviceType", 0))
    if device.get("Metered") in _METERED:
        kind = Network.MOBILE
    if kind is not None:
        for name in {device.get("Interface"), device.get("IpInterface")}:
            if name:
                yield name, kind
