"""The same operations on a plain folder and on a mount: same answers, same errors, same bytes.

Each example begins in a folder of its own, which the mount has as placeholders. What is compared after
each step is what a program can see; the plain folder's file system is the judge of POSIX. At the end all
folders are looked at once more on a new mount.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.reference.pair import census, difference, mount_of_its_own_thread, outcome, renameat2, shown
from tests.servers.memory_cloud import MemoryCloud

EXAMPLES = 25
STEPS = 40
SHRINKS = 1000  # examples beyond these, by which Hypothesis makes a failure small
LARGEST = 300_000

SEEDED = {
    "small": b"0123456789",
    "empty": b"",
    "big": random.Random(11).randbytes(250_000),
    "docs/a": b"a plan",
    "docs/deep/b": random.Random(12).randbytes(5000),
}

NAMES = ("small", "empty", "docs", "deep", "a", "b", "new")
# A number picks one of what is there at the time; a path may lead nowhere.
paths = st.one_of(
    st.integers(0, 99),
    st.integers(0, 99),
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join),
)
offsets = st.one_of(st.integers(0, 20), st.integers(0, LARGEST))
pieces = st.tuples(st.integers(1, 255), st.sampled_from((1, 7, 4096, 20_000))).map(
    lambda piece: bytes([piece[0]]) * piece[1]
)
flags = st.sampled_from((os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDWR | os.O_APPEND)).flatmap(
    lambda access: st.sampled_from(
        (0, os.O_CREAT, os.O_CREAT | os.O_EXCL, os.O_TRUNC, os.O_CREAT | os.O_TRUNC)
    ).map(lambda more: access | more)
)
modes = st.sampled_from((0o644, 0o600, 0o755, 0o777, 0o666))
slots = st.integers(0, 3)
times = st.integers(0, 2_000_000_000_000_000_000)


class Machine(RuleBasedStateMachine):
    """Two folders, `plain` and `mounted`, and descriptors that are open in both."""

    def __init__(self, plain: Path, mount: Path) -> None:
        super().__init__()
        self.plain = plain
        self.mounted = mount
        self.open: dict[int, tuple[int, int]] = {}

    def teardown(self) -> None:
        for slot in list(self.open):
            self.close(slot)
        assert difference(self.mounted, self.plain) is None

    def _both(self, call: Callable[..., object], *named: int | str) -> object:
        """Call with the paths in the plain folder, and with those in the mounted one."""
        there = sorted(census(self.plain)) or ["nothing"]
        names = [there[name % len(there)] if isinstance(name, int) else name for name in named]
        expected = outcome(lambda: call(*(self.plain / name for name in names)))
        found = outcome(lambda: call(*(self.mounted / name for name in names)))
        assert found == expected
        return found

    def _on_both(self, slot: int, call: Callable[[int], object]) -> None:
        plain, mounted = self.open[slot]
        assert outcome(lambda: call(mounted)) == outcome(lambda: call(plain))

    @invariant()
    def the_trees_are_alike(self) -> None:
        assert census(self.mounted) == census(self.plain)
        for plain, mounted in self.open.values():
            assert shown(os.fstat(mounted)) == shown(os.fstat(plain))

    # --- by path ---

    @rule(path=paths)
    def read(self, path: int | str) -> None:
        self._both(Path.read_bytes, path)

    @rule(path=paths)
    def stat(self, path: int | str) -> None:
        self._both(lambda path: shown(os.stat(path)), path)

    @rule(path=paths)
    def list(self, path: int | str) -> None:
        self._both(lambda path: sorted(os.listdir(path)), path)

    @rule(path=paths, data=pieces)
    def write_file(self, path: int | str, data: bytes) -> None:
        self._both(lambda path: path.write_bytes(data), path)

    @rule(path=paths, size=offsets)
    def truncate(self, path: int | str, size: int) -> None:
        self._both(lambda path: os.truncate(path, size), path)

    @rule(path=paths)
    def unlink(self, path: int | str) -> None:
        self._both(os.unlink, path)

    @rule(path=paths, mode=modes)
    def mkdir(self, path: int | str, mode: int) -> None:
        self._both(lambda path: os.mkdir(path, mode), path)

    @rule(path=paths)
    def rmdir(self, path: int | str) -> None:
        self._both(os.rmdir, path)

    @rule(old=paths, new=paths)
    def rename(self, old: int | str, new: int | str) -> None:
        self._both(os.rename, old, new)

    @rule(old=paths, new=paths, how=st.sampled_from((1, 2)))
    def rename_otherwise(self, old: int | str, new: int | str, how: int) -> None:
        """RENAME_NOREPLACE, RENAME_EXCHANGE."""
        self._both(lambda old, new: renameat2(old, new, how), old, new)

    @rule(path=paths, mode=modes)
    def chmod(self, path: int | str, mode: int) -> None:
        self._both(lambda path: os.chmod(path, mode), path)

    @rule(path=paths, time_ns=times)
    def utime(self, path: int | str, time_ns: int) -> None:
        def call(path: Path) -> int:
            os.utime(path, ns=(time_ns, time_ns))
            return os.stat(path).st_mtime_ns

        self._both(call, path)

    # --- by descriptor ---

    @rule(slot=slots, path=paths, how=flags, mode=modes)
    def open_file(self, slot: int, path: int | str, how: int, mode: int) -> None:
        if slot in self.open:
            self.close(slot)
        descriptors: list[int] = []

        def call(path: Path) -> None:
            descriptors.append(os.open(path, how, mode))

        if self._both(call, path) is None:
            self.open[slot] = (descriptors[0], descriptors[1])

    @rule(path=paths)
    def open_for_all(self, path: int | str) -> None:
        """What most steps on descriptors need first."""
        free = next((slot for slot in range(4) if slot not in self.open), 0)
        self.open_file(slot=free, path=path, how=os.O_RDWR | os.O_CREAT, mode=0o640)

    @precondition(lambda self: self.open)
    @rule(slot=slots, offset=offsets, data=pieces)
    def pwrite(self, slot: int, offset: int, data: bytes) -> None:
        self._on_both(self._any(slot), lambda descriptor: os.pwrite(descriptor, data, offset))

    @precondition(lambda self: self.open)
    @rule(slot=slots, data=pieces)
    def write(self, slot: int, data: bytes) -> None:
        self._on_both(self._any(slot), lambda descriptor: os.write(descriptor, data))

    @precondition(lambda self: self.open)
    @rule(slot=slots, offset=offsets, size=st.sampled_from((1, 100, 10_000)))
    def pread(self, slot: int, offset: int, size: int) -> None:
        self._on_both(self._any(slot), lambda descriptor: os.pread(descriptor, size, offset))

    @precondition(lambda self: self.open)
    @rule(slot=slots, size=offsets)
    def ftruncate(self, slot: int, size: int) -> None:
        self._on_both(self._any(slot), lambda descriptor: os.ftruncate(descriptor, size))

    @precondition(lambda self: self.open)
    @rule(slot=slots, mode=modes)
    def fchmod(self, slot: int, mode: int) -> None:
        self._on_both(self._any(slot), lambda descriptor: os.fchmod(descriptor, mode))

    @precondition(lambda self: self.open)
    @rule(slot=slots)
    def fsync(self, slot: int) -> None:
        self._on_both(self._any(slot), os.fsync)

    @precondition(lambda self: self.open)
    @rule(slot=slots, time_ns=times)
    def futime_and_close(self, slot: int, time_ns: int) -> None:
        """The time that is set last stays, whatever the close commits."""
        chosen = self._any(slot)

        def call(descriptor: int) -> int:
            os.utime(descriptor, ns=(time_ns, time_ns))
            os.close(os.dup(descriptor))
            return os.fstat(descriptor).st_mtime_ns

        self._on_both(chosen, call)
        self.close(chosen)

    @precondition(lambda self: self.open)
    @rule(slot=slots)
    def close_one(self, slot: int) -> None:
        self.close(self._any(slot))

    def close(self, slot: int) -> None:
        self._on_both(slot, os.close)
        del self.open[slot]

    def _any(self, slot: int) -> int:
        return sorted(self.open)[slot % len(self.open)]


def _seed(folder: Path) -> None:
    for path, content in SEEDED.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


@pytest.fixture
def cloud() -> MemoryCloud:
    cloud = MemoryCloud()
    for number in range(EXAMPLES + SHRINKS):
        for path, content in SEEDED.items():
            cloud.put(b"%d/%s" % (number, path.encode()), content)
    return cloud


@pytest.fixture
def _usual_umask() -> Iterator[None]:
    former = os.umask(0o022)
    yield
    os.umask(former)


@pytest.mark.usefixtures("_usual_umask")
def test_a_mount_behaves_as_a_plain_folder_does(tmp_path: Path, cloud: MemoryCloud) -> None:
    plain = tmp_path / "plain"
    numbers = count()
    with mount_of_its_own_thread(tmp_path, cloud) as mount:

        def new_machine() -> Machine:
            number = str(next(numbers))
            _seed(plain / number)
            return Machine(plain / number, mount / number)

        run_state_machine_as_test(
            cast(type[Machine], new_machine),
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                derandomize=True,
                deadline=None,
                print_blob=True,
                suppress_health_check=list(HealthCheck),
            ),
        )
    with mount_of_its_own_thread(tmp_path, cloud) as mount:
        for example in plain.iterdir():
            assert census(mount / example.name) == census(example)
            assert difference(mount / example.name, example) is None
