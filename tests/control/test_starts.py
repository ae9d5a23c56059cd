"""Whose end is whose: what a sync said before a start was accepted is told before the answer to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import trio
import trio.testing

from cloudfs.control import subscriptions
from cloudfs.model.enums import Scope, SyncState
from cloudfs.model.progress import Event
from tests.control.client import Client, connected, request
from tests.control.desk import Desk

DOWNLOADING, COMPLETED = SyncState.DOWNLOADING, SyncState.COMPLETED


class SlowJournal:
    """A desk's journal, on a disk that takes nothing before `gate` is set."""

    def __init__(self, desk: Desk) -> None:
        self._append = desk.events._journal.append
        self.gate = trio.Event()

    async def append(self, events: Sequence[Event]) -> None:
        await self.gate.wait()
        await self._append(events)


@pytest.fixture
def journal(served: Desk, monkeypatch: pytest.MonkeyPatch) -> SlowJournal:
    journal = SlowJournal(served)
    monkeypatch.setattr(served.events._journal, "append", journal.append)
    return journal


async def said(client: Client) -> Any:
    """The next line: a state, or the id of what was answered."""
    line = await client.line()
    return SyncState(line["params"]["progress"]["state"]) if "method" in line else line["id"]


async def sync_untold(desk: Desk) -> None:
    """A sync from start to end of which nobody has heard yet."""
    await desk.syncs[Scope.FILES].begin()
    await desk.syncs[Scope.FILES].wait_idle()


@pytest.mark.parametrize(
    ("method", "params"), [("FileSync.start", {}), ("Mount.confirm", {"scope": "files"})]
)
async def test_an_end_before_a_start_is_told_before_its_answer(
    served: Desk, journal: SlowJournal, method: str, params: dict[str, Any]
) -> None:
    async with connected(served) as client:
        await client.send(request("on", "FileSync.on", event="progress"))
        assert [await said(client), await said(client)] == ["on", COMPLETED]
        await sync_untold(served)
        await client.send(request("start", method, **params))
        await trio.testing.wait_all_tasks_blocked(cushion=0.05)
        assert not served.syncs[Scope.FILES].is_running
        journal.gate.set()
        assert [await said(client), await said(client)] == [DOWNLOADING, COMPLETED]
        assert {await said(client), await said(client)} == {"start", DOWNLOADING}
        assert await said(client) is COMPLETED


async def test_a_journal_that_takes_nothing_holds_up_no_start(
    served: Desk, journal: SlowJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriptions, "TOLD_S", 0.01)
    async with connected(served) as client:
        await client.send(request("on", "FileSync.on", event="progress"))
        assert [await said(client), await said(client)] == ["on", COMPLETED]
        await sync_untold(served)
        await client.send(request("start", "FileSync.start"))
        assert await said(client) == "start"
    journal.gate.set()


async def test_who_listens_to_nothing_waits_for_nothing(served: Desk, journal: SlowJournal) -> None:
    await sync_untold(served)
    async with connected(served) as client:
        assert await client.call("FileSync.start") is None
    journal.gate.set()
