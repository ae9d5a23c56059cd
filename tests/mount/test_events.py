"""The journal of a mount: a number for each event, whoever reads, and whatever becomes of the daemon."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from cloudfs.model.enums import State
from tests.mount.calls import HEAD
from tests.mount.conftest import Mounts
from tests.mount.harness import Connection, Mount
from tests.servers.apache import Apache

FILES = 1000
SIZE = 4096


@pytest.fixture
def mount(apache: Apache, mounts: Mounts) -> Mount:
    for number in range(FILES):
        (apache.root / f"{number}.txt").write_bytes(bytes(SIZE))
    return mounts(apache.url, sync={"auto": False})


def follow(mount: Mount, since: int | None = None) -> Connection:
    connection = mount.connect()
    connection.call("Mount.events", **({} if since is None else {"since": since}))
    return connection


def params(connection: Connection) -> Iterator[dict[str, Any]]:
    while True:
        yield connection.next_event()["params"]


def until_all_ended(events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """What comes until each of the files has had its end."""
    found: list[dict[str, Any]] = []
    ended: set[str] = set()
    for event in events:
        found.append(event)
        if "progress" in event and event["progress"]["state"] == State.COMPLETED:
            ended.add(event["progress"]["uri"])
            if len(ended) == FILES:
                break
    return found


def numbers(events: Iterable[dict[str, Any]]) -> list[int]:
    """Each number that was given or skipped, in order."""
    found: list[int] = []
    for event in events:
        first, last = event.get("skipped") or (event["seq"], event["seq"])
        found += range(first, last + 1)
    return found


def assert_grammar(events: Iterable[dict[str, Any]]) -> None:
    """RUNNING*, processed never falling, then one end at the full size, and nothing after it."""
    of_file: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        if "progress" in event:
            of_file[event["progress"]["uri"]].append(event["progress"])
    assert len(of_file) == FILES
    for shown in of_file.values():
        assert [each["state"] for each in shown] == [State.RUNNING] * (len(shown) - 1) + [State.COMPLETED]
        processed = [each["processed"] for each in shown]
        assert processed == sorted(processed)
        assert (processed[-1], shown[-1]["size"], shown[-1]["error"]) == (SIZE, SIZE, 0)


def test_a_thousand_downloads_and_one_that_never_reads(mount: Mount) -> None:
    """The deaf one holds up nobody, and finds every end once it reads; kill -9 changes nothing of it."""
    deaf, reader, starter = mount.connect(), follow(mount), mount.connect()
    deaf.call("CloudFileCache.on", event="progress", scope="all")
    deaf.call("Mount.events", since=0)
    for number in range(FILES):
        starter.call("CloudFileCache.start", uri=f"{HEAD}{number}.txt")
    last = numbers(until_all_ended(params(reader)))[-1]

    told = told_at_last(deaf, last)
    for events in told.values():
        assert numbers(events) == list(range(1, last + 1))
        assert_grammar(events)

    mount.remount()
    whole = until_all_ended(params(follow(mount, since=0)))
    assert [event["seq"] for event in whole] == list(range(1, last + 1))
    assert_grammar(whole)
    for event in told["Mount.event"]:
        assert "skipped" in event or event["progress"] == whole[event["seq"] - 1]["progress"]
    followers = [follow(mount, since) for since in (last // 2, last, last + 10**6, None)]
    mount.call("CloudFileCache.start", uri=f"{HEAD}1.txt")
    firsts = [next(params(follower))["seq"] for follower in followers]
    assert firsts == [last // 2 + 1, last + 1, last + 1, last + 1]


def told_at_last(deaf: Connection, last: int) -> dict[str, list[dict[str, Any]]]:
    """What both of its subscriptions get up to an event, by method."""
    told: dict[str, list[dict[str, Any]]] = {"Mount.event": [], "CloudFileCache.progress": []}
    while not all(events and numbers(events[-1:])[-1] == last for events in told.values()):
        event = deaf.next_event()
        told[event["method"]].append(event["params"])
    return told
