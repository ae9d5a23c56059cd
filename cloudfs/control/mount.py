"""Mount.*: what the command line needs beyond the reference. Described in docs/control.md."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import msgspec
import trio

from cloudfs.cloudsync.cloud_file_cache import CloudFileCache
from cloudfs.cloudsync.drain import Remaining, Stuck, Tell
from cloudfs.cloudsync.file_sync import FileSync
from cloudfs.cloudsync.mount_info import MountStatus, StateRows, simulated
from cloudfs.cloudsync.why import Why
from cloudfs.config import Network
from cloudfs.control.call import Access, AnyMethod, Call, Method, NoParams, Refused, about
from cloudfs.control.cloud_file_cache import resolve
from cloudfs.control.messages import ANY
from cloudfs.control.parts import Parts
from cloudfs.model.enums import Scope
from cloudfs.model.errors import SERVER_ERRORS, TryAgain
from cloudfs.simulation import NOTHING, Simulation, Simulator

PATHS_MAX = 1000
SENDING = "Mount.sending"  # how far a Mount.umount that waits has come
FOR_MS_MAX = 366 * 24 * 3600 * 1000


class Paths(msgspec.Struct, forbid_unknown_fields=True):
    """Absolute paths inside the mount, or URIs."""

    paths: Annotated[list[str], msgspec.Meta(max_length=PATHS_MAX)]


class State(Paths, forbid_unknown_fields=True):
    """recursive: with all that is known below folders, without listing anything."""

    recursive: bool = False


class One(msgspec.Struct, forbid_unknown_fields=True):
    """One entry: an absolute path inside the mount, or a URI."""

    path: str | None = None
    uri: str | None = None

    def __post_init__(self) -> None:
        if (self.path is None) == (self.uri is None):
            raise ValueError("either a path or a uri")


class Events(msgspec.Struct, forbid_unknown_fields=True):
    """since: the last event seen; absent: from now on."""

    since: Annotated[int, msgspec.Meta(ge=0)] | None = None


class Umount(msgspec.Struct, forbid_unknown_fields=True):
    """wait: send what is pending first. force: leave it for the next mount; nothing is lost by that."""

    wait: bool = False
    force: bool = False

    def __post_init__(self) -> None:
        if self.wait and self.force:
            raise ValueError("either wait or force")


class Simulate(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """What the daemon is to meet from now on, in place of what it was to meet before; nothing ends that.

    battery: percent, not charging. server_error: what the cloud answers, where `Simulation` lets it. for_ms:
    until it ends by itself.
    """

    battery: Annotated[int, msgspec.Meta(ge=0, le=100)] | None = None
    network: Literal["none", "mobile", "wifi", "ethernet"] | None = None
    quota_full: bool = False
    disk_full: bool = False
    server_error: int | None = None
    for_ms: Annotated[int, msgspec.Meta(ge=1, le=FOR_MS_MAX)] | None = None

    def __post_init__(self) -> None:
        if self.server_error not in (None, *SERVER_ERRORS):
            raise ValueError(f"serverError is one of {', '.join(map(str, SERVER_ERRORS))}")
        if self.for_ms is not None and self.simulation == NOTHING:
            raise ValueError("forMs goes with something to simulate")

    @property
    def simulation(self) -> Simulation:
        network = None if self.network is None else Network(self.network)
        return Simulation(self.battery, network, self.quota_full, self.disk_full, self.server_error)


class OfScope(msgspec.Struct, forbid_unknown_fields=True):
    """Which sync is meant."""

    scope: Scope = Scope.FILES


@dataclass(frozen=True, slots=True)
class MountServices:
    """What Mount.* calls.

    confirm: lets the scope's next sync carry out the deletes it holds. restore: undoes them; returns the
    inodes of what can't come back, which stays held.
    drain: sends what is pending, telling how far it is; returns what can't go now.
    unmount: takes the mount away, unless programs use it (TryAgain). end: begins the daemon's orderly end,
    under the programs that use the mount where it is still there.
    """

    status: MountStatus
    rows: StateRows
    why: Why
    cache: CloudFileCache
    syncs: Mapping[Scope, FileSync]
    confirm: Callable[[Scope], Awaitable[None]]
    restore: Callable[[Scope], Awaitable[Sequence[int]]]
    drain: Callable[[Tell], Awaitable[Sequence[Stuck]]]
    simulator: Simulator
    unmount: Callable[[], Awaitable[None]]
    end: Callable[[], None]


def mount_methods(services: MountServices) -> list[AnyMethod]:
    """The table of class Mount."""
    return [*_entry_methods(services), *_sync_methods(services), _simulate_method(services.simulator)]


def _entry_methods(services: MountServices) -> list[AnyMethod]:
    """What is known of the mount and its entries, and pins."""
    cache = services.cache

    async def find(call: Call, target: str) -> int:
        with about(target):
            is_uri = target[:7].lower() == "file://"
            place = cache.parse(target) if is_uri else cache.parse_path(target)
            return await resolve(call, cache, place)

    async def status(call: Call, params: NoParams) -> dict[str, object]:
        return services.status.status()

    async def state(call: Call, params: State) -> list[msgspec.Raw]:
        parts = Parts(call)
        for target in params.paths:
            inode = await find(call, target)
            await parts.add([services.rows.row(inode)])
            if params.recursive:
                for page in services.rows.below(inode):
                    await parts.add(page)
                    await trio.lowlevel.checkpoint()  # others work between pages
        return parts.rest

    async def why(call: Call, params: One) -> dict[str, object]:
        target = params.path if params.path is not None else params.uri
        assert target is not None
        with about(target):
            place = cache.parse(target) if params.path is None else cache.parse_path(target)
            return await services.why.of(await resolve(call, cache, place))

    async def events(call: Call, params: Events) -> dict[str, int]:
        return {"subscription": call.subscriptions.follow(params.since, call.answered)}

    async def pin(call: Call, params: Paths) -> None:
        for target in params.paths:
            await cache.set_pin(await find(call, target), True)

    async def unpin(call: Call, params: Paths) -> None:
        for target in params.paths:
            await cache.set_pin(await find(call, target), False)

    return [
        Method("Mount.status", NoParams, Access.SYSTEM, status, ANY),
        Method("Mount.state", State, Access.SYSTEM, state, ANY),
        Method("Mount.why", One, Access.SYSTEM, why, ANY),
        Method("Mount.events", Events, Access.SYSTEM, events, ANY),
        Method("Mount.pin", Paths, Access.SYSTEM, pin, ANY),
        Method("Mount.unpin", Paths, Access.SYSTEM, unpin, ANY),
    ]


def _sync_methods(services: MountServices) -> list[AnyMethod]:
    """What the brake holds, and the end of the mount."""

    async def start(call: Call, scope: Scope) -> None:
        sync = services.syncs[scope]
        await sync.start(partial(call.subscriptions.told, sync.event_class))

    async def confirm(call: Call, params: OfScope) -> None:
        await services.confirm(params.scope)
        await start(call, params.scope)

    async def restore(call: Call, params: OfScope) -> list[msgspec.Raw]:
        lost, parts = await services.restore(params.scope), Parts(call)
        await start(call, params.scope)
        await parts.add(services.rows.where(inode) for inode in lost)
        return parts.rest

    async def umount(call: Call, params: Umount) -> None:
        if params.wait:
            call.begin_next()
            await send(call)
        if not params.force:
            if pending := services.status.pending:
                raise TryAgain(_refusal(pending))
            call.begin_next()
            await services.unmount()
        call.afterwards.append(services.end)

    async def send(call: Call) -> None:
        """All that is pending; Refused, with what can't go now, where something is left."""

        async def tell(remaining: Remaining) -> None:
            await call.notify(SENDING, {"pending": remaining.entries, "size": remaining.size})

        stuck = await services.drain(tell)
        if stuck:
            parts = Parts(call)
            rows = ({"path": services.rows.absolute(one.path), "reason": one.reason} for one in stuck)
            await parts.add(rows)
            raise Refused(TryAgain(f"what can't go to the cloud now: {len(stuck)}"), {"stuck": parts.rest})

    return [
        Method("Mount.confirm", OfScope, Access.OWNER, confirm, ANY),
        Method("Mount.restore", OfScope, Access.OWNER, restore, ANY),
        Method("Mount.umount", Umount, Access.OWNER, umount, ANY),
    ]


def _simulate_method(simulator: Simulator) -> AnyMethod:
    async def simulate(call: Call, params: Simulate) -> dict[str, object] | None:
        if params.simulation == NOTHING:
            simulator.end()
        else:
            for_s = None if params.for_ms is None else params.for_ms / 1000
            simulator.begin(params.simulation, for_s)
        return simulated(simulator)

    return Method("Mount.simulate", Simulate, Access.OWNER, simulate, ANY)


def _refusal(pending: int) -> str:
    changes = "1 change is" if pending == 1 else f"{pending} changes are"
    return f"{changes} not in the cloud yet; --wait sends first, --force leaves it to the next mount"
