"""The API in any order on a real mount, through a proxy that lies now and then.

As tests/control/test_api_machine, but less is known of each moment, as here everything takes its own time.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from cloudfs.model.enums import ErrorType, EventClass, FileSyncState, SyncState
from cloudfs.model.progress import SyncProgress
from tests.control.event_grammar import Grammar, download_progress
from tests.mount.calls import HEAD
from tests.mount.conftest import Mounts
from tests.mount.harness import Connection, Mount, RpcError, wait_until
from tests.mount.programs import reads_as
from tests.servers.apache import Apache
from tests.servers.faults import Answer, Close, CutBody, HangBody
from tests.servers.proxy import FaultProxy

STEPS = 40
NAMES = ("a.bin", "b.bin", "Docs/c.bin", "Photos/p.jpg")
SIZES = (3_000_000, 700_000, 1, 0)
FAULTS = (Answer(404), Answer(429), Answer(500), Close(), CutBody(70_000), HangBody(70_000))
# What a call may be answered with; nothing else, and never nothing.
CODES = {0, 13900002, 13900010, 13900025}


@dataclass(slots=True, eq=False)
class OpenFile:
    """possible: the contents that what was read of it so far can be of; None before the first byte."""

    fd: int
    name: str
    floor: int
    possible: list[bytes] | None = None
    reading: Future[bytes] | None = None
    at: int = 0


class World:
    """What a client, programs and another device do, one step after the other."""

    def __init__(self, mount: Mount, root: Path, proxy: FaultProxy, threads: ThreadPoolExecutor) -> None:
        self._mount = mount
        self._root = root
        self._proxy = proxy
        self._threads = threads
        self._contents: dict[str, list[bytes]] = {name: [] for name in NAMES}
        self._open: list[OpenFile] = []
        self._count = 0
        self._started: set[str] = set()
        self._own, self._all = Grammar(), Grammar()
        for name in NAMES:
            self.put(NAMES.index(name), 0)

    def begin(self) -> None:
        """Everything is known, and all events are heard: those of the mount, and those of our own."""
        self._mount.settle()
        self._client, self._follower = self._mount.connect(), self._mount.connect()
        for name in ("CloudFileCache", "Download"):
            self._client.call(f"{name}.on", event="progress")
        self._follower.call("Mount.events", since=0)

    # --- the client ---

    def start(self, one: int, _: int) -> None:
        if self._call("CloudFileCache.start", uri=_uri(one)) == 0:
            self._started.add(_uri(one))

    def stop(self, one: int, two: int) -> None:
        self._call("CloudFileCache.stop", uri=_uri(one), needClean=two % 2 == 0)

    def clean(self, one: int, _: int) -> None:
        self._call("CloudFileCache.cleanCache", uri=_uri(one))

    def pin(self, one: int, two: int) -> None:
        self._call("Mount.unpin" if two % 2 else "Mount.pin", paths=[_uri(one)])

    def sync(self, one: int, two: int) -> None:
        name = ("FileSync", "GallerySync")[one % 2]
        self._call(f"{name}.stop" if two == 0 else f"{name}.start")

    # --- programs ---

    def open(self, one: int, _: int) -> None:
        with suppress(OSError):
            fd = os.open(self._mount.path / _name(one), os.O_RDONLY)
            self._open.append(OpenFile(fd, _name(one), len(self._contents[_name(one)]) - 1))

    def read(self, one: int, two: int) -> None:
        """Begin to; what came is looked at once it is there."""
        file = self._one_open(one)
        if file is not None:
            file.at = (0, 300_000, 1_200_000, 2_900_000)[two % 4]
            file.reading = self._threads.submit(os.pread, file.fd, 30_000, file.at)

    def close(self, one: int, _: int) -> None:
        file = self._one_open(one)
        if file is not None:
            self._open.remove(file)
            os.close(file.fd)

    def _one_open(self, number: int) -> OpenFile | None:
        idle = [file for file in self._open if file.reading is None]
        return idle[number % len(idle)] if idle else None

    def _look(self, file: OpenFile) -> None:
        assert file.reading is not None
        reading, file.reading = file.reading, None
        with suppress(OSError):
            data = reading.result()
            contents = file.possible or self._contents[file.name][max(0, file.floor - STEPS) :]
            possible = [each for each in contents if each[file.at :].startswith(data)]
            assert possible, f"{len(data)} bytes at {file.at} of {file.name} are of no one version"
            file.possible = possible if data else file.possible

    # --- the cloud, and what is between ---

    def put(self, one: int, two: int) -> None:
        self._count += 1
        data = random.Random(self._count).randbytes(SIZES[two % len(SIZES)])
        path = self._root / _name(one)
        path.parent.mkdir(exist_ok=True)
        staged = self._root.with_name("staged")  # where no listing sees it
        staged.write_bytes(data)
        staged.rename(path)
        self._contents[_name(one)].append(data)

    def remove(self, one: int, _: int) -> None:
        (self._root / _name(one)).unlink(missing_ok=True)

    def fault(self, one: int, two: int) -> None:
        self._proxy.faults.add(FAULTS[one % len(FAULTS)], method="GET", times=1 + two)

    def cut(self, _: int, __: int) -> None:
        self._proxy.drop_connections()

    def slow(self, one: int, _: int) -> None:
        self._proxy.conditions.bandwidth = (None, 2_000_000)[one % 2]

    # --- what must be so ---

    def act(self, verb: str, one: int, two: int) -> None:
        step: Callable[[int, int], None] = getattr(self, verb)
        step(one, two)
        self.check()

    def check(self) -> None:
        for file in self._open:
            if file.reading is not None and file.reading.done():
                self._look(file)
        for row in self._follower.call("Mount.state", paths=[str(self._mount.path)], recursive=True):
            assert FileSyncState[row["state"]] is not FileSyncState.UPLOADING, "nothing was written"
            if row["size"] is not None and row["state"] == "COMPLETED":
                held = {"both": row["size"], "cloud": 0}.get(row["location"])
                assert row["processed"] == held or row["location"] == "partial", row
        self._listen()

    def _listen(self) -> None:
        """Take the events that came before the last answers."""
        self._client.call("FileSync.getLastSyncTime")
        while self._follower.events:
            event = self._follower.next_event()["params"]
            progress, source = event["progress"], EventClass(event["class"])
            is_download = "uri" in progress
            said = download_progress(progress) if is_download else _sync_progress(progress)
            self._all.take(event["seq"], source, said)
        while self._client.events:
            self._own.take_download(download_progress(self._client.next_event()["params"]["progress"]))

    def finish(self) -> None:
        """All is well again: each download and sync had its one end, and each file is as the cloud has it."""
        self._proxy.faults.clear()
        self._proxy.conditions.bandwidth = None
        self._proxy.drop_connections()
        wait_until(lambda: all(f.reading is None or f.reading.done() for f in self._open), "reads end")
        for file in self._open:
            if file.reading is not None:
                self._look(file)
            os.close(file.fd)
        self._call("GallerySync.start")
        assert self._mount.sync() == "COMPLETED", self._mount.log.read_text()
        wait_until(self._is_quiet, "every download and sync has its end")
        assert self._started <= set(self._own.ends), "who started one did not hear its end"
        shown = {str(path.relative_to(self._root)) for path in self._root.rglob("*") if path.is_file()}
        for name in NAMES:
            assert (self._mount.path / name).exists() == (name in shown), name
            if name in shown:
                data = (self._root / name).read_bytes()
                wait_until(partial(reads_as, self._mount.path / name, data), f"{name} reads as it is")

    def _is_quiet(self) -> bool:
        self.check()
        syncs = [progress.state.is_end for progress in self._all.syncs.values()]
        return all(syncs) and not (self._all.running or self._own.running)

    def _call(self, method: str, **params: object) -> int:
        code = _code(self._client, method, params)
        assert code in CODES, (method, params, code)
        return code


def _code(connection: Connection, method: str, params: object) -> int:
    try:
        connection.request(method, params)
    except RpcError as error:
        return error.code
    return 0


def _sync_progress(shown: dict[str, int]) -> SyncProgress:
    return SyncProgress(SyncState(shown["state"]), ErrorType(shown["error"]))


def _name(number: int) -> str:
    return NAMES[number % len(NAMES)]


def _uri(number: int) -> str:
    return HEAD + _name(number)


VERBS = (
    *("start",) * 4,
    *("open", "read", "sync") * 3,
    *("stop", "clean", "pin", "put", "fault") * 2,
    *("close", "remove", "cut", "slow"),
)


@pytest.mark.parametrize("seed", [1, 12, 27])  # the last two ended a daemon, and met a false state
def test_whatever_is_called_in_whatever_order(
    seed: int, apache: Apache, proxy: FaultProxy, mounts: Mounts
) -> None:
    chance = random.Random(seed)
    history = [(chance.choice(VERBS), chance.randrange(8), chance.randrange(4)) for _ in range(STEPS)]
    mount = mounts(
        proxy.url, cloud={"timeout": "2s"}, cache={"size": "6MiB"}, sync={"auto": False}, start=False
    )
    with ThreadPoolExecutor() as threads:
        world = World(mount, apache.root, proxy, threads)
        mount.start()
        world.begin()
        done = []
        try:
            for step in history:
                done.append(step)
                world.act(*step)
            world.finish()
        except BaseException as error:
            error.add_note(f"seed {seed}, after {done}")
            raise
