"""How the server treats writes is found out once, and remembered."""

from __future__ import annotations

import pytest

from cloudfs.database.settings import Settings
from cloudfs.model.errors import AccessRefused, NetworkUnavailable, Unauthorized
from cloudfs.transfers.abilities import Abilities, known_abilities
from tests.servers.memory_cloud import MemoryCloud

from .conftest import OpenWorld

URL = "https://cloud.test/me/"


def _probes(cloud: MemoryCloud) -> int:
    return sum(call.method == "probe_writes" for call in cloud.calls)


async def test_asks_once_and_a_later_mount_knows(open_world: OpenWorld) -> None:
    cloud = MemoryCloud()
    async with open_world() as world:
        settings = Settings(world.database)
        assert known_abilities(settings, URL) is None
        abilities = Abilities(cloud, settings, URL)
        await abilities.learn()
        await abilities.learn()
        assert _probes(cloud) == 1
        assert known_abilities(settings, URL) == cloud.capabilities
        assert known_abilities(settings, URL + "other/") is None


async def test_without_a_network_it_asks_again(open_world: OpenWorld) -> None:
    cloud = MemoryCloud()
    cloud.fail("probe_writes", NetworkUnavailable("cut"))
    async with open_world() as world:
        abilities = Abilities(cloud, Settings(world.database), URL)
        with pytest.raises(NetworkUnavailable):
            await abilities.learn()
        await abilities.learn()
        assert _probes(cloud) == 2


async def test_a_root_that_takes_no_writes_is_asked_again_and_stops_nobody(open_world: OpenWorld) -> None:
    cloud = MemoryCloud()
    cloud.fail("probe_writes", AccessRefused("read-only for you", status=403))
    async with open_world() as world:
        abilities = Abilities(cloud, Settings(world.database), URL)
        await abilities.learn()
        assert known_abilities(Settings(world.database), URL) is None
        await abilities.learn()
        assert known_abilities(Settings(world.database), URL) == cloud.capabilities
        assert _probes(cloud) == 2


async def test_without_rights_nothing_is_tried(open_world: OpenWorld) -> None:
    cloud = MemoryCloud()
    cloud.fail("probe_writes", Unauthorized("who are you?", status=401))
    async with open_world() as world:
        with pytest.raises(Unauthorized):
            await Abilities(cloud, Settings(world.database), URL).learn()
