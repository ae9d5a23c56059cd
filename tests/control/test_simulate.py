"""Mount.simulate: who may, what it takes, and that the status says it for as long as it lasts."""

from __future__ import annotations

import time
from typing import Any

import pytest
import trio

from tests.control.desk import APP, HEAD, ROOT, STRANGER, SYSTEM_APP, CallFailed, Desk
from tests.servers.memory_cloud import MemoryCloud
from tests.simulated import NOTHING


async def shown(desk: Desk) -> Any:
    return (await desk.call("Mount.status"))["simulated"]


async def refusal(desk: Desk, **params: Any) -> CallFailed:
    with pytest.raises(CallFailed) as refused:
        await desk.call("Mount.simulate", **params)
    return refused.value


async def test_each_takes_the_place_of_the_one_before(desk: Desk) -> None:
    assert await shown(desk) is None
    before_ms = int(time.time() * 1000)
    answer = await desk.call(
        "Mount.simulate", battery=9, network="none", quotaFull=True, serverError=503, forMs=60_000
    )
    assert before_ms + 60_000 <= answer.pop("until") <= time.time() * 1000 + 60_000
    assert answer == {
        **{"battery": 9, "network": "none", "quota_full": True, "disk_full": False, "server_error": 503}
    }
    assert await shown(desk) == {**answer, "until": desk.simulator.until_ms}

    other = {**NOTHING, "disk_full": True}
    assert await desk.call("Mount.simulate", diskFull=True) == other
    assert await shown(desk) == other
    assert await desk.call("Mount.simulate") is None
    assert await shown(desk) is None


async def test_it_ends_by_itself(desk: Desk) -> None:
    assert (await desk.call("Mount.simulate", battery=9, forMs=1))["battery"] == 9
    with trio.fail_after(10):
        while await shown(desk) is not None:
            await trio.sleep(0.005)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"battery": 101}, "$.battery"),
        ({"battery": -1}, "$.battery"),
        ({"battery": 9.5}, "$.battery"),
        ({"network": "auto"}, "$.network"),
        ({"quotaFull": 1}, "$.quotaFull"),
        ({"serverError": 412}, "401, 403, 404, 410, 429, 500, 502, 503, 504, 507"),
        ({"serverError": 200}, "401, 403, 404, 410, 429, 500, 502, 503, 504, 507"),
        ({"forMs": 1000}, "goes with something to simulate"),
        ({"battery": 9, "forMs": 0}, "$.forMs"),
        ({"battery": 9, "forMs": 10**400}, "$.forMs"),
        ({"battery": 9, "for": 1}, "for"),
    ],
)
async def test_what_it_does_not_take(desk: Desk, params: dict[str, Any], said: str) -> None:
    await desk.call("Mount.simulate", quotaFull=True)
    refused = await refusal(desk, **params)
    assert (refused.code, refused.message) == (401, "The input parameter is invalid.")
    assert said in refused.data["reason"]
    assert await shown(desk) == {**NOTHING, "quota_full": True}


async def test_it_is_the_owners_and_roots_alone(desk: Desk) -> None:
    for caller in (SYSTEM_APP, APP, STRANGER):
        with pytest.raises(CallFailed) as refused:
            await desk.call("Mount.simulate", caller, diskFull=True)
        assert refused.value.code == 201
    assert await shown(desk) is None
    assert await desk.call("Mount.simulate", ROOT, diskFull=True) == {**NOTHING, "disk_full": True}


async def test_a_full_disk_refuses_what_would_need_room(desk: Desk, cloud: MemoryCloud) -> None:
    cloud.put(b"large", bytes(1000))
    await desk.call("Mount.simulate", diskFull=True)
    with pytest.raises(CallFailed) as refused:
        await desk.call("CloudFileCache.start", uri=HEAD + "large")
    assert refused.value.code == 13900025
    assert await desk.call("CloudFileCache.start", uri=HEAD + "empty") is None  # nothing lacks of it
    await desk.call("Mount.simulate")
    assert await desk.call("CloudFileCache.start", uri=HEAD + "large") is None
