"""Histories: what a user, another device, the network and bad luck do, and what must be true in the end."""

from __future__ import annotations

import logging
import random
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import trio

from cloudfs.model.entry import RemotePath
from cloudfs.model.enums import SyncState
from cloudfs.sync.engine import SyncOutcome
from tests.simulation.device import Device
from tests.simulation.inline import Clock, run
from tests.simulation.ledger import Ledger
from tests.simulation.machine import Machine, scratch
from tests.simulation.programs import Programs
from tests.simulation.weather import CHANGING, METHODS, StormyCloud

LOCAL = (
    *("write",) * 4,
    *("edit",) * 3,
    *("rename",) * 5,
    *("unlink",) * 2,
    *("mkdir",) * 2,
    *("save_by_rename",) * 2,
    *("touch", "cut", "begin", "begin", "more", "more", "close", "close", "read", "read"),
    *("rmtree", "exchange", "exchange", "save_with_backup", "list", "clean"),
)
REMOTE = (
    *("put",) * 3,
    *("edit",) * 3,
    *("remove",) * 2,
    *("rename",) * 3,
    *("mkdir", "same"),
)
FINAL_SYNCS = 20

# An act: who, what, and numbers that say with which names; the last one is how long to wait after it.
Act = tuple[str, str, int, int, float]


def make_history(seed: int, length: int) -> list[Act]:
    """Acts that follow from a seed. Every fourth history is the user's alone, every eighth the device's; in
    every third syncs run nearly all the time; in some a few deletes wait for somebody's word; in some a
    folder is a gallery, if it is there."""
    chance = random.Random(seed)
    actors = ["local"] * 5 + ["remote"] * 3 + ["sync"] * 3 + ["fault"] * 2 + ["crash"]
    if seed % 4 == 0:
        actors = [actor for actor in actors if actor != "remote"]
    elif seed % 8 == 1:
        actors = [actor for actor in actors if actor != "local"]
    if _has_brake(seed):
        actors += ["brake", "brake"]
    history: list[Act] = []
    for _ in range(4 if seed % 4 else 0):
        history.append(("remote", "put" if chance.random() < 0.7 else "mkdir", *_numbers(chance), 0))
    if chance.random() < 0.8:
        history.append(("sync", "finish", 0, 0, 0))
    for _ in range(length):
        history.append(_act(chance, chance.choice(actors)))
        if seed % 3 == 0:
            history.append(("sync", "begin", 0, 0, 0))
    return history


def _act(chance: random.Random, actor: str) -> Act:
    pause = chance.choice((0, 0, 0, 0.02, 0.1, 1))
    match actor:
        case "local":
            verb = chance.choice(LOCAL)
        case "remote":
            verb = chance.choice(REMOTE)
            if chance.random() < 0.3:
                actor = "race before " + chance.choice(METHODS)
        case "sync":
            verb = chance.choice(("begin", "begin", "finish", "stop"))
        case "fault":
            verb = chance.choice((*METHODS, *CHANGING))
        case "brake":
            verb = chance.choice(("confirm", "restore"))
        case _:
            verb = "kill"
    return (actor, verb, *_numbers(chance), pause)


def _has_brake(seed: int) -> bool:
    """Whether more than one delete in a sync is held; in the other histories none are."""
    return seed % 13 == 5


def _numbers(chance: random.Random) -> tuple[int, int]:
    return chance.randrange(210), chance.randrange(210)


class _Play:
    """One history as it happens."""

    def __init__(self, seed: int, directory: Path, nursery: trio.Nursery) -> None:
        self._cloud = StormyCloud(seed, folder_tags=seed % 5 == 0, weak_at_first=seed % 7 == 0)
        self._ledger = Ledger()
        self._clock = Clock()
        self._directory = directory
        self._starts = 0
        self._delete_brake = 1 if _has_brake(seed) else 1000
        self._gallery = [b"e"] if seed % 17 == 3 else []
        self._nursery = nursery
        self._device = Device(self._cloud, self._ledger)

    async def open(self) -> None:
        self._machine = await self._start(self._next_directory(), None)
        self._programs = Programs(self._machine, self._cloud, self._ledger)

    def _next_directory(self) -> Path:
        self._starts += 1
        return self._directory / str(self._starts)

    async def _start(self, directory: Path, image: bytes | None) -> Machine:
        directory.mkdir(exist_ok=True)
        machine = Machine(
            self._cloud,
            directory,
            self._clock,
            image,
            delete_brake=self._delete_brake,
            gallery=self._gallery,
        )
        await self._nursery.start(machine.run)
        return machine

    async def act(self, act: Act) -> None:
        actor, verb, one, other, pause = act
        match actor:
            case "local":
                await self._programs.act(verb, one, other)
            case "remote":
                self._device.act(verb, one, other)
            case "sync":
                await self._sync(verb)
            case "fault":
                self._cloud.drop(verb, one)
            case "crash":
                await self._crash()
            case "brake":
                await self._word(verb)
            case _:
                method = actor.removeprefix("race before ")
                self._cloud.race(method, partial(self._device.act, verb, one, other))
        await trio.sleep(pause)

    async def _sync(self, verb: str) -> None:
        match verb:
            case "begin":
                self._machine.begin_sync()
            case "stop":
                self._machine.stop_sync()
            case _:
                await self._machine.sync()

    async def _word(self, verb: str) -> None:
        """Somebody says what is to become of the deletes that are held."""
        engine = self._machine.engine
        for scope in self._machine.scopes:
            await (engine.confirm(scope) if verb == "confirm" else engine.restore(scope))

    async def _crash(self) -> None:
        directory = self._next_directory()
        image = await self._machine.kill(directory)
        self._machine = await self._start(directory, image)
        self._programs.after_crash(self._machine)

    # --- the end ---

    async def finish(self, *, only: str | None) -> None:
        """Let all be well, sync until nothing is left to do, and look at what came of it.

        only: who alone acted; what they see then may not change any more.
        """
        self._cloud.calm()
        await self._programs.close_all()
        await self._machine.sync()
        await self._machine.sync()
        local = self._local() if only == "local" else None
        remote = self._cloud.paths() if only == "remote" else None
        await self._settle()
        await self._settle()  # what the last word let go may bring news that the next sync hears
        await self._look_back()
        assert local in (None, self._local())
        assert remote in (None, self._cloud.paths())
        await self._machine.end()

    async def _settle(self) -> None:
        """Sync, with somebody who confirms what is held, until one sync does all."""
        for _ in range(FINAL_SYNCS):
            await self._word("confirm")
            outcomes = await self._machine.sync()
            if self._is_done(outcomes):
                return
        raise AssertionError(f"no end of it: {outcomes}")

    def _is_done(self, outcomes: list[SyncOutcome]) -> bool:
        """Whether all is in the cloud but for what is torn, which can't be."""
        torn = len(self._programs.torn())
        expected = {SyncState.COMPLETED, SyncState.UPLOAD_FAILED} if torn else {SyncState.COMPLETED}
        are_whole = len(outcomes) == len(self._machine.scopes)
        are_well = {outcome.state for outcome in outcomes} <= expected
        return are_whole and are_well and self._machine.tree.count_changes() == torn

    async def _look_back(self) -> None:
        cloud, tree = self._cloud, self._machine.tree
        torn = self._programs.torn()
        contents = {path: content for path, content in cloud.paths().items() if path not in torn}
        assert self._local() == contents
        await self._read_all()
        assert tree.intents() == []
        found = [content for content in cloud.paths().values() if content is not None]
        self._ledger.check([*found, *torn.values()])
        cloud.calls.clear()
        assert self._is_done(await self._machine.sync())
        asked = {call.method for call in cloud.calls}
        assert not asked & set(CHANGING), asked

    def _local(self) -> dict[RemotePath, bytes | None]:
        torn = self._programs.torn()
        return {
            path: None if node.is_folder else self._programs.shown(node)
            for path, node in self._programs.paths().items()
            if path not in torn
        }

    async def _read_all(self) -> None:
        """What programs would read is what the cloud has."""
        torn = self._programs.torn()
        for path, node in self._programs.paths().items():
            if node.is_folder or path in torn:
                continue
            expected = self._cloud.content(path)
            number = await self._machine.files.open(node.inode, 0)
            assert await self._machine.files.read(number, 0, len(expected) + 1) == expected, path
            await self._machine.files.release(number)


def play(seed: int, history: Sequence[Act]) -> None:
    """Play a history to its end. Raises AssertionError for what must not be, or the bug that was met."""
    actors = {act[0] for act in history if act[0] not in ("sync", "fault", "crash", "brake")}
    only = actors.pop() if len(actors) == 1 else None

    async def main(directory: Path) -> None:
        async with trio.open_nursery() as nursery:
            it = _Play(seed, directory, nursery)
            await it.open()
            for act in history:
                await it.act(act)
            await it.finish(only=only)

    directory = Path(tempfile.mkdtemp(prefix="cloudfs-history-", dir=scratch(Path(tempfile.gettempdir()))))
    try:
        with no_bug_logged():
            run(seed, partial(main, directory))
    finally:
        shutil.rmtree(directory)


@contextmanager
def no_bug_logged() -> Iterator[None]:
    """What the edges of the program catch and log as a bug is one here too."""
    log, handler = logging.getLogger("cloudfs"), _Bugs(logging.ERROR)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
    assert not handler.said, "\n".join(handler.said)


class _Bugs(logging.Handler):
    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(logging.Formatter().format(record))
